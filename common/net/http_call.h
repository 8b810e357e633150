/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The seam between the multi glue (http_client.c) and what sets a transfer up (http_call.c,
 * mail.c). Internal to common/net. */
#include <curl/curl.h>

#include "common/base/strbuf.h"
#include "common/net/http_client.h"

struct ops_http_call {
	unsigned magic;
	struct ops_http_client *client;
	struct ops_http_call *next, **link; /* list of the client */
	CURL *easy;
	void (*fn)(void *arg, const struct ops_http_response *res);
	void *arg;
	struct curl_slist *headers, *connect_to, *recipients, *proxy_headers;
	char error[CURL_ERROR_SIZE];
	struct ops_strbuf upload; /* request body or mail */
	size_t uploaded;
	struct ops_strbuf response;
	size_t max_response_bytes;
	char *want_header, *header; /* name asked for, value found */
	void (*on_data)(void *arg, const char *data, size_t len);
	bool too_big;
	bool has_data; /* for on_data */
	bool is_mail;
	unsigned redirects_left;
	bool sends_body;
	int64_t begin_ns, timeout_ms;
};

/* A call with what every transfer needs: time-out, TLS, error buffer. Not started. NULL when the
 * client is stopped. */
struct ops_http_call *ops_call_new(struct ops_http_client *c,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg);
void ops_call_free(struct ops_http_call *call); /* not started, or removed */
void ops_call_set_tls(struct ops_http_call *call, const struct ops_tls_client *tls);
void ops_call_set_timeout(struct ops_http_call *call, int64_t timeout_ms);
void ops_call_set_proxy(struct ops_http_call *call, const char *proxy_url);
/* After an answer with this code: true when the call was pointed at the redirect's target and must
 * go on. */
bool ops_call_redirect(struct ops_http_call *call, int code);
/* To be called when a call has data for its on_data. */
void ops_call_note_data(struct ops_http_call *call);
/* Hands it to curl; fn follows. */
void ops_call_start(struct ops_http_call *call);
/* Setting an option fails only without memory or with a wrong build of libcurl. */
#define OPS_CURL(call, option, value)                                                              \
	ops_assert(curl_easy_setopt((call)->easy, option, value) == CURLE_OK)
