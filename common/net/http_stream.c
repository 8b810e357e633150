/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies in pieces. Each write becomes one chunk of the chunked coding; to an HTTP/1.0 client the
 * bytes go as they are and the close of the connection is their end. Who writes decides how much
 * may wait: the connection only says how much does, and when little is left. The deadline for
 * progress that guards whole replies guards these too, but only while something waits.
 */
#include "common/net/http_internal.h"

#include <event2/buffer.h>

#include "common/base/clock.h"

static bool keep_alive(const struct ops_http_req *req)
{
	return req->head.keep_alive && !req->server->draining &&
	       (req->stream_chunked || req->stream_headless);
}

void ops_http_stream_begin(struct ops_http_req *req, int code, const char *content_type,
	void (*on_drain)(struct ops_http_req *, void *), void *arg)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	ops_assert(req->on_abort != NULL && req->conn != NULL && req->stream_code == 0);
	req->stream_code = code;
	req->on_drain = on_drain;
	req->drain_arg = arg;
	req->stream_headless = req->method == OPS_HEAD;
	req->stream_chunked = !req->stream_headless && req->head.minor > 0;
	struct ops_http_answer a = {.code = code,
		.content_type = content_type,
		.headers = ops_strbuf_text(&req->headers),
		.head_only = true,
		.in_pieces = true,
		.chunked = req->stream_chunked};
	a.keep_alive = keep_alive(req);
	struct evbuffer *head = evbuffer_new();
	ops_assert(head != NULL);
	ops_http_compose(req->server->web, &a, head);
	(void)ops_http_conn_stream(req->conn, head);
	evbuffer_free(head);
}

size_t ops_http_stream_write(struct ops_http_req *req, const void *data, size_t len)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	ops_assert(req->stream_code != 0 && req->conn != NULL);
	struct evbuffer *piece = evbuffer_new();
	ops_assert(piece != NULL);
	if (len > 0 && !req->stream_headless) {
		if (req->stream_chunked)
			evbuffer_add_printf(piece, "%zx\r\n", len);
		ops_assert(evbuffer_add(piece, data, len) == 0);
		if (req->stream_chunked)
			evbuffer_add(piece, "\r\n", 2);
	}
	size_t waiting = ops_http_conn_stream(req->conn, piece);
	evbuffer_free(piece);
	return waiting;
}

static void count(const struct ops_http_req *req, int code)
{
	ops_http_count_request(req->handler, ops_http_method_text(req->method), code,
		ops_mono_ns() - req->begin_ns);
}

void ops_http_stream_end(struct ops_http_req *req)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	struct ops_http_conn *conn = req->conn;
	bool close = !keep_alive(req);
	if (req->stream_chunked) {
		struct evbuffer *last = evbuffer_new();
		ops_assert(last != NULL);
		evbuffer_add(last, "0\r\n\r\n", 5);
		(void)ops_http_conn_stream(conn, last);
		evbuffer_free(last);
	}
	count(req, req->stream_code);
	req->conn = NULL;
	ops_http_req_free(req);
	ops_http_conn_stream_end(conn, close);
}

void ops_http_stream_cut(struct ops_http_req *req)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	struct ops_http_conn *conn = req->conn;
	req->on_abort = NULL;
	req->handed_over = false; /* the connection's end frees it */
	ops_http_conn_close(conn);
}

void ops_http_req_drained(struct ops_http_req *req)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	if (req->on_drain != NULL)
		req->on_drain(req, req->drain_arg);
}
