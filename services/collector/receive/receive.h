/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Everything that comes in without being asked for: which doors are open, and their limits. Keys
 * under `receive` of the service's file. Loop thread only.
 */
#include "common/run/run.h"
#include "services/collector/publish.h"

struct col_receive; /* opaque */

struct col_receive_config {
	struct {
		bool enabled;
		int64_t interval_ms, ttl_ms, max_groups, max_samples;
	} push;
	struct {
		const char *listen_udp, *listen_tcp, *mapping_file;
		int64_t interval_ms, ttl_ms, max_series, max_set_members;
	} statsd;
	struct {
		bool enabled;
		int64_t max_delta_series, delta_ttl_ms;
	} otlp;
	bool remote_write, import;
	int64_t samples_per_second, max_series;
};
extern const struct ops_conf_key col_receive_keys[]; /* of a struct col_receive_config */

struct col_receive_world { /* borrowed */
	struct ops_loop *loop;
	struct ops_http_server *http;
	struct col_publisher *publisher;
	const char *instance, *state_dir;
	struct ops_http_client *client;
	const struct ops_bus_key *key;
	bool (*heard)(void *arg);			 /* is there a detector that hears us? */
	bool (*owns)(void *arg, uint64_t hash);		 /* is that ours among the collectors? */
	const struct ops_members *(*members)(void *arg); /* who they are */
	void *arg;
};
int col_receive_open(const struct col_receive_world *world, const struct col_receive_config *cfg,
	struct col_receive **ret, struct ops_error *err) OPS_MUST_CHECK;
void col_receive_close(struct col_receive *r); /* NULL is fine */
/* What may change without a restart: the mapping file. The old one stays on error. */
int col_receive_reload(struct col_receive *r, const struct col_receive_config *cfg,
	struct ops_error *err) OPS_MUST_CHECK;
/* For --check. */
int col_receive_check(const struct col_receive_config *cfg, struct ops_conf_warnings *warnings,
	struct ops_error *err) OPS_MUST_CHECK;
