/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What time takes away: whole blocks behind the retention, groups without samples, series without
 * groups. A head that got no row for an hour is sealed, so that an idle series costs its compressed
 * bytes only. Series are removed from the index in one sweep per call.
 */
#include <string.h>

#include "services/detector/store/histogram_log.h"
#include "services/detector/store/state.h"

#define IDLE_SEAL_MS (3600 * (int64_t)1000)

struct dead_list {
	struct det_entry **items;
	size_t n, cap;
};

void det_store_forget_group(struct det_store *s, struct det_group *g)
{
	if (g->layout_id != 0 &&
		ops_map_get(s->layouts, &g->layout_id, sizeof(g->layout_id)) == g) {
		(void)ops_map_remove(s->layouts, &g->layout_id, sizeof(g->layout_id));
	}
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		struct det_entry *e = g->series[c];
		if (e == NULL) {
			continue;
		}
		det_entry_detach(e, g);
	}
	det_store_unlink(s, g);
	det_group_free(g);
}

static void group_remove(struct det_store *s, struct det_group *g, struct dead_list *dead)
{
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		if (g->series[c] != NULL && det_entry_nrefs(g->series[c]) == 1) {
			OPS_GROW(dead->items, dead->n, dead->cap);
			dead->items[dead->n++] = g->series[c];
		}
	}
	det_store_forget_group(s, g);
}

static void drop_old(struct det_store *s, struct det_group *g, int64_t cutoff_ms)
{
	uint32_t gone = 0;
	while (gone < g->nsealed && g->sealed[gone].last_ms < cutoff_ms) {
		gone++;
	}
	if (gone != 0) {
		det_store_drop_segments(s, g, gone);
	}
}

static void group_maintain(
	struct det_store *s, struct det_group *g, int64_t now_ms, struct dead_list *dead)
{
	int64_t cutoff_ms = OPS_MAX(s->horizon_ms, s->drop_ms);
	if (g->nrows != 0 && g->last_ms < OPS_MAX(now_ms - IDLE_SEAL_MS, cutoff_ms)) {
		det_store_seal(s, g);
	}
	/* A live layout may go on when its target does; one that never had a row is new. */
	bool over = g->last_ms < cutoff_ms && (g->retired || g->layout_id == 0);
	over = over || (g->last_ms < s->horizon_ms && g->last_ms != INT64_MIN);
	if (over && g->layout_id != 0) {
		det_store_retire_layout(s, g->layout_id, 0);
	}
	det_write_lock(s);
	drop_old(s, g, cutoff_ms);
	if (over && det_group_empty(g)) {
		group_remove(s, g, dead);
	} else {
		s->stats.min_ms = OPS_MIN(s->stats.min_ms, det_group_first(g));
	}
	det_write_unlock(s);
}

static void late_maintain(struct det_store *s)
{
	struct ops_map_entry e;
	int64_t cutoff_ms = OPS_MAX(s->horizon_ms, s->drop_ms);
	for (size_t at = 0; ops_map_next(s->late, &at, &e);) {
		struct det_late *l = e.value;
		struct det_entry *entry = det_store_at(s, l->series);
		size_t before = det_late_bytes(l);
		det_late_drop_before(l, cutoff_ms);
		if (entry == NULL || l->n == 0) {
			if (entry != NULL) {
				entry->flags &= DET_ENTRY_FLAGS - DET_ENTRY_LATE;
			}
			(void)ops_map_remove(s->late, e.key, e.len);
			det_late_free(l);
			s->series_bytes -= OPS_MIN(s->series_bytes, before);
		}
	}
}

static void histograms_maintain(struct det_store *s)
{
	struct ops_map_entry e;
	int64_t cutoff_ms = OPS_MAX(s->horizon_ms, s->drop_ms);
	for (size_t at = 0; ops_map_next(s->histograms, &at, &e);) {
		uint32_t id;
		memcpy(&id, e.key, sizeof(id));
		size_t before = det_histogram_log_bytes(e.value);
		det_histogram_log_drop_before(e.value, cutoff_ms);
		if (det_store_at(s, id) == NULL) {
			(void)ops_map_remove(s->histograms, e.key, e.len);
			det_histogram_log_free(e.value);
			s->series_bytes -= OPS_MIN(s->series_bytes, before);
		}
	}
}

static void seal_all(struct det_store *s)
{
	for (struct det_group *g = s->groups; g != NULL; g = g->next) {
		det_store_seal(s, g);
	}
}

static void disk_maintain(struct det_store *s)
{
	if (s->disk == NULL) {
		return;
	}
	bool lost = det_disk_lost(s->disk);
	if (s->in_memory != 0) {
		det_store_place(s);
	}
	if (lost) { /* what follows may not refer to what was dropped */
		det_wal_roll(s);
	}
	if (lost || s->buried > s->stats.series / 4 + 1000) {
		det_definitions_rewrite(s);
	}
	det_wal_maintain(s);
	if (lost) { /* and what was dropped goes elsewhere */
		seal_all(s);
		det_disk_settled(s->disk);
	}
}

void det_store_maintain(struct det_store *s, int64_t now_ms)
{
	struct dead_list dead = {0};
	s->horizon_ms = now_ms - s->options.retention_ms;
	s->ahead_ms = now_ms + DET_AHEAD_MAX_MS;
	s->stats.min_ms = s->nblocks != 0 ? det_block_meta(s->blocks[0])->mint_ms : INT64_MAX;
	if (det_readers_oldest(s) > s->cut_since) {
		s->drop_ms = s->head_ms;
	}
	disk_maintain(s);
	for (struct det_group *g = s->groups, *next; g != NULL; g = next) {
		next = g->next;
		group_maintain(s, g, now_ms, &dead);
	}
	det_write_lock(s);
	det_store_bury(s, dead.items, dead.n);
	late_maintain(s);
	bool forgot = det_spans_drop_before(s, OPS_MAX(s->horizon_ms, s->drop_ms));
	histograms_maintain(s);
	det_write_unlock(s);
	free(dead.items);
	if (forgot && s->disk != NULL) {
		s->failures += det_spans_save(s) != 0;
	}
	det_store_release_heads(s);
	det_background_maintain(s, now_ms);
	det_store_reap(s);
}
