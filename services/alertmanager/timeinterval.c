/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing follows Alertmanager's time_interval grammar: "a:b" ranges of names or numbers, each part
 * with its own bounds. A day range with negative ends is resolved against the length of the month
 * in question, clamped so that -31:-1 is the whole of February too.
 */
#include "services/alertmanager/timeinterval.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/text.h"
#include "services/alertmanager/tz.h"

static const char *const weekdays[] = {
	"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};
static const char *const months[] = {"january", "february", "march", "april", "may", "june", "july",
	"august", "september", "october", "november", "december"};

enum part {
	PART_WEEKDAY,
	PART_DAY,
	PART_MONTH,
	PART_YEAR
};

static const struct {
	const char *key, *what;
	const char *const *names;
	size_t nnames;
	int first; /* number of names[0] */
	bool numbers;
	int min, max;
} parts[] = {
	[PART_WEEKDAY] = {"weekdays", "weekday", weekdays, 7, 0, false, 0, 6},
	[PART_DAY] = {"days_of_month", "day of the month", NULL, 0, 0, true, -31, 31},
	[PART_MONTH] = {"months", "month", months, 12, 1, true, 1, 12},
	[PART_YEAR] = {"years", "year", NULL, 0, 0, true, 0, 9999},
};

static int parse_one(const struct ops_conf_node *at, enum part p, const char *s, size_t len,
	int *ret, struct ops_error *err)
{
	int64_t v = 0;

	for (size_t i = 0; i < parts[p].nnames; i++) {
		if (strlen(parts[p].names[i]) == len &&
			strncasecmp(parts[p].names[i], s, len) == 0) {
			*ret = (int)i + parts[p].first;
			return 0;
		}
	}
	if (!parts[p].numbers || ops_parse_i64(s, len, &v) != 0)
		return ops_conf_error(at, err, "\"%.*s\" is not a valid %s",
			(int)OPS_MIN(len, (size_t)40), s, parts[p].what);
	if (v < parts[p].min || v > parts[p].max || (p == PART_DAY && v == 0))
		return ops_conf_error(at, err, "%lld is not a valid %s: out of range", (long long)v,
			parts[p].what);
	*ret = (int)v;
	return 0;
}

static int check_order(const struct ops_conf_node *at, enum part p, const struct alm_range *r,
	struct ops_error *err)
{
	int begin = r->begin, end = r->end;

	if (p == PART_DAY && begin < 0 && end > 0)
		return ops_conf_error(
			at, err, "end day must be negative when the start day is negative");
	if (p == PART_DAY && begin > 0 && end < 0)
		end += 32; /* in the longest month */
	if (end < begin)
		return ops_conf_error(
			at, err, "%s range \"%s\" ends before it starts", parts[p].what, at->text);
	return 0;
}

static int parse_range(
	const struct ops_conf_node *at, enum part p, struct alm_range *ret, struct ops_error *err)
{
	const char *s = NULL;
	int rc = ops_conf_string(at, parts[p].key, &s, err);
	if (rc != 0)
		return rc;
	const char *colon = strchr(s, ':');
	size_t first = colon != NULL ? (size_t)(colon - s) : strlen(s);
	rc = parse_one(at, p, s, first, &ret->begin, err);
	ret->end = ret->begin;
	if (rc == 0 && colon != NULL)
		rc = parse_one(at, p, colon + 1, strlen(colon + 1), &ret->end, err);
	return rc == 0 ? check_order(at, p, ret, err) : rc;
}

static int parse_ranges(struct ops_arena *a, const struct ops_conf_node *node, enum part p,
	struct alm_ranges *ret, struct ops_error *err)
{
	if (ops_conf_is_null(node))
		return 0;
	if (node->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(node, err, "%s must be a list", parts[p].key);
	ret->items = ops_arena_array(a, struct alm_range, node->n + 1);
	for (size_t i = 0; i < node->n; i++) {
		int rc = parse_range(node->items[i], p, &ret->items[i], err);
		if (rc != 0)
			return rc;
		ret->n++;
	}
	return 0;
}

static int parse_clock(const struct ops_conf_node *at, const char *what, const char *s, int *ret,
	struct ops_error *err)
{
	int64_t h = 0, m = 0;
	bool shape = s != NULL && strlen(s) == 5 && s[2] == ':' && ops_parse_i64(s, 2, &h) == 0 &&
		     ops_parse_i64(s + 3, 2, &m) == 0 && s[0] >= '0' && s[3] >= '0';
	if (!shape || h < 0 || h > 24 || m < 0 || m > 59 || (h == 24 && m != 0)) {
		ops_conf_error(
			at, err, "%s: \"%.20s\" is not a time of day", what, s != NULL ? s : "");
		ops_error_hint(err, "00:00 to 24:00");
		return -EINVAL;
	}
	*ret = (int)(h * 60 + m);
	return 0;
}

struct clock_range {
	const char *start, *end;
};

static const struct ops_conf_key clock_keys[] = {
	{.name = "start_time",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct clock_range, start),
		.flags = OPS_CONF_REQUIRED},
	{.name = "end_time",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct clock_range, end),
		.flags = OPS_CONF_REQUIRED},
	OPS_CONF_END,
};

static int parse_times(struct ops_arena *a, const struct ops_conf_node *node,
	struct alm_ranges *ret, struct ops_error *err)
{
	if (ops_conf_is_null(node))
		return 0;
	if (node->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(node, err, "times must be a list");
	ret->items = ops_arena_array(a, struct alm_range, node->n + 1);
	for (size_t i = 0; i < node->n; i++) {
		struct clock_range text = {0};
		struct alm_range *r = &ret->items[ret->n++];
		int rc = ops_conf_decode(a, node->items[i], clock_keys, &text, NULL, err);
		if (rc == 0)
			rc = parse_clock(node->items[i], "start_time", text.start, &r->begin, err);
		if (rc == 0)
			rc = parse_clock(node->items[i], "end_time", text.end, &r->end, err);
		if (rc == 0 && r->begin >= r->end)
			rc = ops_conf_error(
				node->items[i], err, "start_time must be before end_time");
		if (rc != 0)
			return rc;
	}
	return 0;
}

struct interval_nodes {
	const struct ops_conf_node *times, *weekdays, *days, *months, *years;
	const char *location;
};

static const struct ops_conf_key interval_keys[] = {
	{.name = "times",
		.kind = OPS_CONF_K_NODE,
		.offset = offsetof(struct interval_nodes, times)},
	{.name = "weekdays",
		.kind = OPS_CONF_K_NODE,
		.offset = offsetof(struct interval_nodes, weekdays)},
	{.name = "days_of_month",
		.kind = OPS_CONF_K_NODE,
		.offset = offsetof(struct interval_nodes, days)},
	{.name = "months",
		.kind = OPS_CONF_K_NODE,
		.offset = offsetof(struct interval_nodes, months)},
	{.name = "years",
		.kind = OPS_CONF_K_NODE,
		.offset = offsetof(struct interval_nodes, years)},
	{.name = "location",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct interval_nodes, location)},
	OPS_CONF_END,
};

static int parse_interval(struct ops_arena *a, const struct ops_conf_node *node,
	struct alm_interval *iv, struct ops_error *err)
{
	struct interval_nodes n = {0};
	int rc = ops_conf_decode(a, node, interval_keys, &n, NULL, err);

	if (rc == 0)
		rc = parse_times(a, n.times, &iv->times, err);
	if (rc == 0)
		rc = parse_ranges(a, n.weekdays, PART_WEEKDAY, &iv->weekdays, err);
	if (rc == 0)
		rc = parse_ranges(a, n.days, PART_DAY, &iv->days, err);
	if (rc == 0)
		rc = parse_ranges(a, n.months, PART_MONTH, &iv->months, err);
	if (rc == 0)
		rc = parse_ranges(a, n.years, PART_YEAR, &iv->years, err);
	if (rc == 0 && n.location != NULL && n.location[0] != '\0' &&
		alm_tz_load(n.location, &iv->tz) != 0) {
		ops_conf_error(ops_conf_get(node, "location"), err, "unknown time zone \"%.60s\"",
			n.location);
		ops_error_hint(
			err, "a name of the IANA database such as Europe/Berlin, UTC or Local");
		rc = -EINVAL;
	}
	return rc;
}

int alm_intervals_parse(struct ops_arena *a, const struct ops_conf_node *node,
	struct alm_intervals *ret, struct ops_error *err)
{
	if (ops_conf_is_null(node))
		return 0;
	if (node->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(node, err, "time_intervals must be a list");
	ret->items = ops_arena_array(a, struct alm_interval, node->n + 1);
	for (size_t i = 0; i < node->n; i++) {
		ret->n++;
		int rc = parse_interval(a, node->items[i], &ret->items[i], err);
		if (rc != 0)
			return rc;
	}
	return 0;
}

void alm_intervals_done(struct alm_intervals *iv)
{
	for (size_t i = 0; i < iv->n; i++) {
		alm_tz_free(iv->items[i].tz);
		iv->items[i].tz = NULL;
	}
}

static bool inside(const struct alm_ranges *rs, int v)
{
	bool hit = rs->n == 0;
	for (size_t i = 0; i < rs->n && !hit; i++)
		hit = v >= rs->items[i].begin && v <= rs->items[i].end;
	return hit;
}

static bool inside_times(const struct alm_ranges *rs, int minute)
{
	bool hit = rs->n == 0;
	for (size_t i = 0; i < rs->n && !hit; i++)
		hit = minute >= rs->items[i].begin && minute < rs->items[i].end;
	return hit;
}

static bool inside_days(const struct alm_ranges *rs, int day, int month_length)
{
	bool hit = rs->n == 0;
	for (size_t i = 0; i < rs->n && !hit; i++) {
		int begin = rs->items[i].begin, end = rs->items[i].end;
		begin = begin < 0 ? OPS_MAX(month_length + begin + 1, 1) : begin;
		end = end < 0 ? month_length + end + 1 : OPS_MIN(end, month_length);
		hit = day >= begin && day <= end;
	}
	return hit;
}

/* Gregorian date of a day number since 1970 (H. Hinnant's algorithm, public domain). */
static void civil(int64_t days, int *y, int *m, int *d)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	*d = (int)(doy - (153 * mp + 2) / 5 + 1);
	*m = (int)(mp < 10 ? mp + 3 : mp - 9);
	*y = (int)(yoe + era * 400) + (*m <= 2);
}

static bool interval_contains(const struct alm_interval *iv, int64_t ms)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int64_t s = ms / 1000 + (iv->tz != NULL ? alm_tz_offset(iv->tz, ms, NULL) : 0);
	int64_t days = s / 86400 - (s % 86400 < 0);
	int y, m, d;
	civil(days, &y, &m, &d);
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
	int length = lengths[m - 1] + (m == 2 && leap);

	return inside_times(&iv->times, (int)((s - days * 86400) / 60)) &&
	       inside(&iv->weekdays, (int)(((days + 4) % 7 + 7) % 7)) &&
	       inside_days(&iv->days, d, length) && inside(&iv->months, m) && inside(&iv->years, y);
}

bool alm_intervals_contain(const struct alm_intervals *iv, int64_t ms)
{
	for (size_t i = 0; i < iv->n; i++) {
		if (interval_contains(&iv->items[i], ms))
			return true;
	}
	return false;
}
