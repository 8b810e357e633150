/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What else a key table is good for: the values in force as YAML that can be loaded again (but for
 * secrets), the reference page, and the first key that a reload must not touch. Text is always
 * written in double quotes, numbers never, so that typing survives the round trip.
 */
#include "common/conf/conf.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

enum {
	LONG_KEY = 150 /* each byte may need six characters */
};
#define HIDDEN "<secret>"

static void add_indent(struct ops_strbuf *out, int indent)
{
	ops_strbuf_printf(out, "%*s", indent * 2, "");
}

/* YAML breaks lines at more characters than JSON does, and has some that it does not take as they
 * are. */
static bool must_escape(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
	       c == 0xfffe || c == 0xffff;
}

static void add_text(struct ops_strbuf *out, const char *s)
{
	size_t left = s != NULL ? strlen(s) : 0;
	ops_strbuf_addc(out, '"');
	while (left > 0) {
		uint32_t c = 0;
		size_t n = ops_utf8_decode(s, left, &c);
		if (n == 0) { /* not from YAML, which is UTF-8 always */
			n = 1;
			ops_strbuf_adds(out, "\\uFFFD");
		} else if (c == '\n') {
			ops_strbuf_adds(out, "\\n");
		} else if (must_escape(c)) {
			ops_strbuf_printf(out, "\\u%04X", (unsigned)c);
		} else {
			if (c == '"' || c == '\\')
				ops_strbuf_addc(out, '\\');
			ops_strbuf_add(out, s, n);
		}
		s += n;
		left -= n;
	}
	ops_strbuf_addc(out, '"');
}

static void add_double(struct ops_strbuf *out, double v)
{
	if (isnan(v))
		ops_strbuf_adds(out, ".nan");
	else if (isinf(v))
		ops_strbuf_adds(out, v < 0 ? "-.inf" : ".inf");
	else
		ops_strbuf_add_double(out, v);
}

/* ---- nodes ---- */

static bool speaks_of_secret(const char *key)
{
	return !ops_str_ends(key, "_file") &&
	       (strstr(key, "password") != NULL || strstr(key, "secret") != NULL ||
		       strstr(key, "token") != NULL || strcmp(key, "credentials") == 0 ||
		       ops_str_ends(key, "_key") || strstr(key, "PASSWORD") != NULL ||
		       strstr(key, "SECRET") != NULL || strstr(key, "TOKEN") != NULL ||
		       ops_str_ends(key, "_KEY"));
}

/* Whether an unquoted text can be written unquoted again: numbers, words, nothing that YAML reads.
 */
static bool plain_again(const char *s)
{
	static const char alnum[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char safe[] =
		"_./+-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	if (s[0] == '\0' || strcmp(s, "~") == 0)
		return true;
	return s[strspn(s, safe)] == '\0' && strpbrk(s, alnum) != NULL;
}

static void dump_node(const struct ops_conf_node *n, bool hide, int indent, struct ops_strbuf *out);

/* YAML allows 1024 characters for a key on its line; a longer one is marked as such. */
static void dump_key(const char *key, int indent, struct ops_strbuf *out)
{
	bool marked = strlen(key) > LONG_KEY;
	if (marked)
		ops_strbuf_adds(out, "? ");
	add_text(out, key);
	if (marked) {
		ops_strbuf_addc(out, '\n');
		add_indent(out, indent);
	}
	ops_strbuf_addc(out, ':');
}

static void dump_entries(
	const struct ops_conf_node *n, bool hide, int indent, struct ops_strbuf *out)
{
	for (size_t i = 0; i < n->n; i++) {
		bool hide_entry = hide;
		add_indent(out, indent);
		if (n->type == OPS_CONF_SEQUENCE) {
			ops_strbuf_adds(out, "-");
		} else {
			hide_entry = hide || speaks_of_secret(n->keys[i]->text);
			dump_key(n->keys[i]->text, indent, out);
		}
		dump_node(n->items[i], hide_entry, indent + 1, out);
	}
}

/* Continues a line after "key:" or "-", ends it. */
static void dump_node(const struct ops_conf_node *n, bool hide, int indent, struct ops_strbuf *out)
{
	if (n->type != OPS_CONF_SCALAR && n->n > 0) {
		ops_strbuf_addc(out, '\n');
		dump_entries(n, hide, indent, out);
		return;
	}
	ops_strbuf_addc(out, ' ');
	if (n->type == OPS_CONF_SEQUENCE)
		ops_strbuf_adds(out, "[]");
	else if (n->type == OPS_CONF_MAPPING)
		ops_strbuf_adds(out, "{}");
	else if (hide)
		ops_strbuf_adds(out, HIDDEN);
	else if (n->quoted || !plain_again(n->text))
		add_text(out, n->text);
	else
		ops_strbuf_add(out, n->text, n->len);
	ops_strbuf_addc(out, '\n');
}

/* ---- values ---- */

static void dump_strings(const struct ops_conf_strings *list, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, " [");
	for (size_t i = 0; i < list->n; i++) {
		ops_strbuf_adds(out, i > 0 ? ", " : "");
		add_text(out, list->items[i]);
	}
	ops_strbuf_adds(out, "]\n");
}

static void dump_scalar(const struct ops_conf_key *k, const void *field, struct ops_strbuf *out)
{
	char buf[64];
	ops_strbuf_addc(out, ' ');
	if (k->kind == OPS_CONF_K_BOOL) {
		ops_strbuf_adds(out, *(const bool *)field ? "true" : "false");
	} else if (k->kind == OPS_CONF_K_DOUBLE) {
		add_double(out, *(const double *)field);
	} else if (k->kind == OPS_CONF_K_DURATION) {
		ops_strbuf_adds(
			out, ops_duration_format(*(const int64_t *)field, buf, sizeof(buf)));
	} else if (k->kind == OPS_CONF_K_INT) {
		ops_strbuf_printf(out, "%" PRId64, *(const int64_t *)field);
	} else if (k->kind == OPS_CONF_K_SIZE) {
		ops_strbuf_printf(out, "%" PRIu64 "B", *(const uint64_t *)field);
	} else {
		const char *text = *(const char *const *)field;
		bool hide = k->kind == OPS_CONF_K_SECRET && text != NULL && text[0] != '\0';
		if (hide)
			ops_strbuf_adds(out, HIDDEN);
		else
			add_text(out, text);
	}
	ops_strbuf_addc(out, '\n');
}

void ops_conf_dump(
	const struct ops_conf_key *keys, const void *values, int indent, struct ops_strbuf *out)
{
	for (const struct ops_conf_key *k = keys; k->name != NULL; k++) {
		const void *field = (const char *)values + k->offset;
		add_indent(out, indent);
		ops_strbuf_printf(out, "%s:", k->name);
		if (k->kind == OPS_CONF_K_MAPPING) {
			ops_strbuf_addc(out, '\n');
			ops_conf_dump(k->sub, field, indent + 1, out);
		} else if (k->kind == OPS_CONF_K_NODE) {
			const struct ops_conf_node *n = *(const struct ops_conf_node *const *)field;
			if (n == NULL)
				ops_strbuf_addc(out, '\n');
			else
				dump_node(n, speaks_of_secret(k->name), indent + 1, out);
		} else if (k->kind == OPS_CONF_K_STRINGS || k->kind == OPS_CONF_K_PATHS) {
			dump_strings(field, out);
		} else {
			dump_scalar(k, field, out);
		}
	}
}

/* ---- reference page ---- */

static const char *kind_text(enum ops_conf_kind kind)
{
	switch (kind) {
	case OPS_CONF_K_STRING:
		return "text";
	case OPS_CONF_K_PATH:
		return "path";
	case OPS_CONF_K_SECRET:
		return "secret";
	case OPS_CONF_K_BOOL:
		return "true or false";
	case OPS_CONF_K_INT:
		return "whole number";
	case OPS_CONF_K_DOUBLE:
		return "number";
	case OPS_CONF_K_DURATION:
		return "duration";
	case OPS_CONF_K_SIZE:
		return "size";
	case OPS_CONF_K_STRINGS:
		return "list of texts";
	case OPS_CONF_K_PATHS:
		return "list of paths";
	case OPS_CONF_K_MAPPING:
	case OPS_CONF_K_NODE:
		return "mapping";
	}
	return "";
}

static void reference_row(const struct ops_conf_key *k, const char *prefix, struct ops_strbuf *out)
{
	ops_strbuf_printf(out, "| `%s%s` | %s | ", prefix, k->name, kind_text(k->kind));
	if ((k->flags & OPS_CONF_REQUIRED) != 0)
		ops_strbuf_adds(out, "required");
	else if (k->fallback != NULL && k->fallback[0] != '\0')
		ops_strbuf_printf(out, "`%s`", k->fallback);
	ops_strbuf_adds(out, " | ");
	for (const char *c = k->doc != NULL ? k->doc : ""; *c != '\0'; c++) {
		if (*c == '|')
			ops_strbuf_addc(out, '\\');
		ops_strbuf_addc(out, *c);
	}
	if ((k->flags & OPS_CONF_RESTART) != 0)
		ops_strbuf_adds(out, " (a change needs a restart)");
	if ((k->flags & OPS_CONF_DEPRECATED) != 0)
		ops_strbuf_adds(out, " (deprecated)");
	ops_strbuf_adds(out, " |\n");
}

void ops_conf_reference(const struct ops_conf_key *keys, const char *prefix, struct ops_strbuf *out)
{
	for (; keys->name != NULL; keys++) {
		reference_row(keys, prefix, out);
		if (keys->kind != OPS_CONF_K_MAPPING)
			continue;
		OPS_CLEANUP(ops_freep) char *inner = ops_xasprintf("%s%s.", prefix, keys->name);
		ops_conf_reference(keys->sub, inner, out);
	}
}

/* ---- reload ---- */

static bool same_node(const struct ops_conf_node *a, const struct ops_conf_node *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (a->type != b->type || a->n != b->n)
		return false;
	if (a->type == OPS_CONF_SCALAR)
		return a->quoted == b->quoted && strcmp(a->text, b->text) == 0;
	for (size_t i = 0; i < a->n; i++) {
		if (a->type == OPS_CONF_MAPPING && !same_node(a->keys[i], b->keys[i]))
			return false;
		if (!same_node(a->items[i], b->items[i]))
			return false;
	}
	return true;
}

static bool same_strings(const struct ops_conf_strings *a, const struct ops_conf_strings *b)
{
	bool same = a->n == b->n;
	for (size_t i = 0; same && i < a->n; i++)
		same = strcmp(a->items[i], b->items[i]) == 0;
	return same;
}

static bool same_mapping(const struct ops_conf_key *keys, const void *a, const void *b);

static bool same_value(const struct ops_conf_key *k, const void *a, const void *b)
{
	switch (k->kind) {
	case OPS_CONF_K_STRING:
	case OPS_CONF_K_PATH:
	case OPS_CONF_K_SECRET:
		return ops_str_eq(*(const char *const *)a, *(const char *const *)b);
	case OPS_CONF_K_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case OPS_CONF_K_DOUBLE:
	case OPS_CONF_K_INT:
	case OPS_CONF_K_DURATION:
	case OPS_CONF_K_SIZE:
		return memcmp(a, b, sizeof(uint64_t)) == 0;
	case OPS_CONF_K_STRINGS:
	case OPS_CONF_K_PATHS:
		return same_strings(a, b);
	case OPS_CONF_K_NODE:
		return same_node(*(const struct ops_conf_node *const *)a,
			*(const struct ops_conf_node *const *)b);
	case OPS_CONF_K_MAPPING:
		return same_mapping(k->sub, a, b);
	}
	return true;
}

static bool same_mapping(const struct ops_conf_key *keys, const void *a, const void *b)
{
	for (; keys->name != NULL; keys++) {
		size_t at = keys->offset;
		if (!same_value(keys, (const char *)a + at, (const char *)b + at))
			return false;
	}
	return true;
}

const char *ops_conf_restart_needed(
	const struct ops_conf_key *keys, const void *before, const void *after)
{
	for (; keys->name != NULL; keys++) {
		const void *a = (const char *)before + keys->offset;
		const void *b = (const char *)after + keys->offset;
		const char *name = NULL;
		if ((keys->flags & OPS_CONF_RESTART) != 0 && !same_value(keys, a, b))
			name = keys->name;
		else if (keys->kind == OPS_CONF_K_MAPPING)
			name = ops_conf_restart_needed(keys->sub, a, b);
		if (name != NULL)
			return name;
	}
	return NULL;
}
