/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's directory: what was deleted stays deleted, a snapshot opens as a store, and damage of
 * any file (a flipped bit, a cut end, many random places) costs samples and never gives a wrong
 * one.
 */
#include "services/detector/store/store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"

enum {
	SERIES = 5,
	ROWS = 200,
	STEP_MS = 60000,
	DAMAGES = 16
};
static const int64_t T0 = 1795208400000LL;

static uint32_t random_state = 99;

static uint32_t next_random(uint32_t below)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % below;
}

static double value_at(size_t series, int64_t t)
{
	return (double)((t - T0) / 1000) * (double)(series + 1) + (series == 3 ? 0.25 : 0);
}

static struct det_store *open_at(const char *dir)
{
	struct ops_error err = {0};
	struct det_store *s = det_store_new(&(struct det_store_options){
		.retention_ms = INT64_MAX / 4, .dir = dir, .out_of_order_ms = 600000});
	if (det_store_open(s, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return s;
}

static struct ops_labels *labels_of(size_t i)
{
	char text[8];
	snprintf(text, sizeof(text), "%zu", i);
	return ops_labels_of("__name__", "m", "i", text, NULL);
}

static void append_rows(struct det_store *s, size_t from, size_t to)
{
	struct ops_labels *series[SERIES];
	uint32_t family[SERIES];
	struct ops_layout l = {.id = 77, .job = "j", .series = series, .family = family};
	for (; l.n < SERIES; l.n++) {
		family[l.n] = UINT32_MAX;
		series[l.n] = labels_of(l.n);
	}
	assert_true(det_store_layout(s, &l) >= 0);
	for (size_t row = from; row < to; row++) {
		double values[SERIES];
		int64_t t = T0 + (int64_t)row * STEP_MS;
		for (size_t i = 0; i < SERIES; i++) {
			values[i] = value_at(i, t);
		}
		const struct ops_batch b = {
			.layout_id = 77, .time_ms = t, .values = values, .n = SERIES};
		assert_int_equal(det_store_append_batch(s, &b), 0);
		assert_int_equal(det_store_append(s, series[0], t - 500, value_at(0, t - 500)), 0);
	}
	for (size_t i = 0; i < SERIES; i++) {
		ops_labels_unref(series[i]);
	}
}

/* Until the first block is cut. */
static void cut(struct det_store *s)
{
	int64_t now = T0 + (int64_t)ROWS * STEP_MS;
	struct det_store_disk disk = {0};
	det_store_maintain(s, now);
	for (int i = 0; i < 20000 && (disk.cuts == 0 || det_store_busy(s)); i++) {
		const struct timespec ms = {.tv_nsec = 1000000};
		nanosleep(&ms, NULL);
		det_store_maintain(s, now);
		det_store_disk(s, &disk);
	}
	assert_true(disk.cuts != 0);
}

/* Every sample that is there is right; returns how many there are. */
static size_t check(struct det_store *s, const char *matcher)
{
	const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct ops_arena arena;
	struct ops_matchers ms;
	struct ops_error err;
	struct det_series_list list;
	struct det_samples out = {0};
	size_t n = 0;
	ops_arena_init(&arena);
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_parse(&ms, matcher, strlen(matcher), &err), 0);
	det_store_select(s, &ms, always, &arena, &list);
	for (size_t i = 0; i < list.n; i++) {
		size_t series = (size_t)(ops_labels_get(list.items[i]->labels, "i")[0] - '0');
		det_series_read(list.items[i], INT64_MIN, INT64_MAX, &out);
		for (size_t k = 0; k < out.n; k++) {
			double want = value_at(series, out.t[k]);
			assert_true(k == 0 || out.t[k] > out.t[k - 1]);
			assert_memory_equal(&out.v[k], &want, sizeof(want));
		}
		n += out.n;
	}
	det_samples_done(&out);
	ops_matchers_done(&ms);
	ops_arena_done(&arena);
	return n;
}

static void fill(const char *dir)
{
	struct det_store *s = open_at(dir);
	append_rows(s, 0, ROWS - 40);
	det_store_maintain(s, T0);
	cut(s);
	append_rows(s, ROWS - 40, ROWS);
	assert_int_equal(check(s, "{__name__=\"m\"}"), ROWS * (SERIES + 1));
	det_store_free(s);
}

static void test_delete_and_snapshot(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	struct ops_arena arena;
	struct ops_matchers ms;
	struct ops_error err = {0};
	const char *name;
	uint64_t n = 0;
	fill(dir);
	struct det_store *s = open_at(dir);
	size_t before = check(s, "{i=\"1\"}");
	assert_int_equal(before, ROWS);
	ops_arena_init(&arena);
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_parse(&ms, "{i=\"1\"}", 7, &err), 0);
	/* Ten rows that are in a block and ten that are not. */
	const int64_t old[2] = {T0 + 10 * STEP_MS, T0 + 20 * STEP_MS - 1};
	const int64_t young[2] = {T0 + (ROWS - 20) * STEP_MS, T0 + (ROWS - 10) * STEP_MS - 1};
	assert_int_equal(det_store_delete(s, &ms, old, &n, &err), 0);
	assert_int_equal(det_store_delete(s, &ms, young, &n, &err), 0);
	assert_int_equal(n, 1);
	assert_int_equal(check(s, "{i=\"1\"}"), before - 20);
	assert_int_equal(check(s, "{i=\"2\"}"), ROWS);
	assert_int_equal(det_store_snapshot(s, "first", &arena, &name, &err), 0);
	assert_int_equal(det_store_snapshot(s, "first", &arena, &name, &err), -EEXIST);
	det_store_free(s);
	s = open_at(dir);
	assert_int_equal(check(s, "{i=\"1\"}"), before - 20);
	det_store_free(s);
	char *copy = ops_xasprintf("%s/snapshots/first", dir);
	s = open_at(copy);
	assert_int_equal(check(s, "{i=\"1\"}"), before - 20);
	assert_int_equal(check(s, "{i=\"2\"}"), ROWS);
	det_store_free(s);
	free(copy);
	ops_matchers_done(&ms);
	ops_arena_done(&arena);
	tempdir_remove(dir);
}

static char *files[256];
static size_t nfiles;

static int note_file(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)where;
	if (kind == FTW_F && st->st_size != 0 && nfiles < OPS_LENGTH(files)) {
		files[nfiles++] = ops_xstrdup(path);
	}
	return 0;
}

static void damage(const char *path)
{
	FILE *f = fopen(path, "r+b");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	long size = OPS_MIN(ftell(f), 65536L); /* head files end in a hole */
	long at = (long)next_random((uint32_t)size);
	if (next_random(4) == 0) {
		assert_int_equal(ftruncate(fileno(f), at), 0);
	} else {
		assert_int_equal(fseek(f, at, SEEK_SET), 0);
		int c = fgetc(f);
		assert_int_equal(fseek(f, at, SEEK_SET), 0);
		assert_true(fputc(c ^ (1 << next_random(8)), f) != EOF);
	}
	assert_int_equal(fclose(f), 0);
}

static void test_damage(void **state)
{
	(void)state;
	for (int i = 0; i < DAMAGES; i++) {
		char *dir = tempdir_make();
		fill(dir);
		nfiles = 0;
		assert_int_equal(nftw(dir, note_file, 16, FTW_PHYS), 0);
		damage(files[next_random((uint32_t)nfiles)]);
		struct det_store *s = open_at(dir);
		(void)check(s, "{__name__=\"m\"}");
		det_store_free(s);
		s = open_at(dir); /* what it wrote meanwhile is whole */
		(void)check(s, "{__name__=\"m\"}");
		det_store_free(s);
		while (nfiles > 0) {
			free(files[--nfiles]);
		}
		tempdir_remove(dir);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delete_and_snapshot),
		cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
