/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Label texts, each kept once, and the inverted index over them: a pair is a value of a name with
 * the ids of the series that have it, as a CRoaring bitmap. Owned by the store; changed under its
 * write lock, read under its read lock.
 */
#include <pthread.h>
#include <roaring/roaring.h>

#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/model/labels.h"
#include "common/model/matcher.h"
#include "services/detector/store/table.h"

struct det_pair {
	struct det_label_name *name;
	uint32_t id, hash;
	uint32_t len;	  /* of the value */
	uint32_t nseries; /* one: it is in only; more: in series */
	uint32_t only;
	uint32_t file_ref;	  /* its number in the definitions file; 0: not there yet */
	roaring_bitmap_t *series; /* NULL up to one */
	char text[];
};

struct det_label_name {
	char *text;
	uint32_t len;
	uint32_t *pairs; /* ids, in the order they came */
	uint32_t npairs, pairs_cap;
	uint32_t removals; /* how often pairs were taken away */
	bool touched;
};

struct det_index {
	struct ops_map *names; /* struct det_label_name */
	struct det_table table;
	struct det_pair **pairs; /* by id */
	uint32_t npairs, pairs_cap;
	uint32_t *free_ids;
	uint32_t nfree, free_cap;
	roaring_bitmap_t *all;
	struct ops_map *cache; /* matchers that look at every value -> what they accept */
	pthread_mutex_t cache_lock;
	uint64_t seed;
	size_t bytes;
};

/* Receives what readers may still look at. */
typedef void det_bury_fn(void *arg, void (*free_fn)(void *), void *what);

void det_index_init(struct det_index *ix);
void det_index_done(struct det_index *ix);
/* The pair, made when new; series are added by det_index_add(). */
struct det_pair *det_index_pair(struct det_index *ix, const struct ops_label *l);
const struct det_pair *det_index_find(const struct det_index *ix, const struct ops_label *l);
void det_index_add(struct det_index *ix, uint32_t series, const uint32_t *pairs, uint32_t npairs);
void det_index_remove(
	struct det_index *ix, uint32_t series, const uint32_t *pairs, uint32_t npairs);
/* Drops pairs and names without series; call it after removals. */
void det_index_sweep(struct det_index *ix, det_bury_fn *bury, void *arg);

struct det_ids {
	const uint32_t *ids; /* ascending, in the arena */
	size_t n;
};
struct det_ids det_index_match(
	struct det_index *ix, const struct ops_matchers *matchers, struct ops_arena *arena);
