/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Function calls other than those of range vectors: of numbers (math.c), of labels, of histograms,
 * and the few that make something from nothing. Each changes its argument's columns in place.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <math.h>

static const struct ops_promql_expr *arg_of(const struct ops_promql_expr *e, size_t i)
{
	return ops_promql_unparen(e->call.args[i]);
}

/* A vector without its histograms: most functions pass over them. */
static int eval_floats(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *ret)
{
	int rc = det_eval_vector(ev, e, ret);
	if (rc == 0 && det_vec_floats(ev, ret)) {
		det_vec_trim(ev, ret);
	}
	return rc;
}

static int apply_math(struct det_eval *ev, const struct ops_promql_expr *e, double (*fn)(double),
	struct det_vec *ret)
{
	int rc = eval_floats(ev, e->call.args[0], ret);
	for (size_t c = 0; rc == 0 && c < ret->n; c++) {
		ret->cols[c].drop_name = true;
		double *v = ret->cols[c].v;
		for (size_t i = 0; i < ev->nsteps; i++) {
			v[i] = det_is_absent(v[i]) ? v[i] : fn(v[i]);
		}
	}
	return rc;
}

static int one_column(struct det_eval *ev, struct det_vec *ret)
{
	struct det_lset none = det_lset_of(NULL, 0);
	int rc = det_vec_init(ev, ret, 1);
	if (rc == 0) {
		(void)det_vec_add(ev, ret, &none);
	}
	return rc;
}

static int apply_date(struct det_eval *ev, const struct ops_promql_expr *e, double (*fn)(int64_t),
	struct det_vec *ret)
{
	if (e->call.nargs == 0) {
		int rc = one_column(ev, ret);
		for (size_t i = 0; rc == 0 && i < ev->nsteps; i++) {
			ret->cols[0].v[i] = fn(det_step_time(ev, i) / 1000);
		}
		return rc;
	}
	int rc = eval_floats(ev, e->call.args[0], ret);
	for (size_t c = 0; rc == 0 && c < ret->n; c++) {
		ret->cols[c].drop_name = true;
		double *v = ret->cols[c].v;
		for (size_t i = 0; i < ev->nsteps; i++) {
			if (!det_is_absent(v[i])) {
				v[i] = fabs(v[i]) < 1e15 ? fn((int64_t)v[i]) : NAN;
			}
		}
	}
	return rc;
}

/* clamp, clamp_min, clamp_max, round: one vector and up to two scalars. */
static double with_args(enum ops_promql_function_id id, double v, const double *a)
{
	switch ((int)id) {
	case OPS_PROMQL_FN_CLAMP:
		return a[1] < a[0] ? det_absent() : det_max(a[0], det_min(a[1], v));
	case OPS_PROMQL_FN_CLAMP_MIN:
		return det_max(a[0], v);
	case OPS_PROMQL_FN_CLAMP_MAX:
		return det_min(a[0], v);
	default: { /* round: the inverse is more exact than dividing twice */
		double inverse = 1.0 / a[0];
		return floor(v * inverse + 0.5) / inverse;
	}
	}
}

static int apply_args(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *ret)
{
	double *args[2] = {det_scalar_new(ev, 1), NULL};
	int rc = eval_floats(ev, e->call.args[0], ret);
	for (size_t a = 1; rc == 0 && a < e->call.nargs && a <= 2; a++) {
		rc = det_eval_scalar(ev, e->call.args[a], &args[a - 1]);
	}
	for (size_t c = 0; rc == 0 && c < ret->n; c++) {
		ret->cols[c].drop_name = true;
		double *v = ret->cols[c].v;
		for (size_t i = 0; i < ev->nsteps; i++) {
			double a[2] = {args[0][i], args[1] != NULL ? args[1][i] : 0};
			if (!det_is_absent(v[i])) {
				v[i] = with_args(e->call.function->id, v[i], a);
			}
		}
	}
	if (rc == 0) {
		det_vec_trim(ev, ret);
	}
	return rc;
}

static int call_scalar(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct det_vec in;
	int rc = eval_floats(ev, e->call.args[0], &in);
	if (rc != 0) {
		return rc;
	}
	ret->scalar = det_scalar_new(ev, NAN);
	for (size_t i = 0; i < ev->nsteps; i++) {
		size_t found = 0;
		for (size_t c = 0; c < in.n && found < 2; c++) {
			if (!det_is_absent(in.cols[c].v[i])) {
				ret->scalar[i] = in.cols[c].v[i];
				found++;
			}
		}
		ret->scalar[i] = found == 1 ? ret->scalar[i] : NAN;
	}
	det_vec_done(ev, &in);
	return 0;
}

static int call_vector(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	double *scalar;
	int rc = det_eval_scalar(ev, e->call.args[0], &scalar);
	if (rc == 0) {
		rc = one_column(ev, &ret->vec);
	}
	for (size_t i = 0; rc == 0 && i < ev->nsteps; i++) {
		ret->vec.cols[0].v[i] = scalar[i];
	}
	return rc;
}

static int call_timestamp(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	bool selector = arg_of(e, 0)->kind == OPS_PROMQL_VECTOR_SELECTOR;
	int rc = selector ? det_eval_selector(ev, arg_of(e, 0), DET_READ_TIMES, &ret->vec)
			  : det_eval_vector(ev, e->call.args[0], &ret->vec);
	for (size_t c = 0; rc == 0 && c < ret->vec.n; c++) {
		struct det_col *col = &ret->vec.cols[c];
		col->drop_name = true;
		for (size_t i = 0; !selector && i < ev->nsteps; i++) {
			if (!det_is_absent(col->v[i])) {
				col->v[i] = (double)det_step_time(ev, i) / 1000;
			}
		}
	}
	return rc;
}

/* Functions of no vector: the same at every step, but for time(). */
static int call_constant(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	const struct det_query *q = ev->sh->query;
	double value = 0;
	switch ((int)e->call.function->id) {
	case OPS_PROMQL_FN_PI:
		value = M_PI;
		break;
	case OPS_PROMQL_FN_START:
		value = (double)q->start_ms / 1000;
		break;
	case OPS_PROMQL_FN_END:
		value = (double)ev->sh->end_ms / 1000;
		break;
	case OPS_PROMQL_FN_RANGE:
		value = (double)(ev->sh->end_ms - q->start_ms) / 1000;
		break;
	case OPS_PROMQL_FN_STEP:
		value = q->range ? (double)q->step_ms / 1000 : 0;
		break;
	default: /* time */
		break;
	}
	ret->scalar = det_scalar_new(ev, value);
	for (size_t i = 0; e->call.function->id == OPS_PROMQL_FN_TIME && i < ev->nsteps; i++) {
		ret->scalar[i] = (double)det_step_time(ev, i) / 1000;
	}
	return 0;
}

static int call_min_max_of(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	double *a, *b;
	int rc = det_eval_scalar(ev, e->call.args[0], &a);
	if (rc == 0) {
		rc = det_eval_scalar(ev, e->call.args[1], &b);
	}
	if (rc != 0) {
		return rc;
	}
	bool max = e->call.function->id == OPS_PROMQL_FN_MAX_OF;
	for (size_t i = 0; i < ev->nsteps; i++) {
		a[i] = max ? det_max(a[i], b[i]) : det_min(a[i], b[i]);
	}
	ret->scalar = a;
	return 0;
}

/* What an expression makes has no start timestamps, and nothing has while they are not used. */
static int call_start_timestamp(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	const struct ops_promql_expr *arg = arg_of(e, 0);
	if (arg->kind == OPS_PROMQL_VECTOR_SELECTOR && ev->sh->options.use_start_timestamps) {
		int rc = det_eval_selector(ev, arg, DET_READ_STARTS, &ret->vec);
		for (size_t c = 0; rc == 0 && c < ret->vec.n; c++) {
			ret->vec.cols[c].drop_name = true;
		}
		return rc;
	}
	struct det_vec in;
	int rc = det_eval_vector(ev, e->call.args[0], &in);
	if (rc == 0) {
		det_vec_done(ev, &in);
		rc = det_vec_init(ev, &ret->vec, 0);
	}
	return rc;
}

static int call_with_args(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	return apply_args(ev, e, &ret->vec);
}

static det_call_fn *const calls[OPS_PROMQL_FN_COUNT] = {
	[OPS_PROMQL_FN_ABSENT] = det_call_absent,
	[OPS_PROMQL_FN_CLAMP] = call_with_args,
	[OPS_PROMQL_FN_CLAMP_MAX] = call_with_args,
	[OPS_PROMQL_FN_CLAMP_MIN] = call_with_args,
	[OPS_PROMQL_FN_ROUND] = call_with_args,
	[OPS_PROMQL_FN_HISTOGRAM_AVG] = det_call_histogram_number,
	[OPS_PROMQL_FN_HISTOGRAM_COUNT] = det_call_histogram_number,
	[OPS_PROMQL_FN_HISTOGRAM_STDDEV] = det_call_histogram_number,
	[OPS_PROMQL_FN_HISTOGRAM_STDVAR] = det_call_histogram_number,
	[OPS_PROMQL_FN_HISTOGRAM_SUM] = det_call_histogram_number,
	[OPS_PROMQL_FN_START_TIMESTAMP] = call_start_timestamp,
	[OPS_PROMQL_FN_HISTOGRAM_FRACTION] = det_call_histogram_fraction,
	[OPS_PROMQL_FN_HISTOGRAM_QUANTILE] = det_call_histogram_quantile,
	[OPS_PROMQL_FN_HISTOGRAM_QUANTILES] = det_call_histogram_quantiles,
	[OPS_PROMQL_FN_INFO] = det_call_info,
	[OPS_PROMQL_FN_LABEL_JOIN] = det_call_label_join,
	[OPS_PROMQL_FN_LABEL_REPLACE] = det_call_label_replace,
	[OPS_PROMQL_FN_SORT] = det_call_sort,
	[OPS_PROMQL_FN_SORT_DESC] = det_call_sort,
	[OPS_PROMQL_FN_SORT_BY_LABEL] = det_call_sort_by_label,
	[OPS_PROMQL_FN_SORT_BY_LABEL_DESC] = det_call_sort_by_label,
	[OPS_PROMQL_FN_SCALAR] = call_scalar,
	[OPS_PROMQL_FN_VECTOR] = call_vector,
	[OPS_PROMQL_FN_TIMESTAMP] = call_timestamp,
	[OPS_PROMQL_FN_TIME] = call_constant,
	[OPS_PROMQL_FN_PI] = call_constant,
	[OPS_PROMQL_FN_START] = call_constant,
	[OPS_PROMQL_FN_END] = call_constant,
	[OPS_PROMQL_FN_RANGE] = call_constant,
	[OPS_PROMQL_FN_STEP] = call_constant,
	[OPS_PROMQL_FN_MIN_OF] = call_min_max_of,
	[OPS_PROMQL_FN_MAX_OF] = call_min_max_of,
};

/* What the function wants of histograms: their count and sum, or all. NULL: it does not say. */
static unsigned *wish_of(struct det_shared *sh, enum ops_promql_function_id id)
{
	switch ((int)id) {
	case OPS_PROMQL_FN_HISTOGRAM_COUNT:
	case OPS_PROMQL_FN_HISTOGRAM_SUM:
	case OPS_PROMQL_FN_HISTOGRAM_AVG:
		return &sh->stats_depth;
	case OPS_PROMQL_FN_HISTOGRAM_QUANTILE:
	case OPS_PROMQL_FN_HISTOGRAM_QUANTILES:
	case OPS_PROMQL_FN_HISTOGRAM_FRACTION:
		return &sh->whole_depth;
	default:
		return NULL;
	}
}

static int eval_call(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	enum ops_promql_function_id id = e->call.function->id;
	if (calls[id] != NULL) {
		return calls[id](ev, e, ret);
	}
	if (det_range_function(id) != NULL) {
		return det_eval_range_call(ev, e, &ret->vec);
	}
	if (det_math_function(id) != NULL) {
		return apply_math(ev, e, det_math_function(id), &ret->vec);
	}
	if (det_date_function(id) != NULL) {
		return apply_date(ev, e, det_date_function(id), &ret->vec);
	}
	return det_eval_fail(ev, -EINVAL, "function %s is not supported", e->call.function->name);
}

int det_eval_call(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	unsigned *wish = wish_of(ev->sh, e->call.function->id);
	if (wish == NULL) {
		return eval_call(ev, e, ret);
	}
	(*wish)++;
	int rc = eval_call(ev, e, ret);
	(*wish)--;
	return rc;
}
