/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Bytes and text: prefixes, hex, base64 (RFC 4648), UTF-8 (RFC 3629), constant-time compare, random
 * bytes. */
#include "common/base/def.h"

bool ops_str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool ops_str_starts(const char *s, const char *prefix);
bool ops_str_ends(const char *s, const char *suffix);

void ops_hex_encode(const void *data, size_t len, char *ret_text); /* 2*len+1 bytes */
int ops_hex_decode(
	const char *s, size_t len, void *ret_data) OPS_MUST_CHECK; /* len/2 bytes; -EINVAL */
/* Release with free(). */
char *ops_base64_encode(const void *data, size_t len) OPS_MUST_CHECK;
int ops_base64_decode(const char *s, size_t len, void **ret_data, size_t *ret_len) OPS_MUST_CHECK;

bool ops_utf8_valid(const char *s, size_t len);
/* Decodes one code point at s; returns its length 1..4 or 0 when malformed. */
size_t ops_utf8_decode(const char *s, size_t len, uint32_t *ret_code);
size_t ops_utf8_encode(uint32_t code, char *ret); /* 1..4 bytes */

/* Takes the same time whatever differs; lengths are not secret. */
bool ops_equal_consttime(const void *a, const void *b, size_t len);
/* Cryptographic randomness from getrandom(2); aborts when the kernel has none. */
void ops_random_bytes(void *ret, size_t len);
uint64_t ops_random_u64(void);
/* Random UUID (RFC 9562 version 4) as text, 37 bytes. */
void ops_uuid4(char ret_text[37]);
