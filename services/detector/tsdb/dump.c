/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All samples of all blocks as text, series by series in label order: the blocks are walked side by
 * side, since each has its series in that order, so memory is that of one series. What two blocks
 * both have for one time is written once.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/model/histogram.h"
#include "common/promql/parse.h"
#include "services/detector/engine/engine.h"
#include "services/detector/tsdb/internal.h"

#define BUFFER_BYTES ((size_t)1 << 18)

struct walker { /* one block */
	const struct det_block *block;
	struct det_block_list list;
	size_t at;
	struct ops_labels *labels; /* of the series at; NULL: through */
};

struct dumped {
	int64_t t;
	double v;
	struct det_blob blob; /* data NULL: a float */
	uint32_t order;
};

struct dump {
	const struct det_tsdb_options *o;
	int fd, error;
	struct ops_arena arena;
	struct ops_matchers matches[TSDB_MATCHES_MAX];
	struct walker *walkers;
	size_t nwalkers;
	struct dumped *samples; /* of one series */
	size_t n, cap;
	uint32_t order;
	struct ops_strbuf out, name;
	struct det_segment_cursor cursor;
};

static void next_labels(struct walker *w)
{
	struct ops_label labels[512];
	ops_labels_unref(w->labels);
	w->labels = NULL;
	if (w->at < w->list.n) {
		size_t n = det_block_labels(
			w->block, w->list.series[w->at], labels, OPS_LENGTH(labels), NULL);
		w->labels = ops_labels_from_sorted(labels, OPS_MIN(n, OPS_LENGTH(labels)));
	}
}

static int compare_u32(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* Series of any of the selectors, each once. */
static void select_all(struct dump *d, struct walker *w)
{
	uint32_t *all = NULL;
	size_t n = 0, cap = 0, kept = 0;
	for (size_t m = 0; m < OPS_MAX(d->o->nmatches, (size_t)1); m++) {
		struct det_block_list list;
		det_block_select(w->block, &d->matches[m], &d->arena, &list);
		for (size_t i = 0; i < list.n; i++) {
			OPS_GROW(all, n, cap);
			all[n++] = list.series[i];
		}
	}
	if (n != 0) {
		qsort(all, n, sizeof(*all), compare_u32);
	}
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || all[kept - 1] != all[i]) {
			all[kept++] = all[i];
		}
	}
	w->list.series = n != 0 ? ops_arena_dup(&d->arena, all, kept * sizeof(*all)) : NULL;
	w->list.n = kept;
	free(all);
}

static void take_run(void *arg, const struct det_block_run *run)
{
	struct dump *d = arg;
	for (size_t i = 0; i < run->n; i++) {
		OPS_GROW(d->samples, d->n, d->cap);
		struct dumped *to = &d->samples[d->n++];
		*to = (struct dumped){.order = d->order};
		if (run->blobs != NULL) {
			to->t = run->blobs[i].t;
			to->blob = run->blobs[i];
		} else {
			to->t = run->t[i];
			to->v = run->v[i];
		}
	}
}

static int compare_dumped(const void *a, const void *b)
{
	const struct dumped *x = a, *y = b;
	if (x->t != y->t) {
		return x->t < y->t ? -1 : 1;
	}
	return (x->order > y->order) - (x->order < y->order);
}

static void print_time(struct dump *d, int64_t t)
{
	if (!d->o->openmetrics) {
		ops_strbuf_printf(&d->out, " %" PRId64 "\n", t);
		return;
	}
	int64_t ms = t % 1000;
	ops_strbuf_printf(&d->out, " %s%" PRId64, t < 0 && t > -1000 ? "-" : "", t / 1000);
	if (ms != 0) {
		ops_strbuf_printf(&d->out, ".%03" PRId64, ms < 0 ? -ms : ms);
	}
	ops_strbuf_addc(&d->out, '\n');
}

static void print_value(struct dump *d, const struct dumped *s)
{
	struct ops_arena arena;
	struct ops_histogram h;
	if (s->blob.data == NULL) {
		ops_strbuf_add_double(&d->out, s->v);
		return;
	}
	ops_arena_init(&arena);
	if (ops_histogram_decode(s->blob.data, s->blob.len, &arena, &h) == 0) {
		ops_histogram_print(&h, &d->out);
	} else {
		ops_strbuf_adds(&d->out, "{}");
	}
	ops_arena_done(&arena);
}

static void flush(struct dump *d)
{
	if (d->error == 0 && d->out.len != 0) {
		d->error = ops_write_all(d->fd, d->out.data, d->out.len);
	}
	ops_strbuf_reset(&d->out);
}

/* The gathered samples of one series; histograms have no form in OpenMetrics. */
static void print_samples(struct dump *d)
{
	bool sorted = true;
	for (size_t i = 1; i < d->n; i++) {
		sorted = sorted && d->samples[i - 1].t < d->samples[i].t;
	}
	if (!sorted) {
		qsort(d->samples, d->n, sizeof(*d->samples), compare_dumped);
	}
	for (size_t i = 0; i < d->n; i++) {
		const struct dumped *s = &d->samples[i];
		if ((i > 0 && s[-1].t == s->t) || (d->o->openmetrics && s->blob.data != NULL)) {
			continue;
		}
		ops_strbuf_add(&d->out, d->name.data, d->name.len);
		ops_strbuf_addc(&d->out, ' ');
		print_value(d, s);
		print_time(d, s->t);
		if (d->out.len >= BUFFER_BYTES) {
			flush(d);
		}
	}
}

static const struct ops_labels *first_labels(const struct dump *d)
{
	const struct ops_labels *first = NULL;
	for (size_t i = 0; i < d->nwalkers; i++) {
		const struct ops_labels *labels = d->walkers[i].labels;
		if (labels != NULL && (first == NULL || ops_labels_compare(labels, first) < 0)) {
			first = labels;
		}
	}
	return first;
}

static bool dump_series(struct dump *d)
{
	const struct ops_labels *first = first_labels(d);
	if (first == NULL || d->error != 0) {
		return false;
	}
	struct ops_labels *labels = ops_labels_from_sorted(first->items, first->n);
	ops_strbuf_reset(&d->name);
	ops_labels_print(labels, &d->name);
	d->n = 0;
	for (size_t i = 0; i < d->nwalkers; i++) {
		struct walker *w = &d->walkers[i];
		if (w->labels == NULL || !ops_labels_equal(w->labels, labels)) {
			continue;
		}
		d->order = (uint32_t)i;
		det_block_read(
			w->block, w->list.series[w->at], d->o->range_ms, &d->cursor, take_run, d);
		w->at++;
		next_labels(w);
	}
	print_samples(d);
	ops_labels_unref(labels);
	return true;
}

static int parse_matches(struct dump *d, struct ops_error *err)
{
	int rc = 0;
	for (size_t i = 0; i < d->o->nmatches && rc == 0; i++) {
		const struct ops_promql_source src = {
			.text = d->o->matches[i], .len = strlen(d->o->matches[i])};
		struct ops_promql_expr *selector;
		rc = ops_promql_parse_selector(&d->arena, &src, &selector, err);
		rc = rc != 0 ? rc : det_engine_matchers(selector, &d->matches[i], err);
	}
	return rc;
}

int det_tsdb_dump_to(const struct det_tsdb_set *set, const struct det_tsdb_options *o, int fd,
	struct ops_error *err)
{
	struct dump d = {.o = o, .fd = fd, .nwalkers = set->n};
	ops_arena_init(&d.arena);
	for (size_t i = 0; i < OPS_LENGTH(d.matches); i++) {
		ops_matchers_init(&d.matches[i]);
	}
	d.walkers = ops_xcalloc(set->n + 1, sizeof(*d.walkers));
	int rc = parse_matches(&d, err);
	for (size_t i = 0; i < set->n && rc == 0; i++) {
		d.walkers[i].block = set->blocks[i];
		select_all(&d, &d.walkers[i]);
		next_labels(&d.walkers[i]);
	}
	while (rc == 0 && dump_series(&d)) {
	}
	if (rc == 0 && o->openmetrics) {
		ops_strbuf_adds(&d.out, "# EOF\n");
	}
	flush(&d);
	for (size_t i = 0; i < set->n; i++) {
		ops_labels_unref(d.walkers[i].labels);
	}
	for (size_t i = 0; i < OPS_LENGTH(d.matches); i++) {
		ops_matchers_done(&d.matches[i]);
	}
	free(d.walkers);
	free(d.samples);
	det_segment_cursor_done(&d.cursor);
	ops_strbuf_done(&d.out);
	ops_strbuf_done(&d.name);
	ops_arena_done(&d.arena);
	return rc != 0 ? rc : d.error;
}

int det_tsdb_dump(const struct det_tsdb_options *o)
{
	struct det_tsdb_set set;
	struct ops_error err = {.line = 0};
	char text[1024];
	int code = det_tsdb_set_open(o->nargs > 0 ? o->args[0] : ".", &set);
	if (code != TSDB_OK) {
		return code;
	}
	int rc = det_tsdb_dump_to(&set, o, STDOUT_FILENO, &err);
	code = set.findings != 0 ? TSDB_FAILED : TSDB_OK;
	det_tsdb_set_close(&set);
	if (rc == 0 && det_block_corruptions() != 0 && code == TSDB_OK) {
		return det_tsdb_fail(TSDB_FAILED,
			"some segments are damaged and were left out; tsdb verify tells which");
	}
	if (rc == 0 || rc == -EPIPE) {
		return code;
	}
	return err.message[0] != '\0'
		       ? det_tsdb_fail(TSDB_USAGE, "%s", ops_error_text(&err, text, sizeof(text)))
		       : det_tsdb_fail(TSDB_FAILED, "could not write: %s", strerror(-rc));
}
