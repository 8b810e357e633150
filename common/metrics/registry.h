/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this folder share: the registered metrics and their cells. Private to
 * common/metrics. */
#include "common/metrics/metrics.h"

struct ops_metric_cell {
	double value;	    /* histogram: sum of what was observed */
	uint64_t count;	    /* histogram only */
	uint64_t buckets[]; /* histogram only, not cumulative; what lies above the last bound is
			       count - sum */
};

struct ops_metric *ops_metric_first(void); /* linked by ->next, unsorted */
size_t ops_metric_label_count(const struct ops_metric *m);

/* Brings process_*, ops_build_info and ops_log_* up to date. */
void ops_metrics_collect_process(void);
