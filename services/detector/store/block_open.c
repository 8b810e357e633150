/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block is two mappings and a handful of words: opening costs one CRC over the index. Segments
 * are checked when they are first decoded, for reading all of a large block at start would take
 * longer than the start may; the outcome is kept in a byte each.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/hash.h"
#include "services/detector/store/block_impl.h"

#define META_LIMIT ((size_t)1 << 20)

enum check {
	UNKNOWN,
	GOOD,
	BAD
};

static uint64_t corruptions; /* atomic */

uint64_t det_block_corruptions(void)
{
	return __atomic_load_n(&corruptions, __ATOMIC_RELAXED);
}

static int map_file(const char *path, const uint8_t **ret, size_t *ret_size)
{
	OPS_CLEANUP(ops_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0) {
		return -errno;
	}
	if (st.st_size == 0) {
		return -EBADMSG;
	}
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		return -errno;
	}
	*ret = map;
	*ret_size = (size_t)st.st_size;
	return 0;
}

static void unmap(const uint8_t *data, size_t size)
{
	if (data != NULL) {
		munmap((void *)(uintptr_t)data, size);
	}
}

static const char *reason(int rc)
{
	return rc == -EBADMSG ? "it is damaged: what it holds is not what was written"
			      : strerror(-rc);
}

static int open_meta(struct det_block *b, struct ops_error *err)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(b->dir, "meta.json");
	int rc = ops_file_read(path, META_LIMIT, &text);
	if (rc != 0) {
		ops_error_set(err, rc, "could not read %s: %s", path, reason(rc));
	} else {
		rc = det_block_meta_parse(text.data, text.len, &b->arena, &b->meta, err);
		if (rc != 0) {
			ops_error_prefix(err, "%s", path);
		}
	}
	ops_strbuf_done(&text);
	return rc;
}

static int open_index(struct det_block *b, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(b->dir, "index");
	const uint8_t *data = NULL;
	size_t size = 0;
	int rc = map_file(path, &data, &size);
	if (rc == 0) {
		rc = det_block_index_open(data, size, true, &b->index);
		if (rc != 0) {
			unmap(data, size);
		}
	}
	return rc == 0 ? 0 : ops_error_set(err, rc, "could not read %s: %s", path, reason(rc));
}

static int open_segments(struct det_block *b, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(b->dir, "segments");
	int rc = map_file(path, &b->segments, &b->segments_bytes);
	if (rc == 0 && (b->segments_bytes + b->index.size != b->meta.bytes ||
			       memcmp(b->segments, DET_BLOCK_SEGMENTS_MAGIC, 8) != 0)) {
		rc = -EBADMSG;
	}
	return rc == 0 ? 0 : ops_error_set(err, rc, "could not read %s: %s", path, reason(rc));
}

static int open_tombstones(struct det_block *b, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(b->dir, "tombstones");
	int rc = det_tombstones_read(path, b->index.counts[DET_COUNT_SERIES], &b->tombstones);
	return rc == 0 ? 0 : ops_error_set(err, rc, "could not read %s: %s", path, reason(rc));
}

static void block_free(struct det_block *b)
{
	unmap(b->index.data, b->index.size);
	unmap(b->segments, b->segments_bytes);
	det_tombstones_free(b->tombstones);
	pthread_mutex_destroy(&b->deleting);
	ops_arena_done(&b->arena);
	free(b->checked);
	free(b->dir);
	free(b);
}

int det_block_open(const char *dir, struct det_block **ret, struct ops_error *err)
{
	struct det_block *b = ops_xcalloc(1, sizeof(*b));
	b->refs = 1;
	b->dir = ops_xstrdup(dir);
	ops_arena_init(&b->arena);
	pthread_mutex_init(&b->deleting, NULL);
	int rc = open_meta(b, err);
	rc = rc != 0 ? rc : open_index(b, err);
	rc = rc != 0 ? rc : open_segments(b, err);
	rc = rc != 0 ? rc : open_tombstones(b, err);
	if (rc != 0) {
		__atomic_fetch_add(&corruptions, rc == -EBADMSG, __ATOMIC_RELAXED);
		block_free(b);
		return rc;
	}
	b->checked = ops_xcalloc((size_t)b->index.counts[DET_COUNT_SEGMENTS] +
					 b->index.counts[DET_COUNT_HISTOGRAMS] + 1,
		1);
	*ret = b;
	return 0;
}

struct det_block *det_block_ref(struct det_block *b)
{
	__atomic_fetch_add(&b->refs, 1, __ATOMIC_RELAXED);
	return b;
}

/* Renamed first: a crash in between leaves a .tmp, not half a block. */
static void remove_files(const struct det_block *b)
{
	OPS_CLEANUP(ops_freep) char *tmp = ops_xasprintf("%s%s", b->dir, DET_BLOCK_TMP);
	if (rename(b->dir, tmp) == 0) {
		(void)!det_block_remove_dir(tmp); /* what stays is removed at the next start */
	}
}

void det_block_unref(struct det_block *b)
{
	if (b == NULL || __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) != 0) {
		return;
	}
	if (__atomic_load_n(&b->remove, __ATOMIC_RELAXED) != 0) {
		remove_files(b);
	}
	block_free(b);
}

void det_block_remove(struct det_block *b)
{
	__atomic_store_n(&b->remove, 1, __ATOMIC_RELAXED);
}

const struct det_block_meta *det_block_meta(const struct det_block *b)
{
	return &b->meta;
}

const char *det_block_dir(const struct det_block *b)
{
	return b->dir;
}

/* Remembers what a check said; a new finding is counted once. */
static bool note(const struct det_block *b, size_t at, bool good)
{
	uint8_t unknown = UNKNOWN;
	bool first = __atomic_compare_exchange_n(&b->checked[at], &unknown, good ? GOOD : BAD,
		false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	if (first && !good) {
		__atomic_fetch_add(&corruptions, 1, __ATOMIC_RELAXED);
	}
	return good;
}

static bool piece_inside(const struct det_block *b, const struct det_piece *piece)
{
	return piece->start <= b->segments_bytes &&
	       piece->bytes <= b->segments_bytes - piece->start;
}

bool det_block_segment(const struct det_block *b, uint32_t at, struct det_segment *ret)
{
	struct det_piece piece = det_block_index_piece(&b->index, DET_SECTION_SEGMENTS, at);
	uint8_t state = __atomic_load_n(&b->checked[at], __ATOMIC_RELAXED);
	if (state == BAD) {
		return false;
	}
	bool good = piece_inside(b, &piece) &&
		    det_segment_open(
			    b->segments + piece.start, piece.bytes, state == UNKNOWN, ret) == 0 &&
		    ret->total_bytes == piece.bytes && ret->nrows == piece.rows &&
		    ret->first_ms == piece.first_ms && ret->last_ms == piece.last_ms;
	return state == GOOD && good ? true : note(b, at, good);
}

static bool read_blobs(const uint8_t *p, const struct det_piece *piece, struct det_blobs_view *v)
{
	if (piece->bytes < DET_BLOBS_HEADER_BYTES || ops_get_u32(p) != piece->bytes - 4 ||
		ops_get_u32(p + 12) != piece->rows || piece->rows == 0 ||
		piece->rows > DET_BLOBS_MAX) {
		return false;
	}
	size_t left = piece->bytes - DET_BLOBS_HEADER_BYTES;
	v->n = piece->rows;
	v->times_bytes = ops_get_u32(p + 16);
	v->times = p + DET_BLOBS_HEADER_BYTES;
	if (v->times_bytes > left || (size_t)v->n * 4 > left - v->times_bytes) {
		return false;
	}
	v->ends = v->times + v->times_bytes;
	v->blobs = v->ends + (size_t)v->n * 4;
	v->blobs_bytes = left - v->times_bytes - (size_t)v->n * 4;
	for (uint32_t i = 0, before = 0; i < v->n; i++) {
		uint32_t end = ops_get_u32(v->ends + (size_t)i * 4);
		if (end < before || end > v->blobs_bytes) {
			return false;
		}
		before = end;
	}
	return true;
}

bool det_block_blobs(const struct det_block *b, uint32_t at, struct det_blobs_view *ret)
{
	struct det_piece piece = det_block_index_piece(&b->index, DET_SECTION_HISTOGRAMS, at);
	size_t slot = (size_t)b->index.counts[DET_COUNT_SEGMENTS] + at;
	uint8_t state = __atomic_load_n(&b->checked[slot], __ATOMIC_RELAXED);
	const uint8_t *p = b->segments + piece.start;
	if (state == BAD) {
		return false;
	}
	bool good = piece_inside(b, &piece) && read_blobs(p, &piece, ret) &&
		    (state == GOOD || ops_get_u32(p + 4) == ops_crc32c(0, p + 8, piece.bytes - 8));
	return state == GOOD && good ? true : note(b, slot, good);
}
