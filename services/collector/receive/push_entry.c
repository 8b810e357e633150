/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/receive/push_entry.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/text.h"
#include "common/json/json.h"

enum {
	HEAD_LIMIT_BYTES = 8 << 20
};

struct col_push_entry *col_push_entry_new(struct ops_labels *key, const char *writer)
{
	struct col_push_entry *e = ops_xcalloc(1, sizeof(*e));
	e->hash = ops_labels_fingerprint(key);
	e->id = ops_xasprintf("%016" PRIx64, e->hash);
	e->group = col_push_group_new(key);
	e->writer = ops_xstrdup(writer);
	return e;
}

void col_push_entry_free(void *entry)
{
	struct col_push_entry *e = entry;
	if (e == NULL) {
		return;
	}
	col_push_group_free(e->group);
	col_feed_free(e->feed);
	free(e->writer);
	free(e->id);
	free(e);
}

void col_push_entry_set_writer(struct col_push_entry *e, const char *writer)
{
	char *copy = ops_xstrdup(writer);
	free(e->writer);
	e->writer = copy;
}

bool col_push_entry_later(const struct col_push_entry *a, const struct col_push_entry *b)
{
	return col_push_version_later(col_push_entry_version(a), col_push_entry_version(b));
}

struct col_push_version col_push_entry_version(const struct col_push_entry *e)
{
	return col_push_version_of(e->version_ms, e->writer);
}

void col_push_entry_stamp(struct col_push_entry *e)
{
	col_push_group_stamp(e->group, col_push_entry_version(e));
}

static bool raise(int64_t *to, int64_t value)
{
	bool higher = value > *to;
	*to = OPS_MAX(*to, value);
	return higher;
}

bool col_push_entry_merge(struct col_push_entry *e, struct col_push_entry *by)
{
	bool changed = col_push_entry_later(by, e);
	if (changed) {
		e->version_ms = by->version_ms;
		e->ttl_ms = by->ttl_ms;
		e->deleted = by->deleted;
		col_push_entry_set_writer(e, by->writer);
	}
	if (col_push_version_later(by->base, e->base)) {
		e->base = by->base;
		changed = true;
	}
	if (e->deleted) {
		e->pushed_ms = e->failed_ms = 0;
	} else {
		changed |= raise(&e->pushed_ms, by->pushed_ms);
		changed |= raise(&e->failed_ms, by->failed_ms);
	}
	return col_push_group_merge(e->group, by->group, e->base) || changed;
}

bool col_push_entry_over(const struct col_push_entry *e, int64_t now_ms)
{
	return !e->deleted && e->ttl_ms > 0 && now_ms - e->pushed_ms > e->ttl_ms;
}

static json_t *encode_version(struct col_push_version v)
{
	json_t *pair = json_array();
	(void)json_array_append_new(pair, json_integer(v.ms));
	(void)json_array_append_new(pair, json_integer((json_int_t)v.writer));
	return pair;
}

/* [milliseconds, hash of the writer]; all 0 when it is something else. */
static struct col_push_version decode_version(const json_t *pair)
{
	return (struct col_push_version){.ms = json_integer_value(json_array_get(pair, 0)),
		.writer = (uint64_t)json_integer_value(json_array_get(pair, 1))};
}

/* Only those that are not of the last push. */
static json_t *encode_families(const struct col_push_entry *e)
{
	struct col_push_version own = col_push_entry_version(e), v;
	json_t *families = json_object();
	for (size_t i = 0; i < col_push_group_families(e->group); i++) {
		const char *name = col_push_group_family(e->group, i, &v);
		if (!col_push_version_equal(v, own)) {
			ops_json_set(families, name, encode_version(v));
		}
	}
	return families;
}

static void decode_families(const json_t *families, struct col_push_entry *e)
{
	const char *name;
	json_t *pair;
	json_object_foreach((json_t *)(uintptr_t)families, name, pair)
	{
		col_push_group_date(e->group, name, decode_version(pair));
	}
	col_push_entry_stamp(e);
}

void col_push_entry_encode(const struct col_push_entry *e, struct ops_strbuf *out)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	const struct ops_labels *key = col_push_group_key(e->group);
	OPS_JSON_AUTO *head = json_object();
	json_t *labels = json_object();
	for (uint32_t i = 0; i < key->n; i++) {
		ops_json_set_string(labels, key->items[i].name, key->items[i].value);
	}
	col_push_group_expose(e->group, &text);
	ops_json_set(head, "labels", labels);
	ops_json_set_i64(head, "pushed_ms", e->pushed_ms);
	ops_json_set_i64(head, "failed_ms", e->failed_ms);
	ops_json_set_i64(head, "ttl_ms", e->ttl_ms);
	ops_json_set_i64(head, "version_ms", e->version_ms);
	ops_json_set_string(head, "writer", e->writer);
	ops_json_set_bool(head, "deleted", e->deleted);
	ops_json_set(head, "base", encode_version(e->base));
	ops_json_set(head, "families", encode_families(e));
	ops_json_set_i64(head, "bytes", (int64_t)text.len);
	ops_strbuf_adds(out, "# ");
	ops_json_dump(head, out);
	ops_strbuf_addc(out, '\n');
	ops_strbuf_add(out, ops_strbuf_text(&text), text.len);
	ops_strbuf_done(&text);
}

static int decode_labels(const json_t *labels, struct ops_labels **ret, struct ops_error *err)
{
	struct ops_labels_builder b;
	const char *name;
	json_t *value;
	int r = 0;
	ops_labels_builder_init(&b);
	json_object_foreach((json_t *)(uintptr_t)labels, name, value)
	{
		const char *text = json_string_value(value);
		if (text == NULL) {
			r = ops_error_set(err, -EINVAL, "label \"%.64s\" is no text", name);
			break;
		}
		ops_labels_builder_set(&b, name, text);
	}
	if (r == 0) {
		*ret = ops_labels_builder_build(&b);
	}
	ops_labels_builder_done(&b);
	return r;
}

/* What is not there stays as it is. */
static int decode_times(
	const json_t *head, struct col_push_entry *e, int64_t *ret_bytes, struct ops_error *err)
{
	const char *writer = json_string_value(json_object_get(head, "writer"));
	int r = ops_json_get_i64(head, "pushed_ms", &e->pushed_ms, err);
	r = r < 0 ? r : ops_json_get_i64(head, "failed_ms", &e->failed_ms, err);
	r = r < 0 ? r : ops_json_get_i64(head, "ttl_ms", &e->ttl_ms, err);
	e->version_ms = e->pushed_ms;
	r = r < 0 ? r : ops_json_get_i64(head, "version_ms", &e->version_ms, err);
	r = r < 0 ? r : ops_json_get_i64(head, "bytes", ret_bytes, err);
	e->deleted = json_is_true(json_object_get(head, "deleted"));
	e->base = decode_version(json_object_get(head, "base"));
	if (writer != NULL) {
		col_push_entry_set_writer(e, writer);
	}
	return r < 0 ? r : 0;
}

/* The head is the caller's to release. */
static int decode_head(const char *line, size_t len, struct col_push_entry **ret, json_t **ret_head,
	int64_t *ret_bytes, struct ops_error *err)
{
	json_t *head = NULL, *labels = NULL;
	struct ops_labels *key = NULL;
	int r = ops_json_parse(line, len, HEAD_LIMIT_BYTES, &head, err);
	r = r != 0 ? r : ops_json_get_object(head, "labels", &labels, err);
	r = r == 1 ? ops_error_set(err, -EBADMSG, "there are no labels") : r;
	r = r != 0 ? r : decode_labels(labels, &key, err);
	if (r == 0) {
		*ret = col_push_entry_new(key, "");
		ops_labels_unref(key);
		r = decode_times(head, *ret, ret_bytes, err);
	}
	*ret_head = head;
	return r;
}

int col_push_entry_decode(const char *text, size_t len, struct col_push_entry **ret,
	size_t *ret_len, struct ops_error *err)
{
	struct col_push_entry *e = NULL;
	const char *end = len > 2 ? memchr(text, '\n', len) : NULL;
	if (end == NULL || memcmp(text, "# {", 3) != 0) {
		return ops_error_set(err, -EBADMSG, "the first line is no JSON comment");
	}
	size_t head = (size_t)(end - text) + 1;
	int64_t bytes = (int64_t)(len - head);
	OPS_JSON_AUTO *said = NULL;
	int r = decode_head(text + 2, head - 3, &e, &said, &bytes, err);
	if (r == 0 && (bytes < 0 || (uint64_t)bytes > len - head)) {
		r = ops_error_set(err, -EBADMSG, "it is cut off");
	}
	if (r == 0) {
		const struct ops_exposition_text body = {text + head, (size_t)bytes};
		r = col_push_group_put(e->group, OPS_EXPOSITION_TEXT, body, true, SIZE_MAX, err);
	}
	if (r == 0) {
		decode_families(json_object_get(said, "families"), e);
	}
	if (r != 0) {
		col_push_entry_free(e);
		return r;
	}
	*ret = e;
	*ret_len = head + (size_t)bytes;
	return 0;
}
