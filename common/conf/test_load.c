/* SPDX-License-Identifier: Apache-2.0 */
#include "common/conf/conf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"

static struct ops_conf_node *load(struct ops_arena *a, const char *text)
{
	struct ops_conf_node *root = NULL;
	struct ops_error err = {0};
	char shown[1100];
	int r = ops_conf_load_text(a, "t.yml", text, strlen(text), NULL, &root, &err);
	if (r != 0)
		fail_msg("%s", ops_error_text(&err, shown, sizeof(shown)));
	return root;
}

static void test_positions_and_quotes(void **state)
{
	(void)state;
	struct ops_arena a;
	ops_arena_init(&a);
	const struct ops_conf_node *root = load(&a, "# comment\n"
						    "plain: no\n"
						    "single: 'no'\n"
						    "double: \"a\\tb\"\n"
						    "block: |\n"
						    "  two\n"
						    "  lines\n"
						    "empty:\n"
						    "tagged: !!str 5\n"
						    "list: [1, {k: v}]\n");
	assert_int_equal(root->type, OPS_CONF_MAPPING);
	assert_int_equal(root->n, 7);
	assert_string_equal(root->file, "t.yml");

	const struct ops_conf_node *n = ops_conf_get(root, "plain");
	assert_string_equal(n->text, "no");
	assert_false(n->quoted);
	assert_int_equal(n->line, 2);
	assert_int_equal(n->column, 8);
	assert_true(ops_conf_get(root, "single")->quoted);
	assert_string_equal(ops_conf_get(root, "double")->text, "a\tb");
	assert_string_equal(ops_conf_get(root, "block")->text, "two\nlines\n");
	assert_true(ops_conf_get(root, "block")->quoted);
	assert_true(ops_conf_is_null(ops_conf_get(root, "empty")));
	assert_true(ops_conf_get(root, "tagged")->quoted);
	assert_null(ops_conf_get(root, "absent"));

	n = ops_conf_get(root, "list");
	assert_int_equal(n->type, OPS_CONF_SEQUENCE);
	assert_int_equal(n->n, 2);
	n = ops_conf_get(n->items[1], "k");
	assert_string_equal(n->text, "v");
	assert_int_equal(n->line, 10);
	assert_int_equal(n->column, 15);
	ops_arena_done(&a);
}

static void test_empty_documents(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "\n", "# only a comment\n", "---\n", "--- ~\n", "\xef\xbb\xbf# mark\n", "null"};
	for (size_t i = 0; i < OPS_LENGTH(texts); i++) {
		struct ops_arena a;
		ops_arena_init(&a);
		const struct ops_conf_node *root = load(&a, texts[i]);
		assert_int_equal(root->type, OPS_CONF_MAPPING);
		assert_int_equal(root->n, 0);
		ops_arena_done(&a);
	}
}

/* Whoever asks gets the first document, and is told that there are more. */
static void test_first_document(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool more;
	} cases[] = {{"a: 1\n---\nb: 2\n", true}, {"a: 1\n", false}, {"a: 1\n---\n[\n", true}};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_arena a;
		struct ops_conf_node *root = NULL;
		struct ops_error err;
		bool more = !cases[i].more;
		const struct ops_conf_options opt = {.ret_more = &more};
		ops_arena_init(&a);
		assert_int_equal(ops_conf_load_text(&a, "t.yml", cases[i].text,
					 strlen(cases[i].text), &opt, &root, &err),
			0);
		assert_int_equal(more, cases[i].more);
		assert_int_equal(root->n, 1);
		assert_non_null(ops_conf_get(root, "a"));
		ops_arena_done(&a);
	}
}

static void test_aliases_and_merges(void **state)
{
	(void)state;
	struct ops_arena a;
	ops_arena_init(&a);
	const struct ops_conf_node *root = load(&a, "base: &base {a: 1, b: 2}\n"
						    "more: &more {b: 3, c: 4}\n"
						    "same: *base\n"
						    "one: {<<: *base, b: own}\n"
						    "two: {<<: [*more, *base], d: 5}\n"
						    "text: {'<<': literal}\n"
						    "key: &k name\n"
						    "by: {*k : x}\n"
						    "both: {a: *base, <<: *base}\n");
	assert_ptr_equal(ops_conf_get(root, "same"), ops_conf_get(root, "base"));
	const struct ops_conf_node *one = ops_conf_get(root, "one");
	assert_int_equal(one->n, 2);
	assert_string_equal(ops_conf_get(one, "a")->text, "1");
	assert_string_equal(ops_conf_get(one, "b")->text, "own");
	const struct ops_conf_node *two = ops_conf_get(root, "two");
	assert_int_equal(two->n, 4);
	assert_string_equal(ops_conf_get(two, "b")->text, "3");
	assert_string_equal(ops_conf_get(two, "a")->text, "1");
	assert_null(ops_conf_get(two, "<<"));
	assert_string_equal(ops_conf_get(ops_conf_get(root, "text"), "<<")->text, "literal");
	assert_string_equal(ops_conf_get(ops_conf_get(root, "by"), "name")->text, "x");
	assert_int_equal(ops_conf_get(ops_conf_get(root, "both"), "a")->type, OPS_CONF_MAPPING);
	ops_arena_done(&a);
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"a: 1\nb: 2\na: 3\n", "t.yml:3:1: key \"a\" is given twice, first at line 1"},
		{"a: 1\n---\nb: 2\n", "t.yml:2:1: only one YAML document is allowed in a file"},
		{"a: *x\n", "t.yml:1:4: alias \"*x\" has no anchor (an anchor \"&x\" must stand "
			    "before it; "
			    "quote the text if none is meant)"},
		{"a: &x\n  - *x\n", "t.yml:2:5: alias \"*x\" stands inside its own anchor"},
		{"<<: 5\n", "t.yml:1:5: << wants a mapping or a list of mappings"},
		{"<<: [{a: 1}, b]\n", "t.yml:1:14: << wants a mapping or a list of mappings"},
		{"? [a]\n: b\n", "t.yml:1:3: a key must be plain text, not a list or a mapping"},
		{"a: \"x\\0y\"\n", "t.yml:1:4: text holds a NUL byte"},
		{"a: !ruby/object x\n", "t.yml:1:4: unknown tag \"!ruby/object\""},
		{"a: !!str [x]\n", "t.yml:1:4: tag !!str belongs to text only"},
		{"a: @b\n", "t.yml:1:4: could not read YAML: found character that cannot start any "
			    "token "
			    "(put the text in quotes)"},
		{"a:\n\tb: 1\n", "t.yml:2:1: could not read YAML: found character that cannot "
				 "start any token "
				 "(indent with spaces, not with tabs)"},
		{"a: 1\nb: \"open\n",
			"t.yml:3:1: could not read YAML: found unexpected end of stream "
			"(while scanning a quoted scalar that starts at line 2)"},
		{"a: 1\nb: \xff\n", "t.yml:2:4: could not read YAML: invalid leading UTF-8 octet"},
		{"a: b: c\n", "t.yml:1:5: could not read YAML: mapping values are not allowed in "
			      "this context"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_arena a;
		ops_arena_init(&a);
		struct ops_conf_node *root = NULL;
		struct ops_error err = {0};
		char shown[1100];
		int r = ops_conf_load_text(
			&a, "t.yml", cases[i].text, strlen(cases[i].text), NULL, &root, &err);
		assert_int_equal(r, -EINVAL);
		assert_null(root);
		assert_string_equal(ops_error_text(&err, shown, sizeof(shown)), cases[i].shown);
		ops_arena_done(&a);
	}
}

static int load_repeated(const char *unit, size_t times, const char *tail, struct ops_error *err)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (size_t i = 0; i < times; i++)
		ops_strbuf_adds(&text, unit);
	ops_strbuf_adds(&text, tail);
	struct ops_arena a;
	ops_arena_init(&a);
	struct ops_conf_node *root;
	int r = ops_conf_load_text(&a, "t.yml", text.data, text.len, NULL, &root, err);
	ops_arena_done(&a);
	ops_strbuf_done(&text);
	return r;
}

static void test_limits(void **state)
{
	(void)state;
	struct ops_error err;
	assert_int_equal(load_repeated("[", 65, "", &err), -EINVAL);
	assert_string_equal(err.message, "nested deeper than 64 levels");
	assert_int_equal(err.column, 65);
	assert_int_equal(load_repeated("{a: ", 100000, "", &err), -EINVAL);
	assert_string_equal(err.message, "nested deeper than 64 levels");
	assert_int_equal(
		load_repeated("- - - - - - - - - - - - - - - - - - - - - - - - ", 3, "x", &err),
		-EINVAL);
	assert_int_equal(
		load_repeated("[", 64,
			"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", &err),
		0);
	assert_int_equal(load_repeated("# 56789\n", (size_t)1 << 19, "", &err), 0);
	assert_int_equal(load_repeated("# 56789\n", (size_t)1 << 19, "#", &err), -EINVAL);
	assert_string_equal(err.message, "file is larger than 4194304 bytes");
}

static void test_many_laughs(void **state)
{
	(void)state;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_adds(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 10; i++) {
		ops_strbuf_printf(&text, "a%d: &a%d [", i, i);
		for (int j = 0; j < 10; j++)
			ops_strbuf_printf(&text, "%s*a%d", j > 0 ? ", " : "", i - 1);
		ops_strbuf_adds(&text, "]\n");
	}
	struct ops_error err = {0};
	assert_int_equal(load_repeated(text.data, 1, "", &err), -EINVAL);
	assert_string_equal(err.message, "aliases stand for more than 100000 nodes");
	assert_int_equal(err.line, 5);

	/* Deep by links instead of brackets. */
	ops_strbuf_reset(&text);
	ops_strbuf_adds(&text, "- &a0 [x]\n");
	for (int i = 1; i < 70; i++)
		ops_strbuf_printf(&text, "- &a%d [*a%d]\n", i, i - 1);
	assert_int_equal(load_repeated(text.data, 1, "", &err), -EINVAL);
	assert_string_equal(err.message, "nested deeper than 64 levels");
	ops_strbuf_done(&text);
}

static void test_environment(void **state)
{
	(void)state;
	static const struct {
		const char *text, *value, *shown; /* shown: the refusal */
	} cases[] = {
		{"a: ${OPS_T_SET}", "set value", NULL},
		{"a: x-${OPS_T_SET}-y", "x-set value-y", NULL},
		{"a: \"${OPS_T_SET}${OPS_T_SET}\"", "set valueset value", NULL},
		{"a: '${OPS_T_SET}'", "${OPS_T_SET}", NULL},
		{"a: ${OPS_T_NONE:-other}", "other", NULL},
		{"a: ${OPS_T_NONE:-}", "", NULL},
		{"a: ${OPS_T_EMPTY:-other}", "other", NULL},
		{"a: ${OPS_T_EMPTY}", "", NULL},
		{"a: $${OPS_T_SET}", "${OPS_T_SET}", NULL},
		{"a: cost $5 and $x $", "cost $5 and $x $", NULL},
		{"a: ${OPS_T_NONE}", NULL,
			"t.yml:1:4: environment variable is not set: OPS_T_NONE "
			"(set it, or give a default: ${NAME:-default})"},
		{"a: ${1}-x", "${1}-x", NULL}, /* a group of a regular expression */
		{"a: ${a-b}", NULL,
			"t.yml:1:4: not a reference to an environment variable: ${a-b} (write $${ "
			"for a literal ${)"},
		{"a: ${OPS_T_SET", NULL,
			"t.yml:1:4: closing brace is missing after ${OPS_T_SET (write $${ for a "
			"literal ${)"},
		{"a: ${OPS_T_SET:x}", NULL,
			"t.yml:1:4: not a reference to an environment variable: ${OPS_T_SET:x} "
			"(write $${ for a literal ${)"},
	};
	assert_int_equal(setenv("OPS_T_SET", "set value", 1), 0);
	assert_int_equal(setenv("OPS_T_EMPTY", "", 1), 0);
	assert_int_equal(unsetenv("OPS_T_NONE"), 0);
	const struct ops_conf_options options = {.expand_env = true};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_arena a;
		ops_arena_init(&a);
		struct ops_conf_node *root;
		struct ops_error err = {0};
		char shown[1100];
		int r = ops_conf_load_text(
			&a, "t.yml", cases[i].text, strlen(cases[i].text), &options, &root, &err);
		if (cases[i].value != NULL) {
			assert_int_equal(r, 0);
			assert_string_equal(ops_conf_get(root, "a")->text, cases[i].value);
			assert_int_equal(ops_conf_get(root, "a")->len, strlen(cases[i].value));
		} else {
			assert_int_equal(r, -EINVAL);
			assert_string_equal(
				ops_error_text(&err, shown, sizeof(shown)), cases[i].shown);
		}
		ops_arena_done(&a);
	}
}

static void test_environment_kept(void **state)
{
	(void)state;
	static const struct {
		const char *text, *value;
	} cases[] = {
		{"a: ${OPS_T_SET}", "set value"},
		{"a: ${OPS_T_NONE:-other}", "other"},
		{"a: ${OPS_T_NONE}", "${OPS_T_NONE}"},
		{"a: ${1}:${OPS_T_SET}", "${1}:set value"},
		{"a: x${path}/${OPS_T_NONE:-y}", "x${path}/y"},
		{"a: ${OPS_T_SET", "${OPS_T_SET"},
		{"a: ${OPS_T_SET:x}", "${OPS_T_SET:x}"},
	};
	assert_int_equal(setenv("OPS_T_SET", "set value", 1), 0);
	assert_int_equal(unsetenv("OPS_T_NONE"), 0);
	const struct ops_conf_options options = {.expand_env = true, .keep_unset = true};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_arena a;
		ops_arena_init(&a);
		struct ops_conf_node *root;
		struct ops_error err;
		assert_int_equal(ops_conf_load_text(&a, "t.yml", cases[i].text,
					 strlen(cases[i].text), &options, &root, &err),
			0);
		assert_string_equal(ops_conf_get(root, "a")->text, cases[i].value);
		ops_arena_done(&a);
	}
}

static void test_files(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "c.yml");
	assert_int_equal(ops_file_write_atomic(path, "a: b\n", 5, 0600), 0);
	struct ops_arena a;
	ops_arena_init(&a);
	struct ops_conf_node *root = NULL;
	struct ops_error err = {0};
	assert_int_equal(ops_conf_load_file(&a, path, NULL, &root, &err), 0);
	assert_string_equal(root->file, path);
	assert_string_equal(ops_conf_get(root, "a")->text, "b");
	tempdir_remove(dir);
	assert_int_equal(ops_conf_load_file(&a, path, NULL, &root, &err), -ENOENT);
	assert_string_equal(err.file, path);
	assert_string_equal(err.message, "could not read file: No such file or directory");
	ops_arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_positions_and_quotes),
		cmocka_unit_test(test_empty_documents),
		cmocka_unit_test(test_first_document),
		cmocka_unit_test(test_aliases_and_merges),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_many_laughs),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_environment_kept),
		cmocka_unit_test(test_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
