/* SPDX-License-Identifier: Apache-2.0 */
/* Native histograms, written in the notation of series: arithmetic, resets, trimming, texts, bytes.
 */
#include "common/promql/series.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

static struct ops_histogram *read_one(struct ops_arena *arena, const char *text)
{
	struct ops_promql_series s;
	struct ops_error err = {0};
	char line[1024];
	snprintf(line, sizeof(line), "h {{%s}}", text);
	struct ops_promql_source src = {line, strlen(line), NULL};
	if (ops_promql_series_parse(arena, &src, &s, &err) != 0) {
		fail_msg("%s: %s", line, err.message);
	}
	struct ops_histogram *h = ops_promql_series_histogram_of(arena, &s.values[0]);
	assert_non_null(h);
	return h;
}

static void assert_text(const struct ops_histogram *h, const char *wanted)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	char braced[1024];
	snprintf(braced, sizeof(braced), "{{%s}}", wanted);
	ops_histogram_print_notation(h, &out);
	assert_string_equal(ops_strbuf_text(&out), braced);
	ops_strbuf_done(&out);
}

static const struct {
	enum ops_histogram_op op;
	const char *a, *b, *result;
	int rc;
	unsigned notes;
} sums[] = {
	{OPS_HISTOGRAM_ADD, "count:4 sum:5 buckets:[1 2 1]", "count:2 sum:1 offset:2 buckets:[1 1]",
		"count:6 sum:6 buckets:[1 2 2 1]", 0, 0},
	{OPS_HISTOGRAM_SUB, "count:4 sum:5 buckets:[1 2 1]", "count:1 sum:1 offset:1 buckets:[2]",
		"count:3 sum:4 buckets:[1 0 1]", 0, 0},
	{OPS_HISTOGRAM_ADD, "count:1 buckets:[1]", "count:3 offset:-5 buckets:[3] n_buckets:[2]",
		"count:4 offset:-5 buckets:[3 0 0 0 0 1] n_buckets:[2]", 0, 0},
	/* The coarser resolution wins, on either side. */
	{OPS_HISTOGRAM_ADD, "schema:1 count:4 offset:1 buckets:[1 1 1 1]",
		"count:1 offset:1 buckets:[1]", "count:5 offset:1 buckets:[3 2]", 0, 0},
	{OPS_HISTOGRAM_ADD, "count:1 offset:1 buckets:[1]",
		"schema:1 count:4 offset:1 buckets:[1 1 1 1]", "count:5 offset:1 buckets:[3 2]", 0,
		0},
	/* The wider zero bucket swallows what lies in it. */
	{OPS_HISTOGRAM_ADD, "count:3 z_bucket:1 z_bucket_w:0.5 offset:0 buckets:[1 1]",
		"count:1 z_bucket:1 z_bucket_w:1",
		"count:4 z_bucket:3 z_bucket_w:1 offset:1 buckets:[1]", 0, 0},
	/* ... and grows to the end of a populated bucket that it cuts. */
	{OPS_HISTOGRAM_ADD, "count:2 offset:0 buckets:[1 1]", "count:1 z_bucket:1 z_bucket_w:0.75",
		"count:3 z_bucket:2 z_bucket_w:1 offset:1 buckets:[1]", 0, 0},
	{OPS_HISTOGRAM_ADD, "schema:-53 count:3 custom_values:[1 2 3] buckets:[1 1 1]",
		"schema:-53 count:2 custom_values:[2 3] buckets:[1 0 1]",
		"schema:-53 count:5 custom_values:[2 3] buckets:[3 1 1]", 0,
		OPS_HISTOGRAM_BOUNDS_DIFFER},
	{OPS_HISTOGRAM_ADD, "schema:-53 count:1 custom_values:[1] buckets:[1]",
		"count:1 buckets:[1]", "schema:-53 count:1 custom_values:[1] buckets:[1]", 1, 0},
	{OPS_HISTOGRAM_ADD, "count:1 counter_reset_hint:reset",
		"count:1 counter_reset_hint:not_reset", "count:2", 0, OPS_HISTOGRAM_RESETS_COLLIDE},
	{OPS_HISTOGRAM_ADD, "count:1 counter_reset_hint:gauge", "count:1 counter_reset_hint:reset",
		"count:2 counter_reset_hint:gauge", 0, 0},
	{OPS_HISTOGRAM_SUM, "count:1 sum:1 buckets:[1]", "count:2 sum:1e+100 buckets:[1e+100]",
		"count:3 sum:1e+100 buckets:[1e+100]", 0, 0},
};

static void test_sums(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(sums); i++) {
		struct ops_arena arena;
		unsigned notes = 0;
		ops_arena_init(&arena);
		struct ops_histogram *a = read_one(&arena, sums[i].a),
				     *b = read_one(&arena, sums[i].b);
		assert_int_equal(ops_histogram_apply(&arena, a, b, sums[i].op, &notes), sums[i].rc);
		assert_int_equal(notes, sums[i].notes);
		ops_histogram_settle(a);
		assert_text(a, sums[i].result);
		assert_text(b, sums[i].b); /* untouched */
		ops_arena_done(&arena);
	}
}

/* What a large number hides comes back when it is taken away again. */
static void test_compensation(void **state)
{
	(void)state;
	struct ops_arena arena;
	ops_arena_init(&arena);
	struct ops_histogram *sum = read_one(&arena, "count:1 sum:1 buckets:[1]");
	static const char *const add[] = {
		"sum:1e100 buckets:[1e100 1]", "sum:1 buckets:[1]", "sum:-1e100 buckets:[-1e100]"};
	for (size_t i = 0; i < OPS_LENGTH(add); i++) {
		const struct ops_histogram *h = read_one(&arena, add[i]);
		assert_int_equal(ops_histogram_apply(&arena, sum, h, OPS_HISTOGRAM_SUM, NULL), 0);
	}
	ops_histogram_settle(sum);
	assert_text(sum, "count:1 sum:2 buckets:[2 1]");
	ops_arena_done(&arena);
}

static const struct {
	const char *before, *now;
	bool reset;
} resets[] = {
	{"count:4 buckets:[1 2 1]", "count:4 buckets:[1 2 1]", false},
	{"count:4 buckets:[1 2 1]", "count:5 buckets:[1 2 1 1]", false},
	{"count:4 buckets:[1 2 1]", "count:3 buckets:[1 2]", true},
	{"count:4 buckets:[1 2 1]", "count:5 buckets:[1 1 3]", true},
	{"count:4 buckets:[1 2 1]", "count:5 buckets:[1 1 3] counter_reset_hint:not_reset", false},
	{"count:4 buckets:[1 2 1]", "count:5 buckets:[1 2 2] counter_reset_hint:reset", true},
	{"count:2 offset:3 buckets:[2]", "count:4 buckets:[4]", true},
	{"count:2 offset:3 buckets:[0 2 0]", "count:4 offset:4 buckets:[4]", false},
	{"count:4 buckets:[1 2 1]", "schema:1 count:9 buckets:[1 4 4]", true},
	{"schema:1 count:4 offset:1 buckets:[1 1 1 1]", "count:4 offset:1 buckets:[2 2]", false},
	{"schema:1 count:4 offset:1 buckets:[1 1 1 1]", "count:5 offset:1 buckets:[1 4]", true},
	{"count:2 z_bucket:2 z_bucket_w:0.5", "count:2 z_bucket:2 z_bucket_w:0.25", true},
	{"count:3 z_bucket:1 z_bucket_w:0.25 offset:-1 buckets:[2]",
		"count:3 z_bucket:3 z_bucket_w:0.5", false},
	{"count:3 z_bucket:1 z_bucket_w:0.25 offset:-1 buckets:[2]",
		"count:3 z_bucket:2 z_bucket_w:0.5", true},
	{"count:1 n_buckets:[1]", "count:1 buckets:[1]", true},
	{"schema:-53 count:3 custom_values:[1 2] buckets:[1 1 1]",
		"schema:-53 count:3 custom_values:[2] buckets:[2 1]", false},
	{"schema:-53 count:3 custom_values:[1 2] buckets:[1 1 1]",
		"schema:-53 count:4 custom_values:[2] buckets:[1 3]", true},
	{"schema:-53 count:1 custom_values:[1] buckets:[1]", "count:9 buckets:[9]", true},
};

static void test_resets(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(resets); i++) {
		struct ops_arena arena;
		ops_arena_init(&arena);
		const struct ops_histogram *before = read_one(&arena, resets[i].before);
		if (ops_histogram_reset_since(read_one(&arena, resets[i].now), before) !=
			resets[i].reset) {
			fail_msg("%s after %s", resets[i].now, resets[i].before);
		}
		ops_arena_done(&arena);
	}
}

static const struct {
	const char *from;
	double limit;
	bool upper;
	const char *result;
} trims[] = {
	{"count:4 sum:5 buckets:[1 2 1]", INFINITY, true, "count:4 sum:5 buckets:[1 2 1]"},
	{"count:4 sum:5 buckets:[1 2 1]", -INFINITY, true, ""},
	{"count:4 sum:9 offset:1 buckets:[2 2]", 2, true,
		"count:2 sum:2.8284271247461903 offset:1 buckets:[2]"},
	{"count:4 sum:9 n_buckets:[2 2]", -1, false,
		"count:2 sum:-1.4142135623730951 n_buckets:[2]"},
	{"count:4 z_bucket:4 z_bucket_w:0.5", 0, false,
		"count:2 sum:0.5 z_bucket:2 z_bucket_w:0.5"},
	{"schema:-53 count:4 sum:9 custom_values:[2 4] buckets:[2 2]", 3, true,
		"schema:-53 count:3 sum:4.5 custom_values:[2 4] buckets:[2 1]"},
	{"schema:-53 count:3 sum:9 custom_values:[2] buckets:[1 2]", 5, true,
		"schema:-53 count:1 sum:1 custom_values:[2] buckets:[1]"},
};

static void test_trims(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(trims); i++) {
		struct ops_arena arena;
		ops_arena_init(&arena);
		struct ops_histogram *h = read_one(&arena, trims[i].from);
		ops_histogram_trim(h, trims[i].limit, trims[i].upper);
		assert_text(h, trims[i].result);
		ops_arena_done(&arena);
	}
}

static const struct {
	const char *from, *text, *json;
} texts[] = {
	{"", "{count:0, sum:0}", "{\"count\":\"0\",\"sum\":\"0\"}"},
	{"count:4 sum:-0.5 z_bucket:1 z_bucket_w:0.001 buckets:[1 0 1] n_buckets:[1]",
		"{count:4, sum:-0.5, [-1,-0.5):1, [-0.001,0.001]:1, (0.5,1]:1, (2,4]:1}",
		"{\"count\":\"4\",\"sum\":\"-0.5\",\"buckets\":[[1,\"-1\",\"-0.5\",\"1\"],"
		"[3,\"-0.001\",\"0.001\",\"1\"],[0,\"0.5\",\"1\",\"1\"],[0,\"2\",\"4\",\"1\"]]}"},
	{"schema:-53 count:2 custom_values:[1] buckets:[1 1]",
		"{count:2, sum:0, [-Inf,1]:1, (1,+Inf]:1}",
		"{\"count\":\"2\",\"sum\":\"0\",\"buckets\":[[3,\"-Inf\",\"1\",\"1\"],"
		"[0,\"1\",\"+Inf\",\"1\"]]}"},
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(texts); i++) {
		struct ops_arena arena;
		struct ops_strbuf out = OPS_STRBUF_INIT;
		ops_arena_init(&arena);
		const struct ops_histogram *h = read_one(&arena, texts[i].from);
		ops_histogram_print(h, &out);
		assert_string_equal(out.data, texts[i].text);
		ops_strbuf_reset(&out);
		ops_histogram_json(h, &out);
		assert_string_equal(out.data, texts[i].json);
		ops_strbuf_done(&out);
		ops_arena_done(&arena);
	}
}

static const char *const coded[] = {
	"",
	"count:4 sum:5 buckets:[1 2 1]",
	"schema:-4 count:4 sum:NaN offset:-7 buckets:[1 0 0 2] n_offset:3 "
	"n_buckets:[9007199254740992]",
	"schema:8 count:1.5 sum:-Inf z_bucket:0.5 z_bucket_w:1e-128 buckets:[0.25 1]",
	"count:1 counter_reset_hint:gauge n_buckets:[1 1 1 1 1 1 1 1 1 1]",
	"schema:-53 count:3 sum:2 custom_values:[-1 0.5 3] buckets:[1 0 1 1]",
	"schema:-53 custom_values:[1]",
};

static void test_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(coded); i++) {
		struct ops_arena arena;
		struct ops_strbuf out = OPS_STRBUF_INIT;
		struct ops_histogram back;
		ops_arena_init(&arena);
		const struct ops_histogram *h = read_one(&arena, coded[i]);
		ops_histogram_encode(h, &out);
		assert_int_equal(ops_histogram_decode(out.data, out.len, &arena, &back), 0);
		assert_true(ops_histogram_equal(h, &back));
		assert_int_equal(back.hint, h->hint);
		for (size_t len = 0; len < out.len; len++) {
			assert_int_equal(
				ops_histogram_decode(out.data, len, &arena, &back), -EBADMSG);
		}
		ops_strbuf_addc(&out, 0);
		assert_int_equal(ops_histogram_decode(out.data, out.len, &arena, &back), -EBADMSG);
		ops_strbuf_done(&out);
		ops_arena_done(&arena);
	}
}

static const struct {
	const char *text, *why; /* NULL: valid */
} validity[] = {
	{"count:4 buckets:[1 2 1]", NULL},
	{"count:-4", "a count of observations is negative"},
	{"count:1 buckets:[1 -1]", "positive side: bucket number 2 has a negative count of -1"},
	{"schema:-53 count:2 custom_values:[1] buckets:[1 1]", NULL},
	{"schema:-53 custom_values:[1] buckets:[1 1 1]",
		"custom bounds are too few for the buckets"},
	{"schema:-53 custom_values:[2 1]", "custom bounds must be finite and strictly increasing"},
	{"schema:-53 custom_values:[2] z_bucket:1",
		"custom buckets have neither a zero bucket nor negative buckets"},
	{"z_bucket_w:NaN", "the zero threshold must be a finite number, not negative"},
	{"custom_values:[2]", "exponential buckets have no custom bounds"},
};

static void test_validity(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(validity); i++) {
		struct ops_arena arena;
		struct ops_error err = {0};
		ops_arena_init(&arena);
		int rc = ops_histogram_validate(read_one(&arena, validity[i].text), &err);
		assert_int_equal(rc, validity[i].why != NULL ? -EINVAL : 0);
		assert_string_equal(err.message, validity[i].why != NULL ? validity[i].why : "");
		ops_arena_done(&arena);
	}
}

static void test_classic(void **state)
{
	(void)state;
	static const struct ops_classic_bucket buckets[] = {{1, 2}, {5, 2}, {INFINITY, 3}};
	struct ops_arena arena;
	struct ops_histogram h;
	double count = 4;
	ops_arena_init(&arena);
	struct ops_classic_histogram c = {buckets, 3, NULL, 7};
	assert_int_equal(ops_histogram_from_classic(&arena, &c, &h), 0);
	assert_text(&h, "schema:-53 count:3 sum:7 custom_values:[1 5] buckets:[2 0 1]");
	c = (struct ops_classic_histogram){buckets, 2, &count, 7};
	assert_int_equal(ops_histogram_from_classic(&arena, &c, &h), 0);
	assert_text(&h, "schema:-53 count:4 sum:7 custom_values:[1 5] buckets:[2 0 2]");
	c.n = 3; /* the count is not the last bucket's */
	assert_int_equal(ops_histogram_from_classic(&arena, &c, &h), -EINVAL);
	ops_arena_done(&arena);
}

static void test_repeated(void **state)
{
	(void)state;
	struct ops_arena arena;
	struct ops_promql_series s;
	ops_arena_init(&arena);
	const char *line =
		"h {{count:4 sum:4 buckets:[1 2 1]}}+{{sum:2 count:1 buckets:[1] offset:1}}x3";
	struct ops_promql_source src = {line, strlen(line), NULL};
	assert_int_equal(ops_promql_series_parse(&arena, &src, &s, NULL), 0);
	assert_int_equal(s.nvalues, 4);
	assert_text(ops_promql_series_histogram_of(&arena, &s.values[3]),
		"count:7 sum:10 buckets:[1 5 1]");
	ops_arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_compensation),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_trims),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_validity),
		cmocka_unit_test(test_classic),
		cmocka_unit_test(test_repeated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
