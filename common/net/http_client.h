/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * HTTP(S) and SMTP client on the loop: curl multi, one per process, connections kept alive.
 * A request has one deadline over everything (resolve, connect, TLS, transfer) and a body limit.
 * Host names resolve in curl's own resolver thread; the loop never blocks.
 */
#include "common/base/def.h"
#include "common/loop/loop.h"

struct ops_http_client; /* opaque */
struct ops_http_call;	/* opaque; one request under way */

struct ops_http_client_config {
	unsigned connections_in_all;   /* 0 = 512 */
	unsigned connections_per_host; /* 0 = 32 */
};

enum ops_tls_version { /* OPS_TLS_DEFAULT: at least 1.2, at most what both sides speak */
	OPS_TLS_DEFAULT,
	OPS_TLS_1_0,
	OPS_TLS_1_1,
	OPS_TLS_1_2,
	OPS_TLS_1_3
};

struct ops_tls_client { /* all optional */
	const char *ca_file, *cert_file, *key_file, *server_name;
	const char *ca, *cert, *key; /* the PEM text itself, instead of a file */
	enum ops_tls_version min_version, max_version;
	bool insecure_skip_verify;
};

struct ops_http_request {   /* everything is copied by ops_http_call_start */
	const char *method; /* NULL = GET */
	const char *url;
	const char *const *headers; /* "Name: value" strings */
	size_t nheaders;
	const void *body;
	size_t body_len;
	int64_t timeout_ms;	   /* 0 = 10 s */
	size_t max_response_bytes; /* 0 = 10 MiB; above: OPS_HTTP_TOO_BIG */
	bool no_redirects;	   /* default follows 10, credentials stay with the first host */
	bool gzip;		   /* accept and decode gzip */
	const char *basic_user, *basic_password;
	const char *bearer;
	const char *proxy_url;
	const char *const *proxy_headers; /* of the CONNECT request only */
	size_t nproxy_headers;
	struct ops_tls_client tls;
	const char *unix_socket; /* connect there instead of the host; may be NULL */
	const char *want_header; /* its last value is in the response */
	/*
	 * The body of a 2xx answer as it arrives, for answers that go on and on: it is not
	 * collected and max_response_bytes does not hold for it. The call may be cancelled from
	 * here.
	 */
	void (*on_data)(void *arg, const char *data, size_t len);
};

enum ops_http_outcome {
	OPS_HTTP_DONE, /* a status code was received */
	OPS_HTTP_TIMEOUT,
	OPS_HTTP_REFUSED,
	OPS_HTTP_UNRESOLVED,
	OPS_HTTP_TLS,
	OPS_HTTP_TOO_BIG,
	OPS_HTTP_FAILED,
	OPS_HTTP_CANCELLED,
};

struct ops_http_response { /* valid during the callback */
	enum ops_http_outcome outcome;
	int code;
	const char *error; /* text for humans when outcome != DONE */
	const char *body;
	size_t len;
	const char *content_type; /* "" when absent */
	int64_t duration_ms;
	size_t wire_bytes;	/* received, before decoding */
	int64_t retry_after_ms; /* -1 when not given */
	const char *header;	/* want_header's value, "" when absent */
};

struct ops_http_client *ops_http_client_new(
	struct ops_loop *loop, const struct ops_http_client_config *cfg);
void ops_http_client_free(struct ops_http_client *c); /* cancels what is under way; NULL is fine */
/* Cancels what is under way and starts nothing any more (-ESHUTDOWN): callers may still hold the
 * pointer. NULL is fine. */
void ops_http_client_stop(struct ops_http_client *c);

/* fn is called exactly once, never before this returns. -EINVAL: unusable URL or header (CR/LF
 * inside). */
int ops_http_call_start(struct ops_http_client *c, const struct ops_http_request *req,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_http_call **ret_call) OPS_MUST_CHECK;
void ops_http_call_cancel(
	struct ops_http_call *call); /* fn is called with CANCELLED before this returns */

struct ops_mail {	       /* copied */
	const char *smarthost; /* host:port */
	const char *hello;     /* may be NULL */
	const char *from;      /* bare address */
	const char *const *to; /* bare addresses */
	size_t nto;
	const char *username, *password; /* may be NULL */
	bool require_tls;		 /* STARTTLS must succeed */
	bool implicit_tls;
	struct ops_tls_client tls;
	const void *message; /* whole RFC 5322 message, CRLF lines */
	size_t message_len;
	int64_t timeout_ms;
};
/* outcome DONE with code 250 when the server accepted the message for every recipient; other codes
 * are its refusal. */
int ops_mail_start(struct ops_http_client *c, const struct ops_mail *mail,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_http_call **ret_call) OPS_MUST_CHECK;
