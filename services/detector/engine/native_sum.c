/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums and means of histograms, compensated like those of floats. A mean is the sum divided, until
 * the sum would overflow: from there on the mean itself is moved by each histogram's share. Only
 * numbers near the end of the range make a copy necessary to go back to.
 */
#include "services/detector/engine/eval.h"

#include <math.h>

#define SAFE 1e300 /* tens of thousands of these do not overflow */

static bool side_large(const struct ops_histogram_buckets *side)
{
	for (uint32_t i = 0; i < side->n; i++) {
		if (!(fabs(side->items[i].count) < SAFE)) {
			return true;
		}
	}
	return false;
}

static bool is_large(const struct ops_histogram *h)
{
	return !(fabs(h->count) < SAFE && fabs(h->sum) < SAFE && fabs(h->zero_count) < SAFE) ||
	       side_large(&h->positive) || side_large(&h->negative);
}

/* Tries the sum; leaves it and begins to move the mean when it overflows. */
static int add_to_sum(struct det_eval *ev, struct det_histogram_sum *s,
	const struct ops_histogram *h, bool mean, unsigned *notes)
{
	struct ops_histogram *sum = s->h;
	bool careful = mean && (is_large(s->h) || is_large(h));
	int rc = careful ? det_histogram_copy(ev, s->h, &sum) : 0;
	if (rc != 0) {
		return rc;
	}
	if (ops_histogram_apply(ev->sh->arena, sum, h, OPS_HISTOGRAM_SUM, notes) != 0) {
		s->mixed = true;
		return 0;
	}
	if (careful && ops_histogram_overflows(sum)) {
		ops_histogram_div(s->h, s->n - 1);
		s->moving = true;
	} else {
		s->h = sum;
	}
	return 0;
}

int det_histogram_sum_add(struct det_eval *ev, struct det_histogram_sum *s,
	const struct ops_histogram *h, bool mean, unsigned *notes)
{
	if (s->mixed) {
		return 0;
	}
	s->resets = s->resets || h->hint == OPS_RESET_YES;
	s->no_resets = s->no_resets || h->hint == OPS_RESET_NO;
	s->n++;
	if (s->h == NULL) {
		return det_histogram_copy(ev, h, &s->h);
	}
	int rc = s->moving ? 0 : add_to_sum(ev, s, h, mean, notes);
	if (rc != 0 || !s->moving || s->mixed) {
		return rc;
	}
	struct ops_histogram *share;
	rc = det_histogram_copy(ev, h, &share);
	if (rc == 0) {
		ops_histogram_div(share, s->n);
		ops_histogram_mul(s->h, (s->n - 1) / s->n);
		s->mixed = ops_histogram_apply(
				   ev->sh->arena, s->h, share, OPS_HISTOGRAM_SUM, notes) != 0;
	}
	return rc;
}

struct ops_histogram *det_histogram_sum_end(struct det_histogram_sum *s, bool mean)
{
	if (s->h == NULL || s->mixed) {
		return NULL;
	}
	if (mean && !s->moving) {
		ops_histogram_div(s->h, s->n);
	}
	ops_histogram_settle(s->h);
	ops_histogram_compact(s->h);
	return s->h;
}
