/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binary operators with at least one scalar, and the arithmetic of all of them. A comparison
 * without bool filters: the vector's own value stays where it holds. Vectors on both sides go to
 * match.c and setop.c.
 */
#include "services/detector/engine/eval.h"

#include <math.h>

double det_binary_op(enum ops_promql_op op, double l, double r)
{
	switch (op) {
	case OPS_PROMQL_OP_ADD:
		return l + r;
	case OPS_PROMQL_OP_SUB:
		return l - r;
	case OPS_PROMQL_OP_MUL:
		return l * r;
	case OPS_PROMQL_OP_DIV:
		return l / r;
	case OPS_PROMQL_OP_MOD:
		return fmod(l, r);
	case OPS_PROMQL_OP_POW:
		return pow(l, r);
	case OPS_PROMQL_OP_ATAN2:
		return atan2(l, r);
	case OPS_PROMQL_OP_EQL:
		return l == r;
	case OPS_PROMQL_OP_NEQ:
		return l != r;
	case OPS_PROMQL_OP_LTE:
		return l <= r;
	case OPS_PROMQL_OP_LSS:
		return l < r;
	case OPS_PROMQL_OP_GTE:
		return l >= r;
	case OPS_PROMQL_OP_GTR:
		return l > r;
	case OPS_PROMQL_OP_TRIM_UPPER: /* of native histograms; floats have no result */
	case OPS_PROMQL_OP_TRIM_LOWER:
	case OPS_PROMQL_OP_AND:
	case OPS_PROMQL_OP_OR:
	case OPS_PROMQL_OP_UNLESS:
	case OPS_PROMQL_OP_STEP:
	case OPS_PROMQL_OP_RANGE:
	case OPS_PROMQL_OP_MIN_OF:
	case OPS_PROMQL_OP_MAX_OF:
	case OPS_PROMQL_OP_COUNT:
		break;
	}
	return det_absent();
}

/* The same for a histogram. */
static int histogram_with_scalar(struct det_eval *ev, const struct ops_promql_expr *e,
	struct det_col *col, size_t step, const struct det_operand side[2])
{
	struct det_operand out;
	bool keep;
	int rc = det_native_binary(ev, e, side, &out, &keep);
	if (rc == 0 && out.h != NULL) {
		return det_col_set(ev, col, step, out.h);
	}
	col->v[step] = det_absent();
	return rc;
}

/* vec op scalar, in place; swapped: scalar op vec. */
static int with_scalar(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *vec,
	const double *scalar, bool swapped)
{
	const struct ops_promql_binary *b = &e->binary;
	bool filter = ops_promql_op_is_comparison(b->op) && !b->return_bool;
	bool trim = det_is_trim(b->op);
	for (size_t c = 0; c < vec->n; c++) {
		struct det_col *col = &vec->cols[c];
		col->drop_name = col->drop_name || !(filter || trim);
		for (size_t i = 0; i < ev->nsteps; i++) {
			double v = col->v[i];
			if (det_is_absent(v)) {
				continue;
			}
			if (col->h != NULL || trim) {
				struct det_operand side[2] = {{.v = scalar[i]}, {.v = scalar[i]}};
				side[swapped] = (struct det_operand){v, det_col_histogram(col, i)};
				if (side[swapped].h != NULL || trim) {
					int rc = histogram_with_scalar(ev, e, col, i, side);
					if (rc != 0) {
						return rc;
					}
					continue;
				}
			}
			double r = swapped ? det_binary_op(b->op, scalar[i], v)
					   : det_binary_op(b->op, v, scalar[i]);
			col->v[i] = !filter ? r : r != 0 ? v : det_absent();
		}
	}
	det_vec_trim(ev, vec);
	return 0;
}

static int eval_vectors(struct det_eval *ev, const struct ops_promql_expr *e,
	struct det_value side[2], struct det_value *ret)
{
	if (ops_promql_op_is_set(e->binary.op)) {
		return det_eval_set(ev, e, &side[0].vec, &side[1].vec, &ret->vec);
	}
	int rc = det_eval_match(ev, e, &side[0].vec, &side[1].vec, &ret->vec);
	det_vec_done(ev, &side[0].vec);
	det_vec_done(ev, &side[1].vec);
	return rc;
}

int det_eval_binary(struct det_eval *ev, const struct ops_promql_expr *e, struct det_value *ret)
{
	struct det_value side[2];
	unsigned whole = det_is_trim(e->binary.op); /* looks at the buckets */
	ev->sh->whole_depth += whole;
	int rc = det_eval_expr(ev, e->binary.lhs, &side[0]);
	if (rc == 0) {
		rc = det_eval_expr(ev, e->binary.rhs, &side[1]);
	}
	ev->sh->whole_depth -= whole;
	if (rc != 0) {
		return rc;
	}
	bool scalar[2] = {side[0].type == OPS_PROMQL_SCALAR, side[1].type == OPS_PROMQL_SCALAR};
	if (scalar[0] && scalar[1]) {
		ret->scalar = side[0].scalar;
		for (size_t i = 0; i < ev->nsteps; i++) {
			ret->scalar[i] =
				det_binary_op(e->binary.op, ret->scalar[i], side[1].scalar[i]);
		}
		return 0;
	}
	if (!scalar[0] && !scalar[1]) {
		return eval_vectors(ev, e, side, ret);
	}
	ret->vec = side[scalar[0] ? 1 : 0].vec;
	return with_scalar(ev, e, &ret->vec, side[scalar[0] ? 0 : 1].scalar, scalar[0]);
}
