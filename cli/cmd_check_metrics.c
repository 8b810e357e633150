/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check metrics: whether a document of metrics is what a profile takes, and what in it is unwise.
 * Exit codes as promtool's: 0 good, 1 refused, 3 accepted with advice.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/ctl.h"
#include "common/base/file.h"
#include "common/exposition/check.h"

enum {
	LINTED = 3
};
#define DOCUMENT_MAX ((size_t)256 << 20)

static const struct {
	const char *name;
	enum ops_exposition_profile profile;
} profiles[] = {{"prometheus", OPS_PROFILE_PROMETHEUS}, {"openmetrics", OPS_PROFILE_OPENMETRICS},
	{"expfmt", OPS_PROFILE_EXPFMT}};

struct metrics_check {
	const char *file; /* as it is shown */
	json_t *advice;	  /* NULL: printed */
	size_t nadvice;
};

static void on_lint(void *arg, const char *metric, const char *problem)
{
	struct metrics_check *k = arg;
	k->nadvice++;
	if (k->advice != NULL) {
		json_t *one = json_object();
		ops_json_set_string(one, "metric", metric);
		ops_json_set_string(one, "problem", problem);
		json_array_append_new(k->advice, one);
	} else {
		fprintf(stderr, "%s %s\n", metric, problem);
	}
}

static int read_stdin(struct ops_strbuf *out)
{
	char buf[64 * 1024];
	for (;;) {
		ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			return n == 0 ? 0 : -errno;
		}
		if (out->len + (size_t)n > DOCUMENT_MAX) {
			return -EFBIG;
		}
		ops_strbuf_add(out, buf, (size_t)n);
	}
}

static int read_document(const struct ctl *c, int i, struct ops_strbuf *out)
{
	bool from_stdin = c->nargs == 0 || strcmp(c->args[i], "-") == 0;
	int r = from_stdin ? read_stdin(out) : ops_file_read(c->args[i], DOCUMENT_MAX, out);
	return r == 0 ? CTL_OK
		      : ctl_fail(CTL_FAILED, "could not read %s: %s",
				from_stdin ? "standard input" : c->args[i], strerror(-r));
}

static json_t *error_json(const struct ops_error *err)
{
	json_t *e = json_object();
	ops_json_set(e, "line", json_integer(err->line));
	ops_json_set(e, "column", json_integer(err->column));
	ops_json_set_string(e, "message", err->message);
	return e;
}

/* The verdict of one document; with --json it goes into result. */
static int check_document(const struct ctl *c, struct ops_exposition_check *check,
	struct metrics_check *k, const struct ops_strbuf *text, json_t *result)
{
	struct ops_error err;
	check->arg = k;
	k->advice = c->json ? json_array() : NULL;
	int r = ops_exposition_check(check, ops_strbuf_text(text), text->len, &err);
	if (c->json) {
		json_t *one = json_object();
		ops_json_set_string(one, "file", k->file);
		ops_json_set_bool(one, "good", r == 0);
		ops_json_set(one, "samples", json_integer((json_int_t)check->samples));
		ops_json_set(one, "advice", k->advice);
		if (r != 0) {
			ops_json_set(one, "error", error_json(&err));
		}
		json_array_append_new(result, one);
	}
	if (r != 0) {
		snprintf(err.file, sizeof(err.file), "%s", k->file);
		return c->json ? CTL_FAILED : ctl_fail_error(CTL_FAILED, &err);
	}
	return k->nadvice > 0 ? LINTED : CTL_OK;
}

static int find_profile(const struct ctl *c, enum ops_exposition_profile *ret)
{
	const char *name = ctl_flag(c, "format") != NULL ? ctl_flag(c, "format") : "expfmt";
	for (size_t i = 0; i < OPS_LENGTH(profiles); i++) {
		if (strcmp(profiles[i].name, name) == 0) {
			*ret = profiles[i].profile;
			return CTL_OK;
		}
	}
	return ctl_usage(c, "no format \"%s\"; prometheus, openmetrics or expfmt", name);
}

int ctl_check_metrics(struct ctl *c)
{
	struct ops_exposition_check check = {.legacy_names = ctl_flag(c, "legacy-names") != NULL,
		.on_lint = ctl_flag(c, "no-lint") != NULL ? NULL : on_lint};
	int worst = find_profile(c, &check.profile);
	if (worst != CTL_OK) {
		return worst;
	}
	json_t *result = json_array();
	for (int i = 0; i < c->nargs || i == 0; i++) {
		OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
		struct metrics_check k = {.file = c->nargs > 0 ? c->args[i] : "<stdin>"};
		int code = read_document(c, i, &text);
		if (code == CTL_OK) {
			code = check_document(c, &check, &k, &text, result);
		}
		bool worse = worst == CTL_OK || (worst == LINTED && code != CTL_OK);
		worst = worse ? code : worst;
	}
	if (c->json) {
		ctl_print_json(result);
	}
	json_decref(result);
	return worst;
}
