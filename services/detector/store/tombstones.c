/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File: "OPSTOMB1", u32 CRC32C of all behind it, u32 number, then u32 series, u32 0, i64 first,
 * i64 last deleted millisecond. Small, so it is replaced as a whole.
 */
#include "services/detector/store/tombstones.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "services/detector/store/block_format.h"

enum {
	HEADER_BYTES = 16,
	ITEM_BYTES = 24
};
#define MAX_BYTES ((size_t)1 << 30)

static int compare(const void *a, const void *b)
{
	const struct det_tombstone *x = a, *y = b;
	if (x->series != y->series) {
		return x->series < y->series ? -1 : 1;
	}
	return (x->mint_ms > y->mint_ms) - (x->mint_ms < y->mint_ms);
}

/* Sorts and joins what overlaps or touches. */
static size_t normalize(struct det_tombstone *items, size_t n)
{
	size_t kept = 0;
	qsort(items, n, sizeof(*items), compare);
	for (size_t i = 0; i < n; i++) {
		struct det_tombstone *last = kept != 0 ? &items[kept - 1] : NULL;
		if (last != NULL && last->series == items[i].series &&
			(last->maxt_ms == INT64_MAX || items[i].mint_ms <= last->maxt_ms + 1)) {
			last->maxt_ms = OPS_MAX(last->maxt_ms, items[i].maxt_ms);
		} else {
			items[kept++] = items[i];
		}
	}
	return kept;
}

struct det_tombstones *det_tombstones_add(
	const struct det_tombstones *base, const struct det_tombstone *more, size_t n)
{
	size_t before = base != NULL ? base->n : 0;
	struct det_tombstones *t = ops_xcalloc(1, sizeof(*t) + (before + n) * sizeof(t->items[0]));
	if (before != 0) {
		memcpy(t->items, base->items, before * sizeof(t->items[0]));
	}
	if (n != 0) {
		memcpy(t->items + before, more, n * sizeof(t->items[0]));
	}
	t->n = normalize(t->items, before + n);
	return t;
}

void det_tombstones_free(struct det_tombstones *t)
{
	while (t != NULL) {
		struct det_tombstones *older = t->older;
		free(t);
		t = older;
	}
}

size_t det_tombstones_of(
	const struct det_tombstones *t, uint32_t series, const struct det_tombstone **ret)
{
	size_t lo = 0, hi = t != NULL ? t->n : 0;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (t->items[mid].series < series) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	size_t end = lo;
	while (t != NULL && end < t->n && t->items[end].series == series) {
		end++;
	}
	*ret = t != NULL ? t->items + lo : NULL;
	return end - lo;
}

int det_tombstones_write(const struct det_tombstones *t, const char *path)
{
	size_t bytes = HEADER_BYTES + t->n * ITEM_BYTES;
	char *data = ops_xcalloc(1, bytes), *at = data + HEADER_BYTES;
	memcpy(data, DET_BLOCK_TOMBSTONES_MAGIC, 8);
	ops_put_u32(data + 12, (uint32_t)t->n);
	for (size_t i = 0; i < t->n; i++, at += ITEM_BYTES) {
		ops_put_u32(at, t->items[i].series);
		ops_put_u64(at + 8, (uint64_t)t->items[i].mint_ms);
		ops_put_u64(at + 16, (uint64_t)t->items[i].maxt_ms);
	}
	ops_put_u32(data + 8, ops_crc32c(0, data + 12, bytes - 12));
	int rc = ops_file_write_atomic(path, data, bytes, 0640);
	free(data);
	return rc;
}

int det_tombstones_parse(
	const uint8_t *data, size_t len, uint32_t nseries, struct det_tombstones **ret)
{
	if (len < HEADER_BYTES || memcmp(data, DET_BLOCK_TOMBSTONES_MAGIC, 8) != 0 ||
		ops_get_u32(data + 8) != ops_crc32c(0, data + 12, len - 12) ||
		len != HEADER_BYTES + (size_t)ops_get_u32(data + 12) * ITEM_BYTES) {
		return -EBADMSG;
	}
	size_t n = ops_get_u32(data + 12);
	struct det_tombstone *items = ops_xcalloc(n + 1, sizeof(*items));
	for (size_t i = 0; i < n; i++) {
		const uint8_t *at = data + HEADER_BYTES + i * ITEM_BYTES;
		items[i] = (struct det_tombstone){.series = ops_get_u32(at),
			.mint_ms = (int64_t)ops_get_u64(at + 8),
			.maxt_ms = (int64_t)ops_get_u64(at + 16)};
		if (items[i].series >= nseries) {
			free(items);
			return -EBADMSG;
		}
	}
	*ret = det_tombstones_add(NULL, items, n);
	free(items);
	return 0;
}

int det_tombstones_read(const char *path, uint32_t nseries, struct det_tombstones **ret)
{
	struct ops_strbuf data = OPS_STRBUF_INIT;
	int rc = ops_file_read(path, MAX_BYTES, &data);
	if (rc == -ENOENT) {
		*ret = NULL;
		rc = 0;
	} else if (rc == 0) {
		rc = det_tombstones_parse((const uint8_t *)data.data, data.len, nseries, ret);
	}
	ops_strbuf_done(&data);
	return rc;
}
