/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of rules: the whole of a test file passes or fails as the collection says, run as
 * `opsctl test rules` runs it.
 *
 * Rule files: accepted or refused, with the checks of the detector's start. The verdict to match is
 * promtool's; where the project that the file comes from has changed its mind since, ours may be
 * the newer one, and such files are listed.
 */
#include "tests/conformance/conformance.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/detector/rules/rules.h"
#include "services/detector/ruletest/ruletest.h"

static size_t newer;

static size_t count_rules(const char *path)
{
	struct ops_arena arena;
	struct ops_rule_groups groups = {NULL, 0, 0};
	struct ops_error err;
	size_t n = 0;
	ops_arena_init(&arena);
	if (ops_rules_load_file(&arena, path, NULL, &groups, NULL, &err) == 0) {
		for (size_t i = 0; i < groups.n; i++) {
			n += groups.items[i].n;
		}
	}
	free(groups.items);
	ops_arena_done(&arena);
	return n;
}

static void run_unit_case(struct conformance_run *run, const json_t *c, const char *expect)
{
	const char *name = json_string_value(json_object_get(c, "file"));
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(run->path);
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, name != NULL ? name : "");
	const struct det_ruletest_options options = {.run = NULL};
	struct det_ruletest_report report;
	struct ops_error err = {.line = 0};
	struct ops_strbuf text = OPS_STRBUF_INIT;
	char what[1200];
	int rc = det_ruletest_run(path, &options, &report, &err);
	ops_strbuf_adds(&text, rc == 0 ? "pass" : "fail");
	if (strcmp(expect, rc == 0 ? "pass" : "fail") == 0) {
		conformance_pass(run);
	} else {
		ops_strbuf_printf(
			&text, ": %s", rc < 0 ? ops_error_text(&err, what, sizeof(what)) : "");
		for (size_t i = 0; i < report.n; i++) {
			for (size_t k = 0; k < report.cases[i].n; k++) {
				ops_strbuf_printf(&text, "\n%s", report.cases[i].failures[k]);
			}
		}
		conformance_fail(run, c, ops_strbuf_text(&text), expect);
	}
	ops_strbuf_done(&text);
	det_ruletest_report_done(&report);
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	(void)file;
	const char *expect = json_string_value(json_object_get(c, "expect"));
	if (expect != NULL) {
		run_unit_case(run, c, expect);
		return;
	}
	const char *promtool = json_string_value(json_object_get(c, "promtool_2_42"));
	const char *upstream = json_string_value(json_object_get(c, "upstream"));
	const char *name = json_string_value(json_object_get(c, "file"));
	if (promtool == NULL || upstream == NULL || name == NULL) {
		conformance_fail(run, c, "unknown form", "");
		return;
	}
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(run->path);
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, name);
	const char *files[] = {path};
	const struct det_rules_set set = {.files = files, .nfiles = 1};
	struct ops_error err = {.line = 0};
	char text[1200] = "accepted";
	bool accepted = det_rules_check(&set, NULL, &err) == 0;
	if (!accepted) {
		ops_error_text(&err, text, sizeof(text));
	}
	bool same = accepted == (strcmp(promtool, "accepted") == 0);
	bool changed = !same && strstr(upstream, "vmalert") == NULL &&
		       accepted == ops_str_starts(upstream, "accepted");
	json_int_t rules = json_integer_value(json_object_get(c, "rules"));
	if (changed) {
		printf("%s: %s as upstream says: %s\n", name, accepted ? "accepted" : "refused",
			upstream);
		newer++;
	}
	if (!same && !changed) {
		conformance_fail(run, c, text, promtool);
	} else if (same && accepted && (size_t)rules != count_rules(path)) {
		conformance_fail(run, c, "another number of rules", "");
	} else {
		conformance_pass(run);
	}
}

static void summary(void)
{
	if (newer == 0) {
		return;
	}
	printf("%zu of them as upstream says now and promtool 2.42 did not\n", newer);
}

const struct conformance_kind conformance_rules = {
	.name = "rules", .run_case = run_case, .summary = summary};
