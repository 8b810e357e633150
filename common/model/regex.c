/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most expressions that people write are a literal, a few literals with bars, or one of them with
 * .* before or behind; regex_parse.c recognises those, and here they are compared as bytes.
 * Everything else is run by PCRE2 with JIT.
 *
 * RE2 promises linear time, PCRE2 does not: (a+)+b backtracks without end. The promise is replaced
 * by limits on steps and memory; what hits one does not match and is counted, which is the safe
 * side for a rule and visible to the operator. The limits were chosen so that a single match stays
 * under some ten milliseconds.
 *
 * The stack of the JIT, the match context and a one-pair match block are made once per thread: an
 * expression costs its code only. An expression with groups keeps the engine even when it is fast
 * to match, since ops_regex_expand wants to know what each group took.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/model/regex.h"

#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/number.h"
#include "common/model/regex_syntax.h"

enum {
	MAX_PATTERN = 64 * 1024,
	MATCH_LIMIT = 500000,
	DEPTH_LIMIT = 100000,
	HEAP_LIMIT_KIB = 16 * 1024,
	JIT_STACK_MIN = 32 * 1024,
	JIT_STACK_MAX = 1024 * 1024,
	SEARCHED = 8 /* from so many literals on, look one up by bisection */
};

struct ops_regex {
	struct ops_arena arena;
	const char *pattern;
	pcre2_code *code; /* NULL: the branches say it all and there are no groups */
	bool fast;
	struct ops_regex_branch *branches; /* literals sorted and unique */
	size_t nbranches;
	const char **names;
	size_t ngroups;
};

static __thread struct {
	pcre2_compile_context *compile;
	pcre2_match_context *match;
	pcre2_match_data *one_pair;
	pcre2_jit_stack *stack;
} engine;
static uint64_t limit_total;

static void engine_start(void)
{
	if (engine.match != NULL)
		return;
	engine.compile = pcre2_compile_context_create(NULL);
	engine.match = pcre2_match_context_create(NULL);
	engine.one_pair = pcre2_match_data_create(1, NULL);
	ops_assert(engine.compile != NULL && engine.match != NULL && engine.one_pair != NULL);
	pcre2_set_newline(engine.compile, PCRE2_NEWLINE_LF);
	pcre2_set_match_limit(engine.match, MATCH_LIMIT);
	pcre2_set_depth_limit(engine.match, DEPTH_LIMIT);
	pcre2_set_heap_limit(engine.match, HEAP_LIMIT_KIB);
	engine.stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
	if (engine.stack != NULL)
		pcre2_jit_stack_assign(engine.match, NULL, engine.stack);
}

void ops_regex_thread_done(void)
{
	pcre2_compile_context_free(engine.compile);
	pcre2_match_context_free(engine.match);
	pcre2_match_data_free(engine.one_pair);
	pcre2_jit_stack_free(engine.stack);
	memset(&engine, 0, sizeof(engine));
}

uint64_t ops_regex_limit_total(void)
{
	return __atomic_load_n(&limit_total, __ATOMIC_RELAXED);
}

/* ---- compiling ---- */

static int engine_compile(struct ops_regex *re, const struct ops_regex_syntax *syntax,
	unsigned flags, bool jit, struct ops_error *err)
{
	static const char *const all = "\\A(?s:", *const lines = "\\A(?:", *const end = ")\\z";
	engine_start();
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_adds(&text, (flags & OPS_REGEX_NO_DOT_NEWLINE) != 0 ? lines : all);
	ops_strbuf_add(&text, syntax->pcre.data, syntax->pcre.len);
	ops_strbuf_adds(&text, end);
	int code;
	PCRE2_SIZE offset;
	uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
			   PCRE2_ALT_CIRCUMFLEX | PCRE2_NEVER_BACKSLASH_C | PCRE2_NEVER_UCP;
	re->code = pcre2_compile(
		(PCRE2_SPTR)text.data, text.len, options, &code, &offset, engine.compile);
	ops_strbuf_done(&text);
	if (re->code == NULL) {
		unsigned char message[200];
		if (pcre2_get_error_message(code, message, sizeof(message)) < 0)
			message[0] = '\0';
		return ops_error_set_at(err, -EINVAL, NULL, 1, 1, "%s", (const char *)message);
	}
	/* Without JIT (no executable memory) it is the same, only slower. */
	if (jit)
		(void)pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE);
	return 0;
}

static int compare_items(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_literals(struct ops_regex_set *s)
{
	qsort(s->items, s->n, sizeof(*s->items), compare_items);
	size_t n = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (n == 0 || strcmp(s->items[n - 1], s->items[i]) != 0)
			s->items[n++] = s->items[i];
	}
	s->n = n;
}

/* jit: false when the expression is only checked. */
static int compile(const char *pattern, size_t len, unsigned flags, bool jit,
	struct ops_regex **ret, struct ops_error *err)
{
	if (len > MAX_PATTERN)
		return ops_error_set_at(err, -EINVAL, NULL, 1, MAX_PATTERN + 1,
			"expression is longer than %d bytes", MAX_PATTERN);
	struct ops_regex *re = ops_xcalloc(1, sizeof(*re));
	struct ops_regex_syntax syntax;
	int r = ops_regex_translate(&re->arena, pattern, len, flags, &syntax, err);
	if (r == 0 && (!syntax.fast || syntax.ngroups > 1))
		r = engine_compile(re, &syntax, flags, jit, err);
	ops_strbuf_done(&syntax.pcre);
	if (r != 0) {
		ops_regex_free(re);
		return r;
	}
	re->pattern = ops_arena_strndup(&re->arena, pattern, len);
	re->fast = syntax.fast;
	re->branches = syntax.branches;
	re->nbranches = syntax.nbranches;
	re->names = syntax.names;
	re->ngroups = syntax.ngroups;
	for (size_t i = 0; re->fast && i < re->nbranches; i++)
		sort_literals(&re->branches[i].literals);
	*ret = re;
	return 0;
}

int ops_regex_compile(const char *pattern, size_t len, unsigned flags, struct ops_regex **ret,
	struct ops_error *err)
{
	return compile(pattern, len, flags, true, ret, err);
}

int ops_regex_new(const char *pattern, size_t len, struct ops_regex **ret, struct ops_error *err)
{
	return compile(pattern, len, 0, true, ret, err);
}

int ops_regex_check(const char *pattern, size_t len, struct ops_error *err)
{
	struct ops_regex *re = NULL;
	int r = compile(pattern, len, 0, false, &re, err);
	ops_regex_free(re);
	return r;
}

void ops_regex_free(struct ops_regex *re)
{
	if (re == NULL)
		return;
	pcre2_code_free(re->code);
	ops_arena_done(&re->arena);
	free(re);
}

const char *ops_regex_pattern(const struct ops_regex *re)
{
	return re->pattern;
}

bool ops_regex_literals(const struct ops_regex *re, const char *const **ret_items, size_t *ret_n)
{
	const struct ops_regex_branch *only = re->branches;
	if (!re->fast || re->nbranches != 1 || only->head != OPS_REGEX_NONE ||
		only->tail != OPS_REGEX_NONE)
		return false;
	*ret_items = only->literals.items;
	*ret_n = only->literals.n;
	return true;
}

/* ---- matching ---- */

static bool equals_one(const struct ops_regex_set *set, const char *s, size_t len)
{
	size_t low = 0, high = set->n;
	while (set->n >= SEARCHED && high - low > 1) {
		size_t mid = low + (high - low) / 2;
		int c = strncmp(set->items[mid], s, len);
		if (c < 0 || (c == 0 && set->items[mid][len] == '\0'))
			low = mid;
		else
			high = mid;
	}
	for (; low < high; low++) {
		if (strlen(set->items[low]) == len && memcmp(set->items[low], s, len) == 0)
			return true;
	}
	return false;
}

/* The literal somewhere in s, with at least one byte where the branch wants one. */
static bool literal_fits(
	const struct ops_regex_branch *b, const char *literal, const char *s, size_t len)
{
	size_t n = strlen(literal), before = b->head == OPS_REGEX_PLUS,
	       behind = b->tail == OPS_REGEX_PLUS;
	if (len < n + before + behind)
		return false;
	if (b->head == OPS_REGEX_NONE)
		return memcmp(s, literal, n) == 0;
	if (b->tail == OPS_REGEX_NONE)
		return memcmp(s + len - n, literal, n) == 0;
	return memmem(s + before, len - before - behind, literal, n) != NULL;
}

static bool branch_matches(const struct ops_regex_branch *b, const char *s, size_t len)
{
	if (b->head == OPS_REGEX_NONE && b->tail == OPS_REGEX_NONE)
		return equals_one(&b->literals, s, len);
	for (size_t i = 0; i < b->literals.n; i++) {
		if (literal_fits(b, b->literals.items[i], s, len))
			return true;
	}
	return false;
}

/* Number of pairs set, 0 = no match. */
static int engine_match(
	const struct ops_regex *re, const char *s, size_t len, pcre2_match_data *data)
{
	int r = pcre2_match(re->code, (PCRE2_SPTR)s, len, 0, 0, data, engine.match);
	if (r >= 0)
		return r == 0 ? 1 : r;
	if (r != PCRE2_ERROR_NOMATCH)
		__atomic_fetch_add(&limit_total, 1, __ATOMIC_RELAXED);
	return 0;
}

bool ops_regex_match(const struct ops_regex *re, const char *s, size_t len)
{
	if (!re->fast) {
		engine_start(); /* perhaps another thread compiled it */
		return engine_match(re, s, len, engine.one_pair) > 0;
	}
	for (size_t i = 0; i < re->nbranches; i++) {
		if (branch_matches(&re->branches[i], s, len))
			return true;
	}
	return false;
}

/* ---- replacing ---- */

struct match {
	const struct ops_regex *re;
	const char *s;
	size_t len;
	const PCRE2_SIZE *pairs; /* NULL: only group 0 is known */
	size_t npairs;
};

static void add_group(const struct match *m, size_t group, struct ops_strbuf *out)
{
	if (group == 0) {
		ops_strbuf_add(out, m->s, m->len);
		return;
	}
	if (m->pairs == NULL || group >= m->npairs || m->pairs[group * 2] == PCRE2_UNSET)
		return;
	ops_strbuf_add(
		out, m->s + m->pairs[group * 2], m->pairs[group * 2 + 1] - m->pairs[group * 2]);
}

/* An unknown name stands for nothing. */
static void add_named(const struct match *m, const char *name, size_t len, struct ops_strbuf *out)
{
	uint64_t number;
	bool zeros = len > 1 && name[0] == '0';
	if (!zeros && ops_parse_u64(name, len, &number) == 0) {
		if (number < m->re->ngroups)
			add_group(m, (size_t)number, out);
		return;
	}
	for (size_t i = 1; i < m->re->ngroups; i++) {
		const char *known = m->re->names[i];
		if (known != NULL && strlen(known) == len && memcmp(known, name, len) == 0)
			add_group(m, i, out);
	}
}

static size_t name_length(const char *s)
{
	size_t n = 0;
	while (s[n] == '_' || (s[n] >= '0' && s[n] <= '9') || (s[n] >= 'a' && s[n] <= 'z') ||
		(s[n] >= 'A' && s[n] <= 'Z') || (unsigned char)s[n] >= 0x80)
		n++;
	return n;
}

/* at stands on a dollar; returns how much of the text was used. */
static size_t add_reference(const struct match *m, const char *at, struct ops_strbuf *out)
{
	if (at[1] == '$') {
		ops_strbuf_addc(out, '$');
		return 2;
	}
	bool braces = at[1] == '{';
	const char *name = at + 1 + braces;
	size_t len = name_length(name);
	if (len == 0 || (braces && name[len] != '}')) {
		ops_strbuf_addc(out, '$');
		return 1;
	}
	add_named(m, name, len, out);
	return 1 + len + 2 * (size_t)braces;
}

static void expand(const struct match *m, const char *replacement, struct ops_strbuf *out)
{
	for (const char *at = replacement; *at != '\0';) {
		size_t plain = strcspn(at, "$");
		ops_strbuf_add(out, at, plain);
		at += plain;
		if (*at == '$')
			at += add_reference(m, at, out);
	}
}

int ops_regex_expand(const struct ops_regex *re, const char *s, size_t len, const char *replacement,
	struct ops_strbuf *out)
{
	struct match m = {.re = re, .s = s, .len = len};
	if (re->code == NULL) {
		if (!ops_regex_match(re, s, len))
			return 1;
		expand(&m, replacement, out);
		return 0;
	}
	engine_start();
	pcre2_match_data *data = pcre2_match_data_create_from_pattern(re->code, NULL);
	ops_assert(data != NULL);
	int n = engine_match(re, s, len, data);
	if (n > 0) {
		m.pairs = pcre2_get_ovector_pointer(data);
		m.npairs = (size_t)n;
		expand(&m, replacement, out);
	}
	pcre2_match_data_free(data);
	return n > 0 ? 0 : 1;
}
