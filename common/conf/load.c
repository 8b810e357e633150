/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text to a tree of nodes, over libyaml's events (the only folder that calls yaml_*).
 *
 * Why events and not libyaml's documents: the limits must hold while reading. libyaml itself takes
 * quadratic time in the nesting depth (64,000 brackets cost a quarter of a minute), expands
 * nothing, and lets duplicate keys, unknown aliases and several documents pass; all that is refused
 * here.
 *
 * Aliases are links to the anchored node, so a tree may share parts: it stays immutable and free of
 * cycles (an alias inside its own anchor is an error). What sharing could hide from a reader that
 * walks the tree is bounded instead: each node knows how many nodes a walk of it visits and how
 * deep it goes, aliases and merges may add MAX_SHARED visits in all, and a link counts with its
 * full depth. The merge key << copies the pointers of a mapping's entries; keys that are written
 * out win, then the earlier of several merged mappings.
 *
 * Positions are 1-based; libyaml's are not. Columns count characters, not bytes.
 */
#include "common/conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "common/base/file.h"
#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/conf/env.h"

enum {
	MAX_DEPTH = 64,
	MAX_SHARED = 100000
};
#define MAX_BYTES ((size_t)4 << 20)

/* What the loader knows about a node beyond its public part. */
struct loaded {
	struct ops_conf_node node;
	size_t visits; /* nodes in a walk of it */
	int height;    /* 0 for a scalar */
	bool open;     /* its end was not seen yet */
};

struct frame {
	struct loaded *node;
	struct loaded **items; /* keys and values in turn for a mapping */
	size_t n, cap;
};

struct loader {
	yaml_parser_t yaml;
	struct ops_arena *arena;
	const char *file, *text;
	size_t len;
	bool expand_env, keep_unset;
	bool *ret_more;
	struct ops_error *err;
	struct frame stack[MAX_DEPTH];
	int depth;
	struct ops_map *anchors; /* name -> struct loaded, borrowed */
	size_t shared, env_bytes;
	struct loaded *root;
};

#define FAIL(l, mark, ...)                                                                         \
	ops_error_set_at((l)->err, -EINVAL, (l)->file, (int)(mark).line + 1,                       \
		(int)(mark).column + 1, __VA_ARGS__)
#define FAIL_NODE(l, n, ...)                                                                       \
	ops_error_set_at((l)->err, -EINVAL, (l)->file, (n)->line, (n)->column, __VA_ARGS__)

/* ---- nodes ---- */

static struct loaded *new_node(struct loader *l, enum ops_conf_type type, yaml_mark_t mark)
{
	struct loaded *n = ops_arena_new(l->arena, struct loaded);
	n->node.type = type;
	n->node.file = l->file;
	n->node.line = (int)mark.line + 1;
	n->node.column = (int)mark.column + 1;
	n->node.text = "";
	n->visits = 1;
	return n;
}

static bool in_key_position(const struct loader *l)
{
	if (l->depth == 0)
		return false;
	const struct frame *top = &l->stack[l->depth - 1];
	return top->node->node.type == OPS_CONF_MAPPING && top->n % 2 == 0;
}

static int attach(struct loader *l, struct loaded *n, yaml_mark_t mark)
{
	if (l->depth == 0) {
		l->root = n;
		return 0;
	}
	if (in_key_position(l) && n->node.type != OPS_CONF_SCALAR)
		return FAIL(l, mark, "a key must be plain text, not a list or a mapping");
	struct frame *top = &l->stack[l->depth - 1];
	OPS_GROW(top->items, top->n, top->cap);
	top->items[top->n++] = n;
	return 0;
}

static void remember_anchor(struct loader *l, const yaml_char_t *anchor, struct loaded *n)
{
	if (anchor != NULL)
		(void)ops_map_puts(l->anchors, (const char *)anchor, n);
}

static int share(struct loader *l, const struct loaded *n, yaml_mark_t mark)
{
	if (n->visits > MAX_SHARED - l->shared)
		return FAIL(l, mark, "aliases stand for more than %d nodes", MAX_SHARED);
	l->shared += n->visits;
	return 0;
}

/* Tags change nothing but !!str, which is as good as quotes. */
static int check_tag(struct loader *l, const yaml_char_t *tag, yaml_mark_t mark, bool *ret_string)
{
	static const char *const known[] = {"str", "int", "float", "bool", "null", "map", "seq"};
	static const char prefix[] = "tag:yaml.org,2002:";
	*ret_string = false;
	if (tag == NULL || strcmp((const char *)tag, "!") == 0)
		return 0;
	if (ops_str_starts((const char *)tag, prefix)) {
		const char *name = (const char *)tag + sizeof(prefix) - 1;
		for (size_t i = 0; i < OPS_LENGTH(known); i++) {
			if (strcmp(name, known[i]) != 0)
				continue;
			*ret_string = i == 0;
			return 0;
		}
	}
	return FAIL(l, mark, "unknown tag \"%s\"", (const char *)tag);
}

/* ---- scalars ---- */

static int expand_env(struct loader *l, struct ops_conf_node *n)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	const char *what = NULL;
	int r = ops_conf_env_expand(n->text, n->len, l->keep_unset, &out, &what);
	if (r != 0) {
		FAIL_NODE(l, n, "%s", what);
		ops_error_hint(l->err, "%s",
			r == -ENOENT ? "set it, or give a default: ${NAME:-default}"
				     : "write $${ for a literal ${");
		r = -EINVAL;
	} else if (out.len > MAX_BYTES - l->env_bytes) {
		r = FAIL_NODE(l, n, "environment variables make the text larger than %zu bytes",
			MAX_BYTES);
	} else {
		l->env_bytes += out.len;
		n->len = out.len;
		n->text = ops_arena_strndup(l->arena, ops_strbuf_text(&out), out.len);
	}
	ops_strbuf_done(&out);
	return r;
}

/* The columns before a block scalar's first line that is not empty; they are not in its text. */
static int block_indent(const struct loader *l, size_t header)
{
	const char *end = l->text + l->len;
	const char *at = l->text + OPS_MIN(header, l->len);
	int columns = 0;
	while (at < end && *at != '\n')
		at++;
	for (; at < end && (*at == '\n' || *at == '\r' || *at == ' '); at++)
		columns = *at == ' ' ? columns + 1 : 0;
	return columns;
}

static int on_scalar(struct loader *l, const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;
	size_t len = e->data.scalar.length;
	yaml_scalar_style_t style = e->data.scalar.style;
	bool string;
	int r = check_tag(l, e->data.scalar.tag, e->start_mark, &string);
	if (r != 0)
		return r;
	if (memchr(text, '\0', len) != NULL)
		return FAIL(l, e->start_mark, "text holds a NUL byte");
	struct loaded *n = new_node(l, OPS_CONF_SCALAR, e->start_mark);
	n->node.text = ops_arena_strndup(l->arena, text, len);
	n->node.len = len;
	n->node.quoted = string || style != YAML_PLAIN_SCALAR_STYLE;
	if (style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE)
		n->node.indent = block_indent(l, e->start_mark.index);
	bool expandable =
		style == YAML_PLAIN_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	if (l->expand_env && expandable && !in_key_position(l) &&
		strchr(n->node.text, '$') != NULL) {
		r = expand_env(l, &n->node);
		if (r != 0)
			return r;
	}
	remember_anchor(l, e->data.scalar.anchor, n);
	return attach(l, n, e->start_mark);
}

static int on_alias(struct loader *l, const yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;
	struct loaded *n = ops_map_gets(l->anchors, name);
	if (n == NULL) {
		FAIL(l, e->start_mark, "alias \"*%s\" has no anchor", name);
		ops_error_hint(l->err,
			"an anchor \"&%s\" must stand before it; quote the text if none is meant",
			name);
		return -EINVAL;
	}
	if (n->open)
		return FAIL(l, e->start_mark, "alias \"*%s\" stands inside its own anchor", name);
	if (l->depth + n->height > MAX_DEPTH)
		return FAIL(l, e->start_mark, "nested deeper than %d levels", MAX_DEPTH);
	int r = share(l, n, e->start_mark);
	return r != 0 ? r : attach(l, n, e->start_mark);
}

/* ---- collections ---- */

static int on_open(struct loader *l, enum ops_conf_type type, const yaml_event_t *e)
{
	bool mapping = type == OPS_CONF_MAPPING, string;
	int r = check_tag(l, mapping ? e->data.mapping_start.tag : e->data.sequence_start.tag,
		e->start_mark, &string);
	if (r != 0)
		return r;
	if (string)
		return FAIL(l, e->start_mark, "tag !!str belongs to text only");
	if (l->depth >= MAX_DEPTH)
		return FAIL(l, e->start_mark, "nested deeper than %d levels", MAX_DEPTH);
	struct loaded *n = new_node(l, type, e->start_mark);
	n->open = true;
	remember_anchor(
		l, mapping ? e->data.mapping_start.anchor : e->data.sequence_start.anchor, n);
	r = attach(l, n, e->start_mark);
	if (r != 0)
		return r;
	l->stack[l->depth++] = (struct frame){.node = n};
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const struct ops_conf_node *x = *(struct ops_conf_node *const *)a;
	const struct ops_conf_node *y = *(struct ops_conf_node *const *)b;
	int c = strcmp(x->text, y->text);
	if (c != 0)
		return c;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->column > y->column) - (x->column < y->column);
}

static int refuse_duplicates(struct loader *l, const struct ops_conf_node *m)
{
	if (m->n < 2)
		return 0;
	OPS_CLEANUP(ops_freep) struct ops_conf_node **sorted = ops_xcalloc(m->n, sizeof(*sorted));
	memcpy(sorted, m->keys, m->n * sizeof(*sorted));
	qsort(sorted, m->n, sizeof(*sorted), compare_keys);
	for (size_t i = 1; i < m->n; i++) {
		if (strcmp(sorted[i]->text, sorted[i - 1]->text) != 0)
			continue;
		return FAIL_NODE(l, sorted[i], "key \"%s\" is given twice, first at line %d",
			sorted[i]->text, sorted[i - 1]->line);
	}
	return 0;
}

/* Index of the merge key, or n. */
static size_t merge_key(const struct ops_conf_node *m)
{
	size_t i = 0;
	while (i < m->n && (m->keys[i]->quoted || strcmp(m->keys[i]->text, "<<") != 0))
		i++;
	return i;
}

/* The entries of a mapping while others are merged into it. */
struct merge {
	struct ops_conf_node **keys, **items;
	size_t n;
	struct ops_map *seen;
};

static void merge_entries(struct merge *to, const struct ops_conf_node *from, size_t leave_out)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct ops_conf_node *key = from->keys[i];
		if (i == leave_out || ops_map_get(to->seen, key->text, key->len) != NULL)
			continue;
		(void)ops_map_put(to->seen, key->text, key->len, from->items[i]);
		to->keys[to->n] = from->keys[i];
		to->items[to->n++] = from->items[i];
	}
}

static int merge_mapping(struct loader *l, struct ops_conf_node *m, size_t at)
{
	struct ops_conf_node *value = m->items[at];
	bool list = value->type == OPS_CONF_SEQUENCE;
	struct ops_conf_node *const *sources = list ? value->items : &m->items[at];
	size_t nsources = list ? value->n : 1, total = m->n;
	for (size_t i = 0; i < nsources; i++) {
		if (sources[i]->type != OPS_CONF_MAPPING)
			return FAIL_NODE(l, sources[i], "<< wants a mapping or a list of mappings");
		total += sources[i]->n;
	}
	struct merge to = {
		.keys = ops_arena_array(l->arena, struct ops_conf_node *, total),
		.items = ops_arena_array(l->arena, struct ops_conf_node *, total),
		.seen = ops_map_new(),
	};
	merge_entries(&to, m, at);
	for (size_t i = 0; i < nsources; i++)
		merge_entries(&to, sources[i], SIZE_MAX);
	ops_map_free(to.seen, NULL);
	m->keys = to.keys;
	m->items = to.items;
	m->n = to.n;
	return 0;
}

/* Moves the frame's items into the arena and sums up what a walk will see. */
static void settle(struct loader *l, struct frame *f)
{
	struct loaded *n = f->node;
	size_t step = n->node.type == OPS_CONF_MAPPING ? 2 : 1;
	n->node.n = f->n / step;
	n->node.items = ops_arena_array(l->arena, struct ops_conf_node *, n->node.n);
	if (step == 2)
		n->node.keys = ops_arena_array(l->arena, struct ops_conf_node *, n->node.n);
	for (size_t i = 0; i < n->node.n; i++) {
		struct loaded *item = f->items[i * step + step - 1];
		n->node.items[i] = &item->node;
		if (step == 2)
			n->node.keys[i] = &f->items[i * step]->node;
		n->visits += item->visits + step - 1;
		n->height = OPS_MAX(n->height, item->height);
	}
	n->height++;
	n->open = false;
}

static int on_close(struct loader *l)
{
	struct frame *f = &l->stack[--l->depth];
	struct ops_conf_node *m = &f->node->node;
	settle(l, f);
	free(f->items);
	if (m->type != OPS_CONF_MAPPING)
		return 0;
	int r = refuse_duplicates(l, m);
	if (r != 0)
		return r;
	size_t merge = merge_key(m);
	return merge < m->n ? merge_mapping(l, m, merge) : 0;
}

/* ---- the stream ---- */

/* libyaml gives bytes it cannot read as an offset only. */
static int fail_reader(struct loader *l)
{
	size_t offset = OPS_MIN(l->yaml.problem_offset, l->len);
	yaml_mark_t mark = {0};
	for (size_t i = 0; i < offset; i++) {
		mark.column++;
		if (l->text[i] == '\n') {
			mark.line++;
			mark.column = 0;
		}
	}
	return FAIL(l, mark, "could not read YAML: %s", l->yaml.problem);
}

static int fail_yaml(struct loader *l)
{
	const yaml_parser_t *y = &l->yaml;
	if (y->error == YAML_MEMORY_ERROR)
		return ops_error_set(l->err, -ENOMEM, "could not read YAML: out of memory");
	if (y->error == YAML_READER_ERROR)
		return fail_reader(l);
	const char *problem = y->problem != NULL ? y->problem : "malformed";
	FAIL(l, y->problem_mark, "could not read YAML: %s", problem);
	if (strstr(problem, "cannot start any token") != NULL) {
		size_t at = y->problem_mark.index;
		ops_error_hint(l->err, "%s",
			at < l->len && l->text[at] == '\t' ? "indent with spaces, not with tabs"
							   : "put the text in quotes");
	} else if (y->context != NULL) {
		ops_error_hint(
			l->err, "%s that starts at line %zu", y->context, y->context_mark.line + 1);
	}
	return -EINVAL;
}

/* 1: enough was read. */
static int on_event(struct loader *l, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (l->root != NULL && l->ret_more != NULL) {
			*l->ret_more = true;
			return 1;
		}
		if (l->root != NULL)
			return FAIL(
				l, e->start_mark, "only one YAML document is allowed in a file");
		return 0;
	case YAML_SCALAR_EVENT:
		return on_scalar(l, e);
	case YAML_ALIAS_EVENT:
		return on_alias(l, e);
	case YAML_MAPPING_START_EVENT:
		return on_open(l, OPS_CONF_MAPPING, e);
	case YAML_SEQUENCE_START_EVENT:
		return on_open(l, OPS_CONF_SEQUENCE, e);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return on_close(l);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return 0;
	}
	return 0;
}

static int read_stream(struct loader *l)
{
	for (;;) {
		yaml_event_t e;
		if (!yaml_parser_parse(&l->yaml, &e))
			return fail_yaml(l);
		bool end = e.type == YAML_STREAM_END_EVENT;
		int r = on_event(l, &e);
		yaml_event_delete(&e);
		if (r != 0 || end)
			return OPS_MIN(r, 0);
	}
}

static struct ops_conf_node *root_of(struct loader *l)
{
	if (l->root != NULL && !ops_conf_is_null(&l->root->node))
		return &l->root->node;
	return &new_node(l, OPS_CONF_MAPPING, (yaml_mark_t){0})->node;
}

int ops_conf_load_text(struct ops_arena *a, const char *name, const char *text, size_t len,
	const struct ops_conf_options *opt, struct ops_conf_node **ret, struct ops_error *err)
{
	if (len > MAX_BYTES)
		return ops_error_set_at(
			err, -EINVAL, name, 0, 0, "file is larger than %zu bytes", MAX_BYTES);
	struct loader *l = ops_xcalloc(1, sizeof(*l));
	l->arena = a;
	l->file = ops_arena_strdup(a, name);
	l->text = text;
	l->len = len;
	l->expand_env = opt != NULL && opt->expand_env;
	l->keep_unset = opt != NULL && opt->keep_unset;
	l->ret_more = opt != NULL ? opt->ret_more : NULL;
	if (l->ret_more != NULL)
		*l->ret_more = false;
	l->err = err;
	l->anchors = ops_map_new();
	ops_assert(yaml_parser_initialize(&l->yaml));
	yaml_parser_set_encoding(&l->yaml, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l->yaml, (const unsigned char *)text, len);
	int r = read_stream(l);
	if (r == 0)
		*ret = root_of(l);
	while (l->depth > 0)
		free(l->stack[--l->depth].items);
	yaml_parser_delete(&l->yaml);
	ops_map_free(l->anchors, NULL);
	free(l);
	return r;
}

int ops_conf_load_file(struct ops_arena *a, const char *path, const struct ops_conf_options *opt,
	struct ops_conf_node **ret, struct ops_error *err)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	int r = ops_file_read(path, MAX_BYTES, &text);
	if (r == -EFBIG)
		ops_error_set_at(err, r, path, 0, 0, "file is larger than %zu bytes", MAX_BYTES);
	else if (r != 0)
		ops_error_set_at(err, r, path, 0, 0, "could not read file: %s", strerror(-r));
	else
		r = ops_conf_load_text(a, path, ops_strbuf_text(&text), text.len, opt, ret, err);
	ops_strbuf_done(&text);
	return r;
}
