/* SPDX-License-Identifier: Apache-2.0 */
/* Hex, base64 (vectors of RFC 4648 section 10), UTF-8, comparison, random bytes. */
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

static void test_compare(void **state)
{
	(void)state;
	assert_true(ops_str_eq("a", "a"));
	assert_false(ops_str_eq("a", "b"));
	assert_true(ops_str_eq(NULL, NULL));
	assert_false(ops_str_eq(NULL, ""));
	assert_true(ops_str_starts("alert", "al"));
	assert_true(ops_str_starts("alert", ""));
	assert_false(ops_str_starts("al", "alert"));
	assert_true(ops_str_ends("a.yml", ".yml"));
	assert_false(ops_str_ends("yml", ".yml"));
	assert_true(ops_equal_consttime("abc", "abc", 3));
	assert_false(ops_equal_consttime("abc", "abd", 3));
	assert_true(ops_equal_consttime("abc", "abd", 2));
}

static void test_hex(void **state)
{
	unsigned char bytes[4] = {0};
	char text[9];

	(void)state;
	ops_hex_encode("\x00\x0f\xf0\xff", 4, text);
	assert_string_equal(text, "000ff0ff");
	assert_int_equal(ops_hex_decode("000fF0fF", 8, bytes), 0);
	assert_memory_equal(bytes, "\x00\x0f\xf0\xff", 4);
	assert_int_equal(ops_hex_decode("abc", 3, bytes), -EINVAL);
	assert_int_equal(ops_hex_decode("0g", 2, bytes), -EINVAL);
	assert_int_equal(ops_hex_decode("", 0, bytes), 0);
}

static void test_base64(void **state)
{
	static const struct {
		const char *plain, *text;
	} rows[] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
		{"\xff\xfe\xfd\xfb", "//79+w=="},
	};
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "=",
		"====", "Z===", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9", "Zm9\n", "Zm9-", "Z=9v"};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		char *text = ops_base64_encode(rows[i].plain, strlen(rows[i].plain));
		assert_string_equal(text, rows[i].text);
		void *data = NULL;
		size_t len = 99;
		assert_int_equal(ops_base64_decode(text, strlen(text), &data, &len), 0);
		assert_int_equal(len, strlen(rows[i].plain));
		assert_memory_equal(data, rows[i].plain, len + 1);
		free(data);
		free(text);
	}
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		void *data = NULL;
		size_t len = 0;
		if (ops_base64_decode(bad[i], strlen(bad[i]), &data, &len) != -EINVAL)
			fail_msg("\"%s\" was not refused", bad[i]);
		assert_null(data);
	}
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		uint32_t code;
	} rows[] = {
		{"a", 1, 'a'},
		{"\xc2\x80", 2, 0x80},
		{"\xc3\xa9", 2, 0xe9},
		{"\xe2\x82\xac", 3, 0x20ac},
		{"\xef\xbf\xbf", 3, 0xffff},
		{"\xf0\x9f\x98\x80", 4, 0x1f600},
		{"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
	};
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3(",
		"\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
		"\xf8\x88\x80\x80\x80", "\xff"};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		uint32_t code = 0;
		char back[4];
		assert_int_equal(ops_utf8_decode(rows[i].text, rows[i].len, &code), rows[i].len);
		assert_int_equal(code, rows[i].code);
		assert_int_equal(ops_utf8_encode(code, back), rows[i].len);
		assert_memory_equal(back, rows[i].text, rows[i].len);
		/* Every cut of it is malformed. */
		for (size_t cut = 0; cut < rows[i].len; cut++)
			assert_int_equal(ops_utf8_decode(rows[i].text, cut, &code), 0);
	}
	for (size_t i = 0; i < OPS_LENGTH(bad); i++)
		assert_false(ops_utf8_valid(bad[i], strlen(bad[i])));
	assert_true(ops_utf8_valid("plain \xc3\xa9 \xf0\x9f\x98\x80", 13));
	assert_true(ops_utf8_valid("", 0));
	/* What is no code point is written as the replacement character. */
	char back[4];
	assert_int_equal(ops_utf8_encode(0xd800, back), 3);
	assert_memory_equal(back, "\xef\xbf\xbd", 3);
}

static void test_random(void **state)
{
	char a[37], b[37];

	(void)state;
	ops_uuid4(a);
	ops_uuid4(b);
	assert_string_not_equal(a, b);
	assert_int_equal(strlen(a), 36);
	assert_true(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
	assert_int_equal(a[14], '4');
	assert_non_null(strchr("89ab", a[19]));
	assert_true(ops_random_u64() != ops_random_u64());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
