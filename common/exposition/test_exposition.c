/* SPDX-License-Identifier: Apache-2.0 */
/* What the parser takes, refuses and where it says the fault is. Third-party cases run in
 * tests/conformance. */
#include "common/exposition/exposition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/number.h"
#include "common/exposition/plain_number.h"

static struct ops_exposition p;

static int setup(void **state)
{
	(void)state;
	ops_exposition_init(&p);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ops_exposition_done(&p);
	return 0;
}

static int next(enum ops_exposition_format format, const char *text, struct ops_error *err)
{
	ops_exposition_start(&p, format, text, strlen(text));
	return ops_exposition_next(&p, err);
}

static void test_sample(void **state)
{
	(void)state;
	struct ops_error err;
	assert_int_equal(
		next(OPS_EXPOSITION_TEXT,
			"m { b=\"x\\\"\\\\\\n\\t\" ,a = \"1\", }\t-2.5e3  12\nz 1\n", &err),
		OPS_ENTRY_SAMPLE);
	assert_int_equal(p.nlabels, 2);
	assert_int_equal(p.name.len, 1);
	assert_memory_equal(p.labels[0].name, "a", 1);
	assert_memory_equal(p.labels[0].value, "1", 1);
	assert_int_equal(p.labels[1].value_len, 6);
	assert_memory_equal(p.labels[1].value, "x\"\\\n\\t", 6);
	assert_true(p.tail.value == -2500.0);
	assert_true(p.tail.has_time && p.tail.time_ms == 12);
	assert_int_equal(ops_exposition_next(&p, &err), OPS_ENTRY_SAMPLE);
	assert_false(p.tail.has_time);
	assert_int_equal(p.line, 2);
	assert_int_equal(ops_exposition_next(&p, &err), OPS_ENTRY_END);
}

/* Each line but the first must be read as if it stood alone, or be refused as it is alone. */
static void test_lines_like_the_one_before(void **state)
{
	(void)state;
	static const char *const firsts[] = {
		"m{b=\"1\", a=\"long enough for a vector\",c=\"\"} 1\n",
		"m{b=\"1\", a=\"long enough for a vector\",c=\"\"}1\n"};
	static const char *const seconds[] = {"m{b=\"2\", a=\"x\",c=\"y\"} 2 77\n",
		"m{b=\"2\",  a=\"x\",c=\"y\"} 2\n", "m{b=\"2\", a=\"x\",c=\"y\"}  \t 2\n",
		"m{b=\"2\", a=\"x\",c=\"y\"}2\n", "m{b=\"2\", a=\"x\",c=\"y\"}\t2\n",
		"other{b=\"2\", a=\"x\",c=\"y\"} 3\n",
		"m{b=\"2\", a=\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\",c=\"y\"} 2\n",
		"m{b=\"2\", a=\"\\\"\\n\",c=\"y\"} 2\n", "m{b=\"2\", a=\"\xc3\xa4\",c=\"y\"} 2\n",
		"m{b=\"2\", a=\"\xc3\",c=\"y\"} 2\n", "m{b=\"2\", a=\"x\ny\",c=\"y\"} 2\n",
		"m{b=\"2\", a=\"x\ty\x01\",c=\"y\"} 2\n", "m{b=\"2\", a=\"x\",c=\"y\",d=\"z\"} 2\n",
		"m{b=\"2\", a=\"x\",c=\"y\"} x\n", "m{b=\"2\", a=\"x\",d=\"y\"} 2\n",
		"m{b=\"2\", a=\"x\",b=\"y\"} 2\n", "m{b=\"2\", a=\"x\"} 2\n", "m 2\n",
		"m{b=\"2\", a=\"x\",c=\"y}\n", "1m{b=\"2\", a=\"x\",c=\"y\"} 2\n"};
	for (size_t i = 0; i < OPS_LENGTH(firsts) * OPS_LENGTH(seconds); i++) {
		const char *first = firsts[i % 2], *second = seconds[i / 2];
		struct ops_error err, alone_err;
		struct ops_exposition alone;
		char text[400];
		snprintf(text, sizeof(text), "%s%s%sz 1\nthe_end_is_not_near 1\n", first, second,
			first);
		ops_exposition_init(&alone);
		assert_int_equal(next(OPS_EXPOSITION_TEXT, text, &err), OPS_ENTRY_SAMPLE);
		for (int kind = OPS_ENTRY_SAMPLE; kind == OPS_ENTRY_SAMPLE;) {
			const char *from = p.at;
			ops_exposition_start(&alone, OPS_EXPOSITION_TEXT, from, strlen(from));
			kind = ops_exposition_next(&p, &err);
			assert_int_equal(ops_exposition_next(&alone, &alone_err), kind);
			if (kind == -EINVAL) {
				assert_int_equal(err.column, alone_err.column);
				assert_string_equal(err.message, alone_err.message);
			}
			if (kind != OPS_ENTRY_SAMPLE) {
				break;
			}
			assert_true(p.at == alone.at && p.series_end == alone.series_end);
			assert_true(p.name.data == alone.name.data && p.name.len == alone.name.len);
			assert_true(p.tail.value == alone.tail.value);
			assert_int_equal(p.nlabels, alone.nlabels);
			for (size_t j = 0; j < p.nlabels; j++) {
				const struct ops_label *x = &p.labels[j], *y = &alone.labels[j];
				assert_true(x->name == y->name && x->name_len == y->name_len);
				assert_int_equal(x->value_len, y->value_len);
				assert_memory_equal(x->value, y->value, x->value_len);
			}
		}
		ops_exposition_done(&alone);
	}
}

static void test_many_escapes(void **state)
{
	(void)state;
	struct ops_error err;
	char text[4000] = "m{";
	for (int i = 0; i < 40; i++) {
		char label[64];
		snprintf(label, sizeof(label), "l%02d=\"\\\\%d\\n\",", i, i);
		strncat(text, label, sizeof(text) - strlen(text) - 1);
	}
	strncat(text, "} 1\n", sizeof(text) - strlen(text) - 1);
	assert_int_equal(next(OPS_EXPOSITION_TEXT, text, &err), OPS_ENTRY_SAMPLE);
	assert_int_equal(p.nlabels, 40);
	for (int i = 0; i < 40; i++) {
		char value[64];
		snprintf(value, sizeof(value), "\\%d\n", i);
		assert_int_equal(p.labels[i].value_len, strlen(value));
		assert_memory_equal(p.labels[i].value, value, strlen(value));
	}
}

static void test_quoted_names(void **state)
{
	(void)state;
	struct ops_error err;
	assert_int_equal(
		next(OPS_EXPOSITION_TEXT, "{\"my.metric\", \"a b\"=\"c\",d=\"e\"} 1\n", &err),
		OPS_ENTRY_SAMPLE);
	assert_int_equal(p.name.len, 9);
	assert_memory_equal(p.name.data, "my.metric", 9);
	assert_int_equal(p.labels[0].name_len, 3);
	assert_int_equal(
		next(OPS_EXPOSITION_TEXT, "# TYPE \"my.metric\" gauge\n", &err), OPS_ENTRY_TYPE);
	assert_int_equal(p.type, OPS_T_GAUGE);
	assert_int_equal(p.name.len, 9);
}

static void test_metadata(void **state)
{
	(void)state;
	struct ops_error err;
	assert_int_equal(next(OPS_EXPOSITION_TEXT, " # HELP  m two\\nlines \\\\ \\\"\n", &err),
		OPS_ENTRY_HELP);
	assert_int_equal(p.text.len, strlen("two\nlines \\ \\\""));
	assert_memory_equal(p.text.data, "two\nlines \\ \\\"", p.text.len);
	assert_int_equal(next(OPS_EXPOSITION_TEXT, "# TYPE m  histogram \n", &err), OPS_ENTRY_TYPE);
	assert_int_equal(p.type, OPS_T_HISTOGRAM);
	assert_int_equal(next(OPS_EXPOSITION_TEXT, "# anything\n", &err), OPS_ENTRY_COMMENT);
	assert_int_equal(next(OPS_EXPOSITION_TEXT, "# UNIT m x\n", &err), OPS_ENTRY_COMMENT);
	assert_int_equal(next(OPS_EXPOSITION_OPENMETRICS, "# UNIT m_s s\n", &err), OPS_ENTRY_UNIT);
	assert_memory_equal(p.text.data, "s", 1);
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		double value;
	} rows[] = {{"0", 0}, {"-0.5", -0.5}, {"123456789012345", 123456789012345.0},
		{"1234567890123456789", 1234567890123456789.0}, {"0.1", 0.1}, {"1.5e-7", 1.5e-7},
		{"+Inf", INFINITY}, {"-inf", -INFINITY}, {"123456789.123456", 123456789.123456},
		{"0.123456789012345", 0.123456789012345}, {"1.", 1}, {".5", .5}, {"007", 7},
		{"9007199254740993", 9007199254740993.0}};
	static const char *const bad[] = {
		"0x10", "1_000", "1e", "--1", "1e999", "", "one", "0x1p3", "1,5"};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		char line[64];
		struct ops_error err;
		snprintf(line, sizeof(line), "m %s\n", rows[i].text);
		assert_int_equal(next(OPS_EXPOSITION_TEXT, line, &err), OPS_ENTRY_SAMPLE);
		assert_true(p.tail.value == rows[i].value);
	}
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		char line[64];
		struct ops_error err;
		snprintf(line, sizeof(line), "m %s\n", bad[i]);
		assert_int_equal(next(OPS_EXPOSITION_TEXT, line, &err), -EINVAL);
		assert_int_equal(err.line, 1);
	}
}

/* No spelling of NaN may come out as the staleness marker. */
static void test_nan(void **state)
{
	(void)state;
	static const char *const texts[] = {"m NaN\n", "m nan\n", "m NAN\n"};
	for (size_t i = 0; i < OPS_LENGTH(texts); i++) {
		struct ops_error err;
		assert_int_equal(next(OPS_EXPOSITION_TEXT, texts[i], &err), OPS_ENTRY_SAMPLE);
		assert_true(isnan(p.tail.value));
		assert_false(ops_is_stale(p.tail.value));
	}
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		enum ops_exposition_format format;
		const char *text;
		int line, column;
		const char *message;
	} rows[] = {
		{OPS_EXPOSITION_TEXT, "a 1\nb{c=\"d} 2\n", 2, 5,
			"the label value has no closing quote"},
		{OPS_EXPOSITION_TEXT, "a{b='c'} 1\n", 1, 5,
			"expected a label value in double quotes"},
		{OPS_EXPOSITION_TEXT, "a{b} 1\n", 1, 4, "expected '=' after the label name"},
		{OPS_EXPOSITION_TEXT, "a{1b=\"c\"} 1\n", 1, 3, "expected a label name"},
		{OPS_EXPOSITION_TEXT, "a{b=\"\xff\"} 1\n", 1, 5,
			"the label value is not valid UTF-8"},
		{OPS_EXPOSITION_TEXT, "a{b=\"c\"", 1, 8, "expected a label name"},
		{OPS_EXPOSITION_TEXT, "a{b=\"1\",b=\"2\"} 1\n", 1, 1, "label \"b\" is given twice"},
		{OPS_EXPOSITION_TEXT, "a{__name__=\"b\"} 1\n", 1, 1,
			"label \"__name__\" is given twice"},
		{OPS_EXPOSITION_TEXT, "{\"a\",\"b\"} 1\n", 1, 7, "the metric name is given twice"},
		{OPS_EXPOSITION_TEXT, "{b=\"c\"} 1\n", 1, 1, "the line has no metric name"},
		{OPS_EXPOSITION_TEXT, "0a 1\n", 1, 1, "expected a metric name or a comment"},
		{OPS_EXPOSITION_TEXT, "a-b 1\n", 1, 2, "expected a value after the metric"},
		{OPS_EXPOSITION_TEXT, "a\n", 1, 2, "expected a value after the metric"},
		{OPS_EXPOSITION_TEXT, "a 1 2 3\n", 1, 7, "expected the end of the line"},
		{OPS_EXPOSITION_TEXT, "a 1 x\n", 1, 5,
			"expected a timestamp in milliseconds or the end of the line"},
		{OPS_EXPOSITION_TEXT, "# TYPE a gouge\n", 1, 10, "unknown metric type \"gouge\""},
		{OPS_EXPOSITION_OPENMETRICS, "a 1\n", 2, 1, "the document does not end with # EOF"},
		{OPS_EXPOSITION_OPENMETRICS, "a 1\n# EOF\na 2\n", 2, 3,
			"there is data after # EOF"},
		{OPS_EXPOSITION_OPENMETRICS, "a  1\n# EOF\n", 1, 3, "expected a number"},
		{OPS_EXPOSITION_OPENMETRICS, "\n# EOF\n", 1, 1, "a blank line"},
		{OPS_EXPOSITION_OPENMETRICS, "a 1 # {b=\"c\"}\n# EOF\n", 1, 13,
			"expected a value after the exemplar's labels"},
		{OPS_EXPOSITION_OPENMETRICS, "# UNIT a_x s\n# EOF\n", 1, 12,
			"unit \"s\" is not the end of the metric's name"},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_error err;
		int r = next(rows[i].format, rows[i].text, &err);
		while (r > 0) {
			r = ops_exposition_next(&p, &err);
		}
		assert_int_equal(r, -EINVAL);
		assert_string_equal(err.message, rows[i].message);
		assert_int_equal(err.line, rows[i].line);
		assert_int_equal(err.column, rows[i].column);
	}
}

static void test_exemplars(void **state)
{
	(void)state;
	static const char text[] = "a_total 17.5 1520879607.789 # {id=\"a\\\"}b\",x=\"\"} 5 1.5\n"
				   "a_total{x=\"#\"} 2 # {} 1\n# EOF";
	struct ops_error err;
	assert_int_equal(next(OPS_EXPOSITION_OPENMETRICS, text, &err), OPS_ENTRY_SAMPLE);
	assert_true(p.tail.value == 17.5);
	assert_true(p.tail.time_ms == 1520879607789);
	assert_int_equal(ops_exposition_next(&p, &err), OPS_ENTRY_SAMPLE);
	assert_true(p.tail.value == 2 && !p.tail.has_time);
	assert_int_equal(ops_exposition_next(&p, &err), OPS_ENTRY_END);
}

/* The reader of eight characters at a time against the one that reads them all. */
static void check_plain(const char *text)
{
	char line[64];
	double plain = 0, whole = 0;
	const char *end = NULL;
	int len = snprintf(line, sizeof(line), "%s\n# and more that can be read", text);
	if (!ops_plain_number(line, line + len, &plain, &end)) {
		return;
	}
	assert_int_equal(end - line, strlen(text));
	assert_int_equal(ops_parse_double(text, strlen(text), &whole), 0);
	assert_memory_equal(&plain, &whole, sizeof(plain));
}

static void test_plain_numbers(void **state)
{
	(void)state;
	static const char *const odd[] = {"", ".", "1.", ".5", "-1", "1e5", "0x1", "1_0", "NaN",
		"12345678.12345678", "123456789.123456789", "1.2.3", "00012", "1:", "1/"};
	char text[40];
	double v;
	const char *end;
	for (size_t i = 0; i < OPS_LENGTH(odd); i++) {
		check_plain(odd[i]);
	}
	for (unsigned i = 0; i < 20000; i++) {
		uint64_t n = (uint64_t)i * 0x9e3779b97f4a7c15ULL;
		snprintf(text, sizeof(text), "%.*s", (int)(1 + i % 17), "98765432109876543210");
		check_plain(text);
		snprintf(text, sizeof(text), "%u.%0*u", (unsigned)(n >> 40) >> (i % 24),
			(int)(1 + i % 9), (unsigned)(n >> 50));
		check_plain(text);
	}
	static const char far[] = "1234567.25 and so on, long enough";
	assert_true(ops_plain_number(far, far + sizeof(far) - 1, &v, &end));
	assert_true(v == 1234567.25 && *end == ' ');
	assert_false(ops_plain_number(far, far + 23, &v, &end));
}

static void test_content_type(void **state)
{
	(void)state;
	static const struct {
		const char *type;
		int fallback, result;
		enum ops_exposition_format format;
	} rows[] = {
		{"text/plain; version=0.0.4; charset=utf-8", -1, 0, OPS_EXPOSITION_TEXT},
		{"TEXT/PLAIN", -1, 0, OPS_EXPOSITION_TEXT},
		{"application/openmetrics-text;version=1.0.0", -1, 0, OPS_EXPOSITION_OPENMETRICS},
		{"text/html", -1, -EINVAL, OPS_EXPOSITION_TEXT},
		{"", -1, -EINVAL, OPS_EXPOSITION_TEXT},
		{"", OPS_EXPOSITION_OPENMETRICS, 0, OPS_EXPOSITION_OPENMETRICS},
		{"text/html", OPS_EXPOSITION_TEXT, 0, OPS_EXPOSITION_TEXT},
		{"text/plainer", -1, -EINVAL, OPS_EXPOSITION_TEXT},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		enum ops_exposition_format format = OPS_EXPOSITION_TEXT;
		struct ops_error err;
		int r = ops_exposition_format_of(rows[i].type, rows[i].fallback, &format, &err);
		assert_int_equal(r, rows[i].result);
		assert_int_equal(format, rows[i].format);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sample, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lines_like_the_one_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_escapes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quoted_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_metadata, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exemplars, setup, teardown),
		cmocka_unit_test(test_plain_numbers),
		cmocka_unit_test(test_content_type),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
