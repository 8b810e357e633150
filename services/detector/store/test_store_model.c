/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of random steps against a model that keeps every sample in plain arrays: layouts that
 * come, change and come back, rows that repeat or are late, single samples, staleness markers,
 * sealing; in memory, and on disk with an out-of-order window, closed and opened again in between
 * or copied as it lies there and opened in another place.
 */
#include "services/detector/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/test_tempdir.h"
#include "services/detector/store/state.h"

enum {
	SERIES = 6,
	LAYOUTS = 1 << SERIES, /* a layout is a set of series; its id is the set */
	STEPS = 6000,
};

struct model {
	int64_t t[SERIES][STEPS + 1];
	double v[SERIES][STEPS + 1];
	size_t n[SERIES];
	int live_layouts[SERIES];
	bool live[LAYOUTS];
	int64_t row_last[LAYOUTS];
	int64_t *row_times[LAYOUTS];
	size_t nrows[LAYOUTS], rows_cap[LAYOUTS];
	int64_t window;
	int64_t head; /* nothing older is taken any more */
};

static struct ops_arena scratch; /* of views */

static uint32_t random_state = 12345;

static uint32_t next_random(uint32_t below)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % below;
}

static struct ops_labels *labels_of(int i)
{
	char text[8];
	snprintf(text, sizeof(text), "%d", i);
	return ops_labels_of("__name__", "m", "i", text, NULL);
}

static int64_t last_of(const struct model *m, int s)
{
	return m->n[s] != 0 ? m->t[s][m->n[s] - 1] : INT64_MIN;
}

static void model_add(struct model *m, int s, int64_t t, double v)
{
	size_t at = m->n[s];
	while (at > 0 && m->t[s][at - 1] >= t) {
		at--;
	}
	bool late = at < m->n[s];
	if (t < m->head || (late && m->t[s][at] == t)) {
		return;
	}
	if (late && (m->t[s][at] == t || m->window == 0 || t < last_of(m, s) - m->window)) {
		return;
	}
	memmove(&m->t[s][at + 1], &m->t[s][at], (m->n[s] - at) * sizeof(int64_t));
	memmove(&m->v[s][at + 1], &m->v[s][at], (m->n[s] - at) * sizeof(double));
	m->t[s][at] = t;
	m->v[s][at] = v;
	m->n[s]++;
}

static void model_row(struct model *m, uint32_t set, int64_t t)
{
	OPS_GROW(m->row_times[set], m->nrows[set], m->rows_cap[set]);
	m->row_times[set][m->nrows[set]++] = t;
	m->row_last[set] = t;
}

/* Whether the store looks at the columns of such a row at all. */
static bool model_takes(const struct model *m, uint32_t set, int64_t t)
{
	if (t < m->head) {
		return false;
	}
	if (t > m->row_last[set]) {
		return true;
	}
	for (size_t i = 0; i < m->nrows[set]; i++) {
		if (m->row_times[set][i] == t) {
			return false;
		}
	}
	return m->window != 0 && t >= m->row_last[set] - m->window;
}

static void step_layout(struct det_store *store, struct model *m, uint32_t set)
{
	struct ops_labels *series[SERIES];
	uint32_t family[SERIES];
	struct ops_layout l = {
		.id = set, .job = "", .instance = "", .series = series, .family = family};
	for (int s = 0; s < SERIES; s++) {
		if (set >> s & 1) {
			family[l.n] = UINT32_MAX;
			series[l.n++] = labels_of(s);
			m->live_layouts[s] += !m->live[set];
		}
	}
	assert_int_equal(det_store_layout(store, &l), m->live[set] ? 1 : 0);
	m->live[set] = true;
	for (size_t i = 0; i < l.n; i++) {
		ops_labels_unref(series[i]);
	}
}

static void step_batch(struct det_store *store, struct model *m, uint32_t set, int64_t t)
{
	double values[SERIES];
	struct ops_batch b = {.layout_id = set, .time_ms = t, .values = values};
	for (int s = 0; s < SERIES; s++) {
		if (set >> s & 1) {
			values[b.n++] = (double)next_random(1000) / (s == 0 ? 3 : 1);
		}
	}
	assert_int_equal(det_store_append_batch(store, &b), m->live[set] ? 0 : 1);
	if (!m->live[set] || !model_takes(m, set, t)) {
		return;
	}
	if (t > m->row_last[set]) {
		model_row(m, set, t);
	}
	size_t column = 0;
	for (int s = 0; s < SERIES; s++) {
		if (set >> s & 1) {
			model_add(m, s, t, values[column++]);
		}
	}
}

static void step_single(struct det_store *store, struct model *m, int64_t t)
{
	int s = (int)next_random(SERIES);
	struct ops_labels *ls = labels_of(s);
	double v = (double)next_random(50);
	bool newer = t > last_of(m, s) && t >= m->head;
	int rc = det_store_append(store, ls, t, v);
	assert_true(!newer || rc == 0);
	model_add(m, s, t, v);
	ops_labels_unref(ls);
}

static void step_retire(struct det_store *store, struct model *m, uint32_t set, int64_t t)
{
	det_store_retire_layout(store, set, t);
	if (!m->live[set]) {
		return;
	}
	m->live[set] = false;
	bool any = false;
	for (int s = 0; s < SERIES; s++) {
		m->live_layouts[s] -= (int)(set >> s & 1);
		any = any || ((set >> s & 1) && m->live_layouts[s] == 0 && t > last_of(m, s));
	}
	if (!any || t <= m->row_last[set] || t < m->head) {
		return;
	}
	model_row(m, set, t);
	for (int s = 0; s < SERIES; s++) {
		if ((set >> s & 1) && m->live_layouts[s] == 0 && t > last_of(m, s)) {
			model_add(m, s, t, ops_stale_nan());
		}
	}
}

/* In head and blocks. */
static struct det_series *view_of(const struct det_series_list *list, int i)
{
	struct ops_labels *ls = labels_of(i);
	struct det_series *found = NULL;
	for (size_t k = 0; k < list->n; k++) {
		if (ops_labels_equal(list->items[k]->labels, ls)) {
			assert_null(found);
			found = list->items[k];
		}
	}
	ops_labels_unref(ls);
	return found;
}

static void compare_series(struct det_series *series, const struct model *m, int s)
{
	struct det_samples out = {0};
	if (series->nblocks == 0) {
		assert_int_equal(det_series_last(series), last_of(m, s));
	}
	det_series_read(series, INT64_MIN, INT64_MAX, &out);
	assert_int_equal(out.n, m->n[s]);
	if (out.n != 0) {
		assert_memory_equal(out.t, m->t[s], out.n * sizeof(int64_t));
		assert_memory_equal(out.v, m->v[s], out.n * sizeof(double));
		int64_t from = out.t[out.n / 3], to = out.t[out.n / 2];
		det_series_read(series, from, to, &out);
		assert_int_equal(out.n, m->n[s] / 2 - m->n[s] / 3 + 1);
	}
	det_samples_done(&out);
}

static void compare(struct det_store *store, const struct model *m)
{
	const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct ops_matchers all;
	struct det_series_list list;
	ops_matchers_init(&all);
	det_store_select(store, &all, always, &scratch, &list);
	for (int s = 0; s < SERIES; s++) {
		struct det_series *series = view_of(&list, s);
		if (series == NULL) {
			assert_int_equal(m->n[s], 0);
		} else {
			compare_series(series, m, s);
		}
	}
	ops_matchers_done(&all);
	ops_arena_reset(&scratch);
}

static struct model m;

static void model_init(int64_t window)
{
	m = (struct model){.window = window, .head = INT64_MIN};
	for (size_t i = 0; i < LAYOUTS; i++) {
		m.row_last[i] = INT64_MIN;
	}
}

static void model_done(void)
{
	for (size_t i = 0; i < LAYOUTS; i++) {
		free(m.row_times[i]);
	}
}

static struct det_store *open_at(const char *dir)
{
	struct ops_error err = {0};
	struct det_store *s = det_store_new(&(struct det_store_options){
		.retention_ms = INT64_MAX / 4, .dir = dir, .out_of_order_ms = m.window});
	if (dir != NULL && det_store_open(s, &err) != 0) {
		fail_msg("%s", err.message);
	}
	return s;
}

/* Nothing is lost; the collectors must announce their layouts again. */
static void reopen(struct det_store **store, const char *dir)
{
	struct det_store_recovery found;
	det_store_free(*store);
	*store = open_at(dir);
	m.head = (*store)->closed_ms;
	det_store_recovery(*store, &found);
	assert_int_equal(found.lost_records, 0);
	assert_int_equal(found.lost_segments, 0);
	assert_int_equal(found.lost_rows, 0);
	assert_int_equal(found.lost_blocks, 0);
	memset(m.live, 0, sizeof(m.live));
	memset(m.live_layouts, 0, sizeof(m.live_layouts));
}

/* Blocks are cut and compacted as it goes; sometimes the job is waited for. */
static void maintain(struct det_store *store, int64_t t)
{
	det_store_maintain(store, t);
	for (int i = 0; next_random(2) == 0 && det_store_busy(store) && i < 10000; i++) {
		struct timespec ms = {.tv_nsec = 1000000};
		nanosleep(&ms, NULL);
		det_store_maintain(store, t);
	}
	m.head = store->closed_ms;
}

static int64_t step(struct det_store *store, int64_t t, uint32_t *favourite)
{
	uint32_t set = next_random(3) != 0 ? *favourite : 1 + next_random(LAYOUTS - 1);
	int64_t when = next_random(20) == 0 ? t - next_random(5000) : t;
	switch (next_random(40)) {
	case 0:
		*favourite = set;
		break;
	case 1:
	case 2:
		step_layout(store, &m, set);
		break;
	case 3:
		step_retire(store, &m, set, when);
		break;
	case 4:
	case 5:
		step_single(store, &m, when);
		break;
	case 6:
		maintain(store, t);
		break;
	default:
		t += next_random(3) * 500;
		step_batch(store, &m, set, when);
		break;
	}
	return t;
}

static void run(const char *dir)
{
	struct det_store *store = open_at(dir);
	int64_t t = 1000000;
	uint32_t favourite = LAYOUTS - 1;
	for (int i = 0; i < STEPS; i++) {
		t = step(store, t, &favourite);
		if (next_random(50) == 0) { /* what is idle now gets sealed */
			t += 3600001;
			maintain(store, t);
		}
		if (dir != NULL && next_random(200) == 0) {
			reopen(&store, dir);
		}
		if (i % 500 == 0) {
			compare(store, &m);
		}
	}
	compare(store, &m);
	det_store_free(store);
}

static void test_against_model(void **state)
{
	(void)state;
	model_init(0);
	run(NULL);
	model_done();
	model_init(3000);
	run(NULL);
	model_done();
}

static void test_on_disk(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	model_init(3000);
	run(dir);
	model_done();
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_model),
		cmocka_unit_test(test_on_disk),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	ops_arena_done(&scratch);
	return failed;
}
