/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the pattern with a stack of open groups; the rewritten text is appended as it goes.
 *
 * What is accepted is what Go's regexp accepts with its Perl flags (the language of Prometheus and
 * Alertmanager), documented at https://github.com/google/re2/wiki/Syntax: no look-around, no
 * back-references, no possessive or atomic parts, no stacked repetition, counts up to 1000 also
 * when nested. So an expression that is valid here is valid there, and means the same:
 * leftmost-first, ASCII \d \w \b, $ at the very end only.
 *
 * Names of groups are kept here and not given to PCRE2, whose rules for names differ.
 */
#include "common/model/regex_shape.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/model/regex.h"

enum {
	MAX_REPEAT = 1000,
	MAX_GROUPS = 1000,
	FLAG_I = 1,
	FLAG_M = 2,
	FLAG_S = 4,
	FLAG_U = 8
};
static const char flag_letters[] = "imsU";

static int refuse(struct ops_regex_reader *r, size_t at, const char *message)
{
	return ops_error_set_at(r->err, -EINVAL, NULL, 1, (int)at + 1, "%s", message);
}

/* Starts a new atom; what it is, the caller says. */
static struct ops_regex_atom *new_atom(struct ops_regex_reader *r, enum ops_regex_atom_kind kind)
{
	ops_regex_shape_commit(r);
	struct ops_regex_atom *a = &r->stack[r->depth].atom;
	*a = (struct ops_regex_atom){.kind = kind, .start = r->out->pcre.len, .weight = 1};
	return a;
}

/* ---- groups and flags ---- */

static void open_group(struct ops_regex_reader *r, unsigned outer_flags, size_t column)
{
	ops_regex_shape_commit(r);
	r->depth++;
	struct ops_regex_group *g = &r->stack[r->depth];
	*g = (struct ops_regex_group){.outer_flags = outer_flags,
		.weight = 1,
		.start = r->out->pcre.len,
		.column = column,
		.all_fast = true};
	ops_regex_shape_begin(r, g);
}

static int close_group(struct ops_regex_reader *r)
{
	if (r->depth == 0)
		return refuse(r, r->at, "unexpected )");
	ops_regex_shape_branch(r);
	struct ops_regex_group *g = &r->stack[r->depth];
	struct ops_regex_atom done = {
		.kind = OPS_REGEX_ATOM_OTHER, .start = g->start, .weight = g->weight};
	if (g->all_fast && g->nbranches == 1 && g->branches[0].head == OPS_REGEX_NONE &&
		g->branches[0].tail == OPS_REGEX_NONE && g->branches[0].literals.known) {
		done.kind = OPS_REGEX_ATOM_SET;
		done.set = g->branches[0].literals;
	}
	r->flags = g->outer_flags;
	ops_strbuf_done(&g->run);
	r->depth--;
	r->stack[r->depth].atom = done;
	ops_strbuf_addc(&r->out->pcre, ')');
	r->at++;
	return 0;
}

static int add_group_name(struct ops_regex_reader *r, const char *name, size_t name_len)
{
	struct ops_regex_syntax *out = r->out;
	if (out->ngroups >= MAX_GROUPS)
		return refuse(r, r->at, "too many groups");
	for (size_t i = 0; name != NULL && i < out->ngroups; i++) {
		if (out->names[i] != NULL && strlen(out->names[i]) == name_len &&
			memcmp(out->names[i], name, name_len) == 0)
			return refuse(r, r->at, "duplicate name of a group");
	}
	if (out->ngroups == r->names_cap) {
		size_t cap = r->names_cap * 2 + 4;
		const char **names = ops_arena_array(r->arena, const char *, cap);
		if (out->ngroups != 0)
			memcpy(names, out->names, out->ngroups * sizeof(*names));
		out->names = names;
		r->names_cap = cap;
	}
	out->names[out->ngroups++] =
		name != NULL ? ops_arena_strndup(r->arena, name, name_len) : NULL;
	return 0;
}

static int open_capture(struct ops_regex_reader *r, const char *name, size_t name_len, size_t used)
{
	int e = add_group_name(r, name, name_len);
	if (e != 0)
		return e;
	open_group(r, r->flags, r->at);
	ops_strbuf_addc(&r->out->pcre, '(');
	r->at += used;
	return 0;
}

static int open_named(struct ops_regex_reader *r, size_t prefix)
{
	const char *name = r->pattern + r->at + prefix;
	size_t left = r->len - r->at - prefix, n = 0;
	while (n < left &&
		(name[n] == '_' || (name[n] >= '0' && name[n] <= '9') ||
			(name[n] >= 'a' && name[n] <= 'z') || (name[n] >= 'A' && name[n] <= 'Z')))
		n++;
	if (n == 0 || n == left || name[n] != '>')
		return refuse(r, r->at, "invalid name of a group");
	return open_capture(r, name, n, prefix + n + 1);
}

/* (?flags) and (?flags:...); at stands on the parenthesis. */
static int open_flags(struct ops_regex_reader *r)
{
	unsigned flags = r->flags, on = 0, off = 0;
	bool minus = false, fresh = true;
	size_t i = r->at + 2;
	for (; i < r->len && r->pattern[i] != ')' && r->pattern[i] != ':'; i++) {
		char c = r->pattern[i];
		const char *letter = c != '\0' ? strchr(flag_letters, c) : NULL;
		if (c == '-' && !minus) {
			minus = true;
			fresh = true;
			continue;
		}
		if (letter == NULL) {
			refuse(r, r->at, "invalid or unsupported Perl syntax");
			ops_error_hint(r->err, "look-around, atomic groups, conditions and "
					       "recursion are not part of the language");
			return -EINVAL;
		}
		unsigned bit = 1u << (letter - flag_letters);
		*(minus ? &off : &on) |= bit;
		flags = minus ? flags & ~bit : flags | bit;
		fresh = false;
	}
	if (i == r->len)
		return refuse(r, r->at, "missing closing )");
	if (minus && fresh)
		return refuse(r, r->at, "invalid or unsupported Perl syntax");
	bool group = r->pattern[i] == ':';
	if (group)
		open_group(r, r->flags, r->at);
	else
		ops_regex_shape_commit(r);
	struct ops_strbuf *out = &r->out->pcre;
	ops_strbuf_adds(out, "(?");
	for (unsigned b = 0; b < 4; b++)
		if ((flags >> b & 1) != 0)
			ops_strbuf_addc(out, flag_letters[b]);
	ops_strbuf_addc(out, '-');
	for (unsigned b = 0; b < 4; b++)
		if ((flags >> b & 1) == 0)
			ops_strbuf_addc(out, flag_letters[b]);
	ops_strbuf_addc(out, group ? ':' : ')');
	r->flags = flags;
	r->at = i + 1;
	return 0;
}

static bool looking_at(const struct ops_regex_reader *r, const char *text)
{
	size_t n = strlen(text);
	return r->len - r->at >= n && memcmp(r->pattern + r->at, text, n) == 0;
}

static int on_open(struct ops_regex_reader *r)
{
	if (r->depth + 1 >= OPS_REGEX_MAX_DEPTH)
		return refuse(r, r->at, "groups are nested too deep");
	if (looking_at(r, "(?P<"))
		return open_named(r, 4);
	if (looking_at(r, "(?<") && !looking_at(r, "(?<=") && !looking_at(r, "(?<!"))
		return open_named(r, 3);
	if (looking_at(r, "(?"))
		return open_flags(r);
	return open_capture(r, NULL, 0, 1);
}

/* ---- atoms ---- */

static void on_char(struct ops_regex_reader *r, uint32_t code, const char *bytes, size_t len)
{
	bool letter = code >= 0x80 || (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
	struct ops_regex_atom *a = new_atom(
		r, (r->flags & FLAG_I) != 0 && letter ? OPS_REGEX_ATOM_OTHER : OPS_REGEX_ATOM_CHAR);
	memcpy(a->bytes, bytes, len);
	a->len = len;
	ops_regex_literal(code, &r->out->pcre);
}

static int on_plain(struct ops_regex_reader *r)
{
	uint32_t code;
	size_t len = ops_utf8_decode(r->pattern + r->at, r->len - r->at, &code);
	if (len == 0)
		return refuse(r, r->at, "invalid UTF-8");
	on_char(r, code, r->pattern + r->at, len);
	r->at += len;
	return 0;
}

static void on_assertion(
	struct ops_regex_reader *r, enum ops_regex_atom_kind kind, const char *text, size_t used)
{
	struct ops_regex_atom *a = new_atom(r, kind);
	a->zero_width = true;
	ops_strbuf_adds(&r->out->pcre, text);
	r->at += used;
}

/* \Q...\E: the end of the expression closes it too. */
static int on_quoted(struct ops_regex_reader *r)
{
	r->at += 2;
	while (r->at < r->len) {
		if (looking_at(r, "\\E")) {
			r->at += 2;
			return 0;
		}
		int e = on_plain(r);
		if (e != 0)
			return e;
	}
	return 0;
}

static int on_backslash(struct ops_regex_reader *r)
{
	const char *at = r->pattern + r->at;
	size_t left = r->len - r->at, used = 0;
	if (looking_at(r, "\\Q"))
		return on_quoted(r);
	if (left >= 2 && at[1] != '\0' && strchr("AzbB", at[1]) != NULL) {
		char text[3] = {'\\', at[1], '\0'};
		enum ops_regex_atom_kind kind = at[1] == 'A'   ? OPS_REGEX_ATOM_BEGIN
						: at[1] == 'z' ? OPS_REGEX_ATOM_END
							       : OPS_REGEX_ATOM_OTHER;
		on_assertion(r, kind, text, 2);
		return 0;
	}
	ops_regex_shape_commit(r);
	size_t start = r->out->pcre.len;
	const char *problem = ops_regex_group(at, left, false, &r->out->pcre, &used);
	if (problem == NULL && used > 0) {
		new_atom(r, OPS_REGEX_ATOM_OTHER)->start = start;
		r->at += used;
		return 0;
	}
	uint32_t code = 0;
	if (problem == NULL)
		problem = ops_regex_escape(at, left, &code, &used);
	if (problem != NULL)
		return refuse(r, r->at, problem);
	char bytes[4];
	on_char(r, code, bytes, ops_utf8_encode(code, bytes));
	r->at += used;
	return 0;
}

static int on_class(struct ops_regex_reader *r)
{
	struct ops_regex_atom *a = new_atom(r, OPS_REGEX_ATOM_OTHER);
	size_t used;
	const char *problem =
		ops_regex_class(r->pattern + r->at, r->len - r->at, &r->out->pcre, &used);
	if (problem != NULL)
		return refuse(r, r->at, problem);
	if (used <= 18 && (r->flags & FLAG_I) == 0 &&
		ops_regex_shape_class(r, r->pattern + r->at + 1, used - 2, &a->set))
		a->kind = OPS_REGEX_ATOM_SET;
	r->at += used;
	return 0;
}

/* ---- repetition ---- */

struct repeat {
	unsigned min, max; /* max UINT_MAX: no end */
	size_t used;	   /* without the ? of a lazy one */
};

/* Digits without leading zeros; *i moves behind them. */
static bool repeat_number(const struct ops_regex_reader *r, size_t *i, unsigned *ret)
{
	size_t start = *i;
	unsigned n = 0;
	for (; *i < r->len && r->pattern[*i] >= '0' && r->pattern[*i] <= '9'; (*i)++) {
		if (n < 100000)
			n = n * 10 + (unsigned)(r->pattern[*i] - '0');
	}
	*ret = n;
	return *i > start && (r->pattern[start] != '0' || *i == start + 1);
}

/* False: the brace is an ordinary character. */
static bool read_braces(const struct ops_regex_reader *r, struct repeat *ret)
{
	size_t i = r->at + 1;
	if (!repeat_number(r, &i, &ret->min))
		return false;
	ret->max = ret->min;
	if (i < r->len && r->pattern[i] == ',') {
		i++;
		ret->max = UINT32_MAX;
		if (i < r->len && r->pattern[i] != '}' && !repeat_number(r, &i, &ret->max))
			return false;
	}
	if (i >= r->len || r->pattern[i] != '}')
		return false;
	ret->used = i + 1 - r->at;
	return true;
}

static int repeat_weight(
	struct ops_regex_reader *r, struct ops_regex_atom *a, const struct repeat *rep)
{
	unsigned count = rep->max == UINT32_MAX ? rep->min : rep->max;
	if (rep->min > MAX_REPEAT || count > MAX_REPEAT || rep->min > rep->max)
		return refuse(r, r->at, "invalid repeat count");
	if (count > 1 && a->weight > MAX_REPEAT / count) {
		refuse(r, r->at, "invalid repeat count");
		ops_error_hint(r->err, "nested counts multiply to more than %d", MAX_REPEAT);
		return -EINVAL;
	}
	a->weight *= OPS_MAX(count, 1u);
	return 0;
}

/* PCRE2 does not repeat an assertion; a group around it, it does. */
static void wrap_assertion(struct ops_regex_reader *r, const struct ops_regex_atom *a)
{
	struct ops_strbuf *out = &r->out->pcre;
	OPS_CLEANUP(ops_freep) char *text = ops_xstrndup(out->data + a->start, out->len - a->start);
	out->len = a->start;
	ops_strbuf_printf(out, "(?:%s)", text);
}

static int on_repeat(struct ops_regex_reader *r, const struct repeat *rep)
{
	struct ops_regex_atom *a = &r->stack[r->depth].atom;
	char op = r->pattern[r->at];
	if (a->kind == OPS_REGEX_ATOM_NONE)
		return refuse(r, r->at, "missing argument to repetition operator");
	if (a->repeated)
		return refuse(r, r->at, "invalid nested repetition operator");
	int e = op == '{' ? repeat_weight(r, a, rep) : 0;
	if (e != 0)
		return e;
	if (a->zero_width)
		wrap_assertion(r, a);
	ops_strbuf_add(&r->out->pcre, r->pattern + r->at, rep->used);
	r->at += rep->used;
	if (r->at < r->len && r->pattern[r->at] == '?') {
		ops_strbuf_addc(&r->out->pcre, '?');
		r->at++;
	}
	a->repeated = true;
	ops_regex_shape_repeat(r, a, op);
	return 0;
}

static int on_brace(struct ops_regex_reader *r)
{
	struct repeat rep;
	return read_braces(r, &rep) ? on_repeat(r, &rep) : on_plain(r);
}

/* ---- the whole ---- */

static int on_bar(struct ops_regex_reader *r)
{
	ops_regex_shape_branch(r);
	ops_regex_shape_begin(r, &r->stack[r->depth]);
	ops_strbuf_addc(&r->out->pcre, '|');
	r->at++;
	return 0;
}

static int on_dot(struct ops_regex_reader *r)
{
	new_atom(r, (r->flags & FLAG_S) != 0 ? OPS_REGEX_ATOM_ANY : OPS_REGEX_ATOM_OTHER);
	ops_strbuf_addc(&r->out->pcre, '.');
	r->at++;
	return 0;
}

static int step(struct ops_regex_reader *r)
{
	bool lines = (r->flags & FLAG_M) != 0;
	switch (r->pattern[r->at]) {
	case '(':
		return on_open(r);
	case ')':
		return close_group(r);
	case '|':
		return on_bar(r);
	case '[':
		return on_class(r);
	case '\\':
		return on_backslash(r);
	case '.':
		return on_dot(r);
	case '^':
		on_assertion(r, lines ? OPS_REGEX_ATOM_OTHER : OPS_REGEX_ATOM_BEGIN, "^", 1);
		return 0;
	case '$':
		on_assertion(r, lines ? OPS_REGEX_ATOM_OTHER : OPS_REGEX_ATOM_END, "$", 1);
		return 0;
	case '*':
	case '+':
	case '?':
		return on_repeat(r, &(struct repeat){.used = 1});
	case '{':
		return on_brace(r);
	default:
		return on_plain(r);
	}
}

static int read_all(struct ops_regex_reader *r)
{
	while (r->at < r->len) {
		int e = step(r);
		if (e != 0)
			return e;
	}
	if (r->depth > 0)
		return refuse(r, r->stack[r->depth].column, "missing closing )");
	ops_regex_shape_branch(r);
	return 0;
}

int ops_regex_translate(struct ops_arena *a, const char *pattern, size_t len, unsigned flags,
	struct ops_regex_syntax *ret, struct ops_error *err)
{
	*ret = (struct ops_regex_syntax){.pcre = OPS_STRBUF_INIT};
	struct ops_regex_reader *r = ops_xcalloc(1, sizeof(*r));
	r->arena = a;
	r->pattern = pattern;
	r->len = len;
	r->flags = (flags & OPS_REGEX_NO_DOT_NEWLINE) != 0 ? 0 : FLAG_S;
	r->out = ret;
	r->err = err;
	r->stack[0].all_fast = true;
	ops_regex_shape_begin(r, &r->stack[0]);
	int e = add_group_name(r, NULL, 0);
	if (e == 0)
		e = read_all(r);
	struct ops_regex_group *whole = &r->stack[0];
	ret->fast = e == 0 && whole->all_fast;
	for (size_t i = 0; i < whole->nbranches; i++)
		ret->fast = ret->fast && whole->branches[i].literals.known;
	ret->branches = whole->branches;
	ret->nbranches = whole->nbranches;
	for (size_t i = 0; i <= r->depth; i++)
		ops_strbuf_done(&r->stack[i].run);
	free(r);
	return e;
}
