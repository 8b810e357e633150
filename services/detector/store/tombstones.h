/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What of a block is deleted: ranges of time per series. A set is never changed once made; who
 * deletes makes the next one. Any thread.
 */
#include "common/base/error.h"

struct det_tombstone {
	uint32_t series;
	int64_t mint_ms, maxt_ms; /* both included */
};

struct det_tombstones {
	size_t n;
	struct det_tombstones *older; /* replaced by this one; kept for readers that have it */
	struct det_tombstone items[]; /* by series, then time; those of a series do not touch */
};

/* base (may be NULL) and n more, in any order. */
struct det_tombstones *det_tombstones_add(
	const struct det_tombstones *base, const struct det_tombstone *more, size_t n);
void det_tombstones_free(struct det_tombstones *t); /* older ones too; NULL is fine */
/* Those of one series: the first, and how many. t may be NULL. */
size_t det_tombstones_of(
	const struct det_tombstones *t, uint32_t series, const struct det_tombstone **ret);
/* Durable when it returns. */
int det_tombstones_write(const struct det_tombstones *t, const char *path) OPS_MUST_CHECK;
/* NULL when there is no such file. -EBADMSG when the file is not what was written; series are below
 * nseries. */
int det_tombstones_read(
	const char *path, uint32_t nseries, struct det_tombstones **ret) OPS_MUST_CHECK;
int det_tombstones_parse(const uint8_t *data, size_t len, uint32_t nseries,
	struct det_tombstones **ret) OPS_MUST_CHECK;
