/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where words, numbers and strings end. The number scan is deliberately more liberal than the
 * number parser (literal.c) but must stop at the same character as Prometheus' scanner: a stray
 * letter behind a number turns it into a duration or into an error, never into two tokens. Strings
 * are checked here completely, so that unquoting cannot fail later.
 */
#include "common/promql/lexer.h"

#include <string.h>

static bool at_any(const struct ops_promql_lexer *l, const char *set)
{
	return l->pos < l->len && l->input[l->pos] != '\0' && strchr(set, l->input[l->pos]) != NULL;
}

static bool take_any(struct ops_promql_lexer *l, const char *set)
{
	bool found = at_any(l, set);
	l->pos += found ? 1 : 0;
	return found;
}

static bool at_digit(const struct ops_promql_lexer *l, bool hex)
{
	if (l->pos >= l->len) {
		return false;
	}
	char c = l->input[l->pos];
	return ops_promql_is_digit((unsigned char)c) ||
	       (hex && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')));
}

/* One step behind the first digit. 1: go on, 0: the number ends here, -1: it is none. */
static int number_step(struct ops_promql_lexer *l, bool hex, bool *dot, bool *exponent)
{
	if (take_any(l, ".")) {
		if (*dot || take_any(l, "_.") || hex) {
			return -1;
		}
		*dot = true;
		return 1;
	}
	if (take_any(l, "eE")) {
		if (*exponent) {
			return -1;
		}
		*exponent = true;
		(void)take_any(l, "+-");
		return take_any(l, "._eE") || l->pos >= l->len ? -1 : 1;
	}
	if (take_any(l, "_")) {
		return take_any(l, "._eE") || l->pos >= l->len ? -1 : 1;
	}
	if (!at_digit(l, hex)) {
		return 0;
	}
	while (at_digit(l, hex)) {
		l->pos++;
	}
	return 1;
}

bool ops_promql_lex_number(struct ops_promql_lexer *l)
{
	uint32_t first = l->pos;
	bool hex = false, dot = false, exponent = false;
	int more = 1;

	/* A series uses 'x' for repetition, so there is no hexadecimal. */
	if (!l->series && take_any(l, "0") && take_any(l, "xX")) {
		(void)take_any(l, "_");
		hex = true;
	}
	(void)take_any(l, ".");
	l->pos += at_digit(l, hex) ? 1 : 0;
	while (more == 1) {
		more = number_step(l, hex, &dot, &exponent);
	}
	if (more < 0 || l->pos == first) {
		return false;
	}
	size_t width = 0;
	uint32_t c = ops_promql_lex_peek(l, &width);
	return (l->series && c == 'x') || !ops_promql_is_alnum(c);
}

static uint32_t digit_value(uint32_t c)
{
	if (ops_promql_is_digit(c)) {
		return c - '0';
	}
	if (c >= 'a' && c <= 'f') {
		return c - 'a' + 10;
	}
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* "U+0041 'A'"; what cannot be shown has no second part. */
static const char *code_text(struct ops_promql_lexer *l, uint32_t c)
{
	const char *quoted = ops_promql_rune_text(l->arena, c);
	if (quoted[1] == '\\' && c != '\\' && c != '\'') {
		return ops_arena_printf(l->arena, "U+%04X", c);
	}
	if (c == '\\' || c == '\'') { /* this verb does not escape */
		return ops_arena_printf(l->arena, "U+%04X '%c'", c, (int)c);
	}
	return ops_arena_printf(l->arena, "U+%04X %s", c, quoted);
}

/* n digits of a numeric escape, the first of which is c. */
static bool lex_escape_digits(
	struct ops_promql_lexer *l, uint32_t c, int n, uint32_t base, struct ops_promql_token *ret)
{
	uint32_t value = 0;
	for (int i = 0; i < n; i++) {
		c = i > 0 || base == 16 ? ops_promql_lex_next(l) : c;
		if (c == OPS_PROMQL_RUNE_END) {
			ops_promql_lex_error(l, ret, "escape sequence not terminated");
			return false;
		}
		if (digit_value(c) >= base) {
			ops_promql_lex_error(
				l, ret, "illegal character %s in escape sequence", code_text(l, c));
			return false;
		}
		value = value * base + digit_value(c);
	}
	uint32_t max = n <= 3 ? 255 : 0x10ffff;
	if (value > max || (value >= 0xd800 && value < 0xe000)) {
		ops_promql_lex_error(l, ret, "escape sequence is an invalid Unicode code point");
		return false;
	}
	return true;
}

/* The backslash has been read. False: ret is an error. */
static bool lex_escape(struct ops_promql_lexer *l, char quote, struct ops_promql_token *ret)
{
	uint32_t c = ops_promql_lex_next(l);
	if (c == (unsigned char)quote || (c < 0x80 && c != 0 && strchr("abfnrtv\\", (int)c))) {
		return true;
	}
	if (c >= '0' && c <= '7') {
		return lex_escape_digits(l, c, 3, 8, ret);
	}
	if (c == 'x' || c == 'u' || c == 'U') {
		return lex_escape_digits(l, c, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, ret);
	}
	if (c == OPS_PROMQL_RUNE_END) {
		ops_promql_lex_error(l, ret, "escape sequence not terminated");
	} else {
		ops_promql_lex_error(l, ret, "unknown escape sequence %s", code_text(l, c));
	}
	return false;
}

void ops_promql_lex_string(struct ops_promql_lexer *l, char quote, struct ops_promql_token *ret)
{
	bool raw = quote == '`';
	for (;;) {
		uint32_t c = ops_promql_lex_next(l);
		if (c == (unsigned char)quote) {
			ops_promql_lex_emit(l, TOK_STRING, ret);
			return;
		}
		if (c == OPS_PROMQL_RUNE_BAD) {
			ops_promql_lex_error(l, ret, "invalid UTF-8 rune");
			return;
		}
		if (c == OPS_PROMQL_RUNE_END || (c == '\n' && !raw)) {
			ops_promql_lex_error(l, ret,
				raw ? "unterminated raw string" : "unterminated quoted string");
			return;
		}
		if (c == '\\' && !raw && !lex_escape(l, quote, ret)) {
			return;
		}
	}
}

/* fill, fill_left and fill_right were metric names before they were keywords: "(" decides. */
static bool paren_follows(const struct ops_promql_lexer *l)
{
	uint32_t at = l->pos;
	while (at < l->len && ops_promql_is_space((unsigned char)l->input[at])) {
		at++;
	}
	return at < l->len && l->input[at] == '(';
}

void ops_promql_lex_word(struct ops_promql_lexer *l, struct ops_promql_token *ret)
{
	bool colon = l->input[l->start] == ':'; /* the first character has been read */
	for (; l->pos < l->len; l->pos++) {
		unsigned char c = (unsigned char)l->input[l->pos];
		if (c != ':' && !ops_promql_is_alnum(c)) {
			break;
		}
		colon = colon || c == ':';
	}
	enum ops_promql_token_type type =
		ops_promql_keyword(l->input + l->start, l->pos - l->start);
	bool fill = type == TOK_FILL || type == TOK_FILL_LEFT || type == TOK_FILL_RIGHT;
	if (fill && !paren_follows(l)) {
		type = TOK_IDENTIFIER;
	}
	ops_promql_lex_emit(l, colon ? TOK_METRIC_IDENTIFIER : type, ret);
	if (l->series && !ops_promql_lex_at(l, '{')) {
		l->mode = OPS_PROMQL_LEX_VALUES;
	}
}
