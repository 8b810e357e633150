/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that make a number of each histogram and leave floats out. */
#include "services/detector/engine/eval.h"

#include <math.h>

static double middle(const struct ops_histogram *h, const struct ops_histogram_interval *b)
{
	if (ops_histogram_is_custom(h)) {
		return (b->upper + b->lower) / 2;
	}
	if (b->lower <= 0 && b->upper >= 0) {
		return 0;
	}
	double mean = sqrt(b->upper * b->lower);
	return b->upper < 0 ? -mean : mean;
}

static double variance(const struct ops_histogram *h)
{
	double mean = h->sum / h->count;
	struct det_kahan sum = {0, 0};
	for (size_t i = 0; i < ops_histogram_nintervals(h); i++) {
		struct ops_histogram_interval b = ops_histogram_at(h, i);
		if (b.count != 0) {
			double delta = middle(h, &b) - mean;
			det_kahan_add(&sum, b.count * delta * delta);
		}
	}
	return (sum.sum + sum.c) / h->count;
}

static double number_of(enum ops_promql_function_id id, const struct ops_histogram *h)
{
	switch ((int)id) {
	case OPS_PROMQL_FN_HISTOGRAM_COUNT:
		return h->count;
	case OPS_PROMQL_FN_HISTOGRAM_SUM:
		return h->sum;
	case OPS_PROMQL_FN_HISTOGRAM_AVG:
		return h->sum / h->count;
	case OPS_PROMQL_FN_HISTOGRAM_STDVAR:
		return variance(h);
	default: /* stddev */
		return sqrt(variance(h));
	}
}

int det_call_histogram_number(
	struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	int rc = det_eval_vector(ev, e->call.args[0], &ret->vec);
	for (size_t c = 0; rc == 0 && c < ret->vec.n; c++) {
		struct det_col *col = &ret->vec.cols[c];
		col->drop_name = true;
		for (size_t i = 0; i < ev->nsteps; i++) {
			const struct ops_histogram *h = det_col_histogram(col, i);
			col->v[i] = h != NULL ? number_of(e->call.function->id, h) : det_absent();
		}
		col->h = NULL;
	}
	if (rc == 0) {
		det_vec_trim(ev, &ret->vec);
	}
	return rc;
}
