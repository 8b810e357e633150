/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: bytes in, one request at a time to the dispatcher, one reply out, then the next.
 *
 *   HEAD -> BODY -> HANDLING [-> STREAMING] -> WRITING -> HEAD ...        any -> CLOSED
 *                                  \-> LINGER -> CLOSED    (after a refusal, so that the client
 * reads why)
 *
 * This server is its own HTTP/1.1 implementation over libevent's bufferevents and not evhttp:
 * evhttp 2.1 gives no close notification for a connection without a request, no per-connection
 * deadline, hides NUL bytes, bare LF and repeated Content-Length behind its parsed form, and takes
 * the body behind an unknown transfer coding as the next request. Guards outside of it could only
 * repair some of that.
 *
 * One timer per connection carries every deadline: complete request from its first byte (a new
 * connection: from accept, TLS handshake included), idle between requests, progress while writing
 * (a reader that takes less than MIN_PROGRESS a period is dropped), and the lingering close. While
 * a handler works there is no deadline of ours.
 *
 * Reading goes on while a handler works, so that a vanished client is seen; pipelined requests wait
 * in the buffer, and the read watermark stops a client that sends without reading. A connection
 * struct is freed at the end of the loop turn, because bufferevent callbacks may be on the stack
 * when it closes.
 */
#include "common/net/http_internal.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/base/clock.h"

enum {
	CONN_MAGIC = 0x48434f4e,
	READ_AHEAD = 128 * 1024,
	BODIES_IN_MEMORY = 16, /* times the body limit, over all connections */
	WRITE_ONCE = 1 << 20,
	DRAINED_AT = 256 * 1024, /* a reply in pieces goes on when no more than this waits */
	MIN_PROGRESS = 4096,
	LINGER_MS = 1000,
	LINGER_BYTES = 4 << 20,
};

enum conn_state {
	CONN_HEAD,
	CONN_BODY,
	CONN_HANDLING,
	CONN_STREAMING, /* a reply in pieces has begun */
	CONN_WRITING,
	CONN_LINGER,
	CONN_CLOSED
};

struct ops_http_conn {
	unsigned magic;
	LIST_ENTRY(ops_http_conn) link;
	struct ops_http_server *server;
	struct ops_web_config *web; /* whose TLS context this connection uses */
	struct ops_http_addr *addr;
	struct bufferevent *bev;
	struct ops_timer *timer;
	enum conn_state state;
	struct ops_http_req *req;
	struct ops_http_chunked chunked;
	uint64_t received; /* bytes of a body that is passed on as it comes */
	bool passing;	   /* it is */
	size_t scan;	   /* of the head */
	size_t counted;	   /* body bytes in server->buffered_bytes */
	uint64_t queued;   /* bytes of replies, ever */
	uint64_t sent;	   /* of them, at the last progress check */
	size_t lingered;
	bool begun;  /* the first byte of the request is there */
	bool served; /* at least one request was answered */
	bool close_after, linger;
};

struct ops_http_conn *ops_http_conn_next(struct ops_http_conn *conn)
{
	return LIST_NEXT(conn, link);
}

bool ops_http_conn_busy(const struct ops_http_conn *conn)
{
	return conn->state == CONN_HANDLING || conn->state == CONN_STREAMING ||
	       conn->state == CONN_WRITING;
}

static void uncount_body(struct ops_http_conn *c)
{
	c->server->buffered_bytes -= c->counted;
	c->counted = 0;
}

static void close_bufferevent(struct ops_http_conn *c)
{
	SSL *ssl = bufferevent_openssl_get_ssl(c->bev);

	if (ssl != NULL && SSL_is_init_finished(ssl)) {
		SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
		SSL_shutdown(ssl);
		ERR_clear_error();
	}
	bufferevent_free(c->bev);
	c->bev = NULL;
}

void ops_http_conn_close(struct ops_http_conn *c)
{
	if (c->state == CONN_CLOSED)
		return;
	struct ops_http_server *s = c->server;
	c->state = CONN_CLOSED;
	LIST_REMOVE(c, link);
	uncount_body(c);
	if (c->req != NULL)
		ops_http_req_abort(c->req);
	c->req = NULL;
	ops_timer_free(c->timer);
	close_bufferevent(c);
	ops_http_guard_leave(&s->guard, c->addr);
	ops_http_set_connections(s->guard.connections);
	ops_web_config_unref(c->web);
	c->magic = 0;
	ops_loop_defer(s->loop, free, c);
}

static void discard_input(struct ops_http_conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	c->lingered += evbuffer_get_length(in);
	evbuffer_drain(in, evbuffer_get_length(in));
}

/* A refusal below the handlers: answer, and read nothing more as a request. */
static void refuse(struct ops_http_conn *c, int code, const char *reason)
{
	struct evbuffer *out = evbuffer_new();
	struct ops_strbuf body = OPS_STRBUF_INIT;
	struct ops_http_answer a = {.code = code, .content_type = "application/json"};

	ops_http_count_refused(reason);
	ops_assert(out != NULL);
	discard_input(c);
	ops_strbuf_printf(&body, "{\"error\":\"request refused: %s\"}\n", reason);
	for (char *p = body.data; *p != '\0'; p++) {
		if (*p == '_')
			*p = ' ';
	}
	a.body = body.data;
	a.len = body.len;
	ops_http_compose(c->server->web, &a, out);
	ops_strbuf_done(&body);
	if (c->req != NULL && c->passing) { /* its handler knows of it already */
		struct ops_http_req *req = c->req;
		c->req = NULL;
		ops_http_req_abort(req);
	}
	if (c->req != NULL) {
		ops_http_count_request("refused", ops_http_method_text(c->req->method), code,
			ops_mono_ns() - c->req->begin_ns);
		ops_http_req_free(c->req);
		c->req = NULL;
	}
	c->linger = true;
	ops_http_conn_send(c, out, true);
	evbuffer_free(out);
}

/* RFC 9112 2.2: an empty line before the request line is skipped. */
static void skip_blank_lines(struct ops_http_conn *c, struct evbuffer *in)
{
	char two[2];

	while (c->scan == 0 && evbuffer_copyout(in, two, 2) == 2 && two[0] == '\r' &&
		two[1] == '\n')
		evbuffer_drain(in, 2);
}

static void first_byte(struct ops_http_conn *c)
{
	if (c->begun)
		return;
	c->begun = true;
	if (c->served) /* else the deadline runs since accept */
		ops_timer_start(c->timer, c->server->limits.request_deadline_ms);
}

static bool start_body(struct ops_http_conn *c, struct evbuffer *in)
{
	const struct ops_http_head *h = &c->req->head;
	bool has_body = h->chunked || h->content_length > 0;

	if (ops_http_method_parse(h->method, &c->req->method) != 0) {
		refuse(c, 501, "method");
		return false;
	}
	c->passing = ops_http_streams_body(c->req);
	if (!c->passing && h->content_length > c->server->limits.body_bytes) {
		refuse(c, 413, "body_bytes");
		return false;
	}
	if (h->expect_continue && has_body && evbuffer_get_length(in) == 0)
		bufferevent_write(c->bev, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	c->chunked = (struct ops_http_chunked){0};
	c->received = 0;
	c->state = CONN_BODY;
	if (c->passing)
		ops_http_dispatch(c->req);
	return true;
}

/* True when the state moved on. */
static bool read_head(struct ops_http_conn *c, struct evbuffer *in)
{
	size_t limit = c->server->limits.header_bytes, head_len = 0;
	const char *reason = "request";

	skip_blank_lines(c, in);
	size_t len = OPS_MIN(evbuffer_get_length(in), limit + 1);
	if (len == 0)
		return false;
	first_byte(c);
	const char *data = (const char *)evbuffer_pullup(in, (ev_ssize_t)len);
	int code = ops_http_head_scan(data, len, &c->scan, &head_len, &reason);
	if (code == 0 && (head_len > limit || (head_len == 0 && len > limit))) {
		code = memchr(data, '\n', len) != NULL ? 431 : 414;
		reason = "header_bytes";
	}
	if (code != 0) {
		refuse(c, code, reason);
		return true;
	}
	if (head_len == 0)
		return false;
	c->req = ops_http_req_new(c->server, c, c->addr);
	code = ops_http_head_parse(&c->req->arena, data, head_len, &c->req->head, &reason);
	evbuffer_drain(in, head_len);
	c->scan = 0;
	if (code != 0)
		refuse(c, code, reason);
	else
		(void)start_body(c, in);
	return true;
}

static int read_chunked(struct ops_http_conn *c, struct evbuffer *in)
{
	size_t n = 0;

	while ((n = evbuffer_get_contiguous_space(in)) > 0 && c->chunked.state != OPS_CHUNK_DONE) {
		const char *data = (const char *)evbuffer_pullup(in, (ev_ssize_t)n);
		size_t used = 0;
		int code = ops_http_chunked_feed(
			&c->chunked, data, n, c->server->limits.body_bytes, &c->req->body, &used);
		if (code != 0)
			return code;
		evbuffer_drain(in, used);
	}
	return 0;
}

static void read_sized(struct ops_http_conn *c, struct evbuffer *in)
{
	struct ops_strbuf *body = &c->req->body;
	size_t n =
		OPS_MIN(evbuffer_get_length(in), (size_t)c->req->head.content_length - body->len);

	if (n == 0)
		return;
	ops_strbuf_reserve(body, n);
	ops_assert(evbuffer_remove(in, body->data + body->len, n) == (int)n);
	body->len += n;
	body->data[body->len] = '\0';
}

/* ---- a body that is passed on as it comes ---- */

static bool pass(struct ops_http_conn *c, const void *data, size_t len, bool last)
{
	struct ops_http_req *req = c->req;

	if (last) {
		ops_timer_stop(c->timer);
		c->state = CONN_HANDLING;
	} else if (len > 0) {
		ops_timer_start(c->timer, c->server->limits.request_deadline_ms);
	}
	if (len > 0 || last)
		req->on_body(req, data, len, last);
	return len > 0 || last;
}

static bool pass_chunked(struct ops_http_conn *c, struct evbuffer *in)
{
	struct ops_strbuf *piece = &c->req->body;
	size_t n = evbuffer_get_contiguous_space(in), used = 0;

	if (n == 0)
		return false;
	ops_strbuf_reset(piece);
	const char *data = (const char *)evbuffer_pullup(in, (ev_ssize_t)n);
	int code = ops_http_chunked_feed(&c->chunked, data, n, SIZE_MAX / 2, piece, &used);
	if (code != 0) {
		refuse(c, code, "chunked_coding");
		return true;
	}
	evbuffer_drain(in, used);
	bool last = c->chunked.state == OPS_CHUNK_DONE;
	return pass(c, ops_strbuf_text(piece), piece->len, last) || used > 0;
}

static bool pass_sized(struct ops_http_conn *c, struct evbuffer *in)
{
	struct ops_strbuf *piece = &c->req->body;
	uint64_t left = c->req->head.content_length - c->received;
	size_t n = (size_t)OPS_MIN((uint64_t)evbuffer_get_contiguous_space(in), left);

	if (n == 0)
		return left == 0 && pass(c, "", 0, true);
	ops_strbuf_reset(piece);
	ops_strbuf_reserve(piece, n);
	ops_assert(evbuffer_remove(in, piece->data, n) == (int)n);
	c->received += n;
	return pass(c, piece->data, n, n == left);
}

static bool pass_body(struct ops_http_conn *c, struct evbuffer *in)
{
	if (c->req->on_body == NULL)
		return false; /* who asks is not known yet */
	return c->req->head.chunked ? pass_chunked(c, in) : pass_sized(c, in);
}

static bool body_complete(const struct ops_http_conn *c)
{
	if (c->req->head.chunked)
		return c->chunked.state == OPS_CHUNK_DONE;
	return c->req->body.len == c->req->head.content_length;
}

static bool read_body(struct ops_http_conn *c, struct evbuffer *in)
{
	struct ops_http_server *s = c->server;
	int code = 0;

	if (c->req->head.chunked)
		code = read_chunked(c, in);
	else
		read_sized(c, in);
	if (code != 0) {
		refuse(c, code, code == 413 ? "body_bytes" : "chunked_coding");
		return true;
	}
	s->buffered_bytes += c->req->body.len - c->counted;
	c->counted = c->req->body.len;
	if (s->buffered_bytes > s->limits.body_bytes * BODIES_IN_MEMORY) {
		refuse(c, 503, "bodies_in_memory");
		return true;
	}
	if (!body_complete(c))
		return false;
	ops_timer_stop(c->timer);
	c->state = CONN_HANDLING;
	ops_http_dispatch(c->req);
	return true;
}

/* Goes on as far as the bytes reach. A handler that replies at once calls _send on this stack,
 * never advance. */
static void advance(struct ops_http_conn *c)
{
	bool moved = true;

	while (moved && (c->state == CONN_HEAD || c->state == CONN_BODY)) {
		struct evbuffer *in = bufferevent_get_input(c->bev);
		if (c->state == CONN_HEAD)
			moved = read_head(c, in);
		else
			moved = c->passing ? pass_body(c, in) : read_body(c, in);
	}
}

static void resume(void *arg) /* the memory of a closed one lasts until the end of the turn */
{
	advance(arg);
}

void ops_http_conn_resume(struct ops_http_conn *c)
{
	ops_loop_defer(c->server->loop, resume, c);
}

static size_t unsent_bytes(const struct ops_http_conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
}

static void queue(struct ops_http_conn *c, struct evbuffer *bytes)
{
	c->queued += evbuffer_get_length(bytes);
	bufferevent_write_buffer(c->bev, bytes);
}

void ops_http_conn_send(struct ops_http_conn *c, struct evbuffer *reply, bool close)
{
	ops_assert(c->state != CONN_CLOSED && c->state != CONN_WRITING);
	uncount_body(c);
	if (c->state == CONN_BODY) { /* the rest of the body is not wanted */
		c->linger = close = true;
		discard_input(c);
	}
	c->req = NULL;
	c->state = CONN_WRITING;
	c->close_after |= close || c->server->draining;
	queue(c, reply);
	ops_timer_start(c->timer, c->server->limits.request_deadline_ms);
}

size_t ops_http_conn_stream(struct ops_http_conn *c, struct evbuffer *piece)
{
	ops_assert(c->state == CONN_HANDLING || c->state == CONN_STREAMING);
	if (c->state == CONN_HANDLING) {
		uncount_body(c);
		c->state = CONN_STREAMING;
		bufferevent_setwatermark(c->bev, EV_WRITE, DRAINED_AT, 0);
		ops_timer_start(c->timer, c->server->limits.request_deadline_ms);
	}
	queue(c, piece);
	return unsent_bytes(c);
}

static void finish_writing(void *arg);

void ops_http_conn_stream_end(struct ops_http_conn *c, bool close)
{
	ops_assert(c->state == CONN_STREAMING);
	c->req = NULL;
	c->state = CONN_WRITING;
	c->close_after |= close || c->server->draining;
	bufferevent_setwatermark(c->bev, EV_WRITE, 0, 0);
	if (unsent_bytes(c) == 0) /* no event will tell */
		ops_loop_defer(c->server->loop, finish_writing, c);
}

static void start_linger(struct ops_http_conn *c)
{
	c->state = CONN_LINGER;
	shutdown(bufferevent_getfd(c->bev), SHUT_WR);
	ops_timer_start(c->timer, LINGER_MS);
}

/* All of a reply is sent. A connection that closed meanwhile is freed later in the same turn. */
static void finish_writing(void *arg)
{
	struct ops_http_conn *c = arg;

	if (c->state != CONN_WRITING || unsent_bytes(c) != 0)
		return;
	if (c->linger) {
		start_linger(c);
		return;
	}
	if (c->close_after) {
		ops_http_conn_close(c);
		return;
	}
	c->state = CONN_HEAD;
	c->begun = false;
	c->served = true;
	ops_timer_start(c->timer, c->server->limits.idle_ms);
	advance(c);
}

static void on_sent(struct bufferevent *bev, void *arg)
{
	struct ops_http_conn *c = arg;

	OPS_MAGIC_CHECK(c, CONN_MAGIC);
	(void)bev;
	if (c->state == CONN_STREAMING)
		ops_http_req_drained(c->req);
	else
		finish_writing(c);
}

static void on_received(struct bufferevent *bev, void *arg)
{
	struct ops_http_conn *c = arg;

	OPS_MAGIC_CHECK(c, CONN_MAGIC);
	(void)bev;
	if (c->state != CONN_LINGER && !(c->state == CONN_WRITING && c->linger)) {
		advance(c);
		return;
	}
	discard_input(c);
	if (c->lingered > LINGER_BYTES)
		ops_http_conn_close(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct ops_http_conn *c = arg;

	OPS_MAGIC_CHECK(c, CONN_MAGIC);
	if ((what & BEV_EVENT_CONNECTED) != 0)
		return;
	SSL *ssl = bufferevent_openssl_get_ssl(bev);
	if (ssl != NULL && !SSL_is_init_finished(ssl) && (what & BEV_EVENT_ERROR) != 0)
		ops_http_count_refused("tls_handshake");
	/* Over TLS libevent stops writing at the peer's close, so there it is the end. */
	bool half_closed = ssl == NULL && (what & BEV_EVENT_EOF) != 0 && c->state == CONN_WRITING;
	if (half_closed) {
		c->close_after = true; /* the reply is still wanted; nothing more will be asked */
		return;
	}
	ops_http_conn_close(c);
}

static void on_timer(void *arg)
{
	struct ops_http_conn *c = arg;

	OPS_MAGIC_CHECK(c, CONN_MAGIC);
	if (c->state == CONN_WRITING || c->state == CONN_STREAMING) {
		size_t left = unsent_bytes(c);
		if (c->queued - left >= c->sent + MIN_PROGRESS || left == 0) {
			c->sent = c->queued - left;
			ops_timer_start(c->timer, c->server->limits.request_deadline_ms);
			return;
		}
		ops_http_count_refused("slow_reader");
	} else if (c->begun && (c->state == CONN_HEAD || c->state == CONN_BODY)) {
		refuse(c, 408, "deadline");
		return;
	} else if (c->state == CONN_HEAD && !c->served) {
		ops_http_count_refused("deadline");
	}
	ops_http_conn_close(c);
}

void ops_http_conn_drain(struct ops_http_conn *c)
{
	c->close_after = true;
	if (c->state == CONN_HEAD && !c->begun)
		ops_http_conn_close(c);
}

static struct bufferevent *make_bufferevent(struct ops_http_server *s, int fd)
{
	struct event_base *base = ops_loop_base(s->loop);

	if (s->web->ctx == NULL)
		return bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
	SSL *ssl = SSL_new(s->web->ctx);
	ops_assert(ssl != NULL);
	struct bufferevent *bev = bufferevent_openssl_socket_new(
		base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
	if (bev != NULL)
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
	else
		SSL_free(ssl);
	return bev;
}

void ops_http_conn_open(struct ops_http_server *s, int fd, struct ops_http_addr *addr)
{
	struct bufferevent *bev = make_bufferevent(s, fd);

	if (bev == NULL) {
		ops_http_count_refused("bufferevent");
		ops_http_guard_leave(&s->guard, addr);
		close(fd);
		return;
	}
	struct ops_http_conn *c = ops_xcalloc(1, sizeof(*c));
	c->magic = CONN_MAGIC;
	c->server = s;
	c->web = ops_web_config_ref(s->web);
	c->addr = addr;
	c->bev = bev;
	c->timer = ops_timer_new(s->loop, on_timer, c);
	LIST_INSERT_HEAD(&s->conns, c, link);
	ops_http_set_connections(s->guard.connections);
	bufferevent_setwatermark(
		bev, EV_READ, 0, OPS_MAX((size_t)READ_AHEAD, s->limits.header_bytes * 2));
	bufferevent_set_max_single_write(bev, WRITE_ONCE);
	bufferevent_setcb(bev, on_received, on_sent, on_event, c);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
	ops_timer_start(c->timer, s->limits.request_deadline_ms);
}
