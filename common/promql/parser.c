/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plumbing of the parser: one token of lookahead that is read as late as possible, findings,
 * limits.
 *
 * Upstream's grammar is LALR with error productions; which findings a broken text yields follows
 * from how such a parser recovers: after an error it reports no other until three tokens were
 * accepted, and drops tokens where none fits. `recovering` is that counter. Where dropping
 * matters (lists in braces and parentheses) it is done by ops_promql_skip_to; elsewhere
 * a second error without progress ends the parse, since by then the text is refused anyway.
 */
#include "common/promql/parser.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/promql/literal.h"

void ops_promql_parser_init(struct ops_promql_parser *p, struct ops_arena *arena,
	const struct ops_promql_source *src, bool series, struct ops_promql_problems *problems)
{
	*p = (struct ops_promql_parser){.arena = arena,
		.features =
			src->options != NULL ? src->options->features : OPS_PROMQL_DEFAULT_FEATURES,
		.problems = problems};
	problems->n = 0;
	ops_promql_lexer_init(&p->lexer, arena, src->text, src->len, series);
}

const struct ops_promql_token *ops_promql_peek(struct ops_promql_parser *p)
{
	if (p->have_token) {
		return &p->token;
	}
	ops_promql_lex(&p->lexer, &p->token);
	p->have_token = true;
	enum ops_promql_token_type t = p->token.type;
	if (t == TOK_ERROR) {
		ops_promql_problem_add(p, p->token.start, p->token.end, "%s", p->token.error);
	} else if (t == TOK_RIGHT_BRACE || t == TOK_RIGHT_PAREN || t == TOK_RIGHT_BRACKET ||
		   t == TOK_DURATION || t == TOK_NUMBER) {
		p->last_closing = p->token.end;
	}
	return &p->token;
}

enum ops_promql_token_type ops_promql_peek_type(struct ops_promql_parser *p)
{
	return p->aborted ? TOK_ERROR : ops_promql_peek(p)->type;
}

struct ops_promql_token ops_promql_take(struct ops_promql_parser *p)
{
	struct ops_promql_token t = *ops_promql_peek(p);
	if (t.type != TOK_ERROR && t.type != TOK_EOF) { /* these stay */
		p->have_token = false;
	}
	p->recovering -= p->recovering > 0 ? 1 : 0;
	return t;
}

bool ops_promql_accept(struct ops_promql_parser *p, enum ops_promql_token_type type)
{
	if (ops_promql_peek_type(p) != type) {
		return false;
	}
	(void)ops_promql_take(p);
	return true;
}

bool ops_promql_expect(struct ops_promql_parser *p, enum ops_promql_token_type type)
{
	if (p->recovering == OPS_PROMQL_QUIET_TOKENS && !ops_promql_skip_to(p, type, type)) {
		return false;
	}
	return ops_promql_accept(p, type);
}

void ops_promql_problem_add(
	struct ops_promql_parser *p, uint32_t start, uint32_t end, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (p->aborted || p->problems->n == OPS_PROMQL_MAX_PROBLEMS) {
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->problems->items[p->problems->n++] = (struct ops_promql_problem){
		.start = start, .end = end, .message = ops_arena_strdup(p->arena, text)};
}

bool ops_promql_unexpected(struct ops_promql_parser *p, const char *context, const char *expected)
{
	if (p->aborted || p->recovering == OPS_PROMQL_QUIET_TOKENS) {
		p->aborted = true;
		return false;
	}
	const struct ops_promql_token *t = ops_promql_peek(p);
	if (t->type != TOK_ERROR) { /* that one has its finding already */
		ops_promql_problem_add(p, t->start, t->end, "unexpected %s%s%s%s%s",
			ops_promql_token_text(p->arena, t, p->lexer.input),
			context != NULL ? " in " : "", context != NULL ? context : "",
			expected != NULL ? ", expected " : "", expected != NULL ? expected : "");
	}
	p->recovering = OPS_PROMQL_QUIET_TOKENS;
	return true;
}

bool ops_promql_skip_to(
	struct ops_promql_parser *p, enum ops_promql_token_type a, enum ops_promql_token_type b)
{
	for (;;) {
		enum ops_promql_token_type t = ops_promql_peek_type(p);
		if (t == a || t == b) {
			return true;
		}
		if (t == TOK_EOF || t == TOK_ERROR) {
			p->aborted = true;
			return false;
		}
		p->have_token = false;
	}
}

bool ops_promql_enter(struct ops_promql_parser *p)
{
	if (++p->depth <= OPS_PROMQL_MAX_DEPTH) {
		return true;
	}
	const struct ops_promql_token *t = ops_promql_peek(p);
	ops_promql_problem_add(p, t->start, t->end, "expression is nested more than %d levels deep",
		OPS_PROMQL_MAX_DEPTH);
	p->aborted = true;
	return false;
}

void ops_promql_leave(struct ops_promql_parser *p)
{
	p->depth--;
}

static enum ops_promql_value_type type_of_kind(enum ops_promql_kind kind)
{
	static const enum ops_promql_value_type types[] = {
		[OPS_PROMQL_NUMBER] = OPS_PROMQL_SCALAR,
		[OPS_PROMQL_STRING] = OPS_PROMQL_STRING_VALUE,
		[OPS_PROMQL_VECTOR_SELECTOR] = OPS_PROMQL_INSTANT,
		[OPS_PROMQL_MATRIX_SELECTOR] = OPS_PROMQL_RANGE,
		[OPS_PROMQL_SUBQUERY] = OPS_PROMQL_RANGE,
		[OPS_PROMQL_AGGREGATE] = OPS_PROMQL_INSTANT,
		[OPS_PROMQL_DURATION] = OPS_PROMQL_SCALAR,
	};
	return (size_t)kind < OPS_LENGTH(types) ? types[kind] : OPS_PROMQL_NONE;
}

struct ops_promql_expr *ops_promql_node(
	struct ops_promql_parser *p, enum ops_promql_kind kind, uint32_t start, uint32_t end)
{
	struct ops_promql_expr *e = ops_arena_new(p->arena, struct ops_promql_expr);
	e->kind = kind;
	e->type = type_of_kind(kind);
	e->start = start;
	e->end = end;
	return e;
}

bool ops_promql_raise(
	struct ops_promql_parser *p, struct ops_promql_expr *e, const struct ops_promql_expr *child)
{
	e->height = (uint16_t)OPS_MAX(e->height, child->height + 1);
	if (e->height <= OPS_PROMQL_MAX_HEIGHT) {
		return true;
	}
	ops_promql_problem_add(p, e->start, e->end,
		"expression has a chain of more than %d operations", OPS_PROMQL_MAX_HEIGHT);
	p->aborted = true;
	return false;
}

struct ops_promql_string ops_promql_token_string(
	struct ops_promql_parser *p, const struct ops_promql_token *t)
{
	const char *s = p->lexer.input + t->start;
	size_t len = t->end - t->start;
	if (t->type == TOK_STRING) {
		return ops_promql_unquote(p->arena, s, len);
	}
	return (struct ops_promql_string){ops_arena_strndup(p->arena, s, len), len};
}

static double duration_seconds(struct ops_promql_parser *p, const struct ops_promql_token *t)
{
	const char *s = p->lexer.input + t->start;
	int64_t ms = 0;
	int r = ops_duration_parse(s, t->end - t->start, &ms);
	if (r != 0) {
		const char *quoted = ops_promql_text_quoted(p->arena, s, t->end - t->start);
		if (r == -ERANGE) {
			ops_promql_problem_add(p, t->start, t->end, "duration out of range");
		} else {
			ops_promql_problem_add(
				p, t->start, t->end, "not a valid duration string: %s", quoted);
		}
		return 0;
	}
	return (double)ms / 1000.0;
}

double ops_promql_token_number(struct ops_promql_parser *p, const struct ops_promql_token *t)
{
	if (t->type == TOK_DURATION) {
		return duration_seconds(p, t);
	}
	const char *s = p->lexer.input + t->start;
	size_t len = t->end - t->start;
	double value = 0;
	int r = ops_promql_number_value(p->arena, s, len, &value);
	if (r != 0) {
		ops_promql_problem_add(p, t->start, t->end,
			"error parsing number: strconv.ParseFloat: parsing %s: %s",
			ops_promql_text_quoted(p->arena, s, len),
			r == -ERANGE ? "value out of range" : "invalid syntax");
	}
	return value;
}
