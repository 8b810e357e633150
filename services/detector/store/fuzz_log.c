/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as definitions and log: nothing is read out of bounds, and what is read back ascends.
 * The input is framed here, as no fuzzer would guess a checksum: u8 type (128: to the log, 64: it
 * is not framed, so that the reader looks for the next record), u16 length, payload.
 */
#include "services/detector/store/state.h"

#include <string.h>

#include "common/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void frame(
	const uint8_t *data, size_t size, struct ops_strbuf *series, struct ops_strbuf *wal)
{
	det_log_header(DET_LOG_SERIES, series);
	det_log_header(DET_LOG_WAL, wal);
	while (size >= 3) {
		struct ops_strbuf *out = data[0] & 128 ? wal : series;
		bool raw = (data[0] & 64) != 0;
		size_t len = OPS_MIN((size_t)data[1] | (size_t)data[2] << 8, size - 3);
		size_t begun = raw ? 0 : det_log_begin(out, data[0] & 15);
		if (len != 0) {
			ops_strbuf_add(out, data + 3, len);
		}
		if (!raw) {
			det_log_end(out, begun);
		}
		data += 3 + len;
		size -= 3 + len;
	}
}

static void read_all(struct det_store *s)
{
	static const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct ops_arena arena;
	struct ops_matchers none;
	struct det_series_list list;
	struct det_samples out = {0};
	ops_arena_init(&arena);
	ops_matchers_init(&none);
	det_store_select(s, &none, always, &arena, &list);
	for (size_t i = 0; i < list.n; i++) {
		det_series_read(list.items[i], INT64_MIN, INT64_MAX, &out);
		for (size_t k = 1; k < out.n; k++) {
			ops_assert(out.t[k - 1] < out.t[k]);
		}
	}
	det_samples_done(&out);
	ops_matchers_done(&none);
	ops_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_strbuf series = OPS_STRBUF_INIT, wal = OPS_STRBUF_INIT;
	struct det_store *s = det_store_new(&(struct det_store_options){
		.retention_ms = INT64_MAX / 4, .out_of_order_ms = 1000});
	struct ops_map *groups = ops_map_new();
	frame(data, size, &series, &wal);
	s->replaying = true;
	det_definitions_load(s, groups, series.data, series.len);
	det_wal_replay(s, groups, 1, wal.data, wal.len);
	s->replaying = false;
	ops_map_free(groups, NULL);
	read_all(s);
	det_store_free(s);
	ops_strbuf_done(&series);
	ops_strbuf_done(&wal);
	return 0;
}
