/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One stream as a subscriber follows it: which number comes next, what is missing, and how to get
 * it. Owned by the subscriber, which routes frames and heartbeats here.
 */
#include "common/bus/bus.h"
#include "common/bus/frame.h"
#include "common/bus/heartbeat.h"

struct ops_stream; /* opaque */

/* What a stream needs of its subscriber. */
struct ops_stream_owner {
	struct ops_loop *loop;
	const struct ops_sub_config *cfg; /* of the subscriber; strings owned there */
	bool closed;			  /* set by a handler that closes: touch nothing after it */
	/* Hands a message over if its topic is wanted; the handler's result, 0 when it is not. */
	int (*deliver)(void *arg, const struct ops_bus_message *m);
	/* The stream's epoch is another one now: the owner routes frames by it. */
	void (*on_epoch)(void *arg, struct ops_stream *st, uint64_t old_epoch);
	void (*on_moved)(void *arg); /* a checkpoint is to be written */
	void *arg;
};

/* A checkpoint that cannot be opened fails: -errno. */
int ops_stream_new(
	struct ops_stream_owner *owner, const char *name, struct ops_stream **ret) OPS_MUST_CHECK;
void ops_stream_free(struct ops_stream *st); /* writes the checkpoint */

void ops_stream_on_heartbeat(struct ops_stream *st, const struct ops_heartbeat *h);
void ops_stream_on_frame(
	struct ops_stream *st, const struct ops_frame *f); /* seq > 0, of this epoch */
void ops_stream_flush(struct ops_stream *st);		   /* writes the checkpoint if it moved */
void ops_stream_mark(struct ops_stream *st);		   /* see ops_sub_mark() */
void ops_stream_commit(struct ops_stream *st);
void ops_stream_lacks(struct ops_stream *st);
void ops_stream_tick(struct ops_stream *st, int64_t now_ms); /* once a second */

const char *ops_stream_name(const struct ops_stream *st);
uint64_t ops_stream_epoch(const struct ops_stream *st);
uint64_t ops_stream_lag(const struct ops_stream *st);
int64_t ops_stream_silent_ms(const struct ops_stream *st, int64_t now_ms);
bool ops_stream_heard(const struct ops_stream *st, int64_t now_ms); /* within 3 intervals */
bool ops_stream_complete(const struct ops_stream *st); /* nothing missing, nothing refused */
