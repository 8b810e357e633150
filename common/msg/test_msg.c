/* SPDX-License-Identifier: Apache-2.0 */
#include "common/msg/msg.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define UUID "123e4567-e89b-42d3-a456-426614174000"
#define WHEN 1795208400123LL /* 2026-11-20T21:00:00.123Z */

static int64_t fixed_now(void)
{
	return WHEN;
}

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct ops_error err = {0};
	if (ops_json_parse(text, strlen(text), 1 << 20, &j, &err) != 0)
		fail_msg("%s: %s", text, err.message);
	return j;
}

static void assert_json(json_t *taken, const char *text)
{
	char *printed = ops_json_text(taken);
	assert_string_equal(printed, text);
	free(printed);
	json_decref(taken);
}

/* ---- events ---- */

static void test_event_round_trip(void **state)
{
	(void)state;
	ops_clock_fake(fixed_now);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_event_encode(&(struct ops_event){.source = "ops-freeze",
				 .type = "ops.freeze",
				 .subject = "claims",
				 .traceparent = TRACE,
				 .id = UUID,
				 .data = parse("{\"a\":\"x\\ny\"}")},
		&out);
	ops_clock_fake(NULL);
	assert_string_equal(ops_strbuf_text(&out),
		"{\"specversion\":\"1.0\",\"id\":\"" UUID
		"\",\"source\":\"ops-freeze\",\"type\":\"ops.freeze\","
		"\"time\":\"2026-11-20T21:00:00.123Z\",\"subject\":\"claims\",\"traceparent\":"
		"\"" TRACE "\","
		"\"datacontenttype\":\"application/json\",\"data\":{\"a\":\"x\\ny\"}}");
	struct ops_event e;
	json_t *doc = NULL;
	struct ops_error err;
	assert_int_equal(ops_event_decode(out.data, out.len, &e, &doc, &err), 0);
	assert_string_equal(e.id, UUID);
	assert_string_equal(e.source, "ops-freeze");
	assert_string_equal(e.type, "ops.freeze");
	assert_string_equal(e.subject, "claims");
	assert_string_equal(e.traceparent, TRACE);
	assert_true(e.time_ms == WHEN);
	assert_string_equal(json_string_value(json_object_get(e.data, "a")), "x\ny");
	json_decref(doc);

	ops_strbuf_reset(&out);
	ops_event_encode(
		&(struct ops_event){.source = "s", .type = "ops.note", .data = json_object()},
		&out);
	assert_int_equal(ops_event_decode(out.data, out.len, &e, &doc, &err), 0);
	assert_int_equal(strlen(e.id), 36);
	assert_null(e.subject);
	assert_null(e.traceparent);
	json_decref(doc);
	ops_strbuf_done(&out);
}

static void test_event_refusals(void **state)
{
	(void)state;
#define HEAD "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\","
#define TAIL "\"time\":\"2026-11-20T21:00:00.000Z\",\"data\":{}}"
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"", NULL},
		{"[]", "an event must be a JSON object"},
		{"{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"s\"}",
			"attribute \"id\" must have 1 to 1024 bytes"},
		{"{\"specversion\":\"1.0\",\"id\":5}", NULL},
		{"{\"id\":\"1\"}", "attribute \"specversion\" is missing"},
		{"{\"specversion\":\"0.3\",\"id\":\"1\",\"source\":\"s\",\"type\":\"ops."
		 "alert\"," TAIL,
			"specversion \"0.3\" is not 1.0"},
		{HEAD "\"type\":\"ops.other\"," TAIL, "unknown event type \"ops.other\""},
		{HEAD "\"type\":\"ops.alert\",\"traceparent\":\"00-x\"," TAIL,
			"attribute \"traceparent\" is malformed"},
		{HEAD "\"type\":\"ops.alert\",\"data\":{}}",
			"attribute \"time\" or \"data\" is missing"},
		{HEAD "\"type\":\"ops.alert\",\"time\":\"2026-11-20T21:00:00Z\"}",
			"attribute \"time\" or \"data\" is missing"},
		{HEAD "\"type\":\"ops.alert\",\"time\":\"2026-11-20T21:00:00.000Z\",\"data\":[]}",
			NULL},
		{HEAD "\"type\":\"ops.alert\",\"time\":\"yesterday\",\"data\":{}}", NULL},
		{HEAD "\"id\":\"2\",\"type\":\"ops.alert\"," TAIL, NULL},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_event e;
		json_t *doc = NULL;
		struct ops_error err = {0};
		assert_int_equal(
			ops_event_decode(cases[i].text, strlen(cases[i].text), &e, &doc, &err),
			-EINVAL);
		assert_null(doc);
		assert_true(err.message[0] != '\0');
		if (cases[i].message != NULL)
			assert_string_equal(err.message, cases[i].message);
	}
	const char *fine = HEAD "\"type\":\"ops.alert\",\"opsseq\":7," TAIL;
	struct ops_event e;
	json_t *doc = NULL;
	struct ops_error err;
	assert_int_equal(ops_event_decode(fine, strlen(fine), &e, &doc, &err), 0);
	json_decref(doc);
}

static void test_traceparent(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{TRACE, true},
		{"", false},
		{TRACE "0", false},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false},
		{"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
		{"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
		{"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++)
		assert_int_equal(ops_traceparent_valid(cases[i].text), cases[i].valid);
}

/* ---- alerts ---- */

static void test_alert_round_trip(void **state)
{
	(void)state;
	struct ops_alert a, back;
	ops_alert_init(&a);
	a.status = OPS_ALERT_FIRING;
	a.labels = ops_labels_of("alertname", "ClaimsErrors", "severity", "page", NULL);
	a.annotations = ops_labels_of("summary", "too many", NULL);
	a.active_at_ms = WHEN - 60000;
	a.starts_at_ms = WHEN;
	a.value = 0.25;
	a.expr = ops_xstrdup("a > 0.1");
	a.playbook = ops_xstrdup("rollback.sh");
	a.rule = ops_xstrdup("f.yml;g;ClaimsErrors");
	memcpy(a.traceparent, TRACE, sizeof(TRACE));
	json_t *j = ops_alert_to_json(&a);
	struct ops_error err;
	assert_int_equal(ops_alert_from_json(j, &back, &err), 0);
	assert_true(back.fingerprint == ops_labels_fingerprint(a.labels));
	assert_true(ops_labels_equal(back.labels, a.labels));
	assert_true(ops_labels_equal(back.annotations, a.annotations));
	assert_int_equal(back.status, OPS_ALERT_FIRING);
	assert_true(back.active_at_ms == WHEN - 60000 && back.starts_at_ms == WHEN &&
		    back.ends_at_ms == 0);
	assert_true(fabs(back.value - 0.25) < 1e-12);
	assert_string_equal(back.expr, "a > 0.1");
	assert_null(back.generator_url);
	assert_string_equal(back.playbook, "rollback.sh");
	assert_string_equal(back.traceparent, TRACE);
	ops_alert_done(&back);
	assert_json(j,
		"{\"status\":\"firing\",\"fingerprint\":\"066d0a609e6d226e\","
		"\"labels\":{\"alertname\":\"ClaimsErrors\",\"severity\":\"page\"},"
		"\"annotations\":{\"summary\":\"too "
		"many\"},\"active_at\":\"2026-11-20T20:59:00.123Z\","
		"\"starts_at\":\"2026-11-20T21:00:00.123Z\",\"value\":0.25,\"expr\":\"a > 0.1\","
		"\"playbook\":\"rollback.sh\",\"rule\":\"f.yml;g;ClaimsErrors\",\"traceparent\":"
		"\"" TRACE "\"}");
	ops_alert_done(&a);
}

static void test_alert_values(void **state)
{
	(void)state;
	static const double values[] = {INFINITY, -INFINITY, NAN, 0, -1.5, 1e300};
	for (size_t i = 0; i < OPS_LENGTH(values); i++) {
		struct ops_alert a, back;
		ops_alert_init(&a);
		a.labels = ops_labels_of("alertname", "x", NULL);
		a.value = values[i];
		json_t *j = ops_alert_to_json(&a);
		struct ops_error err;
		assert_int_equal(ops_alert_from_json(j, &back, &err), 0);
		if (isnan(values[i]))
			assert_true(isnan(back.value));
		else
			assert_memory_equal(&back.value, &values[i], sizeof(double));
		json_decref(j);
		ops_alert_done(&a);
		ops_alert_done(&back);
	}
}

static void test_alert_refusals(void **state)
{
	(void)state;
#define NAMED "\"labels\":{\"alertname\":\"x\"}"
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[]", "an alert must be a JSON object"},
		{"{" NAMED "}", "member \"status\" is missing"},
		{"{\"status\":\"inactive\"," NAMED "}",
			"member \"status\" has the unknown value \"inactive\""},
		{"{\"status\":\"pending\"}", "label \"alertname\" is missing"},
		{"{\"status\":\"pending\",\"labels\":{\"a\":\"b\"}}",
			"label \"alertname\" is missing"},
		{"{\"status\":\"pending\",\"labels\":{\"alertname\":5}}",
			"label \"alertname\": the value must be text"},
		{"{\"status\":\"pending\",\"labels\":{\"\":\"b\"}}",
			"label name \"\" is not valid"},
		{"{\"status\":\"firing\"," NAMED "}", "a firing alert needs \"starts_at\""},
		{"{\"status\":\"firing\"," NAMED ",\"starts_at\":\"0001-01-01T00:00:00Z\"}",
			"a firing alert needs \"starts_at\""},
		{"{\"status\":\"resolved\"," NAMED ",\"starts_at\":5}",
			"a resolved alert needs \"ends_at\""},
		{"{\"status\":\"pending\"," NAMED ",\"fingerprint\":\"12\"}",
			"member \"fingerprint\" is not 16 hex digits"},
		{"{\"status\":\"pending\"," NAMED ",\"value\":\"much\"}",
			"member \"value\" is no number"},
		{"{\"status\":\"pending\"," NAMED ",\"traceparent\":\"x\"}",
			"member \"traceparent\" is malformed"},
		{"{\"status\":\"pending\"," NAMED ",\"annotations\":[]}", NULL},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		json_t *j = parse(cases[i].text);
		struct ops_alert a;
		struct ops_error err = {0};
		assert_int_equal(ops_alert_from_json(j, &a, &err), -EINVAL);
		if (cases[i].message != NULL)
			assert_string_equal(err.message, cases[i].message);
		json_decref(j);
	}
	json_t *j =
		parse("{\"status\":\"pending\"," NAMED ",\"fingerprint\":\"0123456789abcdef\"}");
	struct ops_alert a;
	struct ops_error err;
	assert_int_equal(ops_alert_from_json(j, &a, &err), -EINVAL);
	assert_non_null(
		strstr(err.message, "fingerprint 0123456789abcdef is not that of the labels"));
	json_decref(j);
}

static void test_too_much(void **state)
{
	(void)state;
	json_t *j = parse("{\"status\":\"pending\",\"labels\":{\"alertname\":\"x\"}}");
	json_t *labels = json_object_get(j, "labels");
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (int i = 0; i < 256; i++) {
		ops_strbuf_reset(&text);
		ops_strbuf_printf(&text, "l%d", i);
		ops_json_set_string(labels, text.data, "v");
	}
	struct ops_alert a;
	struct ops_error err;
	assert_int_equal(ops_alert_from_json(j, &a, &err), -EINVAL);
	assert_string_equal(err.message, "member \"labels\" has more than 256 labels");
	json_object_del(labels, "l0");
	assert_int_equal(ops_alert_from_json(j, &a, &err), 0);
	ops_alert_done(&a);

	ops_strbuf_reset(&text);
	for (int i = 0; i < 65536; i++)
		ops_strbuf_addc(&text, 'x');
	ops_json_set_string(labels, "l1", text.data);
	assert_int_equal(ops_alert_from_json(j, &a, &err), 0);
	ops_alert_done(&a);
	ops_strbuf_addc(&text, 'x');
	ops_json_set_string(labels, "l1", text.data);
	assert_int_equal(ops_alert_from_json(j, &a, &err), -EINVAL);
	assert_string_equal(err.message, "label \"l1\" is longer than 65536 bytes");
	ops_strbuf_done(&text);
	json_decref(j);
}

static void test_topics_and_fingerprints(void **state)
{
	(void)state;
	static const struct {
		const char *name, *severity;
		enum ops_alert_status status;
		const char *topic;
	} cases[] = {
		{"Claims", "page", OPS_ALERT_PENDING, "alerts/pending/page/Claims"},
		{"Claims", NULL, OPS_ALERT_FIRING, "alerts/firing/none/Claims"},
		{"a/b c\n\xc3\xa9", "x.Y:1-_", OPS_ALERT_RESOLVED,
			"alerts/resolved/x.Y:1-_/a_b_c___"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_alert a = {.status = cases[i].status};
		a.labels = cases[i].severity != NULL
				   ? ops_labels_of("alertname", cases[i].name, "severity",
					     cases[i].severity, NULL)
				   : ops_labels_of("alertname", cases[i].name, NULL);
		struct ops_strbuf out = OPS_STRBUF_INIT;
		ops_alert_topic(&a, &out);
		assert_string_equal(ops_strbuf_text(&out), cases[i].topic);
		ops_strbuf_done(&out);
		ops_alert_done(&a);
	}
	char text[17];
	uint64_t fp = 0;
	ops_fingerprint_text(0xabcULL, text);
	assert_string_equal(text, "0000000000000abc");
	assert_int_equal(ops_fingerprint_parse(text, &fp), 0);
	assert_true(fp == 0xabcULL);
	assert_int_equal(ops_fingerprint_parse("abc", &fp), -EINVAL);
	assert_int_equal(ops_fingerprint_parse("0000000000000abx", &fp), -EINVAL);
}

/* ---- freeze ---- */

static void test_freeze(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message; /* NULL: accepted, and printed again as it was */
	} cases[] = {
		{"{\"scope\":\"claims\",\"frozen\":false}", NULL},
		{"{\"scope\":\"claims\",\"frozen\":true,\"reason\":\"r\",\"actor\":\"a\","
		 "\"source\":\"alert\","
		 "\"freeze_id\":\"" UUID
		 "\",\"alert\":\"0123456789abcdef\",\"since\":\"2026-11-20T21:00:00.000Z\","
		 "\"until\":\"2026-11-21T21:00:00.000Z\"}",
			NULL},
		{"{\"frozen\":false}", "member \"scope\" is missing or too short"},
		{"{\"scope\":\"claims\"}", "member \"frozen\" is missing"},
		{"{\"scope\":\"claims\",\"frozen\":true}",
			"a freeze needs reason, actor, source and freeze_id"},
		{"{\"scope\":\"claims\",\"frozen\":false,\"source\":\"mood\"}",
			"member \"source\" has the unknown value \"mood\""},
		{"{\"scope\":\"claims\",\"frozen\":false,\"freeze_id\":\"7\"}",
			"member \"freeze_id\" is no UUID"},
		{"{\"scope\":\"claims\",\"frozen\":false,\"alert\":\"zz\"}",
			"member \"alert\" is not 16 hex digits"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		json_t *j = parse(cases[i].text);
		struct ops_freeze_state s;
		struct ops_error err = {0};
		int r = ops_freeze_state_from_json(j, &s, &err);
		json_decref(j);
		if (cases[i].message != NULL) {
			assert_int_equal(r, -EINVAL);
			assert_string_equal(err.message, cases[i].message);
			continue;
		}
		assert_int_equal(r, 0);
		assert_json(ops_freeze_state_to_json(&s), cases[i].text);
		ops_freeze_state_done(&s);
	}
}

/* ---- changes ---- */

static void test_change(void **state)
{
	(void)state;
#define WHO "\"actor\":\"a\",\"actor_type\":\"user\",\"action\":\"b\",\"object\":\"c\""
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"{\"id\":\"" UUID "\",\"time_us\":1795208400123456," WHO "}", NULL},
		{"{\"id\":\"" UUID
		 "\",\"time_us\":1795208400123456,\"actor\":\"a\",\"actor_type\":\"playbook\","
		 "\"action\":\"b\",\"object\":\"c\",\"before\":{\"x\":[1,null]},\"after\":\"s\","
		 "\"reason\":\"r\","
		 "\"source_addr\":\"::1\",\"trace_id\":\"t\",\"alert\":\"0123456789abcdef\","
		 "\"outcome\":\"refused\","
		 "\"service\":\"ops-freeze\"}",
			NULL},
		{"{" WHO ",\"mood\":1}", "unknown"},
		{"{\"actor_type\":\"user\",\"action\":\"b\",\"object\":\"c\"}",
			"member \"actor\" is missing or too short"},
		{"{\"actor\":\"a\",\"action\":\"\",\"object\":\"c\"}",
			"member \"action\" is missing or too short"},
		{"{" WHO ",\"id\":\"7\"}", "member \"id\" is no UUID"},
		{"{" WHO ",\"time_us\":9000000000000000000}", "member \"time_us\" is out of range"},
		{"{" WHO ",\"outcome\":\"maybe\"}",
			"member \"outcome\" has the unknown value \"maybe\""},
		{"{" WHO ",\"alert\":\"1\"}", "member \"alert\" is not 16 hex digits"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		json_t *j = parse(cases[i].text);
		struct ops_change c;
		struct ops_error err = {0};
		int r = ops_change_from_json(j, &c, &err);
		json_decref(j);
		if (cases[i].message != NULL) {
			assert_true(r < 0);
			assert_non_null(strstr(err.message, cases[i].message));
			continue;
		}
		assert_int_equal(r, 0);
		assert_json(ops_change_to_json(&c), cases[i].text);
		ops_change_done(&c);
	}
}

static void test_change_defaults_and_bounds(void **state)
{
	(void)state;
	json_t *j = parse("{\"actor\":\"a\",\"action\":\"b\",\"object\":\"c\"}");
	struct ops_change c;
	struct ops_error err;
	assert_int_equal(ops_change_from_json(j, &c, &err), 0);
	assert_int_equal(strlen(c.id), 36);
	assert_true(c.time_us > 1600000000000000LL);
	assert_string_equal(c.actor_type, "user");
	ops_change_done(&c);

	static const struct {
		const char *key;
		size_t max;
	} bounds[] = {{"actor", 256}, {"action", 256}, {"object", 256}, {"reason", 4096},
		{"before", 65534}, {"after", 65534}};
	for (size_t i = 0; i < OPS_LENGTH(bounds); i++) {
		char *text = ops_xmalloc(bounds[i].max + 2);
		memset(text, 'x', bounds[i].max + 1);
		text[bounds[i].max + 1] = '\0';
		json_t *copy = json_copy(j);
		ops_json_set_string(copy, bounds[i].key, text);
		assert_int_equal(ops_change_from_json(copy, &c, &err), -EINVAL);
		assert_non_null(strstr(err.message, bounds[i].key));
		text[bounds[i].max] = '\0';
		ops_json_set_string(copy, bounds[i].key, text);
		assert_int_equal(ops_change_from_json(copy, &c, &err), 0);
		ops_change_done(&c);
		json_decref(copy);
		free(text);
	}
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_event_round_trip),
		cmocka_unit_test(test_event_refusals),
		cmocka_unit_test(test_traceparent),
		cmocka_unit_test(test_alert_round_trip),
		cmocka_unit_test(test_alert_values),
		cmocka_unit_test(test_alert_refusals),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_topics_and_fingerprints),
		cmocka_unit_test(test_freeze),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_change_defaults_and_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
