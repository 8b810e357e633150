/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Little-endian integers in byte strings, at any alignment: file formats and the wire. The caller
 * checks that the bytes are there.
 */
#include "common/base/def.h"

#include <endian.h>
#include <string.h>

static inline void ops_put_u16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void ops_put_u32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void ops_put_u64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* The same bits: tells NaN markers and the two zeros apart, and equal NaNs are equal. */
static inline bool ops_double_same(double a, double b)
{
	uint64_t x, y;

	memcpy(&x, &a, sizeof(x));
	memcpy(&y, &b, sizeof(y));
	return x == y;
}

static inline uint16_t ops_get_u16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t ops_get_u32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t ops_get_u64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}
