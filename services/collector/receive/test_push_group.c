/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "services/collector/receive/push_group.h"

static int put(struct col_push_group *g, const char *text, bool replace, struct ops_error *err)
{
	const struct ops_exposition_text body = {text, strlen(text)};
	return col_push_group_put(g, OPS_EXPOSITION_TEXT, body, replace, 5, err);
}

static void expect(const struct col_push_group *g, const char *want)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	col_push_group_expose(g, &out);
	assert_string_equal(ops_strbuf_text(&out), want);
	ops_strbuf_done(&out);
}

static void test_put_and_post(void **state)
{
	struct ops_labels *key = ops_labels_of("job", "backup", "db", "x", NULL);
	struct col_push_group *g = col_push_group_new(key);
	struct ops_error err;

	(void)state;
	assert_int_equal(put(g,
				 "# TYPE a counter\n# HELP a Help \\\\ text\n"
				 "a{job=\"other\",z=\"q\\\"\",db=\"y\"} 1\nb{db=\"y\"} 2\n",
				 true, &err),
		0);
	expect(g, "# TYPE a counter\n# HELP a Help \\\\ text\na{z=\"q\\\"\"} 1\nb 2\n");
	assert_int_equal(
		put(g, "b 3\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
			false, &err),
		0);
	expect(g, "# TYPE a counter\n# HELP a Help \\\\ text\na{z=\"q\\\"\"} 1\nb 3\n"
		  "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
	assert_int_equal(col_push_group_samples(g), 5);
	assert_int_equal(put(g, "c 1\nb 4\n", true, &err), 0);
	expect(g, "b 4\nc 1\n");
	static const char *const bad[] = {"a 1 1000\n", "a{ 1\n", "a b\n"};
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		assert_int_equal(put(g, bad[i], true, &err), -EINVAL);
	}
	assert_int_equal(put(g, "a 1\nb 1\nc 1\nd 1\ne 1\nf 1\n", true, &err), -E2BIG);
	expect(g, "b 4\nc 1\n");
	assert_int_equal(put(g, "", true, &err), 0);
	expect(g, "");
	col_push_group_free(g);
	ops_labels_unref(key);
}

static void test_keys(void **state)
{
	static const struct {
		const char *path, *want; /* NULL: refused */
	} cases[] = {
		{"job/a", "{job=\"a\"}"},
		{"job/a/instance/b", "{instance=\"b\",job=\"a\"}"},
		{"job/a/path@base64/L3Zhci90bXA", "{job=\"a\",path=\"/var/tmp\"}"},
		{"job/a/path@base64/L3Zhci90bXA=", "{job=\"a\",path=\"/var/tmp\"}"},
		{"job/a/empty@base64/=", "{job=\"a\"}"},
		{"job@base64/YQ", "{job=\"a\"}"},
		{"job@base64/4pi6_z8", NULL},
		{"job/", NULL},
		{"job@base64/=", NULL},
		{"job", NULL},
		{"jobs/a", NULL},
		{"instance/a/job/b", NULL},
		{"job/a/b", NULL},
		{"job/a/__name__/b", NULL},
		{"job/a/x@base32/b", NULL},
		{"job/a/x@base64/!", NULL},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_labels *key = NULL;
		struct ops_strbuf out = OPS_STRBUF_INIT;
		struct ops_error err;
		int r = col_push_key(cases[i].path, &key, &err);
		if (r == 0) {
			ops_labels_print(key, &out);
		}
		if ((r == 0) != (cases[i].want != NULL) ||
			(r == 0 && strcmp(ops_strbuf_text(&out), cases[i].want) != 0)) {
			fail_msg("%s: %d %s", cases[i].path, r, ops_strbuf_text(&out));
		}
		ops_labels_unref(key);
		ops_strbuf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_and_post),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
