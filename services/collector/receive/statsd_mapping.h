/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From StatsD's dotted names to metrics with labels: the mapping file of statsd_exporter (mappings
 * with match, match_type, match_metric_type, name, labels, help, action, observer_type,
 * histogram_options, ttl, scale, honor_labels; defaults). Without a match the name is kept, with
 * every byte that a metric name may not have replaced by an underscore.
 * Immutable once loaded; loop thread.
 */
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "common/conf/conf.h"
#include "services/collector/receive/statsd_line.h"

struct col_statsd_mapping; /* opaque */

struct col_statsd_mapped { /* texts live until the next call or the mapping's end */
	bool drop;
	const char *name, *help; /* help "" when there is none */
	const char *label_names[COL_STATSD_MAX_TAGS];
	const char *label_values[COL_STATSD_MAX_TAGS];
	size_t nlabels;
	bool honor_labels;     /* the event's tags win over the labels here */
	const double *buckets; /* ascending, without +Inf */
	size_t nbuckets;
	int64_t ttl_ms; /* 0: for ever */
	double scale;
};

/* path NULL or "": no mappings. */
int col_statsd_mapping_load(const char *path, struct ops_conf_warnings *warnings,
	struct col_statsd_mapping **ret, struct ops_error *err) OPS_MUST_CHECK;
int col_statsd_mapping_load_text(const char *name, const char *text,
	struct ops_conf_warnings *warnings, struct col_statsd_mapping **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void col_statsd_mapping_free(struct col_statsd_mapping *m); /* NULL is fine */
/* Not const: it keeps the texts of the answer. */
void col_statsd_map(struct col_statsd_mapping *m, const struct col_statsd_event *e,
	struct col_statsd_mapped *ret);
/* Appends text as a metric or label name: bytes that it may not have become underscores. */
void col_statsd_clean_name(struct ops_strbuf *out, const char *text, size_t len, bool label);
