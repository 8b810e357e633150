/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that Prometheus does not have: missing data, hysteresis, N of M, flapping, dead rules.
 */
#include "services/detector/rules/test_world.h"

static int last_status(const struct world *w)
{
	return w->n > 0 ? (int)w->events[w->n - 1].status : -1;
}

static void gone(struct world *w, const char *instance)
{
	sample(w, instance, ops_stale_nan());
}

/* The collectors' rings bring back what was before a crash. */
static void replay(struct world *w, const char *instance, double v)
{
	struct ops_labels *ls = ops_labels_of("__name__", "up", "instance", instance, NULL);
	assert_int_equal(det_store_append(w->store, ls, now_ms - 1000, v), 0);
	ops_labels_unref(ls);
}

static void test_no_data_resolve(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "alert: A\nexpr: up == 0\n");
	step(&w, 1000, "a", 0);
	now_ms += 1000;
	gone(&w, "a");
	evaluate(&w);
	assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	teardown(&w);
}

static void test_no_data_keep(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "alert: A\nexpr: up == 0\nfor: 10s\nno_data: keep\n");
	step(&w, 1000, "a", 0);
	step(&w, 1000, "b", 0);
	step(&w, 9000, "a", 0);
	assert_int_equal(w.n, 3); /* a fires, b is pending */
	now_ms += 500;
	gone(&w, "a");
	gone(&w, "b");
	evaluate(&w);
	now_ms += 60000;
	evaluate(&w);
	assert_int_equal(w.n, 3); /* neither resolved nor fired: as they were */
	/* what survives a crash knows whose data it misses */
	crash(&w, "alert: A\nexpr: up == 0\nfor: 10s\nno_data: keep\n");
	now_ms += 10 * 60 * 1000;
	sample(&w, "c", 1); /* another's data is not its data */
	evaluate(&w);
	assert_int_equal(det_rules_firing(w.rules), 1);
	sample(&w, "a", 1);
	now_ms += 1000;
	evaluate(&w);
	assert_int_equal(det_rules_firing(w.rules), 0);
	assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	teardown(&w);
}

static void test_no_data_fire(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "alert: A\nexpr: up == 0\nfor: 10s\nno_data: fire\nlabels: {team: x}\n");
	step(&w, 1000, "a", 1);
	assert_int_equal(w.n, 0);
	now_ms += 1000;
	gone(&w, "a");
	evaluate(&w);
	assert_int_equal(w.n, 0); /* not before it has watched for as long as the rule looks back */
	now_ms += 300000;
	evaluate(&w);
	assert_int_equal(last_status(&w), OPS_ALERT_PENDING);
	assert_string_equal(w.events[0].text, "{alertname=\"A\",team=\"x\"}");
	now_ms += 10000;
	evaluate(&w);
	assert_int_equal(last_status(&w), OPS_ALERT_FIRING);
	step(&w, 1000, "a", 1);
	assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	/* an alert whose data goes away counts on */
	step(&w, 1000, "a", 0);
	assert_int_equal(last_status(&w), OPS_ALERT_PENDING);
	now_ms += 10000;
	gone(&w, "a");
	evaluate(&w);
	assert_int_equal(last_status(&w), OPS_ALERT_FIRING);
	assert_string_equal(w.events[w.n - 1].text, "{alertname=\"A\",instance=\"a\",team=\"x\"}");
	teardown(&w);
}

/* Which selectors of an expression must have data. */
static void test_what_is_missing(void **state)
{
	(void)state;
	static const struct {
		const char *expr;
		bool missing;
	} cases[] = {
		{"up == 0", false},
		{"none == 0", true},
		{"up / none > 1", true},
		{"up unless none", false},
		{"up or none", false},
		{"none or up", false},
		{"none or none2", true},
		{"absent(none)", false},
		{"up == 0 and absent_over_time(none[5m])", false},
		{"sum(rate(up[5m])) > 1", false},
		{"sum(rate(none[5m])) > 1", true},
		{"vector(1)", false},
		{"up{instance=\"b\"} > 1", true},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct world w;
		char text[256];
		snprintf(
			text, sizeof(text), "alert: A\nexpr: '%s'\nno_data: keep\n", cases[i].expr);
		setup(&w, text);
		now_ms += 1000;
		sample(&w, "a", 1);
		const struct det_rule *r = &w.rules->gen->groups[0].rules[0];
		if (det_policy_missing(r, NULL, now_ms) != cases[i].missing) {
			fail_msg("%s", cases[i].expr);
		}
		teardown(&w);
	}
}

static void test_resolve_when(void **state)
{
	(void)state;
	struct world w;
	const char *rules = "alert: A\nexpr: up > 5\nresolve_when: 3\n";
	setup(&w, rules);
	step(&w, 1000, "a", 6);
	sample(&w, "b", 7);
	step(&w, 1000, "a", 4);
	assert_int_equal(w.n, 2);
	assert_int_equal(det_rules_firing(w.rules), 2);
	crash(&w, rules);
	now_ms += 600000;
	sample(&w, "b", 4);
	step(&w, 1000, "a", 4);
	assert_int_equal(det_rules_firing(w.rules), 2);
	sample(&w, "b", 3);
	step(&w, 1000, "a", 4);
	assert_int_equal(det_rules_firing(w.rules), 1);
	assert_string_equal(w.events[w.n - 1].text, "{alertname=\"A\",instance=\"b\"}");
	/* in between it does not begin */
	step(&w, 1000, "b", 4);
	assert_int_equal(det_rules_firing(w.rules), 1);
	teardown(&w);
}

/* An expression without labels recovers all of them. */
static void test_resolve_when_expression(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "alert: A\nexpr: up > 5\nresolve_when: sum(up) < 2\n");
	now_ms += 1000;
	sample(&w, "a", 6);
	sample(&w, "b", 6);
	evaluate(&w);
	now_ms += 500;
	sample(&w, "b", 1);
	step(&w, 1000, "a", 1);
	assert_int_equal(det_rules_firing(w.rules), 2);
	step(&w, 1000, "a", 0);
	assert_int_equal(det_rules_firing(w.rules), 0);
	teardown(&w);
}

static void test_fire_after(void **state)
{
	(void)state;
	struct world w;
	const char *rules = "alert: A\nexpr: up == 0\nfire_after: 3 of 5\n";
	setup(&w, rules);
	static const double values[] = {0, 1, 0, 1, 0};
	for (size_t i = 0; i < OPS_LENGTH(values); i++) {
		assert_int_equal(det_rules_firing(w.rules), 0);
		step(&w, 1000, "a", values[i]);
		if (i == 1) {
			crash(&w, rules); /* the window survives */
			sample(&w, "a", 1);
		}
	}
	assert_int_equal(last_status(&w), OPS_ALERT_FIRING);
	step(&w, 1000, "a", 1); /* 1 0 1 0 1: two of five */
	assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	/* one breach alone is forgotten after five evaluations */
	for (size_t i = 0; i < 5; i++) {
		step(&w, 1000, "a", 1);
	}
	step(&w, 1000, "a", 0);
	assert_int_equal(last_status(&w), OPS_ALERT_PENDING);
	for (size_t i = 0; i < 4; i++) {
		step(&w, 1000, "a", 1);
		assert_int_equal(last_status(&w), OPS_ALERT_PENDING);
	}
	step(&w, 1000, "a", 1);
	assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	teardown(&w);
}

static void test_flapping(void **state)
{
	(void)state;
	struct world w;
	const char *rules = "alert: A\nexpr: up == 0\nflapping: 3 in 1m\n";
	setup(&w, rules);
	for (size_t i = 0; i < 2; i++) {
		step(&w, 1000, "a", 0);
		assert_string_equal(w.events[w.n - 1].flapping, "");
		step(&w, 1000, "a", 1);
		assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	}
	step(&w, 1000, "a", 0);
	assert_int_equal(w.n, 5);
	assert_int_equal(last_status(&w), OPS_ALERT_FIRING);
	assert_string_equal(w.events[4].flapping, "fired 3 times within 1m");
	/* one alert, whatever it does, and over a crash */
	for (size_t i = 0; i < 5; i++) {
		step(&w, 1000, "a", 1);
		step(&w, 1000, "a", 0);
	}
	assert_int_equal(w.n, 5);
	crash(&w, rules);
	replay(&w, "a", 0);
	step(&w, 1000, "a", 1);
	assert_int_equal(det_rules_firing(w.rules), 1);
	step(&w, 58000, "a", 1);
	assert_int_equal(det_rules_firing(w.rules), 1);
	/* calm for a minute: over, and the count begins anew */
	step(&w, 1000, "a", 1);
	assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	step(&w, 1000, "a", 0);
	assert_int_equal(last_status(&w), OPS_ALERT_FIRING);
	assert_string_equal(w.events[w.n - 1].flapping, "");
	teardown(&w);
}

static void test_slow_changes_are_no_flapping(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "alert: A\nexpr: up == 0\nflapping: 3 in 1m\n");
	for (size_t i = 0; i < 10; i++) {
		step(&w, 30000, "a", 0);
		step(&w, 10000, "a", 1);
		assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	}
	assert_int_equal(w.n, 20);
	teardown(&w);
}

static void test_dead_rules(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "- {alert: Alive, expr: up == 0}\n"
		  "- {alert: Dead, expr: up == 0 and none > 1}\n"
		  "- {alert: Absent, expr: absent(none)}\n"
		  "- {alert: Own, expr: 'ALERTS{alertname=\"X\"}'}\n"
		  "- {alert: Resolve, expr: up > 5, resolve_when: none2 > 1}\n");
	step(&w, 1000, "a", 1);
	assert_int_equal(det_rules_dead(w.rules), 2);
	const struct det_rule *rules = w.rules->gen->groups[0].rules;
	assert_true(det_dead_rule(&rules[1]) && det_dead_rule(&rules[4]));
	struct ops_strbuf out = OPS_STRBUF_INIT;
	det_dead_json(&rules[1], &out);
	assert_string_equal(
		out.data, "[{\"selector\":\"none\",\"since\":\"2023-11-14T22:13:21.000Z\"}]");
	ops_strbuf_done(&out);
	struct ops_labels *ls = ops_labels_of("__name__", "none", NULL);
	assert_int_equal(det_store_append(w.store, ls, now_ms, 1), 0);
	ops_labels_unref(ls);
	step(&w, 1000, "a", 1);
	assert_int_equal(det_rules_dead(w.rules), 1);
	/* what is well is not looked at all the time */
	now_ms += 50000;
	step(&w, 1000, "a", ops_stale_nan());
	assert_int_equal(det_rules_dead(w.rules), 1);
	teardown(&w);
}

/* keep_firing_for goes on where it was, and is told to be over after a crash. */
static void test_keep_firing_survives(void **state)
{
	(void)state;
	struct world w;
	const char *rules = "alert: A\nexpr: up == 0\nkeep_firing_for: 1m\n";
	setup(&w, rules);
	step(&w, 1000, "a", 0);
	step(&w, 1000, "a", 1);
	int64_t over = now_ms + 60000;
	now_ms += 30000;
	crash(&w, rules);
	replay(&w, "a", 1);
	step(&w, 1000, "a", 1);
	assert_int_equal(det_rules_firing(w.rules), 1);
	step(&w, over - now_ms - 1, "a", 1);
	assert_int_equal(det_rules_firing(w.rules), 1);
	step(&w, 1, "a", 1);
	assert_int_equal(last_status(&w), OPS_ALERT_RESOLVED);
	assert_int_equal(w.events[w.n - 1].ends_ms, over);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_data_resolve),
		cmocka_unit_test(test_no_data_keep), cmocka_unit_test(test_no_data_fire),
		cmocka_unit_test(test_what_is_missing), cmocka_unit_test(test_resolve_when),
		cmocka_unit_test(test_resolve_when_expression), cmocka_unit_test(test_fire_after),
		cmocka_unit_test(test_flapping),
		cmocka_unit_test(test_slow_changes_are_no_flapping),
		cmocka_unit_test(test_dead_rules), cmocka_unit_test(test_keep_firing_survives)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
