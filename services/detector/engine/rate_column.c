/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate(), increase() and delta() of a whole series. By how much a change is extended to the edges
 * of its window follows from times, unless a counter would go below zero: so the factor of every
 * step is computed once for all series with the same times, and what is left of a step is a
 * difference and a product. The same operations in the same order as in rate.c, hence the same
 * bits.
 */
#include "services/detector/engine/plan.h"

bool det_rate_plan_init(struct det_eval *ev, struct det_rate_plan *r,
	enum ops_promql_function_id id, const struct det_plan *windows)
{
	bool rate = id == OPS_PROMQL_FN_RATE, counter = rate || id == OPS_PROMQL_FN_INCREASE;
	if (!counter && id != OPS_PROMQL_FN_DELTA) {
		return false;
	}
	*r = (struct det_rate_plan){.windows = windows,
		.range_ms = windows->before_ms,
		.counter = counter,
		.per_second = rate};
	double *room = det_scratch(ev, ev->nsteps * 3, sizeof(double));
	r->factor = room;
	r->sampled = room + ev->nsteps;
	r->to_start = room + ev->nsteps * 2;
	return true;
}

static struct det_window window_of(
	const struct det_eval *ev, const struct det_rate_plan *r, size_t step)
{
	const struct det_plan *p = r->windows;
	int64_t end_ms = det_reference_time(ev, &p->ref, step);
	return (struct det_window){.t = ev->sh->samples.t + p->lo[step],
		.v = ev->sh->samples.v + p->lo[step],
		.n = p->hi[step] - p->lo[step],
		.start_ms = end_ms - r->range_ms,
		.end_ms = end_ms,
		.range_ms = r->range_ms};
}

static double per_second(const struct det_rate_plan *r, double factor)
{
	return r->per_second ? factor / ((double)r->range_ms / 1000) : factor;
}

void det_rate_plan_fit(const struct det_eval *ev, struct det_rate_plan *r)
{
	for (size_t i = 0; i < ev->nsteps; i++) {
		struct det_window w = window_of(ev, r, i);
		if (w.n >= 2) {
			struct det_stretch s = det_stretch(&w);
			r->sampled[i] = s.sampled;
			r->to_start[i] = s.to_start;
			r->factor[i] = per_second(r, det_extrapolation(&w, 0, 0, false));
		}
	}
}

static double lost_by_resets(const double *v, size_t lo, size_t hi, double change)
{
	for (size_t i = lo + 1; i < hi; i++) {
		change += v[i] < v[i - 1] ? v[i - 1] : 0;
	}
	return change;
}

void det_rate_column(const struct det_eval *ev, const struct det_rate_plan *r,
	const uint32_t *resets, double *ret)
{
	const double *v = ev->sh->samples.v;
	for (size_t i = 0; i < ev->nsteps; i++) {
		size_t lo = r->windows->lo[i], hi = r->windows->hi[i];
		if (hi - lo < 2) {
			ret[i] = det_absent();
			continue;
		}
		double first = v[lo], change = v[hi - 1] - first, factor = r->factor[i];
		if (r->counter && resets != NULL && resets[hi - 1] != resets[lo]) {
			change = lost_by_resets(v, lo, hi, change);
		}
		/* The counter began inside: it is not extended below zero. */
		if (r->counter && change > 0 && first >= 0 &&
			r->sampled[i] * first < r->to_start[i] * change) {
			struct det_window w = window_of(ev, r, i);
			factor = per_second(r, det_extrapolation(&w, first, change, true));
		}
		ret[i] = change * factor;
	}
}
