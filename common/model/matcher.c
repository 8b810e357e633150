/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers and their text. Reading the text is matcher_parse.c's; printing follows Alertmanager's
 * Matcher.String(): the value always in quotes, the name only where the classic rule does not allow
 * it bare, so that the older parsers read it back.
 */
#include "common/model/matcher.h"

#include <errno.h>
#include <string.h>

#include "common/base/strbuf.h"

static const char *const op_texts[] = {"=", "!=", "=~", "!~"};

const char *ops_match_op_text(enum ops_match_op op)
{
	return op_texts[op];
}

void ops_matchers_init(struct ops_matchers *ms)
{
	*ms = (struct ops_matchers){0};
}

static void matcher_done(struct ops_matcher *m)
{
	free(m->name);
	free(m->value);
	ops_regex_free(m->re);
}

void ops_matchers_truncate(struct ops_matchers *ms, size_t n)
{
	while (ms->n > n)
		matcher_done(&ms->items[--ms->n]);
}

void ops_matchers_done(struct ops_matchers *ms)
{
	ops_matchers_truncate(ms, 0);
	free(ms->items);
	ops_matchers_init(ms);
}

int ops_matchers_add(struct ops_matchers *ms, enum ops_match_op op, const char *name,
	const char *value, struct ops_error *err)
{
	struct ops_regex *re = NULL;
	if (!ops_label_name_valid(name, strlen(name)))
		return ops_error_set(err, -EINVAL, "\"%.64s\" is not a valid label name", name);
	if (op == OPS_MATCH_RE || op == OPS_MATCH_NRE) {
		int r = ops_regex_compile(value, strlen(value), ms->regex_flags, &re, err);
		if (r != 0) {
			ops_error_prefix(err, "regular expression for \"%.64s\"", name);
			return r;
		}
	}
	OPS_GROW(ms->items, ms->n, ms->cap);
	ms->items[ms->n++] = (struct ops_matcher){
		.op = op,
		.name = ops_xstrdup(name),
		.value = ops_xstrdup(value),
		.re = re,
	};
	return 0;
}

/* ---- matching ---- */

bool ops_matcher_match_value(const struct ops_matcher *m, const char *value)
{
	const char *v = value != NULL ? value : "";
	switch (m->op) {
	case OPS_MATCH_EQ:
		return strcmp(m->value, v) == 0;
	case OPS_MATCH_NE:
		return strcmp(m->value, v) != 0;
	case OPS_MATCH_RE:
		return ops_regex_match(m->re, v, strlen(v));
	case OPS_MATCH_NRE:
		return !ops_regex_match(m->re, v, strlen(v));
	}
	return false;
}

bool ops_matchers_match(const struct ops_matchers *ms, const struct ops_labels *ls)
{
	for (size_t i = 0; i < ms->n; i++) {
		if (!ops_matcher_match_value(&ms->items[i], ops_labels_get(ls, ms->items[i].name)))
			return false;
	}
	return true;
}

bool ops_matchers_equal(const struct ops_matchers *a, const struct ops_matchers *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct ops_matcher *x = &a->items[i], *y = &b->items[i];
		if (x->op != y->op || strcmp(x->name, y->name) != 0 ||
			strcmp(x->value, y->value) != 0)
			return false;
	}
	return true;
}

/* ---- printing ---- */

void ops_matcher_print(const struct ops_matcher *m, struct ops_strbuf *out)
{
	ops_label_print_name(m->name, strlen(m->name), out);
	ops_strbuf_adds(out, ops_match_op_text(m->op));
	ops_strbuf_add_quoted(out, m->value, strlen(m->value));
}

void ops_matchers_print(const struct ops_matchers *ms, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, '{');
	for (size_t i = 0; i < ms->n; i++) {
		if (i > 0)
			ops_strbuf_addc(out, ',');
		ops_matcher_print(&ms->items[i], out);
	}
	ops_strbuf_addc(out, '}');
}
