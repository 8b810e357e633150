/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 8785 over a jansson tree.
 *
 * Order of members: by UTF-16 code units, which is the order of UTF-8 bytes except that code points
 * above U+FFFF (lead bytes F0..F4, surrogates D800.. in UTF-16) come before U+E000..U+FFFF (lead
 * bytes EE, EF). Moving those two groups of lead bytes past each other in a byte comparison is all
 * it takes.
 *
 * Numbers: ECMAScript wants the fewest digits that read back as the same double, and of those the
 * closest. For normal doubles 15 digits always survive a round trip, so what 15 correctly rounded
 * digits reproduce is, without its trailing zeros, the shortest; else 16 or 17 digits are needed.
 * Two exceptions take the slow way from one digit on: subnormals have fewer digits to give, and at
 * a power of two the interval that rounds to v is lopsided, so the next digit string above may do
 * what the nearest does not.
 */
#include "common/audit/canon.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"

/* v = 0.DIGITS * 10^point */
struct decimal {
	char digits[24];
	int n, point;
};

static bool reads_back(uint64_t digits, int exponent, double v)
{
	char text[48];
	double back;
	int len = snprintf(text, sizeof(text), "%llue%d", (unsigned long long)digits, exponent);

	return ops_parse_double(text, (size_t)len, &back) == 0 && back == v;
}

/* Tries n significant digits; true when they name v. */
static bool try_digits(double v, int n, bool power_of_two, struct decimal *ret)
{
	char text[40];
	uint64_t digits = 0;
	int64_t exponent = 0;

	snprintf(text, sizeof(text), "%.*e", n - 1, v);
	const char *e = strchr(text, 'e');
	for (const char *p = text; p < e; p++)
		if (*p != '.')
			digits = digits * 10 + (uint64_t)(*p - '0');
	if (ops_parse_i64(e + 1, strlen(e + 1), &exponent) < 0)
		return false;
	int scale = (int)exponent - (n - 1);
	if (!reads_back(digits, scale, v)) {
		if (!power_of_two || !reads_back(digits + 1, scale, v))
			return false;
		digits++;
	}
	while (digits % 10 == 0) {
		digits /= 10;
		scale++;
	}
	ret->n = snprintf(ret->digits, sizeof(ret->digits), "%llu", (unsigned long long)digits);
	ret->point = ret->n + scale;
	return true;
}

static void shortest(double v, struct decimal *ret)
{
	int exponent;
	bool power_of_two = frexp(v, &exponent) == 0.5;

	for (int n = v < DBL_MIN || power_of_two ? 1 : 15; n <= 17; n++)
		if (try_digits(v, n, power_of_two, ret))
			return;
	ops_assert(false && "17 digits name every double");
}

static void add_zeros(struct ops_strbuf *out, int n)
{
	for (; n > 0; n--)
		ops_strbuf_addc(out, '0');
}

static void add_exponential(const struct decimal *d, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, d->digits[0]);
	if (d->n > 1) {
		ops_strbuf_addc(out, '.');
		ops_strbuf_adds(out, d->digits + 1);
	}
	ops_strbuf_printf(out, "e%+d", d->point - 1);
}

void ops_canon_number(double v, struct ops_strbuf *out)
{
	struct decimal d;

	ops_assert(isfinite(v));
	if (v == 0) {
		ops_strbuf_addc(out, '0'); /* minus zero too */
		return;
	}
	if (v < 0)
		ops_strbuf_addc(out, '-');
	shortest(fabs(v), &d);
	if (d.point > 21 || d.point <= -6) {
		add_exponential(&d, out);
	} else if (d.point <= 0) {
		ops_strbuf_adds(out, "0.");
		add_zeros(out, -d.point);
		ops_strbuf_adds(out, d.digits);
	} else if (d.point >= d.n) {
		ops_strbuf_adds(out, d.digits);
		add_zeros(out, d.point - d.n);
	} else {
		ops_strbuf_add(out, d.digits, (size_t)d.point);
		ops_strbuf_addc(out, '.');
		ops_strbuf_adds(out, d.digits + d.point);
	}
}

static void add_string(const char *s, size_t len, struct ops_strbuf *out)
{
	static const char short_escapes[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";

	ops_strbuf_addc(out, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		const char *known = c != 0 ? strchr(short_escapes, c) : NULL;
		if (known != NULL) {
			ops_strbuf_addc(out, '\\');
			ops_strbuf_addc(out, letters[known - short_escapes]);
		} else if (c < 0x20) {
			ops_strbuf_printf(out, "\\u%04x", (unsigned)c);
		} else {
			ops_strbuf_addc(out, (char)c);
		}
	}
	ops_strbuf_addc(out, '"');
}

static int lead_rank(unsigned char c)
{
	if (c >= 0xf0)
		return c - 2;
	return c >= 0xee ? c + 5 : c;
}

static int by_utf16(const void *a, const void *b)
{
	const unsigned char *x = *(const unsigned char *const *)a;
	const unsigned char *y = *(const unsigned char *const *)b;

	while (*x == *y && *x != '\0') {
		x++;
		y++;
	}
	return lead_rank(*x) - lead_rank(*y);
}

static int add_value(const json_t *j, struct ops_strbuf *out, struct ops_error *err);

static int add_object(const json_t *j, struct ops_strbuf *out, struct ops_error *err)
{
	size_t n = json_object_size(j), i = 0;
	const char **keys = ops_xcalloc(n + 1, sizeof(*keys));
	json_t *object =
		(json_t *)(uintptr_t)j; /* jansson's iterators read only, yet want it mutable */
	int code = 0;

	for (void *it = json_object_iter(object); it != NULL;
		it = json_object_iter_next(object, it))
		keys[i++] = json_object_iter_key(it);
	qsort(keys, n, sizeof(*keys), by_utf16);
	ops_strbuf_addc(out, '{');
	for (i = 0; i < n && code == 0; i++) {
		if (i > 0)
			ops_strbuf_addc(out, ',');
		add_string(keys[i], strlen(keys[i]), out);
		ops_strbuf_addc(out, ':');
		code = add_value(json_object_get(j, keys[i]), out, err);
	}
	ops_strbuf_addc(out, '}');
	free(keys);
	return code;
}

static int add_array(const json_t *j, struct ops_strbuf *out, struct ops_error *err)
{
	int code = 0;

	ops_strbuf_addc(out, '[');
	for (size_t i = 0; i < json_array_size(j) && code == 0; i++) {
		if (i > 0)
			ops_strbuf_addc(out, ',');
		code = add_value(json_array_get(j, i), out, err);
	}
	ops_strbuf_addc(out, ']');
	return code;
}

static int add_integer(json_int_t v, struct ops_strbuf *out, struct ops_error *err)
{
	const json_int_t exact = (json_int_t)1 << 53;

	/* The cast back would overflow for INT64_MAX, so powers of two are looked at, not tried. */
	if (v > exact || v < -exact) {
		uint64_t size = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
		int unused = __builtin_ctzll(size), bits = 64 - __builtin_clzll(size);
		if (bits - unused > 53) {
			ops_error_set(err, -ERANGE,
				"the integer %lld does not fit a JSON number exactly",
				(long long)v);
			ops_error_hint(err, "write it as a string");
			return -ERANGE;
		}
	}
	ops_canon_number((double)v, out);
	return 0;
}

static int add_value(const json_t *j, struct ops_strbuf *out, struct ops_error *err)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return add_object(j, out, err);
	case JSON_ARRAY:
		return add_array(j, out, err);
	case JSON_STRING:
		add_string(json_string_value(j), json_string_length(j), out);
		return 0;
	case JSON_INTEGER:
		return add_integer(json_integer_value(j), out, err);
	case JSON_REAL:
		ops_canon_number(json_real_value(j), out);
		return 0;
	case JSON_TRUE:
		ops_strbuf_adds(out, "true");
		return 0;
	case JSON_FALSE:
		ops_strbuf_adds(out, "false");
		return 0;
	case JSON_NULL:
		break;
	}
	ops_strbuf_adds(out, "null");
	return 0;
}

int ops_canon_json(const json_t *j, struct ops_strbuf *out, struct ops_error *err)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	int code = add_value(j, &text, err);

	if (code == 0)
		ops_strbuf_add(out, text.data, text.len);
	ops_strbuf_done(&text);
	return code;
}

int ops_canon_parse(
	const char *s, size_t len, size_t limit_bytes, json_t **ret, struct ops_error *err)
{
	json_error_t why;

	if (len > limit_bytes)
		return ops_error_set(err, -EFBIG,
			"JSON document of %zu bytes is over the limit of %zu", len, limit_bytes);
	json_t *j = json_loadb(
		s, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &why);
	if (j == NULL)
		return ops_error_set_at(
			err, -EINVAL, NULL, why.line, why.column, "not valid JSON: %s", why.text);
	*ret = j;
	return 0;
}
