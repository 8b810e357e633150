/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trim operators: a histogram of only the observations below or above a limit. A bucket with
 * the limit inside keeps a part, interpolated as quantiles are (exponentially, or linearly with
 * custom bounds and in the zero bucket). The sum is not known any more: it is estimated from the
 * middle of what is left of each bucket. Of a bucket without an end nothing is known but its other
 * bound: below zero it counts as all at the limit, else it goes as a whole.
 */
#include "common/model/histogram.h"

#include <math.h>

struct trim {
	double limit;
	bool upper;  /* keep what is below the limit */
	bool linear; /* custom bounds */
	bool positive;
	double count, sum; /* of what stays */
	bool changed;
};

struct part {
	double count, middle;
};

static double middle_of(const struct trim *t, double lower, double upper)
{
	if (isinf(lower)) {
		return isinf(upper) ? 0 : upper > 0 ? upper / 2 : upper;
	}
	if (isinf(upper)) {
		return lower;
	}
	if (t->linear) {
		return (lower + upper) / 2;
	}
	double mean = sqrt(fabs(lower * upper));
	return t->positive ? mean : -mean;
}

static double finite_or_zero(double v)
{
	return isinf(v) ? 0 : v;
}

/* (-Inf, b->upper] with the limit inside. */
static struct part part_without_start(const struct trim *t, const struct ops_histogram_interval *b)
{
	bool from_zero = b->upper > 0 && !isinf(b->upper); /* taken to begin at zero */
	if (t->upper) {
		if (t->limit >= b->upper) {
			return (struct part){b->count, 0};
		}
		if (t->limit > 0 && from_zero) {
			return (struct part){b->count * t->limit / b->upper, t->limit / 2};
		}
		if (b->upper <= 0) {
			return (struct part){b->count, t->limit};
		}
	} else {
		if (t->limit <= b->lower) {
			return (struct part){b->count, 0};
		}
		if (t->limit >= 0 && from_zero && b->upper > t->limit) {
			return (struct part){
				b->count * (1 - t->limit / b->upper), (t->limit + b->upper) / 2};
		}
	}
	return (struct part){0, finite_or_zero(b->upper)};
}

/* (b->lower, +Inf) with the limit inside. */
static struct part part_without_end(const struct trim *t, const struct ops_histogram_interval *b)
{
	if (!t->upper && t->limit >= b->lower) {
		return (struct part){b->count, t->limit};
	}
	return (struct part){0, finite_or_zero(b->lower)};
}

static struct part part_inside(const struct trim *t, const struct ops_histogram_interval *b)
{
	if (isinf(b->lower)) {
		return part_without_start(t, b);
	}
	if (isinf(b->upper)) {
		return part_without_end(t, b);
	}
	double below = t->limit <= b->lower ? 0
		       : t->limit >= b->upper
			       ? b->count
			       : b->count * ops_histogram_part_below(b, t->limit, t->linear);
	return t->upper ? (struct part){below, middle_of(t, b->lower, t->limit)}
			: (struct part){b->count - below, middle_of(t, t->limit, b->upper)};
}

static struct part part_of(const struct trim *t, const struct ops_histogram_interval *b)
{
	bool all = t->upper ? b->upper <= t->limit : b->lower >= t->limit;
	bool some = t->upper ? b->lower < t->limit : b->upper > t->limit;
	if (all) {
		return (struct part){b->count, middle_of(t, b->lower, b->upper)};
	}
	return some ? part_inside(t, b) : (struct part){0, 0};
}

/* Returns whether the side has observations at all. */
static bool trim_side(struct trim *t, const struct ops_histogram *h,
	struct ops_histogram_buckets *side, bool positive)
{
	bool any = false;
	t->positive = positive;
	for (uint32_t i = 0; i < side->n; i++) {
		struct ops_histogram_bucket *b = &side->items[i];
		if (b->count == 0) {
			continue;
		}
		any = true;
		double far = ops_histogram_bound(h, b->index),
		       near = ops_histogram_bound(h, (int64_t)b->index - 1);
		const struct ops_histogram_interval interval = {.lower = positive ? near : -far,
			.upper = positive ? far : -near,
			.count = b->count};
		struct part part = part_of(t, &interval);
		t->count += part.count;
		t->sum += part.count != 0 ? part.middle * part.count : 0;
		t->changed = t->changed || part.count != b->count;
		b->count = part.count;
	}
	return any;
}

/* The zero bucket lies on one side of zero when only that side has observations. */
static void trim_zero(struct trim *t, struct ops_histogram *h, bool negative, bool positive)
{
	double lower = positive && !negative ? 0 : -h->zero_threshold;
	double upper = negative && !positive ? 0 : h->zero_threshold;
	double from = t->upper ? lower : OPS_MAX(lower, t->limit);
	double to = t->upper ? OPS_MIN(upper, t->limit) : upper;
	double kept = 0;
	if (from <= lower && to >= upper && (t->upper ? t->limit > lower : true)) {
		kept = h->zero_count;
	} else if (from < to) {
		kept = h->zero_count * ((to - from) / (upper - lower));
	}
	t->changed = t->changed || kept != h->zero_count;
	t->sum += kept != 0 ? kept * ((from + to) / 2) : 0;
	t->count += kept;
	h->zero_count = kept;
}

void ops_histogram_trim(struct ops_histogram *h, double limit, bool upper)
{
	struct trim t = {.limit = limit, .upper = upper, .linear = ops_histogram_is_custom(h)};
	bool positive = trim_side(&t, h, &h->positive, true);
	bool negative = trim_side(&t, h, &h->negative, false);
	if (h->zero_count > 0) {
		trim_zero(&t, h, negative, positive);
	}
	if (t.changed) {
		h->count = t.count;
		h->sum = t.sum;
		ops_histogram_compact(h);
	}
}
