/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text in double quotes as Go's strconv.Quote writes it, because that is what Prometheus prints.
 * "Printable" needs Unicode's categories: everything but letters, marks, numbers, punctuation,
 * symbols and the ASCII space is escaped. The table holds the ranges of the rest (controls,
 * formats, spaces, private use, surrogates, unassigned runs of 256 and more); single unassigned
 * code points between assigned ones count as printable, which only shows in text from a newer
 * Unicode. U+FFFD is escaped although Go prints it: the scanner refuses it unescaped.
 */
#include "common/promql/parse.h"

#include "common/base/strbuf.h"
#include "common/base/text.h"

static const struct {
	uint32_t first, last;
} hidden[] = {
	{0x7f, 0xa0},
	{0xad, 0xad},
	{0x5f5, 0x605},
	{0x61c, 0x61c},
	{0x6dd, 0x6dd},
	{0x70e, 0x70f},
	{0x88f, 0x896},
	{0x8e2, 0x8e2},
	{0x1680, 0x1680},
	{0x180e, 0x180e},
	{0x1fff, 0x200f},
	{0x2028, 0x202f},
	{0x205f, 0x206f},
	{0x2ffc, 0x3000},
	{0xd7fc, 0xf8ff},
	{0xfefd, 0xff00},
	{0xffef, 0xfffb},
	{0xfffd, 0xffff},
	{0x110bd, 0x110bd},
	{0x110c3, 0x110cf},
	{0x13430, 0x1343f},
	{0x1bca0, 0x1ceff},
	{0x1d173, 0x1d17a},
	{0x1fbfa, 0x1ffff},
	{0x323b0, 0xe00ff},
	{0xe01f0, 0x10ffff},
};

static bool is_printable(uint32_t code)
{
	size_t low = 0, high = OPS_LENGTH(hidden);
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (code < hidden[middle].first) {
			high = middle;
		} else if (code > hidden[middle].last) {
			low = middle + 1;
		} else {
			return false;
		}
	}
	return true;
}

static void quote_ascii(unsigned char c, struct ops_strbuf *out)
{
	static const char letters[] = "abtnvfr"; /* from 7 on */
	if (c == '"' || c == '\\') {
		ops_strbuf_addc(out, '\\');
		ops_strbuf_addc(out, (char)c);
	} else if (c >= 7 && c <= 13) {
		ops_strbuf_addc(out, '\\');
		ops_strbuf_addc(out, letters[c - 7]);
	} else if (c < 0x20 || c == 0x7f) {
		ops_strbuf_printf(out, "\\x%02x", c);
	} else {
		ops_strbuf_addc(out, (char)c);
	}
}

/* The code point at s that is not ASCII; returns its bytes. */
static size_t quote_wide(const char *s, size_t len, struct ops_strbuf *out)
{
	uint32_t code = 0;
	size_t width = ops_utf8_decode(s, len, &code);
	if (width == 0) {
		ops_strbuf_printf(out, "\\x%02x", (unsigned char)*s);
		return 1;
	}
	if (is_printable(code)) {
		ops_strbuf_add(out, s, width);
	} else {
		ops_strbuf_printf(out, code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
	}
	return width;
}

void ops_promql_quote(const struct ops_promql_string *s, struct ops_strbuf *out)
{
	ops_strbuf_reserve(out, s->len + 2);
	ops_strbuf_addc(out, '"');
	for (size_t i = 0; i < s->len;) {
		unsigned char c = (unsigned char)s->text[i];
		if (c < 0x80) {
			quote_ascii(c, out);
			i++;
		} else {
			i += quote_wide(s->text + i, s->len - i, out);
		}
	}
	ops_strbuf_addc(out, '"');
}
