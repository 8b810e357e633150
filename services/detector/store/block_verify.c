/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads all of a block as its readers would, and compares with what it says of itself. A block that
 * passes answers every query as it was written to.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "services/detector/store/block_impl.h"
#include "services/detector/store/codec.h"
#include "services/detector/store/postings.h"

struct verifying {
	const struct det_block *b;
	void (*fn)(void *arg, const char *finding);
	void *arg;
	uint64_t findings, samples;
};

static void OPS_PRINTF(2, 3) finding(struct verifying *v, const char *fmt, ...)
{
	va_list ap;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	va_start(ap, fmt);
	ops_strbuf_vprintf(&text, fmt, ap);
	va_end(ap);
	v->findings++;
	if (v->fn != NULL) {
		v->fn(v->arg, ops_strbuf_text(&text));
	}
	ops_strbuf_done(&text);
}

static bool count_column(struct verifying *v, const struct det_segment *s, uint32_t column,
	struct det_segment_cursor *cursor)
{
	const double *values;
	if (det_segment_column_empty(s, column)) {
		return true;
	}
	if (det_segment_column(s, column, cursor, &values) != 0) {
		return false;
	}
	for (uint32_t i = 0; i < s->nrows; i++) {
		v->samples += !det_value_absent(values[i]);
	}
	return true;
}

static void verify_segment(struct verifying *v, uint32_t at, const struct det_group_entry *g,
	struct det_segment_cursor *cursor)
{
	struct det_segment s;
	const int64_t *times;
	struct det_piece piece = det_block_index_piece(&v->b->index, DET_SECTION_SEGMENTS, at);
	if (!det_block_segment(v->b, at, &s)) {
		finding(v, "segment %" PRIu32 " at byte %" PRIu64 " is damaged", at, piece.start);
		return;
	}
	if (s.group != g->group || s.ncolumns != g->ncolumns) {
		finding(v, "segment %" PRIu32 " belongs to another group", at);
		return;
	}
	if (det_segment_cursor_times(&s, cursor, &times) != 0) {
		finding(v, "segment %" PRIu32 " has times that cannot be read", at);
		return;
	}
	for (uint32_t c = 0; c < s.ncolumns; c++) {
		if (!count_column(v, &s, c, cursor)) {
			finding(v, "segment %" PRIu32 ", column %" PRIu32 " cannot be read", at, c);
		}
	}
}

static void verify_segments(struct verifying *v)
{
	struct det_segment_cursor cursor = {.columns = NULL};
	struct det_group_entry g;
	for (uint32_t i = 0; det_block_index_group(&v->b->index, i, &g); i++) {
		for (uint32_t s = 0; s < g.nsegments; s++) {
			verify_segment(v, g.first_segment + s, &g, &cursor);
		}
	}
	det_segment_cursor_done(&cursor);
}

static void verify_histograms(struct verifying *v)
{
	int64_t times[DET_BLOBS_MAX];
	for (uint32_t i = 0; i < v->b->index.counts[DET_COUNT_HISTOGRAMS]; i++) {
		struct det_blobs_view view;
		if (!det_block_blobs(v->b, i, &view) ||
			det_codec_decode_ints(view.times, view.times_bytes, view.n, times) != 0) {
			finding(v, "histograms %" PRIu32 " are damaged", i);
		} else {
			v->samples += view.n;
		}
	}
}

/* Negative when the label set of a comes first. */
static int compare_labels(const struct det_series_entry *a, const struct det_series_entry *b)
{
	const uint8_t *pa = a->pairs, *pb = b->pairs;
	uint32_t x[2], y[2];
	for (uint32_t i = 0; i < OPS_MIN(a->nlabels, b->nlabels); i++) {
		if (!det_block_index_next(&pa, a->end, x) ||
			!det_block_index_next(&pb, b->end, y)) {
			return 1;
		}
		for (unsigned part = 0; part < 2; part++) {
			if (x[part] != y[part]) {
				return x[part] < y[part] ? -1 : 1;
			}
		}
	}
	return a->nlabels < b->nlabels ? -1 : a->nlabels > b->nlabels;
}

static void verify_index(struct verifying *v)
{
	const struct det_block_index *ix = &v->b->index;
	struct det_series_entry before = {.nlabels = 0}, e;
	uint32_t len;
	for (uint32_t i = 0; i < ix->counts[DET_COUNT_SERIES]; i++) {
		if (!det_block_index_series(ix, i, &e)) {
			finding(v, "series %" PRIu32 " cannot be read", i);
			return;
		}
		if (i > 0 && compare_labels(&before, &e) >= 0) {
			finding(v, "series %" PRIu32 " is out of order", i);
		}
		before = e;
	}
	for (uint32_t i = 1; i < ix->counts[DET_COUNT_SYMBOLS]; i++) {
		if (strcmp(det_block_index_symbol(ix, i - 1, &len),
			    det_block_index_symbol(ix, i, &len)) >= 0) {
			finding(v, "symbol %" PRIu32 " is out of order", i);
		}
	}
	for (uint32_t i = 0; i < ix->counts[DET_COUNT_PAIRS]; i++) {
		struct det_block_index_pair pair = det_block_index_pair(ix, i);
		if (pair.bytes != 0 &&
			!det_postings_valid(ix->starts[DET_SECTION_POSTINGS] + pair.start,
				pair.bytes, ix->counts[DET_COUNT_SERIES])) {
			finding(v, "postings %" PRIu32 " are damaged", i);
		}
	}
}

int det_block_verify(
	const struct det_block *b, void (*fn)(void *arg, const char *finding), void *arg)
{
	struct verifying v = {.b = b, .fn = fn, .arg = arg};
	verify_index(&v);
	verify_segments(&v);
	verify_histograms(&v);
	if (v.findings == 0 && v.samples != b->meta.samples) {
		finding(&v, "there are %" PRIu64 " samples, meta.json says %" PRIu64, v.samples,
			b->meta.samples);
	}
	if (b->meta.series != b->index.counts[DET_COUNT_SERIES]) {
		finding(&v, "meta.json and the index disagree about the number of series");
	}
	return v.findings == 0 ? 0 : -EBADMSG;
}
