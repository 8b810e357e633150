/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The functions of one window, by their names in the language; range_table.c lists them. */
#include "services/detector/engine/eval.h"

det_range_fn det_fn_rate, det_fn_increase, det_fn_delta, det_fn_irate, det_fn_idelta, det_fn_resets,
	det_fn_changes;
det_range_fn det_fn_avg, det_fn_sum, det_fn_count, det_fn_min, det_fn_max, det_fn_first,
	det_fn_last, det_fn_present, det_fn_stddev, det_fn_stdvar, det_fn_mad, det_fn_quantile,
	det_fn_ts_first, det_fn_ts_last, det_fn_ts_min, det_fn_ts_max;
det_range_fn det_fn_deriv, det_fn_predict_linear, det_fn_double_exponential_smoothing;
