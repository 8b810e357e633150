/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the store's costs grow with the number of its series, and how long opening takes. Targets of
 * 1000 series each, as in the bench of ingest (labels of handlers, methods, codes; three of four
 * values change), 15 s apart, in a directory under $TMPDIR; the process has nothing else to do.
 *
 *	bench_scale [SERIES...]			10000, 100000 and 1000000: CPU per appended sample
 *			(the threads of log and blocks included), memory per series, CPU per series
 *			that a selector finds and per sample that is read
 *	bench_scale open [SERIES [ROWS]]	200000 series, two hours: fills a store, leaves it
 *			as a killed process would, and opens it again: time until the first query is
 *			answered
 *	bench_scale fill DIR [SERIES [ROWS]]	the same data set, for a process to open
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "services/detector/store/store.h"

enum {
	COLUMNS = 1000,
	STEP_MS = 15000,
	ROWS = 40,
	OPEN_SERIES = 200000,
	OPEN_ROWS = 480
};
static int64_t begin_ms; /* of the first row; the last one is about now */

static double clock_s(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double rss_mib(void)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	uint64_t pages = 0;
	if (ops_file_read("/proc/self/statm", 4096, &text) == 0) {
		const char *resident = strchr(ops_strbuf_text(&text), ' ');
		size_t len = resident != NULL ? strcspn(resident + 1, " ") : 0;
		pages = len != 0 && ops_parse_u64(resident + 1, len, &pages) == 0 ? pages : 0;
	}
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static struct det_store *open_store(const char *dir)
{
	struct ops_error err = {0};
	struct det_store *s = det_store_new(&(struct det_store_options){
		.retention_ms = INT64_MAX / 4, .dir = dir, .out_of_order_ms = 600000});
	if (det_store_open(s, &err) != 0) {
		fprintf(stderr, "bench_scale: %s\n", err.message);
		_exit(1);
	}
	return s;
}

static struct ops_labels *series_of(unsigned target, unsigned column)
{
	static const char *const methods[] = {"GET", "POST", "PUT"};
	char name[32], job[32], handler[48];
	snprintf(name, sizeof(name), "bench_%u_total", column / 20);
	snprintf(job, sizeof(job), "t%u", target);
	snprintf(handler, sizeof(handler), "/api/v1/resource/%u", column);
	return ops_labels_of("__name__", name, "code", "200", "handler", handler, "instance",
		"127.0.0.1:8080", "job", job, "method", methods[column % 3], "version", "2.5.1",
		"zone", "eu-central-1", NULL);
}

static void add_target(struct det_store *s, unsigned target)
{
	struct ops_labels *series[COLUMNS];
	uint32_t family[COLUMNS];
	struct ops_layout l = {.id = (target + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15),
		.job = "bench",
		.instance = "i",
		.series = series,
		.family = family};
	for (; l.n < COLUMNS; l.n++) {
		series[l.n] = series_of(target, (unsigned)l.n);
		family[l.n] = UINT32_MAX;
	}
	if (det_store_layout(s, &l) != 0) {
		fprintf(stderr, "bench_scale: two layouts have one id\n");
	}
	for (size_t i = 0; i < l.n; i++) {
		ops_labels_unref(series[i]);
	}
}

static void add_row(struct det_store *s, unsigned target, unsigned row)
{
	double values[COLUMNS];
	const struct ops_batch b = {
		.layout_id = (target + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15),
		.time_ms = begin_ms + (int64_t)row * STEP_MS + target % 97,
		.values = values,
		.n = COLUMNS};
	for (unsigned c = 0; c < COLUMNS; c++) {
		double steps = c % 4 != 0 ? (double)(row * (7 + c % 11)) : 0;
		values[c] = (double)c * 1313 + steps + (c % 3 == 0 ? 0.25 : 0);
	}
	if (det_store_append_batch(s, &b) != 0) {
		fprintf(stderr, "bench_scale: a batch was refused\n");
	}
}

static void fill(struct det_store *s, unsigned targets, unsigned from, unsigned to)
{
	for (unsigned row = from; row < to; row++) {
		for (unsigned t = 0; t < targets; t++) {
			add_row(s, t, row);
		}
		if (row % 20 == 0) {
			det_store_maintain(s, begin_ms + (int64_t)row * STEP_MS);
		}
	}
}

struct found {
	size_t series, samples;
	double select_s, read_s; /* CPU */
};

static struct found query(struct det_store *s, const char *selector, unsigned rows)
{
	struct found f = {0};
	struct ops_arena arena;
	struct ops_matchers matchers;
	struct ops_error err;
	struct det_series_list list;
	struct det_samples out = {0};
	int64_t end_ms = begin_ms + (int64_t)rows * STEP_MS;
	const int64_t range_ms[2] = {end_ms - 3600000, end_ms};
	ops_arena_init(&arena);
	ops_matchers_init(&matchers);
	if (ops_matchers_parse(&matchers, selector, strlen(selector), &err) != 0) {
		_exit(1);
	}
	double begin_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	det_store_select(s, &matchers, range_ms, &arena, &list);
	f.select_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - begin_s;
	for (size_t i = 0; i < list.n; i++) {
		det_series_read(list.items[i], range_ms[0], range_ms[1], &out);
		f.samples += out.n;
	}
	f.read_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - begin_s - f.select_s;
	f.series = list.n;
	det_samples_done(&out);
	ops_matchers_done(&matchers);
	ops_arena_done(&arena);
	return f;
}

static void begin(unsigned rows)
{
	begin_ms = ops_now_ms() - (int64_t)rows * STEP_MS;
}

static void grow(unsigned series)
{
	begin(ROWS);
	char *dir = tempdir_make();
	unsigned targets = OPS_MAX(series / COLUMNS, 1u);
	double n = (double)targets * COLUMNS, rss = rss_mib();
	struct det_store *s = open_store(dir);
	double at = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned t = 0; t < targets; t++) {
		add_target(s, t);
	}
	fill(s, targets, 0, 1);
	double first_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - at;
	at = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	fill(s, targets, 1, ROWS);
	double append_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - at;
	rss = rss_mib() - rss;
	struct found few = query(s, "{__name__=\"bench_7_total\",job=\"t3\"}", ROWS);
	struct found many = query(s, "{__name__=\"bench_7_total\"}", ROWS);
	printf("%9.0f %14.2f %14.1f %12.0f %12.0f %18.2f %18.2f %14.2f\n", n, first_s / n * 1e6,
		append_s / n / (ROWS - 1) * 1e9, rss * 1048576 / n, (double)many.series,
		few.select_s / (double)few.series * 1e6, many.select_s / (double)many.series * 1e6,
		many.read_s / (double)many.samples * 1e9);
	fflush(stdout);
	det_store_free(s);
	tempdir_remove(dir);
}

static void fill_directory(const char *dir, unsigned series, unsigned rows)
{
	unsigned targets = OPS_MAX(series / COLUMNS, 1u);
	begin(rows);
	struct det_store *s = open_store(dir);
	for (unsigned t = 0; t < targets; t++) {
		add_target(s, t);
	}
	fill(s, targets, 0, rows);
	det_store_free(s);
}

static void measure_open(unsigned series, unsigned rows)
{
	char *dir = tempdir_make();
	struct det_store_recovery r;
	fill_directory(dir, series, rows);
	double begin_s = clock_s(CLOCK_MONOTONIC), cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID);
	struct det_store *s = open_store(dir);
	double opened_s = clock_s(CLOCK_MONOTONIC) - begin_s;
	double opened_cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
	struct found f = query(s, "{__name__=\"bench_7_total\",job=\"t3\"}", rows);
	double answered_s = clock_s(CLOCK_MONOTONIC) - begin_s;
	det_store_recovery(s, &r);
	printf("%" PRIu64 " series, %" PRIu64 " segments, %" PRIu64 " rows of the log, %" PRIu64
	       " blocks: opened in %.3f s (CPU %.3f s), first query (%zu series, %zu samples) "
	       "answered after %.3f s\n",
		r.series, r.segments, r.rows, r.blocks, opened_s, opened_cpu_s, f.series, f.samples,
		answered_s);
	det_store_free(s);
	tempdir_remove(dir);
}

static unsigned number(const char *text)
{
	uint64_t n = 0;
	if (ops_parse_u64(text, strlen(text), &n) != 0 || n == 0 || n > 100000000) {
		fprintf(stderr, "bench_scale: '%s' is no number of series or rows\n", text);
		_exit(2);
	}
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	static const unsigned sizes[] = {10000, 100000, 1000000};
	if (argc > 1 && strcmp(argv[1], "open") == 0) {
		measure_open(argc > 2 ? number(argv[2]) : OPEN_SERIES,
			argc > 3 ? number(argv[3]) : OPEN_ROWS);
		return 0;
	}
	if (argc > 2 && strcmp(argv[1], "fill") == 0) {
		fill_directory(argv[2], argc > 3 ? number(argv[3]) : OPEN_SERIES,
			argc > 4 ? number(argv[4]) : OPEN_ROWS);
		return 0;
	}
	printf("%9s %14s %14s %12s %12s %18s %18s %14s\n", "series", "new us/series",
		"append ns/smp", "bytes/series", "matched", "select 20 us/ser", "select us/ser",
		"read ns/smp");
	for (size_t i = 0; argc > 1 ? i + 1 < (size_t)argc : i < OPS_LENGTH(sizes); i++) {
		grow(argc > 1 ? number(argv[i + 1]) : sizes[i]);
	}
	return 0;
}
