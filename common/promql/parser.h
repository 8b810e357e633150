/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * State and parts of the parser: private to common/promql.
 *
 * Convention: a function that returns NULL (or false) met a token that fits nowhere and leaves it
 * for the nearest enclosing construct that has a message of its own; that one calls
 * ops_promql_unexpected() and goes on with what it has, so that one text yields several findings.
 */
#include "common/promql/lexer.h"
#include "common/promql/parse.h"

/* After a finding so many tokens must fit before the next one is news. */
#define OPS_PROMQL_QUIET_TOKENS 3

struct ops_promql_parser {
	struct ops_arena *arena;
	struct ops_promql_lexer lexer;
	unsigned features;
	struct ops_promql_problems *problems;
	struct ops_promql_token token; /* the next one, when have_token */
	bool have_token;
	bool aborted;	       /* no use going on: everything fails quietly */
	int recovering;	       /* > 0: so many tokens until an error is news again */
	uint32_t last_closing; /* end of the last ) ] } or number that was read */
	int depth;
};

void ops_promql_parser_init(struct ops_promql_parser *p, struct ops_arena *arena,
	const struct ops_promql_source *src, bool series, struct ops_promql_problems *problems);

/* The next token without taking it. */
const struct ops_promql_token *ops_promql_peek(struct ops_promql_parser *p);
enum ops_promql_token_type ops_promql_peek_type(struct ops_promql_parser *p);
struct ops_promql_token ops_promql_take(struct ops_promql_parser *p);
/* Takes the next token when it is of that type. */
bool ops_promql_accept(struct ops_promql_parser *p, enum ops_promql_token_type type);
/* The same, but drops what does not fit right after a finding; false: see the convention above. */
bool ops_promql_expect(struct ops_promql_parser *p, enum ops_promql_token_type type);

void ops_promql_problem_add(struct ops_promql_parser *p, uint32_t start, uint32_t end,
	const char *fmt, ...) OPS_PRINTF(4, 5);
/*
 * "unexpected <token> in <context>, expected <expected>" about the next token (context and expected
 * may be NULL). False when the parse cannot go on.
 */
bool ops_promql_unexpected(
	struct ops_promql_parser *p, const char *context, const char *expected) OPS_MUST_CHECK;
/* Drops tokens until one of a or b is next. False when the text ends first. */
bool ops_promql_skip_to(struct ops_promql_parser *p, enum ops_promql_token_type a,
	enum ops_promql_token_type b) OPS_MUST_CHECK;

/* Enters one level of nesting; false with a problem when that is too deep. Leave it in any case. */
bool ops_promql_enter(struct ops_promql_parser *p) OPS_MUST_CHECK;
void ops_promql_leave(struct ops_promql_parser *p);

/* Zeroed apart from kind, type and position. */
struct ops_promql_expr *ops_promql_node(
	struct ops_promql_parser *p, enum ops_promql_kind kind, uint32_t start, uint32_t end);
/* e stands above child now: false with a problem when the tree gets too high. */
bool ops_promql_raise(struct ops_promql_parser *p, struct ops_promql_expr *e,
	const struct ops_promql_expr *child) OPS_MUST_CHECK;
struct ops_promql_string ops_promql_token_string(
	struct ops_promql_parser *p, const struct ops_promql_token *t);
/* NUMBER or DURATION token to its value (seconds), with a problem when it has none. */
double ops_promql_token_number(struct ops_promql_parser *p, const struct ops_promql_token *t);

/* parse.c: "parse error: ..." with line and column of the finding. */
void ops_promql_error_fill(const struct ops_promql_source *src,
	const struct ops_promql_problem *first, struct ops_error *err);
/* parse_expr.c */
struct ops_promql_expr *ops_promql_parse_expr(struct ops_promql_parser *p);
/* parse_aggregate.c */
struct ops_promql_expr *ops_promql_parse_aggregate(
	struct ops_promql_parser *p, const struct ops_promql_token *op);
struct ops_promql_expr *ops_promql_parse_call(
	struct ops_promql_parser *p, const struct ops_promql_token *name);
bool ops_promql_parse_grouping(struct ops_promql_parser *p, struct ops_promql_strings *ret);
/* parse_selector.c; name NULL: only braces. */
struct ops_promql_expr *ops_promql_parse_selector_node(
	struct ops_promql_parser *p, const struct ops_promql_token *name);
/* parse_modifier.c: [..], offset, @, anchored, smoothed behind e, as long as there are any. */
struct ops_promql_expr *ops_promql_parse_modifiers(
	struct ops_promql_parser *p, struct ops_promql_expr *e);
/* parse_duration.c: NUMBER or DURATION nodes. */
struct ops_promql_expr *ops_promql_parse_duration(struct ops_promql_parser *p);
struct ops_promql_expr *ops_promql_parse_positive_duration(struct ops_promql_parser *p);
struct ops_promql_expr *ops_promql_parse_offset_duration(struct ops_promql_parser *p);
/* check.c: numbers the nodes, types them, adds problems. */
void ops_promql_check(struct ops_promql_parser *p, struct ops_promql_expr *root);
