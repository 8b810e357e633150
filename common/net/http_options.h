/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The HTTP client settings of Prometheus' configuration, for whatever makes requests: scrape jobs,
 * the ways of finding targets, remote_write, receivers of notifications. Authentication, TLS,
 * proxy, headers. Everything lies in the configuration's arena. A request is filled in from them
 * anew each time, because secrets in files may change at any moment.
 */
#include "common/base/arena.h"
#include "common/conf/conf.h"
#include "common/net/http_client.h"

struct ops_basic_options {
	const char *username, *username_file, *password, *password_file;
};

struct ops_authorization_options {
	const char *type, *credentials, *credentials_file;
};

struct ops_tls_options {
	const char *ca, *cert, *key, *ca_file, *cert_file, *key_file, *server_name;
	bool insecure_skip_verify;
	const char *min_version, *max_version; /* TLS10 ... TLS13, or NULL */
};

struct ops_header_option { /* one of value and file */
	const char *name, *value, *file;
};

struct ops_proxy_options {
	const char *url, *no_proxy;
	bool from_environment;
	const struct ops_conf_node *connect_header; /* as written */
	const struct ops_header_option *headers;
	size_t nheaders;
};

struct ops_oauth2_options {
	const char *client_id, *client_secret, *client_secret_file, *token_url;
	struct ops_conf_strings scopes;
	const struct ops_conf_node *endpoint_params; /* as written */
	struct ops_tls_options tls_written;
	struct ops_tls_client tls;
	struct ops_proxy_options proxy;
	uint64_t hash; /* of all of it: equal settings share a token */
};

struct ops_http_options {
	struct ops_basic_options basic;
	struct ops_authorization_options authorization; /* bearer_token ends up here too */
	const char *bearer_token, *bearer_token_file;
	struct ops_oauth2_options oauth2;
	bool has_basic, has_oauth2;
	struct ops_tls_options tls_written;
	struct ops_tls_client tls;
	struct ops_proxy_options proxy;
	const struct ops_conf_node *headers_written;
	const struct ops_header_option *headers;
	size_t nheaders;
	bool follow_redirects, http2;
};

/* Rows of a key table for a struct of this type that has a struct ops_http_options as this member.
 */
#define OPS_HTTP_OPTIONS_ROW(type_, member_, name_, kind_, field_, fallback_)                      \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(type_, member_.field_),       \
		.fallback = (fallback_)                                                            \
	}
#define OPS_HTTP_OPTIONS_SUB(type_, member_, name_, field_, sub_)                                  \
	{                                                                                          \
		.name = (name_), .kind = OPS_CONF_K_MAPPING,                                       \
		.offset = offsetof(type_, member_.field_), .sub = (sub_)                           \
	}
#define OPS_HTTP_OPTIONS_ROWS(type_, member_)                                                      \
	OPS_HTTP_OPTIONS_SUB(type_, member_, "basic_auth", basic, ops_basic_keys),                 \
		OPS_HTTP_OPTIONS_SUB(                                                              \
			type_, member_, "authorization", authorization, ops_authorization_keys),   \
		OPS_HTTP_OPTIONS_SUB(type_, member_, "oauth2", oauth2, ops_oauth2_keys),           \
		OPS_HTTP_OPTIONS_SUB(type_, member_, "tls_config", tls_written, ops_tls_keys),     \
		OPS_HTTP_OPTIONS_ROW(                                                              \
			type_, member_, "bearer_token", OPS_CONF_K_SECRET, bearer_token, NULL),    \
		OPS_HTTP_OPTIONS_ROW(type_, member_, "bearer_token_file", OPS_CONF_K_PATH,         \
			bearer_token_file, NULL),                                                  \
		OPS_HTTP_OPTIONS_ROW(type_, member_, "follow_redirects", OPS_CONF_K_BOOL,          \
			follow_redirects, "true"),                                                 \
		OPS_HTTP_OPTIONS_ROW(                                                              \
			type_, member_, "enable_http2", OPS_CONF_K_BOOL, http2, "true"),           \
		OPS_HTTP_OPTIONS_ROW(                                                              \
			type_, member_, "proxy_url", OPS_CONF_K_STRING, proxy.url, NULL),          \
		OPS_HTTP_OPTIONS_ROW(                                                              \
			type_, member_, "no_proxy", OPS_CONF_K_STRING, proxy.no_proxy, NULL),      \
		OPS_HTTP_OPTIONS_ROW(type_, member_, "proxy_from_environment", OPS_CONF_K_BOOL,    \
			proxy.from_environment, "false"),                                          \
		OPS_HTTP_OPTIONS_ROW(type_, member_, "proxy_connect_header", OPS_CONF_K_NODE,      \
			proxy.connect_header, NULL),                                               \
		OPS_HTTP_OPTIONS_ROW(                                                              \
			type_, member_, "http_headers", OPS_CONF_K_NODE, headers_written, NULL)

extern const struct ops_conf_key ops_basic_keys[], ops_authorization_keys[], ops_oauth2_keys[],
	ops_tls_keys[];

/*
 * Checks and completes what was decoded by these rows from node: what excludes each other, names of
 * versions, headers, files that must be there.
 */
int ops_http_options_finish(struct ops_arena *a, const struct ops_conf_node *node,
	struct ops_http_options *http, struct ops_conf_warnings *w,
	struct ops_error *err) OPS_MUST_CHECK;

/*
 * Checks a tls_config that stands alone (of oauth2, say) and gives it its final form.
 */
int ops_tls_options_finish(const struct ops_conf_node *node, const struct ops_tls_options *written,
	struct ops_tls_client *ret, struct ops_error *err) OPS_MUST_CHECK;
int ops_proxy_options_finish(struct ops_arena *a, const struct ops_conf_node *node,
	struct ops_proxy_options *proxy, struct ops_error *err) OPS_MUST_CHECK;

/* ---- requests (http_options_fill.c) ---- */

/* What a request points to; released after ops_http_call_start() has copied it. */
struct ops_http_hold {
	char **texts;
	size_t n, cap;
	const char **headers;
	size_t nheaders, cap_headers;
	const char **proxy_headers;
	size_t nproxy_headers, cap_proxy_headers;
};
void ops_http_hold_done(struct ops_http_hold *hold);
const char *ops_http_keep(struct ops_http_hold *hold, const char *text); /* a copy */

/*
 * Fills in authentication, TLS, proxy, redirects and headers for req->url; headers that req has
 * come first. token: of oauth2, may be NULL. Fails when a secret's file cannot be read.
 */
int ops_http_options_fill(const struct ops_http_options *http, const char *token,
	struct ops_http_request *req, struct ops_http_hold *hold,
	struct ops_error *err) OPS_MUST_CHECK;
/* Whether that gives the same every time: nothing is read from a file, no token is asked for. */
bool ops_http_options_constant(const struct ops_http_options *http);
/* Text of a secret given as text or as a file; owned, NULL when neither is. */
int ops_http_secret(
	const char *text, const char *path, char **ret, struct ops_error *err) OPS_MUST_CHECK;
/* The proxy for this URL, or NULL: none. Owned. */
char *ops_proxy_for(const struct ops_proxy_options *proxy, const char *url);
