/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Growing byte buffer, always NUL-terminated after the first write. Embedded by value; aborts when
 * out of memory. */
#include "common/base/def.h"

#include <stdarg.h>

struct ops_strbuf {
	char *data; /* NULL while empty and never written */
	size_t len, cap;
};

#define OPS_STRBUF_INIT                                                                            \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

void ops_strbuf_init(struct ops_strbuf *b);
void ops_strbuf_done(struct ops_strbuf *b);
void ops_strbuf_reset(struct ops_strbuf *b); /* length 0, memory kept */
void ops_strbuf_reserve(struct ops_strbuf *b, size_t extra);
void ops_strbuf_add(struct ops_strbuf *b, const void *data, size_t len);
void ops_strbuf_adds(struct ops_strbuf *b, const char *s);
void ops_strbuf_addc(struct ops_strbuf *b, char c);
void ops_strbuf_printf(struct ops_strbuf *b, const char *fmt, ...) OPS_PRINTF(2, 3);
void ops_strbuf_vprintf(struct ops_strbuf *b, const char *fmt, va_list ap) OPS_PRINTF(2, 0);
/* Shortest text that reads back as the same double ("NaN", "+Inf", "-Inf" as Prometheus writes). */
void ops_strbuf_add_double(struct ops_strbuf *b, double value);
/* s with every byte that is not part of a UTF-8 sequence replaced by U+FFFD. */
void ops_strbuf_add_utf8(struct ops_strbuf *b, const char *s, size_t len);
/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void ops_strbuf_add_json(struct ops_strbuf *b, const char *s, size_t len);
/*
 * As in label values of the text formats and in expressions: backslash, newline and (quoted) double
 * quote behind a backslash. Without quotes it is the escaping of help texts.
 */
void ops_strbuf_add_escaped(struct ops_strbuf *b, const char *s, size_t len, bool quoted);
/* The same between double quotes. */
void ops_strbuf_add_quoted(struct ops_strbuf *b, const char *s, size_t len);
/* Percent-encoded as a value in a query: letters, digits and -_.~ stay as they are. */
void ops_strbuf_add_url(struct ops_strbuf *b, const char *s, size_t len);
/* The owned text ("" when empty); the buffer is empty afterwards. Release with free(). */
char *ops_strbuf_take(struct ops_strbuf *b) OPS_MUST_CHECK;
const char *ops_strbuf_text(const struct ops_strbuf *b); /* never NULL */
