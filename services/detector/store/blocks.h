/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Blocks on disk: immutable, checksummed, mapped; docs/store.md. A block is written whole under a
 * temporary name and renamed; whatever has a temporary name at start is removed. Opening checks
 * meta.json and the index (CRC32C over all of it); each segment is checked when it is first read,
 * and one that fails is reported, counted and left out. Symbols are sorted; series are numbered in
 * label order; postings are CRoaring bitmaps of these numbers. Readers on any thread; a block is
 * kept by references and its files removed when the last is gone.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/model/labels.h"
#include "common/model/matcher.h"
#include "services/detector/store/segment.h"

struct det_block;	 /* opaque, reference-counted */
struct det_block_writer; /* opaque */

struct det_block_meta {
	char ulid[27];
	int64_t mint_ms, maxt_ms; /* [mint, maxt) as in Prometheus */
	uint64_t samples, series, segments, bytes;
	unsigned level;		    /* 1: cut from the head; more: compacted */
	const char *const *parents; /* ULIDs it was made of; in the block's memory */
	size_t nparents;
};

/* Order of calls: series (any order), then segments, then finish or cancel. Background thread. */
int det_block_writer_new(const char *blocks_dir, unsigned level, struct det_block_writer **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* ret_ref names the series in det_block_writer_add; the same label set twice gives the same ref. */
int det_block_writer_series(struct det_block_writer *w, const struct ops_label *labels,
	size_t nlabels, uint32_t *ret_ref) OPS_MUST_CHECK;
/* refs[column]: whose samples the column holds; UINT32_MAX: nobody's. Encodes and appends. */
int det_block_writer_add(struct det_block_writer *w, const struct det_rows *rows,
	const uint32_t *refs) OPS_MUST_CHECK;
/* Histogram samples of one series: ascending, encoded by ops_histogram_encode(). */
struct det_blob {
	int64_t t;
	const void *data;
	size_t len;
};
int det_block_writer_histograms(struct det_block_writer *w, uint32_t ref,
	const struct det_blob *blobs, size_t n) OPS_MUST_CHECK;
uint64_t det_block_writer_samples(const struct det_block_writer *w); /* added so far */
void det_block_writer_parent(struct det_block_writer *w, const char *ulid);
/* fsync of files and directory, rename. On error the temporary directory is removed. Frees w. */
int det_block_writer_finish(struct det_block_writer *w, struct det_block_meta *ret_meta,
	struct ops_error *err) OPS_MUST_CHECK;
void det_block_writer_cancel(struct det_block_writer *w);

int det_block_open(const char *dir, struct det_block **ret, struct ops_error *err) OPS_MUST_CHECK;
struct det_block *det_block_ref(struct det_block *b);
void det_block_unref(struct det_block *b);
const struct det_block_meta *det_block_meta(const struct det_block *b);
const char *det_block_dir(const struct det_block *b);
/* Its files go with the last reference. */
void det_block_remove(struct det_block *b);
/* Damaged blocks and segments seen since the process began; for a metric. Any thread. */
uint64_t det_block_corruptions(void);

/* Ascending series numbers that match, in the arena. */
struct det_block_list {
	const uint32_t *series;
	size_t n;
};
void det_block_select(const struct det_block *b, const struct ops_matchers *matchers,
	struct ops_arena *arena, struct det_block_list *ret);
/* The labels of a series: NUL-terminated texts in the mapping. Hash as struct ops_labels has it;
 * ret_hash may be NULL. Returns the number of labels, at most cap are written. */
size_t det_block_labels(const struct det_block *b, uint32_t series, struct ops_label *ret,
	size_t cap, uint64_t *ret_hash);

bool det_block_has_histograms(const struct det_block *b, uint32_t series);

/* Samples of the series in [mint, maxt] without deleted ones: appended through fn in time order,
 * one call per run. A segment or blob that fails its check is left out and counted. */
struct det_block_run {
	const int64_t *t;
	const double *v; /* NULL: histograms */
	const struct det_blob *blobs;
	size_t n;
};
void det_block_read(const struct det_block *b, uint32_t series, const int64_t range_ms[2],
	struct det_segment_cursor *cursor, void (*fn)(void *arg, const struct det_block_run *run),
	void *arg);

/* Distinct names / values of a name, sorted; texts in the mapping. */
size_t det_block_names(const struct det_block *b, struct ops_arena *arena, const char *const **ret);
size_t det_block_values(const struct det_block *b, const char *name, struct ops_arena *arena,
	const char *const **ret);

/* How many series have each pair of name and value, by name and value; texts in the mapping. */
void det_block_each_pair(const struct det_block *b,
	void (*fn)(void *arg, const char *name, const char *value, uint64_t series), void *arg);
size_t det_block_index_bytes(const struct det_block *b);
size_t det_block_tombstone_count(const struct det_block *b);

/* Marks samples in [mint, maxt] of the matching series as deleted: durable when it returns. */
int det_block_delete(struct det_block *b, const struct ops_matchers *matchers,
	const int64_t range_ms[2], uint64_t *ret_series, struct ops_error *err) OPS_MUST_CHECK;
bool det_block_has_tombstones(const struct det_block *b);
/* Reads everything and checks it: opsctl tsdb verify. fn is told of each finding. */
int det_block_verify(
	const struct det_block *b, void (*fn)(void *arg, const char *finding), void *arg);

/* One new block from several that do not overlap in time or do (same time twice: the first wins),
 * without deleted samples. progress (0..1) may be NULL; -ECANCELED when it returns false. 1: no
 * sample is left, so there is no new block. The sources stay: det_block_remove them. */
int det_blocks_compact(const char *blocks_dir, struct det_block *const *blocks, size_t n,
	bool (*progress)(void *arg, double done), void *arg, struct det_block_meta *ret_meta,
	struct ops_error *err) OPS_MUST_CHECK;
/* Which blocks to compact next by Prometheus' leveled ranges (2 h, 10 h, 50 h ... at most a tenth
 * of the retention); 0 when nothing is due. Indices into metas, sorted by mint. */
size_t det_blocks_plan(
	const struct det_block_meta *metas, size_t n, int64_t retention_ms, size_t *ret);
/*
 * Opens all blocks of the folder, by mint. clean: first removes what was not finished, then blocks
 * that another one was made of. What cannot be opened is told to fn (may be NULL) and left out.
 * -errno when the folder cannot be read. Release with det_block_unref and free.
 */
int det_blocks_load(const char *blocks_dir, bool clean, struct det_block ***ret, size_t *ret_n,
	void (*fn)(void *arg, const char *finding), void *arg) OPS_MUST_CHECK;
