/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Text to tree and back. The parser allocates in the caller's arena only and keeps no state;
 * any thread. Text is bounded by OPS_PROMQL_MAX_BYTES and nesting by OPS_PROMQL_MAX_DEPTH: deeper
 * input is an error, never a stack overflow.
 */
#include "common/base/arena.h"
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/promql/ast.h"

struct ops_strbuf;

#define OPS_PROMQL_MAX_BYTES ((size_t)1 << 20)
#define OPS_PROMQL_MAX_DEPTH 200

/* Features that are off by default, as upstream's --enable-feature flags. */
enum ops_promql_feature {
	OPS_PROMQL_EXPERIMENTAL_FUNCTIONS = 1 << 0,
	OPS_PROMQL_EXTENDED_RANGE = 1 << 1,   /* anchored, smoothed */
	OPS_PROMQL_FILL = 1 << 2,	      /* fill, fill_left, fill_right */
	OPS_PROMQL_DURATION_EXPR = 1 << 3,    /* arithmetic in brackets and offset */
	OPS_PROMQL_START_TIMESTAMPS = 1 << 5, /* start_timestamp() without the experiments */
};
#define OPS_PROMQL_DEFAULT_FEATURES OPS_PROMQL_DURATION_EXPR
#define OPS_PROMQL_ALL_FEATURES 0xfu
/* No feature of the language: a selector alone may do without a non-empty matcher. */
#define OPS_PROMQL_MATCH_ALL (1u << 4)

struct ops_promql_options {
	unsigned features; /* OR of enum ops_promql_feature */
};

/* One finding: byte offsets into the text (end exclusive) and what is wrong (in the arena). */
struct ops_promql_problem {
	uint32_t start, end;
	const char *message;
};

#define OPS_PROMQL_MAX_PROBLEMS 16
struct ops_promql_problems {
	size_t n; /* at most OPS_PROMQL_MAX_PROBLEMS; further ones are dropped */
	struct ops_promql_problem items[OPS_PROMQL_MAX_PROBLEMS];
};

/* Text to parse; options NULL: OPS_PROMQL_DEFAULT_FEATURES. text need not be NUL-terminated. */
struct ops_promql_source {
	const char *text;
	size_t len;
	const struct ops_promql_options *options;
};

/*
 * Parses and type-checks an expression; the tree borrows nothing from the text.
 * -EINVAL: refused; err has line, column (bytes, 1-based) and "parse error: ...".
 * -EFBIG: longer than OPS_PROMQL_MAX_BYTES.
 */
int ops_promql_parse(struct ops_arena *arena, const struct ops_promql_source *src,
	struct ops_promql_expr **ret, struct ops_error *err) OPS_MUST_CHECK;
/* The same for a NUL-terminated text with the default features. */
int ops_promql_parse_text(struct ops_arena *arena, const char *text, struct ops_promql_expr **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* The same with every finding and its byte range. */
int ops_promql_parse_all(struct ops_arena *arena, const struct ops_promql_source *src,
	struct ops_promql_expr **ret, struct ops_promql_problems *ret_problems) OPS_MUST_CHECK;

/* A metric selector alone (match[] of the HTTP API): matchers in the arena. */
int ops_promql_parse_selector(struct ops_arena *arena, const struct ops_promql_source *src,
	struct ops_promql_expr **ret_vector_selector, struct ops_error *err) OPS_MUST_CHECK;

/* Appends the canonical text (Prometheus' Expr.String()): parsing it gives the same tree again. */
void ops_promql_print(const struct ops_promql_expr *e, struct ops_strbuf *out);
/* As `promtool promql format`: splits what is longer than width bytes (upstream: 100) over lines.
 */
void ops_promql_pretty(const struct ops_promql_expr *e, size_t width, struct ops_strbuf *out);
/* Appends {name op "value", ...}'s one matcher, as the printer writes it. */
void ops_promql_print_matcher(const struct ops_promql_matcher *m, struct ops_strbuf *out);
/* Go's strconv.Quote: double quotes, escapes, non-printable and malformed bytes as \x, \u, \U. */
void ops_promql_quote(const struct ops_promql_string *s, struct ops_strbuf *out);
