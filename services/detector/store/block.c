/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A column is coded by what it is, chosen per block:
 *
 *	integers and decimals (every value is k / 10^e for one small e, k below 2^53): the k, their
 *	deltas, or the deltas of their deltas, whichever is shortest, less their minimum (frame of
 *	reference), bit-packed at one width. A constant run has width 0.
 *	anything else: XOR with the value before, leading and length of the meaningful bits
 *	(Pelkonen et al., "Gorilla", VLDB 2015), or raw where that is longer.
 *
 * A candidate is used only when it reproduces the very bits, so coding is lossless by construction:
 * -0, NaN payloads (staleness markers among them) and infinities fall through to XOR.
 *
 *	byte 0: coding; byte 1 (integers only): e
 *	frame:		varint min, width, n * width bits
 *	delta:		varint first, varint min, width, (n-1) * width bits
 *	delta of delta:	varint first, varint first delta, varint min, width, (n-2) * width bits
 *	xor:		64 bits, then per value 0 | 10 bits | 11 leading:5 length-1:6 bits
 *
 * Varints are zigzag LEB128. Bits go most significant first.
 */
#include "services/detector/store/block.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <string.h>

enum coding {
	CODING_FRAME = 1,
	CODING_DELTA,
	CODING_DOD,
	CODING_XOR,
	CODING_RAW
};

#define INT_LIMIT 9007199254740992.0 /* 2^53: integers up to here are exact */

static const double powers_of_ten[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

struct bits {
	uint8_t *out;
	const uint8_t *in;
	size_t at_bit, end_bit;
};

static uint64_t double_bits(double v)
{
	uint64_t u;
	memcpy(&u, &v, sizeof(u));
	return u;
}

static double bits_double(uint64_t u)
{
	double v;
	memcpy(&v, &u, sizeof(v));
	return v;
}

static bool put_bits(struct bits *b, uint64_t value, unsigned width)
{
	if (width > b->end_bit - b->at_bit) {
		return false;
	}
	while (width > 0) {
		unsigned room = 8 - (unsigned)(b->at_bit & 7);
		unsigned take = OPS_MIN(room, width);
		uint8_t part = (uint8_t)((value >> (width - take)) & ((1u << take) - 1));
		uint8_t *byte = &b->out[b->at_bit >> 3];
		if (room == 8) {
			*byte = 0;
		}
		*byte = (uint8_t)(*byte | (part << (room - take)));
		b->at_bit += take;
		width -= take;
	}
	return true;
}

static bool get_bits(struct bits *b, unsigned width, uint64_t *ret)
{
	if (width > b->end_bit - b->at_bit) {
		return false;
	}
	size_t byte = b->at_bit >> 3;
	if (width - 1 < 57 && byte + 8 <= b->end_bit >> 3) { /* one load holds them all */
		uint64_t word;
		memcpy(&word, b->in + byte, sizeof(word));
		*ret = (be64toh(word) << (b->at_bit & 7)) >> (64 - width);
		b->at_bit += width;
		return true;
	}
	uint64_t value = 0;
	while (width > 0) {
		unsigned room = 8 - (unsigned)(b->at_bit & 7);
		unsigned take = OPS_MIN(room, width);
		unsigned part = (unsigned)b->in[b->at_bit >> 3] >> (room - take);
		value = (value << take) | (part & ((1u << take) - 1));
		b->at_bit += take;
		width -= take;
	}
	*ret = value;
	return true;
}

static size_t put_varint(uint8_t *out, int64_t v)
{
	uint64_t u = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
	size_t n = 0;
	while (u >= 0x80) {
		out[n++] = (uint8_t)(u | 0x80);
		u >>= 7;
	}
	out[n++] = (uint8_t)u;
	return n;
}

static bool get_varint(const uint8_t *data, size_t len, size_t *at, int64_t *ret)
{
	uint64_t u = 0;
	for (unsigned shift = 0; shift < 64 && *at < len; shift += 7) {
		uint8_t byte = data[(*at)++];
		u |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*ret = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
			return true;
		}
	}
	return false;
}

/* Whether every value is k / 10^e, to the bit; the k go to ints. */
static bool as_integers(const double *values, size_t n, unsigned e, int64_t *ints)
{
	double scale = powers_of_ten[e];
	for (size_t i = 0; i < n; i++) {
		double scaled = values[i] * scale;
		if (!(fabs(scaled) < INT_LIMIT)) {
			return false;
		}
		ints[i] = (int64_t)llrint(scaled);
		if (double_bits((double)ints[i] / scale) != double_bits(values[i])) {
			return false;
		}
	}
	return true;
}

static unsigned bit_width(uint64_t v)
{
	return v != 0 ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

static void min_max(const int64_t *v, size_t n, int64_t *ret_min, int64_t *ret_max)
{
	*ret_min = n != 0 ? v[0] : 0;
	*ret_max = *ret_min;
	for (size_t i = 1; i < n; i++) {
		*ret_min = OPS_MIN(*ret_min, v[i]);
		*ret_max = OPS_MAX(*ret_max, v[i]);
	}
}

/* v[i] -= v[i - 1] from the second on; backwards, in place. */
static void differences(int64_t *v, size_t n)
{
	for (size_t i = n; i-- > 1;) {
		v[i] -= v[i - 1];
	}
}

/* Packs the head values as they are and the rest less their minimum. 0: no room. */
static size_t pack(const int64_t *v, size_t n, size_t heads, uint8_t *out, size_t room)
{
	int64_t min, max;
	min_max(v + heads, n - heads, &min, &max);
	unsigned width = bit_width((uint64_t)max - (uint64_t)min);
	uint8_t head[40];
	size_t at = 0;
	for (size_t i = 0; i < heads; i++) {
		at += put_varint(head + at, v[i]);
	}
	at += put_varint(head + at, min);
	head[at++] = (uint8_t)width;
	if (at + ((n - heads) * width + 7) / 8 > room) {
		return 0;
	}
	memcpy(out, head, at);
	struct bits b = {.out = out + at, .end_bit = (room - at) * 8};
	for (size_t i = heads; i < n; i++) {
		if (!put_bits(&b, (uint64_t)v[i] - (uint64_t)min, width)) {
			return 0;
		}
	}
	return at + (b.at_bit + 7) / 8;
}

static size_t encode_integers(int64_t *ints, size_t n, unsigned e, uint8_t *out)
{
	uint8_t candidate[DET_BLOCK_ROWS * 8];
	size_t best = 0, room = n * 8; /* never longer than raw */
	/* Heads are the values that stay as they are: none, the first, the first two. */
	for (unsigned heads = 0; heads < 3 && heads < n; heads++) {
		if (heads > 0) {
			differences(ints + heads - 1, n - heads + 1);
		}
		size_t len = pack(ints, n, heads, candidate, room);
		if (len != 0 && (best == 0 || len < best)) {
			best = room = len;
			out[0] = (uint8_t)(CODING_FRAME + heads);
			memcpy(out + 2, candidate, len);
		}
	}
	out[1] = (uint8_t)e;
	return best != 0 ? best + 2 : 0;
}

static bool put_xor(struct bits *b, uint64_t x, unsigned *lead, unsigned *len)
{
	if (x == 0) {
		return put_bits(b, 0, 1);
	}
	unsigned l = OPS_MIN((unsigned)__builtin_clzll(x), 31u);
	unsigned trail = (unsigned)__builtin_ctzll(x);
	unsigned have_trail = 64 - *lead - *len;
	if (*len != 0 && l >= *lead && trail >= have_trail) {
		return put_bits(b, 2, 2) && put_bits(b, x >> have_trail, *len);
	}
	*lead = l;
	*len = 64 - l - trail;
	return put_bits(b, 3, 2) && put_bits(b, l, 5) && put_bits(b, *len - 1, 6) &&
	       put_bits(b, x >> trail, *len);
}

static size_t encode_xor(const double *values, size_t n, uint8_t *out)
{
	struct bits b = {.out = out + 1, .end_bit = n * 64};
	unsigned lead = 0, len = 0;
	uint64_t last = double_bits(values[0]);
	bool fits = put_bits(&b, last, 64);
	for (size_t i = 1; fits && i < n; i++) {
		uint64_t now = double_bits(values[i]);
		fits = put_xor(&b, now ^ last, &lead, &len);
		last = now;
	}
	out[0] = fits ? CODING_XOR : CODING_RAW;
	if (fits) {
		return 1 + (b.at_bit + 7) / 8;
	}
	memcpy(out + 1, values, n * sizeof(*values));
	return 1 + n * sizeof(*values);
}

size_t det_block_encode(const double *values, size_t n, uint8_t *out)
{
	ops_assert(n <= DET_BLOCK_ROWS);
	if (n == 0) {
		return 0;
	}
	int64_t ints[DET_BLOCK_ROWS];
	for (unsigned e = 0; e < OPS_LENGTH(powers_of_ten); e++) {
		if (as_integers(values, n, e, ints)) {
			size_t len = encode_integers(ints, n, e, out);
			if (len != 0) {
				return len;
			}
			break;
		}
	}
	return encode_xor(values, n, out);
}

static int decode_integers(const uint8_t *data, size_t len, size_t n, double *ret)
{
	size_t heads = OPS_MIN((size_t)data[0] - CODING_FRAME, n);
	if (len < 3 || data[1] >= OPS_LENGTH(powers_of_ten)) {
		return -EBADMSG;
	}
	size_t at = 2;
	int64_t head[2] = {0, 0}, min;
	for (size_t i = 0; i < heads; i++) {
		if (!get_varint(data, len, &at, &head[i])) {
			return -EBADMSG;
		}
	}
	if (!get_varint(data, len, &at, &min) || at >= len || data[at] > 64) {
		return -EBADMSG;
	}
	unsigned width = data[at++];
	double scale = powers_of_ten[data[1]];
	struct bits b = {.in = data + at, .end_bit = (len - at) * 8};
	/* Unsigned sums: hostile bytes may wrap, that is their own fault. */
	uint64_t value = (uint64_t)head[0], delta = (uint64_t)head[1];
	for (size_t i = 0; i < n; i++) {
		uint64_t packed = 0;
		if (i >= heads) {
			if (!get_bits(&b, width, &packed)) {
				return -EBADMSG;
			}
			packed += (uint64_t)min;
			delta = heads == 2 ? delta + packed : packed;
		}
		if (heads == 0) {
			value = packed;
		} else if (i > 0) {
			value += delta;
		}
		ret[i] = (double)(int64_t)value / scale;
	}
	return 0;
}

static bool get_xor(struct bits *b, unsigned *lead, unsigned *len, uint64_t *ret)
{
	uint64_t bit, field;
	*ret = 0;
	if (!get_bits(b, 1, &bit)) {
		return false;
	}
	if (bit == 0) {
		return true;
	}
	if (!get_bits(b, 1, &bit)) {
		return false;
	}
	if (bit == 1) {
		if (!get_bits(b, 11, &field)) {
			return false;
		}
		*lead = (unsigned)(field >> 6);
		*len = (unsigned)(field & 63) + 1;
	}
	if (*len == 0 || *lead + *len > 64 || !get_bits(b, *len, &field)) {
		return false;
	}
	*ret = field << (64 - *lead - *len);
	return true;
}

static int decode_xor(const uint8_t *data, size_t len, size_t n, double *ret)
{
	struct bits b = {.in = data + 1, .end_bit = (len - 1) * 8};
	unsigned lead = 0, length = 0;
	uint64_t value, x;
	if (!get_bits(&b, 64, &value)) {
		return -EBADMSG;
	}
	ret[0] = bits_double(value);
	for (size_t i = 1; i < n; i++) {
		if (!get_xor(&b, &lead, &length, &x)) {
			return -EBADMSG;
		}
		value ^= x;
		ret[i] = bits_double(value);
	}
	return 0;
}

int det_block_decode(const uint8_t *data, size_t len, size_t n, double *ret_values)
{
	if (n == 0) {
		return 0;
	}
	if (len == 0) {
		return -EBADMSG;
	}
	switch (data[0]) {
	case CODING_FRAME:
	case CODING_DELTA:
	case CODING_DOD:
		return decode_integers(data, len, n, ret_values);
	case CODING_XOR:
		return decode_xor(data, len, n, ret_values);
	case CODING_RAW:
		if (len - 1 < n * sizeof(*ret_values)) {
			return -EBADMSG;
		}
		memcpy(ret_values, data + 1, n * sizeof(*ret_values));
		return 0;
	default:
		return -EBADMSG;
	}
}
