/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing: jansson already bounds nesting (2048) and refuses NUL, bad UTF-8, NaN and numbers out of
 * range; we add the size limit and refuse duplicate keys, because two readers of one document must
 * not see different values.
 *
 * Printing is our own walk: jansson prints 0.1 as 0.10000000000000001. A real keeps a point or an
 * exponent, so that it comes back as a real and 1e20 does not come back as an integer out of range.
 */
#include "common/json/json.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"

int ops_json_parse(
	const char *s, size_t len, size_t limit_bytes, json_t **ret, struct ops_error *err)
{
	json_error_t why;

	if (len > limit_bytes)
		return ops_error_set(err, -EFBIG,
			"JSON document of %zu bytes is over the limit of %zu", len, limit_bytes);
	json_t *j = json_loadb(s, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (j == NULL)
		return ops_error_set_at(
			err, -EINVAL, NULL, why.line, why.column, "not valid JSON: %s", why.text);
	*ret = j;
	return 0;
}

/* Jansson's iterators want a mutable value though they only read it. */
static json_t *unconst(const json_t *j)
{
	return (json_t *)(uintptr_t)j;
}

static void dump_object(const json_t *j, struct ops_strbuf *out)
{
	const char *key, *comma = "";
	json_t *value;

	ops_strbuf_addc(out, '{');
	json_object_foreach(unconst(j), key, value)
	{
		ops_strbuf_adds(out, comma);
		ops_strbuf_add_json(out, key, strlen(key));
		ops_strbuf_addc(out, ':');
		ops_json_dump(value, out);
		comma = ",";
	}
	ops_strbuf_addc(out, '}');
}

static void dump_array(const json_t *j, struct ops_strbuf *out)
{
	size_t n = json_array_size(j);

	ops_strbuf_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			ops_strbuf_addc(out, ',');
		ops_json_dump(json_array_get(j, i), out);
	}
	ops_strbuf_addc(out, ']');
}

static void dump_real(double v, struct ops_strbuf *out)
{
	size_t start = out->len;

	ops_strbuf_add_double(out, v);
	if (strpbrk(out->data + start, ".e") == NULL)
		ops_strbuf_adds(out, ".0");
}

void ops_json_dump(const json_t *j, struct ops_strbuf *out)
{
	switch (j != NULL ? json_typeof(j) : JSON_NULL) {
	case JSON_OBJECT:
		dump_object(j, out);
		break;
	case JSON_ARRAY:
		dump_array(j, out);
		break;
	case JSON_STRING:
		ops_strbuf_add_json(out, json_string_value(j), json_string_length(j));
		break;
	case JSON_INTEGER:
		ops_strbuf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
		break;
	case JSON_REAL:
		dump_real(json_real_value(j), out);
		break;
	case JSON_TRUE:
		ops_strbuf_adds(out, "true");
		break;
	case JSON_FALSE:
		ops_strbuf_adds(out, "false");
		break;
	case JSON_NULL:
		ops_strbuf_adds(out, "null");
		break;
	}
}

char *ops_json_text(const json_t *j)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;

	ops_json_dump(j, &out);
	return ops_strbuf_take(&out);
}

static const char *type_name(const json_t *j)
{
	if (j == NULL)
		return "null";
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}
	return "of an unknown type";
}

static int wrong_type(const char *key, const json_t *got, const char *want, struct ops_error *err)
{
	return ops_error_set(
		err, -EINVAL, "member \"%s\" is %s, not %s", key, type_name(got), want);
}

/* 0 and the member, 1 absent or null, -EINVAL when obj is no object. */
static int find(const json_t *obj, const char *key, json_t **ret, struct ops_error *err)
{
	if (!json_is_object(obj))
		return ops_error_set(err, -EINVAL, "value is %s, not an object with member \"%s\"",
			obj != NULL ? type_name(obj) : "missing", key);
	json_t *member = json_object_get(obj, key);
	if (member == NULL || json_is_null(member))
		return 1;
	*ret = member;
	return 0;
}

int ops_json_get_string(const json_t *obj, const char *key, const char **ret, struct ops_error *err)
{
	json_t *j = NULL;
	int r = find(obj, key, &j, err);

	if (r != 0)
		return r;
	if (!json_is_string(j))
		return wrong_type(key, j, "a string", err);
	*ret = json_string_value(j);
	return 0;
}

int ops_json_get_i64(const json_t *obj, const char *key, int64_t *ret, struct ops_error *err)
{
	json_t *j = NULL;
	int r = find(obj, key, &j, err);

	if (r != 0)
		return r;
	if (!json_is_integer(j))
		return wrong_type(key, j, "an integer", err);
	*ret = json_integer_value(j);
	return 0;
}

int ops_json_get_double(const json_t *obj, const char *key, double *ret, struct ops_error *err)
{
	json_t *j = NULL;
	int r = find(obj, key, &j, err);

	if (r != 0)
		return r;
	if (!json_is_number(j))
		return wrong_type(key, j, "a number", err);
	*ret = json_number_value(j);
	return 0;
}

int ops_json_get_bool(const json_t *obj, const char *key, bool *ret, struct ops_error *err)
{
	json_t *j = NULL;
	int r = find(obj, key, &j, err);

	if (r != 0)
		return r;
	if (!json_is_boolean(j))
		return wrong_type(key, j, "a boolean", err);
	*ret = json_is_true(j);
	return 0;
}

/* 0001-01-01T00:00:00Z, how Go writes a time that is not set. */
#define ZERO_TIME_MS (-62135596800000)

int ops_json_get_time(const json_t *obj, const char *key, int64_t *ret_ms, struct ops_error *err)
{
	json_t *j = NULL;
	int64_t ms = 0;
	int r = find(obj, key, &j, err);

	if (r != 0)
		return r;
	if (json_is_number(j)) {
		double seconds = json_number_value(j);
		if (fabs(seconds) > 1e12)
			return ops_error_set(
				err, -EINVAL, "member \"%s\" is no time in seconds", key);
		*ret_ms = (int64_t)llround(seconds * 1000);
		return 0;
	}
	if (!json_is_string(j))
		return wrong_type(key, j, "a time", err);
	r = ops_time_parse(json_string_value(j), json_string_length(j), &ms);
	if (r != 0) {
		ops_error_set(
			err, r, "member \"%s\" is no time: \"%.64s\"", key, json_string_value(j));
		ops_error_hint(err, "RFC 3339 is wanted, for example 2026-11-20T21:00:00Z");
		return r;
	}
	*ret_ms = ms == ZERO_TIME_MS ? 0 : ms;
	return 0;
}

int ops_json_get_object(const json_t *obj, const char *key, json_t **ret, struct ops_error *err)
{
	json_t *j = NULL;
	int r = find(obj, key, &j, err);

	if (r != 0)
		return r;
	if (!json_is_object(j))
		return wrong_type(key, j, "an object", err);
	*ret = j;
	return 0;
}

int ops_json_get_array(const json_t *obj, const char *key, json_t **ret, struct ops_error *err)
{
	json_t *j = NULL;
	int r = find(obj, key, &j, err);

	if (r != 0)
		return r;
	if (!json_is_array(j))
		return wrong_type(key, j, "an array", err);
	*ret = j;
	return 0;
}

static bool is_listed(const char *key, const char *const *list)
{
	while (*list != NULL && strcmp(*list, key) != 0)
		list++;
	return *list != NULL;
}

int ops_json_only(const json_t *obj, const char *const *allowed, struct ops_error *err)
{
	const char *key;
	json_t *value;

	if (!json_is_object(obj))
		return ops_error_set(err, -EINVAL, "value is %s, not an object",
			obj != NULL ? type_name(obj) : "missing");
	json_object_foreach(unconst(obj), key, value)
	{
		if (!is_listed(key, allowed))
			return ops_error_set(err, -EINVAL, "unknown member \"%.128s\"", key);
	}
	return 0;
}

void ops_json_set(json_t *obj, const char *key, json_t *value_taken)
{
	int r = json_object_set_new(obj, key, value_taken);

	ops_assert(r == 0);
}

void ops_json_set_string(json_t *obj, const char *key, const char *s)
{
	struct ops_strbuf clean = OPS_STRBUF_INIT;

	if (s == NULL) {
		ops_json_set(obj, key, json_null());
		return;
	}
	json_t *text = json_string(s);
	if (text == NULL) { /* not UTF-8 */
		ops_strbuf_add_utf8(&clean, s, strlen(s));
		text = json_stringn_nocheck(clean.data, clean.len);
		ops_strbuf_done(&clean);
	}
	ops_json_set(obj, key, text);
}

void ops_json_set_i64(json_t *obj, const char *key, int64_t v)
{
	ops_json_set(obj, key, json_integer(v));
}

void ops_json_set_bool(json_t *obj, const char *key, bool v)
{
	ops_json_set(obj, key, json_boolean(v));
}

void ops_json_set_time(json_t *obj, const char *key, int64_t ms)
{
	char text[40];

	if (ms == 0)
		ops_json_set_string(obj, key, "0001-01-01T00:00:00Z");
	else
		ops_json_set_string(obj, key, ops_time_format(ms, text, sizeof(text)));
}
