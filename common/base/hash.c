/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_hash64 folds 16 bytes a step through a 64x64->128 bit multiplication, the idea of wyhash
 * (Wang Yi, public domain); the constants are odd numbers with 32 bits set. Unaligned loads go
 * through memcpy and are little-endian on every machine we run on; the value never leaves a host.
 * The CRC uses the processor's instruction where there is one, otherwise eight tables of 256 words
 * (slicing-by-8, Kounavis and Berry), computed once. Both orders of magnitude are far above the
 * disk.
 */
#include "common/base/hash.h"

#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static uint64_t load64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t ops_hash64(const void *data, size_t len, uint64_t seed)
{
	static const uint64_t k0 = 0x2d358dccaa6c78a5ULL, k1 = 0x8bb84b93962eacc9ULL,
			      k2 = 0x4b33a62ed433d4a3ULL;
	const unsigned char *p = data;
	uint64_t h = seed ^ mix(seed ^ k0, k1 ^ len);

	for (; len > 16; len -= 16, p += 16)
		h = mix(load64(p) ^ k1, load64(p + 8) ^ h);
	unsigned char tail[16] = {0};
	if (len != 0)
		memcpy(tail, p, len);
	uint64_t a = load64(tail) ^ k1, b = load64(tail + 8) ^ h;
	return mix(mix(a, b) ^ k2, (uint64_t)len ^ h ^ k0);
}

uint64_t ops_fnv1a64(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 1099511628211ULL;
	return hash;
}

static uint32_t crc_table[8][256];

static void __attribute__((constructor)) fill_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;
		for (int bit = 0; bit < 8; bit++)
			c = (c & 1) != 0 ? (c >> 1) ^ 0x82f63b78U : c >> 1;
		crc_table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++) {
		for (int t = 1; t < 8; t++) {
			uint32_t c = crc_table[t - 1][i];
			crc_table[t][i] = (c >> 8) ^ crc_table[0][c & 0xff];
		}
	}
}

static uint32_t crc_software(uint32_t crc, const unsigned char *p, size_t len)
{
	for (; len >= 8; len -= 8, p += 8) {
		uint64_t v = load64(p) ^ crc;
		crc = 0;
		for (int t = 0; t < 8; t++)
			crc ^= crc_table[7 - t][(v >> (8 * t)) & 0xff];
	}
	for (; len > 0; len--, p++)
		crc = (crc >> 8) ^ crc_table[0][(crc ^ *p) & 0xff];
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(
	uint32_t crc, const unsigned char *p, size_t len)
{
	uint64_t wide = crc;

	for (; len >= 8; len -= 8, p += 8)
		wide = _mm_crc32_u64(wide, load64(p));
	crc = (uint32_t)wide;
	for (; len > 0; len--, p++)
		crc = _mm_crc32_u8(crc, *p);
	return crc;
}
#endif

uint32_t ops_crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_hardware(~crc, data, len);
#endif
	return ops_crc32c_software(crc, data, len);
}

uint32_t ops_crc32c_software(uint32_t crc, const void *data, size_t len)
{
	return ~crc_software(~crc, data, len);
}
