/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over the tree. A node's columns are computed for the whole time grid before its parent
 * looks at them: label work (grouping, matching, names) is done once per series, the inner loops
 * see arrays of doubles. The parser has checked the types, so a mismatch here is a broken
 * invariant.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/clock.h"

/* Work between two looks at the clock (about a millisecond), and what a series counts for. */
#define CLOCK_WORK 262144u
#define SERIES_WORK 4096u

int det_eval_fail(struct det_eval *ev, int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return ops_error_set(ev->sh->err, code, "%s", text);
}

int det_eval_check(struct det_eval *ev)
{
	return det_eval_spend(ev, SERIES_WORK);
}

int det_eval_spend(struct det_eval *ev, uint64_t work)
{
	ev->sh->spent += work;
	if (ev->sh->spent < CLOCK_WORK) {
		return 0;
	}
	ev->sh->spent = 0;
	const atomic_bool *cancelled = ev->sh->query->cancelled;
	if (cancelled != NULL && atomic_load_explicit(cancelled, memory_order_relaxed)) {
		return det_eval_fail(ev, -ECANCELED, "query was canceled in expression evaluation");
	}
	if (ops_mono_ms() <= ev->sh->deadline_ms) {
		return 0;
	}
	return det_eval_fail(ev, -ETIMEDOUT, "query timed out in expression evaluation");
}

/* Negates what there is; a counter becomes a gauge. */
static int negate(struct det_eval *ev, struct det_col *col)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ev->nsteps; i++) {
		const struct ops_histogram *h = det_col_histogram(col, i);
		if (h == NULL) {
			col->v[i] = det_is_absent(col->v[i]) ? col->v[i] : -col->v[i];
			continue;
		}
		struct ops_histogram *out;
		rc = det_histogram_copy(ev, h, &out);
		if (rc == 0) {
			ops_histogram_mul(out, -1);
			rc = det_col_set(ev, col, i, out);
		}
	}
	return rc;
}

static int eval_unary(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	int rc = det_eval_expr(ev, e->unary.expr, ret);
	if (rc != 0 || e->unary.op == OPS_PROMQL_OP_ADD) {
		return rc;
	}
	if (ret->type == OPS_PROMQL_SCALAR) {
		ops_assert(ret->scalar != NULL);
		for (size_t i = 0; i < ev->nsteps; i++) {
			ret->scalar[i] = -ret->scalar[i];
		}
		return 0;
	}
	for (size_t c = 0; c < ret->vec.n; c++) {
		ret->vec.cols[c].drop_name = true;
		rc = negate(ev, &ret->vec.cols[c]);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

int det_eval_expr(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	*ret = (struct det_value){.type = e->type};
	if (e->type == OPS_PROMQL_SCALAR) {
		int rc = det_hold(ev, ev->nsteps);
		if (rc != 0) {
			return rc;
		}
	}
	switch (e->kind) {
	case OPS_PROMQL_NUMBER:
		ret->scalar = det_scalar_new(ev, e->number.value);
		return 0;
	case OPS_PROMQL_STRING:
		ret->string = e->string;
		return 0;
	case OPS_PROMQL_VECTOR_SELECTOR:
		return det_eval_selector(ev, e, DET_READ_VALUES, &ret->vec);
	case OPS_PROMQL_UNARY:
		return eval_unary(ev, e, ret);
	case OPS_PROMQL_BINARY:
		return det_eval_binary(ev, e, ret);
	case OPS_PROMQL_AGGREGATE:
		return det_eval_aggregate(ev, e, &ret->vec);
	case OPS_PROMQL_CALL:
		return det_eval_call(ev, e, ret);
	case OPS_PROMQL_PAREN:
		return det_eval_expr(ev, e->paren, ret);
	case OPS_PROMQL_MATRIX_SELECTOR:
	case OPS_PROMQL_SUBQUERY:
	case OPS_PROMQL_DURATION:
		break;
	}
	return det_eval_fail(ev, -EINVAL, "a range vector must be the argument of a function");
}

int det_eval_vector(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *ret)
{
	struct det_value value;
	int rc = det_eval_expr(ev, e, &value);
	if (rc == 0) {
		ops_assert(value.type == OPS_PROMQL_INSTANT);
		*ret = value.vec;
	}
	return rc;
}

int det_eval_scalar(struct det_eval *ev, const struct ops_promql_expr *e, double **ret)
{
	struct det_value value;
	int rc = det_eval_expr(ev, e, &value);
	if (rc == 0) {
		ops_assert(value.type == OPS_PROMQL_SCALAR);
		*ret = value.scalar;
	}
	return rc;
}
