/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP settings of a client: what is refused where, which proxy serves which URL, what a request
 * gets.
 */
#include "common/net/http_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/test_tempdir.h"

struct world {
	struct ops_arena arena;
	const char *name;
	struct ops_http_options http;
};

static const struct ops_conf_key keys[] = {
	{.name = "job_name", .kind = OPS_CONF_K_STRING, .offset = offsetof(struct world, name)},
	OPS_HTTP_OPTIONS_ROWS(struct world, http),
	OPS_CONF_END,
};

static int try_load(struct world *w, const char *settings, struct ops_error *err)
{
	struct ops_conf_node *root = NULL;
	OPS_CLEANUP(ops_freep)
	char *text = ops_xasprintf("scrape_configs: [{job_name: a, %s}]", settings);
	*w = (struct world){.name = NULL};
	ops_arena_init(&w->arena);
	assert_int_equal(
		ops_conf_load_text(&w->arena, "p.yml", text, strlen(text), NULL, &root, err), 0);
	const struct ops_conf_node *job = ops_conf_get(root, "scrape_configs")->items[0];
	int r = ops_conf_decode(&w->arena, job, keys, w, NULL, err);
	return r != 0 ? r : ops_http_options_finish(&w->arena, job, &w->http, NULL, err);
}

static void load(struct world *w, const char *settings)
{
	struct ops_error err = {.line = 0};
	char shown[1100];
	if (try_load(w, settings, &err) != 0) {
		fail_msg("%s", ops_error_text(&err, shown, sizeof(shown)));
	}
}

static void done(struct world *w)
{
	ops_arena_done(&w->arena);
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{"bearer_token: x, bearer_token_file: y",
			"p.yml:1:46: bearer_token and bearer_token_file exclude each other"},
		{"basic_auth: {username: u}, oauth2: {client_id: i, token_url: http://t}",
			"p.yml:1:67: oauth2 and another authorization exclude each other"},
		{"authorization: {type: Basic}", "p.yml:1:54: the type cannot be \"Basic\" "
						 "(basic_auth has a user name and a "
						 "password)"},
		{"oauth2: {token_url: http://t}", "p.yml:1:40: oauth2 needs client_id"},
		{"oauth2: {client_id: i}", "p.yml:1:40: oauth2 needs token_url"},
		{"oauth2: {client_id: i, token_url: http://t, endpoint_params: {a: [b]}}",
			"p.yml:1:97: a: expected text, found a list"},
		{"tls_config: {ca: a, ca_file: b}",
			"p.yml:1:49: ca and ca_file exclude each other"},
		{"tls_config: {cert: a}",
			"p.yml:1:44: a client certificate needs its key (key or key_file)"},
		{"tls_config: {key: a}",
			"p.yml:1:44: a client certificate needs cert or cert_file beside its key"},
		{"tls_config: {min_version: TLS14}",
			"p.yml:1:58: unknown TLS version \"TLS14\" (TLS10, TLS11, TLS12 or TLS13)"},
		{"tls_config: {min_version: TLS13, max_version: TLS12}",
			"p.yml:1:58: min_version is above max_version"},
		{"http_headers: {Host: {values: [x]}}",
			"p.yml:1:53: header Host cannot be set here"},
		{"http_headers: {X-A: {values: [\"a\\nb\"]}}",
			"p.yml:1:52: \"X-A\" cannot be a header"},
		{"no_proxy: x", "p.yml:1:42: no_proxy needs proxy_url"},
		{"proxy_url: 'ftp://x'", "p.yml:1:43: \"ftp://x\" is not a proxy "
					 "(http://HOST:PORT, https://, socks5:// or "
					 "socks5h://)"},
		{"proxy_url: http://x, proxy_from_environment: true",
			"p.yml:1:77: proxy_from_environment excludes proxy_url and no_proxy"},
		{"proxy_connect_header: {A: [b]}", "p.yml:1:54: proxy_connect_header needs "
						   "proxy_url or proxy_from_environment"},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct world w;
		struct ops_error err;
		char shown[1100];
		assert_int_equal(try_load(&w, rows[i].text, &err), -EINVAL);
		assert_string_equal(ops_error_text(&err, shown, sizeof(shown)), rows[i].shown);
		done(&w);
	}
}

static void test_proxy(void **state)
{
	(void)state;
	static const struct {
		const char *no_proxy, *url, *through;
	} rows[] = {
		{NULL, "http://127.0.0.1:1/x", "http://p:3128"},
		{"", "http://a.example/", "http://p:3128"},
		{"b.example", "http://127.0.0.1:1/x", NULL},
		{"b.example", "http://localhost/x", NULL},
		{"b.example", "http://a.example:80/", "http://p:3128"},
		{"b.example", "http://b.example/", NULL},
		{"b.example", "https://x.B.example:9/", NULL},
		{"b.example", "http://ab.example/", "http://p:3128"},
		{".b.example", "http://b.example/", "http://p:3128"},
		{".b.example", "http://x.b.example/", NULL},
		{"*.b.example", "http://x.b.example/", NULL},
		{"a, b.example:81", "http://b.example/", "http://p:3128"},
		{"a, b.example:81", "http://b.example:81/", NULL},
		{"a, b.example:443", "https://b.example/", NULL},
		{"10.0.0.0/8", "http://10.255.1.1:9100/metrics", NULL},
		{"10.0.0.0/9", "http://10.255.1.1:9100/metrics", "http://p:3128"},
		{"10.1.2.3", "http://10.1.2.3:9100/metrics", NULL},
		{"fd00::/8", "http://[fd12::1]:9100/metrics", NULL},
		{"fd00::/8", "http://[fe12::1]/metrics", "http://p:3128"},
		{"*", "http://anything/", NULL},
		{"10.0.0.0/x,/,[,:", "http://u@10.0.0.1/", "http://p:3128"},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		const struct ops_proxy_options p = {
			.url = "http://p:3128", .no_proxy = rows[i].no_proxy};
		OPS_CLEANUP(ops_freep) char *through = ops_proxy_for(&p, rows[i].url);
		if (rows[i].through == NULL) {
			assert_null(through);
		} else {
			assert_non_null(through);
			assert_string_equal(through, rows[i].through);
		}
	}
}

static void test_environment(void **state)
{
	(void)state;
	const struct ops_proxy_options p = {.from_environment = true};
	assert_int_equal(setenv("http_proxy", "proxy:1", 1), 0);
	assert_int_equal(setenv("HTTPS_PROXY", "https://proxy:2", 1), 0);
	assert_int_equal(setenv("NO_PROXY", "c", 1), 0);
	OPS_CLEANUP(ops_freep) char *plain = ops_proxy_for(&p, "http://a/");
	OPS_CLEANUP(ops_freep) char *tls = ops_proxy_for(&p, "https://a/");
	OPS_CLEANUP(ops_freep) char *none = ops_proxy_for(&p, "https://c/");
	assert_string_equal(plain, "http://proxy:1");
	assert_string_equal(tls, "https://proxy:2");
	assert_null(none);
}

static void test_fill(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "secret");
	assert_int_equal(ops_file_write_atomic(path, "hidden\n", 7, 0600), 0);
	OPS_CLEANUP(ops_freep)
	char *text = ops_xasprintf(
		"authorization: {type: Token, credentials_file: %s}, follow_redirects: false,"
		"http_headers: {X-A: {values: [a, ''], files: [%s]}}, proxy_url: http://p:1,"
		"proxy_connect_header: {X-P: [q]}, tls_config: {min_version: TLS13, ca: x}",
		path, path);
	struct world w;
	load(&w, text);
	static const char *const own[] = {"Accept: x"};
	static const char *const wanted[] = {
		"Accept: x", "Authorization: Token hidden", "X-A: a", "X-A:", "X-A: hidden"};
	struct ops_http_request req = {.url = "http://a/", .headers = own, .nheaders = 1};
	struct ops_http_hold hold = {.n = 0};
	struct ops_error err;
	assert_int_equal(ops_http_options_fill(&w.http, NULL, &req, &hold, &err), 0);
	assert_int_equal(req.nheaders, OPS_LENGTH(wanted));
	for (size_t i = 0; i < OPS_LENGTH(wanted); i++) {
		assert_string_equal(req.headers[i], wanted[i]);
	}
	assert_string_equal(req.proxy_headers[0], "X-P: q");
	assert_true(req.no_redirects && req.tls.min_version == OPS_TLS_1_3);
	assert_string_equal(req.tls.ca, "x");
	ops_http_hold_done(&hold);
	tempdir_remove(dir);
	req = (struct ops_http_request){.url = "http://a/"};
	assert_int_equal(ops_http_options_fill(&w.http, NULL, &req, &hold, &err), -ENOENT);
	assert_non_null(strstr(err.message, "could not read the secret file"));
	ops_http_hold_done(&hold);
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_fill),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
