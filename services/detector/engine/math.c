/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one number, and of a date (UTC, proleptic Gregorian; days after Howard Hinnant's
 * algorithm). */
#include "services/detector/engine/eval.h"

#include <math.h>

static double fn_deg(double v)
{
	return v * 180 / M_PI;
}

static double fn_rad(double v)
{
	return v * M_PI / 180;
}

static double fn_sgn(double v)
{
	return v < 0 ? -1 : v > 0 ? 1 : v;
}

static double (*const math_functions[OPS_PROMQL_FN_COUNT])(double) = {
	[OPS_PROMQL_FN_ABS] = fabs,
	[OPS_PROMQL_FN_ACOS] = acos,
	[OPS_PROMQL_FN_ACOSH] = acosh,
	[OPS_PROMQL_FN_ASIN] = asin,
	[OPS_PROMQL_FN_ASINH] = asinh,
	[OPS_PROMQL_FN_ATAN] = atan,
	[OPS_PROMQL_FN_ATANH] = atanh,
	[OPS_PROMQL_FN_CEIL] = ceil,
	[OPS_PROMQL_FN_COS] = cos,
	[OPS_PROMQL_FN_COSH] = cosh,
	[OPS_PROMQL_FN_DEG] = fn_deg,
	[OPS_PROMQL_FN_EXP] = exp,
	[OPS_PROMQL_FN_FLOOR] = floor,
	[OPS_PROMQL_FN_LN] = log,
	[OPS_PROMQL_FN_LOG10] = log10,
	[OPS_PROMQL_FN_LOG2] = log2,
	[OPS_PROMQL_FN_RAD] = fn_rad,
	[OPS_PROMQL_FN_SGN] = fn_sgn,
	[OPS_PROMQL_FN_SIN] = sin,
	[OPS_PROMQL_FN_SINH] = sinh,
	[OPS_PROMQL_FN_SQRT] = sqrt,
	[OPS_PROMQL_FN_TAN] = tan,
	[OPS_PROMQL_FN_TANH] = tanh,
};

double (*det_math_function(enum ops_promql_function_id id))(double)
{
	return math_functions[id];
}

struct date {
	int64_t year;
	unsigned month, day; /* from 1 */
};

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static struct date date_of(int64_t unix_seconds)
{
	int64_t days = floor_div(unix_seconds, 86400) + 719468; /* from 0000-03-01 */
	int64_t era = floor_div(days, 146097);
	int64_t doe = days - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	struct date d = {.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
		.month = (unsigned)(mp < 10 ? mp + 3 : mp - 9)};
	d.year = yoe + era * 400 + (d.month <= 2);
	return d;
}

static bool leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static double fn_year(int64_t t)
{
	return (double)date_of(t).year;
}

static double fn_month(int64_t t)
{
	return date_of(t).month;
}

static double fn_day_of_month(int64_t t)
{
	return date_of(t).day;
}

static double fn_day_of_week(int64_t t)
{
	int64_t days = floor_div(t, 86400) + 4; /* 1970-01-01 was a Thursday */
	return (double)(days - floor_div(days, 7) * 7);
}

static double fn_days_in_month(int64_t t)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct date d = date_of(t);
	return days[d.month - 1] + (d.month == 2 && leap(d.year) ? 1 : 0);
}

static double fn_day_of_year(int64_t t)
{
	static const unsigned short before[] = {
		0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	struct date d = date_of(t);
	return before[d.month - 1] + d.day + (d.month > 2 && leap(d.year) ? 1 : 0);
}

static double fn_hour(int64_t t)
{
	int64_t hours = floor_div(t, 3600);
	return (double)(hours - floor_div(hours, 24) * 24);
}

static double fn_minute(int64_t t)
{
	int64_t minutes = floor_div(t, 60);
	return (double)(minutes - floor_div(minutes, 60) * 60);
}

static double (*const date_functions[OPS_PROMQL_FN_COUNT])(int64_t) = {
	[OPS_PROMQL_FN_YEAR] = fn_year,
	[OPS_PROMQL_FN_MONTH] = fn_month,
	[OPS_PROMQL_FN_DAY_OF_MONTH] = fn_day_of_month,
	[OPS_PROMQL_FN_DAY_OF_WEEK] = fn_day_of_week,
	[OPS_PROMQL_FN_DAY_OF_YEAR] = fn_day_of_year,
	[OPS_PROMQL_FN_DAYS_IN_MONTH] = fn_days_in_month,
	[OPS_PROMQL_FN_HOUR] = fn_hour,
	[OPS_PROMQL_FN_MINUTE] = fn_minute,
};

double (*det_date_function(enum ops_promql_function_id id))(int64_t)
{
	return date_functions[id];
}
