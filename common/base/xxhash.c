/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH64 after its published specification: four lanes over stripes of 32 bytes, what is left in
 * words, half words and bytes, then an avalanche.
 */
#include "common/base/xxhash.h"

#include "common/base/bytes.h"

#define P1 0x9e3779b185ebca87ULL
#define P2 0xc2b2ae3d27d4eb4fULL
#define P3 0x165667b19e3779f9ULL
#define P4 0x85ebca77c2b2ae63ULL
#define P5 0x27d4eb2f165667c5ULL

static uint64_t rotate(uint64_t v, unsigned bits)
{
	return (v << bits) | (v >> (64 - bits));
}

static uint64_t round_of(uint64_t lane, uint64_t input)
{
	return rotate(lane + input * P2, 31) * P1;
}

/* Whole stripes; moves *at behind them. */
static uint64_t hash_stripes(const uint8_t **at, const uint8_t *end)
{
	uint64_t lanes[4] = {P1 + P2, P2, 0, 0 - P1};
	for (; end - *at >= 32; *at += 32) {
		for (size_t i = 0; i < 4; i++) {
			lanes[i] = round_of(lanes[i], ops_get_u64(*at + i * 8));
		}
	}
	uint64_t h = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) +
		     rotate(lanes[3], 18);
	for (size_t i = 0; i < 4; i++) {
		h = (h ^ round_of(0, lanes[i])) * P1 + P4;
	}
	return h;
}

uint64_t ops_xxh64(const void *data, size_t len)
{
	const uint8_t *at = data, *end = at + len;
	uint64_t h = (len >= 32 ? hash_stripes(&at, end) : P5) + len;
	for (; end - at >= 8; at += 8) {
		h = rotate(h ^ round_of(0, ops_get_u64(at)), 27) * P1 + P4;
	}
	if (end - at >= 4) {
		h = rotate(h ^ ops_get_u32(at) * P1, 23) * P2 + P3;
		at += 4;
	}
	for (; at < end; at++) {
		h = rotate(h ^ *at * P5, 11) * P1;
	}
	h = (h ^ (h >> 33)) * P2;
	h = (h ^ (h >> 29)) * P3;
	return h ^ (h >> 32);
}
