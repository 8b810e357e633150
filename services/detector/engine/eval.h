/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The evaluator's inside. Every node is evaluated for all steps at once: a vector is a list of
 * columns, one double per step, absent where there is no sample. Functions return 0 or a negative
 * errno with the query's error set; what they allocate is freed at the end of the query at the
 * latest.
 */
#include <math.h>

#include "services/detector/engine/engine.h"
#include "services/detector/engine/lset.h"
#include "services/detector/store/group.h"

struct det_block; /* doubles of columns, counted against the query's limit */

struct det_col {
	struct det_lset labels;
	bool drop_name;			/* the metric name goes at the end of the query */
	double *v;			/* nsteps; the histogram mark where h has one */
	const struct ops_histogram **h; /* nsteps in the arena; NULL: floats only */
};

struct det_vec {
	struct det_col *cols;
	size_t n, cap;
	struct det_block *blocks;
	double *free_at; /* next column's room */
};

struct det_operand { /* a value: h when that is not NULL, else v */
	double v;
	const struct ops_histogram *h;
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
	struct det_samples start_samples; /* the same for its starts */
	const int64_t *starts;		  /* of the samples; NULL: it has none */
	int64_t *starts_room;
	size_t starts_cap;
	uint64_t spent; /* since the clock was read */
	struct det_annotations annotations;
	size_t warnings_cap, infos_cap;
	/* Calls above that want count and sum of histograms only; that want the buckets. */
	unsigned stats_depth, whole_depth;
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
/* The same for one who sets every step. */
struct det_col *det_vec_add_unset(
	struct det_eval *ev, struct det_vec *vec, const struct det_lset *labels);
void det_vec_drop_last(struct det_eval *ev, struct det_vec *vec);   /* takes the last column back */
void det_col_clear(const struct det_eval *ev, struct det_col *col); /* all absent */
bool det_col_empty(const struct det_eval *ev, const struct det_col *col);
/* Not of histograms alone. */
bool det_col_any_float(const struct det_eval *ev, const struct det_col *col);
void det_vec_trim(struct det_eval *ev, struct det_vec *vec); /* removes columns without samples */
void det_vec_done(struct det_eval *ev, struct det_vec *vec);
/* Joins columns of equal labels; fails where both have a sample. */
int det_vec_merge(struct det_eval *ev, struct det_vec *vec) OPS_MUST_CHECK;
/* Histograms in columns: floats-only vectors never pay for them. */
int det_col_set(struct det_eval *ev, struct det_col *col, size_t step,
	const struct ops_histogram *h) OPS_MUST_CHECK;
static inline const struct ops_histogram *det_col_histogram(const struct det_col *col, size_t step)
{
	ops_assert(col->h == NULL || col->v != NULL);
	return col->h != NULL && det_is_histogram(col->v[step]) ? col->h[step] : NULL;
}
/* Step i of one column to another, float or histogram. */
int det_col_copy(struct det_eval *ev, struct det_col *to, const struct det_col *from,
	size_t step) OPS_MUST_CHECK;
/* Takes the histograms away. True: there were some. */
bool det_col_floats(const struct det_eval *ev, struct det_col *col);
bool det_vec_floats(const struct det_eval *ev, struct det_vec *vec);
/* A histogram of the query's own, counted against its limit. */
int det_histogram_copy(struct det_eval *ev, const struct ops_histogram *h,
	struct ops_histogram **ret) OPS_MUST_CHECK;
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
enum det_reading {
	DET_READ_VALUES,
	DET_READ_TIMES,	    /* of the samples, in seconds */
	DET_READ_STARTS,    /* of their counters, in seconds */
	DET_READ_INFO_TIMES /* the same; a histogram is an error */
};
int det_eval_selector(struct det_eval *ev, const struct ops_promql_expr *e,
	enum det_reading reading, struct det_vec *ret) OPS_MUST_CHECK;
int det_eval_select(struct det_eval *ev, const struct ops_promql_expr *selector,
	const int64_t range_ms[2], struct det_series_list *ret) OPS_MUST_CHECK;
/* Reads a series into sh->samples without staleness markers. */
int det_eval_read(struct det_eval *ev, const struct det_series *series,
	const int64_t range_ms[2]) OPS_MUST_CHECK;
/* The same with the markers. */
int det_eval_read_all(struct det_eval *ev, const struct det_series *series,
	const int64_t range_ms[2]) OPS_MUST_CHECK;

/* range.c: what a range function sees at one step */
struct det_window {
	const int64_t *t;
	const double *v;
	size_t n;
	int64_t start_ms, end_ms; /* (start, end] */
	int64_t range_ms, eval_ms;
	const uint32_t *resets; /* resets up to each sample; NULL unless asked for */
	const int64_t *starts;	/* when each counter began, 0: not known; NULL: none */
	bool anchored, smoothed;
	double args[2];
	const struct ops_histogram *const *h; /* NULL: floats only */
};
typedef double det_range_fn(const struct det_window *w); /* absent: no result */

struct det_range_function {
	det_range_fn *fn;
	bool keeps_name, counts_resets, anchored, smoothed, uses_starts;
};
/* NULL: not a function of a range vector. range_table.c */
const struct det_range_function *det_range_function(enum ops_promql_function_id id);
/* The same where some sample of the window is a histogram; native_range.c. */
struct det_native_call {
	const struct ops_promql_expr *e;   /* the call */
	const struct ops_promql_expr *arg; /* its range vector */
	const struct det_range_function *function;
	const struct det_lset *labels;
	double *v; /* scratch for the floats of a window */
	int64_t *t;
	size_t cap;
};
int det_native_range(struct det_eval *ev, struct det_native_call *call, const struct det_window *w,
	struct det_col *out, size_t step) OPS_MUST_CHECK;
/* rate.c, native_rate.c */
struct det_stretch { /* between the samples of a window, and how far beyond them a rate reaches */
	double sampled, to_start, to_end;
};
struct det_stretch det_stretch(const struct det_window *w); /* two samples at least */
/* By how much the change grows by it; first is the first sample's value. */
double det_extrapolation(const struct det_window *w, double first, double change, bool counter);
bool det_window_edges(const struct det_window *w, size_t *ret_first, size_t *ret_last);
bool det_window_first(const struct det_window *w, size_t *ret);
int det_native_rate(struct det_eval *ev, const struct det_native_call *call,
	const struct det_window *w, struct ops_histogram **ret) OPS_MUST_CHECK;
int det_native_last_two(struct det_eval *ev, const struct det_native_call *call,
	const struct det_window *w, struct det_operand *ret) OPS_MUST_CHECK;
/* native_smooth.c: h1 at t[0], h2 at t[1], wanted at t[2]. NULL in ret: they do not go together. */
int det_native_interpolate(struct det_eval *ev, const struct ops_promql_expr *at,
	const struct ops_histogram *const h[2], const int64_t t[3], bool counter,
	struct ops_histogram **ret) OPS_MUST_CHECK;
int det_native_smooth(struct det_eval *ev, const struct ops_promql_expr *e, int64_t t, size_t next,
	struct det_col *col, size_t step) OPS_MUST_CHECK;
/* native_warn.c: what is said of histograms, in Prometheus' words */
enum det_native_remark {
	DET_MIXED_FLOATS,	  /* metric name */
	DET_MIXED_SCHEMAS,	  /* metric name */
	DET_NOT_COUNTER,	  /* metric name */
	DET_NOT_GAUGE,		  /* metric name */
	DET_IGNORED_IN_RANGE,	  /* metric name */
	DET_IGNORED_IN_AGGREGATE, /* operator */
	DET_BOUNDS_RECONCILED,	  /* operation */
	DET_RESETS_COLLIDE	  /* operation */
};
void det_remark(struct det_eval *ev, const struct ops_promql_expr *at,
	enum det_native_remark remark, const char *about);
/* Those of an addition ("addition", "subtraction", "aggregation"). */
void det_remark_notes(struct det_eval *ev, const struct ops_promql_expr *at, unsigned notes,
	const char *operation);
/* native_stats.c: histograms of the samples read become count and sum, where that suffices. */
void det_native_stats(struct det_eval *ev);
bool det_wants_stats(const struct det_eval *ev);
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
	det_call_histogram_number, det_call_histogram_quantile, det_call_histogram_fraction,
	det_call_histogram_quantiles, det_call_info, det_call_absent;
double (*det_math_function(enum ops_promql_function_id id))(double);
double (*det_date_function(enum ops_promql_function_id id))(int64_t unix_seconds);
struct det_lset det_absent_labels(struct det_eval *ev, const struct ops_promql_expr *e);

/* binary.c, match.c, setop.c */
int det_eval_binary(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret) OPS_MUST_CHECK;
double det_binary_op(enum ops_promql_op op, double l, double r); /* comparisons: 0 or 1 */
/* native_binary.c. ret absent: no result. What cannot be combined leaves an info or a warning. */
int det_native_binary(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct det_operand side[2], struct det_operand *ret, bool *ret_keep) OPS_MUST_CHECK;
bool det_is_trim(enum ops_promql_op op);
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
/* aggregate_sum.c: some operators over floats, into ret's columns. */
#define DET_SUM_NOT_HERE 1
int det_aggregate_sum(struct det_eval *ev, enum ops_promql_aggr op, const struct det_vec *in,
	const struct det_groups *groups, struct det_vec *ret) OPS_MUST_CHECK;
/* sum and avg of a vector with histograms, into ret's columns where they have no value yet. */
int det_aggregate_native(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct det_vec *in, const struct det_groups *groups,
	struct det_vec *ret) OPS_MUST_CHECK;
int det_aggregate_count_values(struct det_eval *ev, const struct ops_promql_expr *e,
	struct det_vec *in, struct det_vec *ret) OPS_MUST_CHECK;
void det_warn_quantile(struct det_eval *ev, const struct ops_promql_expr *at, double q);

/* arith.h in spirit: sums and quantiles as the language defines them */
struct det_kahan {
	double sum, c;
};
/* Neumaier's variant of Kahan's compensated sum. Adding -0 changes nothing. */
static inline void det_kahan_add(struct det_kahan *k, double v)
{
	double sum = k->sum + v;
	double large = fabs(k->sum) >= fabs(v) ? k->sum : v;
	double small = fabs(k->sum) >= fabs(v) ? v : k->sum;
	k->c = isinf(sum) ? 0 : k->c + ((large - sum) + small);
	k->sum = sum;
}
double det_quantile(double q, double *values, size_t n); /* sorts values */
/* native_sum.c: the sum or mean of histograms, one after the other */
struct det_histogram_sum {
	struct ops_histogram *h;
	double n;
	bool moving; /* the mean itself is moved, because the sum would overflow */
	bool mixed;  /* exponential and custom buckets: no result */
	bool resets, no_resets;
};
/* notes: bits of enum ops_histogram_note. */
int det_histogram_sum_add(struct det_eval *ev, struct det_histogram_sum *s,
	const struct ops_histogram *h, bool mean, unsigned *notes) OPS_MUST_CHECK;
struct ops_histogram *det_histogram_sum_end(struct det_histogram_sum *s, bool mean);
/* native_quantile.c */
enum det_nan_note { /* what NaN observations did to the result */
	DET_NAN_NONE,
	DET_NAN_SKEWED,
	DET_NAN_RESULT
};
double det_native_quantile(double q, const struct ops_histogram *h, enum det_nan_note *ret);
double det_native_fraction(const double range[2], const struct ops_histogram *h, bool *ret_nan);

double det_max(double a, double b); /* NaN wins, as in IEEE maximum */
double det_min(double a, double b);
