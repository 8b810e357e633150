/* SPDX-License-Identifier: Apache-2.0 */
/* Which rules a series, a layout and a batch mark: by name, by matchers, through aggregations. */
#include "services/detector/rules/test_world.h"

/* In the order of the letters that marked() returns. */
static const char *const expressions[] = {"up == 0", "sum(rate(up{job='a'}[5m])) > 1",
	"{__name__=~'u.*',job='b'}", "hits / on(job) up{job!='a'}", "absent(other)",
	"1 + vector(2)", "max_over_time(deriv(hits[1m])[5m:1m])", "up offset 1h"};

static char *rules_text(void)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (size_t i = 0; i < OPS_LENGTH(expressions); i++) {
		ops_strbuf_printf(&text, "- alert: R%zu\n  expr: ", i);
		ops_strbuf_add_json(&text, expressions[i], strlen(expressions[i]));
		ops_strbuf_adds(&text, "\n");
	}
	return ops_strbuf_take(&text);
}

static int begin(void **state)
{
	struct world *w = ops_xcalloc(1, sizeof(*w));
	OPS_CLEANUP(ops_freep) char *text = rules_text();
	setup(w, text);
	*state = w;
	return 0;
}

static int end(void **state)
{
	teardown(*state);
	free(*state);
	return 0;
}

/* The letters of the dirty rules ("ac": the first and the third); cleans them. */
static const char *marked(struct world *w)
{
	static char text[32];
	size_t n = 0;
	struct det_rule_group *g = &w->rules->gen->groups[0];
	for (size_t i = 0; i < g->n; i++) {
		if (g->rules[i].dirty) {
			text[n++] = (char)('a' + i);
		}
		g->rules[i].dirty = false;
	}
	text[n] = '\0';
	return text;
}

static struct ops_labels *labels(const char *name, const char *job)
{
	return ops_labels_of("__name__", name, "job", job, NULL);
}

static void test_series(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *name, *job, *marks;
	} cases[] = {{"up", "a", "abh"}, {"up", "b", "acdh"}, {"up", "c", "adh"},
		{"hits", "a", "dg"}, {"usage", "b", "c"}, {"usage", "a", ""}, {"other", "x", "e"},
		{"nobody", "x", ""}};
	assert_string_equal(marked(w), "abcdefgh"); /* what is new is evaluated */
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_labels *ls = labels(cases[i].name, cases[i].job);
		const struct det_series series = {.labels = ls};
		bool any = det_index_mark_series(w->rules->gen, &series);
		assert_string_equal(marked(w), cases[i].marks);
		assert_int_equal(any, cases[i].marks[0] != '\0');
		ops_labels_unref(ls);
	}
}

static void add_layout(struct world *w, uint64_t id, const char *name, const char *job)
{
	struct ops_labels *series[1] = {labels(name, job)};
	uint32_t family[1] = {UINT32_MAX};
	const struct ops_layout l = {
		.id = id, .job = job, .instance = "i", .series = series, .family = family, .n = 1};
	assert_int_equal(det_store_layout(w->store, &l), 0);
	ops_labels_unref(series[0]);
}

static void add_batch(struct world *w, uint64_t id, int64_t time_ms)
{
	const double values[1] = {1};
	const struct ops_batch b = {.layout_id = id, .time_ms = time_ms, .values = values, .n = 1};
	assert_int_equal(det_store_append_batch(w->store, &b), 0);
}

static void test_layouts(void **state)
{
	struct world *w = *state;
	(void)marked(w);
	add_layout(w, 1, "up", "b");
	add_layout(w, 2, "hits", "a");
	add_layout(w, 3, "nobody", "a");
	assert_string_equal(marked(w), ""); /* a layout alone is no news */
	add_batch(w, 1, 1000);
	assert_string_equal(marked(w), "acdh");
	add_batch(w, 2, 1000);
	assert_string_equal(marked(w), "dg");
	add_batch(w, 3, 1000);
	assert_string_equal(marked(w), "");
	/* a new generation knows the layouts that were there before it */
	OPS_CLEANUP(ops_freep) char *text = rules_text();
	assert_int_equal(load_rules(w, text, NULL), 0);
	(void)marked(w);
	add_batch(w, 1, 2000);
	assert_string_equal(marked(w), "acdh");
	/* and a layout that is gone is forgotten */
	det_store_retire_layout(w->store, 1, 0);
	det_index_mark_layout(w->rules->gen, 1);
	assert_string_equal(marked(w), "");
}

static void test_samples_that_come_alone(void **state)
{
	struct world *w = *state;
	(void)marked(w);
	struct ops_labels *ls = labels("up", "a");
	assert_int_equal(det_store_append(w->store, ls, 1000, 1), 0);
	ops_labels_unref(ls);
	assert_string_equal(marked(w), "abh");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_series, begin, end),
		cmocka_unit_test_setup_teardown(test_layouts, begin, end),
		cmocka_unit_test_setup_teardown(test_samples_that_come_alone, begin, end)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
