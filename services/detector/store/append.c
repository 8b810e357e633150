/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending. A layout's columns are resolved to series once (layouts.c); from then on a batch is
 * one memcpy into its group (group.c). Only groups with a series that has samples elsewhere too (a
 * target whose layout changed, explicit timestamps, a rule's output that a target exports as well)
 * are looked at column by column: what is behind its series' last sample leaves the row and goes
 * the way of late samples. What is refused leaves the absent pattern, never a wrong sample.
 *
 * The write lock is held for the change itself; listeners are told after it.
 */
#include "services/detector/store/store.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "services/detector/store/state.h"

struct det_group *det_store_group_add(struct det_store *s, uint64_t layout_id, uint32_t ncolumns)
{
	struct det_group *g = det_group_new(layout_id, ncolumns);
	g->id = ++s->next_group;
	det_store_link(s, g);
	return g;
}

bool det_entry_attached(const struct det_entry *e, const struct det_group *g)
{
	for (uint32_t i = 0; i < det_entry_nrefs(e); i++) {
		if (det_entry_ref(e, i)->group == g) {
			return true;
		}
	}
	return false;
}

void det_store_note_time(struct det_store *s, int64_t time_ms)
{
	s->stats.min_ms = OPS_MIN(s->stats.min_ms, time_ms);
	s->oldest_new_ms = OPS_MIN(s->oldest_new_ms, time_ms);
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

static void tell_sample(struct det_store *s, struct det_entry *e, int64_t t, double v)
{
	if (s->quiet || (s->listener.on_sample == NULL && s->tap.on_sample == NULL)) {
		return;
	}
	struct ops_arena arena;
	ops_arena_init(&arena);
	const struct det_series *view = det_entry_view(s, e, &arena);
	if (s->tap.on_sample != NULL && !det_is_histogram(v)) {
		s->tap.on_sample(s->tap.arg, view, t, v);
	}
	if (s->listener.on_sample != NULL) {
		s->listener.on_sample(s->listener.arg, view, t);
	}
	ops_arena_done(&arena);
}

struct ops_labels *det_store_row_labels(
	const struct det_store_row *row, size_t column, struct ops_arena *arena)
{
	const struct det_entry *e = row->entries[column];
	return e != NULL ? det_entry_labels(row->store, e, arena) : NULL;
}

/* The row is corrected and visible: everybody hears of it. */
static void tell_row(struct det_store *s, struct det_group *g)
{
	int64_t t = g->last_ms;
	if (s->tap.on_row != NULL) {
		const struct det_store_row row = {
			g->layout_id, det_group_last_row(g), g->ncolumns, t, s, g->series};
		s->tap.on_row(s->tap.arg, &row);
	}
	if (s->listener.on_batch != NULL) {
		s->listener.on_batch(s->listener.arg, g->layout_id, t);
	}
}

/* ---- late samples ---- */

/* 0 = the series has no sample at t; 1 = this one; 2 = another one. */
static int known_at(struct det_store *s, struct det_entry *e, int64_t t, double v)
{
	struct det_samples at = {0};
	det_entry_read(s, e, (const int64_t[]){t, t}, &at);
	int known = at.n == 0 ? 0 : ops_double_same(at.v[0], v) ? 1 : 2;
	det_samples_done(&at);
	return known;
}

static struct det_late *late_of(struct det_store *s, struct det_entry *e)
{
	struct det_late *l = ops_map_get(s->late, &e->id, sizeof(e->id));
	if (l == NULL) {
		l = ops_xcalloc(1, sizeof(*l));
		l->series = e->id;
		(void)ops_map_put(s->late, &e->id, sizeof(e->id), l);
		e->flags |= DET_ENTRY_LATE;
		s->series_bytes += det_late_bytes(l);
	}
	return l;
}

int det_store_put_late(struct det_store *s, struct det_entry *e, int64_t t, double v)
{
	det_write_lock(s);
	struct det_late *l = late_of(s, e);
	size_t before = det_late_bytes(l);
	int rc = det_late_add(l, t, v);
	s->series_bytes += det_late_bytes(l) - before;
	det_write_unlock(s);
	return rc;
}

/* t is not after the series' last. 0 = stored, 1 = refused or known, and counted where due. */
static int append_late(struct det_store *s, struct det_entry *e, int64_t t, double v)
{
	int known = known_at(s, e, t, v);
	if (known != 0) {
		if (known == 2) {
			det_store_refuse(s, DET_REFUSED_DUPLICATE, 1);
		}
		return known;
	}
	int64_t oldest = det_entry_last(e) - s->options.out_of_order_ms;
	if (s->options.out_of_order_ms == 0 || t < OPS_MAX(oldest, s->closed_ms)) {
		det_store_refuse(s, DET_REFUSED_OUT_OF_ORDER, 1);
		return 2;
	}
	if (det_store_put_late(s, e, t, v) != 0) {
		det_store_refuse(s, DET_REFUSED_OUT_OF_ORDER, 1);
		return 2;
	}
	s->stats.samples++;
	s->stats.late++;
	det_wal_late(s, e, t, v);
	det_store_note_time(s, t);
	tell_sample(s, e, t, v);
	return 0;
}

static void append_late_row(
	struct det_store *s, struct det_group *g, int64_t t, const double *values)
{
	if (det_group_has_time(g, t)) {
		return; /* a collector sends its ring again */
	}
	if (s->options.out_of_order_ms == 0 || t < g->last_ms - s->options.out_of_order_ms) {
		det_store_refuse(s, DET_REFUSED_OUT_OF_ORDER, g->ncolumns);
		return;
	}
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		if (g->series[c] != NULL && !det_is_absent(values[c])) {
			(void)append_late(s, g->series[c], t, values[c]);
		}
	}
}

/* ---- rows ---- */

static size_t count_present(const double *row, uint32_t n)
{
	size_t present = 0;
	for (uint32_t c = 0; c < n; c++) {
		present += !det_is_absent(row[c]);
	}
	return present;
}

/* Takes back what may not stand in the new row; returns how many samples stay. */
static size_t correct_row(struct det_store *s, struct det_group *g, double *row)
{
	if (!g->shared && !g->dead) {
		return count_present(row, g->ncolumns);
	}
	size_t stored = 0, dead = 0;
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		struct det_entry *e = g->series[c];
		if (e == NULL) {
			dead += !det_is_absent(row[c]);
			row[c] = det_absent();
		} else if (e->more != NULL && !det_is_absent(row[c])) {
			ops_assert(g->last_ms > e->more->last_ms);
			e->more->last_ms = g->last_ms;
		}
		stored += !det_is_absent(row[c]);
	}
	if (dead != 0) {
		det_store_refuse(s, g->dead_why, dead);
	}
	return stored;
}

static void append_timed(struct det_store *s, struct det_entry *e, int64_t t, double v)
{
	if (t < OPS_MAX(s->horizon_ms, s->closed_ms) || t > s->ahead_ms) {
		det_store_refuse(s, t > s->ahead_ms ? DET_REFUSED_AHEAD : DET_REFUSED_TOO_OLD, 1);
	} else {
		(void)det_store_append_entry(s, e, t, v);
	}
}

/* Samples that are not of this row: with their own time, or behind their series' last. They are
 * replaced by the absent pattern in values and stored by themselves. */
static void scatter(
	struct det_store *s, struct det_group *g, const struct ops_batch *batch, double *values)
{
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		struct det_entry *e = g->series[c];
		int64_t own = batch->times_ms != NULL ? batch->times_ms[c] : 0;
		double v = values[c];
		if (e == NULL || det_is_absent(v)) {
			continue;
		}
		if (own != 0 && own != batch->time_ms) {
			values[c] = det_absent();
			append_timed(s, e, own, v);
		} else if (e->more != NULL && batch->time_ms <= e->more->last_ms) {
			values[c] = det_absent();
			(void)append_late(s, e, batch->time_ms, v);
		}
	}
}

void det_store_add_row(struct det_store *s, struct det_group *g, int64_t t, const double *values)
{
	if (det_group_full(g)) {
		det_store_seal(s, g);
	}
	size_t before = g->bytes;
	det_write_lock(s);
	double *row = det_group_add(g, t, values);
	s->stats.samples += correct_row(s, g, row);
	det_write_unlock(s);
	det_wal_row(s, g);
	det_store_account(s, g, before);
	det_store_note_time(s, t);
	tell_row(s, g);
}

static void append_row(struct det_store *s, struct det_group *g, const struct ops_batch *batch)
{
	if (batch->times_ms == NULL && !g->shared) {
		det_store_add_row(s, g, batch->time_ms, batch->values);
		return;
	}
	double *values = ops_xcalloc(OPS_MAX(g->ncolumns, 1u), sizeof(double));
	memcpy(values, batch->values, g->ncolumns * sizeof(double));
	scatter(s, g, batch, values);
	det_store_add_row(s, g, batch->time_ms, values);
	free(values);
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
	} else if (batch->time_ms < OPS_MAX(s->horizon_ms, s->closed_ms)) {
		det_store_refuse(s, DET_REFUSED_TOO_OLD, batch->n);
	} else if (batch->time_ms < g->last_ms) {
		append_late_row(s, g, batch->time_ms, batch->values);
	} else if (batch->time_ms > s->ahead_ms) {
		det_store_refuse(s, DET_REFUSED_AHEAD, batch->n);
	} else {
		append_row(s, g, batch);
	}
	return 0;
}

/* ---- single samples ---- */

/* The group that holds this series alone, made when there is none. */
static struct det_group *own_group(struct det_store *s, struct det_entry *e)
{
	for (uint32_t i = 0; i < det_entry_nrefs(e); i++) {
		if (det_entry_ref(e, i)->group->layout_id == 0) {
			return det_entry_ref(e, i)->group;
		}
	}
	det_write_lock(s);
	struct det_group *g = det_store_group_add(s, 0, 1);
	det_entry_attach(e, g, 0);
	det_write_unlock(s);
	return g;
}

int det_store_append_entry(struct det_store *s, struct det_entry *e, int64_t t, double v)
{
	if (t <= det_entry_last(e)) {
		return append_late(s, e, t, v);
	}
	struct det_group *g = own_group(s, e);
	if (det_group_full(g)) {
		det_store_seal(s, g);
	}
	size_t before = g->bytes;
	det_write_lock(s);
	(void)det_group_add(g, t, &v);
	if (e->more != NULL) {
		e->more->last_ms = t;
	}
	det_write_unlock(s);
	det_wal_row(s, g);
	det_store_account(s, g, before);
	s->stats.samples++;
	det_store_note_time(s, t);
	tell_sample(s, e, t, v);
	return 0;
}

int det_store_append(struct det_store *s, struct ops_labels *labels, int64_t time_ms, double value)
{
	if (time_ms < OPS_MAX(s->horizon_ms, s->closed_ms) || time_ms > s->ahead_ms) {
		det_store_refuse(
			s, time_ms > s->ahead_ms ? DET_REFUSED_AHEAD : DET_REFUSED_TOO_OLD, 1);
		return 1;
	}
	/* Only now: a series that is made has a sample. */
	struct det_entry *e = det_store_lookup(s, labels);
	if (e == NULL) {
		det_write_lock(s);
		e = det_store_intern(s, labels);
		det_write_unlock(s);
	}
	if (e == NULL) {
		det_store_refuse(s, DET_REFUSED_MEMORY, 1);
		return 1;
	}
	return det_store_append_entry(s, e, time_ms, value) == 2 ? 1 : 0;
}
