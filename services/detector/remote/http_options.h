/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * How to talk to somebody else's HTTP door, in the words of Prometheus' configuration: credentials,
 * TLS, proxy, headers. Part of a destination of remote_write and of the datasource. Everything lies
 * in the configuration's arena; secrets in files are read for each call.
 */
#include "common/conf/conf.h"
#include "common/net/http_client.h"

struct det_http_options {
	const char *username, *username_file, *password, *password_file; /* basic_auth */
	const char *type, *credentials, *credentials_file;		 /* authorization */
	const char *bearer_token, *bearer_token_file; /* the older words for it */
	struct ops_tls_client tls;
	const char *tls_min, *tls_max; /* TLS10 .. TLS13 */
	const char *proxy_url;
	bool follow_redirects;
	const struct ops_conf_node *headers; /* http_headers */
	const char *const *header_lines;     /* "Name: value", after _finish */
	size_t nheader_lines;
};

/* Nested tables, relative to struct det_http_options. */
extern const struct ops_conf_key det_http_basic_keys[];
extern const struct ops_conf_key det_http_authorization_keys[];
extern const struct ops_conf_key det_http_tls_keys[];

/* The rows of a table over struct TYPE that has the options as member MEMBER. */
#define DET_HTTP_ROW(name_, kind_, type_, path_, fallback_)                                        \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(type_, path_),                \
		.fallback = (fallback_)                                                            \
	}
#define DET_HTTP_ROWS(type_, member_)                                                              \
	{.name = "basic_auth",                                                                     \
		.kind = OPS_CONF_K_MAPPING,                                                        \
		.offset = offsetof(type_, member_),                                                \
		.sub = det_http_basic_keys},                                                       \
		{.name = "authorization",                                                          \
			.kind = OPS_CONF_K_MAPPING,                                                \
			.offset = offsetof(type_, member_),                                        \
			.sub = det_http_authorization_keys},                                       \
		{.name = "tls_config",                                                             \
			.kind = OPS_CONF_K_MAPPING,                                                \
			.offset = offsetof(type_, member_),                                        \
			.sub = det_http_tls_keys},                                                 \
		DET_HTTP_ROW(                                                                      \
			"bearer_token", OPS_CONF_K_SECRET, type_, member_.bearer_token, NULL),     \
		DET_HTTP_ROW("bearer_token_file", OPS_CONF_K_PATH, type_,                          \
			member_.bearer_token_file, NULL),                                          \
		DET_HTTP_ROW("proxy_url", OPS_CONF_K_STRING, type_, member_.proxy_url, NULL),      \
		DET_HTTP_ROW("follow_redirects", OPS_CONF_K_BOOL, type_, member_.follow_redirects, \
			"true"),                                                                   \
		DET_HTTP_ROW("http_headers", OPS_CONF_K_NODE, type_, member_.headers, NULL)

struct det_http_done { /* as ops_http_call_start has it */
	void (*fn)(void *arg, const struct ops_http_response *res);
	void *arg;
};

/* After decoding: checks what excludes each other, makes the header lines. at is for positions. */
int det_http_options_finish(struct ops_arena *a, const struct ops_conf_node *at,
	struct det_http_options *o, struct ops_error *err) OPS_MUST_CHECK;
/* Starts req with the options applied to it; req's own headers come first. -ENOENT and the like: a
 * secret file could not be read. */
int det_http_start(struct ops_http_client *client, const struct det_http_options *o,
	struct ops_http_request *req, const struct det_http_done *done,
	struct ops_http_call **ret_call) OPS_MUST_CHECK;
/* url without user information and query, for logs and metrics. */
char *det_http_redacted(const char *url) OPS_MUST_CHECK;
