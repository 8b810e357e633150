/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantiles and fractions of native histograms. Inside an exponential bucket observations are taken
 * to be spread evenly over the logarithm, inside the zero bucket and custom buckets over the value.
 * The zero bucket reaches to one side only when the other side has no buckets.
 *
 * Observations of NaN are in the count but in no bucket: they rank above everything.
 */
#include "services/detector/engine/eval.h"

#include <math.h>

static void cut_zero_bucket(const struct ops_histogram *h, struct ops_histogram_interval *b)
{
	if (h->negative.n == 0 && h->positive.n > 0) {
		b->lower = 0;
	} else if (h->positive.n == 0 && h->negative.n > 0) {
		b->upper = 0;
	}
}

static double inside(
	const struct ops_histogram *h, const struct ops_histogram_interval *b, double part)
{
	if (ops_histogram_is_custom(h) || (b->lower <= 0 && b->upper >= 0)) {
		return b->lower + (b->upper - b->lower) * part;
	}
	double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper));
	return b->lower > 0 ? exp2(lower + (upper - lower) * part)
			    : -exp2(upper + (lower - upper) * (1 - part));
}

struct found {
	struct ops_histogram_interval bucket;
	double count, rank; /* observations up to the bucket's end; wanted one */
	bool backwards;
};

static double observations(const struct ops_histogram *h)
{
	double count = 0;
	for (size_t i = 0; i < ops_histogram_nintervals(h); i++) {
		count += ops_histogram_at(h, i).count;
	}
	return count;
}

/* From the nearer end, since that is more exact; with NaN observations from the lower. */
static struct found find(double q, const struct ops_histogram *h)
{
	struct found f = {.backwards = !isnan(h->sum) && q >= 0.5};
	f.rank = (f.backwards ? 1 - q : q) * h->count;
	size_t n = ops_histogram_nintervals(h);
	for (size_t i = 0; i < n; i++) {
		f.bucket = ops_histogram_at(h, f.backwards ? n - 1 - i : i);
		f.count += f.bucket.count;
		if (f.bucket.count != 0 && f.count >= f.rank) {
			break;
		}
	}
	return f;
}

double det_native_quantile(double q, const struct ops_histogram *h, enum det_nan_note *ret)
{
	*ret = DET_NAN_NONE;
	if (q < 0 || q > 1) {
		return q < 0 ? -INFINITY : INFINITY;
	}
	if (h->count == 0 || isnan(q)) {
		return NAN;
	}
	struct found f = find(q, h);
	struct ops_histogram_interval *b = &f.bucket;
	if (ops_histogram_is_custom(h)) {
		if (isinf(b->lower)) {
			if (b->upper <= 0) {
				return b->upper;
			}
			b->lower = 0;
		} else if (isinf(b->upper)) {
			return b->lower;
		}
	} else if (b->lower < 0 && b->upper > 0) {
		cut_zero_bucket(h, b);
	}
	f.count = f.count > h->count ? h->count : f.count;
	if (f.count < f.rank) {
		*ret = isnan(h->sum) ? DET_NAN_RESULT : DET_NAN_NONE;
		return isnan(h->sum) ? NAN : b->upper;
	}
	double rank = f.backwards ? f.count - f.rank : f.rank - (f.count - b->count);
	if (isnan(h->sum) && observations(h) < h->count) {
		*ret = DET_NAN_SKEWED;
	}
	return inside(h, b, rank / b->count);
}

struct rank {
	double value, rank;
	bool known;
};

static void find_rank(
	struct rank *r, const struct ops_histogram_interval *b, bool linear, double below)
{
	if (r->known) {
		return;
	}
	if (b->lower >= r->value) {
		r->rank = below;
		r->known = true;
	} else if (b->upper > r->value) {
		/* A bucket without a lower end has nothing below. */
		r->rank = linear && isinf(b->lower) ? b->count
						    : below + b->count * ops_histogram_part_below(b,
										 r->value, linear);
		r->known = true;
	}
}

double det_native_fraction(const double range[2], const struct ops_histogram *h, bool *ret_nan)
{
	*ret_nan = false;
	if (h->count == 0 || isnan(range[0]) || isnan(range[1])) {
		return NAN;
	}
	if (range[0] >= range[1]) {
		return 0;
	}
	struct rank from = {.value = range[0]}, to = {.value = range[1]};
	double below = 0;
	for (size_t i = 0; i < ops_histogram_nintervals(h) && !(from.known && to.known); i++) {
		struct ops_histogram_interval b = ops_histogram_at(h, i);
		bool zero = b.lower <= 0 && b.upper >= 0;
		if (zero) {
			cut_zero_bucket(h, &b);
		}
		bool linear = zero || ops_histogram_is_custom(h);
		find_rank(&from, &b, linear, below);
		find_rank(&to, &b, linear, below);
		below += b.count;
	}
	double count = isnan(h->sum) ? observations(h) : h->count;
	*ret_nan = count < h->count;
	from.rank = !from.known || from.rank > count ? count : from.rank;
	to.rank = !to.known || to.rank > count ? count : to.rank;
	return (to.rank - from.rank) / h->count;
}
