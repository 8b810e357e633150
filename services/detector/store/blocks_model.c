/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What should be in a block, as plain arrays, and blocks of random tables made beside it.
 */
#include "services/detector/store/blocks_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/file.h"

enum {
	MAX_COLUMNS = 8,
	MAX_ROWS = 64
};

static uint64_t random_state = 88172645463325252ULL;

uint64_t model_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

bool model_no_conflicts; /* one series has one value at one time, whoever writes it */

static double absent(void)
{
	uint64_t bits = DET_ABSENT_PATTERN;
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* ---- the model --------------------------------------------------------------------------------
 */

/* In time order; of equal times the first stays. */
void model_add(struct model *m, unsigned series, const struct model_sample *sample)
{
	struct model_series *s = &m->series[series];
	size_t at = s->n;
	while (at > 0 && s->samples[at - 1].t > sample->t) {
		at--;
	}
	if (at > 0 && s->samples[at - 1].t == sample->t) {
		return;
	}
	assert_true(s->n < MAX_SAMPLES);
	memmove(&s->samples[at + 1], &s->samples[at], (s->n - at) * sizeof(*sample));
	s->samples[at] = *sample;
	s->n++;
}

void model_merge(struct model *into, const struct model *from)
{
	for (unsigned i = 0; i < SERIES; i++) {
		for (size_t k = 0; k < from->series[i].n; k++) {
			model_add(into, i, &from->series[i].samples[k]);
		}
	}
}

static void model_delete(struct model *m, unsigned series, int64_t mint, int64_t maxt)
{
	struct model_series *s = &m->series[series];
	size_t kept = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (s->samples[i].t < mint || s->samples[i].t > maxt) {
			s->samples[kept++] = s->samples[i];
		}
	}
	s->n = kept;
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static size_t labels_of(unsigned series, struct ops_label ret[3])
{
	static const char *const texts[SERIES] = {
		"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"};
	ret[0] = (struct ops_label){
		"__name__", series % 2 == 0 ? "even" : "odd", 8, series % 2 == 0 ? 4 : 3};
	ret[1] = (struct ops_label){"number", texts[series], 6, (uint32_t)strlen(texts[series])};
	ret[2] = (struct ops_label){"zone", "a", 4, 1};
	return series < 6 ? 3 : 2;
}

struct table {
	int64_t times[MAX_ROWS];
	double values[MAX_COLUMNS][MAX_ROWS];
};

static const double *table_column(void *arg, uint32_t column, double *scratch)
{
	(void)scratch;
	return ((struct table *)arg)->values[column];
}

static uint32_t ref_of(struct det_block_writer *w, unsigned series)
{
	struct ops_label labels[3];
	uint32_t ref;
	size_t n = labels_of(series, labels);
	assert_int_equal(det_block_writer_series(w, labels, n, &ref), 0);
	return ref;
}

/* Some columns of distinct series with some rows from a time on. */
void model_table(struct det_block_writer *w, struct model *m, int64_t from)
{
	struct table t;
	uint32_t refs[MAX_COLUMNS];
	unsigned series[MAX_COLUMNS];
	uint32_t ncolumns = 1 + (uint32_t)(model_random() % MAX_COLUMNS);
	uint32_t nrows = 1 + (uint32_t)(model_random() % MAX_ROWS);
	unsigned first = (unsigned)(model_random() % SERIES);
	int64_t at = from;
	for (uint32_t i = 0; i < nrows; i++, at += STEP_MS * (1 + (int64_t)(model_random() % 2))) {
		t.times[i] = at;
	}
	for (uint32_t c = 0; c < ncolumns; c++) {
		series[c] = (first + c) % SERIES;
		refs[c] = model_random() % 8 == 0 ? UINT32_MAX : ref_of(w, series[c]);
		double v = 0;
		for (uint32_t i = 0; i < nrows; i++) {
			bool missing = model_random() % 9 == 0;
			v += (double)(model_random() % 7);
			v = model_no_conflicts ? (double)t.times[i] * series[c] : v;
			t.values[c][i] = missing ? absent() : v;
			if (!missing && refs[c] != UINT32_MAX) {
				model_add(m, series[c],
					&(struct model_sample){.t = t.times[i], .v = v});
			}
		}
	}
	const struct det_rows rows = {.group = first,
		.times_ms = t.times,
		.nrows = nrows,
		.ncolumns = ncolumns,
		.column = table_column,
		.arg = &t};
	assert_int_equal(det_block_writer_add(w, &rows, refs), 0);
}

static void add_blobs(struct det_block_writer *w, struct model *m, int64_t from)
{
	char data[20];
	struct det_blob blobs[20];
	unsigned series = (unsigned)(model_random() % SERIES);
	uint32_t ref = ref_of(w, series);
	for (unsigned i = 0; i < 20; i++) {
		data[i] = (char)('a' + i);
		blobs[i] = (struct det_blob){
			.t = from + i * 3 * STEP_MS + 1, .data = data + i, .len = 1};
		model_add(m, series, &(struct model_sample){.t = blobs[i].t, .blob = data[i]});
	}
	assert_int_equal(det_block_writer_histograms(w, ref, blobs, 20), 0);
}

/* A block around a time; what is in it goes to the model. */
char *model_block(const char *dir, struct model *m, int64_t from)
{
	struct det_block_writer *w;
	struct det_block_meta meta;
	struct ops_error err;
	assert_int_equal(det_block_writer_new(dir, 1, &w, &err), 0);
	for (int i = 0; i < 6; i++) {
		model_table(w, m, from + (int64_t)(model_random() % 100) * STEP_MS);
	}
	add_blobs(w, m, from);
	assert_int_equal(det_block_writer_finish(w, &meta, &err), 0);
	return ops_path_join(dir, meta.ulid);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

struct checking {
	const struct model_series *expected;
	size_t at;
};

static void check_run(void *arg, const struct det_block_run *run)
{
	struct checking *c = arg;
	for (size_t i = 0; i < run->n; i++) {
		assert_true(c->at < c->expected->n);
		const struct model_sample *s = &c->expected->samples[c->at++];
		assert_int_equal(run->blobs != NULL, s->blob != 0);
		if (run->blobs != NULL) {
			assert_int_equal(run->blobs[i].t, s->t);
			assert_int_equal(run->blobs[i].len, 1);
			assert_int_equal(*(const char *)run->blobs[i].data, s->blob);
		} else {
			assert_int_equal(run->t[i], s->t);
			assert_true(ops_double_same(run->v[i], s->v));
		}
	}
}

static void check_series(const struct det_block *b, uint32_t number,
	const struct model_series *expected, struct det_segment_cursor *cursor)
{
	static struct model_series part;
	static const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct checking c = {.expected = expected};
	det_block_read(b, number, always, cursor, check_run, &c);
	assert_int_equal(c.at, expected->n);
	if (expected->n == 0) {
		return;
	}
	size_t from = model_random() % expected->n,
	       to = from + model_random() % (expected->n - from);
	const int64_t range[2] = {expected->samples[from].t, expected->samples[to].t};
	part.n = to - from + 1;
	memcpy(part.samples, &expected->samples[from], part.n * sizeof(part.samples[0]));
	c = (struct checking){.expected = &part};
	det_block_read(b, number, range, cursor, check_run, &c);
	assert_int_equal(c.at, part.n);
}

unsigned model_series_number(const struct ops_label *labels)
{
	unsigned number = 0;
	for (const char *p = labels[1].value; *p != '\0'; p++) {
		number = number * 10 + (unsigned)(*p - '0');
	}
	return number;
}

void model_check(const struct det_block *b, const struct model *m)
{
	struct det_segment_cursor cursor = {.columns = NULL};
	bool seen[SERIES] = {false};
	struct ops_arena arena;
	struct ops_matchers all;
	struct det_block_list list;
	ops_arena_init(&arena);
	ops_matchers_init(&all);
	det_block_select(b, &all, &arena, &list);
	for (size_t i = 0; i < list.n; i++) {
		struct ops_label labels[3], wanted[3];
		uint64_t hash;
		size_t n = det_block_labels(b, list.series[i], labels, 3, &hash);
		assert_true(n >= 2);
		unsigned number = model_series_number(labels);
		assert_int_equal(labels_of(number, wanted), n);
		struct ops_labels *set = ops_labels_from_sorted(wanted, n);
		assert_true(set->hash == hash);
		for (size_t k = 0; k < n; k++) {
			assert_string_equal(labels[k].name, wanted[k].name);
			assert_string_equal(labels[k].value, wanted[k].value);
		}
		ops_labels_unref(set);
		seen[number] = true;
		check_series(b, list.series[i], &m->series[number], &cursor);
	}
	for (unsigned i = 0; i < SERIES; i++) {
		assert_true(seen[i] || m->series[i].n == 0);
	}
	det_segment_cursor_done(&cursor);
	ops_matchers_done(&all);
	ops_arena_done(&arena);
}

size_t model_count(const char *dir)
{
	struct det_block **blocks;
	size_t n;
	assert_int_equal(det_blocks_load(dir, false, &blocks, &n, NULL, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		det_block_unref(blocks[i]);
	}
	free(blocks);
	return n;
}

void model_no_finding(void *arg, const char *finding)
{
	(void)arg;
	fail_msg("%s", finding);
}

struct det_block *model_open(const char *dir)
{
	struct det_block *b;
	struct ops_error err;
	char text[1024];
	if (det_block_open(dir, &b, &err) != 0) {
		fail_msg("%s", ops_error_text(&err, text, sizeof(text)));
	}
	assert_int_equal(det_block_verify(b, model_no_finding, NULL), 0);
	return b;
}

void model_delete_some(struct det_block *b, struct model *m)
{
	struct ops_matchers ms;
	unsigned series = (unsigned)(model_random() % SERIES);
	int64_t mint = MODEL_START_MS + (int64_t)(model_random() % 150) * STEP_MS;
	const int64_t range[2] = {mint, mint + (int64_t)(model_random() % 40) * STEP_MS};
	char text[8];
	uint64_t n;
	(void)snprintf(text, sizeof(text), "%u", series);
	ops_matchers_init(&ms);
	assert_int_equal(ops_matchers_add(&ms, OPS_MATCH_EQ, "number", text, NULL), 0);
	assert_int_equal(det_block_delete(b, &ms, range, &n, NULL), 0);
	assert_true(n <= 1);
	model_delete(m, series, range[0], range[1]);
	ops_matchers_done(&ms);
}

/* One row of all series. */
char *model_simple(const char *dir, int64_t t)
{
	struct det_block_writer *w;
	struct det_block_meta meta;
	struct table table = {.times = {t, t + 1000}};
	uint32_t refs[SERIES];
	assert_int_equal(det_block_writer_new(dir, 1, &w, NULL), 0);
	for (unsigned i = 0; i < SERIES; i++) {
		refs[0] = ref_of(w, i);
		table.values[0][0] = table.values[0][1] = i;
		const struct det_rows rows = {.group = 0,
			.times_ms = table.times,
			.nrows = 2,
			.ncolumns = 1,
			.column = table_column,
			.arg = &table};
		assert_int_equal(det_block_writer_add(w, &rows, refs), 0);
	}
	assert_int_equal(det_block_writer_finish(w, &meta, NULL), 0);
	assert_int_equal(meta.samples, 2 * SERIES);
	assert_int_equal(meta.series, SERIES);
	assert_int_equal(meta.mint_ms, t);
	assert_int_equal(meta.maxt_ms, t + 1001);
	return ops_path_join(dir, meta.ulid);
}
