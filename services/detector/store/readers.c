/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock for short sections (one row appended, one series read, one selection) that prefers the
 * writer, so that a queue of queries cannot hold up ingestion; and time-stamped graves for what a
 * query saw and the writer has taken away: a grave is emptied when every query that began before
 * has ended. Only the writer frees, so nothing that is freed needs to be thread-safe.
 */
#include "services/detector/store/state.h"

void det_readers_init(struct det_readers *r)
{
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&r->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&r->mutex, NULL);
	r->graves_end = &r->graves;
}

static void free_before(struct det_readers *r, uint64_t since)
{
	while (r->graves != NULL && r->graves->since < since) {
		struct det_grave *g = r->graves;
		r->graves = g->next;
		if (r->graves == NULL) {
			r->graves_end = &r->graves;
		}
		g->free_fn(g->what);
		free(g);
	}
}

void det_readers_done(struct det_readers *r)
{
	ops_assert(r->first == NULL);
	free_before(r, UINT64_MAX);
	pthread_rwlock_destroy(&r->lock);
	pthread_mutex_destroy(&r->mutex);
}

void det_write_lock(struct det_store *s)
{
	int rc = pthread_rwlock_wrlock(&s->readers.lock);
	ops_assert(rc == 0);
}

void det_write_unlock(struct det_store *s)
{
	pthread_rwlock_unlock(&s->readers.lock);
}

void det_read_lock(struct det_store *s)
{
	int rc = pthread_rwlock_rdlock(&s->readers.lock);
	ops_assert(rc == 0);
}

void det_read_unlock(struct det_store *s)
{
	pthread_rwlock_unlock(&s->readers.lock);
}

void det_store_read_begin(struct det_store *s, struct det_read *r)
{
	struct det_readers *all = &s->readers;
	pthread_mutex_lock(&all->mutex);
	r->since = all->now;
	r->prev = NULL;
	r->next = all->first;
	if (r->next != NULL) {
		r->next->prev = r;
	}
	all->first = r;
	pthread_mutex_unlock(&all->mutex);
}

void det_store_read_end(struct det_store *s, struct det_read *r)
{
	struct det_readers *all = &s->readers;
	pthread_mutex_lock(&all->mutex);
	if (r->prev != NULL) {
		r->prev->next = r->next;
	} else {
		all->first = r->next;
	}
	if (r->next != NULL) {
		r->next->prev = r->prev;
	}
	pthread_mutex_unlock(&all->mutex);
}

void det_store_grave(struct det_store *s, void (*free_fn)(void *), void *what)
{
	struct det_grave *g = ops_xcalloc(1, sizeof(*g));
	g->free_fn = free_fn;
	g->what = what;
	pthread_mutex_lock(&s->readers.mutex);
	g->since = s->readers.now++; /* whoever begins from now on is later */
	pthread_mutex_unlock(&s->readers.mutex);
	*s->readers.graves_end = g;
	s->readers.graves_end = &g->next;
}

uint64_t det_readers_now(struct det_store *s)
{
	pthread_mutex_lock(&s->readers.mutex);
	uint64_t now = s->readers.now++;
	pthread_mutex_unlock(&s->readers.mutex);
	return now;
}

uint64_t det_readers_oldest(struct det_store *s)
{
	pthread_mutex_lock(&s->readers.mutex);
	uint64_t oldest = s->readers.now;
	for (const struct det_read *r = s->readers.first; r != NULL; r = r->next) {
		oldest = OPS_MIN(oldest, r->since);
	}
	pthread_mutex_unlock(&s->readers.mutex);
	return oldest;
}

void det_store_reap(struct det_store *s)
{
	free_before(&s->readers, det_readers_oldest(s));
}

void det_store_changed(struct det_store *s)
{
	(void)__atomic_add_fetch(&s->generation, 1, __ATOMIC_RELEASE);
}

uint64_t det_store_generation(const struct det_store *s)
{
	return __atomic_load_n(&s->generation, __ATOMIC_ACQUIRE);
}
