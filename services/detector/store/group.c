/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw rows lie row after row, so a batch of n series is appended by one memcpy of n doubles; the
 * price is a stride when one column is read, at most DET_HEAD_ROWS steps. Sealing encodes them as a
 * segment (segment.h) and gives the raw memory back. It grows by steps of one size, which groups of
 * equal width take over from each other; groups begin at different places of the cycle, so that
 * half of the rows are there on average, and sealing is spread.
 *
 * Reading a column decodes it segment by segment. A query reads one series after the other, and
 * neighbours lie in the same segments, where one may be coded against the one before: the decoder
 * keeps the times and the last column of the segments that it saw last. Segments are told apart by
 * a serial number, never by address: memory comes again.
 */
#include "services/detector/store/group.h"

#include <string.h>

#define DECODED_MAX 64u /* segments; 2 h of 15 s fit */

struct det_group *det_group_new(uint64_t layout_id, uint32_t ncolumns)
{
	struct det_group *g = ops_xcalloc(1, sizeof(*g));
	g->layout_id = layout_id;
	g->ncolumns = ncolumns;
	g->series = ops_xcalloc(ncolumns != 0 ? ncolumns : 1, sizeof(struct det_entry *));
	g->last_ms = INT64_MIN;
	/* By chance of the id, for the first segment. */
	g->seal_at = DET_HEAD_ROWS - (uint32_t)(layout_id >> 32) % (DET_HEAD_ROWS - DET_HEAD_STEP);
	g->bytes = sizeof(*g) + ncolumns * sizeof(struct det_entry *);
	return g;
}

static size_t row_bytes(const struct det_group *g)
{
	return ((size_t)g->ncolumns + 1) * sizeof(double);
}

static void rows_free(struct det_group *g)
{
	g->bytes -= g->rows_cap * row_bytes(g);
	free(g->times);
	g->times = NULL;
	for (size_t i = 0; i < OPS_LENGTH(g->steps); i++) {
		free(g->steps[i]);
		g->steps[i] = NULL;
	}
	g->nrows = 0;
	g->rows_cap = 0;
}

void det_group_free(struct det_group *g)
{
	if (g == NULL) {
		return;
	}
	rows_free(g);
	free(g->sealed);
	free(g->source);
	free(g->series);
	free(g);
}

static void rows_grow(struct det_group *g)
{
	size_t values = DET_HEAD_STEP * OPS_MAX((size_t)g->ncolumns, (size_t)1);
	g->steps[g->rows_cap / DET_HEAD_STEP] = ops_xmalloc(values * sizeof(double));
	g->rows_cap += DET_HEAD_STEP;
	g->times = ops_xrealloc(g->times, g->rows_cap, sizeof(int64_t));
	g->bytes += DET_HEAD_STEP * row_bytes(g);
}

static double *row_at(const struct det_group *g, uint32_t row)
{
	return g->steps[row / DET_HEAD_STEP] + (size_t)(row % DET_HEAD_STEP) * g->ncolumns;
}

const double *det_group_row(const struct det_group *g, uint32_t row)
{
	return row_at(g, row);
}

bool det_group_full(const struct det_group *g)
{
	return g->nrows >= g->seal_at;
}

double *det_group_add(struct det_group *g, int64_t time_ms, const double *values)
{
	ops_assert(time_ms > g->last_ms && g->nrows < DET_HEAD_ROWS);
	if (g->nrows == g->rows_cap) {
		rows_grow(g);
	}
	double *row = row_at(g, g->nrows);
	if (g->ncolumns != 0) {
		memcpy(row, values, (size_t)g->ncolumns * sizeof(double));
	}
	g->times[g->nrows++] = time_ms;
	g->last_ms = time_ms;
	return row;
}

const double *det_group_last_row(const struct det_group *g)
{
	return g->nrows != 0 ? row_at(g, g->nrows - 1) : NULL;
}

static const double *raw_column(void *arg, uint32_t column, double *scratch)
{
	const struct det_group *g = arg;
	for (uint32_t r = 0; r < g->nrows; r++) {
		scratch[r] = g->series[column] != NULL ? row_at(g, r)[column] : det_absent();
	}
	return scratch;
}

int det_group_encode(const struct det_group *g, struct ops_strbuf *out)
{
	struct det_group copy = *g; /* for a const argument; its arrays are g's */
	const struct det_rows rows = {.group = g->id,
		.times_ms = g->times,
		.nrows = g->nrows,
		.ncolumns = g->ncolumns,
		.column = raw_column,
		.arg = &copy};
	return det_segment_encode(&rows, out);
}

void det_group_sealed(struct det_group *g, const struct det_sealed *segment)
{
	OPS_GROW(g->sealed, g->nsealed, g->sealed_cap);
	g->sealed[g->nsealed++] = *segment;
	g->bytes += sizeof(*segment) + (segment->file == NULL ? segment->bytes : 0);
	g->wal_chain = 0;
	g->wal_first = 0;
	g->seal_at = DET_HEAD_ROWS;
	rows_free(g);
}

bool det_group_empty(const struct det_group *g)
{
	return g->nrows == 0 && g->nsealed == 0;
}

int64_t det_group_first(const struct det_group *g)
{
	if (g->nsealed != 0) {
		return g->sealed[0].first_ms;
	}
	return g->nrows != 0 ? g->times[0] : INT64_MAX;
}

/* ---- reading ---- */

struct decoded {
	uint64_t serial; /* 0: free */
	struct det_segment segment;
	struct det_segment_cursor cursor;
	int64_t *times;
	uint32_t cap;
	bool bad;
};

#define BLOCK_CURSORS 8u

struct det_decoder {
	struct decoded slots[DECODED_MAX];
	struct decoded lone; /* of a series that has no neighbours: never asked for again */
	struct det_segment_cursor blocks[BLOCK_CURSORS];
};

struct det_segment_cursor *det_decoder_cursor(struct det_decoder **d, uint32_t i)
{
	if (*d == NULL) {
		*d = ops_xcalloc(1, sizeof(**d));
	}
	return &(*d)->blocks[i % BLOCK_CURSORS];
}

void det_decoder_free(struct det_decoder *d)
{
	for (size_t i = 0; d != NULL && i < DECODED_MAX; i++) {
		det_segment_cursor_done(&d->slots[i].cursor);
		free(d->slots[i].times);
	}
	if (d != NULL) {
		det_segment_cursor_done(&d->lone.cursor);
		free(d->lone.times);
	}
	for (size_t i = 0; d != NULL && i < BLOCK_CURSORS; i++) {
		det_segment_cursor_done(&d->blocks[i]);
	}
	free(d);
}

static struct decoded *decoded_of(
	struct det_decoder **decoder, const struct det_sealed *b, bool lone)
{
	if (*decoder == NULL) {
		*decoder = ops_xcalloc(1, sizeof(**decoder));
	}
	struct decoded *d = lone ? &(*decoder)->lone : &(*decoder)->slots[b->serial % DECODED_MAX];
	if (d->serial == b->serial) {
		return d;
	}
	d->serial = b->serial;
	/* Checked when it was made or mapped. */
	d->bad = det_segment_open(b->data, b->bytes, false, &d->segment) != 0;
	d->cursor.columns = NULL;
	if (!d->bad && d->segment.nrows > d->cap) {
		d->cap = d->segment.nrows;
		d->times = ops_xrealloc(d->times, d->cap, sizeof(int64_t));
	}
	d->bad = d->bad || det_segment_times(&d->segment, d->times) != 0;
	return d;
}

static void make_room(struct det_samples *out, size_t extra)
{
	if (out->n + extra > out->cap) {
		out->cap = OPS_MAX(out->cap * 2, out->n + extra + 256);
		out->t = ops_xrealloc(out->t, out->cap, sizeof(int64_t));
		out->v = ops_xrealloc(out->v, out->cap, sizeof(double));
	}
}

/* There is room. Overwritten by the next one where the column has no sample here. */
static void put_sample(struct det_samples *out, int64_t t, double v)
{
	out->t[out->n] = t;
	out->v[out->n] = v;
	out->n += !det_is_absent(v);
}

void det_samples_add(struct det_samples *out, int64_t t, double v)
{
	make_room(out, 1);
	put_sample(out, t, v);
}

/* There is room. Most columns have a sample in every row: those are copied as they stand. */
static void put_samples(struct det_samples *out, const int64_t *t, const double *v, size_t n)
{
	size_t absent = 0;
	for (size_t i = 0; i < n; i++) {
		absent += det_is_absent(v[i]);
	}
	if (absent == 0 && n != 0) {
		memcpy(out->t + out->n, t, n * sizeof(t[0]));
		memcpy(out->v + out->n, v, n * sizeof(v[0]));
		out->n += n;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		put_sample(out, t[i], v[i]);
	}
}

/* The column of a segment, NULL when it has no sample there. */
static const double *sealed_column(struct decoded *d, uint32_t column)
{
	const double *values = NULL;
	if (d->bad || column >= d->segment.ncolumns ||
		det_segment_column_empty(&d->segment, column) ||
		det_segment_column(&d->segment, column, &d->cursor, &values) != 0) {
		return NULL;
	}
	return values;
}

static void read_sealed(const struct det_group *g, uint32_t i, uint32_t column,
	const int64_t range_ms[2], struct det_samples *out)
{
	struct decoded *d = decoded_of(&out->decoder, &g->sealed[i], g->ncolumns == 1);
	const double *values = sealed_column(d, column);
	if (values == NULL) {
		return;
	}
	uint32_t r = 0, end = d->segment.nrows;
	while (r < end && d->times[r] < range_ms[0]) {
		r++;
	}
	while (end > r && d->times[end - 1] > range_ms[1]) {
		end--;
	}
	make_room(out, end - r);
	put_samples(out, d->times + r, values + r, end - r);
}

/* First segment that ends at or after mint. */
static uint32_t sealed_from(const struct det_group *g, int64_t mint)
{
	uint32_t lo = 0, hi = g->nsealed;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (g->sealed[mid].last_ms < mint) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

void det_group_read(const struct det_group *g, uint32_t column, const int64_t range_ms[2],
	struct det_samples *out)
{
	uint32_t i = sealed_from(g, range_ms[0]);
	for (; i < g->nsealed && g->sealed[i].first_ms <= range_ms[1]; i++) {
		read_sealed(g, i, column, range_ms, out);
	}
	make_room(out, g->nrows);
	for (uint32_t r = 0; r < g->nrows; r++) {
		if (g->times[r] >= range_ms[0] && g->times[r] <= range_ms[1]) {
			put_sample(out, g->times[r], row_at(g, r)[column]);
		}
	}
}

bool det_group_has_time(const struct det_group *g, int64_t time_ms)
{
	for (uint32_t r = 0; r < g->nrows; r++) {
		if (g->times[r] == time_ms) {
			return true;
		}
	}
	uint32_t i = sealed_from(g, time_ms);
	if (i == g->nsealed || g->sealed[i].first_ms > time_ms) {
		return false;
	}
	struct det_decoder *decoder = NULL;
	const struct decoded *d = decoded_of(&decoder, &g->sealed[i], g->ncolumns == 1);
	bool found = false;
	for (uint32_t r = 0; !d->bad && r < d->segment.nrows && !found; r++) {
		found = d->times[r] == time_ms;
	}
	det_decoder_free(decoder);
	return found;
}

int64_t det_group_column_last(const struct det_group *g, uint32_t column)
{
	for (uint32_t r = g->nrows; r-- > 0;) {
		if (!det_is_absent(row_at(g, r)[column])) {
			return g->times[r];
		}
	}
	struct det_decoder *decoder = NULL;
	int64_t last = INT64_MIN;
	for (uint32_t i = g->nsealed; i-- > 0 && last == INT64_MIN;) {
		struct decoded *d = decoded_of(&decoder, &g->sealed[i], g->ncolumns == 1);
		const double *values = sealed_column(d, column);
		for (uint32_t r = values != NULL ? d->segment.nrows : 0; r-- > 0;) {
			if (!det_is_absent(values[r])) {
				last = d->times[r];
				break;
			}
		}
	}
	det_decoder_free(decoder);
	return last;
}
