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
	col_push_entry_stamp(e);
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
	assert_true(col_push_entry_later(a, b) != col_push_entry_later(b, a));
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

/* What happened to a group "j" at two collectors that had not heard of each other. */
struct story {
	const char *text; /* NULL: a DELETE */
	bool whole;	  /* PUT */
	int64_t at_ms;
	const char *collector;
};

static struct col_push_entry *begin(void)
{
	struct col_push_entry *e = entry("j", "a 1\nb 1\n", 1000);
	e->base = col_push_entry_version(e);
	return e;
}

static struct col_push_entry *told(const struct story *s)
{
	struct col_push_entry *e = begin();
	struct ops_error err;
	const char *text = s->text != NULL ? s->text : "";
	const struct ops_exposition_text body = {text, strlen(text)};
	assert_int_equal(
		col_push_group_put(e->group, OPS_EXPOSITION_TEXT, body, s->whole, 100, &err), 0);
	e->version_ms = e->pushed_ms = s->at_ms;
	e->deleted = s->text == NULL;
	col_push_entry_set_writer(e, s->collector);
	e->base = s->whole ? col_push_entry_version(e) : e->base;
	col_push_entry_stamp(e);
	return e;
}

static void assert_merged(const struct story *first, const struct story *second, const char *want)
{
	struct col_push_entry *e = told(first), *by = told(second);
	struct ops_strbuf text = OPS_STRBUF_INIT;
	(void)col_push_entry_merge(e, by);
	col_push_entry_free(by);
	by = told(second);
	assert_false(col_push_entry_merge(e, by)); /* once more: it is known */
	col_push_entry_free(by);
	col_push_group_expose(e->group, &text);
	/* in either order, though the families may stand in another one */
	for (const char *at = want; *at != '\0'; at = strchr(at, '\n') + 1) {
		OPS_CLEANUP(ops_freep)
		char *line = ops_xstrndup(at, (size_t)(strchr(at, '\n') - at) + 1);
		assert_non_null(strstr(ops_strbuf_text(&text), line));
	}
	assert_int_equal(text.len, strlen(want));
	bool later_deletes =
		first->at_ms > second->at_ms ? first->text == NULL : second->text == NULL;
	assert_true(e->deleted == later_deletes);
	col_push_entry_free(e);
	ops_strbuf_done(&text);
}

static void test_merge(void **state)
{
	static const struct {
		struct story first, second;
		const char *want;
	} cases[] = {
		/* two POSTs: nothing of either is lost */
		{{"x 1\n", false, 2000, "c1"}, {"y 2\n", false, 2001, "c2"},
			"a 1\nb 1\nx 1\ny 2\n"},
		{{"a 5\n", false, 2000, "c1"}, {"a 6\nb 6\n", false, 2001, "c2"}, "a 6\nb 6\n"},
		{{"a 5\n", false, 2001, "c1"}, {"a 6\nb 6\n", false, 2000, "c2"}, "a 5\nb 6\n"},
		/* a PUT or DELETE ends what is earlier, and nothing else */
		{{"x 1\n", false, 2000, "c1"}, {"y 2\n", true, 2001, "c2"}, "y 2\n"},
		{{"x 1\n", false, 2002, "c1"}, {"y 2\n", true, 2001, "c2"}, "x 1\ny 2\n"},
		{{"x 1\n", false, 2000, "c1"}, {NULL, true, 2001, "c2"}, ""},
		{{"x 1\n", false, 2002, "c1"}, {NULL, true, 2001, "c2"}, "x 1\n"},
		{{"x 1\n", true, 2000, "c1"}, {"y 2\n", true, 2001, "c2"}, "y 2\n"},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		assert_merged(&cases[i].first, &cases[i].second, cases[i].want);
		assert_merged(&cases[i].second, &cases[i].first, cases[i].want);
	}
}

/* A merged state is on disk and at the others what it is here. */
static void test_merged_state_as_bytes(void **state)
{
	(void)state;
	const struct story one = {"x 1\n", false, 2000, "c1"}, two = {"y 2\n", false, 2001, "c2"};
	struct col_push_entry *e = told(&one), *by = told(&two), *back = NULL;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct ops_error err;
	size_t took = 0;
	assert_true(col_push_entry_merge(e, by));
	col_push_entry_encode(e, &text);
	assert_int_equal(col_push_entry_decode(text.data, text.len, &back, &took, &err), 0);
	assert_same(e, back);
	assert_false(col_push_entry_merge(e, back));
	ops_strbuf_done(&text);
	col_push_entry_free(e);
	col_push_entry_free(by);
	col_push_entry_free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_merged_state_as_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
