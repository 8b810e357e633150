/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sum and avg of histograms. Runs after the floats were aggregated: a group that has both at a step
 * has no result there. Only groups and steps with histograms take memory for them.
 */
#include "services/detector/engine/eval.h"

struct sums {
	struct det_eval *ev;
	const struct ops_promql_expr *e;
	bool mean;
	struct det_histogram_sum **rows; /* by group; steps of it */
};

static int add_step(struct sums *x, const struct det_col *col, struct det_histogram_sum *sum,
	const struct ops_histogram *h)
{
	const struct ops_promql_expr *at = x->e->aggregate.expr;
	bool mixed = sum->mixed;
	unsigned notes = 0;
	int rc = det_histogram_sum_add(x->ev, sum, h, x->mean, &notes);
	if (rc == 0 && sum->mixed && !mixed) {
		det_remark(
			x->ev, at, DET_MIXED_SCHEMAS, det_lset_get(&col->labels, OPS_LABEL_NAME));
	}
	det_remark_notes(x->ev, at, notes & OPS_HISTOGRAM_BOUNDS_DIFFER, "aggregation");
	return rc;
}

static int add_column(struct sums *x, const struct det_col *col, uint32_t group)
{
	struct det_eval *ev = x->ev;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ev->nsteps; i++) {
		const struct ops_histogram *h = det_col_histogram(col, i);
		if (h == NULL) {
			continue;
		}
		if (x->rows[group] == NULL) {
			size_t doubles = sizeof(struct det_histogram_sum) / sizeof(double);
			rc = det_hold(ev, ev->nsteps * doubles);
			if (rc != 0) {
				return rc;
			}
			x->rows[group] =
				det_scratch(ev, ev->nsteps, sizeof(struct det_histogram_sum));
		}
		rc = add_step(x, col, &x->rows[group][i], h);
	}
	return rc == 0 ? det_eval_check(ev) : rc;
}

static int finish_step(struct sums *x, struct det_histogram_sum *sum, struct det_col *out, size_t i)
{
	const struct ops_promql_expr *at = x->e->aggregate.expr;
	if (!det_is_absent(out->v[i])) {
		out->v[i] = det_absent();
		det_warn(x->ev, at, "encountered a mix of histograms and floats for aggregation");
		return 0;
	}
	const struct ops_histogram *h = det_histogram_sum_end(sum, x->mean);
	if (h == NULL) {
		return 0;
	}
	if (sum->resets && sum->no_resets) {
		det_remark(x->ev, at, DET_RESETS_COLLIDE, "aggregation");
	}
	return det_col_set(x->ev, out, i, h);
}

int det_aggregate_native(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct det_vec *in, const struct det_groups *groups, struct det_vec *ret)
{
	struct sums x = {.ev = ev, .e = e, .mean = e->aggregate.op == OPS_PROMQL_AGGR_AVG};
	x.rows = det_scratch(ev, groups->map.n, sizeof(x.rows[0]));
	int rc = 0;
	for (size_t c = 0; rc == 0 && c < in->n; c++) {
		if (in->cols[c].h != NULL) {
			rc = add_column(&x, &in->cols[c], groups->of[c]);
		}
	}
	for (size_t g = 0; rc == 0 && g < groups->map.n; g++) {
		for (size_t i = 0; rc == 0 && x.rows[g] != NULL && i < ev->nsteps; i++) {
			if (x.rows[g][i].n != 0) {
				rc = finish_step(&x, &x.rows[g][i], &ret->cols[g], i);
			}
		}
	}
	return rc;
}
