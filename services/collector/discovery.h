/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * All running ways of finding targets. A reload keeps those whose settings did not change, with
 * what they have found. Loop thread only.
 */
#include "services/collector/config.h"
#include "services/collector/discovery/sd.h"

struct col_discovery; /* opaque */

struct col_discovery_config {
	struct ops_loop *loop;
	struct ops_http_client *client;
	struct ops_oauth2_tokens *tokens;
	/* What was found changed; several changes at a time are one call. */
	void (*on_change)(void *arg);
	void *arg;
};

struct col_discovery *col_discovery_new(const struct col_discovery_config *cfg);
void col_discovery_free(struct col_discovery *d); /* NULL is fine */
/* From now on this configuration's; the one before may go afterwards. */
void col_discovery_apply(struct col_discovery *d, const struct col_config *config);
/* The one that runs for the job's i-th setting, or NULL. */
const struct col_sd *col_discovery_of(
	const struct col_discovery *d, const struct col_job *job, size_t i);
/* Sets prometheus_sd_discovered_targets and its kin. */
void col_discovery_count(const struct col_discovery *d, const struct col_config *config);
