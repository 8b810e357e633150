/* SPDX-License-Identifier: Apache-2.0 */
/*
 * meta.json is for people and tools, so it is JSON; its last member is the CRC32C of all before it,
 * so a flipped digit is seen.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/number.h"
#include "common/json/json.h"
#include "services/detector/store/block_format.h"
#include "services/detector/store/ulid.h"

#define MAX_BYTES ((size_t)1 << 20)
#define TAIL ",\"crc32c\":\"%08" PRIx32 "\"}\n"
enum {
	VERSION = 1,
	TAIL_BYTES = 11 + 8 + 3
};

static json_t *parents_json(const struct det_block_meta *meta)
{
	json_t *list = json_array();
	for (size_t i = 0; i < meta->nparents; i++) {
		json_array_append_new(list, json_string(meta->parents[i]));
	}
	return list;
}

void det_block_meta_print(const struct det_block_meta *meta, struct ops_strbuf *out)
{
	OPS_JSON_AUTO *doc = json_object();
	json_t *stats = json_object(), *compaction = json_object();
	ops_json_set_i64(doc, "version", VERSION);
	ops_json_set_string(doc, "ulid", meta->ulid);
	ops_json_set_i64(doc, "minTime", meta->mint_ms);
	ops_json_set_i64(doc, "maxTime", meta->maxt_ms);
	ops_json_set_i64(stats, "numSamples", (int64_t)meta->samples);
	ops_json_set_i64(stats, "numSeries", (int64_t)meta->series);
	ops_json_set_i64(stats, "numSegments", (int64_t)meta->segments);
	ops_json_set_i64(stats, "numBytes", (int64_t)meta->bytes);
	ops_json_set(doc, "stats", stats);
	ops_json_set_i64(compaction, "level", meta->level);
	ops_json_set(compaction, "parents", parents_json(meta));
	ops_json_set(doc, "compaction", compaction);
	size_t from = out->len;
	ops_json_dump(doc, out);
	out->len--; /* the closing brace comes behind the check */
	uint32_t crc = ops_crc32c(0, out->data + from, out->len - from);
	ops_strbuf_printf(out, TAIL, crc);
}

static bool checked(const char *text, size_t len)
{
	char tail[64];
	if (len <= TAIL_BYTES || len > MAX_BYTES) {
		return false;
	}
	(void)snprintf(tail, sizeof(tail), TAIL, ops_crc32c(0, text, len - TAIL_BYTES));
	return memcmp(text + len - TAIL_BYTES, tail, TAIL_BYTES) == 0;
}

static int get_u64(const json_t *obj, const char *key, uint64_t *ret, struct ops_error *err)
{
	int64_t v;
	int rc = ops_json_get_i64(obj, key, &v, err);
	if (rc == 1 || (rc == 0 && v < 0)) {
		return ops_error_set(err, -EINVAL, "%s is missing or negative", key);
	}
	if (rc == 0) {
		*ret = (uint64_t)v;
	}
	return rc;
}

static int get_compaction(const json_t *doc, struct ops_arena *arena, struct det_block_meta *ret,
	struct ops_error *err)
{
	const json_t *compaction = json_object_get(doc, "compaction");
	const json_t *parents = json_object_get(compaction, "parents");
	uint64_t level = 0;
	int rc = get_u64(compaction, "level", &level, err);
	if (rc != 0) {
		return rc;
	}
	size_t n = json_array_size(parents);
	const char **list = ops_arena_array(arena, const char *, n + 1);
	for (size_t i = 0; i < n; i++) {
		const char *ulid = json_string_value(json_array_get(parents, i));
		if (ulid == NULL || !det_ulid_valid(ulid)) {
			return ops_error_set(err, -EINVAL, "a parent is no ULID");
		}
		list[i] = ops_arena_strdup(arena, ulid);
	}
	ret->level = (unsigned)OPS_MIN(level, (uint64_t)1000);
	ret->parents = list;
	ret->nparents = n;
	return 0;
}

static int get_meta(const json_t *doc, struct ops_arena *arena, struct det_block_meta *ret,
	struct ops_error *err)
{
	const json_t *stats = json_object_get(doc, "stats");
	const char *ulid = json_string_value(json_object_get(doc, "ulid"));
	uint64_t version = 0;
	int rc = get_u64(doc, "version", &version, err);
	if (rc != 0) {
		return rc;
	}
	if (version != VERSION) {
		return ops_error_set(err, -EINVAL, "version %" PRIu64 " is not known", version);
	}
	if (ulid == NULL || !det_ulid_valid(ulid)) {
		return ops_error_set(err, -EINVAL, "ulid is no ULID");
	}
	memcpy(ret->ulid, ulid, sizeof(ret->ulid));
	rc = ops_json_get_i64(doc, "minTime", &ret->mint_ms, err);
	rc = rc != 0 ? rc : ops_json_get_i64(doc, "maxTime", &ret->maxt_ms, err);
	if (rc == 1) {
		return ops_error_set(err, -EINVAL, "minTime or maxTime is missing");
	}
	rc = rc != 0 ? rc : get_u64(stats, "numSamples", &ret->samples, err);
	rc = rc != 0 ? rc : get_u64(stats, "numSeries", &ret->series, err);
	rc = rc != 0 ? rc : get_u64(stats, "numSegments", &ret->segments, err);
	rc = rc != 0 ? rc : get_u64(stats, "numBytes", &ret->bytes, err);
	return rc != 0 ? rc : get_compaction(doc, arena, ret, err);
}

int det_block_meta_parse(const char *text, size_t len, struct ops_arena *arena,
	struct det_block_meta *ret, struct ops_error *err)
{
	OPS_JSON_AUTO *doc = NULL;
	struct det_block_meta meta = {.mint_ms = 0};
	if (!checked(text, len)) {
		return ops_error_set(err, -EBADMSG, "meta.json does not match its checksum");
	}
	int rc = ops_json_parse(text, len, MAX_BYTES, &doc, err);
	rc = rc != 0 ? rc : get_meta(doc, arena, &meta, err);
	if (rc == 0) {
		*ret = meta;
	}
	return rc;
}
