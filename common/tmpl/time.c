/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Go's time layouts: the reference time Mon Jan 2 15:04:05 -0700 MST 2006 written the way the
 * result shall look. One table of layout elements drives formatting and parsing. Civil dates by
 * Howard Hinnant's days algorithm (public domain), valid far beyond the years a label can hold.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/tmpl/internal.h"

struct civil {
	int64_t year;
	int month, day, hour, minute, second, weekday, yearday;
	int milli;
};

int64_t tmpl_floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = tmpl_floor_div(y, 400);
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct civil civil_of(const struct ops_tmpl_time *t)
{
	int64_t local = t->ms + (int64_t)t->offset_s * 1000;
	int64_t days = tmpl_floor_div(local, 86400000), rest = local - days * 86400000;
	int64_t z = days + 719468, era = tmpl_floor_div(z, 146097), doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	struct civil c = {
		.day = (int)(doy - (153 * mp + 2) / 5 + 1),
		.month = (int)(mp < 10 ? mp + 3 : mp - 9),
		.hour = (int)(rest / 3600000),
		.minute = (int)(rest / 60000 % 60),
		.second = (int)(rest / 1000 % 60),
		.milli = (int)(rest % 1000),
		.weekday = (int)(((days + 4) % 7 + 7) % 7),
	};
	c.year = yoe + era * 400 + (c.month <= 2);
	c.yearday = (int)(days - days_from_civil(c.year, 1, 1) + 1);
	return c;
}

static const char *const months[] = {"January", "February", "March", "April", "May", "June", "July",
	"August", "September", "October", "November", "December"};
static const char *const weekdays[] = {
	"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

enum element {
	E_MONTH_LONG,
	E_MONTH,
	E_WEEKDAY_LONG,
	E_WEEKDAY,
	E_ZONE,
	E_YEAR4,
	E_YEAR2,
	E_MONTH2,
	E_MONTH1,
	E_YEARDAY,
	E_DAY2,
	E_DAY_BLANK,
	E_DAY1,
	E_HOUR24,
	E_HOUR12_2,
	E_HOUR12,
	E_MINUTE2,
	E_MINUTE1,
	E_SECOND2,
	E_SECOND1,
	E_PM,
	E_PM_LOWER,
	E_OFFSET_Z_COLON,
	E_OFFSET_Z,
	E_OFFSET_COLON,
	E_OFFSET,
	E_OFFSET_HOUR,
	E_FRACTION,
	E_NONE,
};

/* Longest first where one begins like another. */
static const struct {
	const char *text;
	enum element what;
} layout_elements[] = {
	{"January", E_MONTH_LONG},
	{"Jan", E_MONTH},
	{"Monday", E_WEEKDAY_LONG},
	{"Mon", E_WEEKDAY},
	{"MST", E_ZONE},
	{"2006", E_YEAR4},
	{"06", E_YEAR2},
	{"002", E_YEARDAY},
	{"01", E_MONTH2},
	{"02", E_DAY2},
	{"03", E_HOUR12_2},
	{"04", E_MINUTE2},
	{"05", E_SECOND2},
	{"_2", E_DAY_BLANK},
	{"15", E_HOUR24},
	{"PM", E_PM},
	{"pm", E_PM_LOWER},
	{"Z07:00", E_OFFSET_Z_COLON},
	{"Z0700", E_OFFSET_Z},
	{"-07:00", E_OFFSET_COLON},
	{"-0700", E_OFFSET},
	{"-07", E_OFFSET_HOUR},
	{"1", E_MONTH1},
	{"2", E_DAY1},
	{"3", E_HOUR12},
	{"4", E_MINUTE1},
	{"5", E_SECOND1},
};

/* The element at the start of layout and its length; a plain character is E_NONE of length 1. */
static enum element next_element(const char *layout, size_t *ret_len)
{
	if ((layout[0] == '.' || layout[0] == ',') && (layout[1] == '0' || layout[1] == '9')) {
		size_t n = strspn(layout + 1, layout[1] == '0' ? "0" : "9");
		if (layout[1 + n] < '0' || layout[1 + n] > '9') {
			*ret_len = n + 1;
			return E_FRACTION;
		}
	}
	for (size_t i = 0; i < OPS_LENGTH(layout_elements); i++) {
		size_t n = strlen(layout_elements[i].text);
		if (strncmp(layout, layout_elements[i].text, n) == 0) {
			*ret_len = n;
			return layout_elements[i].what;
		}
	}
	*ret_len = 1;
	return E_NONE;
}

static void add_fraction(
	const struct civil *c, const char *layout, size_t len, struct ops_strbuf *out)
{
	char digits[16];
	size_t n = len - 1;

	(void)snprintf(digits, sizeof digits, "%03d000000", c->milli);
	n = OPS_MIN(n, (size_t)9);
	if (layout[1] == '9') {
		while (n > 0 && digits[n - 1] == '0')
			n--;
		if (n == 0)
			return;
	}
	ops_strbuf_addc(out, layout[0]);
	ops_strbuf_add(out, digits, n);
}

static void add_offset(int32_t offset_s, enum element what, struct ops_strbuf *out)
{
	int32_t abs = offset_s < 0 ? -offset_s : offset_s;
	bool z = what == E_OFFSET_Z || what == E_OFFSET_Z_COLON;

	if (z && offset_s == 0) {
		ops_strbuf_addc(out, 'Z');
		return;
	}
	ops_strbuf_printf(out, "%c%02d", offset_s < 0 ? '-' : '+', abs / 3600);
	if (what == E_OFFSET_HOUR)
		return;
	ops_strbuf_printf(out, "%s%02d",
		what == E_OFFSET_COLON || what == E_OFFSET_Z_COLON ? ":" : "", abs / 60 % 60);
}

static void add_number(const struct civil *c, enum element what, struct ops_strbuf *out)
{
	int hour12 = c->hour % 12 == 0 ? 12 : c->hour % 12;
	const struct {
		enum element what;
		const char *fmt;
		int value;
	} rows[] = {
		{E_YEAR4, "%04d", (int)c->year},
		{E_YEAR2, "%02d", (int)(c->year % 100)},
		{E_MONTH2, "%02d", c->month},
		{E_MONTH1, "%d", c->month},
		{E_YEARDAY, "%03d", c->yearday},
		{E_DAY2, "%02d", c->day},
		{E_DAY_BLANK, "%2d", c->day},
		{E_DAY1, "%d", c->day},
		{E_HOUR24, "%02d", c->hour},
		{E_HOUR12_2, "%02d", hour12},
		{E_HOUR12, "%d", hour12},
		{E_MINUTE2, "%02d", c->minute},
		{E_MINUTE1, "%d", c->minute},
		{E_SECOND2, "%02d", c->second},
		{E_SECOND1, "%d", c->second},
	};

	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		if (rows[i].what != what)
			continue;
		int width = rows[i].fmt[1] == 'd' ? 0 : rows[i].fmt[strlen(rows[i].fmt) - 2] - '0';
		if (rows[i].fmt[1] == '0')
			ops_strbuf_printf(out, "%0*d", width, rows[i].value);
		else
			ops_strbuf_printf(out, "%*d", width, rows[i].value);
		return;
	}
}

void ops_tmpl_time_format(const struct ops_tmpl_time *t, const char *layout, struct ops_strbuf *out)
{
	struct civil c = civil_of(t);
	size_t len = 0;

	for (const char *at = layout; *at != '\0'; at += len) {
		enum element what = next_element(at, &len);
		if (what == E_NONE)
			ops_strbuf_add(out, at, len);
		else if (what == E_MONTH_LONG || what == E_MONTH)
			ops_strbuf_printf(
				out, "%.*s", what == E_MONTH ? 3 : 16, months[c.month - 1]);
		else if (what == E_WEEKDAY_LONG || what == E_WEEKDAY)
			ops_strbuf_printf(
				out, "%.*s", what == E_WEEKDAY ? 3 : 16, weekdays[c.weekday]);
		else if (what == E_ZONE)
			ops_strbuf_adds(out, t->zone);
		else if (what == E_PM || what == E_PM_LOWER)
			ops_strbuf_adds(out, what == E_PM ? (c.hour < 12 ? "AM" : "PM")
							  : (c.hour < 12 ? "am" : "pm"));
		else if (what == E_FRACTION)
			add_fraction(&c, at, len, out);
		else if (what >= E_OFFSET_Z_COLON && what <= E_OFFSET_HOUR)
			add_offset(t->offset_s, what, out);
		else
			add_number(&c, what, out);
	}
}

/* Up to max digits; returns how many were read. */
static size_t read_digits(const char *s, size_t max, int *ret)
{
	size_t n = 0;
	int v = 0;
	for (; n < max && s[n] >= '0' && s[n] <= '9'; n++)
		v = v * 10 + (s[n] - '0');
	*ret = v;
	return n;
}

static size_t read_word(
	const char *s, const char *const *words, size_t nwords, size_t cut, int *ret)
{
	for (size_t i = 0; i < nwords; i++) {
		size_t n = cut != 0 ? cut : strlen(words[i]);
		if (strncasecmp(s, words[i], n) == 0) {
			*ret = (int)i;
			return n;
		}
	}
	return 0;
}

static size_t read_offset(const char *s, enum element what, int32_t *ret)
{
	int h = 0, m = 0;
	bool colon = what == E_OFFSET_COLON || what == E_OFFSET_Z_COLON;

	if (s[0] == 'Z' && (what == E_OFFSET_Z || what == E_OFFSET_Z_COLON)) {
		*ret = 0;
		return 1;
	}
	if ((s[0] != '+' && s[0] != '-') || read_digits(s + 1, 2, &h) != 2)
		return 0;
	size_t n = 3;
	if (what != E_OFFSET_HOUR) {
		if (colon && s[n++] != ':')
			return 0;
		if (read_digits(s + n, 2, &m) != 2)
			return 0;
		n += 2;
	}
	*ret = (s[0] == '-' ? -1 : 1) * (h * 3600 + m * 60);
	return n;
}

struct parsed {
	int year, month, day, hour, minute, second, milli;
	int32_t offset_s;
	bool pm, pm_set;
};

static size_t read_number(const char *s, enum element what, struct parsed *p)
{
	int v = 0;
	bool two = what == E_YEAR2 || what == E_MONTH2 || what == E_DAY2 || what == E_HOUR24 ||
		   what == E_HOUR12_2 || what == E_MINUTE2 || what == E_SECOND2;
	size_t blank = what == E_DAY_BLANK && s[0] == ' ';
	size_t n = read_digits(s + blank, what == E_YEAR4 ? 4 : what == E_YEARDAY ? 3 : 2, &v);

	if (n == 0 || (two && n != 2) || (what == E_YEAR4 && n != 4))
		return 0;
	if (what == E_YEAR4)
		p->year = v;
	else if (what == E_YEAR2)
		p->year = v < 69 ? 2000 + v : 1900 + v;
	else if (what == E_MONTH2 || what == E_MONTH1)
		p->month = v;
	else if (what == E_DAY2 || what == E_DAY1 || what == E_DAY_BLANK)
		p->day = v;
	else if (what == E_HOUR24 || what == E_HOUR12 || what == E_HOUR12_2)
		p->hour = v;
	else if (what == E_MINUTE2 || what == E_MINUTE1)
		p->minute = v;
	else if (what == E_SECOND2 || what == E_SECOND1)
		p->second = v;
	return n + blank;
}

static size_t read_fraction(const char *s, struct parsed *p)
{
	int digits = 0;
	if (s[0] != '.' && s[0] != ',')
		return 0;
	size_t n = strspn(s + 1, "0123456789");
	size_t used = read_digits(s + 1, 3, &digits);
	for (size_t i = used; i < 3; i++)
		digits *= 10;
	p->milli = digits;
	return n > 0 ? n + 1 : 0;
}

static size_t read_element(const char *s, const char *layout, enum element what, struct parsed *p)
{
	int v = 0;
	size_t n = 0;

	if (what == E_NONE)
		return s[0] == layout[0];
	if (what == E_MONTH || what == E_MONTH_LONG) {
		n = read_word(s, months, 12, what == E_MONTH ? 3 : 0, &v);
		p->month = v + 1;
		return n;
	}
	if (what == E_WEEKDAY || what == E_WEEKDAY_LONG)
		return read_word(s, weekdays, 7, what == E_WEEKDAY ? 3 : 0, &v);
	if (what == E_ZONE)
		return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
	if (what == E_PM || what == E_PM_LOWER) {
		p->pm_set = true;
		p->pm = s[0] == 'P' || s[0] == 'p';
		return (p->pm || s[0] == 'A' || s[0] == 'a') && (s[1] == 'M' || s[1] == 'm') ? 2
											     : 0;
	}
	if (what == E_FRACTION)
		return read_fraction(s, p);
	if (what >= E_OFFSET_Z_COLON && what <= E_OFFSET_HOUR)
		return read_offset(s, what, &p->offset_s);
	return read_number(s, what, p);
}

static bool parsed_valid(const struct parsed *p)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = p->year % 4 == 0 && (p->year % 100 != 0 || p->year % 400 == 0);

	if (p->month < 1 || p->month > 12 || p->hour > 23 || p->minute > 59 || p->second > 59)
		return false;
	return p->day >= 1 && p->day <= days[p->month - 1] + (p->month == 2 && leap);
}

int ops_tmpl_time_parse(const char *layout, const char *text, struct ops_tmpl_time *ret)
{
	struct parsed p = {.year = 0, .month = 1, .day = 1};
	const char *s = text;
	size_t len = 0;

	for (const char *at = layout; *at != '\0'; at += len) {
		enum element what = next_element(at, &len);
		size_t n = *s != '\0' ? read_element(s, at, what, &p) : 0;
		if (n == 0 && !(what == E_FRACTION && at[1] == '9'))
			return -EINVAL;
		s += n;
		if (what == E_SECOND2 && next_element(at + len, &(size_t){0}) != E_FRACTION)
			s += read_fraction(s, &p);
	}
	if (p.pm_set)
		p.hour = p.hour % 12 + (p.pm ? 12 : 0);
	if (*s != '\0' || !parsed_valid(&p))
		return -EINVAL;
	int64_t days = days_from_civil(p.year, p.month, p.day);
	*ret = (struct ops_tmpl_time){.offset_s = p.offset_s, .zone = "UTC"};
	ret->ms = days * 86400000 +
		  ((int64_t)p.hour * 3600 + p.minute * 60 + p.second - p.offset_s) * 1000 + p.milli;
	if (p.offset_s != 0)
		ret->zone[0] = '\0';
	return 0;
}
