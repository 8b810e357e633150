/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The windows of every step among a series' samples, kept for the next series with the same times.
 * Lives in the query's arena. */
#include "services/detector/engine/eval.h"

struct det_plan {
	struct det_reference ref;
	int64_t before_ms, beyond_ms; /* a step's window is (t - before, t + beyond] */
	int64_t *t;		      /* the times that it was made for */
	size_t n, cap;
	uint32_t *lo, *hi; /* per step: samples [lo, hi) */
};

void det_plan_init(struct det_eval *ev, struct det_plan *p, const struct det_reference *ref,
	const int64_t reach_ms[2]);
/* Makes it that of the samples in the scratch. True: it was another. The scratch is not empty. */
bool det_plan_fit(struct det_eval *ev, struct det_plan *p);

/* rate_column.c: rate, increase and delta of a series of floats at all steps */
struct det_rate_plan {
	const struct det_plan *windows;
	int64_t range_ms;
	bool counter, per_second;
	double *factor, *sampled, *to_start; /* per step; what rate.c computes for one window */
};

/* False: no such function, or nothing to gain. */
bool det_rate_plan_init(struct det_eval *ev, struct det_rate_plan *r,
	enum ops_promql_function_id id, const struct det_plan *windows);
void det_rate_plan_fit(const struct det_eval *ev, struct det_rate_plan *r);
/* resets may be NULL: there are none. */
void det_rate_column(const struct det_eval *ev, const struct det_rate_plan *r,
	const uint32_t *resets, double *ret);
