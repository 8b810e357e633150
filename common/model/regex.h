/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Fully anchored regular expressions in RE2's language, run by PCRE2 (JIT) with match and heap
 * limits. What RE2 refuses (look-around, back-references, possessive, atomic, recursion,
 * conditionals) is refused here. Literals, prefixes and plain alternations are matched without the
 * engine. An expression may be used by several threads at a time; a thread other than the loop's
 * calls ops_regex_thread_done before it ends.
 */
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_regex; /* opaque, immutable */

enum {
	/* "." stops at a line feed, as in Alertmanager; otherwise it matches all, as in Prometheus.
	 */
	OPS_REGEX_NO_DOT_NEWLINE = 1,
};

/* -EINVAL with err (message and column in bytes). Pattern <= 64 KiB. */
int ops_regex_new(const char *pattern, size_t len, struct ops_regex **ret,
	struct ops_error *err) OPS_MUST_CHECK;
int ops_regex_compile(const char *pattern, size_t len, unsigned flags, struct ops_regex **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void ops_regex_free(struct ops_regex *re);
int ops_regex_check(const char *pattern, size_t len,
	struct ops_error *err) OPS_MUST_CHECK; /* compile and drop */
/* A match that hits a limit counts as no match and in ops_regex_limit_total(). */
bool ops_regex_match(const struct ops_regex *re, const char *s, size_t len);
void ops_regex_thread_done(void);
uint64_t ops_regex_limit_total(void); /* since the process began; for a metric */
const char *ops_regex_pattern(const struct ops_regex *re);

struct ops_strbuf;
/* When s matches (anchored): appends replacement with $1 ${1} $name ${name} $$ expanded (Go's
 * Regexp.Expand); 1 = no match. */
int ops_regex_expand(const struct ops_regex *re, const char *s, size_t len, const char *replacement,
	struct ops_strbuf *out) OPS_MUST_CHECK;
/* When the expression can only match these literals (alternation of literals): their list, else
 * false. Borrowed. */
bool ops_regex_literals(const struct ops_regex *re, const char *const **ret_items, size_t *ret_n);
