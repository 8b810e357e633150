/* SPDX-License-Identifier: Apache-2.0 */
/* What can be said of an expression without evaluating it: what it reads. */
#include "services/detector/engine/engine.h"

struct walk {
	const struct det_engine_options *options;
	void (*fn)(void *arg, const struct ops_promql_expr *selector, int64_t reach_ms);
	void *arg;
};

/* An offset that is computed, or @, may reach anywhere. */
static int64_t shift_reach(const struct ops_promql_shift *s)
{
	if (s->at != OPS_PROMQL_AT_NONE || s->offset_expr != NULL) {
		return INT64_MAX / 4;
	}
	return s->offset_ms > 0 ? s->offset_ms : 0;
}

static int64_t add_reach(int64_t a, int64_t b)
{
	return a > INT64_MAX / 4 - b ? INT64_MAX / 4 : a + b;
}

/* A plain window ends at its edge; only an anchored or smoothed one looks back beyond it. */
static void tell_matrix(const struct walk *w, const struct ops_promql_expr *e, int64_t reach)
{
	const struct ops_promql_expr *selector = e->matrix.vector;
	bool beyond = selector->vector.anchored || selector->vector.smoothed;
	reach = add_reach(reach, e->matrix.range_expr != NULL ? INT64_MAX / 4 : e->matrix.range_ms);
	reach = add_reach(reach, shift_reach(&selector->vector.shift));
	w->fn(w->arg, selector, add_reach(reach, beyond ? w->options->lookback_ms : 0));
}

static void walk(const struct walk *w, const struct ops_promql_expr *e, int64_t reach)
{
	if (e->kind == OPS_PROMQL_VECTOR_SELECTOR) {
		int64_t own = shift_reach(&e->vector.shift);
		w->fn(w->arg, e, add_reach(add_reach(reach, own), w->options->lookback_ms));
		return;
	}
	if (e->kind == OPS_PROMQL_MATRIX_SELECTOR) {
		tell_matrix(w, e, reach);
		return;
	}
	if (e->kind == OPS_PROMQL_SUBQUERY) {
		bool computed = e->subquery.range_expr != NULL;
		reach = add_reach(reach, computed ? INT64_MAX / 4 : e->subquery.range_ms);
		reach = add_reach(reach, shift_reach(&e->subquery.shift));
	}
	const struct ops_promql_expr *c;
	for (size_t i = 0; (c = ops_promql_child(e, i)) != NULL; i++) {
		walk(w, c, reach);
	}
}

void det_engine_selectors(const struct ops_promql_expr *expr,
	const struct det_engine_options *options,
	void (*fn)(void *arg, const struct ops_promql_expr *selector, int64_t reach_ms), void *arg)
{
	struct det_engine_options o = options != NULL ? *options : (struct det_engine_options){0};
	if (o.lookback_ms == 0) {
		o.lookback_ms = 5 * 60 * (int64_t)1000;
	}
	const struct walk w = {&o, fn, arg};
	walk(&w, expr, 0);
}

int det_engine_matchers(
	const struct ops_promql_expr *selector, struct ops_matchers *ret, struct ops_error *err)
{
	ops_assert(selector->kind == OPS_PROMQL_VECTOR_SELECTOR);
	ops_matchers_init(ret);
	for (size_t i = 0; i < selector->vector.nmatchers; i++) {
		const struct ops_promql_matcher *m = &selector->vector.matchers[i];
		int rc = ops_matchers_add(ret, m->op, m->name.text, m->value.text, err);
		if (rc != 0) {
			ops_matchers_done(ret);
			return rc;
		}
	}
	return 0;
}
