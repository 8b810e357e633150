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
#define ALPHANUMERIC "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

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

/* scheme://user:password@host: where the password begins, or NULL. */
static const char *url_password(const char *s, size_t *ret_len)
{
	const char *from = strstr(s, "://");
	if (from == NULL)
		return NULL;
	from += 3;
	const char *at = memrchr(from, '@', strcspn(from, "/?#"));
	const char *colon = at != NULL ? memchr(from, ':', (size_t)(at - from)) : NULL;
	if (colon == NULL)
		return NULL;
	*ret_len = (size_t)(at - colon) - 1;
	return colon + 1;
}

/* password=..., as connection strings of PostgreSQL have it. */
static const char *option_password(const char *s, size_t *ret_len)
{
	static const char option[] = "password=";
	const char *from = strstr(s, option);
	if (from == NULL)
		return NULL;
	from += sizeof(option) - 1;
	const char *end = from;
	if (*end == '\'') {
		for (end++; *end != '\0' && *end != '\''; end++)
			end += *end == '\\' && end[1] != '\0';
		end += *end == '\'';
	} else {
		end += strcspn(end, " \t\n&");
	}
	*ret_len = (size_t)(end - from);
	return from;
}

static void add_escaped(struct ops_strbuf *out, const char *s, size_t left)
{
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
}

/* Quoted, without the passwords that it has inside. */
static void add_text(struct ops_strbuf *out, const char *s)
{
	const char *text = s != NULL ? s : "";
	size_t url_len = 0, option_len = 0;
	const char *url = url_password(text, &url_len),
		   *option = option_password(text, &option_len);
	bool url_first = option == NULL || (url != NULL && url < option);
	const struct {
		const char *at;
		size_t len;
	} hidden[] = {{url_first ? url : option, url_first ? url_len : option_len},
		{url_first ? option : url, url_first ? option_len : url_len}};

	ops_strbuf_addc(out, '"');
	for (size_t i = 0; i < OPS_LENGTH(hidden); i++) {
		if (hidden[i].len == 0 || hidden[i].at < text)
			continue;
		add_escaped(out, text, (size_t)(hidden[i].at - text));
		ops_strbuf_adds(out, HIDDEN);
		text = hidden[i].at + hidden[i].len;
	}
	add_escaped(out, text, strlen(text));
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
	return !ops_str_ends(key, "_file") && !ops_str_ends(key, "_url") &&
	       (strstr(key, "password") != NULL || strstr(key, "secret") != NULL ||
		       strstr(key, "token") != NULL || strcmp(key, "credentials") == 0 ||
		       strcmp(key, "key") == 0 || ops_str_ends(key, "_key") ||
		       strstr(key, "PASSWORD") != NULL || strstr(key, "SECRET") != NULL ||
		       strstr(key, "TOKEN") != NULL || ops_str_ends(key, "_KEY"));
}

/* Whether an unquoted text can be written unquoted again: numbers, words, nothing that YAML reads.
 */
static bool plain_again(const char *s)
{
	if (s[0] == '\0' || strcmp(s, "~") == 0)
		return true;
	return s[strspn(s, "_./+-" ALPHANUMERIC)] == '\0' && strpbrk(s, ALPHANUMERIC) != NULL;
}

enum veil { /* over what stands below a key */
	VEIL_NONE,
	VEIL_PATH, /* of a URL */
	VEIL_ALL
};

struct dumper {
	bool origins; /* of URLs these only */
	struct ops_strbuf *out;
};

static void dump_node(
	const struct dumper *d, const struct ops_conf_node *n, enum veil veil, int indent);

static enum veil veil_of(const struct dumper *d, const char *key, enum veil outer)
{
	if (outer == VEIL_ALL || speaks_of_secret(key))
		return VEIL_ALL;
	return d->origins && ops_str_ends(key, "url") ? VEIL_PATH : outer;
}

/* scheme://host/<secret> is still a URL for those who read this. */
static void add_origin(struct ops_strbuf *out, const char *url)
{
	const char *host = strstr(url, "://");
	if (host == NULL) {
		ops_strbuf_adds(out, HIDDEN);
		return;
	}
	host += 3;
	const char *end = host + strcspn(host, "/?#");
	const char *at = memrchr(host, '@', (size_t)(end - host));
	const char *from = at != NULL ? at + 1 : host;
	bool path = end[0] != '\0' && strcmp(end, "/") != 0;
	OPS_CLEANUP(ops_freep)
	char *shown = ops_xasprintf("%.*s%.*s%s", (int)(host - url), url, (int)(end - from), from,
		path ? "/" HIDDEN : end);
	add_text(out, shown);
}

/* A word that no reader of YAML takes for something else. */
static bool plain_key(const char *key)
{
	static const char *const words[] = {
		"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
	for (size_t i = 0; i < OPS_LENGTH(words); i++) {
		if (strcasecmp(key, words[i]) == 0)
			return false;
	}
	size_t len = strlen(key);
	return len > 0 && len <= LONG_KEY && key[0] > '9' &&
	       key[strspn(key, "_" ALPHANUMERIC)] == '\0';
}

/* YAML allows 1024 characters for a key on its line; a longer one is marked as such. */
static void dump_key(const char *key, int indent, struct ops_strbuf *out)
{
	bool marked = strlen(key) > LONG_KEY;
	if (plain_key(key)) {
		ops_strbuf_printf(out, "%s:", key);
		return;
	}
	if (marked)
		ops_strbuf_adds(out, "? ");
	ops_strbuf_addc(out, '"'); /* a name is no secret, and two names stay two */
	add_escaped(out, key, strlen(key));
	ops_strbuf_addc(out, '"');
	if (marked) {
		ops_strbuf_addc(out, '\n');
		add_indent(out, indent);
	}
	ops_strbuf_addc(out, ':');
}

/* inlined: the first entry goes on in the line of its "-". */
static void dump_entries(const struct dumper *d, const struct ops_conf_node *n, enum veil veil,
	int indent, bool inlined)
{
	for (size_t i = 0; i < n->n; i++) {
		enum veil below = veil;
		if (i > 0 || !inlined)
			add_indent(d->out, indent);
		if (n->type == OPS_CONF_SEQUENCE) {
			const struct ops_conf_node *item = n->items[i];
			ops_strbuf_adds(d->out, "-");
			if (item->type == OPS_CONF_MAPPING && item->n > 0) {
				ops_strbuf_addc(d->out, ' ');
				dump_entries(d, item, veil, indent + 1, true);
				continue;
			}
		} else {
			below = veil_of(d, n->keys[i]->text, veil);
			dump_key(n->keys[i]->text, indent, d->out);
		}
		dump_node(d, n->items[i], below, indent + 1);
	}
}

/* Continues a line after "key:" or "-", ends it. */
static void dump_node(
	const struct dumper *d, const struct ops_conf_node *n, enum veil veil, int indent)
{
	struct ops_strbuf *out = d->out;
	if (n->type != OPS_CONF_SCALAR && n->n > 0) {
		ops_strbuf_addc(out, '\n');
		dump_entries(d, n, veil, indent, false);
		return;
	}
	ops_strbuf_addc(out, ' ');
	if (n->type == OPS_CONF_SEQUENCE)
		ops_strbuf_adds(out, "[]");
	else if (n->type == OPS_CONF_MAPPING)
		ops_strbuf_adds(out, "{}");
	else if (veil == VEIL_ALL)
		ops_strbuf_adds(out, HIDDEN);
	else if (veil == VEIL_PATH)
		add_origin(out, n->text);
	else if (n->quoted || !plain_again(n->text))
		add_text(out, n->text);
	else
		ops_strbuf_add(out, n->text, n->len);
	ops_strbuf_addc(out, '\n');
}

void ops_conf_dump_node(const struct ops_conf_node *n, bool origins, struct ops_strbuf *out)
{
	dump_entries(&(struct dumper){origins, out}, n, VEIL_NONE, 0, false);
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
	const struct dumper plain = {false, out};
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
				dump_node(
					&plain, n, veil_of(&plain, k->name, VEIL_NONE), indent + 1);
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
