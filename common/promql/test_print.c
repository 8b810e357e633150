/* SPDX-License-Identifier: Apache-2.0 */
/* Printer, pretty printer, quoting, and that printing and parsing are inverse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/promql/parse.h"

static void print_to(const char *text, size_t width, struct ops_strbuf *out)
{
	static const struct ops_promql_options all = {.features = OPS_PROMQL_ALL_FEATURES};
	struct ops_promql_source src = {.text = text, .len = strlen(text), .options = &all};
	struct ops_promql_expr *e = NULL;
	struct ops_error err = {0};
	struct ops_arena a;
	ops_arena_init(&a);
	if (ops_promql_parse(&a, &src, &e, &err) != 0) {
		fail_msg("%s: %s", text, err.message);
	}
	if (width > 0) {
		ops_promql_pretty(e, width, out);
	} else {
		ops_promql_print(e, out);
	}
	ops_arena_done(&a);
}

static void test_print(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"1e3", "1000"},
		{"0x10", "16"},
		{"-.5", "-0.5"},
		{"NaN", "NaN"},
		{"+Inf", "+Inf"},
		{"90m", "1h30m"},
		{"-5m", "-5m"},
		{"1e-7", "0.0000001"},
		{"'it''s'", NULL},
		{"'it\\'s'", "\"it's\""},
		{"`a\\b\nc`", "\"a\\\\b\\nc\""},
		{"sum(a)by(x)", "sum by (x) (a)"},
		{"sum by () (a)", "sum(a)"},
		{"quantile without(x)(.9,a)", "quantile without (x) (0.9, a)"},
		{"{b='1',a='2',\"m\"}", "{__name__=\"m\",a=\"2\",b=\"1\"}"},
		{"m{__name__=\"m\"}", NULL},
		{"a[1h]offset 1m@5", "a[1h] @ 5.000 offset 1m"},
		{"a[1h:]", "a[1h:]"},
		{"a[90s:5]", "a[1m30s:5s]"},
		{"a[0.0001]", "a[1ms]"},
		{"a @ -0.001", "a @ -0.001"},
		{"a == BOOL ignoring(x) GROUP_LEFT b", "a == bool ignoring (x) group_left () b"},
		{"a + ignoring() b", "a + b"},
		{"a AND b", "a and b"},
		{"info(a, {})", "info(a, {})"},
		{"a offset 2w", "a offset 2w"},
		{"a offset 400d", "a offset 400d"},
		{"a offset 365d", "a offset 1y"},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_strbuf got = OPS_STRBUF_INIT, again = OPS_STRBUF_INIT;
		if (rows[i].want == NULL) {
			continue;
		}
		print_to(rows[i].text, 0, &got);
		assert_string_equal(ops_strbuf_text(&got), rows[i].want);
		print_to(ops_strbuf_text(&got), 0, &again);
		assert_string_equal(ops_strbuf_text(&again), rows[i].want);
		ops_strbuf_done(&got);
		ops_strbuf_done(&again);
	}
}

static void test_pretty(void **state)
{
	static const struct {
		const char *text;
		size_t width;
		const char *want;
	} rows[] = {
		{"a+b", 10, "a + b"},
		{"sum by(x)(rate(foo[5m]))", 20, "sum by (x) (\n  rate(foo[5m])\n)"},
		{"sum by(x)(rate(foo[5m]))", 10, "sum by (x) (\n  rate(\n    foo[5m]\n  )\n)"},
		{"topk(10, long_metric_name)", 10, "topk(\n  10,\n  long_metric_name\n)"},
		{"aaaaaa + on (x) bbbbbb", 10, "  aaaaaa\n+ on (x)\n  bbbbbb"},
		{"-(aaaaaa + bbbbbb)", 10, "-(\n    aaaaaa\n  +\n    bbbbbb\n)"},
		{"rate(aaaaaaaa[5m])[10m:]", 10, "rate(\n  aaaaaaaa[5m]\n)[10m:]"},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_strbuf got = OPS_STRBUF_INIT;
		print_to(rows[i].text, rows[i].width, &got);
		assert_string_equal(ops_strbuf_text(&got), rows[i].want);
		ops_strbuf_done(&got);
	}
}

static void test_quote(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *want;
	} rows[] = {
		{"", 0, "\"\""},
		{"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
		{"\a\b\t\n\v\f\r", 7, "\"\\a\\b\\t\\n\\v\\f\\r\""},
		{"\0\x1f\x7f", 3, "\"\\x00\\x1f\\x7f\""},
		{"\xc3\xa4", 2, "\"\xc3\xa4\""},
		{"\xff\xc3", 2, "\"\\xff\\xc3\""},
		{"\xc2\xa0", 2, "\"\\u00a0\""},
		{"\xe2\x80\x8b", 3, "\"\\u200b\""},
		{"\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\""},
		{"\xf3\xa0\x80\x81", 4, "\"\\U000e0001\""},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_strbuf got = OPS_STRBUF_INIT;
		struct ops_promql_string s = {rows[i].text, rows[i].len};
		ops_promql_quote(&s, &got);
		assert_string_equal(ops_strbuf_text(&got), rows[i].want);
		ops_strbuf_done(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_pretty),
		cmocka_unit_test(test_quote),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
