/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alertmanager's newer grammar: tokens, then a list of name, operator, value with optional braces
 * around it. Names and values are Go strings in double quotes, or runs of characters that are
 * neither white space nor one of {}!=~,\"'`. Unlike the classic one it knows labels in any script,
 * and refuses what looks like a mistake.
 */
#include "common/model/matcher_syntax.h"

#include <errno.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"

enum token_kind {
	END,
	OPEN,
	CLOSE,
	COMMA,
	OP,
	WORD,
	QUOTED
};

struct token {
	enum token_kind kind;
	enum ops_match_op op;
	size_t start, end;
};

struct reader {
	const struct ops_matcher_text *t;
	size_t at;
	struct token token; /* the one to look at */
};

/* ---- tokens ---- */

/* Unicode's White_Space. */
static bool is_space(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
	       c == 0x205f || c == 0x3000;
}

static bool is_reserved(uint32_t c)
{
	return is_space(c) || (c < 0x80 && strchr("{}!=~,\\\"'`", (int)c) != NULL);
}

/* The text was checked to be UTF-8 without NUL. */
static size_t char_at(const struct reader *r, size_t at, uint32_t *ret)
{
	return at < r->t->len ? ops_utf8_decode(r->t->text + at, r->t->len - at, ret) : 0;
}

static int scan_operator(struct reader *r)
{
	static const char equal[] = "=", not_equal[] = "!";
	const char *s = r->t->text + r->at;
	char next = r->at + 1 < r->t->len ? s[1] : '\0';
	size_t used = 2;
	if (s[0] == not_equal[0] && next == '=') {
		r->token.op = OPS_MATCH_NE;
	} else if (s[0] == not_equal[0] && next == '~') {
		r->token.op = OPS_MATCH_NRE;
	} else if (s[0] == equal[0] && next == '~') {
		r->token.op = OPS_MATCH_RE;
	} else if (s[0] == equal[0]) {
		r->token.op = OPS_MATCH_EQ;
		used = 1;
	} else {
		return ops_matcher_refuse(r->t, r->at, "expected = or ~ after !");
	}
	r->token.kind = OP;
	r->at += used;
	return 0;
}

static int scan_quoted(struct reader *r)
{
	size_t at = r->at + 1;
	while (at < r->t->len && r->t->text[at] != '"')
		at += r->t->text[at] == '\\' ? 2 : 1;
	if (at >= r->t->len)
		return ops_matcher_refuse(r->t, r->at, "closing quote is missing");
	r->token.kind = QUOTED;
	r->at = at + 1;
	return 0;
}

static void scan_word(struct reader *r)
{
	uint32_t c = 0;
	for (size_t n = char_at(r, r->at, &c); n > 0 && !is_reserved(c); n = char_at(r, r->at, &c))
		r->at += n;
	r->token.kind = WORD;
}

static int scan_kind(struct reader *r, uint32_t c)
{
	static const char marks[] = "{},";
	static const enum token_kind kinds[] = {OPEN, CLOSE, COMMA};
	const char *mark = c < 0x80 ? strchr(marks, (int)c) : NULL;
	if (mark != NULL) {
		r->token.kind = kinds[mark - marks];
		r->at++;
		return 0;
	}
	if (c == '=' || c == '!')
		return scan_operator(r);
	if (c == '"')
		return scan_quoted(r);
	if (is_reserved(c))
		return ops_matcher_refuse(r->t, r->at, "unexpected character");
	scan_word(r);
	return 0;
}

static int advance(struct reader *r)
{
	uint32_t c = 0;
	size_t n = char_at(r, r->at, &c);
	while (n > 0 && is_space(c)) {
		r->at += n;
		n = char_at(r, r->at, &c);
	}
	r->token = (struct token){.kind = END, .start = r->at};
	int e = n > 0 ? scan_kind(r, c) : 0;
	r->token.end = r->at;
	return e;
}

/* ---- strings ---- */

static int digits(const char *s, size_t len, size_t n, unsigned base, uint32_t *ret)
{
	uint32_t v = 0;
	if (len < n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
			     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
			     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
						    : base;
		if (d >= base)
			return -EINVAL;
		v = v * base + d;
	}
	*ret = v;
	return 0;
}

static int add_code(uint32_t code, struct ops_strbuf *out)
{
	char bytes[4];
	if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return -EINVAL;
	ops_strbuf_add(out, bytes, ops_utf8_encode(code, bytes));
	return 0;
}

/* s stands behind the backslash; returns how much was used, 0 when it is no escape of Go. */
static size_t unescape(const char *s, size_t len, struct ops_strbuf *out)
{
	static const char names[] = "abfnrtv\\\"", codes[] = "\a\b\f\n\r\t\v\\\"";
	const char *name = len > 0 ? strchr(names, s[0]) : NULL;
	uint32_t code = 0;
	if (name != NULL) {
		ops_strbuf_addc(out, codes[name - names]);
		return 1;
	}
	if (len > 0 && s[0] == 'x' && digits(s + 1, len - 1, 2, 16, &code) == 0) {
		ops_strbuf_addc(out, (char)code);
		return 3;
	}
	if (len > 0 && s[0] >= '0' && s[0] <= '7' && digits(s, len, 3, 8, &code) == 0 &&
		code < 256) {
		ops_strbuf_addc(out, (char)code);
		return 3;
	}
	if (len > 0 && s[0] == 'u' && digits(s + 1, len - 1, 4, 16, &code) == 0 &&
		add_code(code, out) == 0)
		return 5;
	if (len > 0 && s[0] == 'U' && digits(s + 1, len - 1, 8, 16, &code) == 0 &&
		add_code(code, out) == 0)
		return 9;
	return 0;
}

static int token_text(struct reader *r, struct ops_strbuf *out)
{
	const char *s = r->t->text;
	if (r->token.kind == WORD) {
		ops_strbuf_add(out, s + r->token.start, r->token.end - r->token.start);
		return 0;
	}
	size_t end = r->token.end - 1;
	for (size_t i = r->token.start + 1; i < end;) {
		if (s[i] == '\n')
			return ops_matcher_refuse(r->t, i, "a quoted text must not span lines");
		if (s[i] != '\\') {
			ops_strbuf_addc(out, s[i++]);
			continue;
		}
		size_t used = unescape(s + i + 1, end - i - 1, out);
		if (used == 0)
			return ops_matcher_refuse(r->t, i, "invalid escape sequence");
		i += 1 + used;
	}
	if (!ops_utf8_valid(ops_strbuf_text(out), out->len))
		return ops_matcher_refuse(r->t, r->token.start, "quoted text is not UTF-8");
	return 0;
}

/* ---- the list ---- */

static int read_text(struct reader *r, const char *expected, struct ops_strbuf *out)
{
	if (r->token.kind != WORD && r->token.kind != QUOTED)
		return ops_matcher_refuse(r->t, r->token.start, expected);
	int e = token_text(r, out);
	return e != 0 ? e : advance(r);
}

static int read_parts(struct reader *r, struct ops_strbuf *name, struct ops_strbuf *value)
{
	size_t start = r->token.start;
	int e = read_text(r, "expected a label name", name);
	if (e != 0)
		return e;
	if (r->token.kind != OP)
		return ops_matcher_refuse(r->t, r->token.start, "expected one of = != =~ !~");
	enum ops_match_op op = r->token.op;
	e = advance(r);
	e = e != 0 ? e : read_text(r, "expected a label value", value);
	if (e != 0)
		return e;
	return ops_matcher_accept(r->t, start, op,
		&(struct ops_matcher_part){ops_strbuf_text(name), name->len},
		&(struct ops_matcher_part){ops_strbuf_text(value), value->len});
}

static int read_matcher(struct reader *r)
{
	struct ops_strbuf name = OPS_STRBUF_INIT, value = OPS_STRBUF_INIT;
	int e = read_parts(r, &name, &value);
	ops_strbuf_done(&name);
	ops_strbuf_done(&value);
	return e;
}

static bool at_end(const struct reader *r)
{
	return r->token.kind == END || r->token.kind == CLOSE;
}

/* A comma may end the list, but not begin it. */
static int read_list(struct reader *r)
{
	while (!at_end(r)) {
		int e = read_matcher(r);
		if (e != 0)
			return e;
		if (at_end(r))
			return 0;
		if (r->token.kind != COMMA)
			return ops_matcher_refuse(
				r->t, r->token.start, "expected a comma or a closing brace");
		e = advance(r);
		if (e != 0)
			return e;
	}
	return 0;
}

int ops_matchers_parse_utf8(const struct ops_matcher_text *t)
{
	struct reader r = {.t = t};
	int e = advance(&r);
	if (e != 0)
		return e;
	bool braces = r.token.kind == OPEN;
	if (braces)
		e = advance(&r);
	e = e != 0 ? e : read_list(&r);
	if (e != 0)
		return e;
	if (braces != (r.token.kind == CLOSE))
		return ops_matcher_refuse(t, r.token.start,
			braces ? "expected a closing brace"
			       : "closing brace without an opening one");
	if (braces)
		e = advance(&r);
	if (e == 0 && r.token.kind != END)
		e = ops_matcher_refuse(t, r.token.start, "expected the end");
	return e;
}
