/* SPDX-License-Identifier: Apache-2.0 */
/* Test files of rules: what passes, how a failure reads, what is refused and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/test_tempdir.h"
#include "common/log/log.h"
#include "services/detector/ruletest/internal.h"

static char *dir, *test_path, *rules_path;

static int setup(void **state)
{
	(void)state;
	ops_log_set_level(OPS_LOG_ERROR);
	dir = tempdir_make();
	test_path = ops_path_join(dir, "t.yml");
	rules_path = ops_path_join(dir, "r.yml");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tempdir_remove(dir);
	free(test_path);
	free(rules_path);
	return 0;
}

static const char default_rules[] =
	"groups:\n"
	"- name: b\n"
	"  rules:\n"
	"  - record: doubled\n"
	"    expr: made * 2\n"
	"- name: a\n"
	"  rules:\n"
	"  - record: made\n"
	"    expr: sum(x)\n"
	"  - alert: High\n"
	"    expr: x > 5\n"
	"    for: 2m\n"
	"    resolve_when: 3\n"
	"    labels: {team: '{{ $externalLabels.team }}'}\n"
	"    annotations: {summary: 'x is {{ $value }}, {{ externalURL }}'}\n";

static int run_with(
	const char *rules, const char *test, struct det_ruletest_report *ret, struct ops_error *err)
{
	const struct det_ruletest_options options = {.run = NULL};
	assert_int_equal(ops_file_write_atomic(rules_path, rules, strlen(rules), 0600), 0);
	assert_int_equal(ops_file_write_atomic(test_path, test, strlen(test), 0600), 0);
	return det_ruletest_run(test_path, &options, ret, err);
}

#define INPUT                                                                                      \
	"rule_files: [r.yml]\n"                                                                    \
	"group_eval_order: [a, b]\n"                                                               \
	"tests:\n"                                                                                 \
	"- name: one\n"                                                                            \
	"  interval: 1m\n"                                                                         \
	"  external_labels: {team: blue}\n"                                                        \
	"  external_url: http://tower.example\n"                                                   \
	"  input_series: [{series: 'x{i=\"1\"}', values: '1 6 6 6 4 3 _ 2'}]\n"

static void test_passes(void **state)
{
	(void)state;
	struct det_ruletest_report r;
	struct ops_error err;
	int rc = run_with(default_rules,
		INPUT
		"  alert_rule_test:\n"
		"  - {eval_time: 2m, alertname: High}\n"
		"  - eval_time: 3m\n"
		"    alertname: High\n"
		"    exp_alerts:\n"
		"    - exp_labels: {i: '1', team: blue}\n"
		"      exp_annotations: {summary: 'x is 6, http://tower.example'}\n"
		"  - eval_time: 4m30s\n"
		"    alertname: High\n"
		"    exp_alerts: [{exp_labels: {i: '1', team: blue},\n"
		"      exp_annotations: {summary: 'x is 6, http://tower.example'}}]\n"
		"  - {eval_time: 5m, alertname: High, exp_alerts: []}\n"
		"  promql_expr_test:\n"
		"  - {expr: doubled, eval_time: 1m, exp_samples: [{labels: doubled, value: 12}]}\n"
		"  - {expr: 1 + 1, eval_time: 0, exp_samples: [{value: 2}]}\n"
		"  - {expr: x / 0 * 0, eval_time: 1m, exp_samples: [{labels: '{i=\"1\"}', value: "
		".nan}]}\n"
		"  - {expr: time(), eval_time: 7m, exp_samples: [{value: 420}]}\n",
		&r, &err);
	if (rc != 0) {
		fail_msg("%s", rc < 0 ? err.message : r.cases[0].failures[0]);
	}
	assert_int_equal(r.n, 1);
	assert_string_equal(r.cases[0].name, "one");
	det_ruletest_report_done(&r);
}

static void test_fails(void **state)
{
	(void)state;
	struct det_ruletest_report r;
	struct ops_error err;
	assert_int_equal(
		run_with(default_rules,
			INPUT
			"  alert_rule_test:\n"
			"  - {eval_time: 3m, alertname: High, exp_alerts: [{exp_labels: {i: "
			"'2'}}]}\n"
			"  promql_expr_test:\n"
			"  - {expr: doubled, eval_time: 1m, exp_samples: [{labels: doubled, value: "
			"61}]}\n"
			"  - {expr: 'x[5m]', eval_time: 1m}\n"
			"  - {expr: 'x +', eval_time: 1m}\n",
			&r, &err),
		1);
	assert_int_equal(r.cases[0].n, 4);
	assert_string_equal(r.cases[0].failures[0],
		"    name: one,\n"
		"    alertname: High, time: 3m, \n"
		"        exp:[\n"
		"            0:\n"
		"              Labels:{alertname=\"High\", i=\"2\"}\n"
		"              Annotations:{}\n"
		"            ], \n"
		"        got:[\n"
		"            0:\n"
		"              Labels:{alertname=\"High\", i=\"1\", team=\"blue\"}\n"
		"              Annotations:{summary=\"x is 6, http://tower.example\"}\n"
		"            ]");
	assert_string_equal(r.cases[0].failures[1], "    expr: \"doubled\", time: 1m,\n"
						    "        exp: {__name__=\"doubled\"} 6.1E+01\n"
						    "        got: {__name__=\"doubled\"} 1.2E+01");
	assert_non_null(strstr(r.cases[0].failures[2], "err: result is not a vector or scalar"));
	assert_non_null(strstr(r.cases[0].failures[3], "parse error"));
	det_ruletest_report_done(&r);
}

#define HISTOGRAM_TEST(count)                                                                      \
	"rule_files: [r.yml]\n"                                                                    \
	"tests:\n"                                                                                 \
	"- interval: 1m\n"                                                                         \
	"  input_series:\n"                                                                        \
	"  - series: h\n"                                                                          \
	"    values: '{{sum:3 count:2 buckets:[2]}}+{{sum:1 count:1 buckets:[1]}}x3'\n"            \
	"  promql_expr_test:\n"                                                                    \
	"  - expr: kept\n"                                                                         \
	"    eval_time: 2m\n"                                                                      \
	"    exp_samples:\n"                                                                       \
	"    - labels: kept\n"                                                                     \
	"      histogram: '{{count:" count " sum:5 buckets:[4] counter_reset_hint:not_reset}}'\n"

static void test_histograms(void **state)
{
	(void)state;
	struct det_ruletest_report r;
	struct ops_error err;
	int rc = run_with("record: kept\nexpr: h\n", HISTOGRAM_TEST("4"), &r, &err);
	if (rc != 0) {
		fail_msg("%s", rc < 0 ? err.message : r.cases[0].failures[0]);
	}
	det_ruletest_report_done(&r);
	assert_int_equal(run_with("record: kept\nexpr: h\n", HISTOGRAM_TEST("5"), &r, &err), 1);
	assert_non_null(strstr(r.cases[0].failures[0], "got: {__name__=\"kept\"} {{"));
	det_ruletest_report_done(&r);
}

/* A rule that cannot be evaluated ends the test. */
static void test_rule_error(void **state)
{
	(void)state;
	struct det_ruletest_report r;
	struct ops_error err;
	assert_int_equal(run_with("record: y\nexpr: x + on () group_left () x\n",
				 "rule_files: [r.yml]\ntests:\n- interval: 1m\n  input_series:\n"
				 "  - {series: 'x{i=\"1\"}', values: 1x5}\n"
				 "  - {series: 'x{i=\"2\"}', values: 1x5}\n"
				 "  promql_expr_test: [{expr: y, eval_time: 5m}]\n",
				 &r, &err),
		1);
	assert_int_equal(r.cases[0].n, 1);
	assert_non_null(strstr(r.cases[0].failures[0], "rule: y, time: 0s, err: "));
	det_ruletest_report_done(&r);
}

static const struct {
	const char *text, *part;
	int line, column;
} wrong[] = {
	{"tests: 5\n", "tests must be a list", 1, 8},
	{"other: 5\n", "other", 1, 1},
	{"group_eval_order: [a, b, a]\n", "repeated in evaluation order: a", 1, 19},
	{"evaluation_interval: soon\n", "duration", 1, 22},
	{"tests:\n- input_series:\n  - {series: 'x{', values: 1}\n", "x{", 3, 5},
	{"tests:\n- input_series:\n  - {series: x, values: 1+}\n", "1+", 3, 5},
	{"tests:\n- alert_rule_test:\n  - {eval_time: 1m}\n", "alertname", 3, 5},
	{"tests:\n- alert_rule_test:\n  - {alertname: '', eval_time: 1m}\n", "alertname is empty",
		3, 5},
	{"tests:\n- promql_expr_test:\n  - {expr: x, exp_samples: [{labels: 'x{a='}]}\n", "x{a=", 3,
		29},
	{"tests:\n- promql_expr_test:\n  - {expr: x, exp_samples: [{histogram: '5'}]}\n",
		"not one histogram", 3, 29},
	{"tests:\n- promql_expr_test:\n  - {expr: x, exp_samples: [{value: many}]}\n", "a number",
		3, 37},
	{"tests:\n- start_timestamp: yesterday\n", "start_timestamp", 2, 20},
	{"tests:\n- promql_expr_test: [{expr: x, eval_time: 100y}]\n", "evaluations", 2, 3},
	{"rule_files: [r.yml]\ntests: [{name: x}]\n", "parse error", 2, 9},
};

static void test_wrong(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(wrong); i++) {
		struct det_ruletest_report r;
		struct ops_error err = {.line = 0};
		if (run_with("record: y\nexpr: x +\n", wrong[i].text, &r, &err) >= 0) {
			fail_msg("case %zu passed", i);
		}
		bool last = i == OPS_LENGTH(wrong) - 1; /* the rule file's own mistake */
		if (strstr(err.message, wrong[i].part) == NULL || err.line != wrong[i].line ||
			(!last && err.column != wrong[i].column)) {
			fail_msg("case %zu: %d:%d: %s", i, err.line, err.column, err.message);
		}
		det_ruletest_report_done(&r);
	}
}

static void test_missing_files_warn(void **state)
{
	(void)state;
	struct det_ruletest_report r;
	struct ops_error err;
	assert_int_equal(run_with("[]", "rule_files: ['none*.yml']\ntests: []\n", &r, &err), 0);
	assert_int_equal(r.nwarnings, 1);
	det_ruletest_report_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes),
		cmocka_unit_test(test_fails), cmocka_unit_test(test_histograms),
		cmocka_unit_test(test_rule_error), cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_missing_files_warn)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
