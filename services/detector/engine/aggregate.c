/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregations. Columns get their group's number once; then each column is folded into its group
 * step by step, so that a group's values arrive in the order of the series. Groups that never see a
 * sample are dropped at the end. Sums and means are compensated (det_kahan_add).
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct cell { /* a group at a step */
	double value, mean, c, count;
	bool seen, moving; /* avg: the sum would overflow, the mean is moved instead */
};

static struct det_lset group_labels(
	struct det_eval *ev, const struct ops_promql_aggregate *a, const struct det_lset *ls)
{
	if (a->without) {
		return det_lset_drop(ev->sh->arena, ls, &a->grouping, true);
	}
	return det_lset_keep(ev->sh->arena, ls, &a->grouping);
}

static void make_groups(struct det_eval *ev, const struct ops_promql_aggregate *a,
	const struct det_vec *in, struct det_groups *ret)
{
	det_lset_map_init(&ret->map, ev->sh->arena, 16);
	ret->of = det_scratch(ev, in->n, sizeof(uint32_t));
	for (size_t c = 0; c < in->n; c++) {
		struct det_lset ls = group_labels(ev, a, &in->cols[c].labels);
		ret->of[c] = (uint32_t)det_lset_map_add(&ret->map, &ls);
	}
}

static void fold_first(enum ops_promql_aggr op, struct cell *g, double v)
{
	*g = (struct cell){.value = v, .mean = v, .count = 1, .seen = true};
	if (op == OPS_PROMQL_AGGR_STDVAR || op == OPS_PROMQL_AGGR_STDDEV) {
		g->value = isfinite(v) ? 0 : NAN;
	}
}

static void fold_avg(struct cell *g, double v)
{
	g->count++;
	if (!g->moving) {
		struct det_kahan next = {g->value, g->c};
		det_kahan_add(&next, v);
		if (!isinf(next.sum)) {
			g->value = next.sum;
			g->c = next.c;
			return;
		}
		g->moving = true;
		g->mean = g->value / (g->count - 1);
		g->c /= g->count - 1;
	}
	double q = (g->count - 1) / g->count;
	struct det_kahan mean = {q * g->mean, q * g->c};
	det_kahan_add(&mean, v / g->count);
	g->mean = mean.sum;
	g->c = mean.c;
}

static void fold(enum ops_promql_aggr op, struct cell *g, double v)
{
	if (!g->seen) {
		fold_first(op, g, v);
	} else if (op == OPS_PROMQL_AGGR_SUM) {
		struct det_kahan k = {g->value, g->c};
		det_kahan_add(&k, v);
		g->value = k.sum;
		g->c = k.c;
	} else if (op == OPS_PROMQL_AGGR_AVG) {
		fold_avg(g, v);
	} else if (op == OPS_PROMQL_AGGR_MAX) {
		g->value = g->value < v || isnan(g->value) ? v : g->value;
	} else if (op == OPS_PROMQL_AGGR_MIN) {
		g->value = g->value > v || isnan(g->value) ? v : g->value;
	} else if (op == OPS_PROMQL_AGGR_STDVAR || op == OPS_PROMQL_AGGR_STDDEV) {
		g->count++;
		double delta = v - g->mean;
		g->mean += delta / g->count;
		g->value += delta * (v - g->mean);
	} else {
		g->count++;
	}
}

static double finish(enum ops_promql_aggr op, const struct cell *g)
{
	switch (op) {
	case OPS_PROMQL_AGGR_SUM:
		return isinf(g->value) ? g->value : g->value + g->c;
	case OPS_PROMQL_AGGR_AVG:
		return g->moving ? g->mean + g->c : g->value / g->count + g->c / g->count;
	case OPS_PROMQL_AGGR_COUNT:
		return g->count;
	case OPS_PROMQL_AGGR_STDVAR:
		return g->value / g->count;
	case OPS_PROMQL_AGGR_STDDEV:
		return sqrt(g->value / g->count);
	case OPS_PROMQL_AGGR_GROUP:
		return 1;
	case OPS_PROMQL_AGGR_MIN:
	case OPS_PROMQL_AGGR_MAX:
		return g->value;
	case OPS_PROMQL_AGGR_BOTTOMK:
	case OPS_PROMQL_AGGR_TOPK:
	case OPS_PROMQL_AGGR_COUNT_VALUES:
	case OPS_PROMQL_AGGR_QUANTILE:
	case OPS_PROMQL_AGGR_LIMITK:
	case OPS_PROMQL_AGGR_LIMIT_RATIO:
	case OPS_PROMQL_AGGR_COUNT_:
		break;
	}
	return det_absent();
}

/* The floats of a column into its group's cells. */
static void fold_column(const struct det_eval *ev, enum ops_promql_aggr op,
	const struct det_col *col, struct cell *row)
{
	bool sums = op == OPS_PROMQL_AGGR_SUM || op == OPS_PROMQL_AGGR_AVG;
	for (size_t i = 0; i < ev->nsteps; i++) {
		bool other = sums && col->h != NULL && det_is_histogram(col->v[i]);
		if (!det_is_absent(col->v[i]) && !other) {
			fold(op, &row[i], col->v[i]);
		}
	}
}

/* Value by value; ret has its columns. */
static int fold_all(struct det_eval *ev, enum ops_promql_aggr op, const struct det_vec *in,
	const struct det_groups *groups, struct det_vec *ret)
{
	/* The cells are as large as five columns a group, and counted so. */
	struct det_vec room;
	_Static_assert(sizeof(struct cell) <= 5 * sizeof(double), "room for a cell");
	int rc = det_vec_init(ev, &room, groups->map.n * 5);
	if (rc != 0) {
		return rc;
	}
	struct cell *cells = (struct cell *)(void *)room.free_at;
	if (cells == NULL) { /* no groups */
		return 0;
	}
	memset(cells, 0, groups->map.n * ev->nsteps * sizeof(*cells));
	for (size_t c = 0; c < in->n; c++) {
		fold_column(ev, op, &in->cols[c], cells + groups->of[c] * ev->nsteps);
	}
	for (size_t g = 0; g < groups->map.n; g++) {
		for (size_t i = 0; i < ev->nsteps; i++) {
			const struct cell *cell = &cells[g * ev->nsteps + i];
			ret->cols[g].v[i] = cell->seen ? finish(op, cell) : det_absent();
		}
	}
	det_vec_done(ev, &room);
	return 0;
}

static int aggregate_simple(struct det_eval *ev, enum ops_promql_aggr op, const struct det_vec *in,
	const struct det_groups *groups, struct det_vec *ret)
{
	int rc = det_vec_init(ev, ret, groups->map.n);
	if (rc != 0) {
		return rc;
	}
	for (size_t g = 0; g < groups->map.n; g++) {
		(void)det_vec_add(ev, ret, &groups->map.sets[g]);
	}
	for (size_t c = 0; c < in->n; c++) {
		struct det_col *out = &ret->cols[groups->of[c]];
		out->drop_name = out->drop_name || in->cols[c].drop_name;
	}
	rc = det_aggregate_sum(ev, op, in, groups, ret);
	return rc == DET_SUM_NOT_HERE ? fold_all(ev, op, in, groups, ret) : rc;
}

static bool has_histograms(const struct det_vec *vec)
{
	size_t c = 0;
	while (c < vec->n && vec->cols[c].h == NULL) {
		c++;
	}
	return c < vec->n;
}

static int aggregate_values(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct det_vec *in, const struct det_groups *groups, struct det_vec *ret)
{
	enum ops_promql_aggr op = e->aggregate.op;
	int rc = aggregate_simple(ev, op, in, groups, ret);
	bool sums = op == OPS_PROMQL_AGGR_SUM || op == OPS_PROMQL_AGGR_AVG;
	if (rc == 0 && sums && has_histograms(in)) {
		rc = det_aggregate_native(ev, e, in, groups, ret);
	}
	if (rc == 0) {
		det_vec_trim(ev, ret);
	}
	return rc;
}

/* Operators of numbers alone leave histograms out and say so. */
static void pass_over(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *in)
{
	enum ops_promql_aggr op = e->aggregate.op;
	bool numbers = op == OPS_PROMQL_AGGR_MIN || op == OPS_PROMQL_AGGR_MAX ||
		       op == OPS_PROMQL_AGGR_STDDEV || op == OPS_PROMQL_AGGR_STDVAR ||
		       op == OPS_PROMQL_AGGR_QUANTILE;
	if (numbers && det_vec_floats(ev, in)) {
		det_remark(
			ev, e->aggregate.expr, DET_IGNORED_IN_AGGREGATE, ops_promql_aggr_text(op));
	}
}

int det_eval_aggregate(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *ret)
{
	const struct ops_promql_aggregate *a = &e->aggregate;
	struct det_vec in;
	int rc = det_eval_vector(ev, a->expr, &in);
	if (rc != 0) {
		return rc;
	}
	struct det_groups groups;
	pass_over(ev, e, &in);
	make_groups(ev, a, &in, &groups);
	if (a->op == OPS_PROMQL_AGGR_COUNT_VALUES) {
		rc = det_aggregate_count_values(ev, e, &in, ret);
	} else if (a->op == OPS_PROMQL_AGGR_QUANTILE) {
		rc = det_aggregate_quantile(ev, e, &in, &groups, ret);
	} else if (ops_promql_aggr_has_param(a->op)) {
		rc = det_aggregate_k(ev, e, &in, &groups, ret);
	} else {
		rc = aggregate_values(ev, e, &in, &groups, ret);
	}
	det_vec_done(ev, &in);
	return rc;
}
