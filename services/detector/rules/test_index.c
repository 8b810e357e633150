/* SPDX-License-Identifier: Apache-2.0 */
/* Which rules a series, a layout and a batch mark: by name, by matchers, through aggregations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "services/detector/rules/internal.h"

/* In the order of the letters that marked() returns. */
static const char *const expressions[] = {"up == 0", "sum(rate(up{job='a'}[5m])) > 1",
	"{__name__=~'u.*',job='b'}", "hits / on(job) up{job!='a'}", "absent(other)",
	"1 + vector(2)", "max_over_time(deriv(hits[1m])[5m:1m])", "up offset 1h"};

struct world {
	char dir[32];
	char *rules_file, *state_file;
	struct ops_loop *loop;
	struct det_store *store;
	struct det_engine_options engine;
	struct det_rules *rules;
};

static int publish(void *arg, const struct ops_alert *alert, const char *event_id)
{
	(void)arg;
	(void)alert;
	(void)event_id;
	return 0;
}

static void load(struct world *w)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct ops_error err = {.line = 0};
	for (size_t i = 0; i < OPS_LENGTH(expressions); i++) {
		ops_strbuf_printf(&text, "- alert: R%zu\n  expr: ", i);
		ops_strbuf_add_json(&text, expressions[i], strlen(expressions[i]));
		ops_strbuf_adds(&text, "\n");
	}
	assert_int_equal(ops_file_write_atomic(w->rules_file, text.data, text.len, 0600), 0);
	ops_strbuf_done(&text);
	const char *files[] = {w->rules_file};
	const struct det_rules_set set = {.files = files, .nfiles = 1};
	if (det_rules_load(w->rules, &set, NULL, &err) != 0) {
		fail_msg("%d:%d: %s", err.line, err.column, err.message);
	}
}

static int setup(void **state)
{
	struct world *w = ops_xcalloc(1, sizeof(*w));
	const struct det_store_options options = {.retention_ms = 3600000};
	struct ops_error err;
	ops_log_set_level(OPS_LOG_ERROR);
	snprintf(w->dir, sizeof(w->dir), "/tmp/det-index-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->rules_file = ops_path_join(w->dir, "r.yml");
	w->state_file = ops_path_join(w->dir, "state.json");
	w->loop = ops_loop_new();
	w->store = det_store_new(&options);
	const struct det_rules_config cfg = {.loop = w->loop,
		.store = w->store,
		.engine = &w->engine,
		.state_file = w->state_file,
		.publish = publish};
	assert_int_equal(det_rules_new(&cfg, &w->rules, &err), 0);
	load(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	det_rules_free(w->rules);
	det_store_free(w->store);
	ops_loop_free(w->loop);
	unlink(w->rules_file);
	unlink(w->state_file);
	rmdir(w->dir);
	free(w->rules_file);
	free(w->state_file);
	free(w);
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
	load(w);
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
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_series, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layouts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_samples_that_come_alone, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
