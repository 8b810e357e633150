/* SPDX-License-Identifier: Apache-2.0 */
/* The store through its header: rows in, samples out, whatever was sealed, moved or dropped
 * between. */
#include "services/detector/store/store.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
	COLUMNS = 12,
	ROWS = 400,
	STEP_MS = 15000,
};

static struct ops_arena scratch; /* of views */

static struct det_series *find(struct det_store *s, const struct ops_labels *labels)
{
	return det_store_find(s, labels, &scratch);
}

static const int64_t T0 = 1795208400000LL;

static struct det_store *open_store(size_t memory_max)
{
	return det_store_new(
		&(struct det_store_options){.retention_ms = 3600000, .memory_max = memory_max});
}

struct fixture {
	struct ops_layout layout;
	struct ops_labels *series[COLUMNS];
	uint32_t family[COLUMNS];
	struct ops_layout_family families[1];
};

/* Series m{i="from"} ... m{i="from + n - 1"}. */
static void make_layout(struct fixture *f, uint64_t id, int from, size_t n)
{
	*f = (struct fixture){.layout = {.id = id, .job = "j", .instance = "x", .n = n}};
	for (size_t i = 0; i < n; i++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", from + (int)i);
		f->series[i] = ops_labels_of("__name__", "m", "i", text, "job", "j", NULL);
	}
	f->families[0] = (struct ops_layout_family){"m", "What m is.", "", OPS_T_GAUGE};
	f->layout.series = f->series;
	f->layout.family = f->family;
	f->layout.families = f->families;
	f->layout.nfamilies = 1;
}

static void drop_layout(struct fixture *f)
{
	for (size_t i = 0; i < f->layout.n; i++) {
		ops_labels_unref(f->series[i]);
	}
}

static double value_at(size_t row, size_t column)
{
	switch (column % 4) {
	case 0:
		return (double)(row * 7);
	case 1:
		return sin((double)(row + column));
	case 2:
		return 5;
	default:
		return row % 50 == 7 ? ops_stale_nan() : (double)(row % 10) / 10;
	}
}

static void append_rows(struct det_store *s, uint64_t id, size_t n, size_t from, size_t to)
{
	for (size_t row = from; row < to; row++) {
		double values[COLUMNS];
		for (size_t c = 0; c < n; c++) {
			values[c] = value_at(row, c);
		}
		struct ops_batch b = {.layout_id = id,
			.time_ms = T0 + (int64_t)row * STEP_MS,
			.values = values,
			.n = n};
		assert_int_equal(det_store_append_batch(s, &b), 0);
	}
}

static size_t select_count(struct det_store *s, const char *text)
{
	struct ops_matchers ms;
	struct ops_arena arena;
	struct det_series_list list;
	struct ops_error err = {0};
	ops_matchers_init(&ms);
	ops_arena_init(&arena);
	if (*text != '\0' && ops_matchers_parse(&ms, text, strlen(text), &err) != 0) {
		fail_msg("%s: %s", text, err.message);
	}
	det_store_select(s, &ms, (const int64_t[]){INT64_MIN, INT64_MAX}, &arena, &list);
	for (size_t i = 1; i < list.n; i++) {
		assert_true(list.items[i - 1]->id < list.items[i]->id);
	}
	size_t n = list.n;
	ops_arena_done(&arena);
	ops_matchers_done(&ms);
	return n;
}

static void check_series(
	struct det_store *s, const struct ops_labels *labels, size_t column, size_t from, size_t to)
{
	struct det_samples out = {0};
	struct det_series *series = find(s, labels);
	assert_non_null(series);
	det_series_read(series, T0 + (int64_t)from * STEP_MS, T0 + (int64_t)to * STEP_MS - 1, &out);
	assert_int_equal(out.n, to - from);
	for (size_t i = 0; i < out.n; i++) {
		double want = value_at(from + i, column);
		assert_int_equal(out.t[i], T0 + (int64_t)(from + i) * STEP_MS);
		assert_memory_equal(&out.v[i], &want, sizeof(want));
	}
	det_samples_done(&out);
}

static void test_rows_come_back(void **state)
{
	(void)state;
	struct fixture f;
	for (size_t width = 1; width <= COLUMNS; width += 11) { /* narrow and wide groups */
		struct det_store *s = open_store(0);
		make_layout(&f, 7, 0, width);
		assert_int_equal(det_store_layout(s, &f.layout), 0);
		assert_int_equal(det_store_layout(s, &f.layout), 1);
		append_rows(s, 7, width, 0, ROWS);
		for (size_t c = 0; c < width; c++) {
			check_series(s, f.series[c], c, 0, ROWS);
			check_series(s, f.series[c], c, 119, 121);
			check_series(s, f.series[c], c, 130, 250);
			assert_int_equal(
				det_series_last(find(s, f.series[c])), T0 + (ROWS - 1) * STEP_MS);
		}
		drop_layout(&f);
		det_store_free(s);
	}
}

static void test_order(void **state)
{
	(void)state;
	struct det_store *s = open_store(0);
	struct fixture f;
	struct det_store_stats st;
	double values[] = {1, 2, 3};
	struct ops_batch b = {.layout_id = 9, .time_ms = T0, .values = values, .n = 3};
	assert_int_equal(det_store_append_batch(s, &b), 1); /* layout unknown */
	make_layout(&f, 9, 0, 3);
	assert_int_equal(det_store_layout(s, &f.layout), 0);
	assert_int_equal(det_store_append_batch(s, &b), 0);
	assert_int_equal(det_store_append_batch(s, &b), 0); /* again: nothing */
	det_store_stats(s, &st);
	assert_int_equal(st.samples, 3);
	assert_int_equal(st.refused[DET_REFUSED_DUPLICATE], 0);
	values[1] = 20;
	assert_int_equal(det_store_append_batch(s, &b), 0);
	b.time_ms = T0 - 1;
	assert_int_equal(det_store_append_batch(s, &b), 0);
	det_store_stats(s, &st);
	assert_int_equal(st.samples, 3);
	assert_int_equal(st.refused[DET_REFUSED_DUPLICATE], 1);
	assert_int_equal(st.refused[DET_REFUSED_OUT_OF_ORDER], 3);
	b.n = 2;
	assert_true(det_store_append_batch(s, &b) < 0);
	/* A single sample of the same series obeys the same order. */
	assert_int_equal(det_store_append(s, f.series[0], T0, 1), 0);
	assert_int_equal(det_store_append(s, f.series[0], T0 - 5, 1), 1);
	assert_int_equal(det_store_append(s, f.series[0], T0, 3), 1);
	assert_int_equal(det_store_append(s, f.series[0], T0 + 5, 3), 0);
	b.n = 3;
	b.time_ms = T0 + 5; /* column 0 has that time already */
	assert_int_equal(det_store_append_batch(s, &b), 0);
	det_store_stats(s, &st);
	assert_int_equal(st.samples, 3 + 1 + 2);
	drop_layout(&f);
	det_store_free(s);
}

static void test_layout_change(void **state)
{
	(void)state;
	struct det_store *s = open_store(0);
	struct fixture old, new;
	make_layout(&old, 1, 0, 4); /* 0 1 2 3 */
	make_layout(&new, 2, 2, 4); /* 2 3 4 5 */
	assert_int_equal(det_store_layout(s, &old.layout), 0);
	append_rows(s, 1, 4, 0, 150);
	assert_int_equal(det_store_layout(s, &new.layout), 0);
	int64_t change = T0 + 150 * STEP_MS;
	det_store_retire_layout(s, 1, change);
	assert_false(det_store_has_layout(s, 1));
	append_rows(s, 2, 4, 150, 300);
	struct det_samples out = {0};
	/* Gone: ends with a marker. */
	det_series_read(find(s, old.series[1]), T0, INT64_MAX, &out);
	assert_int_equal(out.n, 151);
	assert_true(ops_is_stale(out.v[150]) && out.t[150] == change);
	/* Went on in the other layout: no marker, one ascending run. */
	det_series_read(find(s, old.series[2]), T0, INT64_MAX, &out);
	assert_int_equal(out.n, 300);
	for (size_t i = 1; i < out.n; i++) {
		assert_true(out.t[i] > out.t[i - 1]);
	}
	/* Back again: the same group goes on. */
	assert_int_equal(det_store_layout(s, &old.layout), 0);
	append_rows(s, 1, 4, 300, 320);
	det_series_read(find(s, old.series[2]), T0, INT64_MAX, &out);
	assert_int_equal(out.n, 320);
	for (size_t i = 1; i < out.n; i++) {
		assert_true(out.t[i] > out.t[i - 1]);
	}
	det_samples_done(&out);
	drop_layout(&old);
	drop_layout(&new);
	det_store_free(s);
}

static void test_explicit_times(void **state)
{
	(void)state;
	struct det_store *s = open_store(0);
	struct fixture f;
	make_layout(&f, 3, 0, 2);
	assert_int_equal(det_store_layout(s, &f.layout), 0);
	for (int i = 0; i < 4; i++) {
		const double values[] = {i, i / 2};
		/* Column 1 keeps its own, older time for two scrapes. */
		const int64_t times[] = {0, T0 - 60000 + i / 2 * 30000};
		struct ops_batch b = {3, T0 + i * STEP_MS, values, 2, times};
		assert_int_equal(det_store_append_batch(s, &b), 0);
	}
	struct det_samples out = {0};
	det_series_read(find(s, f.series[0]), 0, INT64_MAX, &out);
	assert_int_equal(out.n, 4);
	det_series_read(find(s, f.series[1]), 0, INT64_MAX, &out);
	assert_int_equal(out.n, 2);
	assert_int_equal(out.t[0], T0 - 60000);
	assert_int_equal(out.t[1], T0 - 30000);
	struct det_store_stats st;
	det_store_stats(s, &st);
	assert_int_equal(st.refused[DET_REFUSED_OUT_OF_ORDER], 0);
	det_samples_done(&out);
	drop_layout(&f);
	det_store_free(s);
}

static void test_select(void **state)
{
	(void)state;
	static const char *const series[][3] = {{"up", "a", "1"}, {"up", "a", "2"}, {"up", "b", ""},
		{"down", "b", "1"}, {"down", "", "3"}};
	static const struct {
		const char *matchers;
		size_t n;
	} cases[] = {
		{"", 5},
		{"{__name__=\"up\"}", 3},
		{"{__name__=\"up\",job=\"a\"}", 2},
		{"{__name__=\"up\",job!=\"a\"}", 1},
		{"{job=\"\"}", 1},
		{"{job!=\"\"}", 4},
		{"{i=~\"1|3\"}", 3},
		{"{i=~\"1|3|\"}", 4},
		{"{i!~\"1|3\"}", 2},
		{"{i!~\"1|3|\"}", 1},
		{"{job=~\".*\"}", 5},
		{"{job=~\".+\",i=~\".+\"}", 3},
		{"{nope=\"x\"}", 0},
		{"{nope!=\"x\"}", 5},
		{"{nope=~\".+\"}", 0},
	};
	struct det_store *s = open_store(0);
	for (size_t i = 0; i < OPS_LENGTH(series); i++) {
		struct ops_labels *ls = ops_labels_of(
			"__name__", series[i][0], "job", series[i][1], "i", series[i][2], NULL);
		assert_int_equal(det_store_append(s, ls, T0, 1), 0);
		ops_labels_unref(ls);
	}
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		if (select_count(s, cases[i].matchers) != cases[i].n) {
			fail_msg("%s: %zu series", cases[i].matchers,
				select_count(s, cases[i].matchers));
		}
	}
	struct ops_arena arena;
	struct det_strings list;
	ops_arena_init(&arena);
	det_store_label_names(s, &arena, &list);
	assert_int_equal(list.n, 3);
	assert_string_equal(list.items[0], "__name__");
	det_store_label_values(s, "i", &arena, &list);
	assert_int_equal(list.n, 3);
	assert_string_equal(list.items[2], "3");
	struct det_count *counts;
	assert_int_equal(det_store_count(s, DET_COUNT_SERIES_BY_METRIC, 1, &arena, &counts), 1);
	assert_string_equal(counts[0].name, "up");
	assert_int_equal(counts[0].n, 3);
	ops_arena_done(&arena);
	det_store_free(s);
}

static void test_retention(void **state)
{
	(void)state;
	struct det_store *s = open_store(0);
	struct fixture f;
	struct det_store_stats st;
	struct ops_labels *alone = ops_labels_of("__name__", "alone", NULL);
	make_layout(&f, 4, 0, 5);
	assert_int_equal(det_store_layout(s, &f.layout), 0);
	append_rows(s, 4, 5, 0, ROWS);
	assert_int_equal(det_store_append(s, alone, T0, 1), 0);
	size_t before = select_count(s, "");
	assert_int_equal(before, 6);
	/* One hour is kept: whole blocks older than that go. */
	det_store_maintain(s, T0 + ROWS * STEP_MS);
	assert_int_equal(select_count(s, ""), 5);
	struct det_samples out = {0};
	det_series_read(find(s, f.series[0]), 0, INT64_MAX, &out);
	assert_true(out.n >= 240 && out.n <= 240 + 120);
	det_samples_done(&out);
	const double late[] = {1, 2, 3, 4, 5};
	struct ops_batch b = {4, T0, late, 5, NULL};
	assert_int_equal(det_store_append_batch(s, &b), 0);
	det_store_stats(s, &st);
	assert_int_equal(st.refused[DET_REFUSED_TOO_OLD], 5);
	assert_int_equal(st.series_removed, 1);
	b.time_ms = T0 + ROWS * STEP_MS + DET_AHEAD_MAX_MS + 1;
	assert_int_equal(det_store_append_batch(s, &b), 0);
	assert_int_equal(det_store_append(s, alone, b.time_ms, 1), 1);
	det_store_stats(s, &st);
	assert_int_equal(st.refused[DET_REFUSED_AHEAD], 5 + 1);
	/* Nothing for longer than the retention: all of it goes, memory too. */
	det_store_maintain(s, T0 + 10 * 3600000LL);
	assert_int_equal(select_count(s, ""), 0);
	assert_false(det_store_has_layout(s, 4));
	det_store_stats(s, &st);
	assert_int_equal(st.series, 0);
	assert_int_equal(st.label_pairs, 0);
	assert_true(st.memory_bytes <= 64); /* the list of all ids keeps its room */
	/* And it can come back. */
	assert_int_equal(det_store_layout(s, &f.layout), 0);
	assert_int_equal(det_store_append(s, alone, T0 + 10 * 3600000LL, 1), 0);
	assert_int_equal(select_count(s, "{__name__=\"alone\"}"), 1);
	ops_labels_unref(alone);
	drop_layout(&f);
	det_store_free(s);
}

static void test_memory_max(void **state)
{
	(void)state;
	struct det_store *s = open_store(20000);
	struct fixture f;
	struct det_store_stats st;
	make_layout(&f, 5, 0, COLUMNS);
	assert_int_equal(det_store_layout(s, &f.layout), 0);
	append_rows(s, 5, COLUMNS, 0, 1);
	int refused = 0;
	for (int i = 0; i < 200; i++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", i);
		struct ops_labels *ls = ops_labels_of("__name__", "flood", "n", text, NULL);
		refused += det_store_append(s, ls, T0, 1);
		ops_labels_unref(ls);
	}
	assert_true(refused > 100);
	det_store_stats(s, &st);
	assert_int_equal(st.series_refused, refused);
	assert_int_equal(st.refused[DET_REFUSED_MEMORY], refused);
	/* Known series go on. */
	append_rows(s, 5, COLUMNS, 1, 200);
	check_series(s, f.series[3], 3, 0, 200);
	drop_layout(&f);
	det_store_free(s);
}

struct heard {
	int layouts, batches, samples, gone;
	size_t columns;
};

static void on_layout(void *arg, uint64_t id, struct det_series *const *series, size_t n)
{
	struct heard *h = arg;
	assert_true(id == 6 && series[0] != NULL);
	h->layouts++;
	h->columns = n;
}

static void on_batch(void *arg, uint64_t id, int64_t t)
{
	struct heard *h = arg;
	assert_true(id == 6 && t >= T0);
	h->batches++;
}

static void on_sample(void *arg, const struct det_series *series, int64_t t)
{
	struct heard *h = arg;
	assert_string_equal(ops_labels_get(series->labels, "__name__"), "x");
	assert_int_equal(t, T0);
	h->samples++;
}

static void on_gone(void *arg, uint64_t id)
{
	struct heard *h = arg;
	assert_int_equal(id, 6);
	h->gone++;
}

static void test_listener(void **state)
{
	(void)state;
	struct det_store *s = open_store(0);
	struct heard h = {0};
	det_store_listen(
		s, &(struct det_store_listener){on_layout, on_batch, on_sample, on_gone, &h});
	struct fixture f;
	struct ops_labels *x = ops_labels_of("__name__", "x", NULL);
	make_layout(&f, 6, 0, 3);
	assert_int_equal(det_store_layout(s, &f.layout), 0);
	append_rows(s, 6, 3, 0, 5);
	assert_int_equal(det_store_append(s, x, T0, 1), 0);
	assert_int_equal(det_store_append(s, x, T0, 1), 0); /* known: not news */
	det_store_retire_layout(s, 6, T0 + 6 * STEP_MS);    /* its markers are a row */
	assert_true(h.layouts == 1 && h.columns == 3 && h.batches == 6 && h.samples == 1 &&
		    h.gone == 1);
	const struct det_metadata *m = det_store_metadata(s, "m");
	assert_string_equal(m->help, "What m is.");
	ops_labels_unref(x);
	drop_layout(&f);
	det_store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_come_back),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_layout_change),
		cmocka_unit_test(test_explicit_times),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_retention),
		cmocka_unit_test(test_memory_max),
		cmocka_unit_test(test_listener),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	ops_arena_done(&scratch);
	return failed;
}
