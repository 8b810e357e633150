/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Duration expressions ([5m * 2], offset step()) and the reference time of a selector. step() and
 * range() are those of the query as asked, also inside a subquery. Seconds are kept to
 * milliseconds.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <math.h>

static double query_seconds(const struct det_eval *ev, enum ops_promql_op op)
{
	const struct det_query *q = ev->sh->query;
	int64_t ms = op == OPS_PROMQL_OP_STEP ? (q->range ? q->step_ms : 0)
					      : ev->sh->end_ms - q->start_ms;
	return (double)ms / 1000;
}

static int seconds_of(struct det_eval *ev, const struct ops_promql_expr *e, double *ret);

static int combine(
	struct det_eval *ev, const struct ops_promql_duration *d, const double side[2], double *ret)
{
	if ((d->op == OPS_PROMQL_OP_DIV || d->op == OPS_PROMQL_OP_MOD) && side[1] == 0) {
		return det_eval_fail(ev, -EINVAL, "%s by zero in a duration",
			d->op == OPS_PROMQL_OP_DIV ? "division" : "modulo");
	}
	if (d->op == OPS_PROMQL_OP_STEP || d->op == OPS_PROMQL_OP_RANGE) {
		*ret = query_seconds(ev, d->op);
	} else if (d->op == OPS_PROMQL_OP_MIN_OF) {
		*ret = det_min(side[0], side[1]);
	} else if (d->op == OPS_PROMQL_OP_MAX_OF) {
		*ret = det_max(side[0], side[1]);
	} else if (d->lhs == NULL) {
		*ret = d->op == OPS_PROMQL_OP_SUB ? -side[1] : side[1];
	} else {
		*ret = det_binary_op(d->op, side[0], side[1]);
	}
	return 0;
}

static int seconds_of(struct det_eval *ev, const struct ops_promql_expr *e, double *ret)
{
	e = ops_promql_unparen(e);
	if (e->kind == OPS_PROMQL_NUMBER) {
		*ret = e->number.value;
		return 0;
	}
	ops_assert(e->kind == OPS_PROMQL_DURATION);
	double side[2] = {0, 0};
	int rc = e->duration.lhs != NULL ? seconds_of(ev, e->duration.lhs, &side[0]) : 0;
	if (rc == 0 && e->duration.rhs != NULL) {
		rc = seconds_of(ev, e->duration.rhs, &side[1]);
	}
	return rc == 0 ? combine(ev, &e->duration, side, ret) : rc;
}

int det_eval_duration(
	struct det_eval *ev, const struct ops_promql_expr *e, bool negative, int64_t *ret_ms)
{
	double seconds = 0;
	int rc = seconds_of(ev, e, &seconds);
	if (rc != 0) {
		return rc;
	}
	if (!isfinite(seconds)) {
		return det_eval_fail(ev, -EINVAL, "duration is NaN or infinite");
	}
	if (seconds <= 0 && !negative) {
		return det_eval_fail(ev, -EINVAL, "duration must be greater than 0");
	}
	if (fabs(seconds) > 9223372036.0) {
		return det_eval_fail(ev, -EINVAL, "duration is out of range");
	}
	*ret_ms = (int64_t)(seconds * 1000);
	return 0;
}

int det_eval_reference(
	struct det_eval *ev, const struct ops_promql_shift *shift, struct det_reference *ret)
{
	*ret = (struct det_reference){.offset_ms = shift->offset_ms};
	if (shift->offset_expr != NULL) {
		int rc = det_eval_duration(ev, shift->offset_expr, true, &ret->offset_ms);
		if (rc != 0) {
			return rc;
		}
	}
	ret->fixed = shift->at != OPS_PROMQL_AT_NONE;
	switch (shift->at) {
	case OPS_PROMQL_AT_NONE:
		break;
	case OPS_PROMQL_AT_TIMESTAMP:
		ret->at_ms = shift->at_ms;
		break;
	case OPS_PROMQL_AT_START:
		ret->at_ms = ev->sh->query->start_ms;
		break;
	case OPS_PROMQL_AT_END:
		ret->at_ms = ev->sh->end_ms;
		break;
	}
	return 0;
}
