/* SPDX-License-Identifier: Apache-2.0 */
/* Alertmanager's file: what is refused, where and why; what is inherited; what a status page may
 * show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "services/alertmanager/config.h"

#define TAIL "receivers:\n- name: r\n"

static const struct {
	const char *text, *message;
	int line, column;
} refused[] = {
	{"", "no route", 0, 0},
	{"route:\n  receiver: r\n  grup_by: [a]\n" TAIL, "unknown key \"grup_by\"", 3, 3},
	{"route:\n  receiver: nobody\n" TAIL, "\"nobody\" used in a route is not defined", 2, 13},
	{"route:\n  receiver: r\n  group_interval: 0s\n" TAIL, "group_interval must not be zero", 3,
		19},
	{"route:\n  receiver: r\n  group_wait: soon\n" TAIL, "group_wait", 3, 15},
	{"route:\n  receiver: r\n  matchers: [a=b]\n" TAIL, "must not have matchers", 2, 3},
	{"route:\n  receiver: r\n  routes:\n  - matchers: ['a=~\"(\"']\n" TAIL, "matcher", 4, 16},
	{"route:\n  receiver: r\n  routes:\n  - match_re: {a: }\n" TAIL, "no regular expression", 4,
		0},
	{"route:\n  receiver: r\n  group_by: [a, a]\n" TAIL, "given twice", 3, 17},
	{"route:\n  receiver: r\n  group_by: ['...', a]\n" TAIL, "must stand alone", 3, 13},
	{"route:\n  receiver: r\n  routes:\n  - mute_time_intervals: [x]\n" TAIL,
		"\"x\" is not defined", 4, 0},
	{"route: {receiver: r}\nreceivers:\n- name: r\n- name: r\n", "not unique", 4, 9},
	{"route: {receiver: r}\nreceivers:\n- name: r\n  webhook_configs:\n  - url: ftp://x\n",
		"http://", 5, 10},
	{"route: {receiver: r}\nreceivers:\n- name: r\n  webhook_configs:\n  - {}\n",
		"url and url_file", 5, 5},
	{"route: {receiver: r}\nreceivers:\n- name: r\n  carrier_pigeon_configs: []\n",
		"unknown key", 4, 3},
	{"route: {receiver: r}\nreceivers:\n- name: r\n  telegram_configs:\n  - chat_id: 1\n",
		"bot_token is missing", 5, 5},
	{"route: {receiver: r}\n" TAIL "inhibit_rules:\n- source_match: {a: b}\n  equl: [c]\n",
		"did", 0, 0},
	{"route: {receiver: r}\n" TAIL
	 "time_intervals:\n- name: t\n  time_intervals:\n  - weekdays: [blursday]\n",
		"weekday", 7, 16},
	{"route: {receiver: r}\n" TAIL
	 "time_intervals:\n- name: t\n  time_intervals:\n  - location: Mars/Olympus\n",
		"time zone", 7, 15},
	{"route: {receiver: r}\n" TAIL "templates: ['/nonexistent/{a,b'\n", "", 0, 0},
	{"route: [\n", "", 0, 0},
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(refused); i++) {
		struct alm_config *cfg = NULL;
		struct ops_error err = {0};
		char text[1200];
		int rc = alm_config_parse(
			"f.yml", refused[i].text, strlen(refused[i].text), NULL, &cfg, &err);
		if (rc == 0)
			fail_msg("accepted: %s", refused[i].text);
		ops_error_text(&err, text, sizeof text);
		if (strstr(text, refused[i].message) == NULL)
			fail_msg("%s: %s", refused[i].message, text);
		if (refused[i].line != 0)
			assert_int_equal(err.line, refused[i].line);
		if (refused[i].column != 0)
			assert_int_equal(err.column, refused[i].column);
	}
}

static struct alm_config *load(const char *text)
{
	struct alm_config *cfg = NULL;
	struct ops_error err = {0};
	if (alm_config_parse("f.yml", text, strlen(text), NULL, &cfg, &err) != 0)
		fail_msg("%d:%d: %s", err.line, err.column, err.message);
	return cfg;
}

static void test_inheritance(void **state)
{
	struct alm_config *cfg = load(
		"route:\n  receiver: r\n  group_by: [b, a]\n  group_wait: 5s\n  routes:\n"
		"  - match: {x: y}\n    group_interval: 7s\n    labels: {team: t}\n    routes:\n"
		"    - matchers: ['z!=\"1\"']\n      group_by: []\n      labels: {own: o}\n" TAIL);
	const struct alm_route *child = &cfg->route->children[0], *grand = &child->children[0];
	(void)state;

	assert_int_equal(cfg->route->group_wait_ms, 5000);
	assert_int_equal(cfg->route->group_interval_ms, 300000);
	assert_int_equal(cfg->route->repeat_interval_ms, 4 * 3600000);
	assert_string_equal(cfg->route->group_by[0], "a");
	assert_int_equal(child->group_wait_ms, 5000);
	assert_int_equal(child->group_interval_ms, 7000);
	assert_int_equal(child->ngroup_by, 2);
	assert_int_equal(grand->ngroup_by, 0);
	assert_int_equal(grand->labels.n, 2);
	assert_string_equal(grand->key, "{}/{x=\"y\"}/{z!=\"1\"}");
	assert_ptr_equal(grand->receiver, cfg->route->receiver);
	alm_config_unref(cfg);
}

static void test_global_defaults_reach_receivers(void **state)
{
	struct alm_config *cfg = load(
		"global:\n  smtp_smarthost: h:25\n  smtp_from: f@x\n  smtp_require_tls: false\n"
		"  slack_api_url: http://slack\n  http_config: {proxy_url: 'http://p:1'}\n"
		"route: {receiver: r}\nreceivers:\n- name: r\n  email_configs: [{to: t@x}]\n"
		"  slack_configs: [{channel: c}]\n  pagerduty_configs: [{routing_key: k}]\n"
		"  discord_configs: [{webhook_url: 'http://d'}]\n");
	const struct alm_receiver *r = alm_config_receiver(cfg, "r");
	(void)state;

	assert_int_equal(r->n, 4);
	assert_string_equal(r->items[0].u.email.smarthost, "h:25");
	assert_string_equal(r->items[0].u.email.from, "f@x");
	assert_false(r->items[0].u.email.require_tls);
	assert_false(r->items[0].send_resolved);
	assert_string_equal(r->items[1].u.slack.api_url, "http://slack");
	assert_string_equal(r->items[1].http.proxy.url, "http://p:1");
	assert_string_equal(r->items[2].u.pagerduty.url, "https://events.pagerduty.com/v2/enqueue");
	assert_int_equal(r->items[2].u.pagerduty.details.n, 4);
	assert_true(r->items[2].send_resolved);
	assert_int_equal(r->items[3].kind, ALM_UNSENT);
	alm_config_unref(cfg);
}

static void test_http_config(void **state)
{
	struct alm_config *cfg = load(
		"global: {smtp_smarthost: 'h:25', smtp_from: f@x, smtp_tls_config: {server_name: "
		"mail}}\nroute: {receiver: r}\nreceivers:\n- name: r\n  webhook_configs:\n"
		"  - {url: http://a}\n"
		"  - {url: http://b, http_config: {follow_redirects: false, proxy_url: 'http://p', "
		"no_proxy: b, oauth2: {client_id: i, client_secret: s, token_url: http://t, "
		"scopes: [x]}, tls_config: {min_version: TLS13}, "
		"http_headers: {X-A: {values: [a, b]}}}}\n"
		"  email_configs: [{to: t@x}, {to: t@x, tls_config: {server_name: other}}]\n");
	const struct alm_receiver *r = alm_config_receiver(cfg, "r");
	const struct ops_http_options *plain = &r->items[0].http, *http = &r->items[1].http;
	(void)state;

	assert_true(plain->follow_redirects && !plain->has_oauth2 && plain->nheaders == 0);
	assert_true(http->has_oauth2 && !http->follow_redirects);
	assert_string_equal(http->oauth2.scopes.items[0], "x");
	assert_string_equal(http->proxy.no_proxy, "b");
	assert_int_equal(http->tls.min_version, OPS_TLS_1_3);
	assert_int_equal(http->nheaders, 2);
	assert_string_equal(r->items[2].u.email.tls.server_name, "mail");
	assert_string_equal(r->items[3].u.email.tls.server_name, "other");
	alm_config_unref(cfg);
}

static void test_warnings_tell_what_is_not_sent(void **state)
{
	static const char text[] = "route: {receiver: r}\nreceivers:\n- name: r\n  "
				   "discord_configs: [{webhook_url: 'http://d'}]\n";
	struct ops_arena a;
	struct alm_config *cfg = NULL;
	(void)state;

	ops_arena_init(&a);
	struct ops_conf_warnings w = {.arena = &a};
	assert_int_equal(alm_config_parse("f.yml", text, strlen(text), &w, &cfg, NULL), 0);
	assert_int_equal(w.n, 1);
	assert_non_null(strstr(w.items[0], "f.yml:4:"));
	assert_non_null(strstr(w.items[0], "not sent yet"));
	alm_config_unref(cfg);
	ops_arena_done(&a);
}

static void test_status_page_shows_no_secret(void **state)
{
	struct alm_config *cfg = load(
		"global:\n  smtp_smarthost: h:25\n  smtp_from: f@x\n  "
		"smtp_auth_password: hush\n"
		"  slack_api_url: http://hush@h\nroute: {receiver: r}\nreceivers:\n- name: r\n"
		"  webhook_configs:\n  - url: http://h/hush\n    http_config: {bearer_token: "
		"hush}\n  - url: >\n      http://h?hush\n    http_config:\n      http_headers:\n"
		"        X-A:\n          secrets:\n          - hush\n          - hush\n"
		"      tls_config:\n        cert: shown\n        key: |\n          hush\n");
	char *text = alm_config_masked(cfg);
	(void)state;

	assert_null(strstr(text, "hush"));
	assert_non_null(strstr(text, "  smtp_smarthost: \"h:25\"\n"));
	assert_non_null(strstr(text, "receivers:\n  - name: r\n    webhook_configs:\n"
				     "      - url: \"http://h/<secret>\"\n"));
	free(text);
	alm_config_unref(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_inheritance),
		cmocka_unit_test(test_global_defaults_reach_receivers),
		cmocka_unit_test(test_http_config),
		cmocka_unit_test(test_warnings_tell_what_is_not_sent),
		cmocka_unit_test(test_status_page_shows_no_secret),
	};
	return cmocka_run_group_tests_name("alertmanager_config", tests, NULL, NULL);
}
