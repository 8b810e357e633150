/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The store's append-only files and the thread that writes and syncs them: the loop never waits for
 * a disk. Definitions are durable before the log that refers to them, the head files before what
 * they replace is removed. Calls are the loop's; the thread is the disk's own.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "services/detector/store/logfile.h"
#include "services/detector/store/store.h"

struct det_disk; /* opaque */

struct det_head_file { /* segments; written by the loop at once, synced by the thread */
	uint64_t number;
	int fd;
	char *path;
	uint8_t *map; /* of cap bytes, read only; the file is as long, with a hole at its end */
	size_t cap, used;
	uint64_t live; /* segments that are still of use */
	int64_t last_ms;
	struct det_head_file *next;
};

/* dir exists. first: numbers of the next files of either kind. */
int det_disk_open(const char *dir, const uint64_t first[2], int64_t fsync_ms, struct det_disk **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* Writes what it can, syncs, ends the thread. */
void det_disk_close(struct det_disk *d);
void det_disk_configure(struct det_disk *d, int64_t fsync_ms);

/* Appends to the file of that kind (DET_LOG_SERIES, DET_LOG_WAL): written now, durable later. */
void det_disk_put(struct det_disk *d, enum det_log_kind kind, const void *data, size_t len);
/* While on, what is put waits; off writes all of it at once. */
void det_disk_hold(struct det_disk *d, bool on);
/* What is put from now on goes to a new file; returns its number. */
uint64_t det_disk_roll(struct det_disk *d, enum det_log_kind kind);
uint64_t det_disk_number(const struct det_disk *d, enum det_log_kind kind);
uint64_t det_disk_bytes(struct det_disk *d, enum det_log_kind kind); /* of the current file */
/* Removes files with numbers below `before`, after everything until now is durable. */
void det_disk_remove(struct det_disk *d, enum det_log_kind kind, uint64_t before);
/* The head file has new bytes. */
void det_disk_dirty(struct det_disk *d, struct det_head_file *f);
/* Removes the file after everything until now is durable; its struct is the disk's from here on,
 * the mapping the caller's. */
void det_disk_remove_head(struct det_disk *d, struct det_head_file *f);
/* Waits until everything until now is durable. -errno of the disk. */
int det_disk_flush(struct det_disk *d) OPS_MUST_CHECK;
void det_disk_report(struct det_disk *d, int error); /* what the loop saw itself; 0: it works */

struct det_disk_state {
	int error; /* of the last attempt */
	int64_t since_ms;
	uint64_t lost_bytes; /* dropped because the disk failed for long */
	bool lost_now;	     /* and nobody asked yet */
	uint64_t wal_bytes, syncs;
};
void det_disk_look(struct det_disk *d, struct det_disk_state *ret);
/* Everything until now, and whether it is durable: what was dropped meanwhile is not, before
 * det_disk_settled() says that it is elsewhere. */
uint64_t det_disk_moment(struct det_disk *d);
bool det_disk_durable(struct det_disk *d, uint64_t moment);
void det_disk_settled(struct det_disk *d);
/* Bytes were dropped and the disk works again: what follows may not refer to them. Asked once. */
bool det_disk_lost(struct det_disk *d);

/* head/NNNNNN; NULL and *ret_rc on failure. */
struct det_head_file *det_head_create(
	const char *dir, uint64_t number, size_t room, int *ret_rc) OPS_MUST_CHECK;
/* An existing one, whole. */
struct det_head_file *det_head_map(const char *path, uint64_t number, int *ret_rc) OPS_MUST_CHECK;
/* Where the bytes stand then, NULL when there is no room (*ret_rc 0) or the disk failed. */
const uint8_t *det_head_append(
	struct det_head_file *f, const void *data, size_t len, int *ret_rc) OPS_MUST_CHECK;
void det_head_close(struct det_head_file *f); /* the file stays */

/* dir/kind/NNNNNN. Release with free(). */
char *det_disk_path(const char *dir, const char *kind, uint64_t number) OPS_MUST_CHECK;
/* Numbers of such files, ascending; free(). */
int det_disk_list(const char *dir, const char *kind, uint64_t **ret, size_t *ret_n) OPS_MUST_CHECK;
