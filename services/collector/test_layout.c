/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts: labels, limits, the short way against the whole way, what becomes stale. */
#include "services/collector/layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>

#include <cmocka.h>

#include "services/collector/config.h"
#include "common/relabel/relabel.h"

static struct col_limits limits;
static struct col_series_rules rules;
static struct col_values values;

static int setup(void **state)
{
	(void)state;
	limits = (struct col_limits){.samples = 0};
	rules = (struct col_series_rules){
		.labels = ops_labels_of("instance", "h:1", "job", "j", NULL),
		.instance = "h:1",
		.honor_timestamps = true,
		.limits = &limits};
	col_reports_build(rules.labels, false, rules.reports);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < COL_REPORTS; i++) {
		ops_labels_unref(rules.reports[i]);
	}
	ops_labels_unref(rules.labels);
	col_values_done(&values);
	return 0;
}

static struct ops_exposition_text text_of(const char *s)
{
	return (struct ops_exposition_text){s, strlen(s)};
}

static struct col_layout *parse(const char *text, int wanted, struct ops_error *err)
{
	struct col_layout *l = NULL;
	assert_int_equal(
		col_layout_parse(&rules, OPS_EXPOSITION_TEXT, text_of(text), &values, &l, err),
		wanted);
	return l;
}

static void assert_series(const struct col_layout *l, size_t i, const char *wanted)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	assert_true(i < l->wire.n);
	ops_labels_print(l->wire.series[i], &text);
	assert_string_equal(ops_strbuf_text(&text), wanted);
	ops_strbuf_done(&text);
}

static void test_labels(void **state)
{
	(void)state;
	struct ops_error err;
	struct col_layout *l =
		parse("a{job=\"other\",exported_job=\"x\",z=\"\"} 1\nb 2\n", 0, &err);
	assert_int_equal(l->nseries, 2);
	assert_series(l, 0,
		"a{exported_exported_job=\"other\",exported_job=\"x\",instance=\"h:1\",job=\"j\"}");
	assert_series(l, 1, "b{instance=\"h:1\",job=\"j\"}");
	assert_series(l, 2, "up{instance=\"h:1\",job=\"j\"}");
	assert_series(l, 6, "scrape_series_added{instance=\"h:1\",job=\"j\"}");
	assert_string_equal(l->wire.job, "j");
	assert_string_equal(l->wire.instance, "h:1");
	col_layout_free(l);
	rules.honor_labels = true;
	l = parse("a{job=\"other\"} 1\nb{instance=\"\"} 2\n", 0, &err);
	assert_series(l, 0, "a{instance=\"h:1\",job=\"other\"}");
	assert_series(l, 1, "b{job=\"j\"}");
	col_layout_free(l);
}

static void test_families(void **state)
{
	(void)state;
	static const char text[] =
		"# TYPE d histogram\n# HELP d Times.\nd_bucket{le=\"1\"} 1\nd_bucket{le=\"0.5\"} "
		"1\n"
		"d_bucket{le=\"+Inf\"} 1\nd_sum 2\nd_count 3\nd 4\nd_other 5\n# TYPE s summary\n"
		"s{quantile=\"1\"} 2\nle{le=\"1\"} 3\n";
	struct ops_error err;
	struct col_layout *l = parse(text, 0, &err);
	static const uint32_t families[] = {
		0, 0, 0, 0, 0, 0, UINT32_MAX, 1, UINT32_MAX, UINT32_MAX};
	for (size_t i = 0; i < OPS_LENGTH(families); i++) {
		assert_int_equal(l->wire.family[i], families[i]);
	}
	assert_int_equal(l->wire.nfamilies, 2);
	assert_string_equal(l->wire.families[0].help, "Times.");
	assert_int_equal(l->wire.families[1].type, OPS_T_SUMMARY);
	assert_series(l, 0, "d_bucket{instance=\"h:1\",job=\"j\",le=\"1.0\"}");
	assert_series(l, 1, "d_bucket{instance=\"h:1\",job=\"j\",le=\"0.5\"}");
	assert_series(l, 2, "d_bucket{instance=\"h:1\",job=\"j\",le=\"+Inf\"}");
	assert_series(l, 7, "s{instance=\"h:1\",job=\"j\",quantile=\"1.0\"}");
	assert_series(l, 8, "le{instance=\"h:1\",job=\"j\",le=\"1\"}");
	col_layout_free(l);
}

static void test_duplicates(void **state)
{
	(void)state;
	struct ops_error err;
	struct col_layout *l = parse("a 1\na 2\nup 3\nb 4\n", 0, &err);
	assert_int_equal(l->nlines, 4);
	assert_int_equal(l->nduplicates, 1);
	assert_true(values.values[0] == 1);
	assert_int_equal(l->lines[1].column, UINT32_MAX);
	col_layout_free(l);
}

static void test_limits(void **state)
{
	(void)state;
	static const struct {
		struct col_limits limits;
		const char *message;
	} rows[] = {
		{{.samples = 1}, "sample_limit exceeded: more than 1 samples"},
		{{.labels = 3}, "label_limit exceeded: the series has 4 labels"},
		{{.label_name_length = 7}, "label_name_length_limit exceeded by \"__name__\""},
		{{.label_value_length = 4},
			"label_value_length_limit exceeded by the value of \"x\""},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct ops_error err;
		limits = rows[i].limits;
		assert_null(parse("a{x=\"12345\"} 1\nb 2\n", -E2BIG, &err));
		assert_string_equal(err.message, rows[i].message);
	}
	limits = (struct col_limits){
		.samples = 2, .labels = 4, .label_name_length = 8, .label_value_length = 5};
	struct ops_error err;
	col_layout_free(parse("a{x=\"12345\"} 1\nb 2\n", 0, &err));
}

/* Whatever a target says must fit the wire. */
static void test_wire_limits(void **state)
{
	(void)state;
	struct ops_error err;
	struct ops_strbuf text = OPS_STRBUF_INIT, wire = OPS_STRBUF_INIT;
	ops_strbuf_adds(&text, "a{x=\"");
	for (int i = 0; i < 70000; i++) {
		ops_strbuf_addc(&text, 'y');
	}
	ops_strbuf_adds(&text, "\"} 1\n");
	assert_null(parse(ops_strbuf_text(&text), -E2BIG, &err));
	ops_strbuf_reset(&text);
	ops_strbuf_adds(&text, "# HELP a ");
	for (int i = 0; i < 70000; i++) {
		ops_strbuf_adds(&text, "\xc3\xa4");
	}
	ops_strbuf_adds(&text, "\na 1\n");
	struct col_layout *l = parse(ops_strbuf_text(&text), 0, &err);
	ops_layout_encode(&l->wire, &wire);
	struct ops_layout *back = NULL;
	assert_int_equal(ops_layout_decode(wire.data, wire.len, &back, &err), 0);
	ops_layout_free(back);
	col_layout_free(l);
	ops_strbuf_done(&text);
	ops_strbuf_done(&wire);
}

static void test_metric_relabel(void **state)
{
	(void)state;
	static const char yaml[] = "- {action: drop, source_labels: [__name__], regex: 'go_.*'}\n"
				   "- {action: labeldrop, regex: secret}\n";
	struct ops_arena a;
	struct ops_conf_node *node = NULL;
	struct ops_relabel relabel;
	struct ops_error err;
	ops_arena_init(&a);
	assert_int_equal(ops_conf_load_text(&a, "r", yaml, strlen(yaml), NULL, &node, &err), 0);
	assert_int_equal(ops_relabel_load(&a, node, false, &relabel, &err), 0);
	rules.relabel = &relabel;
	struct col_layout *l = parse("a{secret=\"1\"} 1\ngo_x 2\nb 3\n", 0, &err);
	assert_int_equal(l->nlines, 3);
	assert_int_equal(l->nseries, 2);
	assert_series(l, 0, "a{instance=\"h:1\",job=\"j\"}");
	assert_true(values.values[1] == 3);
	assert_true(col_layout_read(l, &rules, OPS_EXPOSITION_TEXT,
		text_of("a{secret=\"1\"} 5\ngo_x 6\nb 7\n"), &values));
	assert_true(values.values[0] == 5 && values.values[1] == 7);
	col_layout_free(l);
	ops_relabel_done(&relabel);
	ops_arena_done(&a);
}

static void test_short_way(void **state)
{
	(void)state;
	static const char first[] = "# HELP a x\na{b=\"c\"} 1\nc 2 1000\n# end\n";
	static const struct {
		const char *text;
		bool fits;
	} rows[] = {
		{first, true},
		{"# HELP a x\na{b=\"c\"} 1e5\nc NaN\n# end\n", true},
		{"# HELP a x\na{b=\"c\"} 1 5\nc 2\n# end\n", true},
		{"# HELP a y\na{b=\"c\"} 1\nc 2\n# end\n", false},
		{"# HELP a x\na{b=\"d\"} 1\nc 2\n# end\n", false},
		{"# HELP a x\na{b=\"c\"} 1\nc 2\n", false},
		{"# HELP a x\na{b=\"c\"} 1\n", false},
		{"# HELP a x\na{b=\"c\"} one\nc 2\n# end\n", false},
		{"# HELP a x\na{b=\"c\"} 1\nc 2\n# end\nd 1\n", false},
		{"", false},
	};
	struct ops_error err;
	struct col_layout *l = parse(first, 0, &err);
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		assert_int_equal(col_layout_read(l, &rules, OPS_EXPOSITION_TEXT,
					 text_of(rows[i].text), &values),
			rows[i].fits);
	}
	assert_false(
		col_layout_read(l, &rules, OPS_EXPOSITION_OPENMETRICS, text_of(first), &values));
	col_layout_free(l);
}

/* ---- random documents ---- */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % below;
}

static void random_document(struct ops_strbuf *out, uint32_t shape, bool other_values)
{
	static const char *const numbers[] = {"0", "1", "-1", "3.25", "1e9", "NaN", "+Inf",
		"123456789.5", "0.000001", "17 1700000000000", "5\t", "6 -7"};
	static const char *const labels[] = {"", "{}", "{a=\"x\"}", "{b=\"\\\\\",a=\"y\"}",
		"{ job = \"z\" }", "{\"u v\"=\"w\"}"};
	uint64_t values_seed = other_values ? 99 : 7;
	seed = shape;
	for (uint32_t i = 0, n = draw(30); i < n; i++) {
		if (draw(4) == 0) {
			ops_strbuf_printf(out, "# TYPE m%u counter\n\n", draw(5));
		}
		uint32_t name = draw(12), set = draw(OPS_LENGTH(labels));
		uint64_t shape_seed = seed;
		seed = values_seed;
		const char *number = numbers[draw(OPS_LENGTH(numbers))];
		values_seed = seed;
		seed = shape_seed;
		ops_strbuf_printf(out, "m%u%s %s\n", name, labels[set], number);
	}
}

static void test_both_ways_agree(void **state)
{
	(void)state;
	size_t fitted = 0;
	for (uint32_t shape = 1; shape <= 300; shape++) {
		struct ops_strbuf a = OPS_STRBUF_INIT, b = OPS_STRBUF_INIT;
		struct col_values fast = {.n = 0}, slow = {.n = 0};
		struct col_layout *l1 = NULL, *l2 = NULL;
		struct ops_error err;
		random_document(&a, shape, false);
		random_document(&b, shape, true);
		const struct ops_exposition_text first = text_of(ops_strbuf_text(&a)),
						 second = text_of(ops_strbuf_text(&b));
		assert_int_equal(
			col_layout_parse(&rules, OPS_EXPOSITION_TEXT, first, &fast, &l1, &err), 0);
		assert_int_equal(
			col_layout_parse(&rules, OPS_EXPOSITION_TEXT, second, &slow, &l2, &err), 0);
		assert_true(col_layout_read(l1, &rules, OPS_EXPOSITION_TEXT, second, &fast));
		fitted++;
		assert_int_equal(l1->nseries, l2->nseries);
		assert_int_equal(col_layout_added(l2, l1), 0);
		assert_int_equal(fast.has_times, slow.has_times);
		if (l1->nseries > 0) {
			assert_memory_equal(fast.values, slow.values, l1->nseries * sizeof(double));
		}
		for (size_t c = 0; c < l1->nseries; c++) {
			assert_true(col_values_time(&fast, c) == col_values_time(&slow, c));
		}
		col_layout_free(l1);
		col_layout_free(l2);
		col_values_done(&fast);
		col_values_done(&slow);
		ops_strbuf_done(&a);
		ops_strbuf_done(&b);
	}
	assert_int_equal(fitted, 300);
}

/* As after it was sent. */
static void pack(struct col_layout *l)
{
	struct ops_strbuf message = OPS_STRBUF_INIT;
	assert_int_equal(ops_layout_encode(&l->wire, &message), 0);
	col_layout_keep_message(l, message.data, message.len);
	col_layout_pack(l);
	assert_null(l->wire.series);
	ops_strbuf_done(&message);
}

static void test_retire(void **state)
{
	(void)state;
	struct ops_error err;
	struct col_layout *old = parse("a 1\nb 2\nc 3 1000\n", 0, &err);
	struct col_values last = values, now = {.n = 0};
	struct col_layout *new = NULL;
	memset(last.values + old->nseries, 0, COL_REPORT_TIMEOUT * sizeof(double));
	assert_int_equal(col_layout_parse(&rules, OPS_EXPOSITION_TEXT, text_of("b 20\nd 4\n"), &now,
				 &new, &err),
		0);
	for (size_t i = 0; i < COL_REPORT_TIMEOUT; i++) {
		now.values[new->nseries + i] = (double)i;
	}
	assert_int_equal(col_layout_added(new, old), 1);
	assert_int_equal(col_layout_added(new, NULL), 2);
	pack(new);
	pack(old);
	assert_int_equal(col_layout_added(new, old), 1);
	col_layout_pack(new);
	col_layout_retire(old, &last, new, &now, false);
	assert_true(ops_is_stale(last.values[0]));
	assert_true(last.values[1] == 20);
	assert_true(last.values[2] == 3 && last.times_ms[2] == 1000); /* says nothing new */
	assert_true(last.values[old->nseries + 4] == 4);
	col_layout_retire(old, &last, NULL, NULL, true);
	for (size_t i = 0; i < old->wire.n; i++) {
		assert_true(ops_is_stale(last.values[i]));
	}
	assert_false(last.has_times);
	col_layout_free(old);
	col_layout_free(new);
	col_values_done(&now);
	values = last;
}

static struct col_layout *layout_of(const uint32_t *ids, size_t n, struct col_values *ret_row)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct col_layout *l = NULL;
	struct ops_error err;
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_printf(&text, "m{id=\"%u\"} %u\n", ids[i], ids[i]);
	}
	assert_int_equal(col_layout_parse(&rules, OPS_EXPOSITION_TEXT,
				 text_of(ops_strbuf_text(&text)), ret_row, &l, &err),
		0);
	memset(ret_row->values + l->nseries, 0, COL_REPORT_TIMEOUT * sizeof(double));
	ops_strbuf_done(&text);
	return l;
}

/* Every way in which a list of series can become another: blocks go, come, move. */
static void test_succession(void **state)
{
	(void)state;
	enum {
		MOST = 64
	};
	static const struct {
		uint32_t from, to, moved_by;
	} first = {0, 40, 0},
	  rows[] = {{0, 40, 0}, {1, 40, 0}, {0, 39, 0}, {0, 0, 0}, {20, 40, 0}, {30, 60, 0},
		  {41, 60, 0}, {0, 64, 0}, {0, 40, 1}, {0, 40, 20}, {3, 47, 7}, {5, 35, 29}};
	for (size_t r = 0; r < OPS_LENGTH(rows); r++) {
		for (size_t gap = 1; gap < 30; gap += 3) { /* every so many is left out */
			uint32_t a[MOST], b[MOST];
			bool in_b[MOST] = {false};
			size_t na = 0, nb = 0, missing = 0;
			for (uint32_t id = first.from; id < first.to; id++) {
				a[na++] = id;
			}
			uint32_t span = rows[r].to - rows[r].from;
			for (uint32_t i = 0; i < span; i++) {
				uint32_t id = rows[r].from + (i + rows[r].moved_by) % span;
				if (gap == 1 || i % gap != 0) {
					b[nb++] = id;
					in_b[id] = true;
				}
			}
			struct col_values last = {.n = 0}, now = {.n = 0};
			struct col_layout *old = layout_of(a, na, &last),
					  *new = layout_of(b, nb, &now);
			for (size_t i = 0; i < nb; i++) {
				now.values[i] += 1000;
			}
			for (size_t i = 0; i < na; i++) {
				missing += !in_b[a[i]];
			}
			assert_int_equal(col_layout_added(new, old), nb - (na - missing));
			col_layout_retire(old, &last, new, &now, false);
			for (size_t i = 0; i < na; i++) {
				assert_int_equal(ops_is_stale(last.values[i]), !in_b[a[i]]);
				assert_true(!in_b[a[i]] || last.values[i] == 1000.0 + a[i]);
			}
			col_layout_free(old);
			col_layout_free(new);
			col_values_done(&last);
			col_values_done(&now);
		}
	}
}

static void test_reports_alone(void **state)
{
	(void)state;
	struct col_layout *l = col_layout_reports(&rules);
	assert_int_equal(l->nseries, 0);
	assert_int_equal(l->wire.n, COL_REPORT_TIMEOUT);
	assert_series(l, COL_REPORT_UP, "up{instance=\"h:1\",job=\"j\"}");
	assert_series(l, COL_REPORT_SCRAPED, "scrape_samples_scraped{instance=\"h:1\",job=\"j\"}");
	col_layout_free(l);
	struct col_series_rules more = rules;
	col_reports_build(rules.labels, true, more.reports);
	l = col_layout_reports(&more);
	assert_int_equal(l->wire.n, COL_REPORTS);
	assert_series(l, COL_REPORT_TIMEOUT, "scrape_timeout_seconds{instance=\"h:1\",job=\"j\"}");
	assert_series(
		l, COL_REPORT_BODY_BYTES, "scrape_body_size_bytes{instance=\"h:1\",job=\"j\"}");
	col_layout_free(l);
	for (size_t i = 0; i < COL_REPORTS; i++) {
		ops_labels_unref(more.reports[i]);
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_labels),
		CASE(test_families),
		CASE(test_duplicates),
		CASE(test_limits),
		CASE(test_wire_limits),
		CASE(test_metric_relabel),
		CASE(test_short_way),
		CASE(test_both_ways_agree),
		CASE(test_retire),
		CASE(test_succession),
		CASE(test_reports_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
