/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of a range vector where the window has native histograms. Some take them (rates, sums,
 * first and last, counts of anything), the others pass over them and say so when there are floats
 * as well. Windows of floats never come here.
 */
#include "services/detector/engine/starts.h"

#include <math.h>

struct native {
	struct det_eval *ev;
	struct det_native_call *call;
	const struct det_window *w;
	size_t floats, histograms;
	struct det_col *out;
	size_t step;
};

static void remark(const struct native *x, enum det_native_remark what)
{
	/* Infos of what is ignored stand at the first argument, whatever it is. */
	const struct ops_promql_expr *at =
		what == DET_IGNORED_IN_RANGE ? x->call->e->call.args[0] : x->call->arg;
	det_remark(x->ev, at, what, det_lset_get(x->call->labels, OPS_LABEL_NAME));
}

/* The window without its histograms. */
static struct det_window floats_of(const struct native *x)
{
	struct det_native_call *call = x->call;
	if (call->cap < x->w->n) {
		call->cap = x->w->n * 2;
		call->v = det_scratch(x->ev, call->cap, sizeof(double));
		call->t = det_scratch(x->ev, call->cap, sizeof(int64_t));
	}
	size_t n = 0;
	for (size_t i = 0; i < x->w->n; i++) {
		if (x->w->h[i] == NULL) {
			call->v[n] = x->w->v[i];
			call->t[n++] = x->w->t[i];
		}
	}
	struct det_window out = *x->w;
	out.v = call->v;
	out.t = call->t;
	out.n = n;
	out.h = NULL;
	return out;
}

static int float_function(const struct native *x)
{
	struct det_window floats = floats_of(x);
	if (floats.n == 0) {
		return 0;
	}
	remark(x, DET_IGNORED_IN_RANGE);
	x->out->v[x->step] = x->call->function->fn(&floats);
	return 0;
}

static int rate(const struct native *x)
{
	struct ops_histogram *h;
	if (x->floats != 0) {
		remark(x, DET_MIXED_FLOATS);
		return 0;
	}
	int rc = det_native_rate(x->ev, x->call, x->w, &h);
	return rc == 0 && h != NULL ? det_col_set(x->ev, x->out, x->step, h) : rc;
}

static int last_two(const struct native *x)
{
	const struct det_window *w = x->w;
	if (w->n < 2) {
		return 0;
	}
	if (w->h[w->n - 1] == NULL && w->h[w->n - 2] == NULL) {
		x->out->v[x->step] = x->call->function->fn(w);
		return 0;
	}
	struct det_operand r = {0};
	int rc = det_native_last_two(x->ev, x->call, w, &r);
	return rc == 0 && r.h != NULL ? det_col_set(x->ev, x->out, x->step, r.h) : rc;
}

static int sum(const struct native *x, bool mean)
{
	struct det_histogram_sum s = {0};
	unsigned notes = 0;
	if (x->floats != 0) {
		remark(x, DET_MIXED_FLOATS);
		return 0;
	}
	for (size_t i = 0; i < x->w->n && !s.mixed; i++) {
		int rc = det_histogram_sum_add(x->ev, &s, x->w->h[i], mean, &notes);
		if (rc != 0) {
			return rc;
		}
	}
	const struct ops_histogram *h = det_histogram_sum_end(&s, mean);
	if (h == NULL) {
		remark(x, DET_MIXED_SCHEMAS);
		return 0;
	}
	notes &= OPS_HISTOGRAM_BOUNDS_DIFFER;
	notes |= s.resets && s.no_resets ? OPS_HISTOGRAM_RESETS_COLLIDE : 0;
	det_remark_notes(x->ev, x->call->arg, notes, "aggregation");
	return det_col_set(x->ev, x->out, x->step, h);
}

static int pick(const struct native *x, size_t i)
{
	if (x->w->h[i] == NULL) {
		x->out->v[x->step] = x->w->v[i];
		return 0;
	}
	struct ops_histogram *h;
	int rc = det_histogram_copy(x->ev, x->w->h[i], &h);
	return rc == 0 ? det_col_set(x->ev, x->out, x->step, h) : rc;
}

static bool differs(const struct det_window *w, size_t i, bool reset)
{
	const struct ops_histogram *now = w->h[i], *before = w->h[i - 1];
	if (now == NULL && before == NULL) {
		bool both_nan = isnan(w->v[i]) && isnan(w->v[i - 1]);
		return reset ? w->v[i] < w->v[i - 1] : w->v[i] != w->v[i - 1] && !both_nan;
	}
	if (now == NULL || before == NULL) {
		return true;
	}
	return reset ? ops_histogram_reset_since(now, before) : !ops_histogram_equal(now, before);
}

static int count_steps(const struct native *x, bool resets)
{
	size_t first;
	if (!det_window_first(x->w, &first)) {
		return 0;
	}
	size_t n = 0;
	for (size_t i = first + 1; i < x->w->n; i++) {
		n += differs(x->w, i, resets) || (resets && det_window_anew(x->w, i));
	}
	x->out->v[x->step] = (double)n;
	return 0;
}

static int dispatch(const struct native *x)
{
	switch ((int)x->call->e->call.function->id) {
	case OPS_PROMQL_FN_RATE:
	case OPS_PROMQL_FN_INCREASE:
	case OPS_PROMQL_FN_DELTA:
		return rate(x);
	case OPS_PROMQL_FN_IRATE:
	case OPS_PROMQL_FN_IDELTA:
		return last_two(x);
	case OPS_PROMQL_FN_SUM_OVER_TIME:
		return sum(x, false);
	case OPS_PROMQL_FN_AVG_OVER_TIME:
		return sum(x, true);
	case OPS_PROMQL_FN_FIRST_OVER_TIME:
		return pick(x, 0);
	case OPS_PROMQL_FN_LAST_OVER_TIME:
		return pick(x, x->w->n - 1);
	case OPS_PROMQL_FN_RESETS:
		return count_steps(x, true);
	case OPS_PROMQL_FN_CHANGES:
		return count_steps(x, false);
	case OPS_PROMQL_FN_COUNT_OVER_TIME:
	case OPS_PROMQL_FN_PRESENT_OVER_TIME:
	case OPS_PROMQL_FN_ABSENT_OVER_TIME:
	case OPS_PROMQL_FN_TS_OF_FIRST_OVER_TIME:
	case OPS_PROMQL_FN_TS_OF_LAST_OVER_TIME:
		x->out->v[x->step] = x->call->function->fn(x->w);
		return 0;
	default:
		return float_function(x);
	}
}

int det_native_range(struct det_eval *ev, struct det_native_call *call, const struct det_window *w,
	struct det_col *out, size_t step)
{
	struct native x = {.ev = ev, .call = call, .w = w, .out = out, .step = step};
	for (size_t i = 0; i < w->n; i++) {
		x.histograms += w->h[i] != NULL;
	}
	x.floats = w->n - x.histograms;
	if (x.histograms == 0) {
		out->v[step] = call->function->fn(w);
		return 0;
	}
	return dispatch(&x);
}
