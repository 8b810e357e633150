/* SPDX-License-Identifier: Apache-2.0 */
/* alerts, silence add/list/expire, note: the doors of the alert router. */
#include "cli/ctl.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/model/matcher.h"

static void add_alert_row(struct ctl_table *t, const json_t *a)
{
	const json_t *labels = json_object_get(a, "labels");
	const json_t *annotations = json_object_get(a, "annotations");
	char since[64];
	ctl_relative_time(ctl_text(a, "startsAt"), since, sizeof(since));
	ctl_table_add(t, ctl_text(labels, "alertname"));
	ctl_table_add(t, ctl_text(json_object_get(a, "status"), "state"));
	ctl_table_add(t, ctl_text(labels, "severity"));
	ctl_table_add(t, since);
	ctl_table_add(t, ctl_text(labels, "instance"));
	ctl_table_add(t, ctl_text(annotations, "summary"));
	ctl_table_add(t, ctl_text(a, "fingerprint"));
}

static int run_alerts(struct ctl *c)
{
	struct ops_strbuf path = OPS_STRBUF_INIT;
	ops_strbuf_adds(&path, "/api/v2/alerts");
	ctl_url_add(&path, "filter", ctl_flag(c, "filter"));
	for (int i = 0; i < c->nargs; i++) {
		ctl_url_add(&path, "filter", c->args[i]);
	}
	ctl_url_add(&path, "receiver", ctl_flag(c, "receiver"));
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_ALERTMANAGER, "GET", ops_strbuf_text(&path), NULL, &r);
	ops_strbuf_done(&path);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0 && json_array_size(r.json) == 0) {
		puts("no alerts");
	} else if (rc == 0) {
		struct ctl_table t;
		ctl_table_init(&t, "ALERT", "STATE", "SEVERITY", "SINCE", "INSTANCE", "SUMMARY",
			"FINGERPRINT", NULL);
		size_t i;
		json_t *a;
		json_array_foreach(r.json, i, a)
		{
			add_alert_row(&t, a);
		}
		ctl_table_print(&t, c);
	}
	ctl_reply_done(&r);
	return rc;
}

/* ---- silences ---- */

static json_t *matchers_json(const struct ops_matchers *ms)
{
	json_t *all = json_array();
	for (size_t i = 0; i < ms->n; i++) {
		const struct ops_matcher *m = &ms->items[i];
		json_t *one = json_object();
		ops_json_set_string(one, "name", m->name);
		ops_json_set_string(one, "value", m->value);
		ops_json_set_bool(one, "isEqual", m->op == OPS_MATCH_EQ || m->op == OPS_MATCH_RE);
		ops_json_set_bool(one, "isRegex", m->op == OPS_MATCH_RE || m->op == OPS_MATCH_NRE);
		json_array_append_new(all, one);
	}
	return all;
}

static int take_matchers(struct ctl *c, struct ops_matchers *ms)
{
	for (int i = 0; i < c->nargs; i++) {
		struct ops_error err;
		if (ops_matchers_parse(ms, c->args[i], strlen(c->args[i]), &err) != 0) {
			return ctl_usage(c, "matcher '%s': %s", c->args[i], err.message);
		}
	}
	return ms->n > 0 ? 0 : ctl_usage(c, "what to silence? as in alertname=TargetDown");
}

static int run_silence_add(struct ctl *c)
{
	const char *comment = ctl_flag(c, "comment");
	const char *duration = ctl_flag(c, "duration") != NULL ? ctl_flag(c, "duration") : "1h";
	int64_t ms = 0;
	if (comment == NULL) {
		return ctl_usage(c, "a silence says why: --comment TEXT");
	}
	if (ops_duration_parse(duration, strlen(duration), &ms) != 0 || ms <= 0) {
		return ctl_usage(c, "--duration '%s' is not a duration, as in 2h", duration);
	}
	struct ops_matchers matchers;
	ops_matchers_init(&matchers);
	int rc = take_matchers(c, &matchers);
	OPS_JSON_AUTO *body = json_object();
	ops_json_set(body, "matchers", matchers_json(&matchers));
	ops_matchers_done(&matchers);
	if (rc != 0) {
		return rc;
	}
	const char *author = ctl_flag(c, "author");
	ops_json_set_string(body, "createdBy", author != NULL ? author : ctl_user());
	ops_json_set_string(body, "comment", comment);
	ops_json_set_time(body, "startsAt", ops_now_ms());
	ops_json_set_time(body, "endsAt", ops_now_ms() + ms);
	struct ctl_reply r;
	rc = ctl_request(c, CTL_ALERTMANAGER, "POST", "/api/v2/silences", body, &r);
	if (rc == 0) {
		puts(c->json ? ops_strbuf_text(&r.body) : ctl_text(r.json, "silenceID"));
	}
	ctl_reply_done(&r);
	return rc;
}

static void print_matchers(const json_t *matchers, struct ops_strbuf *out)
{
	size_t i;
	json_t *m;
	json_array_foreach(matchers, i, m)
	{
		bool equal = !json_is_false(json_object_get(m, "isEqual"));
		bool regex = json_is_true(json_object_get(m, "isRegex"));
		static const char *const ops[2][2] = {{"!=", "!~"}, {"=", "=~"}};
		ops_strbuf_printf(out, "%s%s%s\"%s\"", i > 0 ? " " : "", ctl_text(m, "name"),
			ops[equal][regex], ctl_text(m, "value"));
	}
}

static int run_silence_list(struct ctl *c)
{
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_ALERTMANAGER, "GET", "/api/v2/silences", NULL, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		struct ctl_table t;
		ctl_table_init(&t, "ID", "STATE", "MATCHERS", "ENDS", "BY", "COMMENT", NULL);
		size_t i;
		json_t *s;
		json_array_foreach(r.json, i, s)
		{
			const char *state = ctl_text(json_object_get(s, "status"), "state");
			if (strcmp(state, "expired") == 0 && ctl_flag(c, "expired") == NULL) {
				continue;
			}
			struct ops_strbuf text = OPS_STRBUF_INIT;
			char ends[64];
			print_matchers(json_object_get(s, "matchers"), &text);
			ctl_relative_time(ctl_text(s, "endsAt"), ends, sizeof(ends));
			ctl_table_add(&t, ctl_text(s, "id"));
			ctl_table_add(&t, state);
			ctl_table_add(&t, ops_strbuf_text(&text));
			ctl_table_add(&t, ends);
			ctl_table_add(&t, ctl_text(s, "createdBy"));
			ctl_table_add(&t, ctl_text(s, "comment"));
			ops_strbuf_done(&text);
		}
		ctl_table_print(&t, c);
	}
	ctl_reply_done(&r);
	return rc;
}

static int run_silence_expire(struct ctl *c)
{
	if (c->nargs == 0) {
		return ctl_usage(c, "which silence?");
	}
	OPS_JSON_AUTO *expired = json_array();
	for (int i = 0; i < c->nargs; i++) {
		struct ops_strbuf path = OPS_STRBUF_INIT;
		if (!ctl_id_valid(c->args[i])) {
			return ctl_usage(c, "'%s' is not an id", c->args[i]);
		}
		ops_strbuf_printf(&path, "/api/v2/silence/%s", c->args[i]);
		struct ctl_reply r;
		int rc = ctl_request(
			c, CTL_ALERTMANAGER, "DELETE", ops_strbuf_text(&path), NULL, &r);
		ops_strbuf_done(&path);
		ctl_reply_done(&r);
		if (rc != 0) {
			return rc;
		}
		json_array_append_new(expired, json_string(c->args[i]));
	}
	if (c->json) {
		ctl_print_json(expired);
	}
	return CTL_OK;
}

static int run_note(struct ctl *c)
{
	if (ctl_flag(c, "alert") == NULL || c->nargs == 0) {
		return ctl_usage(c, "which alert, and what to note?");
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (int i = 0; i < c->nargs; i++) {
		ops_strbuf_printf(&text, "%s%s", i > 0 ? " " : "", c->args[i]);
	}
	OPS_JSON_AUTO *body = json_object();
	const char *author = ctl_flag(c, "author");
	ops_json_set_string(body, "alert", ctl_flag(c, "alert"));
	ops_json_set_string(body, "action", ops_strbuf_text(&text));
	ops_json_set_string(body, "author", author != NULL ? author : ctl_user());
	ops_strbuf_done(&text);
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_ALERTMANAGER, "POST", "/api/note", body, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		puts("noted");
	}
	ctl_reply_done(&r);
	return rc;
}

const struct ctl_command ctl_alert_commands[] = {
	{"alerts", "[MATCHER...] [--filter MATCHER] [--receiver REGEX]",
		"active alerts at the alert router",
		{{"filter", "MATCHER", "as in severity=critical"},
			{"receiver", "REGEX", "only those of a receiver"}},
		run_alerts},
	{"silence add", "MATCHER... --comment TEXT [--duration DURATION]",
		"mute matching alerts for a while",
		{{"comment", "TEXT", "why"}, {"duration", "DURATION", "how long (default 1h)"},
			{"author", "NAME", "who (default: you)"}},
		run_silence_add},
	{"silence list", "[--expired]", "silences in force and to come",
		{{"expired", NULL, "those that are over, too"}}, run_silence_list},
	{"silence expire", "ID...", "end silences now", {{NULL, NULL, NULL}}, run_silence_expire},
	{"note", "--alert FINGERPRINT TEXT...", "put a note into an alert's history",
		{{"alert", "FINGERPRINT", "16 hex digits, from `opsctl alerts`"},
			{"author", "NAME", "who (default: you)"}},
		run_note},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
