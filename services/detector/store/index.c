/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are few and kept in a map; pairs are many, found by a table of ids and referred to by id
 * (four bytes) from the series. Most pairs of a large store belong to one series or to thousands:
 * one id is kept in place, from two on it is a bitmap. match.c evaluates matchers.
 */
#include "services/detector/store/index.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"

#define BITMAP_BYTES 96u /* a small one with its first container */

void det_index_init(struct det_index *ix)
{
	*ix = (struct det_index){.names = ops_map_new(),
		.cache = ops_map_new(),
		.all = roaring_bitmap_create(),
		.seed = (uint64_t)ops_mono_ns() ^ (uint64_t)(uintptr_t)ix};
	pthread_mutex_init(&ix->cache_lock, NULL);
}

static void name_free(void *p)
{
	struct det_label_name *n = p;
	free(n->text);
	free(n->pairs);
	free(n);
}

static void pair_free(void *p)
{
	struct det_pair *pair = p;
	if (pair->series != NULL) {
		roaring_bitmap_free(pair->series);
	}
	free(pair);
}

void det_index_done(struct det_index *ix)
{
	for (uint32_t i = 0; i < ix->npairs; i++) {
		if (ix->pairs[i] != NULL) {
			pair_free(ix->pairs[i]);
		}
	}
	free(ix->pairs);
	free(ix->free_ids);
	ops_map_free(ix->names, name_free);
	ops_map_free(ix->cache, free);
	det_table_done(&ix->table);
	if (ix->all != NULL) {
		roaring_bitmap_free(ix->all);
		pthread_mutex_destroy(&ix->cache_lock);
	}
	*ix = (struct det_index){0};
}

struct wanted {
	const struct det_index *ix;
	const struct det_label_name *name;
	const struct ops_label *label;
};

static bool same_pair(void *arg, uint32_t id)
{
	const struct wanted *w = arg;
	const struct det_pair *p = w->ix->pairs[id];
	return p->name == w->name && p->len == w->label->value_len &&
	       memcmp(p->text, w->label->value, p->len) == 0;
}

static uint32_t pair_hash(
	const struct det_index *ix, const struct det_label_name *n, const struct ops_label *l)
{
	uint64_t seed = ix->seed ^ (uint64_t)(uintptr_t)n;
	return (uint32_t)ops_hash64(l->value, l->value_len, seed);
}

const struct det_pair *det_index_find(const struct det_index *ix, const struct ops_label *l)
{
	struct wanted w = {ix, ops_map_get(ix->names, l->name, l->name_len), l};
	if (w.name == NULL) {
		return NULL;
	}
	uint32_t id = det_table_find(&ix->table, pair_hash(ix, w.name, l), same_pair, &w);
	return id != DET_NO_ID ? ix->pairs[id] : NULL;
}

static struct det_label_name *name_of(struct det_index *ix, const struct ops_label *l)
{
	struct det_label_name *n = ops_map_get(ix->names, l->name, l->name_len);
	if (n == NULL) {
		n = ops_xcalloc(1, sizeof(*n));
		n->text = ops_xstrndup(l->name, l->name_len);
		n->len = l->name_len;
		ops_map_put(ix->names, l->name, l->name_len, n);
		ix->bytes += sizeof(*n) + 2u * l->name_len + 64;
	}
	return n;
}

static uint32_t next_pair_id(struct det_index *ix)
{
	if (ix->nfree != 0) {
		return ix->free_ids[--ix->nfree];
	}
	OPS_GROW(ix->pairs, ix->npairs, ix->pairs_cap);
	ix->pairs[ix->npairs] = NULL;
	return ix->npairs++;
}

static size_t pair_bytes(const struct det_pair *p)
{
	return sizeof(*p) + p->len + 1 + 3 * sizeof(uint32_t) + sizeof(void *);
}

struct det_pair *det_index_pair(struct det_index *ix, const struct ops_label *l)
{
	struct det_label_name *n = name_of(ix, l);
	struct wanted w = {ix, n, l};
	uint32_t hash = pair_hash(ix, n, l);
	uint32_t id = det_table_find(&ix->table, hash, same_pair, &w);
	if (id != DET_NO_ID) {
		return ix->pairs[id];
	}
	struct det_pair *p = ops_xcalloc(1, sizeof(*p) + l->value_len + 1);
	memcpy(p->text, l->value, l->value_len);
	p->len = l->value_len;
	p->name = n;
	p->hash = hash;
	p->id = next_pair_id(ix);
	ix->pairs[p->id] = p;
	OPS_GROW(n->pairs, n->npairs, n->pairs_cap);
	n->pairs[n->npairs++] = p->id;
	det_table_add(&ix->table, hash, p->id);
	ix->bytes += pair_bytes(p);
	return p;
}

static void pair_add(struct det_index *ix, struct det_pair *p, uint32_t series)
{
	if (p->nseries == 0) {
		p->only = series;
	} else {
		if (p->nseries == 1) {
			p->series = roaring_bitmap_create_with_capacity(1);
			roaring_bitmap_add(p->series, p->only);
			ix->bytes += BITMAP_BYTES;
		}
		roaring_bitmap_add(p->series, series);
		ix->bytes += sizeof(uint16_t);
	}
	p->nseries++;
}

void det_index_add(struct det_index *ix, uint32_t series, const uint32_t *pairs, uint32_t npairs)
{
	roaring_bitmap_add(ix->all, series);
	for (uint32_t i = 0; i < npairs; i++) {
		pair_add(ix, ix->pairs[pairs[i]], series);
	}
}

static void pair_remove(struct det_index *ix, struct det_pair *p, uint32_t series)
{
	if (p->series != NULL) {
		roaring_bitmap_remove(p->series, series);
		ix->bytes -= OPS_MIN(ix->bytes, sizeof(uint16_t));
	}
	if (--p->nseries == 1) {
		p->only = roaring_bitmap_minimum(p->series);
		roaring_bitmap_free(p->series);
		p->series = NULL;
		ix->bytes -= OPS_MIN(ix->bytes, BITMAP_BYTES);
	}
	p->name->touched = p->name->touched || p->nseries == 0;
}

void det_index_remove(struct det_index *ix, uint32_t series, const uint32_t *pairs, uint32_t npairs)
{
	roaring_bitmap_remove(ix->all, series);
	for (uint32_t i = 0; i < npairs; i++) {
		pair_remove(ix, ix->pairs[pairs[i]], series);
	}
}

static void name_sweep(struct det_index *ix, struct det_label_name *n, det_bury_fn *bury, void *arg)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n->npairs; i++) {
		struct det_pair *p = ix->pairs[n->pairs[i]];
		if (p->nseries != 0) {
			n->pairs[kept++] = p->id;
			continue;
		}
		det_table_remove(&ix->table, p->hash, p->id);
		ix->pairs[p->id] = NULL;
		OPS_GROW(ix->free_ids, ix->nfree, ix->free_cap);
		ix->free_ids[ix->nfree++] = p->id;
		ix->bytes -= OPS_MIN(ix->bytes, pair_bytes(p));
		bury(arg, pair_free, p);
	}
	n->npairs = kept;
	n->removals++;
	n->touched = false;
}

void det_index_sweep(struct det_index *ix, det_bury_fn *bury, void *arg)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(ix->names, &at, &e);) {
		struct det_label_name *n = e.value;
		if (!n->touched) {
			continue;
		}
		name_sweep(ix, n, bury, arg);
		if (n->npairs == 0) {
			ix->bytes -= OPS_MIN(ix->bytes, sizeof(*n) + 2 * e.len + 64);
			(void)ops_map_remove(ix->names, e.key, e.len);
			bury(arg, name_free, n);
		}
	}
	/* Its lists hold ids that may come again as others. */
	ops_map_free(ix->cache, free);
	ix->cache = ops_map_new();
}
