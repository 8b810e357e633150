/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Host names to addresses without blocking: numbers at once, then /etc/hosts and the name servers
 * of /etc/resolv.conf (libevent's resolver; other sources of nsswitch.conf are not asked). Loop
 * thread only.
 */
#include <sys/socket.h>

#include "common/base/def.h"
#include "common/loop/loop.h"

enum {
	OPS_ADDRESSES_MAX = 8
};

struct ops_addresses {
	struct sockaddr_storage items[OPS_ADDRESSES_MAX];
	socklen_t lens[OPS_ADDRESSES_MAX];
	size_t n;
};

struct ops_resolver;  /* opaque; one per process is enough */
struct ops_resolving; /* opaque; one question under way */

struct ops_resolver *ops_resolver_new(struct ops_loop *loop);
/* Questions under way must have been cancelled; what is kept for them goes with the loop. NULL is
 * fine. */
void ops_resolver_free(struct ops_resolver *r);
/*
 * fn is called exactly once unless cancelled, maybe before this returns; *ret is NULL then. error
 * is NULL and addresses has some, or error says why not (constant text).
 */
void ops_resolve(struct ops_resolver *r, const char *host, uint16_t port,
	void (*fn)(void *arg, const struct ops_addresses *addresses, const char *error), void *arg,
	struct ops_resolving **ret);
void ops_resolve_cancel(struct ops_resolving *q); /* fn is not called; NULL is fine */
