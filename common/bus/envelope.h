/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What requests and answers travel in: kind, nonce, data, checksum, MAC. The answer repeats the
 * request's nonce, so that a recorded answer is no answer to another request. Pure functions.
 */
#include "common/bus/bus.h"
#include "common/bus/key.h"

struct ops_strbuf;

enum ops_envelope_kind {
	OPS_ENVELOPE_REQUEST,
	OPS_ENVELOPE_ANSWER
};

enum {
	OPS_ENVELOPE_HEAD_BYTES = 16,
	OPS_ENVELOPE_TAIL_BYTES = 4 + OPS_BUS_MAC_BYTES
};

struct ops_envelope {
	uint64_t nonce;
	const void *data; /* borrowed */
	size_t len;
};

/* Appends to an empty out. */
void ops_envelope_seal(enum ops_envelope_kind kind, const struct ops_envelope *e,
	const struct ops_bus_key *key, struct ops_strbuf *out);
/* -EBADMSG: not of this kind, damaged, or forged. ret->data points into bytes. */
int ops_envelope_open(enum ops_envelope_kind kind, const void *bytes, size_t len,
	const struct ops_bus_key *key, struct ops_envelope *ret) OPS_MUST_CHECK;
