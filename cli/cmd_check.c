/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check, check rules, check config, test rules: files before they are loaded. A service checks its
 * own file, and the detector rule files and their tests, each by its own program: one loader, so
 * that what passes here is what loads there.
 */
#include "cli/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/conf/conf.h"

struct check { /* of one or more files */
	const struct ctl *ctl;
	json_t *files;
	int worst;
};

static json_t *add_verdict(struct check *k, const char *file, const char *kind, int code)
{
	json_t *one = json_object();
	ops_json_set_string(one, "file", file);
	ops_json_set_string(one, "kind", kind);
	ops_json_set_bool(one, "good", code == CTL_OK);
	json_array_append_new(k->files, one);
	k->worst = OPS_MAX(k->worst, code);
	return one;
}

static int finish_check(struct check *k)
{
	if (k->ctl->json) {
		ctl_print_json(k->files);
	}
	json_decref(k->files);
	return k->worst;
}

/* ---- rule files ---- */

static int run_rules_check(const struct check *k, const char *file)
{
	const char *lint = ctl_flag(k->ctl, "lint");
	const char *args[8] = {"--check-rules"};
	size_t n = 1;
	if (lint != NULL) {
		args[n++] = "--lint";
		args[n++] = lint;
	}
	if (ctl_flag(k->ctl, "lint-fatal") != NULL) {
		args[n++] = "--lint-fatal";
	}
	args[n++] = "--";
	args[n] = file;
	return ctl_run_service(CTL_DETECTOR, args, k->ctl->json);
}

static void check_rules(struct check *k, const char *file)
{
	int code = run_rules_check(k, file);
	json_t *one = add_verdict(k, file, "rules", code);
	const char *url = ctl_flag(k->ctl, "against");
	if (url != NULL && code == CTL_OK) {
		json_t *dead = json_array();
		code = ctl_dead_rules(k->ctl, url, file, dead);
		ops_json_set(one, "dead", dead);
		k->worst = OPS_MAX(k->worst, code);
	}
}

/* ---- services' files ---- */

static int service_check(const struct check *k, enum ctl_service s, const char *file)
{
	const char *const args[] = {"--check", "--config", file, NULL};
	return ctl_run_service(s, args, k->ctl->json);
}

bool ctl_is_service(const char *name, enum ctl_service *ret)
{
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		if (strcmp(name, ctl_service_name(s)) == 0) {
			*ret = s;
			return true;
		}
	}
	return false;
}

/* ops-freeze.yml is the freeze service's. */
static bool service_of(const char *file, enum ctl_service *ret)
{
	const char *slash = strrchr(file, '/');
	const char *name = slash != NULL ? slash + 1 : file;
	size_t len = strlen(name);
	if (!ops_str_starts(name, "ops-") || !ops_str_ends(name, ".yml")) {
		return false;
	}
	OPS_CLEANUP(ops_freep) char *service = ops_xasprintf("%.*s", (int)(len - 8), name + 4);
	return ctl_is_service(service, ret);
}

static void check_service(struct check *k, enum ctl_service s, const char *file)
{
	add_verdict(k, file, ctl_service_name(s), service_check(k, s, file));
}

static void check_all_services(struct check *k)
{
	const char *named = getenv("OPS_CONFIG_DIR");
	OPS_CLEANUP(ops_freep)
	char *dir = named != NULL && named[0] != '\0'
			    ? ops_xstrdup(named)
			    : ctl_installed("etc/hms-ops", "/etc/hms-ops");
	size_t found = 0;
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		OPS_CLEANUP(ops_freep)
		char *file = ops_xasprintf("%s/ops-%s.yml", dir, ctl_service_name(s));
		if (access(file, F_OK) != 0) {
			fprintf(stderr, "opsctl: %s: not there, skipped\n", file);
			continue;
		}
		found++;
		check_service(k, s, file);
	}
	if (found == 0) {
		k->worst = ctl_fail(CTL_CONFIG,
			"no service's file in %s; OPS_CONFIG_DIR names another folder", dir);
	}
}

/* ---- prometheus.yml ---- */

enum {
	LOOKBACK_MS = 5 * 60 * 1000
};

/* Series would be stale between two scrapes. */
static size_t lint_interval(const struct ops_conf_node *job, const char *what)
{
	const struct ops_conf_node *n = ops_conf_get(job, "scrape_interval");
	int64_t ms = 0;
	if (n == NULL || n->type != OPS_CONF_SCALAR ||
		ops_duration_parse(n->text, n->len, &ms) != 0 || ms < LOOKBACK_MS) {
		return 0;
	}
	fprintf(stderr,
		"%s:%d:%d: lint: scrape_interval %s of %s is not below the lookback of 5m: its "
		"series would come and go\n",
		n->file, n->line, n->column, n->text, what);
	return 1;
}

static size_t lint_config(const char *file)
{
	struct ops_arena arena;
	struct ops_conf_node *root = NULL;
	struct ops_error err;
	const struct ops_conf_options opt = {.expand_env = true, .keep_unset = true};
	size_t found = 0;
	ops_arena_init(&arena);
	if (ops_conf_load_file(&arena, file, &opt, &root, &err) == 0) {
		const struct ops_conf_node *jobs = ops_conf_get(root, "scrape_configs");
		found = lint_interval(ops_conf_get(root, "global"), "global");
		for (size_t i = 0; jobs != NULL && i < jobs->n; i++) {
			const struct ops_conf_node *name = ops_conf_get(jobs->items[i], "job_name");
			found += lint_interval(jobs->items[i], name != NULL ? name->text : "a job");
		}
	}
	ops_arena_done(&arena);
	return found;
}

/* The services read prometheus.yml and alertmanager.yml through a file of their own, which exists
 * in memory only. */
static int check_through(enum ctl_service s, const char *text)
{
	OPS_CLEANUP(ops_closep) int fd = memfd_create("check.yml", 0);
	if (fd < 0 || ops_write_all(fd, text, strlen(text)) != 0) {
		return ctl_fail(CTL_FAILED, "could not prepare the check: %s", strerror(errno));
	}
	OPS_CLEANUP(ops_freep) char *name = ops_xasprintf("/proc/self/fd/%d", fd);
	const char *const args[] = {"--check", "--config", name, NULL};
	return ctl_run_service(s, args, true);
}

static int check_by_services(const char *path)
{
	OPS_CLEANUP(ops_freep) char *line = ops_xasprintf("scrape_config_file: '%s'\n", path);
	/* The values are the detector's to say: any of the right kind will do here. */
	OPS_CLEANUP(ops_freep)
	char *more = ops_xasprintf("%srule_variables: {RULE_WINDOW: 5m, RULE_FOR: 3m}\n", line);
	int code = check_through(CTL_COLLECTOR, line);
	return code == CTL_OK ? check_through(CTL_DETECTOR, more) : code;
}

/* As it stands in a text between single quotes. */
static bool real_path(const char *file, char path[PATH_MAX])
{
	if (realpath(file, path) == NULL) {
		ctl_fail(CTL_CONFIG, "%s: %s", file, strerror(errno));
		return false;
	}
	if (strchr(path, '\'') != NULL) {
		ctl_fail(CTL_CONFIG, "%s: a path with a quote cannot be checked", path);
		return false;
	}
	return true;
}

static void check_prometheus(struct check *k, const char *file)
{
	char path[PATH_MAX];
	const char *lint = ctl_flag(k->ctl, "lint");
	if (!real_path(file, path)) {
		add_verdict(k, file, "prometheus", CTL_CONFIG);
		return;
	}
	int code = check_by_services(path);
	if (code == CTL_OK && (lint == NULL || strcmp(lint, "none") != 0)) {
		bool found = lint_config(path) > 0;
		code = found && ctl_flag(k->ctl, "lint-fatal") != NULL ? CTL_CONFIG : CTL_OK;
	}
	if (code == CTL_OK && !k->ctl->json) {
		printf("%s: good, and so are the rule files that it names\n", file);
	}
	add_verdict(k, file, "prometheus", code);
}

/* ---- alertmanager.yml ---- */

static void check_alertmanager(struct check *k, const char *file)
{
	char path[PATH_MAX];
	int code = CTL_CONFIG;
	if (real_path(file, path)) {
		OPS_CLEANUP(ops_freep)
		char *line = ops_xasprintf("alertmanager_config_file: '%s'\n", path);
		code = check_through(CTL_ALERTMANAGER, line);
	}
	if (code == CTL_OK && !k->ctl->json) {
		printf("%s: good\n", file);
	}
	add_verdict(k, file, "alertmanager", code);
}

/* ---- what a file is ---- */

typedef void check_fn(struct check *k, const char *file);

static void check_unnamed(struct check *k, const char *file)
{
	ctl_fail(CTL_CONFIG, "%s is a service's file: opsctl check --service SERVICE says whose",
		file);
	add_verdict(k, file, "service", CTL_CONFIG);
}

static void check_tests(struct check *k, const char *file)
{
	ctl_fail(CTL_CONFIG, "%s has tests of rules: opsctl test rules runs them", file);
	add_verdict(k, file, "tests", CTL_CONFIG);
}

/* By its keys; what cannot be read is for whom it is meant for. */
static check_fn *kind_of(const char *file, check_fn *otherwise)
{
	static const struct {
		const char *key;
		check_fn *fn;
	} signs[] = {{"tests", check_tests}, {"groups", check_rules},
		{"scrape_configs", check_prometheus}, {"rule_files", check_prometheus},
		{"remote_write", check_prometheus}, {"route", check_alertmanager},
		{"receivers", check_alertmanager}, {"listen", check_unnamed},
		{"state_dir", check_unnamed}, {"bus", check_unnamed}};
	struct ops_arena arena;
	struct ops_conf_node *root = NULL;
	struct ops_error ignored;
	bool more;
	const struct ops_conf_options opt = {
		.expand_env = true, .keep_unset = true, .ret_more = &more};
	check_fn *found = NULL;
	ops_arena_init(&arena);
	if (ops_conf_load_file(&arena, file, &opt, &root, &ignored) == 0) {
		for (size_t i = 0; i < OPS_LENGTH(signs) && found == NULL; i++) {
			found = ops_conf_get(root, signs[i].key) != NULL ? signs[i].fn : NULL;
		}
	}
	ops_arena_done(&arena);
	return found != NULL ? found : otherwise;
}

/* ---- commands ---- */

static int run_check(struct ctl *c)
{
	const char *named = ctl_flag(c, "service");
	enum ctl_service service = CTL_DETECTOR;
	if (named != NULL && !ctl_is_service(named, &service)) {
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
		if (named != NULL || service_of(c->args[i], &service)) {
			check_service(&k, service, c->args[i]);
		} else {
			kind_of(c->args[i], check_rules)(&k, c->args[i]);
		}
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
		check_rules(&k, c->args[i]);
	}
	return finish_check(&k);
}

static int run_check_config(struct ctl *c)
{
	if (c->nargs == 0) {
		return ctl_usage(c, "which files?");
	}
	struct check k = {.ctl = c, .files = json_array()};
	for (int i = 0; i < c->nargs; i++) {
		enum ctl_service service;
		if (service_of(c->args[i], &service)) {
			check_service(&k, service, c->args[i]);
		} else {
			kind_of(c->args[i], check_prometheus)(&k, c->args[i]);
		}
	}
	return finish_check(&k);
}

static int run_test_rules(struct ctl *c)
{
	const char *args[CTL_ARGS_MAX + 12] = {"--test-rules"};
	static const char *const valued[][2] = {{"junit", "--junit"}, {"run", "--run"}};
	size_t n = 1;
	if (c->nargs == 0) {
		return ctl_usage(c, "which files?");
	}
	for (size_t i = 0; i < OPS_LENGTH(valued); i++) {
		if (ctl_flag(c, valued[i][0]) != NULL) {
			args[n++] = valued[i][1];
			args[n++] = ctl_flag(c, valued[i][0]);
		}
	}
	if (ctl_flag(c, "debug") != NULL) {
		args[n++] = "--debug";
	}
	if (c->json) {
		args[n++] = "--json";
	}
	args[n++] = "--";
	for (int i = 0; i < c->nargs; i++) {
		args[n++] = c->args[i];
	}
	return ctl_run_service(CTL_DETECTOR, args, false);
}

#define LINT_FLAGS                                                                                 \
	{"lint", "LIST", "all (default) or none"},                                                 \
	{                                                                                          \
		"lint-fatal", NULL, "what lint finds is an error"                                  \
	}

const struct ctl_command ctl_check_commands[] = {
	{"check", "[FILE...] [--service SERVICE]",
		"validate configuration: a service's file, prometheus.yml, alertmanager.yml or a "
		"rule "
		"file; without FILE all in OPS_CONFIG_DIR",
		{{"service", "SERVICE", "whose file it is, when its name does not say"}},
		run_check},
	{"check metrics", "[--format FORMAT] [--legacy-names] [--no-lint] [FILE...]",
		"validate what an exporter exposes and give advice on it; without FILE standard "
		"input",
		{{"format", "FORMAT",
			 "prometheus (as scraped), openmetrics (strict) or expfmt (strict text "
			 "format; default)"},
			{"legacy-names", NULL, "refuse UTF-8 names (expfmt)"},
			{"no-lint", NULL, "no advice"}},
		ctl_check_metrics},
	{"check rules", "FILE... [--lint LIST] [--lint-fatal] [--against URL]",
		"validate rule files",
		{LINT_FLAGS, {"against", "URL",
				     "also report selectors that match no series of this server"}},
		run_check_rules},
	{"check config", "FILE... [--lint LIST] [--lint-fatal]",
		"validate a prometheus.yml and the rule files that it names, an alertmanager.yml, "
		"or a "
		"service's file",
		{LINT_FLAGS}, run_check_config},
	{"test rules", "FILE... [--run REGEXP] [--junit FILE] [--debug]",
		"run unit tests of rules, as promtool does",
		{{"run", "REGEXP", "only tests whose name it matches"},
			{"junit", "FILE", "write the results as JUnit XML, too"},
			{"debug", NULL, "show the alerts after each evaluation"}},
		run_test_rules},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
