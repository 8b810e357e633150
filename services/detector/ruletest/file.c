/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a test file. The keys are promtool's; whatever is wrong is refused with its line, labels
 * and series notation included, so that running a test cannot fail for the way it is written.
 * Durations may be a bare 0. A series written twice counts as written last.
 */
#include <errno.h>
#include <glob.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/number.h"
#include "services/detector/ruletest/internal.h"

enum {
	DEFAULT_INTERVAL_MS = 60000,
	EVALUATIONS_MAX = 1000000 /* of one test: a typing error must not take for ever */
};

struct loader {
	struct ops_arena *arena;
	struct det_ruletest_report *report;
	const char *dir;
	struct det_ruletest_file *file;
	struct ops_error *err;
};

#define KEY(type_, name_, kind_, member, flags_)                                                   \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct type_, member),        \
		.flags = (flags_)                                                                  \
	}

struct file_keys {
	struct ops_conf_strings rule_files, order;
	const struct ops_conf_node *interval, *tests;
	bool fuzzy;
};
static const struct ops_conf_key file_keys[] = {
	KEY(file_keys, "rule_files", OPS_CONF_K_STRINGS, rule_files, 0),
	KEY(file_keys, "evaluation_interval", OPS_CONF_K_NODE, interval, 0),
	KEY(file_keys, "group_eval_order", OPS_CONF_K_STRINGS, order, 0),
	KEY(file_keys, "fuzzy_compare", OPS_CONF_K_BOOL, fuzzy, 0),
	KEY(file_keys, "tests", OPS_CONF_K_NODE, tests, 0),
	OPS_CONF_END,
};

struct test_keys {
	const char *name, *external_url;
	const struct ops_conf_node *interval, *start, *series, *alerts, *exprs, *external_labels;
};
static const struct ops_conf_key test_keys[] = {
	KEY(test_keys, "name", OPS_CONF_K_STRING, name, 0),
	KEY(test_keys, "interval", OPS_CONF_K_NODE, interval, 0),
	KEY(test_keys, "start_timestamp", OPS_CONF_K_NODE, start, 0),
	KEY(test_keys, "input_series", OPS_CONF_K_NODE, series, 0),
	KEY(test_keys, "alert_rule_test", OPS_CONF_K_NODE, alerts, 0),
	KEY(test_keys, "promql_expr_test", OPS_CONF_K_NODE, exprs, 0),
	KEY(test_keys, "external_labels", OPS_CONF_K_NODE, external_labels, 0),
	KEY(test_keys, "external_url", OPS_CONF_K_STRING, external_url, 0),
	OPS_CONF_END,
};

struct item_keys { /* of whatever stands in a test's lists */
	const char *series, *values, *alertname, *expr, *labels, *histogram;
	const struct ops_conf_node *eval_time, *alerts, *samples, *exp_labels, *exp_annotations,
		*value;
};
static const struct ops_conf_key series_keys[] = {
	KEY(item_keys, "series", OPS_CONF_K_STRING, series, OPS_CONF_REQUIRED),
	KEY(item_keys, "values", OPS_CONF_K_STRING, values, 0),
	OPS_CONF_END,
};
static const struct ops_conf_key alert_test_keys[] = {
	KEY(item_keys, "eval_time", OPS_CONF_K_NODE, eval_time, 0),
	KEY(item_keys, "alertname", OPS_CONF_K_STRING, alertname, OPS_CONF_REQUIRED),
	KEY(item_keys, "exp_alerts", OPS_CONF_K_NODE, alerts, 0),
	OPS_CONF_END,
};
static const struct ops_conf_key alert_keys[] = {
	KEY(item_keys, "exp_labels", OPS_CONF_K_NODE, exp_labels, 0),
	KEY(item_keys, "exp_annotations", OPS_CONF_K_NODE, exp_annotations, 0),
	OPS_CONF_END,
};
static const struct ops_conf_key expr_test_keys[] = {
	KEY(item_keys, "expr", OPS_CONF_K_STRING, expr, OPS_CONF_REQUIRED),
	KEY(item_keys, "eval_time", OPS_CONF_K_NODE, eval_time, 0),
	KEY(item_keys, "exp_samples", OPS_CONF_K_NODE, samples, 0),
	OPS_CONF_END,
};
static const struct ops_conf_key sample_keys[] = {
	KEY(item_keys, "labels", OPS_CONF_K_STRING, labels, 0),
	KEY(item_keys, "value", OPS_CONF_K_NODE, value, 0),
	KEY(item_keys, "histogram", OPS_CONF_K_STRING, histogram, 0),
	OPS_CONF_END,
};

const char *det_ruletest_warn(struct det_ruletest_report *r, const char *fmt, ...)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	ops_strbuf_vprintf(&text, fmt, ap);
	va_end(ap);
	const char *copy = ops_arena_strdup(&r->arena, ops_strbuf_text(&text));
	ops_strbuf_done(&text);
	OPS_GROW(r->warnings, r->nwarnings, r->warnings_cap);
	r->warnings[r->nwarnings++] = copy;
	return copy;
}

/* ---- pieces ---- */

/* The items of a list, or of nothing. */
static int items_of(
	const struct loader *l, const struct ops_conf_node *list, const char *what, size_t *ret_n)
{
	if (list == NULL || ops_conf_is_null(list)) {
		*ret_n = 0;
		return 0;
	}
	if (list->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(list, l->err, "%s must be a list", what);
	}
	*ret_n = list->n;
	return 0;
}

static int take_labels(const struct loader *l, const struct ops_conf_node *map, const char *what,
	const char *alertname, struct ops_labels **ret)
{
	struct ops_labels_builder b;
	int rc = 0;
	if (map != NULL && !ops_conf_is_null(map) && map->type != OPS_CONF_MAPPING) {
		return ops_conf_error(map, l->err, "%s must be a mapping of names to texts", what);
	}
	ops_labels_builder_init(&b);
	for (size_t i = 0; rc == 0 && map != NULL && i < map->n; i++) {
		const char *value = "";
		rc = ops_conf_string(map->items[i], map->keys[i]->text, &value, l->err);
		if (rc == 0) {
			ops_labels_builder_set(&b, map->keys[i]->text, value);
		}
	}
	if (alertname != NULL) {
		ops_labels_builder_set(&b, "alertname", alertname);
	}
	*ret = rc == 0 ? ops_labels_builder_build(&b) : NULL;
	ops_labels_builder_done(&b);
	return rc;
}

static int take_duration(
	const struct loader *l, const struct ops_conf_node *n, const char *what, int64_t *ret_ms)
{
	return n == NULL || ops_conf_is_null(n) ? 0 : ops_conf_duration(n, what, ret_ms, l->err);
}

static int take_eval_time(const struct loader *l, const struct ops_conf_node *n, int64_t *ret_ms,
	const char **ret_text)
{
	char text[32];
	*ret_ms = 0;
	int rc = take_duration(l, n, "eval_time", ret_ms);
	if (rc == 0) {
		*ret_text = ops_arena_strdup(
			l->arena, ops_duration_format(*ret_ms, text, sizeof(text)));
	}
	return rc;
}

/* Errors inside a notation are told at the place of the value that holds it. */
static int take_notation(const struct loader *l, const struct ops_conf_node *at, const char *text,
	struct det_ruletest_series *ret)
{
	struct ops_error inner = {.line = 0};
	int rc = det_ruletest_series(l->arena, text, ret, &inner);
	return rc == 0 ? 0 : ops_conf_error(at, l->err, "'%s': %s", text, inner.message);
}

/* ---- a test's lists ---- */

static int take_series(
	const struct loader *l, const struct ops_conf_node *n, struct det_ruletest_series *ret)
{
	struct item_keys k = {.values = ""};
	int rc = ops_conf_decode(l->arena, n, series_keys, &k, NULL, l->err);
	if (rc != 0) {
		return rc;
	}
	const char *values = k.values != NULL ? k.values : "";
	return take_notation(l, n, ops_arena_printf(l->arena, "%s %s", k.series, values), ret);
}

static bool same_labels(const struct ops_labels *a, const struct ops_labels *b)
{
	return a->hash == b->hash && ops_labels_equal(a, b);
}

static int take_all_series(
	const struct loader *l, const struct ops_conf_node *list, struct det_ruletest_test *t)
{
	size_t n = 0;
	int rc = items_of(l, list, "input_series", &n);
	t->series = ops_arena_array(l->arena, struct det_ruletest_series, n + 1);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = take_series(l, list->items[i], &t->series[i]);
		t->nseries += rc == 0;
	}
	for (size_t i = 0; rc == 0 && i < n; i++) {
		for (size_t k = i + 1; k < n; k++) {
			if (same_labels(t->series[i].labels, t->series[k].labels)) {
				t->series[i].n = 0;
			}
		}
	}
	return rc;
}

static int take_alert(const struct loader *l, const struct ops_conf_node *n, const char *alertname,
	struct det_ruletest_alert *ret)
{
	struct item_keys k = {.expr = NULL};
	int rc = ops_conf_decode(l->arena, n, alert_keys, &k, NULL, l->err);
	if (rc == 0) {
		rc = take_labels(l, k.exp_labels, "exp_labels", alertname, &ret->labels);
	}
	if (rc == 0) {
		rc = take_labels(l, k.exp_annotations, "exp_annotations", NULL, &ret->annotations);
	}
	return rc;
}

static int take_alert_test(
	const struct loader *l, const struct ops_conf_node *n, struct det_ruletest_alerts *ret)
{
	struct item_keys k = {.expr = NULL};
	size_t count = 0;
	int rc = ops_conf_decode(l->arena, n, alert_test_keys, &k, NULL, l->err);
	if (rc == 0 && k.alertname[0] == '\0') {
		rc = ops_conf_error(n, l->err, "alertname is empty");
	}
	if (rc == 0) {
		rc = take_eval_time(l, k.eval_time, &ret->eval_ms, &ret->eval_text);
	}
	if (rc == 0) {
		rc = items_of(l, k.alerts, "exp_alerts", &count);
	}
	ret->alertname = k.alertname;
	ret->items = ops_arena_array(l->arena, struct det_ruletest_alert, count + 1);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		ret->n++;
		rc = take_alert(l, k.alerts->items[i], k.alertname, &ret->items[i]);
	}
	return rc;
}

static int take_sample(
	const struct loader *l, const struct ops_conf_node *n, struct det_ruletest_sample *ret)
{
	struct item_keys k = {.expr = NULL};
	struct det_ruletest_series parsed = {.labels = NULL};
	int rc = ops_conf_decode(l->arena, n, sample_keys, &k, NULL, l->err);
	if (rc != 0) {
		return rc;
	}
	bool histogram = k.histogram != NULL && k.histogram[0] != '\0';
	const char *labels = k.labels != NULL && k.labels[0] != '\0' ? k.labels : "{}";
	rc = take_notation(l, n,
		ops_arena_printf(l->arena, "%s %s", labels, histogram ? k.histogram : "0"),
		&parsed);
	if (rc != 0) {
		return rc;
	}
	ret->labels = parsed.labels;
	if (histogram && (parsed.n != 1 || parsed.values[0].h == NULL)) {
		return ops_conf_error(n, l->err, "'%s' is not one histogram", k.histogram);
	}
	ret->value = parsed.n > 0 ? parsed.values[0] : (struct det_ruletest_value){false, 0, NULL};
	if (!histogram && k.value != NULL) {
		rc = ops_conf_double(k.value, "value", &ret->value.v, l->err);
	}
	return rc;
}

static int take_expr_test(
	const struct loader *l, const struct ops_conf_node *n, struct det_ruletest_expr *ret)
{
	struct item_keys k = {.expr = NULL};
	size_t count = 0;
	int rc = ops_conf_decode(l->arena, n, expr_test_keys, &k, NULL, l->err);
	if (rc == 0) {
		rc = take_eval_time(l, k.eval_time, &ret->eval_ms, &ret->eval_text);
	}
	if (rc == 0) {
		rc = items_of(l, k.samples, "exp_samples", &count);
	}
	ret->expr = k.expr;
	ret->items = ops_arena_array(l->arena, struct det_ruletest_sample, count + 1);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		ret->n++;
		rc = take_sample(l, k.samples->items[i], &ret->items[i]);
	}
	return rc;
}

/* ---- a test ---- */

/* Seconds, or RFC 3339. */
static int take_start(const struct loader *l, const struct ops_conf_node *n, int64_t *ret_ms)
{
	double seconds = 0;
	if (n == NULL || ops_conf_is_null(n)) {
		return 0;
	}
	if (n->type == OPS_CONF_SCALAR && ops_time_parse(n->text, n->len, ret_ms) == 0) {
		return 0;
	}
	bool number = n->type == OPS_CONF_SCALAR &&
		      ops_parse_double(n->text, n->len, &seconds) == 0 && fabs(seconds) < 1e12;
	if (!number) {
		return ops_conf_error(n, l->err,
			"start_timestamp must be seconds since 1970 or a time like "
			"2026-01-02T15:04:05Z");
	}
	*ret_ms = (int64_t)llround(seconds * 1000);
	return 0;
}

static int take_checks(
	const struct loader *l, const struct test_keys *k, struct det_ruletest_test *t)
{
	size_t nalerts = 0, nexprs = 0;
	int rc = items_of(l, k->alerts, "alert_rule_test", &nalerts);
	if (rc == 0) {
		rc = items_of(l, k->exprs, "promql_expr_test", &nexprs);
	}
	t->alerts = ops_arena_array(l->arena, struct det_ruletest_alerts, nalerts + 1);
	t->exprs = ops_arena_array(l->arena, struct det_ruletest_expr, nexprs + 1);
	for (size_t i = 0; rc == 0 && i < nalerts; i++) {
		t->nalerts++;
		rc = take_alert_test(l, k->alerts->items[i], &t->alerts[i]);
	}
	for (size_t i = 0; rc == 0 && i < nexprs; i++) {
		t->nexprs++;
		rc = take_expr_test(l, k->exprs->items[i], &t->exprs[i]);
	}
	return rc;
}

static int check_length(
	const struct loader *l, const struct ops_conf_node *n, const struct det_ruletest_test *t)
{
	int64_t longest = 0;
	for (size_t i = 0; i < t->nalerts; i++) {
		longest = OPS_MAX(longest, t->alerts[i].eval_ms);
	}
	for (size_t i = 0; i < t->nexprs; i++) {
		longest = OPS_MAX(longest, t->exprs[i].eval_ms);
	}
	return longest / l->file->interval_ms > EVALUATIONS_MAX
		       ? ops_conf_error(n, l->err,
				 "more than %d evaluations until the last eval_time",
				 EVALUATIONS_MAX)
		       : 0;
}

static int take_test(
	const struct loader *l, const struct ops_conf_node *n, struct det_ruletest_test *t)
{
	struct test_keys k = {.name = NULL};
	int rc = ops_conf_decode(l->arena, n, test_keys, &k, NULL, l->err);
	t->name = k.name != NULL ? k.name : "";
	t->external_url = k.external_url != NULL ? k.external_url : "";
	t->line = n->line;
	t->interval_ms = l->file->interval_ms;
	if (rc == 0) {
		rc = take_duration(l, k.interval, "interval", &t->interval_ms);
	}
	if (rc == 0 && t->interval_ms <= 0) {
		t->interval_ms = l->file->interval_ms;
	}
	if (rc == 0) {
		rc = take_start(l, k.start, &t->start_ms);
	}
	if (rc == 0) {
		rc = take_labels(
			l, k.external_labels, "external_labels", NULL, &t->external_labels);
	}
	if (rc == 0) {
		rc = take_all_series(l, k.series, t);
	}
	if (rc == 0) {
		rc = take_checks(l, &k, t);
	}
	return rc == 0 ? check_length(l, n, t) : rc;
}

/* ---- the file ---- */

static void add_rule_file(const struct loader *l, const char *path)
{
	struct det_ruletest_file *f = l->file;
	OPS_GROW(f->rule_files, f->nrule_files, f->rule_files_cap);
	f->rule_files[f->nrule_files++] = ops_arena_strdup(l->arena, path);
}

static void add_pattern(const struct loader *l, const char *pattern)
{
	bool here = strcmp(l->dir, ".") == 0;
	OPS_CLEANUP(ops_freep)
	char *path = here ? ops_xstrdup(pattern) : ops_path_join(l->dir, pattern);
	glob_t found;
	if (glob(path, 0, NULL, &found) != 0) {
		det_ruletest_warn(l->report, "no file match pattern %s", path);
	} else {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			add_rule_file(l, found.gl_pathv[i]);
		}
	}
	globfree(&found);
}

static int take_order(const struct loader *l, const struct ops_conf_node *root,
	const struct ops_conf_strings *order)
{
	for (size_t i = 0; i < order->n; i++) {
		for (size_t k = 0; k < i; k++) {
			if (strcmp(order->items[i], order->items[k]) == 0) {
				return ops_conf_error(ops_conf_get(root, "group_eval_order"),
					l->err, "group name repeated in evaluation order: %s",
					order->items[i]);
			}
		}
	}
	l->file->order = (struct det_rules_order){order->items, order->n};
	return 0;
}

static int take_file(const struct loader *l, const struct ops_conf_node *root)
{
	struct file_keys k = {.fuzzy = false};
	struct det_ruletest_file *f = l->file;
	size_t n = 0;
	if (root->type != OPS_CONF_MAPPING) {
		return ops_conf_error(
			root, l->err, "a test file is a mapping with rule_files and tests");
	}
	int rc = ops_conf_decode(l->arena, root, file_keys, &k, NULL, l->err);
	f->interval_ms = DEFAULT_INTERVAL_MS;
	f->fuzzy = k.fuzzy;
	if (rc == 0) {
		rc = take_duration(l, k.interval, "evaluation_interval", &f->interval_ms);
	}
	if (f->interval_ms <= 0) {
		f->interval_ms = DEFAULT_INTERVAL_MS;
	}
	if (rc == 0) {
		rc = take_order(l, root, &k.order);
	}
	if (rc == 0) {
		rc = items_of(l, k.tests, "tests", &n);
	}
	for (size_t i = 0; rc == 0 && i < k.rule_files.n; i++) {
		add_pattern(l, k.rule_files.items[i]);
	}
	f->tests = ops_arena_array(l->arena, struct det_ruletest_test, n + 1);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		f->ntests++;
		rc = take_test(l, k.tests->items[i], &f->tests[i]);
	}
	return rc;
}

static int finish(const struct loader *l, const struct ops_conf_node *root)
{
	int rc = take_file(l, root);
	if (rc != 0) {
		det_ruletest_file_done(l->file);
	}
	return rc;
}

int det_ruletest_load(struct det_ruletest_report *r, const char *path,
	struct det_ruletest_file *ret, struct ops_error *err)
{
	struct ops_conf_node *root = NULL;
	memset(ret, 0, sizeof(*ret));
	int rc = ops_conf_load_file(&r->arena, path, NULL, &root, err);
	if (rc != 0) {
		return rc;
	}
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(path);
	const struct loader l = {&r->arena, r, dir, ret, err};
	return finish(&l, root);
}

int det_ruletest_load_text(struct det_ruletest_report *r, const char *name, const char *text,
	size_t len, struct det_ruletest_file *ret, struct ops_error *err)
{
	struct ops_conf_node *root = NULL;
	memset(ret, 0, sizeof(*ret));
	int rc = ops_conf_load_text(&r->arena, name, text, len, NULL, &root, err);
	const struct loader l = {&r->arena, r, "/nonexistent", ret, err};
	return rc == 0 ? finish(&l, root) : rc;
}

static void test_done(struct det_ruletest_test *t)
{
	ops_labels_unref(t->external_labels);
	for (size_t i = 0; i < t->nseries; i++) {
		ops_labels_unref(t->series[i].labels);
	}
	for (size_t i = 0; i < t->nalerts; i++) {
		for (size_t k = 0; k < t->alerts[i].n; k++) {
			ops_labels_unref(t->alerts[i].items[k].labels);
			ops_labels_unref(t->alerts[i].items[k].annotations);
		}
	}
	for (size_t i = 0; i < t->nexprs; i++) {
		for (size_t k = 0; k < t->exprs[i].n; k++) {
			ops_labels_unref(t->exprs[i].items[k].labels);
		}
	}
}

void det_ruletest_file_done(struct det_ruletest_file *f)
{
	for (size_t i = 0; i < f->ntests; i++) {
		test_done(&f->tests[i]);
	}
	free(f->rule_files);
	memset(f, 0, sizeof(*f));
}
