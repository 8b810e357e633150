/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a segment, and any bytes as values: what was encoded comes back, nothing reads too
 * far. The CRC is not asked for: no fuzzer would guess it. */
#include "services/detector/store/segment.h"

#include <string.h>

enum {
	COLUMNS = 5,
	MAX_ROWS = 200
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct table {
	size_t nrows;
	double values[COLUMNS][MAX_ROWS];
};

static const double *column(void *arg, uint32_t c, double *scratch)
{
	struct table *t = arg;
	(void)scratch;
	return t->values[c];
}

static void read_any(const uint8_t *data, size_t size)
{
	struct det_segment s;
	struct det_segment_cursor cursor = {.columns = NULL};
	static int64_t times[DET_SEGMENT_MAX_ROWS];
	const double *values;
	if (det_segment_open(data, size, false, &s) != 0) {
		return;
	}
	(void)!det_segment_times(&s, times);
	for (uint32_t c = 0; c < OPS_MIN(s.ncolumns, 64u); c++) {
		(void)!det_segment_column(&s, c, &cursor, &values);
	}
	det_segment_cursor_done(&cursor);
}

static void round_trip(struct table *t)
{
	static int64_t times[MAX_ROWS];
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct det_segment s;
	struct det_segment_cursor cursor = {.columns = NULL};
	for (size_t i = 0; i < t->nrows; i++) {
		times[i] = (int64_t)i * 1000;
	}
	const struct det_rows rows = {.times_ms = times,
		.nrows = (uint32_t)t->nrows,
		.ncolumns = COLUMNS,
		.column = column,
		.arg = t};
	ops_assert(det_segment_encode(&rows, &out) == 0);
	ops_assert(det_segment_open((const uint8_t *)out.data, out.len, true, &s) == 0);
	for (uint32_t c = 0; c < COLUMNS; c++) {
		const double *back;
		if (!det_segment_column_empty(&s, c)) {
			ops_assert(det_segment_column(&s, c, &cursor, &back) == 0);
			ops_assert(memcmp(back, t->values[c], t->nrows * sizeof(double)) == 0);
		}
	}
	det_segment_cursor_done(&cursor);
	ops_strbuf_done(&out);
}

/* Columns of bits, of small integers, of their sums, of decimals, and of the sums once more. */
static void fill(const uint8_t *data, size_t size, struct table *t)
{
	double sum = 0;
	t->nrows = OPS_MIN(size / sizeof(double), (size_t)MAX_ROWS);
	memcpy(t->values[0], data, t->nrows * sizeof(double));
	for (size_t i = 0; i < t->nrows; i++) {
		t->values[1][i] = (double)data[i * sizeof(double)];
		sum += t->values[1][i];
		t->values[2][i] = sum;
		t->values[3][i] = (double)(int8_t)data[i * sizeof(double) + 1] / 100;
		t->values[4][i] = data[i * sizeof(double) + 2] == 0 ? t->values[0][i] : sum;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct table t;
	read_any(data, size);
	fill(data, size, &t);
	if (t.nrows != 0) {
		round_trip(&t);
	}
	return 0;
}
