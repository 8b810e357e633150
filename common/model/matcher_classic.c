/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alertmanager's older grammar. It splits at commas outside of quotes first, then reads each piece
 * as name, operator, rest; the rest may be in quotes or not, and a backslash that escapes nothing
 * stands for itself. It accepts much that looks like a mistake ({foo=} is "foo is empty or
 * absent"), and files in use rely on it, so it is followed to the letter.
 */
#include "common/model/matcher_syntax.h"

#include <errno.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

static bool is_name(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':')
		return true;
	return !first && c >= '0' && c <= '9';
}

/* Reads a value whose opening quote, if there was one, is gone. */
static int unescape(const struct ops_matcher_text *t, size_t from, size_t to, bool quoted,
	struct ops_strbuf *out)
{
	const char *s = t->text;
	for (size_t i = from; i < to; i++) {
		bool last = i + 1 == to;
		if (s[i] == '\\' && !last) {
			i++;
			if (s[i] != 'n' && s[i] != '"' && s[i] != '\\')
				ops_strbuf_addc(out, '\\');
			ops_strbuf_addc(out, s[i] == 'n' ? '\n' : s[i]);
			continue;
		}
		if (s[i] != '"') {
			ops_strbuf_addc(out, s[i]);
			continue;
		}
		if (!quoted || !last)
			return ops_matcher_refuse(t, i, "value contains an unescaped double quote");
		quoted = false;
	}
	if (quoted)
		return ops_matcher_refuse(t, from - 1, "value contains an unescaped double quote");
	return 0;
}

static size_t read_op(const char *s, size_t len, enum ops_match_op *ret)
{
	static const enum ops_match_op order[] = {
		OPS_MATCH_RE, OPS_MATCH_EQ, OPS_MATCH_NE, OPS_MATCH_NRE};
	for (size_t i = 0; i < OPS_LENGTH(order); i++) {
		const char *text = ops_match_op_text(order[i]);
		size_t n = strlen(text);
		if (len < n || memcmp(s, text, n) != 0)
			continue;
		*ret = order[i];
		return n;
	}
	return 0;
}

/* The piece [from, to) as one matcher. */
static int read_one(const struct ops_matcher_text *t, size_t from, size_t to)
{
	const char *s = t->text;
	enum ops_match_op op = OPS_MATCH_EQ;
	while (from < to && is_space(s[from]))
		from++;
	size_t start = from;
	while (from < to && is_name(s[from], from == start))
		from++;
	struct ops_matcher_part name = {s + start, from - start};
	while (from < to && is_space(s[from]))
		from++;
	size_t op_len = read_op(s + from, to - from, &op);
	if (name.len == 0 || op_len == 0)
		return ops_matcher_refuse(t, from,
			name.len == 0 ? "expected a label name" : "expected one of = != =~ !~");
	from += op_len;
	while (from < to && is_space(s[from]))
		from++;
	while (to > from && is_space(s[to - 1]))
		to--;
	bool quoted = from < to && s[from] == '"';
	struct ops_strbuf value = OPS_STRBUF_INIT;
	int r = unescape(t, from + quoted, to, quoted, &value);
	if (r == 0)
		r = ops_matcher_accept(t, start, op, &name,
			&(struct ops_matcher_part){ops_strbuf_text(&value), value.len});
	ops_strbuf_done(&value);
	return r;
}

int ops_matcher_parse_classic(const struct ops_matcher_text *t)
{
	return read_one(t, 0, t->len);
}

static bool blank(const char *s, size_t from, size_t to)
{
	while (from < to && (is_space(s[from]) || s[from] == '\v'))
		from++;
	return from == to;
}

int ops_matchers_parse_classic(const struct ops_matcher_text *t)
{
	const char *s = t->text;
	size_t from = t->len > 0 && s[0] == '{', to = t->len;
	if (to > from && s[to - 1] == '}')
		to--;
	bool quoted = false, escaped = false;
	int r = 0;
	for (size_t i = from; r == 0 && i < to; i++) {
		if (s[i] == ',' && !quoted) {
			r = read_one(t, from, i);
			from = i + 1;
			continue;
		}
		if (s[i] == '"' && !escaped)
			quoted = !quoted;
		escaped = s[i] == '\\' && !escaped;
	}
	/* Nothing behind the last comma is fine, between two commas it is not. */
	if (r != 0 || blank(s, from, to))
		return r;
	return read_one(t, from, to);
}
