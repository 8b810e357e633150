/* SPDX-License-Identifier: Apache-2.0 */
/* Classic histograms as native ones with custom buckets, and how coarse those may be. */
#include "services/collector/classics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "common/remote/histogram.h"
#include "services/collector/config.h"
#include "services/collector/native.h"

static struct col_limits limits;
static struct col_series_rules rules;
static struct col_values values;
static struct ops_protobuf_body natives;
static struct ops_arena scratch;

static int setup(void **state)
{
	(void)state;
	limits = (struct col_limits){.samples = 0};
	rules = (struct col_series_rules){.labels = ops_labels_of("job", "j", NULL),
		.instance = "h:1",
		.honor_timestamps = true,
		.convert_classic = true,
		.limits = &limits};
	col_reports_build(rules.labels, false, rules.reports);
	ops_arena_init(&scratch);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < COL_REPORTS; i++) {
		ops_labels_unref(rules.reports[i]);
	}
	ops_labels_unref(rules.labels);
	col_values_done(&values);
	ops_protobuf_body_done(&natives);
	ops_arena_done(&scratch);
	return 0;
}

static struct ops_exposition_text text_of(const char *s)
{
	return (struct ops_exposition_text){s, strlen(s)};
}

static struct col_layout *parse(const char *text)
{
	struct col_layout *l = NULL;
	struct ops_error err;
	assert_int_equal(
		col_layout_parse(&rules, OPS_EXPOSITION_TEXT, text_of(text), &values, &l, &err), 0);
	return l;
}

static void read_again(const struct col_layout *l, const char *text)
{
	assert_true(col_layout_read(l, &rules, OPS_EXPOSITION_TEXT, text_of(text), &values));
}

static void convert(struct col_layout *l)
{
	ops_protobuf_body_reset(&natives);
	assert_non_null(l->classics);
	col_classics_convert(l->classics, &values, 5000, &scratch, &natives);
}

static void assert_histogram(size_t i, const char *wanted, int64_t time_ms)
{
	struct ops_histogram h;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	assert_true(i < natives.n);
	const struct ops_protobuf_native *at = &natives.items[i];
	const struct ops_remote_histogram message = {
		(const uint8_t *)natives.messages.data + at->from, at->len, at->time_ms, 0};
	assert_int_equal(at->time_ms, time_ms);
	ops_arena_reset(&scratch);
	assert_int_equal(ops_remote_histogram_decode(&message, &scratch, &h), 0);
	ops_histogram_print_notation(&h, &text);
	assert_string_equal(ops_strbuf_text(&text), wanted);
	ops_strbuf_done(&text);
}

#define BODY(b1, b2, inf, sum, count)                                                              \
	"# TYPE d histogram\n"                                                                     \
	"d_bucket{x=\"1\",le=\"0.5\"} " b1 "\nd_bucket{x=\"1\",le=\"2\"} " b2                      \
	"\nd_bucket{x=\"1\",le=\"+Inf\"} " inf "\nd_sum{x=\"1\"} " sum "\nd_count{x=\"1\"} " count \
	"\n"

static void test_a_scrape_and_the_next(void **state)
{
	(void)state;
	struct col_layout *l = parse("a 1\n" BODY("1", "3", "4", "6", "4") "b 2\n");
	assert_int_equal(l->nseries, 2);
	assert_int_equal(l->nlines, 7);
	assert_int_equal(l->nconverted, 5);
	assert_int_equal(values.n, l->wire.n);
	convert(l);
	assert_string_equal(ops_strbuf_text(&natives.natives), "{\"d\",x=\"1\"} 0\n");
	assert_histogram(
		0, "{{schema:-53 count:4 sum:6 custom_values:[0.5 2] buckets:[1 2 1]}}", 5000);

	read_again(l, "a 5\n" BODY("1", "3", "5", "9.5", "5") "b 6\n");
	assert_true(values.values[0] == 5 && values.values[1] == 6);
	convert(l);
	assert_histogram(
		0, "{{schema:-53 count:5 sum:9.5 custom_values:[0.5 2] buckets:[1 2 2]}}", 5000);

	read_again(l, "a 5\n" BODY("1 7000", "3 7000", "5 7000", "9.5 7000", "5 7000") "b 6\n");
	convert(l);
	assert_int_equal(natives.items[0].time_ms, 7000);

	/* what is no histogram is left out until it is one again */
	read_again(l, "a 5\n" BODY("4", "3", "5", "9.5", "5") "b 6\n");
	convert(l);
	assert_int_equal(natives.n, 0);
	read_again(l, "a 5\n" BODY("1", "3", "5", "9.5", "6") "b 6\n");
	convert(l);
	assert_int_equal(natives.n, 0);
	read_again(l, "a 5\n" BODY("1", "3", "5", "9.5", "5") "b 6\n");
	convert(l);
	assert_int_equal(natives.n, 1);
	col_layout_free(l);
}

static void test_documents(void **state)
{
	static const struct {
		const char *text;
		size_t series, natives;
		const char *lines;
	} rows[] = {
		{"d_bucket{le=\"1\"} 1\nd_sum 1\nd_count 1\n", 3, 0, NULL}, /* no type */
		{"# TYPE d summary\nd{quantile=\"0.5\"} 1\nd_sum 1\nd_count 1\n", 3, 0, NULL},
		{"# TYPE d histogram\nd_bucket{le=\"x\"} 1\n", 1, 0, NULL},
		{"# TYPE d histogram\nd_bucket 1\n", 1, 0, NULL},
		{"# TYPE d histogram\nd_count 0\n", 0, 1, "{\"d\"} 0\n"},
		/* lines of two that do not stand together, buckets that do not ascend */
		{"# TYPE d histogram\nd_bucket{a=\"1\",le=\"+Inf\"} 3\nd_bucket{a=\"2\",le=\"1\"} "
		 "0\n"
		 "d_bucket{a=\"1\",le=\"1\"} 2\nd_count{a=\"1\"} 3\nd_sum{a=\"2\"} 0\n",
			0, 2, "{\"d\",a=\"1\"} 0\n{\"d\",a=\"2\"} 1\n"},
		/* a bound twice: the first line counts */
		{"# TYPE d histogram\nd_bucket{le=\"1\"} 2\nd_bucket{le=\"1.0\"} 9\nd_count 2\n", 0,
			1, "{\"d\"} 0\n"},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct col_layout *l = parse(rows[i].text);
		assert_int_equal(l->nseries, rows[i].series);
		if (rows[i].lines == NULL) {
			assert_null(l->classics);
		} else {
			convert(l);
			assert_int_equal(natives.n, rows[i].natives);
			assert_string_equal(ops_strbuf_text(&natives.natives), rows[i].lines);
		}
		read_again(l, rows[i].text);
		col_layout_free(l);
	}
	rules.convert_classic = false;
	struct col_layout *l = parse(BODY("1", "3", "4", "6", "4"));
	assert_int_equal(l->nseries, 5);
	assert_null(l->classics);
	col_layout_free(l);
	rules.convert_classic = true;
}

static void test_classic_ones_kept_as_well(void **state)
{
	(void)state;
	rules.keep_classic = true;
	struct col_layout *l = parse(BODY("1", "3", "4", "6", "4"));
	assert_int_equal(l->nseries, 5);
	assert_int_equal(l->nconverted, 0);
	assert_int_equal(col_layout_columns(l), l->wire.n);
	read_again(l, BODY("1", "3", "5", "6", "5"));
	convert(l);
	assert_histogram(
		0, "{{schema:-53 count:5 sum:6 custom_values:[0.5 2] buckets:[1 2 2]}}", 5000);
	rules.keep_classic = false;
	col_layout_free(l);
}

static void test_resolution(void **state)
{
	/* 1, 1, 1, 1 in buckets that grow by 2^(1/4) */
	static const char four[] = "{{schema:2 count:4 sum:9 buckets:[1 1 1 1]}}";
	static const struct {
		int64_t buckets;
		int32_t finest;
		const char *wanted; /* NULL: refused */
	} rows[] = {
		{0, 8, four}, {4, 8, four}, {3, 8, "{{schema:1 count:4 sum:9 buckets:[1 2 1]}}"},
		{0, 1, "{{schema:1 count:4 sum:9 buckets:[1 2 1]}}"},
		{0, -4, "{{schema:-4 count:4 sum:9 buckets:[1 3]}}"},
		{1, 8, NULL}, /* the bound 1 parts them at any resolution */
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		const struct col_job job = {
			.histogram_buckets = rows[i].buckets, .finest_schema = rows[i].finest};
		struct ops_histogram h = {.schema = 2, .count = 4, .sum = 9};
		struct col_native n = {.layout = NULL};
		struct ops_error err;
		ops_arena_reset(&scratch);
		ops_protobuf_body_reset(&natives);
		for (int32_t k = 0; k < 4; k++) {
			ops_histogram_push(&scratch, &h.positive, k, 1);
		}
		ops_remote_histogram_encode(&h, 9000, &natives.messages);
		ops_protobuf_add_native(&natives, text_of("{\"d\"} "), 0, 9000);
		assert_int_equal(col_native_read(&n, &rules, &natives, false, &err), 0);
		assert_int_equal(col_native_count(&n), 1);
		assert_int_equal(col_native_limit(&n, &job, &natives, &scratch, &err),
			rows[i].wanted != NULL ? 0 : -E2BIG);
		if (rows[i].wanted != NULL) {
			assert_histogram(0, rows[i].wanted, 9000);
		}
		col_native_done(&n);
	}
}

static void test_custom_buckets_cannot_be_coarser(void **state)
{
	(void)state;
	struct col_native n = {.layout = NULL};
	struct ops_error err;
	struct col_layout *l = parse(BODY("1", "3", "4", "6", "4"));
	convert(l);
	assert_int_equal(col_native_read(&n, &rules, &natives, false, &err), 0);
	struct col_job job = {.histogram_buckets = 3, .finest_schema = -4};
	assert_int_equal(col_native_limit(&n, &job, &natives, &scratch, &err), 0);
	job.histogram_buckets = 2;
	assert_int_equal(col_native_limit(&n, &job, &natives, &scratch, &err), -E2BIG);
	assert_non_null(strstr(err.message, "native_histogram_bucket_limit"));
	col_native_done(&n);
	col_layout_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_scrape_and_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_classic_ones_kept_as_well, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolution, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_custom_buckets_cannot_be_coarser, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
