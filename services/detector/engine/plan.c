/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the windows of all steps lie among the samples of a series. The series of a target are
 * scraped together, so most series of a query have the very times of the one before: then the
 * windows are those of the one before too, and so is whatever else follows from times alone.
 */
#include "services/detector/engine/plan.h"

#include <string.h>

void det_plan_init(struct det_eval *ev, struct det_plan *p, const struct det_reference *ref,
	const int64_t reach_ms[2])
{
	*p = (struct det_plan){.ref = *ref, .before_ms = reach_ms[0], .beyond_ms = reach_ms[1]};
	p->lo = det_scratch(ev, ev->nsteps, sizeof(p->lo[0]));
	p->hi = det_scratch(ev, ev->nsteps, sizeof(p->hi[0]));
}

static bool fits(const struct det_plan *p, const struct det_samples *s)
{
	return p->n == s->n && (s->n == 0 || memcmp(p->t, s->t, s->n * sizeof(s->t[0])) == 0);
}

static void keep_times(struct det_eval *ev, struct det_plan *p, const struct det_samples *s)
{
	if (p->cap < s->n) {
		p->cap = s->n + s->n / 2;
		p->t = det_scratch(ev, p->cap, sizeof(p->t[0]));
	}
	memcpy(p->t, s->t, s->n * sizeof(s->t[0]));
	p->n = s->n;
}

bool det_plan_fit(struct det_eval *ev, struct det_plan *p)
{
	const struct det_samples *s = &ev->sh->samples;
	uint32_t lo = 0, hi = 0;
	if (fits(p, s)) {
		return false;
	}
	keep_times(ev, p, s);
	for (size_t i = 0; i < ev->nsteps; i++) {
		int64_t t = det_reference_time(ev, &p->ref, i);
		while (hi < s->n && s->t[hi] <= t + p->beyond_ms) {
			hi++;
		}
		while (lo < hi && s->t[lo] <= t - p->before_ms) {
			lo++;
		}
		p->lo[i] = lo;
		p->hi[i] = hi;
	}
	return true;
}
