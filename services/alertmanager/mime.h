/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* E-mail messages (RFC 5322, MIME): headers that cannot be broken out of, bodies in base64. */
#include "common/base/strbuf.h"

/* Appends "Name: value\r\n"; line breaks in value become blanks, other than ASCII is an encoded
 * word (RFC 2047). */
void alm_mime_header(struct ops_strbuf *out, const char *name, const char *value);
/* Date in RFC 5322 form, UTC. */
void alm_mime_date(struct ops_strbuf *out, int64_t ms);
/* Content headers, blank line and the text in base64 lines of 76 characters. */
void alm_mime_part(struct ops_strbuf *out, const char *type, const char *text, size_t len);
/*
 * The bare addresses of a header value: "Ann <a@x>, b@y" gives a@x and b@y. Up to max, each owned.
 * Returns the count, 0 when there is none that could be an address.
 */
size_t alm_mime_addresses(const char *value, char **ret, size_t max);
