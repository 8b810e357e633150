/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store's columns cost: bytes and nanoseconds of CPU per sample of a typical service, 20
 * instances of 1000 series and 300 scrapes, in segments as they are compacted.
 * With arguments INSTANCES START: the same samples as an OpenMetrics document, scrape by scrape
 * from that second on, for other stores.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/bytes.h"
#include "common/base/number.h"
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

static int64_t cpu_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

enum {
	BUCKETS,
	SUMS,
	COUNTS,
	COUNTERS,
	GAUGES,
	CLASSES
};
static const char *const class_names[] = {"buckets", "sums", "counts", "counters", "gauges"};

static unsigned class_of(unsigned column)
{
	unsigned histograms = SERIES * 6 / 10 / TYPICAL_HISTOGRAM * TYPICAL_HISTOGRAM;
	unsigned part = column % TYPICAL_HISTOGRAM;
	if (column >= histograms) {
		return column < histograms + SERIES * 2 / 10 ? COUNTERS : GAUGES;
	}
	return part < TYPICAL_BUCKETS ? BUCKETS : part == TYPICAL_BUCKETS ? SUMS : COUNTS;
}

struct totals {
	double bytes[CLASSES], samples[CLASSES], all_bytes;
	int64_t encode_ns, decode_ns;
};

static void count_classes(const struct det_segment *s, struct totals *t)
{
	uint32_t before = 0;
	for (uint32_t c = 0; c < s->ncolumns; c++) {
		uint32_t end = ops_get_u32(s->ends + (size_t)c * 4);
		t->bytes[class_of(c)] += end - before;
		t->samples[class_of(c)] += s->nrows;
		before = end;
	}
}

static void decode_all(const struct det_segment *s, struct det_segment_cursor *cursor)
{
	for (uint32_t c = 0; c < s->ncolumns; c++) {
		const double *values;
		int rc = det_segment_column(s, c, cursor, &values);
		ops_assert(rc == 0);
	}
}

static void measure(struct table *table, struct ops_strbuf *out, struct totals *t)
{
	struct det_segment_cursor cursor = {.columns = NULL};
	struct det_segment s;
	const struct det_rows rows = {.times_ms = table->times,
		.nrows = ROWS,
		.ncolumns = SERIES,
		.column = column,
		.arg = table};
	ops_strbuf_reset(out);
	int64_t start = cpu_ns();
	int rc = det_segment_encode(&rows, out);
	t->encode_ns += cpu_ns() - start;
	ops_assert(rc == 0);
	rc = det_segment_open((const uint8_t *)out->data, out->len, true, &s);
	ops_assert(rc == 0);
	start = cpu_ns();
	decode_all(&s, &cursor);
	t->decode_ns += cpu_ns() - start;
	count_classes(&s, t);
	t->all_bytes += (double)out->len;
	det_segment_cursor_done(&cursor);
}

static void print_totals(const struct totals *t)
{
	double n = (double)INSTANCES * SERIES * ROWS;
	for (unsigned i = 0; i < CLASSES; i++) {
		printf("%-10s %5.1f %% of samples  %6.3f bytes a sample\n", class_names[i],
			t->samples[i] * 100 / n, t->bytes[i] / t->samples[i]);
	}
	printf("all, with times and ends %6.3f bytes a sample, encode %.1f ns, decode %.2f ns\n",
		t->all_bytes / n, (double)t->encode_ns / n, (double)t->decode_ns / n);
}

static void write_document(unsigned instances, int64_t start_s)
{
	struct typical **all = ops_xcalloc(instances, sizeof(*all));
	struct ops_strbuf *names = ops_xcalloc((size_t)instances * SERIES, sizeof(*names));
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (unsigned i = 0; i < instances; i++) {
		all[i] = typical_new(i, SERIES);
		for (unsigned c = 0; c < SERIES; c++) {
			typical_name(all[i], c, &names[i * SERIES + c]);
		}
	}
	for (unsigned r = 0; r < ROWS * instances; r++) {
		const double *row = typical_step(all[r % instances]);
		ops_strbuf_reset(&out);
		for (unsigned c = 0; c < SERIES; c++) {
			const struct ops_strbuf *name = &names[r % instances * SERIES + c];
			ops_strbuf_add(&out, name->data, name->len);
			ops_strbuf_addc(&out, ' ');
			ops_strbuf_add_double(&out, row[c]);
			ops_strbuf_printf(&out, " %" PRId64 ".%03u\n",
				start_s + r / instances * STEP_MS / 1000,
				(r % instances * 7 + r / instances * 3) % 3);
		}
		(void)!fwrite(out.data, 1, out.len, stdout);
	}
	puts("# EOF");
	for (unsigned i = 0; i < instances * SERIES; i++) {
		ops_strbuf_done(&names[i]);
	}
	for (unsigned i = 0; i < instances; i++) {
		typical_free(all[i]);
	}
	free(all);
	free(names);
	ops_strbuf_done(&out);
}

int main(int argc, char **argv)
{
	uint64_t instances;
	int64_t start_s;
	if (argc == 3 && ops_parse_u64(argv[1], strlen(argv[1]), &instances) == 0 &&
		ops_parse_i64(argv[2], strlen(argv[2]), &start_s) == 0 && instances < 1000) {
		write_document((unsigned)instances, start_s);
		return 0;
	}
	struct table table = {.values = ops_xcalloc((size_t)SERIES * ROWS, sizeof(double))};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct totals totals = {.all_bytes = 0};
	for (unsigned i = 0; i < INSTANCES; i++) {
		fill(&table, i);
		measure(&table, &out, &totals);
	}
	print_totals(&totals);
	ops_strbuf_done(&out);
	free(table.values);
	return 0;
}
