/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of the PromQL parser, printer, pretty printer and series notation. The score is accepted or
 * refused, and the printed bytes; beside it the run counts how many error ranges, error messages
 * and syntax trees are upstream's (details with OPS_CONFORMANCE_VERBOSE set).
 */
#include "tests/conformance/conformance.h"
#include "tests/conformance/promql_tree.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/promql/parse.h"
#include "common/promql/series.h"

static const struct ops_promql_options all_features = {.features = OPS_PROMQL_ALL_FEATURES};

static struct second_score {
	size_t errors, ranges, messages, trees, same_trees;
} score;

static void note(const json_t *c, const char *what, const char *got, const char *wanted)
{
	if (getenv("OPS_CONFORMANCE_VERBOSE") != NULL) {
		printf("(%s) %s\n  got:    %s\n  wanted: %s\n", what,
			json_string_value(json_object_get(c, "id")), got, wanted);
	}
}

static void score_errors(const json_t *c, const struct ops_promql_problems *found)
{
	const json_t *wanted = json_object_get(c, "errors");
	for (size_t i = 0; i < json_array_size(wanted) && i < OPS_PROMQL_MAX_PROBLEMS; i++) {
		static const struct ops_promql_problem none = {.message = "(none)"};
		const struct ops_promql_problem *got = i < found->n ? &found->items[i] : &none;
		const json_t *e = json_array_get(wanted, i);
		json_int_t start = json_integer_value(json_object_get(e, "start"));
		json_int_t end = json_integer_value(json_object_get(e, "end"));
		const char *message = json_string_value(json_object_get(e, "message"));
		bool range = got != &none && got->start == start && got->end == end;
		bool text = message != NULL && strcmp(got->message, message) == 0;
		char a[1024], b[1024];
		score.errors++;
		score.ranges += range ? 1 : 0;
		score.messages += text ? 1 : 0;
		if (!range || !text) {
			snprintf(a, sizeof(a), "%u..%u %s", got->start, got->end, got->message);
			snprintf(b, sizeof(b), "%lld..%lld %s", (long long)start, (long long)end,
				message != NULL ? message : "");
			note(c, "error", a, b);
		}
	}
}

static void score_tree(const json_t *c, const struct ops_promql_expr *e)
{
	const json_t *wanted = json_object_get(c, "ast");
	if (wanted == NULL) {
		return;
	}
	json_t *got = conformance_promql_tree(e);
	score.trees++;
	if (conformance_promql_tree_equal(got, wanted)) {
		score.same_trees++;
	} else {
		char *a = json_dumps(got, JSON_COMPACT), *b = json_dumps(wanted, JSON_COMPACT);
		note(c, "tree", a, b);
		free(a);
		free(b);
	}
	json_decref(got);
}

static void run_parse(
	struct conformance_run *run, const json_t *c, const struct ops_promql_source *src)
{
	struct ops_arena arena;
	struct ops_promql_problems problems;
	struct ops_promql_expr *e = NULL;
	bool want = json_is_true(json_object_get(c, "ok"));

	ops_arena_init(&arena);
	bool ok = ops_promql_parse_all(&arena, src, &e, &problems) == 0;
	if (ok == want) {
		conformance_pass(run);
	} else {
		conformance_fail(run, c, ok ? "accepted" : problems.items[0].message,
			want ? "accepted" : "refused");
	}
	if (ok && want) {
		score_tree(c, e);
	} else if (!want) {
		score_errors(c, &problems);
	}
	ops_arena_done(&arena);
}

/* What parsing and printing makes of it; the error's text when it is refused. */
static void run_print(
	struct conformance_run *run, const json_t *c, const struct ops_promql_source *src)
{
	struct ops_arena arena;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_promql_expr *e = NULL;
	struct ops_error err = {0};
	const char *pretty = json_string_value(json_object_get(c, "pretty"));
	const char *printed = json_string_value(json_object_get(c, "printed"));
	json_int_t width = json_integer_value(json_object_get(c, "max_chars_per_line"));

	ops_arena_init(&arena);
	if (ops_promql_parse(&arena, src, &e, &err) != 0) {
		ops_strbuf_adds(&out, err.message);
	} else if (pretty != NULL) {
		ops_promql_pretty(e, width > 0 ? (size_t)width : 100, &out);
	} else {
		ops_promql_print(e, &out);
	}
	conformance_equal(run, c, ops_strbuf_text(&out), pretty != NULL ? pretty : printed);
	ops_strbuf_done(&out);
	ops_arena_done(&arena);
}

static bool same_labels(const struct ops_promql_series *s, const json_t *wanted)
{
	size_t n = 0;
	for (size_t i = 0; i < s->nlabels; i++) {
		const char *v = json_string_value(json_object_get(wanted, s->labels[i].name.text));
		if (v == NULL || strcmp(v, s->labels[i].value.text) != 0) {
			return false;
		}
		n++;
	}
	return n == json_object_size(wanted);
}

static bool same_value(const struct ops_promql_series_value *got, const json_t *wanted)
{
	double v = 0;
	if (json_is_null(wanted) || got->omitted) {
		return json_is_null(wanted) && got->omitted;
	}
	if (!conformance_number(wanted, &v)) {
		return false;
	}
	return isnan(v) ? isnan(got->value) : v == got->value;
}

static bool same_series(const struct ops_promql_series *s, const json_t *c)
{
	const json_t *values = json_object_get(c, "values");
	if (!same_labels(s, json_object_get(c, "labels")) ||
		s->nvalues != json_array_size(values)) {
		return false;
	}
	for (size_t i = 0; i < s->nvalues; i++) {
		if (!same_value(&s->values[i], json_array_get(values, i))) {
			return false;
		}
	}
	return true;
}

static void run_series(
	struct conformance_run *run, const json_t *c, const struct ops_promql_source *src)
{
	struct ops_arena arena;
	struct ops_promql_series s = {0};
	struct ops_error err = {0};
	const char *part = json_string_value(json_object_get(c, "error_contains"));
	bool want = json_is_true(json_object_get(c, "ok"));

	ops_arena_init(&arena);
	bool ok = ops_promql_series_parse(&arena, src, &s, &err) == 0;
	if (ok != want) {
		conformance_fail(
			run, c, ok ? "accepted" : err.message, want ? "accepted" : "refused");
	} else if (ok && !same_series(&s, c)) {
		conformance_fail(run, c, "other labels or values", "those of the case");
	} else if (!ok && part != NULL && strstr(err.message, part) == NULL) {
		conformance_fail(run, c, err.message, part);
	} else {
		conformance_pass(run);
	}
	ops_arena_done(&arena);
}

/* A refused series has neither labels nor error ranges. */
static bool is_series(const json_t *c)
{
	return json_object_get(c, "labels") != NULL ||
	       (json_is_false(json_object_get(c, "ok")) && json_object_get(c, "errors") == NULL);
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	(void)file;
	struct ops_strbuf input = OPS_STRBUF_INIT;
	bool known = conformance_text(c, "input", &input);
	struct ops_promql_source src = {
		.text = ops_strbuf_text(&input), .len = input.len, .options = &all_features};

	if (!known) {
		conformance_fail(run, c, "unknown form of case", "input");
	} else if (json_object_get(c, "printed") != NULL || json_object_get(c, "pretty") != NULL) {
		run_print(run, c, &src);
	} else if (is_series(c)) {
		run_series(run, c, &src);
	} else if (json_is_boolean(json_object_get(c, "ok"))) {
		run_parse(run, c, &src);
	} else {
		conformance_fail(run, c, "unknown form of case", "ok, printed, pretty or labels");
	}
	ops_strbuf_done(&input);
}

static void summary(void)
{
	if (score.errors + score.trees > 0) {
		printf("beside it: %zu of %zu error ranges, %zu of %zu messages, %zu of %zu "
		       "trees\n",
			score.ranges, score.errors, score.messages, score.errors, score.same_trees,
			score.trees);
	}
}

const struct conformance_kind conformance_promql_parser = {
	.name = "promql_parser",
	.run_case = run_case,
	.summary = summary,
};
