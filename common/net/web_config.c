/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus' web configuration file (exporter-toolkit, docs/web-configuration.md) with three keys
 * of ours: roles of basic_auth_users, bearer tokens, and the role of nobody.
 *
 * Rights are given by writing them down: a user without a role is a viewer, and once the file names
 * a user or a token, a caller without credentials has no role unless anonymous_role says otherwise
 * - a file that only turns on TLS changes nothing about rights. http2 is accepted and has no effect
 * (the server speaks HTTP/1.1). Token files are read at load time and kept as SHA-256 only.
 */
#include "common/net/web_config.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include <openssl/sha.h>
#include <openssl/ssl.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/net/http_parse.h"
#include "common/net/http_tls.h"

enum {
	BCRYPT_LENGTH = 60,
	BCRYPT_COST_MAX = 16, /* 4 s of one core */
};

struct http_section {
	bool http2;
	const struct ops_conf_node *headers;
};

struct file_values { /* the decoded file */
	struct ops_web_tls tls;
	struct http_section http;
	const struct ops_conf_node *users, *roles, *tokens;
	const char *anonymous_role;
};

#define TLS(member) offsetof(struct ops_web_tls, member)
static const struct ops_conf_key tls_keys[] = {
	{"cert_file", OPS_CONF_K_PATH, TLS(cert_file), 0, NULL, 0, 0, NULL,
		"certificate chain of the server, PEM"},
	{"key_file", OPS_CONF_K_PATH, TLS(key_file), 0, NULL, 0, 0, NULL, "its private key, PEM"},
	{"client_auth_type", OPS_CONF_K_STRING, TLS(client_auth_type), 0, "NoClientCert", 0, 0,
		NULL,
		"NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or "
		"RequireAndVerifyClientCert"},
	{"client_ca_file", OPS_CONF_K_PATH, TLS(client_ca_file), 0, NULL, 0, 0, NULL,
		"who may sign client certificates"},
	{"client_allowed_sans", OPS_CONF_K_STRINGS, TLS(client_allowed_sans), 0, NULL, 0, 0, NULL,
		"a client certificate must carry one of these names"},
	{"min_version", OPS_CONF_K_STRING, TLS(min_version), 0, "TLS12", 0, 0, NULL,
		"TLS12 or TLS13"},
	{"max_version", OPS_CONF_K_STRING, TLS(max_version), 0, "TLS13", 0, 0, NULL,
		"TLS12 or TLS13"},
	{"cipher_suites", OPS_CONF_K_STRINGS, TLS(cipher_suites), 0, NULL, 0, 0, NULL,
		"IANA names; TLS 1.2 only"},
	{"prefer_server_cipher_suites", OPS_CONF_K_BOOL, TLS(prefer_server_cipher_suites), 0,
		"true", 0, 0, NULL, "our order of cipher suites, not the client's"},
	{"curve_preferences", OPS_CONF_K_STRINGS, TLS(curve_preferences), 0, NULL, 0, 0, NULL,
		"CurveP256, CurveP384, CurveP521, X25519"},
	OPS_CONF_END,
};

static const struct ops_conf_key http_keys[] = {
	{"http2", OPS_CONF_K_BOOL, offsetof(struct http_section, http2), 0, "true", 0, 0, NULL,
		"accepted, without effect"},
	{"headers", OPS_CONF_K_NODE, offsetof(struct http_section, headers), 0, NULL, 0, 0, NULL,
		"security headers added to every reply"},
	OPS_CONF_END,
};

#define FILE_KEY(member) offsetof(struct file_values, member)
static const struct ops_conf_key file_keys[] = {
	{"tls_server_config", OPS_CONF_K_MAPPING, FILE_KEY(tls), 0, NULL, 0, 0, tls_keys,
		"TLS of the HTTP door"},
	{"http_server_config", OPS_CONF_K_MAPPING, FILE_KEY(http), 0, NULL, 0, 0, http_keys,
		"HTTP details"},
	{"basic_auth_users", OPS_CONF_K_NODE, FILE_KEY(users), 0, NULL, 0, 0, NULL,
		"user: bcrypt hash"},
	{"basic_auth_roles", OPS_CONF_K_NODE, FILE_KEY(roles), 0, NULL, 0, 0, NULL,
		"user: role; viewer when absent"},
	{"bearer_tokens", OPS_CONF_K_NODE, FILE_KEY(tokens), 0, NULL, 0, 0, NULL,
		"list of name, role, token_file or token_sha256"},
	{"anonymous_role", OPS_CONF_K_STRING, FILE_KEY(anonymous_role), 0, NULL, 0, 0, NULL,
		"role of a caller without credentials"},
	OPS_CONF_END,
};

struct token_values {
	const char *name, *role, *token_file, *token_sha256;
};

static const struct ops_conf_key token_keys[] = {
	{"name", OPS_CONF_K_STRING, offsetof(struct token_values, name), OPS_CONF_REQUIRED, NULL, 0,
		0, NULL, "who it is"},
	{"role", OPS_CONF_K_STRING, offsetof(struct token_values, role), OPS_CONF_REQUIRED, NULL, 0,
		0, NULL, "role"},
	{"token_file", OPS_CONF_K_PATH, offsetof(struct token_values, token_file), 0, NULL, 0, 0,
		NULL, "the token"},
	{"token_sha256", OPS_CONF_K_STRING, offsetof(struct token_values, token_sha256), 0, NULL, 0,
		0, NULL, "or its SHA-256 in hex"},
	OPS_CONF_END,
};

static const char *const headers_allowed[] = {"Content-Security-Policy",
	"Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options",
	"X-XSS-Protection", "Referrer-Policy", "Permissions-Policy"};

bool ops_bcrypt_valid(const char *hash, int *ret_cost)
{
	static const char alphabet[] =
		"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

	if (strlen(hash) != BCRYPT_LENGTH || strspn(hash + 7, alphabet) != BCRYPT_LENGTH - 7)
		return false;
	if (hash[0] != '$' || hash[1] != '2' || strchr("aby", hash[2]) == NULL || hash[3] != '$' ||
		hash[6] != '$')
		return false;
	if (hash[4] < '0' || hash[4] > '3' || hash[5] < '0' || hash[5] > '9')
		return false;
	*ret_cost = (hash[4] - '0') * 10 + (hash[5] - '0');
	return *ret_cost >= 4 && *ret_cost <= 31;
}

static int expect_mapping(const struct ops_conf_node *n, const char *what, struct ops_error *err)
{
	if (n->type == OPS_CONF_MAPPING)
		return 0;
	return ops_conf_error(n, err, "%s must be a mapping", what);
}

static int parse_role(
	const struct ops_conf_node *at, const char *text, enum ops_role *ret, struct ops_error *err)
{
	if (ops_role_parse(text, ret) == 0)
		return 0;
	int rc = ops_conf_error(at, err, "unknown role \"%s\"", text);
	ops_error_hint(err, "none, viewer, operator, approver or admin");
	return rc;
}

static int load_user(struct ops_web_config *w, const struct ops_conf_node *key,
	const struct ops_conf_node *value, struct ops_error *err)
{
	struct ops_web_user *u = &w->users[w->nusers];
	int cost = 0;

	*u = (struct ops_web_user){.name = key->text, .role = OPS_ROLE_VIEWER};
	int rc = ops_conf_string(value, key->text, &u->hash, err);
	if (rc != 0)
		return rc;
	if (key->len == 0 || strchr(key->text, ':') != NULL)
		return ops_conf_error(key, err, "a user name must not be empty or contain a colon");
	if (!ops_bcrypt_valid(u->hash, &cost)) {
		rc = ops_conf_error(
			value, err, "password of user \"%s\" is not a bcrypt hash", u->name);
		ops_error_hint(err, "make one with: htpasswd -nBC 10 \"\" | tr -d ':\\n'");
		return rc;
	}
	if (cost > BCRYPT_COST_MAX) {
		rc = ops_conf_error(value, err,
			"bcrypt cost %d of user \"%s\" takes minutes to check", cost, u->name);
		ops_error_hint(err, "10 to 12");
		return rc;
	}
	w->nusers++;
	return 0;
}

static int load_users(
	struct ops_web_config *w, const struct ops_conf_node *n, struct ops_error *err)
{
	if (ops_conf_is_null(n))
		return 0;
	int rc = expect_mapping(n, "basic_auth_users", err);
	if (rc == 0)
		w->users = ops_arena_array(&w->arena, struct ops_web_user, n->n + 1);
	for (size_t i = 0; rc == 0 && i < n->n; i++)
		rc = load_user(w, n->keys[i], n->items[i], err);
	return rc;
}

static int load_role(struct ops_web_config *w, const struct ops_conf_node *key,
	const struct ops_conf_node *value, struct ops_error *err)
{
	const char *text = NULL;
	int rc = ops_conf_string(value, key->text, &text, err);

	for (size_t i = 0; rc == 0 && i < w->nusers; i++) {
		if (strcmp(w->users[i].name, key->text) == 0)
			return parse_role(value, text, &w->users[i].role, err);
	}
	return rc != 0 ? rc
		       : ops_conf_error(
				 key, err, "user \"%s\" is not in basic_auth_users", key->text);
}

static int load_roles(
	struct ops_web_config *w, const struct ops_conf_node *n, struct ops_error *err)
{
	if (ops_conf_is_null(n))
		return 0;
	int rc = expect_mapping(n, "basic_auth_roles", err);
	for (size_t i = 0; rc == 0 && i < n->n; i++)
		rc = load_role(w, n->keys[i], n->items[i], err);
	return rc;
}

static int load_token_secret(const struct ops_conf_node *at, const struct token_values *v,
	struct ops_web_token *t, struct ops_error *err)
{
	bool has_file = v->token_file != NULL && *v->token_file != '\0';
	bool has_hash = v->token_sha256 != NULL && *v->token_sha256 != '\0';

	if (has_file == has_hash)
		return ops_conf_error(
			at, err, "token \"%s\" needs either token_file or token_sha256", v->name);
	if (has_hash) {
		if (strlen(v->token_sha256) != 64 ||
			ops_hex_decode(v->token_sha256, 64, t->sha256) != 0)
			return ops_conf_error(
				at, err, "token_sha256 of \"%s\" is not 64 hex digits", v->name);
		return 0;
	}
	char *secret = NULL;
	int rc = ops_file_read_secret(v->token_file, &secret);
	if (rc != 0)
		return ops_conf_error(
			at, err, "could not read token_file %s: %s", v->token_file, strerror(-rc));
	SHA256((const unsigned char *)secret, strlen(secret), t->sha256);
	explicit_bzero(secret, strlen(secret));
	free(secret);
	return 0;
}

static int load_token(
	struct ops_web_config *w, const struct ops_conf_node *n, struct ops_error *err)
{
	struct token_values v = {.name = NULL};
	struct ops_web_token *t = &w->tokens[w->ntokens];

	int rc = expect_mapping(n, "an item of bearer_tokens", err);
	if (rc == 0)
		rc = ops_conf_decode(&w->arena, n, token_keys, &v, NULL, err);
	if (rc == 0)
		rc = parse_role(n, v.role, &t->role, err);
	if (rc == 0)
		rc = load_token_secret(n, &v, t, err);
	if (rc != 0)
		return rc;
	t->name = v.name;
	w->ntokens++;
	return 0;
}

static int load_tokens(
	struct ops_web_config *w, const struct ops_conf_node *n, struct ops_error *err)
{
	int rc = 0;

	if (ops_conf_is_null(n))
		return 0;
	if (n->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(n, err, "bearer_tokens must be a list");
	w->tokens = ops_arena_array(&w->arena, struct ops_web_token, n->n + 1);
	for (size_t i = 0; rc == 0 && i < n->n; i++)
		rc = load_token(w, n->items[i], err);
	return rc;
}

static int load_header(struct ops_web_config *w, const struct ops_conf_node *key,
	const struct ops_conf_node *value, struct ops_error *err)
{
	struct ops_web_header *h = &w->headers[w->nheaders];
	int rc = ops_conf_string(value, key->text, &h->value, err);

	if (rc != 0)
		return rc;
	if (strpbrk(h->value, "\r\n") != NULL)
		return ops_conf_error(value, err, "header %s must be one line", key->text);
	for (size_t i = 0; i < OPS_LENGTH(headers_allowed); i++) {
		if (strcasecmp(headers_allowed[i], key->text) == 0) {
			h->name = headers_allowed[i];
			w->nheaders++;
			return 0;
		}
	}
	return ops_conf_error(key, err, "header \"%s\" can not be configured", key->text);
}

static int load_headers(
	struct ops_web_config *w, const struct ops_conf_node *n, struct ops_error *err)
{
	if (ops_conf_is_null(n))
		return 0;
	int rc = expect_mapping(n, "headers", err);
	if (rc == 0)
		w->headers = ops_arena_array(&w->arena, struct ops_web_header, n->n + 1);
	for (size_t i = 0; rc == 0 && i < n->n; i++)
		rc = load_header(w, n->keys[i], n->items[i], err);
	return rc;
}

static int load_rights(struct ops_web_config *w, const struct ops_conf_node *root,
	const struct file_values *v, struct ops_error *err)
{
	int rc = load_users(w, v->users, err);

	if (rc == 0)
		rc = load_roles(w, v->roles, err);
	if (rc == 0)
		rc = load_tokens(w, v->tokens, err);
	if (rc != 0)
		return rc;
	if (v->anonymous_role != NULL && *v->anonymous_role != '\0') {
		w->anonymous_role_set = true;
		return parse_role(ops_conf_get(root, "anonymous_role"), v->anonymous_role,
			&w->anonymous_role, err);
	}
	w->anonymous_role_set = w->nusers + w->ntokens > 0;
	w->anonymous_role = OPS_ROLE_NONE;
	return 0;
}

static int load_tls(
	struct ops_web_config *w, const struct ops_conf_node *root, struct ops_error *err)
{
	const struct ops_conf_node *n = ops_conf_get(root, "tls_server_config");

	if (ops_conf_is_null(n) || n->n == 0)
		return 0;
	if (w->tls.cert_file == NULL || *w->tls.cert_file == '\0' || w->tls.key_file == NULL ||
		*w->tls.key_file == '\0')
		return ops_conf_error(n, err, "tls_server_config needs cert_file and key_file");
	int rc = ops_http_tls_new(&w->tls, &w->ctx, err);
	if (rc != 0 && err != NULL && err->file[0] == '\0') {
		struct ops_error inner = *err;
		rc = ops_conf_error(n, err, "%s", inner.message);
		if (inner.hint[0] != '\0')
			ops_error_hint(err, "%s", inner.hint);
	}
	w->has_tls = rc == 0;
	return rc;
}

static int load_tree(
	struct ops_web_config *w, const struct ops_conf_node *root, struct ops_error *err)
{
	struct file_values v = {.anonymous_role = NULL};

	int rc = ops_conf_decode(&w->arena, root, file_keys, &v, NULL, err);
	if (rc != 0)
		return rc;
	w->tls = v.tls;
	rc = load_tls(w, root, err);
	if (rc == 0)
		rc = load_headers(w, v.http.headers, err);
	if (rc == 0)
		rc = load_rights(w, root, &v, err);
	return rc;
}

struct ops_web_config *ops_web_config_none(void)
{
	struct ops_web_config *w = ops_xcalloc(1, sizeof(*w));

	ops_arena_init(&w->arena);
	w->refs = 1;
	return w;
}

struct ops_web_config *ops_web_config_ref(struct ops_web_config *w)
{
	w->refs++;
	return w;
}

void ops_web_config_unref(struct ops_web_config *w)
{
	if (w == NULL || --w->refs > 0)
		return;
	SSL_CTX_free(w->ctx);
	ops_arena_done(&w->arena);
	free(w);
}

static int finish(struct ops_web_config *w, int rc, const struct ops_conf_node *root,
	struct ops_web_config **ret, struct ops_error *err)
{
	if (rc == 0)
		rc = load_tree(w, root, err);
	if (rc != 0) {
		ops_web_config_unref(w);
		return rc;
	}
	*ret = w;
	return 0;
}

int ops_web_config_load(const char *path, struct ops_web_config **ret, struct ops_error *err)
{
	struct ops_web_config *w = ops_web_config_none();
	struct ops_conf_node *root = NULL;
	const struct ops_conf_options opt = {
		.expand_env = false}; /* a bcrypt hash is full of dollars */

	int rc = ops_conf_load_file(&w->arena, path, &opt, &root, err);
	return finish(w, rc, root, ret, err);
}

int ops_web_config_load_text(const char *name, const char *text, size_t len,
	struct ops_web_config **ret, struct ops_error *err)
{
	struct ops_web_config *w = ops_web_config_none();
	struct ops_conf_node *root = NULL;
	const struct ops_conf_options opt = {.expand_env = false};

	int rc = ops_conf_load_text(&w->arena, name, text, len, &opt, &root, err);
	return finish(w, rc, root, ret, err);
}

int ops_http_web_config_check(const char *path, struct ops_error *err)
{
	struct ops_web_config *w = NULL;
	int rc = ops_web_config_load(path, &w, err);

	ops_web_config_unref(w);
	return rc;
}
