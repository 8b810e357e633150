/* SPDX-License-Identifier: Apache-2.0 */
/* A pushed group as bytes, several behind each other, and which of two states is the later one. */
#include "services/collector/receive/push_entry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct col_push_entry *entry(const char *job, const char *text, int64_t version_ms)
{
	struct ops_labels *key = ops_labels_of("job", job, NULL);
	struct col_push_entry *e = col_push_entry_new(key, "c1");
	const struct ops_exposition_text body = {text, strlen(text)};
	struct ops_error err;
	assert_int_equal(
		col_push_group_put(e->group, OPS_EXPOSITION_TEXT, body, true, 100, &err), 0);
	e->pushed_ms = 1000;
	e->failed_ms = 900;
	e->ttl_ms = 50;
	e->version_ms = version_ms;
	ops_labels_unref(key);
	return e;
}

static void assert_same(const struct col_push_entry *a, const struct col_push_entry *b)
{
	struct ops_strbuf x = OPS_STRBUF_INIT, y = OPS_STRBUF_INIT;
	col_push_entry_encode(a, &x);
	col_push_entry_encode(b, &y);
	assert_string_equal(ops_strbuf_text(&x), ops_strbuf_text(&y));
	assert_string_equal(a->id, b->id);
	ops_strbuf_done(&x);
	ops_strbuf_done(&y);
}

static void test_round_trip(void **state)
{
	(void)state;
	struct col_push_entry *in[] = {entry("one", "a 1\nb 2\n", 1000), entry("two", "", 2000),
		entry("three", "c{x=\"\\n#\"} 3\n", 3000)};
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct ops_error err;
	in[1]->deleted = true;
	for (size_t i = 0; i < OPS_LENGTH(in); i++) {
		col_push_entry_encode(in[i], &text);
	}
	size_t at = 0;
	for (size_t i = 0; i < OPS_LENGTH(in); i++) {
		struct col_push_entry *out = NULL;
		size_t took = 0;
		assert_int_equal(col_push_entry_decode(ops_strbuf_text(&text) + at, text.len - at,
					 &out, &took, &err),
			0);
		assert_same(in[i], out);
		assert_true(out->deleted == (i == 1));
		at += took;
		col_push_entry_free(out);
	}
	assert_int_equal(at, text.len);
	for (size_t len = 0; len < text.len; len++) { /* cut anywhere: refused, or what is whole */
		struct col_push_entry *out = NULL;
		size_t took = 0;
		if (col_push_entry_decode(ops_strbuf_text(&text), len, &out, &took, &err) == 0) {
			assert_same(in[0], out);
			assert_true(took <= len);
			col_push_entry_free(out);
		}
	}
	for (size_t i = 0; i < OPS_LENGTH(in); i++) {
		col_push_entry_free(in[i]);
	}
	ops_strbuf_done(&text);
}

static void test_texts(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		/* as it was written before there were versions */
		{"# {\"labels\":{\"job\":\"a\"},\"pushed_ms\":5,\"failed_ms\":0,\"ttl_ms\":0}\nx "
		 "1\n",
			0},
		{"# {\"labels\":{\"job\":\"a\"},\"bytes\":4}\nx 1\n", 0},
		{"# {\"labels\":{\"job\":\"a\"},\"bytes\":5}\nx 1\n", -EBADMSG},
		{"# {\"labels\":{\"job\":\"a\"},\"bytes\":-1}\nx 1\n", -EBADMSG},
		{"# {\"labels\":{\"job\":5}}\nx 1\n", -EINVAL},
		{"# {\"pushed_ms\":5}\nx 1\n", -EBADMSG},
		{"# {\"labels\":{\"job\":\"a\"}}\nx{ 1\n", -EINVAL},
		{"# {\"labels\"\n", -EBADMSG},
		{"x 1\n", -EBADMSG},
		{"", -EBADMSG},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct col_push_entry *e = NULL;
		struct ops_error err = {0};
		size_t took = 0, len = strlen(cases[i].text);
		int r = col_push_entry_decode(cases[i].text, len, &e, &took, &err);
		assert_true(r == cases[i].want || (r < 0 && cases[i].want < 0));
		if (r == 0) {
			assert_int_equal(took, len);
			assert_int_equal(e->version_ms, e->pushed_ms);
			assert_int_equal(col_push_group_samples(e->group), 1);
			col_push_entry_free(e);
		}
	}
}

static void test_later(void **state)
{
	(void)state;
	struct col_push_entry *a = entry("j", "", 1000), *b = entry("j", "", 1001);
	assert_true(col_push_entry_later(b, a) && !col_push_entry_later(a, b));
	a->version_ms = 1001;
	assert_false(col_push_entry_later(a, b) || col_push_entry_later(b, a));
	col_push_entry_set_writer(a, "c2");
	assert_true(col_push_entry_later(a, b) && !col_push_entry_later(b, a));
	assert_false(col_push_entry_over(a, 1050));
	assert_true(col_push_entry_over(a, 1051));
	a->deleted = true;
	assert_false(col_push_entry_over(a, 5000));
	a->deleted = false;
	a->ttl_ms = 0;
	assert_false(col_push_entry_over(a, INT64_MAX));
	col_push_entry_free(a);
	col_push_entry_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
