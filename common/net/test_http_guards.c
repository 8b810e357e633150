/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What time, numbers and vanished clients do to the server: deadlines, limits, aborts, drain,
 * keep-alive, gzip, HEAD.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <zlib.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "common/net/test_world.h"

#define H "Host: x\r\n"
#define C "Connection: close\r\n"

static void run(const struct ops_http_config *cfg, void (*fn)(struct client *c))
{
	struct world w;
	struct client c = {.fn = fn};

	open_world(&w, cfg);
	run_client(&w, &c);
	close_world(&w);
}

/* The page of all metrics has this line. */
static void expect_metric(const char *line)
{
	struct ops_strbuf page = OPS_STRBUF_INIT;

	ops_metrics_expose(&page);
	if (strstr(ops_strbuf_text(&page), line) == NULL)
		fail_msg("no %s in\n%s", line, ops_strbuf_text(&page));
	ops_strbuf_done(&page);
}

/* ---- deadlines ---- */

static const struct ops_http_config hasty = {.service = "test",
	.listen = "127.0.0.1:0",
	.anonymous_role = OPS_ROLE_VIEWER,
	.limits = {.request_deadline_ms = 150, .idle_ms = 100}};

static void slow_loris(struct client *c)
{
	struct ops_strbuf got = OPS_STRBUF_INIT;
	int fd = dial(c->port);
	int64_t begin = ops_mono_ms();
	bool closed = false;

	says(fd, "GET /echo HTTP/1.1\r\n" H);
	for (int i = 0; i < 40 && !closed; i++) {
		says(fd, "A: b\r\n");
		closed = listen_until_close(fd, &got, 20);
	}
	if (!closed || ops_mono_ms() - begin < 140)
		complain(c, "a dripping head", "was not cut off at the deadline");
	if (strstr(ops_strbuf_text(&got), "408") == NULL)
		complain(c, "a dripping head", ops_strbuf_text(&got));
	close(fd);
	ops_strbuf_reset(&got);
	fd = dial(c->port);
	says(fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nab");
	if (!listen_until_close(fd, &got, READ_MS) || strstr(ops_strbuf_text(&got), "408") == NULL)
		complain(c, "an unfinished body", ops_strbuf_text(&got));
	close(fd);
	ops_strbuf_reset(&got);
	fd = dial(c->port);
	if (!listen_until_close(fd, &got, READ_MS) || got.len != 0)
		complain(c, "a silent connection", "was not closed silently");
	close(fd);
	fd = dial(c->port);
	says(fd, "GET /echo HTTP/1.1\r\n" H "\r\n");
	begin = ops_mono_ms();
	if (!listen_until_close(fd, &got, READ_MS) || ops_mono_ms() - begin < 90)
		complain(c, "an idle connection", "was not closed after idle_ms");
	close(fd);
	ops_strbuf_done(&got);
}

static void test_deadlines(void **state)
{
	(void)state;
	run(&hasty, slow_loris);
	expect_metric("ops_http_refused_total{reason=\"deadline\"} 3");
}

/* Asks for much and reads nothing for so long; true: got all of it all the same. */
static bool reads_late(const struct client *c, int pause_ms)
{
	int fd = dial(c->port);
	struct ops_strbuf got = OPS_STRBUF_INIT;

	for (int i = 0; i < 40; i++)
		says(fd, "GET /big HTTP/1.1\r\n" H "\r\n");
	sleep_ms(pause_ms);
	(void)listen_until_close(fd, &got, 300);
	bool all = count(ops_strbuf_text(&got), "HTTP/1.1 200") >= 40;
	close(fd);
	ops_strbuf_done(&got);
	return all;
}

/* On a busy machine the server may not have come to it yet: then we are slower. */
static void slow_reader(struct client *c)
{
	int pause_ms = 600;

	while (reads_late(c, pause_ms)) {
		pause_ms *= 2;
		if (pause_ms > 10000) {
			complain(c, "slow reader", "got everything");
			return;
		}
	}
}

static void test_slow_reader(void **state)
{
	(void)state;
	run(&hasty, slow_reader);
	expect_metric("ops_http_refused_total{reason=\"slow_reader\"} 1");
}

/* ---- numbers ---- */

static void many_connections(struct client *c)
{
	int fds[4];
	struct ops_strbuf got = OPS_STRBUF_INIT;

	for (size_t i = 0; i < OPS_LENGTH(fds); i++) {
		fds[i] = dial(c->port);
		sleep_ms(5);
	}
	if (!listen_until_close(fds[3], &got, READ_MS) ||
		strstr(ops_strbuf_text(&got), "503") == NULL)
		complain(c, "the fourth connection", ops_strbuf_text(&got));
	ops_strbuf_reset(&got);
	close(fds[0]);
	char *last = NULL;
	for (int i = 0; i < 100 && (last == NULL || strstr(last, "200 OK") == NULL); i++) {
		free(last);
		sleep_ms(10); /* until the server has seen it leave */
		last = ask(c->port, "GET /echo HTTP/1.1\r\n" H C "\r\n");
	}
	if (strstr(last, "200 OK") == NULL)
		complain(c, "after one left", last);
	free(last);
	for (size_t i = 1; i < OPS_LENGTH(fds); i++)
		close(fds[i]);
	ops_strbuf_done(&got);
}

static void test_connections(void **state)
{
	struct ops_http_config cfg = {
		.service = "test", .listen = "127.0.0.1:0", .anonymous_role = OPS_ROLE_VIEWER};

	(void)state;
	cfg.limits.connections = 3;
	run(&cfg, many_connections);
	expect_metric("ops_http_refused_total{reason=\"connections\"}");
	cfg.limits.connections = 100;
	cfg.limits.connections_per_addr = 3;
	run(&cfg, many_connections);
	expect_metric("ops_http_refused_total{reason=\"connections_per_addr\"}");
}

static void too_fast(struct client *c)
{
	int ok = 0, limited = 0;

	for (int i = 0; i < 30; i++) {
		char *got = ask(c->port, "GET /echo HTTP/1.1\r\n" H C "\r\n");
		ok += strstr(got, "200 OK") != NULL ? 1 : 0;
		limited += strstr(got, "429 ") != NULL && strstr(got, "Retry-After: 1") != NULL ? 1
												: 0;
		free(got);
	}
	if (ok < 2 || limited < 10 || ok + limited != 30)
		complain(c, "rate", "a burst of 2 was expected to pass, most others not");
}

static void test_rate(void **state)
{
	struct ops_http_config cfg = {
		.service = "test", .listen = "127.0.0.1:0", .anonymous_role = OPS_ROLE_VIEWER};

	(void)state;
	cfg.limits.requests_per_second = 1;
	run(&cfg, too_fast);
}

static void long_heads(struct client *c)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct ops_strbuf got = OPS_STRBUF_INIT;

	ops_strbuf_adds(&text, "GET /echo HTTP/1.1\r\n" H "A: ");
	for (int i = 0; i < 9000; i++)
		ops_strbuf_addc(&text, 'a');
	char *head = ask(c->port, ops_strbuf_text(&text));
	if (strstr(head, "431 ") == NULL)
		complain(c, "long head", head);
	free(head);
	ops_strbuf_reset(&text);
	ops_strbuf_adds(&text, "GET /echo?");
	for (int i = 0; i < 9000; i++)
		ops_strbuf_addc(&text, 'a');
	head = ask(c->port, ops_strbuf_text(&text));
	if (strstr(head, "414 ") == NULL)
		complain(c, "long target", head);
	free(head);
	ops_strbuf_reset(&text);
	ops_strbuf_adds(&text, "GET /echo HTTP/1.1\r\n" H);
	for (int i = 0; i < 120; i++)
		ops_strbuf_adds(&text, "A: b\r\n");
	ops_strbuf_adds(&text, "\r\n");
	head = ask(c->port, ops_strbuf_text(&text));
	if (strstr(head, "431 ") == NULL)
		complain(c, "many fields", head);
	free(head);
	ops_strbuf_done(&text);
	ops_strbuf_done(&got);
}

static const struct ops_http_config small = {.service = "test",
	.listen = "127.0.0.1:0",
	.anonymous_role = OPS_ROLE_VIEWER,
	.limits = {.header_bytes = 4096, .body_bytes = 65536}};

static void test_long_heads(void **state)
{
	(void)state;
	run(&small, long_heads);
}

/* ---- vanished clients, drain ---- */

static void go_away(struct client *c)
{
	int fd = dial(c->port);

	says(fd, "GET /watched HTTP/1.1\r\n" H "\r\n");
	sleep_ms(40);
	close(fd);
	sleep_ms(40);
	fd = dial(c->port); /* the handler does not watch: its reply goes nowhere */
	says(fd, "GET /late HTTP/1.1\r\n" H "\r\n");
	sleep_ms(20);
	close(fd);
	sleep_ms(120);
	fd = dial(c->port);
	says(fd, "GET /held HTTP/1.1\r\n" H "\r\n"); /* nobody answers until the server is gone */
	char *got = ask(c->port, "GET /echo HTTP/1.1\r\n" H C "\r\n");
	free(got);
	sleep_ms(20);
}

static void test_abort(void **state)
{
	struct world w;
	struct client c = {.fn = go_away};

	(void)state;
	open_world(&w, &small);
	run_client(&w, &c);
	assert_int_equal(w.aborts, 1);
	assert_non_null(w.held);
	assert_int_equal(ops_http_server_busy(w.server), 1);
	close_world(&w);
}

static void wait_for_drain(struct client *c)
{
	struct ops_strbuf got = OPS_STRBUF_INIT;
	int idle = dial(c->port), busy = dial(c->port);

	says(idle, "GET /echo HTTP/1.1\r\n" H "\r\n");
	while (strstr(ops_strbuf_text(&got), "anonymous") == NULL &&
		!listen_until_close(idle, &got, 20))
		;
	says(busy, "GET /drain HTTP/1.1\r\n" H "\r\n"); /* drains the server, answers 80 ms later */
	if (!listen_until_close(idle, &got, READ_MS))
		complain(c, "idle connection", "stayed open");
	ops_strbuf_reset(&got);
	if (!listen_until_close(busy, &got, READ_MS) ||
		strstr(ops_strbuf_text(&got), "late") == NULL ||
		strstr(ops_strbuf_text(&got), "Connection: close") == NULL)
		complain(c, "request under way", ops_strbuf_text(&got));
	int fd = dial(c->port);
	if (fd >= 0)
		complain(c, "after drain", "a new connection was accepted");
	close(idle);
	close(busy);
	ops_strbuf_done(&got);
}

static void test_drain(void **state)
{
	struct world w;
	struct client c = {.fn = wait_for_drain};

	(void)state;
	open_world(&w, &small);
	run_client(&w, &c);
	assert_int_equal(ops_http_server_busy(w.server), 0);
	close_world(&w);
}

/* ---- replies ---- */

static size_t gunzip(const char *data, size_t len, char *out, size_t size)
{
	z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)data, .avail_in = (uInt)len};

	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)size;
	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return 0;
	int rc = inflate(&z, Z_FINISH);
	size_t n = rc == Z_STREAM_END ? z.total_out : 0;
	inflateEnd(&z);
	return n;
}

static void check_gzip(struct client *c, const char *accept, bool wanted)
{
	static char plain[400000];
	struct ops_strbuf got = OPS_STRBUF_INIT;
	char text[256];
	int fd = dial(c->port);

	snprintf(text, sizeof(text), "GET /big HTTP/1.1\r\n" H C "Accept-Encoding: %s\r\n\r\n",
		accept);
	says(fd, text);
	(void)listen_until_close(fd, &got, READ_MS);
	close(fd);
	const char *body = memmem(got.data, got.len, "\r\n\r\n", 4);
	bool packed = strstr(got.data, "Content-Encoding: gzip") != NULL;
	size_t len = got.len - (size_t)(body + 4 - got.data);
	size_t n = packed ? gunzip(body + 4, len, plain, sizeof(plain)) : len;
	if (packed != wanted || n != 300000 || strstr(got.data, "Vary: Accept-Encoding") == NULL)
		complain(c, accept, wanted ? "was not packed" : "was packed");
	ops_strbuf_done(&got);
}

static void look_at_replies(struct client *c)
{
	check_gzip(c, "gzip", true);
	check_gzip(c, "deflate, GZIP;q=0.5, br", true);
	check_gzip(c, "*", true);
	check_gzip(c, "br, deflate", false);
	check_gzip(c, "gzip;q=0", false);
	check_gzip(c, "gzip;q=0.000, br", false);
	check_gzip(c, "xgzip", false);
	char *head = ask(c->port, "HEAD /echo HTTP/1.1\r\n" H C "\r\n");
	const char *end = strstr(head, "\r\n\r\n");
	if (strncmp(head, "HTTP/1.1 200", 12) != 0 || strstr(head, "Content-Length: ") == NULL ||
		end == NULL || end[4] != '\0')
		complain(c, "HEAD", head);
	free(head);
	char *both = ask(c->port,
		"HEAD /echo HTTP/1.1\r\n" H "\r\nGET /echo?q=next HTTP/1.1\r\n" H C "\r\n");
	if (count(both, "HTTP/1.1 200") != 2 || strstr(both, "\"q\":\"next\"") == NULL)
		complain(c, "HEAD, then GET", both);
	free(both);
}

static void test_replies(void **state)
{
	(void)state;
	run(&small, look_at_replies);
}

/* A handful of clients send random bytes and cut requests at random places: nobody crashes, the
 * server still answers. */
static void nonsense(struct client *c)
{
	static const char request[] = "POST /echo?q=%41 HTTP/1.1\r\n" H
				      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
	unsigned seed = 7;

	for (int i = 0; i < 300; i++) {
		char text[sizeof(request)];
		int fd = dial(c->port);
		memcpy(text, request, sizeof(request));
		for (int k = 0; k < 3; k++) {
			seed = seed * 1103515245U + 12345U;
			text[(seed >> 8) % (sizeof(request) - 1)] = (char)(seed >> 20);
		}
		say(fd, text, (seed >> 4) % sizeof(request));
		close(fd);
	}
	char *got = ask(c->port, "GET /echo HTTP/1.1\r\n" H C "\r\n");
	if (strstr(got, "200 OK") == NULL)
		complain(c, "after nonsense", got);
	free(got);
}

static void test_nonsense(void **state)
{
	struct ops_http_config cfg = small;

	(void)state;
	cfg.limits.connections_per_addr =
		1000; /* a busy server has not seen the earlier ones close */
	run(&cfg, nonsense);
}

static void test_listen_errors(void **state)
{
	struct ops_loop *loop = ops_loop_new();
	struct ops_http_config cfg = {.service = "test", .listen = "127.0.0.1:0"};
	struct ops_http_server *first = NULL, *second = NULL;
	struct ops_error err;
	char same[64];

	(void)state;
	assert_int_equal(ops_http_server_new(loop, &cfg, &first, &err), 0);
	snprintf(same, sizeof(same), "127.0.0.1:%u", ops_http_server_port(first));
	cfg.listen = same;
	assert_int_equal(ops_http_server_new(loop, &cfg, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.message, same));
	static const char *const bad[] = {
		"9093", "localhost", "127.0.0.1:", ":65536", ":x", "a:b:1", "[::1:1"};
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		cfg.listen = bad[i];
		assert_int_equal(ops_http_server_new(loop, &cfg, &second, &err), -EINVAL);
	}
	cfg.listen = ":0";
	assert_int_equal(ops_http_server_new(loop, &cfg, &second, &err), 0);
	ops_http_server_free(first);
	ops_http_server_free(second);
	ops_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_long_heads),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_listen_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
