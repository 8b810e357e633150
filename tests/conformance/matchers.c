/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of Alertmanager's matchers: reading in each grammar, printing, matching, names of labels.
 */
#include "tests/conformance/conformance.h"

#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/model/matcher.h"

static bool find_op(const json_t *c, enum ops_match_op *ret)
{
	static const enum ops_match_op all[] = {
		OPS_MATCH_EQ, OPS_MATCH_NE, OPS_MATCH_RE, OPS_MATCH_NRE};
	const char *text = json_string_value(json_object_get(c, "op"));
	for (size_t i = 0; text != NULL && i < OPS_LENGTH(all); i++) {
		if (strcmp(ops_match_op_text(all[i]), text) == 0) {
			*ret = all[i];
			return true;
		}
	}
	return false;
}

static bool find_syntax(const json_t *c, enum ops_matcher_syntax *ret)
{
	const char *mode = json_string_value(json_object_get(c, "mode"));
	if (mode == NULL)
		return false;
	*ret = strcmp(mode, "classic") == 0 ? OPS_MATCHER_CLASSIC
	       : strcmp(mode, "utf8") == 0  ? OPS_MATCHER_UTF8
					    : OPS_MATCHER_FALLBACK;
	return *ret != OPS_MATCHER_FALLBACK || strcmp(mode, "fallback") == 0;
}

/* name, op and text of each, with separators that cannot be confused with them. */
static void describe(struct ops_strbuf *out, const char *name, const char *op, const char *value)
{
	ops_strbuf_add_json(out, name, strlen(name));
	ops_strbuf_adds(out, op);
	ops_strbuf_add_json(out, value, strlen(value));
	ops_strbuf_addc(out, ' ');
}

static void describe_wanted(const json_t *c, struct ops_strbuf *out)
{
	const json_t *list = json_object_get(c, "matchers");
	if (!json_is_true(json_object_get(c, "accepted"))) {
		ops_strbuf_adds(out, "refused");
		return;
	}
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *m = json_array_get(list, i);
		struct ops_strbuf name = OPS_STRBUF_INIT, value = OPS_STRBUF_INIT;
		const char *op = json_string_value(json_object_get(m, "op"));
		bool known =
			conformance_text(m, "name", &name) && conformance_text(m, "value", &value);
		describe(out, known ? ops_strbuf_text(&name) : "?", op != NULL ? op : "?",
			ops_strbuf_text(&value));
		ops_strbuf_done(&name);
		ops_strbuf_done(&value);
	}
}

static void run_parse(struct conformance_run *run, const json_t *c)
{
	struct ops_strbuf input = OPS_STRBUF_INIT, got = OPS_STRBUF_INIT, wanted = OPS_STRBUF_INIT;
	struct ops_matchers_source src = {0};
	struct ops_matchers ms;
	ops_matchers_init(&ms);
	if (!conformance_text(c, "input", &input) || !find_syntax(c, &src.syntax)) {
		conformance_fail(run, c, "unknown form", "");
	} else {
		src.text = ops_strbuf_text(&input);
		src.len = input.len;
		bool one = json_is_true(json_object_get(c, "single"));
		int r = one ? ops_matcher_parse_as(&ms, &src, NULL)
			    : ops_matchers_parse_as(&ms, &src, NULL);
		for (size_t i = 0; r == 0 && i < ms.n; i++)
			describe(&got, ms.items[i].name, ops_match_op_text(ms.items[i].op),
				ms.items[i].value);
		describe_wanted(c, &wanted);
		conformance_equal(run, c, r == 0 ? ops_strbuf_text(&got) : "refused",
			ops_strbuf_text(&wanted));
	}
	ops_matchers_done(&ms);
	ops_strbuf_done(&input);
	ops_strbuf_done(&got);
	ops_strbuf_done(&wanted);
}

/* One matcher from its parts: its text, or whether it matches a value. */
static void run_one(struct conformance_run *run, const json_t *c, const char *value_key)
{
	struct ops_strbuf name = OPS_STRBUF_INIT, value = OPS_STRBUF_INIT, got = OPS_STRBUF_INIT;
	struct ops_strbuf subject = OPS_STRBUF_INIT;
	const char *printed = json_string_value(json_object_get(c, "printed"));
	const char *wanted =
		json_is_true(json_object_get(c, "matches")) ? "matches" : "does not match";
	struct ops_matchers ms;
	enum ops_match_op op = OPS_MATCH_EQ;
	ops_matchers_init(&ms);
	ms.regex_flags = OPS_REGEX_NO_DOT_NEWLINE;
	if (!conformance_text(c, "name", &name))
		ops_strbuf_adds(&name, "label");
	bool known = conformance_text(c, value_key, &value) && find_op(c, &op) &&
		     (printed != NULL || conformance_text(c, "value", &subject)) &&
		     ops_matchers_add(
			     &ms, op, ops_strbuf_text(&name), ops_strbuf_text(&value), NULL) == 0;
	if (known && printed != NULL)
		ops_matcher_print(&ms.items[0], &got);
	else if (known)
		ops_strbuf_adds(
			&got, ops_matcher_match_value(&ms.items[0], ops_strbuf_text(&subject))
				      ? "matches"
				      : "does not match");
	conformance_equal(run, c, known ? ops_strbuf_text(&got) : "unknown form or refused",
		printed != NULL ? printed : wanted);
	ops_matchers_done(&ms);
	ops_strbuf_done(&name);
	ops_strbuf_done(&value);
	ops_strbuf_done(&got);
	ops_strbuf_done(&subject);
}

static void run_name(struct conformance_run *run, const json_t *c)
{
	struct ops_strbuf input = OPS_STRBUF_INIT;
	enum ops_matcher_syntax syntax = OPS_MATCHER_FALLBACK;
	bool known = conformance_text(c, "input", &input) && find_syntax(c, &syntax);
	const char *name = ops_strbuf_text(&input);
	bool valid = syntax == OPS_MATCHER_CLASSIC ? ops_label_name_classic(name, input.len)
						   : ops_label_name_valid(name, input.len);
	conformance_equal(run, c,
		!known	? "unknown form"
		: valid ? "valid"
			: "not valid",
		json_is_true(json_object_get(c, "valid")) ? "valid" : "not valid");
	ops_strbuf_done(&input);
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	(void)file;
	if (json_object_get(c, "accepted") != NULL)
		run_parse(run, c);
	else if (json_object_get(c, "printed") != NULL)
		run_one(run, c, "value");
	else if (json_object_get(c, "matches") != NULL)
		run_one(run, c, "pattern");
	else if (json_object_get(c, "valid") != NULL)
		run_name(run, c);
	else
		conformance_fail(run, c, "unknown form", "");
}

const struct conformance_kind conformance_matchers = {
	.name = "matchers",
	.run_case = run_case,
};
