/* SPDX-License-Identifier: Apache-2.0 */
/* The decision as a table: records in force, a question, the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "services/freeze/record.h"

static struct frz_record *record(const char *json)
{
	struct ops_error err;
	json_t *doc = NULL;
	struct frz_record *r = NULL;
	assert_int_equal(ops_json_parse(json, strlen(json), 65536, &doc, &err), 0);
	int rc = frz_record_from_json(doc, &r, &err);
	json_decref(doc);
	if (rc != 0) {
		print_message("%s: %s\n", json, err.message);
	}
	assert_int_equal(rc, 0);
	return r;
}

#define MANUAL                                                                                     \
	"{\"scope\":\"claims\",\"reason\":\"audit "                                                \
	"week\",\"actor\":\"ann\",\"since\":\"2026-11-20T00:00:00Z\"}"
#define ALERT                                                                                      \
	"{\"scope\":\"claims\",\"reason\":\"P1\",\"source\":\"alert\",\"alert\":"                  \
	"\"00000000000000aa\","                                                                    \
	"\"since\":\"2026-11-20T00:00:00Z\",\"until\":\"2026-11-20T04:00:00Z\"}"
#define ALL "{\"scope\":\"*\",\"reason\":\"election day\",\"since\":\"2026-11-21T00:00:00Z\"}"
#define CLEARED                                                                                    \
	"{\"scope\":\"claims\",\"reason\":\"x\",\"since\":\"2026-11-20T00:00:00Z\",\"cleared_"     \
	"at\":\"2026-11-20T01:00:00Z\"}"

struct decision_case {
	const char *records[3];
	const char *scope;
	enum frz_action action;
	const char *at;
	enum frz_decision want;
	size_t matches;
};

static const struct decision_case decisions[] = {
	{{NULL}, "claims", FRZ_DEPLOY, "2026-11-20T01:00:00Z", FRZ_OPEN, 0},
	{{MANUAL}, "claims", FRZ_DEPLOY, "2026-11-20T01:00:00Z", FRZ_FROZEN, 1},
	{{MANUAL}, "claims", FRZ_ROLLBACK, "2026-11-20T01:00:00Z", FRZ_FROZEN, 1},
	{{MANUAL}, "claims", FRZ_DEPLOY, "2026-11-19T23:59:59Z", FRZ_OPEN, 0},
	{{MANUAL}, "claims/api", FRZ_DEPLOY, "2026-11-20T01:00:00Z", FRZ_FROZEN, 1},
	{{MANUAL}, "claimsx", FRZ_DEPLOY, "2026-11-20T01:00:00Z", FRZ_OPEN, 0},
	{{MANUAL}, "refund", FRZ_DEPLOY, "2026-11-20T01:00:00Z", FRZ_OPEN, 0},
	{{ALERT}, "claims", FRZ_DEPLOY, "2026-11-20T03:59:59Z", FRZ_FROZEN, 1},
	{{ALERT}, "claims", FRZ_ROLLBACK, "2026-11-20T03:59:59Z", FRZ_OPEN, 0},
	{{ALERT}, "claims", FRZ_DEPLOY, "2026-11-20T04:00:00Z", FRZ_OPEN, 0},
	{{ALERT, MANUAL}, "claims", FRZ_DEPLOY, "2026-11-20T01:00:00Z", FRZ_FROZEN, 2},
	{{ALL}, "refund", FRZ_DEPLOY, "2026-11-21T12:00:00Z", FRZ_FROZEN, 1},
	{{ALL, MANUAL}, "claims", FRZ_DEPLOY, "2026-11-21T12:00:00Z", FRZ_FROZEN, 2},
	{{CLEARED}, "claims", FRZ_DEPLOY, "2026-11-20T00:30:00Z", FRZ_OPEN, 0},
};

static void test_decisions(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(decisions); i++) {
		const struct decision_case *c = &decisions[i];
		struct frz_set set = {NULL, 0, 0};
		for (size_t k = 0; k < OPS_LENGTH(c->records) && c->records[k] != NULL; k++) {
			frz_set_add(&set, record(c->records[k]));
		}
		struct frz_request req = {c->scope, c->action, 0};
		assert_int_equal(ops_time_parse(c->at, strlen(c->at), &req.at_ms), 0);
		const struct frz_record *matches[1];
		size_t n = 99;
		enum frz_decision got = frz_evaluate(&set, &req, matches, 1, &n);
		if (got != c->want || n != c->matches) {
			fail_msg("case %zu: got %d with %zu matches", i, (int)got, n);
		}
		frz_set_done(&set);
	}
}

static void test_scopes(void **state)
{
	(void)state;
	static const char *const good[] = {"claims", "*", "claims/api", "a.b_c-d", "9"};
	static const char *const bad[] = {"", "/", "a/", "/a", "a//b", "..", "a/../b", ".flag",
		"-x", "a b", "a*", "ü", "a%b"};
	for (size_t i = 0; i < OPS_LENGTH(good); i++) {
		assert_true(frz_scope_valid(good[i]));
	}
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		if (frz_scope_valid(bad[i])) {
			fail_msg("'%s' passed", bad[i]);
		}
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {"[]", "{}", "{\"scope\":\"claims\"}",
		"{\"scope\":\"claims\",\"reason\":\"\"}", "{\"scope\":\"..\",\"reason\":\"x\"}",
		"{\"scope\":\"a\",\"reason\":\"x\",\"source\":\"nobody\"}",
		"{\"scope\":\"a\",\"reason\":\"x\",\"since\":\"2026-11-20T00:00:00Z\",\"until\":"
		"\"2026-11-20T00:00:00Z\"}",
		"{\"scope\":\"a\",\"reason\":\"x\",\"id\":\"short\"}",
		"{\"scope\":\"a\",\"reason\":7}"};
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		struct ops_error err;
		json_t *doc = NULL;
		struct frz_record *r = NULL;
		assert_int_equal(ops_json_parse(bad[i], strlen(bad[i]), 65536, &doc, &err), 0);
		if (frz_record_from_json(doc, &r, &err) == 0) {
			fail_msg("%s passed", bad[i]);
		}
		assert_true(err.message[0] != '\0');
		json_decref(doc);
	}
}

static void test_round_trip(void **state)
{
	(void)state;
	struct frz_record *r = record(ALERT);
	json_t *j = frz_record_to_json(r);
	struct frz_record *again = NULL;
	struct ops_error err;
	assert_int_equal(frz_record_from_json(j, &again, &err), 0);
	json_t *k = frz_record_to_json(again);
	assert_true(json_equal(j, k));
	json_decref(j);
	json_decref(k);
	frz_record_free(r);
	frz_record_free(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_decisions),
		cmocka_unit_test(test_scopes), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_round_trip)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
