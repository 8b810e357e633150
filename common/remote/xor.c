/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gorilla (Pelkonen et al., VLDB 2015) as Prometheus lays it out: two bytes big-endian with the
 * number of samples; the first time as a zigzag varint and the first value raw; the second time as
 * the difference in a varint; then differences of differences in classes of 14, 17, 20 and 64 bits
 * (times are milliseconds). Values are XORed with their predecessor: a 0 bit for "the same", else
 * the meaningful bits, within the window of the last one where they fit.
 *
 * Bits are filled from the top of a byte, and varints are byte strings within the bit stream.
 */
#include "common/remote/xor.h"

#include <string.h>

struct bits {
	struct ops_strbuf *out;
	unsigned free; /* bits left in the last byte */
};

static void put_bits(struct bits *b, uint64_t v, unsigned n)
{
	while (n > 0) {
		if (b->free == 0) {
			ops_strbuf_addc(b->out, 0);
			b->free = 8;
		}
		ops_assert(b->free <= 8);
		unsigned take = OPS_MIN(n, b->free);
		unsigned part = (unsigned)(v >> (n - take)) & ((1u << take) - 1);
		char *last = &b->out->data[b->out->len - 1];
		*last = (char)((unsigned char)*last | part << (b->free - take));
		b->free -= take;
		n -= take;
	}
}

static void put_varint(struct bits *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		put_bits(b, (v & 0x7f) | 0x80, 8);
	put_bits(b, v, 8);
}

/* The class of n bits holds -(2^(n-1) - 1) .. 2^(n-1). */
static bool fits(int64_t v, unsigned n)
{
	return -(((int64_t)1 << (n - 1)) - 1) <= v && v <= (int64_t)1 << (n - 1);
}

static void put_change(struct bits *b, int64_t change)
{
	static const struct {
		unsigned prefix, prefix_bits, bits;
	} classes[] = {{2, 2, 14}, {6, 3, 17}, {14, 4, 20}};

	if (change == 0) {
		put_bits(b, 0, 1);
		return;
	}
	for (size_t i = 0; i < OPS_LENGTH(classes); i++)
		if (fits(change, classes[i].bits)) {
			put_bits(b, classes[i].prefix, classes[i].prefix_bits);
			put_bits(b, (uint64_t)change, classes[i].bits);
			return;
		}
	put_bits(b, 15, 4);
	put_bits(b, (uint64_t)change, 64);
}

struct window { /* of the last value that differed; none at first */
	bool any;
	unsigned leading, trailing;
};

static uint64_t bits_of(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static void put_value(struct bits *b, struct window *w, uint64_t before, uint64_t now)
{
	uint64_t x = before ^ now;

	if (x == 0) {
		put_bits(b, 0, 1);
		return;
	}
	unsigned leading = OPS_MIN((unsigned)__builtin_clzll(x), 31u); /* has five bits */
	unsigned trailing = (unsigned)__builtin_ctzll(x);
	put_bits(b, 1, 1);
	if (w->any && leading >= w->leading && trailing >= w->trailing) {
		put_bits(b, 0, 1);
	} else {
		*w = (struct window){true, leading, trailing};
		put_bits(b, 1, 1);
		put_bits(b, leading, 5);
		put_bits(b, 64 - leading - trailing, 6); /* 64 is written as 0 */
	}
	put_bits(b, x >> w->trailing, 64 - w->leading - w->trailing);
}

void ops_xor_encode(const int64_t *times_ms, const double *values, size_t n, struct ops_strbuf *out)
{
	struct bits b = {.out = out};
	struct window w = {0};
	uint64_t delta = 0;

	ops_assert(n >= 1 && n <= UINT16_MAX);
	put_bits(&b, n, 16);
	put_varint(&b, (uint64_t)times_ms[0] << 1 ^ (uint64_t)(times_ms[0] >> 63));
	put_bits(&b, bits_of(values[0]), 64);
	for (size_t i = 1; i < n; i++) {
		uint64_t now = (uint64_t)times_ms[i] - (uint64_t)times_ms[i - 1];
		if (i == 1)
			put_varint(&b, now);
		else
			put_change(&b, (int64_t)(now - delta));
		delta = now;
		put_value(&b, &w, bits_of(values[i - 1]), bits_of(values[i]));
	}
}
