/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * GET over a connection that is kept: HTTP/1.1, plain or TLS, made for scraping thousands of
 * targets. One connection per target, one request at a time on it. Answers that need more than that
 * (redirects) are handed out as they are. Loop thread only.
 */
#include "common/loop/loop.h"
#include "common/net/http_client.h"

struct col_puller;     /* opaque: buffers, resolver, TLS contexts; one per process */
struct col_connection; /* opaque */

struct col_puller *col_puller_new(struct ops_loop *loop);
void col_puller_free(struct col_puller *p); /* all connections must be gone; NULL is fine */

struct col_origin {	  /* copied */
	const char *host; /* without brackets */
	uint16_t port;
	const struct ops_tls_client *tls; /* NULL: plain */
};

struct col_connection *col_connection_new(struct col_puller *p, const struct col_origin *origin);
void col_connection_free(struct col_connection *c); /* drops a request under way; NULL is fine */

struct col_pull {
	const char *head; /* request line and fields with the blank line; copied. NULL: as before */
	size_t len;
	int64_t timeout_ms;    /* over everything: resolve, connect, TLS, transfer */
	size_t max_body_bytes; /* decoded */
	/* Exactly once, never before col_pull_start returns. It may free the connection. */
	void (*fn)(void *arg, const struct ops_http_response *res);
	void *arg;
};
/* There must be none under way. */
void col_pull_start(struct col_connection *c, const struct col_pull *pull);
void col_pull_cancel(struct col_connection *c); /* without a callback; fine when there is none */
