/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The process's own metrics, in Prometheus' naming and text format 0.0.4. One registry per process
 * (a metric is a fact about the process, and libraries count here instead of logging). Loop thread
 *only.
 *
 *	static struct ops_metric frames_refused = OPS_COUNTER("ops_bus_frames_refused_total",
 *		"Frames dropped before they reached a handler.", "reason");
 *	ops_metric_add(&frames_refused, 1, "bad_mac");
 *
 * A metric registers itself at first use or by ops_metric_register() (so that it is exposed at 0).
 * Label values are passed as NULL-terminated varargs in the order of the label names; the macros
 *add the NULL. A metric holds at most 1000 label combinations; further ones go to
 *ops_metrics_dropped_total.
 */
#include "common/base/def.h"

struct ops_strbuf;

enum ops_metric_type {
	OPS_METRIC_COUNTER,
	OPS_METRIC_GAUGE,
	OPS_METRIC_HISTOGRAM
};

struct ops_metric {
	const char *name, *help;
	enum ops_metric_type type;
	const char *labels[4]; /* NULL-terminated when fewer */
	const double *buckets; /* histogram: ascending upper bounds without +Inf */
	size_t nbuckets;
	struct ops_metric *next; /* registry; private from here on */
	struct ops_map *cells;
	bool registered;
};

/* Up to four label names; the spare NULLs let the list be empty. */
#define OPS_METRIC_LABELS_(dummy, a, b, c, d, ...)                                                 \
	{                                                                                          \
		(a), (b), (c), (d)                                                                 \
	}
#define OPS_METRIC_(name_, help_, type_, ...)                                                      \
	.name = (name_), .help = (help_), .type = (type_),                                         \
	.labels = OPS_METRIC_LABELS_(0, ##__VA_ARGS__, NULL, NULL, NULL, NULL, NULL)

#define OPS_COUNTER(name_, help_, ...)                                                             \
	{                                                                                          \
		OPS_METRIC_(name_, help_, OPS_METRIC_COUNTER, ##__VA_ARGS__)                       \
	}
#define OPS_GAUGE(name_, help_, ...)                                                               \
	{                                                                                          \
		OPS_METRIC_(name_, help_, OPS_METRIC_GAUGE, ##__VA_ARGS__)                         \
	}
/* buckets_ names a file-scope array. */
#define OPS_HISTOGRAM(name_, help_, buckets_, ...)                                                 \
	{                                                                                          \
		OPS_METRIC_(name_, help_, OPS_METRIC_HISTOGRAM, ##__VA_ARGS__),                    \
			.buckets = (buckets_), .nbuckets = OPS_LENGTH(buckets_)                    \
	}

void ops_metric_register(struct ops_metric *m);
#define ops_metric_add(m, by, ...) ops_metric_add_(m, by, ##__VA_ARGS__, (const char *)NULL)
#define ops_metric_set(m, to, ...) ops_metric_set_(m, to, ##__VA_ARGS__, (const char *)NULL)
#define ops_metric_observe(m, value, ...)                                                          \
	ops_metric_observe_(m, value, ##__VA_ARGS__, (const char *)NULL)
/* Drops one label combination (a target that is gone). */
#define ops_metric_forget(m, ...) ops_metric_forget_(m, ##__VA_ARGS__, (const char *)NULL)
#define ops_metric_value(m, ...) ops_metric_value_(m, ##__VA_ARGS__, (const char *)NULL)

void ops_metric_add_(struct ops_metric *m, double by, ...);
void ops_metric_set_(struct ops_metric *m, double to, ...);
void ops_metric_observe_(struct ops_metric *m, double value, ...);
void ops_metric_forget_(struct ops_metric *m, ...);
double ops_metric_value_(struct ops_metric *m, ...); /* 0 when absent; a histogram's count */

/* A hook that refreshes gauges just before exposition. */
void ops_metrics_on_collect(void (*fn)(void *), void *arg);
/*
 * The whole page, families sorted by name. Always includes process_* (cpu, resident memory, open
 * fds, start time) and ops_build_info{version,revision}, and ops_log_lines_total{level},
 * ops_log_suppressed_total.
 */
void ops_metrics_expose(struct ops_strbuf *out);
