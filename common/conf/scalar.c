/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scalar means is decided by who reads it, never guessed from the text: `no`, 010 and 1e3
 * are strings where a string is wanted. Only numbers and booleans insist on being unquoted, since
 * quotes say "this is text"; durations and sizes are text with a meaning and may have them.
 */
#include "common/conf/conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/number.h"

enum {
	SHOWN = 80 /* bytes of a refused value that a message repeats */
};

const struct ops_conf_node *ops_conf_get(const struct ops_conf_node *mapping, const char *key)
{
	if (mapping == NULL || mapping->type != OPS_CONF_MAPPING)
		return NULL;
	for (size_t i = 0; i < mapping->n; i++) {
		if (strcmp(mapping->keys[i]->text, key) == 0)
			return mapping->items[i];
	}
	return NULL;
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcmp(text, *words) == 0)
			return true;
	}
	return false;
}

bool ops_conf_is_null(const struct ops_conf_node *n)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
	return n == NULL || (n->type == OPS_CONF_SCALAR && !n->quoted && one_of(n->text, words));
}

int ops_conf_error(const struct ops_conf_node *n, struct ops_error *err, const char *fmt, ...)
{
	char message[sizeof(err->message)];
	va_list ap;
	va_start(ap, fmt);
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	va_end(ap);
	if (n == NULL)
		return ops_error_set(err, -EINVAL, "%s", message);
	return ops_error_set_at(err, -EINVAL, n->file, n->line, n->column, "%s", message);
}

static const char *type_text(const struct ops_conf_node *n)
{
	switch (n->type) {
	case OPS_CONF_SCALAR:
		return "a single value";
	case OPS_CONF_SEQUENCE:
		return "a list";
	case OPS_CONF_MAPPING:
		return "a mapping";
	}
	return "nothing";
}

static int refuse(
	const struct ops_conf_node *n, const char *what, const char *wanted, struct ops_error *err)
{
	if (n == NULL)
		return ops_conf_error(n, err, "%s: %s is missing", what, wanted);
	if (n->type != OPS_CONF_SCALAR)
		return ops_conf_error(
			n, err, "%s: expected %s, found %s", what, wanted, type_text(n));
	return ops_conf_error(n, err, "%s: expected %s, found \"%.*s\"", what, wanted,
		(int)OPS_MIN(n->len, SHOWN), n->text);
}

/* A scalar that is not in quotes. */
static int plain(
	const struct ops_conf_node *n, const char *what, const char *wanted, struct ops_error *err)
{
	if (n == NULL || n->type != OPS_CONF_SCALAR)
		return refuse(n, what, wanted, err);
	if (!n->quoted)
		return 0;
	refuse(n, what, wanted, err);
	ops_error_hint(err, "a value in quotes is text: leave them out");
	return -EINVAL;
}

int ops_conf_string(
	const struct ops_conf_node *n, const char *what, const char **ret, struct ops_error *err)
{
	if (n == NULL || n->type != OPS_CONF_SCALAR)
		return refuse(n, what, "text", err);
	*ret = ops_conf_is_null(n) ? "" : n->text;
	return 0;
}

int ops_conf_bool(const struct ops_conf_node *n, const char *what, bool *ret, struct ops_error *err)
{
	static const char *const yes[] = {
		"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", NULL};
	static const char *const no[] = {
		"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", NULL};
	int r = plain(n, what, "true or false", err);
	if (r != 0)
		return r;
	if (one_of(n->text, yes))
		*ret = true;
	else if (one_of(n->text, no))
		*ret = false;
	else
		return refuse(n, what, "true or false", err);
	return 0;
}

int ops_conf_i64(
	const struct ops_conf_node *n, const char *what, int64_t *ret, struct ops_error *err)
{
	int r = plain(n, what, "a whole number", err);
	if (r != 0)
		return r;
	r = ops_parse_i64(n->text, n->len, ret);
	return r != 0 ? refuse(n, what, "a whole number", err) : 0;
}

int ops_conf_double(
	const struct ops_conf_node *n, const char *what, double *ret, struct ops_error *err)
{
	static const struct {
		const char *text;
		double value;
	} special[] = {
		{".inf", __builtin_inf()},
		{"+.inf", __builtin_inf()},
		{"-.inf", -__builtin_inf()},
		{".nan", __builtin_nan("")},
	};
	int r = plain(n, what, "a number", err);
	if (r != 0)
		return r;
	for (size_t i = 0; i < OPS_LENGTH(special); i++) {
		if (strcmp(n->text, special[i].text) == 0) {
			*ret = special[i].value;
			return 0;
		}
	}
	r = ops_parse_double(n->text, n->len, ret);
	return r != 0 ? refuse(n, what, "a number", err) : 0;
}

int ops_conf_duration(
	const struct ops_conf_node *n, const char *what, int64_t *ret_ms, struct ops_error *err)
{
	if (n == NULL || n->type != OPS_CONF_SCALAR)
		return refuse(n, what, "a duration", err);
	if (ops_duration_parse(n->text, n->len, ret_ms) == 0)
		return 0;
	refuse(n, what, "a duration", err);
	int64_t number;
	if (n->len > 0 && ops_parse_i64(n->text, n->len, &number) == 0 && number > 0)
		ops_error_hint(err, "a unit is missing: %ss, %sm, %sms", n->text, n->text, n->text);
	else
		ops_error_hint(err, "write it as 30s, 5m, 1h30m");
	return -EINVAL;
}

int ops_conf_size(
	const struct ops_conf_node *n, const char *what, uint64_t *ret_bytes, struct ops_error *err)
{
	if (n == NULL || n->type != OPS_CONF_SCALAR)
		return refuse(n, what, "a size", err);
	if (ops_parse_size(n->text, n->len, ret_bytes) == 0)
		return 0;
	refuse(n, what, "a size", err);
	ops_error_hint(err, "write it as 512KB, 10MB, 2GB");
	return -EINVAL;
}

int ops_conf_string_list(struct ops_arena *a, const struct ops_conf_node *n, const char *what,
	struct ops_conf_strings *ret, struct ops_error *err)
{
	*ret = (struct ops_conf_strings){NULL, 0};
	if (ops_conf_is_null(n))
		return 0;
	if (n->type != OPS_CONF_SEQUENCE) {
		ops_conf_error(n, err, "%s: expected a list", what);
		ops_error_hint(err, "one entry per line, each after \"- \"");
		return -EINVAL;
	}
	ret->items = ops_arena_array(a, const char *, n->n);
	for (size_t i = 0; i < n->n; i++) {
		int r = ops_conf_string(n->items[i], what, &ret->items[i], err);
		if (r != 0)
			return r;
		ret->n++;
	}
	return 0;
}

uint64_t ops_conf_hash(const struct ops_conf_node *n, uint64_t hash)
{
	if (n == NULL)
		return hash;
	hash = ops_hash64(n->text, n->len, hash + (uint64_t)n->type + 1);
	for (size_t i = 0; i < n->n; i++) {
		hash = n->keys != NULL ? ops_conf_hash(n->keys[i], hash) : hash;
		hash = ops_conf_hash(n->items[i], hash);
	}
	return hash;
}
