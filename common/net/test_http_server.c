/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server on a real socket: a table of raw exchanges, most of them hostile. The client is a
 * thread with blocking sockets, the loop runs on the test's thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <zlib.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/metrics/metrics.h"
#include "common/net/http_server.h"

enum {
	READ_MS = 3000
};

struct world {
	struct ops_loop *loop;
	struct ops_http_server *server;
	struct ops_timer *later;
	struct ops_http_req *held;
	int aborts;
};

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

/* ---- world ---- */

static void open_world(struct world *w, const struct ops_http_config *cfg)
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
	ops_http_route(w->server, OPS_GET, "/watched", OPS_ROLE_VIEWER, on_watched, w);
}

static void close_world(struct world *w)
{
	ops_http_server_free(w->server);
	reply_held(w); /* a handler that answers after the server is gone */
	ops_timer_free(w->later);
	ops_loop_free(w->loop);
}

struct client {
	void (*fn)(struct client *c);
	unsigned port;
	int done_fd;
	const void *arg;
	struct ops_strbuf got;
};

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
static void run_client(struct world *w, struct client *c)
{
	pthread_t thread;

	c->port = ops_http_server_port(w->server);
	c->done_fd = eventfd(0, EFD_CLOEXEC);
	struct ops_watch *watch =
		ops_watch_new(w->loop, c->done_fd, OPS_READABLE, on_client_done, w->loop);
	assert_int_equal(pthread_create(&thread, NULL, client_main, c), 0);
	ops_loop_run(w->loop);
	pthread_join(thread, NULL);
	ops_watch_free(watch);
	close(c->done_fd);
}

static int dial(unsigned port)
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

static void say(int fd, const void *data, size_t len)
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
static bool listen_until_close(int fd, struct ops_strbuf *out, int ms)
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

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
		n++;
	return n;
}

/* ---- the table ---- */

struct exchange {
	const char *name, *send;
	size_t len;	     /* 0 = strlen */
	const char *expect;  /* "413": status of the first answer */
	const char *contain; /* somewhere in what came back */
	size_t answers;	     /* 0 = 1 */
};

#define H "Host: x\r\n"
#define C "Connection: close\r\n"
static const struct exchange exchanges[] = {
	{"get", "GET /echo?q=a&q=b%20c+d HTTP/1.1\r\n" H C "\r\n", 0, "200", "\"qs\":2", 0},
	{"decoded", "GET /echo?q=b%20c+d HTTP/1.1\r\n" H C "\r\n", 0, "200", "\"q\":\"b c d\"", 0},
	{"nosniff", "GET /echo HTTP/1.1\r\n" H C "\r\n", 0, "200",
		"X-Content-Type-Options: nosniff", 0},
	{"segment", "GET /item/a%2Fb HTTP/1.1\r\n" H C "\r\n", 0, "200", "\"name\":\"a/b\"", 0},
	{"form",
		"POST /echo HTTP/1.1\r\n" H C
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\nq=%41",
		0, "200", "\"q\":\"A\"", 0},
	{"chunked",
		"POST /echo HTTP/1.1\r\n" H C
		"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: "
		"t\r\n\r\n",
		0, "200", "\"body\":\"abc0123456789\"", 0},
	{"absolute form", "GET http://x:1/echo?q=1 HTTP/1.1\r\n" H C "\r\n", 0, "200",
		"\"q\":\"1\"", 0},
	{"http 1.0", "GET /echo HTTP/1.0\r\n\r\n", 0, "200", "Connection: close", 0},
	{"blank line first", "\r\n\r\nGET /echo HTTP/1.1\r\n" H C "\r\n", 0, "200", NULL, 0},
	{"traceparent",
		"GET /echo HTTP/1.1\r\n" H C
		"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
		0, "200", "4bf92f3577b34da6a3ce929d0e0e4736", 0},
	{"remote", "GET /echo HTTP/1.1\r\n" H C "\r\n", 0, "200", "\"remote\":\"127.0.0.1\"", 0},
	{"not found", "GET /nothing HTTP/1.1\r\n" H C "\r\n", 0, "404", "{\"error\":", 0},
	{"wrong method", "DELETE /echo HTTP/1.1\r\n" H C "\r\n", 0, "405",
		"Allow: GET, HEAD, POST, OPTIONS", 0},
	{"options", "OPTIONS /item/x HTTP/1.1\r\n" H C "\r\n", 0, "204",
		"Allow: GET, HEAD, DELETE, OPTIONS", 0},
	{"role", "POST /write HTTP/1.1\r\n" H C "\r\n", 0, "403", "needs operator", 0},
	{"bad json", "POST /json HTTP/1.1\r\n" H C "Content-Length: 9\r\n\r\n{\"a\":1,,}", 0, "400",
		"\"line\":1", 0},
	{"duplicate key",
		"POST /json HTTP/1.1\r\n" H C "Content-Length: 13\r\n\r\n{\"a\":1,\"a\":2}", 0,
		"400", NULL, 0},
	{"pipelined",
		"GET /echo?q=1 HTTP/1.1\r\n" H "\r\nGET /echo?q=2 HTTP/1.1\r\n" H
		"\r\nGET /echo?q=3 HTTP/1.1\r\n" H C "\r\n",
		0, "200", "\"q\":\"3\"", 3},
	{"late and pipelined",
		"GET /late HTTP/1.1\r\n" H "\r\nGET /echo?q=2 HTTP/1.1\r\n" H C "\r\n", 0, "200",
		"late", 2},
	{"expect",
		"POST /echo HTTP/1.1\r\n" H C "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
		0, "100", "100 Continue", 1},
	/* what smuggles */
	{"two lengths",
		"POST /echo HTTP/1.1\r\n" H
		"Content-Length: 2\r\nContent-Length: 2\r\n\r\nabGET /echo HTTP/1.1\r\n" H "\r\n",
		0, "400", "several content lengths", 0},
	{"length list", "POST /echo HTTP/1.1\r\n" H "Content-Length: 2, 2\r\n\r\nab", 0, "400",
		NULL, 0},
	{"length and coding",
		"POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: "
		"chunked\r\n\r\n0\r\n\r\nGET /echo HTTP/1.1\r\n" H "\r\n",
		0, "400", NULL, 0},
	{"xchunked",
		"POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /echo HTTP/1.1\r\n" H "\r\n",
		0, "501", NULL, 0},
	{"gzip, chunked",
		"POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0,
		"501", NULL, 0},
	{"two codings",
		"POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		0, "400", NULL, 0},
	{"coding in 1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
		"400", NULL, 0},
	{"blank before colon", "GET /echo HTTP/1.1\r\nHost : x\r\n\r\n", 0, "400", NULL, 0},
	{"folded", "GET /echo HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 0, "400", NULL, 0},
	{"nul", "GET /echo HTTP/1.1\r\n" H "A: b\0c\r\n\r\n",
		sizeof("GET /echo HTTP/1.1\r\n" H "A: b\0c\r\n\r\n") - 1, "400", "nul byte", 0},
	{"bare lf", "GET /echo HTTP/1.1\n" H "\r\n", 0, "400", NULL, 0},
	{"bare cr", "GET /echo HTTP/1.1\r\n" H "A: b\rX: y\r\n\r\n", 0, "400", NULL, 0},
	{"control in value", "GET /echo HTTP/1.1\r\n" H "A: b\001\r\n\r\n", 0, "400", NULL, 0},
	{"no host", "GET /echo HTTP/1.1\r\n\r\n", 0, "400", NULL, 0},
	{"two hosts", "GET /echo HTTP/1.1\r\n" H H "\r\n", 0, "400", NULL, 0},
	{"negative length", "POST /echo HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 0, "400",
		NULL, 0},
	{"plus length", "POST /echo HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\nx", 0, "400", NULL,
		0},
	{"huge length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n",
		0, "400", NULL, 0},
	{"big length", "POST /echo HTTP/1.1\r\n" H "Content-Length: 70000\r\n\r\n", 0, "413", NULL,
		0},
	{"big chunk", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
		0, "413", NULL, 0},
	{"endless size",
		"POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
		0, "400", NULL, 0},
	{"chunk without end",
		"POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
		0, "400", NULL, 0},
	{"chunk size with blank",
		"POST /echo HTTP/1.1\r\n" H
		"Transfer-Encoding: chunked\r\n\r\n 2\r\nab\r\n0\r\n\r\n",
		0, "400", NULL, 0},
	{"unknown method", "BREW /echo HTTP/1.1\r\n" H "\r\n", 0, "501", NULL, 0},
	{"http 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, "505", NULL, 0},
	{"http 0.9", "GET /echo\r\n\r\n", 0, "400", NULL, 0},
	{"garbage", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 11, "400", NULL, 0},
	{"dots", "GET /item/../echo HTTP/1.1\r\n" H C "\r\n", 0, "400", NULL, 0},
	{"encoded dots", "GET /item/%2e%2E HTTP/1.1\r\n" H C "\r\n", 0, "400", NULL, 0},
	{"encoded nul", "GET /item/a%00b HTTP/1.1\r\n" H C "\r\n", 0, "400", NULL, 0},
	{"bad escape", "GET /echo?q=%zz HTTP/1.1\r\n" H C "\r\n", 0, "400", NULL, 0},
	{"expect something", "GET /echo HTTP/1.1\r\n" H "Expect: cake\r\n\r\n", 0, "417", NULL, 0},
};

static void run_exchanges(struct client *c)
{
	for (size_t i = 0; i < OPS_LENGTH(exchanges); i++) {
		const struct exchange *e = &exchanges[i];
		struct ops_strbuf got = OPS_STRBUF_INIT;
		int fd = dial(c->port);
		say(fd, e->send, e->len != 0 ? e->len : strlen(e->send));
		if (strcmp(e->expect, "100") == 0) {
			(void)listen_until_close(fd, &got, 200);
			say(fd, "hi", 2);
		}
		bool closed = listen_until_close(fd, &got, READ_MS);
		const char *text = ops_strbuf_text(&got);
		bool good = closed && strlen(text) > 12 && strncmp(text + 9, e->expect, 3) == 0 &&
			    (e->contain == NULL || strstr(text, e->contain) != NULL) &&
			    count(text, "HTTP/1.1 ") - count(text, "100 Continue") ==
				    (e->answers != 0 ? e->answers : 1);
		if (!good)
			ops_strbuf_printf(&c->got, "\n[%s] closed %d: %s\n", e->name, closed, text);
		close(fd);
		ops_strbuf_done(&got);
	}
}

static const struct ops_http_config plain = {.service = "test",
	.listen = "127.0.0.1:0",
	.anonymous_role = OPS_ROLE_VIEWER,
	.limits = {.header_bytes = 4096, .body_bytes = 65536}};

static void finish(struct client *c)
{
	if (c->got.len > 0)
		print_error("%s", ops_strbuf_text(&c->got));
	assert_int_equal(c->got.len, 0);
	ops_strbuf_done(&c->got);
}

static void test_exchanges(void **state)
{
	struct world w;
	struct client c = {.fn = run_exchanges};

	(void)state;
	open_world(&w, &plain);
	run_client(&w, &c);
	close_world(&w);
	finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchanges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
