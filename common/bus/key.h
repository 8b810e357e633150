/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The stack's MAC key inside common/bus. */
#include "common/bus/bus.h"

enum {
	OPS_BUS_MAC_BYTES = 16
};

/* The first 16 bytes of HMAC-SHA-256(key, data); zeros when key is NULL. */
void ops_bus_mac(const struct ops_bus_key *key, const void *data, size_t len,
	unsigned char ret[OPS_BUS_MAC_BYTES]);
/* True when key is NULL (nothing to check with) or the MAC is right; constant time. */
bool ops_bus_mac_ok(const struct ops_bus_key *key, const void *data, size_t len,
	const unsigned char mac[OPS_BUS_MAC_BYTES]);
