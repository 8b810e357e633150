/* SPDX-License-Identifier: Apache-2.0 */
/* StatsD lines, mappings and what they add up to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "services/collector/receive/statsd_table.h"

static const struct col_statsd_limits roomy = {.series = 1000, .set_members = 100};

/* ---- lines ---- */

/* name type rate values tags, as one text. */
static char *describe(const struct col_statsd_event *e)
{
	static const char *const types[] = {"c", "g", "ms", "h", "s"};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_printf(&out, "%.*s %s", (int)e->name.len, e->name.s, types[e->type]);
	if (e->rate < 1) {
		ops_strbuf_printf(&out, " @%g", e->rate);
	}
	for (size_t i = 0; i < e->nvalues; i++) {
		if (e->type == COL_STATSD_SET) {
			ops_strbuf_printf(&out, " %.*s", (int)e->members[i].len, e->members[i].s);
		} else {
			ops_strbuf_printf(&out, " %s%g",
				e->type == COL_STATSD_GAUGE && e->relative[i] ? "~" : "",
				e->values[i]);
		}
	}
	for (size_t i = 0; i < e->ntags; i++) {
		ops_strbuf_printf(&out, " %.*s=%.*s", (int)e->tag_names[i].len, e->tag_names[i].s,
			(int)e->tag_values[i].len, e->tag_values[i].s);
	}
	return ops_strbuf_take(&out);
}

static void test_lines(void **state)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
		{"a.b:1|c", "a.b c 1"},
		{"a:2.5|g", "a g 2.5"},
		{"a:+2|g", "a g ~2"},
		{"a:-2|g", "a g ~-2"},
		{"a:320|ms|@0.1", "a ms @0.1 320"},
		{"a:1:2:3|h", "a h 1 2 3"},
		{"a:1|d|#x:1,y:b:c,flag", "a h 1 x=1 y=b:c flag=true"},
		{"a:1|c|#x:1|@0.5|T1690000000|c:container", "a c @0.5 1 x=1"},
		{"a,x=1,y=2:7|c", "a c 7 x=1 y=2"},
		{"a#x=1:7|c", "a c 7 x=1"},
		{"a:bob:2|s", "a s bob:2"},
		{"_e{5,4}:title|text", "1"},
		{"_sc|name|0", "1"},
		{"", "line"},
		{"a", "line"},
		{"a:1", "line"},
		{"a|c", "line"},
		{":1|c", "name"},
		{"a\xff:1|c", "name"},
		{"a:1|x", "type"},
		{"a:1|", "type"},
		{"a:|c", "value"},
		{"a:x|c", "value"},
		{"a:1:|c", "value"},
		{"a:-1|c", "value"},
		{"a:-1|ms", "value"},
		{"a:Inf|g", "value"},
		{"a:NaN|g", "value"},
		{"a:1|c|@0", "rate"},
		{"a:1|c|@1.5", "rate"},
		{"a:1|c|@x", "rate"},
		{"a:1|c|#:x", "tags"},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct col_statsd_event e;
		const char *why = "?";
		int r = col_statsd_parse(cases[i].line, strlen(cases[i].line), &e, &why);
		char *got = r == 0 ? describe(&e) : ops_xstrdup(r == 1 ? "1" : why);
		if (strcmp(got, cases[i].want) != 0) {
			fail_msg("%s: got %s, wanted %s", cases[i].line, got, cases[i].want);
		}
		free(got);
	}
}

/* ---- sums ---- */

static struct col_statsd_mapping *mapping_of(const char *yaml)
{
	struct col_statsd_mapping *m = NULL;
	struct ops_error err;
	if (col_statsd_mapping_load_text("mapping.yml", yaml, NULL, &m, &err) != 0) {
		fail_msg("%d:%d: %s", err.line, err.column, err.message);
	}
	return m;
}

static void feed(
	struct col_statsd_table *t, struct col_statsd_mapping *m, const char *lines, int64_t now_ms)
{
	for (const char *p = lines; *p != '\0';) {
		size_t n = strcspn(p, "\n");
		struct col_statsd_event e;
		const char *why = "?";
		assert_int_equal(col_statsd_parse(p, n, &e, &why), 0);
		if (col_statsd_table_add(t, m, &e, now_ms, &why) < 0) {
			fail_msg("%.*s: %s", (int)n, p, why);
		}
		p += n + (p[n] == '\n');
	}
}

static void expect_document(struct col_statsd_table *t, int64_t now_ms, const char *want)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	col_statsd_table_expose(t, now_ms, &out);
	assert_string_equal(ops_strbuf_text(&out), want);
	ops_strbuf_done(&out);
}

static void test_sums(void **state)
{
	struct col_statsd_mapping *m =
		mapping_of("defaults: {histogram_options: {buckets: [0.1, 1]}}\n");
	struct col_statsd_table *t = col_statsd_table_new(&roomy);

	(void)state;
	feed(t, m,
		"hits.total:1|c|#b:2,a:1\nhits.total:1|c|@0.1|#a:1,b:2\nhits.total:5|c\n"
		"queue-len:5|g\nqueue-len:+3|g\nqueue-len:-1|g\n"
		"users:ann|s\nusers:bob|s\nusers:ann|s\n"
		"took:50:500:5000|ms|#p:\"q\\\n",
		0);
	expect_document(t, 0,
		"# TYPE hits_total counter\nhits_total{a=\"1\",b=\"2\"} 11\nhits_total 5\n"
		"# TYPE queue_len gauge\nqueue_len 7\n"
		"# TYPE users gauge\nusers 2\n"
		"# TYPE took histogram\ntook_bucket{p=\"\\\"q\\\\\",le=\"0.1\"} 1\n"
		"took_bucket{p=\"\\\"q\\\\\",le=\"1\"} 2\n"
		"took_bucket{p=\"\\\"q\\\\\",le=\"+Inf\"} 3\ntook_sum{p=\"\\\"q\\\\\"} 5.55\n"
		"took_count{p=\"\\\"q\\\\\"} 3\n");
	assert_int_equal(col_statsd_table_series(t), 2 + 1 + 1 + 5);
	feed(t, m, "users:eve|s\n", 0);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	col_statsd_table_expose(t, 0, &out);
	assert_non_null(strstr(ops_strbuf_text(&out), "users 1\n"));
	ops_strbuf_done(&out);
	col_statsd_table_free(t);
	col_statsd_mapping_free(m);
}

/* Tags whose names differ only in what a label name cannot have; le is the histogram's own. */
static void test_names_meet(void **state)
{
	struct col_statsd_mapping *m = mapping_of("defaults: {}\n");
	struct col_statsd_table *t = col_statsd_table_new(&roomy);
	(void)state;
	feed(t, m, "a:1|c|#~x:1,>x:2,y:3,y:4\nh:1|h|#le:5\n", 0);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	col_statsd_table_expose(t, 0, &out);
	const char *text = ops_strbuf_text(&out);
	assert_non_null(strstr(text, "a{_x=\"1\",y=\"3\"} 1\n"));
	assert_non_null(strstr(text, "h_sum{exported_le=\"5\"} 1\n"));
	ops_strbuf_done(&out);
	col_statsd_table_free(t);
	col_statsd_mapping_free(m);
}

static void test_limits(void **state)
{
	static const struct col_statsd_limits small = {
		.series = 2, .set_members = 1, .ttl_ms = 100};
	struct col_statsd_mapping *m = mapping_of("");
	struct col_statsd_table *t = col_statsd_table_new(&small);
	struct col_statsd_event e;
	const char *why = "?";

	(void)state;
	feed(t, m, "a:1|c\nu:x|s\nu:y|s\n", 0);
	assert_int_equal(col_statsd_parse("b:1|c", 5, &e, &why), 0);
	assert_int_equal(col_statsd_table_add(t, m, &e, 0, &why), -EINVAL);
	assert_string_equal(why, "limit");
	assert_int_equal(col_statsd_parse("a:1|g", 5, &e, &why), 0);
	assert_int_equal(col_statsd_table_add(t, m, &e, 0, &why), -EINVAL);
	assert_string_equal(why, "conflict");
	feed(t, m, "a:1|c\n", 90);
	expect_document(t, 100, "# TYPE a counter\na 2\n# TYPE u gauge\nu 1\n");
	expect_document(t, 150, "# TYPE a counter\na 2\n");
	feed(t, m, "b:1|c\n", 160);
	expect_document(t, 170, "# TYPE a counter\na 2\n# TYPE b counter\nb 1\n");
	expect_document(t, 1000, "");
	assert_int_equal(col_statsd_table_series(t), 0);
	col_statsd_table_free(t);
	col_statsd_mapping_free(m);
}

/* ---- mappings ---- */

static void test_mappings(void **state)
{
	static const char yaml[] =
		"defaults:\n  ttl: 1m\n"
		"mappings:\n"
		"- match: \"app.*.requests.*\"\n  name: app_requests_total\n  help: Requests.\n"
		"  labels: {app: \"$1\", code: \"${2}\"}\n"
		"- match: \"db\\\\.(.+)\\\\.time\"\n  match_type: regex\n"
		"  match_metric_type: observer\n"
		"  name: \"db_${1}_seconds\"\n  histogram_options: {buckets: [1, 2, +Inf]}\n"
		"  scale: 1000\n"
		"- match: \"noise.*\"\n  action: drop\n"
		"- match: \"own\"\n  name: own\n  labels: {x: map}\n  honor_labels: true\n"
		"- match: \"won\"\n  name: won\n  labels: {x: map}\n";
	struct col_statsd_mapping *m = mapping_of(yaml);
	struct col_statsd_table *t = col_statsd_table_new(&roomy);

	(void)state;
	feed(t, m,
		"app.shop.requests.200:1|c\nnoise.x:1|c\ndb.user-s.time:1500|ms\ndb.u.time:1|c\n"
		"own:1|c|#x:tag\nwon:1|c|#x:tag\napp.a.b.requests.200:1|c\n",
		0);
	expect_document(t, 0,
		"# HELP app_requests_total Requests.\n# TYPE app_requests_total counter\n"
		"app_requests_total{app=\"shop\",code=\"200\"} 1\n"
		"# TYPE db_user_s_seconds histogram\ndb_user_s_seconds_bucket{le=\"1\"} 0\n"
		"db_user_s_seconds_bucket{le=\"2\"} 0\ndb_user_s_seconds_bucket{le=\"+Inf\"} 1\n"
		"db_user_s_seconds_sum 1500\ndb_user_s_seconds_count 1\n"
		"# TYPE db_u_time counter\ndb_u_time 1\n"
		"# TYPE own counter\nown{x=\"tag\"} 1\n# TYPE won counter\nwon{x=\"map\"} 1\n"
		"# TYPE app_a_b_requests_200 counter\napp_a_b_requests_200 1\n");
	expect_document(t, 60001, "");
	col_statsd_table_free(t);
	col_statsd_mapping_free(m);
}

static void test_bad_mappings(void **state)
{
	static const struct {
		const char *yaml;
		int line;
	} cases[] = {
		{"mappings: 3\n", 1},
		{"mappings:\n- name: x\n", 2},
		{"mappings:\n- match: a\n", 2},
		{"mappings:\n- match: a\n  name: x\n  match_type: fnmatch\n", 2},
		{"mappings:\n- match: '('\n  name: x\n  match_type: regex\n", 2},
		{"mappings:\n- match: a\n  name: x\n  action: keep\n", 2},
		{"mappings:\n- match: a\n  name: x\n  match_metric_type: set\n", 2},
		{"mappings:\n- match: a\n  name: x\n  labels: {'a-b': c}\n", 4},
		{"mappings:\n- match: a\n  name: x\n  histogram_options: {buckets: [2, 1]}\n", 4},
		{"mappings:\n- match: a\n  nam: x\n", 3},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct col_statsd_mapping *m = NULL;
		struct ops_error err;
		assert_int_equal(
			col_statsd_mapping_load_text("m.yml", cases[i].yaml, NULL, &m, &err),
			-EINVAL);
		if (err.line != cases[i].line) {
			fail_msg("%s: line %d: %s", cases[i].yaml, err.line, err.message);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_names_meet),
		cmocka_unit_test(test_mappings),
		cmocka_unit_test(test_bad_mappings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
