/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows and single samples into groups; see store.c for the idea. A row is refused as a whole when
 * its time does not advance its group; column by column where a series has another group whose time
 * is ahead. What is refused leaves the absent pattern, never a wrong sample.
 */
#include "services/detector/store/store.h"

#include <errno.h>

#include "common/base/bytes.h"
#include "services/detector/store/state.h"

static void account(struct det_store *s, const struct det_group *g, size_t bytes_before)
{
	s->series_bytes += g->bytes - OPS_MIN(bytes_before, g->bytes);
	s->series_bytes -= bytes_before > g->bytes ? bytes_before - g->bytes : 0;
}

static struct det_group *group_add(struct det_store *s, uint64_t layout_id, uint32_t ncolumns)
{
	struct det_group *g = det_group_new(layout_id, ncolumns);
	det_store_link(s, g);
	s->series_bytes += g->bytes;
	return g;
}

static bool attached(const struct det_series *series, const struct det_group *g)
{
	for (uint32_t i = 0; i < series->nrefs; i++) {
		if (series->refs[i].group == g) {
			return true;
		}
	}
	return false;
}

/* Finds or makes the series of every column that has none yet. */
static void resolve(struct det_store *s, struct det_group *g, const struct ops_layout *layout)
{
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		struct det_series *series = g->series[c];
		if (series == NULL) {
			series = det_store_intern(s, layout->series[c]);
			/* A label set named twice in a layout keeps its first column. */
			if (series == NULL || attached(series, g)) {
				continue;
			}
			det_series_attach(series, g, c);
		}
		series->layouts++;
	}
}

int det_store_layout(struct det_store *s, const struct ops_layout *layout)
{
	ops_assert(layout->n <= OPS_LAYOUT_MAX_SERIES);
	struct det_group *g = ops_map_get(s->layouts, &layout->id, sizeof(layout->id));
	if (g != NULL && !g->retired) {
		return 1;
	}
	if (g == NULL) {
		g = group_add(s, layout->id, (uint32_t)layout->n);
		(void)ops_map_put(s->layouts, &layout->id, sizeof(layout->id), g);
	}
	g->retired = false;
	resolve(s, g, layout);
	det_store_learn(s, layout);
	s->stats.layouts++;
	if (s->listener.on_layout != NULL) {
		s->listener.on_layout(s->listener.arg, layout->id, g->series, g->ncolumns);
	}
	return 0;
}

void det_store_announce(const struct det_store *s)
{
	struct ops_map_entry e;
	for (size_t at = 0; s->listener.on_layout != NULL && ops_map_next(s->layouts, &at, &e);) {
		const struct det_group *g = e.value;
		if (!g->retired) {
			s->listener.on_layout(
				s->listener.arg, g->layout_id, g->series, g->ncolumns);
		}
	}
}

bool det_store_has_layout(const struct det_store *s, uint64_t layout_id)
{
	const struct det_group *g = ops_map_get(s->layouts, &layout_id, sizeof(layout_id));
	return g != NULL && !g->retired;
}

static void note_time(struct det_store *s, int64_t time_ms)
{
	s->stats.min_ms = OPS_MIN(s->stats.min_ms, time_ms);
	s->stats.max_ms = OPS_MAX(s->stats.max_ms, time_ms);
}

/* The row has the time of the one before: nothing is stored, what differs is counted. */
static void count_repeated(struct det_store *s, struct det_group *g, const double *values)
{
	const double *last = det_group_last_row(g);
	size_t differing = 0;
	for (uint32_t c = 0; last != NULL && c < g->ncolumns; c++) {
		differing += !ops_double_same(last[c], values[c]) && !det_is_absent(last[c]);
	}
	if (differing != 0) {
		det_store_refuse(s, DET_REFUSED_DUPLICATE, differing);
	}
}

/* Takes back what may not stand in the new row; returns how many samples stay. */
static size_t correct_row(struct det_store *s, struct det_group *g, double *row)
{
	size_t stored = 0, late = 0, dead = 0;
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		struct det_series *series = g->series[c];
		if (series == NULL) {
			dead += !det_is_absent(row[c]);
			row[c] = det_absent();
		} else if (series->nrefs > 1 && !det_is_absent(row[c])) {
			if (g->last_ms <= series->last_ms) {
				row[c] = det_absent();
				late++;
			} else {
				series->last_ms = g->last_ms;
			}
		}
		stored += !det_is_absent(row[c]);
	}
	if (late != 0) {
		det_store_refuse(s, DET_REFUSED_OUT_OF_ORDER, late);
	}
	if (dead != 0) {
		det_store_refuse(s, DET_REFUSED_MEMORY, dead);
	}
	return stored;
}

/* Samples with their own time leave the row and go to their series' own groups. */
static void scatter_timed(
	struct det_store *s, struct det_group *g, const struct ops_batch *batch, double *row)
{
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		int64_t t = batch->times_ms[c];
		if (t != 0 && t != batch->time_ms && g->series[c] != NULL) {
			row[c] = det_absent();
		}
	}
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		int64_t t = batch->times_ms[c];
		if (t != 0 && t != batch->time_ms && g->series[c] != NULL) {
			int rc = det_store_append(s, g->series[c]->labels, t, batch->values[c]);
			(void)rc; /* counted there */
		}
	}
}

/* The row is corrected and visible: everybody hears of it. */
static void tell_row(struct det_store *s, const struct det_group *g, const double *values)
{
	const struct det_store_row row = {g->layout_id, g->series, values, g->ncolumns, g->last_ms};
	if (s->tap.on_row != NULL) {
		s->tap.on_row(s->tap.arg, &row);
	}
	if (s->listener.on_batch != NULL) {
		s->listener.on_batch(s->listener.arg, g->layout_id, g->last_ms);
	}
}

static void tell_sample(
	struct det_store *s, const struct det_series *series, int64_t time_ms, double value)
{
	if (s->tap.on_sample != NULL && !det_is_histogram(value)) {
		s->tap.on_sample(s->tap.arg, series, time_ms, value);
	}
	if (s->listener.on_sample != NULL) {
		s->listener.on_sample(s->listener.arg, series, time_ms);
	}
}

static void append_row(struct det_store *s, struct det_group *g, const struct ops_batch *batch)
{
	size_t before = g->bytes;
	double *row = det_group_add(g, batch->time_ms, batch->values);
	if (batch->times_ms != NULL) {
		scatter_timed(s, g, batch, row);
	}
	account(s, g, before);
	s->stats.samples += correct_row(s, g, row);
	note_time(s, batch->time_ms);
	tell_row(s, g, row);
}

int det_store_append_batch(struct det_store *s, const struct ops_batch *batch)
{
	struct det_group *g = ops_map_get(s->layouts, &batch->layout_id, sizeof(uint64_t));
	if (g == NULL || g->retired) {
		return 1;
	}
	if (batch->n != g->ncolumns) {
		return -EINVAL;
	}
	if (batch->time_ms == g->last_ms) {
		count_repeated(s, g, batch->values);
	} else if (batch->time_ms < s->horizon_ms) {
		det_store_refuse(s, DET_REFUSED_TOO_OLD, batch->n);
	} else if (batch->time_ms < g->last_ms) {
		det_store_refuse(s, DET_REFUSED_OUT_OF_ORDER, batch->n);
	} else if (batch->time_ms > s->ahead_ms) {
		det_store_refuse(s, DET_REFUSED_AHEAD, batch->n);
	} else {
		append_row(s, g, batch);
	}
	return 0;
}

/* The group that holds this series alone, made when there is none. */
static struct det_group *own_group(struct det_store *s, struct det_series *series)
{
	for (uint32_t i = 0; i < series->nrefs; i++) {
		if (series->refs[i].group->layout_id == 0) {
			return series->refs[i].group;
		}
	}
	struct det_group *g = group_add(s, 0, 1);
	det_series_attach(series, g, 0);
	return g;
}

/* 0 = newer than all; 1 = refused or known, and counted where that is due. */
static int check_order(struct det_store *s, struct det_series *series, int64_t t, double v)
{
	int64_t last = det_series_last(series);
	if (t > last) {
		return 0;
	}
	if (t < last) {
		det_store_refuse(s, DET_REFUSED_OUT_OF_ORDER, 1);
		return 1;
	}
	struct det_samples at = {0};
	det_series_read(series, t, t, &at);
	bool same = at.n == 1 && ops_double_same(at.v[0], v);
	det_samples_done(&at);
	if (!same) {
		det_store_refuse(s, DET_REFUSED_DUPLICATE, 1);
	}
	return same ? 2 : 1;
}

int det_store_append(struct det_store *s, struct ops_labels *labels, int64_t time_ms, double value)
{
	if (time_ms < s->horizon_ms || time_ms > s->ahead_ms) {
		det_store_refuse(
			s, time_ms > s->ahead_ms ? DET_REFUSED_AHEAD : DET_REFUSED_TOO_OLD, 1);
		return 1;
	}
	/* Only now: a series that is made has a sample. */
	struct det_series *series = det_store_intern(s, labels);
	if (series == NULL) {
		det_store_refuse(s, DET_REFUSED_MEMORY, 1);
		return 1;
	}
	int order = check_order(s, series, time_ms, value);
	if (order != 0) {
		return order == 2 ? 0 : 1;
	}
	struct det_group *g = own_group(s, series);
	size_t before = g->bytes;
	(void)det_group_add(g, time_ms, &value);
	account(s, g, before);
	series->last_ms = time_ms;
	s->stats.samples++;
	note_time(s, time_ms);
	tell_sample(s, series, time_ms, value);
	return 0;
}

/* One last row: a staleness marker where no live layout feeds the series any more. */
static void mark_stale(struct det_store *s, struct det_group *g, int64_t time_ms)
{
	double *values = ops_xcalloc(OPS_MAX(g->ncolumns, 1u), sizeof(double));
	size_t ended = 0;
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		bool ends = g->series[c] != NULL && g->series[c]->layouts == 0 &&
			    time_ms > det_series_last(g->series[c]);
		values[c] = ends ? ops_stale_nan() : det_absent();
		ended += ends;
	}
	if (ended != 0 && time_ms > g->last_ms) {
		size_t before = g->bytes;
		double *row = det_group_add(g, time_ms, values);
		account(s, g, before);
		(void)correct_row(s, g, row);
		note_time(s, time_ms);
		tell_row(s, g, row);
	}
	free(values);
}

void det_store_retire_layout(struct det_store *s, uint64_t layout_id, int64_t time_ms)
{
	struct det_group *g = ops_map_get(s->layouts, &layout_id, sizeof(layout_id));
	if (g == NULL || g->retired) {
		return;
	}
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		if (g->series[c] != NULL) {
			g->series[c]->layouts--;
		}
	}
	if (time_ms != 0) {
		mark_stale(s, g, time_ms);
	}
	size_t before = g->bytes;
	g->retired = true;
	det_group_seal(g);
	account(s, g, before);
	s->stats.layouts--;
	if (s->listener.on_layout_gone != NULL) {
		s->listener.on_layout_gone(s->listener.arg, layout_id);
	}
}
