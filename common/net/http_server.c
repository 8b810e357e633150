/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listener and lifetime. The socket is made here, not by evconnlistener, for a precise error and
 * for one dual-stack socket on ":port". Guards run at accept: a refused client gets a constant 503
 * in one non-blocking write. When the process is out of descriptors the listener rests for a
 * moment; a level-triggered accept would spin otherwise.
 *
 * Reload loads a new web configuration beside the old one and swaps the pointer; running
 * connections keep their TLS session, the next request is judged by the new users and tokens.
 */
#include "common/net/http_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/listener.h>

#include "common/base/file.h"
#include "common/net/listen.h"

enum {
	ACCEPT_REST_MS = 100
};

static const char *const role_names[] = {"none", "viewer", "operator", "approver", "admin"};

int ops_role_parse(const char *text, enum ops_role *ret)
{
	for (size_t i = 0; i < OPS_LENGTH(role_names); i++) {
		if (strcmp(role_names[i], text) == 0) {
			*ret = (enum ops_role)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *ops_role_text(enum ops_role role)
{
	return (size_t)role < OPS_LENGTH(role_names) ? role_names[role] : "none";
}

static void on_accept(
	struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
	static const char busy[] =
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
		"Connection: close\r\n\r\n";
	struct ops_http_server *s = arg;
	struct ops_http_addr *addr = NULL;
	const char *reason = NULL;
	int one = 1;

	(void)l;
	(void)len;
	if (ops_http_guard_enter(&s->guard, sa, &addr, &reason) == 0) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		ops_http_conn_open(s, fd, addr);
		return;
	}
	ops_http_count_refused(reason);
	if (s->web->ctx == NULL &&
		send(fd, busy, sizeof(busy) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		ops_http_count_refused("busy_reply");
	close(fd);
}

static void on_accept_error(struct evconnlistener *l, void *arg)
{
	struct ops_http_server *s = arg;

	ops_http_count_refused("accept");
	evconnlistener_disable(l);
	ops_timer_start(s->accept_again, ACCEPT_REST_MS);
}

static void on_accept_again(void *arg)
{
	struct ops_http_server *s = arg;

	if (s->listener != NULL)
		evconnlistener_enable(s->listener);
}

static int start_listening(
	struct ops_http_server *s, const char *listen_text, struct ops_error *err)
{
	int fd = -1;
	int rc = ops_listen(listen_text, SOCK_STREAM, &fd, err);

	if (rc != 0)
		return rc;
	s->port = ops_listen_port(fd);
	s->listener = evconnlistener_new(ops_loop_base(s->loop), on_accept, s,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (s->listener == NULL) {
		close(fd);
		return ops_error_set(err, -ENOMEM, "could not listen on %s", listen_text);
	}
	evconnlistener_set_error_cb(s->listener, on_accept_error);
	return 0;
}

static void set_defaults(struct ops_http_limits *l)
{
	l->header_bytes = l->header_bytes != 0 ? l->header_bytes : (size_t)32 << 10;
	l->body_bytes = l->body_bytes != 0 ? l->body_bytes : (size_t)10 << 20;
	l->connections = l->connections != 0 ? l->connections : 1024;
	l->connections_per_addr = l->connections_per_addr != 0 ? l->connections_per_addr : 256;
	l->request_deadline_ms = l->request_deadline_ms != 0 ? l->request_deadline_ms : 15000;
	l->idle_ms = l->idle_ms != 0 ? l->idle_ms : 120000;
}

static struct ops_http_server *server_alloc(
	struct ops_loop *loop, const struct ops_http_config *cfg)
{
	struct ops_http_server *s = ops_xcalloc(1, sizeof(*s));

	s->loop = loop;
	s->service = ops_xstrdup(cfg->service);
	s->anonymous_role = cfg->anonymous_role;
	s->limits = cfg->limits;
	set_defaults(&s->limits);
	s->guard.max_connections = s->limits.connections;
	s->guard.max_per_addr = s->limits.connections_per_addr;
	s->guard.per_second = s->limits.requests_per_second;
	ops_http_guard_init(&s->guard);
	s->auth = ops_http_auth_new(loop);
	s->accept_again = ops_timer_new(loop, on_accept_again, s);
	LIST_INIT(&s->conns);
	LIST_INIT(&s->reqs);
	if (cfg->web_config_file != NULL && *cfg->web_config_file != '\0')
		s->web_config_file = ops_xstrdup(cfg->web_config_file);
	return s;
}

int ops_http_server_new(struct ops_loop *loop, const struct ops_http_config *cfg,
	struct ops_http_server **ret, struct ops_error *err)
{
	struct ops_http_server *s = server_alloc(loop, cfg);
	int rc = ops_http_server_reload(s, err);

	if (rc == 0)
		rc = start_listening(s, cfg->listen, err);
	if (rc != 0) {
		ops_http_server_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

int ops_http_server_reload(struct ops_http_server *s, struct ops_error *err)
{
	struct ops_web_config *web = NULL;

	if (s->web_config_file == NULL) {
		web = ops_web_config_none();
	} else {
		int rc = ops_web_config_load(s->web_config_file, &web, err);
		if (rc != 0)
			return rc;
	}
	ops_web_config_unref(s->web);
	s->web = web;
	ops_http_auth_forget(s->auth);
	return 0;
}

static void stop_listening(struct ops_http_server *s)
{
	if (s->listener != NULL)
		evconnlistener_free(s->listener);
	s->listener = NULL;
}

void ops_http_server_drain(struct ops_http_server *s)
{
	stop_listening(s);
	s->draining = true;
	for (struct ops_http_conn *c = LIST_FIRST(&s->conns); c != NULL;) {
		struct ops_http_conn *next = ops_http_conn_next(c);
		ops_http_conn_drain(c);
		c = next;
	}
}

size_t ops_http_server_busy(const struct ops_http_server *s)
{
	size_t n = 0;

	for (struct ops_http_conn *c = LIST_FIRST(&s->conns); c != NULL; c = ops_http_conn_next(c))
		n += ops_http_conn_busy(c) ? 1 : 0;
	return n;
}

unsigned ops_http_server_port(const struct ops_http_server *s)
{
	return s->port;
}

void ops_http_route(struct ops_http_server *s, unsigned methods, const char *pattern,
	enum ops_role least, void (*fn)(struct ops_http_req *req, void *arg), void *arg)
{
	char *copy = ops_xstrdup(pattern);
	const struct ops_http_route route = {copy, methods, least, fn, arg};

	ops_http_router_add(&s->router, &route);
	s->streams |= (methods & OPS_STREAM_BODY) != 0;
	free(copy);
}

void ops_http_fallback(struct ops_http_server *s, ops_http_fallback_fn *fn, void *arg)
{
	s->fallback = fn;
	s->fallback_arg = arg;
}

void ops_http_server_free(struct ops_http_server *s)
{
	if (s == NULL)
		return;
	stop_listening(s);
	while (!LIST_EMPTY(&s->conns))
		ops_http_conn_close(LIST_FIRST(&s->conns));
	/* Requests whose handlers still hold them: their reply will only free them. */
	for (struct ops_http_req *r = LIST_FIRST(&s->reqs); r != NULL; r = LIST_FIRST(&s->reqs)) {
		LIST_REMOVE(r, link);
		r->server = NULL;
	}
	ops_http_auth_free(s->auth);
	ops_timer_free(s->accept_again);
	ops_http_guard_done(&s->guard);
	ops_http_router_done(&s->router);
	ops_web_config_unref(s->web);
	free(s->web_config_file);
	free(s->service);
	free(s);
}
