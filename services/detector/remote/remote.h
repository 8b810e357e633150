/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * remote_write: everything that the store takes in goes to the destinations of prometheus.yml, each
 * through a durable queue under state_dir/remote/. Loop thread only.
 */
#include "common/loop/loop.h"
#include "common/msg/exemplars.h"
#include "common/net/http_client.h"
#include "services/detector/remote/config.h"
#include "services/detector/store/store.h"

struct det_remote; /* opaque */

struct det_remote_setup { /* borrowed */
	struct ops_loop *loop;
	struct ops_http_client *client;
	struct det_store *store;
	const char *dir;
	uint64_t queue_max_bytes;
	/* The store forgets at a restart, and collectors send again what they have: rows that the
	 * process before had queued are then left out. */
	bool store_forgets;
};

/* Takes the store's tap. */
int det_remote_open(const struct det_remote_setup *setup, struct det_remote **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void det_remote_close(struct det_remote *r); /* NULL is fine */
/* Destinations that are new get queues, those that went lose them, backlog and all. */
int det_remote_apply(struct det_remote *r, struct det_remote_config *config,
	struct ops_error *err) OPS_MUST_CHECK;
/* One that the service has taken in. */
void det_remote_exemplar(struct det_remote *r, const struct ops_exemplar *e);
/* Before stopping: true when what was being sent is answered. */
bool det_remote_drained(struct det_remote *r);
