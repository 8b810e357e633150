/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluates a block of a script test and compares. An instant block is evaluated three ways, as the
 * tests' own runner does: as written; with @ the evaluation time on every selector, at other times;
 * and as the middle point of a range query.
 */
#include "tests/conformance/promql_script.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"

#define MINUTE_MS 60000
#define EPSILON 1e-6

struct check {
	struct det_store *store;
	const struct script_eval *eval;
	const struct ops_promql_expr *expr;
	struct ops_arena *arena;
};

static const struct det_engine_options engine_options = {
	.use_start_timestamps = true, .lookback_ms = 5 * MINUTE_MS, .default_step_ms = MINUTE_MS};

static bool same_value(double a, double b)
{
	if (ops_is_stale(a) || ops_is_stale(b)) {
		return ops_is_stale(a) && ops_is_stale(b);
	}
	if (isnan(a) || isnan(b) || a == b) {
		return (isnan(a) && isnan(b)) || a == b;
	}
	double sum = fabs(a) + fabs(b), diff = fabs(a - b);
	if (a == 0 || b == 0 || sum < DBL_MIN) {
		return diff < EPSILON * DBL_MIN;
	}
	return diff / OPS_MIN(sum, DBL_MAX) < EPSILON;
}

static bool same_labels(const struct ops_promql_series *want, const struct det_result_series *have)
{
	if (want->nlabels != have->nlabels) {
		return false;
	}
	for (size_t i = 0; i < want->nlabels; i++) {
		const struct ops_promql_matcher *w = &want->labels[i];
		const struct ops_label *l = &have->labels[i];
		if (strcmp(w->name.text, l->name) != 0 || strcmp(w->value.text, l->value) != 0) {
			return false;
		}
	}
	return true;
}

static bool same_side(const struct ops_histogram_buckets *a, const struct ops_histogram_buckets *b)
{
	uint32_t i = 0;
	while (a->n == b->n && i < a->n && a->items[i].index == b->items[i].index &&
		same_value(a->items[i].count, b->items[i].count)) {
		i++;
	}
	return a->n == b->n && i == a->n;
}

/* Both without empty buckets; the hint counts where it is written. */
static bool same_histogram(struct ops_arena *arena, const struct ops_promql_series_value *wanted,
	const struct ops_histogram *have)
{
	struct ops_histogram *w = ops_promql_series_histogram_of(arena, wanted);
	struct ops_histogram *h = ops_histogram_copy(arena, have);
	if (w == NULL) {
		return false;
	}
	ops_histogram_compact(w);
	ops_histogram_compact(h);
	return w->schema == h->schema && same_value(w->count, h->count) &&
	       same_value(w->sum, h->sum) && ops_histogram_same_bounds(w, h) &&
	       w->zero_threshold == h->zero_threshold && same_value(w->zero_count, h->zero_count) &&
	       same_side(&w->positive, &h->positive) && same_side(&w->negative, &h->negative) &&
	       (!wanted->histogram->has_hint || w->hint == h->hint);
}

static bool same_point(struct ops_arena *arena, const struct ops_promql_series_value *wanted,
	const struct det_point *have)
{
	if (wanted->histogram != NULL) {
		return have->h != NULL && same_histogram(arena, wanted, have->h);
	}
	return have->h == NULL && same_value(wanted->value, have->v);
}

static const char *describe(struct ops_arena *arena, const struct det_result_series *s)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_labels *ls = det_result_labels(s);
	ops_labels_print(ls, &out);
	ops_labels_unref(ls);
	for (size_t i = 0; i < s->npoints && i < 12; i++) {
		const struct det_point *p = &s->points[i];
		if (p->h != NULL) {
			ops_strbuf_addc(&out, ' ');
			ops_histogram_print_notation(p->h, &out);
		} else {
			ops_strbuf_printf(&out, " %.17g", p->v);
		}
		ops_strbuf_printf(&out, "@%lld", (long long)p->t);
	}
	const char *text = ops_arena_strdup(arena, ops_strbuf_text(&out));
	ops_strbuf_done(&out);
	return text;
}

static const char *describe_wanted(struct ops_arena *arena, const struct ops_promql_series *s)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (size_t i = 0; i < s->nlabels; i++) {
		ops_strbuf_printf(&out, "%s%s=\"%s\"", i == 0 ? "{" : ", ", s->labels[i].name.text,
			s->labels[i].value.text);
	}
	ops_strbuf_adds(&out, s->nlabels == 0 ? "{}" : "}");
	for (size_t i = 0; i < s->nvalues && i < 12; i++) {
		if (s->values[i].omitted) {
			ops_strbuf_adds(&out, " _");
		} else if (s->values[i].histogram != NULL) {
			const struct ops_histogram *h =
				ops_promql_series_histogram_of(arena, &s->values[i]);
			ops_strbuf_addc(&out, ' ');
			if (h != NULL) {
				ops_histogram_print_notation(h, &out);
			}
		} else {
			ops_strbuf_printf(&out, " %.17g", s->values[i].value);
		}
	}
	const char *text = ops_arena_strdup(arena, ops_strbuf_text(&out));
	ops_strbuf_done(&out);
	return text;
}

/* Times of a wanted series: start, start + step, ... */
static bool same_points(struct ops_arena *arena, const struct ops_promql_series *want,
	const struct det_result_series *have, const int64_t grid_ms[2])
{
	size_t at = 0;
	for (size_t i = 0; i < want->nvalues; i++) {
		const struct ops_promql_series_value *v = &want->values[i];
		int64_t t = grid_ms[0] + (int64_t)i * grid_ms[1];
		if (v->omitted) {
			continue;
		}
		if (at >= have->npoints || have->points[at].t != t ||
			!same_point(arena, v, &have->points[at])) {
			return false;
		}
		at++;
	}
	return at == have->npoints;
}

static bool wants_nothing(const struct ops_promql_series *s)
{
	for (size_t i = 0; i < s->nvalues; i++) {
		if (!s->values[i].omitted) {
			return false;
		}
	}
	return true;
}

static const char *compare_series(
	const struct check *c, const struct det_result *r, int64_t start_ms, int64_t step_ms)
{
	const struct script_eval *e = c->eval;
	size_t wanted = 0;
	for (size_t w = 0; w < e->nseries; w++) {
		const struct ops_promql_series *want = &e->series[w];
		wanted += !wants_nothing(want);
		size_t at = e->ordered ? w : 0;
		while (!e->ordered && at < r->n && !same_labels(want, &r->series[at])) {
			at++;
		}
		if (at >= r->n || !same_labels(want, &r->series[at])) {
			if (wants_nothing(want)) {
				continue;
			}
			return ops_arena_printf(c->arena, "missing %s%s%s",
				describe_wanted(c->arena, want), r->n != 0 ? ", got e.g. " : "",
				r->n != 0 ? describe(c->arena, &r->series[OPS_MIN(at, r->n - 1)])
					  : "");
		}
		const int64_t grid_ms[2] = {start_ms, step_ms};
		if (!same_points(c->arena, want, &r->series[at], grid_ms)) {
			return ops_arena_printf(c->arena, "wanted %s, got %s",
				describe_wanted(c->arena, want),
				describe(c->arena, &r->series[at]));
		}
	}
	if (r->n > wanted) {
		for (size_t i = 0; i < r->n; i++) {
			size_t w = 0;
			while (w < e->nseries && !same_labels(&e->series[w], &r->series[i])) {
				w++;
			}
			if (w == e->nseries) {
				return ops_arena_printf(c->arena, "unexpected %s",
					describe(c->arena, &r->series[i]));
			}
		}
	}
	return NULL;
}

static bool message_fits(const struct script_expectation *x, const char *message)
{
	if (x->message != NULL) {
		return strcmp(x->message, message) == 0;
	}
	if (x->regex == NULL) {
		return true;
	}
	struct ops_strbuf pattern = OPS_STRBUF_INIT;
	struct ops_regex *re = NULL;
	struct ops_error err;
	ops_strbuf_printf(&pattern, "(?s:.*)(?:%s)(?s:.*)", x->regex);
	bool fits = ops_regex_new(pattern.data, pattern.len, &re, &err) == 0 &&
		    ops_regex_match(re, message, strlen(message));
	ops_regex_free(re);
	ops_strbuf_done(&pattern);
	return fits;
}

static const char *check_annotations(const struct check *c, const char *kind,
	const struct script_expectation *x, const char *const *have, size_t n)
{
	if (x->unwanted && n != 0) {
		return ops_arena_printf(c->arena, "unexpected %s: %s", kind, have[0]);
	}
	if (x->wanted && n == 0) {
		return ops_arena_printf(c->arena, "no %s, wanted one%s%s", kind,
			x->message != NULL ? ": " : "", x->message != NULL ? x->message : "");
	}
	for (size_t i = 0; x->wanted && i < n; i++) {
		if (!message_fits(x, have[i])) {
			return ops_arena_printf(c->arena, "%s is not as wanted: %s", kind, have[i]);
		}
	}
	return NULL;
}

static const char *compare(const struct check *c, const struct det_result *r)
{
	const struct script_eval *e = c->eval;
	if (e->has_string) {
		bool same = r->type == OPS_PROMQL_STRING_VALUE && r->string.len == e->string.len &&
			    memcmp(r->string.text, e->string.text, r->string.len) == 0;
		return same ? NULL : "another string, or none";
	}
	if (e->has_scalar) {
		if (r->type == OPS_PROMQL_SCALAR &&
			same_value(r->series[0].points[0].v, e->scalar)) {
			return NULL;
		}
		return ops_arena_printf(c->arena, "wanted scalar %.17g, got %s", e->scalar,
			r->n != 0 ? describe(c->arena, &r->series[0]) : "nothing");
	}
	const char *why = check_annotations(
		c, "warning", &e->warn, r->annotations.warnings, r->annotations.nwarnings);
	if (why == NULL) {
		why = check_annotations(
			c, "info", &e->info, r->annotations.infos, r->annotations.ninfos);
	}
	if (why != NULL) {
		return why;
	}
	if (e->has_vector_range) {
		return compare_series(c, r, e->vector_start_ms, e->vector_step_ms);
	}
	return compare_series(c, r, e->start_ms, e->range ? e->step_ms : 0);
}

static const char *check_as_written(const struct check *c)
{
	const struct script_eval *e = c->eval;
	struct det_query q = {.expr = c->expr,
		.text = e->expr,
		.range = e->range,
		.start_ms = e->start_ms,
		.end_ms = e->end_ms,
		.step_ms = e->step_ms};
	struct det_result r;
	struct ops_error err = {0};
	int rc = det_engine_eval(c->store, &engine_options, &q, c->arena, &r, &err);
	if (e->fail.wanted) {
		return rc != 0 ? NULL : "did not fail";
	}
	if (rc != 0) {
		return ops_arena_printf(c->arena, "failed: %s", err.message);
	}
	return compare(c, &r);
}

static bool fits_range(const struct ops_promql_expr *e)
{
	if (e->kind == OPS_PROMQL_CALL) {
		enum ops_promql_function_id id = e->call.function->id;
		if (id == OPS_PROMQL_FN_START || id == OPS_PROMQL_FN_END ||
			id == OPS_PROMQL_FN_STEP || id == OPS_PROMQL_FN_RANGE) {
			return false;
		}
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_promql_print(e, &text);
	const char *s = ops_strbuf_text(&text);
	bool fits = strstr(s, "start()") == NULL && strstr(s, "end()") == NULL &&
		    strstr(s, "step()") == NULL && strstr(s, "range()") == NULL;
	ops_strbuf_done(&text);
	return fits;
}

/* Leaves the points at t only. */
static void keep_point(struct det_result *r, int64_t t)
{
	size_t kept = 0;
	for (size_t i = 0; i < r->n; i++) {
		struct det_result_series s = r->series[i];
		for (size_t p = 0; p < s.npoints; p++) {
			if (s.points[p].t == t) {
				s.points[0] = s.points[p];
				s.npoints = 1;
				r->series[kept++] = s;
				break;
			}
		}
	}
	r->n = kept;
}

static const char *check_as_range(const struct check *c)
{
	const struct script_eval *e = c->eval;
	struct det_query q = {.expr = c->expr,
		.text = e->expr,
		.range = true,
		.start_ms = e->start_ms - MINUTE_MS,
		.end_ms = e->start_ms + MINUTE_MS,
		.step_ms = MINUTE_MS};
	struct det_result r;
	struct ops_error err = {0};
	int rc = det_engine_eval(c->store, &engine_options, &q, c->arena, &r, &err);
	if (rc != 0) {
		return ops_arena_printf(c->arena, "as a range query failed: %s", err.message);
	}
	keep_point(&r, e->start_ms);
	if (e->has_scalar) {
		return r.n == 1 && same_value(r.series[0].points[0].v, e->scalar)
			       ? NULL
			       : "as a range query: another scalar";
	}
	struct script_eval unordered = *e;
	unordered.ordered = false;
	struct check again = *c;
	again.eval = &unordered;
	const char *why = compare_series(&again, &r, e->start_ms, 0);
	return why != NULL ? ops_arena_printf(c->arena, "as a range query: %s", why) : NULL;
}

static bool depends_on_time(enum ops_promql_function_id id)
{
	static const enum ops_promql_function_id ids[] = {OPS_PROMQL_FN_DAYS_IN_MONTH,
		OPS_PROMQL_FN_DAY_OF_MONTH, OPS_PROMQL_FN_DAY_OF_WEEK, OPS_PROMQL_FN_DAY_OF_YEAR,
		OPS_PROMQL_FN_HOUR, OPS_PROMQL_FN_MINUTE, OPS_PROMQL_FN_MONTH, OPS_PROMQL_FN_YEAR,
		OPS_PROMQL_FN_PREDICT_LINEAR, OPS_PROMQL_FN_TIME, OPS_PROMQL_FN_TIMESTAMP};
	for (size_t i = 0; i < OPS_LENGTH(ids); i++) {
		if (ids[i] == id) {
			return true;
		}
	}
	return false;
}

/* Sets @ at_ms on everything that has none and is not inside a subquery; false: it must not be. */
static bool fix_time(struct ops_promql_expr *e, int64_t at_ms)
{
	struct ops_promql_shift *shift = e->kind == OPS_PROMQL_VECTOR_SELECTOR ? &e->vector.shift
					 : e->kind == OPS_PROMQL_SUBQUERY      ? &e->subquery.shift
									       : NULL;
	if (shift != NULL && shift->at == OPS_PROMQL_AT_NONE) {
		shift->at = OPS_PROMQL_AT_TIMESTAMP;
		shift->at_ms = at_ms;
	}
	if (e->kind == OPS_PROMQL_CALL && depends_on_time(e->call.function->id)) {
		return false;
	}
	struct ops_promql_expr *c;
	for (size_t i = 0; (c = ops_promql_child(e, i)) != NULL; i++) {
		bool fixed_already = e->kind == OPS_PROMQL_SUBQUERY;
		if (!fixed_already && !fix_time(c, at_ms)) {
			return false;
		}
	}
	return true;
}

/* expr may be changed: it is not used afterwards. */
static const char *check_with_at(const struct check *c, struct ops_promql_expr *expr)
{
	const struct script_eval *e = c->eval;
	int64_t t = e->start_ms;
	const int64_t at_zero[] = {-1000, 0, 1000}, at_t[] = {-10 * t, 0, t / 5, t, 10 * t};
	const int64_t *times = t == 0 ? at_zero : at_t;
	size_t n = t == 0 ? OPS_LENGTH(at_zero) : OPS_LENGTH(at_t);
	if (!fix_time(expr, t)) {
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		struct script_eval moved = *e;
		moved.start_ms = times[i];
		moved.warn = moved.info = (struct script_expectation){0};
		struct check again = {c->store, &moved, expr, c->arena};
		const char *why = check_as_written(&again);
		if (why != NULL) {
			return ops_arena_printf(c->arena, "with @, evaluated at %lld ms: %s",
				(long long)times[i], why);
		}
	}
	return NULL;
}

const char *script_check(struct det_store *store, const struct script_eval *eval,
	const struct ops_promql_options *options, struct ops_arena *arena)
{
	if (eval->unknown != NULL) {
		return eval->unknown;
	}
	struct check c = {.store = store, .eval = eval, .arena = arena};
	struct ops_promql_source src = {eval->expr, strlen(eval->expr), options};
	struct ops_promql_expr *expr;
	struct ops_error err = {0};
	if (ops_promql_parse(arena, &src, &expr, &err) != 0) {
		return eval->fail.wanted ? NULL
					 : ops_arena_printf(arena, "not parsed: %s", err.message);
	}
	c.expr = expr;
	const char *why = check_as_written(&c);
	if (why != NULL || eval->range || eval->fail.wanted || eval->has_string ||
		eval->has_vector_range || expr->type == OPS_PROMQL_RANGE || !fits_range(expr)) {
		return why;
	}
	why = check_as_range(&c);
	return why == NULL ? check_with_at(&c, expr) : why;
}
