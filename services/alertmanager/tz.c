/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the 64-bit part of a TZif file (RFC 9636 section 3) from /usr/share/zoneinfo and, for
 * instants behind its last transition, the POSIX TZ rule of its footer (section 3.3.1: M and J
 * forms are what the database uses). setenv("TZ") + localtime_r would change the zone of the whole
 * process and is not bounded; this is a table look-up.
 */
#include "services/alertmanager/tz.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

struct rule { /* one change of the footer: Mm.w.d/time */
	int month, week, day;
	int32_t seconds;
};

struct zone_type {
	int32_t offset_s;
	char abbreviation[8];
};

struct alm_tz {
	size_t n;
	int64_t *at;   /* seconds, ascending */
	uint8_t *kind; /* index into types, from at[i] on */
	struct zone_type types[256];
	size_t ntypes;
	bool has_rule, has_dst;
	struct zone_type standard, daylight;
	struct rule begins, ends; /* of daylight saving time */
};

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

/* ---- footer ---- */

static const char *read_int(const char *s, int *ret)
{
	int v = 0, sign = 1;
	if (*s == '-' || *s == '+')
		sign = *s++ == '-' ? -1 : 1;
	for (int i = 0; *s >= '0' && *s <= '9' && i < 4; s++, i++)
		v = v * 10 + (*s - '0');
	*ret = sign * v;
	return s;
}

static const char *read_hms(const char *s, int32_t *ret)
{
	int h = 0, m = 0, sec = 0;
	bool minus = *s == '-';
	s = read_int(s, &h);
	if (*s == ':')
		s = read_int(s + 1, &m);
	if (*s == ':')
		s = read_int(s + 1, &sec);
	int abs_h = h < 0 ? -h : h;
	*ret = (minus ? -1 : 1) * (abs_h * 3600 + m * 60 + sec);
	return s;
}

static const char *read_abbreviation(const char *s, struct zone_type *z)
{
	bool quoted = *s == '<';
	size_t n = quoted ? strcspn(++s, ">") : strcspn(s, "0123456789+-,");
	size_t keep = OPS_MIN(n, sizeof z->abbreviation - 1);
	memcpy(z->abbreviation, s, keep);
	z->abbreviation[keep] = '\0';
	return s + n + (quoted && s[n] == '>');
}

static const char *read_rule(const char *s, struct rule *r)
{
	*r = (struct rule){.seconds = 7200};
	if (s[0] != ',' || s[1] != 'M')
		return NULL;
	s = read_int(s + 2, &r->month);
	if (*s == '.')
		s = read_int(s + 1, &r->week);
	if (*s == '.')
		s = read_int(s + 1, &r->day);
	if (*s == '/')
		s = read_hms(s + 1, &r->seconds);
	bool sane = r->month >= 1 && r->month <= 12 && r->week >= 1 && r->week <= 5 &&
		    r->day >= 0 && r->day <= 6;
	return sane ? s : NULL;
}

/* CET-1CEST,M3.5.0,M10.5.0/3 */
static void parse_footer(struct alm_tz *tz, const char *s)
{
	if (*s == '\0')
		return;
	s = read_abbreviation(s, &tz->standard);
	s = read_hms(s, &tz->standard.offset_s);
	tz->standard.offset_s = -tz->standard.offset_s;
	tz->has_rule = true;
	if (*s == '\0')
		return;
	s = read_abbreviation(s, &tz->daylight);
	tz->daylight.offset_s = tz->standard.offset_s + 3600;
	if (*s != ',' && *s != '\0') {
		s = read_hms(s, &tz->daylight.offset_s);
		tz->daylight.offset_s = -tz->daylight.offset_s;
	}
	s = read_rule(s, &tz->begins);
	tz->has_dst = s != NULL && read_rule(s, &tz->ends) != NULL;
}

static int64_t days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int64_t year_of(int64_t seconds)
{
	int64_t year = 1970 + seconds / 31556952; /* right or one off */
	while (days_from_civil(year, 1, 1) * 86400 > seconds)
		year--;
	while (days_from_civil(year + 1, 1, 1) * 86400 <= seconds)
		year++;
	return year;
}

/* Local seconds of the change in that year. */
static int64_t rule_at(const struct rule *r, int64_t year)
{
	int64_t first = days_from_civil(year, r->month, 1);
	int64_t weekday = ((first + 4) % 7 + 7) % 7;
	int64_t day = first + (r->day - weekday + 7) % 7 + (int64_t)(r->week - 1) * 7;
	int64_t next = r->month == 12 ? days_from_civil(year + 1, 1, 1)
				      : days_from_civil(year, r->month + 1, 1);
	while (day >= next)
		day -= 7;
	return day * 86400 + r->seconds;
}

static const struct zone_type *by_rule(const struct alm_tz *tz, int64_t seconds)
{
	if (!tz->has_dst)
		return &tz->standard;
	int64_t year = year_of(seconds + tz->standard.offset_s);
	int64_t begins = rule_at(&tz->begins, year) - tz->standard.offset_s;
	int64_t ends = rule_at(&tz->ends, year) - tz->daylight.offset_s;
	bool daylight = begins < ends ? seconds >= begins && seconds < ends
				      : seconds < ends || seconds >= begins;
	return daylight ? &tz->daylight : &tz->standard;
}

/* ---- file ---- */

struct header {
	size_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

static int read_header(const unsigned char *p, size_t len, struct header *h)
{
	if (len < 44 || memcmp(p, "TZif", 4) != 0)
		return -EINVAL;
	*h = (struct header){
		be32(p + 20), be32(p + 24), be32(p + 28), be32(p + 32), be32(p + 36), be32(p + 40)};
	bool sane = h->isutcnt <= 256 && h->isstdcnt <= 256 && h->leapcnt <= 1000 &&
		    h->timecnt <= 10000 && h->typecnt >= 1 && h->typecnt <= 256 &&
		    h->charcnt <= 1000;
	return sane ? 0 : -EINVAL;
}

static size_t block_size(const struct header *h, size_t time_size)
{
	return h->timecnt * (time_size + 1) + h->typecnt * 6 + h->charcnt +
	       h->leapcnt * (time_size + 4) + h->isstdcnt + h->isutcnt;
}

static int read_types(struct alm_tz *tz, const unsigned char *p, const struct header *h)
{
	const unsigned char *chars = p + h->typecnt * 6;
	tz->ntypes = h->typecnt;
	for (size_t i = 0; i < h->typecnt; i++) {
		size_t at = p[i * 6 + 5];
		if (at >= h->charcnt)
			return -EINVAL;
		size_t n = strnlen((const char *)chars + at, h->charcnt - at);
		n = OPS_MIN(n, sizeof tz->types[i].abbreviation - 1);
		tz->types[i].offset_s = (int32_t)be32(p + i * 6);
		memcpy(tz->types[i].abbreviation, chars + at, n);
	}
	return 0;
}

static int parse_file(struct alm_tz *tz, const unsigned char *p, size_t len)
{
	struct header h;
	int rc = read_header(p, len, &h);
	if (rc != 0 || p[4] < '2')
		return -EINVAL;
	size_t skip = 44 + block_size(&h, 4);
	if (skip > len || read_header(p + skip, len - skip, &h) != 0)
		return -EINVAL;
	p += skip + 44;
	len -= skip + 44;
	size_t size = block_size(&h, 8);
	if (size > len)
		return -EINVAL;
	tz->n = h.timecnt;
	tz->at = ops_xcalloc(h.timecnt + 1, sizeof tz->at[0]);
	tz->kind = ops_xcalloc(h.timecnt + 1, 1);
	for (size_t i = 0; i < h.timecnt; i++) {
		tz->at[i] = be64(p + i * 8);
		tz->kind[i] = p[h.timecnt * 8 + i];
		if (tz->kind[i] >= h.typecnt)
			return -EINVAL;
	}
	rc = read_types(tz, p + h.timecnt * 9, &h);
	char footer[128] = "";
	if (rc == 0 && len > size + 1 && p[size] == '\n') {
		size_t n = strcspn((const char *)p + size + 1, "\n");
		memcpy(footer, p + size + 1, OPS_MIN(n, sizeof footer - 1));
		parse_footer(tz, footer);
	}
	return rc;
}

static bool name_ok(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/");
	return name[0] != '\0' && name[0] != '/' && name[n] == '\0' && n < 64;
}

int alm_tz_load(const char *name, struct alm_tz **ret)
{
	struct ops_strbuf data OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	char path[PATH_MAX];

	struct alm_tz *tz = ops_xcalloc(1, sizeof *tz);
	if (ops_str_eq(name, "UTC")) {
		memcpy(tz->standard.abbreviation, "UTC", 4);
		tz->has_rule = true;
		*ret = tz;
		return 0;
	}
	bool local = ops_str_eq(name, "Local");
	int rc = local || name_ok(name) ? 0 : -EINVAL;
	(void)snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
	if (rc == 0)
		rc = ops_file_read(local ? "/etc/localtime" : path, 1 << 20, &data);
	if (rc == 0)
		rc = parse_file(tz, (const unsigned char *)ops_strbuf_text(&data), data.len);
	if (rc != 0) {
		alm_tz_free(tz);
		return rc;
	}
	*ret = tz;
	return 0;
}

void alm_tz_free(struct alm_tz *tz)
{
	if (tz == NULL)
		return;
	free(tz->at);
	free(tz->kind);
	free(tz);
}

int32_t alm_tz_offset(const struct alm_tz *tz, int64_t ms, const char **ret_abbreviation)
{
	int64_t seconds = ms / 1000 - (ms % 1000 < 0);
	const struct zone_type *z = tz->ntypes > 0 ? &tz->types[0] : &tz->standard;
	size_t lo = 0, hi = tz->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if (tz->at[mid] <= seconds)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == tz->n && tz->has_rule)
		z = by_rule(tz, seconds);
	else if (lo > 0)
		z = &tz->types[tz->kind[lo - 1]];
	if (ret_abbreviation != NULL)
		*ret_abbreviation = z->abbreviation;
	return z->offset_s;
}
