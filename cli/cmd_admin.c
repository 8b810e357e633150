/* SPDX-License-Identifier: Apache-2.0 */
/* check, reload, top, db migrate: looking after the services themselves. */
#include "cli/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/pg/migrate.h"
#include "common/pg/pg_sync.h"
#include "common/rules/rules.h"

/* ---- check ---- */

/* The service's program: beside this one, in the build tree beside it, or in PATH. */
static char *find_program(const char *service)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(self);
	char *beside = ops_xasprintf("%s/ops-%s", dir, service);
	if (access(beside, X_OK) == 0) {
		return beside;
	}
	free(beside);
	char *built = ops_xasprintf("%s/../services/%s/ops-%s", dir, service, service);
	if (access(built, X_OK) == 0) {
		return built;
	}
	free(built);
	return ops_xasprintf("ops-%s", service);
}

/* The service checks its own file: one loader, so that a checked file is a file that loads. */
static int check_with_service(const char *service, const char *file)
{
	OPS_CLEANUP(ops_freep) char *program = find_program(service);
	pid_t pid = fork();
	if (pid < 0) {
		return ctl_fail(CTL_FAILED, "could not start %s: %s", program, strerror(errno));
	}
	if (pid == 0) {
		execlp(program, program, "--check", "--config", file, (char *)NULL);
		fprintf(stderr, "opsctl: could not run %s: %s\n", program, strerror(errno));
		_exit(127);
	}
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : CTL_FAILED;
	return code == 127 ? CTL_FAILED : code;
}

static int check_rules(const char *file)
{
	struct ops_arena arena;
	struct ops_error err;
	struct ops_rule_groups groups = {NULL, 0, 0};
	struct ops_conf_warnings warnings = {.arena = &arena};
	ops_arena_init(&arena);
	/* Variables of the detector's configuration are unknown here: any value of the right kind
	 * will do. */
	const struct ops_rule_variable variables[] = {{"RULE_WINDOW", "5m"}, {"RULE_FOR", "3m"}};
	const struct ops_rules_options opt = {
		.variables = variables, .nvariables = OPS_LENGTH(variables)};
	int rc = ops_rules_load_file(&arena, file, &opt, &groups, &warnings, &err);
	size_t rules = 0;
	for (size_t i = 0; i < groups.n; i++) {
		rules += groups.items[i].n;
	}
	for (size_t i = 0; i < warnings.n; i++) {
		fprintf(stderr, "warning: %s\n", warnings.items[i]);
	}
	if (rc != 0) {
		rc = ctl_fail_error(CTL_CONFIG, &err);
	} else {
		printf("%s: %zu groups, %zu rules, good\n", file, groups.n, rules);
	}
	free(groups.items);
	ops_arena_done(&arena);
	return rc;
}

/* ops-freeze.yml is the freeze service's; whatever is no service's file is taken for a rule file.
 */
static const char *service_of(const char *file)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash != NULL ? slash + 1 : file;
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		OPS_CLEANUP(ops_freep)
		char *want = ops_xasprintf("ops-%s.yml", ctl_service_name(s));
		if (strcmp(name, want) == 0) {
			return ctl_service_name(s);
		}
	}
	return NULL;
}

static int check_all_services(void)
{
	const char *dir = getenv("OPS_CONFIG_DIR");
	dir = dir != NULL ? dir : "/etc/hms-ops";
	int worst = CTL_OK;
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		OPS_CLEANUP(ops_freep)
		char *file = ops_xasprintf("%s/ops-%s.yml", dir, ctl_service_name(s));
		if (access(file, R_OK) != 0) {
			printf("%s: not there, skipped\n", file);
			continue;
		}
		int code = check_with_service(ctl_service_name(s), file);
		worst = code != CTL_OK ? code : worst;
	}
	return worst;
}

static int run_check(struct ctl *c)
{
	if (c->nargs == 0) {
		return check_all_services();
	}
	int worst = CTL_OK;
	for (int i = 0; i < c->nargs; i++) {
		const char *service = ctl_flag(c, "service") != NULL ? ctl_flag(c, "service")
								     : service_of(c->args[i]);
		int code = service != NULL ? check_with_service(service, c->args[i])
					   : check_rules(c->args[i]);
		worst = code != CTL_OK ? code : worst;
	}
	return worst;
}

static int run_check_rules(struct ctl *c)
{
	int worst = c->nargs > 0 ? CTL_OK : ctl_usage(c, "which files?");
	for (int i = 0; i < c->nargs; i++) {
		int code = check_rules(c->args[i]);
		worst = code != CTL_OK ? code : worst;
	}
	return worst;
}

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
	int worst = CTL_OK;
	size_t asked = 0;
	OPS_JSON_AUTO *out = json_object();
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		if (!wanted(c, s)) {
			continue;
		}
		asked++;
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
	if (asked == 0) {
		return ctl_usage(
			c, "no such service; detector, collector, alertmanager, freeze, auditlog");
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

static void on_step(void *arg, const struct ops_migration *m)
{
	const struct ctl *c = arg;
	bool dry = ctl_flag(c, "dry-run") != NULL;
	printf("%s  %s\n", m->name,
		m->applied ? "was applied"
		: dry	   ? "would be applied"
			   : "applied");
}

/* DIR/ops_freeze.password -> role ops_freeze: services log in with what their secret file says. */
static int set_passwords(const char *conninfo, const char *dir)
{
	static const char *const roles[] = {
		"ops_owner", "ops_alertmanager", "ops_freeze", "ops_auditlog", "ops_reader"};
	struct ops_error err;
	OPS_CLEANUP(ops_pg_sync_closep) struct ops_pg_sync *db = NULL;
	if (ops_pg_sync_open(conninfo, &db, &err) != 0) {
		return ctl_fail_error(CTL_UNREACHABLE, &err);
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
	const char *dir =
		ctl_flag(c, "dir") != NULL ? ctl_flag(c, "dir") : "/usr/share/hms-ops/sql";
	int rc = ctl_database(c, &conninfo);
	if (rc != CTL_OK) {
		return rc;
	}
	struct ops_error err;
	rc = ops_migrate(conninfo, dir, ctl_flag(c, "dry-run") != NULL, on_step, c, &err);
	if (rc != 0) {
		return ctl_fail_error(rc == -ENOTCONN ? CTL_UNREACHABLE : CTL_FAILED, &err);
	}
	const char *passwords = ctl_flag(c, "password-dir");
	return passwords != NULL && ctl_flag(c, "dry-run") == NULL
		       ? set_passwords(conninfo, passwords)
		       : CTL_OK;
}

const struct ctl_command ctl_admin_commands[] = {
	{"check", "[FILE...] [--service NAME]",
		"validate configuration: a service's file, or a rule file; without FILE all in "
		"OPS_CONFIG_DIR",
		{{"service", "NAME", "whose file it is, when its name does not say"}}, run_check},
	{"check rules", "FILE...", "validate rule files", {{NULL, NULL, NULL}}, run_check_rules},
	{"reload", "[SERVICE...]", "let services read their configuration again",
		{{NULL, NULL, NULL}}, run_reload},
	{"top", "", "the state of all services", {{NULL, NULL, NULL}}, run_top},
	{"db migrate", "[--database CONNINFO] [--dir DIR] [--dry-run]",
		"bring the database's schema up to date",
		{{"database", "CONNINFO", "as its owner (default OPS_DATABASE)"},
			{"password-file", "FILE",
				"its password (default OPS_DATABASE_PASSWORD_FILE)"},
			{"dir", "DIR", "numbered SQL files (default /usr/share/hms-ops/sql)"},
			{"password-dir", "DIR", "set role passwords from ROLE.password files"},
			{"dry-run", NULL, "only say what would be done"}},
		run_migrate},
	{"completion", "bash|zsh", "print a completion script for the shell", {{NULL, NULL, NULL}},
		ctl_run_completion},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
