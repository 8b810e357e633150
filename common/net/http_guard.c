/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token bucket per address: filled with per_second tokens a second up to twice that. An IPv6 client
 * owns a /64, so the first half of the address is the key; an IPv4 one counts whole. Entries
 * without connections are swept only when the table is full; entries with connections are never
 * dropped and bounded by the connection limit, so the table cannot grow past the sum of both.
 * Sweeping forgets buckets that are not full: the price for a bounded table, payable only by
 * someone with thousands of addresses.
 */
#include "common/net/http_guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"

enum {
	MAX_IDLE_ADDRS = 8192
};

void ops_http_guard_init(struct ops_http_guard *g)
{
	g->addrs = ops_map_new();
}

void ops_http_guard_done(struct ops_http_guard *g)
{
	ops_map_free(g->addrs, free);
	g->addrs = NULL;
}

static void key_v4(struct ops_http_addr *a, const void *four_bytes)
{
	a->key[0] = 4;
	memcpy(a->key + 1, four_bytes, 4);
	inet_ntop(AF_INET, four_bytes, a->text, sizeof(a->text));
}

static void identify(const struct sockaddr *sa, struct ops_http_addr *a)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	snprintf(a->text, sizeof(a->text), "local");
	if (sa->sa_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		key_v4(a, &v4.sin_addr);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&v6, sa, sizeof(v6));
		if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
			key_v4(a, v6.sin6_addr.s6_addr + 12);
			return;
		}
		a->key[0] = 6;
		memcpy(a->key + 1, v6.sin6_addr.s6_addr, 8);
		inet_ntop(AF_INET6, &v6.sin6_addr, a->text, sizeof(a->text));
	}
}

static void sweep(struct ops_http_guard *g)
{
	struct ops_map_entry e;

	for (size_t at = 0; ops_map_next(g->addrs, &at, &e);) {
		struct ops_http_addr *a = e.value;
		if (a->connections != 0 || a->password_checks != 0)
			continue;
		(void)ops_map_remove(g->addrs, e.key, e.len);
		free(a);
	}
}

static struct ops_http_addr *get_or_add(
	struct ops_http_guard *g, const struct ops_http_addr *wanted)
{
	struct ops_http_addr *a = ops_map_get(g->addrs, wanted->key, sizeof(wanted->key));

	if (a != NULL)
		return a;
	if (ops_map_count(g->addrs) >= (size_t)MAX_IDLE_ADDRS + g->max_connections)
		sweep(g);
	a = ops_xmalloc(sizeof(*a));
	*a = *wanted;
	a->tokens = 2.0 * g->per_second;
	a->refilled_ms = ops_mono_ms();
	(void)ops_map_put(g->addrs, a->key, sizeof(a->key), a);
	return a;
}

int ops_http_guard_enter(struct ops_http_guard *g, const struct sockaddr *sa,
	struct ops_http_addr **ret, const char **ret_reason)
{
	struct ops_http_addr wanted = {.connections = 0};

	if (g->connections >= g->max_connections) {
		*ret_reason = "connections";
		return -EAGAIN;
	}
	identify(sa, &wanted);
	struct ops_http_addr *a = get_or_add(g, &wanted);
	if (a->connections >= g->max_per_addr) {
		*ret_reason = "connections_per_addr";
		return -EAGAIN;
	}
	a->connections++;
	g->connections++;
	*ret = a;
	return 0;
}

void ops_http_guard_leave(struct ops_http_guard *g, struct ops_http_addr *addr)
{
	ops_assert(addr->connections > 0 && g->connections > 0);
	addr->connections--;
	g->connections--;
}

bool ops_http_guard_take(struct ops_http_guard *g, struct ops_http_addr *addr, int64_t mono_ms)
{
	if (g->per_second == 0)
		return true;
	double filled =
		addr->tokens + (double)(mono_ms - addr->refilled_ms) * g->per_second / 1000.0;
	addr->tokens = OPS_MIN(filled, 2.0 * g->per_second);
	addr->refilled_ms = mono_ms;
	if (addr->tokens < 1)
		return false;
	addr->tokens -= 1;
	return true;
}
