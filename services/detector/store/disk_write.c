/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks become bytes of files. A file that was written full is left to the thread, which syncs and
 * closes it. When the disk is full or broken, a chunk that could not be written goes back to the
 * front of the queue and the file is cut to what is whole.
 */
#include "services/detector/store/disk_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/base/file.h"

const char *const det_disk_folders[DET_DISK_KINDS] = {"series", "wal"};

void det_disk_close_stream(struct det_disk_stream *st)
{
	if (st->fd >= 0) {
		OPS_GROW(st->full, st->nfull, st->full_cap);
		st->full[st->nfull++] = st->fd;
	}
	st->fd = -1;
}

static int open_stream(struct det_disk *d, struct det_disk_stream *st, uint64_t number)
{
	const char *folder = det_disk_folders[st - d->streams];
	OPS_CLEANUP(ops_freep) char *path = det_disk_path(d->dir, folder, number);
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(path);
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf head = OPS_STRBUF_INIT;
	det_disk_close_stream(st);
	st->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (st->fd < 0) {
		return -errno;
	}
	det_log_header(st->kind, &head);
	int rc = ops_write_all(st->fd, head.data, head.len);
	if (rc == 0) {
		rc = ops_dir_sync(dir);
	}
	st->open_number = number;
	st->good = (off_t)head.len;
	if (rc != 0) {
		(void)unlink(path);
		det_disk_close_stream(st);
	}
	return rc;
}

static int write_chunk(
	struct det_disk *d, struct det_disk_stream *st, const struct det_disk_chunk *c)
{
	int rc = 0;
	if (st->fd < 0 || st->open_number != c->number) {
		rc = open_stream(d, st, c->number);
	}
	if (rc != 0) {
		return rc;
	}
	rc = ops_write_all(st->fd, c->bytes.data, c->bytes.len);
	if (rc == 0) {
		st->good += (off_t)c->bytes.len;
		st->unsynced = true;
	} else if (ftruncate(st->fd, st->good) == 0) {
		(void)lseek(st->fd, st->good, SEEK_SET);
	} /* else a piece of the chunk stays: readers skip it */
	return rc;
}

void det_disk_chunk_free(struct det_disk_chunk *c)
{
	ops_strbuf_done(&c->bytes);
	free(c);
}

/* Writes the chunks in order; those that are left come back. */
static int write_chunks(
	struct det_disk *d, struct det_disk_stream *st, struct det_disk_chunk **chunks)
{
	while (*chunks != NULL) {
		struct det_disk_chunk *c = *chunks;
		int rc = write_chunk(d, st, c);
		if (rc != 0) {
			return rc;
		}
		*chunks = c->next;
		det_disk_chunk_free(c);
	}
	return 0;
}

/* Definitions before the log. What could not be written goes before what came meanwhile. */
int det_disk_write_queue(struct det_disk *d)
{
	struct det_disk_chunk *chunks[DET_DISK_KINDS];
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < DET_DISK_KINDS; i++) {
		struct det_disk_stream *st = &d->streams[i];
		chunks[i] = st->first;
		st->first = NULL;
		st->end = &st->first;
	}
	d->queued = 0;
	pthread_mutex_unlock(&d->lock);
	int rc = 0;
	for (size_t i = 0; i < DET_DISK_KINDS && rc == 0; i++) {
		rc = write_chunks(d, &d->streams[i], &chunks[i]);
	}
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < DET_DISK_KINDS; i++) {
		struct det_disk_stream *st = &d->streams[i];
		struct det_disk_chunk **end = &chunks[i];
		for (; *end != NULL; end = &(*end)->next) {
			d->queued += (*end)->bytes.len;
		}
		if (end == &chunks[i]) {
			continue;
		}
		*end = st->first;
		st->end = st->first == NULL ? end : st->end;
		st->first = chunks[i];
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}
