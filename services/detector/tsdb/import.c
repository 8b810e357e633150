/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document of any length becomes blocks with bounded memory: it is mapped, not read; the first
 * pass counts the samples of each window of time, then each further pass collects as many whole
 * windows as fit into BATCH_SAMPLES and writes a block for each. A document that covers little
 * time, whatever its order, is thus read twice.
 *
 * Series that have samples at the same times (a scrape had them all) become one group, in the order
 * in which they first appear: that is the order of an exposition, in which buckets stand side by
 * side.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/exposition/exposition.h"
#include "services/detector/tsdb/internal.h"

enum {
	BATCH_SAMPLES = 4000000,
	ROWS = 1024 /* of a segment, as compaction makes them */
};

struct window {
	int64_t number; /* of block_ms since 1970 */
	uint64_t samples;
};

struct sample {
	int64_t t;
	double v;
	uint32_t series, order;
};

struct series {
	const char *text; /* in the document: name and labels as written */
	size_t len;
	uint32_t from, n; /* in samples, while a block is written */
	uint64_t times_hash;
};

struct importer {
	struct det_tsdb_import *im;
	struct ops_error *err;
	struct ops_exposition parser;
	struct window *windows;
	size_t nwindows, windows_cap, last_window;
	struct ops_map *by_text;
	struct series *series;
	uint32_t nseries, series_cap;
	struct sample *samples;
	size_t n, cap;
	uint32_t *by_times; /* series with samples, by the hash of their times */
};

static int64_t floor_div(int64_t a, int64_t b)
{
	int64_t q = a / b;
	return a % b < 0 ? q - 1 : q;
}

/* ---- passes -----------------------------------------------------------------------------------
 */

/* fn is told of every sample. */
static int pass(struct importer *p, int (*fn)(struct importer *p, int64_t number))
{
	int kind, rc = 0;
	ops_exposition_start(&p->parser, OPS_EXPOSITION_OPENMETRICS, p->im->data, p->im->len);
	while (rc == 0 && (kind = ops_exposition_next(&p->parser, p->err)) > 0) {
		if (kind != OPS_ENTRY_SAMPLE) {
			continue;
		}
		if (!p->parser.tail.has_time) {
			return ops_error_set_at(
				p->err, -EINVAL, "", p->parser.line, 0, "the sample has no time");
		}
		rc = fn(p, floor_div(p->parser.tail.time_ms, p->im->block_ms));
	}
	return rc != 0 ? rc : kind;
}

static int count(struct importer *p, int64_t number)
{
	p->im->samples++;
	if (p->last_window < p->nwindows && p->windows[p->last_window].number == number) {
		p->windows[p->last_window].samples++;
		return 0;
	}
	for (size_t i = 0; i < p->nwindows; i++) { /* most often it is the next */
		size_t at = (p->last_window + 1 + i) % p->nwindows;
		if (p->windows[at].number == number) {
			p->windows[at].samples++;
			p->last_window = at;
			return 0;
		}
	}
	OPS_GROW(p->windows, p->nwindows, p->windows_cap);
	p->last_window = p->nwindows;
	p->windows[p->nwindows++] = (struct window){.number = number, .samples = 1};
	return 0;
}

static uint32_t series_of(struct importer *p)
{
	const char *text = p->parser.line_begin;
	size_t len = (size_t)(p->parser.series_end - text);
	void *known = ops_map_get(p->by_text, text, len);
	if (known != NULL) {
		return (uint32_t)((uintptr_t)known - 1);
	}
	OPS_GROW(p->series, p->nseries, p->series_cap);
	p->series[p->nseries] = (struct series){.text = text, .len = len};
	ops_map_put(p->by_text, text, len, (void *)((uintptr_t)p->nseries + 1));
	return p->nseries++;
}

/* Windows [last_window, nwindows) of the batch: the numbers between the two. */
static int collect(struct importer *p, int64_t number)
{
	const struct window *w = p->windows;
	if (number < w[p->last_window].number || number > w[p->nwindows - 1].number) {
		return 0;
	}
	OPS_GROW(p->samples, p->n, p->cap);
	p->samples[p->n] = (struct sample){.t = p->parser.tail.time_ms,
		.v = p->parser.tail.value,
		.series = series_of(p),
		.order = (uint32_t)p->n};
	p->n++;
	return 0;
}

/* ---- one block --------------------------------------------------------------------------------
 */

static int compare_samples(const void *a, const void *b, void *arg)
{
	const struct sample *x = a, *y = b;
	const int64_t *block_ms = arg;
	int64_t wx = floor_div(x->t, *block_ms), wy = floor_div(y->t, *block_ms);
	if (wx != wy) {
		return wx < wy ? -1 : 1;
	}
	if (x->series != y->series) {
		return x->series < y->series ? -1 : 1;
	}
	if (x->t != y->t) {
		return x->t < y->t ? -1 : 1;
	}
	return (x->order > y->order) - (x->order < y->order);
}

/* Of equal times of a series the first stays. */
static void drop_duplicates(struct importer *p)
{
	size_t kept = 0;
	for (size_t i = 0; i < p->n; i++) {
		if (kept != 0 && p->samples[kept - 1].t == p->samples[i].t &&
			p->samples[kept - 1].series == p->samples[i].series) {
			p->im->duplicates++;
		} else {
			p->samples[kept++] = p->samples[i];
		}
	}
	p->n = kept;
}

static int compare_times(const void *a, const void *b, void *arg)
{
	const struct importer *p = arg;
	uint32_t ia = *(const uint32_t *)a, ib = *(const uint32_t *)b;
	const struct series *x = &p->series[ia], *y = &p->series[ib];
	if (x->n != y->n) {
		return x->n < y->n ? -1 : 1;
	}
	if (x->times_hash != y->times_hash) {
		return x->times_hash < y->times_hash ? -1 : 1;
	}
	return (ia > ib) - (ia < ib);
}

static bool same_times(const struct importer *p, uint32_t a, uint32_t b)
{
	const struct series *x = &p->series[a], *y = &p->series[b];
	if (x->n != y->n || x->times_hash != y->times_hash) {
		return false;
	}
	for (uint32_t i = 0; i < x->n; i++) {
		if (p->samples[x->from + i].t != p->samples[y->from + i].t) {
			return false;
		}
	}
	return true;
}

struct group { /* series with the same times */
	const struct importer *p;
	const uint32_t *members;
	uint32_t from; /* row */
	uint32_t nrows;
};

static const double *group_column(void *arg, uint32_t column, double *scratch)
{
	const struct group *g = arg;
	const struct series *s = &g->p->series[g->members[column]];
	for (uint32_t i = 0; i < g->nrows; i++) {
		scratch[i] = g->p->samples[s->from + g->from + i].v;
	}
	return scratch;
}

/* The series' labels, parsed once more: only its text is kept. */
static int ref_of(struct importer *p, struct det_block_writer *w, uint32_t series, uint32_t *ret)
{
	struct ops_exposition line;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct ops_labels_builder b;
	ops_strbuf_add(&text, p->series[series].text, p->series[series].len);
	ops_strbuf_adds(&text, " 0\n");
	ops_exposition_init(&line);
	ops_exposition_start(&line, OPS_EXPOSITION_TEXT, text.data, text.len);
	int rc = ops_exposition_next(&line, p->err);
	ops_labels_builder_init(&b);
	for (size_t i = 0; rc > 0 && i < line.nlabels; i++) {
		const struct ops_label *l = &line.labels[i];
		ops_labels_builder_setn(&b, l->name, l->name_len, l->value, l->value_len);
	}
	if (rc > 0) {
		ops_labels_builder_setn(
			&b, OPS_LABEL_NAME, strlen(OPS_LABEL_NAME), line.name.data, line.name.len);
		struct ops_labels *labels = ops_labels_builder_build(&b);
		rc = det_block_writer_series(w, labels->items, labels->n, ret);
		ops_labels_unref(labels);
	}
	ops_labels_builder_done(&b);
	ops_exposition_done(&line);
	ops_strbuf_done(&text);
	return rc;
}

static int write_group(
	struct importer *p, struct det_block_writer *w, const uint32_t *members, uint32_t n)
{
	const struct series *first = &p->series[members[0]];
	uint32_t *refs = ops_xcalloc(n, sizeof(uint32_t));
	int64_t *times = ops_xcalloc(first->n, sizeof(int64_t));
	int rc = 0;
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		rc = ref_of(p, w, members[i], &refs[i]);
	}
	for (uint32_t i = 0; i < first->n; i++) {
		times[i] = p->samples[first->from + i].t;
	}
	for (uint32_t row = 0; row < first->n && rc == 0; row += ROWS) {
		struct group g = {.p = p,
			.members = members,
			.from = row,
			.nrows = OPS_MIN(first->n - row, (uint32_t)ROWS)};
		const struct det_rows rows = {.group = members[0],
			.times_ms = times + row,
			.nrows = g.nrows,
			.ncolumns = n,
			.column = group_column,
			.arg = &g};
		rc = det_block_writer_add(w, &rows, refs);
	}
	free(times);
	free(refs);
	return rc;
}

static int write_groups(struct importer *p, struct det_block_writer *w, uint32_t n)
{
	int rc = 0;
	qsort_r(p->by_times, n, sizeof(uint32_t), compare_times, p);
	for (uint32_t i = 0, end; i < n && rc == 0; i = end) {
		end = i + 1;
		while (end < n && end - i < DET_SEGMENT_MAX_COLUMNS &&
			same_times(p, p->by_times[i], p->by_times[end])) {
			end++;
		}
		rc = write_group(p, w, p->by_times + i, end - i);
	}
	return rc;
}

/* Samples [from, to), by series and time, as a block. */
static int write_block(struct importer *p, size_t from, size_t to)
{
	struct det_block_writer *w;
	struct det_block_meta meta;
	uint32_t n = 0;
	int rc = det_block_writer_new(p->im->blocks_dir, 1, &w, p->err);
	if (rc != 0) {
		return rc;
	}
	p->by_times = ops_xcalloc((size_t)p->nseries + 1, sizeof(uint32_t));
	for (size_t i = from, end; i < to; i = end) {
		struct series *s = &p->series[p->samples[i].series];
		s->times_hash = 0;
		for (end = i; end < to && p->samples[end].series == p->samples[i].series; end++) {
			s->times_hash =
				ops_hash64(&p->samples[end].t, sizeof(int64_t), s->times_hash);
		}
		s->from = (uint32_t)i;
		s->n = (uint32_t)(end - i);
		p->by_times[n++] = p->samples[i].series;
	}
	rc = write_groups(p, w, n);
	free(p->by_times);
	if (rc != 0) {
		det_block_writer_cancel(w);
		return p->err->message[0] != '\0'
			       ? rc
			       : ops_error_set(
					 p->err, rc, "could not write a block: %s", strerror(-rc));
	}
	rc = det_block_writer_finish(w, &meta, p->err);
	if (rc == 0 && p->im->on_block != NULL) {
		p->im->on_block(p->im->arg, &meta);
	}
	return rc;
}

/* ---- all --------------------------------------------------------------------------------------
 */

static int compare_windows(const void *a, const void *b)
{
	const struct window *x = a, *y = b;
	return (x->number > y->number) - (x->number < y->number);
}

/* Windows [first, end) fit into one batch; at least one. */
static size_t batch_end(const struct importer *p, size_t first, size_t nwindows)
{
	uint64_t samples = 0;
	size_t end = first;
	while (end < nwindows &&
		(end == first || samples + p->windows[end].samples <= BATCH_SAMPLES)) {
		samples += p->windows[end++].samples;
	}
	return end;
}

static void forget_batch(struct importer *p)
{
	ops_map_free(p->by_text, NULL);
	p->by_text = ops_map_new();
	p->nseries = 0;
	p->n = 0;
}

static int write_batch(struct importer *p)
{
	int rc = 0;
	if (p->n == 0) {
		return 0;
	}
	qsort_r(p->samples, p->n, sizeof(*p->samples), compare_samples, &p->im->block_ms);
	drop_duplicates(p);
	for (size_t i = 0, end; i < p->n && rc == 0; i = end) {
		int64_t number = floor_div(p->samples[i].t, p->im->block_ms);
		for (end = i; end < p->n; end++) {
			if (floor_div(p->samples[end].t, p->im->block_ms) != number) {
				break;
			}
		}
		rc = write_block(p, i, end);
	}
	return rc;
}

static int run(struct importer *p)
{
	int rc = pass(p, count);
	if (rc != 0) {
		return rc;
	}
	size_t nwindows = p->nwindows;
	if (nwindows == 0) {
		return ops_error_set(p->err, -EINVAL, "there are no samples");
	}
	qsort(p->windows, nwindows, sizeof(*p->windows), compare_windows);
	for (size_t at = 0; at < nwindows && rc == 0; at = p->nwindows) {
		p->last_window = at;
		p->nwindows = batch_end(p, at, nwindows);
		forget_batch(p);
		rc = pass(p, collect);
		rc = rc != 0 ? rc : write_batch(p);
		if (rc == 0 && p->im->on_progress != NULL) {
			p->im->on_progress(p->im->arg, (double)p->nwindows / (double)nwindows);
		}
	}
	return rc;
}

int det_tsdb_import(struct det_tsdb_import *im, struct ops_error *err)
{
	struct importer p = {.im = im, .err = err, .by_text = ops_map_new()};
	err->message[0] = '\0';
	im->samples = im->duplicates = 0;
	ops_exposition_init(&p.parser);
	int rc = run(&p);
	ops_exposition_done(&p.parser);
	ops_map_free(p.by_text, NULL);
	free(p.windows);
	free(p.series);
	free(p.samples);
	return rc;
}
