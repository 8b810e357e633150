/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte-level text. Decoders are strict (RFC 4648: padding required, no white space, unused bits
 * zero), because two spellings of one value would break signatures and idempotency keys.
 */
#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

bool ops_str_eq(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool ops_str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool ops_str_ends(const char *s, const char *suffix)
{
	size_t len = strlen(s), end = strlen(suffix);

	return len >= end && memcmp(s + len - end, suffix, end) == 0;
}

void ops_hex_encode(const void *data, size_t len, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++) {
		ret_text[2 * i] = digits[p[i] >> 4];
		ret_text[2 * i + 1] = digits[p[i] & 15];
	}
	ret_text[2 * len] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int ops_hex_decode(const char *s, size_t len, void *ret_data)
{
	unsigned char *out = ret_data;

	if (len % 2 != 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (hex_value(s[i]) < 0)
			return -EINVAL;
	}
	for (size_t i = 0; i < len; i += 2)
		out[i / 2] = (unsigned char)(hex_value(s[i]) << 4 | hex_value(s[i + 1]));
	return 0;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *ops_base64_encode(const void *data, size_t len)
{
	const unsigned char *p = data;
	char *text = ops_xmalloc((len + 2) / 3 * 4 + 1), *out = text;

	for (size_t i = 0; i < len; i += 3) {
		size_t left = OPS_MIN(len - i, (size_t)3);
		uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (left > 2 ? p[i + 2] : 0);
		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		*out++ = left > 1 ? base64_digits[v >> 6 & 63] : '=';
		*out++ = left > 2 ? base64_digits[v & 63] : '=';
	}
	*out = '\0';
	return text;
}

static int base64_value(char c)
{
	const char *at = c != '\0' ? strchr(base64_digits, c) : NULL;

	return at != NULL ? (int)(at - base64_digits) : -1;
}

int ops_base64_decode(const char *s, size_t len, void **ret_data, size_t *ret_len)
{
	if (len % 4 != 0)
		return -EINVAL;
	size_t pad = len == 0 ? 0
			      : (size_t)(s[len - 1] == '=') +
					(size_t)(s[len - 1] == '=' && s[len - 2] == '=');
	size_t digits = len - pad, out_len = digits * 3 / 4, n = 0;
	unsigned char *out = ops_xmalloc(out_len + 1);
	uint32_t bits = 0;

	for (size_t i = 0; i < digits; i++) {
		int v = base64_value(s[i]);
		if (v < 0)
			goto bad;
		bits = bits << 6 | (uint32_t)v;
		/* Every digit but the first of a group completes a byte. */
		if (i % 4 != 0)
			out[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
	}
	if ((pad == 1 && (bits & 3) != 0) || (pad == 2 && (bits & 15) != 0))
		goto bad;
	out[out_len] = '\0';
	*ret_data = out;
	*ret_len = out_len;
	return 0;
bad:
	free(out);
	return -EINVAL;
}

bool ops_utf8_valid(const char *s, size_t len)
{
	uint32_t code = 0;

	for (size_t i = 0, step; i < len; i += step) {
		step = (unsigned char)s[i] < 0x80 ? 1 : ops_utf8_decode(s + i, len - i, &code);
		if (step == 0)
			return false;
	}
	return true;
}

size_t ops_utf8_decode(const char *s, size_t len, uint32_t *ret_code)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};

	if (len == 0)
		return 0;
	uint32_t c = (unsigned char)s[0];
	size_t n = c < 0x80		? 1
		   : (c & 0xe0) == 0xc0 ? 2
		   : (c & 0xf0) == 0xe0 ? 3
		   : (c & 0xf8) == 0xf0 ? 4
					: 0;
	if (n == 0 || n > len)
		return 0;
	uint32_t code = n == 1 ? c : c & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)s[i] & 0x3fU);
	}
	if (code < lowest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

size_t ops_utf8_encode(uint32_t code, char *ret)
{
	if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		code = 0xfffd;
	if (code < 0x80) {
		ret[0] = (char)code;
		return 1;
	}
	size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n - 1; i > 0; i--, code >>= 6)
		ret[i] = (char)(0x80 | (code & 0x3f));
	ret[0] = (char)(lead[n] | code);
	return n;
}

bool ops_equal_consttime(const void *a, const void *b, size_t len)
{
	/* volatile: the compiler must not leave the loop early. */
	const volatile unsigned char *x = a, *y = b;
	unsigned char differ = 0;

	for (size_t i = 0; i < len; i++)
		differ = (unsigned char)(differ | (x[i] ^ y[i]));
	return differ == 0;
}

void ops_random_bytes(void *ret, size_t len)
{
	unsigned char *p = ret;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		ops_assert(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

uint64_t ops_random_u64(void)
{
	uint64_t v = 0;

	ops_random_bytes(&v, sizeof(v));
	return v;
}

void ops_uuid4(char ret_text[37])
{
	unsigned char b[16];
	char hex[33];

	ops_random_bytes(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	ops_hex_encode(b, sizeof(b), hex);
	snprintf(ret_text, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		hex + 20);
}
