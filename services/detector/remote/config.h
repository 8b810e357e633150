/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * remote_write of prometheus.yml: the destinations. Shared by reference, as calls under way
 * outlive a reload.
 */
#include "common/net/http_options.h"
#include "common/relabel/relabel.h"
#include "common/remote/negotiate.h"

struct det_remote_target {
	const char *name;   /* as written, or made from the URL; unique */
	const char *folder; /* of its queue: the name where it may be a file name */
	const char *url;
	const char *shown_url; /* without secrets */
	enum ops_remote_version version;
	int64_t timeout_ms;
	const char *const *headers; /* "Name: value" */
	size_t nheaders;
	struct ops_http_options http;
	struct ops_relabel relabel;
	bool send_exemplars, send_histograms;
	struct det_remote_tuning {
		int64_t capacity, max_shards, min_shards, max_samples_per_send;
		int64_t deadline_ms, min_backoff_ms, max_backoff_ms, sample_age_limit_ms;
		bool retry_on_429;
	} queue;
	struct {
		bool send;
		int64_t interval_ms, max_per_send;
	} metadata;
	uint64_t hash; /* of all that is written for it, and the external labels */
};

struct det_remote_config {
	unsigned refs;
	struct ops_arena arena;
	struct ops_labels *external;
	struct det_remote_target *targets;
	size_t n;
};

/* path NULL: no destinations. */
int det_remote_config_load(const char *path, struct ops_labels *external,
	struct ops_conf_warnings *warnings, struct det_remote_config **ret,
	struct ops_error *err) OPS_MUST_CHECK;
struct det_remote_config *det_remote_config_ref(struct det_remote_config *c);
void det_remote_config_unref(struct det_remote_config *c); /* NULL is fine */
