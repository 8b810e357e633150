/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The conformance runner: reads files of third-party cases and runs each case against our code.
 * A kind is a folder of cases and a function that runs one of them; main.c holds the table.
 */
#include "common/base/def.h"

#include <jansson.h>

struct ops_strbuf;

struct conformance_run {
	const char *path; /* file being read */
	size_t passed, failed;
};

struct conformance_kind {
	const char *name;
	/* Runs one case of the file document and ends with conformance_pass or _fail. */
	void (*run_case)(struct conformance_run *run, const json_t *file, const json_t *c);
	/* Instead of run_case, for files that are not JSON: the whole of run->path. -1: unreadable.
	 */
	int (*run_file)(struct conformance_run *run);
	/* Prints further scores; may be NULL. */
	void (*summary)(void);
	size_t json_flags; /* of jansson, beside the usual ones */
};

extern const struct conformance_kind conformance_promql_parser;
extern const struct conformance_kind conformance_durations;
extern const struct conformance_kind conformance_exposition, conformance_exposition_payload;
extern const struct conformance_kind conformance_relabel;
extern const struct conformance_kind conformance_rules, conformance_templates;
extern const struct conformance_kind conformance_matchers;
extern const struct conformance_kind conformance_am_config, conformance_am_routes,
	conformance_am_templates;
extern const struct conformance_kind conformance_am_intervals, conformance_am_inhibition,
	conformance_am_silences;
extern const struct conformance_kind conformance_promql;

void conformance_pass(struct conformance_run *run);
/* Says which case failed and why: got and wanted are NUL-terminated texts. */
void conformance_fail(
	struct conformance_run *run, const json_t *c, const char *got, const char *wanted);
/* Pass when equal. */
void conformance_equal(
	struct conformance_run *run, const json_t *c, const char *got, const char *wanted);

/* Text member of a case: a string, or {"b64": "..."}. False when it is neither. */
bool conformance_text(const json_t *c, const char *key, struct ops_strbuf *out);
/* Number member: a JSON number, or "NaN", "+Inf", "-Inf", or a numeric string. */
bool conformance_number(const json_t *value, double *ret);

/* Appends the lines of text with `by` in front of each; empty lines and document marks are left
 * out. */
void conformance_indent(struct ops_strbuf *out, const char *text, const char *by);
