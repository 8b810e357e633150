/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Exemplars: samples of traces that stand beside series. The newest ones in a ring of fixed size,
 * in memory only. Loop thread only.
 */
#include "common/base/strbuf.h"
#include "common/model/labels.h"
#include "common/model/matcher.h"

#define DET_EXEMPLAR_LABELS_MAX                                                                    \
	128u /* characters of all names and values, as OpenMetrics has it                          \
	      */

struct det_exemplars; /* opaque */

struct det_exemplar {
	struct ops_labels *series, *labels; /* borrowed */
	double value;
	int64_t time_ms;
};

enum det_exemplar_outcome { /* the label of ops_detector_exemplars_total{outcome} */
	DET_EXEMPLAR_STORED,
	DET_EXEMPLAR_DUPLICATE,	   /* the same as the series' newest: nothing to do */
	DET_EXEMPLAR_OUT_OF_ORDER, /* older than the series' newest */
	DET_EXEMPLAR_TOO_LONG
};

struct det_exemplars *det_exemplars_new(size_t max); /* 0: none are kept */
void det_exemplars_free(struct det_exemplars *x);
enum det_exemplar_outcome det_exemplars_add(
	struct det_exemplars *x, const struct det_exemplar *e) OPS_MUST_CHECK;
size_t det_exemplars_count(const struct det_exemplars *x);
/*
 * Appends a JSON array: each series that fits one of the n sets of matchers and has exemplars in
 * [from, to], by labels, with these.
 */
void det_exemplars_query(const struct det_exemplars *x, const struct ops_matchers *matchers,
	size_t n, const int64_t range_ms[2], struct ops_strbuf *out);
