/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Start timestamps in the evaluator: of a query's series, and what they mean for a window. Lives in
 * the query's arena. */
#include "services/detector/engine/eval.h"

struct det_start_column; /* opaque */

struct det_starts { /* of a selector's series; none: n is 0 */
	struct det_start_column *columns;
	size_t n;
};

int det_starts_open(struct det_eval *ev, const struct ops_promql_expr *selector,
	const int64_t range_ms[2], struct det_starts *ret) OPS_MUST_CHECK;
/* Those of the samples in the scratch, into sh->starts: NULL when the series has none. */
int det_starts_read(struct det_eval *ev, const struct det_starts *starts,
	const struct det_series *series, const int64_t range_ms[2]) OPS_MUST_CHECK;

/* Of two samples: did the counter begin anew at the second? */
bool det_starts_anew(const int64_t t[2], const int64_t start[2]);
bool det_window_anew(const struct det_window *w, size_t i); /* at sample i >= 1 */
bool det_window_born(const struct det_window *w);	    /* its first sample began inside */
/* det_extrapolation() of a window that was born inside: from the start, where the counter was 0. */
double det_growth_since_start(const struct det_window *w);
/* A start before the sample before, which is no start of that one. */
void det_starts_warn(struct det_eval *ev, const struct ops_promql_expr *arg,
	const struct det_window *w, const char *metric);
