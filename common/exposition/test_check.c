/* SPDX-License-Identifier: Apache-2.0 */
/* Which profile takes what, where the fault is said to be, and the advice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/exposition/check.h"

static void test_verdicts(void **state)
{
	(void)state;
	static const struct {
		enum ops_exposition_profile profile;
		const char *text;
		int line, column; /* 0: accepted */
	} rows[] = {
		{OPS_PROFILE_PROMETHEUS, "a{b=\"\\t\"} 1\na{b=\"\\t\"} 2", 0, 0},
		{OPS_PROFILE_EXPFMT, "a{b=\"\\t\"} 1\n", 1, 5},
		{OPS_PROFILE_EXPFMT, "a 1", 1, 4},
		{OPS_PROFILE_EXPFMT, "a 1\n\t", 0, 0},
		{OPS_PROFILE_EXPFMT, "# TYPE a counter\n# TYPE a counter\n", 2, 1},
		{OPS_PROFILE_PROMETHEUS, "# TYPE a counter\n# TYPE a counter\n", 0, 0},
		{OPS_PROFILE_EXPFMT, "# TYPE a Gauge_Histogram\n# HELP a\n# HELP a x\\n\n", 0, 0},
		{OPS_PROFILE_EXPFMT, "# HELP a x\\y\n", 1, 10},
		{OPS_PROFILE_EXPFMT, "# TYPE a histogram\na_bucket{le=\"1\"} -1\n", 2, 18},
		{OPS_PROFILE_OPENMETRICS, "# TYPE a counter\na_total 1\n# EOF\n", 0, 0},
		{OPS_PROFILE_OPENMETRICS, "# TYPE a counter\na_total -1\n# EOF\n", 2, 9},
		{OPS_PROFILE_OPENMETRICS, "a{b=\"1\",} 1\n# EOF\n", 1, 8},
		{OPS_PROFILE_OPENMETRICS, "a 1\nb 1\na 2\n# EOF\n", 3, 1},
		{OPS_PROFILE_OPENMETRICS,
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n"
			"h_count 2\nh_sum 3\nh_bucket{x=\"y\",le=\"+Inf\"} 0\n# EOF\n",
			0, 0},
		{OPS_PROFILE_OPENMETRICS,
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 2\nh_sum 3\n# EOF\n", 5,
			1},
		{OPS_PROFILE_OPENMETRICS, "# TYPE a gauge\na 1 # {x=\"y\"} 1\n# EOF\n", 2, 7},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_exposition_check c = {.profile = rows[i].profile};
		struct ops_error err = {.line = 0, .column = 0};
		int r = ops_exposition_check(&c, rows[i].text, strlen(rows[i].text), &err);
		if ((r == 0) != (rows[i].line == 0) ||
			(r != 0 && (err.line != rows[i].line || err.column != rows[i].column))) {
			print_error("row %zu: %d at %d:%d %s\n", i, r, err.line, err.column,
				r != 0 ? err.message : "");
			fail();
		}
	}
}

static void on_lint(void *arg, const char *metric, const char *problem)
{
	ops_strbuf_printf(arg, "%s: %s\n", metric, problem);
}

static void test_advice(void **state)
{
	(void)state;
	static const struct {
		const char *text, *advice;
	} rows[] = {
		{"# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\n"
		 "a_seconds_total 1\n",
			""},
		{"# TYPE reqs counter\nreqs{le=\"1\"} 1\n",
			"reqs: no help text\n"
			"reqs: counter metrics should have \"_total\" suffix\n"
			"reqs: non-histogram metrics should not have \"le\" label\n"},
		{"# HELP wait_milliseconds x\nwait_milliseconds 1\nwait_milliseconds 2\n",
			"wait_milliseconds: use base unit \"seconds\" instead of \"milliseconds\"\n"
			"wait_milliseconds: metric not unique\n"},
		{"# HELP x_gauge x\n# TYPE x_gauge summary\nx_gauge{quantile=\"1\",aB=\"\"} 1\n",
			"x_gauge: metric name should not include type 'gauge'\n"
			"x_gauge: label names should be written in 'snake_case' not 'camelCase'\n"},
		{"# HELP a:bC_ms x\na:bC_ms 1\n",
			"a:bC_ms: metric names should not contain ':'\n"
			"a:bC_ms: metric names should be written in 'snake_case' not 'camelCase'\n"
			"a:bC_ms: metric names should not contain abbreviated units\n"},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_strbuf got = OPS_STRBUF_INIT;
		struct ops_exposition_check c = {
			.profile = OPS_PROFILE_EXPFMT, .on_lint = on_lint, .arg = &got};
		struct ops_error err;
		assert_int_equal(
			ops_exposition_check(&c, rows[i].text, strlen(rows[i].text), &err), 0);
		assert_string_equal(ops_strbuf_text(&got), rows[i].advice);
		ops_strbuf_done(&got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_advice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
