/* SPDX-License-Identifier: Apache-2.0 */
/* freeze status, check, set, clear. `check` is what pipelines call: its exit code is the answer. */
#include "cli/ctl.h"

#include <stdio.h>
#include <string.h>

static void add_freeze_row(struct ctl_table *t, const json_t *f)
{
	char since[64], until[64];
	ctl_relative_time(ctl_text(f, "since"), since, sizeof(since));
	ctl_relative_time(ctl_text(f, "until"), until, sizeof(until));
	ctl_table_add(t, ctl_text(f, "scope"));
	ctl_table_add(t, ctl_text(f, "source"));
	ctl_table_add(t, since);
	ctl_table_add(t, until[0] != '\0' ? until : "open end");
	ctl_table_add(t, ctl_text(f, "actor"));
	ctl_table_add(t, ctl_text(f, "alert"));
	ctl_table_add(t, ctl_text(f, "reason"));
	ctl_table_add(t, ctl_text(f, "id"));
}

static int run_status(struct ctl *c)
{
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_FREEZE, "GET", "/v1/freezes", NULL, &r);
	const json_t *freezes = json_object_get(r.json, "freezes");
	if (rc == 0 && c->json) {
		ctl_print_json(freezes);
	} else if (rc == 0 && json_array_size(freezes) == 0) {
		puts("open: nothing is frozen");
	} else if (rc == 0) {
		struct ctl_table t;
		ctl_table_init(&t, "SCOPE", "SOURCE", "SINCE", "UNTIL", "ACTOR", "ALERT", "REASON",
			"ID", NULL);
		size_t i;
		json_t *f;
		json_array_foreach(freezes, i, f)
		{
			add_freeze_row(&t, f);
		}
		ctl_table_print(&t, c);
	}
	ctl_reply_done(&r);
	return rc;
}

static int print_gate(const struct ctl *c, const struct ctl_reply *r)
{
	bool frozen = r->code == 423;
	if (c->json) {
		ctl_print_json(r->json);
		return frozen ? CTL_FROZEN : CTL_OK;
	}
	printf("%s: %s\n", ctl_text(r->json, "scope"), frozen ? "FROZEN" : "open");
	size_t i;
	json_t *f;
	json_array_foreach(json_object_get(r->json, "freezes"), i, f)
	{
		char since[64];
		ctl_relative_time(ctl_text(f, "since"), since, sizeof(since));
		printf("  %s freeze of %s by %s, %s: %s\n", ctl_text(f, "source"),
			ctl_text(f, "scope"), ctl_text(f, "actor"), since, ctl_text(f, "reason"));
		if (ctl_text(f, "alert")[0] != '\0') {
			printf("  alert %s\n", ctl_text(f, "alert"));
		}
	}
	return frozen ? CTL_FROZEN : CTL_OK;
}

static int run_check(struct ctl *c)
{
	const char *scope = ctl_flag(c, "scope");
	if (scope == NULL || c->nargs > 0) {
		return ctl_usage(c, "which scope? --scope claims");
	}
	struct ops_strbuf path = OPS_STRBUF_INIT;
	ops_strbuf_adds(&path, "/v1/gate");
	ctl_url_add(&path, "scope", scope);
	ctl_url_add(&path, "action", ctl_flag(c, "action"));
	ctl_url_add(&path, "at", ctl_flag(c, "at"));
	ctl_url_add(&path, "actor", ctl_user());
	struct ctl_reply r;
	ctl_call(c, CTL_FREEZE, "GET", ops_strbuf_text(&path), NULL, &r);
	ops_strbuf_done(&path);
	int code;
	if ((r.code == 200 || r.code == 423) && r.json != NULL) {
		code = print_gate(c, &r);
	} else if (r.code == 401 || r.code == 403) {
		code = ctl_fail(CTL_DENIED, "the gate does not permit asking (%d)", r.code);
	} else if (r.code == 400) {
		code = ctl_fail(CTL_CHECK_USAGE, "the gate refused the question: %s",
			ctl_text(r.json, "error"));
	} else if (ctl_flag(c, "fail-open") != NULL) {
		fprintf(stderr,
			"opsctl: the gate at %s does not answer; open, because --fail-open says "
			"so\n",
			ctl_service_url(CTL_FREEZE));
		code = CTL_OK;
	} else {
		char status[32];
		snprintf(status, sizeof(status), "status %d", r.code);
		code = ctl_fail(CTL_UNKNOWN, "could not tell: the gate at %s %s: %s",
			ctl_service_url(CTL_FREEZE), r.code == 0 ? "does not answer" : "answers",
			r.code == 0 ? r.error : status);
	}
	ctl_reply_done(&r);
	return code;
}

static int run_set(struct ctl *c)
{
	if (ctl_flag(c, "scope") == NULL || ctl_flag(c, "reason") == NULL || c->nargs > 0) {
		return ctl_usage(c, "a freeze needs --scope and --reason");
	}
	OPS_JSON_AUTO *body = json_object();
	static const char *const names[] = {
		"scope", "reason", "ttl", "until", "source", "alert", "thaw"};
	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		if (ctl_flag(c, names[i]) != NULL) {
			ops_json_set_string(body, names[i], ctl_flag(c, names[i]));
		}
	}
	const char *actor = ctl_flag(c, "actor");
	ops_json_set_string(body, "actor", actor != NULL ? actor : ctl_user());
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_FREEZE, "POST", "/v1/freezes", body, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		printf("%s %s, id %s\n", ctl_text(r.json, "scope"),
			r.code == 201 ? "is frozen" : "was frozen already", ctl_text(r.json, "id"));
	}
	ctl_reply_done(&r);
	return rc;
}

static int clear_by_id(struct ctl *c, const char *id, struct ctl_reply *r)
{
	if (!ctl_id_valid(id)) {
		memset(r, 0, sizeof(*r));
		return ctl_usage(c, "'%s' is not an id", id);
	}
	struct ops_strbuf path = OPS_STRBUF_INIT;
	ops_strbuf_printf(&path, "/v1/freezes/%s", id);
	ctl_url_add(&path, "reason", ctl_flag(c, "reason"));
	ctl_url_add(&path, "actor", ctl_user());
	int rc = ctl_request(c, CTL_FREEZE, "DELETE", ops_strbuf_text(&path), NULL, r);
	ops_strbuf_done(&path);
	return rc;
}

static int run_clear(struct ctl *c)
{
	const char *scope = ctl_flag(c, "scope"), *id = ctl_flag(c, "id");
	if ((scope == NULL) == (id == NULL) || ctl_flag(c, "reason") == NULL || c->nargs > 0) {
		return ctl_usage(c, "clearing needs --reason and either --scope or --id");
	}
	struct ctl_reply r;
	int rc;
	if (id != NULL) {
		rc = clear_by_id(c, id, &r);
	} else {
		OPS_JSON_AUTO *body = json_object();
		ops_json_set_string(body, "scope", scope);
		ops_json_set_string(body, "reason", ctl_flag(c, "reason"));
		ops_json_set_string(body, "actor", ctl_user());
		rc = ctl_request(c, CTL_FREEZE, "POST", "/v1/freezes/clear", body, &r);
	}
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		int64_t n = json_integer_value(json_object_get(r.json, "cleared"));
		printf("%lld freeze%s cleared\n", (long long)n, n == 1 ? "" : "s");
	}
	ctl_reply_done(&r);
	return rc;
}

const struct ctl_command ctl_freeze_commands[] = {
	{"freeze status", "", "what is frozen, since when and why", {{NULL, NULL, NULL}},
		run_status},
	{"freeze check", "--scope SCOPE [--action deploy|rollback] [--at TIME] [--fail-open]",
		"may I deploy? exit 0 open, 10 frozen, 20 could not tell, 64 usage, 77 not "
		"permitted",
		{{"scope", "SCOPE", "what is to be deployed, as claims or claims/api"},
			{"action", "ACTION", "deploy (default) or rollback"},
			{"at", "TIME", "what if, at this RFC 3339 time"},
			{"fail-open", NULL, "exit 0 when the gate does not answer"}},
		run_check},
	{"freeze set", "--scope SCOPE --reason TEXT [--ttl DURATION]", "freeze a scope",
		{{"scope", "SCOPE", "what to freeze; * is everything"}, {"reason", "TEXT", "why"},
			{"ttl", "DURATION", "end by itself after this, as 4h"},
			{"until", "TIME", "end by itself at this RFC 3339 time"},
			{"source", "SOURCE", "manual (default) or alert"},
			{"alert", "FINGERPRINT", "the alert that asks for it"},
			{"thaw", "RULE", "manual (default) or on_resolve"},
			{"actor", "NAME", "who asks (default: you)"}},
		run_set},
	{"freeze clear", "(--scope SCOPE | --id ID) --reason TEXT", "end a freeze",
		{{"scope", "SCOPE", "all freezes of exactly this scope"},
			{"id", "ID", "one freeze"}, {"reason", "TEXT", "why"}},
		run_clear},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
