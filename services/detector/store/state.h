/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The store's inside, shared by its files only. */
#include "common/base/map.h"
#include "services/detector/store/group.h"
#include "services/detector/store/index.h"
#include "services/detector/store/store.h"

#define DET_PAGE_SERIES 1024u

struct det_page { /* series by id; freed when it is empty and full ids have passed */
	struct det_series *items[DET_PAGE_SERIES];
	uint32_t used;
};

struct det_store {
	struct det_store_options options;
	struct det_store_listener listener;
	struct det_store_tap tap;
	struct ops_map *series;	  /* hash -> struct det_series, chained */
	struct ops_map *layouts;  /* id -> struct det_group, retired ones too */
	struct ops_map *metadata; /* family name -> struct det_metadata */
	struct det_index index;
	struct det_page **pages;
	size_t npages, pages_cap;
	uint32_t next_id;
	struct det_group *groups; /* all of them */
	size_t series_bytes;
	int64_t horizon_ms; /* nothing older is accepted; moves in maintenance */
	int64_t ahead_ms;   /* nor anything newer */
	struct det_store_stats stats;
};

struct det_series *det_store_at(const struct det_store *s, uint32_t id);
/* The series of a label set, made when new; NULL when memory_max refuses it (counted). */
struct det_series *det_store_intern(struct det_store *s, struct ops_labels *labels);
void det_series_attach(struct det_series *series, struct det_group *group, uint32_t column);
void det_store_link(struct det_store *s, struct det_group *g);
void det_store_unlink(struct det_store *s, struct det_group *g);
size_t det_store_bytes(const struct det_store *s);
void det_store_refuse(struct det_store *s, enum det_refusal why, size_t samples);
/* Drops the series from the index and frees those without columns. */
void det_store_bury(struct det_store *s, struct det_series *const *dead, size_t n);
void det_store_learn(struct det_store *s, const struct ops_layout *layout);
