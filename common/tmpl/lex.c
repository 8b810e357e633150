/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lexer. Outside of {{ }} everything is text; inside, tokens know whether a blank stood before
 * them, because Go's grammar is sensitive to it (".A.B" is one operand, ".A .B" are two). Trim
 * markers are resolved here, so that the parser never sees them. Positions are 1-based, columns
 * count bytes.
 */
#include "common/tmpl/internal.h"

#include <errno.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || (unsigned char)c >= 0x80;
}

static char peek(const struct tmpl_lexer *lx, size_t ahead)
{
	return lx->at + ahead < lx->len ? lx->text[lx->at + ahead] : '\0';
}

static void advance(struct tmpl_lexer *lx, size_t n)
{
	for (; n > 0 && lx->at < lx->len; n--) {
		if (lx->text[lx->at++] == '\n') {
			lx->line++;
			lx->line_start = lx->at;
		}
	}
}

static int fail(struct tmpl_lexer *lx, const char *what)
{
	return ops_error_set_at(lx->err, -EINVAL, lx->name, lx->line,
		(int)(lx->at - lx->line_start) + 1, "%s", what);
}

static void mark(const struct tmpl_lexer *lx, struct tmpl_token *t, enum tmpl_token_type type)
{
	t->type = type;
	t->line = lx->line;
	t->column = (int)(lx->at - lx->line_start) + 1;
}

/* Finds the next "{{"; the text before it loses trailing blanks when the action begins with "{{- ".
 */
static void lex_text(struct tmpl_lexer *lx, struct tmpl_token *ret)
{
	if (lx->trim_next) {
		while (lx->at < lx->len && is_blank(lx->text[lx->at]))
			advance(lx, 1);
		lx->trim_next = false;
	}
	mark(lx, ret, TMPL_T_TEXT);
	const char *start = lx->text + lx->at;
	const char *open = memmem(start, lx->len - lx->at, "{{", 2);
	size_t len = open != NULL ? (size_t)(open - start) : lx->len - lx->at;
	size_t keep = len;

	if (open != NULL && lx->at + len + 3 < lx->len && open[2] == '-' && is_blank(open[3])) {
		while (keep > 0 && is_blank(start[keep - 1]))
			keep--;
	}
	ret->text = start;
	ret->len = keep;
	advance(lx, len);
}

/* At a comment: "/" "*" ... "*" "/" must be followed by the end of the action. */
static int skip_comment(struct tmpl_lexer *lx)
{
	const char *rest = lx->text + lx->at;
	const char *end = memmem(rest + 2, lx->len - lx->at - 2, "*/", 2);
	if (end == NULL)
		return fail(lx, "comment is not closed");
	advance(lx, (size_t)(end - rest) + 2);
	bool blank = is_blank(peek(lx, 0));
	if (blank && peek(lx, 1) == '-') {
		advance(lx, 2);
		lx->trim_next = true;
	}
	if (peek(lx, 0) != '}' || peek(lx, 1) != '}')
		return fail(lx, "a comment ends right before \"}}\"");
	advance(lx, 2);
	return 0;
}

static int lex_open(struct tmpl_lexer *lx, struct tmpl_token *ret)
{
	mark(lx, ret, TMPL_T_OPEN);
	advance(lx, 2);
	if (peek(lx, 0) == '-' && is_blank(peek(lx, 1)))
		advance(lx, 2);
	if (peek(lx, 0) == '/' && peek(lx, 1) == '*') {
		int rc = skip_comment(lx);
		ret->type = TMPL_T_TEXT;
		ret->text = "";
		ret->len = 0;
		return rc;
	}
	lx->inside = true;
	return 0;
}

static int hex_escape(struct tmpl_lexer *lx, size_t digits, uint64_t *ret)
{
	if (lx->at + digits > lx->len || ops_parse_hex_u64(lx->text + lx->at, digits, ret) != 0)
		return fail(lx, "escape sequence needs hexadecimal digits");
	advance(lx, digits);
	return 0;
}

static int octal_escape(struct tmpl_lexer *lx, char first, struct ops_strbuf *out)
{
	unsigned v = (unsigned)(first - '0');
	for (int i = 0; i < 2; i++) {
		char c = peek(lx, 0);
		if (c < '0' || c > '7')
			return fail(lx, "octal escape needs three digits");
		v = v * 8 + (unsigned)(c - '0');
		advance(lx, 1);
	}
	ops_strbuf_addc(out, (char)(unsigned char)v);
	return 0;
}

/* After the backslash. */
static int lex_escape(struct tmpl_lexer *lx, struct ops_strbuf *out)
{
	static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
	char c = peek(lx, 0);
	const char *hit = c != '\0' ? strchr(from, c) : NULL;
	uint64_t code = 0;
	char utf8[4];

	if (c == '\0')
		return fail(lx, "string is not closed");
	advance(lx, 1);
	if (hit != NULL) {
		ops_strbuf_addc(out, to[hit - from]);
		return 0;
	}
	if (c >= '0' && c <= '7')
		return octal_escape(lx, c, out);
	if (c != 'x' && c != 'u' && c != 'U')
		return fail(lx, "unknown escape sequence");
	int rc = hex_escape(lx, c == 'x' ? 2 : c == 'u' ? 4 : 8, &code);
	if (rc != 0)
		return rc;
	if (c == 'x')
		ops_strbuf_addc(out, (char)(unsigned char)code);
	else if (code > 0x10ffff)
		return fail(lx, "escape sequence is no code point");
	else
		ops_strbuf_add(out, utf8, ops_utf8_encode((uint32_t)code, utf8));
	return 0;
}

static int lex_quoted(struct tmpl_lexer *lx, char quote, struct tmpl_token *ret)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;

	mark(lx, ret, TMPL_T_STRING);
	advance(lx, 1);
	for (;;) {
		char c = peek(lx, 0);
		if (lx->at >= lx->len || (c == '\n' && quote != '`'))
			return fail(lx, "string is not closed");
		advance(lx, 1);
		if (c == quote)
			break;
		int rc = 0;
		if (c == '\\' && quote != '`')
			rc = lex_escape(lx, &b);
		else
			ops_strbuf_addc(&b, c);
		if (rc != 0)
			return rc;
	}
	ret->text = ops_arena_strndup(lx->arena, ops_strbuf_text(&b), b.len);
	ret->len = b.len;
	if (quote == '\'') {
		uint32_t code = 0;
		if (b.len == 0 || ops_utf8_decode(b.data, b.len, &code) != b.len)
			return fail(lx, "a character constant holds one character");
		ret->type = TMPL_T_NUMBER;
		ret->number = ops_tmpl_int((int64_t)code);
	}
	return 0;
}

static int parse_integer(const char *s, size_t len, int64_t *ret)
{
	size_t sign = len > 0 && (s[0] == '-' || s[0] == '+');
	uint64_t u = 0;

	if (len > sign + 2 && s[sign] == '0' && (s[sign + 1] == 'x' || s[sign + 1] == 'X')) {
		if (ops_parse_hex_u64(s + sign + 2, len - sign - 2, &u) != 0 || u > INT64_MAX)
			return -EINVAL;
		*ret = s[0] == '-' ? -(int64_t)u : (int64_t)u;
		return 0;
	}
	return ops_parse_i64(s, len, ret);
}

static int lex_number(struct tmpl_lexer *lx, struct tmpl_token *ret)
{
	mark(lx, ret, TMPL_T_NUMBER);
	size_t n = 0;
	char buf[64];
	size_t k = 0;
	if (peek(lx, 0) == '-' || peek(lx, 0) == '+')
		n++;
	for (;; n++) {
		char c = peek(lx, n), before = n > 0 ? peek(lx, n - 1) : '\0';
		bool hex = peek(lx, 1) == 'x' || peek(lx, 1) == 'X';
		bool exponent = (c == '-' || c == '+') && (before == 'e' || before == 'E') && !hex;
		if (!is_word(c) && c != '.' && !exponent)
			break;
	}
	for (size_t i = 0; i < n && k < sizeof buf - 1; i++) {
		if (peek(lx, i) != '_')
			buf[k++] = peek(lx, i);
	}
	int64_t i64 = 0;
	double f64 = 0;
	if (parse_integer(buf, k, &i64) == 0)
		ret->number = ops_tmpl_int(i64);
	else if (ops_parse_double(buf, k, &f64) == 0)
		ret->number = ops_tmpl_float(f64);
	else
		return fail(lx, "malformed number");
	ret->text = lx->text + lx->at;
	ret->len = n;
	advance(lx, n);
	return 0;
}

static void lex_word(
	struct tmpl_lexer *lx, size_t skip, enum tmpl_token_type type, struct tmpl_token *ret)
{
	mark(lx, ret, type);
	advance(lx, skip);
	size_t n = 0;
	while (lx->at + n < lx->len && is_word(lx->text[lx->at + n]))
		n++;
	ret->text = ops_arena_strndup(lx->arena, lx->text + lx->at, n);
	ret->len = n;
	advance(lx, n);
}

static void lex_symbol(
	struct tmpl_lexer *lx, enum tmpl_token_type type, size_t len, struct tmpl_token *ret)
{
	mark(lx, ret, type);
	ret->text = lx->text + lx->at;
	ret->len = len;
	advance(lx, len);
}

static bool lex_close(struct tmpl_lexer *lx, struct tmpl_token *ret)
{
	bool trim = peek(lx, 0) == '-' && peek(lx, 1) == '}' && peek(lx, 2) == '}' && !ret->glued;
	if (!trim && (peek(lx, 0) != '}' || peek(lx, 1) != '}'))
		return false;
	lex_symbol(lx, TMPL_T_CLOSE, trim ? 3 : 2, ret);
	lx->inside = false;
	lx->trim_next = trim;
	return true;
}

static int lex_punctuation(struct tmpl_lexer *lx, struct tmpl_token *ret)
{
	static const struct {
		char c;
		enum tmpl_token_type type;
	} singles[] = {{'|', TMPL_T_PIPE}, {'(', TMPL_T_LPAREN}, {')', TMPL_T_RPAREN},
		{',', TMPL_T_COMMA}, {'=', TMPL_T_ASSIGN}};

	for (size_t i = 0; i < OPS_LENGTH(singles); i++) {
		if (peek(lx, 0) == singles[i].c) {
			lex_symbol(lx, singles[i].type, 1, ret);
			return 0;
		}
	}
	switch (peek(lx, 0)) {
	case ':':
		if (peek(lx, 1) == '=') {
			lex_symbol(lx, TMPL_T_DECLARE, 2, ret);
			return 0;
		}
		return fail(lx, "expected :=");
	default:
		return fail(lx, "unexpected character in action");
	}
}

static int lex_inside(struct tmpl_lexer *lx, struct tmpl_token *ret)
{
	size_t before = lx->at;
	while (lx->at < lx->len && is_blank(lx->text[lx->at]))
		advance(lx, 1);
	ret->glued = lx->at == before;
	char c = peek(lx, 0), d = peek(lx, 1);

	if (lx->at >= lx->len)
		return fail(lx, "action is not closed by \"}}\"");
	if (lex_close(lx, ret))
		return 0;
	if (c == '"' || c == '`' || c == '\'')
		return lex_quoted(lx, c, ret);
	if ((c >= '0' && c <= '9') || ((c == '-' || c == '+' || c == '.') && d >= '0' && d <= '9'))
		return lex_number(lx, ret);
	if (c == '.' && is_word(d))
		lex_word(lx, 1, TMPL_T_FIELD, ret);
	else if (c == '.')
		lex_symbol(lx, TMPL_T_DOT, 1, ret);
	else if (c == '$')
		lex_word(lx, 1, TMPL_T_VAR, ret);
	else if (is_word(c))
		lex_word(lx, 0, TMPL_T_IDENT, ret);
	else
		return lex_punctuation(lx, ret);
	return 0;
}

int tmpl_lex(struct tmpl_lexer *lx, struct tmpl_token *ret)
{
	*ret = (struct tmpl_token){.type = TMPL_T_END};
	if (lx->inside)
		return lex_inside(lx, ret);
	if (lx->at >= lx->len) {
		mark(lx, ret, TMPL_T_END);
		return 0;
	}
	if (peek(lx, 0) == '{' && peek(lx, 1) == '{')
		return lex_open(lx, ret);
	lex_text(lx, ret);
	return 0;
}
