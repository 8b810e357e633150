/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Private to disk.c (the loop's side), disk_thread.c (rounds of writing and syncing) and
 * disk_write.c (chunks into files, by either side).
 */
#include <pthread.h>
#include <sys/types.h>

#include "services/detector/store/disk.h"

#define DET_DISK_KINDS 2

extern const char *const det_disk_folders[DET_DISK_KINDS];

struct det_disk_chunk {
	struct det_disk_chunk *next;
	uint64_t number;
	struct ops_strbuf bytes;
};

struct det_disk_stream { /* files of one kind */
	enum det_log_kind kind;
	struct det_disk_chunk *first, **end; /* under the lock */
	uint64_t number;		     /* of the loop */
	uint64_t put_bytes;		     /* of that file */
	uint64_t remove_below, removed_below;
	/* Under the io lock. */
	int fd;
	uint64_t open_number;
	off_t good;
	bool unsynced;
	int *full; /* to be synced and closed */
	size_t nfull, full_cap;
};

struct det_disk {
	char *dir;
	pthread_t thread;
	pthread_mutex_t lock, io; /* io is taken first */
	pthread_cond_t wake, done;
	int64_t fsync_ms;
	struct det_disk_stream streams[DET_DISK_KINDS];
	size_t queued;
	struct det_head_file **dirty, **gone; /* under the lock */
	size_t ndirty, dirty_cap, ngone, gone_cap;
	uint64_t asked, answered; /* rounds for det_disk_flush() */
	uint64_t moment, durable; /* rounds begun; the last one before which all is durable */
	uint64_t settled;	  /* nothing before it counts */
	bool unsettled;
	struct det_disk_state state;
	int head_error; /* the loop's */
	bool held;	/* likewise */
	bool stop;
};

/* ---- disk_write.c; under the io lock ---- */

/* Writes what waits; what could not be written waits on, before what comes meanwhile. */
int det_disk_write_queue(struct det_disk *d) OPS_MUST_CHECK;
void det_disk_close_stream(struct det_disk_stream *st); /* to be synced and closed by the thread */
void det_disk_chunk_free(struct det_disk_chunk *c);

/* ---- disk_thread.c ---- */

void *det_disk_work(void *disk);
