/* SPDX-License-Identifier: Apache-2.0 */
/* Each action once, and what is refused where. Third-party cases run in tests/conformance. */
#include "common/relabel/relabel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

static int load(struct ops_arena *a, const char *yaml, bool legacy, struct ops_relabel *ret,
	struct ops_error *err)
{
	struct ops_conf_node *node = NULL;
	ops_arena_init(a);
	int r = ops_conf_load_text(a, "r.yml", yaml, strlen(yaml), NULL, &node, err);
	return r != 0 ? r : ops_relabel_load(a, node, legacy, ret, err);
}

static void test_actions(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *output; /* NULL: dropped */
	} rows[] = {
		{"- {source_labels: [a, b], target_label: c}",
			"{a=\"foo\",b=\"bar\",c=\"foo;bar\"}"},
		{"- {source_labels: [a], regex: 'f(.*)', target_label: 'x_$1', replacement: "
		 "'<${1}>'}",
			"{a=\"foo\",b=\"bar\",x_oo=\"<oo>\"}"},
		{"- {target_label: b, replacement: ''}", "{a=\"foo\"}"},
		{"- {source_labels: [none], regex: '(.+)', target_label: b, replacement: x}",
			"{a=\"foo\",b=\"bar\"}"},
		{"- {source_labels: [a], regex: 'fo', action: keep}", NULL},
		{"- {source_labels: [a], regex: 'fo+', action: Keep}", "{a=\"foo\",b=\"bar\"}"},
		{"- {source_labels: [a, b], separator: '-', regex: 'foo-bar', action: drop}", NULL},
		{"- {action: labelmap, regex: '(a)', replacement: 'm_$1'}",
			"{a=\"foo\",b=\"bar\",m_a=\"foo\"}"},
		{"- {action: labeldrop, regex: 'a|c'}", "{b=\"bar\"}"},
		{"- {action: labelkeep, regex: 'a'}", "{a=\"foo\"}"},
		{"- {action: uppercase, source_labels: [a], target_label: a}",
			"{a=\"FOO\",b=\"bar\"}"},
		{"- {action: keepequal, source_labels: [a], target_label: b}", NULL},
		{"- {action: dropequal, source_labels: [a], target_label: b}",
			"{a=\"foo\",b=\"bar\"}"},
		/* md5("foo") = acbd18db4cc2f85cedef654fccc4a4d8; 0xedef654fccc4a4d8 mod 8 = 0, mod
		   1000 */
		{"- {action: hashmod, source_labels: [a], target_label: h, modulus: 8}",
			"{a=\"foo\",b=\"bar\",h=\"0\"}"},
		{"- {action: hashmod, source_labels: [a], target_label: h, modulus: 4294967296}",
			"{a=\"foo\",b=\"bar\",h=\"3435439320\"}"},
		{"[]", "{a=\"foo\",b=\"bar\"}"},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_relabel rules;
		struct ops_error err;
		struct ops_strbuf text = OPS_STRBUF_INIT;
		struct ops_labels *input = ops_labels_of("a", "foo", "b", "bar", NULL);
		struct ops_labels_builder b;
		assert_int_equal(load(&a, rows[i].yaml, false, &rules, &err), 0);
		ops_labels_builder_from(&b, input);
		bool keep = ops_relabel_apply(&rules, &b);
		assert_int_equal(keep, rows[i].output != NULL);
		if (keep) {
			struct ops_labels *output = ops_labels_builder_build(&b);
			ops_labels_print(output, &text);
			assert_string_equal(ops_strbuf_text(&text), rows[i].output);
			ops_labels_unref(output);
		}
		ops_labels_builder_done(&b);
		ops_labels_unref(input);
		ops_strbuf_done(&text);
		ops_relabel_done(&rules);
		ops_arena_done(&a);
	}
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *yaml;
		bool legacy;
		const char *shown;
	} rows[] = {
		{"- {action: kep}", false,
			"r.yml:1:12: unknown action \"kep\" (did you mean \"keep\"?)"},
		{"- {regexp: x}", false,
			"r.yml:1:4: unknown key \"regexp\" (did you mean \"regex\"?)"},
		{"- {source_labels: [a]}", false, "r.yml:1:3: action replace needs a target_label"},
		{"- {action: hashmod, target_label: x}", false,
			"r.yml:1:3: action hashmod needs a modulus above 0"},
		{"- {action: labeldrop, source_labels: [a]}", false,
			"r.yml:1:12: action labeldrop takes only a regex"},
		{"- {action: keepequal, target_label: x, regex: y}", false,
			"r.yml:1:12: action keepequal takes only source_labels and target_label"},
		{"- {target_label: 'a-b'}", true,
			"r.yml:1:18: action replace cannot have this target_label"},
		{"- {action: lowercase, target_label: '${1}'}", true,
			"r.yml:1:37: action lowercase cannot have this target_label"},
		{"a: b", false, "r.yml:1:1: expected a list of relabelling rules"},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_relabel rules;
		struct ops_error err;
		char shown[1100];
		assert_int_equal(load(&a, rows[i].yaml, rows[i].legacy, &rules, &err), -EINVAL);
		assert_string_equal(ops_error_text(&err, shown, sizeof(shown)), rows[i].shown);
		ops_arena_done(&a);
	}
}

/* The second rule fails: the expression of the first must not be lost (the sanitizer watches). */
static void test_half_loaded(void **state)
{
	(void)state;
	struct ops_arena a;
	struct ops_relabel rules;
	struct ops_error err;
	int r = load(&a, "- {action: keep, regex: 'a.*b'}\n- {action: keep, regex: '('}", false,
		&rules, &err);
	assert_int_equal(r, -EINVAL);
	assert_int_equal(err.line, 2);
	assert_int_equal(rules.n, 0);
	ops_arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_half_loaded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
