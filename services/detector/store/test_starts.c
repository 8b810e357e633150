/* SPDX-License-Identifier: Apache-2.0 */
/* Start timestamps: kept with their series through log, blocks and deletion, and in nobody's way.
 */
#include "services/detector/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/test_tempdir.h"

enum {
	ROWS = 300,
	STEP_MS = 60000
};
static const int64_t T0 = 1795208400000LL;
static const int64_t always[2] = {INT64_MIN, INT64_MAX};

struct seen {
	struct det_series_list list;
	struct det_samples samples; /* of the first */
};

static int64_t start_at(int row)
{
	return T0 - 5 + (row >= ROWS / 2 ? (int64_t)ROWS / 2 * STEP_MS : 0);
}

static struct det_store *open_at(const char *dir)
{
	struct ops_error err = {0};
	struct det_store *s = det_store_new(
		&(struct det_store_options){.retention_ms = INT64_MAX / 4, .dir = dir});
	if (det_store_open(s, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return s;
}

/* What {__name__="m_total"} selects, or its starts. */
static void look(struct det_store *s, bool starts, struct ops_arena *arena, struct seen *ret)
{
	struct ops_matchers ms;
	struct ops_error err;
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_add(&ms, OPS_MATCH_EQ, "__name__", "m_total", &err), 0);
	if (starts) {
		det_store_select_starts(s, &ms, always, arena, &ret->list);
	} else {
		det_store_select(s, &ms, always, arena, &ret->list);
	}
	if (ret->list.n != 0) {
		det_series_read(ret->list.items[0], always[0], always[1], &ret->samples);
	}
	ops_matchers_done(&ms);
}

static void expect(struct det_store *s, size_t rows)
{
	struct ops_arena arena;
	struct seen values = {.list = {NULL, 0}}, starts = {.list = {NULL, 0}};
	struct det_strings names;
	ops_arena_init(&arena);
	look(s, false, &arena, &values);
	look(s, true, &arena, &starts);
	assert_int_equal(values.list.n, 1);
	assert_null(ops_labels_get(values.list.items[0]->labels, DET_START_LABEL));
	assert_int_equal(starts.list.n, 1);
	assert_int_equal(values.samples.n, rows);
	assert_int_equal(starts.samples.n, rows);
	for (size_t i = 0; i < rows; i++) {
		assert_int_equal(starts.samples.t[i], values.samples.t[i]);
		assert_true(starts.samples.v[i] == (double)start_at((int)i));
	}
	det_store_label_names(s, &arena, &names);
	assert_int_equal(names.n, 1);
	assert_string_equal(names.items[0], "__name__");
	det_samples_done(&values.samples);
	det_samples_done(&starts.samples);
	ops_arena_done(&arena);
}

static void on_sample(void *arg, const struct det_series *series, int64_t time_ms, double value)
{
	int *heard = arg;
	(void)time_ms;
	(void)value;
	assert_null(ops_labels_get(series->labels, DET_START_LABEL));
	++*heard;
}

static void fill(struct det_store *s)
{
	struct ops_labels *ls = ops_labels_of("__name__", "m_total", NULL);
	int heard = 0;
	det_store_set_tap(s, &(struct det_store_tap){.on_sample = on_sample, .arg = &heard});
	det_store_maintain(s, T0 + (int64_t)ROWS * STEP_MS);
	for (int i = 0; i < ROWS; i++) {
		int64_t t = T0 + (int64_t)i * STEP_MS;
		assert_int_equal(det_store_append(s, ls, t, i), 0);
		assert_int_equal(det_store_append_start(s, ls, t, start_at(i)), 0);
	}
	det_store_set_tap(s, &(struct det_store_tap){.on_sample = NULL});
	assert_int_equal(heard, ROWS);
	ops_labels_unref(ls);
}

static void cut(struct det_store *s)
{
	struct det_store_disk disk = {0};
	for (int i = 0; i < 20000 && (disk.cuts == 0 || det_store_busy(s)); i++) {
		const struct timespec ms = {.tv_nsec = 1000000};
		det_store_maintain(s, T0 + (int64_t)ROWS * STEP_MS);
		nanosleep(&ms, NULL);
		det_store_disk(s, &disk);
	}
	assert_true(disk.cuts != 0 && disk.blocks != 0);
}

static void test_kept_and_hidden(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	struct det_store *s = open_at(dir);
	fill(s);
	expect(s, ROWS);
	det_store_free(s);
	s = open_at(dir);
	expect(s, ROWS);
	cut(s);
	expect(s, ROWS);
	det_store_free(s);
	s = open_at(dir);
	expect(s, ROWS);
	det_store_free(s);
	tempdir_remove(dir);
}

static void test_deleted_with_their_series(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	struct det_store *s = open_at(dir);
	fill(s);
	cut(s);
	struct ops_matchers ms;
	struct ops_error err;
	uint64_t n;
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_add(&ms, OPS_MATCH_EQ, "__name__", "m_total", &err), 0);
	const int64_t range[2] = {T0 + 10 * (int64_t)STEP_MS, INT64_MAX};
	assert_int_equal(det_store_delete(s, &ms, range, &n, &err), 0);
	expect(s, 10);
	ops_matchers_done(&ms);
	det_store_free(s);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept_and_hidden),
		cmocka_unit_test(test_deleted_with_their_series)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
