/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * PromQL over the store: evaluates a syntax tree at one time or at every step of a range, with the
 * semantics of Prometheus 3 (left-open windows, staleness, the metric name dropped at the end).
 * One query, one arena; everything in a result lives in that arena or in the store and is good
 * until the arena is reset or det_store_maintain() runs. Loop thread only.
 */
#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/promql/parse.h"
#include "services/detector/store/store.h"

#define DET_QUERY_MAX_STEPS 11000 /* from start to end: one point more */

struct det_engine_options {	 /* 0 = the default in brackets */
	int64_t lookback_ms;	 /* [5m] */
	int64_t timeout_ms;	 /* [2m], from the start of the evaluation */
	uint64_t max_samples;	 /* in memory at once [50 million] */
	int64_t default_step_ms; /* of subqueries without a step [1m]: global evaluation_interval */
	bool use_start_timestamps; /* in rates, resets() and start_timestamp() */
};

struct det_query {
	const struct ops_promql_expr *expr;
	const char *text; /* the expression's text, for positions in warnings; may be NULL */
	bool range;	  /* result is a matrix over start, start+step, ... <= end */
	int64_t start_ms, end_ms, step_ms; /* instant: start only */
	const atomic_bool *cancelled;	   /* set by another thread: give up soon; may be NULL */
	/* Series of a selector from whoever remembers them; false: it does not. May be NULL. */
	bool (*recall)(void *arg, const struct ops_promql_expr *selector, const int64_t range_ms[2],
		struct det_series_list *ret);
	void *recall_arg;
};

struct det_point {
	int64_t t;
	double v;
	const struct ops_histogram *h; /* not NULL: the sample is this, v means nothing */
};
struct det_result_series {
	const struct ops_label *labels; /* sorted by name */
	uint32_t nlabels;
	struct det_point *points; /* one of them for an instant vector and a scalar */
	size_t npoints;
};

struct det_annotations { /* "PromQL warning: ..." / "PromQL info: ... (line:column)" */
	const char **warnings, **infos;
	size_t nwarnings, ninfos;
};

struct det_result {
	enum ops_promql_value_type type; /* scalar, string, instant or range */
	struct det_result_series *series;
	size_t n;
	struct ops_promql_string string;
	struct det_annotations annotations;
	uint64_t samples;      /* read and made */
	uint64_t peak_samples; /* held at once */
};

/*
 * 0; -EINVAL the evaluation failed (err says why); -ETIMEDOUT; -ECANCELED; -E2BIG too many samples;
 * -ERANGE: more than DET_QUERY_MAX_STEPS steps.
 */
int det_engine_eval(struct det_store *store, const struct det_engine_options *options,
	const struct det_query *query, struct ops_arena *arena, struct det_result *ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* Parse and evaluate at one time: for rules' tests and small uses. */
int det_engine_instant(struct det_store *store, const char *text, int64_t time_ms,
	struct ops_arena *arena, struct det_result *ret, struct ops_error *err) OPS_MUST_CHECK;

/* Labels of a result as a shared set; the caller owns the reference. */
struct ops_labels *det_result_labels(const struct det_result_series *series) OPS_MUST_CHECK;

/* Every vector selector of the tree, with the time it reads before the evaluation (range or
 * lookback, offset, subqueries included): what an index of rules by the series they read needs. */
void det_engine_selectors(const struct ops_promql_expr *expr,
	const struct det_engine_options *options,
	void (*fn)(void *arg, const struct ops_promql_expr *selector, int64_t reach_ms), void *arg);
/* The matchers of a selector, compiled; release with ops_matchers_done. */
int det_engine_matchers(const struct ops_promql_expr *selector, struct ops_matchers *ret,
	struct ops_error *err) OPS_MUST_CHECK;
