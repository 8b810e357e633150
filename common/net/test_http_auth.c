/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what, over a real socket: bcrypt users, tokens, anonymous callers, reload; then TLS
 * with and without client certificates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <crypt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/test_tempdir.h"
#include "common/base/text.h"
#include "common/net/http_auth.h"
#include "common/net/test_certs.h"
#include "common/net/test_world.h"

#define H "Host: x\r\n"
#define C "Connection: close\r\n"

static char *dir;
static char *web_file;

static struct ops_http_config config(void)
{
	return (struct ops_http_config){.service = "test",
		.listen = "127.0.0.1:0",
		.web_config_file = web_file,
		.anonymous_role = OPS_ROLE_VIEWER};
}

static void write_web(const char *text)
{
	free(web_file);
	web_file = test_write(dir, "web.yml", text);
}

static char *bcrypt_of(const char *password)
{
	static const char salt[] = "$2b$04$abcdefghijklmnopqrstuu";
	struct crypt_data *data = ops_xcalloc(1, sizeof(*data));
	char *hash = ops_xstrdup(crypt_rn(password, salt, data, sizeof(*data)));

	free(data);
	return hash;
}

/* ---- users and tokens ---- */

static const struct {
	const char *name, *method, *path,
		*user; /* user: "name:password", "token:T", raw header, or NULL */
	const char *status, *contain;
} requests[] = {
	{"anonymous reads", "GET", "/echo", NULL, "401", "WWW-Authenticate: Basic realm=\"test\""},
	{"tokens are offered", "GET", "/echo", NULL, "401", "WWW-Authenticate: Bearer"},
	{"anonymous, open door", "GET", "/open", NULL, "200", "\"who\":\"anonymous\""},
	{"anonymous, unknown path", "GET", "/secret", NULL, "401", NULL},
	{"user reads", "GET", "/echo", "ann:secret", "200", "\"who\":\"ann\""},
	{"user reads again", "GET", "/echo", "ann:secret", "200", "\"role\":\"viewer\""},
	{"user writes", "POST", "/write", "ann:secret", "403",
		"ann has role viewer, this needs operator"},
	{"operator writes", "POST", "/write", "bob:s:e:c", "200", "\"role\":\"operator\""},
	{"wrong password", "GET", "/echo", "ann:Secret", "401", "wrong user name or password"},
	{"wrong again", "GET", "/echo", "ann:Secret", "401", NULL},
	{"wrong on an open door", "GET", "/open", "ann:wrong", "401", NULL},
	{"empty password", "GET", "/echo", "ann:", "401", NULL},
	{"unknown user", "GET", "/echo", "eve:secret", "401", NULL},
	{"other user's password", "GET", "/echo", "bob:secret", "401", NULL},
	{"token", "POST", "/write", "token:token-of-ci", "200", "\"who\":\"ci\""},
	{"token of a reader", "POST", "/write", "token:token-of-page", "403", NULL},
	{"unknown token", "GET", "/echo", "token:token-of-c", "401", "unknown token"},
	{"other scheme", "GET", "/echo", "Digest a=b", "401", NULL},
	{"no base64", "GET", "/echo", "Basic !!!", "401", NULL},
	{"no colon", "GET", "/echo", "Basic YW5u", "401", NULL},
	{"empty bearer", "GET", "/echo", "Bearer ", "401", NULL},
};

static char *authorization(const char *user)
{
	if (user == NULL)
		return ops_xstrdup("");
	if (ops_str_starts(user, "token:"))
		return ops_xasprintf("Authorization: Bearer %s\r\n", user + 6);
	if (strchr(user, ':') == NULL)
		return ops_xasprintf("Authorization: %s\r\n", user);
	OPS_CLEANUP(ops_freep) char *text = ops_base64_encode(user, strlen(user));
	return ops_xasprintf("Authorization: Basic %s\r\n", text);
}

static void ask_as(
	struct client *c, const char *name, const char *line, const char *user, const char *status)
{
	OPS_CLEANUP(ops_freep) char *who = authorization(user);
	OPS_CLEANUP(ops_freep)
	char *text = ops_xasprintf("%s HTTP/1.1\r\n" H C "%s\r\n", line, who);
	OPS_CLEANUP(ops_freep) char *got = ask(c->port, text);

	if (strlen(got) < 12 || strncmp(got + 9, status, 3) != 0)
		complain(c, name, got);
}

static void all_requests(struct client *c)
{
	for (size_t i = 0; i < OPS_LENGTH(requests); i++) {
		OPS_CLEANUP(ops_freep) char *who = authorization(requests[i].user);
		OPS_CLEANUP(ops_freep)
		char *text = ops_xasprintf("%s %s HTTP/1.1\r\n" H C "%s\r\n", requests[i].method,
			requests[i].path, who);
		OPS_CLEANUP(ops_freep) char *got = ask(c->port, text);
		if (strlen(got) < 12 || strncmp(got + 9, requests[i].status, 3) != 0 ||
			(requests[i].contain != NULL && strstr(got, requests[i].contain) == NULL))
			complain(c, requests[i].name, got);
	}
}

static void write_users(void)
{
	OPS_CLEANUP(ops_freep) char *ann = bcrypt_of("secret");
	OPS_CLEANUP(ops_freep) char *bob = bcrypt_of("s:e:c");
	OPS_CLEANUP(ops_freep)
	char *yaml = ops_xasprintf(
		"basic_auth_users:\n  ann: %s\n  bob: %s\nbasic_auth_roles: {bob: operator}\n"
		"bearer_tokens:\n  - {name: ci, role: operator, token_file: token}\n"
		"  - {name: page, role: viewer, token_file: token2}\n",
		ann, bob);

	write_web(yaml);
}

/* fn against a server that knows ann and bob. */
static void run_with_users(void (*fn)(struct client *c))
{
	struct world w;
	struct client c = {.fn = fn};
	struct ops_http_config cfg = config();

	write_users();
	cfg.web_config_file = web_file;
	open_world(&w, &cfg);
	run_client(&w, &c);
	close_world(&w);
}

static void test_requests(void **state)
{
	(void)state;
	run_with_users(all_requests);
}

/* Two requests with one password at a time, then a client that leaves while its password is
 * checked. */
static void crowd(struct client *c)
{
	OPS_CLEANUP(ops_freep) char *who = authorization("ann:secret");
	OPS_CLEANUP(ops_freep) char *wrong = authorization("ann:other");
	OPS_CLEANUP(ops_freep)
	char *text = ops_xasprintf("GET /echo HTTP/1.1\r\n" H C "%s\r\n", who);
	OPS_CLEANUP(ops_freep)
	char *bad = ops_xasprintf("GET /echo HTTP/1.1\r\n" H C "%s\r\n", wrong);
	int fds[6];

	for (size_t i = 0; i < OPS_LENGTH(fds); i++)
		fds[i] = dial(c->port);
	for (size_t i = 0; i < OPS_LENGTH(fds); i++)
		says(fds[i], i == 3 ? bad : text);
	close(fds[3]);
	for (size_t i = 0; i < OPS_LENGTH(fds); i++) {
		struct ops_strbuf got = OPS_STRBUF_INIT;
		if (i != 3 && (!listen_until_close(fds[i], &got, READ_MS) ||
				      strstr(ops_strbuf_text(&got), "200 OK") == NULL))
			complain(c, "one of a crowd", ops_strbuf_text(&got));
		if (i != 3)
			close(fds[i]);
		ops_strbuf_done(&got);
	}
	int fd = dial(c->port);
	says(fd, bad); /* still under way when the server goes */
	close(fd);
}

static void test_crowd(void **state)
{
	(void)state;
	run_with_users(crowd);
}

static void before_reload(struct client *c)
{
	ask_as(c, "before", "GET /echo", "ann:secret", "200");
}

static void after_bad_reload(struct client *c)
{
	ask_as(c, "after a bad reload", "GET /echo", "ann:secret", "200");
}

static void after_reload(struct client *c)
{
	ask_as(c, "a verified password of a user who is gone", "GET /echo", "ann:secret", "401");
	ask_as(c, "the file's anonymous role", "POST /write", NULL, "200");
}

static void test_reload(void **state)
{
	struct world w;
	struct client c = {.fn = before_reload};
	struct ops_http_config cfg = config();
	struct ops_error err;

	(void)state;
	write_users();
	cfg.web_config_file = web_file;
	open_world(&w, &cfg);
	run_client(&w, &c);
	free(test_write(dir, "web.yml", "basic_auth_users: {ann: plain}\n"));
	assert_true(ops_http_server_reload(w.server, &err) < 0);
	assert_int_equal(err.line, 1);
	c.fn = after_bad_reload;
	run_client(&w, &c);
	free(test_write(dir, "web.yml", "anonymous_role: operator\n"));
	assert_int_equal(ops_http_server_reload(w.server, &err), 0);
	c.fn = after_reload;
	run_client(&w, &c);
	close_world(&w);
}

/* ---- TLS ---- */

static SSL_CTX *client_context(const char *cert)
{
	OPS_CLEANUP(ops_freep) char *ca = ops_path_join(dir, "ca.pem");
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	ops_assert(SSL_CTX_load_verify_locations(ctx, ca, NULL) == 1);
	if (cert != NULL) {
		OPS_CLEANUP(ops_freep) char *pem = ops_xasprintf("%s/%s.pem", dir, cert);
		OPS_CLEANUP(ops_freep) char *key = ops_xasprintf("%s/%s.key", dir, cert);
		ops_assert(SSL_CTX_use_certificate_file(ctx, pem, SSL_FILETYPE_PEM) == 1);
		ops_assert(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1);
	}
	return ctx;
}

/* The whole answer, or "" when TLS did not come about. */
static char *ask_tls(unsigned port, const char *cert, int max_version, const char *request)
{
	SSL_CTX *ctx = client_context(cert);
	struct ops_strbuf got = OPS_STRBUF_INIT;
	char buf[65536];
	int fd = dial(port), n = 0;

	SSL_CTX_set_max_proto_version(ctx, max_version);
	SSL *ssl = SSL_new(ctx);
	SSL_set_fd(ssl, fd);
	SSL_set1_host(ssl, "localhost");
	if (SSL_connect(ssl) == 1 && SSL_write(ssl, request, (int)strlen(request)) > 0) {
		while ((n = SSL_read(ssl, buf, sizeof(buf))) > 0)
			ops_strbuf_add(&got, buf, (size_t)n);
	}
	ERR_clear_error();
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	close(fd);
	return ops_strbuf_take(&got);
}

#define TLS_FILES "cert_file: server.pem, key_file: server.key"

static void plain_tls(struct client *c)
{
	char *got = ask_tls(c->port, NULL, 0, "GET /big HTTP/1.1\r\n" H C "\r\n");
	if (strstr(got, "200 OK") == NULL || strlen(got) < 300000)
		complain(c, "over TLS", got);
	free(got);
	got = ask_tls(c->port, NULL, 0,
		"GET /echo?q=1 HTTP/1.1\r\n" H "\r\nGET /echo?q=2 HTTP/1.1\r\n" H C "\r\n");
	if (strstr(got, "\"q\":\"2\"") == NULL || strstr(got, "X-Frame-Options: deny") == NULL)
		complain(c, "pipelined over TLS", got);
	free(got);
	got = ask_tls(c->port, NULL, TLS1_1_VERSION, "GET /echo HTTP/1.1\r\n" H C "\r\n");
	if (*got != '\0')
		complain(c, "TLS 1.1", got);
	free(got);
	got = ask(c->port, "GET /echo HTTP/1.1\r\n" H C "\r\n");
	if (strstr(got, "200 OK") != NULL)
		complain(c, "plain text on a TLS port", got);
	free(got);
	close(dial(c->port));
}

static void client_certs(struct client *c)
{
	static const char request[] = "GET /echo HTTP/1.1\r\n" H C "\r\n";
	static const struct {
		const char *cert;
		bool welcome;
	} who[] = {{NULL, false}, {"good", true}, {"other", false}, {"foreign", false}};

	for (size_t i = 0; i < OPS_LENGTH(who); i++) {
		char *got = ask_tls(c->port, who[i].cert, 0, request);
		if ((strstr(got, "200 OK") != NULL) != who[i].welcome)
			complain(c, who[i].cert != NULL ? who[i].cert : "no certificate", got);
		free(got);
	}
}

static void run_tls(const char *yaml, void (*fn)(struct client *c))
{
	struct world w;
	struct client c = {.fn = fn};

	write_web(yaml);
	struct ops_http_config cfg = config();
	open_world(&w, &cfg);
	run_client(&w, &c);
	close_world(&w);
}

static void test_tls(void **state)
{
	(void)state;
	run_tls("tls_server_config: {" TLS_FILES
		"}\nhttp_server_config: {headers: {X-Frame-Options: deny}}\n",
		plain_tls);
	run_tls("tls_server_config: {" TLS_FILES
		", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem,\n"
		"  client_allowed_sans: [good.example]}\n",
		client_certs);
}

/* ---- the header alone ---- */

static void test_credentials(void **state)
{
	static const struct {
		const char *header;
		enum ops_auth_scheme scheme;
		const char *user, *secret;
	} table[] = {
		{NULL, OPS_AUTH_NONE, NULL, NULL},
		{"", OPS_AUTH_MALFORMED, NULL, NULL},
		{"Basic YTpi", OPS_AUTH_BASIC, "a", "b"},
		{"bAsIc   YTpi", OPS_AUTH_BASIC, "a", "b"},
		{"Basic YTo=", OPS_AUTH_BASIC, "a", ""},
		{"Basic Ojo6", OPS_AUTH_BASIC, "", "::"},
		{"Basic", OPS_AUTH_MALFORMED, NULL, NULL},
		{"Basic YQBiOmM=", OPS_AUTH_MALFORMED, NULL, NULL}, /* a NUL inside */
		{"Bearer abc", OPS_AUTH_BEARER, NULL, "abc"},
		{"bearer abc", OPS_AUTH_BEARER, NULL, "abc"},
		{"Bearer a b", OPS_AUTH_MALFORMED, NULL, NULL},
		{"Bearer", OPS_AUTH_MALFORMED, NULL, NULL},
		{"BasicYTpi", OPS_AUTH_MALFORMED, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct ops_credentials c;
		ops_credentials_parse(table[i].header, &c);
		assert_int_equal(c.scheme, table[i].scheme);
		assert_true(ops_str_eq(c.user, table[i].user));
		assert_true(ops_str_eq(c.secret, table[i].secret));
		ops_credentials_done(&c);
	}
}

static int make_files(void **state)
{
	(void)state;
	dir = tempdir_make();
	struct test_ca *ca = test_ca_new(dir);
	test_ca_issue(ca, dir, "server", "DNS:localhost,IP:127.0.0.1");
	test_ca_issue(ca, dir, "good", "DNS:good.example");
	test_ca_issue(ca, dir, "other", "DNS:other.example");
	test_ca_free(ca);
	char *elsewhere = tempdir_make(); /* an authority that nobody trusts */
	ca = test_ca_new(elsewhere);
	test_ca_issue(ca, dir, "foreign", "DNS:good.example");
	test_ca_free(ca);
	tempdir_remove(elsewhere);
	free(test_write(dir, "token", "token-of-ci\n"));
	free(test_write(dir, "token2", "token-of-page"));
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	free(web_file);
	tempdir_remove(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_credentials),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_tls),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
