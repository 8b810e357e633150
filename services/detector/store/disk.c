/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes queue in chunks, each for one file, and are written to the page cache at once, by the loop:
 * whoever kills the process, what an alert was raised for is there after the restart. The thread
 * wakes every fsync interval (or when it is told to), writes what is left, syncs definitions, log
 * and head files, and only then removes what these made needless. A file that was written full is
 * closed by the thread, after its last sync. Writing is done under the io lock, by either side.
 *
 * When the disk is full or broken, a chunk that could not be written goes back to the front of the
 * queue, the file is cut to what is whole, and the next round tries again. The queue is bounded:
 * beyond QUEUE_MAX new bytes are dropped and counted, and the loop is told so that it begins new
 * chains and writes its definitions again. Samples stay in memory all the while.
 */
#include "services/detector/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"

#define QUEUE_MAX ((size_t)64 << 20)
#define RETRY_MS 1000
#define KINDS 2

static const char *const folders[KINDS] = {"series", "wal"};

struct chunk {
	struct chunk *next;
	uint64_t number;
	struct ops_strbuf bytes;
};

struct stream { /* files of one kind */
	enum det_log_kind kind;
	struct chunk *first, **end; /* under the lock */
	uint64_t number;	    /* of the loop */
	uint64_t put_bytes;	    /* of that file */
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
	struct stream streams[KINDS];
	size_t queued;
	struct det_head_file **dirty, **gone; /* under the lock */
	size_t ndirty, dirty_cap, ngone, gone_cap;
	uint64_t asked, answered; /* rounds for det_disk_flush() */
	uint64_t moment, durable; /* rounds begun; the last one before which all is durable */
	uint64_t settled;	  /* nothing before it counts */
	bool unsettled;
	struct det_disk_state state;
	int head_error; /* the loop's */
	bool stop;
};

char *det_disk_path(const char *dir, const char *kind, uint64_t number)
{
	return ops_xasprintf("%s/%s/%08llu", dir, kind, (unsigned long long)number);
}

static struct stream *stream_of(struct det_disk *d, enum det_log_kind kind)
{
	return &d->streams[kind == DET_LOG_SERIES ? 0 : 1];
}

static const struct stream *const_stream_of(const struct det_disk *d, enum det_log_kind kind)
{
	return &d->streams[kind == DET_LOG_SERIES ? 0 : 1];
}

/* ---- writing ---- */

static void close_stream(struct stream *st)
{
	if (st->fd >= 0) {
		OPS_GROW(st->full, st->nfull, st->full_cap);
		st->full[st->nfull++] = st->fd;
	}
	st->fd = -1;
}

static int open_stream(struct det_disk *d, struct stream *st, uint64_t number)
{
	const char *folder = folders[st - d->streams];
	OPS_CLEANUP(ops_freep) char *path = det_disk_path(d->dir, folder, number);
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(path);
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf head = OPS_STRBUF_INIT;
	close_stream(st);
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
		close_stream(st);
	}
	return rc;
}

static int write_chunk(struct det_disk *d, struct stream *st, const struct chunk *c)
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

static void chunk_free(struct chunk *c)
{
	ops_strbuf_done(&c->bytes);
	free(c);
}

/* Writes the chunks in order; those that are left come back. */
static int write_chunks(struct det_disk *d, struct stream *st, struct chunk **chunks)
{
	while (*chunks != NULL) {
		struct chunk *c = *chunks;
		int rc = write_chunk(d, st, c);
		if (rc != 0) {
			return rc;
		}
		*chunks = c->next;
		chunk_free(c);
	}
	return 0;
}

/* Definitions before the log. What could not be written goes before what came meanwhile. */
static int write_queue(struct det_disk *d)
{
	struct chunk *chunks[KINDS];
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < KINDS; i++) {
		struct stream *st = &d->streams[i];
		chunks[i] = st->first;
		st->first = NULL;
		st->end = &st->first;
	}
	d->queued = 0;
	pthread_mutex_unlock(&d->lock);
	int rc = 0;
	for (size_t i = 0; i < KINDS && rc == 0; i++) {
		rc = write_chunks(d, &d->streams[i], &chunks[i]);
	}
	pthread_mutex_lock(&d->lock);
	for (size_t i = 0; i < KINDS; i++) {
		struct stream *st = &d->streams[i];
		struct chunk **end = &chunks[i];
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

/* ---- the thread ---- */

struct round { /* what the thread took under the lock */
	uint64_t remove_below[KINDS];
	struct det_head_file **dirty, **gone;
	size_t ndirty, ngone;
	uint64_t asked, moment;
};

static void take(struct det_disk *d, struct round *r)
{
	*r = (struct round){.dirty = d->dirty,
		.ndirty = d->ndirty,
		.gone = d->gone,
		.ngone = d->ngone,
		.asked = d->asked,
		.moment = ++d->moment};
	for (size_t i = 0; i < KINDS; i++) {
		r->remove_below[i] = d->streams[i].remove_below;
	}
	d->dirty = d->gone = NULL;
	d->ndirty = d->dirty_cap = d->ngone = d->gone_cap = 0;
}

static void give_back(struct det_disk *d, struct round *r)
{
	for (size_t i = 0; i < r->ndirty; i++) {
		OPS_GROW(d->dirty, d->ndirty, d->dirty_cap);
		d->dirty[d->ndirty++] = r->dirty[i];
	}
	for (size_t i = 0; i < r->ngone; i++) {
		OPS_GROW(d->gone, d->ngone, d->gone_cap);
		d->gone[d->ngone++] = r->gone[i];
	}
}

static void remove_files(struct det_disk *d, struct round *r)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct stream *st = &d->streams[i];
		uint64_t *numbers = NULL;
		size_t n = 0;
		if (st->removed_below >= r->remove_below[i] ||
			det_disk_list(d->dir, folders[i], &numbers, &n) != 0) {
			continue;
		}
		for (size_t k = 0; k < n && numbers[k] < r->remove_below[i]; k++) {
			OPS_CLEANUP(ops_freep)
			char *path = det_disk_path(d->dir, folders[i], numbers[k]);
			(void)unlink(path);
		}
		st->removed_below = r->remove_below[i];
		free(numbers);
	}
	for (size_t i = 0; i < r->ngone; i++) {
		(void)unlink(r->gone[i]->path);
		det_head_close(r->gone[i]);
	}
	r->ngone = 0;
}

static int sync_heads(struct round *r)
{
	for (size_t i = 0; i < r->ndirty; i++) {
		if (fdatasync(r->dirty[i]->fd) != 0) {
			return -errno;
		}
	}
	r->ndirty = 0;
	return 0;
}

/* The current file and those that were left; only the thread closes, so fd stays what it is. */
static int sync_stream(struct det_disk *d, struct stream *st)
{
	pthread_mutex_lock(&d->io);
	int fd = st->unsynced ? st->fd : -1, *full = st->full;
	size_t nfull = st->nfull;
	st->unsynced = false;
	st->full = NULL;
	st->nfull = st->full_cap = 0;
	pthread_mutex_unlock(&d->io);
	int rc = 0;
	for (size_t i = 0; i < nfull; i++) {
		rc = fdatasync(full[i]) != 0 ? -errno : rc;
		(void)close(full[i]);
	}
	free(full);
	return fd >= 0 && fdatasync(fd) != 0 ? -errno : rc;
}

static int write_round(struct det_disk *d, struct round *r)
{
	pthread_mutex_lock(&d->io);
	int rc = write_queue(d);
	pthread_mutex_unlock(&d->io);
	for (size_t i = 0; i < KINDS; i++) {
		int synced = sync_stream(d, &d->streams[i]);
		rc = rc == 0 ? synced : rc;
	}
	rc = rc == 0 ? sync_heads(r) : rc;
	if (rc == 0) {
		remove_files(d, r);
	}
	return rc;
}

static void finish_round(struct det_disk *d, struct round *r, int rc)
{
	struct det_head_file **dirty = r->dirty, **gone = r->gone;
	if (rc != 0) {
		give_back(d, r);
	}
	free(dirty);
	free(gone);
	if (rc != 0 && d->state.error == 0) {
		d->state.since_ms = ops_now_ms();
	}
	d->state.error = -rc;
	d->state.syncs++;
	d->durable = rc == 0 ? r->moment : d->durable;
	d->answered = r->asked;
	pthread_cond_broadcast(&d->done);
}

/* Until the interval is over or somebody waits. */
static void wait_for_work(struct det_disk *d, int64_t deadline_ms)
{
	while (!d->stop && d->asked == d->answered) {
		int64_t left_ms = deadline_ms - ops_mono_ms();
		if (left_ms <= 0) {
			return;
		}
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += left_ms / 1000;
		until.tv_nsec += left_ms % 1000 * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&d->wake, &d->lock, &until);
	}
}

static void *work(void *arg)
{
	struct det_disk *d = arg;
	pthread_mutex_lock(&d->lock);
	for (bool last = false; !last;) {
		int64_t wait_ms =
			d->state.error != 0 ? OPS_MAX(d->fsync_ms, (int64_t)RETRY_MS) : d->fsync_ms;
		wait_for_work(d, ops_mono_ms() + wait_ms);
		last = d->stop;
		struct round r;
		take(d, &r);
		pthread_mutex_unlock(&d->lock);
		int rc = write_round(d, &r);
		pthread_mutex_lock(&d->lock);
		finish_round(d, &r, rc);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* ---- the loop ---- */

int det_disk_open(const char *dir, const uint64_t first[2], int64_t fsync_ms, struct det_disk **ret,
	struct ops_error *err)
{
	struct det_disk *d = ops_xcalloc(1, sizeof(*d));
	pthread_condattr_t attr;
	d->dir = ops_xstrdup(dir);
	d->fsync_ms = fsync_ms;
	for (size_t i = 0; i < KINDS; i++) {
		d->streams[i].kind = i == 0 ? DET_LOG_SERIES : DET_LOG_WAL;
		d->streams[i].number = first[i];
		d->streams[i].end = &d->streams[i].first;
		d->streams[i].fd = -1;
	}
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->io, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->wake, &attr);
	pthread_cond_init(&d->done, &attr);
	pthread_condattr_destroy(&attr);
	int rc = pthread_create(&d->thread, NULL, work, d);
	if (rc != 0) {
		free(d->dir);
		free(d);
		return ops_error_set(
			err, -rc, "could not start the disk's thread: %s", strerror(rc));
	}
	*ret = d;
	return 0;
}

void det_disk_close(struct det_disk *d)
{
	if (d == NULL) {
		return;
	}
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_signal(&d->wake);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	for (size_t i = 0; i < KINDS; i++) {
		while (d->streams[i].first != NULL) {
			struct chunk *c = d->streams[i].first;
			d->streams[i].first = c->next;
			chunk_free(c);
		}
		close_stream(&d->streams[i]);
		for (size_t k = 0; k < d->streams[i].nfull; k++) {
			(void)close(d->streams[i].full[k]);
		}
		free(d->streams[i].full);
	}
	for (size_t i = 0; i < d->ngone; i++) {
		det_head_close(d->gone[i]);
	}
	free(d->gone);
	free(d->dirty);
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->io);
	pthread_cond_destroy(&d->wake);
	pthread_cond_destroy(&d->done);
	free(d->dir);
	free(d);
}

void det_disk_configure(struct det_disk *d, int64_t fsync_ms)
{
	pthread_mutex_lock(&d->lock);
	d->fsync_ms = fsync_ms;
	pthread_mutex_unlock(&d->lock);
}

static struct chunk *last_chunk(struct stream *st)
{
	for (struct chunk *c = st->first; c != NULL; c = c->next) {
		if (c->next == NULL && c->number == st->number) {
			return c;
		}
	}
	struct chunk *c = ops_xcalloc(1, sizeof(*c));
	c->number = st->number;
	*st->end = c;
	st->end = &c->next;
	return c;
}

/* False: it was dropped. */
static bool enqueue(struct det_disk *d, enum det_log_kind kind, const void *data, size_t len)
{
	struct stream *st = stream_of(d, kind);
	if (d->queued + len > QUEUE_MAX && d->state.error != 0) {
		d->state.lost_bytes += len;
		d->state.lost_now = d->unsettled = true;
		return false;
	}
	ops_strbuf_add(&last_chunk(st)->bytes, data, len);
	d->queued += len;
	st->put_bytes += len;
	d->state.wal_bytes += kind == DET_LOG_WAL ? len : 0;
	return true;
}

void det_disk_put(struct det_disk *d, enum det_log_kind kind, const void *data, size_t len)
{
	pthread_mutex_lock(&d->lock);
	bool now = enqueue(d, kind, data, len) && d->state.error == 0;
	pthread_mutex_unlock(&d->lock);
	if (now) {
		pthread_mutex_lock(&d->io);
		int rc = write_queue(d);
		pthread_mutex_unlock(&d->io);
		if (rc != 0) {
			pthread_mutex_lock(&d->lock);
			d->state.since_ms = ops_now_ms();
			d->state.error = -rc;
			pthread_mutex_unlock(&d->lock);
		}
	}
}

uint64_t det_disk_roll(struct det_disk *d, enum det_log_kind kind)
{
	pthread_mutex_lock(&d->lock);
	struct stream *st = stream_of(d, kind);
	uint64_t number = ++st->number;
	st->put_bytes = 0;
	pthread_mutex_unlock(&d->lock);
	return number;
}

uint64_t det_disk_number(const struct det_disk *d, enum det_log_kind kind)
{
	return const_stream_of(d, kind)->number; /* the loop's own */
}

uint64_t det_disk_bytes(struct det_disk *d, enum det_log_kind kind)
{
	return stream_of(d, kind)->put_bytes;
}

void det_disk_remove(struct det_disk *d, enum det_log_kind kind, uint64_t before)
{
	pthread_mutex_lock(&d->lock);
	struct stream *st = stream_of(d, kind);
	st->remove_below = OPS_MAX(st->remove_below, before);
	pthread_mutex_unlock(&d->lock);
}

void det_disk_dirty(struct det_disk *d, struct det_head_file *f)
{
	pthread_mutex_lock(&d->lock);
	bool known = false;
	for (size_t i = 0; i < d->ndirty && !known; i++) {
		known = d->dirty[i] == f;
	}
	if (!known) {
		OPS_GROW(d->dirty, d->ndirty, d->dirty_cap);
		d->dirty[d->ndirty++] = f;
	}
	pthread_mutex_unlock(&d->lock);
}

void det_disk_remove_head(struct det_disk *d, struct det_head_file *f)
{
	pthread_mutex_lock(&d->lock);
	OPS_GROW(d->gone, d->ngone, d->gone_cap);
	d->gone[d->ngone++] = f;
	pthread_mutex_unlock(&d->lock);
}

int det_disk_flush(struct det_disk *d)
{
	pthread_mutex_lock(&d->lock);
	/* A round that is under way may have begun before our bytes came. */
	for (int i = 0; i < 2; i++) {
		uint64_t asked = ++d->asked;
		pthread_cond_signal(&d->wake);
		while (d->answered < asked) {
			pthread_cond_wait(&d->done, &d->lock);
		}
	}
	int rc = -d->state.error;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

void det_disk_report(struct det_disk *d, int error)
{
	pthread_mutex_lock(&d->lock);
	if (error != 0 && d->head_error == 0 && d->state.error == 0) {
		d->state.since_ms = ops_now_ms();
	}
	d->head_error = error;
	pthread_mutex_unlock(&d->lock);
}

void det_disk_look(struct det_disk *d, struct det_disk_state *ret)
{
	pthread_mutex_lock(&d->lock);
	*ret = d->state;
	ret->error = ret->error != 0 ? ret->error : d->head_error;
	pthread_mutex_unlock(&d->lock);
}

/* A round that begins later has all that was put before. */
uint64_t det_disk_moment(struct det_disk *d)
{
	pthread_mutex_lock(&d->lock);
	uint64_t moment = d->moment + 1;
	pthread_mutex_unlock(&d->lock);
	return moment;
}

bool det_disk_durable(struct det_disk *d, uint64_t moment)
{
	pthread_mutex_lock(&d->lock);
	bool durable = !d->unsettled && d->durable >= OPS_MAX(moment, d->settled);
	pthread_mutex_unlock(&d->lock);
	return durable;
}

void det_disk_settled(struct det_disk *d)
{
	pthread_mutex_lock(&d->lock);
	d->settled = d->moment + 1;
	d->unsettled = d->state.lost_now;
	pthread_mutex_unlock(&d->lock);
}

bool det_disk_lost(struct det_disk *d)
{
	pthread_mutex_lock(&d->lock);
	bool lost = d->state.lost_now && d->state.error == 0;
	d->state.lost_now = d->state.lost_now && !lost;
	pthread_mutex_unlock(&d->lock);
	return lost;
}
