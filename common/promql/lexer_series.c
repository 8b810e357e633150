/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of the points of a series: 1 2+3x4 _x2 stale {{schema:1 buckets:[1 2]}}x3. Runs of blanks
 * are one SPACE token, because a blank ends an item ("1 -1" are two points, "1-1x2" is one run).
 */
#include "common/promql/lexer.h"

static void emit_space(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	ops_promql_lex_emit(l, TOK_SPACE, ret);
	ops_promql_lex_skip_spaces(l);
}

static void lex_plain_number(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	if (ops_promql_lex_number(l)) {
		ops_promql_lex_emit(l, TOK_NUMBER, ret);
		return;
	}
	ops_promql_lex_error(l, ret, "bad number syntax: %s",
		ops_promql_text_quoted(l->arena, l->input + l->start, l->pos - l->start));
}

static bool lex_value_mark(struct ops_promql_lexer *l, uint32_t c, struct ops_promql_token *ret)
{
	static const struct {
		char c;
		enum ops_promql_token_type type;
	} marks[] = {
		{'+', TOK_OP_ADD},
		{'-', TOK_OP_SUB},
		{'x', TOK_TIMES},
		{'_', TOK_BLANK},
	};
	for (size_t i = 0; i < OPS_LENGTH(marks); i++) {
		if (c == (unsigned char)marks[i].c) {
			ops_promql_lex_emit(l, marks[i].type, ret);
			return true;
		}
	}
	return false;
}

static void lex_values(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	uint32_t c = ops_promql_lex_next(l);
	size_t width = 0;
	if (c == OPS_PROMQL_RUNE_END) {
		ops_promql_lex_emit(l, TOK_EOF, ret);
		l->mode = OPS_PROMQL_LEX_DONE;
	} else if (c == '{' && ops_promql_lex_at(l, '{')) {
		l->pos++;
		l->mode = OPS_PROMQL_LEX_HISTOGRAM;
		ops_promql_lex_emit(l, TOK_OPEN_HIST, ret);
	} else if (ops_promql_is_space(c)) {
		emit_space(l, ret);
	} else if (lex_value_mark(l, c, ret)) {
		return;
	} else if (ops_promql_is_digit(c) ||
		   (c == '.' && ops_promql_is_digit(ops_promql_lex_peek(l, &width)))) {
		l->pos--;
		lex_plain_number(l, ret);
	} else if (ops_promql_is_alpha(c)) {
		ops_promql_lex_word(l, ret);
	} else {
		ops_promql_lex_error(l, ret, "unexpected character in series sequence: %s",
			ops_promql_rune_text(l->arena, c));
	}
}

/* A key with its colon ahead, inf, nan, or the value of counter_reset_hint. */
static void lex_histogram_word(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	while (l->pos < l->len && ops_promql_is_alpha((unsigned char)l->input[l->pos])) {
		l->pos++;
	}
	const char *word = l->input + l->start;
	size_t len = l->pos - l->start;
	enum ops_promql_token_type type = ops_promql_histogram_word(word, len);
	if (type >= TOK_HIST_SUM && type <= TOK_HIST_COUNTER_RESET_HINT &&
		!ops_promql_lex_at(l, ':')) {
		ops_promql_lex_error(l, ret, "missing `:` for histogram descriptor");
	} else if (type != TOK_IDENTIFIER) {
		ops_promql_lex_emit(l, type, ret);
	} else if (ops_promql_keyword(word, len) == TOK_NUMBER) {
		ops_promql_lex_emit(l, TOK_NUMBER, ret);
	} else {
		ops_promql_lex_error(l, ret, "bad histogram descriptor found: %s",
			ops_promql_text_quoted(l->arena, word, len));
	}
}

static void lex_histogram(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	uint32_t c = ops_promql_lex_next(l);
	if (ops_promql_is_space(c)) {
		emit_space(l, ret);
	} else if (ops_promql_is_alpha(c)) {
		lex_histogram_word(l, ret);
	} else if (c == ':') {
		ops_promql_lex_emit(l, TOK_COLON, ret);
	} else if (c == '-') {
		ops_promql_lex_emit(l, TOK_OP_SUB, ret);
	} else if (ops_promql_is_digit(c)) {
		l->pos--;
		lex_plain_number(l, ret);
	} else if (c == '[') {
		l->mode = OPS_PROMQL_LEX_BUCKETS;
		ops_promql_lex_emit(l, TOK_LEFT_BRACKET, ret);
	} else if (c == '}' && ops_promql_lex_at(l, '}')) {
		l->pos++;
		l->mode = OPS_PROMQL_LEX_VALUES;
		ops_promql_lex_emit(l, TOK_CLOSE_HIST, ret);
	} else {
		ops_promql_lex_error(l, ret, "histogram description incomplete unexpected: %s",
			ops_promql_rune_text(l->arena, c == OPS_PROMQL_RUNE_END ? 0xfffd : c));
	}
}

static void lex_bucket_word(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	while (l->pos < l->len && ops_promql_is_alpha((unsigned char)l->input[l->pos])) {
		l->pos++;
	}
	if (ops_promql_keyword(l->input + l->start, l->pos - l->start) == TOK_NUMBER) {
		ops_promql_lex_emit(l, TOK_NUMBER, ret);
		return;
	}
	ops_promql_lex_error(l, ret, "invalid character in buckets description: %s",
		ops_promql_rune_text(l->arena, (unsigned char)l->input[l->start]));
}

static void lex_buckets(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	uint32_t c = ops_promql_lex_next(l);
	if (ops_promql_is_space(c)) {
		emit_space(l, ret);
	} else if (c == '-') {
		ops_promql_lex_emit(l, TOK_OP_SUB, ret);
	} else if (ops_promql_is_digit(c)) {
		l->pos--;
		lex_plain_number(l, ret);
	} else if (c == ']') {
		l->mode = OPS_PROMQL_LEX_HISTOGRAM;
		ops_promql_lex_emit(l, TOK_RIGHT_BRACKET, ret);
	} else if (ops_promql_is_alpha(c)) {
		lex_bucket_word(l, ret);
	} else {
		ops_promql_lex_error(l, ret, "invalid character in buckets description: %s",
			ops_promql_rune_text(l->arena, c == OPS_PROMQL_RUNE_END ? 0xfffd : c));
	}
}

void ops_promql_lex_series(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	if (l->mode == OPS_PROMQL_LEX_VALUES) {
		lex_values(l, ret);
	} else if (l->mode == OPS_PROMQL_LEX_HISTOGRAM) {
		lex_histogram(l, ret);
	} else {
		lex_buckets(l, ret);
	}
}
