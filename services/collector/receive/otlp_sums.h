/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Running sums of delta series: what a sender reports per interval, as the counters that Prometheus
 * expects. In memory: after a restart they begin at zero, which readers take for a counter reset.
 * Bounded; loop thread only.
 */
#include "common/model/labels.h"
#include "services/collector/receive/otlp_model.h"

struct col_otlp_sums; /* opaque */

struct col_otlp_sum {		   /* of one series, or of all of one exponential histogram */
	int64_t time_ms, heard_ms; /* of its newest point; when that came */
	double value, sum;
	int32_t scale;
	uint64_t count, zero_count;
	struct col_otlp_counts { /* counts[i] is bucket lo + i */
		int64_t lo;
		uint64_t *counts;
		size_t n;
	} positive, negative;
};

struct col_otlp_sums *col_otlp_sums_new(size_t max, int64_t ttl_ms);
void col_otlp_sums_free(struct col_otlp_sums *s); /* NULL is fine */
/* The sum of these labels, made when new; NULL when there are too many. */
struct col_otlp_sum *col_otlp_sums_of(
	struct col_otlp_sums *s, const struct ops_label *labels, size_t nlabels, int64_t now_ms);

/* Adds buckets of this scale; both are brought to the coarser one first. False: more than
 * COL_OTLP_MAX_BUCKETS would be needed, nothing was added. */
bool col_otlp_counts_add(
	struct col_otlp_counts *into, const struct col_otlp_buckets *b, int32_t shift);
/* Every 2^shift buckets become one. */
void col_otlp_counts_coarsen(struct col_otlp_counts *c, int32_t shift);
void col_otlp_counts_done(struct col_otlp_counts *c);
