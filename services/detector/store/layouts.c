/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layouts: a target's series as the columns of a group. Series are found or made when the layout
 * becomes known; when it is retired, those that no other one feeds end with a staleness marker.
 *
 * Who feeds a layout is remembered with its definition, and whether it does so still: after a
 * restart the store knows what its columns are, and rows go on before anybody announces the layout
 * again.
 */
#include "services/detector/store/store.h"

#include <string.h>

#include "services/detector/store/state.h"

enum {
	REPORTS_MAX = 16 /* columns at the end */
};

/* How many columns the limits leave to a layout. */
static uint32_t allowed_columns(
	const struct det_store *s, const struct det_job *job, uint32_t n, enum det_refusal *ret_why)
{
	uint32_t allowed = n;
	if (s->options.series_per_target != 0 && n > s->options.series_per_target) {
		allowed = s->options.series_per_target;
		*ret_why = DET_REFUSED_TARGET_LIMIT;
	}
	if (s->options.series_per_job != 0) {
		uint64_t left = s->options.series_per_job -
				OPS_MIN(job->columns, (uint64_t)s->options.series_per_job);
		if (left < allowed) {
			allowed = (uint32_t)left;
			*ret_why = DET_REFUSED_JOB_LIMIT;
		}
	}
	return allowed;
}

/* Finds or makes the series of every column that has none yet. */
static void resolve(struct det_store *s, struct det_group *g, const struct ops_layout *layout)
{
	enum det_refusal why = DET_REFUSED_MEMORY;
	uint32_t allowed = allowed_columns(s, g->job, g->ncolumns, &why);
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		struct det_entry *e = g->series[c];
		if (e == NULL && c < allowed) {
			e = det_store_intern(s, layout->series[c]);
			/* A label set named twice in a layout keeps its first column. */
			if (e != NULL && det_entry_attached(e, g)) {
				e = NULL;
			}
			if (e != NULL) {
				det_entry_attach(e, g, c);
				g->filed = false;
			}
		}
	}
	g->dead_why = why;
}

/* It feeds its series from now on. */
static void go_live(struct det_store *s, struct det_group *g)
{
	g->retired = g->resumes = false;
	g->dead = false;
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		if (g->series[c] != NULL) {
			g->series[c]->layouts++;
		} else {
			g->dead = true;
		}
	}
	g->job->columns += g->ncolumns;
	s->stats.layouts++;
}

struct det_job *det_store_job(struct det_store *s, const char *name)
{
	struct det_job *job = ops_map_gets(s->jobs, name);
	if (job == NULL) {
		job = ops_xcalloc(1, sizeof(*job) + strlen(name) + 1);
		memcpy(job->name, name, strlen(name));
		(void)ops_map_puts(s->jobs, name, job);
	}
	return job;
}

static void tell_layout(const struct det_store *s, const struct det_group *g)
{
	if (s->listener.on_layout == NULL) {
		return;
	}
	struct ops_arena arena;
	ops_arena_init(&arena);
	struct det_series **views =
		ops_arena_array(&arena, struct det_series *, OPS_MAX(g->ncolumns, 1u));
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		views[c] = g->series[c] != NULL ? det_entry_view(s, g->series[c], &arena) : NULL;
	}
	s->listener.on_layout(s->listener.arg, g->layout_id, views, g->ncolumns);
	ops_arena_done(&arena);
}

int det_store_layout(struct det_store *s, const struct ops_layout *layout)
{
	ops_assert(layout->n <= OPS_LAYOUT_MAX_SERIES);
	struct det_group *g = ops_map_get(s->layouts, &layout->id, sizeof(layout->id));
	if (g != NULL && !g->retired) {
		return 1;
	}
	det_write_lock(s);
	if (g == NULL) {
		g = det_store_group_add(s, layout->id, (uint32_t)layout->n);
		(void)ops_map_put(s->layouts, &layout->id, sizeof(layout->id), g);
	}
	size_t before = g->bytes;
	g->job = det_store_job(s, layout->job != NULL ? layout->job : "");
	resolve(s, g, layout);
	go_live(s, g);
	det_store_learn(s, layout);
	det_store_account(s, g, before);
	det_write_unlock(s);
	det_define_feed(s, g);
	tell_layout(s, g);
	return 0;
}

void det_store_announce(const struct det_store *s)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(s->layouts, &at, &e);) {
		const struct det_group *g = e.value;
		if (!g->retired) {
			tell_layout(s, g);
		}
	}
}

bool det_store_has_layout(const struct det_store *s, uint64_t layout_id)
{
	const struct det_group *g = ops_map_get(s->layouts, &layout_id, sizeof(layout_id));
	return g != NULL && !g->retired;
}

int64_t det_store_report_column(const struct det_store *s, uint64_t layout_id, const char *metric)
{
	const struct det_group *g = ops_map_get(s->layouts, &layout_id, sizeof(layout_id));
	size_t n = g != NULL ? g->ncolumns : 0, least = n > REPORTS_MAX ? n - REPORTS_MAX : 0;
	int64_t found = -1;
	struct ops_arena arena;
	ops_arena_init(&arena);
	for (size_t i = n; i-- > least && found < 0;) {
		const struct det_entry *e = g->series[i];
		struct ops_labels *ls = e != NULL ? det_entry_labels(s, e, &arena) : NULL;
		const char *name = ls != NULL ? ops_labels_get(ls, OPS_LABEL_NAME) : NULL;
		found = name != NULL && strcmp(name, metric) == 0 ? (int64_t)i : -1;
	}
	ops_arena_done(&arena);
	return found;
}

/* ---- who feeds a layout ---- */

void det_store_feed(struct det_store *s, uint64_t layout_id, const char *source)
{
	struct det_group *g = ops_map_get(s->layouts, &layout_id, sizeof(layout_id));
	if (g == NULL || (g->source != NULL && strcmp(g->source, source) == 0)) {
		return;
	}
	free(g->source);
	g->source = ops_xstrdup(source);
	det_define_feed(s, g);
}

static int compare_last(const void *a, const void *b)
{
	const struct det_group *x = *(struct det_group *const *)a;
	const struct det_group *y = *(struct det_group *const *)b;
	if (x->last_ms != y->last_ms) {
		return x->last_ms < y->last_ms ? -1 : 1;
	}
	return (x->id > y->id) - (x->id < y->id);
}

/* Of the newest rows; those of a segment are taken as equally far apart. */
static int64_t last_step(const struct det_group *g)
{
	if (g->nrows > 1) {
		return g->last_ms - g->times[g->nrows - 2];
	}
	if (g->nsealed == 0) {
		return 0;
	}
	const struct det_sealed *b = &g->sealed[g->nsealed - 1];
	if (g->nrows == 1) {
		return g->last_ms - b->last_ms;
	}
	return b->nrows > 1 ? (b->last_ms - b->first_ms) / (b->nrows - 1) : 0;
}

void det_store_resume(struct det_store *s,
	void (*fn)(void *arg, const struct det_store_resumed *resumed), void *arg)
{
	struct det_group **groups = NULL;
	size_t n = 0, cap = 0;
	for (struct det_group *g = s->groups; g != NULL; g = g->next) {
		if (g->resumes &&
			ops_map_get(s->layouts, &g->layout_id, sizeof(g->layout_id)) == g) {
			OPS_GROW(groups, n, cap);
			groups[n++] = g;
		}
	}
	if (n != 0) {
		qsort(groups, n, sizeof(*groups), compare_last);
	}
	for (size_t i = 0; i < n; i++) {
		det_write_lock(s);
		go_live(s, groups[i]);
		det_write_unlock(s);
		tell_layout(s, groups[i]);
		const struct det_store_resumed resumed = {.layout_id = groups[i]->layout_id,
			.source = groups[i]->source,
			.last_ms = OPS_MAX(groups[i]->last_ms, (int64_t)0),
			.step_ms = last_step(groups[i])};
		fn(arg, &resumed);
	}
	free(groups);
}

/* ---- the end of a layout ---- */

/* One last row: a staleness marker where no live layout feeds the series any more. */
static void mark_stale(struct det_store *s, struct det_group *g, int64_t time_ms)
{
	double *values = ops_xcalloc(OPS_MAX(g->ncolumns, 1u), sizeof(double));
	size_t ended = 0;
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		bool ends = g->series[c] != NULL && g->series[c]->layouts == 0 &&
			    time_ms > det_entry_last(g->series[c]);
		values[c] = ends ? ops_stale_nan() : det_absent();
		ended += ends;
	}
	if (ended != 0 && time_ms > g->last_ms && time_ms >= s->closed_ms) {
		uint64_t samples = s->stats.samples;
		det_store_add_row(s, g, time_ms, values);
		s->stats.samples = samples; /* markers are none */
	}
	free(values);
}

void det_store_retire_layout(struct det_store *s, uint64_t layout_id, int64_t time_ms)
{
	struct det_group *g = ops_map_get(s->layouts, &layout_id, sizeof(layout_id));
	if (g == NULL || g->retired) {
		return;
	}
	det_write_lock(s);
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		if (g->series[c] != NULL) {
			g->series[c]->layouts--;
		}
	}
	det_write_unlock(s);
	g->job->columns -= g->ncolumns;
	if (time_ms != 0) {
		mark_stale(s, g, time_ms);
	}
	g->retired = true;
	det_store_seal(s, g);
	det_define_feed(s, g);
	s->stats.layouts--;
	if (s->listener.on_layout_gone != NULL) {
		s->listener.on_layout_gone(s->listener.arg, layout_id);
	}
}
