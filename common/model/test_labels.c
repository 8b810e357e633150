/* SPDX-License-Identifier: Apache-2.0 */
#include "common/model/labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

static void test_builder_sorts_and_drops(void **state)
{
	(void)state;
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	ops_labels_builder_set(&b, "z", "26");
	ops_labels_builder_set(&b, "a", "1");
	ops_labels_builder_set(&b, "m", "13");
	ops_labels_builder_setn(&b, "bxx", 1, "2yy", 1);
	ops_labels_builder_set(&b, "m", "14");
	ops_labels_builder_set(&b, "z", "");
	ops_labels_builder_setn(&b, "empty", 5, "", 0);
	ops_labels_builder_del(&b, "absent");
	assert_string_equal(ops_labels_builder_get(&b, "m"), "14");
	assert_null(ops_labels_builder_get(&b, "z"));
	struct ops_labels *ls = ops_labels_builder_build(&b);
	ops_labels_builder_set(&b, "a", NULL);
	struct ops_labels *later = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);

	assert_int_equal(ls->n, 3);
	assert_string_equal(ls->items[0].name, "a");
	assert_string_equal(ls->items[1].name, "b");
	assert_string_equal(ls->items[1].value, "2");
	assert_int_equal(ls->items[1].value_len, 1);
	assert_string_equal(ls->items[2].name, "m");
	assert_string_equal(ops_labels_get(ls, "m"), "14");
	assert_null(ops_labels_get(ls, "mm"));
	assert_null(ops_labels_get(later, "a"));
	assert_false(ops_labels_equal(ls, later));
	ops_labels_unref(ls);
	ops_labels_unref(later);
}

static void test_builder_holds_many(void **state)
{
	(void)state;
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (int i = 99; i >= 0; i--) {
		char name[8] = {'n', (char)('0' + i / 10), (char)('0' + i % 10)};
		ops_labels_builder_set(&b, name, "v");
	}
	struct ops_labels *ls = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	assert_int_equal(ls->n, 100);
	for (uint32_t i = 1; i < ls->n; i++)
		assert_true(strcmp(ls->items[i - 1].name, ls->items[i].name) < 0);

	ops_labels_builder_from(&b, ls);
	struct ops_labels *again = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	assert_true(ops_labels_equal(ls, again));
	assert_int_equal(ops_labels_compare(ls, again), 0);
	ops_labels_unref(ls);
	ops_labels_unref(again);
}

static void test_references(void **state)
{
	(void)state;
	struct ops_labels *ls = ops_labels_of("a", "b", NULL);
	struct ops_labels *same = ops_labels_ref(ls);
	ops_labels_unrefp(&ls);
	assert_null(ls);
	assert_string_equal(ops_labels_get(same, "a"), "b");
	ops_labels_unref(same);
	ops_labels_unref(NULL);
}

/* Values printed by Prometheus' model.LabelSet.Fingerprint. */
static void test_fingerprints(void **state)
{
	(void)state;
	static const struct {
		const char *pairs[7];
		uint64_t fingerprint;
	} cases[] = {
		{{NULL}, 14695981039346656037ULL},
		{{"name", "garland, briggs", "fear", "love is not enough", NULL},
			5799056148416392346ULL},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_labels_builder b;
		ops_labels_builder_init(&b);
		for (size_t j = 0; cases[i].pairs[j] != NULL; j += 2)
			ops_labels_builder_set(&b, cases[i].pairs[j], cases[i].pairs[j + 1]);
		struct ops_labels *ls = ops_labels_builder_build(&b);
		ops_labels_builder_done(&b);
		assert_true(ops_labels_fingerprint(ls) == cases[i].fingerprint);
		ops_labels_unref(ls);
	}
}

static void test_hash_tells_borders_apart(void **state)
{
	(void)state;
	struct ops_labels *a = ops_labels_of("ab", "c", NULL), *b = ops_labels_of("a", "bc", NULL);
	assert_true(a->hash != b->hash);
	assert_false(ops_labels_equal(a, b));
	ops_labels_unref(a);
	ops_labels_unref(b);
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void test_compare(void **state)
{
	(void)state;
	/* ascending */
	struct ops_labels *sets[] = {
		ops_labels_of(NULL, NULL),
		ops_labels_of("a", "1", NULL),
		ops_labels_of("a", "1", "b", "1", NULL),
		ops_labels_of("a", "1", "b", "2", NULL),
		ops_labels_of("a", "1", "c", "0", NULL),
		ops_labels_of("a", "10", NULL),
		ops_labels_of("a", "\xc3\xa9", NULL),
		ops_labels_of("b", "0", NULL),
	};
	for (size_t i = 0; i < OPS_LENGTH(sets); i++)
		for (size_t j = 0; j < OPS_LENGTH(sets); j++)
			assert_int_equal(
				sign(ops_labels_compare(sets[i], sets[j])), (i > j) - (i < j));
	for (size_t i = 0; i < OPS_LENGTH(sets); i++)
		ops_labels_unref(sets[i]);
}

static void test_print(void **state)
{
	(void)state;
	static const struct {
		const char *pairs[7], *printed, *json;
	} cases[] = {
		{{NULL}, "{}", "{}"},
		{{"__name__", "up", NULL}, "up", "{\"__name__\":\"up\"}"},
		{{"job", "a", "__name__", "up", NULL}, "up{job=\"a\"}",
			"{\"__name__\":\"up\",\"job\":\"a\"}"},
		{{"A", "x", "__name__", "up", "b", "y", NULL}, "up{A=\"x\",b=\"y\"}",
			"{\"A\":\"x\",\"__name__\":\"up\",\"b\":\"y\"}"},
		{{"a", "q\"b\\c\nd", NULL}, "{a=\"q\\\"b\\\\c\\nd\"}",
			"{\"a\":\"q\\\"b\\\\c\\nd\"}"},
		{{"service.name", "x", "__name__", "http.requests", NULL},
			"{\"http.requests\",\"service.name\"=\"x\"}",
			"{\"__name__\":\"http.requests\",\"service.name\":\"x\"}"},
		{{"__name__", "0bad", NULL}, "{\"0bad\"}", "{\"__name__\":\"0bad\"}"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_labels_builder b;
		ops_labels_builder_init(&b);
		for (size_t j = 0; cases[i].pairs[j] != NULL; j += 2)
			ops_labels_builder_set(&b, cases[i].pairs[j], cases[i].pairs[j + 1]);
		struct ops_labels *ls = ops_labels_builder_build(&b);
		ops_labels_builder_done(&b);
		struct ops_strbuf text = OPS_STRBUF_INIT;
		ops_labels_print(ls, &text);
		assert_string_equal(ops_strbuf_text(&text), cases[i].printed);
		ops_strbuf_reset(&text);
		ops_labels_json(ls, &text);
		assert_string_equal(ops_strbuf_text(&text), cases[i].json);
		ops_strbuf_done(&text);
		ops_labels_unref(ls);
	}
}

static void test_names(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		bool metric, label, utf8;
	} cases[] = {
		{"", false, false, false},
		{"a", true, true, true},
		{"_A9", true, true, true},
		{"job:rate:5m", true, false, true},
		{":x", true, false, true},
		{"0foo", false, false, true},
		{"foo\xf0\x9f\x99\x82", false, false, true},
		{"foo\xff", false, false, false},
		{"a-b", false, false, true},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		size_t len = strlen(cases[i].name);
		assert_int_equal(ops_metric_name_classic(cases[i].name, len), cases[i].metric);
		assert_int_equal(ops_label_name_classic(cases[i].name, len), cases[i].label);
		assert_int_equal(ops_label_name_valid(cases[i].name, len), cases[i].utf8);
	}
	assert_false(ops_label_name_valid("a\0b", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builder_sorts_and_drops),
		cmocka_unit_test(test_builder_holds_many),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_fingerprints),
		cmocka_unit_test(test_hash_tells_borders_apart),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
