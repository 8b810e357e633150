/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of range vectors. The samples of a series (from the store, or of a subquery's inner
 * expression) become one array; for every step a window (t - range, t] of it is handed to the
 * function, with two indices that only move forward. Counter resets are counted once per series, so
 * that a window without one, the usual case, costs the same whatever its length.
 *
 * anchored and smoothed windows reach one lookback further (smoothed: on both sides) for the
 * samples at their edges.
 */
#include "services/detector/engine/plan.h"
#include "services/detector/engine/starts.h"

#include <errno.h>
#include <string.h>

#define MAX_SUBQUERY_STEPS ((uint64_t)2000000) /* four years by the minute */

struct source {
	const struct ops_promql_expr *arg;	/* the matrix selector or subquery */
	const struct ops_promql_expr *selector; /* NULL for a subquery */
	struct det_reference ref;
	int64_t range_ms;
	int64_t before_ms, beyond_ms; /* how much further the windows reach */
	int64_t read_ms[2];
	struct det_series_list list; /* of the store */
	struct det_starts starts;    /* of these, where they matter */
	struct det_vec inner;	     /* of the subquery, on its own grid */
	struct det_eval grid;
	struct det_plan plan; /* the windows of the series that was read last */
	size_t n;
};

static int64_t floor_to(int64_t t, int64_t step)
{
	/* Towards zero, as Go divides: the grid of upstream. */
	return t / step * step;
}

static int open_subquery(struct det_eval *ev, struct source *src)
{
	const struct ops_promql_subquery *sub = &src->arg->subquery;
	int64_t step = sub->step_ms;
	if (sub->step_expr != NULL) {
		int rc = det_eval_duration(ev, sub->step_expr, false, &step);
		if (rc != 0) {
			return rc;
		}
	}
	step = step != 0 ? step : ev->sh->options.default_step_ms;
	int64_t first = det_reference_time(ev, &src->ref, 0) - src->range_ms;
	int64_t last = det_reference_time(ev, &src->ref, ev->nsteps - 1);
	int64_t start = floor_to(first, step);
	start += start <= first ? step : 0;
	if (start > last) {
		return 0; /* no point of the grid is inside */
	}
	src->grid = (struct det_eval){ev->sh, start, step, (size_t)((last - start) / step) + 1};
	if (src->grid.nsteps > OPS_MIN(ev->sh->options.max_samples, MAX_SUBQUERY_STEPS)) {
		return det_eval_fail(ev, -E2BIG, "the subquery has too many steps");
	}
	ev->sh->whole_depth++;
	int rc = det_eval_vector(&src->grid, sub->expr, &src->inner);
	ev->sh->whole_depth--;
	src->n = rc == 0 ? src->inner.n : 0;
	return rc;
}

static int open_selector(struct det_eval *ev, struct source *src)
{
	const struct ops_promql_vector_selector *vs = &src->selector->vector;
	int64_t lookback = ev->sh->options.lookback_ms;
	src->before_ms = vs->anchored || vs->smoothed ? lookback : 0;
	src->beyond_ms = vs->smoothed ? lookback : 0;
	src->read_ms[0] = det_reference_time(ev, &src->ref, 0) - src->range_ms - src->before_ms + 1;
	src->read_ms[1] = det_reference_time(ev, &src->ref, ev->nsteps - 1) + src->beyond_ms;
	int rc = det_eval_select(ev, src->selector, src->read_ms, &src->list);
	src->n = rc == 0 ? src->list.n : 0;
	return rc;
}

static int source_open(struct det_eval *ev, const struct ops_promql_expr *arg, struct source *src)
{
	*src = (struct source){.arg = arg};
	bool matrix = arg->kind == OPS_PROMQL_MATRIX_SELECTOR;
	src->selector = matrix ? ops_promql_unparen(arg->matrix.vector) : NULL;
	src->range_ms = matrix ? arg->matrix.range_ms : arg->subquery.range_ms;
	const struct ops_promql_expr *range_expr =
		matrix ? arg->matrix.range_expr : arg->subquery.range_expr;
	int rc = 0;
	if (range_expr != NULL) {
		rc = det_eval_duration(ev, range_expr, false, &src->range_ms);
	}
	if (rc == 0) {
		rc = det_eval_reference(ev,
			matrix ? &src->selector->vector.shift : &arg->subquery.shift, &src->ref);
	}
	if (rc == 0) {
		rc = matrix ? open_selector(ev, src) : open_subquery(ev, src);
	}
	if (rc == 0) {
		const int64_t reach_ms[2] = {src->range_ms + src->before_ms, src->beyond_ms};
		det_plan_init(ev, &src->plan, &src->ref, reach_ms);
	}
	return rc;
}

static void source_close(struct det_eval *ev, struct source *src)
{
	det_vec_done(ev, &src->inner);
}

static void samples_add(struct det_samples *s, int64_t t, double v)
{
	if (s->n == s->cap) {
		s->cap = s->cap != 0 ? s->cap * 2 : 256;
		s->t = ops_xrealloc(s->t, s->cap, sizeof(int64_t));
		s->v = ops_xrealloc(s->v, s->cap, sizeof(double));
	}
	s->t[s->n] = t;
	s->v[s->n++] = v;
}

/* A subquery may skip samples or repeat them: what their hints say is not true any more. */
static void inner_histograms(
	struct det_eval *ev, const struct source *src, const struct det_col *col)
{
	struct det_samples *s = &ev->sh->samples;
	size_t at = 0;
	det_samples_reserve_histograms(s);
	for (size_t k = 0; k < src->grid.nsteps; k++) {
		if (det_is_absent(col->v[k])) {
			continue;
		}
		const struct ops_histogram *h = det_col_histogram(col, k);
		if (h != NULL && (h->hint == OPS_RESET_YES || h->hint == OPS_RESET_NO)) {
			struct ops_histogram *unknown = ops_arena_dup(ev->sh->arena, h, sizeof(*h));
			unknown->hint = OPS_RESET_UNKNOWN;
			h = unknown;
		}
		s->h[at++] = h;
	}
}

/* Puts the samples of series i into the query's scratch. */
static int source_read(struct det_eval *ev, struct source *src, size_t i, struct det_col *ret)
{
	if (src->selector != NULL) {
		const struct ops_labels *ls = src->list.items[i]->labels;
		*ret = (struct det_col){.labels = det_lset_of(ls->items, ls->n)};
		int rc = det_eval_read(ev, src->list.items[i], src->read_ms);
		return rc == 0 ? det_starts_read(ev, &src->starts, src->list.items[i], src->read_ms)
			       : rc;
	}
	struct det_samples *s = &ev->sh->samples;
	*ret = src->inner.cols[i];
	s->n = 0;
	s->h = NULL;
	ev->sh->starts = NULL; /* what an expression makes has none */
	for (size_t k = 0; k < src->grid.nsteps; k++) {
		if (!det_is_absent(ret->v[k])) {
			samples_add(s, det_step_time(&src->grid, k), ret->v[k]);
		}
	}
	if (ret->h != NULL) {
		inner_histograms(ev, src, ret);
	}
	return det_eval_check(ev);
}

static bool began_anew(const struct det_shared *sh, size_t i)
{
	return sh->starts != NULL && det_starts_anew(&sh->samples.t[i - 1], &sh->starts[i - 1]);
}

/* Resets up to each sample; false where the series has none, as most. */
static bool count_resets(struct det_shared *sh)
{
	const struct det_samples *s = &sh->samples;
	uint32_t resets = 0;
	for (size_t i = 1; i < s->n; i++) {
		resets += s->v[i] < s->v[i - 1];
	}
	bool any = resets != 0 || sh->starts != NULL;
	if (sh->resets_cap < s->n) {
		sh->resets_cap = s->cap;
		sh->resets = ops_xrealloc(sh->resets, sh->resets_cap, sizeof(uint32_t));
	}
	resets = 0;
	for (size_t i = 0; i < s->n; i++) {
		resets += any && i > 0 && (s->v[i] < s->v[i - 1] || began_anew(sh, i));
		sh->resets[i] = resets;
	}
	return any;
}

struct range_call {
	const struct det_range_function *function;
	struct source src;
	double *args[2]; /* per step */
	size_t nargs;
	bool column; /* rates has the function for whole series */
	struct det_rate_plan rates;
};

static bool has_histogram(const struct det_samples *s, size_t lo, size_t hi)
{
	while (s->h != NULL && lo < hi && s->h[lo] == NULL) {
		lo++;
	}
	return s->h != NULL && lo < hi;
}

/* irate() and resets() do not mind. */
static void warn_of_starts(
	struct det_eval *ev, const struct det_native_call *native, const struct det_window *w)
{
	enum ops_promql_function_id id = native->e->call.function->id;
	if (w->starts != NULL && (id == OPS_PROMQL_FN_RATE || id == OPS_PROMQL_FN_INCREASE)) {
		det_starts_warn(ev, native->arg, w, det_lset_get(native->labels, OPS_LABEL_NAME));
	}
}

/* Window by window. */
static int call_series(struct det_eval *ev, const struct range_call *call,
	struct det_native_call *native, struct det_col *out)
{
	const struct det_samples *s = &ev->sh->samples;
	const struct source *src = &call->src;
	struct det_window w = {.range_ms = src->range_ms,
		.anchored = src->selector != NULL && src->selector->vector.anchored,
		.smoothed = src->selector != NULL && src->selector->vector.smoothed};
	for (size_t i = 0; i < ev->nsteps; i++) {
		size_t lo = src->plan.lo[i], hi = src->plan.hi[i];
		if (lo == hi) {
			continue;
		}
		w.t = s->t + lo;
		w.v = s->v + lo;
		w.n = hi - lo;
		w.resets = call->function->counts_resets ? ev->sh->resets + lo : NULL;
		w.starts = ev->sh->starts != NULL ? ev->sh->starts + lo : NULL;
		w.end_ms = det_reference_time(ev, &src->ref, i);
		w.start_ms = w.end_ms - src->range_ms;
		w.eval_ms = det_step_time(ev, i);
		for (size_t a = 0; a < call->nargs; a++) {
			w.args[a] = call->args[a][i];
		}
		int rc = 0;
		if (has_histogram(s, lo, hi)) {
			w.h = s->h + lo;
			rc = det_native_range(ev, native, &w, out, i);
		} else {
			out->v[i] = call->function->fn(&w);
		}
		warn_of_starts(ev, native, &w);
		rc = rc == 0 ? det_eval_spend(ev, w.n) : rc;
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

/* rate() of something that does not look like a counter. */
static void hint_counter(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct ops_promql_expr *arg, const struct det_lset *labels)
{
	enum ops_promql_function_id id = e->call.function->id;
	if (id != OPS_PROMQL_FN_RATE && id != OPS_PROMQL_FN_INCREASE) {
		return;
	}
	static const char *const endings[] = {"_total", "_sum", "_count", "_bucket"};
	const char *name = det_lset_get(labels, OPS_LABEL_NAME);
	size_t len = strlen(name);
	for (size_t i = 0; i < OPS_LENGTH(endings); i++) {
		size_t n = strlen(endings[i]);
		if (len == 0 || (len >= n && strcmp(name + len - n, endings[i]) == 0)) {
			return;
		}
	}
	det_info(ev, arg,
		"metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
		"\"%s\"",
		name);
}

/* One series of the scratch, to a column that is not set. */
static int call_column(struct det_eval *ev, struct range_call *call, struct det_native_call *native,
	struct det_col *out)
{
	const struct det_samples *s = &ev->sh->samples;
	bool counts = call->function->counts_resets, resets = counts && count_resets(ev->sh);
	bool other = det_plan_fit(ev, &call->src.plan);
	if (call->column && other) {
		det_rate_plan_fit(ev, &call->rates);
	}
	if (!call->column || s->h != NULL || ev->sh->starts != NULL) {
		det_col_clear(ev, out);
		return call_series(ev, call, native, out);
	}
	det_rate_column(ev, &call->rates, resets ? ev->sh->resets : NULL, out->v);
	return det_eval_spend(ev, ev->nsteps);
}

/* Windows with edges of their own are not for det_rate_column(). */
static bool plain_windows(const struct source *src)
{
	return src->before_ms == 0 && src->beyond_ms == 0;
}

static int call_all(struct det_eval *ev, const struct ops_promql_expr *e, struct range_call *call,
	struct det_vec *ret)
{
	struct det_native_call native = {.e = e, .arg = call->src.arg, .function = call->function};
	int rc = det_vec_init(ev, ret, call->src.n);
	call->column = plain_windows(&call->src) &&
		       det_rate_plan_init(ev, &call->rates, e->call.function->id, &call->src.plan);
	for (size_t i = 0; rc == 0 && i < call->src.n; i++) {
		struct det_col in;
		rc = source_read(ev, &call->src, i, &in);
		if (rc != 0 || ev->sh->samples.n == 0) {
			continue;
		}
		struct det_col *col = det_vec_add_unset(ev, ret, &in.labels);
		col->drop_name = in.drop_name || !call->function->keeps_name;
		native.labels = &in.labels;
		rc = call_column(ev, call, &native, col);
		if (det_col_empty(ev, col)) {
			det_vec_drop_last(ev, ret);
		} else if (det_col_any_float(ev, col)) {
			hint_counter(ev, e, call->src.arg, &in.labels);
		}
	}
	return rc;
}

static int check_edges(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct ops_promql_expr *arg, const struct det_range_function *f)
{
	if (arg->kind != OPS_PROMQL_MATRIX_SELECTOR) {
		return 0;
	}
	const struct ops_promql_expr *vs = ops_promql_unparen(arg->matrix.vector);
	if (vs->vector.anchored && !f->anchored) {
		return det_eval_fail(ev, -EINVAL,
			"anchored modifier can only be used with: changes, delta, increase, rate, "
			"resets - not with %s",
			e->call.function->name);
	}
	if (vs->vector.smoothed && !f->smoothed) {
		return det_eval_fail(ev, -EINVAL,
			"smoothed modifier can only be used with: delta, increase, rate - not with "
			"%s",
			e->call.function->name);
	}
	return 0;
}

static int check_factor(struct det_eval *ev, const char *which, const double *values)
{
	for (size_t i = 0; i < ev->nsteps; i++) {
		if (!(values[i] > 0 && values[i] < 1)) {
			return det_eval_fail(ev, -EINVAL,
				"invalid %s factor. Expected: 0 < %cf < 1, got: %f", which,
				which[0], values[i]);
		}
	}
	return 0;
}

static int check_args(
	struct det_eval *ev, const struct ops_promql_expr *e, const struct range_call *call)
{
	enum ops_promql_function_id id = e->call.function->id;
	if (id == OPS_PROMQL_FN_QUANTILE_OVER_TIME && call->src.n != 0) {
		for (size_t i = 0; i < ev->nsteps; i++) {
			det_warn_quantile(ev, e->call.args[0], call->args[0][i]);
		}
	}
	if (id != OPS_PROMQL_FN_DOUBLE_EXPONENTIAL_SMOOTHING) {
		return 0;
	}
	int rc = call->src.n != 0 ? check_factor(ev, "smoothing", call->args[0]) : 0;
	return rc == 0 && call->src.n != 0 ? check_factor(ev, "trend", call->args[1]) : rc;
}

/* 1 where no series has a sample in the window. */
static int invert_presence(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *vec)
{
	struct det_vec out;
	int rc = det_vec_init(ev, &out, 1);
	if (rc != 0) {
		return rc;
	}
	struct det_lset labels = det_absent_labels(ev, e->call.args[0]);
	struct det_col *col = det_vec_add(ev, &out, &labels);
	for (size_t i = 0; i < ev->nsteps; i++) {
		bool present = false;
		for (size_t c = 0; c < vec->n && !present; c++) {
			present = !det_is_absent(vec->cols[c].v[i]);
		}
		col->v[i] = present ? det_absent() : 1;
	}
	det_vec_done(ev, vec);
	*vec = out;
	det_vec_trim(ev, vec);
	return 0;
}

int det_eval_range_call(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *ret)
{
	struct range_call call = {.function = det_range_function(e->call.function->id)};
	const struct ops_promql_expr *arg = NULL;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < e->call.nargs; i++) {
		const struct ops_promql_expr *a = ops_promql_unparen(e->call.args[i]);
		if (a->type == OPS_PROMQL_RANGE) {
			arg = a;
		} else if (call.nargs < OPS_LENGTH(call.args)) {
			rc = det_eval_scalar(ev, a, &call.args[call.nargs++]);
		}
	}
	ops_assert(rc != 0 || arg != NULL);
	if (rc == 0) {
		rc = check_edges(ev, e, arg, call.function);
	}
	if (rc == 0) {
		rc = source_open(ev, arg, &call.src);
	}
	if (rc == 0 && call.function->uses_starts && call.src.selector != NULL &&
		plain_windows(&call.src)) {
		rc = det_starts_open(ev, call.src.selector, call.src.read_ms, &call.src.starts);
	}
	if (rc == 0) {
		rc = check_args(ev, e, &call);
	}
	if (rc == 0) {
		rc = call_all(ev, e, &call, ret);
	}
	source_close(ev, &call.src);
	if (rc == 0 && e->call.function->id == OPS_PROMQL_FN_ABSENT_OVER_TIME) {
		rc = invert_presence(ev, e, ret);
	}
	return rc;
}

static void result_points(struct det_eval *ev, struct source *src, const struct det_col *col,
	struct det_result_series *ret)
{
	const struct det_samples *s = &ev->sh->samples;
	(void)det_plan_fit(ev, &src->plan);
	size_t lo = src->plan.lo[0], hi = src->plan.hi[0];
	struct det_window w = {.t = s->t + lo, .v = s->v + lo, .n = hi - lo};
	w.end_ms = det_reference_time(ev, &src->ref, 0);
	w.start_ms = w.end_ms - src->range_ms;
	const struct ops_promql_vector_selector *vs =
		src->selector != NULL ? &src->selector->vector : NULL;
	w.anchored = vs != NULL && vs->anchored;
	w.smoothed = vs != NULL && vs->smoothed;
	struct det_lset labels = col->labels;
	if (col->drop_name) {
		labels = det_lset_drop_metadata(ev->sh->arena, &labels);
	}
	ret->labels = labels.items;
	ret->nlabels = labels.n;
	ret->points = det_scratch(ev, w.n + 2, sizeof(struct det_point));
	if (w.anchored || w.smoothed) {
		ret->npoints = det_extend_window(&w, ret->points);
		return;
	}
	ret->npoints = w.n;
	for (size_t i = 0; i < w.n; i++) {
		ret->points[i] = (struct det_point){w.t[i], w.v[i], NULL};
		if (s->h != NULL && s->h[lo + i] != NULL) {
			ret->points[i].h = ops_histogram_copy(ev->sh->arena, s->h[lo + i]);
		}
	}
}

int det_eval_matrix(struct det_eval *ev, const struct ops_promql_expr *e, struct det_result *ret)
{
	struct source src;
	uint64_t points = 0;
	int rc = source_open(ev, e, &src);
	ret->series = det_scratch(ev, rc == 0 ? src.n : 0, sizeof(struct det_result_series));
	ret->n = 0;
	for (size_t i = 0; rc == 0 && i < src.n; i++) {
		struct det_col col;
		rc = source_read(ev, &src, i, &col);
		points += ev->sh->samples.n;
		if (rc == 0 && points > ev->sh->options.max_samples) {
			rc = det_eval_fail(ev, -E2BIG,
				"query processing would load too many samples into memory in query "
				"execution");
		}
		bool edges = src.selector != NULL &&
			     (src.selector->vector.anchored || src.selector->vector.smoothed);
		if (rc == 0 && edges && has_histogram(&ev->sh->samples, 0, ev->sh->samples.n)) {
			rc = det_eval_fail(ev, -EINVAL,
				"%s modifier is not supported with histograms",
				src.selector->vector.anchored ? "anchored" : "smoothed");
		}
		if (rc == 0 && ev->sh->samples.n != 0) {
			result_points(ev, &src, &col, &ret->series[ret->n]);
			ret->n += ret->series[ret->n].npoints != 0;
		}
	}
	source_close(ev, &src);
	return rc;
}
