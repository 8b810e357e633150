/* SPDX-License-Identifier: Apache-2.0 */
/* See test_world.h. Handlers answer with what they saw, so that a test can compare text. */
#include "common/net/test_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/number.h"

/* ---- handlers ---- */

static void on_echo(struct ops_http_req *req, void *arg)
{
	const char *body, *names[4];
	size_t len;
	json_t *j = json_object();

	(void)arg;
	ops_http_body(req, &body, &len);
	ops_json_set_string(j, "path", ops_http_path(req));
	ops_json_set_string(j, "name", ops_http_segment(req, "name"));
	ops_json_set_string(j, "q", ops_http_param(req, "q"));
	ops_json_set_i64(j, "qs", (int64_t)ops_http_params(req, "q", names, 4));
	ops_json_set_string(j, "body", body);
	ops_json_set_i64(j, "len", (int64_t)len);
	ops_json_set_string(j, "who", ops_http_principal(req));
	ops_json_set_string(j, "role", ops_role_text(ops_http_role(req)));
	ops_json_set_string(j, "trace", ops_http_trace_id(req));
	ops_json_set_string(j, "remote", ops_http_remote(req));
	ops_http_reply_json(req, 200, j);
}

static void on_big(struct ops_http_req *req, void *arg)
{
	static char big[300000];

	(void)arg;
	memset(big, 'x', sizeof(big));
	ops_http_reply(req, 200, "text/plain", big, sizeof(big));
}

static void on_json(struct ops_http_req *req, void *arg)
{
	json_t *j = NULL;

	(void)arg;
	if (ops_http_json(req, &j) != 0)
		return;
	ops_http_reply_json(req, 200, j);
}

static void reply_held(void *arg)
{
	struct world *w = arg;

	if (w->held != NULL)
		ops_http_reply_text(w->held, 200, "late\n");
	w->held = NULL;
}

static void on_late(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;

	w->held = req;
	ops_timer_start(w->later, 80);
}

static void on_held(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;

	w->held = req;
}

static void on_drain(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;

	ops_http_server_drain(w->server);
	on_late(req, w);
}

static void on_gone(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;

	assert_ptr_equal(req, w->held);
	ops_http_reply_text(req, 200, "must be ignored");
	w->held = NULL;
	w->aborts++;
}

static void on_watched(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;

	w->held = req;
	ops_http_on_abort(req, on_gone, w);
}

/* ---- a reply in pieces ---- */

static void on_pieces_gone(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;

	(void)req;
	w->pieces = 0;
	w->aborts++;
}

static void write_pieces(struct ops_http_req *req, void *arg)
{
	static char piece[100000];
	struct world *w = arg;

	memset(piece, 'x', sizeof(piece));
	while (w->pieces > 0) {
		size_t waiting = ops_http_stream_write(req, piece, sizeof(piece));
		w->pieces--;
		w->most_waiting = OPS_MAX(w->most_waiting, waiting);
		if (waiting > 1000000)
			return;
	}
	ops_http_stream_end(req);
}

static void on_pieces(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;
	const char *n = ops_http_segment(req, "n");
	uint64_t pieces = 0;

	assert_int_equal(ops_parse_u64(n, strlen(n), &pieces), 0);
	w->pieces = (size_t)pieces;
	ops_http_on_abort(req, on_pieces_gone, w);
	ops_http_stream_begin(req, 200, "text/plain", write_pieces, w);
	write_pieces(req, w);
}

/* ---- a body in pieces ---- */

static void on_swallow_gone(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;

	(void)req;
	w->aborts++;
}

static void on_piece(struct ops_http_req *req, const void *data, size_t len, bool last)
{
	struct world *w = ops_http_body_arg(req);
	char text[64];

	if (w->swallowed == 0 && len >= 2 && memcmp(data, "no", 2) == 0) {
		ops_http_reply_text(req, 400, "refused\n");
		return;
	}
	w->swallowed += len;
	w->body_pieces++;
	if (last) {
		snprintf(text, sizeof(text), "%zu bytes\n", w->swallowed);
		ops_http_reply_text(req, 200, text);
	}
}

static void on_swallow(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;

	w->swallowed = w->body_pieces = 0;
	ops_http_on_abort(req, on_swallow_gone, w);
	ops_http_on_body(req, on_piece, w);
}

/* ---- world ---- */

void open_world(struct world *w, const struct ops_http_config *cfg)
{
	struct ops_error err = {.line = 0};

	memset(w, 0, sizeof(*w));
	w->loop = ops_loop_new();
	w->later = ops_timer_new(w->loop, reply_held, w);
	int rc = ops_http_server_new(w->loop, cfg, &w->server, &err);
	if (rc != 0)
		fail_msg("%s", err.message);
	ops_http_route(w->server, OPS_GET | OPS_POST, "/echo", OPS_ROLE_VIEWER, on_echo, w);
	ops_http_route(
		w->server, OPS_GET | OPS_DELETE, "/item/{name}", OPS_ROLE_VIEWER, on_echo, w);
	ops_http_route(w->server, OPS_POST, "/write", OPS_ROLE_OPERATOR, on_echo, w);
	ops_http_route(w->server, OPS_GET, "/open", OPS_ROLE_NONE, on_echo, w);
	ops_http_route(w->server, OPS_GET, "/big", OPS_ROLE_VIEWER, on_big, w);
	ops_http_route(w->server, OPS_POST, "/json", OPS_ROLE_VIEWER, on_json, w);
	ops_http_route(w->server, OPS_GET, "/late", OPS_ROLE_VIEWER, on_late, w);
	ops_http_route(w->server, OPS_GET, "/held", OPS_ROLE_VIEWER, on_held, w);
	ops_http_route(w->server, OPS_GET, "/drain", OPS_ROLE_VIEWER, on_drain, w);
	ops_http_route(
		w->server, OPS_POST | OPS_STREAM_BODY, "/swallow", OPS_ROLE_VIEWER, on_swallow, w);
	ops_http_route(w->server, OPS_GET, "/pieces/{n}", OPS_ROLE_VIEWER, on_pieces, w);
	ops_http_route(w->server, OPS_GET, "/watched", OPS_ROLE_VIEWER, on_watched, w);
}

void close_world(struct world *w)
{
	ops_http_server_free(w->server);
	reply_held(w); /* a handler that answers after the server is gone */
	ops_timer_free(w->later);
	ops_loop_free(w->loop);
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	uint64_t one = 1;

	c->fn(c);
	return write(c->done_fd, &one, sizeof(one)) == (ssize_t)sizeof(one) ? NULL : c;
}

static void on_client_done(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	ops_loop_stop(arg);
}

/* Runs fn on its own thread while the loop serves. */
void run_client(struct world *w, struct client *c)
{
	pthread_t thread;

	c->world = w;
	c->port = ops_http_server_port(w->server);
	c->done_fd = eventfd(0, EFD_CLOEXEC);
	struct ops_watch *watch =
		ops_watch_new(w->loop, c->done_fd, OPS_READABLE, on_client_done, w->loop);
	assert_int_equal(pthread_create(&thread, NULL, client_main, c), 0);
	ops_loop_run(w->loop);
	pthread_join(thread, NULL);
	ops_watch_free(watch);
	close(c->done_fd);
	if (c->got.len > 0) {
		print_error("%s\n", ops_strbuf_text(&c->got));
		ops_strbuf_done(&c->got);
		fail();
	}
}

void complain(struct client *c, const char *what, const char *text)
{
	ops_strbuf_printf(&c->got, "\n[%s] %s", what, text);
}

void sleep_ms(int ms)
{
	(void)poll(NULL, 0, ms);
}

int dial(unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

void say(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		at += n;
		len -= (size_t)n;
	}
}

/* Until the peer closes, or nothing comes for ms. True: closed. */
bool listen_until_close(int fd, struct ops_strbuf *out, int ms)
{
	char buf[65536];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (poll(&p, 1, ms) <= 0)
			return false;
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return true;
		ops_strbuf_add(out, buf, (size_t)n);
	}
}

size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
		n++;
	return n;
}

void says(int fd, const char *text)
{
	say(fd, text, strlen(text));
}

char *ask(unsigned port, const char *request)
{
	struct ops_strbuf got = OPS_STRBUF_INIT;
	int fd = dial(port);

	says(fd, request);
	(void)listen_until_close(fd, &got, READ_MS);
	close(fd);
	return ops_strbuf_take(&got);
}
