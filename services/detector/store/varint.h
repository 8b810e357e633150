/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * LEB128 integers in the files of the store, signed ones by zigzag. Reading is bounded by end and
 * says false on what is cut short or longer than 64 bits.
 */
#include "common/base/def.h"

#define DET_VARINT_MAX 10u

static inline uint64_t det_zigzag(int64_t v)
{
	return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t det_unzigzag(uint64_t u)
{
	return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}

static inline uint8_t *det_put_varint(uint8_t *out, uint64_t u)
{
	while (u >= 0x80) {
		*out++ = (uint8_t)(u | 0x80);
		u >>= 7;
	}
	*out++ = (uint8_t)u;
	return out;
}

static inline bool det_get_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
	const uint8_t *p = *at;
	uint64_t u = 0;
	for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
		uint8_t byte = *p++;
		u |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80) {
			*at = p;
			*ret = u;
			return true;
		}
	}
	return false;
}

static inline bool det_get_varint_u32(const uint8_t **at, const uint8_t *end, uint32_t *ret)
{
	uint64_t u;
	if (!det_get_varint(at, end, &u) || u > UINT32_MAX) {
		return false;
	}
	*ret = (uint32_t)u;
	return true;
}
