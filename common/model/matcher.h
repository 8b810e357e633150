/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Label matchers: name = value, !=, =~, !~. An absent label has the value "".
 * Text forms: Alertmanager's (classic and UTF-8 syntax),
 * and single ones from configuration mappings (match, match_re).
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/model/labels.h"
#include "common/model/regex.h"

enum ops_match_op {
	OPS_MATCH_EQ,
	OPS_MATCH_NE,
	OPS_MATCH_RE,
	OPS_MATCH_NRE
};

struct ops_matcher {
	enum ops_match_op op;
	char *name, *value;
	struct ops_regex *re; /* RE and NRE only */
};

struct ops_matchers { /* all must match */
	struct ops_matcher *items;
	size_t n, cap;
	unsigned regex_flags; /* for what is added from now on: 0, or OPS_REGEX_NO_DOT_NEWLINE
				 (Alertmanager's) */
};

void ops_matchers_init(struct ops_matchers *ms);
void ops_matchers_done(struct ops_matchers *ms);
void ops_matchers_truncate(struct ops_matchers *ms, size_t n); /* drops all behind the first n */
/* Copies name and value; compiles the expression. -EINVAL with err. */
int ops_matchers_add(struct ops_matchers *ms, enum ops_match_op op, const char *name,
	const char *value, struct ops_error *err) OPS_MUST_CHECK;
/*
 * Alertmanager's text: foo=bar, "foo"!="bar", {foo=~"b.*", bar="x"}; one or several separated by
 * commas. Read by the classic grammar where that accepts it, by the newer UTF-8 grammar otherwise,
 * as Alertmanager does. Appends to ms, all or nothing; err->column (bytes) is set. "." in
 * expressions stops at a newline.
 */
int ops_matchers_parse(struct ops_matchers *ms, const char *text, size_t len,
	struct ops_error *err) OPS_MUST_CHECK;

enum ops_matcher_syntax {
	OPS_MATCHER_FALLBACK,
	OPS_MATCHER_CLASSIC,
	OPS_MATCHER_UTF8
};
struct ops_matchers_source {
	const char *text; /* need not end in NUL */
	size_t len;
	enum ops_matcher_syntax syntax;
};
/* The same with a choice of grammar; the second takes exactly one matcher (an item of a list in
 * YAML). */
int ops_matchers_parse_as(struct ops_matchers *ms, const struct ops_matchers_source *src,
	struct ops_error *err) OPS_MUST_CHECK;
int ops_matcher_parse_as(struct ops_matchers *ms, const struct ops_matchers_source *src,
	struct ops_error *err) OPS_MUST_CHECK;
bool ops_matcher_match_value(
	const struct ops_matcher *m, const char *value); /* NULL counts as "" */
bool ops_matchers_match(const struct ops_matchers *ms, const struct ops_labels *ls);
bool ops_matchers_equal(const struct ops_matchers *a, const struct ops_matchers *b);
struct ops_strbuf;
void ops_matcher_print(const struct ops_matcher *m, struct ops_strbuf *out); /* foo="bar" */
void ops_matchers_print(
	const struct ops_matchers *ms, struct ops_strbuf *out); /* {foo="bar",a=~"b"} */
const char *ops_match_op_text(enum ops_match_op op);		/* "=", "!=", "=~", "!~" */
