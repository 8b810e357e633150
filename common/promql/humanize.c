/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four significant digits and an SI prefix, as Prometheus' template functions define them. Go's and
 * C's %.4g agree but for infinities and NaN, which Go writes +Inf, -Inf, NaN.
 */
#include "common/promql/humanize.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

char *ops_format_g(double v, int digits, char *buf)
{
	if (isnan(v)) {
		snprintf(buf, OPS_HUMANIZE_MAX, "NaN");
	} else if (isinf(v)) {
		snprintf(buf, OPS_HUMANIZE_MAX, v > 0 ? "+Inf" : "-Inf");
	} else {
		snprintf(buf, OPS_HUMANIZE_MAX, "%.*g", digits, v);
	}
	return buf;
}

static char *with_unit(double v, const char *prefix, const char *unit, char *buf)
{
	char number[OPS_HUMANIZE_MAX];
	snprintf(buf, OPS_HUMANIZE_MAX, "%.32s%s%s", ops_format_g(v, 4, number), prefix, unit);
	return buf;
}

/* Divides by step until v is below it. */
static char *large(double v, double step, const char *const prefixes[8], char *buf)
{
	const char *prefix = "";
	for (size_t i = 0; i < 8 && fabs(v) >= step; i++) {
		prefix = prefixes[i];
		v /= step;
	}
	return with_unit(v, prefix, "", buf);
}

/* Multiplies by 1000 until v is at least 1. */
static char *small(double v, const char *unit, char *buf)
{
	static const char *const prefixes[8] = {"m", "u", "n", "p", "f", "a", "z", "y"};
	const char *prefix = "";
	for (size_t i = 0; i < 8 && fabs(v) < 1; i++) {
		prefix = prefixes[i];
		v *= 1000;
	}
	return with_unit(v, prefix, unit, buf);
}

char *ops_humanize(double v, char *buf)
{
	static const char *const prefixes[8] = {"k", "M", "G", "T", "P", "E", "Z", "Y"};
	if (v == 0 || !isfinite(v)) {
		return ops_format_g(v, 4, buf);
	}
	return fabs(v) >= 1 ? large(v, 1000, prefixes, buf) : small(v, "", buf);
}

char *ops_humanize_1024(double v, char *buf)
{
	static const char *const prefixes[8] = {"ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"};
	if (fabs(v) <= 1 || !isfinite(v)) {
		return ops_format_g(v, 4, buf);
	}
	return large(v, 1024, prefixes, buf);
}

char *ops_humanize_percentage(double v, char *buf)
{
	return with_unit(v * 100, "%", "", buf);
}

char *ops_humanize_duration(double v, char *buf)
{
	if (!isfinite(v)) {
		return ops_format_g(v, 4, buf);
	}
	if (v == 0) {
		return with_unit(v, "", "s", buf);
	}
	if (fabs(v) < 1) {
		return small(v, "s", buf);
	}
	const char *sign = v < 0 ? "-" : "";
	double size = fabs(v);
	/* What does not fit becomes the smallest number, as with the conversion of the original. */
	long long whole = size < 9223372036854775808.0 ? (long long)size : LLONG_MIN;
	long long days = whole / 86400, hours = whole / 3600 % 24;
	long long minutes = whole / 60 % 60, seconds = whole % 60;
	if (days != 0) {
		snprintf(buf, OPS_HUMANIZE_MAX, "%s%lldd %lldh %lldm %llds", sign, days, hours,
			minutes, seconds);
	} else if (hours != 0) {
		snprintf(buf, OPS_HUMANIZE_MAX, "%s%lldh %lldm %llds", sign, hours, minutes,
			seconds);
	} else if (minutes != 0) {
		snprintf(buf, OPS_HUMANIZE_MAX, "%s%lldm %llds", sign, minutes, seconds);
	} else {
		return with_unit(v, "", "s", buf);
	}
	return buf;
}

/* "1.5" of 1500 thousandths: a number of units with as many decimals as it needs. */
static size_t add_decimal(char *buf, size_t size, uint64_t v, uint64_t unit)
{
	int digits = 0;
	uint64_t fraction = v % unit;
	for (uint64_t u = unit; u > 1; u /= 10) {
		digits++;
	}
	for (; fraction != 0 && fraction % 10 == 0; fraction /= 10) {
		digits--;
	}
	int n = fraction == 0
			? snprintf(buf, size, "%" PRIu64, v / unit)
			: snprintf(buf, size, "%" PRIu64 ".%0*" PRIu64, v / unit, digits, fraction);
	return (size_t)OPS_MAX(n, 0);
}

int ops_duration_text(double seconds, char *buf)
{
	double ns = seconds * 1e9;
	if (!(fabs(ns) < 9.2e18)) {
		return -ERANGE;
	}
	uint64_t rest = (uint64_t)fabs(ns);
	size_t n = 0, size = OPS_HUMANIZE_MAX;
	buf[0] = '\0';
	if (ns < 0 && rest > 0) {
		buf[n++] = '-';
	}
	if (rest > 0 && rest < 1000000000) {
		bool nano = rest < 1000, micro = rest < 1000000;
		n += add_decimal(buf + n, size - n, rest, nano ? 1 : micro ? 1000 : 1000000);
		snprintf(buf + n, size - n, "%s", nano ? "ns" : micro ? "\xc2\xb5s" : "ms");
		return 0;
	}
	uint64_t hours = rest / 3600000000000ULL, minutes = rest / 60000000000ULL % 60;
	if (hours > 0) {
		n += (size_t)snprintf(buf + n, size - n, "%" PRIu64 "h", hours);
	}
	if (hours > 0 || minutes > 0) {
		n += (size_t)snprintf(buf + n, size - n, "%" PRIu64 "m", minutes);
	}
	n += add_decimal(buf + n, size - n, rest % 60000000000ULL, 1000000000);
	snprintf(buf + n, size - n, "s");
	return 0;
}

/* ".128", ".5" or "": milliseconds without trailing zeros. */
static void fraction_text(int ms, char text[8])
{
	int width = 3;
	if (ms == 0) {
		text[0] = '\0';
		return;
	}
	for (; ms % 10 == 0; ms /= 10) {
		width--;
	}
	snprintf(text, 8, ".%0*d", width, ms % 1000);
}

int ops_humanize_timestamp(double v, char *buf)
{
	char fraction[8];
	if (!isfinite(v)) {
		(void)ops_format_g(v, 4, buf);
		return 0;
	}
	double ns = v * 1e9;
	if (!(ns > -9223372036854775808.0 && ns < 9223372036854775808.0)) {
		return -ERANGE;
	}
	int64_t ms = (int64_t)ns / 1000000;
	time_t seconds = ms / 1000 - (ms % 1000 < 0 ? 1 : 0);
	struct tm tm;
	if (gmtime_r(&seconds, &tm) == NULL) {
		return -ERANGE;
	}
	fraction_text((int)(ms - seconds * 1000), fraction);
	snprintf(buf, OPS_HUMANIZE_MAX, "%04d-%02d-%02d %02d:%02d:%02d%s +0000 UTC",
		tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		fraction);
	return 0;
}
