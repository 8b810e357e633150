/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops-conformance KIND FILE...: prints each case that fails and ends with "N passed, N failed";
 * exit 1 when one failed. A case of a form that the kind does not know counts as failed, so that
 * nothing is skipped unseen.
 */
#include "tests/conformance/conformance.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

#define MAX_FILE_BYTES ((size_t)64 << 20)

static const struct conformance_kind *const kinds[] = {
	&conformance_am_config,
	&conformance_am_inhibition,
	&conformance_am_intervals,
	&conformance_am_routes,
	&conformance_am_silences,
	&conformance_am_templates,
	&conformance_durations,
	&conformance_exposition,
	&conformance_exposition_payload,
	&conformance_matchers,
	&conformance_promql,
	&conformance_promql_parser,
	&conformance_relabel,
	&conformance_rules,
	&conformance_templates,
};

void conformance_pass(struct conformance_run *run)
{
	run->passed++;
}

static const char *id_of(const json_t *c)
{
	const char *id = json_string_value(json_object_get(c, "id"));
	return id != NULL ? id : json_string_value(json_object_get(c, "file"));
}

void conformance_fail(
	struct conformance_run *run, const json_t *c, const char *got, const char *wanted)
{
	struct ops_strbuf input = OPS_STRBUF_INIT;
	const char *id = id_of(c);
	if (!conformance_text(c, "input", &input)) {
		char *text = json_dumps(json_object_get(c, "input"), JSON_ENCODE_ANY);
		ops_strbuf_adds(&input, text != NULL ? text : "");
		free(text);
	}
	printf("%s: %s\n  input:  %s\n  got:    %s\n  wanted: %s\n", run->path,
		id != NULL ? id : "?", ops_strbuf_text(&input), got, wanted);
	ops_strbuf_done(&input);
	run->failed++;
}

void conformance_equal(
	struct conformance_run *run, const json_t *c, const char *got, const char *wanted)
{
	if (wanted != NULL && strcmp(got, wanted) == 0) {
		conformance_pass(run);
	} else {
		conformance_fail(run, c, got, wanted != NULL ? wanted : "(no such member)");
	}
}

bool conformance_text(const json_t *c, const char *key, struct ops_strbuf *out)
{
	const json_t *v = json_object_get(c, key);
	if (json_is_string(v)) {
		ops_strbuf_add(out, json_string_value(v), json_string_length(v));
		return true;
	}
	const json_t *b64 = json_object_get(v, "b64");
	void *data = NULL;
	size_t len = 0;
	if (!json_is_string(b64) || ops_base64_decode(json_string_value(b64),
					    json_string_length(b64), &data, &len) != 0) {
		return false;
	}
	ops_strbuf_add(out, data, len);
	free(data);
	return true;
}

bool conformance_number(const json_t *value, double *ret)
{
	if (json_is_string(value)) {
		return ops_parse_double(json_string_value(value), json_string_length(value), ret) ==
		       0;
	}
	*ret = json_number_value(value);
	return json_is_number(value);
}

static int run_file(const struct conformance_kind *kind, struct conformance_run *run)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	json_error_t error;
	int r = ops_file_read(run->path, MAX_FILE_BYTES, &text);
	json_t *file =
		r == 0 ? json_loadb(ops_strbuf_text(&text), text.len, kind->json_flags, &error)
		       : NULL;
	ops_strbuf_done(&text);
	const json_t *cases = json_object_get(file, "cases");
	if (!json_is_array(cases)) {
		fprintf(stderr, "%s: could not read its cases: %s\n", run->path,
			r != 0	       ? strerror(-r)
			: file == NULL ? error.text
				       : "no such array");
		json_decref(file);
		return -1;
	}
	for (size_t i = 0; i < json_array_size(cases); i++) {
		kind->run_case(run, file, json_array_get(cases, i));
	}
	json_decref(file);
	return 0;
}

static const struct conformance_kind *find_kind(const char *name)
{
	for (size_t i = 0; i < OPS_LENGTH(kinds); i++) {
		if (strcmp(kinds[i]->name, name) == 0) {
			return kinds[i];
		}
	}
	return NULL;
}

static int usage(void)
{
	fprintf(stderr, "usage: ops-conformance KIND FILE...\nkinds:");
	for (size_t i = 0; i < OPS_LENGTH(kinds); i++) {
		fprintf(stderr, " %s", kinds[i]->name);
	}
	fprintf(stderr, "\n");
	return 2;
}

int main(int argc, char **argv)
{
	const struct conformance_kind *kind = argc > 2 ? find_kind(argv[1]) : NULL;
	struct conformance_run run = {0};
	bool unread = false;
	if (kind == NULL) {
		return usage();
	}
	for (int i = 2; i < argc; i++) {
		run.path = argv[i];
		int rc = kind->run_file != NULL ? kind->run_file(&run) : run_file(kind, &run);
		unread = rc != 0 || unread;
	}
	if (kind->summary != NULL) {
		kind->summary();
	}
	printf("%zu passed, %zu failed\n", run.passed, run.failed);
	return run.failed != 0 || unread ? 1 : 0;
}
