/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Head and blocks as one store. A selection that reaches into blocks joins their series with the
 * head's by label set; a series that lives in blocks only exists in the caller's arena. What both
 * have (a block was cut, the head has not let go yet; a crash in between) is read once: blocks come
 * first and win.
 *
 * Blocks that a selection saw stay until its read ends. For the samples that a cut takes out of the
 * head that means: they stay as long as a read is open that began before the block was there.
 */
#include <string.h>

#include "services/detector/store/histogram_log.h"
#include "services/detector/store/state.h"

#define LABELS_MAX 512u

struct joined {
	struct det_store *s;
	struct ops_arena *arena;
	struct ops_map *by_hash; /* struct det_series; NULL while no block takes part */
	struct det_series_list *list;
	size_t cap, nblocks;
	const struct det_block_list *found; /* of each block */
	struct det_block *const *blocks;
};

static bool in_range(const struct det_block *b, const int64_t range_ms[2])
{
	const struct det_block_meta *m = det_block_meta(b);
	return m->mint_ms <= range_ms[1] && m->maxt_ms > range_ms[0];
}

/* The view of a label set among those that have its hash. */
static struct det_series *find_view(
	const struct joined *j, const struct ops_label *labels, size_t n, uint64_t hash)
{
	struct det_series *v = ops_map_get(j->by_hash, &hash, sizeof(hash));
	if (v == NULL || v->labels->n != n) {
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		if (strcmp(v->labels->items[i].name, labels[i].name) != 0 ||
			strcmp(v->labels->items[i].value, labels[i].value) != 0) {
			return NULL;
		}
	}
	return v;
}

static struct det_series *new_view(
	struct joined *j, const struct ops_label *labels, size_t n, uint64_t hash)
{
	struct ops_labels *ls = ops_arena_alloc(
		j->arena, sizeof(*ls) + OPS_MAX(n, (size_t)1) * sizeof(struct ops_label));
	ls->refs = 1;
	ls->n = (uint32_t)n;
	ls->hash = hash;
	memcpy(ls->items, labels, n * sizeof(labels[0]));
	struct det_series *v = ops_arena_new(j->arena, struct det_series);
	*v = (struct det_series){.labels = ls, .store = j->s, .id = hash | UINT64_C(1) << 63};
	if (j->list->n == j->cap) {
		j->cap = j->cap * 2 + 64;
		struct det_series **items = ops_arena_array(j->arena, struct det_series *, j->cap);
		memcpy(items, j->list->items, j->list->n * sizeof(items[0]));
		j->list->items = items;
	}
	j->list->items[j->list->n++] = v;
	(void)ops_map_put(j->by_hash, &hash, sizeof(hash), v);
	return v;
}

static void add_block_series(struct joined *j, struct det_block *b, uint32_t series)
{
	struct ops_label labels[LABELS_MAX];
	uint64_t hash;
	size_t n = det_block_labels(b, series, labels, LABELS_MAX, &hash);
	if (n > LABELS_MAX) {
		return; /* no such series was ever taken in: 256 at most */
	}
	struct det_series *v = find_view(j, labels, n, hash);
	v = v != NULL ? v : new_view(j, labels, n, hash);
	if (v->blocks == NULL) {
		v->blocks = ops_arena_array(j->arena, struct det_block_series, j->nblocks);
	}
	v->blocks[v->nblocks++] = (struct det_block_series){b, series};
}

static void join_blocks(struct joined *j)
{
	j->by_hash = ops_map_new();
	j->cap = j->list->n;
	for (size_t i = 0; i < j->list->n; i++) {
		uint64_t hash = j->list->items[i]->labels->hash;
		(void)ops_map_put(j->by_hash, &hash, sizeof(hash), j->list->items[i]);
	}
	for (size_t i = 0; i < j->nblocks; i++) {
		for (size_t k = 0; k < j->found[i].n; k++) {
			add_block_series(j, j->blocks[i], j->found[i].series[k]);
		}
	}
	ops_map_free(j->by_hash, NULL);
}

/* Blocks in the range, oldest first, in the arena. Under the lock. */
static size_t blocks_in(struct det_store *s, const int64_t range_ms[2], struct ops_arena *arena,
	struct det_block *const **ret)
{
	struct det_block **list = ops_arena_array(arena, struct det_block *, s->nblocks + 1);
	size_t n = 0;
	for (size_t i = 0; i < s->nblocks; i++) {
		if (in_range(s->blocks[i], range_ms)) {
			list[n++] = s->blocks[i];
		}
	}
	*ret = list;
	return n;
}

void det_store_select(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], struct ops_arena *arena, struct det_series_list *ret)
{
	struct joined j = {.s = s, .arena = arena, .list = ret};
	const struct ops_matchers visible = det_without_starts(matchers, arena);
	matchers = &visible;
	det_read_lock(s);
	det_head_select(s, matchers, range_ms, arena, ret);
	j.nblocks = blocks_in(s, range_ms, arena, &j.blocks);
	det_read_unlock(s);
	if (j.nblocks == 0) {
		return;
	}
	struct det_block_list *found = ops_arena_array(arena, struct det_block_list, j.nblocks);
	for (size_t i = 0; i < j.nblocks; i++) {
		det_block_select(j.blocks[i], matchers, arena, &found[i]);
	}
	j.found = found;
	join_blocks(&j);
}

/* ---- reading ---- */

struct reading {
	struct det_samples *out;
	const struct det_histogram_log *log; /* of the head */
	struct found {
		int64_t t;
		const struct ops_histogram *h;
	} * found; /* in blocks */
	size_t n, cap;
};

static void on_run(void *arg, const struct det_block_run *run)
{
	struct reading *r = arg;
	for (size_t i = 0; i < run->n; i++) {
		if (run->v != NULL) {
			det_samples_add(r->out, run->t[i], run->v[i]);
			continue;
		}
		const struct det_blob *blob = &run->blobs[i];
		struct ops_histogram *h = ops_arena_new(&r->out->arena, struct ops_histogram);
		if (ops_histogram_decode(blob->data, blob->len, &r->out->arena, h) == 0) {
			OPS_GROW(r->found, r->n, r->cap);
			r->found[r->n++] = (struct found){blob->t, h};
			det_samples_add(r->out, blob->t, det_histogram_mark());
		}
	}
}

static const struct ops_histogram *find_histogram(void *arg, int64_t t)
{
	const struct reading *r = arg;
	for (size_t i = 0; i < r->n; i++) {
		if (r->found[i].t == t) {
			return r->found[i].h;
		}
	}
	return det_histogram_log_at(r->log, t, &r->out->arena);
}

static void read_blocks(
	const struct det_series *series, const int64_t range_ms[2], struct reading *r)
{
	for (uint32_t i = 0; i < series->nblocks; i++) {
		const struct det_block_series *b = &series->blocks[i];
		if (in_range(b->block, range_ms)) {
			size_t mid = r->out->n;
			det_block_read(b->block, b->series, range_ms,
				det_decoder_cursor(&r->out->decoder, i), on_run, r);
			det_samples_join(r->out, mid);
		}
	}
}

/* The head's samples behind those of the blocks. Under the lock. */
static void add_head(struct det_store *s, const struct det_series *series,
	const int64_t range_ms[2], struct reading *r)
{
	struct det_samples *out = r->out;
	struct det_samples head = {.decoder = out->decoder};
	det_entry_read_marks(s, series->entry, range_ms, &head);
	out->decoder = head.decoder;
	size_t mid = out->n;
	for (size_t i = 0; i < head.n; i++) {
		det_samples_add(out, head.t[i], head.v[i]);
	}
	free(head.t);
	free(head.v);
	det_samples_join(out, mid);
	r->log = det_store_histograms(s, series->entry);
}

/* The lock is not part of what const says about the store. */
struct det_store *det_series_store(const struct det_series *series)
{
	union {
		const struct det_store *in;
		struct det_store *out;
	} s = {series->store};
	return s.out;
}

void det_series_read(
	const struct det_series *series, int64_t mint_ms, int64_t maxt_ms, struct det_samples *out)
{
	const int64_t range_ms[2] = {mint_ms, maxt_ms};
	struct det_store *s = det_series_store(series);
	struct reading r = {.out = out};
	out->n = 0;
	out->h = NULL;
	if (series->nblocks == 0) {
		if (series->entry != NULL) {
			det_read_lock(s);
			det_entry_read(s, series->entry, range_ms, out);
			det_read_unlock(s);
		}
		return;
	}
	ops_arena_reset(&out->arena);
	read_blocks(series, range_ms, &r);
	if (series->entry != NULL) {
		det_read_lock(s);
		add_head(s, series, range_ms, &r);
		det_histogram_fill(out, find_histogram, &r);
		det_read_unlock(s);
	} else {
		det_histogram_fill(out, find_histogram, &r);
	}
	free(r.found);
}

bool det_series_has_histograms(const struct det_series *series)
{
	struct det_store *s = det_series_store(series);
	for (uint32_t i = 0; i < series->nblocks; i++) {
		if (det_block_has_histograms(series->blocks[i].block, series->blocks[i].series)) {
			return true;
		}
	}
	det_read_lock(s);
	bool has = series->entry != NULL && (series->entry->flags & DET_ENTRY_HISTOGRAMS) != 0;
	det_read_unlock(s);
	return has;
}

/* ---- names and values ---- */

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, each once. */
static void sort_strings(struct det_strings *list)
{
	size_t kept = 0;
	if (list->n > 1) {
		qsort(list->items, list->n, sizeof(list->items[0]), compare_text);
	}
	for (size_t i = 0; i < list->n; i++) {
		if (kept == 0 || strcmp(list->items[kept - 1], list->items[i]) != 0) {
			list->items[kept++] = list->items[i];
		}
	}
	list->n = kept;
}

static void add_strings(
	struct ops_arena *arena, struct det_strings *to, const char *const *items, size_t n)
{
	const char **all = ops_arena_array(arena, const char *, to->n + n + 1);
	memcpy(all, to->items, to->n * sizeof(all[0]));
	memcpy(all + to->n, items, n * sizeof(all[0]));
	to->items = all;
	to->n += n;
}

static const int64_t always_ms[2] = {INT64_MIN, INT64_MAX};

void det_store_label_names(struct det_store *s, struct ops_arena *arena, struct det_strings *ret)
{
	struct det_block *const *blocks;
	struct ops_map_entry e;
	det_read_lock(s);
	ret->items = ops_arena_array(arena, const char *, ops_map_count(s->index.names) + 1);
	ret->n = 0;
	for (size_t at = 0; ops_map_next(s->index.names, &at, &e);) {
		ret->items[ret->n++] = ((const struct det_label_name *)e.value)->text;
	}
	size_t nblocks = blocks_in(s, always_ms, arena, &blocks);
	det_read_unlock(s);
	for (size_t i = 0; i < nblocks; i++) {
		const char *const *names;
		size_t n = det_block_names(blocks[i], arena, &names);
		add_strings(arena, ret, names, n);
	}
	sort_strings(ret);
	det_strings_drop_start(ret);
}

void det_store_label_values(
	struct det_store *s, const char *name, struct ops_arena *arena, struct det_strings *ret)
{
	struct det_block *const *blocks;
	det_read_lock(s);
	const struct det_label_name *n = ops_map_gets(s->index.names, name);
	ret->n = n != NULL ? n->npairs : 0;
	ret->items = ops_arena_array(arena, const char *, ret->n + 1);
	for (uint32_t i = 0; i < ret->n; i++) {
		ret->items[i] = s->index.pairs[n->pairs[i]]->text;
	}
	size_t nblocks = blocks_in(s, always_ms, arena, &blocks);
	det_read_unlock(s);
	for (size_t i = 0; i < nblocks; i++) {
		const char *const *values;
		size_t count = det_block_values(blocks[i], name, arena, &values);
		add_strings(arena, ret, values, count);
	}
	sort_strings(ret);
}
