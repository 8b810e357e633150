/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread wakes every fsync interval (or when it is told to), writes what is left, syncs
 * definitions, log and head files, and only then removes what these made needless. What a round
 * took and could not do comes back for the next one.
 */
#include "services/detector/store/disk_impl.h"

#include <errno.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/cond.h"

#define RETRY_MS 1000

struct round { /* what the thread took under the lock */
	uint64_t remove_below[DET_DISK_KINDS];
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
	for (size_t i = 0; i < DET_DISK_KINDS; i++) {
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
	for (size_t i = 0; i < DET_DISK_KINDS; i++) {
		struct det_disk_stream *st = &d->streams[i];
		uint64_t *numbers = NULL;
		size_t n = 0;
		if (st->removed_below >= r->remove_below[i] ||
			det_disk_list(d->dir, det_disk_folders[i], &numbers, &n) != 0) {
			continue;
		}
		for (size_t k = 0; k < n && numbers[k] < r->remove_below[i]; k++) {
			OPS_CLEANUP(ops_freep)
			char *path = det_disk_path(d->dir, det_disk_folders[i], numbers[k]);
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
static int sync_stream(struct det_disk *d, struct det_disk_stream *st)
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
	int rc = det_disk_write_queue(d);
	pthread_mutex_unlock(&d->io);
	for (size_t i = 0; i < DET_DISK_KINDS; i++) {
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
		(void)ops_cond_wait_ms(&d->wake, &d->lock, left_ms);
	}
}

void *det_disk_work(void *arg)
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
