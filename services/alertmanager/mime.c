/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built by hand because the little that is needed is smaller than a library: bodies are base64 (no
 * line-length or dot-stuffing question can arise), header values lose every control character, so
 * that a label cannot add a header or a recipient.
 */
#include "services/alertmanager/mime.h"

#include <string.h>

#include "common/base/text.h"
#include "common/tmpl/tmpl.h"

enum {
	ADDRESS_MAX = 320,
	WORD_BYTES = 42,
	LINE_CHARS = 76
};

static bool plain_ascii(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s >= 0x80)
			return false;
	}
	return true;
}

/* RFC 2047 words of whole characters, folded. */
static void encoded_words(struct ops_strbuf *out, const char *s, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = OPS_MIN(len - at, (size_t)WORD_BYTES);
		while (at + n < len && n > 0 && ((unsigned char)s[at + n] & 0xc0) == 0x80)
			n--;
		n = n == 0 ? OPS_MIN(len - at, (size_t)WORD_BYTES) : n;
		char *text OPS_CLEANUP(ops_freep) = ops_base64_encode(s + at, n);
		ops_strbuf_printf(out, "%s=?UTF-8?B?%s?=", at > 0 ? "\r\n " : "", text);
		at += n;
	}
}

void alm_mime_header(struct ops_strbuf *out, const char *name, const char *value)
{
	struct ops_strbuf clean OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;

	for (const char *p = value; *p != '\0'; p++)
		ops_strbuf_addc(&clean, (unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p);
	for (const char *p = name; *p != '\0'; p++) {
		bool ok = *p > 0x20 && *p < 0x7f && *p != ':';
		ops_strbuf_addc(out, ok ? *p : '-');
	}
	ops_strbuf_adds(out, ": ");
	if (plain_ascii(ops_strbuf_text(&clean)))
		ops_strbuf_add(out, ops_strbuf_text(&clean), clean.len);
	else
		encoded_words(out, clean.data, clean.len);
	ops_strbuf_adds(out, "\r\n");
}

void alm_mime_date(struct ops_strbuf *out, int64_t ms)
{
	const struct ops_tmpl_time t = {.ms = ms, .zone = "UTC"};
	ops_tmpl_time_format(&t, "Mon, 02 Jan 2006 15:04:05 -0700", out);
}

void alm_mime_part(struct ops_strbuf *out, const char *type, const char *text, size_t len)
{
	char *body OPS_CLEANUP(ops_freep) = ops_base64_encode(text, len);
	size_t n = strlen(body);

	ops_strbuf_printf(out,
		"Content-Type: %s; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		type);
	for (size_t at = 0; at < n; at += LINE_CHARS) {
		ops_strbuf_add(out, body + at, OPS_MIN(n - at, (size_t)LINE_CHARS));
		ops_strbuf_adds(out, "\r\n");
	}
}

/* One entry of the list without its display name; blanks and controls cannot be part of it. */
static char *bare(const char *s, size_t len)
{
	const char *open = memchr(s, '<', len),
		   *close = open != NULL ? memchr(open, '>', len - (size_t)(open - s)) : NULL;

	if (close != NULL) {
		s = open + 1;
		len = (size_t)(close - s);
	}
	while (len > 0 && (*s == ' ' || *s == '\t')) {
		s++;
		len--;
	}
	while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
		len--;
	if (len == 0 || len > ADDRESS_MAX || memchr(s, '@', len) == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)s[i] <= 0x20 || s[i] == '<' || s[i] == '>' || s[i] == 0x7f)
			return NULL;
	}
	return ops_xstrndup(s, len);
}

size_t alm_mime_addresses(const char *value, char **ret, size_t max)
{
	size_t n = 0;
	bool quoted = false;
	const char *start = value;

	for (const char *p = value; n < max; p++) {
		quoted = *p == '"' ? !quoted : quoted;
		if (*p != '\0' && (*p != ',' || quoted))
			continue;
		char *address = bare(start, (size_t)(p - start));
		if (address != NULL)
			ret[n++] = address;
		if (*p == '\0')
			break;
		start = p + 1;
	}
	return n;
}
