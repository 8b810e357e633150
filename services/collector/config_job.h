/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One entry of scrape_configs, and what it inherits from global. Used by config.c only. */
#include "services/collector/config.h"

enum {
	COL_NOTES_MAX = 64,
	COL_SD_CLASSES_MAX = 16
};

struct col_global {
	int64_t interval_ms, timeout_ms;
	struct col_limits limits;
	const struct ops_conf_node *protocols;
	const char *names, *escaping; /* metric_name_..._scheme */
	bool extra_metrics, native_histograms, classic_histograms, convert_classic;
	const struct ops_conf_node *silent[4];
	const struct ops_conf_node *notes[8];
};

/* On failure nothing is left to release. */
int col_job_load(struct ops_arena *a, const struct ops_conf_node *node,
	const struct col_global *global, struct ops_conf_warnings *w, struct col_job *ret,
	struct ops_error *err) OPS_MUST_CHECK;
void col_job_done(struct col_job *job);

int col_job_load_statics(struct ops_arena *a, const struct ops_conf_node *node, struct col_job *job,
	struct ops_error *err) OPS_MUST_CHECK;
/* lists: what is written for each of col_sd_classes. */
int col_job_load_sds(struct ops_arena *a, const struct ops_conf_node *const *lists,
	struct ops_conf_warnings *w, struct col_job *job, struct ops_error *err) OPS_MUST_CHECK;
