/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of rule tests and its three outputs: for people as promtool writes it, JSON for
 * scripts, JUnit for whatever shows tests.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/log/log.h"
#include "services/detector/ruletest/internal.h"

enum {
	EXIT_FAILED_TEST = 1,
	EXIT_USAGE = 2,
	EXIT_BROKEN = 3
};

struct outcome { /* of one file */
	struct det_ruletest_report report;
	struct ops_error error;
	int rc;
};

static bool passed(const struct det_ruletest_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		if (r->cases[i].n > 0) {
			return false;
		}
	}
	return true;
}

/* ---- people ---- */

void det_ruletest_print(const struct det_ruletest_report *r, const struct ops_error *broken)
{
	for (size_t i = 0; i < r->nwarnings; i++) {
		fprintf(stderr, "  WARNING: %s\n", r->warnings[i]);
	}
	if (broken == NULL && passed(r)) {
		printf("  SUCCESS\n\n");
		return;
	}
	fflush(stdout);
	fprintf(stderr, "  FAILED:\n");
	if (broken != NULL) {
		char text[1200];
		fprintf(stderr, "    %s\n", ops_error_text(broken, text, sizeof(text)));
	}
	for (size_t i = 0; i < r->n; i++) {
		for (size_t k = 0; k < r->cases[i].n; k++) {
			fprintf(stderr, "%s\n", r->cases[i].failures[k]);
		}
	}
	printf("\n");
	fflush(stdout);
}

/* ---- scripts ---- */

static json_t *case_json(const struct det_ruletest_case *c)
{
	json_t *one = json_object(), *failures = json_array();
	ops_json_set_string(one, "name", c->name);
	ops_json_set_i64(one, "line", c->line);
	ops_json_set_string(one, "outcome",
		c->skipped ? "skipped"
		: c->n > 0 ? "failed"
			   : "passed");
	ops_json_set_i64(one, "duration_ns", c->duration_ns);
	for (size_t i = 0; i < c->n; i++) {
		json_array_append_new(failures, json_string(c->failures[i]));
	}
	ops_json_set(one, "failures", failures);
	return one;
}

static json_t *report_json(const struct det_ruletest_report *r, const struct ops_error *broken)
{
	json_t *one = json_object(), *tests = json_array(), *warnings = json_array();
	ops_json_set_string(one, "file", r->file);
	ops_json_set_bool(one, "passed", broken == NULL && passed(r));
	if (broken != NULL) {
		char text[1200];
		ops_json_set_string(one, "error", ops_error_text(broken, text, sizeof(text)));
	}
	for (size_t i = 0; i < r->nwarnings; i++) {
		json_array_append_new(warnings, json_string(r->warnings[i]));
	}
	for (size_t i = 0; i < r->n; i++) {
		json_array_append_new(tests, case_json(&r->cases[i]));
	}
	ops_json_set(one, "warnings", warnings);
	ops_json_set(one, "tests", tests);
	return one;
}

static void print_json(const struct outcome *files, size_t n)
{
	OPS_JSON_AUTO *all = json_array();
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(all,
			report_json(&files[i].report, files[i].rc < 0 ? &files[i].error : NULL));
	}
	char *text = ops_json_text(all);
	puts(text);
	free(text);
}

/* ---- JUnit ---- */

/* XML knows no control characters but three; they become a question mark. */
static void add_xml(struct ops_strbuf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		switch (*s) {
		case '&':
			ops_strbuf_adds(out, "&amp;");
			break;
		case '<':
			ops_strbuf_adds(out, "&lt;");
			break;
		case '>':
			ops_strbuf_adds(out, "&gt;");
			break;
		case '"':
			ops_strbuf_adds(out, "&quot;");
			break;
		case '\n':
			ops_strbuf_adds(out, "&#10;");
			break;
		default:
			ops_strbuf_addc(out, (unsigned char)*s < 0x20 && *s != '\t' ? '?' : *s);
			break;
		}
	}
}

static void junit_case(const struct det_ruletest_case *c, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, "    <testcase name=\"");
	if (c->name[0] != '\0') {
		add_xml(out, c->name);
	} else {
		ops_strbuf_printf(out, "line %d", c->line);
	}
	ops_strbuf_printf(out, "\" time=\"%.6f\">", (double)c->duration_ns / 1e9);
	ops_strbuf_adds(out, c->skipped ? "<skipped/>" : "");
	for (size_t i = 0; i < c->n; i++) {
		ops_strbuf_adds(out, "\n      <failure message=\"");
		add_xml(out, c->failures[i]);
		ops_strbuf_adds(out, "\"/>");
	}
	ops_strbuf_adds(out, "</testcase>\n");
}

static void junit_suite(const struct outcome *o, struct ops_strbuf *out)
{
	const struct det_ruletest_report *r = &o->report;
	size_t failed = 0, skipped = 0, broken = o->rc < 0;
	for (size_t i = 0; i < r->n; i++) {
		failed += r->cases[i].n > 0;
		skipped += r->cases[i].skipped;
	}
	ops_strbuf_adds(out, "  <testsuite name=\"");
	add_xml(out, r->file);
	ops_strbuf_printf(out,
		"\" tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\">\n",
		r->n + broken, failed, broken, skipped);
	if (o->rc < 0) {
		char text[1200];
		ops_strbuf_adds(out, "    <testcase name=\"load\"><error message=\"");
		add_xml(out, ops_error_text(&o->error, text, sizeof(text)));
		ops_strbuf_adds(out, "\"/></testcase>\n");
	}
	for (size_t i = 0; i < r->n; i++) {
		junit_case(&r->cases[i], out);
	}
	ops_strbuf_adds(out, "  </testsuite>\n");
}

static int write_junit(const char *path, const struct outcome *files, size_t n)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
	for (size_t i = 0; i < n; i++) {
		junit_suite(&files[i], &out);
	}
	ops_strbuf_adds(&out, "</testsuites>\n");
	return ops_file_write_atomic(path, out.data, out.len, 0644);
}

/* ---- the command line ---- */

struct flags {
	bool json;
	const char *junit;
	struct ops_regex *run;
	struct det_ruletest_options options;
};

static int usage(const char *what)
{
	fprintf(stderr,
		"ops-detector: %s\n"
		"usage: ops-detector --test-rules [--json] [--debug] [--junit FILE] [--run REGEXP] "
		"FILE...\n",
		what);
	return EXIT_USAGE;
}

/* promtool's expression may match anywhere in the name. */
static int take_run(struct flags *f, const char *pattern)
{
	OPS_CLEANUP(ops_freep) char *anywhere = ops_xasprintf("(?s:.*)(?:%s)(?s:.*)", pattern);
	struct ops_error err;
	ops_regex_free(f->run);
	f->run = NULL;
	if (ops_regex_new(anywhere, strlen(anywhere), &f->run, &err) != 0) {
		return usage(err.message);
	}
	f->options.run = f->run;
	return 0;
}

static int take_flags(struct flags *f, int argc, char **argv)
{
	static const struct option known[] = {{"json", no_argument, NULL, 'J'},
		{"debug", no_argument, NULL, 'd'}, {"junit", required_argument, NULL, 'j'},
		{"run", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
	int c, rc = 0;
	opterr = 0;
	optind = 1;
	while (rc == 0 && (c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'J') {
			f->json = true;
		} else if (c == 'd') {
			f->options.debug = true;
		} else if (c == 'j') {
			f->junit = optarg;
		} else if (c == 'r') {
			rc = take_run(f, optarg);
		} else {
			rc = usage("unknown or incomplete option");
		}
	}
	f->options.debug = f->options.debug && !f->json;
	return rc == 0 && optind == argc ? usage("which files?") : rc;
}

static int run_files(const struct flags *f, char **names, struct outcome *files, size_t n)
{
	int worst = 0;
	for (size_t i = 0; i < n; i++) {
		struct outcome *o = &files[i];
		if (!f->json) {
			printf("Unit Testing:  %s\n", names[i]);
			fflush(stdout);
		}
		o->rc = det_ruletest_run(names[i], &f->options, &o->report, &o->error);
		if (!f->json) {
			det_ruletest_print(&o->report, o->rc < 0 ? &o->error : NULL);
		}
		int code = o->rc < 0 ? EXIT_BROKEN : o->rc > 0 ? EXIT_FAILED_TEST : 0;
		worst = OPS_MAX(worst, code);
	}
	return worst;
}

int det_ruletest_main(int argc, char **argv)
{
	struct flags f = {.json = false};
	int code = take_flags(&f, argc, argv);
	if (code != 0) {
		ops_regex_free(f.run);
		return code;
	}
	size_t n = (size_t)(argc - optind);
	struct outcome *files = ops_xcalloc(n, sizeof(*files));
	ops_log_set_level(OPS_LOG_ERROR); /* a rule that fails is told by its test */
	code = run_files(&f, argv + optind, files, n);
	if (f.json) {
		print_json(files, n);
	}
	int rc = f.junit != NULL ? write_junit(f.junit, files, n) : 0;
	if (rc != 0) {
		fprintf(stderr, "ops-detector: could not write %s: %s\n", f.junit, strerror(-rc));
		code = OPS_MAX(code, EXIT_FAILED_TEST);
	}
	for (size_t i = 0; i < n; i++) {
		det_ruletest_report_done(&files[i].report);
	}
	free(files);
	ops_regex_free(f.run);
	return code;
}
