/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An OTLP metrics request (opentelemetry-proto 1.x, ExportMetricsServiceRequest) as both of its
 * encodings give it. Everything lies in one arena; texts are UTF-8 with a NUL behind them.
 */
#include "common/base/arena.h"
#include "common/base/error.h"

enum {
	COL_OTLP_MAX_DEPTH = 16,       /* of nested attribute values */
	COL_OTLP_MAX_POINTS = 1000000, /* in a request */
	COL_OTLP_MAX_BUCKETS = 10000   /* of a histogram point */
};

struct col_otlp_attribute {
	const char *key, *value; /* lists and maps as JSON text */
};
struct col_otlp_attributes {
	struct col_otlp_attribute *items;
	size_t n, cap;
};

struct col_otlp_exemplar {
	struct col_otlp_attributes attributes;
	double value;
	uint64_t time_ns;
	char trace_id[33], span_id[17]; /* hex; "" when absent */
};

struct col_otlp_buckets { /* of an exponential histogram */
	int32_t offset;
	uint64_t *counts;
	size_t n, cap;
};

struct col_otlp_point {
	struct col_otlp_attributes attributes;
	uint64_t start_ns, time_ns;
	uint32_t flags; /* 1: no recorded value */
	double value;	/* gauge, sum */
	uint64_t count; /* the others */
	double sum;
	bool has_sum;
	uint64_t *counts; /* histogram: nbounds + 1, or none */
	size_t ncounts, counts_cap;
	double *bounds;
	size_t nbounds, bounds_cap;
	int32_t scale; /* exponential */
	uint64_t zero_count;
	double zero_threshold;
	struct col_otlp_buckets positive, negative;
	struct col_otlp_quantile {
		double quantile, value;
	} * quantiles; /* summary */
	size_t nquantiles, quantiles_cap;
	struct col_otlp_exemplar *exemplars;
	size_t nexemplars, exemplars_cap;
};

enum col_otlp_kind {
	COL_OTLP_NONE,
	COL_OTLP_GAUGE,
	COL_OTLP_SUM,
	COL_OTLP_HISTOGRAM,
	COL_OTLP_EXPONENTIAL,
	COL_OTLP_SUMMARY
};
enum col_otlp_temporality {
	COL_OTLP_UNSPECIFIED,
	COL_OTLP_DELTA,
	COL_OTLP_CUMULATIVE
};

struct col_otlp_metric {
	const char *name, *description, *unit; /* never NULL */
	enum col_otlp_kind kind;
	enum col_otlp_temporality temporality;
	bool monotonic;
	struct col_otlp_point *points;
	size_t npoints, points_cap;
};

struct col_otlp_resource { /* a scope's metrics stand in its resource: scopes are not told apart */
	struct col_otlp_attributes attributes;
	struct col_otlp_metric *metrics;
	size_t nmetrics, metrics_cap;
};

struct col_otlp_request {
	struct ops_arena *arena;
	struct col_otlp_resource *resources;
	size_t nresources, resources_cap;
	size_t npoints; /* in all */
};

/* One more, zeroed, in an array that lives in the arena. */
void *col_otlp_grow(
	struct ops_arena *a, void *items, size_t *n, size_t *cap, size_t size) OPS_MUST_CHECK;
#define COL_OTLP_ADD(arena, items, n, cap)                                                         \
	((items) = col_otlp_grow((arena), (items), &(n), &(cap), sizeof(*(items))), &(items)[(n)-1])

/* -EBADMSG malformed (err has the position for JSON), -E2BIG above the limits. */
int col_otlp_from_proto(struct col_otlp_request *ret, const void *data, size_t len,
	struct ops_error *err) OPS_MUST_CHECK;
int col_otlp_from_json(struct col_otlp_request *ret, const char *text, size_t len,
	struct ops_error *err) OPS_MUST_CHECK;
