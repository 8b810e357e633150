/* SPDX-License-Identifier: Apache-2.0 */
/* prometheus.yml: defaults, what is inherited, what loads with a note, what is refused where. */
#include "services/collector/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "services/collector/discovery/sd.h"

static struct col_config *load(const char *text, struct ops_conf_warnings *w)
{
	struct col_config *c = NULL;
	struct ops_error err = {.line = 0};
	char shown[1100];
	if (col_config_load_text("p.yml", text, w, &c, &err) != 0) {
		print_message("%s\n", ops_error_text(&err, shown, sizeof(shown)));
	}
	assert_non_null(c);
	return c;
}

static void test_defaults(void **state)
{
	(void)state;
	struct col_config *c = load("scrape_configs: [{job_name: a}]", NULL);
	const struct col_job *j = &c->jobs[0];
	assert_int_equal(c->njobs, 1);
	assert_string_equal(j->name, "a");
	assert_string_equal(j->metrics_path, "/metrics");
	assert_string_equal(j->scheme, "http");
	assert_int_equal(j->interval_ms, 60000);
	assert_int_equal(j->timeout_ms, 10000);
	assert_true(j->honor_timestamps && !j->honor_labels && j->compression &&
		    j->http.follow_redirects);
	assert_int_equal(j->fallback, -1);
	assert_non_null(strstr(j->accept, "application/openmetrics-text;version=1.0.0"));
	assert_non_null(strstr(j->accept, "text/plain;version=0.0.4"));
	col_config_free(c);
}

static void test_whole(void **state)
{
	(void)state;
	static const char text[] =
		"global:\n  scrape_interval: 5s\n  sample_limit: 10\n  external_labels: {site: "
		"lab}\n"
		"scrape_configs:\n"
		"  - job_name: a\n    params: {module: [x, y], 'match[]': [z]}\n"
		"    basic_auth: {username: u, password: p}\n"
		"    tls_config: {insecure_skip_verify: true, server_name: s}\n"
		"    scrape_protocols: [PrometheusText0.0.4]\n"
		"    fallback_scrape_protocol: OpenMetricsText1.0.0\n"
		"    http_headers: {X-A: {values: [1, 2]}, X-B: {secrets: [s]}}\n"
		"    body_size_limit: 1MB\n    label_limit: 7\n    target_limit: 8\n"
		"    static_configs:\n      - targets: [h:1, h:2]\n        labels: {env: prod, "
		"code: 5}\n"
		"    file_sd_configs:\n      - files: [/x/*.yml]\n        refresh_interval: 1m\n"
		"    relabel_configs:\n      - {source_labels: [a], target_label: b, replacement: "
		"\"${1}\"}\n"
		"  - job_name: b\n    scrape_interval: 20s\n    sample_limit: 0\n"
		"    bearer_token: t\n";
	struct col_config *c = load(text, NULL);
	const struct col_job *a = &c->jobs[0], *b = &c->jobs[1];
	assert_int_equal(a->interval_ms, 5000);
	assert_int_equal(a->timeout_ms, 5000);
	assert_int_equal(a->nparams, 2);
	assert_string_equal(a->params[0].values[1], "y");
	assert_string_equal(a->http.basic.username, "u");
	assert_string_equal(a->http.basic.password, "p");
	assert_true(a->http.tls.insecure_skip_verify);
	assert_string_equal(a->accept, "text/plain;version=0.0.4;q=0.9,*/*;q=0.1");
	assert_int_equal(a->fallback, OPS_EXPOSITION_OPENMETRICS);
	assert_int_equal(a->http.nheaders, 3);
	assert_string_equal(a->http.headers[1].value, "2");
	assert_string_equal(a->http.headers[2].name, "X-B");
	assert_int_equal(a->limits.body_bytes, 1 << 20);
	assert_int_equal(a->limits.samples, 10);
	assert_int_equal(a->limits.labels, 7);
	assert_int_equal(a->limits.targets, 8);
	assert_int_equal(a->groups[0].ntargets, 2);
	assert_string_equal(ops_labels_get(a->groups[0].labels, "code"), "5");
	assert_int_equal(a->nsds, 1);
	assert_string_equal(a->sds[0].class->name, "file");
	assert_string_equal(a->relabel.rules[0].replacement, "${1}");
	assert_int_equal(b->limits.samples, 10); /* 0 is no limit of its own */
	assert_int_equal(b->timeout_ms, 5000);
	assert_string_equal(b->http.authorization.credentials, "t");
	assert_string_equal(b->http.authorization.type, "Bearer");
	struct ops_strbuf printed = OPS_STRBUF_INIT;
	col_config_print(c, &printed);
	assert_non_null(strstr(ops_strbuf_text(&printed), "job_name"));
	assert_null(strstr(ops_strbuf_text(&printed), "password: p\n"));
	ops_strbuf_done(&printed);
	col_config_free(c);
}

static void test_notes(void **state)
{
	(void)state;
	static const char text[] =
		"rule_files: [a.yml]\nremote_write: [{url: http://x}]\n"
		"alerting: {alertmanagers: [{api_version: v1, static_configs: [{targets: "
		"[a:1]}]}]}\n"
		"scrape_configs:\n  - job_name: a\n    ec2_sd_configs: [{port: 80}]\n";
	static const char *const wanted[] = {
		"p.yml:2:15: remote_write is accepted but has no effect here",
		"p.yml:3:11: alerting is accepted but has no effect: alerts travel on the bus",
		"p.yml:3:42: api_version \"v1\" is an old form: there is only v2",
		"p.yml:6:21: ec2_sd_configs is accepted but has no targets yet",
	};
	struct ops_arena arena;
	ops_arena_init(&arena);
	struct ops_conf_warnings w = {.arena = &arena};
	struct col_config *c = load(text, &w);
	assert_int_equal(w.n, OPS_LENGTH(wanted));
	for (size_t i = 0; i < w.n; i++) {
		assert_string_equal(w.items[i], wanted[i]);
	}
	col_config_free(c);
	ops_arena_done(&arena);
}

static void test_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{"scrape_confgs: []", "p.yml:1:1: unknown key \"scrape_confgs\" (did you mean "
				      "\"scrape_configs\"?)"},
		{"scrape_configs:\n  - job_nam: a",
			"p.yml:2:5: unknown key \"job_nam\" (did you mean \"job_name\"?)"},
		{"scrape_configs:\n  - metrics_path: /x", "p.yml:2:5: key \"job_name\" is missing"},
		{"scrape_configs: [{job_name: a}, {job_name: a}]",
			"p.yml:1:44: there are two jobs named \"a\""},
		{"scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]",
			"p.yml:1:69: scrape_timeout is longer than scrape_interval"},
		{"global: {scrape_interval: 1s, scrape_timeout: 2s}",
			"p.yml:1:47: scrape_timeout is longer than scrape_interval"},
		{"scrape_configs: [{job_name: a, scheme: ftp}]",
			"p.yml:1:40: scheme \"ftp\" is not http or https"},
		{"scrape_configs: [{job_name: a, static_configs: [{target: [x]}]}]",
			"p.yml:1:50: unknown key \"target\" (did you mean \"targets\"?)"},
		{"scrape_configs: [{job_name: a, file_sd_configs: [{files: [a.txt]}]}]",
			"p.yml:1:58: \"a.txt\" does not end in .yml, .yaml or .json"},
		{"scrape_configs: [{job_name: a, scrape_protocols: [Text]}]",
			"p.yml:1:51: unknown scrape protocol \"Text\" (OpenMetricsText1.0.0, "
			"OpenMetricsText0.0.1, PrometheusText1.0.0, PrometheusText0.0.4 or "
			"PrometheusProto)"},
		{"scrape_configs: [{job_name: a, scrape_protocols: [PrometheusText0.0.4, "
		 "PrometheusText0.0.4]}]",
			"p.yml:1:72: PrometheusText0.0.4 is there twice"},
		{"scrape_configs: [{job_name: a, metric_name_validation_scheme: legacy, "
		 "metric_name_escaping_scheme: allow-utf-8}]",
			"p.yml:1:100: metric_name_escaping_scheme \"allow-utf-8\" is not one for "
			"legacy names (underscores, dots, values)"},
		{"scrape_configs: [{job_name: a, bearer_token: x, basic_auth: {username: u}}]",
			"p.yml:1:61: basic_auth and another authorization exclude each other"},
		{"scrape_configs: [{job_name: a, sample_limit: -1}]",
			"p.yml:1:46: sample_limit is below 0"},
		{"scrape_configs: [{job_name: a, static_configs: [{targets: [b, 'http://c']}]}]",
			"p.yml:1:63: \"http://c\" is not a host name with an optional port (scheme "
			"and "
			"metrics_path are keys of the job)"},
		{"scrape_configs: [{job_name: a, static_configs: [~]}]",
			"p.yml:1:49: an entry of static_configs is empty"},
		{"scrape_configs: [{job_name: a, docker_sd_configs: [{host: 'unix:///x', "
		 "refresh_interval: 0s}]}]",
			"p.yml:1:90: refresh_interval must be above 0"},
		{"scrape_configs: [{job_name: a, dns_sd_configs: [{names: [x], refresh_interval: "
		 "0}]}]",
			"p.yml:1:80: refresh_interval must be above 0"},
		{"scrape_configs: [{job_name: a, dns_sd_configs: [{names: [x], type: A}]}]",
			"p.yml:1:49: a port is needed with the type A"},
		{"scrape_configs: [{job_name: a, docker_sd_configs: [{host: here}]}]",
			"p.yml:1:59: \"here\" is not an address of a Docker engine "
			"(unix:///var/run/docker.sock, tcp://HOST:2375, http:// or https://)"},
		{"scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pods}]}]",
			"p.yml:1:63: unknown role \"pods\" (node, pod, service, endpoints, "
			"endpointslice or ingress)"},
		{"scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, selectors: "
		 "[{role: service}]}]}]",
			"p.yml:1:87: the role pod has no use for a selector of the role "
			"\"service\""},
		{"scrape_configs: {}", "p.yml:1:17: scrape_configs must be a list"},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct col_config *c = NULL;
		struct ops_error err;
		char shown[1100];
		assert_int_equal(
			col_config_load_text("p.yml", rows[i].text, NULL, &c, &err), -EINVAL);
		assert_string_equal(ops_error_text(&err, shown, sizeof(shown)), rows[i].shown);
	}
}

static struct col_config *load_job(const char *settings)
{
	OPS_CLEANUP(ops_freep)
	char *text = ops_xasprintf("scrape_configs: [{job_name: a, %s}]", settings);
	return load(text, NULL);
}

static void test_escaping(void **state)
{
	(void)state;
	static const struct {
		const char *text, *part;
	} rows[] = {
		{"sample_limit: 1", "version=1.0.0;escaping=allow-utf-8;q=0.9"},
		{"metric_name_escaping_scheme: dots", "version=1.0.0;escaping=dots;q=0.9"},
		{"metric_name_validation_scheme: legacy",
			"version=1.0.0;escaping=underscores;q=0.9"},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct col_config *c = load_job(rows[i].text);
		assert_non_null(strstr(c->jobs[0].accept, rows[i].part));
		col_config_free(c);
	}
}

static void test_hash(void **state)
{
	(void)state;
	struct col_config *a = load("scrape_configs: [{job_name: a, honor_labels: true}]", NULL);
	struct col_config *b = load("scrape_configs:\n- job_name: a\n  honor_labels: true\n", NULL);
	struct col_config *c = load("scrape_configs: [{job_name: a, honor_labels: false}]", NULL);
	assert_true(a->jobs[0].hash == b->jobs[0].hash);
	assert_true(a->jobs[0].hash != c->jobs[0].hash);
	col_config_free(a);
	col_config_free(b);
	col_config_free(c);
}

static void test_histograms(void **state)
{
	static const struct {
		const char *factor;
		int32_t schema;
	} rows[] = {{"0", 8}, {"1", 8}, {"1.001", 8}, {"1.09", 3}, {"1.1", 2}, {"2", 0}, {"3", -1},
		{"16", -2}, {"1e9", -4}};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		OPS_CLEANUP(ops_freep)
		char *text = ops_xasprintf("global: {convert_classic_histograms_to_nhcb: true}\n"
					   "scrape_configs: [{job_name: a, "
					   "native_histogram_min_bucket_factor: %s}, {job_name: b, "
					   "convert_classic_histograms_to_nhcb: false, "
					   "native_histogram_bucket_limit: 5}]",
			rows[i].factor);
		struct col_config *c = load(text, NULL);
		assert_int_equal(c->jobs[0].finest_schema, rows[i].schema);
		assert_true(c->jobs[0].convert_classic && !c->jobs[1].convert_classic);
		assert_int_equal(c->jobs[0].histogram_buckets, 0);
		assert_int_equal(c->jobs[1].histogram_buckets, 5);
		col_config_free(c);
	}
}

static void write_file(const char *path, const char *text)
{
	assert_int_equal(ops_file_write_atomic(path, text, strlen(text), 0600), 0);
}

static void test_parts(void **state)
{
	(void)state;
	char *dir = tempdir_make();
	OPS_CLEANUP(ops_freep) char *whole = ops_path_join(dir, "p.yml");
	OPS_CLEANUP(ops_freep) char *part = ops_path_join(dir, "a.part.yml");
	struct col_config *c = NULL;
	struct ops_error err;
	write_file(whole, "global: {scrape_interval: 7s}\nscrape_config_files: ['*.part.yml']\n"
			  "scrape_configs: [{job_name: a}]\n");
	write_file(part, "scrape_configs: [{job_name: b}]\n");
	assert_int_equal(col_config_load(whole, 0, NULL, &c, &err), 0);
	assert_int_equal(c->njobs, 2);
	assert_string_equal(c->jobs[1].name, "b");
	assert_int_equal(c->jobs[1].interval_ms, 7000);
	assert_false(c->jobs[1].extra_metrics);
	uint64_t hash = c->jobs[1].hash;
	col_config_free(c);
	assert_int_equal(
		col_config_load(whole, COL_FEATURE_EXTRA_SCRAPE_METRICS, NULL, &c, &err), 0);
	assert_true(c->jobs[1].extra_metrics && c->jobs[1].hash != hash);
	col_config_free(c);
	write_file(part, "scrape_configs: [{job_name: b, extra_scrape_metrics: false}]\n");
	assert_int_equal(
		col_config_load(whole, COL_FEATURE_EXTRA_SCRAPE_METRICS, NULL, &c, &err), 0);
	assert_false(c->jobs[1].extra_metrics);
	col_config_free(c);
	write_file(part, "scrape_configs: [{job_name: a}]\n");
	assert_int_equal(col_config_load(whole, 0, NULL, &c, &err), -EINVAL);
	assert_string_equal(err.file, part);
	assert_string_equal(err.message, "there are two jobs named \"a\"");
	tempdir_remove(dir);
}

static void test_empty(void **state)
{
	(void)state;
	struct col_config *c = NULL;
	struct ops_error err;
	assert_int_equal(col_config_load(NULL, 0, NULL, &c, &err), 0);
	assert_int_equal(c->njobs, 0);
	col_config_free(c);
	assert_int_equal(col_config_load("/does/not/exist.yml", 0, NULL, &c, &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_escaping),
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_histograms),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
