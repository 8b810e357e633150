/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frame of reference with patches (after Zukowski et al., "Super-Scalar RAM-CPU Cache
 * Compression", ICDE 2006): a sub-block of 64 values is a base and, per value, its distance from
 * the base in as many bits as the largest needs. One value far off (a counter that started again,
 * a burst) would widen all 64, so up to MAX_PATCHES values may stand apart: their place and their
 * distance, which may be negative. 64 values of w bits are w whole words, so unpacking is one
 * unaligned load, shift and mask per value and has no branch.
 *
 *	byte	width 0..64, plus 128 when a base follows, (0 otherwise)
 *	        BYTE_PATCHED (127): next bytes are the number of patches and the real such byte
 *	zigzag varint base, when announced
 *	count * width bits, lowest first, filled up to a byte
 *	patches: byte place, zigzag varint distance from the base
 *
 * All sums wrap, so every 64-bit value has its place, and hostile bytes give wrong numbers at
 *worst.
 */
#include "services/detector/store/pack.h"

#include <string.h>

#include "common/base/bytes.h"
#include "services/detector/store/varint.h"

enum {
	MAX_PATCHES = 8,
	BYTE_PATCHED = 127,
	BYTE_BASE = 128,
	PATCH_BYTES = 4 /* what a patch takes, about */
};

struct frame {
	int64_t base;
	unsigned width, npatches;
};

static unsigned bit_width(uint64_t v)
{
	return v != 0 ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

static size_t varint_bits(int64_t v)
{
	return v == 0 ? 0 : 8 * (((size_t)bit_width(det_zigzag(v)) + 6) / 7);
}

static void min_max(const int64_t *v, size_t n, int64_t *ret_min, int64_t *ret_max)
{
	int64_t min = v[0], max = v[0];
	for (size_t i = 1; i < n; i++) {
		min = v[i] < min ? v[i] : min;
		max = v[i] > max ? v[i] : max;
	}
	*ret_min = min;
	*ret_max = max;
}

size_t det_pack_cost_bits(const int64_t *values, size_t n)
{
	size_t bits = 0;
	for (size_t i = 0; i < n; i += DET_PACK_BLOCK) {
		size_t count = OPS_MIN(n - i, (size_t)DET_PACK_BLOCK);
		int64_t min, max;
		min_max(values + i, count, &min, &max);
		unsigned width = bit_width((uint64_t)max - (uint64_t)min);
		int64_t base = min > 0 && bit_width((uint64_t)max) == width ? 0 : min;
		bits += 8 + varint_bits(base) + count * width;
	}
	return bits;
}

/* The cheapest width above this base, where what does not fit is patched. */
static size_t best_width(const int64_t *v, size_t n, struct frame *frame)
{
	uint8_t counts[65] = {0};
	unsigned top = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned width = bit_width((uint64_t)v[i] - (uint64_t)frame->base);
		counts[width]++;
		top = OPS_MAX(top, width);
	}
	size_t best = n * top;
	frame->width = top;
	frame->npatches = 0;
	unsigned over = 0;
	for (unsigned width = top; width-- > 0;) {
		over += counts[width + 1];
		if (over > MAX_PATCHES) {
			break;
		}
		size_t bits = 16 + n * width + over * (8 * PATCH_BYTES);
		if (bits < best) {
			best = bits;
			frame->width = width;
			frame->npatches = over;
		}
	}
	return best + varint_bits(frame->base);
}

/* The smallest value but one, for the case that the smallest is an outlier. */
static int64_t second_smallest(const int64_t *v, size_t n, int64_t min)
{
	int64_t second = INT64_MAX;
	bool seen = false;
	for (size_t i = 0; i < n; i++) {
		if (v[i] == min && !seen) {
			seen = true;
		} else {
			second = OPS_MIN(second, v[i]);
		}
	}
	return second;
}

static struct frame choose(const int64_t *v, size_t n)
{
	int64_t min, max;
	min_max(v, n, &min, &max);
	unsigned width = bit_width((uint64_t)max - (uint64_t)min);
	struct frame best = {.base = min, .width = width};
	if (min > 0 && bit_width((uint64_t)max) == width) {
		best.base = 0; /* as narrow without */
	}
	if (width <= 2 || n < 8) {
		return best;
	}
	size_t bits = best_width(v, n, &best);
	int64_t second = second_smallest(v, n, min);
	if (bit_width((uint64_t)max - (uint64_t)second) + 2 <= width) {
		struct frame other = {.base = second};
		if (best_width(v, n, &other) < bits) {
			best = other;
		}
	}
	return best;
}

static uint8_t *pack_bits(const int64_t *v, size_t n, const struct frame *f, uint8_t *out)
{
	unsigned width = f->width;
	uint64_t word = 0, limit = width == 64 ? UINT64_MAX : (1ULL << width) - 1;
	unsigned fill = 0;
	if (width == 0) {
		return out;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t x = (uint64_t)v[i] - (uint64_t)f->base;
		x = x > limit ? 0 : x;
		word |= x << fill;
		fill += width;
		if (fill >= 64) {
			ops_put_u64(out, word);
			out += 8;
			fill -= 64;
			word = fill != 0 ? x >> (width - fill) : 0;
		}
	}
	for (; fill > 0; fill -= OPS_MIN(fill, 8u)) {
		*out++ = (uint8_t)word;
		word >>= 8;
	}
	return out;
}

static uint8_t *put_patches(const int64_t *v, size_t n, const struct frame *f, uint8_t *out)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t x = (uint64_t)v[i] - (uint64_t)f->base;
		if (bit_width(x) > f->width) {
			*out++ = (uint8_t)i;
			out = det_put_varint(out, det_zigzag((int64_t)x));
		}
	}
	return out;
}

static uint8_t *encode_block(const int64_t *v, size_t n, uint8_t *out)
{
	struct frame f = choose(v, n);
	if (f.npatches != 0) {
		*out++ = BYTE_PATCHED;
		*out++ = (uint8_t)f.npatches;
	}
	*out++ = (uint8_t)(f.width | (f.base != 0 ? BYTE_BASE : 0u));
	if (f.base != 0) {
		out = det_put_varint(out, det_zigzag(f.base));
	}
	out = pack_bits(v, n, &f, out);
	return f.npatches != 0 ? put_patches(v, n, &f, out) : out;
}

uint8_t *det_pack_encode(const int64_t *values, size_t n, uint8_t *out)
{
	for (size_t i = 0; i < n; i += DET_PACK_BLOCK) {
		out = encode_block(values + i, OPS_MIN(n - i, (size_t)DET_PACK_BLOCK), out);
	}
	return out;
}

/* Eight bytes behind the last are readable. */
static void unpack_narrow(
	const uint8_t *data, size_t n, unsigned width, uint64_t base, int64_t *ret)
{
	uint64_t mask = (1ULL << width) - 1;
	size_t bit = 0;
	for (size_t i = 0; i < n; i++, bit += width) {
		uint64_t word = ops_get_u64(data + (bit >> 3)) >> (bit & 7);
		ret[i] = (int64_t)((word & mask) + base);
	}
}

/* More than 57 bits: the ninth byte is needed as well. */
static void unpack_wide(const uint8_t *data, size_t n, unsigned width, uint64_t base, int64_t *ret)
{
	uint64_t mask = width == 64 ? UINT64_MAX : (1ULL << width) - 1;
	size_t bit = 0;
	for (size_t i = 0; i < n; i++, bit += width) {
		unsigned shift = bit & 7;
		uint64_t word = ops_get_u64(data + (bit >> 3)) >> shift;
		if (shift != 0) {
			word |= (uint64_t)data[(bit >> 3) + 8] << (64 - shift);
		}
		ret[i] = (int64_t)((word & mask) + base);
	}
}

static void unpack(const uint8_t *data, size_t n, unsigned width, uint64_t base, int64_t *ret)
{
	if (width == 0) {
		for (size_t i = 0; i < n; i++) {
			ret[i] = (int64_t)base;
		}
	} else if (width <= 57) {
		unpack_narrow(data, n, width, base, ret);
	} else {
		unpack_wide(data, n, width, base, ret);
	}
}

static bool get_patches(
	const uint8_t **at, const uint8_t *end, const size_t counts[2], uint64_t base, int64_t *ret)
{
	for (size_t i = 0; i < counts[0]; i++) {
		uint64_t distance;
		if (*at >= end) {
			return false;
		}
		uint8_t place = *(*at)++;
		if (place >= counts[1] || !det_get_varint(at, end, &distance)) {
			return false;
		}
		ret[place] = (int64_t)((uint64_t)det_unzigzag(distance) + base);
	}
	return true;
}

static bool decode_block(const uint8_t **at, const uint8_t *end, size_t n, int64_t *ret)
{
	const uint8_t *p = *at;
	size_t counts[2] = {0, n}; /* patches, values */
	uint64_t base = 0;
	if (end - p >= 2 && *p == BYTE_PATCHED) {
		counts[0] = p[1];
		p += 2;
	}
	if (p >= end || counts[0] > MAX_PATCHES) {
		return false;
	}
	uint8_t head = *p++;
	unsigned width = head & 127u;
	if (width > 64 || ((head & BYTE_BASE) != 0 && !det_get_varint(&p, end, &base))) {
		return false;
	}
	base = (uint64_t)det_unzigzag(base);
	size_t bytes = (n * width + 7) / 8;
	if ((size_t)(end - p) < bytes) {
		return false;
	}
	if ((size_t)(end - p) >= bytes + 9) {
		unpack(p, n, width, base, ret);
	} else {
		uint8_t copy[DET_PACK_BLOCK * 8 + 9];
		memcpy(copy, p, bytes);
		memset(copy + bytes, 0, 9);
		unpack(copy, n, width, base, ret);
	}
	*at = p + bytes;
	return counts[0] == 0 || get_patches(at, end, counts, base, ret);
}

bool det_pack_decode(const uint8_t **at, const uint8_t *end, size_t n, int64_t *ret)
{
	for (size_t i = 0; i < n; i += DET_PACK_BLOCK) {
		if (!decode_block(at, end, OPS_MIN(n - i, (size_t)DET_PACK_BLOCK), ret + i)) {
			return false;
		}
	}
	return true;
}
