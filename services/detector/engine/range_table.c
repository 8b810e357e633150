/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions take a range vector, and what each needs: one row a function. */
#include "services/detector/engine/range_functions.h"

#define ROW(id, function) [OPS_PROMQL_FN_##id] = {.fn = (function)}

static const struct det_range_function table[OPS_PROMQL_FN_COUNT] = {
	[OPS_PROMQL_FN_RATE] = {det_fn_rate, false, true, true, true, true},
	[OPS_PROMQL_FN_INCREASE] = {det_fn_increase, false, true, true, true, true},
	[OPS_PROMQL_FN_DELTA] = {det_fn_delta, false, false, true, true, false},
	[OPS_PROMQL_FN_RESETS] = {det_fn_resets, false, true, true, false, true},
	[OPS_PROMQL_FN_CHANGES] = {det_fn_changes, false, false, true, false, false},
	[OPS_PROMQL_FN_FIRST_OVER_TIME] = {det_fn_first, true, false, false, false, false},
	[OPS_PROMQL_FN_LAST_OVER_TIME] = {det_fn_last, true, false, false, false, false},
	[OPS_PROMQL_FN_IRATE] = {.fn = det_fn_irate, .uses_starts = true},
	ROW(IDELTA, det_fn_idelta),
	ROW(AVG_OVER_TIME, det_fn_avg),
	ROW(SUM_OVER_TIME, det_fn_sum),
	ROW(COUNT_OVER_TIME, det_fn_count),
	ROW(MIN_OVER_TIME, det_fn_min),
	ROW(MAX_OVER_TIME, det_fn_max),
	ROW(PRESENT_OVER_TIME, det_fn_present),
	ROW(ABSENT_OVER_TIME, det_fn_present),
	ROW(STDDEV_OVER_TIME, det_fn_stddev),
	ROW(STDVAR_OVER_TIME, det_fn_stdvar),
	ROW(MAD_OVER_TIME, det_fn_mad),
	ROW(QUANTILE_OVER_TIME, det_fn_quantile),
	ROW(TS_OF_FIRST_OVER_TIME, det_fn_ts_first),
	ROW(TS_OF_LAST_OVER_TIME, det_fn_ts_last),
	ROW(TS_OF_MIN_OVER_TIME, det_fn_ts_min),
	ROW(TS_OF_MAX_OVER_TIME, det_fn_ts_max),
	ROW(DERIV, det_fn_deriv),
	ROW(PREDICT_LINEAR, det_fn_predict_linear),
	ROW(DOUBLE_EXPONENTIAL_SMOOTHING, det_fn_double_exponential_smoothing),
};

const struct det_range_function *det_range_function(enum ops_promql_function_id id)
{
	return table[id].fn != NULL ? &table[id] : NULL;
}
