/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store as a whole: its parts, its options, what it costs. Files by idea:
 *
 *	readers.c	who looks at what, and when memory may go
 *	series.c	series of the head; index.c, match.c: by labels
 *	append.c	layouts, rows, single samples; late.c: samples behind their series' last
 *	group.c		rows of columns with common timestamps; seal.c: rows to segments
 *	select.c	reading; counts.c, metadata.c: what there is
 *	retention.c	what time takes away
 *
 * memory_max bounds what new series add, the samples of known series go on: an alert must not go
 * blind because someone else's cardinality exploded. Samples of the far future are refused: a
 * collector whose clock is wrong would have the right ones refused after them.
 */
#include "services/detector/store/store.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/metrics/metrics.h"
#include "services/detector/store/histogram_log.h"
#include "services/detector/store/state.h"

#define DEFAULT_RETENTION_MS (24 * 3600 * (int64_t)1000)
#define DEFAULT_BLOCK_MS (2 * 3600 * (int64_t)1000)
#define DEFAULT_FSYNC_MS 1000

static struct ops_metric samples_refused = OPS_COUNTER(
	"ops_detector_samples_refused_total", "Samples that were not stored, by reason.", "reason");

static const char *const refusal_texts[DET_REFUSED_COUNT] = {
	[DET_REFUSED_OUT_OF_ORDER] = "out_of_order",
	[DET_REFUSED_DUPLICATE] = "duplicate_timestamp",
	[DET_REFUSED_MEMORY] = "memory_max",
	[DET_REFUSED_TOO_OLD] = "too_old",
	[DET_REFUSED_AHEAD] = "too_far_ahead",
	[DET_REFUSED_TARGET_LIMIT] = "target_limit",
	[DET_REFUSED_JOB_LIMIT] = "job_limit",
};

void det_store_configure(struct det_store *s, const struct det_store_options *options)
{
	const char *dir = s->options.dir;
	s->options = *options;
	s->options.dir = dir; /* stays */
	if (s->options.retention_ms == 0) {
		s->options.retention_ms = DEFAULT_RETENTION_MS;
	}
	if (s->options.block_ms == 0) {
		s->options.block_ms = DEFAULT_BLOCK_MS;
	}
	if (s->options.wal_fsync_ms == 0) {
		s->options.wal_fsync_ms = DEFAULT_FSYNC_MS;
	}
}

static void open_empty(struct det_store *s)
{
	s->layouts = ops_map_new();
	s->jobs = ops_map_new();
	s->metadata = ops_map_new();
	s->late = ops_map_new();
	s->histograms = ops_map_new();
	s->deleted = ops_map_new();
	det_index_init(&s->index);
	s->horizon_ms = INT64_MIN;
	s->head_ms = s->closed_ms = s->drop_ms = INT64_MIN;
	s->oldest_new_ms = INT64_MAX;
	s->ahead_ms = INT64_MAX;
	s->stats.min_ms = INT64_MAX;
	s->stats.max_ms = INT64_MIN;
}

struct det_store *det_store_new(const struct det_store_options *options)
{
	struct det_store *s = ops_xcalloc(1, sizeof(*s));
	s->lock_fd = -1;
	s->seed = (uint64_t)ops_mono_ns() ^ (uint64_t)(uintptr_t)s;
	s->options.dir = options->dir;
	det_store_configure(s, options);
	det_readers_init(&s->readers);
	open_empty(s);
	ops_metric_register(&samples_refused);
	return s;
}

static void free_histograms(void *p)
{
	det_histogram_log_free(p);
}

/* Everything in memory. */
static void close_all(struct det_store *s)
{
	while (s->groups != NULL) {
		struct det_group *g = s->groups;
		det_store_unlink(s, g);
		det_store_drop_segments(s, g, g->nsealed);
		det_group_free(g);
	}
	for (size_t i = 0; i < s->npages; i++) {
		for (size_t j = 0; s->pages[i] != NULL && j < DET_PAGE_SERIES; j++) {
			if (s->pages[i]->items[j] != NULL) {
				free(s->pages[i]->items[j]->more);
				free(s->pages[i]->items[j]);
			}
		}
		free(s->pages[i]);
	}
	free(s->pages);
	det_table_done(&s->series);
	ops_map_free(s->layouts, NULL);
	ops_map_free(s->jobs, free);
	ops_map_free(s->metadata, free);
	ops_map_free(s->late, det_late_free);
	ops_map_free(s->histograms, free_histograms);
	ops_map_free(s->deleted, det_spans_free);
	det_index_done(&s->index);
}

void det_store_clear(struct det_store *s)
{
	ops_assert(s->options.dir == NULL);
	det_write_lock(s);
	close_all(s);
	s->pages = NULL;
	s->npages = s->pages_cap = 0;
	s->next_id = 0;
	s->series_bytes = 0;
	s->stats = (struct det_store_stats){0};
	open_empty(s);
	det_store_changed(s);
	det_write_unlock(s);
	det_store_reap(s);
}

void det_store_free(struct det_store *s)
{
	if (s == NULL) {
		return;
	}
	det_background_stop(s);
	/* Raw rows stay in the log: the next start reads them there. */
	det_disk_close(s->disk);
	s->disk = NULL;
	close_all(s);
	det_store_reap(s);
	det_store_free_heads(s);
	for (size_t i = 0; i < s->nblocks; i++) {
		det_block_unref(s->blocks[i]);
	}
	free(s->blocks);
	ops_closep(&s->lock_fd);
	ops_strbuf_done(&s->scratch);
	det_readers_done(&s->readers);
	free(s);
}

void det_store_set_tap(struct det_store *s, const struct det_store_tap *tap)
{
	s->tap = *tap;
}

void det_store_listen(struct det_store *s, const struct det_store_listener *listener)
{
	s->listener = *listener;
}

size_t det_store_bytes(const struct det_store *s)
{
	return s->series_bytes + s->index.bytes;
}

void det_store_account(struct det_store *s, const struct det_group *g, size_t before)
{
	s->series_bytes += g->bytes;
	s->series_bytes -= OPS_MIN(before, s->series_bytes);
}

void det_store_refuse(struct det_store *s, enum det_refusal why, size_t samples)
{
	s->stats.refused[why] += samples;
	ops_metric_add(&samples_refused, (double)samples, refusal_texts[why]);
}

void det_store_link(struct det_store *s, struct det_group *g)
{
	g->next = s->groups;
	if (g->next != NULL) {
		g->next->prev = g;
	}
	s->groups = g;
	s->series_bytes += g->bytes;
}

void det_store_unlink(struct det_store *s, struct det_group *g)
{
	if (g->prev != NULL) {
		g->prev->next = g->next;
	} else {
		s->groups = g->next;
	}
	if (g->next != NULL) {
		g->next->prev = g->prev;
	}
	g->prev = g->next = NULL;
	s->series_bytes -= OPS_MIN(s->series_bytes, g->bytes);
}

const struct det_block_meta *det_store_block(const struct det_store *s, size_t i)
{
	return i < s->nblocks ? det_block_meta(s->blocks[i]) : NULL;
}
