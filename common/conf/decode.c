/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table row per key is all that the rest of the program knows about a configuration file: the
 * same rows decode it here, print it and document it (dump.c), and say what a reload cannot change.
 *
 * A null value (`key:`) is the same as no key, as everywhere in this family of programs. Defaults
 * are written as text and go through the same readers as the file's values, so that a wrong default
 * is found by the first test that decodes an empty mapping.
 */
#include "common/conf/conf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"

struct decoder {
	struct ops_arena *arena;
	const char *file; /* of the outermost mapping; NULL when all is defaults */
	struct ops_conf_warnings *warnings;
	struct ops_error *err;
};

void ops_conf_warn(
	struct ops_conf_warnings *w, const struct ops_conf_node *at, const char *fmt, ...)
{
	if (w == NULL)
		return;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	if (at != NULL)
		ops_strbuf_printf(&text, "%s:%d:%d: ", at->file, at->line, at->column);
	va_list ap;
	va_start(ap, fmt);
	ops_strbuf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (w->n == w->cap) {
		size_t cap = w->cap != 0 ? w->cap * 2 : 8;
		const char **items = ops_arena_array(w->arena, const char *, cap);
		if (w->n != 0)
			memcpy(items, w->items, w->n * sizeof(*items));
		w->items = items;
		w->cap = cap;
	}
	w->items[w->n++] = ops_arena_strndup(w->arena, ops_strbuf_text(&text), text.len);
	ops_strbuf_done(&text);
}

/* ---- unknown keys ---- */

enum {
	LONGEST = 64 /* names beyond it are not compared */
};

/* Restricted Damerau-Levenshtein distance: a swap of neighbours counts once. */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned row[3][LONGEST + 1];
	for (size_t j = 0; j <= b_len; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned *now = row[i % 3], *up = row[(i - 1) % 3], *above = row[(i + 1) % 3];
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);
			best = OPS_MIN(best, up[j] + 1);
			best = OPS_MIN(best, now[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				best = OPS_MIN(best, above[j - 2] + 1);
			now[j] = best;
		}
	}
	return row[a_len % 3][b_len];
}

const char *ops_conf_nearest(const char *word, const char *const *known, size_t n)
{
	size_t len = strlen(word);
	if (len == 0 || len > LONGEST)
		return NULL;
	unsigned best = (unsigned)len / 3 + 2;
	const char *ret = NULL;
	for (size_t i = 0; i < n; i++) {
		size_t known_len = strlen(known[i]);
		if (known_len > LONGEST)
			continue;
		unsigned d = distance(word, len, known[i], known_len);
		if (d < best) {
			best = d;
			ret = known[i];
		}
	}
	return ret;
}

static size_t count_keys(const struct ops_conf_key *keys)
{
	size_t n = 0;
	while (keys[n].name != NULL)
		n++;
	return n;
}

static int refuse_key(
	const struct decoder *d, const struct ops_conf_node *key, const struct ops_conf_key *keys)
{
	size_t n = count_keys(keys);
	OPS_CLEANUP(ops_freep) const char **names = ops_xcalloc(n, sizeof(*names));
	struct ops_strbuf all = OPS_STRBUF_INIT;
	for (size_t i = 0; i < n; i++) {
		names[i] = keys[i].name;
		ops_strbuf_printf(&all, "%s%s", i > 0 ? ", " : "", keys[i].name);
	}
	ops_conf_error(key, d->err, "unknown key \"%s\"", key->text);
	const char *near = ops_conf_nearest(key->text, names, n);
	if (near != NULL)
		ops_error_hint(d->err, "did you mean \"%s\"?", near);
	else
		ops_error_hint(d->err, "known here: %s", ops_strbuf_text(&all));
	ops_strbuf_done(&all);
	return -EINVAL;
}

static int check_known(const struct decoder *d, const struct ops_conf_node *mapping,
	const struct ops_conf_key *keys)
{
	for (size_t i = 0; i < mapping->n; i++) {
		const struct ops_conf_key *k = keys;
		while (k->name != NULL && strcmp(k->name, mapping->keys[i]->text) != 0)
			k++;
		if (k->name == NULL)
			return refuse_key(d, mapping->keys[i], keys);
		if ((k->flags & OPS_CONF_DEPRECATED) != 0)
			ops_conf_warn(d->warnings, mapping->keys[i], "key \"%s\" is deprecated%s%s",
				k->name, k->doc != NULL ? ": " : "", k->doc != NULL ? k->doc : "");
	}
	return 0;
}

/* ---- values ---- */

/* As seen from the file's folder; defaults too. */
static const char *resolve(const struct decoder *d, const char *path)
{
	if (path[0] == '\0' || path[0] == '/' || d->file == NULL)
		return path;
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(d->file);
	if (strcmp(dir, ".") == 0)
		return path;
	OPS_CLEANUP(ops_freep) char *joined = ops_path_join(dir, path);
	return ops_arena_strdup(d->arena, joined);
}

static int decode_text(const struct decoder *d, const struct ops_conf_node *n,
	const struct ops_conf_key *k, void *field)
{
	const char *text;
	int r = ops_conf_string(n, k->name, &text, d->err);
	if (r != 0)
		return r;
	*(const char **)field = k->kind == OPS_CONF_K_PATH ? resolve(d, text) : text;
	return 0;
}

static int decode_list(const struct decoder *d, const struct ops_conf_node *n,
	const struct ops_conf_key *k, void *field)
{
	struct ops_conf_strings *list = field;
	int r = ops_conf_string_list(d->arena, n, k->name, list, d->err);
	for (size_t i = 0; k->kind == OPS_CONF_K_PATHS && i < list->n; i++)
		list->items[i] = resolve(d, list->items[i]);
	return r;
}

static void bound_text(const struct ops_conf_key *k, int64_t bound, char *buf, size_t size)
{
	if (k->kind == OPS_CONF_K_DURATION)
		ops_duration_format(bound, buf, size);
	else
		snprintf(buf, size, "%" PRId64 "%s", bound, k->kind == OPS_CONF_K_SIZE ? "B" : "");
}

static int check_range(const struct decoder *d, const struct ops_conf_node *n,
	const struct ops_conf_key *k, int64_t value)
{
	if (k->max <= 0 || (value >= k->min && value <= k->max))
		return 0;
	char low[64], high[64];
	bound_text(k, k->min, low, sizeof(low));
	bound_text(k, k->max, high, sizeof(high));
	ops_conf_error(n, d->err, "%s: \"%s\" is out of range", k->name, n->text);
	ops_error_hint(d->err, "from %s to %s", low, high);
	return -EINVAL;
}

static int decode_number(const struct decoder *d, const struct ops_conf_node *n,
	const struct ops_conf_key *k, void *field)
{
	int64_t value = 0;
	uint64_t bytes = 0;
	int r;
	if (k->kind == OPS_CONF_K_SIZE) {
		r = ops_conf_size(n, k->name, &bytes, d->err);
		value = (int64_t)OPS_MIN(bytes, (uint64_t)INT64_MAX);
	} else if (k->kind == OPS_CONF_K_DURATION) {
		r = ops_conf_duration(n, k->name, &value, d->err);
	} else {
		r = ops_conf_i64(n, k->name, &value, d->err);
	}
	if (r == 0)
		r = check_range(d, n, k, value);
	if (r != 0)
		return r;
	if (k->kind == OPS_CONF_K_SIZE)
		*(uint64_t *)field = bytes;
	else
		*(int64_t *)field = value;
	return 0;
}

/* n is neither null nor of a nested table. */
static int decode_value(const struct decoder *d, const struct ops_conf_node *n,
	const struct ops_conf_key *k, void *field)
{
	switch (k->kind) {
	case OPS_CONF_K_STRING:
	case OPS_CONF_K_PATH:
	case OPS_CONF_K_SECRET:
		return decode_text(d, n, k, field);
	case OPS_CONF_K_BOOL:
		return ops_conf_bool(n, k->name, field, d->err);
	case OPS_CONF_K_DOUBLE:
		return ops_conf_double(n, k->name, field, d->err);
	case OPS_CONF_K_INT:
	case OPS_CONF_K_DURATION:
	case OPS_CONF_K_SIZE:
		return decode_number(d, n, k, field);
	case OPS_CONF_K_STRINGS:
	case OPS_CONF_K_PATHS:
		return decode_list(d, n, k, field);
	case OPS_CONF_K_NODE:
		*(const struct ops_conf_node **)field = n;
		return 0;
	case OPS_CONF_K_MAPPING:
		break;
	}
	ops_assert(k->kind != OPS_CONF_K_MAPPING); /* its caller decodes a nested table */
	return -EINVAL;
}

static int decode_default(const struct decoder *d, const struct ops_conf_node *mapping,
	const struct ops_conf_key *k, void *field)
{
	if (k->fallback == NULL)
		return 0;
	struct ops_conf_node *n = ops_arena_new(d->arena, struct ops_conf_node);
	n->type = OPS_CONF_SCALAR;
	n->text = k->fallback;
	n->len = strlen(k->fallback);
	if (mapping != NULL) {
		n->file = mapping->file;
		n->line = mapping->line;
		n->column = mapping->column;
	}
	return decode_value(d, n, k, field);
}

static int decode_mapping(const struct decoder *d, const struct ops_conf_node *mapping,
	const struct ops_conf_key *keys, void *out);

static int decode_key(const struct decoder *d, const struct ops_conf_node *mapping,
	const struct ops_conf_key *k, void *out)
{
	void *field = (char *)out + k->offset;
	const struct ops_conf_node *n = ops_conf_get(mapping, k->name);
	if (ops_conf_is_null(n))
		n = NULL;
	if (n == NULL && mapping != NULL && (k->flags & OPS_CONF_REQUIRED) != 0)
		return ops_conf_error(mapping, d->err, "key \"%s\" is missing", k->name);
	if (k->kind == OPS_CONF_K_MAPPING) {
		if (n != NULL && n->type != OPS_CONF_MAPPING)
			return ops_conf_error(n, d->err, "%s: expected a mapping", k->name);
		return decode_mapping(d, n, k->sub, field);
	}
	return n != NULL ? decode_value(d, n, k, field) : decode_default(d, mapping, k, field);
}

static int decode_mapping(const struct decoder *d, const struct ops_conf_node *mapping,
	const struct ops_conf_key *keys, void *out)
{
	int r = mapping != NULL ? check_known(d, mapping, keys) : 0;
	for (; r == 0 && keys->name != NULL; keys++)
		r = decode_key(d, mapping, keys, out);
	return r;
}

int ops_conf_decode(struct ops_arena *a, const struct ops_conf_node *mapping,
	const struct ops_conf_key *keys, void *out, struct ops_conf_warnings *warnings,
	struct ops_error *err)
{
	struct ops_conf_node empty;
	if (mapping != NULL && ops_conf_is_null(mapping)) {
		empty = (struct ops_conf_node){.type = OPS_CONF_MAPPING,
			.file = mapping->file,
			.line = mapping->line,
			.column = mapping->column};
		mapping = &empty;
	}
	if (mapping != NULL && mapping->type != OPS_CONF_MAPPING)
		return ops_conf_error(mapping, err, "expected a mapping of keys to values");
	struct decoder d = {.arena = a,
		.file = mapping != NULL ? mapping->file : NULL,
		.warnings = warnings,
		.err = err};
	return decode_mapping(&d, mapping, keys, out);
}
