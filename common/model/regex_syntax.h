/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * RE2's language read and rewritten for PCRE2; inside of regex.h. Besides the rewritten text, the
 * reader finds out whether the expression is no more than a choice of literals, each perhaps with
 * "anything" before or behind it, which regex.c then matches without an engine.
 * Everything is allocated in the caller's arena, but for the strbuf.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/strbuf.h"

/* A set of strings, or unknown: more than a finite set, or too many. */
struct ops_regex_set {
	const char **items;
	size_t n, cap, bytes;
	bool known;
};

/* Limits of what is worked out by multiplying sets; a plain alternation may be longer. */
enum {
	OPS_REGEX_PRODUCT_ITEMS = 1024,
	OPS_REGEX_PRODUCT_BYTES = 256 * 1024
};

void ops_regex_set_one(struct ops_arena *a, struct ops_regex_set *s, const char *text, size_t len);
void ops_regex_set_add(struct ops_arena *a, struct ops_regex_set *s, const char *text, size_t len);
void ops_regex_set_union(
	struct ops_arena *a, struct ops_regex_set *to, const struct ops_regex_set *with);
/* Every item of `to` continued by every item of `by`. */
void ops_regex_set_product(
	struct ops_arena *a, struct ops_regex_set *to, const struct ops_regex_set *by);

enum ops_regex_any {
	OPS_REGEX_NONE,
	OPS_REGEX_STAR,
	OPS_REGEX_PLUS
}; /* nothing, .*, .+ */

struct ops_regex_branch { /* head, one of the literals, tail */
	enum ops_regex_any head, tail;
	struct ops_regex_set literals;
};

struct ops_regex_syntax {
	struct ops_strbuf
		pcre;	    /* without the anchors; released by the caller, also after an error */
	const char **names; /* of the groups, [0] is the whole match; NULL = no name */
	size_t ngroups;	    /* with group 0 */
	bool fast;	    /* branches say it all */
	struct ops_regex_branch *branches;
	size_t nbranches;
};

/* flags as in ops_regex_compile. -EINVAL with err->column = byte, 1-based. */
int ops_regex_translate(struct ops_arena *a, const char *pattern, size_t len, unsigned flags,
	struct ops_regex_syntax *ret, struct ops_error *err) OPS_MUST_CHECK;

/*
 * Character classes, escapes and names: appended to out as PCRE2 text. at points at the '[' or '\';
 * *ret_len is how much of the pattern was used. A message (static) instead of 0 means refused.
 */
const char *ops_regex_class(const char *at, size_t len, struct ops_strbuf *out, size_t *ret_len);
/* One escaped character (\n, \x{41}, \., \052). */
const char *ops_regex_escape(const char *at, size_t len, uint32_t *ret_code, size_t *ret_len);
/* \d \s \w and \p{...} with their negations; sets *ret_len to 0 when at is none of them. */
const char *ops_regex_group(
	const char *at, size_t len, bool in_class, struct ops_strbuf *out, size_t *ret_len);
void ops_regex_literal(uint32_t code, struct ops_strbuf *out);
