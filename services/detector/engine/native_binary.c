/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binary operators with a histogram on a side. Histograms add and subtract, compare for equality,
 * scale by a float and are trimmed by one; everything else has no result and an info that says so.
 */
#include "services/detector/engine/eval.h"

static int incompatible(
	struct det_eval *ev, const struct ops_promql_expr *e, const struct det_operand side[2])
{
	const char *op = ops_promql_op_text(e->binary.op);
	det_info(ev, e,
		"incompatible sample types encountered for binary operator \"%s\": %s %s %s", op,
		side[0].h != NULL ? "histogram" : "float", op,
		side[1].h != NULL ? "histogram" : "float");
	return 0;
}

bool det_is_trim(enum ops_promql_op op)
{
	return op == OPS_PROMQL_OP_TRIM_UPPER || op == OPS_PROMQL_OP_TRIM_LOWER;
}

static int combine(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct det_operand side[2], struct det_operand *ret)
{
	bool add = e->binary.op == OPS_PROMQL_OP_ADD;
	struct ops_histogram *out;
	unsigned notes = 0;
	int rc = det_histogram_copy(ev, side[0].h, &out);
	if (rc != 0) {
		return rc;
	}
	if (ops_histogram_apply(ev->sh->arena, out, side[1].h,
		    add ? OPS_HISTOGRAM_ADD : OPS_HISTOGRAM_SUB, &notes) != 0) {
		det_warn(ev, e, "incompatible bucket layout encountered for binary operator %s",
			ops_promql_op_text(e->binary.op));
		return 0;
	}
	if ((notes & OPS_HISTOGRAM_RESETS_COLLIDE) != 0) {
		det_remark(ev, e, DET_RESETS_COLLIDE, add ? "addition" : "subtraction");
		return 0;
	}
	det_remark_notes(ev, e, notes, add ? "addition" : "subtraction");
	out->hint = add ? out->hint : OPS_RESET_GAUGE;
	ops_histogram_compact(out);
	ret->h = out;
	return 0;
}

/* h op v, in the order that makes sense for it. */
static int change(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct ops_histogram *h, double v, struct det_operand *ret)
{
	struct ops_histogram *out;
	int rc = det_histogram_copy(ev, h, &out);
	if (rc != 0) {
		return rc;
	}
	if (e->binary.op == OPS_PROMQL_OP_MUL) {
		ops_histogram_mul(out, v);
	} else if (e->binary.op == OPS_PROMQL_OP_DIV) {
		ops_histogram_div(out, v);
	} else {
		ops_histogram_trim(out, v, e->binary.op == OPS_PROMQL_OP_TRIM_UPPER);
	}
	ops_histogram_compact(out);
	ret->h = out;
	return 0;
}

int det_native_binary(struct det_eval *ev, const struct ops_promql_expr *e,
	const struct det_operand side[2], struct det_operand *ret, bool *ret_keep)
{
	enum ops_promql_op op = e->binary.op;
	const struct ops_histogram *l = side[0].h, *r = side[1].h;
	*ret = (struct det_operand){.v = det_absent()};
	*ret_keep = true;
	if (l != NULL && r != NULL) {
		if (op == OPS_PROMQL_OP_EQL || op == OPS_PROMQL_OP_NEQ) {
			*ret_keep = ops_histogram_equal(l, r) == (op == OPS_PROMQL_OP_EQL);
			ret->h = l;
			return 0;
		}
		return op == OPS_PROMQL_OP_ADD || op == OPS_PROMQL_OP_SUB
			       ? combine(ev, e, side, ret)
			       : incompatible(ev, e, side);
	}
	if (l != NULL && (op == OPS_PROMQL_OP_MUL || op == OPS_PROMQL_OP_DIV || det_is_trim(op))) {
		return change(ev, e, l, side[1].v, ret);
	}
	if (r != NULL && op == OPS_PROMQL_OP_MUL) {
		return change(ev, e, r, side[0].v, ret);
	}
	return incompatible(ev, e, side);
}
