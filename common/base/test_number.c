/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in and out: grammar, limits, rounding, and that every printed double reads back. */
#include "common/base/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_i64(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t value;
	} rows[] = {
		{"0", 0, 0},
		{"-0", 0, 0},
		{"+7", 0, 7},
		{"007", 0, 7},
		{"9223372036854775807", 0, INT64_MAX},
		{"-9223372036854775808", 0, INT64_MIN},
		{"9223372036854775808", -ERANGE, 0},
		{"-9223372036854775809", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"99999999999999999999999x", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"-", -EINVAL, 0},
		{"+-1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{"1.0", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		int64_t v = 0;
		assert_int_equal(
			ops_parse_i64(rows[i].text, strlen(rows[i].text), &v), rows[i].result);
		assert_int_equal(v, rows[i].value);
	}
}

static void test_u64(void **state)
{
	uint64_t v = 5;

	(void)state;
	assert_int_equal(ops_parse_u64("18446744073709551615", 20, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(ops_parse_u64("18446744073709551616", 20, &v), -ERANGE);
	assert_int_equal(ops_parse_u64("+1", 2, &v), -EINVAL);
	assert_int_equal(ops_parse_u64("-1", 2, &v), -EINVAL);
	assert_true(v == UINT64_MAX);
	/* Only len bytes count. */
	assert_int_equal(ops_parse_u64("123456", 3, &v), 0);
	assert_int_equal(v, 123);
}

static void test_hex(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(ops_parse_hex_u64("dEadBeef01234567", 16, &v), 0);
	assert_true(v == 0xdeadbeef01234567ULL);
	assert_int_equal(ops_parse_hex_u64("f", 1, &v), 0);
	assert_int_equal(v, 15);
	assert_int_equal(ops_parse_hex_u64("", 0, &v), -EINVAL);
	assert_int_equal(ops_parse_hex_u64("0x1", 3, &v), -EINVAL);
	assert_int_equal(ops_parse_hex_u64("00000000000000001", 17, &v), -EINVAL);
}

static const struct {
	const char *text;
	double value;
} doubles[] = {
	{"0", 0.0},
	{"-0", -0.0},
	{"1", 1.0},
	{"+1.5", 1.5},
	{".5", 0.5},
	{"5.", 5.0},
	{"00012.500", 12.5},
	{"1e3", 1000.0},
	{"1E+3", 1000.0},
	{"25e-1", 2.5},
	{"0.1", 0.1},
	{"123456789012345678", 123456789012345678.0},
	/* Halfway and beyond the exact path. */
	{"9007199254740993", 9007199254740992.0},
	{"9007199254740993.00000000000000000001", 9007199254740994.0},
	{"1.7976931348623157e308", DBL_MAX},
	{"4.9e-324", 4.9406564584124654e-324},
	{"2.2250738585072011e-308", 2.2250738585072011e-308},
	{"1e-400", 0.0},
	{"0e99999999999999999999", 0.0},
	{"0x1p4", 16.0},
	{"-0x1.8P-1", -0.75},
	{"0X.8p1", 1.0},
	{"inf", (double)INFINITY},
	{"+Inf", (double)INFINITY},
	{"-INFINITY", (double)-INFINITY},
};

static void test_double(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(doubles); i++) {
		double v = 42;
		int r = ops_parse_double(doubles[i].text, strlen(doubles[i].text), &v);
		if (r != 0 || memcmp(&v, &doubles[i].value, sizeof(v)) != 0)
			fail_msg("\"%s\": %d, %.17g", doubles[i].text, r, v);
	}
	double v = 0;
	assert_int_equal(ops_parse_double("NaN", 3, &v), 0);
	assert_true(isnan(v));
	assert_int_equal(ops_parse_double("nan", 3, &v), 0);
	/* Text much longer than any double needs still rounds right. */
	char text[600] = "0.5";
	memset(text + 3, '0', sizeof(text) - 4);
	text[sizeof(text) - 2] = '1';
	assert_int_equal(ops_parse_double(text, sizeof(text) - 1, &v), 0);
	assert_true(v == 0.5);
}

static void test_double_refused(void **state)
{
	static const char *const rows[] = {"", "+", "-", ".", "e5", "1e", "1e+", "1e5.", "1e5x",
		" 1", "1 ", "1_000", "0x", "0x1", "0xp1", "0x1.8", "1p3", "1.2.3", "--1", "+NaN",
		"-nan", "nan(1)", "infi", "infinit", "infinityx", "1f", "1,5", "x"};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		double v = 42;
		if (ops_parse_double(rows[i], strlen(rows[i]), &v) != -EINVAL || v != 42)
			fail_msg("\"%s\" was not refused", rows[i]);
	}
	double v = 0;
	assert_int_equal(ops_parse_double("1e309", 5, &v), -ERANGE);
	assert_true(v == (double)INFINITY);
	assert_int_equal(ops_parse_double("-1e99999999999999999999", 23, &v), -ERANGE);
	assert_true(v == (double)-INFINITY);
}

static void test_size(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t value;
	} rows[] = {
		{"0", 0, 0},
		{"512", 0, 512},
		{"512B", 0, 512},
		{"64KB", 0, 65536},
		{"64KiB", 0, 65536},
		{"10MB", 0, 10485760},
		{"1GiB", 0, 1073741824},
		{"2TB", 0, 2199023255552},
		{"16777215TiB", 0, 16777215ULL << 40},
		{"16777216TiB", -ERANGE, 0},
		{"", -EINVAL, 0},
		{"KB", -EINVAL, 0},
		{"1K", -EINVAL, 0},
		{"1kb", -EINVAL, 0},
		{"1PB", -EINVAL, 0},
		{"1KiBB", -EINVAL, 0},
		{"1Ki", -EINVAL, 0},
		{"1.5MB", -EINVAL, 0},
		{"-1MB", -EINVAL, 0},
		{"1 MB", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		uint64_t v = 0;
		int r = ops_parse_size(rows[i].text, strlen(rows[i].text), &v);
		if (r != rows[i].result || v != rows[i].value)
			fail_msg("\"%s\": %d, %llu", rows[i].text, r, (unsigned long long)v);
	}
	/* A NUL as the unit is no unit. */
	uint64_t v = 0;
	assert_int_equal(ops_parse_size("1\0B", 3, &v), -EINVAL);
}

static void test_format(void **state)
{
	static const struct {
		double value;
		const char *g, *f;
	} rows[] = {
		{0.0, "0", "0"},
		{-0.0, "-0", "-0"},
		{1, "1", "1"},
		{-42, "-42", "-42"},
		{1000000, "1000000", "1000000"},
		{9007199254740992.0, "9007199254740992", "9007199254740992"},
		{0.1, "0.1", "0.1"},
		{1.0 / 3, "0.3333333333333333", "0.3333333333333333"},
		{123456.789, "123456.789", "123456.789"},
		{0.0001, "0.0001", "0.0001"},
		{0.00001, "1e-05", "0.00001"},
		{1.5e-7, "1.5e-07", "0.00000015"},
		{1e20, "100000000000000000000", "100000000000000000000"},
		{1e21, "1e+21", "1000000000000000000000"},
		{1.25e100, "1.25e+100", NULL},
		{DBL_MAX, "1.7976931348623157e+308", NULL},
		{5e-324, "5e-324", NULL},
		{(double)INFINITY, "+Inf", "+Inf"},
		{(double)-INFINITY, "-Inf", "-Inf"},
		{(double)NAN, "NaN", "NaN"},
	};
	char buf[352];

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		assert_int_equal(ops_format_double(rows[i].value, buf), strlen(rows[i].g));
		assert_string_equal(buf, rows[i].g);
		size_t n = ops_format_double_f(rows[i].value, buf);
		assert_int_equal(n, strlen(buf));
		if (rows[i].f != NULL)
			assert_string_equal(buf, rows[i].f);
		assert_null(strchr(buf, 'e'));
	}
}

/* Bit patterns from a fixed linear congruential sequence: every finite one must survive both forms.
 */
static void test_round_trip(void **state)
{
	uint64_t bits = 0x9e3779b97f4a7c15ULL;
	char buf[352];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		double v, back = 0;
		bits = bits * 6364136223846793005ULL + 1442695040888963407ULL;
		memcpy(&v, &bits, sizeof(v));
		if (!isfinite(v))
			continue;
		size_t n = ops_format_double(v, buf);
		assert_true(n < 32);
		assert_int_equal(ops_parse_double(buf, n, &back), 0);
		assert_memory_equal(&v, &back, sizeof(v));
		n = ops_format_double_f(v, buf);
		assert_true(n < sizeof(buf));
		assert_int_equal(ops_parse_double(buf, n, &back), 0);
		assert_memory_equal(&v, &back, sizeof(v));
	}
}

static double read_back(const char *text)
{
	double v = 0;
	int rc = ops_parse_double(text, strlen(text), &v);
	assert_true(rc == 0 || rc == -ERANGE); /* the largest, rounded up, is infinite */
	return v;
}

/* No shorter text reads back, and of the texts of this length none is closer. Powers of two are
 * left out: the C library's nearest text may lie on the narrow side of their interval, outside. */
static void check_shortest(double v)
{
	char text[40], buf[32];
	int precision = 1;
	(void)ops_format_double(v, buf);
	assert_true(read_back(buf) == v);
	do {
		(void)snprintf(text, sizeof(text), "%.*e", precision++ - 1, v);
	} while (read_back(text) != v);
	char got[40];
	/* The same digits, when written with as many as suffice. */
	int digits = 0;
	bool leading = true;
	for (const char *p = buf; *p != '\0' && *p != 'e'; p++) {
		leading = leading && (*p == '0' || *p == '.' || *p == '-');
		got[digits] = *p;
		digits += !leading && *p != '.';
	}
	while (digits > 1 && got[digits - 1] == '0') {
		digits--;
	}
	int n = 0;
	for (const char *p = text; *p != 'e'; p++) {
		if (*p != '.' && *p != '-') {
			assert_true(n < digits);
			assert_int_equal(got[n++], *p);
		}
	}
	assert_int_equal(n, digits);
}

static void test_shortest(void **state)
{
	static const double values[] = {5e-324, 1.5e-323, DBL_MIN, DBL_MAX, 0.1, 0.3, 2.0 / 3, 1e23,
		9007199254740993.0, 1e-5, 123456.789, 4.35, 0.000001, 1e22 / 3,
		2.2250738585072011e-308};
	uint64_t bits = 0x9e3779b97f4a7c15ULL;
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(values); i++) {
		check_shortest(values[i]);
	}
	for (int i = 0; i < 20000; i++) {
		double v;
		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		memcpy(&v, &bits, sizeof(v));
		if (isfinite(v) && (bits & 0xfffffffffffffULL) != 0) {
			check_shortest(v);
			check_shortest((double)(bits % 1000000007) / 1000); /* as people write */
		}
	}
}

/* Each power of two reads back, and so does its neighbour below. */
static void test_powers_of_two(void **state)
{
	(void)state;
	for (int e = -1074; e <= 1023; e++) {
		double v[2] = {ldexp(1, e), nextafter(ldexp(1, e), 0)};
		for (size_t i = 0; i < OPS_LENGTH(v); i++) {
			char buf[32];
			(void)ops_format_double(v[i], buf);
			assert_true(read_back(buf) == v[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_i64),
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_double),
		cmocka_unit_test(test_double_refused),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_shortest),
		cmocka_unit_test(test_powers_of_two),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
