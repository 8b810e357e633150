/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks against a naive model: what was written comes back, through tombstones and compaction.
 */
#include "services/detector/store/blocks.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/test_tempdir.h"
#include "services/detector/store/blocks_model.h"
#include "services/detector/store/ulid.h"

static void test_round_trip(void **state)
{
	static struct model m;
	char *dir = tempdir_make();
	(void)state;
	for (int turn = 0; turn < 10; turn++) {
		memset(&m, 0, sizeof(m));
		char *path = model_block(dir, &m, MODEL_START_MS);
		struct det_block *b = model_open(path);
		model_check(b, &m);
		det_block_remove(b);
		struct det_block *again = det_block_ref(b);
		det_block_unref(b);
		assert_int_equal(access(path, F_OK), 0);
		det_block_unref(again);
		assert_int_equal(access(path, F_OK), -1);
		free(path);
	}
	tempdir_remove(dir);
}

static size_t select_text(const struct det_block *b, const char *text)
{
	struct ops_arena arena;
	struct ops_matchers ms;
	struct ops_error err;
	struct det_block_list list;
	ops_arena_init(&arena);
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_parse(&ms, text, strlen(text), &err), 0);
	det_block_select(b, &ms, &arena, &list);
	for (size_t i = 1; i < list.n; i++) {
		assert_true(list.series[i - 1] < list.series[i]);
	}
	ops_matchers_done(&ms);
	ops_arena_done(&arena);
	return list.n;
}

static void test_select(void **state)
{
	static const struct {
		const char *matchers;
		size_t n;
	} cases[] = {
		{"{__name__=\"even\"}", 6},
		{"{__name__=\"none\"}", 0},
		{"{none=\"\"}", 12},
		{"{none!=\"\"}", 0},
		{"{zone=\"a\"}", 6},
		{"{zone=\"\"}", 6},
		{"{zone!=\"a\"}", 6},
		{"{zone!=\"b\"}", 12},
		{"{zone=~\"a|\"}", 12},
		{"{zone=~\".+\"}", 6},
		{"{zone!~\".+\"}", 6},
		{"{number=~\"1|2|30\"}", 2},
		{"{number=~\"1.*\"}", 3},
		{"{number!~\"1.*\"}", 9},
		{"{number!~\"1|2\"}", 10},
		{"{__name__=\"odd\",number=~\"1.*\"}", 2},
		{"{__name__=\"odd\",zone=\"a\",number!=\"3\"}", 2},
	};
	struct ops_arena arena;
	const char *const *texts;
	char *dir = tempdir_make(), *path = model_simple(dir, 1000);
	struct det_block *b = model_open(path);
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		if (select_text(b, cases[i].matchers) != cases[i].n) {
			fail_msg("%s: %zu series", cases[i].matchers,
				select_text(b, cases[i].matchers));
		}
	}
	ops_arena_init(&arena);
	assert_int_equal(det_block_names(b, &arena, &texts), 3);
	assert_string_equal(texts[0], "__name__");
	assert_string_equal(texts[2], "zone");
	assert_int_equal(det_block_values(b, "number", &arena, &texts), SERIES);
	assert_string_equal(texts[0], "0");
	assert_string_equal(texts[2], "10");
	assert_int_equal(det_block_values(b, "nothing", &arena, &texts), 0);
	ops_arena_done(&arena);
	det_block_unref(b);
	free(path);
	tempdir_remove(dir);
}

static void test_delete(void **state)
{
	static struct model m;
	char *dir = tempdir_make();
	(void)state;
	memset(&m, 0, sizeof(m));
	char *path = model_block(dir, &m, MODEL_START_MS);
	struct det_block *b = model_open(path);
	assert_false(det_block_has_tombstones(b));
	for (int i = 0; i < 20; i++) {
		model_delete_some(b, &m);
		model_check(b, &m);
	}
	det_block_unref(b);
	b = model_open(path);
	assert_true(det_block_has_tombstones(b));
	model_check(b, &m);
	det_block_unref(b);
	free(path);
	tempdir_remove(dir);
}

static void test_compact(void **state)
{
	static struct model parts[4], m;
	(void)state;
	for (int turn = 0; turn < 12; turn++) {
		struct det_block *blocks[4];
		struct det_block_meta meta;
		size_t n = 1 + model_random() % 4;
		char *dir = tempdir_make();
		memset(&m, 0, sizeof(m));
		for (size_t i = 0; i < n; i++) {
			/* Some far apart, some over each other. */
			int64_t from =
				MODEL_START_MS + (int64_t)i * STEP_MS * (turn % 2 == 0 ? 1000 : 20);
			memset(&parts[i], 0, sizeof(parts[i]));
			char *path = model_block(dir, &parts[i], from);
			blocks[i] = model_open(path);
			free(path);
			if (model_random() % 2 == 0) {
				model_delete_some(blocks[i], &parts[i]);
			}
			model_merge(&m, &parts[i]);
		}
		assert_int_equal(det_blocks_compact(dir, blocks, n, NULL, NULL, &meta, NULL), 0);
		char *path = ops_path_join(dir, meta.ulid);
		struct det_block *b = model_open(path);
		model_check(b, &m);
		assert_int_equal(det_block_meta(b)->nparents, n);
		assert_int_equal(det_block_meta(b)->level, n > 1 ? 2 : 1);
		assert_false(det_block_has_tombstones(b));
		det_block_unref(b);
		free(path);
		for (size_t i = 0; i < n; i++) {
			det_block_unref(blocks[i]);
		}
		tempdir_remove(dir);
	}
}

static void test_compact_nothing_left(void **state)
{
	char *dir = tempdir_make(), *path = model_simple(dir, 1000);
	const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct det_block *b = model_open(path), **loaded;
	struct det_block_meta meta;
	struct ops_matchers all;
	uint64_t deleted;
	size_t n;
	(void)state;
	ops_matchers_init(&all);
	assert_int_equal(det_block_delete(b, &all, always, &deleted, NULL), 0);
	assert_int_equal(deleted, SERIES);
	assert_int_equal(det_blocks_compact(dir, &b, 1, NULL, NULL, &meta, NULL), 1);
	assert_int_equal(det_blocks_load(dir, true, &loaded, &n, model_no_finding, NULL), 0);
	assert_int_equal(n, 1);
	det_block_unref(loaded[0]);
	free(loaded);
	det_block_unref(b);
	ops_matchers_done(&all);
	free(path);
	tempdir_remove(dir);
}

static bool stop_early(void *arg, double done)
{
	(void)arg;
	assert_true(done > 0 && done <= 1);
	return false;
}

static void test_canceled(void **state)
{
	char *dir = tempdir_make(), *path = model_simple(dir, 1000);
	struct det_block *b = model_open(path);
	struct det_block_meta meta;
	(void)state;
	assert_int_equal(det_blocks_compact(dir, &b, 1, stop_early, NULL, &meta, NULL), -ECANCELED);
	assert_int_equal(model_count(dir), 1);
	det_block_unref(b);
	free(path);
	tempdir_remove(dir);
}

/* ---- plan -------------------------------------------------------------------------------------
 */

#define HOUR ((int64_t)3600 * 1000)

static void test_plan(void **state)
{
	static const struct {
		int64_t hours[8][2]; /* ends with an empty one */
		size_t n, first;
	} cases[] = {
		{{{0, 2}}, 0, 0},
		{{{0, 2}, {2, 4}, {4, 6}}, 0, 0},
		{{{0, 2}, {2, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 12}}, 5, 0},
		{{{0, 10}, {10, 12}, {12, 14}, {14, 16}, {16, 18}, {18, 20}, {20, 22}}, 5, 1},
		{{{0, 2}, {4, 6}, {20, 22}}, 0, 0},
		{{{0, 2}, {4, 6}, {20, 22}, {22, 24}}, 2, 0},
		{{{0, 10}, {10, 20}, {20, 30}, {30, 40}, {40, 50}, {50, 52}}, 0, 0},
		{{{0, 2}, {1, 3}, {2, 4}, {6, 8}}, 3, 0},
		{{{0, 2}, {3, 9}, {4, 5}, {20, 22}}, 2, 1},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct det_block_meta metas[8];
		size_t n = 0, got[8];
		while (n < 8 && cases[i].hours[n][1] != 0) {
			metas[n] = (struct det_block_meta){.mint_ms = cases[i].hours[n][0] * HOUR,
				.maxt_ms = cases[i].hours[n][1] * HOUR};
			n++;
		}
		/* Ten days: windows of ten hours, not of fifty. */
		assert_int_equal(det_blocks_plan(metas, n, 240 * HOUR, got), cases[i].n);
		for (size_t k = 0; k < cases[i].n; k++) {
			assert_int_equal(got[k], cases[i].first + k);
		}
	}
	assert_int_equal(det_blocks_plan(NULL, 0, 240 * HOUR, NULL), 0);
}

static void test_ulid(void **state)
{
	char a[DET_ULID_CHARS + 1], b[DET_ULID_CHARS + 1];
	(void)state;
	det_ulid_new(a);
	det_ulid_new(b);
	assert_true(det_ulid_valid(a) && det_ulid_valid(b));
	assert_string_not_equal(a, b);
	assert_false(det_ulid_valid(""));
	assert_false(det_ulid_valid("01ARZ3NDEKTSV4RRFFQ69G5FA"));
	assert_false(det_ulid_valid("01ARZ3NDEKTSV4RRFFQ69G5FAU"));
	assert_true(det_ulid_valid("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
	assert_false(det_ulid_valid("81ARZ3NDEKTSV4RRFFQ69G5FAV"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_delete),
		cmocka_unit_test(test_compact),
		cmocka_unit_test(test_compact_nothing_left),
		cmocka_unit_test(test_canceled),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_ulid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
