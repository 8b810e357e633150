/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: series by matchers, samples by time, and what there is (names, values, metadata,
 * counts). A series that moved between groups is read group by group; the runs are merged when they
 * interleave, which happens only where a target's layout went back and forth.
 */
#include "services/detector/store/store.h"

#include <string.h>

#include "services/detector/store/histogram_log.h"
#include "services/detector/store/state.h"

static bool overlaps(const struct det_entry *e, const int64_t range_ms[2])
{
	if (e->flags & DET_ENTRY_LATE) {
		return true;
	}
	for (uint32_t i = 0; i < det_entry_nrefs(e); i++) {
		const struct det_group *g = det_entry_ref(e, i)->group;
		if (g->last_ms >= range_ms[0] && det_group_first(g) <= range_ms[1]) {
			return true;
		}
	}
	return false;
}

void det_head_select(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], struct ops_arena *arena, struct det_series_list *ret)
{
	struct det_ids ids = det_index_match(&s->index, matchers, arena);
	ret->items = ops_arena_array(arena, struct det_series *, OPS_MAX(ids.n, (size_t)1));
	ret->n = 0;
	for (size_t i = 0; i < ids.n; i++) {
		struct det_entry *e = det_store_at(s, ids.ids[i]);
		if (e != NULL && overlaps(e, range_ms)) {
			ret->items[ret->n++] = det_entry_view(s, e, arena);
		}
	}
}

struct det_series *det_store_find(
	struct det_store *s, const struct ops_labels *labels, struct ops_arena *arena)
{
	det_read_lock(s);
	struct det_entry *e = det_store_lookup(s, labels);
	struct det_series *view = e != NULL ? det_entry_view(s, e, arena) : NULL;
	det_read_unlock(s);
	return view;
}

bool det_store_has(struct det_store *s, const struct ops_labels *labels)
{
	det_read_lock(s);
	bool has = det_store_lookup(s, labels) != NULL;
	det_read_unlock(s);
	return has;
}

void det_samples_done(struct det_samples *out)
{
	free(out->t);
	free(out->v);
	free(out->h_room);
	det_decoder_free(out->decoder);
	ops_arena_done(&out->arena);
	*out = (struct det_samples){0};
}

/* Merges the ascending runs [0, mid) and [mid, n); the first wins at equal times. */
static void merge_runs(struct det_samples *out, size_t mid)
{
	int64_t *t = ops_xcalloc(out->cap, sizeof(int64_t));
	double *v = ops_xcalloc(out->cap, sizeof(double));
	size_t a = 0, b = mid, n = 0;
	while (a < mid || b < out->n) {
		bool first = b == out->n || (a < mid && out->t[a] <= out->t[b]);
		size_t from = first ? a++ : b++;
		if (n == 0 || t[n - 1] != out->t[from]) {
			t[n] = out->t[from];
			v[n++] = out->v[from];
		}
	}
	free(out->t);
	free(out->v);
	out->t = t;
	out->v = v;
	out->n = n;
}

void det_samples_join(struct det_samples *out, size_t mid)
{
	if (mid != 0 && mid < out->n && out->t[mid] <= out->t[mid - 1]) {
		merge_runs(out, mid);
	}
}

static void read_late(const struct det_store *s, const struct det_entry *e,
	const int64_t range_ms[2], struct det_samples *out)
{
	const struct det_late *l = ops_map_get(s->late, &e->id, sizeof(e->id));
	size_t mid = out->n;
	for (uint32_t i = 0; l != NULL && i < l->n; i++) {
		if (l->t[i] >= range_ms[0] && l->t[i] <= range_ms[1]) {
			det_samples_add(out, l->t[i], l->v[i]);
		}
	}
	det_samples_join(out, mid);
}

void det_entry_read_marks(const struct det_store *s, const struct det_entry *e,
	const int64_t range_ms[2], struct det_samples *out)
{
	out->n = 0;
	for (uint32_t i = 0; i < det_entry_nrefs(e); i++) {
		size_t mid = out->n;
		const struct det_ref *ref = det_entry_ref(e, i);
		det_group_read(ref->group, ref->column, range_ms, out);
		det_samples_join(out, mid);
	}
	if (e->flags & DET_ENTRY_LATE) {
		read_late(s, e, range_ms, out);
	}
	if (e->flags & DET_ENTRY_DELETED) {
		det_spans_filter(ops_map_get(s->deleted, &e->id, sizeof(e->id)), out, 0);
	}
}

void det_entry_read(const struct det_store *s, const struct det_entry *e, const int64_t range_ms[2],
	struct det_samples *out)
{
	out->h = NULL;
	ops_arena_reset(&out->arena);
	det_entry_read_marks(s, e, range_ms, out);
	if (e->flags & DET_ENTRY_HISTOGRAMS) {
		det_histogram_log_fill(ops_map_get(s->histograms, &e->id, sizeof(e->id)), out);
	}
}

int64_t det_series_last(const struct det_series *series)
{
	struct det_store *s = det_series_store(series);
	int64_t last = INT64_MIN;
	if (series->entry != NULL) {
		det_read_lock(s);
		last = det_entry_last(series->entry);
		det_read_unlock(s);
	}
	return last;
}
