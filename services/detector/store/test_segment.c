/* SPDX-License-Identifier: Apache-2.0 */
/* Segments come back bit by bit, whatever is in them; nonsense is refused; and they are small. */
#include "services/detector/store/segment.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"

enum {
	MAX_ROWS = 700,
	MAX_COLUMNS = 40,
	T0 = 1700000000
};

static uint64_t random_state = 88172645463325252ULL;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double from_bits(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

struct table {
	uint32_t nrows, ncolumns;
	int64_t times[MAX_ROWS];
	double values[MAX_COLUMNS][MAX_ROWS];
};

static const double *table_column(void *arg, uint32_t column, double *scratch)
{
	(void)scratch;
	return ((struct table *)arg)->values[column];
}

static void encode(const struct table *t, struct ops_strbuf *out)
{
	struct table *borrowed = ops_xmalloc(sizeof(*t));
	memcpy(borrowed, t, sizeof(*t));
	const struct det_rows rows = {.group = 77,
		.times_ms = borrowed->times,
		.nrows = t->nrows,
		.ncolumns = t->ncolumns,
		.column = table_column,
		.arg = borrowed};
	assert_int_equal(det_segment_encode(&rows, out), 0);
	free(borrowed);
}

/* A copy without room behind, so that the sanitizer sees what reads too far. */
static uint8_t *exact_copy(const void *data, size_t len)
{
	uint8_t *copy = ops_xmalloc(len != 0 ? len : 1);
	memcpy(copy, data, len);
	return copy;
}

static bool has_sample(const double *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!ops_double_same(values[i], from_bits(DET_ABSENT_PATTERN))) {
			return true;
		}
	}
	return false;
}

static void check_column(const struct det_segment *s, const struct table *t, uint32_t column,
	struct det_segment_cursor *cursor)
{
	const double *values;
	if (!has_sample(t->values[column], t->nrows)) {
		assert_true(det_segment_column_empty(s, column));
		assert_int_equal(det_segment_column(s, column, cursor, &values), -EBADMSG);
		return;
	}
	assert_false(det_segment_column_empty(s, column));
	assert_int_equal(det_segment_column(s, column, cursor, &values), 0);
	assert_memory_equal(values, t->values[column], t->nrows * sizeof(double));
}

static size_t round_trip(const struct table *t)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct det_segment s;
	struct det_segment_cursor cursor = {.columns = NULL};
	static int64_t times[MAX_ROWS];
	encode(t, &out);
	size_t len = out.len;
	uint8_t *data = exact_copy(out.data, len);
	assert_int_equal(det_segment_open(data, len, true, &s), 0);
	assert_int_equal(s.total_bytes, len);
	assert_int_equal(s.group, 77);
	assert_int_equal(s.nrows, t->nrows);
	assert_int_equal(s.ncolumns, t->ncolumns);
	assert_int_equal(det_segment_times(&s, times), 0);
	assert_memory_equal(times, t->times, t->nrows * sizeof(int64_t));
	for (uint32_t c = 0; c < t->ncolumns; c++) {
		check_column(&s, t, c, &cursor);
	}
	for (uint32_t c = t->ncolumns; c-- > 0;) {
		check_column(&s, t, c, &cursor);
	}
	for (int i = 0; i < 20 && t->ncolumns != 0; i++) {
		check_column(&s, t, (uint32_t)(next_random() % t->ncolumns), &cursor);
	}
	det_segment_cursor_done(&cursor);
	free(data);
	ops_strbuf_done(&out);
	return len;
}

enum {
	KIND_CONSTANT,
	KIND_COUNTER,
	KIND_DECIMAL,
	KIND_ANY_BITS,
	KIND_STALE,
	KIND_SPECIAL,
	KIND_FLOAT,
	KIND_EXTREME,
	KIND_PRODUCT,
	KIND_HUGE,
	KIND_ABSENT,
	KIND_RESET,
	KIND_PAGES,
	KIND_NAN,
	KINDS
};

static double make_odd(unsigned kind, size_t i, double before)
{
	switch (kind) {
	case KIND_EXTREME:
		return i % 2 == 0 ? 9007199254740991.0 : -9007199254740991.0;
	case KIND_PRODUCT:
		return 0.1 * (double)(next_random() % 100);
	case KIND_HUGE:
		return 1e300 * (double)(i + 1);
	case KIND_ABSENT:
		return from_bits(DET_ABSENT_PATTERN);
	case KIND_RESET:
		return i % 50 == 49 ? 0 : before + (double)(next_random() % 9);
	case KIND_PAGES:
		return 4096.0 * (double)(100000 + next_random() % 50);
	default:
		return from_bits(0x7ff8000000000000ULL | (next_random() & 0xffff));
	}
}

static double make(unsigned kind, size_t i, double before)
{
	before = fabs(before) < 1e15 ? before : 0;
	switch (kind) {
	case KIND_CONSTANT:
		return 42;
	case KIND_COUNTER:
		return before + (double)(next_random() % 50);
	case KIND_DECIMAL:
		return (double)(int64_t)(next_random() % 2000000) / 1000 - 1000;
	case KIND_ANY_BITS:
		return from_bits(next_random());
	case KIND_STALE:
		return i % 7 == 3 ? from_bits(0x7ff0000000000002ULL) : before + 1;
	case KIND_SPECIAL:
		return i % 3 == 0 ? -0.0 : i % 3 == 1 ? INFINITY : -INFINITY;
	case KIND_FLOAT:
		return sin((double)i / 10) * 1e-9;
	default:
		return make_odd(kind, i, before);
	}
}

static void fill_times(struct table *t, int64_t step)
{
	int64_t at = (int64_t)T0 * 1000;
	for (size_t i = 0; i < t->nrows; i++) {
		t->times[i] = at;
		at += step + (next_random() % 4 == 0 ? (int64_t)(next_random() % 3) : 0);
	}
}

static void test_each_kind(void **state)
{
	(void)state;
	static struct table t;
	static const uint32_t lengths[] = {1, 2, 3, 63, 64, 65, 66, 129, MAX_ROWS};
	for (size_t l = 0; l < OPS_LENGTH(lengths); l++) {
		t.nrows = lengths[l];
		t.ncolumns = KINDS;
		fill_times(&t, 15000);
		for (unsigned c = 0; c < KINDS; c++) {
			for (size_t i = 0; i < t.nrows; i++) {
				double before = i > 0 ? t.values[c][i - 1] : 0;
				t.values[c][i] = make(c, i, before);
			}
		}
		(void)round_trip(&t);
	}
}

static void test_mixed_kinds(void **state)
{
	(void)state;
	static struct table t;
	for (int turn = 0; turn < 60; turn++) {
		t.nrows = 1 + (uint32_t)(next_random() % 200);
		t.ncolumns = (uint32_t)(next_random() % MAX_COLUMNS);
		fill_times(&t, 1 + (int64_t)(next_random() % 100000));
		unsigned rare = 1 + (unsigned)(next_random() % 60);
		for (unsigned c = 0; c < t.ncolumns; c++) {
			unsigned kind = (unsigned)(next_random() % KINDS);
			for (size_t i = 0; i < t.nrows; i++) {
				double before = i > 0 ? t.values[c][i - 1] : 0;
				bool other = next_random() % rare == 0;
				unsigned k = other ? (unsigned)(next_random() % KINDS) : kind;
				t.values[c][i] = make(k, i, before);
			}
		}
		(void)round_trip(&t);
	}
}

/* Cumulative buckets of some histograms with sum and count, a marker at the end of each. */
static void fill_histograms(struct table *t, bool markers)
{
	uint64_t counts[MAX_COLUMNS] = {0};
	for (size_t i = 0; i < t->nrows; i++) {
		uint64_t upto = 0;
		for (uint32_t c = 0; c < t->ncolumns; c++) {
			uint32_t bucket = c % 12;
			if (bucket < 10) {
				counts[c] += next_random() % 4;
				upto = (bucket == 0 ? 0 : upto) + counts[c];
			}
			double sum = (double)(int64_t)(upto * 13 + next_random() % 10) / 1000;
			t->values[c][i] = bucket == 10 ? sum : (double)upto;
		}
	}
	for (uint32_t c = 0; markers && c < t->ncolumns; c++) {
		t->values[c][t->nrows - 1] = from_bits(0x7ff0000000000002ULL);
		t->values[c][c] = from_bits(DET_ABSENT_PATTERN);
	}
}

static void test_histograms(void **state)
{
	(void)state;
	static struct table t;
	t.nrows = 300;
	t.ncolumns = 36;
	fill_times(&t, 15000);
	fill_histograms(&t, false);
	size_t plain = round_trip(&t);
	assert_true(plain <= (size_t)t.nrows * t.ncolumns * 45 / 100);
	fill_histograms(&t, true);
	assert_true(round_trip(&t) <= plain * 11 / 10 + (size_t)t.ncolumns * 16);
}

static void test_sizes(void **state)
{
	(void)state;
	static struct table t;
	t.nrows = 300;
	t.ncolumns = 3;
	for (size_t i = 0; i < t.nrows; i++) {
		t.times[i] = (int64_t)T0 * 1000 + 15000 * (int64_t)i;
		t.values[0][i] = 17;
		t.values[1][i] = 1795208400123.0 + 15000.0 * (double)i;
		t.values[2][i] = 20 + (double)(i % 8) / 10;
	}
	assert_true(round_trip(&t) <= 44 + 12 + 12 + 4 + 16 + 300 / 2);
}

/* Every bit: flipped, the segment is refused, or it was the length and the rest is missing. */
static void test_flipped_bits(void **state)
{
	(void)state;
	static struct table t;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct det_segment s;
	t.nrows = 30;
	t.ncolumns = 12;
	fill_times(&t, 1000);
	fill_histograms(&t, true);
	encode(&t, &out);
	uint8_t *data = exact_copy(out.data, out.len);
	for (size_t bit = 0; bit < out.len * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_true(det_segment_open(data, out.len, true, &s) < 0);
		data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	for (size_t cut = 0; cut < out.len; cut++) {
		uint8_t *shorter = exact_copy(data, cut);
		assert_int_equal(det_segment_open(shorter, cut, true, &s), -ENODATA);
		free(shorter);
	}
	free(data);
	ops_strbuf_done(&out);
}

/* Without the CRC: anything may come out, nothing may read or write out of bounds. */
static void test_garbage(void **state)
{
	(void)state;
	static struct table t;
	static int64_t times[MAX_ROWS];
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct det_segment_cursor cursor = {.columns = NULL};
	t.nrows = 70;
	t.ncolumns = KINDS;
	fill_times(&t, 1000);
	for (unsigned c = 0; c < KINDS; c++) {
		for (size_t i = 0; i < t.nrows; i++) {
			t.values[c][i] = make(c, i, i > 0 ? t.values[c][i - 1] : 0);
		}
	}
	encode(&t, &out);
	for (int turn = 0; turn < 3000; turn++) {
		uint8_t *data = exact_copy(out.data, out.len);
		struct det_segment s;
		for (unsigned i = 0; i < 1 + next_random() % 8; i++) {
			data[44 + next_random() % (out.len - 44)] = (uint8_t)next_random();
		}
		if (det_segment_open(data, out.len, false, &s) == 0) {
			const double *values;
			(void)!det_segment_times(&s, times);
			for (uint32_t c = 0; c < s.ncolumns; c++) {
				(void)!det_segment_column(&s, c, &cursor, &values);
			}
		}
		free(data);
	}
	det_segment_cursor_done(&cursor);
	ops_strbuf_done(&out);
}

static void test_limits(void **state)
{
	(void)state;
	static struct table t;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct det_rows rows = {.times_ms = t.times, .column = table_column, .arg = &t};
	assert_int_equal(det_segment_encode(&rows, &out), -EINVAL);
	rows.nrows = DET_SEGMENT_MAX_ROWS + 1;
	assert_int_equal(det_segment_encode(&rows, &out), -EINVAL);
	rows.nrows = 1;
	rows.ncolumns = DET_SEGMENT_MAX_COLUMNS + 1;
	assert_int_equal(det_segment_encode(&rows, &out), -EINVAL);
	assert_int_equal(out.len, 0);
	ops_strbuf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_kind),
		cmocka_unit_test(test_mixed_kinds),
		cmocka_unit_test(test_histograms),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
