/* SPDX-License-Identifier: Apache-2.0 */
/* The tap hears of each stored sample once, with its value, and of nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"
#include "services/detector/store/group.h"

static const int64_t T0 = 1795208400000LL;

static void add(struct ops_strbuf *b, const struct ops_labels *labels, int64_t t, double v)
{
	ops_strbuf_printf(b, "%s+%lld=", ops_labels_get(labels, "i"), (long long)(t - T0));
	if (ops_is_stale(v)) {
		ops_strbuf_adds(b, "stale ");
	} else {
		ops_strbuf_printf(b, "%g ", v);
	}
}

static void on_row(void *arg, const struct det_store_row *row)
{
	struct ops_arena arena;
	ops_arena_init(&arena);
	for (size_t i = 0; i < row->n; i++) {
		if (!det_is_absent(row->values[i])) {
			add(arg, det_store_row_labels(row, i, &arena), row->time_ms,
				row->values[i]);
		}
	}
	ops_arena_done(&arena);
}

static void on_sample(void *arg, const struct det_series *series, int64_t time_ms, double value)
{
	add(arg, series->labels, time_ms, value);
}

static void on_histogram(
	void *arg, const struct det_series *series, int64_t time_ms, const struct ops_histogram *h)
{
	ops_strbuf_adds(arg, "h:");
	add(arg, series->labels, time_ms, h->count);
}

static void expect(struct ops_strbuf *heard, const char *text)
{
	assert_string_equal(ops_strbuf_text(heard), text);
	ops_strbuf_reset(heard);
}

static void append(struct det_store *s, int64_t t, double a, double b, const int64_t *times)
{
	const double values[] = {a, b};
	const struct ops_batch batch = {
		.layout_id = 7, .time_ms = T0 + t, .values = values, .n = 2, .times_ms = times};
	assert_int_equal(det_store_append_batch(s, &batch), 0);
}

static void each_sample_once(void **state)
{
	(void)state;
	struct det_store *s = det_store_new(&(struct det_store_options){.retention_ms = 3600000});
	struct ops_strbuf heard = OPS_STRBUF_INIT;
	det_store_set_tap(s, &(struct det_store_tap){on_row, on_sample, on_histogram, &heard});
	struct ops_labels *series[] = {ops_labels_of("__name__", "m", "i", "a", NULL),
		ops_labels_of("__name__", "m", "i", "b", NULL)};
	uint32_t family[] = {UINT32_MAX, UINT32_MAX};
	const struct ops_layout layout = {
		.id = 7, .job = "j", .instance = "x", .series = series, .family = family, .n = 2};
	assert_int_equal(det_store_layout(s, &layout), 0);

	append(s, 10, 1, 2, NULL);
	expect(&heard, "a+10=1 b+10=2 ");
	append(s, 10, 1, 2, NULL); /* known */
	append(s, 5, 1, 2, NULL);  /* refused */
	expect(&heard, "");
	append(s, 20, 3, 4, (const int64_t[]){0, T0 + 15}); /* a time of its own */
	expect(&heard, "b+15=4 a+20=3 ");
	assert_int_equal(det_store_append(s, series[0], T0 + 30, 5), 0);
	assert_int_equal(det_store_append(s, series[0], T0 + 30, 5), 0);
	assert_int_equal(det_store_append(s, series[0], T0 + 30, 6), 1);
	expect(&heard, "a+30=5 ");
	const struct ops_histogram h = {.count = 9, .sum = 1, .zero_count = 9};
	assert_int_equal(det_store_append_histogram(s, series[0], T0 + 40, &h), 0);
	assert_int_equal(det_store_append_histogram(s, series[0], T0 + 40, &h), 0);
	expect(&heard, "h:a+40=9 ");
	det_store_retire_layout(s, 7, T0 + 50);
	expect(&heard, "a+50=stale b+50=stale ");

	ops_labels_unref(series[0]);
	ops_labels_unref(series[1]);
	ops_strbuf_done(&heard);
	det_store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_sample_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
