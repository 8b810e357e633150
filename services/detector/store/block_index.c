/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index stays in the mapping; nothing is unpacked before it is asked for, so opening costs one
 * pass of the CRC. What readers index by is bounded here: starts ascend, symbols end in NUL.
 * Varints of a series are read with a bound each time.
 */
#include <errno.h>
#include <string.h>

#include "common/base/hash.h"
#include "services/detector/store/block_impl.h"
#include "services/detector/store/varint.h"

/* Sections lie in their order, each within the file. */
static bool read_sections(struct det_block_index *ix)
{
	uint64_t before = DET_INDEX_HEADER_BYTES;
	for (unsigned i = 0; i < DET_COUNTS; i++) {
		ix->counts[i] = ops_get_u32(ix->data + DET_INDEX_COUNTS_AT + (size_t)i * 4);
	}
	for (unsigned i = 0; i < DET_SECTIONS; i++) {
		uint64_t start = ops_get_u64(ix->data + DET_INDEX_STARTS_AT + (size_t)i * 8);
		if (start < before || start > ix->size) {
			return false;
		}
		ix->starts[i] = ix->data + start;
		before = start;
	}
	for (unsigned i = 0; i < DET_SECTIONS; i++) {
		const uint8_t *end = i + 1 < DET_SECTIONS ? ix->starts[i + 1] : ix->data + ix->size;
		ix->sizes[i] = (size_t)(end - ix->starts[i]);
	}
	return true;
}

static bool fits(
	const struct det_block_index *ix, enum det_index_section section, size_t n, size_t each)
{
	return n <= ix->sizes[section] / each;
}

static uint32_t word(const struct det_block_index *ix, enum det_index_section section, size_t at)
{
	return ops_get_u32(ix->starts[section] + at * 4);
}

/* n + 1 ascending starts within a section. */
static bool check_starts(const struct det_block_index *ix, enum det_index_section starts,
	uint32_t n, enum det_index_section of)
{
	if (!fits(ix, starts, (size_t)n + 1, 4) || word(ix, starts, n) > ix->sizes[of]) {
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (word(ix, starts, i) > word(ix, starts, i + 1)) {
			return false;
		}
	}
	return true;
}

static bool check_symbols(const struct det_block_index *ix)
{
	uint32_t n = ix->counts[DET_COUNT_SYMBOLS];
	if (!check_starts(ix, DET_SECTION_SYMBOL_STARTS, n, DET_SECTION_SYMBOLS)) {
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t from = word(ix, DET_SECTION_SYMBOL_STARTS, i);
		uint32_t to = word(ix, DET_SECTION_SYMBOL_STARTS, (size_t)i + 1);
		if (from == to || ix->starts[DET_SECTION_SYMBOLS][to - 1] != '\0') {
			return false;
		}
	}
	return true;
}

static bool check_pairs(const struct det_block_index *ix)
{
	uint32_t npairs = ix->counts[DET_COUNT_PAIRS], nnames = ix->counts[DET_COUNT_NAMES];
	uint32_t nsymbols = ix->counts[DET_COUNT_SYMBOLS];
	if (!fits(ix, DET_SECTION_PAIRS, npairs, DET_PAIR_BYTES) ||
		!fits(ix, DET_SECTION_NAMES, nnames, DET_NAME_BYTES)) {
		return false;
	}
	for (uint32_t i = 0; i < npairs; i++) {
		struct det_block_index_pair pair = det_block_index_pair(ix, i);
		uint64_t end = (uint64_t)pair.start + pair.bytes;
		if (pair.name >= nsymbols || pair.value >= nsymbols ||
			(pair.bytes == 0 ? pair.start >= ix->counts[DET_COUNT_SERIES]
					 : end > ix->sizes[DET_SECTION_POSTINGS])) {
			return false;
		}
	}
	for (uint32_t i = 0; i < nnames; i++) {
		const uint8_t *at = ix->starts[DET_SECTION_NAMES] + (size_t)i * DET_NAME_BYTES;
		uint64_t end = (uint64_t)ops_get_u32(at + 4) + ops_get_u32(at + 8);
		if (ops_get_u32(at) >= nsymbols || end > npairs) {
			return false;
		}
	}
	return true;
}

static bool check_groups(const struct det_block_index *ix)
{
	uint32_t n = ix->counts[DET_COUNT_GROUPS];
	if (!fits(ix, DET_SECTION_GROUPS, n, DET_GROUP_BYTES) ||
		!fits(ix, DET_SECTION_SEGMENTS, ix->counts[DET_COUNT_SEGMENTS], DET_PIECE_BYTES) ||
		!fits(ix, DET_SECTION_HISTOGRAMS, ix->counts[DET_COUNT_HISTOGRAMS],
			DET_PIECE_BYTES)) {
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct det_group_entry g;
		if (!det_block_index_group(ix, i, &g) ||
			(uint64_t)g.first_segment + g.nsegments > ix->counts[DET_COUNT_SEGMENTS]) {
			return false;
		}
	}
	return true;
}

int det_block_index_open(const uint8_t *data, size_t size, bool check, struct det_block_index *ret)
{
	struct det_block_index ix = {.data = data, .size = size};
	if (size < DET_INDEX_HEADER_BYTES || memcmp(data, DET_BLOCK_INDEX_MAGIC, 8) != 0 ||
		ops_get_u32(data + 8) != DET_INDEX_VERSION ||
		ops_get_u64(data + DET_INDEX_SIZE_AT) != size) {
		return -EBADMSG;
	}
	if (check &&
		ops_get_u32(data + DET_INDEX_CRC_AT) !=
			ops_crc32c(0, data + DET_INDEX_CRC_AT + 4, size - DET_INDEX_CRC_AT - 4)) {
		return -EBADMSG;
	}
	if (!read_sections(&ix) || !check_symbols(&ix) ||
		!check_starts(&ix, DET_SECTION_SERIES_STARTS, ix.counts[DET_COUNT_SERIES],
			DET_SECTION_SERIES) ||
		!check_pairs(&ix) || !check_groups(&ix)) {
		return -EBADMSG;
	}
	*ret = ix;
	return 0;
}

const char *det_block_index_symbol(
	const struct det_block_index *ix, uint32_t number, uint32_t *ret_len)
{
	uint32_t from = word(ix, DET_SECTION_SYMBOL_STARTS, number);
	*ret_len = word(ix, DET_SECTION_SYMBOL_STARTS, (size_t)number + 1) - from - 1;
	return (const char *)ix->starts[DET_SECTION_SYMBOLS] + from;
}

bool det_block_index_find(const struct det_block_index *ix, const char *text, uint32_t *ret)
{
	uint32_t lo = 0, hi = ix->counts[DET_COUNT_SYMBOLS], len;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int order = strcmp(det_block_index_symbol(ix, mid, &len), text);
		if (order == 0) {
			*ret = mid;
			return true;
		}
		if (order < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return false;
}

bool det_block_index_next(const uint8_t **at, const uint8_t *end, uint32_t ret[2])
{
	return det_get_varint_u32(at, end, &ret[0]) && det_get_varint_u32(at, end, &ret[1]);
}

bool det_block_index_series(
	const struct det_block_index *ix, uint32_t series, struct det_series_entry *ret)
{
	if (series >= ix->counts[DET_COUNT_SERIES]) {
		return false;
	}
	const uint8_t *base = ix->starts[DET_SECTION_SERIES];
	const uint8_t *at = base + word(ix, DET_SECTION_SERIES_STARTS, series);
	const uint8_t *end = base + word(ix, DET_SECTION_SERIES_STARTS, (size_t)series + 1);
	struct det_series_entry e = {.end = end};
	uint32_t two[2];
	if (!det_get_varint_u32(&at, end, &e.nlabels)) {
		return false;
	}
	e.pairs = at;
	for (uint32_t i = 0; i < e.nlabels; i++) {
		uint32_t limit = ix->counts[DET_COUNT_SYMBOLS];
		if (!det_block_index_next(&at, end, two) || two[0] >= limit || two[1] >= limit) {
			return false;
		}
	}
	if (!det_get_varint_u32(&at, end, &e.nrefs)) {
		return false;
	}
	e.refs = at;
	for (uint32_t i = 0; i < e.nrefs; i++) {
		struct det_group_entry g;
		if (!det_block_index_next(&at, end, two) ||
			!det_block_index_group(ix, two[0], &g) || two[1] >= g.ncolumns) {
			return false;
		}
	}
	if (!det_get_varint_u32(&at, end, &e.nhistograms) ||
		(e.nhistograms != 0 && !det_get_varint_u32(&at, end, &e.first_histograms)) ||
		(uint64_t)e.first_histograms + e.nhistograms > ix->counts[DET_COUNT_HISTOGRAMS]) {
		return false;
	}
	*ret = e;
	return true;
}

struct det_block_index_pair det_block_index_pair(const struct det_block_index *ix, uint32_t at)
{
	const uint8_t *p = ix->starts[DET_SECTION_PAIRS] + (size_t)at * DET_PAIR_BYTES;
	return (struct det_block_index_pair){.name = ops_get_u32(p),
		.value = ops_get_u32(p + 4),
		.start = ops_get_u32(p + 8),
		.bytes = ops_get_u32(p + 12)};
}

bool det_block_index_pairs_of(
	const struct det_block_index *ix, const char *name, uint32_t ret_range[2])
{
	uint32_t number, lo = 0, hi = ix->counts[DET_COUNT_NAMES];
	if (!det_block_index_find(ix, name, &number)) {
		return false;
	}
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const uint8_t *at = ix->starts[DET_SECTION_NAMES] + (size_t)mid * DET_NAME_BYTES;
		uint32_t there = ops_get_u32(at);
		if (there == number) {
			ret_range[0] = ops_get_u32(at + 4);
			ret_range[1] = ops_get_u32(at + 8);
			return true;
		}
		if (there < number) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return false;
}

bool det_block_index_group(
	const struct det_block_index *ix, uint32_t group, struct det_group_entry *ret)
{
	if (group >= ix->counts[DET_COUNT_GROUPS]) {
		return false;
	}
	const uint8_t *p = ix->starts[DET_SECTION_GROUPS] + (size_t)group * DET_GROUP_BYTES;
	*ret = (struct det_group_entry){.group = ops_get_u64(p),
		.first_segment = ops_get_u32(p + 8),
		.nsegments = ops_get_u32(p + 12),
		.ncolumns = ops_get_u32(p + 16)};
	return true;
}

struct det_piece det_block_index_piece(
	const struct det_block_index *ix, enum det_index_section section, uint32_t at)
{
	const uint8_t *p = ix->starts[section] + (size_t)at * DET_PIECE_BYTES;
	return (struct det_piece){.start = ops_get_u64(p),
		.bytes = ops_get_u32(p + 8),
		.rows = ops_get_u32(p + 12),
		.first_ms = (int64_t)ops_get_u64(p + 16),
		.last_ms = (int64_t)ops_get_u64(p + 24)};
}
