/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What one client address may use: connections, requests per second, password checks under way. The
 * table is bounded; an entry lives while it has connections or an unfilled bucket. Internal to
 * common/net.
 */
#include "common/base/def.h"

struct sockaddr;

struct ops_http_addr {
	char text[64]; /* as shown to handlers: without port, IPv4-mapped addresses as IPv4 */
	unsigned char key[9];
	unsigned connections;
	unsigned password_checks;
	double tokens;
	int64_t refilled_ms; /* monotonic */
};

struct ops_http_guard {
	struct ops_map *addrs;
	unsigned connections;
	unsigned max_connections, max_per_addr, per_second; /* per_second 0 = no limit */
};

void ops_http_guard_init(struct ops_http_guard *g);
void ops_http_guard_done(struct ops_http_guard *g);
/* A new connection. 0, or -EAGAIN with the reason for the metric. */
int ops_http_guard_enter(struct ops_http_guard *g, const struct sockaddr *sa,
	struct ops_http_addr **ret, const char **ret_reason) OPS_MUST_CHECK;
void ops_http_guard_leave(struct ops_http_guard *g, struct ops_http_addr *addr);
/* A request: false when the address has used up its tokens. */
bool ops_http_guard_take(struct ops_http_guard *g, struct ops_http_addr *addr, int64_t mono_ms);
