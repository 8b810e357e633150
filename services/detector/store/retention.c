/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What time takes away: whole blocks behind the retention, groups without samples, series without
 * groups. A head that got no row for an hour is sealed, so that an idle series costs its compressed
 * bytes only. Series are removed from the index in one sweep per call.
 */
#include "services/detector/store/store.h"

#include "services/detector/store/histogram_log.h"
#include "services/detector/store/state.h"

#define IDLE_SEAL_MS (3600 * (int64_t)1000)

struct dead_list {
	struct det_series **items;
	size_t n, cap;
};

static void detach(struct det_series *series, const struct det_group *g)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < series->nrefs; i++) {
		if (series->refs[i].group != g) {
			series->refs[kept++] = series->refs[i];
		}
	}
	series->nrefs = kept;
}

static void group_remove(struct det_store *s, struct det_group *g, struct dead_list *dead)
{
	if (g->layout_id != 0) {
		if (!g->retired) {
			det_store_retire_layout(s, g->layout_id, 0);
		}
		(void)ops_map_remove(s->layouts, &g->layout_id, sizeof(g->layout_id));
	}
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		struct det_series *series = g->series[c];
		if (series == NULL) {
			continue;
		}
		detach(series, g);
		if (series->nrefs == 0) {
			OPS_GROW(dead->items, dead->n, dead->cap);
			dead->items[dead->n++] = series;
		}
	}
	det_store_unlink(s, g);
	det_group_free(g);
}

static void group_maintain(struct det_store *s, struct det_group *g, int64_t now_ms)
{
	size_t before = g->bytes;
	if (g->nrows != 0 && g->last_ms < now_ms - IDLE_SEAL_MS) {
		det_group_seal(g);
	}
	det_group_drop(g, s->horizon_ms);
	if (g->layout_id == 0 && g->series[0] != NULL && g->series[0]->histograms != NULL) {
		det_histogram_log_drop_before(g->series[0]->histograms, s->horizon_ms);
	}
	s->series_bytes -= OPS_MIN(s->series_bytes, before > g->bytes ? before - g->bytes : 0);
	s->series_bytes += g->bytes > before ? g->bytes - before : 0;
}

void det_store_maintain(struct det_store *s, int64_t now_ms)
{
	struct dead_list dead = {0};
	s->horizon_ms = now_ms - s->options.retention_ms;
	s->ahead_ms = now_ms + DET_AHEAD_MAX_MS;
	s->stats.min_ms = INT64_MAX;
	for (struct det_group *g = s->groups, *next; g != NULL; g = next) {
		next = g->next;
		group_maintain(s, g, now_ms);
		/* A layout that never had a row is new, not old. */
		bool over = g->last_ms < s->horizon_ms && (g->last_ms != INT64_MIN || g->retired);
		if (over && det_group_empty(g)) {
			group_remove(s, g, &dead);
		} else {
			s->stats.min_ms = OPS_MIN(s->stats.min_ms, det_group_first(g));
		}
	}
	det_store_bury(s, dead.items, dead.n);
	free(dead.items);
}
