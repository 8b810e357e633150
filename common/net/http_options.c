/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules are those of Prometheus' common HTTP configuration: at most one kind of credentials, a
 * certificate with its key, names of headers that the client sets itself are refused. What is meant
 * for other places than HTTP/1.1 (enable_http2) is read and changes nothing that one could see.
 */
#include "common/net/http_options.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/base/text.h"

#define ROW(type_, name_, kind_, field_, fallback_)                                                \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct type_, field_),        \
		.fallback = (fallback_)                                                            \
	}

const struct ops_conf_key ops_basic_keys[] = {
	ROW(ops_basic_options, "username", OPS_CONF_K_STRING, username, NULL),
	ROW(ops_basic_options, "username_file", OPS_CONF_K_PATH, username_file, NULL),
	ROW(ops_basic_options, "password", OPS_CONF_K_SECRET, password, NULL),
	ROW(ops_basic_options, "password_file", OPS_CONF_K_PATH, password_file, NULL),
	OPS_CONF_END,
};

const struct ops_conf_key ops_authorization_keys[] = {
	ROW(ops_authorization_options, "type", OPS_CONF_K_STRING, type, "Bearer"),
	ROW(ops_authorization_options, "credentials", OPS_CONF_K_SECRET, credentials, NULL),
	ROW(ops_authorization_options, "credentials_file", OPS_CONF_K_PATH, credentials_file, NULL),
	OPS_CONF_END,
};

const struct ops_conf_key ops_tls_keys[] = {
	ROW(ops_tls_options, "ca", OPS_CONF_K_STRING, ca, NULL),
	ROW(ops_tls_options, "cert", OPS_CONF_K_STRING, cert, NULL),
	ROW(ops_tls_options, "key", OPS_CONF_K_SECRET, key, NULL),
	ROW(ops_tls_options, "ca_file", OPS_CONF_K_PATH, ca_file, NULL),
	ROW(ops_tls_options, "cert_file", OPS_CONF_K_PATH, cert_file, NULL),
	ROW(ops_tls_options, "key_file", OPS_CONF_K_PATH, key_file, NULL),
	ROW(ops_tls_options, "server_name", OPS_CONF_K_STRING, server_name, NULL),
	ROW(ops_tls_options, "insecure_skip_verify", OPS_CONF_K_BOOL, insecure_skip_verify,
		"false"),
	ROW(ops_tls_options, "min_version", OPS_CONF_K_STRING, min_version, NULL),
	ROW(ops_tls_options, "max_version", OPS_CONF_K_STRING, max_version, NULL),
	OPS_CONF_END,
};

const struct ops_conf_key ops_oauth2_keys[] = {
	ROW(ops_oauth2_options, "client_id", OPS_CONF_K_STRING, client_id, NULL),
	ROW(ops_oauth2_options, "client_secret", OPS_CONF_K_SECRET, client_secret, NULL),
	ROW(ops_oauth2_options, "client_secret_file", OPS_CONF_K_PATH, client_secret_file, NULL),
	ROW(ops_oauth2_options, "token_url", OPS_CONF_K_STRING, token_url, NULL),
	ROW(ops_oauth2_options, "scopes", OPS_CONF_K_STRINGS, scopes, NULL),
	ROW(ops_oauth2_options, "endpoint_params", OPS_CONF_K_NODE, endpoint_params, NULL),
	{.name = "tls_config",
		.kind = OPS_CONF_K_MAPPING,
		.offset = offsetof(struct ops_oauth2_options, tls_written),
		.sub = ops_tls_keys},
	ROW(ops_oauth2_options, "proxy_url", OPS_CONF_K_STRING, proxy.url, NULL),
	ROW(ops_oauth2_options, "no_proxy", OPS_CONF_K_STRING, proxy.no_proxy, NULL),
	ROW(ops_oauth2_options, "proxy_from_environment", OPS_CONF_K_BOOL, proxy.from_environment,
		"false"),
	ROW(ops_oauth2_options, "proxy_connect_header", OPS_CONF_K_NODE, proxy.connect_header,
		NULL),
	OPS_CONF_END,
};

/* The node of a key, or the mapping itself when the key is not written. */
static const struct ops_conf_node *at(const struct ops_conf_node *node, const char *key)
{
	const struct ops_conf_node *n = ops_conf_get(node, key);
	return n != NULL ? n : node;
}

/* ---- TLS ---- */

static int tls_version(const struct ops_conf_node *node, const char *key, const char *text,
	enum ops_tls_version *ret, struct ops_error *err)
{
	static const char *const names[] = {
		[OPS_TLS_1_0] = "TLS10", "TLS11", "TLS12", [OPS_TLS_1_3] = "TLS13"};
	if (text == NULL) {
		return 0;
	}
	for (int i = OPS_TLS_1_0; i <= OPS_TLS_1_3; i++) {
		if (strcmp(names[i], text) == 0) {
			*ret = (enum ops_tls_version)i;
			return 0;
		}
	}
	int r = ops_conf_error(at(node, key), err, "unknown TLS version \"%s\"", text);
	ops_error_hint(err, "TLS10, TLS11, TLS12 or TLS13");
	return r;
}

static int tls_pairs(
	const struct ops_conf_node *node, const struct ops_tls_options *t, struct ops_error *err)
{
	const struct {
		const char *name, *text, *file;
	} both[] = {{"ca", t->ca, t->ca_file}, {"cert", t->cert, t->cert_file},
		{"key", t->key, t->key_file}};
	for (size_t i = 0; i < OPS_LENGTH(both); i++) {
		if (both[i].text != NULL && both[i].file != NULL) {
			return ops_conf_error(at(node, both[i].name), err,
				"%s and %s_file exclude each other", both[i].name, both[i].name);
		}
		if (i > 0 && both[i].file != NULL && access(both[i].file, R_OK) != 0) {
			return ops_conf_error(node, err, "could not read %s_file %s: %s",
				both[i].name, both[i].file, strerror(errno));
		}
	}
	bool cert = t->cert != NULL || t->cert_file != NULL;
	bool key = t->key != NULL || t->key_file != NULL;
	if (cert != key) {
		return ops_conf_error(node, err, "a client certificate needs %s",
			cert ? "its key (key or key_file)" : "cert or cert_file beside its key");
	}
	return 0;
}

int ops_tls_options_finish(const struct ops_conf_node *node, const struct ops_tls_options *written,
	struct ops_tls_client *ret, struct ops_error *err)
{
	struct ops_tls_client tls = {.ca = written->ca,
		.cert = written->cert,
		.key = written->key,
		.ca_file = written->ca_file,
		.cert_file = written->cert_file,
		.key_file = written->key_file,
		.server_name = written->server_name,
		.insecure_skip_verify = written->insecure_skip_verify};
	if (node == NULL) {
		return 0;
	}
	int r = tls_pairs(node, written, err);
	if (r == 0) {
		r = tls_version(node, "min_version", written->min_version, &tls.min_version, err);
	}
	if (r == 0) {
		r = tls_version(node, "max_version", written->max_version, &tls.max_version, err);
	}
	if (r == 0 && tls.max_version != OPS_TLS_DEFAULT && tls.min_version > tls.max_version) {
		r = ops_conf_error(
			at(node, "min_version"), err, "min_version is above max_version");
	}
	if (r == 0) {
		*ret = tls;
	}
	return r;
}

/* ---- headers ---- */

struct header_list {
	struct ops_header_option *items;
	size_t n, cap;
};

static bool plain_header(const char *name, const char *value)
{
	return name[0] != '\0' && strpbrk(name, ": \t\r\n") == NULL &&
	       (value == NULL || strpbrk(value, "\r\n") == NULL);
}

static int add_header(struct ops_arena *a, struct header_list *to, const struct ops_conf_node *node,
	struct ops_header_option header, struct ops_error *err)
{
	if (!plain_header(header.name, header.value)) {
		return ops_conf_error(node, err, "\"%s\" cannot be a header", header.name);
	}
	if (to->n == to->cap) {
		size_t cap = to->cap != 0 ? to->cap * 2 : 8;
		struct ops_header_option *items = ops_arena_array(a, struct ops_header_option, cap);
		if (to->n > 0) {
			memcpy(items, to->items, to->n * sizeof(*items));
		}
		to->items = items;
		to->cap = cap;
	}
	to->items[to->n++] = header;
	return 0;
}

struct written_header {
	struct ops_conf_strings values, secrets, files;
};

static const struct ops_conf_key header_keys[] = {
	ROW(written_header, "values", OPS_CONF_K_STRINGS, values, NULL),
	ROW(written_header, "secrets", OPS_CONF_K_STRINGS, secrets, NULL),
	ROW(written_header, "files", OPS_CONF_K_PATHS, files, NULL),
	OPS_CONF_END,
};

/* What the client sets itself, or what has a setting of its own. */
static bool reserved(const char *name)
{
	static const char *const names[] = {"Authorization", "Host", "Content-Encoding",
		"Content-Length", "Content-Type", "User-Agent", "Connection", "Keep-Alive",
		"Proxy-Authenticate", "Proxy-Authorization", "Www-Authenticate", "Accept-Encoding",
		"X-Prometheus-Remote-Write-Version", "X-Prometheus-Remote-Read-Version",
		"X-Prometheus-Scrape-Timeout-Seconds", "X-Amz-Date", "X-Amz-Security-Token",
		"X-Amz-Content-Sha256"};
	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		if (strcasecmp(names[i], name) == 0) {
			return true;
		}
	}
	return false;
}

static int load_header(struct ops_arena *a, const char *name, const struct ops_conf_node *node,
	struct header_list *to, struct ops_error *err)
{
	struct written_header w = {.values = {NULL, 0}};
	if (reserved(name)) {
		return ops_conf_error(node, err, "header %s cannot be set here", name);
	}
	int r = ops_conf_decode(a, node, header_keys, &w, NULL, err);
	for (size_t i = 0; r == 0 && i < w.values.n; i++) {
		r = add_header(a, to, node,
			(struct ops_header_option){name, w.values.items[i], NULL}, err);
	}
	for (size_t i = 0; r == 0 && i < w.secrets.n; i++) {
		r = add_header(a, to, node,
			(struct ops_header_option){name, w.secrets.items[i], NULL}, err);
	}
	for (size_t i = 0; r == 0 && i < w.files.n; i++) {
		r = add_header(
			a, to, node, (struct ops_header_option){name, NULL, w.files.items[i]}, err);
	}
	return r;
}

static int load_headers(struct ops_arena *a, struct ops_http_options *http, struct ops_error *err)
{
	const struct ops_conf_node *node = http->headers_written;
	struct header_list all = {.n = 0};
	if (ops_conf_is_null(node)) {
		return 0;
	}
	if (node->type != OPS_CONF_MAPPING) {
		return ops_conf_error(node, err, "http_headers must be a mapping");
	}
	for (size_t i = 0; i < node->n; i++) {
		int r = load_header(a, node->keys[i]->text, node->items[i], &all, err);
		if (r != 0) {
			return r;
		}
	}
	http->headers = all.items;
	http->nheaders = all.n;
	return 0;
}

/* ---- proxy ---- */

static int load_connect_headers(
	struct ops_arena *a, struct ops_proxy_options *proxy, struct ops_error *err)
{
	const struct ops_conf_node *node = proxy->connect_header;
	struct header_list all = {.n = 0};
	if (node->type != OPS_CONF_MAPPING) {
		return ops_conf_error(node, err, "proxy_connect_header must be a mapping of lists");
	}
	for (size_t i = 0; i < node->n; i++) {
		struct ops_conf_strings values;
		const char *name = node->keys[i]->text;
		int r = ops_conf_string_list(a, node->items[i], name, &values, err);
		for (size_t k = 0; r == 0 && k < values.n; k++) {
			const struct ops_header_option header = {name, values.items[k], NULL};
			r = add_header(a, &all, node->items[i], header, err);
		}
		if (r != 0) {
			return r;
		}
	}
	proxy->headers = all.items;
	proxy->nheaders = all.n;
	return 0;
}

static bool proxy_scheme(const char *url)
{
	static const char *const schemes[] = {"http://", "https://", "socks5://", "socks5h://"};
	for (size_t i = 0; i < OPS_LENGTH(schemes); i++) {
		if (ops_str_starts(url, schemes[i])) {
			return true;
		}
	}
	return false;
}

int ops_proxy_options_finish(struct ops_arena *a, const struct ops_conf_node *node,
	struct ops_proxy_options *proxy, struct ops_error *err)
{
	bool url = proxy->url != NULL && proxy->url[0] != '\0';
	bool except = proxy->no_proxy != NULL && proxy->no_proxy[0] != '\0';
	if (url && !proxy_scheme(proxy->url)) {
		int r = ops_conf_error(
			at(node, "proxy_url"), err, "\"%s\" is not a proxy", proxy->url);
		ops_error_hint(err, "http://HOST:PORT, https://, socks5:// or socks5h://");
		return r;
	}
	if (proxy->from_environment && (url || except)) {
		return ops_conf_error(at(node, "proxy_from_environment"), err,
			"proxy_from_environment excludes proxy_url and no_proxy");
	}
	if (except && !url) {
		return ops_conf_error(at(node, "no_proxy"), err, "no_proxy needs proxy_url");
	}
	if (ops_conf_is_null(proxy->connect_header)) {
		return 0;
	}
	if (!url && !proxy->from_environment) {
		return ops_conf_error(at(node, "proxy_connect_header"), err,
			"proxy_connect_header needs proxy_url or proxy_from_environment");
	}
	return load_connect_headers(a, proxy, err);
}

/* ---- credentials ---- */

static int check_basic(
	const struct ops_conf_node *node, const struct ops_basic_options *b, struct ops_error *err)
{
	if (b->username != NULL && b->username_file != NULL) {
		return ops_conf_error(node, err, "username and username_file exclude each other");
	}
	if (b->password != NULL && b->password_file != NULL) {
		return ops_conf_error(node, err, "password and password_file exclude each other");
	}
	return 0;
}

static int check_authorization(const struct ops_conf_node *node,
	const struct ops_authorization_options *z, struct ops_error *err)
{
	if (z->credentials != NULL && z->credentials_file != NULL) {
		return ops_conf_error(
			node, err, "credentials and credentials_file exclude each other");
	}
	if (strcasecmp(z->type, "basic") == 0) {
		int r = ops_conf_error(at(node, "type"), err, "the type cannot be \"%s\"", z->type);
		ops_error_hint(err, "basic_auth has a user name and a password");
		return r;
	}
	return 0;
}

static int check_one_kind(const struct ops_conf_node *node, const struct ops_http_options *http,
	struct ops_error *err)
{
	static const char *const kinds[] = {"basic_auth", "authorization", "oauth2"};
	const struct ops_conf_node *first = NULL;
	bool token = http->bearer_token != NULL || http->bearer_token_file != NULL;
	if (http->bearer_token != NULL && http->bearer_token_file != NULL) {
		return ops_conf_error(at(node, "bearer_token"), err,
			"bearer_token and bearer_token_file exclude each other");
	}
	for (size_t i = 0; i < OPS_LENGTH(kinds); i++) {
		const struct ops_conf_node *kind = ops_conf_get(node, kinds[i]);
		if (ops_conf_is_null(kind)) {
			continue;
		}
		if (first != NULL || token) {
			return ops_conf_error(kind, err,
				"%s and another authorization exclude each other", kinds[i]);
		}
		first = kind;
	}
	return 0;
}

static int check_endpoint_params(const struct ops_conf_node *params, struct ops_error *err)
{
	if (ops_conf_is_null(params)) {
		return 0;
	}
	if (params->type != OPS_CONF_MAPPING) {
		return ops_conf_error(params, err, "endpoint_params must be a mapping");
	}
	for (size_t i = 0; i < params->n; i++) {
		const char *text;
		int r = ops_conf_string(params->items[i], params->keys[i]->text, &text, err);
		if (r != 0) {
			return r;
		}
	}
	return 0;
}

static int finish_oauth2(struct ops_arena *a, const struct ops_conf_node *node,
	struct ops_oauth2_options *o, struct ops_error *err)
{
	if (o->client_id == NULL || o->client_id[0] == '\0') {
		return ops_conf_error(node, err, "oauth2 needs client_id");
	}
	if (o->token_url == NULL || o->token_url[0] == '\0') {
		return ops_conf_error(node, err, "oauth2 needs token_url");
	}
	if (o->client_secret != NULL && o->client_secret_file != NULL) {
		return ops_conf_error(
			node, err, "client_secret and client_secret_file exclude each other");
	}
	int r = check_endpoint_params(o->endpoint_params, err);
	if (r != 0) {
		return r;
	}
	o->hash = ops_conf_hash(node, 0);
	r = ops_tls_options_finish(ops_conf_get(node, "tls_config"), &o->tls_written, &o->tls, err);
	return r != 0 ? r : ops_proxy_options_finish(a, node, &o->proxy, err);
}

static int finish_credentials(struct ops_arena *a, const struct ops_conf_node *node,
	struct ops_http_options *http, struct ops_error *err)
{
	const struct ops_conf_node *basic = ops_conf_get(node, "basic_auth");
	const struct ops_conf_node *authorization = ops_conf_get(node, "authorization");
	const struct ops_conf_node *oauth2 = ops_conf_get(node, "oauth2");
	http->has_basic = !ops_conf_is_null(basic);
	http->has_oauth2 = !ops_conf_is_null(oauth2);
	int r = check_one_kind(node, http, err);
	if (r == 0 && http->has_basic) {
		r = check_basic(basic, &http->basic, err);
	}
	if (r == 0 && !ops_conf_is_null(authorization)) {
		r = check_authorization(authorization, &http->authorization, err);
	}
	if (r == 0 && http->has_oauth2) {
		r = finish_oauth2(a, oauth2, &http->oauth2, err);
	}
	if (r == 0 && (http->bearer_token != NULL || http->bearer_token_file != NULL)) {
		http->authorization.credentials = http->bearer_token;
		http->authorization.credentials_file = http->bearer_token_file;
	}
	return r;
}

int ops_http_options_finish(struct ops_arena *a, const struct ops_conf_node *node,
	struct ops_http_options *http, struct ops_conf_warnings *w, struct ops_error *err)
{
	int r = finish_credentials(a, node, http, err);
	if (r == 0) {
		r = ops_tls_options_finish(
			ops_conf_get(node, "tls_config"), &http->tls_written, &http->tls, err);
	}
	if (r == 0) {
		r = ops_proxy_options_finish(a, node, &http->proxy, err);
	}
	if (r == 0) {
		r = load_headers(a, http, err);
	}
	const struct ops_conf_node *http2 = ops_conf_get(node, "enable_http2");
	if (r == 0 && http2 != NULL && http->http2) {
		ops_conf_warn(w, http2, "enable_http2 has no effect: requests are HTTP/1.1");
	}
	return r;
}
