/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram is two sorted lists of (index, count) and a few numbers. Spans, as formats write
 * them, would save memory but make every merge a puzzle; lists merge like sorted lists, and what is
 * stored is encoded anyway (histogram_codec.c). Empty buckets may be listed: they matter for
 * equality only.
 *
 * Bucket i of exponential schema s ends at 2^(i * 2^-s) and begins where the one before ends.
 */
#include "common/model/histogram.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "common/base/bytes.h"

#define STALE_BITS 0x7ff0000000000002ULL /* as a float sample's */

bool ops_histogram_is_stale(const struct ops_histogram *h)
{
	uint64_t bits;
	memcpy(&bits, &h->sum, sizeof(bits));
	return bits == STALE_BITS;
}

static void copy_buckets(struct ops_arena *arena, struct ops_histogram_buckets *to,
	const struct ops_histogram_buckets *from)
{
	*to = (struct ops_histogram_buckets){.n = from->n, .cap = from->n};
	if (from->n != 0) {
		to->items = ops_arena_dup(arena, from->items, from->n * sizeof(from->items[0]));
	}
}

struct ops_histogram *ops_histogram_copy(struct ops_arena *arena, const struct ops_histogram *h)
{
	struct ops_histogram *out = ops_arena_dup(arena, h, sizeof(*h));
	copy_buckets(arena, &out->positive, &h->positive);
	copy_buckets(arena, &out->negative, &h->negative);
	if (h->ncustom != 0) {
		out->custom = ops_arena_dup(arena, h->custom, h->ncustom * sizeof(double));
	}
	return out;
}

void ops_histogram_push(
	struct ops_arena *arena, struct ops_histogram_buckets *buckets, int32_t index, double count)
{
	if (buckets->n == buckets->cap) {
		uint32_t cap = buckets->cap != 0 ? buckets->cap * 2 : 8;
		struct ops_histogram_bucket *grown =
			ops_arena_array(arena, struct ops_histogram_bucket, cap);
		if (buckets->n != 0) {
			memcpy(grown, buckets->items, buckets->n * sizeof(*grown));
		}
		buckets->items = grown;
		buckets->cap = cap;
	}
	buckets->items[buckets->n++] =
		(struct ops_histogram_bucket){.index = index, .count = count};
}

static int check_side(
	const struct ops_histogram_buckets *side, const char *name, struct ops_error *err)
{
	if (side->n > OPS_HISTOGRAM_MAX_BUCKETS) {
		return ops_error_set(err, -EINVAL, "%s side: more than %u buckets", name,
			OPS_HISTOGRAM_MAX_BUCKETS);
	}
	for (uint32_t i = 0; i < side->n; i++) {
		const struct ops_histogram_bucket *b = &side->items[i];
		if (b->count < 0) {
			return ops_error_set(err, -EINVAL,
				"%s side: bucket number %u has a negative count of %g", name, i + 1,
				b->count);
		}
		if (b->index < -OPS_HISTOGRAM_MAX_INDEX || b->index >= OPS_HISTOGRAM_MAX_INDEX ||
			(i > 0 && b->index <= side->items[i - 1].index)) {
			return ops_error_set(err, -EINVAL,
				"%s side: bucket number %u has an index out of range or order",
				name, i + 1);
		}
	}
	return 0;
}

static int check_custom(const struct ops_histogram *h, struct ops_error *err)
{
	if (h->ncustom > OPS_HISTOGRAM_MAX_BUCKETS) {
		return ops_error_set(
			err, -EINVAL, "more than %u custom bounds", OPS_HISTOGRAM_MAX_BUCKETS);
	}
	for (uint32_t i = 0; i < h->ncustom; i++) {
		if (!isfinite(h->custom[i]) || (i > 0 && h->custom[i] <= h->custom[i - 1])) {
			return ops_error_set(err, -EINVAL,
				"custom bounds must be finite and strictly increasing");
		}
	}
	const struct ops_histogram_buckets *p = &h->positive;
	if (p->n != 0 &&
		(p->items[0].index < 0 || (uint32_t)p->items[p->n - 1].index > h->ncustom)) {
		return ops_error_set(err, -EINVAL, "custom bounds are too few for the buckets");
	}
	if (h->zero_count != 0 || h->zero_threshold != 0 || h->negative.n != 0) {
		return ops_error_set(err, -EINVAL,
			"custom buckets have neither a zero bucket nor negative buckets");
	}
	return 0;
}

int ops_histogram_validate(const struct ops_histogram *h, struct ops_error *err)
{
	int rc = check_side(&h->positive, "positive", err);
	if (rc == 0) {
		rc = check_side(&h->negative, "negative", err);
	}
	if (rc != 0) {
		return rc;
	}
	if (h->count < 0 || h->zero_count < 0) {
		return ops_error_set(err, -EINVAL, "a count of observations is negative");
	}
	if (!(h->zero_threshold >= 0) || isinf(h->zero_threshold)) {
		return ops_error_set(
			err, -EINVAL, "the zero threshold must be a finite number, not negative");
	}
	if (ops_histogram_is_custom(h)) {
		return check_custom(h, err);
	}
	if (h->schema < OPS_HISTOGRAM_SCHEMA_MIN || h->schema > OPS_HISTOGRAM_SCHEMA_MAX) {
		return ops_error_set(err, -EINVAL,
			"unknown schema %d: it must be between %d and %d, or %d for custom buckets",
			h->schema, OPS_HISTOGRAM_SCHEMA_MIN, OPS_HISTOGRAM_SCHEMA_MAX,
			OPS_HISTOGRAM_CUSTOM);
	}
	if (h->ncustom != 0) {
		return ops_error_set(err, -EINVAL, "exponential buckets have no custom bounds");
	}
	return 0;
}

static bool same_side(const struct ops_histogram_buckets *a, const struct ops_histogram_buckets *b)
{
	uint32_t i = 0;
	while (a->n == b->n && i < a->n && a->items[i].index == b->items[i].index &&
		ops_double_same(a->items[i].count, b->items[i].count)) {
		i++;
	}
	return a->n == b->n && i == a->n;
}

bool ops_histogram_same_bounds(const struct ops_histogram *a, const struct ops_histogram *b)
{
	uint32_t i = 0;
	while (a->ncustom == b->ncustom && i < a->ncustom && a->custom[i] == b->custom[i]) {
		i++;
	}
	return a->ncustom == b->ncustom && i == a->ncustom;
}

bool ops_histogram_equal(const struct ops_histogram *a, const struct ops_histogram *b)
{
	return a->schema == b->schema && ops_double_same(a->count, b->count) &&
	       ops_double_same(a->sum, b->sum) && a->zero_threshold == b->zero_threshold &&
	       ops_double_same(a->zero_count, b->zero_count) &&
	       same_side(&a->positive, &b->positive) && same_side(&a->negative, &b->negative) &&
	       ops_histogram_same_bounds(a, b);
}

static bool side_overflows(const struct ops_histogram_buckets *side)
{
	uint32_t i = 0;
	while (i < side->n && !isinf(side->items[i].count)) {
		i++;
	}
	return i < side->n;
}

bool ops_histogram_overflows(const struct ops_histogram *h)
{
	return isinf(h->zero_count) || isinf(h->count) || isinf(h->sum) ||
	       side_overflows(&h->positive) || side_overflows(&h->negative);
}

static void compact_side(struct ops_histogram_buckets *side)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < side->n; i++) {
		if (side->items[i].count != 0 || side->items[i].c != 0) {
			side->items[kept++] = side->items[i];
		}
	}
	side->n = kept;
}

void ops_histogram_compact(struct ops_histogram *h)
{
	compact_side(&h->positive);
	compact_side(&h->negative);
}

static void scale_side(struct ops_histogram_buckets *side, double factor, bool divide)
{
	for (uint32_t i = 0; i < side->n; i++) {
		struct ops_histogram_bucket *b = &side->items[i];
		b->count = divide ? b->count / factor : b->count * factor;
		b->c = divide ? b->c / factor : b->c * factor;
	}
}

void ops_histogram_mul(struct ops_histogram *h, double factor)
{
	double *const numbers[] = {
		&h->zero_count, &h->count, &h->sum, &h->zero_c, &h->count_c, &h->sum_c};
	for (size_t i = 0; i < OPS_LENGTH(numbers); i++) {
		*numbers[i] *= factor;
	}
	scale_side(&h->positive, factor, false);
	scale_side(&h->negative, factor, false);
	h->hint = factor < 0 ? OPS_RESET_GAUGE : h->hint;
}

void ops_histogram_div(struct ops_histogram *h, double divisor)
{
	double *const numbers[] = {&h->zero_count, &h->count, &h->sum};
	double *const rests[] = {&h->zero_c, &h->count_c, &h->sum_c};
	for (size_t i = 0; i < OPS_LENGTH(numbers); i++) {
		*numbers[i] /= divisor;
		*rests[i] = divisor != 0 ? *rests[i] / divisor : 0;
	}
	if (divisor == 0) {
		h->positive.n = h->negative.n = 0;
		return;
	}
	scale_side(&h->positive, divisor, true);
	scale_side(&h->negative, divisor, true);
	h->hint = divisor < 0 ? OPS_RESET_GAUGE : h->hint;
}

double ops_histogram_bound(const struct ops_histogram *h, int64_t index)
{
	if (ops_histogram_is_custom(h)) {
		return index < 0		      ? -INFINITY
		       : index >= (int64_t)h->ncustom ? INFINITY
						      : h->custom[index];
	}
	int64_t whole, fraction = 0;
	if (h->schema < 0) {
		whole = index * ((int64_t)1 << -h->schema);
	} else {
		/* Rounds down, also below zero. */
		whole = index >> h->schema;
		fraction = index - whole * ((int64_t)1 << h->schema);
	}
	if (whole == DBL_MAX_EXP && fraction == 0) {
		return DBL_MAX; /* the last bucket of finite numbers ends with them */
	}
	int exponent = (int)OPS_MAX(OPS_MIN(whole, (int64_t)2000), (int64_t)-2000);
	double scale =
		fraction != 0 ? exp2((double)fraction / (double)((int64_t)1 << h->schema)) : 1;
	return ldexp(scale, exponent);
}

static struct ops_histogram_interval interval_of(
	const struct ops_histogram *h, const struct ops_histogram_bucket *b, bool positive)
{
	struct ops_histogram_interval out = {.count = b->count};
	double far = ops_histogram_bound(h, b->index),
	       near = ops_histogram_bound(h, (int64_t)b->index - 1);
	out.lower = positive ? near : -far;
	out.upper = positive ? far : -near;
	if (ops_histogram_is_custom(h)) {
		out.lower_inclusive = b->index == 0;
		out.upper_inclusive = true;
	} else {
		out.lower_inclusive = out.lower < 0;
		out.upper_inclusive = out.upper > 0;
	}
	return out;
}

size_t ops_histogram_nintervals(const struct ops_histogram *h)
{
	return (size_t)h->negative.n + (h->zero_count > 0) + h->positive.n;
}

struct ops_histogram_interval ops_histogram_at(const struct ops_histogram *h, size_t i)
{
	struct ops_histogram_interval out;
	if (i >= h->negative.n) {
		i -= h->negative.n;
		if (h->zero_count > 0 && i == 0) {
			return (struct ops_histogram_interval){
				-h->zero_threshold, h->zero_threshold, h->zero_count, true, true};
		}
		out = interval_of(h, &h->positive.items[i - (h->zero_count > 0)], true);
	} else {
		out = interval_of(h, &h->negative.items[h->negative.n - 1 - i], false);
	}
	if (ops_histogram_is_custom(h)) {
		return out;
	}
	if (out.upper < 0 && out.upper > -h->zero_threshold) {
		out.upper = -h->zero_threshold;
	} else if (out.lower > 0 && out.lower < h->zero_threshold) {
		out.lower = h->zero_threshold;
	}
	return out;
}

double ops_histogram_part_below(const struct ops_histogram_interval *b, double value, bool linear)
{
	if (linear) {
		return (value - b->lower) / (b->upper - b->lower);
	}
	double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), at = log2(fabs(value));
	return value > 0 ? (at - lower) / (upper - lower) : 1 - (at - upper) / (lower - upper);
}
