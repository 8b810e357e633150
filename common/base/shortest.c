/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schubfach (Giulietti, "The Schubfach way to render doubles", 2020). A double stands for an
 * interval of reals. There is one power of ten so small that the interval holds at least one of its
 * multiples, and so large that it holds at most one multiple of the next power: scale by the first,
 * and the candidates are the two integers beside the scaled value, or the two multiples of ten.
 *
 * Scaling multiplies with a 128 bit approximation of the power of ten, never too small and too
 * large by less than one unit; the product is cut to odd, so that "exactly half" can be told from
 * "nearly half". The 617 powers are computed with long arithmetic when the first number is asked
 * for, some hundred microseconds once, which is less to trust than a table of digits.
 */
#include "common/base/shortest.h"

#include <pthread.h>
#include <string.h>

enum {
	POWER_MIN = -292,
	POWER_MAX = 324,
	LIMBS = 26, /* of 32 bits: 5^324 has 753 bits, 2^831 / 5^292 more than 128 */
	MANTISSA_BITS = 52,
	EXPONENT_BIAS = 1075
};

__extension__ typedef unsigned __int128 uint128;

struct power {
	uint64_t hi, lo; /* the first 128 bits, rounded up; the highest bit is set */
};

static struct power powers[POWER_MAX - POWER_MIN + 1];
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

/* ---- the powers ---- */

struct big {
	uint32_t limbs[LIMBS]; /* lowest first */
};

static void multiply_by_5(struct big *b)
{
	uint64_t carry = 0;
	for (size_t i = 0; i < LIMBS; i++) {
		carry += (uint64_t)b->limbs[i] * 5;
		b->limbs[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

static void divide_by_5(struct big *b)
{
	uint64_t rest = 0;
	for (size_t i = LIMBS; i-- > 0;) {
		rest = rest << 32 | b->limbs[i];
		b->limbs[i] = (uint32_t)(rest / 5);
		rest %= 5;
	}
}

/* The 32 bits that end at bit `end` (exclusive); zeros below the number. */
static uint32_t bits_before(const struct big *b, size_t end)
{
	uint64_t two = b->limbs[(end - 1) / 32];
	unsigned used = (unsigned)((end - 1) % 32) + 1; /* of the upper limb */
	two = two << 32 | (end > 32 ? b->limbs[(end - 1) / 32 - 1] : 0);
	return (uint32_t)(two >> used);
}

static struct power leading_bits(const struct big *b, bool inexact)
{
	size_t top = LIMBS - 1;
	while (b->limbs[top] == 0) {
		top--;
	}
	size_t end = top * 32 + 32 - (size_t)__builtin_clz(b->limbs[top]);
	uint32_t words[4] = {0};
	for (size_t i = 0; i < OPS_LENGTH(words) && end > i * 32; i++) {
		words[i] = bits_before(b, end - i * 32);
	}
	for (size_t bit = 0; bit + 128 < end && !inexact; bit++) {
		inexact = (b->limbs[bit / 32] >> bit % 32 & 1) != 0;
	}
	struct power p = {(uint64_t)words[0] << 32 | words[1], (uint64_t)words[2] << 32 | words[3]};
	p.lo += inexact;
	p.hi += inexact && p.lo == 0;
	return p;
}

static void make_powers(void)
{
	struct big up = {.limbs = {1}}, down = {.limbs = {[LIMBS - 1] = UINT32_C(1) << 31}};
	for (int e = 0; e <= POWER_MAX; e++, multiply_by_5(&up)) {
		powers[e - POWER_MIN] = leading_bits(&up, false);
	}
	for (int e = -1; e >= POWER_MIN; e--) {
		divide_by_5(&down);
		powers[e - POWER_MIN] = leading_bits(&down, true);
	}
}

/* ---- one number ---- */

/* floor(log10(2^e)), floor(log10(3/4 * 2^e)), floor(log2(10^e)): exact for all that is asked. */
static int log10_of_pow2(int e)
{
	return (e * 1262611) >> 22;
}

static int log10_of_three_quarters(int e)
{
	return (e * 1262611 - 524031) >> 22;
}

static int log2_of_pow10(int e)
{
	return (e * 1741647) >> 19;
}

/* The upper part of the product; its last bit is set where anything was cut away. */
static uint64_t scale(const struct power *p, uint64_t v)
{
	uint128 low = (uint128)p->lo * v;
	uint128 high = (uint128)p->hi * v + (uint64_t)(low >> 64);
	return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

static struct ops_decimal without_zeros(uint64_t digits, int exponent)
{
	while (digits % 10 == 0) {
		digits /= 10;
		exponent++;
	}
	return (struct ops_decimal){digits, exponent};
}

/* All in quarters of 10^k: the value and the ends of its interval, the ends being part of it. */
static struct ops_decimal choose(uint64_t value, uint64_t lower, uint64_t upper, int k)
{
	uint64_t s = value / 4;
	if (s >= 10) {
		uint64_t tens = s / 10;
		bool below = lower <= tens * 40, above = tens * 40 + 40 <= upper;
		if (below != above) {
			return without_zeros(tens + above, k + 1);
		}
	}
	bool below = lower <= s * 4, above = s * 4 + 4 <= upper;
	if (below != above) {
		return without_zeros(s + above, k);
	}
	uint64_t middle = s * 4 + 2;
	bool up = value > middle || (value == middle && s % 2 != 0);
	return without_zeros(s + up, k);
}

struct ops_decimal ops_shortest(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	uint64_t c = bits & ((UINT64_C(1) << MANTISSA_BITS) - 1);
	int biased = (int)(bits >> MANTISSA_BITS & 0x7ff);
	/* Above a power of two neighbours are twice as far as below it. */
	bool narrow = c == 0 && biased > 1;
	c |= biased != 0 ? UINT64_C(1) << MANTISSA_BITS : 0;
	int q = OPS_MAX(biased, 1) - EXPONENT_BIAS;
	int k = narrow ? log10_of_three_quarters(q) : log10_of_pow2(q);
	int h = q + log2_of_pow10(-k) + 1;
	pthread_once(&powers_once, make_powers);
	const struct power *p = &powers[-k - POWER_MIN];
	bool odd = (c & 1) != 0; /* then the ends of the interval read back as neighbours */
	uint64_t lower = scale(p, (c * 4 - (narrow ? 1 : 2)) << h) + odd;
	uint64_t upper = scale(p, (c * 4 + 2) << h) - odd;
	return choose(scale(p, c * 4 << h), lower, upper, k);
}
