/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calendar is computed, not asked from libc: days from the civil date and back by counting in
 * eras of 400 years that start on 1 March (Hinnant, "chrono-compatible low-level date algorithms"),
 * valid for every int64 millisecond and independent of TZ. Leap seconds do not exist, as in POSIX.
 */
#include "common/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int64_t (*fake_now_ms)(void);

static int64_t read_clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t ops_now_ms(void)
{
	return fake_now_ms != NULL ? fake_now_ms() : read_clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t ops_now_us(void)
{
	return fake_now_ms != NULL ? fake_now_ms() * 1000 : read_clock_ns(CLOCK_REALTIME) / 1000;
}

int64_t ops_mono_ms(void)
{
	return read_clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t ops_mono_ns(void)
{
	return read_clock_ns(CLOCK_MONOTONIC);
}

void ops_clock_fake(int64_t (*now_ms)(void))
{
	fake_now_ms = now_ms;
}

enum {
	DAY_MS = 86400000,
	DAYS_PER_ERA = 146097,
	DAYS_TO_1970 = 719468
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

static int64_t days_from_date(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, 400), year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * DAYS_PER_ERA + day_of_era - DAYS_TO_1970;
}

static int64_t date_from_days(int64_t days, int *ret_month, int *ret_day)
{
	int64_t z = days + DAYS_TO_1970, era = floor_div(z, DAYS_PER_ERA);
	int64_t doe = z - era * DAYS_PER_ERA;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*ret_day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*ret_month = (int)(mp < 10 ? mp + 3 : mp - 9);
	return yoe + era * 400 + (*ret_month <= 2 ? 1 : 0);
}

char *ops_time_format(int64_t ms, char *buf, size_t size)
{
	int64_t days = floor_div(ms, DAY_MS);
	int in_day = (int)(ms - days * DAY_MS), month = 0, day = 0;
	long long year = date_from_days(days, &month, &day);

	snprintf(buf, size, "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day,
		in_day / 3600000, in_day / 60000 % 60, in_day / 1000 % 60, in_day % 1000);
	return buf;
}

/* A reader over s[at..len); every step clears ok when the text is not as expected. */
struct cursor {
	const char *s;
	size_t len, at;
	bool ok;
};

static bool take(struct cursor *c, char want)
{
	if (c->at >= c->len || c->s[c->at] != want)
		return false;
	c->at++;
	return true;
}

static void expect(struct cursor *c, char want)
{
	c->ok = take(c, want) && c->ok;
}

static int take_digits(struct cursor *c, int n, int low, int high)
{
	int v = 0;

	for (int i = 0; i < n; i++, c->at++) {
		if (c->at >= c->len || c->s[c->at] < '0' || c->s[c->at] > '9') {
			c->ok = false;
			return low;
		}
		v = v * 10 + (c->s[c->at] - '0');
	}
	c->ok = c->ok && v >= low && v <= high;
	return v;
}

static int64_t take_date_ms(struct cursor *c)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	int year = take_digits(c, 4, 0, 9999);
	expect(c, '-');
	int month = take_digits(c, 2, 1, 12);
	expect(c, '-');
	if (!c->ok)
		return 0;
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	int day = take_digits(c, 2, 1, month_days[month - 1] + (leap && month == 2 ? 1 : 0));
	return days_from_date(year, month, day) * DAY_MS;
}

static int64_t take_time_ms(struct cursor *c)
{
	int hour = take_digits(c, 2, 0, 23);
	expect(c, ':');
	int minute = take_digits(c, 2, 0, 59);
	expect(c, ':');
	int64_t ms = (hour * 3600 + minute * 60 + take_digits(c, 2, 0, 59)) * 1000LL;

	if (c->ok && take(c, '.')) {
		int scale = 100, n = 0;
		for (; c->at < c->len && c->s[c->at] >= '0' && c->s[c->at] <= '9'; c->at++, n++) {
			ms += (c->s[c->at] - '0') * scale;
			scale /= 10;
		}
		c->ok = n >= 1 && n <= 9;
	}
	return ms;
}

static int64_t take_offset_ms(struct cursor *c)
{
	if (take(c, 'Z') || take(c, 'z'))
		return 0;
	int64_t sign = take(c, '-') ? -1 : 1;
	if (sign == 1)
		expect(c, '+');
	int hour = take_digits(c, 2, 0, 23);
	expect(c, ':');
	int minute = take_digits(c, 2, 0, 59);
	return sign * (hour * 60 + minute) * 60000;
}

int ops_time_parse(const char *s, size_t len, int64_t *ret_ms)
{
	struct cursor c = {s, len, 0, true};
	int64_t ms = take_date_ms(&c);

	if (c.ok && !take(&c, 't'))
		expect(&c, 'T');
	if (!c.ok)
		return -EINVAL;
	ms += take_time_ms(&c);
	if (!c.ok)
		return -EINVAL;
	ms -= take_offset_ms(&c);
	if (!c.ok || c.at != len)
		return -EINVAL;
	*ret_ms = ms;
	return 0;
}

static const struct unit {
	const char *name;
	size_t len;
	int64_t ms;
	bool exact; /* printed only when nothing remains */
} units[] = {
	{"y", 1, 365LL * DAY_MS, true},
	{"w", 1, 7LL * DAY_MS, true},
	{"d", 1, DAY_MS, false},
	{"h", 1, 3600000, false},
	{"m", 1, 60000, false},
	{"s", 1, 1000, false},
	{"ms", 2, 1, false},
};

/* Index of the unit at s, OPS_LENGTH(units) when there is none. "ms" is tried before "m". */
static size_t find_unit(const char *s, size_t len)
{
	if (len >= 2 && s[0] == 'm' && s[1] == 's')
		return OPS_LENGTH(units) - 1;
	size_t u = 0;
	while (u < OPS_LENGTH(units) && (len == 0 || units[u].len != 1 || units[u].name[0] != s[0]))
		u++;
	return u;
}

int ops_duration_parse(const char *s, size_t len, int64_t *ret_ms)
{
	const int64_t limit_ms = INT64_MAX / 1000000;
	int64_t total = 0;
	bool over = false;
	size_t next = 0; /* first unit that may still come */

	if (len == 1 && s[0] == '0') {
		*ret_ms = 0;
		return 0;
	}
	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len;) {
		size_t start = i;
		int64_t n = 0;
		for (; i < len && s[i] >= '0' && s[i] <= '9'; i++)
			over = over || __builtin_mul_overflow(n, 10, &n) ||
			       __builtin_add_overflow(n, s[i] - '0', &n);
		size_t u = find_unit(s + i, len - i);
		if (i == start || u < next || u == OPS_LENGTH(units))
			return -EINVAL;
		over = over || __builtin_mul_overflow(n, units[u].ms, &n) ||
		       __builtin_add_overflow(total, n, &total) || total > limit_ms;
		i += units[u].len;
		next = u + 1;
	}
	if (over)
		return -ERANGE;
	*ret_ms = total;
	return 0;
}

char *ops_duration_format(int64_t ms, char *buf, size_t size)
{
	uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
	size_t at = 0;

	if (size == 0)
		return buf;
	snprintf(buf, size, "%s", ms == 0 ? "0s" : ms < 0 ? "-" : "");
	at = ms < 0 ? 1 : 0;
	for (size_t u = 0; u < OPS_LENGTH(units) && at < size; u++) {
		uint64_t unit = (uint64_t)units[u].ms, n = left / unit;
		if (n == 0 || (units[u].exact && left % unit != 0))
			continue;
		at += (size_t)snprintf(
			buf + at, size - at, "%llu%s", (unsigned long long)n, units[u].name);
		left %= unit;
	}
	return buf;
}
