/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones from the system's database, and time intervals around their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "services/alertmanager/timeinterval.h"
#include "services/alertmanager/tz.h"

static int64_t at(const char *text)
{
	int64_t ms = 0;
	assert_int_equal(ops_time_parse(text, strlen(text), &ms), 0);
	return ms;
}

static const struct {
	const char *zone, *when;
	int32_t want;
	const char *abbreviation;
} offsets[] = {
	{"UTC", "2026-07-01T00:00:00Z", 0, "UTC"},
	{"Europe/Berlin", "2026-03-29T00:59:59Z", 3600, "CET"},
	{"Europe/Berlin", "2026-03-29T01:00:00Z", 7200, "CEST"},
	{"Europe/Berlin", "2026-10-25T00:59:59Z", 7200, "CEST"},
	{"Europe/Berlin", "2026-10-25T01:00:00Z", 3600, "CET"},
	{"Europe/Berlin", "2099-07-01T00:00:00Z", 7200, "CEST"}, /* by the rule of the footer */
	{"Europe/Berlin", "2099-01-01T00:00:00Z", 3600, "CET"},
	{"Australia/Sydney", "2060-01-01T00:00:00Z", 39600, "AEDT"}, /* summer spans the new year */
	{"Australia/Sydney", "2060-07-01T00:00:00Z", 36000, "AEST"},
	{"Asia/Kolkata", "2050-01-01T00:00:00Z", 19800, "IST"},
	{"America/New_York", "1918-07-01T00:00:00Z", -14400, "EDT"},
};

static void test_offsets(void **state)
{
	struct alm_tz *probe = NULL;
	(void)state;
	if (alm_tz_load("Europe/Berlin", &probe) != 0) {
		print_message("no time zone database on this machine: skipped\n");
		skip();
	}
	alm_tz_free(probe);
	for (size_t i = 0; i < OPS_LENGTH(offsets); i++) {
		struct alm_tz *tz = NULL;
		const char *abbreviation = NULL;
		assert_int_equal(alm_tz_load(offsets[i].zone, &tz), 0);
		int32_t got = alm_tz_offset(tz, at(offsets[i].when), &abbreviation);
		if (got != offsets[i].want || strcmp(abbreviation, offsets[i].abbreviation) != 0)
			fail_msg("%s at %s: %d %s", offsets[i].zone, offsets[i].when, got,
				abbreviation);
		alm_tz_free(tz);
	}
}

static void test_names_that_are_no_zone(void **state)
{
	static const char *const bad[] = {"", "Mars/Olympus", "../../etc/passwd", "/etc/localtime",
		"Europe", "tzdata.zi", "a b"};
	struct alm_tz *tz = NULL;
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(bad); i++)
		assert_int_not_equal(alm_tz_load(bad[i], &tz), 0);
}

static const struct {
	const char *yaml, *when;
	bool inside;
} intervals[] = {
	{"[{}]", "2026-11-20T12:00:00Z", true},
	{"[]", "2026-11-20T12:00:00Z", false},
	{"[{times: [{start_time: '09:00', end_time: '17:00'}]}]", "2026-11-20T09:00:00Z", true},
	{"[{times: [{start_time: '09:00', end_time: '17:00'}]}]", "2026-11-20T17:00:00Z", false},
	{"[{times: [{start_time: '17:00', end_time: '24:00'}]}]", "2026-11-20T23:59:59Z", true},
	{"[{weekdays: ['monday:friday']}]", "2026-11-20T23:59:59Z", true},
	{"[{weekdays: ['monday:friday']}]", "2026-11-21T00:00:00Z", false},
	{"[{weekdays: [Saturday, sunday]}]", "2026-11-21T00:00:00Z", true},
	{"[{days_of_month: ['-1']}]", "2024-02-29T10:00:00Z", true},
	{"[{days_of_month: ['-1']}]", "2024-02-28T10:00:00Z", false},
	{"[{days_of_month: ['31']}]", "2024-02-29T10:00:00Z", false},
	{"[{days_of_month: ['20:-1'], months: ['11'], years: ['2026:2027']}]",
		"2026-11-20T10:00:00Z", true},
	{"[{months: ['may:august']}, {months: [december]}]", "2026-12-01T00:00:00Z", true},
};

static void test_intervals(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(intervals); i++) {
		struct ops_conf_node *root = NULL;
		struct alm_intervals iv = {0};
		struct ops_error err = {0};
		struct ops_arena a;
		ops_arena_init(&a);
		int rc = ops_conf_load_text(
			&a, "t", intervals[i].yaml, strlen(intervals[i].yaml), NULL, &root, &err);
		if (rc == 0)
			rc = alm_intervals_parse(&a, root, &iv, &err);
		if (rc != 0 ||
			alm_intervals_contain(&iv, at(intervals[i].when)) != intervals[i].inside)
			fail_msg("%s at %s: %s", intervals[i].yaml, intervals[i].when, err.message);
		alm_intervals_done(&iv);
		ops_arena_done(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_names_that_are_no_zone),
		cmocka_unit_test(test_intervals),
	};
	return cmocka_run_group_tests_name("alertmanager_time", tests, NULL, NULL);
}
