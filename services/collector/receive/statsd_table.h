/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What StatsD lines add up to: counters, gauges, histograms and sets by name and labels, written as
 * an exposition document in a stable order, so that its reader compares instead of parsing. Bounded
 * by a number of series; loop thread.
 */
#include "common/base/strbuf.h"
#include "services/collector/receive/statsd_mapping.h"

struct col_statsd_table; /* opaque */

struct col_statsd_limits {
	size_t series;	    /* time series exposed: a histogram counts its buckets */
	size_t set_members; /* remembered per set and interval */
	int64_t ttl_ms;	    /* where the mapping says nothing; 0: for ever */
};

struct col_statsd_table *col_statsd_table_new(const struct col_statsd_limits *limits);
void col_statsd_table_free(struct col_statsd_table *t); /* NULL is fine */
/*
 * 0; 1: dropped by the mapping; -EINVAL, and *ret_why is the reason label: "limit" (a new series
 * above the limit), "conflict" (the metric is of another kind already).
 */
int col_statsd_table_add(struct col_statsd_table *t, struct col_statsd_mapping *mapping,
	const struct col_statsd_event *e, int64_t now_ms, const char **ret_why) OPS_MUST_CHECK;
/* Appends text format 0.0.4; forgets what was not heard for its time to live; sets begin anew. */
void col_statsd_table_expose(struct col_statsd_table *t, int64_t now_ms, struct ops_strbuf *out);
size_t col_statsd_table_series(const struct col_statsd_table *t);
