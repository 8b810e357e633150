/* SPDX-License-Identifier: Apache-2.0 */
/* The limits that every message shares stand here, so that no decoder forgets one. */
#include "common/msg/fields.h"

#include <errno.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/model/labels.h"

enum {
	MAX_LABELS = 256,
	MAX_NAME = 1024,
	MAX_VALUE = 64 * 1024
};
#define YEAR_ONE_MS (-62135596800000LL)

static int one_text(const json_t *obj, const struct ops_msg_text *row, struct ops_error *err)
{
	const char *text = NULL;
	int r = ops_json_get_string(obj, row->key, &text, err);
	if (r < 0)
		return r;
	size_t len = r == 0 ? strlen(text) : 0;
	if (len < row->min)
		return ops_error_set(
			err, -EINVAL, "member \"%s\" is missing or too short", row->key);
	if (len > row->max)
		return ops_error_set(
			err, -EINVAL, "member \"%s\" is longer than %zu bytes", row->key, row->max);
	if (len > 0) {
		free(*row->ret);
		*row->ret = ops_xstrdup(text);
	}
	return 0;
}

int ops_msg_texts(const json_t *obj, const struct ops_msg_text *rows, struct ops_error *err)
{
	int r = 0;
	for (; r == 0 && rows->key != NULL; rows++)
		r = one_text(obj, rows, err);
	return r;
}

static int one_label(
	struct ops_labels_builder *b, const char *name, const json_t *value, struct ops_error *err)
{
	size_t name_len = strlen(name), len = json_string_length(value);
	if (!json_is_string(value))
		return ops_error_set(err, -EINVAL, "label \"%.64s\": the value must be text", name);
	if (!ops_label_name_valid(name, name_len) || name_len > MAX_NAME)
		return ops_error_set(err, -EINVAL, "label name \"%.64s\" is not valid", name);
	if (len > MAX_VALUE)
		return ops_error_set(
			err, -EINVAL, "label \"%.64s\" is longer than %d bytes", name, MAX_VALUE);
	ops_labels_builder_set(b, name, json_string_value(value));
	return 0;
}

int ops_msg_labels(
	const json_t *obj, const char *key, struct ops_labels **ret, struct ops_error *err)
{
	json_t *map = NULL;
	int r = ops_json_get_object(obj, key, &map, err);
	if (r != 0)
		return r;
	if (json_object_size(map) > MAX_LABELS)
		return ops_error_set(
			err, -EINVAL, "member \"%s\" has more than %d labels", key, MAX_LABELS);
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (void *at = json_object_iter(map); r == 0 && at != NULL;
		at = json_object_iter_next(map, at))
		r = one_label(&b, json_object_iter_key(at), json_object_iter_value(at), err);
	if (r == 0)
		*ret = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return r;
}

json_t *ops_msg_labels_json(const struct ops_labels *ls)
{
	json_t *j = json_object();
	for (uint32_t i = 0; ls != NULL && i < ls->n; i++)
		ops_json_set_string(j, ls->items[i].name, ls->items[i].value);
	return j;
}

int ops_msg_time(const json_t *obj, const char *key, int64_t *ret_ms, struct ops_error *err)
{
	int64_t ms = 0;
	int r = ops_json_get_time(obj, key, &ms, err);
	if (r < 0)
		return r;
	*ret_ms = ms == YEAR_ONE_MS ? 0 : ms;
	return 0;
}

int ops_msg_one_of(
	const char *key, const char *value, const char *const *words, struct ops_error *err)
{
	struct ops_strbuf all = OPS_STRBUF_INIT;
	for (size_t i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], value) == 0) {
			ops_strbuf_done(&all);
			return 0;
		}
		ops_strbuf_printf(&all, "%s%s", i > 0 ? ", " : "", words[i]);
	}
	ops_error_set(err, -EINVAL, "member \"%s\" has the unknown value \"%.64s\"", key, value);
	ops_error_hint(err, "one of %s", ops_strbuf_text(&all));
	ops_strbuf_done(&all);
	return -EINVAL;
}

bool ops_msg_uuid(const char *s)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		bool hex = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f');
		if (shape[i] == '-' ? s[i] != '-' : !hex)
			return false;
	}
	return s[sizeof(shape) - 1] == '\0';
}

void ops_msg_put(json_t *obj, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		ops_json_set_string(obj, key, text);
}

void ops_msg_put_time(json_t *obj, const char *key, int64_t ms)
{
	if (ms != 0)
		ops_json_set_time(obj, key, ms);
}
