/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus reads a number as a Go integer first (so 0755 is octal and 0x1F hexadecimal) and as a
 * float when that fails (so 0855 is 855). An integer beyond int64 is therefore a decimal float, and
 * a hexadecimal one beyond it is an error, because Go's hexadecimal floats need an exponent.
 */
#include "common/promql/literal.h"

#include <errno.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/text.h"

static int digit_of(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	char lower = (char)(c | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

static bool is_hex(const char *s, size_t len)
{
	return len >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
}

/* Underscores only between digits, or between the base prefix and a digit. */
static bool underscores_ok(const char *s, size_t len)
{
	bool hex = is_hex(s, len);
	char before = hex ? '0' : '^';
	for (size_t i = hex ? 2 : 0; i < len; i++) {
		bool digit = digit_of(s[i]) < (hex ? 16 : 10);
		if ((s[i] == '_' && before != '0') || (!digit && s[i] != '_' && before == '_')) {
			return false;
		}
		before = digit ? '0' : s[i] == '_' ? '_' : '!';
	}
	return before != '_';
}

static bool integer_value(const char *s, size_t len, double *ret)
{
	int base = is_hex(s, len) ? 16 : s[0] == '0' && len > 1 ? 8 : 10;
	size_t at = base == 16 ? 2 : base == 8 ? 1 : 0;
	uint64_t v = 0;

	if (at == len) {
		return false;
	}
	for (; at < len; at++) {
		int d = digit_of(s[at]);
		if (d >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) ||
			__builtin_add_overflow(v, (uint64_t)d, &v)) {
			return false;
		}
	}
	if (v > INT64_MAX) {
		return false;
	}
	*ret = (double)v;
	return true;
}

static const char *without_underscores(struct ops_arena *a, const char *s, size_t *len)
{
	char *copy = ops_arena_strndup(a, s, *len);
	size_t n = 0;
	for (size_t i = 0; i < *len; i++) {
		if (s[i] != '_') {
			copy[n++] = s[i];
		}
	}
	*len = n;
	return copy;
}

int ops_promql_number_value(struct ops_arena *a, const char *s, size_t len, double *ret)
{
	if (memchr(s, '_', len) != NULL) {
		if (!underscores_ok(s, len)) {
			return -EINVAL;
		}
		s = without_underscores(a, s, &len);
	}
	if (len > 0 && integer_value(s, len, ret)) {
		return 0;
	}
	return ops_parse_double(s, len, ret);
}

static char simple_escape(char c)
{
	static const char from[] = "abfnrtv", to[] = "\a\b\f\n\r\t\v";
	const char *at = strchr(from, c);
	return at != NULL ? to[at - from] : c;
}

/* The escape at s (behind the backslash): appends its bytes to out, returns its length. */
static size_t unescape(const char *s, char *out, size_t *at)
{
	bool octal = s[0] >= '0' && s[0] <= '7';
	if (!octal && s[0] != 'x' && s[0] != 'u' && s[0] != 'U') {
		out[(*at)++] = simple_escape(s[0]);
		return 1;
	}
	size_t first = octal ? 0 : 1;
	size_t n = octal || s[0] == 'x' ? (octal ? 3 : 2) : (s[0] == 'u' ? 4 : 8);
	uint32_t value = 0;
	for (size_t i = 0; i < n; i++) {
		value = value * (octal ? 8 : 16) + (uint32_t)digit_of(s[first + i]);
	}
	if (n <= 3) { /* a byte, whatever it makes of the text */
		out[(*at)++] = (char)value;
	} else {
		*at += ops_utf8_encode(value, out + *at);
	}
	return first + n;
}

struct ops_promql_string ops_promql_unquote(struct ops_arena *a, const char *s, size_t len)
{
	bool raw = s[0] == '`';
	s++;
	len -= 2;
	char *text = ops_arena_strndup(a, s, len);
	if (raw || memchr(s, '\\', len) == NULL) {
		return (struct ops_promql_string){text, len};
	}
	size_t n = 0;
	for (size_t i = 0; i < len;) {
		if (s[i] != '\\') {
			text[n++] = s[i++];
		} else {
			i += 1 + unescape(s + i + 1, text, &n);
		}
	}
	text[n] = '\0';
	return (struct ops_promql_string){text, n};
}
