/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A column becomes integers, and the integers become small ones.
 *
 *	decimal	every value is k / 10^e for one e: the k. Tested by dividing back, so what passes
 *		comes back to the bit; a correctly rounded division is exact for all k below 2^53
 *		and e up to 15, which a multiplication by 10^-e is not.
 *	bits	anything else: the bit patterns, ordered as the values are. Differences of
 *		neighbours in one binade are differences of mantissas: as short as the meaningful
 *		bits of an XOR (Pelkonen et al., "Gorilla", VLDB 2015) and without its control
 *		bits, and they unpack without a branch.
 *
 * The few values that are no decimals (staleness markers, other NaN, infinities, -0, a float among
 * decimals) and rows without a sample are runs of exceptions with their pattern; below them the
 * integers go on as predicted, so one marker costs some bytes and not the whole column.
 *
 * A cumulative bucket counts all that its lower neighbour counts: the difference of the two is what
 * fell in between, near constant and small. So integers may be coded less those of the column one
 * before (buckets) or two before (a histogram's count, which follows the sum, is its last bucket).
 *
 * Then values, their differences or the differences of these are packed (pack.c), whichever is
 * shortest; common factors of two (memory in pages) are shifted out.
 *
 *	byte	order 0..2 | BITS | ref << 3 | FLAT | EXCEPTIONS | SCALED
 *	SCALED:		byte exponent, byte shift
 *	EXCEPTIONS:	varint number of runs; each varint rows before it, varint rows, byte what,
 *			8 bytes pattern where the byte does not say it
 *	zigzag varint first integer; order 2: zigzag varint first difference
 *	FLAT:		zigzag varint of all packed values; otherwise packed
 */
#include "services/detector/store/codec.h"

#include <math.h>
#include <string.h>

#include "common/base/bytes.h"
#include "services/detector/store/codec_format.h"
#include "services/detector/store/varint.h"

#define INT_LIMIT 9007199254740992.0 /* 2^53: integers below are exact */
#define INFINITY_BITS 0x7ff0000000000000ULL
#define MAX_FLOATS 3u /* values that are no decimals among decimals */

static uint64_t double_bits(double v)
{
	uint64_t u;
	memcpy(&u, &v, sizeof(u));
	return u;
}

/* NaN, infinities, -0: never decimals. */
static bool special(double v)
{
	return !(fabs(v) <= 1.7976931348623157e308) || double_bits(v) == 0x8000000000000000ULL;
}

static bool decimal_at(double v, unsigned e, int64_t *ret)
{
	double scaled = v * det_codec_powers[e];
	if (!(fabs(scaled) < INT_LIMIT)) {
		return false;
	}
	int64_t k = (int64_t)llrint(scaled);
	*ret = k;
	return double_bits((double)k / det_codec_powers[e]) == double_bits(v);
}

/* The usual case in one short loop: integers only. */
static bool all_integers(const double *values, size_t n, int64_t *ints)
{
	for (size_t i = 0; i < n; i++) {
		if (!(fabs(values[i]) < INT_LIMIT)) {
			return false;
		}
		ints[i] = (int64_t)values[i];
		if (double_bits((double)ints[i]) != double_bits(values[i])) {
			return false;
		}
	}
	return true;
}

/* The smallest exponent at which all but a few are decimals; false: too many are not. */
static bool find_exponent(const double *values, size_t n, unsigned *ret)
{
	unsigned e = 0, floats = 0;
	int64_t k;
	for (size_t i = 0; i < n; i++) {
		if (special(values[i]) || decimal_at(values[i], e, &k)) {
			continue;
		}
		unsigned try = e + 1;
		while (try <= DET_CODEC_MAX_EXPONENT && !decimal_at(values[i], try, &k)) {
			try++;
		}
		if (try <= DET_CODEC_MAX_EXPONENT) {
			e = try;
		} else if (++floats > MAX_FLOATS) {
			return false;
		}
	}
	*ret = e;
	return true;
}

/* Integers where that goes; marks the others in odd and returns how many. */
static size_t to_decimals(const double *values, size_t n, unsigned e, int64_t *ints, uint8_t *odd)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++) {
		odd[i] = special(values[i]) || !decimal_at(values[i], e, &ints[i]);
		count += odd[i];
	}
	return count;
}

static size_t to_bits(const double *values, size_t n, int64_t *ints, uint8_t *odd)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t bits = double_bits(values[i]);
		odd[i] = (bits & INT64_MAX) > INFINITY_BITS; /* NaN */
		ints[i] = (int64_t)det_codec_ordered(bits);
		count += odd[i];
	}
	return count;
}

/* Below an exception the integer before it goes on; the first ones are those that follow. */
static void fill_odd(int64_t *ints, size_t n, const uint8_t *odd)
{
	size_t first = 0;
	while (first < n && odd[first] != 0) {
		first++;
	}
	for (size_t i = 0; i < first; i++) {
		ints[i] = first < n ? ints[first] : 0;
	}
	for (size_t i = first + 1; i < n; i++) {
		ints[i] = odd[i] != 0 ? ints[i - 1] : ints[i];
	}
}

static uint8_t *put_exceptions(const double *values, size_t n, const uint8_t *odd, uint8_t *out)
{
	size_t runs = 0, last = 0;
	for (size_t i = 0; i < n; i++) {
		runs += odd[i] != 0 &&
			(i == 0 || odd[i - 1] == 0 ||
				double_bits(values[i]) != double_bits(values[i - 1]));
	}
	out = det_put_varint(out, runs);
	for (size_t i = 0; i < n; i++) {
		if (odd[i] == 0) {
			continue;
		}
		uint64_t bits = double_bits(values[i]);
		size_t end = i + 1;
		while (end < n && odd[end] != 0 && double_bits(values[end]) == bits) {
			end++;
		}
		out = det_put_varint(out, i - last);
		out = det_put_varint(out, end - i);
		uint8_t known = 0;
		while (known < OPS_LENGTH(det_codec_patterns) &&
			det_codec_patterns[known] != bits) {
			known++;
		}
		*out++ = known < OPS_LENGTH(det_codec_patterns) ? known : DET_CODEC_OTHER_PATTERN;
		if (known == OPS_LENGTH(det_codec_patterns)) {
			ops_put_u64(out, bits);
			out += 8;
		}
		last = end;
		i = end - 1;
	}
	return out;
}

/* How a stream of integers is coded; values are less their first, shifted. */
struct plan {
	unsigned order, ref, shift;
	size_t bits;
};

static void differences(const int64_t *v, size_t n, int64_t *out)
{
	for (size_t i = 1; i < n; i++) {
		out[i] = (int64_t)((uint64_t)v[i] - (uint64_t)v[i - 1]);
	}
}

/* Tries one order: residuals are values of [from, n). */
static void try_order(const int64_t *residuals, size_t n, const struct plan *as, struct plan *best)
{
	size_t from = as->order == 2 ? 2 : 1;
	if (n <= from) {
		return;
	}
	size_t bits = det_pack_cost_bits(residuals + from, n - from);
	if (bits < best->bits) {
		*best = *as;
		best->bits = bits;
	}
}

static unsigned common_shift(const int64_t *deltas, size_t n)
{
	uint64_t all = 0;
	for (size_t i = 1; i < n; i++) {
		all |= (uint64_t)deltas[i];
	}
	return all != 0 ? (unsigned)__builtin_ctzll(all) : 0;
}

/* work[0]: differences, work[1]: differences of these. */
static void try_own(
	const int64_t *ints, size_t n, const struct det_codec_scratch *scratch, struct plan *best)
{
	int64_t *first = scratch->work[0], *second = scratch->work[1];
	differences(ints, n, first);
	unsigned shift = common_shift(first, n);
	size_t shifted_bits = shift * (n - 1);
	try_order(first, n, &(struct plan){.order = 1, .shift = shift}, best);
	try_order(ints, n, &(struct plan){.order = 0, .shift = shift}, best);
	if (n > 2) {
		differences(first + 1, n - 1, second + 1);
		try_order(second, n, &(struct plan){.order = 2, .shift = shift}, best);
	}
	best->bits -= OPS_MIN(shifted_bits, best->bits);
}

static void less_ref(const int64_t *ints, const int64_t *ref, size_t n, int64_t *out)
{
	for (size_t i = 0; i < n; i++) {
		out[i] = (int64_t)((uint64_t)ints[i] - (uint64_t)ref[i]);
	}
}

static void try_ref(const int64_t *less, size_t n, unsigned ref,
	const struct det_codec_scratch *scratch, struct plan *best)
{
	differences(less, n, scratch->work[0]);
	try_order(scratch->work[0], n, &(struct plan){.order = 1, .ref = ref}, best);
	try_order(less, n, &(struct plan){.order = 0, .ref = ref}, best);
}

static bool all_equal(const int64_t *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (v[i] != v[0]) {
			return false;
		}
	}
	return true;
}

/* Residuals by the plan; those of [from, n) count. */
static const int64_t *residuals(const int64_t *ints, size_t n, const struct plan *plan,
	const struct det_codec_scratch *scratch)
{
	int64_t *a = scratch->work[0], *b = scratch->work[1];
	for (size_t i = 0; i < n; i++) {
		a[i] = (int64_t)((uint64_t)ints[i] - (uint64_t)ints[0]) >> plan->shift;
	}
	if (plan->order == 0) {
		return a;
	}
	differences(a, n, b);
	if (plan->order == 1) {
		return b;
	}
	differences(b + 1, n - 1, a + 1);
	a[1] = b[1];
	return a;
}

/* First integer, first difference, residuals; sets DET_CODEC_FLAT in *head. n is not 0. */
static uint8_t *put_stream(const int64_t *ints, size_t n, const struct plan *plan,
	const struct det_codec_scratch *scratch, uint8_t *head, uint8_t *out)
{
	const int64_t *r = residuals(ints, n, plan, scratch);
	size_t from = 1;
	out = det_put_varint(out, det_zigzag(ints[0]));
	if (plan->order == 2) {
		out = det_put_varint(out, det_zigzag(r[1]));
		from = 2;
	}
	if (n > from && all_equal(r + from, n - from)) {
		*head |= DET_CODEC_FLAT;
		return det_put_varint(out, det_zigzag(r[from]));
	}
	return det_pack_encode(r + from, n - from, out);
}

/* Makes self->ints and odd; returns how many are odd. */
static size_t make_ints(const double *values, size_t n, uint8_t *odd, struct det_column *self)
{
	if (all_integers(values, n, self->ints)) {
		self->exponent = 0;
		return 0;
	}
	size_t count;
	if (find_exponent(values, n, &self->exponent)) {
		count = to_decimals(values, n, self->exponent, self->ints, odd);
	} else {
		self->exponent = DET_CODEC_NO_INTS;
		count = to_bits(values, n, self->ints, odd);
	}
	if (count != 0) {
		fill_odd(self->ints, n, odd);
	}
	return count;
}

/* A better plan against one of the refs, if there is one; scratch->work[2] gets the integers. */
static void try_refs(const struct det_column *const refs[DET_CODEC_MAX_REF], size_t n,
	const struct det_codec_scratch *scratch, size_t nodd, const struct det_column *self,
	struct plan *best)
{
	for (unsigned d = 1; d <= DET_CODEC_MAX_REF; d++) {
		const struct det_column *ref = refs[d - 1];
		if (ref == NULL || ref->exponent != self->exponent) {
			continue;
		}
		int64_t *less = scratch->work[2];
		less_ref(self->ints, ref->ints, n, less);
		if (nodd != 0) {
			fill_odd(less, n, scratch->odd);
		}
		try_ref(less, n, d, scratch, best);
	}
}

/* What the plan packs: the integers, or their distance from the ref. With exceptions the latter
 * goes on as predicted, and the integers that a decoder will see follow from it. */
static const int64_t *apply_ref(const struct det_column *ref, size_t n, size_t nodd,
	const struct det_codec_scratch *scratch, struct det_column *self)
{
	int64_t *less = scratch->work[2];
	less_ref(self->ints, ref->ints, n, less);
	if (nodd != 0) {
		fill_odd(less, n, scratch->odd);
		for (size_t i = 0; i < n; i++) {
			self->ints[i] = (int64_t)((uint64_t)ref->ints[i] + (uint64_t)less[i]);
		}
	}
	self->depth = ref->depth + 1;
	return less;
}

uint8_t *det_codec_encode(const double *values, size_t n,
	const struct det_column *const refs[DET_CODEC_MAX_REF],
	const struct det_codec_scratch *scratch, struct det_column *self, uint8_t *out)
{
	if (n == 0) {
		return out;
	}
	struct plan plan = {.bits = SIZE_MAX};
	size_t nodd = make_ints(values, n, scratch->odd, self);
	const int64_t *ints = self->ints;
	bool decimal = self->exponent != DET_CODEC_NO_INTS;
	self->depth = 0;
	try_own(ints, n, scratch, &plan);
	if (decimal && plan.bits > n / 4) {
		try_refs(refs, n, scratch, nodd, self, &plan);
	}
	uint8_t *head = out++;
	*head = (uint8_t)(plan.order | (decimal ? 0u : DET_CODEC_BITS) |
			  (plan.ref << DET_CODEC_REF_SHIFT));
	unsigned exponent = decimal ? self->exponent : 0;
	if (exponent != 0 || plan.shift != 0) {
		*head |= DET_CODEC_SCALED;
		*out++ = (uint8_t)exponent;
		*out++ = (uint8_t)plan.shift;
	}
	if (nodd != 0) {
		*head |= DET_CODEC_EXCEPTIONS;
		out = put_exceptions(values, n, scratch->odd, out);
	}
	if (plan.ref != 0) {
		ints = apply_ref(refs[plan.ref - 1], n, nodd, scratch, self);
	}
	return put_stream(ints, n, &plan, scratch, head, out);
}

uint8_t *det_codec_encode_ints(
	const int64_t *ints, size_t n, const struct det_codec_scratch *scratch, uint8_t *out)
{
	if (n == 0) {
		return out;
	}
	struct plan plan = {.bits = SIZE_MAX};
	try_own(ints, n, scratch, &plan);
	uint8_t *head = out++;
	*head = (uint8_t)plan.order;
	if (plan.shift != 0) {
		*head |= DET_CODEC_SCALED;
		*out++ = 0;
		*out++ = (uint8_t)plan.shift;
	}
	return put_stream(ints, n, &plan, scratch, head, out);
}
