/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The web configuration file, loaded whole: immutable after loading, swapped by a reload. Counted:
 * the server holds the current one, a TLS connection the one it was accepted under. Internal to
 * common/net.
 */
#include "common/base/arena.h"
#include "common/conf/conf.h"
#include "common/net/http_server.h"

struct ssl_ctx_st;

struct ops_web_user {
	const char *name, *hash; /* bcrypt */
	enum ops_role role;
};

struct ops_web_token {
	const char *name;
	enum ops_role role;
	unsigned char sha256[32];
};

struct ops_web_header {
	const char *name, *value;
};

struct ops_web_tls { /* tls_server_config */
	const char *cert_file, *key_file, *client_auth_type, *client_ca_file, *min_version,
		*max_version;
	struct ops_conf_strings cipher_suites, curve_preferences, client_allowed_sans;
	bool prefer_server_cipher_suites;
};

struct ops_web_config {
	struct ops_arena arena;
	unsigned refs;
	bool has_tls;
	struct ops_web_tls tls;
	struct ssl_ctx_st *ctx; /* NULL without TLS */
	struct ops_web_user *users;
	struct ops_web_token *tokens;
	struct ops_web_header *headers;
	size_t nusers, ntokens, nheaders;
	enum ops_role anonymous_role;
	bool anonymous_role_set;
};

/* Everything is checked: certificates are read, hashes and roles parsed, token files opened. */
int ops_web_config_load(
	const char *path, struct ops_web_config **ret, struct ops_error *err) OPS_MUST_CHECK;
/* The same from text; name is for messages and for relative paths. */
int ops_web_config_load_text(const char *name, const char *text, size_t len,
	struct ops_web_config **ret, struct ops_error *err) OPS_MUST_CHECK;
/* What holds without a file: no TLS, no users. */
struct ops_web_config *ops_web_config_none(void);
struct ops_web_config *ops_web_config_ref(struct ops_web_config *w);
void ops_web_config_unref(struct ops_web_config *w); /* NULL is fine */
/* "$2y$10$..." of the right shape; *ret_cost is its work factor. */
bool ops_bcrypt_valid(const char *hash, int *ret_cost);
