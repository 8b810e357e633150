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

#include <string.h>
#include <unistd.h>

#include "common/net/test_world.h"

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
	{"pieces", "GET /pieces/2 HTTP/1.1\r\n" H "\r\nGET /echo?q=after HTTP/1.1\r\n" H C "\r\n",
		0, "200", "x\r\n0\r\n\r\nHTTP/1.1 200 OK", 2},
	{"pieces, chunked", "GET /pieces/1 HTTP/1.1\r\n" H C "\r\n", 0, "200",
		"Transfer-Encoding: chunked\r\n", 0},
	{"no piece", "GET /pieces/0 HTTP/1.1\r\n" H C "\r\n", 0, "200", "close\r\n\r\n0\r\n\r\n",
		0},
	{"pieces for 1.0", "GET /pieces/1 HTTP/1.0\r\n\r\n", 0, "200", "close\r\n\r\nxxx", 0},
	{"no piece for 1.0", "GET /pieces/0 HTTP/1.0\r\n\r\n", 0, "200", "close\r\n\r\n", 0},
	{"head of pieces", "HEAD /pieces/9 HTTP/1.1\r\n" H C "\r\n", 0, "200", "close\r\n\r\n", 0},
	{"a body as it comes", "POST /swallow HTTP/1.1\r\n" H C "Content-Length: 5\r\n\r\nabcde", 0,
		"200", "5 bytes", 0},
	{"none", "POST /swallow HTTP/1.1\r\n" H C "Content-Length: 0\r\n\r\n", 0, "200", "0 bytes",
		0},
	{"in chunks",
		"POST /swallow HTTP/1.1\r\n" H C
		"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
		0, "200", "13 bytes", 0},
	{"then another",
		"POST /swallow HTTP/1.1\r\n" H
		"Content-Length: 2\r\n\r\nabGET /echo HTTP/1.1\r\n" H C "\r\n",
		0, "200", "2 bytes", 2},
	{"refused midway",
		"POST /swallow HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\nno, thanks", 0,
		"400", "refused", 0},
	{"bad chunks of a body as it comes",
		"POST /swallow HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcX", 0,
		"400", "chunked coding", 0},
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
	{"page of another site",
		"POST /echo HTTP/1.1\r\n" H C
		"Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
		0, "403", "another site", 0},
	{"fetch of another site",
		"POST /echo HTTP/1.1\r\n" H C
		"Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n\r\n",
		0, "403", NULL, 0},
	{"null origin", "POST /echo HTTP/1.1\r\n" H C "Origin: null\r\nContent-Length: 0\r\n\r\n",
		0, "403", NULL, 0},
	{"own page", "POST /echo HTTP/1.1\r\n" H C "Origin: http://x\r\nContent-Length: 0\r\n\r\n",
		0, "200", NULL, 0},
	{"own fetch",
		"POST /echo HTTP/1.1\r\n" H C
		"Origin: http://proxy\r\nSec-Fetch-Site: same-origin\r\n\r\n",
		0, "200", NULL, 0},
	{"reading from elsewhere",
		"GET /echo HTTP/1.1\r\n" H C "Origin: http://evil.example\r\n\r\n", 0, "200", NULL,
		0},
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
			complain(c, e->name, text);
		close(fd);
		ops_strbuf_done(&got);
	}
}

static const struct ops_http_config plain = {.service = "test",
	.listen = "127.0.0.1:0",
	.anonymous_role = OPS_ROLE_VIEWER,
	.limits = {.header_bytes = 4096, .body_bytes = 65536}};

static void test_exchanges(void **state)
{
	struct world w;
	struct client c = {.fn = run_exchanges};

	(void)state;
	open_world(&w, &plain);
	run_client(&w, &c);
	close_world(&w);
}

/* Twenty megabytes for a reader that begins late: little of them waits in the server. */
static void read_late(struct client *c)
{
	struct ops_strbuf got = OPS_STRBUF_INIT;
	int fd = dial(c->port);
	says(fd, "GET /pieces/200 HTTP/1.0\r\n\r\n");
	sleep_ms(50);
	bool closed = listen_until_close(fd, &got, READ_MS);
	const char *body = strstr(ops_strbuf_text(&got), "\r\n\r\n");
	if (!closed || body == NULL || strspn(body + 4, "x") != 20000000)
		complain(c, "20 MB", closed ? "not all" : "not closed");
	close(fd);
	ops_strbuf_done(&got);
}

/* Longer than any body may be that is collected. */
static void send_much(struct client *c)
{
	static char piece[100000];
	struct ops_strbuf got = OPS_STRBUF_INIT;
	int fd = dial(c->port);
	memset(piece, 'b', sizeof(piece));
	says(fd, "POST /swallow HTTP/1.1\r\n" H C "Content-Length: 5000000\r\n\r\n");
	for (int i = 0; i < 50; i++)
		say(fd, piece, sizeof(piece));
	if (!listen_until_close(fd, &got, READ_MS) ||
		strstr(ops_strbuf_text(&got), "5000000 bytes") == NULL)
		complain(c, "5 MB", ops_strbuf_text(&got));
	close(fd);
	ops_strbuf_done(&got);
}

/* Half of a body, then nobody is there any more. */
static void send_half(struct client *c)
{
	int fd = dial(c->port);
	says(fd, "POST /swallow HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\nhalf");
	sleep_ms(20);
	close(fd);
	for (int i = 0; i < 300 && __atomic_load_n(&c->world->aborts, __ATOMIC_RELAXED) == 0; i++)
		sleep_ms(10);
}

static void test_body_in_pieces(void **state)
{
	struct world w;
	struct client much = {.fn = send_much}, half = {.fn = send_half};

	(void)state;
	open_world(&w, &plain);
	run_client(&w, &much);
	assert_true(w.body_pieces > 5);
	assert_int_equal(w.aborts, 0);
	run_client(&w, &half);
	assert_int_equal(w.aborts, 1);
	close_world(&w);
}

static void leave_early(struct client *c)
{
	char some[1000];
	int fd = dial(c->port);
	says(fd, "GET /pieces/200 HTTP/1.1\r\n" H "\r\n");
	if (read(fd, some, sizeof(some)) <= 0)
		complain(c, "leave", "nothing came");
	close(fd);
	for (int i = 0; i < 300 && __atomic_load_n(&c->world->aborts, __ATOMIC_RELAXED) == 0; i++)
		sleep_ms(10);
}

static void test_pieces(void **state)
{
	struct world w;
	struct client late = {.fn = read_late}, early = {.fn = leave_early};

	(void)state;
	open_world(&w, &plain);
	run_client(&w, &late);
	assert_in_range(w.most_waiting, 1, 1200000);
	assert_int_equal(w.aborts, 0);
	run_client(&w, &early);
	assert_int_equal(w.aborts, 1);
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_body_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
