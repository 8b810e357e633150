/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Nearly all values are a few digits, perhaps with a point: they are read eight characters at a
 * time, without a branch per digit. Exact: at most 15 digits fit a double, and one division by a
 * power of ten is rounded right (Clinger 1990). Internal to the readers of sample lines.
 */
#include "common/base/bytes.h"

/* How many of the eight characters in v, the first one lowest, are digits before another one is. */
static inline unsigned ops_digits_count(uint64_t v)
{
	uint64_t x = v ^ 0x3030303030303030ULL; /* digits are 0..9 now */
	/* a carry out of a byte that is none only disturbs those behind it */
	uint64_t others = ((x + 0x7676767676767676ULL) | x) & 0x8080808080808080ULL;
	return others == 0 ? 8 : (unsigned)__builtin_ctzll(others) / 8;
}

/* The number that the first n (1..8) of these characters are, which must be digits. */
static inline uint64_t ops_digits_value(uint64_t v, unsigned n)
{
	const uint64_t mask = 0x000000ff000000ffULL;
	uint64_t x = (v ^ 0x3030303030303030ULL) << (8 * (8 - n));
	x = x * 10 + (x >> 8); /* pairs, then two fours, then all */
	return ((x & mask) * 0x000f424000000064ULL + ((x >> 16) & mask) * 0x0000271000000001ULL) >>
	       32;
}

/*
 * True when at holds [0-9]+(.[0-9]+)? with at most 8 digits on each side, 15 in all, and a line end
 * or blank behind it, with 24 readable bytes. *ret_end is behind the number. False: look closer.
 */
static inline bool ops_plain_number(
	const char *at, const char *end, double *ret, const char **ret_end)
{
	static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8};
	if (end - at < 24) {
		return false;
	}
	uint64_t v = ops_get_u64(at);
	unsigned n = ops_digits_count(v);
	if (n == 0) {
		return false;
	}
	uint64_t digits = ops_digits_value(v, n);
	const char *c = at + n;
	if (*c == '\n' || *c == ' ') {
		*ret = (double)digits;
		*ret_end = c;
		return true;
	}
	uint64_t w = ops_get_u64(c + (*c == '.'));
	unsigned m = ops_digits_count(w);
	if (m == 0 || n + m > 15) {
		return false;
	}
	uint64_t more = ops_digits_value(w, m);
	bool point = *c == '.';
	c += m + point;
	if (*c != '\n' && *c != ' ') {
		return false;
	}
	digits = digits * (uint64_t)powers[m] + more;
	*ret = point ? (double)digits / powers[m] : (double)digits;
	*ret_end = c;
	return true;
}
