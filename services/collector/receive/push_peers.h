/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Changes of pushed groups to the other collectors, over their HTTP doors. Each of them is sent
 * what changed since what it has confirmed, everything when it is new or was away. Loop thread
 * only.
 */
#include "common/bus/bus.h"
#include "common/loop/loop.h"
#include "common/msg/samples.h"
#include "common/net/http_client.h"

struct ops_strbuf;
struct col_push_peers; /* opaque */

struct col_push_peers_config { /* borrowed */
	struct ops_loop *loop;
	struct ops_http_client *client;
	const struct ops_bus_key *key;
	const char *self;
	const struct ops_members *(*members)(void *arg);
	void *members_arg;
	/*
	 * Appends changes after number `after`, oldest first, about max_bytes of them and at least
	 * one; returns the number of the last, or `after` when there are none.
	 */
	uint64_t (*changes)(void *arg, uint64_t after, size_t max_bytes, struct ops_strbuf *out);
	/* A state that another collector sent; it is one of `changes` of there. */
	void (*apply)(void *arg, const char *text, size_t len);
	void *arg;
};

struct col_push_peers *col_push_peers_new(const struct col_push_peers_config *cfg);
void col_push_peers_free(struct col_push_peers *p); /* NULL is fine */
/* Something changed, or time went by. */
void col_push_peers_run(struct col_push_peers *p);
/* What came in at the door. -EBADMSG: it is not from a collector with our key; nothing was taken.
 */
int col_push_peers_take(struct col_push_peers *p, const char *body, size_t len) OPS_MUST_CHECK;
#define COL_PUSH_PEERS_PATH "/api/v1/push/peer"
