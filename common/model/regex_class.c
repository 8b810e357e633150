/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of the language where RE2 and PCRE2 differ in detail: escapes and character classes.
 * Nothing is passed through unread: each character is decoded and written again in a form that has
 * one meaning only. Where the two disagree on a set, RE2's is spelled out: \s has no vertical tab
 * there, and \p{Greek} means the script property, not the script extensions.
 */
#include "common/model/regex_syntax.h"

#include <string.h>

#include "common/base/text.h"

#define SPACE "\\t\\n\\f\\r\\x20"
#define NOT_SPACE "\\x00-\\x08\\x0b\\x0e-\\x1f\\x21-\\x{10ffff}"

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void ops_regex_literal(uint32_t code, struct ops_strbuf *out)
{
	if (code < 0x20 || code == 0x7f) {
		ops_strbuf_printf(out, "\\x%02x", (unsigned)code);
	} else if (code < 0x80) {
		if (!is_alnum((char)code))
			ops_strbuf_addc(out, '\\');
		ops_strbuf_addc(out, (char)code);
	} else {
		ops_strbuf_printf(out, "\\x{%x}", (unsigned)code);
	}
}

/* ---- escapes ---- */

/* at is behind the x. */
static const char *escape_hex(const char *at, size_t len, uint32_t *ret_code, size_t *ret_used)
{
	static const char *const refused = "invalid escape sequence";
	uint32_t code = 0;
	size_t i = 0;
	if (len == 0)
		return refused;
	if (at[0] != '{') {
		if (len < 2 || hex_digit(at[0]) < 0 || hex_digit(at[1]) < 0)
			return refused;
		*ret_code = (uint32_t)(hex_digit(at[0]) * 16 + hex_digit(at[1]));
		*ret_used = 2;
		return NULL;
	}
	for (i = 1; i < len && hex_digit(at[i]) >= 0; i++) {
		code = code * 16 + (uint32_t)hex_digit(at[i]);
		if (code > 0x10ffff)
			return refused;
	}
	if (i == 1 || i >= len || at[i] != '}' || (code >= 0xd800 && code < 0xe000))
		return refused;
	*ret_code = code;
	*ret_used = i + 1;
	return NULL;
}

static void escape_octal(const char *at, size_t len, uint32_t *ret_code, size_t *ret_used)
{
	uint32_t code = 0;
	size_t i = 0;
	for (; i < 3 && i < len && is_octal(at[i]); i++)
		code = code * 8 + (uint32_t)(at[i] - '0');
	*ret_code = code;
	*ret_used = i;
}

const char *ops_regex_escape(const char *at, size_t len, uint32_t *ret_code, size_t *ret_len)
{
	static const char names[] = "afnrtv", codes[] = "\a\f\n\r\t\v";
	if (len < 2)
		return "trailing backslash at end of expression";
	char c = at[1];
	const char *name = c != '\0' ? strchr(names, c) : NULL;
	size_t used = 1;
	if (name != NULL) {
		*ret_code = (uint32_t)codes[name - names];
	} else if (c == 'x') {
		const char *problem = escape_hex(at + 2, len - 2, ret_code, &used);
		if (problem != NULL)
			return problem;
		used++;
	} else if (c == '0' || (is_octal(c) && len > 2 && is_octal(at[2]))) {
		escape_octal(at + 1, len - 1, ret_code, &used);
	} else if (c >= '1' && c <= '9') {
		return "back-references are not part of the language";
	} else if ((unsigned char)c < 0x80 && !is_alnum(c)) {
		*ret_code = (uint32_t)c;
	} else if (c == 'C') {
		return "\\C is not part of the language";
	} else if (c == 'Z') {
		return "invalid escape sequence \\Z, use \\z";
	} else {
		return "invalid escape sequence";
	}
	*ret_len = used + 1;
	return NULL;
}

/* ---- \p{...} ---- */

static bool is_category(const char *name, size_t len)
{
	static const char *const categories[] = {"C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "Ll", "Lm",
		"Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd",
		"Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs"};
	for (size_t i = 0; i < OPS_LENGTH(categories); i++) {
		if (strlen(categories[i]) == len && memcmp(categories[i], name, len) == 0)
			return true;
	}
	return false;
}

/* Greek, Old_Italic: whether it exists, PCRE2 knows. */
static bool is_script(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool start = i == 0 || name[i - 1] == '_';
		if (start ? !(c >= 'A' && c <= 'Z') : !((c >= 'a' && c <= 'z') || c == '_'))
			return false;
	}
	return len > 2;
}

static const char *unicode_group(
	const char *at, size_t len, struct ops_strbuf *out, size_t *ret_len)
{
	static const char *const refused = "invalid character class range";
	bool negated = at[1] == 'P';
	const char *name = at + 2;
	size_t name_len = 1, used = 3;
	if (len < 3)
		return refused;
	if (*name == '{') {
		const char *close = memchr(at, '}', len);
		if (close == NULL)
			return refused;
		used = (size_t)(close - at) + 1;
		name++;
		if (*name == '^') {
			negated = !negated;
			name++;
		}
		name_len = (size_t)(close - name);
	}
	const char *prefix = "";
	if (!is_category(name, name_len) && !(name_len == 3 && memcmp(name, "Any", 3) == 0)) {
		if (!is_script(name, name_len))
			return refused;
		prefix = "sc:";
	}
	ops_strbuf_printf(out, "\\%c{%s%.*s}", negated ? 'P' : 'p', prefix, (int)name_len, name);
	*ret_len = used;
	return NULL;
}

const char *ops_regex_group(
	const char *at, size_t len, bool in_class, struct ops_strbuf *out, size_t *ret_len)
{
	*ret_len = 0;
	if (len < 2 || at[0] != '\\' || at[1] == '\0' || strchr("dDwWsSpP", at[1]) == NULL)
		return NULL;
	if (at[1] == 'p' || at[1] == 'P')
		return unicode_group(at, len, out, ret_len);
	*ret_len = 2;
	if (at[1] == 's')
		ops_strbuf_adds(out, in_class ? SPACE : "[" SPACE "]");
	else if (at[1] == 'S')
		ops_strbuf_adds(out, in_class ? NOT_SPACE : "[^" SPACE "]");
	else
		ops_strbuf_add(out, at, 2);
	return NULL;
}

/* ---- [...] ---- */

static const char *posix_group(const char *at, size_t len, struct ops_strbuf *out, size_t *ret_len)
{
	static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl", "digit",
		"graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"};
	*ret_len = 0;
	if (len < 4 || at[0] != '[' || at[1] != ':')
		return NULL;
	const char *close = memmem(at + 2, len - 2, ":]", 2);
	if (close == NULL)
		return NULL;
	const char *name = at + 2 + (at[2] == '^');
	size_t name_len = close > name ? (size_t)(close - name) : 0;
	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		if (strlen(names[i]) != name_len || memcmp(names[i], name, name_len) != 0)
			continue;
		*ret_len = (size_t)(close - at) + 2;
		ops_strbuf_add(out, at, *ret_len);
		return NULL;
	}
	return "invalid character class range";
}

static const char *class_char(const char *at, size_t len, uint32_t *ret_code, size_t *ret_len)
{
	if (len == 0)
		return "missing closing ]";
	if (at[0] == '\\')
		return ops_regex_escape(at, len, ret_code, ret_len);
	*ret_len = ops_utf8_decode(at, len, ret_code);
	return *ret_len == 0 ? "invalid UTF-8" : NULL;
}

static const char *class_range(const char *at, size_t len, struct ops_strbuf *out, size_t *ret_len)
{
	uint32_t low, high;
	size_t used, more;
	const char *problem = class_char(at, len, &low, &used);
	if (problem != NULL)
		return problem;
	ops_regex_literal(low, out);
	if (len - used >= 2 && at[used] == '-' && at[used + 1] != ']') {
		problem = class_char(at + used + 1, len - used - 1, &high, &more);
		if (problem != NULL)
			return problem;
		if (high < low)
			return "invalid character class range";
		ops_strbuf_addc(out, '-');
		ops_regex_literal(high, out);
		used += more + 1;
	}
	*ret_len = used;
	return NULL;
}

const char *ops_regex_class(const char *at, size_t len, struct ops_strbuf *out, size_t *ret_len)
{
	size_t i = 1;
	ops_strbuf_addc(out, '[');
	if (i < len && at[i] == '^') {
		ops_strbuf_addc(out, '^');
		i++;
	}
	for (bool first = true; i >= len || at[i] != ']' || first; first = false) {
		size_t used = 0;
		const char *problem = posix_group(at + i, len - i, out, &used);
		if (problem == NULL && used == 0)
			problem = ops_regex_group(at + i, len - i, true, out, &used);
		if (problem == NULL && used == 0)
			problem = class_range(at + i, len - i, out, &used);
		if (problem != NULL)
			return problem;
		i += used;
	}
	ops_strbuf_addc(out, ']');
	*ret_len = i + 1;
	return NULL;
}
