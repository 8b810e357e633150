/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A consumer that was never heard to acknowledge anything is a tail command or a subscriber without
 * a checkpoint: it holds the log back for an hour after it was last heard. One that does
 * acknowledge is a service: it may be down for a week. After that the size limit of the log would
 * drop what it lacks anyway, and it is told so when it comes back.
 */
#include "common/bus/consumers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/bus/replay.h"
#include "common/json/json.h"

enum {
	CONSUMERS_MAX = 256,
	FILE_LIMIT_BYTES = 256 << 10
};

static const int64_t keep_service_ms = 7LL * 24 * 3600 * 1000;
static const int64_t keep_visitor_ms = 3600 * 1000;

struct consumer {
	uint64_t acked;
	int64_t heard_ms;
};

struct ops_consumers {
	char *path;
	uint64_t epoch;
	struct ops_map *by_name;
	bool changed;
};

static void load_one(struct ops_consumers *c, const json_t *item)
{
	const char *name = NULL;
	int64_t acked = 0, heard_ms = 0;

	if (ops_json_get_string(item, "name", &name, NULL) != 0 ||
		ops_json_get_i64(item, "acked", &acked, NULL) != 0 ||
		ops_json_get_i64(item, "heard_ms", &heard_ms, NULL) != 0 || acked < 0 ||
		!ops_name_valid(name, strlen(name)))
		return;
	struct consumer *k = ops_xcalloc(1, sizeof(*k));
	*k = (struct consumer){(uint64_t)acked, heard_ms};
	free(ops_map_puts(c->by_name, name, k));
}

static void load(struct ops_consumers *c)
{
	struct ops_strbuf file = OPS_STRBUF_INIT;
	OPS_JSON_AUTO *doc = NULL;
	json_t *list = NULL, *item = NULL;
	const char *epoch_text = "";
	uint64_t epoch = 0;
	size_t i = 0;

	if (ops_file_read(c->path, FILE_LIMIT_BYTES, &file) == 0 &&
		ops_json_parse(ops_strbuf_text(&file), file.len, FILE_LIMIT_BYTES, &doc, NULL) ==
			0 &&
		ops_json_get_string(doc, "epoch", &epoch_text, NULL) == 0 &&
		ops_parse_hex_u64(epoch_text, strlen(epoch_text), &epoch) == 0 &&
		epoch == c->epoch && ops_json_get_array(doc, "consumers", &list, NULL) == 0) {
		json_array_foreach(list, i, item)
		{
			load_one(c, item);
		}
	}
	ops_strbuf_done(&file);
}

struct ops_consumers *ops_consumers_open(const char *path, uint64_t epoch)
{
	struct ops_consumers *c = ops_xcalloc(1, sizeof(*c));

	c->path = ops_xstrdup(path);
	c->epoch = epoch;
	c->by_name = ops_map_new();
	if (path != NULL)
		load(c);
	return c;
}

void ops_consumers_close(struct ops_consumers *c)
{
	if (c == NULL)
		return;
	ops_consumers_flush(c);
	ops_map_free(c->by_name, free);
	free(c->path);
	free(c);
}

bool ops_consumers_heard(struct ops_consumers *c, const char *name, uint64_t acked, int64_t now_ms)
{
	struct consumer *k = ops_map_gets(c->by_name, name);
	bool is_new = k == NULL;

	if (is_new) {
		if (ops_map_count(c->by_name) >= CONSUMERS_MAX)
			return false;
		k = ops_xcalloc(1, sizeof(*k));
		ops_map_puts(c->by_name, name, k);
	}
	/* A lower number is believed as well: the consumer went back to an older checkpoint. */
	k->acked = acked;
	k->heard_ms = now_ms;
	c->changed = true;
	if (is_new) /* from now on it counts, also after a crash */
		ops_consumers_flush(c);
	return true;
}

uint64_t ops_consumers_lowest(struct ops_consumers *c, int64_t now_ms)
{
	struct ops_map_entry e;
	uint64_t lowest = UINT64_MAX;

	for (size_t at = 0; ops_map_next(c->by_name, &at, &e);) {
		struct consumer *k = e.value;
		int64_t keep_ms = k->acked > 0 ? keep_service_ms : keep_visitor_ms;
		if (now_ms - k->heard_ms > keep_ms) {
			free(ops_map_remove(c->by_name, e.key, e.len));
			c->changed = true;
			continue;
		}
		lowest = OPS_MIN(lowest, k->acked);
	}
	return lowest == UINT64_MAX ? 0 : lowest;
}

void ops_consumers_flush(struct ops_consumers *c)
{
	struct ops_map_entry e;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	const char *comma = "";

	if (c->path == NULL || !c->changed)
		return;
	ops_strbuf_printf(&out, "{\"epoch\":\"%016" PRIx64 "\",\"consumers\":[", c->epoch);
	for (size_t at = 0; ops_map_next(c->by_name, &at, &e); comma = ",") {
		const struct consumer *k = e.value;
		ops_strbuf_printf(&out, "%s{\"name\":", comma);
		ops_strbuf_add_json(&out, e.key, e.len);
		ops_strbuf_printf(&out, ",\"acked\":%" PRIu64 ",\"heard_ms\":%" PRId64 "}",
			k->acked, k->heard_ms);
	}
	ops_strbuf_adds(&out, "]}\n");
	/* When it cannot be written it is tried again with the next change; nothing depends on it
	 * now. */
	if (ops_file_write_atomic(c->path, out.data, out.len, 0600) == 0)
		c->changed = false;
	ops_strbuf_done(&out);
}
