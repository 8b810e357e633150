/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Pushgateway's doors, for jobs that end before a scrape would come: PUT, POST and DELETE on
 * /metrics/job/NAME{/LABEL/VALUE}. A group is published when it is pushed and then every interval
 * until it is deleted or its time to live is over, which makes it stale. It is on disk before the
 * push is answered, so a restart forgets nothing. The other collectors get it too, and one of them
 * all publishes it. Loop thread only.
 */
#include "common/bus/bus.h"
#include "common/loop/loop.h"
#include "common/msg/samples.h"
#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "services/collector/publish.h"

struct col_push; /* opaque */

struct col_push_config {
	const char *state_dir; /* "" or NULL: groups live in memory only */
	int64_t interval_ms;
	int64_t ttl_ms;			 /* where the push says nothing; 0: for ever */
	int64_t max_groups, max_samples; /* per collector, per group */
	const char *self;		 /* instance */
	struct ops_http_client *client;
	const struct ops_bus_key *key; /* may be NULL */
	/* Whether the group with this fingerprint is ours to publish; who the others are. */
	bool (*owns)(void *arg, uint64_t hash);
	const struct ops_members *(*members)(void *arg);
	void *arg; /* of both */
};

int col_push_open(struct ops_loop *loop, struct col_publisher *publisher,
	const struct col_push_config *cfg, struct col_push **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void col_push_close(struct col_push *p); /* without a word on the bus; NULL is fine */
void col_push_register(struct col_push *p, struct ops_http_server *http);
