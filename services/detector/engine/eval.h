/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The evaluator's inside. Every node is evaluated for all steps at once: a vector is a list of
 * columns, one double per step, absent where there is no sample. Functions return 0 or a negative
 * errno with the query's error set; what they allocate is freed at the end of the query at the
 * latest.
 */
#include "services/detector/engine/engine.h"
#include "services/detector/engine/lset.h"
#include "services/detector/store/group.h"

struct det_block; /* doubles of columns, counted against the query's limit */

struct det_col {
	struct det_lset labels;
	bool drop_name; /* the metric name goes at the end of the query */
	double *v;	/* nsteps */
};

struct det_vec {
	struct det_col *cols;
	size_t n, cap;
	struct det_block *blocks;
	double *free_at; /* next column's room */
};

struct det_value {
	enum ops_promql_value_type type;
	double *scalar; /* nsteps, in the arena */
	struct ops_promql_string string;
	struct det_vec vec;
};

struct det_shared { /* one query */
	struct det_store *store;
	struct ops_arena *arena;
	struct ops_error *err;
	const struct det_query *query;
	struct det_engine_options options; /* defaults filled in */
	int64_t end_ms;			   /* query's end; start for an instant query */
	int64_t deadline_ms;		   /* on the monotonic clock */
	uint64_t live, peak, total;	   /* doubles held now; the most at once; all that were */
	struct det_block *blocks;	   /* all live ones */
	struct det_samples samples;	   /* scratch of one series */
	uint32_t *resets;		   /* scratch: resets up to each sample */
	size_t resets_cap;
	uint64_t spent; /* since the clock was read */
	struct det_annotations annotations;
	size_t warnings_cap, infos_cap;
};

struct det_eval { /* one grid of time steps; subqueries have their own */
	struct det_shared *sh;
	int64_t start, step;
	size_t nsteps;
};

static inline int64_t det_step_time(const struct det_eval *ev, size_t i)
{
	return ev->start + (int64_t)i * ev->step;
}

/* eval.c */
int det_eval_expr(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret) OPS_MUST_CHECK;
/* The same, demanding a type the parser has promised already. */
int det_eval_vector(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *ret) OPS_MUST_CHECK;
int det_eval_scalar(
	struct det_eval *ev, const struct ops_promql_expr *e, double **ret) OPS_MUST_CHECK;
int det_eval_fail(struct det_eval *ev, int code, const char *fmt, ...) OPS_PRINTF(3, 4);
/* Work done since the last call, one for each value touched: looks at the deadline now and then. */
int det_eval_spend(struct det_eval *ev, uint64_t work) OPS_MUST_CHECK;
int det_eval_check(struct det_eval *ev) OPS_MUST_CHECK; /* the same for one series */

/* vec.c */
int det_vec_init(struct det_eval *ev, struct det_vec *vec, size_t cap) OPS_MUST_CHECK;
/* The next column, all absent. At most cap of them. */
struct det_col *det_vec_add(
	struct det_eval *ev, struct det_vec *vec, const struct det_lset *labels);
void det_vec_drop_last(struct det_eval *ev, struct det_vec *vec); /* takes the last column back */
bool det_col_empty(const struct det_eval *ev, const struct det_col *col);
void det_vec_trim(struct det_eval *ev, struct det_vec *vec); /* removes columns without samples */
void det_vec_done(struct det_eval *ev, struct det_vec *vec);
/* Joins columns of equal labels; fails where both have a sample. */
int det_vec_merge(struct det_eval *ev, struct det_vec *vec) OPS_MUST_CHECK;
double *det_scalar_new(struct det_eval *ev, double value);	    /* nsteps of it */
int det_hold(struct det_eval *ev, uint64_t doubles) OPS_MUST_CHECK; /* counts what the arena has */
void det_blocks_free(struct det_shared *sh);
void *det_scratch(struct det_eval *ev, size_t n, size_t size) OPS_MUST_CHECK; /* arena, zeroed */

/* annotation.c */
void det_warn(struct det_eval *ev, const struct ops_promql_expr *at, const char *fmt, ...)
	OPS_PRINTF(3, 4);
void det_info(struct det_eval *ev, const struct ops_promql_expr *at, const char *fmt, ...)
	OPS_PRINTF(3, 4);

/* duration.c: seconds as the language's duration expressions give them */
int det_eval_duration(struct det_eval *ev, const struct ops_promql_expr *e, bool negative,
	int64_t *ret_ms) OPS_MUST_CHECK;
/* Reference time of a step: fixed by @, moved by offset. */
struct det_reference {
	bool fixed;
	int64_t at_ms, offset_ms;
};
int det_eval_reference(struct det_eval *ev, const struct ops_promql_shift *shift,
	struct det_reference *ret) OPS_MUST_CHECK;
static inline int64_t det_reference_time(
	const struct det_eval *ev, const struct det_reference *ref, size_t i)
{
	return (ref->fixed ? ref->at_ms : det_step_time(ev, i)) - ref->offset_ms;
}

/* selector.c */
int det_eval_selector(struct det_eval *ev, const struct ops_promql_expr *e, bool timestamps,
	struct det_vec *ret) OPS_MUST_CHECK;
int det_eval_select(struct det_eval *ev, const struct ops_promql_expr *selector,
	const int64_t range_ms[2], struct det_series_list *ret) OPS_MUST_CHECK;
/* Reads a series into sh->samples without staleness markers. */
int det_eval_read(struct det_eval *ev, const struct det_series *series,
	const int64_t range_ms[2]) OPS_MUST_CHECK;

/* range.c: what a range function sees at one step */
struct det_window {
	const int64_t *t;
	const double *v;
	size_t n;
	int64_t start_ms, end_ms; /* (start, end] */
	int64_t range_ms, eval_ms;
	const uint32_t *resets; /* resets up to each sample; NULL unless asked for */
	bool anchored, smoothed;
	double args[2];
};
typedef double det_range_fn(const struct det_window *w); /* absent: no result */

struct det_range_function {
	det_range_fn *fn;
	bool keeps_name, counts_resets, anchored, smoothed;
};
/* NULL: not a function of a range vector. range_table.c */
const struct det_range_function *det_range_function(enum ops_promql_function_id id);
int det_eval_range_call(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *ret) OPS_MUST_CHECK;
/* A range vector as a query's result. */
int det_eval_matrix(struct det_eval *ev, const struct ops_promql_expr *e,
	struct det_result *ret) OPS_MUST_CHECK;
size_t det_extend_window(const struct det_window *w, struct det_point *out);

/* call.c and the functions' files */
int det_eval_call(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret) OPS_MUST_CHECK;
typedef int det_call_fn(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret);
det_call_fn det_call_label_replace, det_call_label_join, det_call_sort, det_call_sort_by_label,
	det_call_histogram_quantile, det_call_histogram_fraction, det_call_histogram_quantiles,
	det_call_info, det_call_absent;
double (*det_math_function(enum ops_promql_function_id id))(double);
double (*det_date_function(enum ops_promql_function_id id))(int64_t unix_seconds);
struct det_lset det_absent_labels(struct det_eval *ev, const struct ops_promql_expr *e);

/* binary.c, match.c, setop.c */
int det_eval_binary(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret) OPS_MUST_CHECK;
double det_binary_op(enum ops_promql_op op, double l, double r); /* comparisons: 0 or 1 */
int det_eval_match(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *lhs,
	struct det_vec *rhs, struct det_vec *ret) OPS_MUST_CHECK;
int det_eval_set(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *lhs,
	struct det_vec *rhs, struct det_vec *ret) OPS_MUST_CHECK;
struct det_lset det_match_signature(
	struct det_eval *ev, const struct ops_promql_matching *m, const struct det_lset *ls);

/* aggregate.c, aggregate_k.c */
int det_eval_aggregate(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *ret) OPS_MUST_CHECK;
struct det_groups {
	struct det_lset_map map; /* group -> its labels */
	uint32_t *of;		 /* column -> group */
};
int det_aggregate_k(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *in,
	const struct det_groups *groups, struct det_vec *ret) OPS_MUST_CHECK;
int det_aggregate_quantile(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *in,
	const struct det_groups *groups, struct det_vec *ret) OPS_MUST_CHECK;
int det_aggregate_count_values(struct det_eval *ev, const struct ops_promql_expr *e,
	struct det_vec *in, struct det_vec *ret) OPS_MUST_CHECK;
void det_warn_quantile(struct det_eval *ev, const struct ops_promql_expr *at, double q);

/* arith.h in spirit: sums and quantiles as the language defines them */
struct det_kahan {
	double sum, c;
};
void det_kahan_add(struct det_kahan *k, double v);
double det_quantile(double q, double *values, size_t n); /* sorts values */
double det_max(double a, double b);			 /* NaN wins, as in IEEE maximum */
double det_min(double a, double b);
