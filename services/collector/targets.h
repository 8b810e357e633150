/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * From jobs and discovered groups to targets: labels before and after relabelling, URL, times.
 * A target is a description only; what happens at its scrapes is scrape.c's.
 */
#include "services/collector/config.h"
#include "services/collector/discovery.h"

struct col_target {
	char *key;     /* job, URL and labels: the same key is the same target */
	uint64_t hash; /* of the key: shard and offset */
	const struct col_job *job;
	struct ops_labels *discovered; /* before relabelling */
	struct ops_labels *labels;     /* what its series get; no label starts with __ */
	char *url;
	char *instance; /* of its layouts: the instance label, made unique within the job */
	int64_t interval_ms, timeout_ms;
	bool over_limit; /* the job has more targets than target_limit */
};

struct col_dropped {
	const struct col_job *job;
	struct ops_labels *discovered;
};

struct col_pool_count { /* of a job, whoever scrapes */
	size_t targets, dropped;
};

struct col_targets {
	struct col_target **items;
	size_t n, cap;
	struct col_dropped *dropped; /* at most COL_DROPPED_MAX are kept */
	size_t ndropped, cap_dropped, dropped_total;
	struct col_pool_count *counts; /* in the order of the configuration's jobs */
};

enum {
	COL_DROPPED_MAX = 1000
};

/* Targets that cannot be (no address, bad port) are logged, counted and left out. */
void col_targets_build(
	const struct col_config *config, const struct col_discovery *d, struct col_targets *ret);
void col_targets_done(struct col_targets *t);
void col_target_free(struct col_target *t);
