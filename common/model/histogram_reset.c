/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a counter started again: some count fell, or the shape changed in a way that only a
 * restart explains (finer resolution, narrower zero bucket). What a coarser shape allows is
 * compared in that shape, without making it: buckets are merged while they are walked.
 */
#include "common/model/histogram.h"

struct cursor {
	const struct ops_histogram *h;
	const struct ops_histogram_buckets *side;
	uint32_t at;
	int32_t schema; /* coarser or the same */
	double threshold;
	int32_t index; /* of the bucket now, in that schema */
	double count;
};

static int32_t index_in(const struct cursor *c, uint32_t at)
{
	int32_t index = c->side->items[at].index;
	return c->schema == c->h->schema ? index : ((index - 1) >> (c->h->schema - c->schema)) + 1;
}

/* The next bucket that ends above the threshold; false: no more. */
static bool cursor_next(struct cursor *c)
{
	const struct ops_histogram shape = {.schema = c->schema};
	while (c->at < c->side->n) {
		c->index = index_in(c, c->at);
		c->count = c->side->items[c->at++].count;
		while (c->at < c->side->n && index_in(c, c->at) == c->index) {
			c->count += c->side->items[c->at++].count;
		}
		if (c->threshold == 0 || c->schema == OPS_HISTOGRAM_CUSTOM ||
			ops_histogram_bound(&shape, c->index) > c->threshold) {
			c->threshold = 0;
			return true;
		}
	}
	return false;
}

static bool side_fell(struct cursor now, struct cursor before)
{
	bool more = cursor_next(&now);
	while (cursor_next(&before)) {
		while (more && now.index < before.index) {
			more = cursor_next(&now);
		}
		bool both = more && now.index == before.index;
		if (both ? now.count < before.count : before.count != 0) {
			return true;
		}
	}
	return false;
}

static double count_up_to(const struct ops_histogram *h, double bound, uint32_t *at)
{
	double sum = 0;
	while (*at < h->positive.n &&
		ops_histogram_bound(h, h->positive.items[*at].index) <= bound) {
		sum += h->positive.items[(*at)++].count;
	}
	return sum;
}

/* Custom bounds that differ: only between the common ones can counts be compared. */
static bool rebounded_fell(const struct ops_histogram *h, const struct ops_histogram *before)
{
	uint32_t i = 0, k = 0, at_now = 0, at_before = 0;
	while (i <= h->ncustom && k <= before->ncustom) {
		double now = ops_histogram_bound(h, i), then = ops_histogram_bound(before, k);
		if (now == then) {
			double sum = count_up_to(h, now, &at_now);
			if (sum < count_up_to(before, now, &at_before)) {
				return true;
			}
		}
		i += now <= then;
		k += then <= now;
	}
	return false;
}

static bool shape_refined(const struct ops_histogram *h, const struct ops_histogram *before)
{
	return ops_histogram_is_custom(h) != ops_histogram_is_custom(before) ||
	       h->schema > before->schema || h->zero_threshold < before->zero_threshold;
}

bool ops_histogram_reset_since(const struct ops_histogram *h, const struct ops_histogram *before)
{
	if (h->hint == OPS_RESET_YES || h->hint == OPS_RESET_NO) {
		return h->hint == OPS_RESET_YES;
	}
	if (h->count < before->count || shape_refined(h, before)) {
		return true;
	}
	if (ops_histogram_is_custom(h) && !ops_histogram_same_bounds(h, before)) {
		return rebounded_fell(h, before);
	}
	struct ops_histogram_zero zero = ops_histogram_zero_at(before, h->zero_threshold);
	if (zero.threshold != h->zero_threshold || h->zero_count < zero.count) {
		return true;
	}
	struct cursor now = {.h = h, .schema = h->schema, .threshold = h->zero_threshold};
	struct cursor then = now;
	then.h = before;
	now.side = &h->positive;
	then.side = &before->positive;
	if (side_fell(now, then)) {
		return true;
	}
	now.side = &h->negative;
	then.side = &before->negative;
	return side_fell(now, then);
}
