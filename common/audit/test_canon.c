/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 8785: the number samples of appendix B, the documents of section 3.2, and what we refuse. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <float.h>
#include <string.h>

#include "common/audit/canon.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

static void test_numbers(void **state)
{
	static const struct {
		uint64_t bits;
		const char *text;
	} cases[] = {
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
		/* Not of the RFC: powers of two, where the nearest digits are not the ones. */
		{0x0010000000000000, "2.2250738585072014e-308"},
		{0x3d30000000000000, "5.684341886080802e-14"},
		{0x3ff0000000000000, "1"},
		{0x3fb999999999999a, "0.1"},
		{0x000fffffffffffff, "2.225073858507201e-308"},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_strbuf b = OPS_STRBUF_INIT;
		double v;
		memcpy(&v, &cases[i].bits, sizeof(v));
		ops_canon_number(v, &b);
		assert_string_equal(ops_strbuf_text(&b), cases[i].text);
		ops_strbuf_done(&b);
	}
}

/* Whatever is printed names the same double. */
static void test_numbers_at_random(void **state)
{
	uint64_t x = 88172645463325252u;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct ops_strbuf b = OPS_STRBUF_INIT;
		double v, back;
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		/* Every exponent, powers of two among them. */
		uint64_t bits = i % 4 == 0 ? x & 0xfff0000000000000u : x;
		memcpy(&v, &bits, sizeof(v));
		if (!(v >= -DBL_MAX && v <= DBL_MAX))
			continue;
		ops_canon_number(v, &b);
		assert_int_equal(ops_parse_double(b.data, b.len, &back), 0);
		assert_true(back == v);
		ops_strbuf_done(&b);
	}
}

static char *canon(const char *text,
	int (*parse)(const char *s, size_t len, size_t limit, json_t **ret, struct ops_error *err))
{
	OPS_JSON_AUTO *j = NULL;
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_error err;

	assert_int_equal(parse(text, strlen(text), 10000, &j, &err), 0);
	assert_int_equal(ops_canon_json(j, &b, &err), 0);
	return ops_strbuf_take(&b);
}

static void test_documents(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"{\"numbers\":[333333333.33333329, 1E30, 4.50, 2e-3, "
		 "0.000000000000000000000000001],"
		 "\"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/"
		 "\",\"literals\":[null, true, false]}",
			"{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,"
			"0.002,1e-27],"
			"\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"},
		{"{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew "
		 "Letter Dalet With Dagesh\","
		 "\"1\":\"One\",\"\\ud83d\\ude00\":\"Emoji: Grinning "
		 "Face\",\"\\u0080\":\"Control\","
		 "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
			"{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
			"\"\xc3\xb6\":\"Latin Small Letter O With "
			"Diaeresis\",\"\xe2\x82\xac\":\"Euro Sign\","
			"\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
			"\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}"},
		{"[]", "[]"},
		{" { } ", "{}"},
		{"[ -0.0, 9007199254740992, -9007199254740993.0, 4611686018427387904, 1.0, 1e20 ]",
			"[0,9007199254740992,-9007199254740992,4611686018427388000,1,"
			"100000000000000000000]"},
		{"{\"b\":{\"z\":1,\"a\":[{\"y\":0,\"x\":0}]},\"a\":\"\\b\\f\\t\\u001f\\u007f\"}",
			"{\"a\":\"\\b\\f\\t\\u001f\x7f\",\"b\":{\"a\":[{\"x\":0,\"y\":0}],\"z\":1}"
			"}"},
		{"{\"a\":1,\"aa\":2,\"\":3,\"A\":4}", "{\"\":3,\"A\":4,\"a\":1,\"aa\":2}"},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		OPS_CLEANUP(ops_freep) char *once = canon(cases[i].in, ops_json_parse);
		assert_string_equal(once, cases[i].out);
		OPS_CLEANUP(ops_freep) char *twice = canon(once, ops_canon_parse);
		assert_string_equal(twice, once);
	}
}

static void test_integers_that_would_be_rounded(void **state)
{
	static const char *const cases[] = {"[9007199254740993]", "{\"a\":-9007199254740993}",
		"9223372036854775807", "[1732137600000000001]"};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		OPS_JSON_AUTO *j = NULL;
		struct ops_strbuf b = OPS_STRBUF_INIT;
		struct ops_error err;
		assert_int_equal(ops_json_parse(cases[i], strlen(cases[i]), 100, &j, &err), 0);
		assert_int_equal(ops_canon_json(j, &b, &err), -ERANGE);
		assert_string_equal(err.hint, "write it as a string");
		assert_int_equal(b.len, 0);
		ops_strbuf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_numbers_at_random),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_integers_that_would_be_rounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
