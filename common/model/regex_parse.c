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
 *
 * Beside the text, each group keeps the set of strings it can match, if that is a small finite set:
 * an atom waits until it is known whether a repetition follows, then goes into the sequence; "|"
 * moves the sequence to the branches. Plain characters are collected in a run first, or a long
 * literal would be copied once per character.
 */
#include "common/model/regex_syntax.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/model/regex.h"

enum {
	MAX_DEPTH = 200,
	MAX_REPEAT = 1000,
	MAX_GROUPS = 1000,
	FLAG_I = 1,
	FLAG_M = 2,
	FLAG_S = 4,
	FLAG_U = 8
};
static const char flag_letters[] = "imsU";

enum atom_kind {
	ATOM_NONE, /* nothing to repeat */
	ATOM_CHAR,
	ATOM_SET,
	ATOM_ANY, /* a dot that matches everything */
	ATOM_STAR,
	ATOM_PLUS,
	ATOM_BEGIN,
	ATOM_END,
	ATOM_OTHER,
};

struct atom {
	enum atom_kind kind;
	bool repeated, zero_width;
	size_t start;	 /* in the rewritten text */
	unsigned weight; /* product of the counts inside */
	char bytes[4];	 /* ATOM_CHAR */
	size_t len;
	struct ops_regex_set set; /* ATOM_SET */
};

struct group {
	unsigned outer_flags;
	unsigned weight;
	size_t start, column;
	struct atom atom;
	struct ops_strbuf run;
	/* the sequence so far */
	enum ops_regex_any head, tail;
	bool ended, fast;
	struct ops_regex_set set;
	/* the branches before it */
	struct ops_regex_branch *branches;
	size_t nbranches, cap;
	bool all_fast;
};

struct reader {
	struct ops_arena *arena;
	const char *pattern;
	size_t len, at;
	unsigned flags;
	struct ops_regex_syntax *out;
	size_t names_cap;
	struct ops_error *err;
	struct group stack[MAX_DEPTH];
	size_t depth; /* of the innermost group; stack[0] is the whole */
};

static int refuse(struct reader *r, size_t at, const char *message)
{
	return ops_error_set_at(r->err, -EINVAL, NULL, 1, (int)at + 1, "%s", message);
}

/* ---- what the expression can match ---- */

static void sequence_begin(struct reader *r, struct group *g)
{
	g->head = g->tail = OPS_REGEX_NONE;
	g->ended = false;
	g->fast = true;
	ops_strbuf_reset(&g->run);
	ops_regex_set_one(r->arena, &g->set, "", 0);
}

static void flush_run(struct reader *r, struct group *g)
{
	if (g->run.len == 0)
		return;
	struct ops_regex_set one;
	ops_regex_set_one(r->arena, &one, ops_strbuf_text(&g->run), g->run.len);
	ops_regex_set_product(r->arena, &g->set, &one);
	ops_strbuf_reset(&g->run);
}

static bool sequence_pristine(const struct group *g)
{
	return g->head == OPS_REGEX_NONE && g->tail == OPS_REGEX_NONE && g->run.len == 0 &&
	       g->set.known && g->set.n == 1 && g->set.items[0][0] == '\0';
}

static void commit_any(struct reader *r, struct group *g, enum ops_regex_any any)
{
	if (sequence_pristine(g)) {
		g->head = any;
		return;
	}
	/* .+.+ counts characters, not bytes: left to the engine. */
	bool both = g->head == OPS_REGEX_PLUS && any == OPS_REGEX_PLUS;
	flush_run(r, g);
	g->fast = g->fast && g->tail == OPS_REGEX_NONE && !both;
	g->tail = any;
}

/* The atom that waited becomes a part of the sequence. */
static void commit(struct reader *r)
{
	struct group *g = &r->stack[r->depth];
	struct atom *a = &g->atom;
	enum atom_kind kind = a->kind;
	g->weight = OPS_MAX(g->weight, a->weight);
	a->kind = ATOM_NONE;
	a->weight = 0;
	if (kind == ATOM_NONE)
		return;
	if (kind == ATOM_END) {
		g->fast = g->fast && r->depth == 0;
		g->ended = true;
		return;
	}
	if (g->ended || kind == ATOM_ANY || kind == ATOM_OTHER)
		g->fast = false;
	if (kind == ATOM_BEGIN && (r->depth > 0 || !sequence_pristine(g)))
		g->fast = false;
	if ((kind == ATOM_CHAR || kind == ATOM_SET) && g->tail != OPS_REGEX_NONE)
		g->fast = false;
	if (!g->fast)
		return;
	if (kind == ATOM_CHAR) {
		ops_strbuf_add(&g->run, a->bytes, a->len);
	} else if (kind == ATOM_SET) {
		flush_run(r, g);
		ops_regex_set_product(r->arena, &g->set, &a->set);
	} else if (kind == ATOM_STAR || kind == ATOM_PLUS) {
		commit_any(r, g, kind == ATOM_STAR ? OPS_REGEX_STAR : OPS_REGEX_PLUS);
	}
}

static void end_branch(struct reader *r)
{
	struct group *g = &r->stack[r->depth];
	commit(r);
	flush_run(r, g);
	if (g->nbranches == g->cap) {
		size_t cap = g->cap != 0 ? g->cap * 2 : 1;
		struct ops_regex_branch *branches =
			ops_arena_array(r->arena, struct ops_regex_branch, cap);
		if (g->nbranches != 0)
			memcpy(branches, g->branches, g->nbranches * sizeof(*branches));
		g->branches = branches;
		g->cap = cap;
	}
	g->all_fast = g->all_fast && g->fast && g->set.known;
	struct ops_regex_branch *last = g->nbranches > 0 ? &g->branches[g->nbranches - 1] : NULL;
	if (!g->all_fast)
		return;
	if (last != NULL && last->head == g->head && last->tail == g->tail) {
		ops_regex_set_union(r->arena, &last->literals, &g->set);
		return;
	}
	g->branches[g->nbranches++] =
		(struct ops_regex_branch){.head = g->head, .tail = g->tail, .literals = g->set};
}

/* Starts a new atom; what it is, the caller says. */
static struct atom *new_atom(struct reader *r, enum atom_kind kind)
{
	commit(r);
	struct atom *a = &r->stack[r->depth].atom;
	*a = (struct atom){.kind = kind, .start = r->out->pcre.len, .weight = 1};
	return a;
}

/* ---- groups and flags ---- */

static void open_group(struct reader *r, unsigned outer_flags, size_t column)
{
	commit(r);
	r->depth++;
	struct group *g = &r->stack[r->depth];
	*g = (struct group){.outer_flags = outer_flags,
		.weight = 1,
		.start = r->out->pcre.len,
		.column = column,
		.all_fast = true};
	sequence_begin(r, g);
}

static int close_group(struct reader *r)
{
	if (r->depth == 0)
		return refuse(r, r->at, "unexpected )");
	end_branch(r);
	struct group *g = &r->stack[r->depth];
	struct atom done = {.kind = ATOM_OTHER, .start = g->start, .weight = g->weight};
	if (g->all_fast && g->nbranches == 1 && g->branches[0].head == OPS_REGEX_NONE &&
		g->branches[0].tail == OPS_REGEX_NONE && g->branches[0].literals.known) {
		done.kind = ATOM_SET;
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

static int add_group_name(struct reader *r, const char *name, size_t name_len)
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

static int open_capture(struct reader *r, const char *name, size_t name_len, size_t used)
{
	int e = add_group_name(r, name, name_len);
	if (e != 0)
		return e;
	open_group(r, r->flags, r->at);
	ops_strbuf_addc(&r->out->pcre, '(');
	r->at += used;
	return 0;
}

static int open_named(struct reader *r, size_t prefix)
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
static int open_flags(struct reader *r)
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
		commit(r);
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

static bool looking_at(const struct reader *r, const char *text)
{
	size_t n = strlen(text);
	return r->len - r->at >= n && memcmp(r->pattern + r->at, text, n) == 0;
}

static int on_open(struct reader *r)
{
	if (r->depth + 1 >= MAX_DEPTH)
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

static void on_char(struct reader *r, uint32_t code, const char *bytes, size_t len)
{
	bool letter = code >= 0x80 || (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
	struct atom *a = new_atom(r, (r->flags & FLAG_I) != 0 && letter ? ATOM_OTHER : ATOM_CHAR);
	memcpy(a->bytes, bytes, len);
	a->len = len;
	ops_regex_literal(code, &r->out->pcre);
}

static int on_plain(struct reader *r)
{
	uint32_t code;
	size_t len = ops_utf8_decode(r->pattern + r->at, r->len - r->at, &code);
	if (len == 0)
		return refuse(r, r->at, "invalid UTF-8");
	on_char(r, code, r->pattern + r->at, len);
	r->at += len;
	return 0;
}

static void on_assertion(struct reader *r, enum atom_kind kind, const char *text, size_t used)
{
	struct atom *a = new_atom(r, kind);
	a->zero_width = true;
	ops_strbuf_adds(&r->out->pcre, text);
	r->at += used;
}

/* \Q...\E: the end of the expression closes it too. */
static int on_quoted(struct reader *r)
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

static int on_backslash(struct reader *r)
{
	const char *at = r->pattern + r->at;
	size_t left = r->len - r->at, used = 0;
	if (looking_at(r, "\\Q"))
		return on_quoted(r);
	if (left >= 2 && at[1] != '\0' && strchr("AzbB", at[1]) != NULL) {
		char text[3] = {'\\', at[1], '\0'};
		enum atom_kind kind = at[1] == 'A'   ? ATOM_BEGIN
				      : at[1] == 'z' ? ATOM_END
						     : ATOM_OTHER;
		on_assertion(r, kind, text, 2);
		return 0;
	}
	commit(r);
	size_t start = r->out->pcre.len;
	const char *problem = ops_regex_group(at, left, false, &r->out->pcre, &used);
	if (problem == NULL && used > 0) {
		new_atom(r, ATOM_OTHER)->start = start;
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

/* [.] and [ab] are sets of literals; other classes are not worth it. */
static bool class_literals(
	struct reader *r, const char *text, size_t len, struct ops_regex_set *ret)
{
	*ret = (struct ops_regex_set){.known = true};
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] >= 0x80 || strchr("\\^-[", text[i]) != NULL)
			return false;
		ops_regex_set_add(r->arena, ret, &text[i], 1);
	}
	return (r->flags & FLAG_I) == 0;
}

static int on_class(struct reader *r)
{
	struct atom *a = new_atom(r, ATOM_OTHER);
	size_t used;
	const char *problem =
		ops_regex_class(r->pattern + r->at, r->len - r->at, &r->out->pcre, &used);
	if (problem != NULL)
		return refuse(r, r->at, problem);
	if (used <= 18 && class_literals(r, r->pattern + r->at + 1, used - 2, &a->set))
		a->kind = ATOM_SET;
	r->at += used;
	return 0;
}

/* ---- repetition ---- */

struct repeat {
	unsigned min, max; /* max UINT_MAX: no end */
	size_t used;	   /* without the ? of a lazy one */
};

/* Digits without leading zeros; *i moves behind them. */
static bool repeat_number(const struct reader *r, size_t *i, unsigned *ret)
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
static bool read_braces(const struct reader *r, struct repeat *ret)
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

static int repeat_weight(struct reader *r, struct atom *a, const struct repeat *rep)
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

static void repeat_meaning(struct reader *r, struct atom *a, char op)
{
	if (op == '?' && (a->kind == ATOM_CHAR || a->kind == ATOM_SET)) {
		if (a->kind == ATOM_CHAR)
			ops_regex_set_one(r->arena, &a->set, a->bytes, a->len);
		ops_regex_set_add(r->arena, &a->set, "", 0);
		a->kind = ATOM_SET;
	} else if (a->kind == ATOM_ANY && op == '*') {
		a->kind = ATOM_STAR;
	} else if (a->kind == ATOM_ANY && op == '+') {
		a->kind = ATOM_PLUS;
	} else {
		a->kind = ATOM_OTHER;
	}
}

/* PCRE2 does not repeat an assertion; a group around it, it does. */
static void wrap_assertion(struct reader *r, const struct atom *a)
{
	struct ops_strbuf *out = &r->out->pcre;
	OPS_CLEANUP(ops_freep) char *text = ops_xstrndup(out->data + a->start, out->len - a->start);
	out->len = a->start;
	ops_strbuf_printf(out, "(?:%s)", text);
}

static int on_repeat(struct reader *r, const struct repeat *rep)
{
	struct atom *a = &r->stack[r->depth].atom;
	char op = r->pattern[r->at];
	if (a->kind == ATOM_NONE)
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
	repeat_meaning(r, a, op);
	return 0;
}

static int on_brace(struct reader *r)
{
	struct repeat rep;
	return read_braces(r, &rep) ? on_repeat(r, &rep) : on_plain(r);
}

/* ---- the whole ---- */

static int on_bar(struct reader *r)
{
	end_branch(r);
	sequence_begin(r, &r->stack[r->depth]);
	ops_strbuf_addc(&r->out->pcre, '|');
	r->at++;
	return 0;
}

static int on_dot(struct reader *r)
{
	new_atom(r, (r->flags & FLAG_S) != 0 ? ATOM_ANY : ATOM_OTHER);
	ops_strbuf_addc(&r->out->pcre, '.');
	r->at++;
	return 0;
}

static int step(struct reader *r)
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
		on_assertion(r, lines ? ATOM_OTHER : ATOM_BEGIN, "^", 1);
		return 0;
	case '$':
		on_assertion(r, lines ? ATOM_OTHER : ATOM_END, "$", 1);
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

static int read_all(struct reader *r)
{
	while (r->at < r->len) {
		int e = step(r);
		if (e != 0)
			return e;
	}
	if (r->depth > 0)
		return refuse(r, r->stack[r->depth].column, "missing closing )");
	end_branch(r);
	return 0;
}

int ops_regex_translate(struct ops_arena *a, const char *pattern, size_t len, unsigned flags,
	struct ops_regex_syntax *ret, struct ops_error *err)
{
	*ret = (struct ops_regex_syntax){.pcre = OPS_STRBUF_INIT};
	struct reader *r = ops_xcalloc(1, sizeof(*r));
	r->arena = a;
	r->pattern = pattern;
	r->len = len;
	r->flags = (flags & OPS_REGEX_NO_DOT_NEWLINE) != 0 ? 0 : FLAG_S;
	r->out = ret;
	r->err = err;
	r->stack[0].all_fast = true;
	sequence_begin(r, &r->stack[0]);
	int e = add_group_name(r, NULL, 0);
	if (e == 0)
		e = read_all(r);
	struct group *whole = &r->stack[0];
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
