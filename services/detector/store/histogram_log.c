/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One string of blobs with an array of times and ends beside it. Histograms are few (one series
 * instead of dozens), so a plain list does; dropping moves the rest to the front once a
 * maintenance.
 *
 * Beside the blob a histogram is a sample like any other: its series' own group has the histogram
 * mark (a NaN) at that time. So order, lateness, retention, staleness and what a series' last
 * sample is need not know of histograms. One that is late goes between the others; nothing is known
 * of it and the one behind it as to resets.
 */
#include "services/detector/store/histogram_log.h"

#include <errno.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "services/detector/store/state.h"

#define MAX_BYTES ((size_t)1 << 31)

void det_histogram_log_free(struct det_histogram_log *log)
{
	if (log != NULL) {
		free(log->times);
		free(log->ends);
		free(log->bytes);
		free(log);
	}
}

static size_t start_of(const struct det_histogram_log *log, uint32_t i)
{
	return i > 0 ? log->ends[i - 1] : 0;
}

static void grow(struct det_histogram_log *log, size_t len)
{
	if (log->n == log->cap) {
		log->cap = log->cap != 0 ? log->cap * 2 : 8;
		log->times = ops_xrealloc(log->times, log->cap, sizeof(log->times[0]));
		log->ends = ops_xrealloc(log->ends, log->cap, sizeof(log->ends[0]));
	}
	size_t need = start_of(log, log->n) + len;
	if (need > log->bytes_cap) {
		log->bytes_cap = OPS_MAX(need, log->bytes_cap + log->bytes_cap / 2);
		log->bytes = ops_xrealloc(log->bytes, log->bytes_cap, 1);
	}
}

/* Puts a blob at `at`, or in place of the one there. */
static int splice(
	struct det_histogram_log *l, uint32_t at, bool replace, const struct ops_strbuf *b)
{
	size_t start = start_of(l, at), all = start_of(l, l->n);
	size_t old = replace ? l->ends[at] - start : 0;
	if (all - old + b->len > MAX_BYTES) {
		return -EFBIG;
	}
	grow(l, b->len);
	memmove(l->bytes + start + b->len, l->bytes + start + old, all - start - old);
	memcpy(l->bytes + start, b->data, b->len);
	if (!replace) {
		memmove(l->times + at + 1, l->times + at, (l->n - at) * sizeof(l->times[0]));
		memmove(l->ends + at + 1, l->ends + at, (l->n - at) * sizeof(l->ends[0]));
		l->ends[at] = (uint32_t)start;
		l->n++;
	}
	for (uint32_t i = at; i < l->n; i++) {
		l->ends[i] = (uint32_t)(l->ends[i] + b->len - old);
	}
	return 0;
}

static void decode(const struct det_histogram_log *log, uint32_t i, struct ops_arena *arena,
	struct ops_histogram *ret)
{
	size_t start = start_of(log, i);
	int rc = ops_histogram_decode(log->bytes + start, log->ends[i] - start, arena, ret);
	ops_assert(rc == 0); /* we wrote it */
}

/* First sample at or after t. */
static uint32_t from_time(const struct det_histogram_log *log, int64_t t)
{
	uint32_t lo = 0, hi = log->n;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (log->times[mid] < t) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

/* The one at `at` was compared with one that is not before it any more. */
static int forget_hint(struct det_histogram_log *l, uint32_t at)
{
	struct ops_arena arena;
	struct ops_histogram h;
	int rc = 0;
	ops_arena_init(&arena);
	decode(l, at, &arena, &h);
	if (h.hint == OPS_RESET_NO) {
		OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf blob = OPS_STRBUF_INIT;
		h.hint = OPS_RESET_UNKNOWN;
		ops_histogram_encode(&h, &blob);
		rc = splice(l, at, true, &blob);
	}
	ops_arena_done(&arena);
	return rc;
}

int det_histogram_log_add(struct det_histogram_log **log, int64_t t, const struct ops_histogram *h)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf blob = OPS_STRBUF_INIT;
	if (*log == NULL) {
		*log = ops_xcalloc(1, sizeof(**log));
	}
	struct det_histogram_log *l = *log;
	uint32_t at = from_time(l, t);
	if (at < l->n && l->times[at] == t) {
		return 0;
	}
	int rc = at < l->n ? forget_hint(l, at) : 0;
	ops_histogram_encode(h, &blob);
	rc = rc == 0 ? splice(l, at, false, &blob) : rc;
	if (rc == 0) {
		l->times[at] = t;
	}
	return rc;
}

void det_samples_reserve_histograms(struct det_samples *out)
{
	if (out->h_cap < out->n) {
		out->h_cap = out->cap;
		free(out->h_room);
		out->h_room = ops_xcalloc(out->h_cap, sizeof(out->h_room[0]));
	}
	out->h = out->h_room;
	memset(out->h, 0, out->n * sizeof(out->h[0]));
}

void det_histogram_fill(struct det_samples *out,
	const struct ops_histogram *(*find)(void *arg, int64_t t), void *arg)
{
	size_t kept = 0;
	for (size_t i = 0; i < out->n; i++) {
		const struct ops_histogram *h = NULL;
		if (det_is_histogram(out->v[i])) {
			if (out->h == NULL) {
				det_samples_reserve_histograms(out);
			}
			h = find(arg, out->t[i]);
			if (h == NULL) {
				continue;
			}
		}
		out->t[kept] = out->t[i];
		out->v[kept] = out->v[i];
		if (out->h != NULL) {
			out->h[kept] = h;
		}
		kept++;
	}
	out->n = kept;
}

const struct ops_histogram *det_histogram_log_at(
	const struct det_histogram_log *log, int64_t t, struct ops_arena *arena)
{
	uint32_t at = log != NULL ? from_time(log, t) : 0;
	if (log == NULL || at == log->n || log->times[at] != t) {
		return NULL;
	}
	struct ops_histogram *decoded = ops_arena_new(arena, struct ops_histogram);
	decode(log, at, arena, decoded);
	return decoded;
}

struct source {
	const struct det_histogram_log *log;
	struct ops_arena *arena;
};

static const struct ops_histogram *find_in_log(void *arg, int64_t t)
{
	const struct source *s = arg;
	return det_histogram_log_at(s->log, t, s->arena);
}

void det_histogram_log_fill(const struct det_histogram_log *log, struct det_samples *out)
{
	struct source s = {log, &out->arena};
	det_histogram_fill(out, find_in_log, &s);
}

void det_histogram_log_drop_before(struct det_histogram_log *log, int64_t cutoff_ms)
{
	uint32_t gone = log != NULL ? from_time(log, cutoff_ms) : 0;
	if (gone == 0) {
		return;
	}
	uint32_t kept = log->n - gone;
	size_t start = start_of(log, gone), len = start_of(log, log->n) - start;
	memmove(log->bytes, log->bytes + start, len);
	memmove(log->times, log->times + gone, kept * sizeof(log->times[0]));
	for (uint32_t i = 0; i < kept; i++) {
		log->ends[i] = (uint32_t)(log->ends[gone + i] - start);
	}
	log->n = kept;
}

size_t det_histogram_log_bytes(const struct det_histogram_log *log)
{
	return log == NULL ? 0
			   : sizeof(*log) + log->bytes_cap +
				     log->cap * (sizeof(log->times[0]) + sizeof(log->ends[0]));
}

int64_t det_histogram_log_last(const struct det_histogram_log *log)
{
	return log != NULL && log->n != 0 ? log->times[log->n - 1] : INT64_MIN;
}

bool det_histogram_log_newest(
	const struct det_histogram_log *log, struct ops_arena *arena, struct ops_histogram *ret)
{
	if (log == NULL || log->n == 0) {
		return false;
	}
	decode(log, log->n - 1, arena, ret);
	return true;
}

/*
 * As Prometheus writes chunks: the first sample after a reset, a change of shape or of kind, a
 * float or a gap begins anew and is unknown; those that follow it are known not to be resets.
 */
static enum ops_reset_hint hint_of(const struct det_histogram_log *log, int64_t last_ms,
	struct ops_arena *arena, const struct ops_histogram *h)
{
	struct ops_histogram before;
	if (h->hint == OPS_RESET_GAUGE) {
		return OPS_RESET_GAUGE;
	}
	if (h->hint == OPS_RESET_YES || det_histogram_log_last(log) != last_ms ||
		!det_histogram_log_newest(log, arena, &before)) {
		return OPS_RESET_UNKNOWN;
	}
	struct ops_histogram now = *h;
	now.hint = OPS_RESET_UNKNOWN;
	bool again = before.hint == OPS_RESET_GAUGE || before.schema != h->schema ||
		     before.zero_threshold != h->zero_threshold ||
		     !ops_histogram_same_bounds(&before, h) ||
		     ops_histogram_reset_since(&now, &before);
	return again ? OPS_RESET_UNKNOWN : OPS_RESET_NO;
}

struct det_histogram_log *det_store_histograms(const struct det_store *s, const struct det_entry *e)
{
	return e->flags & DET_ENTRY_HISTOGRAMS ? ops_map_get(s->histograms, &e->id, sizeof(e->id))
					       : NULL;
}

int det_store_append_blob(
	struct det_store *s, struct det_entry *e, int64_t time_ms, const struct ops_histogram *h)
{
	struct det_histogram_log *log = det_store_histograms(s, e);
	bool first = log == NULL;
	size_t before = det_histogram_log_bytes(log);
	det_write_lock(s);
	int rc = det_histogram_log_add(&log, time_ms, h);
	if (first) {
		(void)ops_map_put(s->histograms, &e->id, sizeof(e->id), log);
		e->flags |= DET_ENTRY_HISTOGRAMS;
	}
	s->series_bytes += det_histogram_log_bytes(log) - before;
	det_write_unlock(s);
	if (rc == 0) {
		uint32_t at = from_time(log, time_ms);
		size_t start = start_of(log, at);
		det_wal_blob(s, e, time_ms, log->bytes + start, log->ends[at] - start);
	}
	return rc;
}

/* A histogram at that time. */
static bool known_at(struct det_store *s, const struct det_entry *e, int64_t time_ms)
{
	if (e == NULL || time_ms > det_entry_last(e)) {
		return false;
	}
	struct det_samples at = {0};
	det_entry_read(s, e, (const int64_t[]){time_ms, time_ms}, &at);
	bool known = at.n == 1 && det_is_histogram(at.v[0]);
	det_samples_done(&at);
	return known;
}

int det_store_append_histogram(struct det_store *s, struct ops_labels *labels, int64_t time_ms,
	const struct ops_histogram *h)
{
	if (ops_histogram_is_stale(h)) {
		return det_store_append(s, labels, time_ms, h->sum);
	}
	int rc = ops_histogram_validate(h, NULL);
	if (rc != 0) {
		return rc;
	}
	struct det_entry *e = det_store_lookup(s, labels);
	if (known_at(s, e, time_ms)) {
		return 0;
	}
	struct ops_arena arena;
	ops_arena_init(&arena);
	struct ops_histogram stored = *h;
	if (e != NULL && time_ms > det_entry_last(e)) {
		stored.hint = hint_of(det_store_histograms(s, e), det_entry_last(e), &arena, h);
	} else if (h->hint != OPS_RESET_GAUGE) {
		stored.hint = OPS_RESET_UNKNOWN;
	}
	rc = det_store_append(s, labels, time_ms, det_histogram_mark());
	e = rc == 0 ? det_store_lookup(s, labels) : NULL;
	if (e != NULL) {
		rc = det_store_append_blob(s, e, time_ms, &stored);
	}
	if (e != NULL && rc == 0 && s->tap.on_histogram != NULL) {
		s->tap.on_histogram(s->tap.arg, det_entry_view(s, e, &arena), time_ms, h);
	}
	ops_arena_done(&arena);
	return rc;
}
