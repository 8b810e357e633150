/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* An open block inside: only the files block_*.c include this. */
#include <pthread.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "services/detector/store/block_format.h"
#include "services/detector/store/blocks.h"
#include "services/detector/store/tombstones.h"

struct det_block_index { /* a view into checked bytes */
	const uint8_t *data;
	size_t size;
	uint32_t counts[DET_COUNTS];
	const uint8_t *starts[DET_SECTIONS];
	size_t sizes[DET_SECTIONS]; /* up to the next section */
};

struct det_block {
	unsigned refs;	 /* atomic */
	unsigned remove; /* atomic: files go with the last reference */
	char *dir;
	struct ops_arena arena; /* meta's texts */
	struct det_block_meta meta;
	struct det_block_index index;
	const uint8_t *segments;
	size_t segments_bytes;
	uint8_t *checked; /* per segment, then per histogram piece; atomic; enum check */
	pthread_mutex_t deleting;
	struct det_tombstones *tombstones; /* atomic; NULL: none */
};

/* Bounds and order of everything that readers rely on; the CRC when check is set. -EBADMSG. */
int det_block_index_open(
	const uint8_t *data, size_t size, bool check, struct det_block_index *ret) OPS_MUST_CHECK;
const char *det_block_index_symbol(
	const struct det_block_index *ix, uint32_t number, uint32_t *ret_len);
/* The number of a text; false: there is none. */
bool det_block_index_find(const struct det_block_index *ix, const char *text, uint32_t *ret);

struct det_series_entry {		   /* of the index, bounds checked */
	const uint8_t *pairs, *refs, *end; /* varints */
	uint32_t nlabels, nrefs, nhistograms, first_histograms;
};
bool det_block_index_series(
	const struct det_block_index *ix, uint32_t series, struct det_series_entry *ret);
/* The next two varints: symbols of a label, or group and column. */
bool det_block_index_next(const uint8_t **at, const uint8_t *end, uint32_t ret[2]);

struct det_block_index_pair {
	uint32_t name, value, start, bytes;
};
struct det_block_index_pair det_block_index_pair(const struct det_block_index *ix, uint32_t at);
/* The pairs with that name: their first and number; false: nobody has it. */
bool det_block_index_pairs_of(
	const struct det_block_index *ix, const char *name, uint32_t ret_range[2]);

struct det_group_entry {
	uint64_t group;
	uint32_t first_segment, nsegments, ncolumns;
};
bool det_block_index_group(
	const struct det_block_index *ix, uint32_t group, struct det_group_entry *ret);
struct det_piece det_block_index_piece(
	const struct det_block_index *ix, enum det_index_section section, uint32_t at);

/* The segment, its CRC checked once. False: it is not what was written, which is counted. */
bool det_block_segment(const struct det_block *b, uint32_t at, struct det_segment *ret);

struct det_blobs_view { /* one histogram piece */
	uint32_t n;
	const uint8_t *times, *ends, *blobs;
	size_t times_bytes, blobs_bytes;
};
bool det_block_blobs(const struct det_block *b, uint32_t at, struct det_blobs_view *ret);
