/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The queue of one destination: a spool that the tap fills, and shards that send what is read from
 * it. A series always goes through the same shard, so its samples stay in order. Loop thread only.
 */
#include "common/net/oauth2.h"
#include "common/spool/spool.h"
#include "services/detector/remote/config.h"
#include "services/detector/remote/journal.h"
#include "services/detector/remote/layouts.h"

struct det_queue; /* opaque */

struct det_queue_owner { /* what all queues share; borrowed */
	struct ops_loop *loop;
	struct ops_http_client *client;
	struct ops_oauth2_tokens *tokens;
	struct det_store *store; /* metadata */
	struct det_layouts *layouts;
	const char *dir;
	uint64_t max_bytes; /* of one queue on disk */
};

/* target is one of config's. */
int det_queue_open(const struct det_queue_owner *owner, struct det_remote_config *config,
	const struct det_remote_target *target, struct det_queue **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* What is not acknowledged stays in the spool. NULL is fine. */
void det_queue_close(struct det_queue *q);
/* The same destination under a new configuration; a changed one takes over when what is under way
 * has been answered. */
void det_queue_configure(struct det_queue *q, struct det_remote_config *config,
	const struct det_remote_target *target);
const char *det_queue_folder(const struct det_queue *q);

void det_queue_append(struct det_queue *q, struct det_journal *j);
bool det_queue_wants_exemplars(const struct det_queue *q);
void det_queue_sync(struct det_queue *q);
/* Number of the newest record, and up to which all are delivered. */
uint64_t det_queue_newest(const struct det_queue *q);
uint64_t det_queue_delivered(const struct det_queue *q);
/* Sends at once what has been read, reads no more; true when nothing is left of that. */
bool det_queue_drained(struct det_queue *q);
void det_queue_count(const struct det_queue *q); /* gauges */
