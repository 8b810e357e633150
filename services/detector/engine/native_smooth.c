/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between two histograms: the line from one to the other, bucket by bucket. A counter that started
 * again begins at zero.
 */
#include "services/detector/engine/eval.h"

int det_native_interpolate(struct det_eval *ev, const struct ops_promql_expr *at,
	const struct ops_histogram *const h[2], const int64_t t[3], bool counter,
	struct ops_histogram **ret)
{
	*ret = NULL;
	if (t[2] == t[0] || t[2] == t[1]) {
		return det_histogram_copy(ev, h[t[2] == t[0] ? 0 : 1], ret);
	}
	double part = (double)(t[2] - t[0]) / (double)(t[1] - t[0]);
	struct ops_histogram *out;
	int rc = det_histogram_copy(ev, h[1], &out);
	if (rc != 0) {
		return rc;
	}
	if (counter && ops_histogram_reset_since(h[1], h[0])) {
		ops_histogram_mul(out, part);
		*ret = out;
		return 0;
	}
	struct ops_arena *arena = ev->sh->arena;
	unsigned down = 0, up = 0;
	if (ops_histogram_apply(arena, out, h[0], OPS_HISTOGRAM_SUB, &down) != 0) {
		return 0;
	}
	ops_histogram_mul(out, part);
	if (ops_histogram_apply(arena, out, h[0], OPS_HISTOGRAM_ADD, &up) != 0) {
		return 0;
	}
	det_remark_notes(ev, at, down & OPS_HISTOGRAM_BOUNDS_DIFFER, "subtraction");
	det_remark_notes(ev, at, up & OPS_HISTOGRAM_BOUNDS_DIFFER, "addition");
	*ret = out;
	return 0;
}

/* A smoothed selector at t: next is the first sample after t in the query's scratch. */
int det_native_smooth(struct det_eval *ev, const struct ops_promql_expr *e, int64_t t, size_t next,
	struct det_col *col, size_t step)
{
	const struct det_samples *s = &ev->sh->samples;
	int64_t lookback = ev->sh->options.lookback_ms;
	const char *name = det_lset_get(&col->labels, OPS_LABEL_NAME);
	bool floats = false;
	size_t left = next, right = next;
	for (; left > 0 && s->t[left - 1] > t - lookback; left--) {
		floats = floats || s->h[left - 1] == NULL;
	}
	for (; right < s->n && s->t[right] <= t + lookback; right++) {
		floats = floats || s->h[right] == NULL;
	}
	if (floats) {
		det_remark(ev, e, DET_MIXED_FLOATS, name);
		return 0;
	}
	if (left == next) {
		return 0; /* nothing before */
	}
	struct ops_histogram *out;
	const struct ops_histogram *before = s->h[next - 1];
	if (right == next || s->t[next - 1] == t) {
		int rc = det_histogram_copy(ev, before, &out);
		if (rc != 0) {
			return rc;
		}
		out->hint = s->t[next - 1] == t ? out->hint : OPS_RESET_UNKNOWN;
		return det_col_set(ev, col, step, out);
	}
	const struct ops_histogram *const pair[2] = {before, s->h[next]};
	const int64_t times[3] = {s->t[next - 1], s->t[next], t};
	bool counter = pair[0]->hint != OPS_RESET_GAUGE || pair[1]->hint != OPS_RESET_GAUGE;
	if (ops_histogram_is_custom(pair[0]) != ops_histogram_is_custom(pair[1])) {
		det_remark(ev, e, DET_MIXED_SCHEMAS, name);
		return 0;
	}
	int rc = det_native_interpolate(ev, e, pair, times, counter, &out);
	if (rc != 0 || out == NULL) {
		return rc;
	}
	return det_col_set(ev, col, step, out);
}
