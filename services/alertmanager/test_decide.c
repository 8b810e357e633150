/* SPDX-License-Identifier: Apache-2.0 */
/* The decisions, as pure functions: which route, told again or not, what two reports of an alert
 * make, may a silence change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "services/alertmanager/nflog.h"
#include "services/alertmanager/route.h"
#include "services/alertmanager/alert.h"
#include "services/alertmanager/silence.h"

/* ---- routing ---- */

static const char tree[] =
	"route:\n  receiver: root\n  group_by: [alertname]\n  routes:\n"
	"  - match: {team: a}\n    receiver: a\n    continue: true\n"
	"  - match_re: {team: a|b}\n    receiver: ab\n    routes:\n"
	"    - matchers: ['severity=\"critical\"']\n      receiver: ab-critical\n"
	"  - matchers: ['team=\"\"']\n    receiver: nobody\n    group_by: ['...']\n"
	"receivers: [{name: root}, {name: a}, {name: ab}, {name: ab-critical}, {name: nobody}]\n";

static const struct {
	const char *team, *severity, *want;
} routes[] = {
	{"a", "warning", "a ab "},
	{"a", "critical", "a ab-critical "},
	{"b", "critical", "ab-critical "},
	{"b", "info", "ab "},
	{"", "critical", "nobody "},
	{"other", "critical", "root "},
	{"ab", "info", "root "},
};

static void test_routing(void **state)
{
	struct alm_config *cfg = NULL;
	struct ops_error err = {0};
	(void)state;

	assert_int_equal(alm_config_parse("t", tree, strlen(tree), NULL, &cfg, &err), 0);
	for (size_t i = 0; i < OPS_LENGTH(routes); i++) {
		const struct alm_route *hits[ALM_ROUTES_MAX];
		struct ops_labels *ls =
			ops_labels_of("team", routes[i].team, "severity", routes[i].severity, NULL);
		char got[128] = "";
		size_t n = alm_route_match(cfg->route, ls, hits, ALM_ROUTES_MAX);
		for (size_t k = 0; k < n; k++) {
			strncat(got, hits[k]->receiver->name, sizeof got - strlen(got) - 1);
			strncat(got, " ", sizeof got - strlen(got) - 1);
		}
		assert_string_equal(got, routes[i].want);
		ops_labels_unref(ls);
	}
	alm_config_unref(cfg);
}

static void test_group_labels(void **state)
{
	const char *by[] = {"alertname", "missing"};
	struct alm_route r = {.group_by = by, .ngroup_by = 2};
	struct ops_labels *ls = ops_labels_of("alertname", "x", "job", "y", NULL);
	(void)state;

	struct ops_labels *g = alm_route_group_labels(&r, ls);
	assert_int_equal(g->n, 1);
	assert_string_equal(ops_labels_get(g, "alertname"), "x");
	ops_labels_unref(g);
	r.group_by_all = true;
	g = alm_route_group_labels(&r, ls);
	assert_true(ops_labels_equal(g, ls));
	ops_labels_unref(g);
	ops_labels_unref(ls);
}

/* ---- told again or not ---- */

static const struct {
	const char *name;
	bool logged;
	uint64_t was_firing[3], was_resolved[3], firing[3], resolved[3]; /* 0-ended */
	bool send_resolved;
	int64_t ago_ms;
	const char *want;
} tellings[] = {
	{"never told, fires", false, {0}, {0}, {1}, {0}, true, 0, "first"},
	{"never told, over already", false, {0}, {0}, {0}, {1}, true, 0, NULL},
	{"nothing new", true, {1, 2}, {0}, {1, 2}, {0}, true, 10, NULL},
	{"one more fires", true, {1}, {0}, {1, 2}, {0}, true, 10, "new-alerts"},
	{"one less fires", true, {1, 2}, {0}, {1}, {2}, false, 10, NULL},
	{"one is over and they want to know", true, {1, 2}, {0}, {1}, {2}, true, 10, "resolved"},
	{"they know that it is over", true, {1}, {2}, {1}, {2}, true, 10, NULL},
	{"all over", true, {1}, {0}, {0}, {1}, true, 10, "all-resolved"},
	{"all over, log must know", true, {1}, {0}, {0}, {1}, false, 10, "all-resolved"},
	{"came and went between two flushes", true, {0}, {1}, {0}, {2}, true, 10, NULL},
	{"time to repeat", true, {1}, {0}, {1}, {0}, true, 1001, "repeat"},
	{"not yet time to repeat", true, {1}, {0}, {1}, {0}, true, 1000, NULL},
};

static size_t count(const uint64_t *set)
{
	size_t n = 0;
	while (n < 3 && set[n] != 0)
		n++;
	return n;
}

static void test_tellings(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(tellings); i++) {
		uint64_t sets[4][3];
		memcpy(sets[0], tellings[i].was_firing, sizeof sets[0]);
		memcpy(sets[1], tellings[i].was_resolved, sizeof sets[1]);
		memcpy(sets[2], tellings[i].firing, sizeof sets[2]);
		memcpy(sets[3], tellings[i].resolved, sizeof sets[3]);
		const struct alm_nflog_entry last = {.at_ms = 100000 - tellings[i].ago_ms,
			.firing = sets[0],
			.nfiring = count(sets[0]),
			.resolved = sets[1],
			.nresolved = count(sets[1])};
		const struct alm_nflog_entry now = {.at_ms = 100000,
			.firing = sets[2],
			.nfiring = count(sets[2]),
			.resolved = sets[3],
			.nresolved = count(sets[3])};
		const char *why = alm_nflog_needed(
			tellings[i].logged ? &last : NULL, &now, tellings[i].send_resolved, 1000);
		if ((why == NULL) != (tellings[i].want == NULL) ||
			(why != NULL && strcmp(why, tellings[i].want) != 0))
			fail_msg("%s: %s", tellings[i].name, why != NULL ? why : "no");
	}
}

/* ---- two reports ---- */

static struct alm_alert *report(int64_t starts_ms, int64_t ends_ms, bool timeout)
{
	struct alm_alert *a = alm_alert_new(ops_labels_of("alertname", "x", NULL), NULL);
	a->starts_at_ms = starts_ms;
	a->ends_at_ms = ends_ms;
	a->timeout = timeout;
	return a;
}

static const struct {
	const char *name;
	int64_t starts, ends;
	bool timeout;
	int64_t fresh_starts, fresh_ends;
	bool fresh_timeout;
	int64_t want_starts, want_ends;
} merges[] = {
	/* the clock says 1000 */
	{"repeat moves the guessed end", 500, 1100, true, 900, 1300, true, 500, 1300},
	{"told to be over", 500, 1100, true, 500, 1000, false, 500, 1000},
	{"over, from an open end", 500, 0, false, 500, 990, false, 500, 990},
	{"explicit later end stays against a guess", 500, 2000, false, 600, 1300, true, 500, 2000},
	{"fires again after its end", 100, 200, false, 900, 0, false, 900, 0},
	{"open end again", 500, 0, false, 500, 0, false, 500, 0},
	{"both over, the later end", 500, 700, false, 500, 600, false, 500, 700},
};

static void test_merges(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(merges); i++) {
		struct alm_alert *a = report(merges[i].starts, merges[i].ends, merges[i].timeout);
		a->groups = 3;
		alm_alert_merge(a,
			report(merges[i].fresh_starts, merges[i].fresh_ends,
				merges[i].fresh_timeout),
			1000);
		if (a->starts_at_ms != merges[i].want_starts ||
			a->ends_at_ms != merges[i].want_ends || a->groups != 3)
			fail_msg("%s: %lld-%lld", merges[i].name, (long long)a->starts_at_ms,
				(long long)a->ends_at_ms);
		alm_alert_free(a);
	}
}

static void test_alert_json_keeps_everything(void **state)
{
	struct alm_alert *a = report(5, 6, true), *b = NULL;
	(void)state;
	a->annotations = ops_labels_of("summary", "x", "playbook", "run.sh", NULL);
	a->has_value = true;
	a->value = 0.1 + 0.2;
	a->generator_url = ops_xstrdup("http://g");
	OPS_JSON_AUTO *j = alm_alert_to_json(a);
	assert_int_equal(alm_alert_from_json(j, &b), 0);
	assert_true(b->fingerprint == a->fingerprint && b->starts_at_ms == 5 &&
		    b->ends_at_ms == 6 && b->timeout);
	assert_memory_equal(&a->value, &b->value, sizeof a->value);
	assert_string_equal(alm_alert_playbook(b), "run.sh");
	assert_string_equal(b->generator_url, "http://g");
	alm_alert_free(a);
	alm_alert_free(b);
}

/* ---- silences ---- */

static struct alm_silence *silence(const char *value, int64_t starts_ms, int64_t ends_ms)
{
	struct alm_silence *s = alm_silence_new();
	assert_int_equal(ops_matchers_add(&s->matchers, OPS_MATCH_EQ, "a", value, NULL), 0);
	s->starts_at_ms = starts_ms;
	s->ends_at_ms = ends_ms;
	return s;
}

static const struct {
	int64_t starts, ends;
	const char *value;
	int64_t new_starts, new_ends;
	bool want;
} updates[] = {
	/* the clock says 100000 */
	{50000, 200000, "b", 50000, 300000, true}, /* active: its end may move */
	{50000, 200000, "b", 50000, 90000, false}, /* but not into the past */
	{50000, 200000, "b", 60000, 300000, false},
	{50000, 200000, "c", 50000, 300000, false},  /* other matchers: another silence */
	{150000, 200000, "b", 120000, 130000, true}, /* pending: all may move */
	{150000, 200000, "b", 90000, 130000, false},
	{10000, 20000, "b", 10000, 300000, false}, /* expired: history */
};

static void test_silence_updates(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(updates); i++) {
		struct alm_silence *old = silence("b", updates[i].starts, updates[i].ends);
		struct alm_silence *fresh =
			silence(updates[i].value, updates[i].new_starts, updates[i].new_ends);
		assert_int_equal(alm_silence_can_update(old, fresh, 100000), updates[i].want);
		alm_silence_free(old);
		alm_silence_free(fresh);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routing),
		cmocka_unit_test(test_group_labels),
		cmocka_unit_test(test_tellings),
		cmocka_unit_test(test_merges),
		cmocka_unit_test(test_alert_json_keeps_everything),
		cmocka_unit_test(test_silence_updates),
	};
	return cmocka_run_group_tests_name("alertmanager_decide", tests, NULL, NULL);
}
