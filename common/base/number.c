/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to numbers and back. Everything is checked against a grammar of our own before the C library
 * sees it: strtod also takes white space, "nan(...)" and hexadecimal without an exponent, which Go
 * and therefore Prometheus refuse.
 *
 * Doubles in: a decimal of at most 19 digits whose digits fit 53 bits and whose power of ten is at
 * most 22 is one exact multiplication or division (Clinger 1990); the rest goes to strtod, which is
 * correctly rounded in glibc. Both directions rely on the C numeric locale: no process here
 * calls setlocale.
 *
 * Doubles out: integers directly, otherwise the shortest digits that read back (shortest.h).
 */
#include "common/base/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/shortest.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int ops_parse_u64(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;
	bool over = false;

	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(s[i]))
			return -EINVAL;
		over = over || __builtin_mul_overflow(v, 10U, &v) ||
		       __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v);
	}
	if (over)
		return -ERANGE;
	*ret = v;
	return 0;
}

int ops_parse_i64(const char *s, size_t len, int64_t *ret)
{
	bool negative = len > 0 && s[0] == '-';
	size_t sign = len > 0 && (s[0] == '-' || s[0] == '+') ? 1 : 0;
	uint64_t v = 0;
	int r = ops_parse_u64(s + sign, len - sign, &v);

	if (r != 0)
		return r;
	if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int ops_parse_hex_u64(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0 || len > 16)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int d = hex_digit(s[i]);
		if (d < 0)
			return -EINVAL;
		v = v << 4 | (uint64_t)d;
	}
	*ret = v;
	return 0;
}

/* What the grammar found in a decimal or hexadecimal number. */
struct parts {
	uint64_t digits; /* the first 19 significant ones */
	int ndigits;	 /* significant ones seen */
	int64_t exponent;
	bool negative, hex;
};

static size_t scan_digits(const char *s, size_t len, struct parts *p, bool *ret_any)
{
	bool fraction = false;
	size_t i = 0;

	for (; i < len; i++) {
		if (s[i] == '.' && !fraction) {
			fraction = true;
			continue;
		}
		int d = p->hex ? hex_digit(s[i]) : is_digit(s[i]) ? s[i] - '0' : -1;
		if (d < 0)
			break;
		*ret_any = true;
		p->exponent -= fraction ? 1 : 0;
		if (d == 0 && p->ndigits == 0)
			continue;
		if (p->ndigits < 19)
			p->digits = p->digits * 10 + (uint64_t)d;
		if (p->ndigits < 20)
			p->ndigits++;
	}
	return i;
}

static bool scan_exponent(const char *s, size_t len, int64_t *exponent)
{
	size_t i = len > 1 && (s[1] == '+' || s[1] == '-') ? 2 : 1;
	int64_t e = 0;

	if (i >= len)
		return false;
	bool negative = s[1] == '-';
	for (; i < len; i++) {
		if (!is_digit(s[i]))
			return false;
		/* Far beyond any double already: strtod decides from the text, only keep from
		 * overflowing. */
		if (e < 100000)
			e = e * 10 + (s[i] - '0');
	}
	*exponent += negative ? -e : e;
	return true;
}

static bool scan_number(const char *s, size_t len, struct parts *p)
{
	bool any = false;
	size_t i = 0;

	*p = (struct parts){0};
	if (len > 0 && (s[0] == '-' || s[0] == '+')) {
		p->negative = s[0] == '-';
		i = 1;
	}
	if (len - i > 2 && s[i] == '0' && (s[i + 1] == 'x' || s[i + 1] == 'X')) {
		p->hex = true;
		i += 2;
	}
	i += scan_digits(s + i, len - i, p, &any);
	if (!any)
		return false;
	if (i == len)
		return !p->hex; /* a hexadecimal number needs its exponent */
	char mark = (char)(s[i] | 0x20);
	return mark == (p->hex ? 'p' : 'e') && scan_exponent(s + i, len - i, &p->exponent);
}

static bool parse_special(const char *s, size_t len, double *ret)
{
	size_t sign = len > 0 && (s[0] == '-' || s[0] == '+') ? 1 : 0;
	const char *word = s + sign;
	size_t n = len - sign;

	if ((n == 3 && strncasecmp(word, "inf", 3) == 0) ||
		(n == 8 && strncasecmp(word, "infinity", 8) == 0)) {
		*ret = sign == 1 && s[0] == '-' ? -INFINITY : INFINITY;
		return true;
	}
	if (sign == 0 && n == 3 && strncasecmp(word, "nan", 3) == 0) {
		*ret = NAN;
		return true;
	}
	return false;
}

static bool parse_exact(const struct parts *p, double *ret)
{
	static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

	if (p->hex || p->ndigits > 19 || p->digits > 1ULL << 53 || p->exponent < -22 ||
		p->exponent > 22)
		return false;
	double v = (double)p->digits;
	v = p->exponent < 0 ? v / power[-p->exponent] : v * power[p->exponent];
	*ret = p->negative ? -v : v;
	return true;
}

int ops_parse_double(const char *s, size_t len, double *ret)
{
	struct parts p;
	char small[128];

	if (!scan_number(s, len, &p))
		return parse_special(s, len, ret) ? 0 : -EINVAL;
	if (parse_exact(&p, ret))
		return 0;
	OPS_CLEANUP(ops_freep) char *large = len < sizeof(small) ? NULL : ops_xstrndup(s, len);
	if (large == NULL) {
		memcpy(small, s, len);
		small[len] = '\0';
	}
	*ret = strtod(large != NULL ? large : small, NULL);
	return isinf(*ret) ? -ERANGE : 0;
}

int ops_parse_size(const char *s, size_t len, uint64_t *ret_bytes)
{
	static const char letters[] = "KMGT";
	size_t digits = 0, shift = 0;
	uint64_t v = 0;

	while (digits < len && is_digit(s[digits]))
		digits++;
	const char *unit = s + digits;
	size_t n = len - digits;
	if (n > 1) {
		const char *letter = unit[0] != '\0' ? strchr(letters, unit[0]) : NULL;
		bool whole =
			(n == 2 && unit[1] == 'B') || (n == 3 && unit[1] == 'i' && unit[2] == 'B');
		if (letter == NULL || !whole)
			return -EINVAL;
		shift = 10 * (size_t)(letter - letters + 1);
	} else if (n == 1 && unit[0] != 'B') {
		return -EINVAL;
	}
	int r = ops_parse_u64(s, digits, &v);
	if (r != 0)
		return r;
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*ret_bytes = v << shift;
	return 0;
}

/* Shortest decimal digits of a finite positive v = 0.d1d2d3... * 10^point. */
struct decimal {
	char digits[20];
	int n, point;
};

static size_t write_u64(uint64_t v, char *out)
{
	char reversed[20];
	size_t n = 0;

	do {
		reversed[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	for (size_t i = 0; i < n; i++)
		out[i] = reversed[n - 1 - i];
	return n;
}

static void to_decimal(double v, struct decimal *d)
{
	struct ops_decimal shortest = ops_shortest(v);
	d->n = (int)write_u64(shortest.digits, d->digits);
	d->point = d->n + shortest.exponent;
}

static size_t write_plain(const struct decimal *d, char *out)
{
	size_t at = 0, n = (size_t)d->n;

	if (d->point <= 0) {
		size_t zeros = (size_t)-d->point;
		memcpy(out, "0.", 2);
		memset(out + 2, '0', zeros);
		memcpy(out + 2 + zeros, d->digits, n);
		return 2 + zeros + n;
	}
	size_t point = (size_t)d->point, whole = OPS_MIN(n, point);
	memcpy(out, d->digits, whole);
	memset(out + whole, '0', point - whole);
	at = point;
	if (n > point) {
		out[at++] = '.';
		memcpy(out + at, d->digits + point, n - point);
		at += n - point;
	}
	return at;
}

static size_t write_exponent(const struct decimal *d, char *out)
{
	size_t at = 0;
	int exponent = d->point - 1;

	out[at++] = d->digits[0];
	if (d->n > 1) {
		out[at++] = '.';
		memcpy(out + at, d->digits + 1, (size_t)d->n - 1);
		at += (size_t)d->n - 1;
	}
	int n = snprintf(out + at, 8, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
	return at + (size_t)n;
}

static size_t format(double v, bool plain, char *buf)
{
	struct decimal d;
	size_t at = 0;

	if (isnan(v)) {
		memcpy(buf, "NaN", 4);
		return 3;
	}
	if (isinf(v)) {
		memcpy(buf, v < 0 ? "-Inf" : "+Inf", 5);
		return 4;
	}
	if (signbit(v))
		buf[at++] = '-';
	v = fabs(v);
	if (v < 9007199254740992.0 && v == floor(v)) {
		at += write_u64((uint64_t)v, buf + at);
	} else {
		to_decimal(v, &d);
		bool exponent = d.point - 1 < -4 || d.point - 1 >= 21;
		at += exponent && !plain ? write_exponent(&d, buf + at) : write_plain(&d, buf + at);
	}
	buf[at] = '\0';
	return at;
}

size_t ops_format_double(double v, char *buf)
{
	return format(v, false, buf);
}

size_t ops_format_double_f(double v, char *buf)
{
	return format(v, true, buf);
}

size_t ops_format_u64(uint64_t v, char *buf)
{
	size_t n = write_u64(v, buf);
	buf[n] = '\0';
	return n;
}
