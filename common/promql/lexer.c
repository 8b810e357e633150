/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner knows more than its characters: inside braces keywords are plain names, inside
 * brackets a letter can only begin step(), range(), min_of() or max_of(), and in the values of a
 * series 'x' and '_' are tokens. Which rules hold is decided by the scanner alone (mode and the
 * open flags), never by the parser, so tokens do not depend on how far the parser looks ahead.
 *
 * Positions of errors follow Prometheus: from the start of the token that could not be finished to
 * the end of the input. Within brackets the rules loosen once a number was read (mode EXPR with
 * bracket_open), which is what lets "[5m:1m]" have a colon and gives a stray word its message.
 */
#include "common/promql/lexer.h"

#include <string.h>

void ops_promql_lexer_init(struct ops_promql_lexer *l, struct ops_arena *arena, const char *text,
	size_t len, bool series)
{
	*l = (struct ops_promql_lexer){
		.arena = arena, .input = text, .len = (uint32_t)len, .series = series};
}

static void skip_blanks_and_comments(struct ops_promql_lexer *l)
{
	ops_promql_lex_skip_spaces(l);
	while (ops_promql_lex_at(l, '#')) {
		while (l->pos < l->len && l->input[l->pos] != '\n' && l->input[l->pos] != '\r') {
			l->pos++;
		}
		ops_promql_lex_skip_spaces(l);
	}
}

static const char *quoted_rune(struct ops_promql_lexer *l, uint32_t c)
{
	return ops_promql_rune_text(l->arena, c == OPS_PROMQL_RUNE_END ? 0xfffd : c);
}

static bool accept_any(struct ops_promql_lexer *l, const char *set)
{
	if (l->pos < l->len && l->input[l->pos] != '\0' && strchr(set, l->input[l->pos]) != NULL) {
		l->pos++;
		return true;
	}
	return false;
}

/* The units after a first run of digits: "m30s". Order and sense are checked by its parser. */
static bool lex_duration_rest(struct ops_promql_lexer *l)
{
	if (!accept_any(l, "smhdwy")) {
		return false;
	}
	(void)accept_any(l, "s");
	while (accept_any(l, "0123456789")) {
		while (accept_any(l, "0123456789")) {
		}
		if (!accept_any(l, "smhdw")) {
			return false;
		}
		(void)accept_any(l, "s");
	}
	size_t width = 0;
	if (ops_promql_is_alnum(ops_promql_lex_peek(l, &width))) {
		l->pos += (uint32_t)width;
		return false;
	}
	return true;
}

static void lex_number_or_duration(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	l->mode = OPS_PROMQL_LEX_EXPR;
	if (ops_promql_lex_number(l)) {
		ops_promql_lex_emit(l, TOK_NUMBER, ret);
	} else if (lex_duration_rest(l)) {
		ops_promql_lex_emit(l, TOK_DURATION, ret);
	} else {
		ops_promql_lex_error(l, ret, "bad number or duration syntax: %s",
			ops_promql_text_quoted(l->arena, l->input + l->start, l->pos - l->start));
	}
}

/* step, range, min_of, max_of; their first letter has been read. */
static bool lex_duration_keyword(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	char first = (char)(l->input[l->start] | 0x20);
	if (first != 's' && first != 'r' && first != 'm') {
		return false;
	}
	while (l->pos < l->len && ops_promql_is_alpha((unsigned char)l->input[l->pos])) {
		l->pos++;
	}
	enum ops_promql_token_type type =
		ops_promql_keyword(l->input + l->start, l->pos - l->start);
	if (type < TOK_OP_STEP || type > TOK_OP_MAX_OF) {
		return false;
	}
	ops_promql_lex_emit(l, type, ret);
	return true;
}

static void close_paren(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	ops_promql_lex_emit(l, TOK_RIGHT_PAREN, ret);
	if (--l->paren_depth < 0) {
		ops_promql_lex_error(l, ret, "unexpected right parenthesis ')'");
	}
}

/* What is one character long everywhere. */
static bool lex_arithmetic(struct ops_promql_lexer *l, uint32_t c, struct ops_promql_token *ret)
{
	static const struct {
		char c;
		enum ops_promql_token_type type;
	} singles[] = {
		{'+', TOK_OP_ADD},
		{'-', TOK_OP_SUB},
		{'*', TOK_OP_MUL},
		{'/', TOK_OP_DIV},
		{'%', TOK_OP_MOD},
		{'^', TOK_OP_POW},
		{',', TOK_COMMA},
	};
	for (size_t i = 0; i < OPS_LENGTH(singles); i++) {
		if (c == (unsigned char)singles[i].c) {
			ops_promql_lex_emit(l, singles[i].type, ret);
			return true;
		}
	}
	if (c == '(') {
		l->paren_depth++;
		ops_promql_lex_emit(l, TOK_LEFT_PAREN, ret);
		return true;
	}
	if (c == ')') {
		close_paren(l, ret);
		return true;
	}
	return false;
}

static void lex_duration_colon(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	ops_promql_lex_emit(l, TOK_COLON, ret);
	if (!l->got_duration) {
		ops_promql_lex_error(
			l, ret, "unexpected colon before duration in duration expression");
	} else if (l->got_colon) {
		ops_promql_lex_error(l, ret, "unexpected repeated colon in duration expression");
	}
	l->got_colon = true;
}

static void lex_duration_expr(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	ops_promql_lex_skip_spaces(l);
	uint32_t c = ops_promql_lex_next(l);
	if (lex_arithmetic(l, c, ret)) {
		return;
	}
	size_t width = 0;
	if (c == OPS_PROMQL_RUNE_END) {
		ops_promql_lex_error(l, ret, "unexpected end of input in duration expression");
	} else if (c == ']') {
		l->bracket_open = l->got_colon = false;
		l->mode = OPS_PROMQL_LEX_EXPR;
		ops_promql_lex_emit(l, TOK_RIGHT_BRACKET, ret);
	} else if (c == ':') {
		lex_duration_colon(l, ret);
	} else if (ops_promql_is_digit(c) ||
		   (c == '.' && ops_promql_is_digit(ops_promql_lex_peek(l, &width)))) {
		l->pos--;
		l->got_duration = true;
		lex_number_or_duration(l, ret);
	} else if (!ops_promql_is_alpha(c) || !lex_duration_keyword(l, ret)) {
		ops_promql_lex_error(l, ret, "unexpected character in duration expression: %s",
			quoted_rune(l, c));
	}
}

static void lex_brace_name(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	while (l->pos < l->len && ops_promql_is_alnum((unsigned char)l->input[l->pos])) {
		l->pos++;
	}
	ops_promql_lex_emit(l, TOK_IDENTIFIER, ret);
}

static void lex_brace_not(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	uint32_t c = ops_promql_lex_next(l);
	if (c == '~') {
		ops_promql_lex_emit(l, TOK_NEQ_REGEX, ret);
	} else if (c == '=') {
		ops_promql_lex_emit(l, TOK_OP_NEQ, ret);
	} else {
		ops_promql_lex_error(l, ret, "unexpected character after '!' inside braces: %s",
			quoted_rune(l, c));
	}
}

static void lex_braces(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	skip_blanks_and_comments(l);
	uint32_t c = ops_promql_lex_next(l);
	if (ops_promql_is_alpha(c)) {
		lex_brace_name(l, ret);
	} else if (c == ',') {
		ops_promql_lex_emit(l, TOK_COMMA, ret);
	} else if (c == '"' || c == '\'' || c == '`') {
		ops_promql_lex_string(l, (char)c, ret);
	} else if (c == '=') {
		bool regex = ops_promql_lex_at(l, '~');
		l->pos += regex ? 1 : 0;
		ops_promql_lex_emit(l, regex ? TOK_EQL_REGEX : TOK_EQL, ret);
	} else if (c == '!') {
		lex_brace_not(l, ret);
	} else if (c == '}') {
		l->brace_open = false;
		l->mode = l->series ? OPS_PROMQL_LEX_VALUES : OPS_PROMQL_LEX_EXPR;
		ops_promql_lex_emit(l, TOK_RIGHT_BRACE, ret);
	} else if (c == OPS_PROMQL_RUNE_END) {
		ops_promql_lex_error(l, ret, "unexpected end of input inside braces");
	} else {
		ops_promql_lex_error(l, ret,
			c == '{' ? "unexpected left brace %s"
				 : "unexpected character inside braces: %s",
			quoted_rune(l, c));
	}
}

static void lex_end(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	if (l->paren_depth != 0) {
		ops_promql_lex_error(l, ret, "unclosed left parenthesis");
	} else if (l->bracket_open) {
		ops_promql_lex_error(l, ret, "unclosed left bracket");
	} else {
		ops_promql_lex_emit(l, TOK_EOF, ret);
		l->mode = OPS_PROMQL_LEX_DONE;
	}
}

/* = ! < > and what they begin. */
static bool lex_comparison(struct ops_promql_lexer *l, uint32_t c, struct ops_promql_token *ret)
{
	size_t width = 0;
	uint32_t after = ops_promql_lex_peek(l, &width);
	enum ops_promql_token_type type = TOK_EOF;

	if (c == '=') {
		if (after == '~') {
			ops_promql_lex_error(l, ret, "unexpected character after '=': '~'");
			return true;
		}
		type = after == '=' ? TOK_OP_EQL : TOK_EQL;
	} else if (c == '!') {
		if (after != '=') {
			ops_promql_lex_error(l, ret, "unexpected character after '!': %s",
				quoted_rune(l, after));
			return true;
		}
		type = TOK_OP_NEQ;
	} else if (c == '<') {
		type = after == '=' ? TOK_OP_LTE : after == '/' ? TOK_OP_TRIM_UPPER : TOK_OP_LSS;
	} else if (c == '>') {
		type = after == '=' ? TOK_OP_GTE : after == '/' ? TOK_OP_TRIM_LOWER : TOK_OP_GTR;
	} else {
		return false;
	}
	l->pos += type != TOK_EQL && type != TOK_OP_LSS && type != TOK_OP_GTR ? 1 : 0;
	ops_promql_lex_emit(l, type, ret);
	return true;
}

static void lex_bracket(struct ops_promql_lexer *l, uint32_t c, struct ops_promql_token *ret)
{
	bool open = c == '[';
	if (open == l->bracket_open) {
		ops_promql_lex_error(l, ret, "unexpected %s bracket '%c'", open ? "left" : "right",
			open ? '[' : ']');
		return;
	}
	l->got_colon = open ? false : l->got_colon;
	l->bracket_open = open;
	l->mode = open ? OPS_PROMQL_LEX_DURATION : OPS_PROMQL_LEX_EXPR;
	ops_promql_lex_emit(l, open ? TOK_LEFT_BRACKET : TOK_RIGHT_BRACKET, ret);
}

/* A letter or colon while a bracket is open. */
static void lex_bracket_word(struct ops_promql_lexer *l, uint32_t c, struct ops_promql_token *ret)
{
	if (c == ':' && l->got_colon) {
		ops_promql_lex_error(l, ret, "unexpected colon ':'");
	} else if (c == ':') {
		l->got_colon = true;
		ops_promql_lex_emit(l, TOK_COLON, ret);
	} else if (!lex_duration_keyword(l, ret)) {
		ops_promql_lex_error(
			l, ret, "unexpected character: %s, expected ':'", quoted_rune(l, c));
	}
}

static void lex_expr(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	skip_blanks_and_comments(l);
	uint32_t c = ops_promql_lex_next(l);
	size_t width = 0;
	if (lex_arithmetic(l, c, ret) || lex_comparison(l, c, ret)) {
		return;
	}
	if (c == ':' || ops_promql_is_alpha(c)) {
		if (l->bracket_open) {
			lex_bracket_word(l, c, ret);
		} else {
			ops_promql_lex_word(l, ret);
		}
	} else if (ops_promql_is_digit(c) ||
		   (c == '.' && ops_promql_is_digit(ops_promql_lex_peek(l, &width)))) {
		l->pos--;
		lex_number_or_duration(l, ret);
	} else if (c == '"' || c == '\'' || c == '`') {
		ops_promql_lex_string(l, (char)c, ret);
	} else if (c == '{') {
		l->brace_open = true;
		ops_promql_lex_emit(l, TOK_LEFT_BRACE, ret);
	} else if (c == '[' || c == ']') {
		lex_bracket(l, c, ret);
	} else if (c == '@') {
		ops_promql_lex_emit(l, TOK_AT, ret);
	} else if (c == OPS_PROMQL_RUNE_END) {
		lex_end(l, ret);
	} else {
		ops_promql_lex_error(l, ret, "unexpected character: %s", quoted_rune(l, c));
	}
}

void ops_promql_lex(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	switch (l->mode) {
	case OPS_PROMQL_LEX_EXPR:
		if (l->brace_open) {
			lex_braces(l, ret);
		} else {
			lex_expr(l, ret);
		}
		break;
	case OPS_PROMQL_LEX_DURATION:
		lex_duration_expr(l, ret);
		break;
	case OPS_PROMQL_LEX_VALUES:
	case OPS_PROMQL_LEX_HISTOGRAM:
	case OPS_PROMQL_LEX_BUCKETS:
		ops_promql_lex_series(l, ret);
		break;
	case OPS_PROMQL_LEX_DONE:
		l->start = l->pos = l->len;
		ops_promql_lex_emit(l, TOK_EOF, ret);
		break;
	}
}
