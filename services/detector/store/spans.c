/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file is a log of records of one type: u32 series, i64 from, i64 to. A store that lost it
 * would show deleted samples again, so a damaged one is counted as lost records.
 */
#include "services/detector/store/spans.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "services/detector/store/logfile.h"
#include "services/detector/store/state.h"

#define RECORD_SPAN 1
#define FILE_MAX ((size_t)1 << 30)

void det_spans_free(void *spans)
{
	struct det_spans *p = spans;
	if (p != NULL) {
		free(p->items);
		free(p);
	}
}

void det_spans_add(struct det_spans *spans, int64_t mint_ms, int64_t maxt_ms)
{
	OPS_GROW(spans->items, spans->n, spans->cap);
	spans->items[spans->n++] = (struct det_span){mint_ms, maxt_ms};
}

bool det_spans_hold(const struct det_spans *spans, int64_t t)
{
	for (uint32_t i = 0; spans != NULL && i < spans->n; i++) {
		if (t >= spans->items[i].mint_ms && t <= spans->items[i].maxt_ms) {
			return true;
		}
	}
	return false;
}

void det_spans_filter(const struct det_spans *spans, struct det_samples *out, size_t from)
{
	size_t kept = from;
	for (size_t i = from; i < out->n; i++) {
		if (!det_spans_hold(spans, out->t[i])) {
			out->t[kept] = out->t[i];
			out->v[kept++] = out->v[i];
		}
	}
	out->n = kept;
}

static void add_record(struct ops_strbuf *out, uint32_t series, const struct det_span *span)
{
	uint8_t bytes[20];
	ops_put_u32(bytes, series);
	ops_put_u64(bytes + 4, (uint64_t)span->mint_ms);
	ops_put_u64(bytes + 12, (uint64_t)span->maxt_ms);
	size_t begun = det_log_begin(out, RECORD_SPAN);
	ops_strbuf_add(out, bytes, sizeof(bytes));
	det_log_end(out, begun);
}

int det_spans_save(const struct det_store *s)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(s->options.dir, "tombstones");
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_map_entry e;
	det_log_header(DET_LOG_TOMBSTONES, &out);
	for (size_t at = 0; ops_map_next(s->deleted, &at, &e);) {
		const struct det_spans *spans = e.value;
		uint32_t id;
		memcpy(&id, e.key, sizeof(id));
		for (uint32_t i = 0; i < spans->n; i++) {
			add_record(&out, id, &spans->items[i]);
		}
	}
	return ops_file_write_atomic(path, out.data, out.len, 0640);
}

void det_spans_load(struct det_store *s)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(s->options.dir, "tombstones");
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	struct det_log_reader reader;
	uint8_t type;
	const uint8_t *p;
	size_t len;
	int rc = ops_file_read(path, FILE_MAX, &text);
	if (rc != 0) {
		s->recovery.lost_records += rc != -ENOENT;
		return;
	}
	(void)det_log_open(&reader, DET_LOG_TOMBSTONES, text.data, text.len);
	while (det_log_next(&reader, &type, &p, &len)) {
		struct det_entry *e = len == 20 ? det_store_at(s, ops_get_u32(p)) : NULL;
		if (e != NULL) {
			det_spans_add(det_store_spans(s, e), (int64_t)ops_get_u64(p + 4),
				(int64_t)ops_get_u64(p + 12));
		}
	}
	s->recovery.lost_records += reader.lost_places;
}

bool det_spans_drop_before(struct det_store *s, int64_t cutoff_ms)
{
	struct ops_map_entry e;
	bool any = false;
	for (size_t at = 0; ops_map_next(s->deleted, &at, &e);) {
		struct det_spans *spans = e.value;
		uint32_t id, kept = 0;
		memcpy(&id, e.key, sizeof(id));
		struct det_entry *entry = det_store_at(s, id);
		for (uint32_t i = 0; i < spans->n; i++) {
			if (entry != NULL && spans->items[i].maxt_ms >= cutoff_ms) {
				spans->items[kept++] = spans->items[i];
			}
		}
		any = any || kept != spans->n;
		spans->n = kept;
		if (kept == 0) {
			if (entry != NULL) {
				entry->flags &= DET_ENTRY_FLAGS - DET_ENTRY_DELETED;
			}
			(void)ops_map_remove(s->deleted, e.key, e.len);
			det_spans_free(spans);
		}
	}
	return any;
}
