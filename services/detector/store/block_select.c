/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A matcher is asked once per distinct value of its name; what matches is a union of postings. One
 * that an absent label satisfies as well is everything less the union of what does not match.
 */
#include <string.h>

#include "common/base/hash.h"
#include "services/detector/store/block_impl.h"
#include "services/detector/store/postings.h"

static void add_pair(const struct det_block *b, uint32_t at, roaring_bitmap_t **into)
{
	struct det_block_index_pair pair = det_block_index_pair(&b->index, at);
	if (pair.bytes != 0) {
		/* Damaged postings match nothing; verify says so. */
		(void)!det_postings_add(b->index.starts[DET_SECTION_POSTINGS] + pair.start,
			pair.bytes, b->index.counts[DET_COUNT_SERIES], into);
		return;
	}
	if (*into == NULL) {
		*into = roaring_bitmap_create();
		ops_assert(*into != NULL);
	}
	roaring_bitmap_add(*into, pair.start);
}

static const char *pair_value(const struct det_block *b, uint32_t at, uint32_t *ret_len)
{
	return det_block_index_symbol(
		&b->index, det_block_index_pair(&b->index, at).value, ret_len);
}

/* The pair with this value; false: there is none. */
static bool find_pair(
	const struct det_block *b, const uint32_t range[2], const char *value, uint32_t *ret)
{
	uint32_t lo = range[0], hi = range[0] + range[1], len;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int order = strcmp(pair_value(b, mid, &len), value);
		if (order == 0) {
			*ret = mid;
			return true;
		}
		if (order < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return false;
}

/* Those literals that an expression can only match. */
static bool add_literals(const struct det_block *b, const uint32_t range[2],
	const struct ops_matcher *m, roaring_bitmap_t **into)
{
	const char *const *items;
	size_t n;
	uint32_t at;
	if (!ops_regex_literals(m->re, &items, &n)) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (find_pair(b, range, items[i], &at)) {
			add_pair(b, at, into);
		}
	}
	return true;
}

/* Series with a value of the name for which the matcher says wanted. */
static void add_values(const struct det_block *b, const struct ops_matcher *m, bool wanted,
	roaring_bitmap_t **into)
{
	uint32_t range[2], at, len;
	bool equal = m->op == OPS_MATCH_EQ || m->op == OPS_MATCH_NE;
	bool positive = m->op == OPS_MATCH_EQ || m->op == OPS_MATCH_RE;
	if (!det_block_index_pairs_of(&b->index, m->name, range)) {
		return;
	}
	if (equal && positive == wanted) { /* just the value itself */
		if (find_pair(b, range, m->value, &at)) {
			add_pair(b, at, into);
		}
		return;
	}
	if (!equal && positive == wanted && add_literals(b, range, m, into)) {
		return;
	}
	for (uint32_t i = range[0]; i < range[0] + range[1]; i++) {
		if (ops_matcher_match_value(m, pair_value(b, i, &len)) == wanted) {
			add_pair(b, i, into);
		}
	}
}

static roaring_bitmap_t *everything(const struct det_block *b)
{
	roaring_bitmap_t *all = roaring_bitmap_from_range(0, b->index.counts[DET_COUNT_SERIES], 1);
	all = all != NULL ? all : roaring_bitmap_create(); /* NULL for no series */
	ops_assert(all != NULL);
	return all;
}

/* Narrows *result by one matcher. */
static void apply(const struct det_block *b, const struct ops_matcher *m, roaring_bitmap_t *result)
{
	roaring_bitmap_t *found = NULL;
	bool absent_matches = ops_matcher_match_value(m, NULL);
	add_values(b, m, !absent_matches, &found);
	if (absent_matches) {
		if (found != NULL) {
			roaring_bitmap_andnot_inplace(result, found);
		}
	} else if (found != NULL) {
		roaring_bitmap_and_inplace(result, found);
	} else {
		roaring_bitmap_clear(result);
	}
	if (found != NULL) {
		roaring_bitmap_free(found);
	}
}

void det_block_select(const struct det_block *b, const struct ops_matchers *matchers,
	struct ops_arena *arena, struct det_block_list *ret)
{
	roaring_bitmap_t *result = everything(b);
	for (size_t i = 0; i < matchers->n && !roaring_bitmap_is_empty(result); i++) {
		apply(b, &matchers->items[i], result);
	}
	size_t n = roaring_bitmap_get_cardinality(result);
	uint32_t *series = ops_arena_array(arena, uint32_t, n + 1);
	roaring_bitmap_to_uint32_array(result, series);
	roaring_bitmap_free(result);
	*ret = (struct det_block_list){.series = series, .n = n};
}

/* As struct ops_labels has it: over all texts, each with a NUL behind. */
static uint64_t hash_labels(const struct det_block_index *ix, const struct det_series_entry *e)
{
	struct ops_strbuf texts = OPS_STRBUF_INIT;
	const uint8_t *at = e->pairs;
	uint32_t two[2], len;
	for (uint32_t i = 0; i < e->nlabels && det_block_index_next(&at, e->end, two); i++) {
		for (unsigned part = 0; part < 2; part++) {
			const char *text = det_block_index_symbol(ix, two[part], &len);
			ops_strbuf_add(&texts, text, (size_t)len + 1);
		}
	}
	uint64_t hash = ops_hash64(texts.data != NULL ? texts.data : "", texts.len, 0);
	ops_strbuf_done(&texts);
	return hash;
}

size_t det_block_labels(const struct det_block *b, uint32_t series, struct ops_label *ret,
	size_t cap, uint64_t *ret_hash)
{
	struct det_series_entry e;
	if (!det_block_index_series(&b->index, series, &e)) {
		return 0;
	}
	const uint8_t *at = e.pairs;
	uint32_t two[2];
	for (uint32_t i = 0; i < OPS_MIN((size_t)e.nlabels, cap); i++) {
		if (!det_block_index_next(&at, e.end, two)) {
			return i;
		}
		ret[i].name = det_block_index_symbol(&b->index, two[0], &ret[i].name_len);
		ret[i].value = det_block_index_symbol(&b->index, two[1], &ret[i].value_len);
	}
	if (ret_hash != NULL) {
		*ret_hash = hash_labels(&b->index, &e);
	}
	return e.nlabels;
}

bool det_block_has_histograms(const struct det_block *b, uint32_t series)
{
	struct det_series_entry e;
	return det_block_index_series(&b->index, series, &e) && e.nhistograms != 0;
}

size_t det_block_names(const struct det_block *b, struct ops_arena *arena, const char *const **ret)
{
	uint32_t n = b->index.counts[DET_COUNT_NAMES], len;
	const char **names = ops_arena_array(arena, const char *, (size_t)n + 1);
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *at = b->index.starts[DET_SECTION_NAMES] + (size_t)i * DET_NAME_BYTES;
		names[i] = det_block_index_symbol(&b->index, ops_get_u32(at), &len);
	}
	*ret = names;
	return n;
}

size_t det_block_values(const struct det_block *b, const char *name, struct ops_arena *arena,
	const char *const **ret)
{
	uint32_t range[2] = {0, 0}, len;
	(void)!det_block_index_pairs_of(&b->index, name, range);
	const char **values = ops_arena_array(arena, const char *, (size_t)range[1] + 1);
	for (uint32_t i = 0; i < range[1]; i++) {
		values[i] = pair_value(b, range[0] + i, &len);
	}
	*ret = values;
	return range[1];
}

int det_block_delete(struct det_block *b, const struct ops_matchers *matchers,
	const int64_t range_ms[2], uint64_t *ret_series, struct ops_error *err)
{
	struct ops_arena arena;
	struct det_block_list list;
	int rc = 0;
	ops_arena_init(&arena);
	det_block_select(b, matchers, &arena, &list);
	struct det_tombstone *more = ops_xcalloc(list.n + 1, sizeof(*more));
	for (size_t i = 0; i < list.n; i++) {
		more[i] = (struct det_tombstone){
			.series = list.series[i], .mint_ms = range_ms[0], .maxt_ms = range_ms[1]};
	}
	pthread_mutex_lock(&b->deleting);
	if (list.n != 0) {
		OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/tombstones", b->dir);
		struct det_tombstones *next = det_tombstones_add(b->tombstones, more, list.n);
		rc = det_tombstones_write(next, path);
		if (rc == 0) {
			next->older = b->tombstones;
			__atomic_store_n(&b->tombstones, next, __ATOMIC_RELEASE);
		} else {
			rc = ops_error_set(err, rc, "could not write %s: %s", path, strerror(-rc));
			det_tombstones_free(next);
		}
	}
	pthread_mutex_unlock(&b->deleting);
	*ret_series = list.n;
	free(more);
	ops_arena_done(&arena);
	return rc;
}

bool det_block_has_tombstones(const struct det_block *b)
{
	return __atomic_load_n(&b->tombstones, __ATOMIC_ACQUIRE) != NULL;
}

void det_block_each_pair(const struct det_block *b,
	void (*fn)(void *arg, const char *name, const char *value, uint64_t series), void *arg)
{
	for (uint32_t i = 0; i < b->index.counts[DET_COUNT_PAIRS]; i++) {
		struct det_block_index_pair pair = det_block_index_pair(&b->index, i);
		roaring_bitmap_t *series = NULL;
		uint32_t len;
		add_pair(b, i, &series);
		fn(arg, det_block_index_symbol(&b->index, pair.name, &len),
			det_block_index_symbol(&b->index, pair.value, &len),
			series != NULL ? roaring_bitmap_get_cardinality(series) : 0);
		if (series != NULL) {
			roaring_bitmap_free(series);
		}
	}
}

size_t det_block_index_bytes(const struct det_block *b)
{
	return b->index.size;
}

size_t det_block_tombstone_count(const struct det_block *b)
{
	const struct det_tombstones *t = __atomic_load_n(&b->tombstones, __ATOMIC_ACQUIRE);
	return t != NULL ? t->n : 0;
}
