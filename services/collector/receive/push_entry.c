/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/receive/push_entry.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/text.h"
#include "common/json/json.h"

enum {
	HEAD_LIMIT_BYTES = 1 << 20
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
	return a->version_ms > b->version_ms ||
	       (a->version_ms == b->version_ms && strcmp(a->writer, b->writer) > 0);
}

bool col_push_entry_over(const struct col_push_entry *e, int64_t now_ms)
{
	return !e->deleted && e->ttl_ms > 0 && now_ms - e->pushed_ms > e->ttl_ms;
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
	if (writer != NULL) {
		col_push_entry_set_writer(e, writer);
	}
	return r < 0 ? r : 0;
}

static int decode_head(const char *line, size_t len, struct col_push_entry **ret,
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
	json_decref(head);
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
	int r = decode_head(text + 2, head - 3, &e, &bytes, err);
	if (r == 0 && (bytes < 0 || (uint64_t)bytes > len - head)) {
		r = ops_error_set(err, -EBADMSG, "it is cut off");
	}
	if (r == 0) {
		const struct ops_exposition_text body = {text + head, (size_t)bytes};
		r = col_push_group_put(e->group, OPS_EXPOSITION_TEXT, body, true, SIZE_MAX, err);
	}
	if (r != 0) {
		col_push_entry_free(e);
		return r;
	}
	*ret = e;
	*ret_len = head + (size_t)bytes;
	return 0;
}
