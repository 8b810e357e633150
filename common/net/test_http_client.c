/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP client against a small server that does exactly what each case says: answers, silence,
 * too much, redirects to itself under another name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>
#include <zlib.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/net/test_certs.h"
#include "common/net/test_fake.h"

/* Reads up to the end of a head and the body it announces. False: the peer left. */
static bool read_request(int fd, struct ops_strbuf *out)
{
	char buf[4096];

	for (;;) {
		const char *end = strstr(ops_strbuf_text(out), "\r\n\r\n");
		const char *length = strstr(ops_strbuf_text(out), "Content-Length: ");
		size_t want = 0;
		for (const char *p = length != NULL ? length + 16 : ""; *p >= '0' && *p <= '9'; p++)
			want = want * 10 + (size_t)(*p - '0');
		if (end != NULL && out->len - (size_t)(end + 4 - out->data) >= want)
			return true;
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return false;
		ops_strbuf_add(out, buf, (size_t)n);
	}
}

static void put_gzip(int fd)
{
	unsigned char packed[1024];
	char plain[20000], head[128];
	z_stream z = {.next_in = (Bytef *)plain, .avail_in = sizeof(plain)};

	memset(plain, 'z', sizeof(plain));
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	ops_assert(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK &&
		   deflate(&z, Z_FINISH) == Z_STREAM_END);
	snprintf(head, sizeof(head),
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %lu\r\n\r\n",
		z.total_out);
	put(fd, head);
	ops_assert(send(fd, packed, z.total_out, MSG_NOSIGNAL) > 0);
	deflateEnd(&z);
}

/* The answer is chosen by the path. */
static void answer(struct fake *f, int fd, const char *request)
{
	char text[256];

	if (strstr(request, " /hang") != NULL) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		(void)poll(&p, 1, 3000); /* until the client has enough */
	} else if (strstr(request, " /drip") != NULL) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
		for (int i = 0; i < 50 && send(fd, "x", 1, MSG_NOSIGNAL) == 1; i++)
			(void)poll(NULL, 0, 20);
	} else if (strstr(request, " /announced") != NULL) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
	} else if (strstr(request, " /endless") != NULL) {
		put(fd, "HTTP/1.1 200 OK\r\n\r\n");
		for (int i = 0; i < 100; i++)
			put(fd, "012345678901234567890123456789012345678901234567890123456789012345"
				"6789012345678901234567890123456789");
	} else if (strstr(request, " /gzip") != NULL) {
		put_gzip(fd);
	} else if (strstr(request, " /away") != NULL) {
		snprintf(text, sizeof(text),
			"HTTP/1.1 %s x\r\nLocation: http://localhost:%u/end\r\nContent-Length: "
			"3\r\n\r\nold",
			f->arg, f->port);
		put(fd, text);
	} else if (strstr(request, " /home") != NULL) {
		put(fd, "HTTP/1.1 302 x\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n");
	} else if (strstr(request, " /round") != NULL) {
		put(fd, "HTTP/1.1 302 x\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n");
	} else if (strstr(request, " /file") != NULL) {
		put(fd, "HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\nContent-Length: "
			"0\r\n\r\n");
	} else if (strstr(request, " /later") != NULL) {
		put(fd, "HTTP/1.1 503 x\r\nRetry-After: 7\r\nContent-Type: "
			"text/x\r\nContent-Length: 4\r\n\r\nbusy");
	} else if (strstr(request, " /broken") != NULL) {
		put(fd, "nonsense\r\n\r\n");
	} else {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void serve_http(struct fake *f, int fd)
{
	struct ops_strbuf request = OPS_STRBUF_INIT;

	while (read_request(fd, &request)) {
		note(f, ops_strbuf_text(&request));
		note(f, "\n--\n");
		answer(f, fd, ops_strbuf_text(&request));
		if (strstr(ops_strbuf_text(&request), " /away") != NULL ||
			strstr(ops_strbuf_text(&request), " /endless") != NULL ||
			strstr(ops_strbuf_text(&request), " /broken") != NULL)
			break;
		ops_strbuf_reset(&request);
	}
	ops_strbuf_done(&request);
}

/* ---- calling ---- */

static struct result call(const struct ops_http_request *req)
{
	struct result r = {.loop = ops_loop_new()};
	struct ops_http_client *c =
		ops_http_client_new(r.loop, &(struct ops_http_client_config){0});
	struct ops_http_call *one = NULL;

	assert_int_equal(ops_http_call_start(c, req, on_result, &r, &one), 0);
	assert_int_equal(r.calls, 0);
	ops_loop_run(r.loop);
	assert_int_equal(r.calls, 1);
	ops_http_client_free(c);
	assert_int_equal(r.calls, 1);
	ops_loop_free(r.loop);
	return r;
}

static struct result get(struct fake *f, const char *path, int64_t timeout_ms)
{
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("http://127.0.0.1:%u%s", f->port, path);

	return call(&(struct ops_http_request){
		.url = url, .timeout_ms = timeout_ms, .max_response_bytes = 5000, .gzip = true});
}

static void test_outcomes(void **state)
{
	static const struct {
		const char *path;
		int64_t timeout_ms;
		enum ops_http_outcome outcome;
		int code;
	} table[] = {
		{"/", 0, OPS_HTTP_DONE, 200},
		{"/later", 0, OPS_HTTP_DONE, 503},
		{"/hang", 80, OPS_HTTP_TIMEOUT, 0},
		{"/drip", 150, OPS_HTTP_TIMEOUT, 200},
		{"/announced", 0, OPS_HTTP_TOO_BIG, 200},
		{"/endless", 0, OPS_HTTP_TOO_BIG, 200},
		{"/gzip", 0, OPS_HTTP_TOO_BIG, 200}, /* small on the wire, big when unpacked */
		{"/broken", 0, OPS_HTTP_FAILED, 0},
		{"/round", 0, OPS_HTTP_DONE,
			302}, /* after ten hops the redirect itself is the answer */
		{"/file", 0, OPS_HTTP_FAILED, 0},
	};
	struct fake f;

	(void)state;
	fake_start(&f, serve_http, NULL);
	fake_go(&f);
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct result r = get(&f, table[i].path, table[i].timeout_ms);
		if (r.outcome != table[i].outcome ||
			(table[i].code != 0 && r.code != table[i].code))
			fail_msg("%s: outcome %d code %d %s", table[i].path, (int)r.outcome, r.code,
				r.error);
		assert_true((r.error[0] == '\0') == (r.outcome == OPS_HTTP_DONE));
	}
	struct result r = get(&f, "/later", 0);
	assert_int_equal(r.retry_after_ms, 7000);
	assert_string_equal(r.body, "busy");
	assert_string_equal(r.type, "text/x");
	r = get(&f, "/", 0);
	assert_int_equal(r.retry_after_ms, -1);
	assert_string_equal(r.type, "");
	fake_stop(&f);
}

static void test_unreachable(void **state)
{
	struct fake f;
	char url[64];

	(void)state;
	fake_start(&f, serve_http, NULL);
	close(f.fd); /* a port where nobody listens */
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", f.port);
	assert_int_equal(call(&(struct ops_http_request){.url = url}).outcome, OPS_HTTP_REFUSED);
	assert_int_equal(call(&(struct ops_http_request){.url = "http://nowhere.invalid/"}).outcome,
		OPS_HTTP_UNRESOLVED);
}

static void test_unpacks(void **state)
{
	struct fake f;

	(void)state;
	fake_start(&f, serve_http, NULL);
	fake_go(&f);
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("http://127.0.0.1:%u/gzip", f.port);
	struct result r = call(&(struct ops_http_request){.url = url, .gzip = true});
	assert_int_equal(r.outcome, OPS_HTTP_DONE);
	assert_int_equal(r.len, 20000);
	assert_in_range(r.wire_bytes, 1, 1024);
	fake_stop(&f);
}

static void test_sends(void **state)
{
	static const char *const headers[] = {"Content-Type: application/json", "X-Empty:"};
	struct fake f;

	(void)state;
	fake_start(&f, serve_http, NULL);
	fake_go(&f);
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("http://127.0.0.1:%u/x?y=z", f.port);
	struct ops_http_request req = {.method = "POST",
		.url = url,
		.headers = headers,
		.nheaders = 2,
		.body = "{\"a\":1}",
		.body_len = 7};
	assert_int_equal(call(&req).code, 200);
	assert_true(has_seen(&f, "POST /x?y=z HTTP/1.1\r\n"));
	assert_true(has_seen(&f, "Content-Type: application/json\r\n"));
	assert_true(has_seen(&f, "X-Empty:\r\n"));
	assert_true(has_seen(&f, "\r\n\r\n{\"a\":1}\n--"));
	req.method = "PUT";
	assert_int_equal(call(&req).code, 200);
	assert_true(has_seen(&f, "PUT /x?y=z HTTP/1.1\r\n"));
	req = (struct ops_http_request){
		.method = "DELETE", .url = url, .basic_user = "ann", .basic_password = "s:e"};
	assert_int_equal(call(&req).code, 200);
	assert_true(has_seen(&f, "DELETE /x?y=z HTTP/1.1\r\n"));
	assert_true(has_seen(&f, "Authorization: Basic YW5uOnM6ZQ==\r\n"));
	req = (struct ops_http_request){.method = "HEAD", .url = url, .bearer = "tok"};
	assert_int_equal(call(&req).code, 200);
	assert_true(has_seen(&f, "HEAD /x?y=z HTTP/1.1\r\n"));
	assert_true(has_seen(&f, "Authorization: Bearer tok\r\n"));
	assert_false(has_seen(&f, "Expect:"));
	fake_stop(&f);
}

/* What the last request to /end carried. */
static char *end_request(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	const char *end = strstr(ops_strbuf_text(&f->seen), " /end");
	ops_assert(end != NULL);
	while (end > f->seen.data && end[-1] != '\n')
		end--;
	char *copy = ops_xstrdup(end);
	pthread_mutex_unlock(&f->lock);
	return copy;
}

static void redirect(
	const char *code, const char *path, const struct ops_http_request *base, char **ret_end)
{
	struct fake f;
	struct ops_http_request req = *base;

	fake_start(&f, serve_http, code);
	fake_go(&f);
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("http://127.0.0.1:%u%s", f.port, path);
	req.url = url;
	struct result r = call(&req);
	if (r.outcome != OPS_HTTP_DONE || r.code != 200 || strcmp(r.body, "ok") != 0)
		fail_msg("%s %s: %d %d %s %s", code, path, (int)r.outcome, r.code, r.body, r.error);
	*ret_end = end_request(&f);
	fake_stop(&f);
}

static void test_redirects(void **state)
{
	static const char *const headers[] = {"X-Api-Key: secret1", "Content-Type: text/x"};
	static const char *const codes[] = {"301", "302", "303", "307", "308"};
	struct ops_http_request post = {
		.method = "POST", .headers = headers, .nheaders = 2, .body = "body", .body_len = 4};
	char *end = NULL;

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(codes); i++) {
		struct ops_http_request req = post;
		if (i % 2 == 0)
			req.bearer = "secret2";
		else
			req.basic_user = "ann", req.basic_password = "secret3";
		redirect(codes[i], "/away", &req, &end);
		assert_null(strstr(end, "secret"));
		assert_null(strstr(end, "Authorization"));
		assert_non_null(strstr(end, "Host: localhost"));
		bool repeats = i >= 3;
		assert_int_equal(strncmp(end, repeats ? "POST" : "GET ", 4), 0);
		assert_true((strstr(end, "\r\n\r\nbody") != NULL) == repeats);
		free(end);
	}
	post.bearer = "secret2";
	redirect("302", "/home", &post, &end); /* the same origin keeps them */
	assert_non_null(strstr(end, "secret1"));
	assert_non_null(strstr(end, "Bearer secret2"));
	free(end);
}

static void test_no_redirects(void **state)
{
	struct fake f;

	(void)state;
	fake_start(&f, serve_http, "302");
	fake_go(&f);
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("http://127.0.0.1:%u/away", f.port);
	struct result r = call(&(struct ops_http_request){.url = url, .no_redirects = true});
	assert_int_equal(r.code, 302);
	assert_string_equal(r.body, "old");
	fake_stop(&f);
}

static void test_refuses(void **state)
{
	static const char *const split[] = {"A: b\r\nC: d"}, *const no_colon[] = {"A"};
	const struct ops_http_request bad[] = {
		{.url = NULL},
		{.url = ""},
		{.url = "ftp://127.0.0.1/"},
		{.url = "file:///etc/passwd"},
		{.url = "http://"},
		{.url = "http://a/\r\nX: y"},
		{.url = "http://127.0.0.1:99999/"},
		{.url = "http://127.0.0.1/", .headers = split, .nheaders = 1},
		{.url = "http://127.0.0.1/", .headers = no_colon, .nheaders = 1},
		{.url = "http://127.0.0.1/", .method = "GET\r\n"},
		{.url = "http://127.0.0.1/", .bearer = "a\nb"},
	};
	struct result r = {.loop = ops_loop_new()};
	struct ops_http_client *c =
		ops_http_client_new(r.loop, &(struct ops_http_client_config){0});
	struct ops_http_call *one = NULL;

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(bad); i++)
		assert_int_equal(ops_http_call_start(c, &bad[i], on_result, &r, &one), -EINVAL);
	ops_http_client_stop(c);
	assert_int_equal(
		ops_http_call_start(c, &(struct ops_http_request){.url = "http://127.0.0.1/"},
			on_result, &r, &one),
		-ESHUTDOWN);
	assert_int_equal(r.calls, 0);
	ops_http_client_free(c);
	ops_loop_free(r.loop);
}

static void test_cancel(void **state)
{
	struct fake f;
	struct result r = {.loop = ops_loop_new()}, s = {.loop = r.loop};
	struct ops_http_client *c =
		ops_http_client_new(r.loop, &(struct ops_http_client_config){0});
	struct ops_http_call *one = NULL, *two = NULL;

	(void)state;
	fake_start(&f, serve_http, NULL);
	fake_go(&f);
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("http://127.0.0.1:%u/hang", f.port);
	const struct ops_http_request req = {.url = url};
	assert_int_equal(ops_http_call_start(c, &req, on_result, &r, &one), 0);
	assert_int_equal(ops_http_call_start(c, &req, on_result, &s, &two), 0);
	ops_http_call_cancel(one);
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.outcome, OPS_HTTP_CANCELLED);
	ops_http_client_free(c);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.outcome, OPS_HTTP_CANCELLED);
	ops_loop_free(r.loop);
	fake_stop(&f);
}

/* ---- answers that go on ---- */

struct stream {
	struct result r; /* first: on_result gets it */
	struct ops_http_call *call;
	size_t bytes, stop_after;
};

static void on_stream(void *arg, const char *data, size_t len)
{
	struct stream *s = arg;

	assert_int_equal(strspn(data, "x0123456789ok"), len);
	s->bytes += len;
	if (s->bytes >= s->stop_after)
		ops_http_call_cancel(s->call);
}

static struct stream stream(unsigned port, const char *path, size_t stop_after)
{
	struct stream s = {.r = {.loop = ops_loop_new()}, .stop_after = stop_after};
	struct ops_http_client *c =
		ops_http_client_new(s.r.loop, &(struct ops_http_client_config){0});
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("http://127.0.0.1:%u%s", port, path);
	const struct ops_http_request req = {
		.url = url, .max_response_bytes = 100, .on_data = on_stream, .timeout_ms = 10000};

	assert_int_equal(ops_http_call_start(c, &req, on_result, &s, &s.call), 0);
	ops_loop_run(s.r.loop);
	assert_int_equal(s.r.calls, 1);
	ops_http_client_free(c);
	ops_loop_free(s.r.loop);
	return s;
}

static void test_streams(void **state)
{
	struct fake f;

	(void)state;
	fake_start(&f, serve_http, NULL);
	fake_go(&f);
	struct stream s = stream(f.port, "/endless", SIZE_MAX);
	assert_int_equal(s.r.outcome, OPS_HTTP_DONE);
	assert_int_equal(s.bytes, 10000);
	assert_int_equal(s.r.len, 0);
	s = stream(f.port, "/drip", 3);
	assert_int_equal(s.r.outcome, OPS_HTTP_CANCELLED);
	assert_in_range(s.bytes, 3, 999);
	s = stream(f.port, "/later", 1); /* not 2xx: collected, as ever */
	assert_int_equal(s.bytes, 0);
	assert_string_equal(s.r.body, "busy");
	fake_stop(&f);
}

static void on_wanted(void *arg, const struct ops_http_response *res)
{
	assert_string_equal(res->header, "7");
	on_result(arg, res);
}

static void test_wanted_header(void **state)
{
	struct fake f;
	struct result r = {.loop = ops_loop_new()};
	struct ops_http_client *c =
		ops_http_client_new(r.loop, &(struct ops_http_client_config){0});

	(void)state;
	fake_start(&f, serve_http, NULL);
	fake_go(&f);
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("http://127.0.0.1:%u/later", f.port);
	const struct ops_http_request req = {.url = url, .want_header = "retry-after"};
	assert_int_equal(ops_http_call_start(c, &req, on_wanted, &r, NULL), 0);
	ops_loop_run(r.loop);
	assert_int_equal(r.calls, 1);
	ops_http_client_free(c);
	ops_loop_free(r.loop);
	fake_stop(&f);
}

/* ---- TLS ---- */

static void serve_https(struct fake *f, int fd)
{
	static const char reply[] =
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
	char buf[4096];
	SSL *ssl = tls_accept(f, fd);

	if (ssl == NULL)
		return;
	int n = SSL_read(ssl, buf, sizeof(buf) - 1);
	if (n > 0) {
		buf[n] = '\0';
		note(f, buf);
		SSL_write(ssl, reply, sizeof(reply) - 1);
		SSL_shutdown(ssl);
	}
	SSL_free(ssl);
}

static void test_tls(void **state)
{
	struct fake f;
	const char *dir = *state;

	fake_start(&f, serve_https, NULL);
	f.dir = dir;
	fake_go(&f);
	OPS_CLEANUP(ops_freep) char *ca = ops_path_join(dir, "ca.pem");
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("https://127.0.0.1:%u/", f.port);
	struct ops_http_request req = {.url = url};
	assert_int_equal(call(&req).outcome, OPS_HTTP_TLS); /* unknown authority */
	req.tls.ca_file = ca;
	assert_int_equal(
		call(&req).outcome, OPS_HTTP_TLS); /* the certificate is for another name */
	req.tls.server_name = "mail.example";
	struct result r = call(&req);
	if (r.outcome != OPS_HTTP_DONE)
		fail_msg("%s", r.error);
	assert_true(has_seen(&f, "Host: 127.0.0.1:"));
	req.tls = (struct ops_tls_client){.insecure_skip_verify = true};
	assert_int_equal(call(&req).outcome, OPS_HTTP_DONE);
	fake_stop(&f);
}

static char *read_text(const char *dir, const char *name)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, name);

	assert_int_equal(ops_file_read(path, 1 << 20, &text), 0);
	return ops_strbuf_take(&text);
}

/* Authority, certificate and key as texts; versions that the server must not leave. */
static void test_tls_texts_and_versions(void **state)
{
	struct fake f;
	const char *dir = *state;
	OPS_CLEANUP(ops_freep) char *ca = read_text(dir, "ca.pem");
	OPS_CLEANUP(ops_freep) char *cert = read_text(dir, "server.pem");
	OPS_CLEANUP(ops_freep) char *key = read_text(dir, "server.key");

	fake_start(&f, serve_https, "TLSv1.2 only");
	f.dir = dir;
	fake_go(&f);
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("https://127.0.0.1:%u/", f.port);
	struct ops_http_request req = {.url = url,
		.tls = {.ca = ca, .cert = cert, .key = key, .server_name = "mail.example"}};
	struct result r = call(&req);
	if (r.outcome != OPS_HTTP_DONE)
		fail_msg("%s", r.error);
	req.tls.max_version = OPS_TLS_1_2;
	assert_int_equal(call(&req).outcome, OPS_HTTP_DONE);
	req.tls.max_version = OPS_TLS_DEFAULT;
	req.tls.min_version = OPS_TLS_1_3;
	assert_int_equal(call(&req).outcome, OPS_HTTP_TLS);
	req.tls = (struct ops_tls_client){.ca = cert, .server_name = "mail.example"};
	req.tls.ca = "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n";
	assert_int_equal(call(&req).outcome, OPS_HTTP_TLS);
	fake_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_unpacks),
		cmocka_unit_test(test_sends),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_no_redirects),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_tls_texts_and_versions),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_wanted_header),
	};

	return cmocka_run_group_tests(tests, test_certs_make, test_certs_remove);
}
