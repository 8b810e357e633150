/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the doors for samples with their own times have in common: where the samples go, when they
 * may, and how a sender is told. Loop thread only.
 */
#include "common/net/http_server.h"
#include "services/collector/receive/outlet.h"

struct col_door { /* embedded; borrowed parts outlive the server */
	struct col_outlet *outlet;
	/* Is there a detector that hears us? Otherwise the sender keeps its samples (503). */
	bool (*heard)(void *arg);
	void *arg;
	const char *name; /* in metrics */
};

struct col_door_outcome { /* of a request whose samples went to the outlet */
	size_t taken, refused;
	const char *why; /* of the first one refused */
	bool bus;	 /* some may be lost on the way */
};
/* To the outlet. False: refused. */
bool col_door_pass(
	const struct col_door *door, const struct ops_remote_series *s, struct col_door_outcome *o);

/* 204 has no text. */
void col_door_reply(
	const struct col_door *door, struct ops_http_req *req, int code, const char *text);
/* True: no detector is heard, or the rate does not let n samples in, and that was answered. */
bool col_door_unheard(const struct col_door *door, struct ops_http_req *req);
bool col_door_above_rate(const struct col_door *door, struct ops_http_req *req, size_t n);
/* Sends what the outlet holds and answers. */
void col_door_finish(
	const struct col_door *door, struct ops_http_req *req, struct col_door_outcome *o);
