/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store's columns cost: bytes and nanoseconds per sample of a typical service, 20
 * instances of 1000 series and 300 scrapes, in segments as they are compacted.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "services/detector/store/segment.h"
#include "tests/bench/typical.h"

enum {
	INSTANCES = 20,
	SERIES = 1000,
	ROWS = 300,
	STEP_MS = 15000
};

struct table {
	int64_t times[ROWS];
	double *values; /* column after column */
};

static const double *column(void *arg, uint32_t c, double *scratch)
{
	(void)scratch;
	return ((struct table *)arg)->values + (size_t)c * ROWS;
}

static void fill(struct table *table, unsigned instance)
{
	struct typical *t = typical_new(instance, SERIES);
	for (unsigned r = 0; r < ROWS; r++) {
		const double *row = typical_step(t);
		table->times[r] = 1700000000000 + (int64_t)r * STEP_MS + (instance * 7 + r * 3) % 3;
		for (unsigned c = 0; c < SERIES; c++) {
			table->values[(size_t)c * ROWS + r] = row[c];
		}
	}
	typical_free(t);
}

static const struct {
	const char *name;
	unsigned from, to;
} classes[] = {{"buckets", 0, 12}, {"sum", 12, 13}, {"count", 13, 14}};

static void by_class(const struct det_segment *s, double *bytes, double *samples)
{
	uint32_t before = 0;
	for (uint32_t c = 0; c < s->ncolumns; c++) {
		uint32_t end;
		memcpy(&end, s->ends + (size_t)c * 4, sizeof(end));
		unsigned part = c % TYPICAL_HISTOGRAM;
		unsigned class = c >= 42 * TYPICAL_HISTOGRAM + 200 ? 4
				 : c >= 42 * TYPICAL_HISTOGRAM	   ? 3
				 : part < 12			   ? 0
				 : part == 12			   ? 1
								   : 2;
		bytes[class] += end - before;
		samples[class] += s->nrows;
		before = end;
	}
}

int main(void)
{
	static const char *const names[] = {"buckets", "sums", "counts", "counters", "gauges"};
	struct table table = {.values = ops_xcalloc((size_t)SERIES * ROWS, sizeof(double))};
	struct det_segment_cursor cursor = {.columns = NULL};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	double bytes[5] = {0}, samples[5] = {0}, all_bytes = 0;
	int64_t encode_ns = 0, decode_ns = 0;
	for (unsigned i = 0; i < INSTANCES; i++) {
		fill(&table, i);
		const struct det_rows rows = {.times_ms = table.times,
			.nrows = ROWS,
			.ncolumns = SERIES,
			.column = column,
			.arg = &table};
		ops_strbuf_reset(&out);
		int64_t start = ops_mono_ns();
		int rc = det_segment_encode(&rows, &out);
		encode_ns += ops_mono_ns() - start;
		ops_assert(rc == 0);
		struct det_segment s;
		rc = det_segment_open((const uint8_t *)out.data, out.len, true, &s);
		ops_assert(rc == 0);
		start = ops_mono_ns();
		for (uint32_t c = 0; c < SERIES; c++) {
			const double *values;
			rc = det_segment_column(&s, c, &cursor, &values);
			ops_assert(rc == 0);
		}
		decode_ns += ops_mono_ns() - start;
		by_class(&s, bytes, samples);
		all_bytes += (double)out.len;
	}
	double n = (double)INSTANCES * SERIES * ROWS;
	for (unsigned i = 0; i < 5; i++) {
		printf("%-10s %5.1f %% of samples  %6.3f bytes a sample\n", names[i],
			samples[i] * 100 / n, bytes[i] / samples[i]);
	}
	printf("all, with times and ends %6.3f bytes a sample, encode %.1f ns, decode %.2f ns\n",
		all_bytes / n, (double)encode_ns / n, (double)decode_ns / n);
	det_segment_cursor_done(&cursor);
	ops_strbuf_done(&out);
	free(table.values);
	return 0;
}
