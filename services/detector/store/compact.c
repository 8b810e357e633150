/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups of the same series in several blocks are one group of the new block. Their segments are
 * taken in time order, as many at a time as make COMPACT_ROWS rows, and written as one: column by
 * column, so only one column of these segments is in memory, besides the encoded result and the
 * index. Segments that overlap in time are merged row by row; where two have a sample of one column
 * for the same time, that of the block that was named first stays. What tombstones cover is left
 * out on the way.
 *
 * A series may be in several groups, and these may overlap as well (samples that came late). Which
 * of two samples for one time counts must not change by who is merged with whom, so such columns
 * are compared with what readers of the old blocks get, and only that is taken over.
 *
 * Longer segments are smaller by their headers only, and a reader of an hour decodes all rows of a
 * segment: hence COMPACT_ROWS and not more.
 */
#include <errno.h>
#include <string.h>

#include "common/base/map.h"
#include "services/detector/store/block_impl.h"
#include "services/detector/store/compact_histograms.h"

enum {
	COMPACT_ROWS = 1024
};

struct source {
	struct det_block *block;
	const struct det_tombstones *tombstones;
	uint32_t *refs; /* of each series in the writer */
	uint32_t *
		by_ref; /* the series of each of the writer's; UINT32_MAX: none; made when needed */
};

struct member { /* a group of one block */
	uint32_t source, ncolumns;
	struct det_group_entry entry;
	uint32_t *series;    /* of the block, per column; UINT32_MAX: nobody */
	uint32_t *refs;	     /* of the writer, per column */
	struct member *next; /* in the same merged group */
};

struct input { /* one segment of a chunk */
	const struct member *member;
	uint32_t number, order;
	int64_t first_ms, last_ms;
	struct det_segment segment;
	struct det_segment_cursor cursor;
	int64_t *times;
	uint32_t *to_row;
	bool damaged;
};

struct compaction {
	struct source *sources;
	size_t nsources;
	struct det_block_writer *writer;
	struct member **groups; /* merged: first member of each */
	size_t ngroups, groups_cap;
	struct ops_map *by_refs;
	struct input *inputs; /* of one merged group, in time order */
	size_t ninputs, inputs_cap;
	struct input *chunk; /* some of them */
	size_t nchunk;
	int64_t *times; /* rows of the chunk */
	uint32_t nrows;
	uint64_t done, total; /* segments */
	uint32_t nrefs;	      /* series of the writer */
	bool (*progress)(void *arg, double done);
	void *arg;
};

/* ---- series and groups ------------------------------------------------------------------------
 */

static int add_series(struct compaction *c, struct source *source)
{
	const struct det_block *b = source->block;
	uint32_t n = b->index.counts[DET_COUNT_SERIES];
	struct ops_label *labels = NULL;
	size_t cap = 0;
	int rc = 0;
	source->refs = ops_xcalloc((size_t)n + 1, sizeof(uint32_t));
	for (uint32_t i = 0; i < n && rc == 0; i++) {
		size_t nlabels = det_block_labels(b, i, labels, cap, NULL);
		if (nlabels > cap) {
			cap = nlabels * 2;
			labels = ops_xrealloc(labels, cap, sizeof(*labels));
			nlabels = det_block_labels(b, i, labels, cap, NULL);
		}
		rc = det_block_writer_series(c->writer, labels, nlabels, &source->refs[i]);
	}
	free(labels);
	return rc;
}

/* The groups of a block with the series of their columns. */
static struct member *make_members(const struct compaction *c, uint32_t at)
{
	const struct source *source = &c->sources[at];
	const struct det_block_index *ix = &source->block->index;
	uint32_t n = ix->counts[DET_COUNT_GROUPS];
	struct member *members = ops_xcalloc((size_t)n + 1, sizeof(*members));
	for (uint32_t i = 0; i < n; i++) {
		struct member *m = &members[i];
		m->source = at;
		if (!det_block_index_group(ix, i, &m->entry)) {
			continue;
		}
		m->ncolumns = m->entry.ncolumns;
		size_t bytes = ((size_t)m->ncolumns + 1) * sizeof(uint32_t);
		m->series = ops_xmalloc(bytes);
		m->refs = ops_xmalloc(bytes);
		memset(m->series, 0xff, bytes);
		memset(m->refs, 0xff, bytes);
	}
	for (uint32_t s = 0; s < ix->counts[DET_COUNT_SERIES]; s++) {
		struct det_series_entry e;
		uint32_t two[2];
		const uint8_t *p;
		if (!det_block_index_series(ix, s, &e)) {
			continue;
		}
		p = e.refs;
		for (uint32_t i = 0; i < e.nrefs && det_block_index_next(&p, e.end, two); i++) {
			members[two[0]].series[two[1]] = s;
			members[two[0]].refs[two[1]] = source->refs[s];
		}
	}
	return members;
}

static void add_member(struct compaction *c, struct member *m)
{
	size_t bytes = (size_t)m->ncolumns * sizeof(uint32_t);
	struct member *known = ops_map_get(c->by_refs, m->refs, bytes);
	if (known != NULL) {
		m->next = known->next;
		known->next = m;
		return;
	}
	OPS_GROW(c->groups, c->ngroups, c->groups_cap);
	c->groups[c->ngroups++] = m;
	ops_map_put(c->by_refs, m->refs, bytes, m);
}

/* ---- one chunk --------------------------------------------------------------------------------
 */

static bool covered(const struct det_tombstone *t, size_t n, int64_t time)
{
	for (size_t i = 0; i < n; i++) {
		if (time >= t[i].mint_ms && time <= t[i].maxt_ms) {
			return true;
		}
	}
	return false;
}

struct resolved { /* what readers of a block get of a series */
	const int64_t *times;
	const double *values;
	uint32_t n;
	uint8_t *keep; /* of n rows: those to take over */
	bool earlier;  /* the block comes before: what it has is not taken from another */
};

static void resolve_run(void *arg, const struct det_block_run *run)
{
	struct resolved *r = arg;
	uint32_t at = 0;
	for (size_t i = 0; i < run->n; i++) {
		int64_t t = run->blobs != NULL ? run->blobs[i].t : run->t[i];
		while (at < r->n && r->times[at] < t) {
			at++;
		}
		if (at < r->n && r->times[at] == t) {
			r->keep[at] = !r->earlier && run->blobs == NULL &&
				      ops_double_same(run->v[i], r->values[at]);
		}
	}
}

static uint32_t series_by_ref(const struct compaction *c, struct source *source, uint32_t ref)
{
	if (source->by_ref == NULL) {
		size_t bytes = ((size_t)c->nrefs + 1) * sizeof(uint32_t);
		source->by_ref = ops_xmalloc(bytes);
		memset(source->by_ref, 0xff, bytes);
		for (uint32_t i = 0; i < source->block->index.counts[DET_COUNT_SERIES]; i++) {
			source->by_ref[source->refs[i]] = i;
		}
	}
	return source->by_ref[ref];
}

static void resolve_by(const struct source *source, uint32_t series, struct resolved *r)
{
	struct det_segment_cursor cursor = {.columns = NULL};
	const int64_t range[2] = {r->times[0], r->times[r->n - 1]};
	if (series != UINT32_MAX) {
		det_block_read(source->block, series, range, &cursor, resolve_run, r);
	}
	det_segment_cursor_done(&cursor);
}

/* Whether a block named before in's has something in its time. */
static bool earlier_overlaps(const struct compaction *c, uint32_t earlier, const struct input *in)
{
	const struct det_block_meta *meta = &c->sources[earlier].block->meta;
	return meta->mint_ms <= in->last_ms && meta->maxt_ms > in->first_ms;
}

/* Rows of the column to take over; NULL: all that tombstones do not cover. */
static uint8_t *resolve(
	const struct compaction *c, const struct input *in, uint32_t column, const double *values)
{
	struct det_series_entry e;
	struct source *own = &c->sources[in->member->source];
	uint32_t series = in->member->series[column], ref = in->member->refs[column];
	bool shared = det_block_index_series(&own->block->index, series, &e) &&
		      (e.nrefs > 1 || e.nhistograms != 0);
	for (uint32_t i = 0; i < in->member->source && !shared; i++) {
		shared = earlier_overlaps(c, i, in) &&
			 series_by_ref(c, &c->sources[i], ref) != UINT32_MAX;
	}
	if (!shared) {
		return NULL;
	}
	struct resolved r = {.times = in->times,
		.values = values,
		.n = in->segment.nrows,
		.keep = ops_xcalloc(in->segment.nrows, 1)};
	resolve_by(own, series, &r);
	r.earlier = true;
	for (uint32_t i = 0; i < in->member->source; i++) {
		if (earlier_overlaps(c, i, in)) {
			resolve_by(&c->sources[i], series_by_ref(c, &c->sources[i], ref), &r);
		}
	}
	return r.keep;
}

/* Puts the samples of one segment where no earlier one has put any. */
static void add_column(
	const struct compaction *c, struct input *in, uint32_t column, double *values)
{
	const struct source *source = &c->sources[in->member->source];
	const struct det_tombstone *deleted;
	const double *from;
	uint32_t series = in->member->series[column];
	if (series == UINT32_MAX || in->damaged || det_segment_column_empty(&in->segment, column) ||
		det_segment_column(&in->segment, column, &in->cursor, &from) != 0) {
		return;
	}
	size_t ndeleted = det_tombstones_of(source->tombstones, series, &deleted);
	uint8_t *keep = resolve(c, in, column, from);
	for (uint32_t i = 0; i < in->segment.nrows; i++) {
		double *to = &values[in->to_row[i]];
		if (det_value_absent(*to) && (keep == NULL || keep[i] != 0) &&
			!covered(deleted, ndeleted, in->times[i])) {
			*to = from[i];
		}
	}
	free(keep);
}

static const double *chunk_column(void *arg, uint32_t column, double *scratch)
{
	struct compaction *c = arg;
	uint64_t absent = DET_ABSENT_PATTERN;
	for (uint32_t i = 0; i < c->nrows; i++) {
		memcpy(&scratch[i], &absent, sizeof(absent));
	}
	for (size_t i = 0; i < c->nchunk; i++) {
		add_column(c, &c->chunk[i], column, scratch);
	}
	return scratch;
}

static int compare_times(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static int compare_order(const void *a, const void *b)
{
	const struct input *x = a, *y = b;
	return (x->order > y->order) - (x->order < y->order);
}

static void open_input(const struct compaction *c, struct input *in)
{
	const struct det_block *b = c->sources[in->member->source].block;
	in->damaged = !det_block_segment(b, in->number, &in->segment);
	if (in->damaged) {
		return;
	}
	in->times = ops_xcalloc(in->segment.nrows, sizeof(int64_t));
	in->to_row = ops_xcalloc(in->segment.nrows, sizeof(uint32_t));
	in->damaged = det_segment_times(&in->segment, in->times) != 0 ||
		      in->segment.ncolumns != in->member->ncolumns;
}

static void close_input(struct input *in)
{
	det_segment_cursor_done(&in->cursor);
	free(in->times);
	free(in->to_row);
}

/* All times of the chunk, each once, and the row of each segment's rows. */
static void merge_times(struct compaction *c)
{
	size_t n = 0, kept = 0;
	for (size_t i = 0; i < c->nchunk; i++) {
		n += c->chunk[i].damaged ? 0 : c->chunk[i].segment.nrows;
	}
	c->times = ops_xcalloc(n + 1, sizeof(int64_t));
	n = 0;
	for (size_t i = 0; i < c->nchunk; i++) {
		const struct input *in = &c->chunk[i];
		if (!in->damaged) {
			memcpy(c->times + n, in->times, in->segment.nrows * sizeof(int64_t));
			n += in->segment.nrows;
		}
	}
	qsort(c->times, n, sizeof(int64_t), compare_times);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || c->times[kept - 1] != c->times[i]) {
			c->times[kept++] = c->times[i];
		}
	}
	c->nrows = (uint32_t)kept;
	for (size_t i = 0; i < c->nchunk; i++) {
		struct input *in = &c->chunk[i];
		for (uint32_t r = 0, at = 0; !in->damaged && r < in->segment.nrows; r++) {
			while (c->times[at] != in->times[r]) {
				at++;
			}
			in->to_row[r] = at;
		}
	}
}

static int write_chunk(struct compaction *c, struct input *chunk, size_t n)
{
	const struct member *m = chunk[0].member;
	int rc = 0;
	c->chunk = chunk;
	c->nchunk = n;
	qsort(chunk, n, sizeof(*chunk), compare_order);
	for (size_t i = 0; i < n; i++) {
		open_input(c, &chunk[i]);
	}
	merge_times(c);
	if (c->nrows != 0) {
		const struct det_rows rows = {.group = m->entry.group,
			.times_ms = c->times,
			.nrows = c->nrows,
			.ncolumns = m->ncolumns,
			.column = chunk_column,
			.arg = c};
		rc = det_block_writer_add(c->writer, &rows, m->refs);
	}
	free(c->times);
	for (size_t i = 0; i < n; i++) {
		close_input(&chunk[i]);
	}
	c->done += n;
	if (rc == 0 && c->progress != NULL &&
		!c->progress(c->arg, (double)c->done / (double)c->total)) {
		rc = -ECANCELED;
	}
	return rc;
}

/* ---- one merged group -------------------------------------------------------------------------
 */

static int compare_inputs(const void *a, const void *b)
{
	const struct input *x = a, *y = b;
	if (x->first_ms != y->first_ms) {
		return x->first_ms < y->first_ms ? -1 : 1;
	}
	return compare_order(a, b);
}

static void collect_inputs(struct compaction *c, const struct member *first)
{
	c->ninputs = 0;
	for (const struct member *m = first; m != NULL; m = m->next) {
		const struct det_block_index *ix = &c->sources[m->source].block->index;
		for (uint32_t i = 0; i < m->entry.nsegments; i++) {
			uint32_t number = m->entry.first_segment + i;
			struct det_piece piece =
				det_block_index_piece(ix, DET_SECTION_SEGMENTS, number);
			OPS_GROW(c->inputs, c->ninputs, c->inputs_cap);
			c->inputs[c->ninputs++] = (struct input){.member = m,
				.number = number,
				.order = m->source,
				.first_ms = piece.first_ms,
				.last_ms = piece.last_ms};
		}
	}
	qsort(c->inputs, c->ninputs, sizeof(*c->inputs), compare_inputs);
}

static uint32_t input_rows(const struct compaction *c, const struct input *in)
{
	const struct det_block_index *ix = &c->sources[in->member->source].block->index;
	return det_block_index_piece(ix, DET_SECTION_SEGMENTS, in->number).rows;
}

static int compact_group(struct compaction *c, const struct member *first)
{
	int rc = 0;
	collect_inputs(c, first);
	for (size_t i = 0, end; i < c->ninputs && rc == 0; i = end) {
		uint32_t rows = 0;
		int64_t last_ms = INT64_MIN;
		for (end = i; end < c->ninputs; end++) {
			const struct input *in = &c->inputs[end];
			uint32_t more = input_rows(c, in);
			bool overlaps = in->first_ms <= last_ms;
			/* What overlaps goes together as far as a segment may reach. */
			uint32_t limit = overlaps ? DET_SEGMENT_MAX_ROWS : COMPACT_ROWS;
			if (end > i && rows + more > limit) {
				break;
			}
			rows += more;
			last_ms = OPS_MAX(last_ms, in->last_ms);
		}
		rc = write_chunk(c, c->inputs + i, end - i);
	}
	return rc;
}

/* ---- all --------------------------------------------------------------------------------------
 */

static void free_members(struct member *members, uint32_t n)
{
	for (uint32_t i = 0; members != NULL && i < n; i++) {
		free(members[i].series);
		free(members[i].refs);
	}
	free(members);
}

static int merge_histograms(const struct compaction *c)
{
	struct det_histogram_source *list = ops_xcalloc(c->nsources, sizeof(*list));
	for (size_t i = 0; i < c->nsources; i++) {
		list[i] = (struct det_histogram_source){c->sources[i].block, c->sources[i].refs};
	}
	int rc = det_compact_histograms(c->writer, list, c->nsources);
	free(list);
	return rc;
}

static int compact_all(struct compaction *c)
{
	struct member **members = ops_xcalloc(c->nsources, sizeof(*members));
	int rc = 0;
	for (size_t i = 0; i < c->nsources && rc == 0; i++) {
		rc = add_series(c, &c->sources[i]);
	}
	for (uint32_t i = 0; i < c->nsources && rc == 0; i++) {
		const struct det_block_index *ix = &c->sources[i].block->index;
		members[i] = make_members(c, i);
		for (uint32_t g = 0; g < ix->counts[DET_COUNT_GROUPS]; g++) {
			add_member(c, &members[i][g]);
		}
		c->total += ix->counts[DET_COUNT_SEGMENTS];
		c->nrefs += ix->counts[DET_COUNT_SERIES]; /* at most */
	}
	for (size_t i = 0; i < c->ngroups && rc == 0; i++) {
		rc = compact_group(c, c->groups[i]);
	}
	for (size_t i = 0; i < c->nsources; i++) {
		free_members(members[i], c->sources[i].block->index.counts[DET_COUNT_GROUPS]);
	}
	free(members);
	return rc != 0 ? rc : merge_histograms(c);
}

static void compaction_done(struct compaction *c)
{
	for (size_t i = 0; i < c->nsources; i++) {
		free(c->sources[i].refs);
		free(c->sources[i].by_ref);
	}
	free(c->sources);
	free(c->groups);
	free(c->inputs);
	ops_map_free(c->by_refs, NULL);
}

static unsigned next_level(struct det_block *const *blocks, size_t n)
{
	unsigned level = 0;
	for (size_t i = 0; i < n; i++) {
		level = OPS_MAX(level, blocks[i]->meta.level);
	}
	return level + (n > 1);
}

int det_blocks_compact(const char *blocks_dir, struct det_block *const *blocks, size_t n,
	bool (*progress)(void *arg, double done), void *arg, struct det_block_meta *ret_meta,
	struct ops_error *err)
{
	struct compaction c = {.nsources = n, .progress = progress, .arg = arg};
	int rc = det_block_writer_new(blocks_dir, next_level(blocks, n), &c.writer, err);
	if (rc != 0) {
		return rc;
	}
	c.sources = ops_xcalloc(n + 1, sizeof(*c.sources));
	c.by_refs = ops_map_new();
	for (size_t i = 0; i < n; i++) {
		c.sources[i].block = blocks[i];
		c.sources[i].tombstones = __atomic_load_n(&blocks[i]->tombstones, __ATOMIC_ACQUIRE);
		det_block_writer_parent(c.writer, blocks[i]->meta.ulid);
	}
	rc = compact_all(&c);
	compaction_done(&c);
	if (rc != 0) {
		det_block_writer_cancel(c.writer);
		return ops_error_set(err, rc, "could not compact: %s", strerror(-rc));
	}
	if (det_block_writer_samples(c.writer) == 0) {
		det_block_writer_cancel(c.writer);
		return 1;
	}
	return det_block_writer_finish(c.writer, ret_meta, err);
}
