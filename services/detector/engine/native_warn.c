/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of native histograms where a function or operator cannot use them as they are. */
#include "services/detector/engine/eval.h"

void det_remark(struct det_eval *ev, const struct ops_promql_expr *at,
	enum det_native_remark remark, const char *about)
{
	switch (remark) {
	case DET_MIXED_FLOATS:
		det_warn(ev, at,
			"encountered a mix of histograms and floats for metric name \"%s\"", about);
		return;
	case DET_MIXED_SCHEMAS:
		det_warn(ev, at,
			"vector contains a mix of histograms with exponential and custom buckets "
			"schemas for metric name \"%s\"",
			about);
		return;
	case DET_NOT_COUNTER:
		det_warn(ev, at, "this native histogram metric is not a counter: \"%s\"", about);
		return;
	case DET_NOT_GAUGE:
		det_warn(ev, at, "this native histogram metric is not a gauge: \"%s\"", about);
		return;
	case DET_IGNORED_IN_RANGE:
		det_info(ev, at,
			"ignored histograms in a range containing both floats and histograms for "
			"metric name \"%s\"",
			about);
		return;
	case DET_IGNORED_IN_AGGREGATE:
		det_info(ev, at, "ignored histogram in %s aggregation", about);
		return;
	case DET_BOUNDS_RECONCILED:
		det_info(ev, at, "mismatched custom buckets were reconciled during %s", about);
		return;
	case DET_RESETS_COLLIDE:
		det_warn(ev, at, "conflicting counter resets during histogram %s", about);
		return;
	}
}

void det_remark_notes(struct det_eval *ev, const struct ops_promql_expr *at, unsigned notes,
	const char *operation)
{
	if ((notes & OPS_HISTOGRAM_RESETS_COLLIDE) != 0) {
		det_remark(ev, at, DET_RESETS_COLLIDE, operation);
	}
	if ((notes & OPS_HISTOGRAM_BOUNDS_DIFFER) != 0) {
		det_remark(ev, at, DET_BOUNDS_RECONCILED, operation);
	}
}
