/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of the duration parser and of the humanize functions of templates. */
#include "tests/conformance/conformance.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/promql/humanize.h"

static bool parse_signed(const char *s, size_t len, int64_t *ret_ms)
{
	bool negative = len > 0 && s[0] == '-';
	if (ops_duration_parse(s + negative, len - negative, ret_ms) != 0) {
		return false;
	}
	*ret_ms = negative ? -*ret_ms : *ret_ms;
	return true;
}

/* "ok ok 5000 5s" or "refused refused": both parsers, the value, its text. */
static void run_duration(struct conformance_run *run, const json_t *c)
{
	struct ops_strbuf input = OPS_STRBUF_INIT;
	char got[128], wanted[128], text[64];
	int64_t plain = 0, ms = 0;
	bool known = conformance_text(c, "input", &input);
	const char *s = ops_strbuf_text(&input);
	bool ok = known && ops_duration_parse(s, input.len, &plain) == 0;
	bool ok_signed = known && parse_signed(s, input.len, &ms);
	bool want = json_is_true(json_object_get(c, "ok"));
	bool want_signed = json_is_true(json_object_get(c, "ok_if_negative_allowed"));

	snprintf(got, sizeof(got), "%s %s", ok ? "ok" : "refused", ok_signed ? "ok" : "refused");
	snprintf(wanted, sizeof(wanted), "%s %s", want ? "ok" : "refused",
		want_signed ? "ok" : "refused");
	if (ok_signed && want_signed) {
		const char *printed = json_string_value(json_object_get(c, "printed"));
		snprintf(got + strlen(got), sizeof(got) - strlen(got), " %lld %s", (long long)ms,
			ops_duration_format(ms, text, sizeof(text)));
		snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), " %lld %s",
			(long long)json_integer_value(json_object_get(c, "milliseconds")),
			printed != NULL ? printed : "?");
	}
	conformance_equal(run, c, known ? got : "unknown form", wanted);
	ops_strbuf_done(&input);
}

static void run_humanize(struct conformance_run *run, const json_t *c, const char *function)
{
	static const struct {
		const char *name;
		char *(*fn)(double, char *);
	} functions[] = {
		{"humanize", ops_humanize},
		{"humanize1024", ops_humanize_1024},
		{"humanizeDuration", ops_humanize_duration},
		{"humanizePercentage", ops_humanize_percentage},
	};
	const char *wanted = json_string_value(json_object_get(c, "output"));
	char got[OPS_HUMANIZE_MAX] = "unknown function or input";
	double v = 0;
	bool known = conformance_number(json_object_get(c, "input"), &v);
	for (size_t i = 0; known && i < OPS_LENGTH(functions); i++) {
		if (strcmp(functions[i].name, function) == 0) {
			(void)functions[i].fn(v, got);
		}
	}
	if (known && strcmp(function, "humanizeTimestamp") == 0 &&
		ops_humanize_timestamp(v, got) != 0) {
		snprintf(got, sizeof(got), "(error)");
	}
	conformance_equal(run, c, got, wanted != NULL ? wanted : "(error)");
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	(void)file;
	const char *function = json_string_value(json_object_get(c, "function"));
	if (function != NULL) {
		run_humanize(run, c, function);
	} else {
		run_duration(run, c);
	}
}

const struct conformance_kind conformance_durations = {
	.name = "durations",
	.run_case = run_case,
};
