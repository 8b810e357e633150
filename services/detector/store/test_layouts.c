/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts go on after a restart with whoever fed them, and what is on the disk is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "services/detector/store/store.h"

static const int64_t T0 = 1795208400000LL;

static struct det_store *open_at(const char *dir)
{
	struct ops_error err;
	struct det_store *s = det_store_new(&(struct det_store_options){
		.retention_ms = INT64_MAX / 4, .dir = dir, .wal_fsync_ms = 10});
	assert_int_equal(det_store_open(s, &err), 0);
	return s;
}

/* A layout of one series, i = its id. */
static void announce(struct det_store *s, uint64_t id, const char *source)
{
	char text[24];
	uint32_t family = UINT32_MAX;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)id);
	struct ops_labels *series = ops_labels_of("__name__", "m", "i", text, NULL);
	const struct ops_layout l = {.id = id,
		.job = "j",
		.instance = "x",
		.series = &series,
		.family = &family,
		.n = 1};
	assert_int_equal(det_store_layout(s, &l), 0);
	det_store_feed(s, id, source);
	ops_labels_unref(series);
}

static int row(struct det_store *s, uint64_t id, int64_t t)
{
	const double value = (double)t;
	const struct ops_batch b = {.layout_id = id, .time_ms = T0 + t, .values = &value, .n = 1};
	return det_store_append_batch(s, &b);
}

static void note(void *arg, const struct det_store_resumed *r)
{
	ops_strbuf_printf(arg, "%llu=%s@%lld+%lld ", (unsigned long long)r->layout_id, r->source,
		(long long)(r->last_ms - T0), (long long)r->step_ms);
}

static void expect_resumed(struct det_store *s, const char *text)
{
	struct ops_strbuf heard = OPS_STRBUF_INIT;
	det_store_resume(s, note, &heard);
	assert_string_equal(ops_strbuf_text(&heard), text);
	ops_strbuf_done(&heard);
}

static void test_resume(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	struct det_store *s = open_at(dir);
	announce(s, 1, "one");
	announce(s, 2, "two");
	announce(s, 3, "one");
	announce(s, 4, "never a row");
	assert_int_equal(row(s, 2, 10), 0);
	assert_int_equal(row(s, 1, 20), 0);
	assert_int_equal(row(s, 3, 30), 0);
	det_store_retire_layout(s, 1, T0 + 30);
	det_store_free(s);
	for (int i = 0; i < 2; i++) { /* also when nobody resumed them in between */
		s = open_at(dir);
		assert_int_equal(row(s, 2, 40), 1);
		assert_false(det_store_has_layout(s, 2));
		if (i == 0) {
			det_store_free(s);
		}
	}
	expect_resumed(s, "2=two@10+0 3=one@30+0 ");
	assert_int_equal(row(s, 2, 40), 0);
	assert_int_equal(row(s, 3, 40), 0);
	assert_int_equal(row(s, 1, 40), 1);
	det_store_feed(s, 2, "another");
	det_store_retire_layout(s, 3, T0 + 50); /* its series ends */
	det_store_free(s);
	s = open_at(dir);
	struct det_samples out = {0};
	struct ops_arena arena;
	struct ops_labels *labels = ops_labels_of("__name__", "m", "i", "3", NULL);
	ops_arena_init(&arena);
	det_series_read(det_store_find(s, labels, &arena), T0, T0 + 60, &out);
	assert_int_equal(out.n, 3);
	assert_true(out.v[1] == 40 && ops_is_stale(out.v[2]));
	det_samples_done(&out);
	ops_labels_unref(labels);
	ops_arena_done(&arena);
	expect_resumed(s, "2=another@40+30 ");
	det_store_free(s);
	tempdir_remove(dir);
}

static void test_durable(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	struct det_store *s = open_at(dir);
	announce(s, 1, "one");
	assert_int_equal(row(s, 1, 10), 0);
	uint64_t moment = det_store_moment(s);
	for (int i = 0; i < 20000 && !det_store_durable(s, moment); i++) {
		const struct timespec ms = {.tv_nsec = 1000000};
		nanosleep(&ms, NULL);
	}
	assert_true(det_store_durable(s, moment));
	assert_false(det_store_durable(s, moment + 1000000));
	det_store_free(s);
	tempdir_remove(dir);
	s = det_store_new(&(struct det_store_options){.retention_ms = 3600000});
	assert_false(det_store_durable(s, det_store_moment(s)));
	det_store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_durable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
