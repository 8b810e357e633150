/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Rows of samples onto the bus. A layout precedes its first batch and stays in the replay ring. */
#include "common/base/error.h"
#include "common/bus/bus.h"
#include "services/collector/layout.h"

struct col_publisher; /* opaque */

struct col_publisher_config {
	const char *instance;
	const char *samples_url, *replay_listen, *replay_advertise;
	const char *url; /* of our HTTP doors, for other members */
	uint64_t ring_bytes;
	const char *overflow_dir; /* NULL: what the ring cannot hold is dropped */
	uint64_t overflow_bytes;
	int64_t heartbeat_ms;
	const struct ops_bus_key *key;
	const struct ops_bus_tls *tls;
};

int col_publisher_open(struct ops_loop *loop, const struct col_publisher_config *cfg,
	struct col_publisher **ret, struct ops_error *err) OPS_MUST_CHECK;
void col_publisher_close(struct col_publisher *p); /* NULL is fine */
/*
 * Sends the layout when it was never sent, when the ring may soon forget it, or when announce says
 * that its target's readers knew another one. -EMSGSIZE: it is larger than a message may be.
 */
int col_publish_layout(
	struct col_publisher *p, struct col_layout *layout, bool announce) OPS_MUST_CHECK;
/* One row of a layout that was sent. It may wait a few milliseconds for others. */
void col_publish_row(struct col_publisher *p, const struct col_layout *layout, int64_t time_ms,
	const struct col_values *values);
/* No more rows of this layout: another collector goes on with its target. */
void col_publish_release(struct col_publisher *p, const struct col_layout *layout);
/* A message of ops_exemplars_add: not kept for later. */
void col_publish_exemplars(struct col_publisher *p, const struct ops_strbuf *message);
/* Sends what waits. */
void col_publish_flush(struct col_publisher *p);
/* A remote write 2.0 message that was received here. */
int col_publish_received(
	struct col_publisher *p, const struct ops_strbuf *message, size_t samples) OPS_MUST_CHECK;
/* This collector's presence. */
void col_publish_member(struct col_publisher *p);
