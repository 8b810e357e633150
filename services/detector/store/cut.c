/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samples of two hours, from the head's many small segments into a block's few large ones. A
 * group's segments of that time are joined column by column. A series with late samples leaves its
 * column and is written merged, as a segment of its own; histograms go as blobs; what is deleted
 * is left out.
 *
 * All that the loop may change is copied when the cut is made: labels, late samples, deleted spans,
 * blobs. Segments are not: they are immutable and kept by the read that is open meanwhile.
 */
#include "services/detector/store/cut.h"

#include <errno.h>
#include <string.h>

#include "services/detector/store/histogram_log.h"
#include "services/detector/store/state.h"

struct column {
	const struct ops_labels *labels; /* NULL: dead */
	const struct det_late *late;	 /* copies; NULL: none */
	const struct det_spans *spans;
	bool alone; /* written by itself */
};

struct part { /* of a group */
	struct part *next;
	uint32_t ncolumns, nsegments;
	struct column *columns;
	const uint8_t **segments;
	uint32_t *sizes;
};

struct blobs { /* histograms of a series */
	struct blobs *next;
	const struct ops_labels *labels;
	struct det_blob *items;
	size_t n;
};

struct det_cut {
	struct ops_arena arena;
	int64_t mint_ms, maxt_ms;
	struct part *parts;
	struct blobs *blobs;
};

/* ---- gathering, on the loop ---- */

static const struct det_late *copy_late(struct det_cut *c, const struct det_late *l)
{
	if (l == NULL || l->n == 0) {
		return NULL;
	}
	struct det_late *copy = ops_arena_dup(&c->arena, l, sizeof(*l));
	copy->t = ops_arena_dup(&c->arena, l->t, l->n * sizeof(l->t[0]));
	copy->v = ops_arena_dup(&c->arena, l->v, l->n * sizeof(l->v[0]));
	return copy;
}

static const struct det_spans *copy_spans(struct det_cut *c, const struct det_spans *spans)
{
	if (spans == NULL || spans->n == 0) {
		return NULL;
	}
	struct det_spans *copy = ops_arena_dup(&c->arena, spans, sizeof(*spans));
	copy->items = ops_arena_dup(&c->arena, spans->items, spans->n * sizeof(spans->items[0]));
	return copy;
}

static void gather_blobs(struct det_cut *c, const struct det_store *s, const struct det_entry *e,
	const struct ops_labels *labels)
{
	const struct det_histogram_log *log = det_store_histograms(s, e);
	const struct det_spans *spans = ops_map_get(s->deleted, &e->id, sizeof(e->id));
	if (log == NULL || log->n == 0) {
		return;
	}
	struct blobs *b = ops_arena_new(&c->arena, struct blobs);
	b->items = ops_arena_array(&c->arena, struct det_blob, log->n);
	b->labels = labels;
	for (uint32_t i = 0, start = 0; i < log->n; start = log->ends[i++]) {
		int64_t t = log->times[i];
		if (t >= c->mint_ms && t < c->maxt_ms && !det_spans_hold(spans, t)) {
			size_t len = log->ends[i] - start;
			b->items[b->n++] = (struct det_blob){
				t, ops_arena_dup(&c->arena, log->bytes + start, len), len};
		}
	}
	b->next = c->blobs;
	c->blobs = b;
}

static void gather_columns(
	struct det_cut *c, const struct det_store *s, const struct det_group *g, struct part *p)
{
	p->columns = ops_arena_array(&c->arena, struct column, OPS_MAX(g->ncolumns, 1u));
	for (uint32_t i = 0; i < g->ncolumns; i++) {
		const struct det_entry *e = g->series[i];
		if (e == NULL) {
			continue;
		}
		struct column *col = &p->columns[i];
		col->labels = det_entry_labels(s, e, &c->arena);
		if (e->flags & DET_ENTRY_LATE && det_entry_ref(e, 0)->group == g) {
			col->late = copy_late(c, ops_map_get(s->late, &e->id, sizeof(e->id)));
			col->alone = col->late != NULL;
		}
		if (e->flags & DET_ENTRY_DELETED) {
			col->spans = copy_spans(c, ops_map_get(s->deleted, &e->id, sizeof(e->id)));
		}
		if (e->flags & DET_ENTRY_HISTOGRAMS && g->layout_id == 0) {
			gather_blobs(c, s, e, col->labels);
		}
	}
}

static bool has_late(const struct det_group *g)
{
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		if (g->series[c] != NULL && (g->series[c]->flags & DET_ENTRY_LATE)) {
			return true;
		}
	}
	return false;
}

static void gather_group(struct det_cut *c, const struct det_store *s, const struct det_group *g)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < g->nsealed; i++) {
		n += g->sealed[i].last_ms >= c->mint_ms && g->sealed[i].first_ms < c->maxt_ms;
	}
	if (n == 0 && !has_late(g)) {
		return;
	}
	struct part *p = ops_arena_new(&c->arena, struct part);
	p->ncolumns = g->ncolumns;
	p->segments = ops_arena_array(&c->arena, const uint8_t *, n + 1u);
	p->sizes = ops_arena_array(&c->arena, uint32_t, n + 1u);
	for (uint32_t i = 0; i < g->nsealed; i++) {
		const struct det_sealed *b = &g->sealed[i];
		if (b->last_ms >= c->mint_ms && b->first_ms < c->maxt_ms) {
			p->segments[p->nsegments] = b->data;
			p->sizes[p->nsegments++] = b->bytes;
		}
	}
	gather_columns(c, s, g, p);
	p->next = c->parts;
	c->parts = p;
}

struct det_cut *det_cut_new(struct det_store *s, int64_t mint_ms, int64_t maxt_ms)
{
	struct det_cut *c = ops_xcalloc(1, sizeof(*c));
	ops_arena_init(&c->arena);
	c->mint_ms = mint_ms;
	c->maxt_ms = maxt_ms;
	for (const struct det_group *g = s->groups; g != NULL; g = g->next) {
		gather_group(c, s, g);
	}
	if (c->parts == NULL) {
		det_cut_free(c);
		return NULL;
	}
	return c;
}

void det_cut_free(struct det_cut *c)
{
	if (c != NULL) {
		ops_arena_done(&c->arena);
		free(c);
	}
}

/* ---- writing, on the thread ---- */

struct opened {
	struct det_segment segment;
	struct det_segment_cursor cursor;
	uint32_t from, to; /* rows in the span */
};

struct writing { /* of a part */
	const struct det_cut *cut;
	const struct part *part;
	struct det_block_writer *w;
	struct opened *segments;
	uint32_t first, last; /* segments of this piece */
	int64_t *times;	      /* of its rows */
	uint32_t nrows;
	bool bad;
};

/* All the column's values in this piece, deleted ones and histogram marks taken out. */
static void fill_column(struct writing *x, uint32_t column, double *out)
{
	const struct column *col = &x->part->columns[column];
	uint32_t at = 0;
	for (uint32_t i = x->first; i < x->last; i++) {
		struct opened *o = &x->segments[i];
		const double *values = NULL;
		if (o->from == o->to) {
			continue;
		}
		if (col->labels != NULL && !det_segment_column_empty(&o->segment, column) &&
			det_segment_column(&o->segment, column, &o->cursor, &values) != 0) {
			x->bad = true;
		}
		for (uint32_t r = o->from; r < o->to; r++, at++) {
			bool out_of_it = values == NULL || det_is_histogram(values[r]) ||
					 det_spans_hold(col->spans, x->times[at]);
			out[at] = out_of_it ? det_absent() : values[r];
		}
	}
}

static const double *cut_column(void *arg, uint32_t column, double *scratch)
{
	struct writing *x = arg;
	if (x->part->columns[column].alone) {
		for (uint32_t r = 0; r < x->nrows; r++) {
			scratch[r] = det_absent();
		}
	} else {
		fill_column(x, column, scratch);
	}
	return scratch;
}

static int ref_of(struct writing *x, uint32_t column, uint32_t *ret)
{
	const struct ops_labels *ls = x->part->columns[column].labels;
	*ret = UINT32_MAX;
	return ls != NULL ? det_block_writer_series(x->w, ls->items, ls->n, ret) : 0;
}

/* The rows of segments [first, last). */
static void piece_times(struct writing *x)
{
	x->nrows = 0;
	for (uint32_t i = x->first; i < x->last; i++) {
		x->nrows += x->segments[i].to - x->segments[i].from;
	}
	free(x->times);
	x->times = ops_xcalloc(OPS_MAX(x->nrows, 1u), sizeof(int64_t));
	uint32_t at = 0;
	for (uint32_t i = x->first; i < x->last; i++) {
		struct opened *o = &x->segments[i];
		if (o->from == o->to) {
			continue;
		}
		int64_t *all = ops_xcalloc(OPS_MAX(o->segment.nrows, 1u), sizeof(int64_t));
		x->bad = x->bad || det_segment_times(&o->segment, all) != 0;
		memcpy(x->times + at, all + o->from, (o->to - o->from) * sizeof(int64_t));
		at += o->to - o->from;
		free(all);
	}
}

static int write_piece(struct writing *x, const uint32_t *refs)
{
	piece_times(x);
	if (x->nrows == 0 || x->bad) {
		return x->bad ? -EBADMSG : 0;
	}
	const struct det_rows rows = {.group = 0,
		.times_ms = x->times,
		.nrows = x->nrows,
		.ncolumns = x->part->ncolumns,
		.column = cut_column,
		.arg = x};
	int rc = det_block_writer_add(x->w, &rows, refs);
	return rc == 0 && x->bad ? -EBADMSG : rc;
}

/* As many segments at a time as one segment of the block may have rows. */
static int write_rows(struct writing *x, const uint32_t *refs)
{
	int rc = 0;
	for (uint32_t i = 0; i < x->part->nsegments && rc == 0; i = x->last) {
		uint32_t rows = 0;
		x->first = x->last = i;
		while (x->last < x->part->nsegments) {
			rows += x->segments[x->last].to - x->segments[x->last].from;
			if (rows > DET_SEGMENT_MAX_ROWS && x->last != x->first) {
				break;
			}
			x->last++;
		}
		rc = write_piece(x, refs);
	}
	return rc;
}

static const double *given_column(void *arg, uint32_t column, double *scratch)
{
	(void)column;
	(void)scratch;
	return arg;
}

static int write_samples(struct writing *x, const struct det_samples *all, uint32_t ref)
{
	int rc = 0;
	for (size_t at = 0; at < all->n && rc == 0;) {
		size_t n = OPS_MIN(all->n - at, (size_t)DET_SEGMENT_MAX_ROWS);
		const struct det_rows rows = {.times_ms = all->t + at,
			.nrows = (uint32_t)n,
			.ncolumns = 1,
			.column = given_column,
			.arg = all->v + at};
		rc = det_block_writer_add(x->w, &rows, &ref);
		at += n;
	}
	return rc;
}

/* The column's own samples, and the late ones between them. */
static int write_alone(struct writing *x, uint32_t column, uint32_t ref)
{
	const struct column *col = &x->part->columns[column];
	struct det_samples all = {0};
	x->first = 0;
	x->last = x->part->nsegments;
	piece_times(x);
	double *values = ops_xcalloc(OPS_MAX(x->nrows, 1u), sizeof(double));
	fill_column(x, column, values);
	uint32_t k = 0;
	for (uint32_t r = 0; r <= x->nrows; r++) {
		int64_t next = r < x->nrows ? x->times[r] : x->cut->maxt_ms;
		for (; k < col->late->n && col->late->t[k] < next; k++) {
			int64_t t = col->late->t[k];
			if (t >= x->cut->mint_ms && !det_spans_hold(col->spans, t)) {
				det_samples_add(&all, t, col->late->v[k]);
			}
		}
		if (r < x->nrows) {
			bool twice = k < col->late->n && col->late->t[k] == next;
			k += twice && !det_is_absent(values[r]);
			det_samples_add(&all, next, values[r]);
		}
	}
	int rc = x->bad ? -EBADMSG : write_samples(x, &all, ref);
	free(values);
	det_samples_done(&all);
	return rc;
}

/* A segment that went bad since it was mapped has no rows here. */
static void open_segments(struct writing *x)
{
	for (uint32_t i = 0; i < x->part->nsegments; i++) {
		struct opened *o = &x->segments[i];
		if (det_segment_open(x->part->segments[i], x->part->sizes[i], true, &o->segment) !=
			0) {
			continue;
		}
		int64_t *t = ops_xcalloc(OPS_MAX(o->segment.nrows, 1u), sizeof(int64_t));
		o->to = det_segment_times(&o->segment, t) == 0 ? o->segment.nrows : 0;
		while (o->from < o->to && t[o->from] < x->cut->mint_ms) {
			o->from++;
		}
		while (o->to > o->from && t[o->to - 1] >= x->cut->maxt_ms) {
			o->to--;
		}
		free(t);
	}
}

static int write_part(const struct det_cut *c, const struct part *p, struct det_block_writer *w)
{
	struct writing x = {.cut = c, .part = p, .w = w};
	uint32_t *refs = ops_xcalloc(OPS_MAX(p->ncolumns, 1u), sizeof(*refs));
	x.segments = ops_xcalloc(OPS_MAX(p->nsegments, 1u), sizeof(*x.segments));
	int rc = 0;
	open_segments(&x);
	for (uint32_t i = 0; i < p->ncolumns && rc == 0; i++) {
		rc = ref_of(&x, i, &refs[i]);
	}
	rc = rc == 0 ? write_rows(&x, refs) : rc;
	for (uint32_t i = 0; i < p->ncolumns && rc == 0; i++) {
		if (p->columns[i].alone) {
			rc = write_alone(&x, i, refs[i]);
		}
	}
	for (uint32_t i = 0; i < p->nsegments; i++) {
		det_segment_cursor_done(&x.segments[i].cursor);
	}
	free(x.segments);
	free(x.times);
	free(refs);
	return rc;
}

static int write_blobs(const struct blobs *b, struct det_block_writer *w)
{
	uint32_t ref;
	if (b->n == 0) {
		return 0;
	}
	int rc = det_block_writer_series(w, b->labels->items, b->labels->n, &ref);
	return rc == 0 ? det_block_writer_histograms(w, ref, b->items, b->n) : rc;
}

int det_cut_write(const struct det_cut *c, const char *blocks_dir, struct det_block_meta *ret_meta,
	struct ops_error *err)
{
	struct det_block_writer *w;
	int rc = det_block_writer_new(blocks_dir, 1, &w, err);
	if (rc != 0) {
		return rc;
	}
	for (const struct part *p = c->parts; p != NULL && rc == 0; p = p->next) {
		rc = write_part(c, p, w);
	}
	for (const struct blobs *b = c->blobs; b != NULL && rc == 0; b = b->next) {
		rc = write_blobs(b, w);
	}
	if (rc == 0 && det_block_writer_samples(w) == 0) {
		rc = 1;
	}
	if (rc != 0) {
		det_block_writer_cancel(w);
		return rc < 0 ? ops_error_set(err, rc, "could not write a block: %s", strerror(-rc))
			      : rc;
	}
	return det_block_writer_finish(w, ret_meta, err);
}
