/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The HTTP client settings that a scrape job and the ways of finding targets have in common:
 * authentication, TLS, proxy, headers. Everything lies in the configuration's arena. A request is
 * filled in from them anew each time, because secrets in files may change at any moment.
 */
#include "common/base/arena.h"
#include "common/conf/conf.h"
#include "common/net/http_client.h"

struct col_basic {
	const char *username, *username_file, *password, *password_file;
};

struct col_authorization {
	const char *type, *credentials, *credentials_file;
};

struct col_tls {
	const char *ca, *cert, *key, *ca_file, *cert_file, *key_file, *server_name;
	bool insecure_skip_verify;
	const char *min_version, *max_version; /* TLS10 ... TLS13, or NULL */
};

struct col_header { /* one of value and file */
	const char *name, *value, *file;
};

struct col_proxy {
	const char *url, *no_proxy;
	bool from_environment;
	const struct ops_conf_node *connect_header; /* as written */
	const struct col_header *headers;
	size_t nheaders;
};

struct col_oauth2 {
	const char *client_id, *client_secret, *client_secret_file, *token_url;
	struct ops_conf_strings scopes;
	const struct ops_conf_node *endpoint_params; /* as written */
	struct col_tls tls_written;
	struct ops_tls_client tls;
	struct col_proxy proxy;
	uint64_t hash; /* of all of it: equal settings share a token */
};

struct col_http {
	struct col_basic basic;
	struct col_authorization authorization; /* bearer_token ends up here too */
	const char *bearer_token, *bearer_token_file;
	struct col_oauth2 oauth2;
	bool has_basic, has_oauth2;
	struct col_tls tls_written;
	struct ops_tls_client tls;
	struct col_proxy proxy;
	const struct ops_conf_node *headers_written;
	const struct col_header *headers;
	size_t nheaders;
	bool follow_redirects, http2;
};

/* Rows of a key table for a struct of this type that has a struct col_http as this member. */
#define COL_HTTP_ROW(type_, member_, name_, kind_, field_, fallback_)                              \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(type_, member_.field_),       \
		.fallback = (fallback_)                                                            \
	}
#define COL_HTTP_SUB(type_, member_, name_, field_, sub_)                                          \
	{                                                                                          \
		.name = (name_), .kind = OPS_CONF_K_MAPPING,                                       \
		.offset = offsetof(type_, member_.field_), .sub = (sub_)                           \
	}
#define COL_HTTP_ROWS(type_, member_)                                                              \
	COL_HTTP_SUB(type_, member_, "basic_auth", basic, col_basic_keys),                         \
		COL_HTTP_SUB(                                                                      \
			type_, member_, "authorization", authorization, col_authorization_keys),   \
		COL_HTTP_SUB(type_, member_, "oauth2", oauth2, col_oauth2_keys),                   \
		COL_HTTP_SUB(type_, member_, "tls_config", tls_written, col_tls_keys),             \
		COL_HTTP_ROW(                                                                      \
			type_, member_, "bearer_token", OPS_CONF_K_SECRET, bearer_token, NULL),    \
		COL_HTTP_ROW(type_, member_, "bearer_token_file", OPS_CONF_K_PATH,                 \
			bearer_token_file, NULL),                                                  \
		COL_HTTP_ROW(type_, member_, "follow_redirects", OPS_CONF_K_BOOL,                  \
			follow_redirects, "true"),                                                 \
		COL_HTTP_ROW(type_, member_, "enable_http2", OPS_CONF_K_BOOL, http2, "true"),      \
		COL_HTTP_ROW(type_, member_, "proxy_url", OPS_CONF_K_STRING, proxy.url, NULL),     \
		COL_HTTP_ROW(type_, member_, "no_proxy", OPS_CONF_K_STRING, proxy.no_proxy, NULL), \
		COL_HTTP_ROW(type_, member_, "proxy_from_environment", OPS_CONF_K_BOOL,            \
			proxy.from_environment, "false"),                                          \
		COL_HTTP_ROW(type_, member_, "proxy_connect_header", OPS_CONF_K_NODE,              \
			proxy.connect_header, NULL),                                               \
		COL_HTTP_ROW(                                                                      \
			type_, member_, "http_headers", OPS_CONF_K_NODE, headers_written, NULL)

extern const struct ops_conf_key col_basic_keys[], col_authorization_keys[], col_oauth2_keys[],
	col_tls_keys[];

/*
 * Checks and completes what was decoded by these rows from node: what excludes each other, names of
 * versions, headers, files that must be there.
 */
int col_http_finish(struct ops_arena *a, const struct ops_conf_node *node, struct col_http *http,
	struct ops_conf_warnings *w, struct ops_error *err) OPS_MUST_CHECK;

/*
 * Checks a tls_config that stands alone (of oauth2, say) and gives it its final form.
 */
int col_tls_finish(const struct ops_conf_node *node, const struct col_tls *written,
	struct ops_tls_client *ret, struct ops_error *err) OPS_MUST_CHECK;
int col_proxy_finish(struct ops_arena *a, const struct ops_conf_node *node, struct col_proxy *proxy,
	struct ops_error *err) OPS_MUST_CHECK;

/* ---- requests (http_request.c) ---- */

/* What a request points to; released after ops_http_call_start() has copied it. */
struct col_http_hold {
	char **texts;
	size_t n, cap;
	const char **headers;
	size_t nheaders, cap_headers;
	const char **proxy_headers;
	size_t nproxy_headers, cap_proxy_headers;
};
void col_http_hold_done(struct col_http_hold *hold);
const char *col_http_keep(struct col_http_hold *hold, const char *text); /* a copy */

/*
 * Fills in authentication, TLS, proxy, redirects and headers for req->url; headers that req has
 * come first. token: of oauth2, may be NULL. Fails when a secret's file cannot be read.
 */
int col_http_fill(const struct col_http *http, const char *token, struct ops_http_request *req,
	struct col_http_hold *hold, struct ops_error *err) OPS_MUST_CHECK;
/* Text of a secret given as text or as a file; owned, NULL when neither is. */
int col_http_secret(
	const char *text, const char *path, char **ret, struct ops_error *err) OPS_MUST_CHECK;
/* The proxy for this URL, or NULL: none. Owned. */
char *col_proxy_for(const struct col_proxy *proxy, const char *url);
