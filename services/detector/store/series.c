/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series of the head. An entry is what a series costs in memory beside its samples: some forty
 * bytes and four per label, since label texts are the index's. Label sets as the rest of the
 * program knows them are made in the arena of whoever asks.
 *
 * Ids are never reused while the process lives, so that bitmaps and pages only grow at their end;
 * pages of the id table are freed when their last series goes.
 */
#include <string.h>

#include "common/base/hash.h"
#include "common/metrics/metrics.h"
#include "services/detector/store/state.h"

static struct ops_metric series_refused = OPS_COUNTER("ops_detector_series_refused_total",
	"New series that were refused because the store's memory_max is reached.");

struct det_entry *det_store_at(const struct det_store *s, uint32_t id)
{
	size_t page = id / DET_PAGE_SERIES;
	return page < s->npages && s->pages[page] != NULL
		       ? s->pages[page]->items[id % DET_PAGE_SERIES]
		       : NULL;
}

bool det_store_filed(struct det_store *s, const struct det_entry *e, bool set)
{
	uint32_t at = e->id % DET_PAGE_SERIES;
	uint32_t *word = &s->pages[e->id / DET_PAGE_SERIES]->filed[at / 32];
	bool filed = (*word >> at % 32 & 1) != 0;
	*word |= (uint32_t)set << at % 32;
	return filed;
}

static void entry_number(struct det_store *s, struct det_entry *e, uint32_t id)
{
	ops_assert(id < UINT32_MAX - 1);
	e->id = id;
	s->next_id = OPS_MAX(s->next_id, id + 1);
	size_t page = e->id / DET_PAGE_SERIES;
	while (s->npages <= page) {
		OPS_GROW(s->pages, s->npages, s->pages_cap);
		s->pages[s->npages++] = NULL;
	}
	if (s->pages[page] == NULL) {
		s->pages[page] = ops_xcalloc(1, sizeof(struct det_page));
	}
	s->pages[page]->items[e->id % DET_PAGE_SERIES] = e;
	s->pages[page]->used++;
}

static void entry_unnumber(struct det_store *s, const struct det_entry *e)
{
	struct det_page **page = &s->pages[e->id / DET_PAGE_SERIES];
	uint32_t at = e->id % DET_PAGE_SERIES;
	(*page)->items[at] = NULL;
	(*page)->filed[at / 32] &= ~(UINT32_C(1) << at % 32);
	/* The page that ids are still taken from stays. */
	if (--(*page)->used == 0 && e->id / DET_PAGE_SERIES != s->next_id / DET_PAGE_SERIES) {
		free(*page);
		*page = NULL;
	}
}

struct wanted {
	const struct det_store *s;
	const struct ops_labels *labels;
};

static bool same_series(void *arg, uint32_t id)
{
	const struct wanted *w = arg;
	const struct det_entry *e = det_store_at(w->s, id);
	if (e->hash != w->labels->hash || e->npairs != w->labels->n) {
		return false;
	}
	for (uint32_t i = 0; i < e->npairs; i++) {
		const struct det_pair *p = w->s->index.pairs[e->pairs[i]];
		const struct ops_label *l = &w->labels->items[i];
		if (p->len != l->value_len || p->name->len != l->name_len ||
			memcmp(p->text, l->value, p->len) != 0 ||
			memcmp(p->name->text, l->name, l->name_len) != 0) {
			return false;
		}
	}
	return true;
}

static uint32_t table_hash(const struct det_store *s, uint64_t hash)
{
	return (uint32_t)ops_hash64(&hash, sizeof(hash), s->seed);
}

struct det_entry *det_store_lookup(const struct det_store *s, const struct ops_labels *labels)
{
	struct wanted w = {s, labels};
	uint32_t id = det_table_find(&s->series, table_hash(s, labels->hash), same_series, &w);
	return id != DET_NO_ID ? det_store_at(s, id) : NULL;
}

static size_t entry_bytes(const struct det_entry *e)
{
	/* Itself, its slots in the two tables, what malloc adds. */
	return sizeof(*e) + e->npairs * sizeof(uint32_t) + 16 + 8 + 16;
}

static struct det_entry *entry_new(
	struct det_store *s, const struct ops_labels *labels, uint32_t id)
{
	struct det_entry *e = ops_xcalloc(1, sizeof(*e) + labels->n * sizeof(uint32_t));
	e->hash = labels->hash;
	e->npairs = labels->n & DET_ENTRY_PAIRS_MAX;
	for (uint32_t i = 0; i < labels->n; i++) {
		e->pairs[i] = det_index_pair(&s->index, &labels->items[i])->id;
	}
	entry_number(s, e, id);
	det_table_add(&s->series, table_hash(s, e->hash), e->id);
	det_index_add(&s->index, e->id, e->pairs, e->npairs);
	s->series_bytes += entry_bytes(e);
	s->stats.series++;
	s->stats.series_created++;
	det_store_changed(s);
	return e;
}

struct det_entry *det_store_intern(struct det_store *s, const struct ops_labels *labels)
{
	struct det_entry *e = det_store_lookup(s, labels);
	if (e != NULL) {
		return e;
	}
	if (labels->n > DET_ENTRY_PAIRS_MAX ||
		(s->options.memory_max != 0 && det_store_bytes(s) >= s->options.memory_max)) {
		s->stats.series_refused++;
		ops_metric_add(&series_refused, 1);
		return NULL;
	}
	return entry_new(s, labels, s->next_id);
}

struct det_entry *det_store_restore(
	struct det_store *s, const struct ops_labels *labels, uint32_t id)
{
	bool taken = id >= UINT32_MAX - 1 || labels->n > DET_ENTRY_PAIRS_MAX ||
		     det_store_at(s, id) != NULL || det_store_lookup(s, labels) != NULL;
	return taken ? NULL : entry_new(s, labels, id);
}

bool det_store_renumber(struct det_store *s, struct det_entry *e, uint32_t id)
{
	if (id >= UINT32_MAX - 1 || det_store_at(s, id) != NULL) {
		return false;
	}
	det_index_remove(&s->index, e->id, e->pairs, e->npairs);
	det_table_remove(&s->series, table_hash(s, e->hash), e->id);
	entry_unnumber(s, e);
	entry_number(s, e, id);
	det_table_add(&s->series, table_hash(s, e->hash), e->id);
	det_index_add(&s->index, e->id, e->pairs, e->npairs);
	det_store_changed(s);
	return true;
}

uint32_t det_entry_nrefs(const struct det_entry *e)
{
	return e->more != NULL ? e->more->n : e->first.group != NULL;
}

const struct det_ref *det_entry_ref(const struct det_entry *e, uint32_t i)
{
	return e->more != NULL ? &e->more->items[i] : &e->first;
}

int64_t det_entry_last(const struct det_entry *e)
{
	if (e->more != NULL) {
		return e->more->last_ms;
	}
	return e->first.group != NULL ? det_group_column_last(e->first.group, e->first.column)
				      : INT64_MIN;
}

void det_entry_attach(struct det_entry *e, struct det_group *group, uint32_t column)
{
	group->series[column] = e;
	if (e->more == NULL && e->first.group == NULL) {
		e->first = (struct det_ref){group, column};
		return;
	}
	if (e->more == NULL) {
		struct det_refs *more = ops_xcalloc(1, sizeof(*more) + 2 * sizeof(struct det_ref));
		more->last_ms = det_entry_last(e);
		more->cap = 2;
		more->items[more->n++] = e->first;
		e->first.group->shared = true;
		e->more = more;
	} else if (e->more->n == e->more->cap) {
		e->more->cap *= 2;
		e->more = ops_xrealloc(
			e->more, 1, sizeof(*e->more) + e->more->cap * sizeof(struct det_ref));
	}
	e->more->items[e->more->n++] = (struct det_ref){group, column};
	group->shared = true;
}

void det_entry_detach(struct det_entry *e, const struct det_group *group)
{
	if (e->more == NULL) {
		if (e->first.group == group) {
			e->first = (struct det_ref){NULL, 0};
		}
		return;
	}
	uint32_t kept = 0;
	for (uint32_t i = 0; i < e->more->n; i++) {
		if (e->more->items[i].group != group) {
			e->more->items[kept++] = e->more->items[i];
		}
	}
	e->more->n = kept;
	if (kept <= 1) {
		e->first = kept == 1 ? e->more->items[0] : (struct det_ref){NULL, 0};
		free(e->more);
		e->more = NULL;
	}
}

struct ops_labels *det_entry_labels(
	const struct det_store *s, const struct det_entry *e, struct ops_arena *arena)
{
	struct ops_labels *ls = ops_arena_alloc(
		arena, sizeof(*ls) + OPS_MAX(e->npairs, 1u) * sizeof(struct ops_label));
	ls->refs = 1;
	ls->n = e->npairs;
	ls->hash = e->hash;
	for (uint32_t i = 0; i < e->npairs; i++) {
		const struct det_pair *p = s->index.pairs[e->pairs[i]];
		ls->items[i] = (struct ops_label){.name = p->name->text,
			.name_len = p->name->len,
			.value = p->text,
			.value_len = p->len};
	}
	return ls;
}

struct det_series *det_entry_view(
	const struct det_store *s, struct det_entry *e, struct ops_arena *arena)
{
	struct det_series *view = ops_arena_new(arena, struct det_series);
	*view = (struct det_series){
		.labels = det_entry_labels(s, e, arena), .store = s, .entry = e, .id = e->id};
	return view;
}

static void entry_free(void *p)
{
	struct det_entry *e = p;
	free(e->more);
	free(e);
}

static void bury_text(void *arg, void (*free_fn)(void *), void *what)
{
	det_store_grave(arg, free_fn, what);
}

void det_store_bury(struct det_store *s, struct det_entry *const *dead, size_t n)
{
	if (n == 0) {
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct det_entry *e = dead[i];
		det_index_remove(&s->index, e->id, e->pairs, e->npairs);
		det_table_remove(&s->series, table_hash(s, e->hash), e->id);
		entry_unnumber(s, e);
		s->series_bytes -= OPS_MIN(s->series_bytes, entry_bytes(e));
		det_store_grave(s, entry_free, e);
	}
	det_index_sweep(&s->index, bury_text, s);
	s->stats.series -= n;
	s->stats.series_removed += n;
	s->buried += n;
	det_store_changed(s);
}
