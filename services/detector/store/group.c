/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw rows lie row after row, so a batch of n series is appended by one memcpy of n doubles; the
 * price is a stride when one column is read, at most DET_BLOCK_ROWS steps. Sealing transposes and
 * codes each column (block.c) into one allocation per block:
 *
 *	offsets[ncolumns + 1] | coded times | coded columns
 *
 * A wide group keeps the times of a block decoded, since every column read needs them; a narrow one
 * codes them, since there they would outweigh the values.
 */
#include "services/detector/store/group.h"

#include <string.h>

#define WIDE_COLUMNS 8u /* from here on times are kept decoded */

struct det_sealed {
	int64_t first_ms, last_ms;
	uint32_t nrows, bytes;
	int64_t *times;	   /* NULL: coded, before column 0 */
	uint32_t *offsets; /* ncolumns + 1, into data; column 0 starts at offsets[0] */
	uint8_t *data;
};

double det_absent(void)
{
	uint64_t bits = DET_ABSENT_BITS;
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

bool det_is_absent(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits == DET_ABSENT_BITS;
}

double det_histogram_mark(void)
{
	uint64_t bits = DET_HISTOGRAM_BITS;
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

bool det_is_histogram(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits == DET_HISTOGRAM_BITS;
}

struct det_group *det_group_new(uint64_t layout_id, uint32_t ncolumns)
{
	struct det_group *g = ops_xcalloc(1, sizeof(*g));
	g->layout_id = layout_id;
	g->ncolumns = ncolumns;
	g->series = ops_xcalloc(ncolumns != 0 ? ncolumns : 1, sizeof(struct det_series *));
	g->last_ms = INT64_MIN;
	g->bytes = sizeof(*g) + ncolumns * sizeof(struct det_series *);
	return g;
}

static void sealed_free(struct det_sealed *b)
{
	free(b->times);
	free(b->offsets);
	free(b->data);
	free(b);
}

static void head_free(struct det_group *g)
{
	g->bytes -= g->rows_cap * ((size_t)g->ncolumns + 1) * sizeof(double);
	free(g->times);
	free(g->rows);
	g->times = NULL;
	g->rows = NULL;
	g->nrows = 0;
	g->rows_cap = 0;
}

void det_group_free(struct det_group *g)
{
	if (g == NULL) {
		return;
	}
	head_free(g);
	for (size_t i = 0; i < g->nsealed; i++) {
		sealed_free(g->sealed[i]);
	}
	free(g->sealed);
	free(g->series);
	free(g);
}

static void head_grow(struct det_group *g)
{
	uint32_t cap = g->rows_cap == 0 ? 8 : OPS_MIN(g->rows_cap * 2, DET_BLOCK_ROWS);
	size_t row = (size_t)g->ncolumns;
	g->bytes += (cap - g->rows_cap) * (row + 1) * sizeof(double);
	g->times = ops_xrealloc(g->times, cap, sizeof(int64_t));
	g->rows = ops_xrealloc(g->rows, cap * OPS_MAX(row, (size_t)1), sizeof(double));
	g->rows_cap = cap;
}

double *det_group_add(struct det_group *g, int64_t time_ms, const double *values)
{
	ops_assert(time_ms > g->last_ms);
	if (g->nrows == DET_BLOCK_ROWS) {
		det_group_seal(g);
	}
	if (g->nrows == g->rows_cap) {
		head_grow(g);
	}
	double *row = g->rows + (size_t)g->nrows * g->ncolumns;
	if (g->ncolumns != 0) {
		memcpy(row, values, (size_t)g->ncolumns * sizeof(double));
	}
	g->times[g->nrows++] = time_ms;
	g->last_ms = time_ms;
	return row;
}

double *det_group_last_row(struct det_group *g)
{
	return g->nrows != 0 ? g->rows + (size_t)(g->nrows - 1) * g->ncolumns : NULL;
}

/* Codes column c of the head behind data[at]; returns the new end. */
static uint32_t seal_column(
	const struct det_group *g, uint32_t c, uint8_t **data, size_t *cap, uint32_t at)
{
	double column[DET_BLOCK_ROWS];
	bool any = false;
	for (uint32_t r = 0; r < g->nrows; r++) {
		column[r] = g->rows[(size_t)r * g->ncolumns + c];
		any = any || !det_is_absent(column[r]);
	}
	if (!any || g->series[c] == NULL) {
		return at; /* an empty range: no sample in this block */
	}
	if (at + DET_BLOCK_MAX_BYTES(DET_BLOCK_ROWS) > *cap) {
		*cap = *cap * 2 + DET_BLOCK_MAX_BYTES(DET_BLOCK_ROWS);
		*data = ops_xrealloc(*data, *cap, 1);
	}
	return at + (uint32_t)det_block_encode(column, g->nrows, *data + at);
}

static uint32_t seal_times(const struct det_group *g, struct det_sealed *b)
{
	if (g->ncolumns >= WIDE_COLUMNS) {
		b->times = ops_xcalloc(g->nrows, sizeof(int64_t));
		memcpy(b->times, g->times, g->nrows * sizeof(int64_t));
		return 0;
	}
	/* Milliseconds are exact as doubles for 285 000 years. */
	double as_double[DET_BLOCK_ROWS];
	for (uint32_t r = 0; r < g->nrows; r++) {
		as_double[r] = (double)g->times[r];
	}
	return (uint32_t)det_block_encode(as_double, g->nrows, b->data);
}

void det_group_seal(struct det_group *g)
{
	if (g->nrows == 0) {
		return;
	}
	struct det_sealed *b = ops_xcalloc(1, sizeof(*b));
	b->first_ms = g->times[0];
	b->last_ms = g->times[g->nrows - 1];
	b->nrows = g->nrows;
	b->offsets = ops_xcalloc((size_t)g->ncolumns + 1, sizeof(uint32_t));
	size_t cap = DET_BLOCK_MAX_BYTES(DET_BLOCK_ROWS) + (size_t)g->ncolumns * 32;
	b->data = ops_xmalloc(cap);
	uint32_t at = seal_times(g, b);
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		b->offsets[c] = at;
		at = seal_column(g, c, &b->data, &cap, at);
	}
	b->offsets[g->ncolumns] = at;
	b->data = ops_xrealloc(b->data, OPS_MAX(at, 1u), 1);
	b->bytes = (uint32_t)(sizeof(*b) + at + ((size_t)g->ncolumns + 1) * sizeof(uint32_t) +
			      (b->times != NULL ? b->nrows * sizeof(int64_t) : 0));
	OPS_GROW(g->sealed, g->nsealed, g->sealed_cap);
	g->sealed[g->nsealed++] = b;
	g->bytes += b->bytes;
	/* The next rows come soon: keep the room, unless nothing more comes. */
	g->nrows = 0;
	if (g->retired) {
		head_free(g);
	}
}

void det_group_drop(struct det_group *g, int64_t cutoff_ms)
{
	size_t gone = 0;
	while (gone < g->nsealed && g->sealed[gone]->last_ms < cutoff_ms) {
		g->bytes -= g->sealed[gone]->bytes;
		sealed_free(g->sealed[gone++]);
	}
	if (gone != 0) {
		g->nsealed -= gone;
		memmove(g->sealed, g->sealed + gone, g->nsealed * sizeof(struct det_sealed *));
	}
	if (g->nrows == 0 || g->times[g->nrows - 1] < cutoff_ms) {
		head_free(g);
	}
}

bool det_group_empty(const struct det_group *g)
{
	return g->nrows == 0 && g->nsealed == 0;
}

int64_t det_group_first(const struct det_group *g)
{
	if (g->nsealed != 0) {
		return g->sealed[0]->first_ms;
	}
	return g->nrows != 0 ? g->times[0] : INT64_MAX;
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
static void add_sample(struct det_samples *out, int64_t t, double v)
{
	out->t[out->n] = t;
	out->v[out->n] = v;
	out->n += !det_is_absent(v);
}

/* Times and values of a column of a sealed block; false: it has none there. */
static bool sealed_decode(
	const struct det_sealed *b, uint32_t column, const int64_t **ret_times, double *values)
{
	static int64_t decoded[DET_BLOCK_ROWS];
	uint32_t from = b->offsets[column], to = b->offsets[column + 1];
	if (from == to) {
		return false;
	}
	*ret_times = b->times;
	if (b->times == NULL) {
		int rc = det_block_decode(b->data, b->offsets[0], b->nrows, values);
		ops_assert(rc == 0);
		for (uint32_t r = 0; r < b->nrows; r++) {
			decoded[r] = (int64_t)values[r];
		}
		*ret_times = decoded;
	}
	int rc = det_block_decode(b->data + from, to - from, b->nrows, values);
	ops_assert(rc == 0);
	return true;
}

static void read_sealed(const struct det_sealed *b, uint32_t column, const int64_t range_ms[2],
	struct det_samples *out)
{
	const int64_t *times;
	double values[DET_BLOCK_ROWS];
	if (!sealed_decode(b, column, &times, values)) {
		return;
	}
	uint32_t r = 0, end = b->nrows;
	while (r < end && times[r] < range_ms[0]) {
		r++;
	}
	while (end > r && times[end - 1] > range_ms[1]) {
		end--;
	}
	make_room(out, end - r);
	for (; r < end; r++) {
		add_sample(out, times[r], values[r]);
	}
}

/* First sealed block that ends at or after mint. */
static size_t sealed_from(const struct det_group *g, int64_t mint)
{
	size_t lo = 0, hi = g->nsealed;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (g->sealed[mid]->last_ms < mint) {
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
	size_t i = sealed_from(g, range_ms[0]);
	for (; i < g->nsealed && g->sealed[i]->first_ms <= range_ms[1]; i++) {
		read_sealed(g->sealed[i], column, range_ms, out);
	}
	make_room(out, g->nrows);
	for (uint32_t r = 0; r < g->nrows; r++) {
		if (g->times[r] >= range_ms[0] && g->times[r] <= range_ms[1]) {
			add_sample(out, g->times[r], g->rows[(size_t)r * g->ncolumns + column]);
		}
	}
}

int64_t det_group_column_last(const struct det_group *g, uint32_t column)
{
	for (uint32_t r = g->nrows; r-- > 0;) {
		if (!det_is_absent(g->rows[(size_t)r * g->ncolumns + column])) {
			return g->times[r];
		}
	}
	for (size_t i = g->nsealed; i-- > 0;) {
		const int64_t *times;
		double values[DET_BLOCK_ROWS];
		if (!sealed_decode(g->sealed[i], column, &times, values)) {
			continue;
		}
		for (uint32_t r = g->sealed[i]->nrows; r-- > 0;) {
			if (!det_is_absent(values[r])) {
				return times[r];
			}
		}
	}
	return INT64_MIN;
}
