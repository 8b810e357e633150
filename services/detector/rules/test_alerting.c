/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules over a real store with a fake clock: what is published, when, and what survives a crash.
 * A "crash" frees nothing through the front door: the state file is what a SIGKILL would leave.
 */
#include "services/detector/rules/test_world.h"

static void test_for_and_resolve(void **state)
{
	(void)state;
	struct world w;
	setup(&w, DOWN_10S);
	step(&w, 1000, "a", 1);
	assert_int_equal(w.n, 0);
	step(&w, 1000, "a", 0);
	int64_t breach = now_ms;
	assert_int_equal(w.n, 1);
	assert_int_equal(w.events[0].status, OPS_ALERT_PENDING);
	assert_int_equal(w.events[0].active_ms, breach);
	step(&w, 9999, "a", 0);
	assert_int_equal(w.n, 1);
	step(&w, 1, "a", 0);
	assert_int_equal(w.n, 2);
	assert_int_equal(w.events[1].status, OPS_ALERT_FIRING);
	assert_int_equal(w.events[1].starts_ms, breach + 10000);
	assert_string_equal(w.events[1].text, "{alertname=\"Down\",instance=\"a\"}");
	step(&w, 5000, "a", 0);
	assert_int_equal(w.n, 2);
	step(&w, 5000, "a", 1);
	assert_int_equal(w.n, 3);
	assert_int_equal(w.events[2].status, OPS_ALERT_RESOLVED);
	assert_int_equal(w.events[2].starts_ms, breach + 10000);
	assert_int_equal(w.events[2].ends_ms, now_ms);
	/* a new episode has a start of its own */
	step(&w, 5000, "a", 0);
	assert_int_equal(w.n, 4);
	assert_int_equal(w.events[3].active_ms, now_ms);
	assert_string_not_equal(w.events[3].id, w.events[0].id);
	teardown(&w);
}

static void test_pending_recovers(void **state)
{
	(void)state;
	struct world w;
	setup(&w, DOWN_10S);
	step(&w, 1000, "a", 0);
	step(&w, 1000, "a", 1);
	assert_int_equal(w.n, 2);
	assert_int_equal(w.events[1].status, OPS_ALERT_RESOLVED);
	assert_int_equal(w.events[1].starts_ms, 0);
	teardown(&w);
}

static void test_keep_firing(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n    "
		  "keep_firing_for: 30s\n");
	step(&w, 1000, "a", 0);
	assert_int_equal(w.events[0].status, OPS_ALERT_FIRING);
	step(&w, 1000, "a", 1);
	step(&w, 29999, "a", 1);
	assert_int_equal(w.n, 1);
	step(&w, 1, "a", 1);
	assert_int_equal(w.n, 2);
	assert_int_equal(w.events[1].status, OPS_ALERT_RESOLVED);
	teardown(&w);
}

static void test_restart_keeps_for(void **state)
{
	(void)state;
	struct world w;
	setup(&w, DOWN_10S);
	step(&w, 1000, "a", 0);
	int64_t breach = now_ms;
	now_ms += 4000;
	crash(&w, DOWN_10S);
	evaluate(&w); /* the store is empty: nothing is resolved for lack of data */
	assert_int_equal(w.events[w.n - 1].status, OPS_ALERT_PENDING);
	step(&w, 6000, "a", 0);
	assert_int_equal(w.events[w.n - 1].status, OPS_ALERT_FIRING);
	assert_int_equal(w.events[w.n - 1].starts_ms, breach + 10000);
	teardown(&w);
}

static void test_restart_resolves(void **state)
{
	(void)state;
	struct world w;
	setup(&w, DOWN_10S);
	step(&w, 1000, "a", 0);
	step(&w, 10000, "a", 0);
	size_t before = w.n;
	assert_int_equal(w.events[before - 1].status, OPS_ALERT_FIRING);
	now_ms += 2000;
	crash(&w, DOWN_10S);
	evaluate(&w);
	/* Not resolved. The last transition may be told once more, under its own id. */
	assert_int_equal(w.n, before + 1);
	assert_int_equal(w.events[before].status, OPS_ALERT_FIRING);
	assert_string_equal(w.events[before].id, w.events[before - 1].id);
	before++;
	/* The ring replays what was scraped meanwhile: the data is back, and says up. */
	struct ops_labels *ls = ops_labels_of("__name__", "up", "instance", "a", NULL);
	assert_int_equal(det_store_append(w.store, ls, now_ms - 1000, 1), 0);
	ops_labels_unref(ls);
	step(&w, 1000, "a", 1);
	assert_int_equal(w.n, before + 1);
	assert_int_equal(w.events[before].status, OPS_ALERT_RESOLVED);
	teardown(&w);
}

static void test_publish_is_repeated(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "alert: Down\nexpr: up == 0\n");
	w.refuse = true;
	step(&w, 1000, "a", 0);
	assert_int_equal(w.n, 0);
	w.refuse = false;
	step(&w, 1000, "a", 0);
	assert_int_equal(w.n, 1);
	/* A crash after publishing and before the next save tells it again, under the same id. */
	char id[37];
	snprintf(id, sizeof(id), "%s", w.events[0].id);
	crash(&w, "alert: Down\nexpr: up == 0\n");
	step(&w, 1000, "a", 0);
	assert_true(w.n <= 2);
	assert_string_equal(w.events[w.n - 1].id, id);
	teardown(&w);
}

static void test_reload(void **state)
{
	(void)state;
	struct world w;
	struct ops_error err;
	setup(&w, DOWN_10S);
	step(&w, 1000, "a", 0);
	int64_t breach = now_ms;
	/* a bad file changes nothing */
	assert_int_not_equal(load_rules(&w, "alert: Down\nexpr: up ==\n", &err), 0);
	assert_int_equal(err.line, 2);
	/* a changed expression keeps `for` */
	assert_int_equal(load_rules(&w, "alert: Down\nexpr: up < 1\nfor: 10s\n", &err), 0);
	step(&w, 10000, "a", 0);
	assert_int_equal(w.events[w.n - 1].status, OPS_ALERT_FIRING);
	assert_int_equal(w.events[w.n - 1].active_ms, breach);
	/* a rule that is gone resolves */
	now_ms += 1000;
	assert_int_equal(load_rules(&w, "alert: Other\nexpr: up == 2\n", &err), 0);
	assert_int_equal(w.events[w.n - 1].status, OPS_ALERT_RESOLVED);
	teardown(&w);
}

static void test_recording_chain(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "groups:\n- name: g\n  rules:\n  - record: job:up:sum\n    expr: sum(up)\n    "
		  "labels: {a: b}\n"
		  "  - alert: Few\n    expr: job:up:sum < 2\n    labels: {n: '{{ $value }}'}\n");
	now_ms += 1000;
	sample(&w, "a", 1);
	sample(&w, "b", 1);
	evaluate(&w);
	assert_true(recorded(&w, "job:up:sum{a=\"b\"}") == 2);
	assert_int_equal(w.n, 0);
	now_ms += 1000;
	sample(&w, "a", 1);
	sample(&w, "b", 0);
	evaluate(&w);
	assert_int_equal(w.n, 1); /* one pass, in order */
	assert_string_equal(w.events[0].text, "{a=\"b\",alertname=\"Few\",n=\"1\"}");
	assert_true(recorded(&w, "ALERTS{alertstate=\"firing\"}") == 1);
	now_ms += 1000;
	sample(&w, "a", 1);
	sample(&w, "b", 1);
	evaluate(&w);
	assert_int_equal(w.n, 2);
	assert_true(recorded(&w, "ALERTS") == -1); /* stale at once */
	teardown(&w);
}

static void test_template_error_is_shown(void **state)
{
	(void)state;
	struct world w;
	struct ops_error err;
	setup(&w, "alert: A\nexpr: up == 0\nannotations: {summary: '{{ query \"sum(\" }}'}\n");
	step(&w, 1000, "a", 0);
	assert_int_equal(w.n, 1);
	const struct det_rule *r = &w.rules->gen->groups[0].rules[0];
	size_t at = 0;
	struct ops_map_entry e;
	assert_true(ops_map_next(r->instances, &at, &e));
	const struct det_instance *a = e.value;
	assert_non_null(
		strstr(ops_labels_get(a->annotations, "summary"), "error expanding template"));
	assert_int_not_equal(
		load_rules(&w, "alert: A\nexpr: up == 0\nannotations: {summary: '{{ nofunc }}'}\n",
			&err),
		0);
	assert_int_equal(err.line, 3);
	teardown(&w);
}

/* A result with the same labels twice is refused whole: no alert moves, and none is resolved. */
static void test_same_labels_change_nothing(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "alert: A\nexpr: up == 0\nlabels: {instance: same}\n");
	step(&w, 1000, "a", 0);
	assert_int_equal(w.n, 1);
	sample(&w, "b", 0);
	step(&w, 1000, "a", 0);
	assert_int_equal(w.n, 1);
	const struct det_rule *r = &w.rules->gen->groups[0].rules[0];
	assert_non_null(strstr(r->error, "same labelset"));
	assert_int_equal(det_rules_firing(w.rules), 1);
	teardown(&w);
}

/* A rule that went while the process was down: its alerts are resolved, once, whatever fails. */
static void test_leftovers(void **state)
{
	(void)state;
	struct world w;
	setup(&w, DOWN_10S);
	step(&w, 1000, "a", 0);
	step(&w, 10000, "a", 0);
	assert_int_equal(w.events[w.n - 1].status, OPS_ALERT_FIRING);
	w.rules->changed = true;
	assert_int_equal(det_state_save(w.rules), 0);
	size_t before = w.n;
	w.refuse = true;
	crash(&w, "alert: Other\nexpr: up == 2\n");
	assert_int_equal(w.n, before);
	assert_true(w.rules->gen->groups[0].untold);
	w.refuse = false;
	int64_t gone = now_ms;
	now_ms += 5000;
	det_group_tell(&w.rules->gen->groups[0]);
	assert_int_equal(w.n, before + 1);
	assert_int_equal(w.events[before].status, OPS_ALERT_RESOLVED);
	assert_int_equal(w.events[before].ends_ms, gone);
	assert_false(w.rules->gen->groups[0].untold);
	/* not again */
	w.rules->changed = true;
	assert_int_equal(det_state_save(w.rules), 0);
	crash(&w, "alert: Other\nexpr: up == 2\n");
	assert_int_equal(w.n, before + 1);
	teardown(&w);
}

/* A restored alert is not fired without data either. */
static void test_restored_waits_for_data(void **state)
{
	(void)state;
	struct world w;
	setup(&w, DOWN_10S);
	step(&w, 1000, "a", 0);
	now_ms += 20000;
	crash(&w, DOWN_10S);
	evaluate(&w);
	assert_int_equal(w.events[w.n - 1].status, OPS_ALERT_PENDING);
	now_ms += 10 * 60 * 1000; /* nobody will ever say: the rule has watched long enough */
	evaluate(&w);
	assert_int_equal(w.events[w.n - 1].status, OPS_ALERT_RESOLVED);
	assert_int_equal(w.events[w.n - 1].starts_ms, 0);
	teardown(&w);
}

/* A rule that fails when its deadline is due must not be due for ever. */
static void test_failure_clears_the_deadline(void **state)
{
	(void)state;
	struct world w;
	setup(&w, "alert: A\nexpr: up == 0\nfor: 10s\nlabels: {instance: same}\n");
	step(&w, 1000, "a", 0);
	struct det_rule *r = &w.rules->gen->groups[0].rules[0];
	assert_int_not_equal(r->deadline_ms, 0);
	now_ms += 10000;
	sample(&w, "b", 0);
	step(&w, 1, "a", 0);
	assert_int_equal(r->failures, 1);
	assert_int_equal(r->deadline_ms, 0);
	assert_int_equal(w.n, 1); /* still pending */
	teardown(&w);
}

/* A text without end is cut to what a message may hold, and the state file can be read again. */
static void test_long_texts_are_cut(void **state)
{
	(void)state;
	struct ops_strbuf rules = OPS_STRBUF_INIT;
	ops_strbuf_adds(&rules, "alert: A\nexpr: up == 0\nannotations:\n  text: 'x");
	for (size_t i = 0; i < 20000; i++) {
		ops_strbuf_adds(&rules, "\xc3\xa9");
	}
	ops_strbuf_adds(&rules, "'\n");
	struct world w;
	setup(&w, rules.data);
	step(&w, 1000, "a", 0);
	assert_int_equal(w.n, 1);
	size_t at = 0;
	struct ops_map_entry e;
	assert_true(ops_map_next(w.rules->gen->groups[0].rules[0].instances, &at, &e));
	const struct det_instance *a = e.value;
	assert_int_equal(strlen(ops_labels_get(a->annotations, "text")), 32 * 1024 - 1);
	w.rules->changed = true;
	assert_int_equal(det_state_save(w.rules), 0);
	crash(&w, rules.data);
	assert_int_equal(det_rules_firing(w.rules), 1);
	teardown(&w);
	ops_strbuf_done(&rules);
}

static const struct det_instance *only_instance(const struct world *w)
{
	size_t at = 0;
	struct ops_map_entry e;
	assert_true(ops_map_next(w->rules->gen->groups[0].rules[0].instances, &at, &e));
	return e.value;
}

#define OUTSIDE "{alertname=\"Down\",instance=\"a\",site=\"lab\"}"
#define INSIDE "{alertname=\"Down\",instance=\"a\"}"
#define TOLD_BY "alert: Down\nexpr: up == 0\nannotations: {at: '{{ $externalLabels.site }}'}\n"

static void assert_labels(const struct ops_labels *ls, const char *want)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_labels_print(ls, &text);
	assert_string_equal(ops_strbuf_text(&text), want);
	ops_strbuf_done(&text);
}

/* External labels are for the world: the bus has them, our series and our API do not. */
static void test_external_labels(void **state)
{
	(void)state;
	struct world w;
	struct ops_labels *site = ops_labels_of("site", "lab", NULL);
	struct ops_labels *outside =
		ops_labels_of("alertname", "Down", "instance", "a", "site", "lab", NULL);
	setup(&w, TOLD_BY);
	w.external = site;
	struct ops_error err;
	assert_int_equal(load_rules(&w, TOLD_BY, &err), 0);
	step(&w, 1000, "a", 0);
	assert_int_equal(w.n, 1);
	assert_string_equal(w.events[0].text, OUTSIDE);
	assert_true(w.events[0].fingerprint == ops_labels_fingerprint(outside));
	assert_labels(only_instance(&w)->labels, INSIDE);
	assert_string_equal(ops_labels_get(only_instance(&w)->annotations, "at"), "lab");
	assert_true(recorded(&w, "ALERTS{instance=\"a\"}") == 1);
	assert_true(recorded(&w, "ALERTS{site=\"lab\"}") == -1);
	/* after a crash it is the same alert, on both sides */
	crash(&w, TOLD_BY);
	assert_labels(only_instance(&w)->labels, INSIDE);
	size_t before = w.n;
	step(&w, 1000, "a", 0);
	assert_true(w.n <= before + 1);
	assert_string_equal(w.events[w.n - 1].id, w.events[0].id);
	step(&w, 1000, "a", 1);
	assert_string_equal(w.events[w.n - 1].text, OUTSIDE);
	assert_int_equal(w.events[w.n - 1].status, OPS_ALERT_RESOLVED);
	teardown(&w);
	ops_labels_unref(outside);
	ops_labels_unref(site);
}

/* What a version wrote that knew an alert only as it is told. */
static void forget_own_labels(const char *state_file)
{
	json_error_t err;
	json_t *doc = json_load_file(state_file, 0, &err), *list, *item;
	const char *key;
	size_t i;
	assert_non_null(doc);
	json_object_foreach(json_object_get(doc, "rules"), key, list)
	{
		json_array_foreach(list, i, item)
		{
			assert_int_equal(json_object_del(item, "own_labels"), 0);
		}
	}
	assert_int_equal(json_dump_file(doc, state_file, 0), 0);
	json_decref(doc);
}

static void test_external_labels_of_an_older_state_file(void **state)
{
	(void)state;
	struct world w;
	struct ops_labels *site = ops_labels_of("site", "lab", NULL);
	struct ops_error err;
	setup(&w, TOLD_BY);
	w.external = site;
	assert_int_equal(load_rules(&w, TOLD_BY, &err), 0);
	step(&w, 1000, "a", 0);
	w.rules->changed = true;
	assert_int_equal(det_state_save(w.rules), 0);
	forget_own_labels(w.state_file);
	crash(&w, TOLD_BY);
	size_t before = w.n;
	step(&w, 1000, "a", 0); /* neither doubled nor resolved */
	assert_int_equal(w.n, before);
	assert_labels(only_instance(&w)->labels, INSIDE);
	step(&w, 1000, "a", 1);
	assert_int_equal(w.n, before + 1);
	assert_string_equal(w.events[before].text, OUTSIDE);
	assert_int_equal(w.events[before].status, OPS_ALERT_RESOLVED);
	teardown(&w);
	ops_labels_unref(site);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_for_and_resolve),
		cmocka_unit_test(test_pending_recovers), cmocka_unit_test(test_keep_firing),
		cmocka_unit_test(test_restart_keeps_for), cmocka_unit_test(test_restart_resolves),
		cmocka_unit_test(test_publish_is_repeated), cmocka_unit_test(test_reload),
		cmocka_unit_test(test_recording_chain),
		cmocka_unit_test(test_template_error_is_shown),
		cmocka_unit_test(test_same_labels_change_nothing), cmocka_unit_test(test_leftovers),
		cmocka_unit_test(test_restored_waits_for_data),
		cmocka_unit_test(test_failure_clears_the_deadline),
		cmocka_unit_test(test_long_texts_are_cut), cmocka_unit_test(test_external_labels),
		cmocka_unit_test(test_external_labels_of_an_older_state_file)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
