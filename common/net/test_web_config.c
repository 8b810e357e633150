/* SPDX-License-Identifier: Apache-2.0 */
/* The web configuration file: what is accepted, and the words of every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/test_tempdir.h"
#include "common/net/test_certs.h"
#include "common/net/web_config.h"

/* bcrypt of "secret", cost 4: the shape is what matters here. */
#define HASH "$2y$04$abcdefghijklmnopqrstuuWq9Yc1GpVJ0n0pZ8bDJ4o5YwO7iKp2K"

static char *dir; /* with ca.pem server.pem server.key other.key token */

static const struct {
	const char *name, *yaml, *message; /* message NULL: accepted */
	int line;
} cases[] = {
	{"empty", "", NULL, 0},
	{"user", "basic_auth_users:\n  ann: " HASH "\n", NULL, 0},
	{"user with role", "basic_auth_users: {ann: " HASH "}\nbasic_auth_roles: {ann: operator}\n",
		NULL, 0},
	{"tls", "tls_server_config: {cert_file: server.pem, key_file: server.key}\n", NULL, 0},
	{"all of tls",
		"tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  "
		"client_ca_file: ca.pem\n"
		"  client_auth_type: RequireAndVerifyClientCert\n  min_version: TLS12\n  "
		"max_version: TLS13\n"
		"  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "
		"TLS_AES_128_GCM_SHA256]\n"
		"  prefer_server_cipher_suites: true\n  curve_preferences: [CurveP256, X25519]\n  "
		"client_allowed_sans: [a.example]\n",
		NULL, 0},
	{"http",
		"http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n    "
		"Strict-Transport-Security: max-age=1\n",
		NULL, 0},
	{"token file", "bearer_tokens:\n  - {name: ci, role: operator, token_file: token}\n", NULL,
		0},
	{"token hash",
		"bearer_tokens:\n  - {name: ci, role: viewer, token_sha256: "
		"\"0000000000000000000000000000000000000000000000000000000000000000\"}\n",
		NULL, 0},
	{"anonymous", "anonymous_role: none\n", NULL, 0},

	{"unknown key", "basic_auth_user: {}\n", "basic_auth_user", 1},
	{"plain password", "basic_auth_users:\n  ann: secret\n",
		"password of user \"ann\" is not a bcrypt hash", 2},
	{"md5", "basic_auth_users:\n  ann: $apr1$abc$def\n", "not a bcrypt hash", 2},
	{"costly",
		"basic_auth_users:\n  ann: "
		"$2y$31$abcdefghijklmnopqrstuuWq9Yc1GpVJ0n0pZ8bDJ4o5YwO7iKp2K\n",
		"bcrypt cost 31", 2},
	{"colon in name", "basic_auth_users:\n  \"a:b\": " HASH "\n", "colon", 2},
	{"role of nobody", "basic_auth_users: {ann: " HASH "}\nbasic_auth_roles:\n  bob: viewer\n",
		"user \"bob\" is not in basic_auth_users", 3},
	{"unknown role", "basic_auth_users: {ann: " HASH "}\nbasic_auth_roles: {ann: root}\n",
		"unknown role \"root\"", 2},
	{"unknown anonymous role", "anonymous_role: guest\n", "unknown role \"guest\"", 1},
	{"tokens not a list", "bearer_tokens: {}\n", "must be a list", 1},
	{"token without secret", "bearer_tokens: [{name: ci, role: viewer}]\n",
		"either token_file or token_sha256", 1},
	{"token without role", "bearer_tokens: [{name: ci, token_file: token}]\n", "role", 1},
	{"token file missing", "bearer_tokens: [{name: ci, role: viewer, token_file: nowhere}]\n",
		"No such file", 1},
	{"short hash", "bearer_tokens: [{name: ci, role: viewer, token_sha256: abc}]\n",
		"64 hex digits", 1},
	{"tls without key", "tls_server_config: {cert_file: server.pem}\n",
		"needs cert_file and key_file", 1},
	{"no such cert", "tls_server_config: {cert_file: nowhere.pem, key_file: server.key}\n",
		"could not load cert_file", 1},
	{"wrong key", "tls_server_config: {cert_file: server.pem, key_file: other.key}\n",
		"key_file", 1},
	{"old tls",
		"tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: "
		"TLS10}\n",
		"\"TLS10\"", 1},
	{"versions crossed",
		"tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: "
		"TLS13, max_version: TLS12}\n",
		"above", 1},
	{"unknown cipher",
		"tls_server_config: {cert_file: server.pem, key_file: server.key, cipher_suites: "
		"[RC4]}\n",
		"unknown cipher suite \"RC4\"", 1},
	{"unknown curve",
		"tls_server_config: {cert_file: server.pem, key_file: server.key, "
		"curve_preferences: [P-1]}\n",
		"unknown curve \"P-1\"", 1},
	{"client auth",
		"tls_server_config: {cert_file: server.pem, key_file: server.key, "
		"client_auth_type: Maybe}\n",
		"unknown client_auth_type", 1},
	{"client auth without ca",
		"tls_server_config: {cert_file: server.pem, key_file: server.key, "
		"client_auth_type: RequireAndVerifyClientCert}\n",
		"needs a client_ca_file", 1},
	{"ca without client auth",
		"tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: "
		"ca.pem}\n",
		"NoClientCert", 1},
	{"foreign header", "http_server_config: {headers: {Set-Cookie: a}}\n",
		"\"Set-Cookie\" can not be configured", 1},
	{"two-line header", "http_server_config: {headers: {X-Frame-Options: \"a\\nb\"}}\n",
		"one line", 1},
	{"not a mapping", "- a\n", "mapping", 1},
};

static void test_cases(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_web_config *w = NULL;
		struct ops_error err = {.line = 0};
		OPS_CLEANUP(ops_freep) char *file = test_write(dir, "web.yml", cases[i].yaml);
		int rc = ops_web_config_load(file, &w, &err);
		bool good = cases[i].message == NULL
				    ? rc == 0
				    : rc < 0 && strstr(err.message, cases[i].message) != NULL &&
					      err.line == cases[i].line &&
					      strstr(err.file, "web.yml") != NULL;
		if (!good) {
			char text[1200];
			print_error("[%s] %d %s\n", cases[i].name, rc,
				ops_error_text(&err, text, sizeof(text)));
			failed++;
		}
		ops_web_config_unref(w);
	}
	assert_int_equal(failed, 0);
}

static void test_rights(void **state)
{
	static const char yaml[] =
		"basic_auth_users: {ann: " HASH ", bob: " HASH "}\nbasic_auth_roles: {bob: admin}\n"
		"bearer_tokens: [{name: ci, role: approver, token_file: token}]\n";
	struct ops_web_config *w = NULL;
	struct ops_error err;
	OPS_CLEANUP(ops_freep) char *file = test_write(dir, "web.yml", yaml);

	(void)state;
	assert_int_equal(ops_web_config_load(file, &w, &err), 0);
	assert_int_equal(w->nusers, 2);
	assert_int_equal(w->users[0].role, OPS_ROLE_VIEWER);
	assert_int_equal(w->users[1].role, OPS_ROLE_ADMIN);
	assert_int_equal(w->tokens[0].role, OPS_ROLE_APPROVER);
	assert_true(w->anonymous_role_set); /* naming anyone closes the door for all others */
	assert_int_equal(w->anonymous_role, OPS_ROLE_NONE);
	ops_web_config_unref(w);
	free(file);
	file = test_write(dir, "web.yml",
		"tls_server_config: {cert_file: server.pem, key_file: server.key}\n");
	assert_int_equal(ops_web_config_load(file, &w, &err), 0);
	assert_false(w->anonymous_role_set); /* TLS alone changes no rights */
	ops_web_config_unref(w);
}

static int make_files(void **state)
{
	(void)state;
	dir = tempdir_make();
	struct test_ca *ca = test_ca_new(dir);
	test_ca_issue(ca, dir, "server", "DNS:localhost");
	test_ca_issue(ca, dir, "other", "DNS:other");
	test_ca_free(ca);
	free(test_write(dir, "token", "token-of-ci\n"));
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	tempdir_remove(dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_rights),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
