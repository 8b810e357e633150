/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for scraping. A context is shared by all targets with the same files and made anew when one
 * of the files changes, so that rotated certificates need no reload. Each connection keeps the
 * session of its last handshake and offers it at the next: a target that closes after every answer
 * then costs one signature less. TLS 1.2 at least; no renegotiation.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/metrics/metrics.h"
#include "services/collector/pull_internal.h"

static struct ops_metric resumed_total = OPS_COUNTER("ops_scrape_tls_sessions_resumed_total",
	"TLS handshakes with targets that resumed a session.");

struct col_tls_context {
	SSL_CTX *ctx;
	uint64_t serial;
	struct timespec changed[3]; /* of the files when they were read */
};

void col_tls_context_free(void *context)
{
	struct col_tls_context *x = context;
	if (x != NULL) {
		SSL_CTX_free(x->ctx);
		free(x);
	}
}

static int tls_error(struct ops_error *err, int code, const char *what)
{
	char text[160] = "the connection ended";
	unsigned long e = ERR_peek_last_error();
	if (e != 0) {
		ERR_error_string_n(e, text, sizeof(text));
	}
	ERR_clear_error();
	return ops_error_set(err, code, "%s: %s", what, text);
}

/* ---- contexts ---- */

static void stamp(const struct ops_tls_client *tls, struct timespec ret[3])
{
	const char *const files[3] = {tls->ca_file, tls->cert_file, tls->key_file};
	memset(ret, 0, 3 * sizeof(*ret));
	for (size_t i = 0; i < 3; i++) {
		struct stat st;
		if (files[i] != NULL && stat(files[i], &st) == 0) {
			ret[i] = st.st_mtim;
		}
	}
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct col_connection *c = SSL_get_app_data(ssl);
	SSL_SESSION_free(c->session);
	c->session = session;
	return 1; /* ours now */
}

static int load_files(SSL_CTX *ctx, const struct ops_tls_client *tls, struct ops_error *err)
{
	if (tls->ca_file != NULL) {
		if (SSL_CTX_load_verify_file(ctx, tls->ca_file) != 1) {
			return tls_error(err, -EINVAL, "could not read the CA file");
		}
	} else if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
		return tls_error(err, -EINVAL, "could not find the system's CA files");
	}
	if (tls->cert_file != NULL &&
		SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1) {
		return tls_error(err, -EINVAL, "could not read the certificate file");
	}
	if (tls->key_file != NULL &&
		(SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) != 1 ||
			SSL_CTX_check_private_key(ctx) != 1)) {
		return tls_error(err, -EINVAL, "could not use the key file");
	}
	return 0;
}

static int context_new(
	const struct ops_tls_client *tls, struct col_tls_context **ret, struct ops_error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	ops_assert(ctx != NULL);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(
		ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	SSL_CTX_set_verify(
		ctx, tls->insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	int r = load_files(ctx, tls, err);
	if (r != 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	struct col_tls_context *x = ops_xcalloc(1, sizeof(*x));
	x->ctx = ctx;
	stamp(tls, x->changed);
	ops_metric_register(&resumed_total);
	*ret = x;
	return 0;
}

static const char *or_empty(const char *s)
{
	return s != NULL ? s : "";
}

static int find_context(struct col_puller *p, const struct ops_tls_client *tls,
	struct col_tls_context **ret, struct ops_error *err)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf key = OPS_STRBUF_INIT;
	ops_strbuf_printf(&key, "%s\n%s\n%s\n%d", or_empty(tls->ca_file), or_empty(tls->cert_file),
		or_empty(tls->key_file), tls->insecure_skip_verify);
	struct col_tls_context *x = ops_map_get(p->contexts, key.data, key.len);
	struct timespec now[3];
	stamp(tls, now);
	if (x == NULL || memcmp(now, x->changed, sizeof(now)) != 0) {
		struct col_tls_context *fresh = NULL;
		int r = context_new(tls, &fresh, err);
		if (r != 0) {
			return r;
		}
		col_tls_context_free(ops_map_put(p->contexts, key.data, key.len, fresh));
		fresh->serial = ++p->context_serial;
		x = fresh;
	}
	*ret = x;
	return 0;
}

/* ---- a connection ---- */

static bool is_address(const char *name)
{
	unsigned char bytes[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* OpenSSL's macro casts const away. */
static bool set_sni(SSL *ssl, const char *name)
{
	return SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
		       (void *)(uintptr_t)name) == 1;
}

int col_tls_start(struct col_connection *c, struct ops_error *err)
{
	struct col_tls_context *x = NULL;
	int r = find_context(c->owner, &c->tls, &x, err);
	if (r != 0) {
		return r;
	}
	if (c->context_serial != x->serial) {
		col_tls_forget(c); /* verified by another authority */
		c->context_serial = x->serial;
	}
	const char *name = c->tls.server_name != NULL ? c->tls.server_name : c->host;
	c->ssl = SSL_new(x->ctx);
	ops_assert(c->ssl != NULL);
	SSL_set_app_data(c->ssl, c);
	X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
	bool ok = is_address(name) ? X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1
				   : SSL_set1_host(c->ssl, name) == 1 && set_sni(c->ssl, name);
	if (!ok || SSL_set_fd(c->ssl, c->fd) != 1) {
		return tls_error(err, -EINVAL, "could not begin TLS");
	}
	if (c->session != NULL && SSL_CTX_get_verify_mode(x->ctx) == SSL_VERIFY_PEER) {
		(void)SSL_set_session(c->ssl, c->session);
	}
	SSL_set_connect_state(c->ssl);
	return 0;
}

int col_tls_handshake(struct col_connection *c, unsigned *ret_what, struct ops_error *err)
{
	ERR_clear_error();
	int r = SSL_do_handshake(c->ssl);
	if (r == 1) {
		ops_metric_add(&resumed_total, SSL_session_reused(c->ssl) ? 1 : 0);
		return 0;
	}
	int why = SSL_get_error(c->ssl, r);
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		*ret_what = why == SSL_ERROR_WANT_READ ? OPS_READABLE : OPS_WRITABLE;
		return -EAGAIN;
	}
	col_tls_forget(c);
	long verdict = SSL_get_verify_result(c->ssl);
	if (verdict != X509_V_OK) {
		ERR_clear_error();
		return ops_error_set(err, -EPROTO, "could not verify the target's certificate: %s",
			X509_verify_cert_error_string(verdict));
	}
	return tls_error(err, -EPROTO, "the TLS handshake failed");
}

static ssize_t outcome(struct col_connection *c, int r, unsigned *ret_what)
{
	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		*ret_what = OPS_READABLE;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		*ret_what = OPS_READABLE | OPS_WRITABLE;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		ERR_clear_error();
		return -ECONNRESET;
	}
}

ssize_t col_tls_read(struct col_connection *c, void *buf, size_t len, unsigned *ret_what)
{
	size_t n = 0;
	ERR_clear_error();
	int r = SSL_read_ex(c->ssl, buf, len, &n);
	return r == 1 ? (ssize_t)n : outcome(c, r, ret_what);
}

ssize_t col_tls_write(struct col_connection *c, const void *data, size_t len, unsigned *ret_what)
{
	size_t n = 0;
	ERR_clear_error();
	int r = SSL_write_ex(c->ssl, data, len, &n);
	return r == 1 ? (ssize_t)n : outcome(c, r, ret_what);
}

void col_tls_end(struct col_connection *c, bool in_order)
{
	if (c->ssl == NULL) {
		return;
	}
	if (in_order) {
		(void)SSL_shutdown(c->ssl); /* says goodbye; the answer is not waited for */
	} else {
		SSL_set_quiet_shutdown(c->ssl, 1);
		(void)SSL_shutdown(c->ssl); /* else OpenSSL takes the session for broken */
	}
	ERR_clear_error();
	SSL_free(c->ssl);
	c->ssl = NULL;
}

void col_tls_forget(struct col_connection *c)
{
	SSL_SESSION_free(c->session);
	c->session = NULL;
}
