/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One test. As promtool does it: at every evaluation_interval from the start on, samples up to then
 * are stored, all groups are evaluated in order, and the alerts are compared whose eval_time lies
 * between this evaluation and the next. When all is evaluated the expressions are asked, each at
 * its own time. Samples behind the last evaluation are never seen.
 *
 * A rule that cannot be evaluated ends the test: what follows would only repeat it.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "services/detector/ruletest/internal.h"

struct run {
	struct det_ruletest_report *report;
	const struct det_ruletest_file *file;
	struct det_ruletest_test *test;
	struct det_ruletest_case *to;
	struct det_store *store;
	struct det_engine_options engine;
	struct det_rules *rules;
	int64_t now_ms; /* of this evaluation */
};

void det_ruletest_fail(
	struct det_ruletest_report *r, struct det_ruletest_case *c, const struct ops_strbuf *text)
{
	OPS_GROW(c->failures, c->n, c->cap);
	c->failures[c->n++] = ops_arena_strdup(&r->arena, ops_strbuf_text(text));
}

static const char *since_start(const struct run *run, int64_t ms, char *buf, size_t size)
{
	return ops_duration_format(ms - run->test->start_ms, buf, size);
}

/* ---- samples ---- */

static void store_series(struct run *run, struct det_ruletest_series *s)
{
	for (; s->next < s->n; s->next++) {
		const struct det_ruletest_value *v = &s->values[s->next];
		int64_t t = run->test->start_ms + (int64_t)s->next * run->test->interval_ms;
		if (t > run->now_ms) {
			return;
		}
		/* A rule may have recorded the same series: the first sample of a time stays. */
		int rc = 0;
		if (v->h != NULL) {
			rc = det_store_append_histogram(run->store, s->labels, t, v->h);
		} else if (!v->omitted) {
			rc = det_store_append(run->store, s->labels, t, v->v);
		}
		(void)rc;
	}
}

/* ---- alerts ---- */

struct found { /* alerts of one name that fire */
	const char *name;
	struct det_ruletest_alert *items;
	size_t n, cap;
	struct ops_labels *none; /* instead of no annotations */
};

static void add_alert(void *arg, const struct det_rules_alert *alert)
{
	struct found *f = arg;
	if (!alert->firing || strcmp(alert->name, f->name) != 0) {
		return;
	}
	OPS_GROW(f->items, f->n, f->cap);
	f->items[f->n++] = (struct det_ruletest_alert){
		alert->labels, alert->annotations != NULL ? alert->annotations : f->none};
}

static bool same_alerts(const struct found *got, const struct det_ruletest_alerts *wanted)
{
	bool same = got->n == wanted->n;
	for (size_t i = 0; same && i < got->n; i++) {
		same = ops_labels_equal(got->items[i].labels, wanted->items[i].labels) &&
		       ops_labels_equal(got->items[i].annotations, wanted->items[i].annotations);
	}
	return same;
}

static void check_alerts(struct run *run, struct det_ruletest_alerts *wanted)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	struct found got = {.name = wanted->alertname, .none = ops_labels_builder_build(&b)};
	ops_labels_builder_done(&b);
	det_rules_each_alert(run->rules, add_alert, &got);
	det_ruletest_sort_alerts(got.items, got.n);
	det_ruletest_sort_alerts(wanted->items, wanted->n);
	if (!same_alerts(&got, wanted)) {
		struct ops_strbuf text = OPS_STRBUF_INIT;
		if (run->test->name[0] != '\0') {
			ops_strbuf_printf(&text, "    name: %s,\n", run->test->name);
		}
		ops_strbuf_printf(&text,
			"    alertname: %s, time: %s, \n        exp:", wanted->alertname,
			wanted->eval_text);
		det_ruletest_print_alerts(wanted->items, wanted->n, &text);
		ops_strbuf_adds(&text, ", \n        got:");
		det_ruletest_print_alerts(got.items, got.n, &text);
		det_ruletest_fail(run->report, run->to, &text);
		ops_strbuf_done(&text);
	}
	ops_labels_unref(got.none);
	free(got.items);
}

static void check_due_alerts(struct run *run)
{
	int64_t since = run->now_ms - run->test->start_ms;
	for (size_t i = 0; i < run->test->nalerts; i++) {
		struct det_ruletest_alerts *a = &run->test->alerts[i];
		if (a->eval_ms >= since && a->eval_ms < since + run->file->interval_ms) {
			check_alerts(run, a);
		}
	}
}

/* ---- expressions ---- */

static int ask(struct run *run, const struct det_ruletest_expr *x, struct ops_arena *arena,
	struct det_result *ret, struct ops_error *err)
{
	static const struct ops_promql_options options = {OPS_PROMQL_ALL_FEATURES};
	const struct ops_promql_source src = {x->expr, strlen(x->expr), &options};
	struct ops_promql_expr *expr = NULL;
	int rc = ops_promql_parse(arena, &src, &expr, err);
	if (rc != 0) {
		return rc;
	}
	const struct det_query q = {
		.expr = expr, .text = x->expr, .start_ms = run->test->start_ms + x->eval_ms};
	rc = det_engine_eval(run->store, &run->engine, &q, arena, ret, err);
	bool usable = rc != 0 || ret->type == OPS_PROMQL_INSTANT || ret->type == OPS_PROMQL_SCALAR;
	return usable ? rc : ops_error_set(err, -EINVAL, "result is not a vector or scalar");
}

static void take_samples(const struct det_result *result, struct det_ruletest_sample *ret)
{
	for (size_t i = 0; i < result->n; i++) {
		const struct det_point *p = result->series[i].points;
		ret[i].labels = det_result_labels(&result->series[i]);
		ret[i].value = (struct det_ruletest_value){false, p->v, p->h};
	}
}

static bool same_samples(const struct run *run, const struct det_ruletest_sample *got,
	const struct det_ruletest_expr *x)
{
	for (size_t i = 0; i < x->n; i++) {
		if (!ops_labels_equal(got[i].labels, x->items[i].labels) ||
			!det_ruletest_value_equal(
				&got[i].value, &x->items[i].value, run->file->fuzzy)) {
			return false;
		}
	}
	return true;
}

static void fail_expr(struct run *run, const struct det_ruletest_expr *x, const char *why)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_adds(&text, "    expr: ");
	ops_strbuf_add_json(&text, x->expr, strlen(x->expr));
	ops_strbuf_printf(&text, ", time: %s,%s", x->eval_text, why);
	det_ruletest_fail(run->report, run->to, &text);
	ops_strbuf_done(&text);
}

static void compare_samples(struct run *run, struct det_ruletest_expr *x,
	const struct det_result *result, struct ops_arena *arena)
{
	struct det_ruletest_sample *got =
		ops_arena_array(arena, struct det_ruletest_sample, result->n + 1);
	take_samples(result, got);
	det_ruletest_sort_samples(got, result->n);
	det_ruletest_sort_samples(x->items, x->n);
	if (result->n != x->n || !same_samples(run, got, x)) {
		struct ops_strbuf why = OPS_STRBUF_INIT;
		ops_strbuf_adds(&why, "\n        exp: ");
		det_ruletest_print_samples(x->items, x->n, &why);
		ops_strbuf_adds(&why, "\n        got: ");
		det_ruletest_print_samples(got, result->n, &why);
		fail_expr(run, x, ops_strbuf_text(&why));
		ops_strbuf_done(&why);
	}
	for (size_t i = 0; i < result->n; i++) {
		ops_labels_unref(got[i].labels);
	}
}

static void check_expr(struct run *run, struct det_ruletest_expr *x)
{
	struct ops_arena arena;
	struct det_result result = {.n = 0};
	struct ops_error err;
	ops_arena_init(&arena);
	if (ask(run, x, &arena, &result, &err) == 0) {
		compare_samples(run, x, &result, &arena);
	} else {
		fail_expr(run, x, ops_arena_printf(&arena, " err: %s", err.message));
	}
	ops_arena_done(&arena);
}

/* ---- the whole ---- */

static void on_failure(void *arg, const char *rule, const char *error)
{
	struct run *run = arg;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	char at[32];
	ops_strbuf_printf(&text, "    rule: %s, time: %s, err: %s", rule,
		since_start(run, run->now_ms, at, sizeof(at)), error);
	det_ruletest_fail(run->report, run->to, &text);
	ops_strbuf_done(&text);
}

static void tell_alert(void *arg, const struct det_rules_alert *alert)
{
	const struct run *run = arg;
	struct ops_strbuf labels = OPS_STRBUF_INIT;
	char at[32];
	ops_labels_print(alert->labels, &labels);
	printf("  DEBUG: %s: %s %s %g\n", since_start(run, run->now_ms, at, sizeof(at)),
		alert->firing ? "firing" : "pending", ops_strbuf_text(&labels), alert->value);
	ops_strbuf_done(&labels);
}

static int64_t last_eval(const struct det_ruletest_test *t)
{
	int64_t last = 0;
	for (size_t i = 0; i < t->nalerts; i++) {
		last = OPS_MAX(last, t->alerts[i].eval_ms);
	}
	for (size_t i = 0; i < t->nexprs; i++) {
		last = OPS_MAX(last, t->exprs[i].eval_ms);
	}
	return t->start_ms + last;
}

static void evaluate_all(struct run *run)
{
	int64_t end = last_eval(run->test);
	for (int64_t t = run->test->start_ms; t <= end; t += run->file->interval_ms) {
		run->now_ms = t;
		for (size_t i = 0; i < run->test->nseries; i++) {
			store_series(run, &run->test->series[i]);
		}
		if (det_rules_step(run->rules, &run->file->order, t, on_failure, run) > 0) {
			return;
		}
		if (run->to->debug) {
			det_rules_each_alert(run->rules, tell_alert, run);
		}
		check_due_alerts(run);
	}
	for (size_t i = 0; i < run->test->nexprs; i++) {
		check_expr(run, &run->test->exprs[i]);
	}
}

static int load_rules(struct run *run, struct ops_error *err)
{
	const struct det_rules_config cfg = {.store = run->store, .engine = &run->engine};
	const struct det_rules_set set = {.files = run->file->rule_files,
		.nfiles = run->file->nrule_files,
		.interval_ms = run->file->interval_ms,
		.external_url = run->test->external_url,
		.external_labels = run->test->external_labels,
		.promql_features = OPS_PROMQL_ALL_FEATURES};
	struct ops_conf_warnings warnings = {.arena = &run->report->arena};
	int rc = det_rules_new(&cfg, &run->rules, err);
	if (rc == 0) {
		rc = det_rules_load(run->rules, &set, &warnings, err);
	}
	return rc;
}

int det_ruletest_run_test(struct det_ruletest_report *r, const struct det_ruletest_file *f,
	struct det_ruletest_test *t, struct det_ruletest_case *ret, struct ops_error *err)
{
	const struct det_store_options options = {.retention_ms = INT64_MAX / 4};
	struct run run = {.report = r,
		.file = f,
		.test = t,
		.to = ret,
		.store = det_store_new(&options),
		.engine = {.default_step_ms = f->interval_ms},
		.now_ms = t->start_ms};
	int64_t start = ops_mono_ns();
	int rc = load_rules(&run, err);
	if (rc == 0) {
		evaluate_all(&run);
	}
	ret->duration_ns = ops_mono_ns() - start;
	det_rules_free(run.rules);
	det_store_free(run.store);
	return rc;
}

/* ---- a file ---- */

static bool wanted(const struct det_ruletest_options *opt, const char *name)
{
	return opt->run == NULL || ops_regex_match(opt->run, name, strlen(name));
}

static int run_tests(struct det_ruletest_report *r, struct det_ruletest_file *f,
	const struct det_ruletest_options *opt, struct ops_error *err)
{
	int outcome = 0;
	r->cases = ops_arena_array(&r->arena, struct det_ruletest_case, f->ntests + 1);
	for (size_t i = 0; i < f->ntests; i++) {
		struct det_ruletest_case *c = &r->cases[i];
		r->n++;
		*c = (struct det_ruletest_case){
			.name = f->tests[i].name, .line = f->tests[i].line, .debug = opt->debug};
		c->skipped = !wanted(opt, c->name);
		int rc = c->skipped ? 0 : det_ruletest_run_test(r, f, &f->tests[i], c, err);
		if (rc != 0) {
			return rc;
		}
		outcome = c->n > 0 ? 1 : outcome;
	}
	return outcome;
}

int det_ruletest_run(const char *path, const struct det_ruletest_options *opt,
	struct det_ruletest_report *ret, struct ops_error *err)
{
	struct det_ruletest_file file;
	memset(ret, 0, sizeof(*ret));
	ops_arena_init(&ret->arena);
	ret->file = ops_arena_strdup(&ret->arena, path);
	int rc = det_ruletest_load(ret, path, &file, err);
	if (rc == 0) {
		rc = run_tests(ret, &file, opt, err);
		det_ruletest_file_done(&file);
	}
	return rc;
}

void det_ruletest_report_done(struct det_ruletest_report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->cases[i].failures);
	}
	free(r->warnings);
	ops_arena_done(&r->arena);
	memset(r, 0, sizeof(*r));
}
