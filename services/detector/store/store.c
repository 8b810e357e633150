/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending. A layout's columns are resolved to series once; from then on a batch is one memcpy
 * into its group (group.c). Only series that have samples in more than one group (a target whose
 * layout changed, explicit timestamps, a rule's output that a target exports too) are looked at one
 * by one, to keep each series' times ascending.
 *
 * Ids are never reused, so that postings only grow at their end; pages of the id table are freed
 * when their last series goes. memory_max bounds what new series add, the samples of known series
 * go on: an alert must not go blind because someone else's cardinality exploded. Samples of the far
 * future are refused: a collector whose clock is wrong would have the right ones refused after
 * them.
 */
#include "services/detector/store/store.h"

#include <errno.h>
#include <string.h>

#include "common/metrics/metrics.h"
#include "services/detector/store/histogram_log.h"
#include "services/detector/store/state.h"

#define DEFAULT_RETENTION_MS (24 * 3600 * (int64_t)1000)

static struct ops_metric samples_refused = OPS_COUNTER(
	"ops_detector_samples_refused_total", "Samples that were not stored, by reason.", "reason");
static struct ops_metric series_refused = OPS_COUNTER("ops_detector_series_refused_total",
	"New series that were refused because the store's memory_max is reached.");

static const char *const refusal_texts[DET_REFUSED_COUNT] = {
	[DET_REFUSED_OUT_OF_ORDER] = "out_of_order",
	[DET_REFUSED_DUPLICATE] = "duplicate_timestamp",
	[DET_REFUSED_MEMORY] = "memory_max",
	[DET_REFUSED_TOO_OLD] = "too_old",
	[DET_REFUSED_AHEAD] = "too_far_ahead",
};

void det_store_configure(struct det_store *s, const struct det_store_options *options)
{
	s->options = *options;
	if (s->options.retention_ms == 0) {
		s->options.retention_ms = DEFAULT_RETENTION_MS;
	}
}

static void open_empty(struct det_store *s)
{
	s->series = ops_map_new();
	s->layouts = ops_map_new();
	s->metadata = ops_map_new();
	det_index_init(&s->index);
	s->horizon_ms = INT64_MIN;
	s->ahead_ms = INT64_MAX;
	s->stats.min_ms = INT64_MAX;
	s->stats.max_ms = INT64_MIN;
}

struct det_store *det_store_new(const struct det_store_options *options)
{
	struct det_store *s = ops_xcalloc(1, sizeof(*s));
	det_store_configure(s, options);
	open_empty(s);
	ops_metric_register(&samples_refused);
	ops_metric_register(&series_refused);
	return s;
}

static void series_free(struct det_series *series)
{
	ops_labels_unref(series->labels);
	free(series->refs);
	det_histogram_log_free(series->histograms);
	free(series);
}

void det_store_clear(struct det_store *s)
{
	while (s->groups != NULL) {
		struct det_group *g = s->groups;
		det_store_unlink(s, g);
		det_group_free(g);
	}
	for (size_t i = 0; i < s->npages; i++) {
		for (size_t j = 0; s->pages[i] != NULL && j < DET_PAGE_SERIES; j++) {
			if (s->pages[i]->items[j] != NULL) {
				series_free(s->pages[i]->items[j]);
			}
		}
		free(s->pages[i]);
	}
	free(s->pages);
	ops_map_free(s->series, NULL);
	ops_map_free(s->layouts, NULL);
	ops_map_free(s->metadata, free);
	det_index_done(&s->index);
	struct det_store_options options = s->options;
	struct det_store_listener listener = s->listener;
	struct det_store_tap tap = s->tap;
	*s = (struct det_store){.options = options, .listener = listener, .tap = tap};
	open_empty(s);
}

void det_store_free(struct det_store *s)
{
	if (s == NULL) {
		return;
	}
	det_store_clear(s);
	ops_map_free(s->series, NULL);
	ops_map_free(s->layouts, NULL);
	ops_map_free(s->metadata, free);
	det_index_done(&s->index);
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

struct det_series *det_store_at(const struct det_store *s, uint32_t id)
{
	size_t page = id / DET_PAGE_SERIES;
	return page < s->npages && s->pages[page] != NULL
		       ? s->pages[page]->items[id % DET_PAGE_SERIES]
		       : NULL;
}

static size_t labels_bytes(const struct ops_labels *ls)
{
	size_t bytes = sizeof(*ls) + ls->n * sizeof(ls->items[0]);
	for (uint32_t i = 0; i < ls->n; i++) {
		bytes += ls->items[i].name_len + ls->items[i].value_len + 2u;
	}
	return bytes;
}

static void series_number(struct det_store *s, struct det_series *series)
{
	ops_assert(s->next_id != UINT32_MAX);
	series->id = s->next_id++;
	size_t page = series->id / DET_PAGE_SERIES;
	while (s->npages <= page) {
		OPS_GROW(s->pages, s->npages, s->pages_cap);
		s->pages[s->npages++] = NULL;
	}
	if (s->pages[page] == NULL) {
		s->pages[page] = ops_xcalloc(1, sizeof(struct det_page));
	}
	s->pages[page]->items[series->id % DET_PAGE_SERIES] = series;
	s->pages[page]->used++;
}

struct det_series *det_store_find(struct det_store *s, const struct ops_labels *labels)
{
	struct det_series *series = ops_map_get(s->series, &labels->hash, sizeof(labels->hash));
	while (series != NULL && !ops_labels_equal(series->labels, labels)) {
		series = series->next;
	}
	return series;
}

struct det_series *det_store_intern(struct det_store *s, struct ops_labels *labels)
{
	struct det_series *series = det_store_find(s, labels);
	if (series != NULL) {
		return series;
	}
	if (s->options.memory_max != 0 && det_store_bytes(s) >= s->options.memory_max) {
		s->stats.series_refused++;
		ops_metric_add(&series_refused, 1);
		return NULL;
	}
	series = ops_xcalloc(1, sizeof(*series));
	series->labels = ops_labels_ref(labels);
	series_number(s, series);
	uint64_t hash = labels->hash;
	series->next = ops_map_get(s->series, &hash, sizeof(hash));
	(void)ops_map_put(s->series, &hash, sizeof(hash), series);
	det_index_add(&s->index, series->id, labels);
	s->series_bytes += sizeof(*series) + labels_bytes(labels) + 64;
	s->stats.series++;
	s->stats.series_created++;
	return series;
}

void det_series_attach(struct det_series *series, struct det_group *group, uint32_t column)
{
	if (series->nrefs == 1) {
		series->last_ms = det_series_last(series);
		series->refs[0].group->shared = true;
	}
	if (series->nrefs == series->refs_cap) {
		series->refs_cap = series->refs_cap != 0 ? series->refs_cap * 2 : 1;
		series->refs =
			ops_xrealloc(series->refs, series->refs_cap, sizeof(series->refs[0]));
	}
	series->refs[series->nrefs++] = (struct det_series_ref){group, column};
	group->shared = group->shared || series->nrefs > 1;
	group->series[column] = series;
}

static void drop_from_hash(struct det_store *s, struct det_series *series)
{
	uint64_t hash = series->labels->hash;
	struct det_series *first = ops_map_get(s->series, &hash, sizeof(hash));
	if (first == series) {
		(void)ops_map_remove(s->series, &hash, sizeof(hash));
		if (series->next != NULL) {
			(void)ops_map_put(s->series, &hash, sizeof(hash), series->next);
		}
		return;
	}
	while (first != NULL && first->next != series) {
		first = first->next;
	}
	ops_assert(first != NULL);
	first->next = series->next;
}

static bool is_dead(void *arg, uint32_t id)
{
	const struct det_series *series = det_store_at(arg, id);
	return series == NULL || series->nrefs == 0;
}

void det_store_bury(struct det_store *s, struct det_series *const *dead, size_t n)
{
	if (n == 0) {
		return;
	}
	for (size_t i = 0; i < n; i++) {
		det_index_mark(&s->index, dead[i]->labels);
	}
	det_index_sweep(&s->index, is_dead, s);
	for (size_t i = 0; i < n; i++) {
		struct det_series *series = dead[i];
		struct det_page **page = &s->pages[series->id / DET_PAGE_SERIES];
		(*page)->items[series->id % DET_PAGE_SERIES] = NULL;
		/* The page that ids are still taken from stays. */
		if (--(*page)->used == 0 &&
			series->id / DET_PAGE_SERIES != s->next_id / DET_PAGE_SERIES) {
			free(*page);
			*page = NULL;
		}
		size_t bytes = sizeof(*series) + labels_bytes(series->labels) + 64;
		bytes += det_histogram_log_bytes(series->histograms);
		s->series_bytes -= OPS_MIN(s->series_bytes, bytes);
		drop_from_hash(s, series);
		series_free(series);
	}
	s->stats.series -= n;
	s->stats.series_removed += n;
}

int64_t det_series_last(const struct det_series *series)
{
	if (series->nrefs > 1) {
		return series->last_ms;
	}
	return series->nrefs == 1
		       ? det_group_column_last(series->refs[0].group, series->refs[0].column)
		       : INT64_MIN;
}
