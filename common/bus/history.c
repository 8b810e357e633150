/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring is an array of records in a circle, as long as the most it ever held, doubled when full;
 * the oldest go when the bytes (with a record's overhead) are over the limit. Its epoch is random:
 * it lives as long as the process. When all is to be kept, the oldest move to the overflow on disk;
 * if the disk refuses one, there is a hole in the numbers, which readers count as lost.
 */
#include "common/bus/history.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/bus/overflow.h"
#include "common/spool/spool.h"

enum {
	RECORD_OVERHEAD_BYTES = 48
};

struct record {
	char *data;
	size_t len;
};

struct ops_history {
	struct ops_spool *spool; /* NULL: the ring below */
	struct record *ring;
	size_t cap, oldest, count;
	uint64_t next, epoch, bytes, limit_bytes;
	size_t max_record_bytes;
	struct ops_overflow *overflow; /* may be NULL */
	bool keep_all;
};

int ops_history_open(
	const struct ops_history_config *cfg, struct ops_history **ret, struct ops_error *err)
{
	struct ops_history *h = ops_xcalloc(1, sizeof(*h));

	h->next = 1;
	h->epoch = ops_random_u64();
	h->limit_bytes = cfg->limit_bytes;
	h->max_record_bytes = cfg->max_record_bytes;
	if (cfg->dir != NULL) {
		struct ops_spool_config spool = {.dir = cfg->dir,
			.max_bytes = cfg->limit_bytes,
			.max_record_bytes = cfg->max_record_bytes};
		int r = ops_spool_open(&spool, &h->spool, NULL, err);
		if (r != 0) {
			ops_history_close(h);
			return r;
		}
	} else if (cfg->overflow_dir != NULL && cfg->limit_bytes > 0) {
		int r = ops_overflow_open(cfg->overflow_dir, cfg->overflow_bytes,
			cfg->max_record_bytes, &h->overflow, err);
		if (r != 0) {
			ops_history_close(h);
			return r;
		}
	}
	*ret = h;
	return 0;
}

static void drop_oldest(struct ops_history *h)
{
	struct record *r = &h->ring[h->oldest];

	h->bytes -= r->len + RECORD_OVERHEAD_BYTES;
	free(r->data);
	h->oldest = (h->oldest + 1) % h->cap;
	h->count--;
}

void ops_history_close(struct ops_history *h)
{
	if (h == NULL)
		return;
	ops_spool_close(h->spool);
	ops_overflow_close(h->overflow);
	while (h->count > 0)
		drop_oldest(h);
	free(h->ring);
	free(h);
}

static void grow(struct ops_history *h)
{
	size_t cap = h->cap == 0 ? 64 : h->cap * 2;
	struct record *ring = ops_xcalloc(cap, sizeof(*ring));

	for (size_t i = 0; i < h->count; i++)
		ring[i] = h->ring[(h->oldest + i) % h->cap];
	free(h->ring);
	h->ring = ring;
	h->oldest = 0;
	h->cap = cap;
}

static uint64_t ring_first(const struct ops_history *h)
{
	return h->next - h->count;
}

static void move_oldest(struct ops_history *h, uint64_t seq)
{
	const struct record *r = &h->ring[h->oldest];

	if (h->keep_all && ops_overflow_add(h->overflow, seq, r->data, r->len) != 0)
		h->keep_all = false; /* until it is asked for again */
	drop_oldest(h);
}

static void ring_append(struct ops_history *h, const void *data, size_t len)
{
	if (h->limit_bytes == 0)
		return;
	if (h->count == h->cap)
		grow(h);
	struct record *r = &h->ring[(h->oldest + h->count) % h->cap];
	r->data = ops_xmalloc(len != 0 ? len : 1);
	if (len != 0)
		memcpy(r->data, data, len);
	r->len = len;
	h->count++;
	h->bytes += len + RECORD_OVERHEAD_BYTES;
	while (h->bytes > h->limit_bytes && h->count > 1)
		move_oldest(h, h->next + 1 - h->count); /* next is not moved on yet */
}

int ops_history_append(struct ops_history *h, const void *data, size_t len, uint64_t *ret_seq)
{
	if (len > h->max_record_bytes)
		return -EMSGSIZE;
	if (h->spool != NULL)
		return ops_spool_append(h->spool, data, len, ret_seq);
	ring_append(h, data, len);
	*ret_seq = h->next++;
	return 0;
}

int ops_history_sync(struct ops_history *h)
{
	return h->spool != NULL ? ops_spool_sync(h->spool) : 0;
}

int ops_history_read(struct ops_history *h, uint64_t from, size_t max,
	int (*fn)(uint64_t seq, const void *data, size_t len, void *arg), void *arg)
{
	if (h->spool != NULL)
		return ops_spool_read(h->spool, from, max, fn, arg);
	size_t n = 0;
	int r = h->overflow != NULL ? ops_overflow_read(h->overflow, from, max, fn, arg, &n) : 0;
	uint64_t first = ring_first(h), seq = OPS_MAX(from, first);
	for (max -= n; r == 0 && seq < h->next && max > 0; seq++, max--) {
		const struct record *rec = &h->ring[(h->oldest + (seq - first)) % h->cap];
		r = fn(seq, rec->data, rec->len, arg);
	}
	return r;
}

void ops_history_trim(struct ops_history *h, uint64_t number)
{
	if (h->spool != NULL) {
		int r = ops_spool_trim(h->spool, OPS_MIN(number, ops_spool_next(h->spool)));
		(void)r; /* only a number from the future could fail */
		return;
	}
	if (h->overflow != NULL)
		ops_overflow_trim(h->overflow, number);
	while (h->count > 0 && ring_first(h) < number)
		drop_oldest(h);
}

void ops_history_keep_all(struct ops_history *h, bool on)
{
	if (h->overflow == NULL)
		return;
	h->keep_all = on;
	if (!on)
		ops_overflow_clear(h->overflow);
}

uint64_t ops_history_held_bytes(const struct ops_history *h)
{
	return h->bytes;
}

uint64_t ops_history_overflow_bytes(const struct ops_history *h)
{
	return h->overflow != NULL ? ops_overflow_bytes(h->overflow) : 0;
}

uint64_t ops_history_overflow_end(const struct ops_history *h)
{
	bool some = h->overflow != NULL && !ops_overflow_empty(h->overflow);
	return some ? ops_overflow_end(h->overflow) : 0;
}

uint64_t ops_history_first(const struct ops_history *h)
{
	if (h->spool != NULL)
		return ops_spool_first(h->spool);
	bool some = h->overflow != NULL && !ops_overflow_empty(h->overflow);
	return some ? ops_overflow_first(h->overflow) : ring_first(h);
}

uint64_t ops_history_next(const struct ops_history *h)
{
	return h->spool != NULL ? ops_spool_next(h->spool) : h->next;
}

uint64_t ops_history_epoch(const struct ops_history *h)
{
	return h->spool != NULL ? ops_spool_epoch(h->spool) : h->epoch;
}

bool ops_history_on_disk(const struct ops_history *h)
{
	return h->spool != NULL;
}
