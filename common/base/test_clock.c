/* SPDX-License-Identifier: Apache-2.0 */
/* The fake clock, RFC 3339 both ways, Prometheus durations both ways. */
#include "common/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static int64_t fixed_now(void)
{
	return 1700000000123;
}

static void test_fake(void **state)
{
	(void)state;
	ops_clock_fake(fixed_now);
	assert_int_equal(ops_now_ms(), 1700000000123);
	assert_int_equal(ops_now_us(), 1700000000123000);
	ops_clock_fake(NULL);
	assert_true(ops_now_ms() > 1700000000123);
	int64_t before = ops_mono_ns();
	assert_true(before > 0 && ops_mono_ns() >= before);
	assert_true(ops_mono_ms() >= before / 1000000);
}

static const struct {
	int64_t ms;
	const char *text;
} times[] = {
	{0, "1970-01-01T00:00:00.000Z"},
	{-1, "1969-12-31T23:59:59.999Z"},
	{1700000000123, "2023-11-14T22:13:20.123Z"},
	{951782400000, "2000-02-29T00:00:00.000Z"},
	{951868800000, "2000-03-01T00:00:00.000Z"},
	{1709164800000, "2024-02-29T00:00:00.000Z"},
	{4102444799999, "2099-12-31T23:59:59.999Z"},
	{253402300799999, "9999-12-31T23:59:59.999Z"},
	{-62135596800000, "0001-01-01T00:00:00.000Z"},
	{-2203891200000, "1900-03-01T00:00:00.000Z"},
};

static void test_time(void **state)
{
	char buf[40];

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(times); i++) {
		int64_t ms = 0;
		assert_string_equal(ops_time_format(times[i].ms, buf, sizeof(buf)), times[i].text);
		assert_int_equal(ops_time_parse(buf, strlen(buf), &ms), 0);
		assert_int_equal(ms, times[i].ms);
	}
}

/* Against the C library's calendar, day by day over four centuries. */
static void test_calendar(void **state)
{
	char buf[40], want[40];

	(void)state;
	for (int64_t day = -73000; day < 73000; day += 17) {
		time_t t = (time_t)(day * 86400);
		struct tm tm;
		assert_non_null(gmtime_r(&t, &tm));
		assert_true(strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm) > 0);
		assert_string_equal(ops_time_format(day * 86400000, buf, sizeof(buf)), want);
	}
}

static void test_time_forms(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {
		{"2023-11-14T22:13:20Z", 1700000000000},
		{"2023-11-14T23:13:20+01:00", 1700000000000},
		{"2023-11-14T16:43:20.5-05:30", 1700000000500},
		{"2023-11-14t22:13:20z", 1700000000000},
		{"2023-11-14T22:13:20.123456789Z", 1700000000123},
		{"2023-11-14T22:13:20.1239Z", 1700000000123},
		{"1969-12-31T23:59:59.9999Z", -1},
	};
	static const char *const bad[] = {"", "2023", "2023-11-14", "2023-11-14T22:13Z",
		"2023-11-14T22:13:20", "2023-11-14 22:13:20Z", "2023-13-14T22:13:20Z",
		"2023-00-14T22:13:20Z", "2023-02-29T22:13:20Z", "2100-02-29T22:13:20Z",
		"2023-11-31T22:13:20Z", "2023-11-14T24:00:00Z", "2023-11-14T22:60:00Z",
		"2023-11-14T22:13:60Z", "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20.1234567890Z",
		"2023-11-14T22:13:20+1:00", "2023-11-14T22:13:20+0100", "2023-11-14T22:13:20+24:00",
		"2023-11-14T22:13:20Zx", "2023-11-14T22:13:20Z ", "+023-11-14T22:13:20Z"};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(good); i++) {
		int64_t ms = 0;
		assert_int_equal(ops_time_parse(good[i].text, strlen(good[i].text), &ms), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		int64_t ms = 5;
		if (ops_time_parse(bad[i], strlen(bad[i]), &ms) != -EINVAL || ms != 5)
			fail_msg("\"%s\" was not refused", bad[i]);
	}
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
		const char *printed;
	} rows[] = {
		{"0", 0, "0s"},
		{"0w", 0, "0s"},
		{"0h0m0s", 0, "0s"},
		{"5ms", 5, "5ms"},
		{"1m5ms", 60005, "1m5ms"},
		{"90s", 90000, "1m30s"},
		{"1h30m", 5400000, "1h30m"},
		{"24h", 86400000, "1d"},
		{"7d", 604800000, "1w"},
		{"8d", 691200000, "8d"},
		{"2w1d", 1296000000, "15d"},
		{"365d", 31536000000, "1y"},
		{"1y1w", 32140800000, "372d"},
		{"1y2w3d4h5m6s7ms", 33019506007, "382d4h5m6s7ms"},
		{"106751d", 9223286400000, "106751d"},
		{"9223372036854ms", 9223372036854, "106751d23h47m16s854ms"},
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		int64_t ms = -1;
		assert_int_equal(ops_duration_parse(rows[i].text, strlen(rows[i].text), &ms), 0);
		assert_int_equal(ms, rows[i].ms);
		assert_string_equal(ops_duration_format(ms, buf, sizeof(buf)), rows[i].printed);
	}
	assert_string_equal(ops_duration_format(-5400000, buf, sizeof(buf)), "-1h30m");
	/* A small buffer cuts, it does not overflow. */
	assert_string_equal(ops_duration_format(5400000, buf, 4), "1h3");
	assert_non_null(ops_duration_format(INT64_MIN, buf, sizeof(buf)));
}

static void test_duration_refused(void **state)
{
	static const struct {
		const char *text;
		int result;
	} rows[] = {
		{"", -EINVAL},
		{"00", -EINVAL},
		{"1", -EINVAL},
		{"-1s", -EINVAL},
		{"+1s", -EINVAL},
		{"s", -EINVAL},
		{"1.5h", -EINVAL},
		{"1m1h", -EINVAL},
		{"1s1s", -EINVAL},
		{"5ms1s", -EINVAL},
		{"1h 5m", -EINVAL},
		{" 1h", -EINVAL},
		{"1H", -EINVAL},
		{"1us", -EINVAL},
		{"10s5", -EINVAL},
		{"99999999999999999999x", -EINVAL},
		{"293y", -ERANGE},
		{"9223372036855ms", -ERANGE},
		{"99999999999999999999s", -ERANGE},
		{"106751d24h", -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		int64_t ms = 7;
		int r = ops_duration_parse(rows[i].text, strlen(rows[i].text), &ms);
		if (r != rows[i].result || ms != 7)
			fail_msg("\"%s\": %d", rows[i].text, r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fake),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_time_forms),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_duration_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
