/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a name to a connection that can take the request: the addresses of the name are tried in the
 * order in which the resolver gave them, each until it refuses; the request's deadline ends it all.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/error.h"
#include "common/metrics/metrics.h"
#include "services/collector/pull_internal.h"

static struct ops_metric connections_total =
	OPS_COUNTER("ops_scrape_connections_total", "Connections made to targets.", "scheme");

static void try_next(struct col_connection *c);

static void handshake(struct col_connection *c)
{
	unsigned what = OPS_READABLE;
	struct ops_error err;
	int r = col_tls_handshake(c, &what, &err);
	if (r == -EAGAIN) {
		col_connection_watch(c, what);
	} else if (r != 0) {
		col_connection_fail(c, OPS_HTTP_TLS, "%s", err.message);
	} else {
		col_connection_connected(c);
	}
}

static void on_connected(struct col_connection *c)
{
	int on = 1;
	struct ops_error err;
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	ops_metric_add(&connections_total, 1, c->use_tls ? "https" : "http");
	if (!c->use_tls) {
		col_connection_connected(c);
		return;
	}
	if (col_tls_start(c, &err) != 0) {
		col_connection_fail(c, OPS_HTTP_TLS, "%s", err.message);
		return;
	}
	c->state = COL_HANDSHAKE;
	handshake(c);
}

static enum ops_http_outcome outcome_of(int code)
{
	return code == ECONNREFUSED ? OPS_HTTP_REFUSED : OPS_HTTP_FAILED;
}

static void on_refused(struct col_connection *c, int code)
{
	if (c->next_address < c->addresses.n) {
		try_next(c);
		return;
	}
	bool v6 = strchr(c->host, ':') != NULL;
	col_connection_fail(c, outcome_of(code), "could not connect to %s%s%s:%u: %s",
		v6 ? "[" : "", c->host, v6 ? "]" : "", c->port, strerror(code));
}

static void drop_socket(struct col_connection *c)
{
	ops_watch_free(c->watch);
	c->watch = NULL;
	if (c->fd >= 0) {
		close(c->fd);
		c->fd = -1;
	}
}

static void try_next(struct col_connection *c)
{
	const struct sockaddr_storage *a = &c->addresses.items[c->next_address];
	socklen_t len = c->addresses.lens[c->next_address++];
	drop_socket(c);
	c->state = COL_CONNECTING;
	c->fd = socket(a->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		on_refused(c, errno);
		return;
	}
	if (connect(c->fd, (const struct sockaddr *)a, len) == 0 || errno == EINPROGRESS) {
		col_connection_watch(c, OPS_WRITABLE);
	} else {
		on_refused(c, errno);
	}
}

void col_connection_on_event(struct col_connection *c, unsigned what)
{
	int code = 0;
	socklen_t len = sizeof(code);
	if (c->state == COL_HANDSHAKE) {
		handshake(c);
		return;
	}
	if ((what & OPS_WRITABLE) == 0) {
		return;
	}
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0) {
		code = errno;
	}
	if (code != 0) {
		on_refused(c, code);
	} else {
		on_connected(c);
	}
}

static void on_resolved(void *arg, const struct ops_addresses *addresses, const char *error)
{
	struct col_connection *c = arg;
	c->resolving = NULL;
	if (error != NULL) {
		col_connection_fail(
			c, OPS_HTTP_UNRESOLVED, "could not resolve %s: %s", c->host, error);
		return;
	}
	c->addresses = *addresses;
	c->next_address = 0;
	try_next(c);
}

void col_connection_open(struct col_connection *c)
{
	c->state = COL_RESOLVING;
	ops_resolve(c->owner->resolver, c->host, c->port, on_resolved, c, &c->resolving);
}
