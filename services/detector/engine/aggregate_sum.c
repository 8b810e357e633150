/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sum, avg and count of columns of floats: what dashboards ask most. One pass over each column
 * without a branch: where a column has no sample it adds -0, which changes neither a compensated
 * sum nor its compensation, and groups begin with -0, so that the first value arrives as it is.
 * The order of additions is that of aggregate.c, hence the same bits.
 *
 * The mean of what overflows a sum needs to be moved value by value: the caller does that one.
 */
#include "services/detector/engine/eval.h"

struct row { /* a group: one each per step */
	double *sum, *c, *count;
};

static void add_column(const double *v, size_t n, const struct row *row)
{
	for (size_t i = 0; i < n; i++) {
		bool absent = det_is_absent(v[i]);
		struct det_kahan k = {row->sum[i], row->c[i]};
		det_kahan_add(&k, absent ? -0.0 : v[i]);
		row->sum[i] = k.sum;
		row->c[i] = k.c;
		row->count[i] += absent ? 0 : 1;
	}
}

static void count_column(const double *v, size_t n, double *count)
{
	for (size_t i = 0; i < n; i++) {
		count[i] += det_is_absent(v[i]) ? 0 : 1;
	}
}

static double finish(enum ops_promql_aggr op, const struct row *row, size_t i)
{
	double sum = row->sum[i], c = row->c[i], count = row->count[i];
	if (count == 0) {
		return det_absent();
	}
	if (op == OPS_PROMQL_AGGR_COUNT) {
		return count;
	}
	if (op == OPS_PROMQL_AGGR_GROUP) {
		return 1;
	}
	if (op == OPS_PROMQL_AGGR_AVG) {
		return sum / count + c / count;
	}
	return isinf(sum) ? sum : sum + c;
}

static bool finish_all(const struct det_eval *ev, enum ops_promql_aggr op, const struct row *row,
	const struct det_vec *ret)
{
	bool overflow = false;
	for (size_t g = 0; g < ret->n; g++) {
		struct row at = {row->sum + g * ev->nsteps, row->c + g * ev->nsteps,
			row->count + g * ev->nsteps};
		for (size_t i = 0; i < ev->nsteps; i++) {
			overflow = overflow || !isfinite(at.sum[i]);
			ret->cols[g].v[i] = finish(op, &at, i);
		}
	}
	return overflow && op == OPS_PROMQL_AGGR_AVG;
}

static bool takes(enum ops_promql_aggr op)
{
	return op == OPS_PROMQL_AGGR_SUM || op == OPS_PROMQL_AGGR_AVG ||
	       op == OPS_PROMQL_AGGR_COUNT || op == OPS_PROMQL_AGGR_GROUP;
}

static bool floats_only(const struct det_vec *in)
{
	size_t c = 0;
	while (c < in->n && in->cols[c].h == NULL) {
		c++;
	}
	return c == in->n;
}

int det_aggregate_sum(struct det_eval *ev, enum ops_promql_aggr op, const struct det_vec *in,
	const struct det_groups *groups, struct det_vec *ret)
{
	struct det_vec room;
	size_t n = groups->map.n * ev->nsteps;
	bool counts = op == OPS_PROMQL_AGGR_COUNT || op == OPS_PROMQL_AGGR_GROUP;
	if (!takes(op) || n == 0 || (!counts && !floats_only(in))) {
		return DET_SUM_NOT_HERE;
	}
	int rc = det_vec_init(ev, &room, groups->map.n * 3);
	if (rc != 0) {
		return rc;
	}
	const struct row all = {room.free_at, room.free_at + n, room.free_at + 2 * n};
	for (size_t i = 0; i < n; i++) {
		all.sum[i] = -0.0;
		all.c[i] = 0;
		all.count[i] = 0;
	}
	for (size_t c = 0; c < in->n; c++) {
		size_t at = groups->of[c] * ev->nsteps;
		const struct row row = {all.sum + at, all.c + at, all.count + at};
		if (counts) {
			count_column(in->cols[c].v, ev->nsteps, row.count);
		} else {
			add_column(in->cols[c].v, ev->nsteps, &row);
		}
	}
	bool again = finish_all(ev, op, &all, ret);
	det_vec_done(ev, &room);
	return again ? DET_SUM_NOT_HERE : 0;
}
