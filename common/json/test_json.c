/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing with positions and bounds, printing, typed getters. */
#include "common/json/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

static json_t *parse(const char *text)
{
	struct ops_error err;
	json_t *j = NULL;

	if (ops_json_parse(text, strlen(text), 1 << 20, &j, &err) != 0)
		fail_msg("%s: %s", text, err.message);
	return j;
}

static void test_print(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{" { \"b\" : 1 , \"a\" : [ ] } ", "{\"b\":1,\"a\":[]}"},
		{"[1, 2.0, 1e20, 0.1, -0.0, 1e300]",
			"[1,2.0,100000000000000000000.0,0.1,-0.0,1e+300]"},
		{"[9223372036854775807,-9223372036854775808]",
			"[9223372036854775807,-9223372036854775808]"},
		{"[null,true,false,{}]", "[null,true,false,{}]"},
		{"\"a\\u00e9\\n\\\"\\/\\ud83d\\ude00\"", "\"a\xc3\xa9\\n\\\"/\xf0\x9f\x98\x80\""},
		{"7", "7"},
		{"{\"k\\\"\":{\"x\":[[]]}}", "{\"k\\\"\":{\"x\":[[]]}}"},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		OPS_JSON_AUTO *j = parse(rows[i].in);
		OPS_CLEANUP(ops_freep) char *text = ops_json_text(j);
		assert_string_equal(text, rows[i].out);
		/* Printing is a fixed point, with types kept. */
		OPS_JSON_AUTO *again = parse(text);
		assert_true(json_equal(j, again));
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		int line;
	} rows[] = {
		{"", 1},
		{"{", 1},
		{"{\"a\":1,\n\"a\":2}", 2},
		{"[1,]", 1},
		{"[01]", 1},
		{"[NaN]", 1},
		{"[1e999]", 1},
		{"[99999999999999999999]", 1},
		{"{}\n\n{}", 3},
		{"\"\xff\"", 1},
		{"\"\\u0000\"", 1},
		{"\"\\ud800\"", 1},
		{"'a'", 1},
	};
	struct ops_error err;
	json_t *j = NULL;

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		assert_int_equal(
			ops_json_parse(rows[i].text, strlen(rows[i].text), 100, &j, &err), -EINVAL);
		assert_int_equal(err.line, rows[i].line);
		assert_null(j);
	}
	assert_int_equal(ops_json_parse("[1,2]", 5, 4, &j, &err), -EFBIG);
	assert_int_equal(ops_json_parse("[1,2]x", 5, 5, &j, NULL), 0);
	json_decref(j);
	j = NULL;
	/* Deep nesting is refused by the parser, not by the stack. */
	char deep[100000];
	memset(deep, '[', sizeof(deep));
	assert_int_equal(ops_json_parse(deep, sizeof(deep), sizeof(deep), &j, &err), -EINVAL);
}

static const char object_text[] = "{\"s\":\"text\",\"i\":-5,\"d\":0.5,\"b\":true,\"n\":null,"
				  "\"o\":{\"x\":1},\"a\":[1],\"t\":\"2023-11-14T22:13:20.5Z\","
				  "\"zero\":\"0001-01-01T00:00:00Z\",\"big\":1e300}";

static void test_found(void **state)
{
	OPS_JSON_AUTO *o = parse(object_text);
	struct ops_error err;
	const char *s = NULL;
	int64_t i = 0;
	double d = 0;
	bool b = false;
	json_t *j = NULL;

	(void)state;
	assert_int_equal(ops_json_get_string(o, "s", &s, &err), 0);
	assert_string_equal(s, "text");
	assert_int_equal(ops_json_get_i64(o, "i", &i, &err), 0);
	assert_int_equal(i, -5);
	assert_int_equal(ops_json_get_double(o, "d", &d, &err), 0);
	assert_true(d == 0.5);
	assert_int_equal(ops_json_get_double(o, "i", &d, &err), 0);
	assert_true(d == -5);
	assert_int_equal(ops_json_get_bool(o, "b", &b, &err), 0);
	assert_true(b);
	assert_int_equal(ops_json_get_object(o, "o", &j, &err), 0);
	assert_int_equal(json_object_size(j), 1);
	assert_int_equal(ops_json_get_array(o, "a", &j, &err), 0);
	assert_int_equal(json_array_size(j), 1);
	assert_int_equal(ops_json_get_time(o, "t", &i, &err), 0);
	assert_int_equal(i, 1700000000500);
	assert_int_equal(ops_json_get_time(o, "d", &i, &err), 0);
	assert_int_equal(i, 500);
	assert_int_equal(ops_json_get_time(o, "i", &i, &err), 0);
	assert_int_equal(i, -5000);
	assert_int_equal(ops_json_get_time(o, "zero", &i, &err), 0);
	assert_int_equal(i, 0);
}

static void test_absent(void **state)
{
	static const char *const keys[] = {"n", "absent"};
	OPS_JSON_AUTO *o = parse(object_text);
	const char *s = "kept";
	int64_t i = 3;
	double d = 3;
	bool b = true;
	json_t *j = o;

	(void)state;
	for (size_t k = 0; k < OPS_LENGTH(keys); k++) {
		assert_int_equal(ops_json_get_string(o, keys[k], &s, NULL), 1);
		assert_int_equal(ops_json_get_i64(o, keys[k], &i, NULL), 1);
		assert_int_equal(ops_json_get_double(o, keys[k], &d, NULL), 1);
		assert_int_equal(ops_json_get_bool(o, keys[k], &b, NULL), 1);
		assert_int_equal(ops_json_get_time(o, keys[k], &i, NULL), 1);
		assert_int_equal(ops_json_get_object(o, keys[k], &j, NULL), 1);
		assert_int_equal(ops_json_get_array(o, keys[k], &j, NULL), 1);
	}
	assert_string_equal(s, "kept");
	assert_true(i == 3 && d == 3 && b && j == o);
}

static void test_wrong_type(void **state)
{
	OPS_JSON_AUTO *o = parse(object_text);
	OPS_JSON_AUTO *list = parse("[1]");
	struct ops_error err = {0};
	const char *s = NULL;
	int64_t i = 0;
	double d = 0;
	bool b = false;
	json_t *j = NULL;

	(void)state;
	assert_int_equal(ops_json_get_string(o, "i", &s, &err), -EINVAL);
	assert_string_equal(err.message, "member \"i\" is an integer, not a string");
	assert_int_equal(ops_json_get_i64(o, "d", &i, &err), -EINVAL);
	assert_string_equal(
		err.message, "member \"d\" is a number with a fraction, not an integer");
	assert_int_equal(ops_json_get_double(o, "s", &d, &err), -EINVAL);
	assert_int_equal(ops_json_get_bool(o, "i", &b, &err), -EINVAL);
	assert_int_equal(ops_json_get_object(o, "a", &j, &err), -EINVAL);
	assert_int_equal(ops_json_get_array(o, "o", &j, &err), -EINVAL);
	assert_int_equal(ops_json_get_time(o, "b", &i, &err), -EINVAL);
	assert_int_equal(ops_json_get_time(o, "big", &i, &err), -EINVAL);
	assert_int_equal(ops_json_get_time(o, "s", &i, &err), -EINVAL);
	assert_true(err.hint[0] != '\0');
	assert_int_equal(ops_json_get_i64(list, "x", &i, &err), -EINVAL);
	assert_string_equal(err.message, "value is an array, not an object with member \"x\"");
	assert_int_equal(ops_json_get_i64(NULL, "x", &i, &err), -EINVAL);
}

static void test_only(void **state)
{
	static const char *const allowed[] = {"x", "y", NULL};
	OPS_JSON_AUTO *good = parse("{\"x\":1}");
	OPS_JSON_AUTO *bad = parse("{\"x\":1,\"z\":2}");
	struct ops_error err = {0};

	(void)state;
	assert_int_equal(ops_json_only(good, allowed, &err), 0);
	assert_int_equal(ops_json_only(bad, allowed, &err), -EINVAL);
	assert_string_equal(err.message, "unknown member \"z\"");
	assert_int_equal(ops_json_only(NULL, allowed, &err), -EINVAL);
}

static void test_setters(void **state)
{
	OPS_JSON_AUTO *o = json_object();

	(void)state;
	ops_json_set_string(o, "s", "a");
	ops_json_set_string(o, "bad", "a\xffz");
	ops_json_set_string(o, "null", NULL);
	ops_json_set_i64(o, "i", INT64_MIN);
	ops_json_set_bool(o, "b", false);
	ops_json_set_time(o, "t", 1700000000123);
	ops_json_set_time(o, "zero", 0);
	ops_json_set(o, "o", json_object());
	OPS_CLEANUP(ops_freep) char *text = ops_json_text(o);
	assert_string_equal(text,
		"{\"s\":\"a\",\"bad\":\"a\xef\xbf\xbdz\",\"null\":null,"
		"\"i\":-9223372036854775808,\"b\":false,\"t\":\"2023-11-14T22:13:20.123Z\","
		"\"zero\":\"0001-01-01T00:00:00Z\",\"o\":{}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_wrong_type),
		cmocka_unit_test(test_only),
		cmocka_unit_test(test_setters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
