/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a block's index, its segments and its tombstones: whatever readers then ask, nothing
 * is read out of bounds. The CRC of the index is not asked for: no fuzzer would guess it. */
#include "services/detector/store/block_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	SERIES_MAX = 64
};

static void ignore_run(void *arg, const struct det_block_run *run)
{
	*(size_t *)arg += run->n;
}

static void ignore_pair(void *arg, const char *name, const char *value, uint64_t series)
{
	*(size_t *)arg += strlen(name) + strlen(value) + series;
}

static void select_some(const struct det_block *b, struct ops_arena *arena)
{
	static const struct {
		enum ops_match_op op;
		const char *name, *value;
	} asked[] = {{OPS_MATCH_EQ, "__name__", "a"}, {OPS_MATCH_NE, "x", "1"},
		{OPS_MATCH_RE, "x", "1.*|"}, {OPS_MATCH_NRE, "__name__", "b|c"}};
	for (size_t i = 0; i < OPS_LENGTH(asked); i++) {
		struct ops_matchers ms;
		struct det_block_list list;
		ops_matchers_init(&ms);
		int rc = ops_matchers_add(&ms, asked[i].op, asked[i].name, asked[i].value, NULL);
		ops_assert(rc == 0);
		det_block_select(b, &ms, arena, &list);
		for (size_t k = 0; k < list.n; k++) {
			ops_assert(list.series[k] < b->index.counts[DET_COUNT_SERIES]);
		}
		ops_matchers_done(&ms);
	}
}

static void read_some(const struct det_block *b)
{
	static const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct det_segment_cursor cursor = {.columns = NULL};
	struct ops_label labels[8];
	size_t seen = 0;
	for (uint32_t i = 0; i < SERIES_MAX; i++) {
		seen += det_block_labels(b, i, labels, OPS_LENGTH(labels), NULL);
		det_block_read(b, i, always, &cursor, ignore_run, &seen);
	}
	det_block_each_pair(b, ignore_pair, &seen);
	(void)!det_block_verify(b, NULL, NULL);
	det_segment_cursor_done(&cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct det_block b = {.segments = data, .segments_bytes = size};
	struct ops_arena arena;
	const char *const *texts;
	if (det_tombstones_parse(data, size, 100, &b.tombstones) != 0) {
		b.tombstones = NULL;
	}
	if (det_block_index_open(data, size, false, &b.index) == 0 &&
		b.index.counts[DET_COUNT_SERIES] < 100000) {
		ops_arena_init(&arena);
		b.checked = ops_xcalloc((size_t)b.index.counts[DET_COUNT_SEGMENTS] +
						b.index.counts[DET_COUNT_HISTOGRAMS] + 1,
			1);
		select_some(&b, &arena);
		(void)det_block_names(&b, &arena, &texts);
		(void)det_block_values(&b, "__name__", &arena, &texts);
		read_some(&b);
		free(b.checked);
		ops_arena_done(&arena);
	}
	det_tombstones_free(b.tombstones);
	return 0;
}
