/* SPDX-License-Identifier: Apache-2.0 */
/* Series notation and the humanize functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/promql/humanize.h"
#include "common/promql/series.h"

static int parse(
	struct ops_arena *a, const char *text, struct ops_promql_series *ret, struct ops_error *err)
{
	struct ops_promql_source src = {.text = text, .len = strlen(text)};
	return ops_promql_series_parse(a, &src, ret, err);
}

/* "name=value;... | 1 2 _" */
static void show(const struct ops_promql_series *s, struct ops_strbuf *out)
{
	for (size_t i = 0; i < s->nlabels; i++) {
		ops_strbuf_printf(out, "%s=%s;", s->labels[i].name.text, s->labels[i].value.text);
	}
	ops_strbuf_addc(out, '|');
	for (size_t i = 0; i < s->nvalues; i++) {
		const struct ops_promql_series_value *v = &s->values[i];
		if (v->omitted) {
			ops_strbuf_adds(out, " _");
		} else if (v->histogram != NULL) {
			ops_strbuf_printf(out, " h%g%+lld", v->histogram->sum,
				(long long)(v->increment != NULL ? v->steps : 0));
		} else {
			ops_strbuf_printf(out, " %g", v->value);
		}
	}
}

static void test_accepted(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{"", "|"},
		{"m", "__name__=m;|"},
		{"m 1 2 3", "__name__=m;| 1 2 3"},
		{"m 1+2x3", "__name__=m;| 1 3 5 7"},
		{"m 1-2x2 _x2 _", "__name__=m;| 1 -1 -3 _ _ _"},
		{"m 1x2   -1 +2", "__name__=m;| 1 1 1 -1 2"},
		{"m 1x0 _x0", "__name__=m;| 1"},
		{"m{b=\"2\",a='1',} Inf -Inf .5", "__name__=m;a=1;b=2;| inf -inf 0.5"},
		{"{\"x y\", c=\"\"} 1e3", "__name__=x y;| 1000"},
		{"sum 1", "__name__=sum;| 1"},
		{"m {{}}", "__name__=m;| h0+0"},
		{"m {{ }}x1", "__name__=m;| h0+0 h0+0"},
		{"m {{sum:-2.5 count:3 buckets:[1 2]}} 4", "__name__=m;| h-2.5+0 4"},
		{"m {{schema:0 sum:1}}+{{schema:0 sum:2}}x2", "__name__=m;| h1+0 h1+1 h1+2"},
		{"m {{sum:1}}-{{sum:2}}x1", "__name__=m;| h1+0 h1-1"},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_promql_series s = {0};
		struct ops_error err = {0};
		struct ops_strbuf got = OPS_STRBUF_INIT;
		ops_arena_init(&a);
		if (parse(&a, rows[i].text, &s, &err) != 0) {
			fail_msg("%s: %s", rows[i].text, err.message);
		}
		show(&s, &got);
		assert_string_equal(ops_strbuf_text(&got), rows[i].want);
		ops_strbuf_done(&got);
		ops_arena_done(&a);
	}
}

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"m 1+1",
		"m 1x",
		"m 1x1.5",
		"m _-2",
		"m 1+2x3-4",
		"m 1,2",
		"m foo",
		"m 0x10y",
		"m{a=b} 1",
		"m{a} 1",
		"m{a=\"b\" c=\"d\"} 1",
		"m{ 1",
		"m 1x99999999999",
		"m {{sum:1 sum:2}}",
		"m {{ sum:1}}",
		"m {{bogus:1}}",
		"m {{sum}}",
		"m {{schema:99999999999}}",
		"m {{buckets:[]}}",
		"m {{buckets:[1,2]}}",
		"m {{buckets:[1 2}}",
		"m {{counter_reset_hint:maybe}}",
		"m {{schema:1}}+{{schema:0}}x2",
		"m {{sum:1}}+{{sum:1}}",
		"m {{sum:1",
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_arena a;
		struct ops_promql_series s = {0};
		struct ops_error err = {0};
		ops_arena_init(&a);
		if (parse(&a, rows[i], &s, &err) == 0) {
			fail_msg("accepted: %s", rows[i]);
		}
		assert_true(strlen(err.message) > 0);
		ops_arena_done(&a);
	}
}

static void test_stale(void **state)
{
	struct ops_arena a;
	struct ops_promql_series s = {0};
	struct ops_error err = {0};
	uint64_t bits = 0;
	(void)state;
	ops_arena_init(&a);
	assert_int_equal(parse(&a, "m stalex1", &s, &err), -EINVAL);
	assert_int_equal(parse(&a, "m 1 stale", &s, &err), 0);
	memcpy(&bits, &s.values[1].value, sizeof(bits));
	assert_true(bits == 0x7ff0000000000002ULL);
	ops_arena_done(&a);
}

static void test_histogram(void **state)
{
	struct ops_arena a;
	struct ops_promql_series s = {0};
	struct ops_error err = {0};
	(void)state;
	ops_arena_init(&a);
	assert_int_equal(parse(&a,
				 "m {{schema:-53 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 "
				 "buckets:[5.1 -10 Inf] offset:-3 n_buckets:[4.1 5] n_offset:5 "
				 "custom_values:[1 2] counter_reset_hint:gauge}}",
				 &s, &err),
		0);
	const struct ops_promql_histogram *h = s.values[0].histogram;
	assert_int_equal(h->schema, -53);
	assert_true(h->sum == -0.3 && h->count == 3.1);
	assert_true(h->zero_count == 7.1 && h->zero_threshold == 0.05);
	assert_int_equal(h->positive.n, 3);
	assert_int_equal(h->positive.offset, -3);
	assert_true(h->positive.counts[1] == -10 && isinf(h->positive.counts[2]));
	assert_int_equal(h->negative.n, 2);
	assert_int_equal(h->negative.offset, 5);
	assert_int_equal(h->ncustom_values, 2);
	assert_true(h->has_hint);
	assert_int_equal(h->hint, OPS_PROMQL_GAUGE);
	ops_arena_done(&a);
}

static void test_humanize(void **state)
{
	static const struct {
		char *(*fn)(double, char *);
		double v;
		const char *want;
	} rows[] = {
		{ops_humanize, 0, "0"},
		{ops_humanize, 1234567, "1.235M"},
		{ops_humanize, -999, "-999"},
		{ops_humanize, 0.00123, "1.23m"},
		{ops_humanize, 1e30, "1e+06Y"},
		{ops_humanize, INFINITY, "+Inf"},
		{ops_humanize_1024, 1, "1"},
		{ops_humanize_1024, 1048576, "1Mi"},
		{ops_humanize_1024, 1536, "1.5ki"},
		{ops_humanize_percentage, 0.12345, "12.35%"},
		{ops_humanize_percentage, NAN, "NaN%"},
		{ops_humanize_duration, 3661.5, "1h 1m 1s"},
		{ops_humanize_duration, -0.5, "-500ms"},
		{ops_humanize_duration, 59.999, "60s"},
		{ops_humanize_duration, NAN, "NaN"},
	};
	char buf[OPS_HUMANIZE_MAX];
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		assert_string_equal(rows[i].fn(rows[i].v, buf), rows[i].want);
	}
	assert_int_equal(ops_humanize_timestamp(-0.25, buf), 0);
	assert_string_equal(buf, "1969-12-31 23:59:59.75 +0000 UTC");
	assert_int_not_equal(ops_humanize_timestamp(1e12, buf), 0);
}

static void test_duration_text(void **state)
{
	static const struct {
		double seconds;
		const char *want;
	} rows[] = {{0, "0s"}, {1800, "30m0s"}, {3661.5, "1h1m1.5s"}, {-0.02, "-20ms"},
		{1.25e-7, "125ns"}, {1.5e-6, "1.5\xc2\xb5s"}, {0.5, "500ms"}, {59.001, "59.001s"},
		{86400, "24h0m0s"}};
	char buf[OPS_HUMANIZE_MAX];
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		assert_int_equal(ops_duration_text(rows[i].seconds, buf), 0);
		assert_string_equal(buf, rows[i].want);
	}
	assert_int_equal(ops_duration_text(1e10, buf), -ERANGE);
	assert_int_equal(ops_duration_text(NAN, buf), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_humanize),
		cmocka_unit_test(test_duration_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
