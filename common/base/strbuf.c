/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capacity doubles, and one byte past len is always reserved for the terminating NUL, so that the
 * text can be handed to C functions at any time without a copy.
 */
#include "common/base/strbuf.h"

#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/text.h"

void ops_strbuf_init(struct ops_strbuf *b)
{
	*b = (struct ops_strbuf)OPS_STRBUF_INIT;
}

void ops_strbuf_done(struct ops_strbuf *b)
{
	free(b->data);
	ops_strbuf_init(b);
}

void ops_strbuf_reset(struct ops_strbuf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void ops_strbuf_reserve(struct ops_strbuf *b, size_t extra)
{
	ops_assert(extra < SIZE_MAX / 2 - b->len);
	size_t need = b->len + extra + 1;

	if (need <= b->cap)
		return;
	size_t cap = b->cap != 0 ? b->cap : 64;
	while (cap < need)
		cap *= 2;
	b->data = ops_xrealloc(b->data, cap, 1);
	b->cap = cap;
	b->data[b->len] = '\0';
}

void ops_strbuf_add(struct ops_strbuf *b, const void *data, size_t len)
{
	ops_strbuf_reserve(b, len);
	if (len != 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void ops_strbuf_adds(struct ops_strbuf *b, const char *s)
{
	ops_strbuf_add(b, s, strlen(s));
}

void ops_strbuf_addc(struct ops_strbuf *b, char c)
{
	ops_strbuf_add(b, &c, 1);
}

void ops_strbuf_printf(struct ops_strbuf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	ops_strbuf_vprintf(b, fmt, ap);
	va_end(ap);
}

void ops_strbuf_vprintf(struct ops_strbuf *b, const char *fmt, va_list ap)
{
	va_list again;

	ops_strbuf_reserve(b, 0);
	va_copy(again, ap);
	int n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, again);
	va_end(again);
	ops_assert(n >= 0);
	if ((size_t)n >= b->cap - b->len) {
		ops_strbuf_reserve(b, (size_t)n);
		vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
	}
	b->len += (size_t)n;
}

void ops_strbuf_add_double(struct ops_strbuf *b, double value)
{
	ops_strbuf_reserve(b, 32);
	b->len += ops_format_double(value, b->data + b->len);
}

void ops_strbuf_add_utf8(struct ops_strbuf *b, const char *s, size_t len)
{
	uint32_t code = 0;

	for (size_t i = 0, step; i < len; i += step) {
		size_t start = i;
		while (i < len && (step = ops_utf8_decode(s + i, len - i, &code)) != 0)
			i += step;
		ops_strbuf_add(b, s + start, i - start);
		step = i < len ? 1 : 0;
		if (step != 0)
			ops_strbuf_adds(b, "\xef\xbf\xbd");
	}
}

static void add_json_control(struct ops_strbuf *b, char c)
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof(letters); i += 2) {
		if (letters[i] == c) {
			ops_strbuf_addc(b, '\\');
			ops_strbuf_addc(b, letters[i + 1]);
			return;
		}
	}
	ops_strbuf_printf(b, "\\u%04x", (unsigned)(unsigned char)c);
}

void ops_strbuf_add_json(struct ops_strbuf *b, const char *s, size_t len)
{
	size_t plain = 0; /* start of the run that needs no change */

	ops_strbuf_addc(b, '"');
	for (size_t i = 0; i < len;) {
		unsigned char c = (unsigned char)s[i];
		uint32_t code = 0;
		size_t step = c < 0x80 ? 1 : ops_utf8_decode(s + i, len - i, &code);

		if (step != 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
			i += step;
			continue;
		}
		ops_strbuf_add(b, s + plain, i - plain);
		if (step != 0)
			add_json_control(b, s[i]);
		else
			ops_strbuf_adds(b, "\xef\xbf\xbd");
		plain = ++i;
	}
	if (len > plain)
		ops_strbuf_add(b, s + plain, len - plain);
	ops_strbuf_addc(b, '"');
}

void ops_strbuf_add_escaped(struct ops_strbuf *b, const char *s, size_t len, bool quoted)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n') {
			ops_strbuf_adds(b, "\\n");
			continue;
		}
		if (s[i] == '\\' || (quoted && s[i] == '"'))
			ops_strbuf_addc(b, '\\');
		ops_strbuf_addc(b, s[i]);
	}
}

void ops_strbuf_add_quoted(struct ops_strbuf *b, const char *s, size_t len)
{
	ops_strbuf_addc(b, '"');
	ops_strbuf_add_escaped(b, s, len, true);
	ops_strbuf_addc(b, '"');
}

void ops_strbuf_add_url(struct ops_strbuf *b, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';

		if (plain)
			ops_strbuf_addc(b, s[i]);
		else
			ops_strbuf_printf(b, "%%%02X", c);
	}
}

char *ops_strbuf_take(struct ops_strbuf *b)
{
	char *text = b->data != NULL ? b->data : ops_xstrdup("");

	ops_strbuf_init(b);
	return text;
}

const char *ops_strbuf_text(const struct ops_strbuf *b)
{
	return b->data != NULL ? b->data : "";
}
