/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exporter-toolkit's TLS words on OpenSSL. Go's names are kept for what users write: TLS12,
 * CurveP256, IANA cipher names. TLS 1.0 and 1.1 are refused by name rather than silently raised.
 * Renegotiation, compression and session tickets across reloads are off: a ticket would outlive the
 * revocation of a client certificate.
 *
 * RequestClientCert and RequireAnyClientCert do not verify the chain, as in Go; the certificate is
 * then no proof of anything, and no role is ever derived from one.
 */
#include "common/net/http_tls.h"

#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/base/strbuf.h"
#include "common/net/web_config.h"

enum client_auth {
	NO_CLIENT_CERT,
	REQUEST_CLIENT_CERT,
	REQUIRE_ANY_CLIENT_CERT,
	VERIFY_IF_GIVEN,
	REQUIRE_AND_VERIFY,
};

static const char *const client_auth_names[] = {"NoClientCert", "RequestClientCert",
	"RequireAnyClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"};

static const struct {
	const char *ours, *openssl;
} curves[] = {{"CurveP256", "P-256"}, {"CurveP384", "P-384"}, {"CurveP521", "P-521"},
	{"X25519", "X25519"}};

static int ssl_error(struct ops_error *err, const char *what, const char *name)
{
	char text[160] = "unknown";
	unsigned long code = ERR_get_error();

	if (code != 0)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return ops_error_set(err, -EINVAL, "could not %s %s: %s", what, name, text);
}

static int parse_version(const char *text, int *ret, struct ops_error *err)
{
	if (strcmp(text, "TLS13") == 0)
		*ret = TLS1_3_VERSION;
	else if (strcmp(text, "TLS12") == 0)
		*ret = TLS1_2_VERSION;
	else {
		int rc =
			ops_error_set(err, -EINVAL, "unknown or outdated TLS version \"%s\"", text);
		ops_error_hint(err, "TLS12 or TLS13");
		return rc;
	}
	return 0;
}

static int set_versions(SSL_CTX *ctx, const struct ops_web_tls *tls, struct ops_error *err)
{
	int min = 0, max = 0;
	int rc = parse_version(tls->min_version, &min, err);

	if (rc == 0)
		rc = parse_version(tls->max_version, &max, err);
	if (rc != 0)
		return rc;
	if (min > max)
		return ops_error_set(err, -EINVAL, "min_version %s is above max_version %s",
			tls->min_version, tls->max_version);
	if (SSL_CTX_set_min_proto_version(ctx, min) != 1 ||
		SSL_CTX_set_max_proto_version(ctx, max) != 1)
		return ssl_error(err, "set", "TLS versions");
	return 0;
}

static int load_certificate(SSL_CTX *ctx, const struct ops_web_tls *tls, struct ops_error *err)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1)
		return ssl_error(err, "load cert_file", tls->cert_file);
	if (SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) != 1)
		return ssl_error(err, "load key_file", tls->key_file);
	if (SSL_CTX_check_private_key(ctx) != 1)
		return ssl_error(err, "use together with cert_file the key_file", tls->key_file);
	return 0;
}

static int set_ciphers(SSL_CTX *ctx, const struct ops_conf_strings *names, struct ops_error *err)
{
	struct ops_strbuf list = OPS_STRBUF_INIT;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < names->n; i++) {
		const char *name = OPENSSL_cipher_name(names->items[i]);
		if (strcmp(name, "(NONE)") == 0)
			rc = ops_error_set(
				err, -EINVAL, "unknown cipher suite \"%s\"", names->items[i]);
		else if (strncmp(names->items[i], "TLS_AES", 7) != 0 &&
			 strncmp(names->items[i], "TLS_CHACHA", 10) != 0)
			ops_strbuf_printf(&list, "%s%s", list.len > 0 ? ":" : "", name);
	}
	if (rc == 0 && list.len > 0 && SSL_CTX_set_cipher_list(ctx, ops_strbuf_text(&list)) != 1)
		rc = ssl_error(err, "use cipher_suites", ops_strbuf_text(&list));
	ops_strbuf_done(&list);
	return rc;
}

static const char *curve_name(const char *ours)
{
	for (size_t i = 0; i < OPS_LENGTH(curves); i++) {
		if (strcmp(curves[i].ours, ours) == 0)
			return curves[i].openssl;
	}
	return NULL;
}

static int set_curves(SSL_CTX *ctx, const struct ops_conf_strings *names, struct ops_error *err)
{
	struct ops_strbuf list = OPS_STRBUF_INIT;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < names->n; i++) {
		const char *name = curve_name(names->items[i]);
		if (name == NULL)
			rc = ops_error_set(err, -EINVAL, "unknown curve \"%s\"", names->items[i]);
		else
			ops_strbuf_printf(&list, "%s%s", list.len > 0 ? ":" : "", name);
	}
	if (rc == 0 && list.len > 0 && SSL_CTX_set1_groups_list(ctx, list.data) != 1)
		rc = ssl_error(err, "use curve_preferences", ops_strbuf_text(&list));
	ops_strbuf_done(&list);
	return rc;
}

static int accept_any(int preverified, X509_STORE_CTX *store)
{
	(void)preverified;
	(void)store;
	return 1;
}

static bool has_san(X509 *cert, const struct ops_conf_strings *sans)
{
	for (size_t i = 0; i < sans->n; i++) {
		const char *san = sans->items[i];
		if (X509_check_host(cert, san, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1 ||
			X509_check_ip_asc(cert, san, 0) == 1 ||
			X509_check_email(cert, san, 0, 0) == 1)
			return true;
	}
	return false;
}

static int verify_sans(int preverified, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct ops_web_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (preverified != 1 || X509_STORE_CTX_get_error_depth(store) != 0 ||
		tls->client_allowed_sans.n == 0)
		return preverified;
	if (has_san(X509_STORE_CTX_get_current_cert(store), &tls->client_allowed_sans))
		return 1;
	X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
	return 0;
}

static int parse_client_auth(
	const struct ops_web_tls *tls, enum client_auth *ret, struct ops_error *err)
{
	for (size_t i = 0; i < OPS_LENGTH(client_auth_names); i++) {
		if (strcmp(client_auth_names[i], tls->client_auth_type) == 0) {
			*ret = (enum client_auth)i;
			return 0;
		}
	}
	int rc = ops_error_set(
		err, -EINVAL, "unknown client_auth_type \"%s\"", tls->client_auth_type);
	ops_error_hint(err,
		"NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or "
		"RequireAndVerifyClientCert");
	return rc;
}

static int set_client_auth(SSL_CTX *ctx, const struct ops_web_tls *tls, struct ops_error *err)
{
	enum client_auth kind = NO_CLIENT_CERT;
	bool has_ca = tls->client_ca_file != NULL && *tls->client_ca_file != '\0';
	int rc = parse_client_auth(tls, &kind, err);

	if (rc != 0)
		return rc;
	bool verifies = kind == VERIFY_IF_GIVEN || kind == REQUIRE_AND_VERIFY;
	if (verifies && !has_ca)
		return ops_error_set(err, -EINVAL, "client_auth_type %s needs a client_ca_file",
			tls->client_auth_type);
	if (has_ca && kind == NO_CLIENT_CERT)
		return ops_error_set(
			err, -EINVAL, "client_ca_file is set but client_auth_type is NoClientCert");
	if (has_ca && SSL_CTX_load_verify_locations(ctx, tls->client_ca_file, NULL) != 1)
		return ssl_error(err, "load client_ca_file", tls->client_ca_file);
	if (has_ca)
		SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(tls->client_ca_file));
	int mode = kind == NO_CLIENT_CERT ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
	if (kind == REQUIRE_ANY_CLIENT_CERT || kind == REQUIRE_AND_VERIFY)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, verifies ? verify_sans : accept_any);
	return 0;
}

int ops_http_tls_new(const struct ops_web_tls *tls, struct ssl_ctx_st **ret, struct ops_error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return ssl_error(err, "make", "TLS context");
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (tls->prefer_server_cipher_suites)
		SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_app_data(ctx, (void *)(uintptr_t)tls);
	int rc = set_versions(ctx, tls, err);
	if (rc == 0)
		rc = load_certificate(ctx, tls, err);
	if (rc == 0)
		rc = set_ciphers(ctx, &tls->cipher_suites, err);
	if (rc == 0)
		rc = set_curves(ctx, &tls->curve_preferences, err);
	if (rc == 0)
		rc = set_client_auth(ctx, tls, err);
	if (rc != 0) {
		SSL_CTX_free(ctx);
		return rc;
	}
	*ret = ctx;
	return 0;
}
