/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The heartbeat's payload: JSON, so that strangers can read it. Pure functions. */
#include "common/bus/bus.h"
#include "common/bus/replay.h"

struct ops_strbuf;

#define OPS_HEARTBEAT_TOPIC "ops/heartbeat"

enum {
	OPS_URL_MAX_BYTES = 255
};

struct ops_heartbeat {
	char stream[OPS_NAME_MAX_BYTES + 1];
	char replay_url[OPS_URL_MAX_BYTES + 1]; /* "" when there is no replay */
	uint64_t epoch, head, first;
	int64_t interval_ms;
};

void ops_heartbeat_encode(const struct ops_heartbeat *h, struct ops_strbuf *out);
/* -EBADMSG. Unknown members are ignored: later versions may add some. */
int ops_heartbeat_decode(const char *json, size_t len, struct ops_heartbeat *ret) OPS_MUST_CHECK;
