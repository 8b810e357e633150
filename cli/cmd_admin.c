/* SPDX-License-Identifier: Apache-2.0 */
/* check, reload, top, db migrate: looking after the services themselves. */
#include "cli/ctl.h"

#include <errno.h>
#include <fcntl.h>
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

struct check { /* of one or more files */
	const struct ctl *ctl;
	json_t *files;
	int worst;
};

/* Where this program is, whatever name or link it was called by. */
static char *own_folder(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	return ops_path_dir(self);
}

/* PREFIX/below when this is PREFIX/bin/opsctl and that exists, else the packaged place. */
static char *installed(const char *below, const char *packaged)
{
	OPS_CLEANUP(ops_freep) char *dir = own_folder();
	OPS_CLEANUP(ops_freep) char *prefix = ops_path_dir(dir);
	char *path = ops_xasprintf("%s/%s", prefix, below);
	if (access(path, R_OK) == 0) {
		return path;
	}
	free(path);
	return ops_xstrdup(packaged);
}

/* The service's program: beside this one, in the build tree beside it, or in PATH. */
static char *find_program(const char *service)
{
	OPS_CLEANUP(ops_freep) char *dir = own_folder();
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

/* With --json stdout belongs to the document; what is wrong is told on stderr either way. */
static void hide_stdout(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
	}
}

static void add_verdict(struct check *k, const char *file, const char *service, int code)
{
	json_t *one = json_object();
	ops_json_set_string(one, "file", file);
	ops_json_set_string(one, "kind", service != NULL ? service : "rules");
	ops_json_set_bool(one, "good", code == CTL_OK);
	json_array_append_new(k->files, one);
	k->worst = code != CTL_OK ? code : k->worst;
}

/* The service checks its own file: one loader, so that a checked file is a file that loads. */
static int run_service_check(const struct check *k, const char *service, const char *file)
{
	OPS_CLEANUP(ops_freep) char *program = find_program(service);
	fflush(stdout); /* the child writes to the same place */
	pid_t pid = fork();
	if (pid < 0) {
		return ctl_fail(CTL_FAILED, "could not start %s: %s", program, strerror(errno));
	}
	if (pid == 0) {
		if (k->ctl->json) {
			hide_stdout();
		}
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

static int run_rules_check(const struct check *k, const char *file)
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
	} else if (!k->ctl->json) {
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

static void check_file(struct check *k, const char *service, const char *file)
{
	int code = service != NULL ? run_service_check(k, service, file) : run_rules_check(k, file);
	add_verdict(k, file, service, code);
}

static void check_all_services(struct check *k)
{
	const char *named = getenv("OPS_CONFIG_DIR");
	OPS_CLEANUP(ops_freep)
	char *dir = named != NULL && named[0] != '\0' ? ops_xstrdup(named)
						      : installed("etc/hms-ops", "/etc/hms-ops");
	size_t found = 0;
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		OPS_CLEANUP(ops_freep)
		char *file = ops_xasprintf("%s/ops-%s.yml", dir, ctl_service_name(s));
		if (access(file, F_OK) != 0) {
			fprintf(stderr, "opsctl: %s: not there, skipped\n", file);
			continue;
		}
		found++;
		check_file(k, ctl_service_name(s), file);
	}
	if (found == 0) {
		k->worst = ctl_fail(CTL_CONFIG,
			"no service's file in %s; OPS_CONFIG_DIR names another folder", dir);
	}
}

static int finish_check(struct check *k)
{
	if (k->ctl->json) {
		ctl_print_json(k->files);
	}
	json_decref(k->files);
	return k->worst;
}

static bool is_service(const char *name)
{
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		if (strcmp(name, ctl_service_name(s)) == 0) {
			return true;
		}
	}
	return false;
}

static int run_check(struct ctl *c)
{
	const char *named = ctl_flag(c, "service");
	if (named != NULL && !is_service(named)) {
		return ctl_usage(c,
			"no such service '%s'; detector, collector, alertmanager, "
			"freeze, auditlog",
			named);
	}
	struct check k = {.ctl = c, .files = json_array()};
	if (c->nargs == 0) {
		check_all_services(&k);
	}
	for (int i = 0; i < c->nargs; i++) {
		check_file(&k, named != NULL ? named : service_of(c->args[i]), c->args[i]);
	}
	return finish_check(&k);
}

static int run_check_rules(struct ctl *c)
{
	if (c->nargs == 0) {
		return ctl_usage(c, "which files?");
	}
	struct check k = {.ctl = c, .files = json_array()};
	for (int i = 0; i < c->nargs; i++) {
		check_file(&k, NULL, c->args[i]);
	}
	return finish_check(&k);
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
	for (int i = 0; i < c->nargs; i++) {
		const char *name = c->args[i];
		if (!is_service(ops_str_starts(name, "ops-") ? name + 4 : name)) {
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
	int rc = ctl_database(c, &conninfo);
	if (rc != CTL_OK) {
		return rc;
	}
	OPS_CLEANUP(ops_freep)
	char *dir = ctl_flag(c, "dir") != NULL
			    ? ops_xstrdup(ctl_flag(c, "dir"))
			    : installed("share/hms-ops/sql", "/usr/share/hms-ops/sql");
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
			{"dir", "DIR", "numbered SQL files (default PREFIX/share/hms-ops/sql)"},
			{"password-dir", "DIR", "set role passwords from ROLE.password files"},
			{"dry-run", NULL, "only say what would be done"}},
		run_migrate},
	{"completion", "bash|zsh", "print a completion script for the shell", {{NULL, NULL, NULL}},
		ctl_run_completion},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
