/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client against a small server in a thread that does exactly what each case says: answers,
 * silence, too much, redirects to itself under another name; and an SMTP server that speaks the
 * protocol and keeps the dialogue.
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
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <zlib.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/net/http_client.h"
#include "common/net/test_certs.h"

/* ---- a listening socket whose connections run fn, one after another, on a thread ---- */

struct fake {
	void (*fn)(struct fake *f, int fd);
	int fd;
	unsigned port;
	pthread_t thread;
	const char *arg;
	const char *dir;
	pthread_mutex_t lock;
	struct ops_strbuf seen; /* under lock */
};

static void *fake_main(void *arg)
{
	struct fake *f = arg;

	for (;;) {
		int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return NULL;
		f->fn(f, fd);
		close(fd);
	}
}

static void fake_start(struct fake *f, void (*fn)(struct fake *f, int fd), const char *arg)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof(at);

	memset(f, 0, sizeof(*f));
	f->fn = fn;
	f->arg = arg;
	pthread_mutex_init(&f->lock, NULL);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(f->fd, 16), 0);
	assert_int_equal(getsockname(f->fd, (struct sockaddr *)&at, &len), 0);
	f->port = ntohs(at.sin_port);
}

static void fake_go(struct fake *f)
{
	assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

static void fake_stop(struct fake *f)
{
	shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->fd);
	ops_strbuf_done(&f->seen);
	pthread_mutex_destroy(&f->lock);
}

static void note(struct fake *f, const char *text)
{
	pthread_mutex_lock(&f->lock);
	ops_strbuf_adds(&f->seen, text);
	pthread_mutex_unlock(&f->lock);
}

static bool has_seen(struct fake *f, const char *text)
{
	pthread_mutex_lock(&f->lock);
	bool yes = strstr(ops_strbuf_text(&f->seen), text) != NULL;
	pthread_mutex_unlock(&f->lock);
	return yes;
}

static void put(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

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

struct result {
	struct ops_loop *loop;
	int calls;
	enum ops_http_outcome outcome;
	int code;
	char body[32], type[32], error[256];
	size_t len, wire_bytes;
	int64_t retry_after_ms, duration_ms;
};

static void on_result(void *arg, const struct ops_http_response *res)
{
	struct result *r = arg;

	r->calls++;
	r->outcome = res->outcome;
	r->code = res->code;
	r->len = res->len;
	r->wire_bytes = res->wire_bytes;
	r->retry_after_ms = res->retry_after_ms;
	r->duration_ms = res->duration_ms;
	snprintf(r->body, sizeof(r->body), "%s", res->body);
	snprintf(r->type, sizeof(r->type), "%s", res->content_type);
	snprintf(r->error, sizeof(r->error), "%s", res->error);
	ops_loop_stop(r->loop);
}

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
	static const char *const headers[] = {"Content-Type: application/json", "X-Key: k"};
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

/* ---- TLS ---- */

static SSL *tls_accept(struct fake *f, int fd)
{
	OPS_CLEANUP(ops_freep) char *pem = ops_path_join(f->dir, "server.pem");
	OPS_CLEANUP(ops_freep) char *key = ops_path_join(f->dir, "server.key");
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	ops_assert(SSL_CTX_use_certificate_file(ctx, pem, SSL_FILETYPE_PEM) == 1);
	ops_assert(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1);
	SSL *ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		return ssl;
	ERR_clear_error();
	SSL_free(ssl);
	return NULL;
}

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

/* ---- SMTP ---- */

struct smtp {
	struct fake *f;
	int fd;
	SSL *ssl;
};

static void smtp_say(struct smtp *s, const char *text)
{
	if (s->ssl != NULL)
		SSL_write(s->ssl, text, (int)strlen(text));
	else
		put(s->fd, text);
}

static bool smtp_line(struct smtp *s, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size) {
		ssize_t got = s->ssl != NULL ? SSL_read(s->ssl, line + n, 1)
					     : recv(s->fd, line + n, 1, 0);
		if (got != 1)
			return false;
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	note(s->f, line);
	return true;
}

static void smtp_data(struct smtp *s)
{
	char line[1024];

	smtp_say(s, "354 go on\r\n");
	while (smtp_line(s, line, sizeof(line)) && strcmp(line, ".\r\n") != 0)
		;
	smtp_say(s, strstr(s->f->arg, "reject-data") != NULL ? "554 spam\r\n" : "250 queued\r\n");
}

/* f->arg: words that change what the server does. */
static void smtp_command(struct smtp *s, const char *line)
{
	const char *how = s->f->arg;
	char answer_line[1024];

	if (strncmp(line, "EHLO", 4) == 0) {
		smtp_say(s, "250-fake\r\n");
		if (strstr(how, "starttls") != NULL && s->ssl == NULL)
			smtp_say(s, "250-STARTTLS\r\n");
		smtp_say(s, "250-AUTH PLAIN LOGIN\r\n250 SIZE 1000000\r\n");
	} else if (strncmp(line, "STARTTLS", 8) == 0) {
		smtp_say(s, "220 go\r\n");
		s->ssl = tls_accept(s->f, s->fd);
	} else if (strncmp(line, "AUTH", 4) == 0) {
		smtp_say(s, "334 \r\n");
		(void)smtp_line(s, answer_line, sizeof(answer_line));
		smtp_say(s, strstr(how, "reject-auth") != NULL ? "535 no\r\n" : "235 yes\r\n");
	} else if (strncmp(line, "RCPT TO:<no@", 12) == 0) {
		smtp_say(s, "550 unknown\r\n");
	} else if (strncmp(line, "DATA", 4) == 0) {
		smtp_data(s);
	} else if (strncmp(line, "MAIL", 4) == 0 && strstr(how, "hang") != NULL) {
		(void)poll(&(struct pollfd){.fd = s->fd, .events = POLLIN}, 1, 2000);
	} else {
		smtp_say(s, "250 ok\r\n");
	}
}

static void serve_smtp(struct fake *f, int fd)
{
	struct smtp s = {.f = f, .fd = fd};
	char line[1024];

	if (strstr(f->arg, "implicit") != NULL)
		s.ssl = tls_accept(f, fd);
	if (strstr(f->arg, "implicit") == NULL || s.ssl != NULL)
		smtp_say(&s, "220 fake ready\r\n");
	while (smtp_line(&s, line, sizeof(line)))
		smtp_command(&s, line);
	SSL_free(s.ssl);
	ERR_clear_error();
}

static struct result send_mail(
	const char *how, const char *dir, struct ops_mail *mail, struct fake *f)
{
	struct result r = {.loop = ops_loop_new()};
	struct ops_http_client *c =
		ops_http_client_new(r.loop, &(struct ops_http_client_config){0});
	struct ops_http_call *one = NULL;

	fake_start(f, serve_smtp, how);
	f->dir = dir;
	fake_go(f);
	OPS_CLEANUP(ops_freep) char *host = ops_xasprintf("127.0.0.1:%u", f->port);
	mail->smarthost = host;
	assert_int_equal(ops_mail_start(c, mail, on_result, &r, &one), 0);
	ops_loop_run(r.loop);
	int64_t begin = ops_mono_ms();
	ops_http_client_free(c);
	assert_in_range(ops_mono_ms() - begin, 0, 500); /* no waiting for a good-bye */
	ops_loop_free(r.loop);
	assert_int_equal(r.calls, 1);
	return r;
}

static void test_mail(void **state)
{
	static const char *const good[] = {"a@example.org", "b@example.org"},
				 *const bad[] = {"a@example.org", "no@example.org"};
	static const char message[] = "Subject: x\r\n\r\nline\r\n.dot\r\n";
	OPS_CLEANUP(ops_freep) char *ca = ops_path_join(*state, "ca.pem");
	const struct ops_tls_client tls = {.ca_file = ca}, skip = {.insecure_skip_verify = true};
	const struct {
		const char *how;
		bool bad_recipient, auth, require_tls, implicit_tls;
		const struct ops_tls_client *tls;
		enum ops_http_outcome outcome;
		int code;
		const char *dialogue;
	} table[] = {
		{"", false, false, false, false, &tls, OPS_HTTP_DONE, 250, "EHLO ops.example\r\n"},
		{"", false, false, false, false, &tls, OPS_HTTP_DONE, 250,
			"MAIL FROM:<ops@example.org>"},
		{"", false, false, false, false, &tls, OPS_HTTP_DONE, 250,
			"RCPT TO:<b@example.org>"},
		{"", false, false, false, false, &tls, OPS_HTTP_DONE, 250, "\r\n..dot\r\n.\r\n"},
		{"", false, true, false, false, &tls, OPS_HTTP_DONE, 250, "AUTH PLAIN"},
		{"", true, false, false, false, &tls, OPS_HTTP_DONE, 550, "no@example.org"},
		{"reject-auth", false, true, false, false, &tls, OPS_HTTP_DONE, 535, "AUTH PLAIN"},
		{"reject-data", false, false, false, false, &tls, OPS_HTTP_DONE, 554, "DATA"},
		{"", false, false, true, false, &tls, OPS_HTTP_TLS, 0,
			"EHLO"}, /* no STARTTLS offered */
		{"starttls", false, true, true, false, &skip, OPS_HTTP_DONE, 250,
			"STARTTLS\r\nEHLO ops.example\r\nAUTH PLAIN"},
		{"starttls", false, true, true, false, &tls, OPS_HTTP_TLS, 0,
			"STARTTLS"}, /* certificate for another name */
		{"implicit", false, false, true, true, &skip, OPS_HTTP_DONE, 250, "EHLO"},
		{"hang", false, false, false, false, &tls, OPS_HTTP_TIMEOUT, 0, "MAIL"},
	};

	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct fake f;
		struct ops_mail mail = {.hello = "ops.example",
			.from = "ops@example.org",
			.to = table[i].bad_recipient ? bad : good,
			.nto = 2,
			.username = table[i].auth ? "ann" : NULL,
			.password = "pw",
			.require_tls = table[i].require_tls,
			.implicit_tls = table[i].implicit_tls,
			.tls = *table[i].tls,
			.message = message,
			.message_len = sizeof(message) - 1,
			.timeout_ms = strcmp(table[i].how, "hang") == 0 ? 100 : 5000};
		struct result r = send_mail(table[i].how, *state, &mail, &f);
		if (r.outcome != table[i].outcome ||
			(table[i].code != 0 && r.code != table[i].code) ||
			!has_seen(&f, table[i].dialogue))
			fail_msg("%zu: outcome %d code %d %s\n%s", i, (int)r.outcome, r.code,
				r.error, ops_strbuf_text(&f.seen));
		if (table[i].code != 250 && table[i].bad_recipient)
			assert_false(has_seen(&f, "DATA"));
		fake_stop(&f);
	}
}

static void test_mail_refuses(void **state)
{
	static const char *const to[] = {"a@b"}, *const split[] = {"a@b>\r\nRCPT TO:<c@d"};
	const struct ops_mail good = {.smarthost = "h:25",
		.from = "a@b",
		.to = to,
		.nto = 1,
		.message = "x\r\n",
		.message_len = 3};
	struct result r = {.loop = ops_loop_new()};
	struct ops_http_client *c =
		ops_http_client_new(r.loop, &(struct ops_http_client_config){0});
	struct ops_http_call *one = NULL;

	(void)state;
	for (int i = 0; i < 9; i++) {
		struct ops_mail m = good;
		switch (i) {
		case 0:
			m.smarthost = "h";
			break;
		case 1:
			m.smarthost = "h:0";
			break;
		case 2:
			m.smarthost = "u@h:25";
			break;
		case 3:
			m.smarthost = "h/x:25";
			break;
		case 4:
			m.from = "a@b>\r\nX";
			break;
		case 5:
			m.to = split;
			break;
		case 6:
			m.nto = 0;
			break;
		case 7:
			m.message_len = 0;
			break;
		default:
			m.hello = "a b";
			break;
		}
		assert_int_equal(ops_mail_start(c, &m, on_result, &r, &one), -EINVAL);
	}
	ops_http_client_free(c);
	ops_loop_free(r.loop);
}

static int make_files(void **state)
{
	char *dir = test_dir_make();
	struct test_ca *ca = test_ca_new(dir);

	test_ca_issue(ca, dir, "server", "DNS:mail.example");
	test_ca_free(ca);
	*state = dir;
	return 0;
}

static int remove_files(void **state)
{
	test_dir_remove(*state);
	return 0;
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
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_mail_refuses),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
