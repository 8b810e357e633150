/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP: names, bounds of what is decoded, and buckets that change their scale. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "services/collector/receive/otlp_series.h"
#include "services/collector/receive/otlp_sums.h"

static void test_names(void **state)
{
	static const struct {
		const char *name, *unit;
		enum col_otlp_kind kind;
		bool monotonic;
		const char *want;
	} cases[] = {
		{"http.server.duration", "ms", COL_OTLP_HISTOGRAM, false,
			"http_server_duration_milliseconds"},
		{"requests", "1", COL_OTLP_SUM, true, "requests_total"},
		{"requests_total", "", COL_OTLP_SUM, true, "requests_total"},
		{"requests", "{request}", COL_OTLP_SUM, true, "requests_total"},
		{"in.flight", "", COL_OTLP_SUM, false, "in_flight"},
		{"memory.bytes", "By", COL_OTLP_GAUGE, false, "memory_bytes"},
		{"usage", "1", COL_OTLP_GAUGE, false, "usage_ratio"},
		{"usage.ratio", "1", COL_OTLP_GAUGE, false, "usage_ratio"},
		{"io", "By/s", COL_OTLP_GAUGE, false, "io_bytes_per_second"},
		{"speed", "km/h", COL_OTLP_GAUGE, false, "speed_km_per_hour"},
		{"2xx--total..x", "%", COL_OTLP_GAUGE, false, "_2xx_total_x_percent"},
		{"cpu.time", "s", COL_OTLP_SUM, true, "cpu_time_seconds_total"},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		const struct col_otlp_metric m = {.name = cases[i].name,
			.unit = cases[i].unit,
			.kind = cases[i].kind,
			.monotonic = cases[i].monotonic};
		struct ops_strbuf out = OPS_STRBUF_INIT;
		col_otlp_name(&m, &out);
		assert_string_equal(ops_strbuf_text(&out), cases[i].want);
		ops_strbuf_done(&out);
	}
}

static void test_buckets(void **state)
{
	uint64_t fine[] = {1, 2, 3, 4}, far[] = {1};
	const struct col_otlp_buckets b = {.offset = -2, .counts = fine, .n = 4};
	const struct col_otlp_buckets away = {.offset = 100000, .counts = far, .n = 1};
	struct col_otlp_counts c = {0, NULL, 0};

	(void)state;
	assert_true(col_otlp_counts_add(&c, &b, 0));
	assert_true(c.lo == -2 && c.n == 4 && c.counts[0] == 1 && c.counts[3] == 4);
	assert_false(col_otlp_counts_add(&c, &away, 0));
	assert_true(c.lo == -2 && c.n == 4);
	assert_true(col_otlp_counts_add(&c, &b, 1));
	assert_true(c.lo == -2 && c.n == 4 && c.counts[1] == 2 + 3 && c.counts[2] == 3 + 7);
	col_otlp_counts_coarsen(&c, 1);
	assert_true(c.lo == -1 && c.n == 2 && c.counts[0] == 6 && c.counts[1] == 14);
	col_otlp_counts_coarsen(&c, 60);
	assert_true(c.lo == -1 && c.n == 2);
	col_otlp_counts_done(&c);
}

static void test_bad_json(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"{\"resourceMetrics\": 3}",
		"{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"name\":5}]}]}]}",
		"{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"gauge\":"
		"{\"dataPoints\":[{\"timeUnixNano\":\"x\"}]}}]}]}]}",
		"{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"histogram\":"
		"{\"dataPoints\":[{\"bucketCounts\":[-1]}]}}]}]}]}",
		"{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":"
		"[{\"exponentialHistogram\":{\"dataPoints\":[{\"scale\":1e10}]}}]}]}]}",
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		struct ops_arena arena;
		struct ops_error err;
		struct col_otlp_request request = {.arena = &arena};
		ops_arena_init(&arena);
		if (col_otlp_from_json(&request, bad[i], strlen(bad[i]), &err) != -EBADMSG) {
			fail_msg("was taken: %s", bad[i]);
		}
		ops_arena_done(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_bad_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
