/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the detector takes from its own file and from the user's prometheus.yml. */
#include "common/base/arena.h"
#include "common/json/json.h"
#include "common/rules/rules.h"
#include "common/run/run.h"
#include "services/detector/rules/rules.h"

struct det_config {
	struct ops_daemon_config daemon;
	const char *scrape_config_file;
	struct ops_conf_strings rule_files;
	const struct ops_conf_node *rule_variables;
	const char *rules_eval, *rule_shard;
	const struct ops_conf_node *datasource;
	const char *samples_listen;
	const char *alerts_listen, *alerts_replay_listen, *alerts_replay_advertise;
	int64_t retention_ms, lookback_ms, query_timeout_ms, query_max_samples, query_concurrency,
		exemplars_max;
	int64_t heartbeat_ms;
	int64_t wal_fsync_ms, out_of_order_ms, block_ms, series_per_target, series_per_job;
	bool enable_admin_api, enable_lifecycle;
	uint64_t retention_bytes, remote_write_queue_bytes;
	const char *memory_max;
	struct ops_conf_strings features;
};
extern const struct ops_conf_key det_config_keys[];
/* flags.c: what Prometheus has as flags, under its names. */
void det_config_flags(const struct det_config *cfg, json_t *out);

struct det_rule_sources { /* the rules part of a configuration, resolved; all in the arena but the
			     labels */
	struct ops_arena arena;
	struct det_rules_set set;
	struct ops_labels *external_labels;
	bool start_storage; /* start timestamps of remote write are stored */
};

/* Reads prometheus.yml (global.evaluation_interval, global.external_labels, rule_files), expands
 * globs, decodes variables. */
int det_rule_sources_load(const struct det_config *cfg, struct det_rule_sources *ret,
	struct ops_conf_warnings *warnings, struct ops_error *err) OPS_MUST_CHECK;
void det_rule_sources_done(struct det_rule_sources *s);
