/* SPDX-License-Identifier: Apache-2.0 */
/* From a configuration to targets: labels, URLs, what is dropped or refused. */
#include "services/collector/targets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

static struct col_config *load(const char *text)
{
	struct col_config *c = NULL;
	struct ops_error err;
	assert_int_equal(col_config_load_text("p.yml", text, NULL, &c, &err), 0);
	return c;
}

static void assert_labels(const struct ops_labels *ls, const char *wanted)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_labels_print(ls, &text);
	assert_string_equal(ops_strbuf_text(&text), wanted);
	ops_strbuf_done(&text);
}

static void test_static(void **state)
{
	(void)state;
	static const char text[] =
		"scrape_configs:\n"
		"  - job_name: web\n    metrics_path: probe\n    scheme: https\n"
		"    scrape_interval: 30s\n    scrape_timeout: 5s\n"
		"    params: {module: [http, 'b c']}\n"
		"    static_configs:\n      - targets: ['a:1', 'b:2', 'a:1', 'late:3']\n"
		"        labels: {env: x}\n"
		"    relabel_configs:\n"
		"      - {source_labels: [__address__], regex: 'b:.*', action: drop}\n"
		"      - {source_labels: [__address__], target_label: __param_target}\n"
		"      - {source_labels: [__address__], regex: 'late:.*', target_label: "
		"__scrape_timeout__, replacement: 1m}\n";
	struct col_config *c = load(text);
	struct col_targets t;
	col_targets_build(c, NULL, &t);
	assert_int_equal(t.n, 1);
	assert_string_equal(
		t.items[0]->url, "https://a:1/probe?module=http&module=b%20c&target=a%3A1");
	assert_labels(t.items[0]->labels, "{env=\"x\",instance=\"a:1\",job=\"web\"}");
	assert_labels(t.items[0]->discovered,
		"{__address__=\"a:1\",__metrics_path__=\"probe\",__param_module=\"http\","
		"__scheme__=\"https\",__scrape_interval__=\"30s\",__scrape_timeout__=\"5s\","
		"env=\"x\",job=\"web\"}");
	assert_int_equal(t.items[0]->interval_ms, 30000);
	assert_int_equal(t.items[0]->timeout_ms, 5000);
	assert_int_equal(t.ndropped, 1);
	col_targets_done(&t);
	col_config_free(c);
}

static void test_twins(void **state)
{
	(void)state;
	struct col_config *c =
		load("scrape_configs: [{job_name: a, static_configs: [{targets: ['a:1']},"
		     "{targets: ['a:1'], labels: {x: y}}]}]");
	struct col_targets t;
	col_targets_build(c, NULL, &t);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.items[0]->instance, "a:1");
	assert_memory_equal(t.items[1]->instance, "a:1#", 4);
	assert_labels(t.items[1]->labels, "{instance=\"a:1\",job=\"a\",x=\"y\"}");
	col_targets_done(&t);
	col_config_free(c);
}

static void test_limit(void **state)
{
	(void)state;
	struct col_config *c = load("scrape_configs: [{job_name: a, target_limit: 1, "
				    "static_configs: [{targets: ['a:1', 'b:1']}]}]");
	struct col_targets t;
	col_targets_build(c, NULL, &t);
	assert_int_equal(t.n, 2);
	assert_true(t.items[0]->over_limit && t.items[1]->over_limit);
	col_targets_done(&t);
	col_config_free(c);
}

static void test_dropped(void **state)
{
	(void)state;
	struct col_config *c = load(
		"scrape_configs: [{job_name: a, keep_dropped_targets: 1, static_configs: "
		"[{targets: "
		"['a:1', 'b:1', 'c:1']}], relabel_configs: [{source_labels: [__address__], regex: "
		"'c.*', action: keep}]}]");
	struct col_targets t;
	col_targets_build(c, NULL, &t);
	assert_int_equal(t.n, 1);
	assert_int_equal(t.ndropped, 1);
	assert_string_equal(ops_labels_get(t.dropped[0].discovered, "__address__"), "a:1");
	assert_int_equal(t.dropped_total, 2);
	assert_int_equal(t.counts[0].dropped, 2);
	assert_int_equal(t.counts[0].targets, 1);
	col_targets_done(&t);
	col_config_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_static),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_dropped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
