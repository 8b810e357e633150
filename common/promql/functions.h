/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The functions of PromQL with their signatures: one X-macro list feeds the enum (for the
 * evaluator's own table), the names and the types. Constant data, any thread.
 */
#include "common/base/def.h"

enum ops_promql_value_type {
	OPS_PROMQL_NONE,
	OPS_PROMQL_SCALAR,
	OPS_PROMQL_STRING_VALUE,
	OPS_PROMQL_INSTANT, /* instant vector, "vector" in the HTTP API */
	OPS_PROMQL_RANGE,   /* range vector, "matrix" in the HTTP API */
};

#define OPS_PROMQL_MAX_ARG_TYPES 5

/*
 * X(ID, name, argument types, variadic, return type, experimental)
 * types: i instant vector, r range vector, s scalar, t string.
 * variadic: 0 exactly the listed ones; n > 0 the last one may be left out and given up to n times
 * (as in upstream: at least len-1, at most len-1+n); -1 the last one any number of times.
 */
#define OPS_PROMQL_FUNCTIONS(X)                                                                    \
	X(ABS, abs, "i", 0, 'i', false)                                                            \
	X(ABSENT, absent, "i", 0, 'i', false)                                                      \
	X(ABSENT_OVER_TIME, absent_over_time, "r", 0, 'i', false)                                  \
	X(ACOS, acos, "i", 0, 'i', false)                                                          \
	X(ACOSH, acosh, "i", 0, 'i', false)                                                        \
	X(ASIN, asin, "i", 0, 'i', false)                                                          \
	X(ASINH, asinh, "i", 0, 'i', false)                                                        \
	X(ATAN, atan, "i", 0, 'i', false)                                                          \
	X(ATANH, atanh, "i", 0, 'i', false)                                                        \
	X(AVG_OVER_TIME, avg_over_time, "r", 0, 'i', false)                                        \
	X(CEIL, ceil, "i", 0, 'i', false)                                                          \
	X(CHANGES, changes, "r", 0, 'i', false)                                                    \
	X(CLAMP, clamp, "iss", 0, 'i', false)                                                      \
	X(CLAMP_MAX, clamp_max, "is", 0, 'i', false)                                               \
	X(CLAMP_MIN, clamp_min, "is", 0, 'i', false)                                               \
	X(COS, cos, "i", 0, 'i', false)                                                            \
	X(COSH, cosh, "i", 0, 'i', false)                                                          \
	X(COUNT_OVER_TIME, count_over_time, "r", 0, 'i', false)                                    \
	X(DAY_OF_MONTH, day_of_month, "i", 1, 'i', false)                                          \
	X(DAY_OF_WEEK, day_of_week, "i", 1, 'i', false)                                            \
	X(DAY_OF_YEAR, day_of_year, "i", 1, 'i', false)                                            \
	X(DAYS_IN_MONTH, days_in_month, "i", 1, 'i', false)                                        \
	X(DEG, deg, "i", 0, 'i', false)                                                            \
	X(DELTA, delta, "r", 0, 'i', false)                                                        \
	X(DERIV, deriv, "r", 0, 'i', false)                                                        \
	X(DOUBLE_EXPONENTIAL_SMOOTHING, double_exponential_smoothing, "rss", 0, 'i', true)         \
	X(END, end, "", 0, 's', true)                                                              \
	X(EXP, exp, "i", 0, 'i', false)                                                            \
	X(FIRST_OVER_TIME, first_over_time, "r", 0, 'i', false)                                    \
	X(FLOOR, floor, "i", 0, 'i', false)                                                        \
	X(HISTOGRAM_AVG, histogram_avg, "i", 0, 'i', false)                                        \
	X(HISTOGRAM_COUNT, histogram_count, "i", 0, 'i', false)                                    \
	X(HISTOGRAM_FRACTION, histogram_fraction, "ssi", 0, 'i', false)                            \
	X(HISTOGRAM_QUANTILE, histogram_quantile, "si", 0, 'i', false)                             \
	X(HISTOGRAM_QUANTILES, histogram_quantiles, "itss", 9, 'i', true)                          \
	X(HISTOGRAM_STDDEV, histogram_stddev, "i", 0, 'i', false)                                  \
	X(HISTOGRAM_STDVAR, histogram_stdvar, "i", 0, 'i', false)                                  \
	X(HISTOGRAM_SUM, histogram_sum, "i", 0, 'i', false)                                        \
	X(HOUR, hour, "i", 1, 'i', false)                                                          \
	X(IDELTA, idelta, "r", 0, 'i', false)                                                      \
	X(INCREASE, increase, "r", 0, 'i', false)                                                  \
	X(INFO, info, "ii", 1, 'i', true)                                                          \
	X(IRATE, irate, "r", 0, 'i', false)                                                        \
	X(LABEL_JOIN, label_join, "ittt", -1, 'i', false)                                          \
	X(LABEL_REPLACE, label_replace, "itttt", 0, 'i', false)                                    \
	X(LAST_OVER_TIME, last_over_time, "r", 0, 'i', false)                                      \
	X(LN, ln, "i", 0, 'i', false)                                                              \
	X(LOG10, log10, "i", 0, 'i', false)                                                        \
	X(LOG2, log2, "i", 0, 'i', false)                                                          \
	X(MAD_OVER_TIME, mad_over_time, "r", 0, 'i', true)                                         \
	X(MAX_OF, max_of, "ss", 0, 's', true)                                                      \
	X(MAX_OVER_TIME, max_over_time, "r", 0, 'i', false)                                        \
	X(MIN_OF, min_of, "ss", 0, 's', true)                                                      \
	X(MIN_OVER_TIME, min_over_time, "r", 0, 'i', false)                                        \
	X(MINUTE, minute, "i", 1, 'i', false)                                                      \
	X(MONTH, month, "i", 1, 'i', false)                                                        \
	X(PI, pi, "", 0, 's', false)                                                               \
	X(PREDICT_LINEAR, predict_linear, "rs", 0, 'i', false)                                     \
	X(PRESENT_OVER_TIME, present_over_time, "r", 0, 'i', false)                                \
	X(QUANTILE_OVER_TIME, quantile_over_time, "sr", 0, 'i', false)                             \
	X(RAD, rad, "i", 0, 'i', false)                                                            \
	X(RANGE, range, "", 0, 's', true)                                                          \
	X(RATE, rate, "r", 0, 'i', false)                                                          \
	X(RESETS, resets, "r", 0, 'i', false)                                                      \
	X(ROUND, round, "is", 1, 'i', false)                                                       \
	X(SCALAR, scalar, "i", 0, 's', false)                                                      \
	X(SGN, sgn, "i", 0, 'i', false)                                                            \
	X(SIN, sin, "i", 0, 'i', false)                                                            \
	X(SINH, sinh, "i", 0, 'i', false)                                                          \
	X(SORT, sort, "i", 0, 'i', false)                                                          \
	X(SORT_BY_LABEL, sort_by_label, "it", -1, 'i', true)                                       \
	X(SORT_BY_LABEL_DESC, sort_by_label_desc, "it", -1, 'i', true)                             \
	X(SORT_DESC, sort_desc, "i", 0, 'i', false)                                                \
	X(SQRT, sqrt, "i", 0, 'i', false)                                                          \
	X(START, start, "", 0, 's', true)                                                          \
	X(START_TIMESTAMP, start_timestamp, "i", 0, 'i', true)                                     \
	X(STDDEV_OVER_TIME, stddev_over_time, "r", 0, 'i', false)                                  \
	X(STDVAR_OVER_TIME, stdvar_over_time, "r", 0, 'i', false)                                  \
	X(STEP, step, "", 0, 's', true)                                                            \
	X(SUM_OVER_TIME, sum_over_time, "r", 0, 'i', false)                                        \
	X(TAN, tan, "i", 0, 'i', false)                                                            \
	X(TANH, tanh, "i", 0, 'i', false)                                                          \
	X(TIME, time, "", 0, 's', false)                                                           \
	X(TIMESTAMP, timestamp, "i", 0, 'i', false)                                                \
	X(TS_OF_FIRST_OVER_TIME, ts_of_first_over_time, "r", 0, 'i', true)                         \
	X(TS_OF_LAST_OVER_TIME, ts_of_last_over_time, "r", 0, 'i', true)                           \
	X(TS_OF_MAX_OVER_TIME, ts_of_max_over_time, "r", 0, 'i', true)                             \
	X(TS_OF_MIN_OVER_TIME, ts_of_min_over_time, "r", 0, 'i', true)                             \
	X(VECTOR, vector, "s", 0, 'i', false)                                                      \
	X(YEAR, year, "i", 1, 'i', false)

enum ops_promql_function_id {
#define OPS_PROMQL_FN_ENUM(id, name, args, variadic, returns, experimental) OPS_PROMQL_FN_##id,
	OPS_PROMQL_FUNCTIONS(OPS_PROMQL_FN_ENUM)
#undef OPS_PROMQL_FN_ENUM
	OPS_PROMQL_FN_COUNT
};

struct ops_promql_function {
	enum ops_promql_function_id id;
	const char *name;
	size_t nargs; /* length of args */
	enum ops_promql_value_type args[OPS_PROMQL_MAX_ARG_TYPES];
	int variadic;
	enum ops_promql_value_type returns;
	bool experimental;
};

/* The function of that name (case matters), or NULL. */
const struct ops_promql_function *ops_promql_function_find(const char *name, size_t len);
/* All OPS_PROMQL_FN_COUNT of them, indexed by id. */
const struct ops_promql_function *ops_promql_function_at(enum ops_promql_function_id id);
/* "scalar", "string", "vector", "matrix", "none": the HTTP API's words. */
const char *ops_promql_value_type_name(enum ops_promql_value_type type);
/* The documentation's words: "instant vector", "range vector", else as above. */
const char *ops_promql_value_type_text(enum ops_promql_value_type type);
