/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HTTP/1.1 server on the loop: a strict parser of our own on libevent's bufferevents, router,
 * limits, deadlines, TLS and authentication by Prometheus' web configuration file, bearer tokens
 * and roles. Handlers run on the loop thread and answer now or later.
 *
 * Guards: connections in all and per address, a deadline for a complete request (slow loris) and
 * for progress of a reply, requests per second, bodies in memory; Transfer-Encoding other than
 * chunked, several or contradicting Content-Length, bare CR, LF or NUL, folded lines; changes asked
 * for by pages of other sites. All are answered 4xx or closed, and counted in
 * ops_http_refused_total{reason}. Requests are counted in
 * ops_http_requests_total{handler,method,code} and timed in
 * ops_http_request_duration_seconds{handler}.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/json/json.h"
#include "common/loop/loop.h"

struct ops_http_server; /* opaque */
struct ops_http_req;	/* opaque; belongs to the server, valid until replied (or aborted) */

enum ops_role {
	OPS_ROLE_NONE,
	OPS_ROLE_VIEWER,
	OPS_ROLE_OPERATOR,
	OPS_ROLE_APPROVER,
	OPS_ROLE_ADMIN
};
int ops_role_parse(const char *text, enum ops_role *ret) OPS_MUST_CHECK;
const char *ops_role_text(enum ops_role role);

enum ops_http_method {
	OPS_GET = 1,
	OPS_HEAD = 2,
	OPS_POST = 4,
	OPS_PUT = 8,
	OPS_DELETE = 16,
	OPS_OPTIONS = 32,
	OPS_PATCH = 64,
};
/* In a route's mask: its POST changes nothing, pages of other sites may ask too. */
#define OPS_SAFE_POST 128u
/* Likewise: a body is a document, whatever its type says (curl calls everything a form). */
#define OPS_RAW_BODY 256u
/* Likewise: the handler runs when the head is there and takes the body as it comes, of any length:
 * it calls ops_http_on_body before it returns, or replies. */
#define OPS_STREAM_BODY 512u

struct ops_http_limits {	       /* zero = the default in brackets */
	size_t header_bytes;	       /* [32 KiB] */
	size_t body_bytes;	       /* [10 MiB] */
	unsigned connections;	       /* [1024] */
	unsigned connections_per_addr; /* [256] */
	int64_t request_deadline_ms;   /* from first byte or idle to complete request [15 s] */
	int64_t idle_ms;	       /* [120 s] */
	unsigned requests_per_second;  /* per address, burst of twice that; 0 = no limit */
};

struct ops_http_config {
	const char *service;	      /* for messages and the auth realm */
	const char *listen;	      /* "127.0.0.1:9093", ":9093" or "[::1]:9093" */
	const char *web_config_file;  /* NULL: no TLS, anonymous_role applies */
	enum ops_role anonymous_role; /* role of a caller without credentials when no web
					 configuration sets it */
	struct ops_http_limits limits;
};

/*
 * Web configuration file: Prometheus' tls_server_config (cert_file, key_file, client_auth_type,
 * client_ca_file, min_version), basic_auth_users (bcrypt), http_server_config.headers; ours:
 * basic_auth_roles {user: role}, bearer_tokens
 * [{name, role, token_file | token_sha256}], anonymous_role.
 */
int ops_http_server_new(struct ops_loop *loop, const struct ops_http_config *cfg,
	struct ops_http_server **ret,
	struct ops_error *err) OPS_MUST_CHECK; /* binds and listens; -EADDRINUSE ... */
void ops_http_server_free(struct ops_http_server *s);
unsigned ops_http_server_port(const struct ops_http_server *s); /* the real one when 0 was asked */
int ops_http_server_reload(struct ops_http_server *s,
	struct ops_error *err) OPS_MUST_CHECK; /* certificates, users, tokens; keeps old on error */
void ops_http_server_drain(struct ops_http_server *s); /* stop accepting, close idle connections */
size_t ops_http_server_busy(const struct ops_http_server *s); /* requests not yet answered */
int ops_http_web_config_check(const char *path, struct ops_error *err) OPS_MUST_CHECK;

/*
 * Pattern segments: literal, "{name}" (one segment), "{name...}" (rest, last only). methods is a
 * mask; HEAD is answered by GET handlers. The pattern is also the `handler` label. Unknown path
 * 404, wrong method 405 with Allow.
 */
void ops_http_route(struct ops_http_server *s, unsigned methods, const char *pattern,
	enum ops_role least, void (*fn)(struct ops_http_req *req, void *arg), void *arg);

/*
 * Is asked about requests whose path no route knows, by callers with the role of a viewer: true
 * when it has answered or will, false: 404. NULL takes it back.
 */
typedef bool ops_http_fallback_fn(struct ops_http_req *req, void *arg);
void ops_http_fallback(struct ops_http_server *s, ops_http_fallback_fn *fn, void *arg);

enum ops_http_method ops_http_method(const struct ops_http_req *req);
const char *ops_http_path(const struct ops_http_req *req); /* decoded, without the query */
const char *ops_http_segment(
	const struct ops_http_req *req, const char *name); /* decoded path parameter */
/* Query string and, for POST with application/x-www-form-urlencoded, form fields; decoded. */
const char *ops_http_param(const struct ops_http_req *req, const char *name); /* first, or NULL */
size_t ops_http_params(const struct ops_http_req *req, const char *name, const char **ret,
	size_t max); /* all, in order; returns count */
/* For a log or an audit record: */
const char *ops_http_header(const struct ops_http_req *req, const char *name);
void ops_http_body(struct ops_http_req *req, const char **ret, size_t *ret_len);
const char *ops_http_remote(const struct ops_http_req *req); /* address without port */
/* Authenticated name, or "anonymous"; and its role. */
const char *ops_http_principal(const struct ops_http_req *req);
bool ops_http_authenticated(const struct ops_http_req *req);
enum ops_role ops_http_role(const struct ops_http_req *req);
const char *ops_http_trace_id(
	const struct ops_http_req *req); /* 32 hex: from traceparent, else made here */
const char *ops_http_traceparent(
	const struct ops_http_req *req); /* to pass on: same trace, our span */

/* Exactly one reply per request; the request is gone afterwards. Bodies are copied. */
void ops_http_reply(
	struct ops_http_req *req, int code, const char *content_type, const void *data, size_t len);
void ops_http_reply_text(struct ops_http_req *req, int code, const char *text);
void ops_http_reply_json(struct ops_http_req *req, int code, json_t *taken);
/* {"error": message, "hint": ..., "line":, "column":} with the status code. */
void ops_http_reply_error(struct ops_http_req *req, int code, const struct ops_error *err);
void ops_http_reply_header(
	struct ops_http_req *req, const char *name, const char *value); /* before the reply */
/* A body that the handler packed itself: set Content-Encoding by ops_http_reply_header. */
bool ops_http_accepts_gzip(const struct ops_http_req *req);
/*
 * A reply in pieces, for what is long or whose length is not known: begin (once, needs an on_abort
 * handler), any number of writes, end; the request is gone after end or cut. A write returns how
 * many bytes wait to be sent; when these are too many, stop and go on when on_drain runs (little
 * waits then). cut closes the connection so that the client sees the reply is not whole.
 */
void ops_http_stream_begin(struct ops_http_req *req, int code, const char *content_type,
	void (*on_drain)(struct ops_http_req *, void *), void *arg);
size_t ops_http_stream_write(struct ops_http_req *req, const void *data, size_t len);
void ops_http_stream_end(struct ops_http_req *req);
void ops_http_stream_cut(struct ops_http_req *req);
/*
 * fn gets the pieces of the body on the loop; with last (perhaps without bytes) it is complete and
 * the reply is awaited. A reply before that ends the connection. Needs an on_abort handler.
 */
void ops_http_on_body(struct ops_http_req *req,
	void (*fn)(struct ops_http_req *, const void *data, size_t len, bool last), void *arg);
void *ops_http_body_arg(const struct ops_http_req *req);
/* fn runs when the client goes away before the reply (or its end); do not reply then. */
void ops_http_on_abort(
	struct ops_http_req *req, void (*fn)(struct ops_http_req *, void *), void *arg);
/* Parses the body as JSON (limit: body_bytes); on failure replies 400 itself and returns -EINVAL.
 */
int ops_http_json(struct ops_http_req *req, json_t **ret) OPS_MUST_CHECK;
