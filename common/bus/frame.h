/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What a PUB socket carries: topic '\n' payload trailer. Pure functions; docs/wire-format.md has
 * the bytes. */
#include "common/bus/bus.h"
#include "common/bus/key.h"

struct ops_strbuf;

enum {
	OPS_FRAME_TRAILER_BYTES = 83,
	OPS_TOPIC_MAX_BYTES = 512
};

/* 1..512 bytes without control characters. */
bool ops_topic_valid(const char *topic, size_t len);

/* frame holds topic '\n' payload; appends the trailer. */
void ops_frame_seal(
	struct ops_strbuf *frame, uint64_t epoch, uint64_t seq, const struct ops_bus_key *key);

enum ops_frame_fault { /* positive outcomes of ops_frame_open */
	OPS_FRAME_MALFORMED = 1,
	OPS_FRAME_BAD_CRC,
	OPS_FRAME_BAD_MAC
};

struct ops_frame { /* points into the opened bytes */
	const char *topic, *payload;
	size_t len; /* of payload */
	uint64_t epoch, seq;
};

/* Checks everything; puts NUL bytes behind topic and payload, inside data. key NULL: the MAC is not
 * checked. */
int ops_frame_open(char *data, size_t len, const struct ops_bus_key *key,
	struct ops_frame *ret) OPS_MUST_CHECK;
/* Cuts topic '\n' payload, as a log record holds it; payload has a NUL byte behind it already.
 * -EBADMSG */
int ops_frame_split(char *data, size_t len, struct ops_frame *ret) OPS_MUST_CHECK;
