/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From nothing to a socket that talks PostgreSQL, without blocking.
 *
 * PQconnectStart() resolves host names with getaddrinfo(), which blocks for as long as DNS likes
 * to; a database that is away is often away together with its name. So a single host name is
 * resolved by evdns first and handed over as hostaddr (host stays, for TLS and the password file).
 * Lists of hosts and service files are left to libpq, which then may block: documented, not
 * forbidden.
 *
 * Every attempt is a new PGconn: PQreset keeps what a fresh one does not have, and the descriptor
 * changes either way. libpq may change its descriptor between two steps (SSL refused, next
 * address), and epoll forgets a descriptor silently when it is closed, so the watch is made anew
 * after every step.
 */
#include "common/pg/pg_internal.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

static const int64_t connect_deadline_ms = 10000;

struct pg_resolve {
	struct ops_pg *pg; /* NULL: nobody waits any more */
	struct ops_loop *loop;
	struct evdns_base *dns;
	struct evdns_getaddrinfo_request *request;
};

void pg_remember_error(struct ops_pg *pg, const char *text)
{
	snprintf(pg->last_error, sizeof(pg->last_error), "%s", text);
	/* libpq ends its messages with a newline and puts newlines between the addresses it tried.
	 */
	size_t len = strlen(pg->last_error);
	while (len > 0 && pg->last_error[len - 1] == '\n')
		pg->last_error[--len] = '\0';
	for (char *p = pg->last_error; *p != '\0'; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
}

void pg_watch(struct ops_pg *pg, unsigned what)
{
	int fd = PQsocket(pg->conn);

	if (pg->watch != NULL && pg->watched_fd == fd && pg->state >= PG_SETUP) {
		ops_watch_set(pg->watch, what);
		return;
	}
	ops_watch_free(pg->watch);
	pg->watch = fd >= 0 ? ops_watch_new(pg->loop, fd, what, pg_on_socket, pg) : NULL;
	pg->watched_fd = fd;
}

void pg_connect_drop(struct ops_pg *pg)
{
	struct pg_resolve *r = pg->resolve;

	ops_watch_free(pg->watch);
	pg->watch = NULL;
	if (pg->conn != NULL)
		PQfinish(pg->conn);
	pg->conn = NULL;
	pg->resolve = NULL;
	if (r != NULL) {
		r->pg = NULL; /* the answer still comes, as "cancelled", and frees it */
		evdns_getaddrinfo_cancel(r->request);
	}
}

static void ignore_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

/* Our defaults stand before the user's conninfo, so that it wins; what must hold stands behind it.
 */
static PGconn *start(const struct ops_pg *pg, const char *hostaddr)
{
	const char *keys[] = {"fallback_application_name", "keepalives_idle", "keepalives_interval",
		"keepalives_count", "tcp_user_timeout", "dbname", "client_encoding",
		hostaddr != NULL ? "hostaddr" : NULL, NULL};
	const char *values[] = {pg->application_name, "30", "10", "3", "30000", pg->conninfo,
		"UTF8", hostaddr, NULL};

	return PQconnectStartParams(keys, values, 1);
}

static void connect_to(struct ops_pg *pg, const char *hostaddr)
{
	pg->state = PG_CONNECTING;
	pg->conn = start(pg, hostaddr);
	if (pg->conn == NULL || PQstatus(pg->conn) == CONNECTION_BAD) {
		pg_remember_error(
			pg, pg->conn != NULL ? PQerrorMessage(pg->conn) : "out of memory");
		pg_lose(pg);
		return;
	}
	PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
	pg_watch(pg, OPS_WRITABLE);
}

static void free_resolve(void *arg)
{
	struct pg_resolve *r = arg;

	evdns_base_free(r->dns, 0);
	free(r);
}

static void on_resolved(int code, struct evutil_addrinfo *found, void *arg)
{
	struct pg_resolve *r = arg;
	struct ops_pg *pg = r->pg;
	char text[64] = "";

	if (code == 0 && found != NULL) {
		const void *addr = NULL;
		if (found->ai_family == AF_INET)
			addr = &((const struct sockaddr_in *)(const void *)found->ai_addr)
					->sin_addr;
		else if (found->ai_family == AF_INET6)
			addr = &((const struct sockaddr_in6 *)(const void *)found->ai_addr)
					->sin6_addr;
		if (addr != NULL)
			evutil_inet_ntop(found->ai_family, addr, text, sizeof(text));
		evutil_freeaddrinfo(found);
	}
	ops_loop_defer(r->loop, free_resolve, r); /* evdns is still on the stack */
	if (pg == NULL)
		return;
	pg->resolve = NULL;
	if (text[0] == '\0') {
		char why[200];
		snprintf(why, sizeof(why), "could not resolve the database's host name: %s",
			evutil_gai_strerror(code));
		pg_remember_error(pg, why);
		pg_lose(pg);
		return;
	}
	connect_to(pg, text);
}

/* The one host name that needs DNS, or NULL. Owned. */
static char *name_to_resolve(PQconninfoOption *options)
{
	const char *host = NULL;
	struct in6_addr buf;

	for (PQconninfoOption *o = options; o->keyword != NULL; o++) {
		bool given = o->val != NULL && o->val[0] != '\0';
		if (given &&
			(ops_str_eq(o->keyword, "hostaddr") || ops_str_eq(o->keyword, "service")))
			return NULL;
		if (given && ops_str_eq(o->keyword, "host"))
			host = o->val;
	}
	if (host == NULL || host[0] == '/' || host[0] == '@' || strchr(host, ',') != NULL ||
		evutil_inet_pton(AF_INET, host, &buf) == 1 ||
		evutil_inet_pton(AF_INET6, host, &buf) == 1)
		return NULL;
	return ops_xstrdup(host);
}

static bool resolve(struct ops_pg *pg, const char *name)
{
	struct pg_resolve *r = ops_xcalloc(1, sizeof(*r));
	struct evutil_addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};

	r->pg = pg;
	r->loop = pg->loop;
	r->dns = evdns_base_new(ops_loop_base(pg->loop),
		EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (r->dns == NULL) {
		free(r);
		return false; /* no name servers configured: libpq may know better */
	}
	pg->state = PG_RESOLVING;
	pg->resolve = r;
	/* Names of /etc/hosts are answered from inside this call. */
	struct evdns_getaddrinfo_request *request =
		evdns_getaddrinfo(r->dns, name, NULL, &hints, on_resolved, r);
	if (request != NULL && pg->resolve == r)
		r->request = request;
	return true;
}

void pg_connect_start(struct ops_pg *pg)
{
	char *problem = NULL;
	PQconninfoOption *options = PQconninfoParse(pg->conninfo, &problem);

	ops_timer_start(pg->deadline, connect_deadline_ms);
	if (options == NULL) {
		/* libpq quotes the text, which may hold a password. */
		pg_remember_error(pg, "the conninfo of the database cannot be parsed");
		PQfreemem(problem);
		pg_lose(pg);
		return;
	}
	OPS_CLEANUP(ops_freep) char *name = name_to_resolve(options);
	PQconninfoFree(options);
	if (name == NULL || !resolve(pg, name))
		connect_to(pg, NULL);
}

void pg_connect_step(struct ops_pg *pg)
{
	PostgresPollingStatusType next = PQconnectPoll(pg->conn);

	if (next == PGRES_POLLING_READING) {
		pg_watch(pg, OPS_READABLE);
	} else if (next == PGRES_POLLING_WRITING) {
		pg_watch(pg, OPS_WRITABLE);
	} else if (next == PGRES_POLLING_OK) {
		pg_established(pg);
	} else {
		pg_remember_error(pg, PQerrorMessage(pg->conn));
		pg_lose(pg);
	}
}
