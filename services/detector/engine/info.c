/* SPDX-License-Identifier: Apache-2.0 */
/*
 * info(v [, selector]): adds to each series the labels of the info series (target_info by default)
 * that have its instance and job. Which info series is the right one may change from step to step
 * (the newest sample wins), so every (series, step) gets the number of its result's label set
 * first; a series whose info does not change, the usual case, is worked out once.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <string.h>

#define NONE UINT32_MAX

struct info {
	struct det_vec base, info; /* info's values are its samples' times */
	struct ops_matchers data;  /* second argument without the metric name */
	struct ops_matchers names; /* which metrics are info metrics */
	bool *ignored;		   /* base columns that are info metrics themselves */
	struct det_lset_map sigs, results, metrics;
	uint32_t *base_sig, *info_sig, *info_metric;
	uint32_t *result_at;	 /* base column x step -> result, or NONE */
	uint32_t *chosen, *last; /* per info metric: info column, at this step and the one before */
};

static int split_matchers(
	struct det_eval *ev, const struct ops_promql_expr *selector, struct info *x)
{
	struct ops_error err;
	bool positive = false, any = false;
	int rc = 0;
	for (size_t i = 0; rc == 0 && selector != NULL && i < selector->vector.nmatchers; i++) {
		const struct ops_promql_matcher *m = &selector->vector.matchers[i];
		bool name = strcmp(m->name.text, OPS_LABEL_NAME) == 0;
		positive = positive || (name && (m->op == OPS_MATCH_EQ || m->op == OPS_MATCH_RE));
		any = any || name;
		rc = ops_matchers_add(
			name ? &x->names : &x->data, m->op, m->name.text, m->value.text, &err);
	}
	if (rc == 0 && !any) {
		rc = ops_matchers_add(&x->names, OPS_MATCH_EQ, OPS_LABEL_NAME, "target_info", &err);
	} else if (rc == 0 && !positive) {
		rc = ops_matchers_add(&x->names, OPS_MATCH_RE, OPS_LABEL_NAME, ".+_info", &err);
	}
	return rc != 0 ? det_eval_fail(ev, -EINVAL, "%s", err.message) : 0;
}

/* The shift of the first selector below e, with those of the subqueries around it until one is
 * fixed. */
static bool first_shift(const struct ops_promql_expr *e, struct ops_promql_shift *ret)
{
	if (e->kind == OPS_PROMQL_VECTOR_SELECTOR) {
		*ret = e->vector.shift;
		return true;
	}
	const struct ops_promql_expr *c;
	for (size_t i = 0; (c = ops_promql_child(e, i)) != NULL; i++) {
		if (!first_shift(c, ret)) {
			continue;
		}
		if (e->kind == OPS_PROMQL_SUBQUERY && ret->at == OPS_PROMQL_AT_NONE) {
			ret->offset_ms += e->subquery.shift.offset_ms;
			ret->at = e->subquery.shift.at;
			ret->at_ms = e->subquery.shift.at_ms;
		}
		return true;
	}
	return false;
}

/* A selector of the info series, at the time of the first argument's. */
static int read_info(struct det_eval *ev, const struct ops_promql_expr *e, struct info *x)
{
	size_t n = x->names.n + x->data.n;
	struct ops_promql_expr selector = {.kind = OPS_PROMQL_VECTOR_SELECTOR};
	struct ops_promql_matcher *list = det_scratch(ev, n, sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		const struct ops_matcher *m =
			i < x->names.n ? &x->names.items[i] : &x->data.items[i - x->names.n];
		list[i].op = m->op;
		list[i].name = (struct ops_promql_string){m->name, strlen(m->name)};
		list[i].value = (struct ops_promql_string){m->value, strlen(m->value)};
	}
	selector.vector.matchers = list;
	selector.vector.nmatchers = n;
	(void)first_shift(e->call.args[0], &selector.vector.shift);
	return det_eval_selector(ev, &selector, DET_READ_INFO_TIMES, &x->info);
}

static struct det_lset identity(struct det_eval *ev, const struct det_lset *ls, bool *ret_any)
{
	static struct ops_promql_string names[] = {{"instance", 8}, {"job", 3}};
	static const struct ops_promql_strings identifying = {names, 2};
	struct det_lset out = det_lset_keep(ev->sh->arena, ls, &identifying);
	*ret_any = out.n != 0;
	return out;
}

static void number_columns(struct det_eval *ev, struct info *x)
{
	struct ops_arena *arena = ev->sh->arena;
	det_lset_map_init(&x->sigs, arena, x->base.n);
	det_lset_map_init(&x->metrics, arena, 4);
	det_lset_map_init(&x->results, arena, x->base.n);
	x->base_sig = det_scratch(ev, x->base.n, sizeof(uint32_t));
	x->info_sig = det_scratch(ev, x->info.n, sizeof(uint32_t));
	x->info_metric = det_scratch(ev, x->info.n, sizeof(uint32_t));
	x->ignored = det_scratch(ev, x->base.n, sizeof(bool));
	bool any;
	for (size_t c = 0; c < x->base.n; c++) {
		const struct det_lset *ls = &x->base.cols[c].labels;
		const char *name = det_lset_get(ls, OPS_LABEL_NAME);
		x->ignored[c] = true;
		for (size_t i = 0; i < x->names.n; i++) {
			x->ignored[c] =
				x->ignored[c] && ops_matcher_match_value(&x->names.items[i], name);
		}
		struct det_lset id = identity(ev, ls, &any);
		size_t sig = det_lset_map_add(&x->sigs, &id);
		x->base_sig[c] = any ? (uint32_t)sig : NONE;
	}
	for (size_t c = 0; c < x->info.n; c++) {
		const struct det_lset *ls = &x->info.cols[c].labels;
		struct det_lset id = identity(ev, ls, &any);
		struct det_lset none = det_lset_of(NULL, 0);
		struct det_lset metric = det_lset_set(
			arena, &none, OPS_LABEL_NAME, det_lset_get(ls, OPS_LABEL_NAME));
		x->info_sig[c] = (uint32_t)det_lset_map_add(&x->sigs, &id);
		x->info_metric[c] = (uint32_t)det_lset_map_add(&x->metrics, &metric);
	}
	x->chosen = det_scratch(ev, x->metrics.n, sizeof(uint32_t));
	x->last = det_scratch(ev, x->metrics.n, sizeof(uint32_t));
}

/* For each info metric the column with the newest sample at this step. */
static int choose(struct det_eval *ev, struct info *x, uint32_t sig, size_t step)
{
	for (size_t m = 0; m < x->metrics.n; m++) {
		x->chosen[m] = NONE;
	}
	for (uint32_t c = 0; c < x->info.n; c++) {
		double t = x->info.cols[c].v[step];
		if (x->info_sig[c] != sig || det_is_absent(t)) {
			continue;
		}
		uint32_t *slot = &x->chosen[x->info_metric[c]];
		double best = *slot != NONE ? x->info.cols[*slot].v[step] : t - 1;
		if (t == best) {
			return det_eval_fail(ev, -EINVAL,
				"found duplicate series for info metric: existing %s, new %s",
				det_lset_text(ev->sh->arena, &x->info.cols[*slot].labels),
				det_lset_text(ev->sh->arena, &x->info.cols[c].labels));
		}
		*slot = t > best ? c : *slot;
	}
	return 0;
}

static bool wanted(const struct info *x, const char *label)
{
	for (size_t i = 0; i < x->data.n; i++) {
		if (strcmp(x->data.items[i].name, label) == 0) {
			return true;
		}
	}
	return x->data.n == 0;
}

static int add_labels(
	struct det_eval *ev, const struct info *x, const struct det_lset *base, struct det_lset *io)
{
	struct det_lset added = det_lset_of(NULL, 0);
	for (size_t m = 0; m < x->metrics.n; m++) {
		const struct det_lset *from =
			x->chosen[m] != NONE ? &x->info.cols[x->chosen[m]].labels : NULL;
		for (uint32_t i = 0; from != NULL && i < from->n; i++) {
			const struct ops_label *l = &from->items[i];
			const char *before = det_lset_get(&added, l->name);
			if (strcmp(l->name, OPS_LABEL_NAME) == 0 || !wanted(x, l->name)) {
				continue;
			}
			if (*before != '\0' && strcmp(before, l->value) != 0) {
				return det_eval_fail(ev, -EINVAL, "conflicting label: %s", l->name);
			}
			if (*det_lset_get(base, l->name) == '\0') {
				added = det_lset_set(ev->sh->arena, &added, l->name, l->value);
				*io = det_lset_set(ev->sh->arena, io, l->name, l->value);
			}
		}
	}
	return 0;
}

/* The result of a base column with the chosen info columns; NONE: it is left out. */
static int result_of(struct det_eval *ev, struct info *x, size_t column, uint32_t *ret)
{
	bool found = false, empty_is_fine = true;
	for (size_t m = 0; m < x->metrics.n; m++) {
		found = found || x->chosen[m] != NONE;
	}
	for (size_t i = 0; i < x->data.n; i++) {
		empty_is_fine = empty_is_fine && ops_matcher_match_value(&x->data.items[i], "");
	}
	*ret = NONE;
	if (!found && !empty_is_fine && !x->ignored[column]) {
		return 0;
	}
	const struct det_lset *base = &x->base.cols[column].labels;
	struct det_lset labels = *base;
	int rc = x->ignored[column] ? 0 : add_labels(ev, x, base, &labels);
	*ret = (uint32_t)det_lset_map_add(&x->results, &labels);
	return rc;
}

static int number_steps(struct det_eval *ev, struct info *x, size_t column)
{
	const struct det_col *col = &x->base.cols[column];
	uint32_t *row = x->result_at + column * ev->nsteps;
	uint32_t result = NONE;
	bool known = false;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ev->nsteps; i++) {
		row[i] = NONE;
		if (det_is_absent(col->v[i])) {
			continue;
		}
		rc = choose(ev, x, x->ignored[column] ? NONE : x->base_sig[column], i);
		bool same =
			known && memcmp(x->chosen, x->last, x->metrics.n * sizeof(uint32_t)) == 0;
		if (rc == 0 && !same) {
			rc = result_of(ev, x, column, &result);
			memcpy(x->last, x->chosen, x->metrics.n * sizeof(uint32_t));
			known = true;
		}
		row[i] = result;
	}
	return rc == 0 ? det_eval_check(ev) : rc;
}

static int fill_results(struct det_eval *ev, struct info *x, struct det_vec *ret)
{
	int rc = det_vec_init(ev, ret, x->results.n);
	for (size_t r = 0; rc == 0 && r < x->results.n; r++) {
		(void)det_vec_add(ev, ret, &x->results.sets[r]);
	}
	for (size_t c = 0; rc == 0 && c < x->base.n; c++) {
		for (size_t i = 0; i < ev->nsteps; i++) {
			uint32_t r = x->result_at[c * ev->nsteps + i];
			if (r == NONE) {
				continue;
			}
			if (!det_is_absent(ret->cols[r].v[i])) {
				return det_eval_fail(ev, -EINVAL,
					"vector cannot contain metrics with the same labelset");
			}
			rc = det_col_copy(ev, &ret->cols[r], &x->base.cols[c], i);
			if (rc != 0) {
				return rc;
			}
			ret->cols[r].drop_name = x->base.cols[c].drop_name;
		}
	}
	return rc;
}

static int combine(struct det_eval *ev, struct info *x, struct det_vec *ret)
{
	number_columns(ev, x);
	x->result_at = det_scratch(ev, x->base.n * ev->nsteps, sizeof(uint32_t));
	int rc = 0;
	for (size_t c = 0; rc == 0 && c < x->base.n; c++) {
		rc = number_steps(ev, x, c);
	}
	if (rc == 0) {
		rc = fill_results(ev, x, ret);
	}
	if (rc == 0) {
		det_vec_trim(ev, ret);
	}
	return rc;
}

int det_call_info(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct info x = {0};
	ops_matchers_init(&x.data);
	ops_matchers_init(&x.names);
	int rc = split_matchers(
		ev, e->call.nargs > 1 ? ops_promql_unparen(e->call.args[1]) : NULL, &x);
	if (rc == 0) {
		rc = det_eval_vector(ev, e->call.args[0], &x.base);
	}
	if (rc == 0) {
		rc = read_info(ev, e, &x);
	}
	if (rc == 0) {
		rc = combine(ev, &x, &ret->vec);
	}
	det_vec_done(ev, &x.base);
	det_vec_done(ev, &x.info);
	ops_matchers_done(&x.data);
	ops_matchers_done(&x.names);
	return rc;
}
