/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Label sets during a query: views of sorted label arrays whose texts belong to the store or to the
 * query's arena. Cheap to derive, never freed one by one.
 */
#include "common/base/arena.h"
#include "common/model/labels.h"
#include "common/promql/ast.h"

struct det_lset {
	const struct ops_label *items;
	uint32_t n;
	uint64_t hash; /* over names and values; 0: not computed yet */
};

struct det_lset det_lset_of(const struct ops_label *items, uint32_t n);
const char *det_lset_get(const struct det_lset *ls, const char *name); /* "" when absent */
bool det_lset_equal(const struct det_lset *a, const struct det_lset *b);
int det_lset_compare(const struct det_lset *a, const struct det_lset *b); /* order of results */
/* Only the labels named. */
struct det_lset det_lset_keep(
	struct ops_arena *arena, const struct det_lset *ls, const struct ops_promql_strings *names);
/* Without the labels named, and without the metric name when that is asked for. */
struct det_lset det_lset_drop(struct ops_arena *arena, const struct det_lset *ls,
	const struct ops_promql_strings *names, bool metric_name);
/* Without __name__, __type__ and __unit__: what describes the metric, not the thing. */
struct det_lset det_lset_drop_metadata(struct ops_arena *arena, const struct det_lset *ls);
/* With one label set, or taken away by "". Borrows both texts. */
struct det_lset det_lset_set(
	struct ops_arena *arena, const struct det_lset *ls, const char *name, const char *value);
/* {a="b"} with the metric name in front, in the arena: for messages. */
const char *det_lset_text(struct ops_arena *arena, const struct det_lset *ls);

/* Numbers distinct label sets 0, 1, 2 ... in order of appearance. */
struct det_lset_map {
	struct det_lset *sets; /* by number */
	uint32_t *slots;       /* number + 1; 0: free */
	size_t n, cap, nslots;
	struct ops_arena *arena;
};
void det_lset_map_init(struct det_lset_map *m, struct ops_arena *arena, size_t expected);
size_t det_lset_map_add(struct det_lset_map *m, const struct det_lset *ls);
