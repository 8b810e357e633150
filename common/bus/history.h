/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a publisher can still replay: a spool on disk, a ring in memory, or nothing but the numbers.
 * Records are topic '\n' payload. Owned by the publisher.
 */
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_history; /* opaque */

struct ops_history_config {
	const char *dir;      /* NULL: memory */
	uint64_t limit_bytes; /* 0 with dir NULL: keep nothing */
	size_t max_record_bytes;
	const char
		*overflow_dir; /* with dir NULL: where ops_history_keep_all puts what falls out */
	uint64_t overflow_bytes;
};

int ops_history_open(const struct ops_history_config *cfg, struct ops_history **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void ops_history_close(struct ops_history *h);
int ops_history_append(
	struct ops_history *h, const void *data, size_t len, uint64_t *ret_seq) OPS_MUST_CHECK;
/* On error what was appended since the last success is taken back. */
int ops_history_sync(struct ops_history *h) OPS_MUST_CHECK;
/* As ops_spool_read. */
int ops_history_read(struct ops_history *h, uint64_t from, size_t max,
	int (*fn)(uint64_t seq, const void *data, size_t len, void *arg), void *arg) OPS_MUST_CHECK;
void ops_history_trim(struct ops_history *h, uint64_t number); /* below number may go */
/* While on, a ring's oldest records go to disk instead of away. Off lets go of those on disk. */
void ops_history_keep_all(struct ops_history *h, bool on);
uint64_t ops_history_held_bytes(const struct ops_history *h); /* in memory */
uint64_t ops_history_overflow_bytes(const struct ops_history *h);
uint64_t ops_history_overflow_end(const struct ops_history *h); /* 0: nothing is on disk */
uint64_t ops_history_first(const struct ops_history *h);
uint64_t ops_history_next(const struct ops_history *h);
uint64_t ops_history_epoch(const struct ops_history *h);
bool ops_history_on_disk(const struct ops_history *h);
