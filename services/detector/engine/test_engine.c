/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine over a small store: expressions in, printed results out. The language as a whole is
 * held to third-party cases by the conformance runner; these are ours: seeds' rules, limits,
 * refusals.
 */
#include "services/detector/engine/engine.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/promql/series.h"

#define MINUTE_MS 60000

static const char *const data[] = {
	"claims_requests_total{instance=\"a\"} 0+60x60",
	"claims_requests_total{instance=\"b\"} 0+120x60",
	"claims_errors_total{instance=\"a\"} 0+6x60",
	"claims_errors_total{instance=\"b\"} 0+6x20 6+6x39",
	"http_latency_ms_bucket{le=\"1\"} 0+10x60",
	"http_latency_ms_bucket{le=\"10\"} 0+90x60",
	"http_latency_ms_bucket{le=\"+Inf\"} 0+100x60",
	"temperature{room=\"x\"} 20 21 22 NaN 19x60",
	"temperature{room=\"y\"} -5x70",
	"gone 1 2 3 stale _x60",
	"build_info{instance=\"a\",version=\"1\"} 1x60",
	"build_info{instance=\"b\",version=\"2\"} 1x60",
	"duration{instance=\"a\"} {{count:0}}+{{count:4 sum:6 offset:1 buckets:[2 2]}}x60",
	"duration{instance=\"b\"} {{count:0}}+{{count:2 sum:2 offset:1 buckets:[2]}}x60",
	"custom {{schema:-53 count:3 sum:9 custom_values:[2 4] buckets:[1 1 1]}}x60",
	"mixed 1 2 {{count:1 sum:1 buckets:[1]}} {{count:2 sum:2 buckets:[2]}} 3 stale _x60",
};

static void load(struct det_store *s, const char *line)
{
	struct ops_arena arena;
	struct ops_promql_series series;
	struct ops_promql_source src = {line, strlen(line), NULL};
	struct ops_error err = {0};
	ops_arena_init(&arena);
	if (ops_promql_series_parse(&arena, &src, &series, &err) != 0) {
		fail_msg("%s: %s", line, err.message);
	}
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (size_t i = 0; i < series.nlabels; i++) {
		ops_labels_builder_set(&b, series.labels[i].name.text, series.labels[i].value.text);
	}
	struct ops_labels *labels = ops_labels_builder_build(&b);
	for (size_t i = 0; i < series.nvalues; i++) {
		const struct ops_promql_series_value *v = &series.values[i];
		int64_t t = (int64_t)i * MINUTE_MS;
		if (v->histogram != NULL) {
			const struct ops_histogram *h = ops_promql_series_histogram_of(&arena, v);
			assert_int_equal(det_store_append_histogram(s, labels, t, h), 0);
		} else if (!v->omitted) {
			assert_int_equal(det_store_append(s, labels, t, v->value), 0);
		}
	}
	ops_labels_builder_done(&b);
	ops_labels_unref(labels);
	ops_arena_done(&arena);
}

static struct det_store *open_store(void)
{
	struct det_store *s =
		det_store_new(&(struct det_store_options){.retention_ms = INT64_MAX / 4});
	for (size_t i = 0; i < OPS_LENGTH(data); i++) {
		load(s, data[i]);
	}
	return s;
}

static void print(const struct det_result *r, struct ops_strbuf *out)
{
	if (r->type == OPS_PROMQL_STRING_VALUE) {
		ops_strbuf_add_json(out, r->string.text, r->string.len);
	}
	for (size_t i = 0; i < r->n; i++) {
		struct ops_labels *ls = det_result_labels(&r->series[i]);
		ops_strbuf_adds(out, i > 0 ? "; " : "");
		ops_labels_print(ls, out);
		ops_labels_unref(ls);
		for (size_t p = 0; p < r->series[i].npoints; p++) {
			double v = r->series[i].points[p].v;
			if (r->series[i].points[p].h != NULL) {
				ops_strbuf_addc(out, ' ');
				ops_histogram_print(r->series[i].points[p].h, out);
			} else if (isfinite(v)) {
				ops_strbuf_printf(out, " %.10g", v);
			} else {
				ops_strbuf_addc(out, ' ');
				ops_strbuf_add_double(out, v);
			}
			if (r->type == OPS_PROMQL_RANGE) {
				ops_strbuf_printf(
					out, "@%lld", (long long)(r->series[i].points[p].t / 1000));
			}
		}
	}
	for (size_t i = 0; i < r->annotations.nwarnings; i++) {
		ops_strbuf_printf(out, " W:%s", r->annotations.warnings[i]);
	}
	for (size_t i = 0; i < r->annotations.ninfos; i++) {
		ops_strbuf_printf(out, " I:%s", r->annotations.infos[i]);
	}
}

/* Evaluates and prints, or prints "error: ...". Negative step: an instant query at start. */
static int evaluate(struct det_store *s, const char *text, const int64_t when[3],
	const struct det_engine_options *options, struct ops_strbuf *out)
{
	struct ops_arena arena;
	struct ops_promql_expr *expr;
	struct ops_promql_options all = {OPS_PROMQL_ALL_FEATURES};
	struct ops_promql_source src = {text, strlen(text), &all};
	struct det_result r;
	struct ops_error err = {0};
	ops_arena_init(&arena);
	int rc = ops_promql_parse(&arena, &src, &expr, &err);
	if (rc == 0) {
		struct det_query q = {.expr = expr,
			.text = text,
			.range = when[2] >= 0,
			.start_ms = when[0],
			.end_ms = when[1],
			.step_ms = when[2]};
		rc = det_engine_eval(s, options, &q, &arena, &r, &err);
	}
	if (rc == 0) {
		print(&r, out);
	} else {
		ops_strbuf_printf(out, "error: %s", err.message);
	}
	ops_arena_done(&arena);
	return rc;
}

struct query_case {
	const char *expr;
	const char *want;
};

static void run_cases(const struct query_case *cases, size_t n, const int64_t when[3])
{
	struct det_store *s = open_store();
	for (size_t i = 0; i < n; i++) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		(void)evaluate(s, cases[i].expr, when, NULL, &out);
		if (strcmp(ops_strbuf_text(&out), cases[i].want) != 0) {
			fail_msg("%s:\n  got    %s\n  wanted %s", cases[i].expr,
				ops_strbuf_text(&out), cases[i].want);
		}
		ops_strbuf_done(&out);
	}
	det_store_free(s);
}

static void test_instant(void **state)
{
	static const struct query_case cases[] = {
		{"1 + 2 * 3", "{} 7"},
		{"\"text\"", "\"text\""},
		{"temperature", "temperature{room=\"x\"} 19; temperature{room=\"y\"} -5"},
		{"temperature > 0", "temperature{room=\"x\"} 19"},
		{"0 < temperature", "temperature{room=\"x\"} 19"},
		{"temperature >bool 0", "{room=\"x\"} 1; {room=\"y\"} 0"},
		{"-temperature", "{room=\"x\"} -19; {room=\"y\"} 5"},
		{"gone", ""},
		{"absent(gone)", "{} 1"},
		{"absent(nothing{a=\"b\",c=~\"d\"})", "{a=\"b\"} 1"},
		{"rate(claims_errors_total[5m]) / rate(claims_requests_total[5m])",
			"{instance=\"a\"} 0.1; {instance=\"b\"} 0.05"},
		{"sum(rate(claims_errors_total[5m])) / sum(rate(claims_requests_total[5m])) > 0.05",
			"{} 0.06666666667"},
		{"histogram_quantile(0.95, rate(http_latency_ms_bucket[5m])) > 5", "{} 10"},
		{"histogram_quantile(0.5, rate(http_latency_ms_bucket[5m]))", "{} 5.5"},
		{"sum by (instance) (claims_requests_total)",
			"{instance=\"a\"} 1800; {instance=\"b\"} 3600"},
		{"topk(1, claims_requests_total)", "claims_requests_total{instance=\"b\"} 3600"},
		{"count_values(\"v\", build_info)", "{v=\"1\"} 2"},
		{"claims_requests_total * on (instance) group_left (version) build_info",
			"{instance=\"a\",version=\"1\"} 1800; {instance=\"b\",version=\"2\"} "
			"3600"},
		{"claims_requests_total and on (instance) build_info{version=\"2\"}",
			"claims_requests_total{instance=\"b\"} 3600"},
		{"max_over_time(temperature{room=\"x\"}[1h])", "{room=\"x\"} 22"},
		{"changes(claims_errors_total{instance=\"b\"}[4m])", "{instance=\"b\"} 3"},
		{"resets(claims_errors_total[30m])", "{instance=\"a\"} 0; {instance=\"b\"} 1"},
		{"label_replace(temperature{room=\"x\"}, \"place\", \"$1!\", \"room\", \"(.*)\")",
			"temperature{place=\"x!\",room=\"x\"} 19"},
		{"sort_desc(claims_requests_total)", "claims_requests_total{instance=\"b\"} 3600; "
						     "claims_requests_total{instance=\"a\"} 1800"},
		{"time()", "{} 1800"},
		{"claims_requests_total{instance=\"a\"} offset 10m",
			"claims_requests_total{instance=\"a\"} 1200"},
		{"claims_requests_total{instance=\"a\"} @ 600",
			"claims_requests_total{instance=\"a\"} 600"},
		{"max_over_time(rate(claims_requests_total{instance=\"a\"}[5m])[10m:1m])",
			"{instance=\"a\"} 1"},
		{"quantile(2, temperature)",
			"{} +Inf W:PromQL warning: quantile value should be between 0 and 1, got 2 "
			"(1:10)"},
		{"rate(temperature{room=\"y\"}[5m])",
			"{room=\"y\"} 0 I:PromQL info: metric might not be a counter, name does "
			"not "
			"end in _total/_sum/_count/_bucket: \"temperature\" (1:6)"},
		{"temperature + on () temperature",
			"error: found duplicate series for the match group {} on the right "
			"hand-side "
			"of the operation: [temperature{room=\"x\"}, temperature{room=\"y\"}];"
			"many-to-many matching not allowed: matching labels must be unique on one "
			"side"},
		{"rate({__name__=~\"claims_.*_total\"}[5m])",
			"error: vector cannot contain metrics with the same labelset: "
			"{instance=\"a\"}"},
	};
	(void)state;
	run_cases(cases, OPS_LENGTH(cases), (const int64_t[]){30 * MINUTE_MS, 0, -1});
}

static void test_range(void **state)
{
	static const struct query_case cases[] = {
		{"temperature{room=\"x\"}",
			"temperature{room=\"x\"} 20@0 21@60 22@120 NaN@180 19@240"},
		{"gone", "gone 1@0 2@60 3@120"},
		{"absent(gone)", "{} 1@180 1@240"},
		{"rate(claims_requests_total{instance=\"a\"}[2m1s])",
			"{instance=\"a\"} 0.4958677686@60 0.9917355372@120 1@180 1@240"},
		{"count(temperature > 20)", "{} 1@60 1@120"},
		{"1", "{} 1@0 1@60 1@120 1@180 1@240"},
		{"sum_over_time(temperature{room=\"y\"}[2m])",
			"{room=\"y\"} -5@0 -10@60 -10@120 -10@180 -10@240"},
		{"topk(1, temperature)", "temperature{room=\"x\"} 20@0 21@60 22@120 19@240; "
					 "temperature{room=\"y\"} -5@180"},
		{"temperature{room=\"y\"} or temperature",
			"temperature{room=\"x\"} 20@0 21@60 22@120 NaN@180 19@240; "
			"temperature{room=\"y\"} -5@0 -5@60 -5@120 -5@180 -5@240"},
		{"temperature[5m]",
			"error: invalid expression type \"range vector\" for range query, must be "
			"scalar or instant vector"},
	};
	(void)state;
	run_cases(cases, OPS_LENGTH(cases), (const int64_t[]){0, 4 * MINUTE_MS, MINUTE_MS});
}

static void test_limits(void **state)
{
	(void)state;
	struct det_store *s = open_store();
	struct ops_strbuf out = OPS_STRBUF_INIT;
	const struct det_engine_options few = {.max_samples = 50};
	const int64_t long_range[3] = {0, 60 * MINUTE_MS, 1000};
	assert_int_equal(evaluate(s, "temperature", long_range, &few, &out), -E2BIG);
	const int64_t too_fine[3] = {0, 60 * MINUTE_MS, 100};
	assert_int_equal(evaluate(s, "temperature", too_fine, NULL, &out), -ERANGE);
	const int64_t backwards[3] = {MINUTE_MS, 0, 1000};
	assert_int_equal(evaluate(s, "temperature", backwards, NULL, &out), -EINVAL);
	const int64_t instant[3] = {30 * MINUTE_MS, 0, -1};
	assert_int_equal(
		evaluate(s, "sum_over_time(vector(1)[60m:1ms])", instant, &few, &out), -E2BIG);
	/* A deadline in the past is noticed within a bounded number of series. */
	const struct det_engine_options late = {.timeout_ms = -1000};
	const char *slow = "max_over_time(rate(claims_requests_total[5m])[30m:1s]) + "
			   "max_over_time(rate(claims_requests_total[5m])[30m:1s])";
	for (char c = 'd'; c <= 'z'; c++) {
		char line[64];
		for (char d = 'a'; d <= 'd'; d++) {
			snprintf(line, sizeof(line),
				"claims_requests_total{instance=\"%c%c\"} 0+1x5", c, d);
			load(s, line);
		}
	}
	assert_int_equal(evaluate(s, slow, instant, &late, &out), -ETIMEDOUT);
	ops_strbuf_done(&out);
	det_store_free(s);
}

static void test_native(void **state)
{
	static const struct query_case cases[] = {
		{"duration{instance=\"b\"}",
			"duration{instance=\"b\"} {count:60, sum:60, (1,2]:60}"},
		{"rate(duration{instance=\"a\"}[5m]) * 60",
			"{instance=\"a\"} {count:4, sum:6, (1,2]:2, (2,4]:2}"},
		{"sum(rate(duration[5m]))",
			"{} {count:0.1, sum:0.13333333333333333, (1,2]:0.06666666666666667, "
			"(2,4]:0.03333333333333333}"},
		{"histogram_quantile(0.5, sum(rate(duration[5m])))", "{} 1.681792831"},
		{"histogram_fraction(1, 2, duration)", "{instance=\"a\"} 0.5; {instance=\"b\"} 1"},
		{"histogram_count(duration) / 60", "{instance=\"a\"} 2; {instance=\"b\"} 1"},
		{"histogram_avg(increase(duration[10m]))",
			"{instance=\"a\"} 1.5; {instance=\"b\"} 1"},
		{"histogram_stddev(duration{instance=\"b\"})", "{instance=\"b\"} 0.4142135624"},
		{"duration{instance=\"a\"} </ 2",
			"duration{instance=\"a\"} {count:60, sum:84.8528137423857, (1,2]:60}"},
		{"duration > 1", " I:PromQL info: incompatible sample types encountered for binary "
				 "operator \">\": histogram > float (1:1)"},
		{"duration == duration",
			"duration{instance=\"a\"} {count:120, sum:180, (1,2]:60, (2,4]:60}; "
			"duration{instance=\"b\"} {count:60, sum:60, (1,2]:60}"},
		{"max(duration)", " I:PromQL info: ignored histogram in max aggregation (1:5)"},
		{"count(duration)", "{} 2"},
		{"abs(duration)", ""},
		{"duration{instance=\"b\"} + on () custom",
			" W:PromQL warning: incompatible bucket layout encountered for binary "
			"operator + (1:1)"},
		{"sum({__name__=~\"custom|duration\"})",
			" W:PromQL warning: vector contains a mix of histograms with exponential "
			"and custom buckets schemas for metric name \"custom\" (1:5)"},
		{"histogram_quantile(0.5, custom)", "{} 3"},
		{"count_values(\"v\", custom)",
			"{v=\"{count:3, sum:9, [-Inf,2]:1, (2,4]:1, (4,+Inf]:1}\"} 1"},
		{"sum_over_time(mixed[1h])", " W:PromQL warning: encountered a mix of histograms "
					     "and floats for metric name \"mixed\" (1:15)"},
		{"max_over_time(mixed[1h])",
			"{} 3 I:PromQL info: ignored histograms in a range containing both floats "
			"and histograms for metric name \"mixed\" (1:15)"},
		{"resets(mixed[1h])", "{} 2"},
		{"changes(mixed[1h])", "{} 4"},
		{"last_over_time(mixed[27m])", "mixed 3"},
		{"count_over_time(mixed[1h])", "{} 5"},
		{"scalar(custom)", "{} NaN"},
		{"absent(custom)", ""},
	};
	static const int64_t at[3] = {30 * MINUTE_MS, 0, -1};
	(void)state;
	run_cases(cases, OPS_LENGTH(cases), at);
}

struct reach {
	int64_t ms[4];
	const char *name[4];
	size_t n;
};

static void on_selector(void *arg, const struct ops_promql_expr *selector, int64_t reach_ms)
{
	struct reach *r = arg;
	assert_true(r->n < 4);
	r->name[r->n] = selector->vector.name.text;
	r->ms[r->n++] = reach_ms;
}

static void test_selectors(void **state)
{
	(void)state;
	struct ops_arena arena;
	struct ops_promql_expr *expr;
	struct ops_error err = {0};
	struct reach r = {0};
	ops_arena_init(&arena);
	assert_int_equal(ops_promql_parse_text(&arena,
				 "a + rate(b[10m] offset 5m) + max_over_time(c[1h:1m]) + d @ 5",
				 &expr, &err),
		0);
	det_engine_selectors(expr, NULL, on_selector, &r);
	assert_int_equal(r.n, 4);
	assert_int_equal(r.ms[0], 5 * MINUTE_MS);
	assert_int_equal(r.ms[1], 15 * MINUTE_MS);
	assert_int_equal(r.ms[2], 65 * MINUTE_MS);
	assert_true(r.ms[3] > INT64_MAX / 8);
	assert_string_equal(r.name[1], "b");
	ops_arena_done(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_instant),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_native),
		cmocka_unit_test(test_selectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
