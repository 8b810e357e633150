/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Inverted index: label name, value -> ascending series ids. Matchers are evaluated against the
 * distinct values, then sorted arrays are combined. Owned by the store.
 */
#include "common/base/arena.h"
#include "common/base/map.h"
#include "common/model/labels.h"
#include "common/model/matcher.h"

struct det_postings {
	uint32_t *ids;
	size_t n, cap;
};

struct det_label_value { /* its text behind it, as for names */
	const char *text;
	struct det_postings postings;
	bool touched; /* has ids to be removed */
};

struct det_label_name {
	const char *text;
	struct ops_map *values; /* struct det_label_value */
};

struct det_index {
	struct ops_map *names; /* struct det_label_name */
	struct det_postings all;
	size_t pairs, bytes;
};

void det_index_init(struct det_index *ix);
void det_index_done(struct det_index *ix);
/* Ids must be added in ascending order. */
void det_index_add(struct det_index *ix, uint32_t id, const struct ops_labels *labels);
/*
 * Removal in bulk: mark each dead series' labels, then sweep once; dead() tells which ids to drop.
 */
void det_index_mark(struct det_index *ix, const struct ops_labels *labels);
void det_index_sweep(struct det_index *ix, bool (*dead)(void *arg, uint32_t id), void *arg);
/* Ids that match all; the arena owns the list or the index does: read only. */
struct det_postings det_index_match(
	const struct det_index *ix, const struct ops_matchers *matchers, struct ops_arena *arena);
