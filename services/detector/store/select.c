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

static bool overlaps(const struct det_series *series, const int64_t range_ms[2])
{
	for (uint32_t i = 0; i < series->nrefs; i++) {
		const struct det_group *g = series->refs[i].group;
		if (g->last_ms >= range_ms[0] && det_group_first(g) <= range_ms[1]) {
			return true;
		}
	}
	return false;
}

void det_store_select(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], struct ops_arena *arena, struct det_series_list *ret)
{
	struct det_postings ids = det_index_match(&s->index, matchers, arena);
	ret->items = ops_arena_array(arena, struct det_series *, OPS_MAX(ids.n, (size_t)1));
	ret->n = 0;
	for (size_t i = 0; i < ids.n; i++) {
		struct det_series *series = det_store_at(s, ids.ids[i]);
		if (series != NULL && overlaps(series, range_ms)) {
			ret->items[ret->n++] = series;
		}
	}
}

void det_samples_done(struct det_samples *out)
{
	free(out->t);
	free(out->v);
	free(out->h_room);
	ops_arena_done(&out->arena);
	*out = (struct det_samples){0};
}

/* Merges the ascending runs [0, mid) and [mid, n); the first wins at equal times. */
static void merge_runs(struct det_samples *out, size_t mid)
{
	struct det_samples m = {.cap = out->cap};
	m.t = ops_xcalloc(m.cap, sizeof(int64_t));
	m.v = ops_xcalloc(m.cap, sizeof(double));
	size_t a = 0, b = mid;
	while (a < mid || b < out->n) {
		bool first = b == out->n || (a < mid && out->t[a] <= out->t[b]);
		size_t from = first ? a++ : b++;
		if (m.n == 0 || m.t[m.n - 1] != out->t[from]) {
			m.t[m.n] = out->t[from];
			m.v[m.n++] = out->v[from];
		}
	}
	det_samples_done(out);
	*out = m;
}

void det_series_read(
	const struct det_series *series, int64_t mint_ms, int64_t maxt_ms, struct det_samples *out)
{
	const int64_t range_ms[2] = {mint_ms, maxt_ms};
	out->n = 0;
	out->h = NULL;
	ops_arena_reset(&out->arena);
	for (uint32_t i = 0; i < series->nrefs; i++) {
		size_t mid = out->n;
		det_group_read(series->refs[i].group, series->refs[i].column, range_ms, out);
		if (mid != 0 && mid < out->n && out->t[mid] <= out->t[mid - 1]) {
			merge_runs(out, mid);
		}
	}
	if (series->histograms != NULL) {
		det_histogram_log_fill(series->histograms, out);
	}
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_strings(struct det_strings *list)
{
	qsort(list->items, list->n, sizeof(list->items[0]), compare_text);
}

void det_store_label_names(struct det_store *s, struct ops_arena *arena, struct det_strings *ret)
{
	ret->items = ops_arena_array(arena, const char *, ops_map_count(s->index.names) + 1);
	ret->n = 0;
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(s->index.names, &at, &e);) {
		ret->items[ret->n++] = ((const struct det_label_name *)e.value)->text;
	}
	sort_strings(ret);
}

void det_store_label_values(
	struct det_store *s, const char *name, struct ops_arena *arena, struct det_strings *ret)
{
	const struct det_label_name *n = ops_map_gets(s->index.names, name);
	size_t count = n != NULL ? ops_map_count(n->values) : 0;
	ret->items = ops_arena_array(arena, const char *, count + 1);
	ret->n = 0;
	struct ops_map_entry e;
	for (size_t at = 0; n != NULL && ops_map_next(n->values, &at, &e);) {
		ret->items[ret->n++] = ((const struct det_label_value *)e.value)->text;
	}
	sort_strings(ret);
}

static const char *put_text(char **at, const char *s)
{
	size_t len = s != NULL ? strlen(s) : 0;
	char *to = *at;
	memcpy(to, s != NULL ? s : "", len);
	to[len] = '\0';
	*at += len + 1;
	return to;
}

void det_store_describe(struct det_store *s, const struct ops_layout_family *f)
{
	size_t help = f->help != NULL ? strlen(f->help) : 0;
	size_t unit = f->unit != NULL ? strlen(f->unit) : 0;
	struct det_metadata *m = ops_xcalloc(1, sizeof(*m) + strlen(f->name) + help + unit + 3);
	char *text = (char *)(m + 1);
	m->name = put_text(&text, f->name);
	m->help = put_text(&text, f->help);
	m->unit = put_text(&text, f->unit);
	m->type = f->type;
	free(ops_map_puts(s->metadata, f->name, m));
}

void det_store_learn(struct det_store *s, const struct ops_layout *layout)
{
	for (size_t i = 0; i < layout->nfamilies; i++) {
		det_store_describe(s, &layout->families[i]);
	}
}

const struct det_metadata *det_store_metadata(struct det_store *s, const char *family)
{
	return ops_map_gets(s->metadata, family);
}

static int compare_metadata(const void *a, const void *b)
{
	return strcmp((*(const struct det_metadata *const *)a)->name,
		(*(const struct det_metadata *const *)b)->name);
}

void det_store_metadata_all(struct det_store *s, struct ops_arena *arena,
	const struct det_metadata *const **ret, size_t *ret_n)
{
	const struct det_metadata **list =
		ops_arena_array(arena, const struct det_metadata *, ops_map_count(s->metadata) + 1);
	size_t n = 0;
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(s->metadata, &at, &e);) {
		list[n++] = e.value;
	}
	qsort(list, n, sizeof(list[0]), compare_metadata);
	*ret = list;
	*ret_n = n;
}

void det_store_stats(const struct det_store *s, struct det_store_stats *ret)
{
	*ret = s->stats;
	ret->memory_bytes = det_store_bytes(s);
	ret->label_pairs = s->index.pairs;
	ret->blocks = 0;
	for (const struct det_group *g = s->groups; g != NULL; g = g->next) {
		ret->blocks += g->nsealed + (g->nrows != 0);
	}
}

static int compare_counts(const void *a, const void *b)
{
	const struct det_count *x = a, *y = b;
	if (x->n != y->n) {
		return x->n < y->n ? 1 : -1;
	}
	int by_name = strcmp(x->name, y->name);
	return by_name != 0 || x->value == NULL ? by_name : strcmp(x->value, y->value);
}

struct counting {
	struct det_count *items;
	size_t n, cap;
};

static void add_count(struct counting *c, const char *name, const char *value, uint64_t n)
{
	OPS_GROW(c->items, c->n, c->cap);
	c->items[c->n++] = (struct det_count){name, value, n};
}

static void count_name(
	struct counting *c, enum det_count_kind kind, const struct det_label_name *name)
{
	struct ops_map_entry e;
	uint64_t bytes = 0;
	bool metric = kind == DET_COUNT_SERIES_BY_METRIC;
	if (metric && strcmp(name->text, OPS_LABEL_NAME) != 0) {
		return;
	}
	for (size_t at = 0; ops_map_next(name->values, &at, &e);) {
		const struct det_label_value *v = e.value;
		bytes += e.len;
		if (metric) {
			add_count(c, v->text, NULL, v->postings.n);
		} else if (kind == DET_COUNT_SERIES_BY_PAIR) {
			add_count(c, name->text, v->text, v->postings.n);
		}
	}
	if (kind == DET_COUNT_VALUES_BY_NAME) {
		add_count(c, name->text, NULL, ops_map_count(name->values));
	} else if (kind == DET_COUNT_BYTES_BY_NAME) {
		add_count(c, name->text, NULL, bytes);
	}
}

size_t det_store_count(struct det_store *s, enum det_count_kind kind, size_t limit,
	struct ops_arena *arena, struct det_count **ret)
{
	struct counting c = {0};
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(s->index.names, &at, &e);) {
		count_name(&c, kind, e.value);
	}
	if (c.n != 0) {
		qsort(c.items, c.n, sizeof(c.items[0]), compare_counts);
	}
	size_t n = OPS_MIN(c.n, limit);
	*ret = ops_arena_array(arena, struct det_count, n + 1);
	if (n != 0) {
		memcpy(*ret, c.items, n * sizeof(c.items[0]));
	}
	free(c.items);
	return n;
}
