/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks against a naive model: what was written comes back, through tombstones and compaction;
 * damage of any file is reported and never answered with a wrong value; what was interrupted leaves
 * nothing or the whole.
 */
#include "services/detector/store/blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/test_tempdir.h"
#include "services/detector/store/ulid.h"

enum {
	SERIES = 12,
	MAX_SAMPLES = 4000,
	MAX_COLUMNS = 8,
	MAX_ROWS = 64
};
#define STEP_MS 1000

static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static bool no_conflicts; /* one series has one value at one time, whoever writes it */

static double absent(void)
{
	uint64_t bits = DET_ABSENT_PATTERN;
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* ---- the model --------------------------------------------------------------------------------
 */

struct model_series {
	size_t n;
	struct model_sample {
		int64_t t;
		double v;
		int blob; /* 0: a float; else its bytes */
	} samples[MAX_SAMPLES];
};
struct model {
	struct model_series series[SERIES];
};

/* In time order; of equal times the first stays. */
static void model_add(struct model *m, unsigned series, const struct model_sample *sample)
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

static void model_merge(struct model *into, const struct model *from)
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
static void add_table(struct det_block_writer *w, struct model *m, int64_t from)
{
	struct table t;
	uint32_t refs[MAX_COLUMNS];
	unsigned series[MAX_COLUMNS];
	uint32_t ncolumns = 1 + (uint32_t)(next_random() % MAX_COLUMNS);
	uint32_t nrows = 1 + (uint32_t)(next_random() % MAX_ROWS);
	unsigned first = (unsigned)(next_random() % SERIES);
	int64_t at = from;
	for (uint32_t i = 0; i < nrows; i++, at += STEP_MS * (1 + (int64_t)(next_random() % 2))) {
		t.times[i] = at;
	}
	for (uint32_t c = 0; c < ncolumns; c++) {
		series[c] = (first + c) % SERIES;
		refs[c] = next_random() % 8 == 0 ? UINT32_MAX : ref_of(w, series[c]);
		double v = 0;
		for (uint32_t i = 0; i < nrows; i++) {
			bool missing = next_random() % 9 == 0;
			v += (double)(next_random() % 7);
			v = no_conflicts ? (double)(t.times[i] / STEP_MS * series[c]) : v;
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
	unsigned series = (unsigned)(next_random() % SERIES);
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
static char *make_block(const char *dir, struct model *m, int64_t from)
{
	struct det_block_writer *w;
	struct det_block_meta meta;
	struct ops_error err;
	assert_int_equal(det_block_writer_new(dir, 1, &w, &err), 0);
	for (int i = 0; i < 6; i++) {
		add_table(w, m, from + (int64_t)(next_random() % 100) * STEP_MS);
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
	size_t from = next_random() % expected->n, to = from + next_random() % (expected->n - from);
	const int64_t range[2] = {expected->samples[from].t, expected->samples[to].t};
	part.n = to - from + 1;
	memcpy(part.samples, &expected->samples[from], part.n * sizeof(part.samples[0]));
	c = (struct checking){.expected = &part};
	det_block_read(b, number, range, cursor, check_run, &c);
	assert_int_equal(c.at, part.n);
}

static unsigned series_number(const struct ops_label *labels)
{
	unsigned number = 0;
	for (const char *p = labels[1].value; *p != '\0'; p++) {
		number = number * 10 + (unsigned)(*p - '0');
	}
	return number;
}

static void check_block(const struct det_block *b, const struct model *m)
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
		unsigned number = series_number(labels);
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

static void fail_on_finding(void *arg, const char *finding)
{
	(void)arg;
	fail_msg("%s", finding);
}

static struct det_block *open_block(const char *dir)
{
	struct det_block *b;
	struct ops_error err;
	char text[1024];
	if (det_block_open(dir, &b, &err) != 0) {
		fail_msg("%s", ops_error_text(&err, text, sizeof(text)));
	}
	assert_int_equal(det_block_verify(b, fail_on_finding, NULL), 0);
	return b;
}

static void test_round_trip(void **state)
{
	static struct model m;
	char *dir = tempdir_make();
	(void)state;
	for (int turn = 0; turn < 10; turn++) {
		memset(&m, 0, sizeof(m));
		char *path = make_block(dir, &m, 1700000000000);
		struct det_block *b = open_block(path);
		check_block(b, &m);
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

/* One row of all series. */
static char *make_simple(const char *dir, int64_t t)
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
	char *dir = tempdir_make(), *path = make_simple(dir, 1000);
	struct det_block *b = open_block(path);
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

static void delete_some(struct det_block *b, struct model *m)
{
	struct ops_matchers ms;
	unsigned series = (unsigned)(next_random() % SERIES);
	int64_t mint = 1700000000000 + (int64_t)(next_random() % 150) * STEP_MS;
	const int64_t range[2] = {mint, mint + (int64_t)(next_random() % 40) * STEP_MS};
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

static void test_delete(void **state)
{
	static struct model m;
	char *dir = tempdir_make();
	(void)state;
	memset(&m, 0, sizeof(m));
	char *path = make_block(dir, &m, 1700000000000);
	struct det_block *b = open_block(path);
	assert_false(det_block_has_tombstones(b));
	for (int i = 0; i < 20; i++) {
		delete_some(b, &m);
		check_block(b, &m);
	}
	det_block_unref(b);
	b = open_block(path);
	assert_true(det_block_has_tombstones(b));
	check_block(b, &m);
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
		size_t n = 1 + next_random() % 4;
		char *dir = tempdir_make();
		memset(&m, 0, sizeof(m));
		for (size_t i = 0; i < n; i++) {
			/* Some far apart, some over each other. */
			int64_t from =
				1700000000000 + (int64_t)i * STEP_MS * (turn % 2 == 0 ? 1000 : 20);
			memset(&parts[i], 0, sizeof(parts[i]));
			char *path = make_block(dir, &parts[i], from);
			blocks[i] = open_block(path);
			free(path);
			if (next_random() % 2 == 0) {
				delete_some(blocks[i], &parts[i]);
			}
			model_merge(&m, &parts[i]);
		}
		assert_int_equal(det_blocks_compact(dir, blocks, n, NULL, NULL, &meta, NULL), 0);
		char *path = ops_path_join(dir, meta.ulid);
		struct det_block *b = open_block(path);
		check_block(b, &m);
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
	char *dir = tempdir_make(), *path = make_simple(dir, 1000);
	const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct det_block *b = open_block(path), **loaded;
	struct det_block_meta meta;
	struct ops_matchers all;
	uint64_t deleted;
	size_t n;
	(void)state;
	ops_matchers_init(&all);
	assert_int_equal(det_block_delete(b, &all, always, &deleted, NULL), 0);
	assert_int_equal(deleted, SERIES);
	assert_int_equal(det_blocks_compact(dir, &b, 1, NULL, NULL, &meta, NULL), 1);
	assert_int_equal(det_blocks_load(dir, true, &loaded, &n, fail_on_finding, NULL), 0);
	assert_int_equal(n, 1);
	det_block_unref(loaded[0]);
	free(loaded);
	det_block_unref(b);
	ops_matchers_done(&all);
	free(path);
	tempdir_remove(dir);
}

/* ---- damage -----------------------------------------------------------------------------------
 */

static const char *const files[] = {"meta.json", "index", "segments", "tombstones"};

static void ignore_finding(void *arg, const char *finding)
{
	(void)finding;
	++*(unsigned *)arg;
}

/* What was read is what was written, or less: nothing else. */
static void check_subset_run(void *arg, const struct det_block_run *run)
{
	struct checking *c = arg;
	for (size_t i = 0; i < run->n; i++) {
		int64_t t = run->blobs != NULL ? run->blobs[i].t : run->t[i];
		while (c->at < c->expected->n && c->expected->samples[c->at].t < t) {
			c->at++;
		}
		assert_true(c->at < c->expected->n);
		const struct model_sample *s = &c->expected->samples[c->at];
		assert_int_equal(s->t, t);
		if (run->blobs != NULL) {
			assert_int_equal(*(const char *)run->blobs[i].data, s->blob);
		} else {
			assert_true(ops_double_same(run->v[i], s->v));
		}
	}
}

static void check_subset(const struct det_block *b, const struct model *m)
{
	static const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct det_segment_cursor cursor = {.columns = NULL};
	struct ops_label labels[3];
	for (uint32_t i = 0; det_block_labels(b, i, labels, 3, NULL) != 0; i++) {
		struct checking c = {.expected = &m->series[series_number(labels)]};
		det_block_read(b, i, always, &cursor, check_subset_run, &c);
	}
	det_segment_cursor_done(&cursor);
}

/* The block as it is now is refused, or verify has findings and reading gives a part at most. */
static void expect_damage(const char *path, const struct model *m)
{
	struct det_block *b;
	struct ops_error err;
	unsigned findings = 0;
	uint64_t before = det_block_corruptions();
	if (det_block_open(path, &b, &err) == 0) {
		check_subset(b, m);
		assert_int_equal(det_block_verify(b, ignore_finding, &findings), -EBADMSG);
		assert_true(findings > 0);
		det_block_unref(b);
	} else {
		assert_true(err.message[0] != '\0');
	}
	assert_true(det_block_corruptions() > before);
}

static void flip(const char *path, off_t at, uint8_t mask)
{
	uint8_t byte;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= mask;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void test_flipped_bits(void **state)
{
	static struct model m;
	char *dir = tempdir_make();
	(void)state;
	memset(&m, 0, sizeof(m));
	no_conflicts = true;
	char *path = make_block(dir, &m, 1700000000000);
	no_conflicts = false;
	struct det_block *b = open_block(path);
	delete_some(b, &m);
	det_block_unref(b);
	for (size_t f = 0; f < OPS_LENGTH(files); f++) {
		char *file = ops_path_join(path, files[f]);
		struct stat st;
		assert_int_equal(stat(file, &st), 0);
		for (int turn = 0; turn < 150; turn++) {
			off_t at = (off_t)(next_random() % (uint64_t)st.st_size);
			uint8_t mask = (uint8_t)(1u << (next_random() % 8));
			flip(file, at, mask);
			expect_damage(path, &m);
			flip(file, at, mask);
		}
		free(file);
	}
	b = open_block(path);
	check_block(b, &m);
	det_block_unref(b);
	free(path);
	tempdir_remove(dir);
}

static void test_truncated_files(void **state)
{
	static struct model m;
	char *dir = tempdir_make();
	(void)state;
	memset(&m, 0, sizeof(m));
	no_conflicts = true;
	char *path = make_block(dir, &m, 1700000000000);
	no_conflicts = false;
	for (size_t f = 0; f < 3; f++) {
		char *file = ops_path_join(path, files[f]);
		struct ops_strbuf whole = OPS_STRBUF_INIT;
		assert_int_equal(ops_file_read(file, 1 << 24, &whole), 0);
		for (int turn = 0; turn < 40; turn++) {
			size_t len = turn == 0 ? 0 : next_random() % whole.len;
			assert_int_equal(truncate(file, (off_t)len), 0);
			expect_damage(path, &m);
			assert_int_equal(
				ops_file_write_atomic(file, whole.data, whole.len, 0640), 0);
		}
		ops_strbuf_done(&whole);
		free(file);
	}
	struct det_block *b = open_block(path);
	check_block(b, &m);
	det_block_unref(b);
	free(path);
	tempdir_remove(dir);
}

/* ---- interruption -----------------------------------------------------------------------------
 */

static size_t count_entries(const char *dir)
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

/* Runs fn in a child whose files may have limit bytes at most. */
static int in_limited_child(void (*fn)(const char *dir), const char *dir, rlim_t limit)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit rl = {limit, limit};
		struct sigaction ignore = {.sa_handler = SIG_IGN};
		sigaction(SIGXFSZ, &ignore, NULL);
		setrlimit(RLIMIT_FSIZE, &rl);
		fn(dir);
		_exit(9);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static struct model scratch_model;

static int try_block(const char *dir)
{
	struct det_block_writer *w;
	struct det_block_meta meta;
	struct ops_error err;
	int rc = det_block_writer_new(dir, 1, &w, &err);
	if (rc != 0) {
		return rc;
	}
	for (int i = 0; i < 40; i++) {
		memset(&scratch_model, 0, sizeof(scratch_model));
		add_table(w, &scratch_model, 1700000000000 + (int64_t)i * 200 * STEP_MS);
	}
	return det_block_writer_finish(w, &meta, &err);
}

static void write_limited(const char *dir)
{
	_exit(try_block(dir) == 0 ? 0 : 1);
}

static void test_full_disk(void **state)
{
	char *dir = tempdir_make();
	size_t whole = 0;
	(void)state;
	for (rlim_t limit = 0; limit < 40000; limit += limit < 1000 ? 100 : 3000) {
		bool written = in_limited_child(write_limited, dir, limit) == 0;
		whole += written;
		assert_int_equal(count_entries(dir), whole);
		/* Nothing is left behind: the folder holds whole blocks only. */
		struct stat st;
		assert_int_equal(stat(dir, &st), 0);
		assert_int_equal(st.st_nlink, 2 + whole);
	}
	assert_true(whole > 0);
	tempdir_remove(dir);
}

/* Writes and compacts until it is killed; a byte on the pipe when it has begun. */
static void work_forever(const char *dir, int tell)
{
	for (;;) {
		struct det_block **blocks;
		struct det_block_meta meta;
		size_t n;
		(void)!write(tell, "x", 1);
		if (try_block(dir) != 0 || try_block(dir) != 0 ||
			det_blocks_load(dir, false, &blocks, &n, NULL, NULL) != 0 ||
			det_blocks_compact(dir, blocks, n, NULL, NULL, &meta, NULL) != 0) {
			_exit(1);
		}
		for (size_t i = 0; i < n; i++) {
			det_block_remove(blocks[i]);
			det_block_unref(blocks[i]);
		}
		free(blocks);
	}
}

static uint64_t samples_in(const char *dir)
{
	struct det_block **blocks;
	size_t n;
	uint64_t samples = 0;
	assert_int_equal(det_blocks_load(dir, true, &blocks, &n, NULL, NULL), 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(det_block_verify(blocks[i], fail_on_finding, NULL), 0);
		samples += det_block_meta(blocks[i])->samples;
		det_block_unref(blocks[i]);
	}
	free(blocks);
	return samples;
}

static void test_killed(void **state)
{
	(void)state;
	for (int turn = 0; turn < 15; turn++) {
		int pipe_fds[2];
		char byte;
		char *dir = tempdir_make();
		assert_int_equal(pipe(pipe_fds), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			close(pipe_fds[0]);
			work_forever(dir, pipe_fds[1]);
		}
		close(pipe_fds[1]);
		assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
		usleep((useconds_t)(next_random() % 25000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		close(pipe_fds[0]);
		uint64_t samples = samples_in(dir);
		assert_int_equal(samples_in(dir), samples);
		/* A leftover that was removed is not there any more. */
		struct stat st;
		assert_int_equal(stat(dir, &st), 0);
		assert_int_equal(st.st_nlink, 2 + count_entries(dir));
		tempdir_remove(dir);
	}
}

static void test_parents_removed(void **state)
{
	char *dir = tempdir_make();
	char *first = make_simple(dir, 1000), *second = make_simple(dir, 5000);
	struct det_block *blocks[2] = {open_block(first), open_block(second)}, **loaded;
	struct det_block_meta meta;
	size_t n;
	(void)state;
	assert_int_equal(det_blocks_compact(dir, blocks, 2, NULL, NULL, &meta, NULL), 0);
	det_block_unref(blocks[0]);
	det_block_unref(blocks[1]);
	assert_int_equal(count_entries(dir), 3);
	assert_int_equal(det_blocks_load(dir, true, &loaded, &n, NULL, NULL), 0);
	assert_int_equal(n, 1);
	assert_string_equal(det_block_meta(loaded[0])->ulid, meta.ulid);
	assert_int_equal(det_block_meta(loaded[0])->samples, 4 * SERIES);
	det_block_unref(loaded[0]);
	free(loaded);
	assert_int_equal(access(first, F_OK), -1);
	assert_int_equal(access(second, F_OK), -1);
	free(first);
	free(second);
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
	char *dir = tempdir_make(), *path = make_simple(dir, 1000);
	struct det_block *b = open_block(path);
	struct det_block_meta meta;
	(void)state;
	assert_int_equal(det_blocks_compact(dir, &b, 1, stop_early, NULL, &meta, NULL), -ECANCELED);
	assert_int_equal(count_entries(dir), 1);
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
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_truncated_files),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_parents_removed),
		cmocka_unit_test(test_canceled),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_ulid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
