/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearly always a series is one column of one group, its segments follow each other, and nothing of
 * it is deleted or absent: then the decoded arrays are handed on as they are. Where a series moved
 * between groups, rows of both may overlap (samples that came late): then all is gathered, sorted,
 * and of equal times the one of the lower group, which was written first, counts. Histogram samples
 * are gathered as well and handed on between the floats.
 */
#include <stdlib.h>
#include <string.h>

#include "services/detector/store/block_impl.h"
#include "services/detector/store/codec.h"

struct part { /* a column of a segment */
	uint32_t segment, column, order;
	int64_t first_ms, last_ms;
};

struct sample {
	int64_t t;
	double v;
	uint32_t order;
};

struct reader {
	const struct det_block *b;
	const int64_t *range_ms;
	struct det_segment_cursor *cursor;
	const struct det_tombstone *deleted;
	size_t ndeleted;
	struct part *parts;
	size_t nparts, parts_cap;
	struct sample *samples; /* gathered */
	size_t nsamples, samples_cap;
	struct det_blob *blobs;
	size_t nblobs, blobs_cap;
	void (*fn)(void *arg, const struct det_block_run *run);
	void *arg;
};

static bool deleted(const struct reader *r, int64_t t)
{
	for (size_t i = 0; i < r->ndeleted; i++) {
		if (t >= r->deleted[i].mint_ms && t <= r->deleted[i].maxt_ms) {
			return true;
		}
	}
	return false;
}

static bool any_absent(const double *v, size_t n)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++) {
		count += det_value_absent(v[i]);
	}
	return count != 0;
}

static void find_parts(struct reader *r, const struct det_series_entry *e)
{
	const uint8_t *at = e->refs;
	uint32_t two[2];
	struct det_group_entry g;
	for (uint32_t i = 0; i < e->nrefs && det_block_index_next(&at, e->end, two); i++) {
		if (!det_block_index_group(&r->b->index, two[0], &g)) {
			return;
		}
		for (uint32_t s = 0; s < g.nsegments; s++) {
			struct det_piece piece = det_block_index_piece(
				&r->b->index, DET_SECTION_SEGMENTS, g.first_segment + s);
			if (piece.last_ms < r->range_ms[0] || piece.first_ms > r->range_ms[1]) {
				continue;
			}
			OPS_GROW(r->parts, r->nparts, r->parts_cap);
			r->parts[r->nparts] = (struct part){.segment = g.first_segment + s,
				.column = two[1],
				.order = (uint32_t)r->nparts,
				.first_ms = piece.first_ms,
				.last_ms = piece.last_ms};
			r->nparts++;
		}
	}
}

static int compare_parts(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	if (x->first_ms != y->first_ms) {
		return x->first_ms < y->first_ms ? -1 : 1;
	}
	return (x->segment > y->segment) - (x->segment < y->segment);
}

/* Sorts by time; true when no two overlap. */
static bool sort_parts(struct reader *r)
{
	bool sorted = true, apart = true;
	for (size_t i = 1; i < r->nparts; i++) {
		sorted = sorted && compare_parts(&r->parts[i - 1], &r->parts[i]) < 0;
	}
	if (!sorted) {
		qsort(r->parts, r->nparts, sizeof(*r->parts), compare_parts);
	}
	for (size_t i = 1; i < r->nparts; i++) {
		apart = apart && r->parts[i - 1].last_ms < r->parts[i].first_ms;
	}
	return apart;
}

/* Decoded rows of a part that are in the range; false: damaged or empty. */
static bool decode(struct reader *r, const struct part *part, struct det_block_run *ret)
{
	struct det_segment s;
	const int64_t *times;
	const double *values;
	if (!det_block_segment(r->b, part->segment, &s) ||
		det_segment_column_empty(&s, part->column) ||
		det_segment_cursor_times(&s, r->cursor, &times) != 0 ||
		det_segment_column(&s, part->column, r->cursor, &values) != 0) {
		return false;
	}
	size_t from = 0, to = s.nrows;
	while (from < to && times[from] < r->range_ms[0]) {
		from++;
	}
	while (to > from && times[to - 1] > r->range_ms[1]) {
		to--;
	}
	*ret = (struct det_block_run){.t = times + from, .v = values + from, .n = to - from};
	return to > from;
}

/* Copies what is there and not deleted to the cursor's own room. */
static void keep(struct reader *r, struct det_block_run *run)
{
	struct det_segment_kept *kept = &r->cursor->kept;
	if (kept->cap < run->n) {
		kept->cap = run->n;
		kept->t = ops_xrealloc(kept->t, kept->cap, sizeof(int64_t));
		kept->v = ops_xrealloc(kept->v, kept->cap, sizeof(double));
	}
	kept->n = 0;
	for (size_t i = 0; i < run->n; i++) {
		if (!det_value_absent(run->v[i]) && !deleted(r, run->t[i])) {
			kept->t[kept->n] = run->t[i];
			kept->v[kept->n++] = run->v[i];
		}
	}
	*run = (struct det_block_run){.t = kept->t, .v = kept->v, .n = kept->n};
}

static void read_apart(struct reader *r)
{
	for (size_t i = 0; i < r->nparts; i++) {
		struct det_block_run run;
		if (!decode(r, &r->parts[i], &run)) {
			continue;
		}
		if (r->ndeleted != 0 || any_absent(run.v, run.n)) {
			keep(r, &run);
		}
		if (run.n != 0) {
			r->fn(r->arg, &run);
		}
	}
}

static int compare_samples(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;
	if (x->t != y->t) {
		return x->t < y->t ? -1 : 1;
	}
	return (x->order > y->order) - (x->order < y->order);
}

static void gather_samples(struct reader *r)
{
	for (size_t i = 0; i < r->nparts; i++) {
		struct det_block_run run;
		if (!decode(r, &r->parts[i], &run)) {
			continue;
		}
		for (size_t k = 0; k < run.n; k++) {
			if (det_value_absent(run.v[k]) || deleted(r, run.t[k])) {
				continue;
			}
			OPS_GROW(r->samples, r->nsamples, r->samples_cap);
			r->samples[r->nsamples++] = (struct sample){
				.t = run.t[k], .v = run.v[k], .order = r->parts[i].order};
		}
	}
	if (r->nsamples == 0) {
		return;
	}
	qsort(r->samples, r->nsamples, sizeof(*r->samples), compare_samples);
	size_t kept = 1;
	for (size_t i = 1; i < r->nsamples; i++) {
		if (r->samples[i].t != r->samples[kept - 1].t) {
			r->samples[kept++] = r->samples[i];
		}
	}
	r->nsamples = kept;
}

static void gather_piece(struct reader *r, uint32_t at)
{
	struct det_blobs_view view;
	int64_t times[DET_BLOBS_MAX];
	if (!det_block_blobs(r->b, at, &view) ||
		det_codec_decode_ints(view.times, view.times_bytes, view.n, times) != 0) {
		return;
	}
	for (uint32_t i = 0, before = 0; i < view.n; i++) {
		uint32_t end = ops_get_u32(view.ends + (size_t)i * 4);
		bool ascends = r->nblobs == 0 || r->blobs[r->nblobs - 1].t < times[i];
		if (ascends && times[i] >= r->range_ms[0] && times[i] <= r->range_ms[1] &&
			!deleted(r, times[i])) {
			OPS_GROW(r->blobs, r->nblobs, r->blobs_cap);
			r->blobs[r->nblobs++] = (struct det_blob){
				.t = times[i], .data = view.blobs + before, .len = end - before};
		}
		before = end;
	}
}

static void gather_histograms(struct reader *r, const struct det_series_entry *e)
{
	for (uint32_t i = 0; i < e->nhistograms; i++) {
		uint32_t at = e->first_histograms + i;
		struct det_piece piece =
			det_block_index_piece(&r->b->index, DET_SECTION_HISTOGRAMS, at);
		if (piece.last_ms >= r->range_ms[0] && piece.first_ms <= r->range_ms[1]) {
			gather_piece(r, at);
		}
	}
}

/* Gathered floats [from, to) as one run. */
static void emit_samples(struct reader *r, size_t from, size_t to)
{
	struct det_segment_kept *kept = &r->cursor->kept;
	if (from == to) {
		return;
	}
	if (kept->cap < to - from) {
		kept->cap = to - from;
		kept->t = ops_xrealloc(kept->t, kept->cap, sizeof(int64_t));
		kept->v = ops_xrealloc(kept->v, kept->cap, sizeof(double));
	}
	for (size_t i = from; i < to; i++) {
		kept->t[i - from] = r->samples[i].t;
		kept->v[i - from] = r->samples[i].v;
	}
	const struct det_block_run run = {.t = kept->t, .v = kept->v, .n = to - from};
	r->fn(r->arg, &run);
}

/* Runs of floats and of histograms by turns, in time order. At one time the float comes alone. */
static void emit_gathered(struct reader *r)
{
	size_t f = 0, h = 0;
	while (f < r->nsamples || h < r->nblobs) {
		size_t from = f;
		while (f < r->nsamples && (h == r->nblobs || r->samples[f].t <= r->blobs[h].t)) {
			f++;
		}
		emit_samples(r, from, f);
		if (f > from && h < r->nblobs && r->samples[f - 1].t == r->blobs[h].t) {
			h++;
		}
		from = h;
		while (h < r->nblobs && (f == r->nsamples || r->blobs[h].t < r->samples[f].t)) {
			h++;
		}
		if (h > from) {
			const struct det_block_run run = {.blobs = r->blobs + from, .n = h - from};
			r->fn(r->arg, &run);
		}
	}
}

void det_block_read(const struct det_block *b, uint32_t series, const int64_t range_ms[2],
	struct det_segment_cursor *cursor, void (*fn)(void *arg, const struct det_block_run *run),
	void *arg)
{
	struct det_series_entry e;
	struct reader r = {.b = b, .range_ms = range_ms, .cursor = cursor, .fn = fn, .arg = arg};
	const struct det_tombstones *tombstones = __atomic_load_n(&b->tombstones, __ATOMIC_ACQUIRE);
	if (!det_block_index_series(&b->index, series, &e)) {
		return;
	}
	r.ndeleted = det_tombstones_of(tombstones, series, &r.deleted);
	find_parts(&r, &e);
	if (sort_parts(&r) && e.nhistograms == 0) {
		read_apart(&r);
	} else {
		gather_samples(&r);
		gather_histograms(&r, &e);
		emit_gathered(&r);
	}
	free(r.parts);
	free(r.samples);
	free(r.blobs);
}
