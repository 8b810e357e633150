/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The files of a block as bytes: what writer and reader agree on; docs/store.md describes them.
 * Everything is little-endian.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "services/detector/store/blocks.h"

#define DET_BLOCK_INDEX_MAGIC "OPSINDEX"
#define DET_BLOCK_SEGMENTS_MAGIC "OPSSEGS1"
#define DET_BLOCK_TOMBSTONES_MAGIC "OPSTOMB1"
#define DET_BLOCK_TMP ".tmp"

enum {
	DET_INDEX_VERSION = 1,
	DET_INDEX_CRC_AT = 12,	  /* of all that follows it */
	DET_INDEX_SIZE_AT = 16,	  /* u64, of the file */
	DET_INDEX_COUNTS_AT = 24, /* u32 each, enum det_index_count */
	DET_INDEX_STARTS_AT = 56, /* u64 each, enum det_index_section */
	DET_INDEX_HEADER_BYTES = 136
};

enum det_index_count {
	DET_COUNT_SYMBOLS,
	DET_COUNT_SERIES,
	DET_COUNT_PAIRS,
	DET_COUNT_NAMES,
	DET_COUNT_GROUPS,
	DET_COUNT_SEGMENTS,
	DET_COUNT_HISTOGRAMS,
	DET_COUNTS
};

enum det_index_section {
	DET_SECTION_SYMBOLS,	   /* texts, sorted, each with a NUL behind */
	DET_SECTION_SYMBOL_STARTS, /* u32 each, and the end of the last */
	DET_SECTION_SERIES,	   /* varints: see index_write.c */
	DET_SECTION_SERIES_STARTS, /* u32 each, and the end of the last */
	DET_SECTION_PAIRS,	   /* u32 name, value, start in POSTINGS, bytes */
	DET_SECTION_NAMES,	   /* u32 name, first pair, pairs */
	DET_SECTION_POSTINGS,	   /* CRoaring's portable format */
	DET_SECTION_GROUPS,	   /* u64 group, u32 first segment, segments, columns, 0 */
	DET_SECTION_SEGMENTS,	   /* struct det_piece */
	DET_SECTION_HISTOGRAMS,	   /* struct det_piece */
	DET_SECTIONS
};
enum {
	DET_PAIR_BYTES = 16,
	DET_NAME_BYTES = 12,
	DET_GROUP_BYTES = 24,
	DET_PIECE_BYTES = 32
};

struct det_piece { /* of the segments file: 32 bytes in this order */
	uint64_t start;
	uint32_t bytes, rows;
	int64_t first_ms, last_ms;
};

/*
 * Histogram samples of a series as they stand in the segments file:
 * u32 bytes behind, u32 CRC32C of all that follows, u32 series in the writer's order, u32 samples,
 * u32 bytes of times, times (det_codec_encode_ints), u32 end of each blob, blobs.
 */
enum {
	DET_BLOBS_HEADER_BYTES = 20,
	DET_BLOBS_MAX = 4096 /* samples in one piece */
};

/* meta.json; parents are copied into the arena. */
struct ops_strbuf;
void det_block_meta_print(const struct det_block_meta *meta, struct ops_strbuf *out);
int det_block_meta_parse(const char *text, size_t len, struct ops_arena *arena,
	struct det_block_meta *ret, struct ops_error *err) OPS_MUST_CHECK;

/* Deletes dir and the files of a block in it; no subdirectory. 0 or -errno. */
int det_block_remove_dir(const char *dir) OPS_MUST_CHECK;
