/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the files of the HTTP server share: server, request, and the seam between connection
 * (bytes), request (handlers) and reply. A connection owns at most one request; a request outlives
 * its connection when the client goes away before the reply. Internal to common/net.
 */
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/net/http_auth.h"
#include "common/net/http_guard.h"
#include "common/net/http_params.h"
#include "common/net/http_parse.h"
#include "common/net/http_router.h"
#include "common/net/http_server.h"
#include "common/net/http_trace.h"
#include "common/net/web_config.h"

struct evbuffer;
struct evconnlistener;
struct ops_http_conn; /* opaque: http_conn.c */

LIST_HEAD(ops_http_conns, ops_http_conn);
LIST_HEAD(ops_http_reqs, ops_http_req);

struct ops_http_server {
	struct ops_loop *loop;
	char *service, *web_config_file;
	enum ops_role anonymous_role; /* without a file that says */
	struct ops_http_limits limits;
	struct evconnlistener *listener;
	struct ops_timer *accept_again; /* after the process ran out of descriptors */
	unsigned port;
	struct ops_http_router router;
	ops_http_fallback_fn *fallback; /* or NULL */
	void *fallback_arg;
	struct ops_web_config *web;
	struct ops_http_auth *auth;
	struct ops_http_guard guard;
	struct ops_http_conns conns;
	struct ops_http_reqs reqs; /* all that are not freed */
	size_t buffered_bytes;	   /* request bodies in memory */
	bool draining;
	bool streams; /* some route takes its body as it comes */
};

enum {
	REQ_MAGIC = 0x48524551
};

struct ops_http_req {
	unsigned magic;
	LIST_ENTRY(ops_http_req) link;
	struct ops_http_server *server; /* NULL after the server is gone */
	struct ops_http_conn *conn;	/* NULL after the client is gone */
	struct ops_arena arena;
	struct ops_http_head head;
	enum ops_http_method method;
	struct ops_strbuf body;
	char remote[64];
	struct ops_http_addr *addr; /* valid while conn is */
	const char *path;
	struct ops_http_params params;
	struct ops_http_match match;
	struct ops_identity identity;
	struct ops_auth_job *auth_job;
	struct ops_trace trace;
	struct ops_strbuf headers; /* of the reply */
	void (*on_abort)(struct ops_http_req *, void *);
	void *abort_arg;
	void (*on_drain)(struct ops_http_req *, void *); /* of a reply in pieces */
	void *drain_arg;
	void (*on_body)(struct ops_http_req *, const void *data, size_t len, bool last);
	void *body_arg;
	int stream_code;      /* 0: not begun */
	bool stream_headless; /* HEAD: what is written is dropped */
	bool stream_chunked;
	int64_t begin_ns;
	const char *handler; /* label of the metrics: the route's pattern */
	bool handed_over;    /* to a handler: only its reply (or abort) frees it */
	bool aborting;	     /* on_abort is running */
};

/* http_request.c */
struct ops_http_req *ops_http_req_new(
	struct ops_http_server *s, struct ops_http_conn *conn, struct ops_http_addr *addr);
void ops_http_req_free(struct ops_http_req *req);
/* The client or the server is gone before the reply: runs on_abort or leaves the request to its
 * handler. */
void ops_http_req_abort(struct ops_http_req *req);

/* http_dispatch.c: rate, parameters, authentication, route, handler. The request is complete. */
void ops_http_dispatch(struct ops_http_req *req);

/* The request's route takes the body as it comes. */
bool ops_http_streams_body(struct ops_http_req *req);

/* http_conn.c */
void ops_http_conn_resume(struct ops_http_conn *conn); /* there is somebody for the body now */
void ops_http_conn_open(struct ops_http_server *s, int fd, struct ops_http_addr *addr);
void ops_http_conn_send(struct ops_http_conn *conn, struct evbuffer *reply, bool close);
/* The head of a reply in pieces, then pieces; returns the bytes not yet sent. */
size_t ops_http_conn_stream(struct ops_http_conn *conn, struct evbuffer *piece);
void ops_http_conn_stream_end(struct ops_http_conn *conn, bool close);
void ops_http_conn_close(struct ops_http_conn *conn);
void ops_http_conn_drain(struct ops_http_conn *conn); /* close now if idle, else after the reply */
bool ops_http_conn_busy(
	const struct ops_http_conn *conn); /* a request is being handled or answered */
struct ops_http_conn *ops_http_conn_next(struct ops_http_conn *conn);

/* http_stream.c */
void ops_http_req_drained(struct ops_http_req *req);

/* http_reply.c */
struct ops_http_answer {
	int code;
	const char *content_type; /* NULL: no body, no type */
	const char *headers;	  /* whole CRLF lines, may be NULL */
	const void *body;
	size_t len;
	bool head_only, keep_alive, gzip_accepted;
	bool in_pieces, chunked; /* no length; chunked: as its own transfer coding */
};
void ops_http_compose(
	const struct ops_web_config *web, const struct ops_http_answer *a, struct evbuffer *out);

/* http_metrics.c */
void ops_http_count_refused(const char *reason);
void ops_http_count_request(const char *handler, const char *method, int code, int64_t duration_ns);
void ops_http_set_connections(unsigned n);
