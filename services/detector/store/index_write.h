/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The index of a block while it is written: series by label set, where their columns are, and then
 * the bytes of the file. Owned by a block writer; one thread.
 */
#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/model/labels.h"
#include "services/detector/store/block_format.h"

struct ops_map;

struct det_index_series {
	uint32_t nlabels;
	const uint32_t *pairs; /* symbol of name and value, each label */
	uint64_t samples;
	uint32_t nrefs, at_ref; /* columns that hold samples of it; filled at the end */
	uint32_t first_histograms, nhistograms; /* pieces */
};

struct det_index_group {
	uint64_t group;
	uint32_t ncolumns, nsegments;
	uint32_t *refs; /* series per column, UINT32_MAX where there is none or no sample */
	uint8_t *used;	/* per column: has samples */
	struct det_piece *pieces;
	uint32_t pieces_cap;
};

struct det_index_writer {
	struct ops_arena arena;
	struct ops_map *symbols_by_text, *series_by_pairs;
	const char **symbols;
	uint32_t nsymbols, symbols_cap;
	struct det_index_series *series;
	uint32_t nseries, series_cap;
	struct det_index_group *groups;
	uint32_t ngroups, groups_cap, last_group;
	struct det_index_histograms { /* one piece */
		uint32_t series;
		struct det_piece piece;
	} * histograms;
	uint32_t nhistograms, histograms_cap;
};

void det_index_writer_init(struct det_index_writer *w);
void det_index_writer_done(struct det_index_writer *w);
/* The series with these labels, sorted by name; made when new. */
uint32_t det_index_writer_series(
	struct det_index_writer *w, const struct ops_label *labels, size_t nlabels);
/* The group with that id and these series; made when new. */
uint32_t det_index_writer_group(
	struct det_index_writer *w, uint64_t group, const uint32_t *refs, uint32_t ncolumns);
void det_index_writer_piece(
	struct det_index_writer *w, uint32_t group, const struct det_piece *piece);
void det_index_writer_histograms(
	struct det_index_writer *w, uint32_t series, const struct det_piece *piece);
/* The file. Series without samples are left out. -E2BIG: a section would have 4 GiB. */
int det_index_writer_print(
	struct det_index_writer *w, struct ops_strbuf *out, uint64_t *ret_series) OPS_MUST_CHECK;
