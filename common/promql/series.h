/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The notation of series in load blocks and rule unit tests: metric{labels} 1 2+3x4 _ stale
 * {{schema:0 sum:5 count:4 buckets:[1 2 1]}}+{{...}}x3. All in the caller's arena.
 */
#include "common/model/histogram.h"
#include "common/promql/parse.h"

/* At most so many points from one text, after repetition: larger is an error. */
#define OPS_PROMQL_MAX_SERIES_VALUES ((size_t)1 << 20)

enum ops_promql_reset_hint {
	OPS_PROMQL_RESET_UNKNOWN,
	OPS_PROMQL_RESET,
	OPS_PROMQL_NOT_RESET,
	OPS_PROMQL_GAUGE,
};

struct ops_promql_buckets {
	int32_t offset; /* index of the first */
	double *counts; /* absolute, not deltas */
	size_t n;
};

struct ops_promql_histogram {
	int32_t schema; /* -4..8 exponential, -53 custom bounds */
	double sum, count, zero_count, zero_threshold;
	double *custom_values;
	size_t ncustom_values;
	struct ops_promql_buckets positive, negative;
	enum ops_promql_reset_hint hint;
	bool has_hint; /* written out, so to be compared */
};

struct ops_promql_series_value {
	bool omitted; /* "_": no sample at this step */
	double value; /* "stale" is the stale marker, a NaN with the bits 0x7ff0000000000002 */
	/* Not NULL: a native histogram sample = histogram + (steps times) increment. */
	const struct ops_promql_histogram *histogram;
	const struct ops_promql_histogram *increment; /* NULL: none */
	int64_t steps;				      /* negative: subtract -steps times */
};

struct ops_promql_series {
	/* Sorted by name, the metric name as __name__; later duplicates win, empty values stay out.
	 */
	struct ops_promql_matcher *labels; /* op is OPS_MATCH_EQ */
	size_t nlabels;
	struct ops_promql_series_value *values;
	size_t nvalues;
};

/*
 * The histogram of a point, its increments added, in the arena; NULL when the notation makes none
 * (an index out of range, buckets that cannot be added). Not validated: expectations may be
 * negative.
 */
struct ops_histogram *ops_promql_series_histogram_of(
	struct ops_arena *arena, const struct ops_promql_series_value *value) OPS_MUST_CHECK;

/* -EINVAL with err as ops_promql_parse; -EFBIG for too long a text. */
int ops_promql_series_parse(struct ops_arena *arena, const struct ops_promql_source *src,
	struct ops_promql_series *ret, struct ops_error *err) OPS_MUST_CHECK;
