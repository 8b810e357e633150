/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A push is parsed into a fresh list of families first and moved into the group only when all of it
 * was good. Families keep the place where they first stood, so that a periodic push gives the same
 * document with other numbers, which the reader compares instead of parsing.
 *
 * Two collectors may have taken pushes to one group before they heard of each other. Each family
 * has the time of its push, and a group that of the last PUT or DELETE, which is its base: of two
 * states every family keeps its later text, and what is earlier than the later base is gone. In
 * whatever order the states meet, the outcome is the same.
 */
#include "services/collector/receive/push_group.h"

#include <errno.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/text.h"
#include "services/collector/families.h"

struct family {
	char *name;
	struct ops_strbuf text; /* HELP, TYPE and samples */
	size_t samples;
	struct col_push_version version;
};

struct list {
	struct family **items;
	size_t n, cap;
};

struct col_push_group {
	struct ops_labels *key;
	struct list families;
};

static void family_free(struct family *f)
{
	ops_strbuf_done(&f->text);
	free(f->name);
	free(f);
}

static void list_done(struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		family_free(l->items[i]);
	}
	free(l->items);
	*l = (struct list){NULL, 0, 0};
}

struct col_push_group *col_push_group_new(struct ops_labels *key)
{
	struct col_push_group *g = ops_xcalloc(1, sizeof(*g));
	g->key = ops_labels_ref(key);
	return g;
}

void col_push_group_free(struct col_push_group *g)
{
	if (g == NULL) {
		return;
	}
	list_done(&g->families);
	ops_labels_unref(g->key);
	free(g);
}

struct ops_labels *col_push_group_key(const struct col_push_group *g)
{
	return g->key;
}

size_t col_push_group_samples(const struct col_push_group *g)
{
	size_t n = 0;
	for (size_t i = 0; i < g->families.n; i++) {
		n += g->families.items[i]->samples;
	}
	return n;
}

/* ---- one document ---- */

struct reader {
	struct ops_exposition p;
	struct col_families known;
	struct ops_arena arena;
	struct ops_map *by_name; /* struct family */
	struct list list;
	const struct ops_labels *key;
	size_t samples, max_samples;
	struct ops_strbuf name;
};

static struct family *family_named(struct reader *r, const char *name, size_t len)
{
	struct family *f = ops_map_get(r->by_name, name, len);
	if (f == NULL) {
		f = ops_xcalloc(1, sizeof(*f));
		f->name = ops_xstrndup(name, len);
		(void)ops_map_put(r->by_name, name, len, f);
		OPS_GROW(r->list.items, r->list.n, r->list.cap);
		r->list.items[r->list.n++] = f;
	}
	return f;
}

static void add_metadata(struct reader *r, int kind)
{
	struct family *f = family_named(r, r->p.name.data, r->p.name.len);
	bool help = kind == OPS_ENTRY_HELP;
	ops_strbuf_printf(&f->text, "# %s ", help ? "HELP" : "TYPE");
	if (ops_metric_name_classic(r->p.name.data, r->p.name.len)) {
		ops_strbuf_add(&f->text, r->p.name.data, r->p.name.len);
	} else {
		ops_strbuf_add_quoted(&f->text, r->p.name.data, r->p.name.len);
	}
	ops_strbuf_addc(&f->text, ' ');
	if (help) {
		ops_strbuf_add_escaped(&f->text, r->p.text.data, r->p.text.len, false);
	} else {
		const char *type = ops_series_type_text(r->p.type);
		ops_strbuf_adds(&f->text, strcmp(type, "unknown") == 0 ? "untyped" : type);
	}
	ops_strbuf_addc(&f->text, '\n');
}

static void add_labels(struct reader *r, struct ops_strbuf *out, bool classic)
{
	size_t begin = out->len;
	ops_strbuf_addc(out, '{');
	if (!classic) {
		ops_strbuf_add_quoted(out, r->p.name.data, r->p.name.len);
	}
	for (size_t i = 0; i < r->p.nlabels; i++) {
		const struct ops_label *l = &r->p.labels[i];
		ops_strbuf_reset(&r->name);
		ops_strbuf_add(&r->name, l->name, l->name_len);
		if (ops_labels_get(r->key, ops_strbuf_text(&r->name)) != NULL) {
			continue;
		}
		if (out->len > begin + 1) {
			ops_strbuf_addc(out, ',');
		}
		ops_label_print(l, out);
	}
	if (out->len == begin + 1) {
		out->len = begin;
	} else {
		ops_strbuf_addc(out, '}');
	}
}

static int add_sample(struct reader *r, struct ops_error *err)
{
	if (r->p.tail.has_time) {
		return ops_error_set_at(
			err, -EINVAL, "", r->p.line, 1, "pushed samples must not have a timestamp");
	}
	if (++r->samples > r->max_samples) {
		return ops_error_set(
			err, -E2BIG, "more than %zu samples in one push", r->max_samples);
	}
	uint32_t at = col_families_of(&r->known, r->p.name);
	const char *name = at != UINT32_MAX ? r->known.items[at].name : r->p.name.data;
	size_t len = at != UINT32_MAX ? strlen(name) : r->p.name.len;
	struct family *f = family_named(r, name, len);
	bool classic = ops_metric_name_classic(r->p.name.data, r->p.name.len);
	if (classic) {
		ops_strbuf_add(&f->text, r->p.name.data, r->p.name.len);
	}
	add_labels(r, &f->text, classic);
	ops_strbuf_addc(&f->text, ' ');
	ops_strbuf_add_double(&f->text, r->p.tail.value);
	ops_strbuf_addc(&f->text, '\n');
	f->samples++;
	return 0;
}

static int read_document(struct reader *r, struct ops_error *err)
{
	for (;;) {
		int kind = ops_exposition_next(&r->p, err);
		if (kind <= 0) {
			return kind;
		}
		if (kind == OPS_ENTRY_SAMPLE) {
			int rc = add_sample(r, err);
			if (rc != 0) {
				return rc;
			}
			continue;
		}
		if (kind == OPS_ENTRY_HELP || kind == OPS_ENTRY_TYPE || kind == OPS_ENTRY_UNIT) {
			col_families_learn(&r->known, (enum ops_exposition_entry)kind, &r->p);
		}
		if (kind == OPS_ENTRY_HELP || kind == OPS_ENTRY_TYPE) {
			add_metadata(r, kind);
		}
	}
}

/* Moves the families of the document into the group. */
static void merge(struct col_push_group *g, struct reader *r, bool replace)
{
	struct list old = g->families;
	g->families = (struct list){NULL, 0, 0};
	for (size_t i = 0; i < old.n; i++) {
		struct family *f = ops_map_removes(r->by_name, old.items[i]->name);
		if (f == NULL && !replace) {
			f = old.items[i];
			old.items[i] = NULL;
		}
		if (f != NULL) {
			OPS_GROW(g->families.items, g->families.n, g->families.cap);
			g->families.items[g->families.n++] = f;
		}
	}
	for (size_t i = 0; i < r->list.n; i++) {
		struct family *f = ops_map_removes(r->by_name, r->list.items[i]->name);
		if (f != NULL) {
			OPS_GROW(g->families.items, g->families.n, g->families.cap);
			g->families.items[g->families.n++] = f;
		}
	}
	for (size_t i = 0; i < old.n; i++) {
		if (old.items[i] != NULL) {
			family_free(old.items[i]);
		}
	}
	free(old.items);
	free(r->list.items);
	r->list = (struct list){NULL, 0, 0};
}

int col_push_group_put(struct col_push_group *g, enum ops_exposition_format format,
	struct ops_exposition_text body, bool replace, size_t max_samples, struct ops_error *err)
{
	struct reader r = {.by_name = ops_map_new(), .key = g->key, .max_samples = max_samples};
	ops_arena_init(&r.arena);
	ops_exposition_init(&r.p);
	col_families_init(&r.known, &r.arena);
	ops_exposition_start(&r.p, format, body.data, body.len);
	int rc = read_document(&r, err);
	if (rc == 0) {
		merge(g, &r, replace);
	}
	list_done(&r.list);
	col_families_done(&r.known);
	ops_exposition_done(&r.p);
	ops_arena_done(&r.arena);
	ops_map_free(r.by_name, NULL);
	ops_strbuf_done(&r.name);
	return rc;
}

/* ---- versions ---- */

struct col_push_version col_push_version_of(int64_t ms, const char *writer)
{
	return (struct col_push_version){ms, ops_hash64(writer, strlen(writer), 0)};
}

bool col_push_version_later(struct col_push_version a, struct col_push_version b)
{
	return a.ms > b.ms || (a.ms == b.ms && a.writer > b.writer);
}

bool col_push_version_equal(struct col_push_version a, struct col_push_version b)
{
	return a.ms == b.ms && a.writer == b.writer;
}

size_t col_push_group_families(const struct col_push_group *g)
{
	return g->families.n;
}

const char *col_push_group_family(
	const struct col_push_group *g, size_t i, struct col_push_version *ret)
{
	*ret = g->families.items[i]->version;
	return g->families.items[i]->name;
}

static size_t find_family(const struct col_push_group *g, const char *name)
{
	size_t i = 0;
	while (i < g->families.n && strcmp(g->families.items[i]->name, name) != 0) {
		i++;
	}
	return i;
}

void col_push_group_date(
	struct col_push_group *g, const char *family, struct col_push_version version)
{
	size_t at = find_family(g, family);
	if (at < g->families.n) {
		g->families.items[at]->version = version;
	}
}

void col_push_group_stamp(struct col_push_group *g, struct col_push_version version)
{
	for (size_t i = 0; i < g->families.n; i++) {
		struct family *f = g->families.items[i];
		f->version = f->version.ms != 0 ? f->version : version;
	}
}

static bool drop_before(struct col_push_group *g, struct col_push_version base)
{
	size_t kept = 0, n = g->families.n;
	for (size_t i = 0; i < n; i++) {
		struct family *f = g->families.items[i];
		if (col_push_version_later(base, f->version)) {
			family_free(f);
		} else {
			g->families.items[kept++] = f;
		}
	}
	g->families.n = kept;
	return kept != n;
}

bool col_push_group_merge(
	struct col_push_group *g, struct col_push_group *from, struct col_push_version base)
{
	bool changed = drop_before(g, base);
	struct ops_map *known = ops_map_new(); /* name -> place + 1 */
	(void)drop_before(from, base);
	for (size_t i = 0; i < g->families.n; i++) {
		(void)ops_map_puts(known, g->families.items[i]->name, (void *)(uintptr_t)(i + 1));
	}
	for (size_t i = 0; i < from->families.n; i++) {
		struct family **theirs = &from->families.items[i];
		uintptr_t at = (uintptr_t)ops_map_gets(known, (*theirs)->name);
		if (at == 0) {
			OPS_GROW(g->families.items, g->families.n, g->families.cap);
			g->families.items[g->families.n++] = *theirs;
			*theirs = ops_xcalloc(1, sizeof(**theirs));
			changed = true;
		} else if (col_push_version_later(
				   (*theirs)->version, g->families.items[at - 1]->version)) {
			struct family *ours = g->families.items[at - 1];
			g->families.items[at - 1] = *theirs;
			*theirs = ours;
			changed = true;
		}
	}
	ops_map_free(known, NULL);
	return changed;
}

void col_push_group_expose(const struct col_push_group *g, struct ops_strbuf *out)
{
	for (size_t i = 0; i < g->families.n; i++) {
		const struct ops_strbuf *text = &g->families.items[i]->text;
		ops_strbuf_add(out, ops_strbuf_text(text), text->len);
	}
}

/* ---- the key ---- */

/* base64url without padding, or with it; "=" alone is the empty text. */
static int decode_value(const char *text, char **ret)
{
	struct ops_strbuf standard = OPS_STRBUF_INIT;
	size_t len = strlen(text);
	while (len > 0 && text[len - 1] == '=') {
		len--;
	}
	for (size_t i = 0; i < len; i++) {
		ops_strbuf_addc(&standard, text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
	}
	while (standard.len % 4 != 0) {
		ops_strbuf_addc(&standard, '=');
	}
	void *data = NULL;
	size_t n = 0;
	int r = ops_base64_decode(ops_strbuf_text(&standard), standard.len, &data, &n);
	ops_strbuf_done(&standard);
	if (r != 0) {
		return r;
	}
	bool good = ops_utf8_valid(data, n) && memchr(data, '\0', n) == NULL;
	*ret = good ? ops_xstrndup(data, n) : NULL;
	free(data);
	return good ? 0 : -EINVAL;
}

static int add_pair(
	struct ops_labels_builder *b, char *name, const char *value, struct ops_error *err)
{
	char *at = strchr(name, '@');
	char *decoded = NULL;
	if (at != NULL && strcmp(at, "@base64") != 0) {
		return ops_error_set(
			err, -EINVAL, "\"%s\" is no label name; @base64 may follow one", name);
	}
	if (at != NULL) {
		*at = '\0';
		if (decode_value(value, &decoded) != 0) {
			return ops_error_set(err, -EINVAL,
				"the value of %s is no base64url of UTF-8 text", name);
		}
	}
	int r = 0;
	if (!ops_label_name_valid(name, strlen(name)) || strcmp(name, OPS_LABEL_NAME) == 0) {
		r = ops_error_set(err, -EINVAL, "\"%s\" cannot be a label of a grouping key", name);
	} else {
		ops_labels_builder_set(b, name, decoded != NULL ? decoded : value);
	}
	free(decoded);
	return r;
}

static int add_pairs(struct ops_labels_builder *b, char *path, struct ops_error *err)
{
	char *name = path;
	while (name != NULL) {
		char *value = strchr(name, '/');
		if (value == NULL) {
			return ops_error_set(err, -EINVAL,
				"the path is /metrics/job/NAME{/LABEL/VALUE}; \"%s\" has no value",
				name);
		}
		*value++ = '\0';
		char *next = strchr(value, '/');
		if (next != NULL) {
			*next++ = '\0';
		}
		int r = add_pair(b, name, value, err);
		if (r != 0) {
			return r;
		}
		name = next;
	}
	return 0;
}

int col_push_key(const char *rest, struct ops_labels **ret, struct ops_error *err)
{
	if (!ops_str_starts(rest, "job/") && !ops_str_starts(rest, "job@base64/")) {
		return ops_error_set(err, -EINVAL, "the path is /metrics/job/NAME{/LABEL/VALUE}");
	}
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	char *path = ops_xstrdup(rest);
	int r = add_pairs(&b, path, err);
	const char *job = ops_labels_builder_get(&b, "job");
	if (r == 0 && (job == NULL || job[0] == '\0')) {
		r = ops_error_set(err, -EINVAL, "the job must not be empty");
	}
	if (r == 0) {
		*ret = ops_labels_builder_build(&b);
	}
	ops_labels_builder_done(&b);
	free(path);
	return r;
}
