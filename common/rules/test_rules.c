/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/promql/parse.h"
#include "common/rules/rules.h"

static const struct ops_rule_variable variables[] = {{"RULE_WINDOW", "5m"}, {"RULE_FOR", "3m"}};
static const struct ops_rules_options options = {
	.variables = variables, .nvariables = OPS_LENGTH(variables)};

static int load(struct ops_arena *a, const char *text, struct ops_rule_groups *groups,
	struct ops_error *err)
{
	return ops_rules_load_text(a, "alerts/x.yml", text, strlen(text), &options, groups, err);
}

struct good_case {
	const char *text;
	size_t groups, rules;
	const char *expr, *name, *group, *playbook;
	int64_t for_ms;
};

static const struct good_case good[] = {
	{"dashboard: \"Claims-API\"\nmetric: \"rate(a[${RULE_WINDOW}]) / rate(b[5m])\"\nthreshold: "
	 "0.05\nfor: \"3m\"\n"
	 "alert: \"P1_Claims_Errors\"\nplaybook: \"rollback_and_freeze.sh\"\n",
		1, 1, "(rate(a[5m]) / rate(b[5m])) > 0.05", "P1_Claims_Errors", "x.yml",
		"rollback_and_freeze.sh", 180000},
	{"alert: A\nexpr: up == 0\nfor: ${RULE_FOR}\nlabels: {severity: page}\n", 1, 1, "up == 0",
		"A", "x.yml", NULL, 180000},
	{"- alert: A\n  expr: up == 0\n- record: b\n  expr: sum(up)\n", 1, 2, "up == 0", "A",
		"x.yml", NULL, 0},
	{"groups:\n- name: g\n  labels: {team: a}\n  rules:\n  - record: 'a:b'\n    expr: |\n      "
	 "sum(\n        up)\n",
		1, 1, "sum(up)", "a:b", "g", NULL, 0},
	{"groups:\n- name: g\n- name: h\n  interval: 15s\n  rules: []\n", 2, 0, NULL, NULL, NULL,
		NULL, 0},
	{"groups:\n", 0, 0, NULL, NULL, NULL, NULL, 0},
	{"alert: A\nexpr: 'label_replace(up, \"a\", \"${1}-${other}\", \"b\", \"(.*)\") == 0'\n", 1,
		1, "label_replace(up, \"a\", \"${1}-${other}\", \"b\", \"(.*)\") == 0", "A",
		"x.yml", NULL, 0},
};

static void check_good(const struct good_case *c, const struct ops_rule_groups *groups)
{
	size_t rules = 0;
	for (size_t i = 0; i < groups->n; i++) {
		rules += groups->items[i].n;
	}
	assert_int_equal(groups->n, c->groups);
	assert_int_equal(rules, c->rules);
	if (c->expr == NULL) {
		return;
	}
	const struct ops_rule *r = &groups->items[0].rules[0];
	struct ops_strbuf printed = OPS_STRBUF_INIT;
	ops_promql_print(r->expr, &printed);
	assert_string_equal(printed.data, c->expr);
	ops_strbuf_done(&printed);
	assert_string_equal(r->name, c->name);
	assert_string_equal(groups->items[0].name, c->group);
	assert_int_equal(r->for_ms, c->for_ms);
	if (c->playbook != NULL) {
		assert_string_equal(r->playbook, c->playbook);
	} else {
		assert_null(r->playbook);
	}
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(good); i++) {
		struct ops_arena a;
		struct ops_error err;
		struct ops_rule_groups groups = {NULL, 0, 0};
		ops_arena_init(&a);
		if (load(&a, good[i].text, &groups, &err) != 0) {
			fail_msg("case %zu: %d:%d: %s", i, err.line, err.column, err.message);
		}
		check_good(&good[i], &groups);
		free(groups.items);
		ops_arena_done(&a);
	}
}

static const struct {
	const char *text;
	int line, column;
	const char *part; /* of the message */
} bad[] = {
	{"alert: A\n", 1, 1, "no expr"},
	{"alert: A\nrecord: b\nexpr: up\n", 1, 1, "not both"},
	{"expr: up\n", 1, 1, "alert or record"},
	{"alert: A\nexpr: sum(up\n", 2, 0, "parse error"},
	{"alert: A\nexpr: up ==== 1\n", 2, 0, "parse error"},
	{"alert: A\nexpr: ''\n", 2, 7, "empty"},
	{"alert: A\nexpr: |\n    up ==\n    nofn(1)\n", 4, 5, "nofn"},
	{"alert: A\nexpr: |\n\n  nofn(up)\n", 4, 3, "nofn"},
	{"- alert: A\n  expr: >-\n      nofn(up)\n", 3, 7, "nofn"},
	{"alert: A\nexpr: '-nofn(up)'\n", 2, 9, "nofn"},
	{"alert: A\nexpr: up\nfor: soon\n", 3, 6, "not a duration"},
	{"record: a\nexpr: up\nfor: 1m\n", 3, 6, "recording rule"},
	{"record: a\nexpr: up\nno_data: keep\n", 3, 10, "recording rule"},
	{"alert: A\nexpr: up\nno_data: maybe\n", 3, 10, "none of resolve, keep, fire"},
	{"alert: A\nexpr: up\nfire_after: 3\n", 3, 13, "not N of M"},
	{"alert: A\nexpr: up\nfire_after: 6 of 5\n", 3, 13, "not N of M"},
	{"alert: A\nexpr: up\nfire_after: 6 of 65\n", 3, 13, "not N of M"},
	{"alert: A\nexpr: up\nflapping: often\n", 3, 11, "not N in DURATION"},
	{"alert: A\nexpr: up\nflapping: 1 in 5m\n", 3, 11, "not N in DURATION"},
	{"alert: A\nexpr: up\nresolve_when: 3\n", 3, 15, "compares with a number"},
	{"alert: A\nexpr: up > 5\nresolve_when: 7\n", 3, 15, "wrong side"},
	{"alert: A\nexpr: up < 5\nresolve_when: 3\n", 3, 15, "wrong side"},
	{"alert: A\nexpr: up > 5\nresolve_when: up <\n", 3, 19, "parse error"},
	{"alert: A\nexpr: up > 5\nresolve_when: up[5m]\n", 3, 15, "instant vector"},
	{"record: a\nexpr: up\nannotations: {a: b}\n", 3, 14, "recording rule"},
	{"alert: A\nexpr: up\nlabels: {__name__: x}\n", 3, 10, "invalid name"},
	{"alert: A\nexpr: up\nplaybook: ../x.sh\n", 3, 11, "plain file name"},
	{"alert: A\nmetric: up\nfor: 1m\n", 1, 1, "threshold"},
	{"alert: A\nexpr: up\nseverity: page\n", 3, 1, "severity"},
	{"groups:\n- name: a\n- name: a\n", 3, 3, "repeated"},
	{"groups:\n- rules: []\n", 2, 3, "name"},
	{"groups:\n- name: a\n  rules:\n  - alert: B\n    metric: up\n    threshold: 1\n", 5, 5,
		"metric"},
	{"groups: []\nother: 1\n", 2, 1, "other"},
	{"just text\n", 1, 1, "groups"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		struct ops_arena a;
		struct ops_error err;
		struct ops_rule_groups groups = {NULL, 0, 0};
		ops_arena_init(&a);
		if (load(&a, bad[i].text, &groups, &err) == 0) {
			fail_msg("case %zu passed", i);
		}
		bool column = bad[i].column == 0 || err.column == bad[i].column;
		if (err.line != bad[i].line || !column ||
			strstr(err.message, bad[i].part) == NULL) {
			fail_msg("case %zu: %s:%d:%d: %s", i, err.file, err.line, err.column,
				err.message);
		}
		assert_int_equal(groups.n, 0);
		free(groups.items);
		ops_arena_done(&a);
	}
}

static void test_merged_labels(void **state)
{
	(void)state;
	struct ops_arena a;
	struct ops_error err;
	struct ops_rule_groups groups = {NULL, 0, 0};
	ops_arena_init(&a);
	assert_int_equal(load(&a,
				 "groups:\n- name: g\n  labels: {team: a, x: y}\n  rules:\n  - "
				 "alert: P1_A\n    expr: up\n    labels: {team: b}\n",
				 &groups, &err),
		0);
	const struct ops_rule_pairs *labels = &groups.items[0].rules[0].labels;
	assert_int_equal(labels->n, 2);
	assert_string_equal(labels->items[0].value, "b");
	assert_string_equal(labels->items[1].value, "y");
	free(groups.items);
	ops_arena_done(&a);
}

static void test_policy(void **state)
{
	(void)state;
	static const struct {
		const char *text, *resolve;
	} hysteresis[] = {
		{"alert: A\nexpr: rate(x[5m]) > 5\nresolve_when: 3\n", "(rate(x[5m])) <= 3"},
		{"alert: A\nexpr: (x >= -5)\nresolve_when: -6.5\n", "(x) < -6.5"},
		{"alert: A\nexpr: x < 5\nresolve_when: 5\n", "(x) >= 5"},
		{"alert: A\nmetric: x\nthreshold: 5\nresolve_when: 3\n", "((x)) <= 3"},
		{"alert: A\nexpr: x\nresolve_when: y == 1\n", "y == 1"},
	};
	for (size_t i = 0; i < OPS_LENGTH(hysteresis); i++) {
		struct ops_arena a;
		struct ops_error err;
		struct ops_rule_groups groups = {NULL, 0, 0};
		ops_arena_init(&a);
		if (load(&a, hysteresis[i].text, &groups, &err) != 0) {
			fail_msg("case %zu: %s", i, err.message);
		}
		const struct ops_rule_policy *p = &groups.items[0].rules[0].policy;
		assert_string_equal(p->resolve_text, hysteresis[i].resolve);
		assert_non_null(p->resolve);
		free(groups.items);
		ops_arena_done(&a);
	}
	struct ops_arena a;
	struct ops_error err;
	struct ops_rule_groups groups = {NULL, 0, 0};
	ops_arena_init(&a);
	assert_int_equal(load(&a,
				 "- {alert: A, expr: x, no_data: keep, fire_after: 3 of 5, "
				 "flapping: 2 in 1h}\n"
				 "- {alert: B, expr: x, no_data: fire, flapping: true}\n"
				 "- {alert: C, expr: x, no_data: resolve, flapping: false}\n",
				 &groups, &err),
		0);
	const struct ops_rule *r = groups.items[0].rules;
	assert_int_equal(r[0].policy.no_data, OPS_RULE_NO_DATA_KEEP);
	assert_int_equal(r[0].policy.fire_n, 3);
	assert_int_equal(r[0].policy.fire_m, 5);
	assert_int_equal(r[0].policy.flap_changes, 2);
	assert_int_equal(r[0].policy.flap_within_ms, 3600000);
	assert_int_equal(r[1].policy.no_data, OPS_RULE_NO_DATA_FIRE);
	assert_int_equal(r[1].policy.flap_changes, 4);
	assert_int_equal(r[1].policy.flap_within_ms, 900000);
	assert_int_equal(r[2].policy.flap_changes, 0);
	free(groups.items);
	ops_arena_done(&a);
}

/* As Prometheus: what stands behind --- is not read. */
static void test_first_document(void **state)
{
	(void)state;
	struct ops_arena a;
	struct ops_error err;
	struct ops_rule_groups groups = {NULL, 0, 0};
	ops_arena_init(&a);
	assert_int_equal(
		load(&a, "alert: A\nexpr: up\n---\nalert: B\nexpr: up\n", &groups, &err), 0);
	assert_int_equal(groups.n, 1);
	assert_int_equal(groups.items[0].n, 1);
	free(groups.items);
	ops_arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_merged_labels), cmocka_unit_test(test_policy),
		cmocka_unit_test(test_first_document)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
