/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Durable append-only log of byte records, numbered from 1 without gaps, in CRC-framed segment
 * files. It is the write-ahead log of a bus stream, the spool of the audit client and the outbox of
 * history: written by one process, drained in order, trimmed from the front.
 *
 * A segment is segment.FIRST-NUMBER in hex; a record is {u32 length, u32 crc32c(number, length,
 * bytes), bytes}, little-endian. Opening cuts a torn tail (what was not fsynced) and reports how
 * much; a damaged record in the middle ends that segment and is reported as lost numbers, never
 * returned as data. The drained position ("ack") is kept in a small checksummed file replaced
 * atomically.
 */
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_spool; /* opaque */

struct ops_spool_config {
	const char *dir;	 /* made when absent, mode 0700 */
	size_t segment_bytes;	 /* roll after this; 0 = 8 MiB */
	uint64_t max_bytes;	 /* drop whole old segments above this; 0 = unlimited */
	size_t max_record_bytes; /* 0 = 4 MiB; larger appends fail with -EMSGSIZE */
};

struct ops_spool_report { /* what opening found */
	uint64_t torn_bytes, lost_records;
};

/* The directory is locked (-EBUSY when another process has it). */
int ops_spool_open(const struct ops_spool_config *cfg, struct ops_spool **ret,
	struct ops_spool_report *ret_report, struct ops_error *err) OPS_MUST_CHECK;
void ops_spool_close(struct ops_spool *s); /* syncs; NULL is fine */

/* Appends; not durable before ops_spool_sync. On error (-ENOSPC, -EIO) nothing is appended. */
int ops_spool_append(
	struct ops_spool *s, const void *data, size_t len, uint64_t *ret_number) OPS_MUST_CHECK;
/*
 * fdatasync of what is new; cheap when nothing is. On error everything appended since the last
 * success is taken back (the kernel may have thrown it away, and would call it clean the next
 * time).
 */
int ops_spool_sync(struct ops_spool *s) OPS_MUST_CHECK;

uint64_t ops_spool_first(
	const struct ops_spool *s); /* oldest number still there; == next when empty */
uint64_t ops_spool_next(const struct ops_spool *s); /* number the next append gets */
uint64_t ops_spool_bytes(const struct ops_spool *s);
uint64_t ops_spool_dropped(const struct ops_spool
		*s); /* un-acked records dropped by max_bytes, and lost to damage, since open */
uint64_t ops_spool_epoch(
	const struct ops_spool *s); /* random, made with the directory: names this numbering */

/*
 * Calls fn for records from..., oldest first, until max records, or fn returns non-zero (which is
 * returned). A from below first starts at first; numbers lost to damage are left out. data is valid
 * during the call only, and fn must not append.
 */
int ops_spool_read(struct ops_spool *s, uint64_t from, size_t max,
	int (*fn)(uint64_t number, const void *data, size_t len, void *arg),
	void *arg) OPS_MUST_CHECK;

/* Everything up to and including number is drained: durable, and segments wholly below are removed.
 */
int ops_spool_ack(struct ops_spool *s, uint64_t number) OPS_MUST_CHECK;
uint64_t ops_spool_acked(const struct ops_spool *s);
/* Numbers below `number` may go (whole segments do), without being acked (a bus stream is trimmed
 * at the lowest subscriber). */
int ops_spool_trim(struct ops_spool *s, uint64_t number) OPS_MUST_CHECK;
