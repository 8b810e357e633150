/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies whose whole body is known when the head is written: they have a Content-Length and the
 * connection stays usable (http_stream.c has the others). Bodies over GZIP_FROM are compressed when
 * the client takes gzip; large ones at level 1, to keep the loop's turn short. nosniff is always
 * sent: no reply of ours is meant to be guessed at.
 */
#include "common/net/http_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <event2/buffer.h>
#include <zlib.h>

#include "common/base/clock.h"

enum {
	GZIP_FROM = 1024,
	GZIP_FAST_FROM = 256 * 1024,
};

static const struct {
	int code;
	const char *text;
} reasons[] = {
	{100, "Continue"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{417, "Expectation Failed"},
	{422, "Unprocessable Content"},
	{423, "Locked"},
	{424, "Failed Dependency"},
	{428, "Precondition Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{507, "Insufficient Storage"},
};

static const char *reason_of(int code)
{
	for (size_t i = 0; i < OPS_LENGTH(reasons); i++) {
		if (reasons[i].code == code)
			return reasons[i].text;
	}
	return "Status";
}

static void add_date(struct evbuffer *out)
{
	struct tm tm;
	char text[64];
	time_t now = (time_t)(ops_now_ms() / 1000);

	if (gmtime_r(&now, &tm) != NULL &&
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		evbuffer_add_printf(out, "Date: %s\r\n", text);
}

static bool web_sets(const struct ops_web_config *web, const char *name)
{
	for (size_t i = 0; i < web->nheaders; i++) {
		if (strcmp(web->headers[i].name, name) == 0)
			return true;
	}
	return false;
}

static void add_web_headers(const struct ops_web_config *web, struct evbuffer *out)
{
	for (size_t i = 0; i < web->nheaders; i++)
		evbuffer_add_printf(out, "%s: %s\r\n", web->headers[i].name, web->headers[i].value);
	if (!web_sets(web, "X-Content-Type-Options"))
		evbuffer_add_printf(out, "X-Content-Type-Options: nosniff\r\n");
}

/* True when packed holds a smaller body. */
static bool pack(const struct ops_http_answer *a, struct ops_strbuf *packed)
{
	z_stream z = {.next_in = NULL};
	int level = a->len >= GZIP_FAST_FROM ? 1 : 6;

	if (deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	size_t bound = deflateBound(&z, a->len);
	ops_strbuf_reserve(packed, bound);
	z.next_in = (z_const Bytef *)(uintptr_t)a->body;
	z.avail_in = (uInt)a->len;
	z.next_out = (Bytef *)packed->data;
	z.avail_out = (uInt)bound;
	bool done = deflate(&z, Z_FINISH) == Z_STREAM_END;
	packed->len = done ? z.total_out : 0;
	deflateEnd(&z);
	return done && packed->len < a->len;
}

static bool has_body(int code)
{
	return code >= 200 && code != 204 && code != 304;
}

void ops_http_compose(
	const struct ops_web_config *web, const struct ops_http_answer *a, struct evbuffer *out)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf packed = OPS_STRBUF_INIT;
	bool packed_before =
		a->headers != NULL && strcasestr(a->headers, "Content-Encoding:") != NULL;
	bool packable = a->content_type != NULL && a->len > GZIP_FROM && a->len < UINT32_MAX / 2 &&
			!packed_before;
	bool gzip = packable && a->gzip_accepted && pack(a, &packed);
	const void *body = gzip ? packed.data : a->body;
	size_t len = gzip ? packed.len : a->len;

	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", a->code, reason_of(a->code));
	add_date(out);
	if (a->content_type != NULL)
		evbuffer_add_printf(out, "Content-Type: %s\r\n", a->content_type);
	if (a->chunked)
		evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
	else if (has_body(a->code) && !a->in_pieces)
		evbuffer_add_printf(out, "Content-Length: %zu\r\n", len);
	if (gzip)
		evbuffer_add_printf(out, "Content-Encoding: gzip\r\n");
	if (packable || packed_before)
		evbuffer_add_printf(out, "Vary: Accept-Encoding\r\n");
	add_web_headers(web, out);
	if (a->headers != NULL)
		evbuffer_add(out, a->headers, strlen(a->headers));
	evbuffer_add_printf(out, "Connection: %s\r\n\r\n", a->keep_alive ? "keep-alive" : "close");
	if (!a->head_only && has_body(a->code) && len > 0)
		evbuffer_add(out, body, len);
}

/* "gzip", "deflate, gzip;q=0.5", "*"; q=0 means no. */
static bool accepts_gzip(const char *header)
{
	if (header == NULL)
		return false;
	for (const char *at = header; *at != '\0';) {
		at += strspn(at, ", \t");
		size_t len = strcspn(at, ",");
		size_t name = strcspn(at, ",; \t");
		if ((name == 4 && strncasecmp(at, "gzip", 4) == 0) || (name == 1 && *at == '*')) {
			const char *q = memmem(at, len, "q=", 2);
			size_t zeros = q != NULL ? strspn(q + 2, "0.") : 0;
			return q == NULL || q + 2 + zeros < at + len;
		}
		at += len;
	}
	return false;
}

bool ops_http_accepts_gzip(const struct ops_http_req *req)
{
	return accepts_gzip(ops_http_head_get(&req->head, "Accept-Encoding"));
}

void ops_http_reply_header(struct ops_http_req *req, const char *name, const char *value)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	ops_assert(ops_http_is_token(name, strlen(name)));
	ops_strbuf_printf(&req->headers, "%s: ", name);
	for (const char *p = value; *p != '\0'; p++) /* a value may hold what a peer sent */
		ops_strbuf_addc(&req->headers, (unsigned char)*p < ' ' || *p == 0x7f ? ' ' : *p);
	ops_strbuf_adds(&req->headers, "\r\n");
}

void ops_http_reply(
	struct ops_http_req *req, int code, const char *content_type, const void *data, size_t len)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	if (req->aborting)
		return; /* the abort frees it */
	struct ops_http_conn *conn = req->conn;
	if (conn == NULL) {
		if (req->server != NULL)
			ops_http_count_request(req->handler, ops_http_method_text(req->method), 499,
				ops_mono_ns() - req->begin_ns);
		ops_http_req_free(req);
		return;
	}
	struct ops_http_answer a = {.code = code,
		.content_type = content_type,
		.headers = ops_strbuf_text(&req->headers),
		.body = data,
		.len = len};
	a.head_only = req->method == OPS_HEAD;
	a.keep_alive = req->head.keep_alive && !req->server->draining;
	a.gzip_accepted = ops_http_accepts_gzip(req);
	struct evbuffer *out = evbuffer_new();
	ops_assert(out != NULL);
	ops_http_compose(req->server->web, &a, out);
	ops_http_count_request(req->handler, ops_http_method_text(req->method), code,
		ops_mono_ns() - req->begin_ns);
	req->conn = NULL;
	ops_http_req_free(req);
	ops_http_conn_send(conn, out, !a.keep_alive);
	evbuffer_free(out);
}

void ops_http_reply_text(struct ops_http_req *req, int code, const char *text)
{
	ops_http_reply(req, code, "text/plain; charset=utf-8", text, strlen(text));
}

void ops_http_reply_json(struct ops_http_req *req, int code, json_t *taken)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;

	ops_json_dump(taken, &text);
	json_decref(taken);
	ops_http_reply(req, code, "application/json", ops_strbuf_text(&text), text.len);
}

void ops_http_reply_error(struct ops_http_req *req, int code, const struct ops_error *err)
{
	json_t *j = json_object();

	ops_json_set_string(j, "error", err->message);
	if (err->file[0] != '\0')
		ops_json_set_string(j, "file", err->file);
	if (err->line > 0)
		ops_json_set_i64(j, "line", err->line);
	if (err->column > 0)
		ops_json_set_i64(j, "column", err->column);
	if (err->hint[0] != '\0')
		ops_json_set_string(j, "hint", err->hint);
	ops_http_reply_json(req, code, j);
}
