/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rates of native histograms: as rate.c, with buckets. A counter that started again adds what was
 * reached before. When it did so between the first and the second sample, the first one's shape
 * does not matter. Which resets collide is of no interest here: resets are what is looked for.
 */
#include "services/detector/engine/starts.h"

#include <math.h>

struct rate {
	struct det_eval *ev;
	const struct det_native_call *call;
	const struct det_window *w;
	const char *name; /* of the metric */
	bool counter;
	struct ops_histogram empty; /* stands in for the first sample */
};

static void remark(const struct rate *r, enum det_native_remark what)
{
	det_remark(r->ev, r->call->arg, what, r->name);
}

/* into op= other; false: exponential and custom buckets, which is said. */
static bool apply(const struct rate *r, struct ops_histogram *into,
	const struct ops_histogram *other, enum ops_histogram_op op)
{
	unsigned notes = 0;
	if (ops_histogram_apply(r->ev->sh->arena, into, other, op, &notes) != 0) {
		remark(r, DET_MIXED_SCHEMAS);
		return false;
	}
	det_remark_notes(r->ev, r->call->arg, notes & OPS_HISTOGRAM_BOUNDS_DIFFER,
		op == OPS_HISTOGRAM_SUB ? "subtraction" : "addition");
	return true;
}

static bool is_gauge(const struct ops_histogram *h)
{
	return h->hint == OPS_RESET_GAUGE;
}

/* The first sample, or an empty one of the second's shape when the counter started again. */
static const struct ops_histogram *first_of(struct rate *r)
{
	const struct ops_histogram *first = r->w->h[0], *second = r->w->h[1];
	if (!r->counter ||
		!(det_window_anew(r->w, 1) || ops_histogram_reset_since(second, first))) {
		return first;
	}
	r->empty = (struct ops_histogram){
		.schema = second->schema, .custom = second->custom, .ncustom = second->ncustom};
	return &r->empty;
}

/* Coarsest schema of the samples that matter; false: they do not go together. */
static bool common_schema(
	const struct rate *r, const struct ops_histogram *first, int32_t *ret_schema)
{
	const struct ops_histogram *last = r->w->h[r->w->n - 1];
	bool custom = ops_histogram_is_custom(first);
	bool gauge = is_gauge(r->w->h[0]) || is_gauge(last);
	if (ops_histogram_is_custom(last) != custom) {
		if (r->counter && gauge) {
			remark(r, DET_NOT_COUNTER);
		}
		remark(r, DET_MIXED_SCHEMAS);
		return false;
	}
	*ret_schema = OPS_MIN(last->schema, first->schema);
	for (size_t i = 1; r->counter && i + 1 < r->w->n; i++) {
		const struct ops_histogram *h = r->w->h[i];
		gauge = gauge || is_gauge(h);
		*ret_schema = OPS_MIN(*ret_schema, h->schema);
		if (ops_histogram_is_custom(h) != custom) {
			remark(r, DET_MIXED_SCHEMAS);
			return false;
		}
	}
	if (r->counter && gauge) {
		remark(r, DET_NOT_COUNTER);
	}
	return true;
}

static int change_of(struct rate *r, struct ops_histogram **ret)
{
	const struct det_window *w = r->w;
	const struct ops_histogram *before = first_of(r);
	int32_t schema;
	struct ops_histogram *out;
	if (!common_schema(r, before, &schema)) {
		return 0;
	}
	int rc = det_histogram_copy(r->ev, w->h[w->n - 1], &out);
	if (rc != 0) {
		return rc;
	}
	if (!ops_histogram_is_custom(out)) {
		ops_histogram_reduce(out, schema);
	}
	bool good = apply(r, out, before, OPS_HISTOGRAM_SUB);
	for (size_t i = 1; good && r->counter && i < w->n; i++) {
		if (det_window_anew(w, i) || ops_histogram_reset_since(w->h[i], before)) {
			good = apply(r, out, before, OPS_HISTOGRAM_ADD);
		}
		before = w->h[i];
	}
	if (good && !r->counter && !(is_gauge(w->h[0]) && is_gauge(w->h[w->n - 1]))) {
		remark(r, DET_NOT_GAUGE);
	}
	if (good) {
		out->hint = OPS_RESET_GAUGE;
		ops_histogram_compact(out);
		*ret = out;
	}
	return 0;
}

/* The counter was empty at its start, which is inside the window. */
static int change_since_start(struct rate *r, struct ops_histogram **ret)
{
	const struct det_window *w = r->w;
	if (w->n < 2) {
		return det_histogram_copy(r->ev, w->h[0], ret);
	}
	int rc = change_of(r, ret);
	if (rc == 0 && *ret != NULL && !apply(r, *ret, w->h[0], OPS_HISTOGRAM_ADD)) {
		*ret = NULL;
	}
	return rc;
}

/* What was lost in resets between the edges' samples; NULL: nothing. False: it cannot be said. */
static bool lost_between(const struct rate *r, const size_t edge[2],
	struct ops_histogram *const value[2], struct ops_histogram **ret)
{
	const struct det_window *w = r->w;
	size_t i = edge[0] + 1;
	const struct ops_histogram *before = value[0];
	if (w->smoothed && w->t[edge[0]] < w->start_ms && i < w->n &&
		ops_histogram_reset_since(w->h[i], w->h[edge[0]])) {
		before = w->h[i++]; /* this reset is in the left value already */
	}
	if (i > edge[1]) {
		return true;
	}
	for (;; i++) {
		const struct ops_histogram *now = i < edge[1] ? w->h[i] : value[1];
		if (ops_histogram_reset_since(now, before)) {
			if (*ret == NULL) {
				*ret = ops_histogram_copy(r->ev->sh->arena, before);
			} else if (!apply(r, *ret, before, OPS_HISTOGRAM_ADD)) {
				return false;
			}
		}
		if (i >= edge[1]) {
			return true;
		}
		before = now;
	}
}

/* Value at the window's edge: of the sample there, or between it and its neighbour. */
static int edge_value(
	const struct rate *r, size_t i, size_t other, int64_t t, struct ops_histogram **ret)
{
	const struct det_window *w = r->w;
	size_t left = OPS_MIN(i, other);
	if (left == i && other == i) {
		return det_histogram_copy(r->ev, w->h[i], ret);
	}
	const struct ops_histogram *const pair[2] = {w->h[left], w->h[left + 1]};
	const int64_t times[3] = {w->t[left], w->t[left + 1], t};
	int rc = det_native_interpolate(r->ev, r->call->arg, pair, times, r->counter, ret);
	if (rc == 0 && *ret == NULL) {
		remark(r, DET_MIXED_SCHEMAS);
	}
	return rc;
}

static int edge_values(const struct rate *r, const size_t edge[2], struct ops_histogram *value[2])
{
	const struct det_window *w = r->w;
	bool left = w->smoothed && w->t[edge[0]] < w->start_ms && edge[0] + 1 < w->n;
	bool right = w->smoothed && edge[1] > 0 && w->t[edge[1]] > w->end_ms;
	int rc = edge_value(r, edge[0], edge[0] + left, w->start_ms, &value[0]);
	if (rc == 0 && value[0] != NULL) {
		rc = edge_value(r, edge[1], edge[1] - right, w->end_ms, &value[1]);
	}
	return rc;
}

static bool fit_together(const struct rate *r, const size_t edge[2])
{
	bool gauge = false;
	for (size_t i = edge[0]; i <= edge[1]; i++) {
		if (ops_histogram_is_custom(r->w->h[i]) !=
			ops_histogram_is_custom(r->w->h[edge[0]])) {
			remark(r, DET_MIXED_SCHEMAS);
			return false;
		}
		gauge = gauge || is_gauge(r->w->h[i]);
	}
	if (r->counter && gauge) {
		remark(r, DET_NOT_COUNTER);
	}
	return true;
}

/* Of an anchored or smoothed window. */
static int edge_change(const struct rate *r, struct ops_histogram **ret)
{
	size_t edge[2];
	struct ops_histogram *value[2] = {NULL, NULL}, *lost = NULL, *out;
	if (!det_window_edges(r->w, &edge[0], &edge[1]) || !fit_together(r, edge)) {
		return 0;
	}
	int rc = edge_values(r, edge, value);
	if (rc != 0 || value[0] == NULL || value[1] == NULL) {
		return rc;
	}
	if (!r->counter && !(is_gauge(value[0]) && is_gauge(value[1]))) {
		remark(r, DET_NOT_GAUGE);
	}
	rc = det_histogram_copy(r->ev, value[1], &out);
	if (rc != 0 || !apply(r, out, value[0], OPS_HISTOGRAM_SUB) ||
		(r->counter && !lost_between(r, edge, value, &lost)) ||
		(lost != NULL && !apply(r, out, lost, OPS_HISTOGRAM_ADD))) {
		return rc;
	}
	out->hint = OPS_RESET_GAUGE;
	ops_histogram_compact(out);
	*ret = out;
	return 0;
}

int det_native_rate(struct det_eval *ev, const struct det_native_call *call,
	const struct det_window *w, struct ops_histogram **ret)
{
	enum ops_promql_function_id id = call->e->call.function->id;
	struct rate r = {.ev = ev, .call = call, .w = w, .counter = id != OPS_PROMQL_FN_DELTA};
	r.name = det_lset_get(call->labels, OPS_LABEL_NAME);
	double seconds = (double)w->range_ms / 1000;
	*ret = NULL;
	if (w->anchored || w->smoothed) {
		int rc = edge_change(&r, ret);
		if (*ret != NULL && id == OPS_PROMQL_FN_RATE) {
			ops_histogram_div(*ret, seconds);
		}
		return rc;
	}
	bool born = r.counter && det_window_born(w);
	int rc = born ? change_since_start(&r, ret) : w->n >= 2 ? change_of(&r, ret) : 0;
	if (rc == 0 && *ret != NULL) {
		double factor =
			born ? det_growth_since_start(w)
			     : det_extrapolation(w, w->h[0]->count, (*ret)->count, r.counter);
		ops_histogram_mul(*ret, id == OPS_PROMQL_FN_RATE ? factor / seconds : factor);
	}
	return rc;
}

/* irate and idelta. */
int det_native_last_two(struct det_eval *ev, const struct det_native_call *call,
	const struct det_window *w, struct det_operand *ret)
{
	struct rate r = {.ev = ev,
		.call = call,
		.w = w,
		.name = det_lset_get(call->labels, OPS_LABEL_NAME),
		.counter = call->e->call.function->id == OPS_PROMQL_FN_IRATE};
	const struct ops_histogram *before = w->h[w->n - 2], *last = w->h[w->n - 1];
	struct ops_histogram *out;
	if (before == NULL || last == NULL) {
		remark(&r, DET_MIXED_FLOATS);
		return 0;
	}
	if (r.counter && (is_gauge(before) || is_gauge(last))) {
		remark(&r, DET_NOT_COUNTER);
	}
	if (!r.counter && !(is_gauge(before) && is_gauge(last))) {
		remark(&r, DET_NOT_GAUGE);
	}
	int rc = det_histogram_copy(ev, last, &out);
	bool reset = r.counter &&
		     (det_window_anew(w, w->n - 1) || ops_histogram_reset_since(last, before));
	if (rc != 0 || (!reset && !apply(&r, out, before, OPS_HISTOGRAM_SUB))) {
		return rc;
	}
	out->hint = OPS_RESET_GAUGE;
	ops_histogram_compact(out);
	if (r.counter) {
		ops_histogram_div(out, (double)(w->t[w->n - 1] - w->t[w->n - 2]) / 1000);
	}
	ret->h = out;
	return 0;
}
