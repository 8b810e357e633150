/* SPDX-License-Identifier: Apache-2.0 */
/* reload, top, db migrate: looking after the services themselves. */
#include "cli/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/pg/migrate.h"
#include "common/pg/pg_sync.h"

/* ---- reload ---- */

static bool wanted(const struct ctl *c, enum ctl_service s)
{
	for (int i = 0; i < c->nargs; i++) {
		const char *name = c->args[i];
		if (strcmp(ops_str_starts(name, "ops-") ? name + 4 : name, ctl_service_name(s)) ==
			0) {
			return true;
		}
	}
	return c->nargs == 0;
}

static int run_reload(struct ctl *c)
{
	for (int i = 0; i < c->nargs; i++) {
		const char *name = c->args[i];
		enum ctl_service known;
		if (!ctl_is_service(ops_str_starts(name, "ops-") ? name + 4 : name, &known)) {
			return ctl_usage(c,
				"no such service '%s'; detector, collector, "
				"alertmanager, freeze, auditlog",
				name);
		}
	}
	int worst = CTL_OK;
	OPS_JSON_AUTO *out = json_object();
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		if (!wanted(c, s)) {
			continue;
		}
		struct ctl_reply r;
		int code = ctl_request(c, s, "POST", "/-/reload", NULL, &r);
		if (!c->json) {
			printf("%-14s %s\n", ctl_service_name(s),
				code == 0 ? "reloaded" : "not reloaded");
		}
		ops_json_set_bool(out, ctl_service_name(s), code == 0);
		ctl_reply_done(&r);
		worst = code != 0 ? code : worst;
	}
	if (c->json) {
		ctl_print_json(out);
	}
	return worst;
}

/* ---- top ---- */

static void worst_check(const json_t *checks, struct ops_strbuf *out)
{
	const char *name;
	json_t *check;
	json_object_foreach((json_t *)(uintptr_t)checks, name, check)
	{
		const char *status = ctl_text(check, "status");
		if (strcmp(status, "healthy") != 0) {
			const char *message = ctl_text(check, "message");
			ops_strbuf_printf(out, "%s%s %s%s%s", out->len > 0 ? "; " : "", name,
				status, message[0] != '\0' ? ": " : "", message);
		}
	}
}

static void add_top_row(struct ctl_table *t, enum ctl_service s, const struct ctl_reply *r)
{
	struct ops_strbuf problems = OPS_STRBUF_INIT;
	worst_check(json_object_get(r->json, "checks"), &problems);
	char ms[32];
	snprintf(ms, sizeof(ms), "%lld ms", (long long)r->duration_ms);
	ctl_table_add(t, ctl_service_name(s));
	ctl_table_add(t, r->code == 0 ? "unreachable" : ctl_text(r->json, "status"));
	ctl_table_add(t, ctl_text(r->json, "version"));
	ctl_table_add(t, r->code == 0 ? NULL : ms);
	ctl_table_add(t, ctl_service_url(s));
	ctl_table_add(t, r->code == 0 ? r->error : ops_strbuf_text(&problems));
	ops_strbuf_done(&problems);
}

static int run_top(struct ctl *c)
{
	struct ctl_table t;
	ctl_table_init(&t, "SERVICE", "STATUS", "VERSION", "ANSWERED IN", "URL", "PROBLEMS", NULL);
	OPS_JSON_AUTO *all = json_object();
	int worst = CTL_OK;
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		struct ctl_reply r;
		ctl_call(c, s, "GET", "/health", NULL, &r);
		add_top_row(&t, s, &r);
		json_t *one = r.json != NULL ? json_incref(r.json) : json_object();
		if (r.code == 0) {
			ops_json_set_string(one, "status", "unreachable");
			ops_json_set_string(one, "error", r.error);
		}
		ops_json_set(all, ctl_service_name(s), one);
		worst = r.code == 0			   ? CTL_UNREACHABLE
			: r.code != 200 && worst == CTL_OK ? CTL_FAILED
							   : worst;
		ctl_reply_done(&r);
	}
	if (c->json) {
		ctl_print_json(all);
		ctl_table_done(&t);
	} else {
		ctl_table_print(&t, c);
	}
	return worst;
}

/* ---- db migrate ---- */

struct migration_run {
	const struct ctl *ctl;
	json_t *steps;
};

static void on_step(void *arg, const struct ops_migration *m)
{
	const struct migration_run *run = arg;
	bool dry = ctl_flag(run->ctl, "dry-run") != NULL;
	const char *state = m->applied ? "was applied" : dry ? "would be applied" : "applied";
	if (!run->ctl->json) {
		printf("%s  %s\n", m->name, state);
		return;
	}
	json_t *one = json_object();
	ops_json_set_string(one, "name", m->name);
	ops_json_set_string(one, "state", state);
	json_array_append_new(run->steps, one);
}

/* DIR/ops_freeze.password -> role ops_freeze: services log in with what their secret file says. */
static int set_passwords(const struct ctl *c, const char *dir)
{
	static const char *const roles[] = {
		"ops_owner", "ops_alertmanager", "ops_freeze", "ops_auditlog", "ops_reader"};
	struct ops_error err;
	OPS_CLEANUP(ops_pg_sync_closep) struct ops_pg_sync *db = NULL;
	int code = ctl_database_open(c, &db);
	if (code != CTL_OK) {
		return code;
	}
	for (size_t i = 0; i < OPS_LENGTH(roles); i++) {
		OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/%s.password", dir, roles[i]);
		OPS_CLEANUP(ops_freep) char *password = NULL;
		int rc = ops_file_read_secret(path, &password);
		if (rc == -ENOENT) {
			continue;
		}
		if (rc != 0) {
			return ctl_fail(CTL_CONFIG, "could not read %s: %s", path, strerror(-rc));
		}
		if (ops_pg_sync_set_password(db, roles[i], password, &err) != 0) {
			return ctl_fail_error(CTL_FAILED, &err);
		}
	}
	return CTL_OK;
}

static int run_migrate(struct ctl *c)
{
	const char *conninfo = NULL;
	int rc = ctl_database(c, &conninfo);
	if (rc != CTL_OK) {
		return rc;
	}
	OPS_CLEANUP(ops_freep)
	char *dir = ctl_flag(c, "dir") != NULL
			    ? ops_xstrdup(ctl_flag(c, "dir"))
			    : ctl_installed("share/hms-ops/sql", "/usr/share/hms-ops/sql");
	struct ops_error err;
	OPS_JSON_AUTO *steps = json_array();
	struct migration_run run = {c, steps};
	rc = ops_migrate(conninfo, dir, ctl_flag(c, "dry-run") != NULL, on_step, &run, &err);
	if (c->json) {
		ctl_print_json(steps);
	}
	if (rc != 0) {
		return ctl_fail_error(rc == -ENOTCONN ? CTL_UNREACHABLE : CTL_FAILED, &err);
	}
	const char *passwords = ctl_flag(c, "password-dir");
	return passwords != NULL && ctl_flag(c, "dry-run") == NULL ? set_passwords(c, passwords)
								   : CTL_OK;
}

const struct ctl_command ctl_admin_commands[] = {
	{"reload", "[SERVICE...]", "let services read their configuration again",
		{{NULL, NULL, NULL}}, run_reload},
	{"top", "", "the state of all services", {{NULL, NULL, NULL}}, run_top},
	{"db migrate", "[--database CONNINFO] [--dir DIR] [--dry-run]",
		"bring the database's schema up to date",
		{{"database", "CONNINFO", "as its owner (default OPS_DATABASE)"},
			{"password-file", "FILE",
				"its password (default OPS_DATABASE_PASSWORD_FILE)"},
			{"dir", "DIR", "numbered SQL files (default PREFIX/share/hms-ops/sql)"},
			{"password-dir", "DIR", "set role passwords from ROLE.password files"},
			{"dry-run", NULL, "only say what would be done"}},
		run_migrate},
	{"completion", "bash|zsh", "print a completion script for the shell", {{NULL, NULL, NULL}},
		ctl_run_completion},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
