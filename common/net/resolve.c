/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evdns rather than a thread with getaddrinfo: a name server that does not answer holds up nobody
 * but the one who asked. Its time-outs are kept short, because the callers have deadlines of their
 * own and ask again. A cancelled question is only marked: evdns calls back once whatever happens,
 * and that frees it.
 */
#include "common/net/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <event2/dns.h>
#include <event2/util.h>

struct ops_resolver {
	struct evdns_base *dns;
};

struct ops_resolving {
	void (*fn)(void *arg, const struct ops_addresses *addresses, const char *error);
	void *arg;
	bool *answered; /* of ops_resolve, while it runs */
	bool cancelled;
};

struct ops_resolver *ops_resolver_new(struct ops_loop *loop)
{
	struct ops_resolver *r = ops_xcalloc(1, sizeof(*r));
	int flags = EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE;

	r->dns = evdns_base_new(ops_loop_base(loop), flags);
	if (r->dns == NULL) { /* no resolv.conf: the hosts file still counts */
		r->dns = evdns_base_new(ops_loop_base(loop), EVDNS_BASE_DISABLE_WHEN_INACTIVE);
		ops_assert(r->dns != NULL);
		(void)evdns_base_load_hosts(r->dns, "/etc/hosts");
	}
	(void)evdns_base_set_option(r->dns, "timeout:", "2");
	(void)evdns_base_set_option(r->dns, "attempts:", "3");
	(void)evdns_base_set_option(r->dns, "randomize-case:", "0");
	return r;
}

void ops_resolver_free(struct ops_resolver *r)
{
	if (r == NULL)
		return;
	evdns_base_free(r->dns, 1);
	free(r);
}

static bool numeric(const char *host, uint16_t port, struct ops_addresses *ret)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(&ret->items[0], &v4, sizeof(v4));
		ret->lens[0] = sizeof(v4);
	} else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
		memcpy(&ret->items[0], &v6, sizeof(v6));
		ret->lens[0] = sizeof(v6);
	} else {
		return false;
	}
	ret->n = 1;
	return true;
}

static void on_answer(int result, struct evutil_addrinfo *found, void *arg)
{
	struct ops_resolving *q = arg;
	struct ops_addresses a = {.n = 0};

	for (const struct evutil_addrinfo *i = found; i != NULL && a.n < OPS_ADDRESSES_MAX;
		i = i->ai_next) {
		if (i->ai_addrlen > sizeof(a.items[0]))
			continue;
		memcpy(&a.items[a.n], i->ai_addr, i->ai_addrlen);
		a.lens[a.n++] = i->ai_addrlen;
	}
	if (found != NULL)
		evutil_freeaddrinfo(found);
	if (q->answered != NULL)
		*q->answered = true;
	const char *error = result != 0 ? evutil_gai_strerror(result) : "no address";
	if (!q->cancelled)
		q->fn(q->arg, &a, a.n > 0 ? NULL : error);
	free(q);
}

void ops_resolve(struct ops_resolver *r, const char *host, uint16_t port,
	void (*fn)(void *arg, const struct ops_addresses *addresses, const char *error), void *arg,
	struct ops_resolving **ret)
{
	struct ops_addresses a;
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	char service[8];
	bool answered = false;

	*ret = NULL;
	if (numeric(host, port, &a)) {
		fn(arg, &a, NULL);
		return;
	}
	struct ops_resolving *q = ops_xcalloc(1, sizeof(*q));
	*q = (struct ops_resolving){.fn = fn, .arg = arg, .answered = &answered};
	snprintf(service, sizeof(service), "%u", port);
	(void)evdns_getaddrinfo(r->dns, host, service, &hints, on_answer, q);
	if (!answered) {
		q->answered = NULL;
		*ret = q;
	}
}

void ops_resolve_cancel(struct ops_resolving *q)
{
	if (q != NULL)
		q->cancelled = true;
}
