/* SPDX-License-Identifier: Apache-2.0 */
/* Native histograms in the store: what comes back, which hint they get, what is refused, what a
 * restart keeps. */
#include "services/detector/store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/test_tempdir.h"
#include "services/detector/store/group.h"

#define T0 1795208400000LL
#define STEP_MS 15000

static struct det_store *open_at(const char *dir)
{
	struct ops_error err = {0};
	struct det_store *s =
		det_store_new(&(struct det_store_options){.retention_ms = 3600000, .dir = dir});
	if (dir != NULL && det_store_open(s, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return s;
}

/* A sample of the series: a float, or a histogram of one bucket. */
struct sample {
	double count; /* or the float */
	enum ops_reset_hint hint;
	int32_t schema;
	bool is_float;
	enum ops_reset_hint stored; /* the hint that it has afterwards */
};

static const struct sample samples[] = {
	{.count = 4, .stored = OPS_RESET_UNKNOWN},
	{.count = 5, .stored = OPS_RESET_NO},
	{.count = 9, .stored = OPS_RESET_NO},
	{.count = 2, .stored = OPS_RESET_UNKNOWN}, /* it started again */
	{.count = 3, .stored = OPS_RESET_NO},
	{.count = 4, .schema = 1, .stored = OPS_RESET_UNKNOWN}, /* another shape */
	{.count = 7, .is_float = true},
	{.count = 8, .schema = 1, .stored = OPS_RESET_UNKNOWN}, /* after a float */
	{.count = 9, .schema = 1, .hint = OPS_RESET_YES, .stored = OPS_RESET_UNKNOWN},
	{.count = 1, .hint = OPS_RESET_GAUGE, .stored = OPS_RESET_GAUGE},
	{.count = 1, .hint = OPS_RESET_GAUGE, .stored = OPS_RESET_GAUGE},
	{.count = 4, .stored = OPS_RESET_UNKNOWN},
};

static int append(struct det_store *s, struct ops_labels *labels, int64_t t, const struct sample *x)
{
	struct ops_histogram_bucket bucket = {.index = 1, .count = x->count};
	struct ops_histogram h = {.hint = x->hint,
		.schema = x->schema,
		.count = x->count,
		.sum = 0.5,
		.positive = {&bucket, 1, 1}};
	return x->is_float ? det_store_append(s, labels, t, x->count)
			   : det_store_append_histogram(s, labels, t, &h);
}

static struct ops_labels *fill(struct det_store *s)
{
	struct ops_labels *labels = ops_labels_of("__name__", "lat", "i", "a", NULL);
	for (size_t i = 0; i < OPS_LENGTH(samples); i++) {
		assert_int_equal(append(s, labels, T0 + (int64_t)i * STEP_MS, &samples[i]), 0);
	}
	return labels;
}

static void check(struct det_store *s, const struct ops_labels *labels, size_t from)
{
	struct det_samples out = {0};
	struct ops_arena arena;
	ops_arena_init(&arena);
	struct det_series *series = det_store_find(s, labels, &arena);
	assert_non_null(series);
	det_series_read(series, T0 + (int64_t)from * STEP_MS, INT64_MAX, &out);
	assert_int_equal(out.n, OPS_LENGTH(samples) - from);
	assert_non_null(out.h);
	for (size_t i = 0; i < out.n; i++) {
		const struct sample *x = &samples[from + i];
		assert_int_equal(out.t[i], T0 + (int64_t)(from + i) * STEP_MS);
		assert_int_equal(out.h[i] == NULL, x->is_float);
		if (x->is_float) {
			assert_true(out.v[i] == x->count);
			continue;
		}
		assert_true(det_is_histogram(out.v[i]));
		assert_true(out.h[i]->count == x->count && out.h[i]->sum == 0.5);
		assert_int_equal(out.h[i]->schema, x->schema);
		assert_int_equal(out.h[i]->hint, x->stored);
		assert_int_equal(out.h[i]->positive.n, 1);
	}
	det_samples_done(&out);
	ops_arena_done(&arena);
}

static void test_read(void **state)
{
	(void)state;
	struct det_store *s = open_at(NULL);
	struct ops_labels *labels = fill(s);
	for (size_t from = 0; from < OPS_LENGTH(samples); from++) {
		check(s, labels, from);
	}
	ops_labels_unref(labels);
	det_store_free(s);
}

static void test_refused(void **state)
{
	(void)state;
	struct det_store *s = open_at(NULL);
	struct ops_labels *labels = fill(s);
	const struct sample late = {.count = 1}, negative = {.count = -1};
	int64_t last = T0 + (int64_t)(OPS_LENGTH(samples) - 1) * STEP_MS;
	assert_int_equal(append(s, labels, last, &samples[OPS_LENGTH(samples) - 1]), 0);
	assert_int_equal(append(s, labels, last - 1, &late), 1);
	assert_int_equal(append(s, labels, last + 1, &negative), -EINVAL);
	struct det_store_stats stats;
	det_store_stats(s, &stats);
	assert_int_equal(stats.refused[DET_REFUSED_OUT_OF_ORDER], 1);
	check(s, labels, 0);
	ops_labels_unref(labels);
	det_store_free(s);
}

/* One whose sum is the staleness marker ends the series as a float's marker does. */
static void test_stale(void **state)
{
	(void)state;
	struct det_store *s = open_at(NULL);
	struct ops_labels *labels = fill(s);
	struct det_samples out = {0};
	struct ops_arena arena;
	const struct ops_histogram end = {.sum = ops_stale_nan()};
	int64_t t = T0 + (int64_t)OPS_LENGTH(samples) * STEP_MS;
	ops_arena_init(&arena);
	assert_int_equal(det_store_append_histogram(s, labels, t, &end), 0);
	det_series_read(det_store_find(s, labels, &arena), t, t, &out);
	assert_int_equal(out.n, 1);
	assert_null(out.h);
	assert_true(ops_is_stale(out.v[0]));
	det_samples_done(&out);
	ops_arena_done(&arena);
	ops_labels_unref(labels);
	det_store_free(s);
}

static void test_restart(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	struct det_store *s = open_at(dir);
	struct ops_labels *labels = fill(s);
	for (int i = 0; i < 2; i++) {
		det_store_free(s);
		s = open_at(dir);
		check(s, labels, 0);
	}
	/* What goes on is compared with what was there before. */
	const struct sample next = {.count = 5};
	struct det_samples out = {0};
	struct ops_arena arena;
	int64_t t = T0 + (int64_t)OPS_LENGTH(samples) * STEP_MS;
	ops_arena_init(&arena);
	assert_int_equal(append(s, labels, t, &next), 0);
	det_series_read(det_store_find(s, labels, &arena), t, t, &out);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.h[0]->hint, OPS_RESET_NO);
	det_samples_done(&out);
	ops_arena_done(&arena);
	ops_labels_unref(labels);
	det_store_free(s);
	tempdir_remove(dir);
}

static void check_late(struct det_store *s, const struct ops_labels *labels)
{
	static const double counts[] = {4, 5, 6, 7, 9};
	static const enum ops_reset_hint hints[] = {OPS_RESET_UNKNOWN, OPS_RESET_UNKNOWN,
		OPS_RESET_UNKNOWN, OPS_RESET_UNKNOWN, OPS_RESET_NO};
	struct det_samples out = {0};
	struct ops_arena arena;
	ops_arena_init(&arena);
	det_series_read(det_store_find(s, labels, &arena), T0, INT64_MAX, &out);
	assert_int_equal(out.n, OPS_LENGTH(counts));
	for (size_t i = 0; i < out.n; i++) {
		assert_int_equal(out.t[i], T0 + (int64_t)i * 1000);
		assert_true(out.h[i]->count == counts[i]);
		assert_int_equal(out.h[i]->hint, hints[i]);
	}
	det_samples_done(&out);
	ops_arena_done(&arena);
}

/* Those within the window take their place, also in the log; whether they and those behind them are
 * resets is not known. */
static void test_late(void **state)
{
	(void)state;
	static const struct {
		int64_t t_ms;
		double count;
		int rc;
	} given[] = {{0, 4, 0}, {3000, 7, 0}, {4000, 9, 0}, {1000, 5, 0}, {2000, 6, 0},
		{2000, 6, 0}, {-600000, 1, 1}};
	char *dir = tempdir_make();
	const struct det_store_options options = {
		.retention_ms = 3600000, .dir = dir, .out_of_order_ms = 600000};
	struct ops_labels *labels = ops_labels_of("__name__", "lat", "i", "b", NULL);
	struct ops_error err;
	struct det_store *s = det_store_new(&options);
	assert_int_equal(det_store_open(s, &err), 0);
	for (size_t i = 0; i < OPS_LENGTH(given); i++) {
		const struct sample x = {.count = given[i].count};
		assert_int_equal(append(s, labels, T0 + given[i].t_ms, &x), given[i].rc);
	}
	check_late(s, labels);
	for (int i = 0; i < 2; i++) {
		det_store_free(s);
		s = det_store_new(&options);
		assert_int_equal(det_store_open(s, &err), 0);
		check_late(s, labels);
	}
	ops_labels_unref(labels);
	det_store_free(s);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_late),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
