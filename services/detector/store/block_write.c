/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block grows under <ULID>.tmp: segments are written as they come, the index is kept in memory
 * and written at the end. Files first, then the directory, then the rename, then the directory
 * above: after a crash there is the whole block or a .tmp that is removed at the next start.
 *
 * The first error of a write is kept and ends it all: a full disk leaves nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "services/detector/store/block_format.h"
#include "services/detector/store/codec.h"
#include "services/detector/store/index_write.h"
#include "services/detector/store/ulid.h"

#define BUFFER_BYTES ((size_t)1 << 20)

struct det_block_writer {
	char *blocks_dir, *tmp_dir, *dir;
	int fd; /* segments */
	int error;
	uint64_t at; /* next byte of segments */
	struct ops_strbuf buffer;
	struct det_index_writer index;
	struct det_block_meta meta;
	const char **parents;
	size_t parents_cap;
	struct counting { /* one segment on its way */
		const struct det_rows *rows;
		const uint32_t *refs;
		uint64_t *counts; /* samples per column */
	} counting;
};

int det_block_remove_dir(const char *dir)
{
	static const char *const files[] = {
		"meta.json", "meta.json.tmp", "index", "segments", "tombstones", "tombstones.tmp"};
	for (size_t i = 0; i < OPS_LENGTH(files); i++) {
		OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, files[i]);
		if (unlink(path) != 0 && errno != ENOENT) {
			return -errno;
		}
	}
	return rmdir(dir) != 0 ? -errno : 0;
}

static void writer_free(struct det_block_writer *w)
{
	ops_closep(&w->fd);
	det_index_writer_done(&w->index);
	ops_strbuf_done(&w->buffer);
	free(w->parents);
	free(w->blocks_dir);
	free(w->tmp_dir);
	free(w->dir);
	free(w);
}

void det_block_writer_cancel(struct det_block_writer *w)
{
	if (w == NULL) {
		return;
	}
	(void)!det_block_remove_dir(w->tmp_dir); /* what stays is removed at the next start */
	writer_free(w);
}

static int open_segments(struct det_block_writer *w)
{
	if (mkdir(w->tmp_dir, 0750) != 0) {
		return -errno;
	}
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(w->tmp_dir, "segments");
	w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	return w->fd < 0 ? -errno : 0;
}

int det_block_writer_new(const char *blocks_dir, unsigned level, struct det_block_writer **ret,
	struct ops_error *err)
{
	struct det_block_writer *w = ops_xcalloc(1, sizeof(*w));
	w->fd = -1;
	w->meta.level = level;
	w->meta.mint_ms = INT64_MAX;
	w->meta.maxt_ms = INT64_MIN;
	det_ulid_new(w->meta.ulid);
	w->blocks_dir = ops_xstrdup(blocks_dir);
	w->dir = ops_path_join(blocks_dir, w->meta.ulid);
	w->tmp_dir = ops_xasprintf("%s%s", w->dir, DET_BLOCK_TMP);
	det_index_writer_init(&w->index);
	int rc = open_segments(w);
	if (rc != 0) {
		rc = ops_error_set(
			err, rc, "could not make block %s: %s", w->tmp_dir, strerror(-rc));
		det_block_writer_cancel(w);
		return rc;
	}
	ops_strbuf_add(&w->buffer, DET_BLOCK_SEGMENTS_MAGIC, 8);
	w->at = 8;
	*ret = w;
	return 0;
}

int det_block_writer_series(struct det_block_writer *w, const struct ops_label *labels,
	size_t nlabels, uint32_t *ret_ref)
{
	if (w->index.nseries == UINT32_MAX - 1) {
		return -E2BIG;
	}
	*ret_ref = det_index_writer_series(&w->index, labels, nlabels);
	return 0;
}

static int flush(struct det_block_writer *w)
{
	if (w->error == 0) {
		w->error = ops_write_all(w->fd, w->buffer.data, w->buffer.len);
	}
	ops_strbuf_reset(&w->buffer);
	return w->error;
}

static void saw_times(struct det_block_writer *w, int64_t first_ms, int64_t last_ms)
{
	w->meta.mint_ms = OPS_MIN(w->meta.mint_ms, first_ms);
	w->meta.maxt_ms = OPS_MAX(w->meta.maxt_ms, last_ms + 1);
}

static const double *counted_column(void *arg, uint32_t column, double *scratch)
{
	struct counting *c = arg;
	uint64_t absent = DET_ABSENT_PATTERN, count = 0;
	if (c->refs[column] == UINT32_MAX) {
		for (uint32_t i = 0; i < c->rows->nrows; i++) {
			memcpy(&scratch[i], &absent, sizeof(absent));
		}
		return scratch;
	}
	const double *values = c->rows->column(c->rows->arg, column, scratch);
	for (uint32_t i = 0; i < c->rows->nrows; i++) {
		count += !det_value_absent(values[i]);
	}
	c->counts[column] = count;
	return values;
}

/* Books what was encoded; 0 samples: nothing. */
static uint64_t book_samples(
	struct det_block_writer *w, const struct det_rows *rows, const uint32_t *refs)
{
	uint64_t total = 0;
	for (uint32_t c = 0; c < rows->ncolumns; c++) {
		total += w->counting.counts[c];
	}
	if (total == 0) {
		return 0;
	}
	uint32_t group = det_index_writer_group(&w->index, rows->group, refs, rows->ncolumns);
	for (uint32_t c = 0; c < rows->ncolumns; c++) {
		if (w->counting.counts[c] != 0) {
			w->index.groups[group].used[c] = 1;
			w->index.series[refs[c]].samples += w->counting.counts[c];
		}
	}
	return total;
}

int det_block_writer_add(
	struct det_block_writer *w, const struct det_rows *rows, const uint32_t *refs)
{
	size_t from = w->buffer.len;
	uint64_t *counts = ops_xcalloc((size_t)rows->ncolumns + 1, sizeof(uint64_t));
	w->counting = (struct counting){.rows = rows, .refs = refs, .counts = counts};
	struct det_rows counted = *rows;
	counted.column = counted_column;
	counted.arg = &w->counting;
	int rc = det_segment_encode(&counted, &w->buffer);
	uint64_t samples = rc == 0 ? book_samples(w, rows, refs) : 0;
	free(counts);
	if (samples == 0) {
		w->buffer.len = from;
		return rc;
	}
	const struct det_piece piece = {.start = w->at,
		.bytes = (uint32_t)(w->buffer.len - from),
		.rows = rows->nrows,
		.first_ms = rows->times_ms[0],
		.last_ms = rows->times_ms[rows->nrows - 1]};
	det_index_writer_piece(&w->index, w->index.last_group, &piece);
	saw_times(w, piece.first_ms, piece.last_ms);
	w->at += piece.bytes;
	w->meta.samples += samples;
	w->meta.segments++;
	return w->buffer.len >= BUFFER_BYTES ? flush(w) : w->error;
}

/* Header with room for the frame, times, ends, blobs. */
static void print_blobs(
	struct ops_strbuf *out, uint32_t ref, const struct det_blob *blobs, size_t n)
{
	uint8_t head[DET_BLOBS_HEADER_BYTES] = {0};
	size_t from = out->len;
	int64_t *memory = ops_xcalloc(n * 4, sizeof(int64_t));
	const struct det_codec_scratch scratch = {
		.work = {memory + n, memory + 2 * n, memory + 3 * n}};
	for (size_t i = 0; i < n; i++) {
		memory[i] = blobs[i].t;
	}
	ops_strbuf_add(out, head, sizeof(head));
	ops_strbuf_reserve(out, DET_CODEC_MAX_BYTES(n));
	uint8_t *start = (uint8_t *)out->data + out->len;
	size_t times = (size_t)(det_codec_encode_ints(memory, n, &scratch, start) - start);
	out->len += times;
	free(memory);
	uint32_t end = 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t word[4];
		end += (uint32_t)blobs[i].len;
		ops_put_u32(word, end);
		ops_strbuf_add(out, word, sizeof(word));
	}
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_add(out, blobs[i].data, blobs[i].len);
	}
	char *frame = out->data + from;
	ops_put_u32(frame + 8, ref);
	ops_put_u32(frame + 12, (uint32_t)n);
	ops_put_u32(frame + 16, (uint32_t)times);
	ops_put_u32(frame, (uint32_t)(out->len - from - 4));
	ops_put_u32(frame + 4, ops_crc32c(0, frame + 8, out->len - from - 8));
}

/* One piece; its blobs have less than 1 GiB together. */
static void add_blobs(
	struct det_block_writer *w, uint32_t ref, const struct det_blob *blobs, size_t n)
{
	size_t from = w->buffer.len;
	print_blobs(&w->buffer, ref, blobs, n);
	const struct det_piece piece = {.start = w->at,
		.bytes = (uint32_t)(w->buffer.len - from),
		.rows = (uint32_t)n,
		.first_ms = blobs[0].t,
		.last_ms = blobs[n - 1].t};
	det_index_writer_histograms(&w->index, ref, &piece);
	saw_times(w, piece.first_ms, piece.last_ms);
	w->at += piece.bytes;
	w->meta.samples += n;
	w->index.series[ref].samples += n;
}

int det_block_writer_histograms(
	struct det_block_writer *w, uint32_t ref, const struct det_blob *blobs, size_t n)
{
	const size_t limit = (size_t)1 << 30;
	for (size_t i = 0, end; i < n; i = end) {
		size_t bytes = 0;
		for (end = i; end < n && end - i < DET_BLOBS_MAX; end++) {
			if (blobs[end].len > limit) {
				return -E2BIG;
			}
			if (bytes + blobs[end].len > limit) {
				break;
			}
			bytes += blobs[end].len;
		}
		add_blobs(w, ref, blobs + i, end - i);
		if (w->buffer.len >= BUFFER_BYTES && flush(w) != 0) {
			break;
		}
	}
	return w->error;
}

uint64_t det_block_writer_samples(const struct det_block_writer *w)
{
	return w->meta.samples;
}

void det_block_writer_parent(struct det_block_writer *w, const char *ulid)
{
	OPS_GROW(w->parents, w->meta.nparents, w->parents_cap);
	w->parents[w->meta.nparents++] = ops_arena_strdup(&w->index.arena, ulid);
}

static int write_file(const char *dir, const char *name, const struct ops_strbuf *data)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, name);
	OPS_CLEANUP(ops_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0) {
		return -errno;
	}
	int rc = ops_write_all(fd, data->data, data->len);
	return rc == 0 && fsync(fd) != 0 ? -errno : rc;
}

static int write_rest(struct det_block_writer *w)
{
	struct ops_strbuf index = OPS_STRBUF_INIT, meta = OPS_STRBUF_INIT;
	int rc = flush(w);
	if (rc == 0 && fsync(w->fd) != 0) {
		rc = -errno;
	}
	rc = rc != 0 ? rc : det_index_writer_print(&w->index, &index, &w->meta.series);
	rc = rc != 0 ? rc : write_file(w->tmp_dir, "index", &index);
	if (rc == 0) {
		w->meta.bytes = w->at + index.len;
		w->meta.parents = w->parents;
		det_block_meta_print(&w->meta, &meta);
		rc = write_file(w->tmp_dir, "meta.json", &meta);
	}
	ops_strbuf_done(&index);
	ops_strbuf_done(&meta);
	return rc != 0 ? rc : ops_dir_sync(w->tmp_dir);
}

int det_block_writer_finish(
	struct det_block_writer *w, struct det_block_meta *ret_meta, struct ops_error *err)
{
	if (w->meta.samples == 0) { /* an empty block is none */
		w->meta.mint_ms = w->meta.maxt_ms = 0;
	}
	int rc = write_rest(w);
	if (rc == 0 && rename(w->tmp_dir, w->dir) != 0) {
		rc = -errno;
	}
	rc = rc != 0 ? rc : ops_dir_sync(w->blocks_dir);
	if (rc != 0) {
		rc = ops_error_set(err, rc, "could not write block %s: %s", w->dir, strerror(-rc));
		(void)!det_block_remove_dir(w->dir);
		det_block_writer_cancel(w);
		return rc;
	}
	*ret_meta = w->meta;
	ret_meta->parents = NULL;
	ret_meta->nparents = 0;
	writer_free(w);
	return 0;
}
