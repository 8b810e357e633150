/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format is https://github.com/RoaringBitmap/RoaringFormatSpec: a cookie, key and cardinality
 * of each container of 65536 numbers, their starts, then containers as sorted arrays, bit sets or
 * runs. CRoaring's safe reading keeps within the bytes, but an array that does not ascend or a
 * cardinality that is not true would mislead it later.
 */
#include "services/detector/store/postings.h"

#include <string.h>

#include "common/base/bytes.h"

enum {
	COOKIE_RUNS = 12347,
	COOKIE_PLAIN = 12346,
	NO_OFFSETS_BELOW = 4, /* with runs, fewer containers have no starts */
	ARRAY_MAX = 4096,
	BITSET_BYTES = 8192
};

struct reader {
	const uint8_t *at, *end;
	const uint8_t *run_flags; /* NULL: no runs */
	const uint8_t *keys;	  /* u16 key, u16 cardinality - 1 */
	uint32_t ncontainers;
};

static bool take(struct reader *r, size_t bytes, const uint8_t **ret)
{
	if ((size_t)(r->end - r->at) < bytes) {
		return false;
	}
	*ret = r->at;
	r->at += bytes;
	return true;
}

static bool read_head(struct reader *r)
{
	const uint8_t *p;
	if (!take(r, 4, &p)) {
		return false;
	}
	uint32_t cookie = ops_get_u32(p);
	if ((cookie & 0xffff) == COOKIE_RUNS) {
		r->ncontainers = (cookie >> 16) + 1;
		if (!take(r, (r->ncontainers + 7) / 8, &r->run_flags)) {
			return false;
		}
	} else if (cookie == COOKIE_PLAIN && take(r, 4, &p)) {
		r->ncontainers = ops_get_u32(p);
	} else {
		return false;
	}
	if (r->ncontainers > 65536 || !take(r, (size_t)r->ncontainers * 4, &r->keys)) {
		return false;
	}
	bool starts = r->run_flags == NULL || r->ncontainers >= NO_OFFSETS_BELOW;
	return !starts || take(r, (size_t)r->ncontainers * 4, &p);
}

/* Containers: each gives its last number. */
static bool read_array(struct reader *r, uint32_t cardinality, uint32_t *ret_last)
{
	const uint8_t *p;
	if (!take(r, (size_t)cardinality * 2, &p)) {
		return false;
	}
	for (uint32_t i = 1; i < cardinality; i++) {
		if (ops_get_u16(p + (size_t)i * 2) <= ops_get_u16(p + (size_t)i * 2 - 2)) {
			return false;
		}
	}
	*ret_last = ops_get_u16(p + (size_t)cardinality * 2 - 2);
	return true;
}

static bool read_bitset(struct reader *r, uint32_t cardinality, uint32_t *ret_last)
{
	const uint8_t *p;
	uint32_t count = 0;
	if (!take(r, BITSET_BYTES, &p)) {
		return false;
	}
	for (uint32_t i = 0; i < BITSET_BYTES / 8; i++) {
		uint64_t word = ops_get_u64(p + (size_t)i * 8);
		count += (uint32_t)__builtin_popcountll(word);
		if (word != 0) {
			*ret_last = i * 64 + 63 - (uint32_t)__builtin_clzll(word);
		}
	}
	return count == cardinality;
}

static bool read_runs(struct reader *r, uint32_t cardinality, uint32_t *ret_last)
{
	const uint8_t *p;
	uint32_t next = 0, count = 0;
	if (!take(r, 2, &p)) {
		return false;
	}
	uint32_t nruns = ops_get_u16(p);
	if (nruns == 0 || !take(r, (size_t)nruns * 4, &p)) {
		return false;
	}
	for (uint32_t i = 0; i < nruns; i++) {
		uint32_t start = ops_get_u16(p + (size_t)i * 4);
		uint32_t more = ops_get_u16(p + (size_t)i * 4 + 2);
		if (start < next || start + more > 65535) {
			return false;
		}
		*ret_last = start + more;
		next = start + more + 2; /* runs that touch would be one */
		count += more + 1;
	}
	return count == cardinality;
}

static bool read_container(struct reader *r, uint32_t at, uint32_t *ret_last)
{
	uint32_t cardinality = (uint32_t)ops_get_u16(r->keys + (size_t)at * 4 + 2) + 1;
	if (r->run_flags != NULL && (r->run_flags[at / 8] >> (at % 8) & 1) != 0) {
		return read_runs(r, cardinality, ret_last);
	}
	return cardinality <= ARRAY_MAX ? read_array(r, cardinality, ret_last)
					: read_bitset(r, cardinality, ret_last);
}

bool det_postings_valid(const uint8_t *data, size_t len, uint32_t limit)
{
	struct reader r = {.at = data, .end = data + len};
	uint32_t last = 0;
	if (!read_head(&r)) {
		return false;
	}
	for (uint32_t i = 0; i < r.ncontainers; i++) {
		uint32_t key = ops_get_u16(r.keys + (size_t)i * 4);
		if ((i > 0 && key <= ops_get_u16(r.keys + (size_t)i * 4 - 4)) ||
			!read_container(&r, i, &last) || (key << 16 | last) >= limit) {
			return false;
		}
	}
	return r.at == r.end;
}

bool det_postings_add(const uint8_t *data, size_t len, uint32_t limit, roaring_bitmap_t **into)
{
	if (!det_postings_valid(data, len, limit)) {
		return false;
	}
	roaring_bitmap_t *read = roaring_bitmap_portable_deserialize_safe((const char *)data, len);
	if (read == NULL) {
		return false;
	}
	if (*into == NULL) {
		*into = read;
		return true;
	}
	roaring_bitmap_or_inplace(*into, read);
	roaring_bitmap_free(read);
	return true;
}
