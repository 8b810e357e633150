/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes queue in chunks, each for one file, and are written to the page cache at once, by the loop:
 * whoever kills the process, what an alert was raised for is there after the restart. Writing is
 * done under the io lock, by either side; syncing by the thread (disk_thread.c).
 *
 * What a full or broken disk refused waits in the queue and is tried again. The queue is bounded:
 * beyond QUEUE_MAX new bytes are dropped and counted, and the loop is told so that it begins new
 * chains and writes its definitions again. Samples stay in memory all the while.
 */
#include "services/detector/store/disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/cond.h"
#include "services/detector/store/disk_impl.h"

#define QUEUE_MAX ((size_t)64 << 20)

char *det_disk_path(const char *dir, const char *kind, uint64_t number)
{
	return ops_xasprintf("%s/%s/%08llu", dir, kind, (unsigned long long)number);
}

static struct det_disk_stream *stream_of(struct det_disk *d, enum det_log_kind kind)
{
	return &d->streams[kind == DET_LOG_SERIES ? 0 : 1];
}

static const struct det_disk_stream *const_stream_of(
	const struct det_disk *d, enum det_log_kind kind)
{
	return &d->streams[kind == DET_LOG_SERIES ? 0 : 1];
}

int det_disk_open(const char *dir, const uint64_t first[2], int64_t fsync_ms, struct det_disk **ret,
	struct ops_error *err)
{
	struct det_disk *d = ops_xcalloc(1, sizeof(*d));
	d->dir = ops_xstrdup(dir);
	d->fsync_ms = fsync_ms;
	for (size_t i = 0; i < DET_DISK_KINDS; i++) {
		d->streams[i].kind = i == 0 ? DET_LOG_SERIES : DET_LOG_WAL;
		d->streams[i].number = first[i];
		d->streams[i].end = &d->streams[i].first;
		d->streams[i].fd = -1;
	}
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->io, NULL);
	ops_cond_init(&d->wake);
	ops_cond_init(&d->done);
	int rc = pthread_create(&d->thread, NULL, det_disk_work, d);
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
	for (size_t i = 0; i < DET_DISK_KINDS; i++) {
		while (d->streams[i].first != NULL) {
			struct det_disk_chunk *c = d->streams[i].first;
			d->streams[i].first = c->next;
			det_disk_chunk_free(c);
		}
		det_disk_close_stream(&d->streams[i]);
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

static struct det_disk_chunk *last_chunk(struct det_disk_stream *st)
{
	for (struct det_disk_chunk *c = st->first; c != NULL; c = c->next) {
		if (c->next == NULL && c->number == st->number) {
			return c;
		}
	}
	struct det_disk_chunk *c = ops_xcalloc(1, sizeof(*c));
	c->number = st->number;
	*st->end = c;
	st->end = &c->next;
	return c;
}

/* False: it was dropped. */
static bool enqueue(struct det_disk *d, enum det_log_kind kind, const void *data, size_t len)
{
	struct det_disk_stream *st = stream_of(d, kind);
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

static void write_now(struct det_disk *d)
{
	pthread_mutex_lock(&d->io);
	int rc = det_disk_write_queue(d);
	pthread_mutex_unlock(&d->io);
	if (rc != 0) {
		pthread_mutex_lock(&d->lock);
		d->state.since_ms = ops_now_ms();
		d->state.error = -rc;
		pthread_mutex_unlock(&d->lock);
	}
}

void det_disk_put(struct det_disk *d, enum det_log_kind kind, const void *data, size_t len)
{
	pthread_mutex_lock(&d->lock);
	bool now = enqueue(d, kind, data, len) && d->state.error == 0;
	pthread_mutex_unlock(&d->lock);
	if (now && !d->held) {
		write_now(d);
	}
}

void det_disk_hold(struct det_disk *d, bool on)
{
	d->held = on;
	if (on) {
		return;
	}
	pthread_mutex_lock(&d->lock);
	bool now = d->queued != 0 && d->state.error == 0;
	pthread_mutex_unlock(&d->lock);
	if (now) {
		write_now(d);
	}
}

uint64_t det_disk_roll(struct det_disk *d, enum det_log_kind kind)
{
	pthread_mutex_lock(&d->lock);
	struct det_disk_stream *st = stream_of(d, kind);
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
	struct det_disk_stream *st = stream_of(d, kind);
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
