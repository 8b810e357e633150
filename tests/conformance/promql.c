/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Script tests of PromQL (.test files): line-oriented commands load, clear and eval, as their
 * README describes. Loads go into our store, evals through our engine. Scores are also printed for
 * each tag that the case list (index.json beside the folder) gives a block, and for the blocks
 * without a tag.
 */
#include "tests/conformance/conformance.h"
#include "tests/conformance/promql_script.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"

#define MAX_TAGS 16
#define MAX_FILE ((size_t)16 << 20)

static const struct ops_promql_options options = {OPS_PROMQL_ALL_FEATURES};

static struct tag {
	char name[40];
	size_t passed, failed;
} tags[MAX_TAGS];
static size_t ntags;
static json_t *case_index;

struct script {
	struct conformance_run *run;
	const char *name; /* "core/x.test" */
	struct det_store *store;
	struct ops_arena arena; /* of one command */
	char *text, *next;
	unsigned line;
};

/* The next line without blanks at its ends, a comment being an empty line; NULL at the end. */
static char *next_line(struct script *s)
{
	char *line = s->next;
	if (*line == '\0') {
		return NULL;
	}
	s->line++;
	s->next = line + strcspn(line, "\n");
	char *end = s->next;
	if (*s->next != '\0') {
		*s->next++ = '\0';
	}
	while (isspace((unsigned char)*line)) {
		line++;
	}
	while (end > line && isspace((unsigned char)end[-1])) {
		*--end = '\0';
	}
	return *line == '#' ? end : line;
}

static bool parse_time(const char *s, size_t len, int64_t *ret_ms)
{
	double seconds;
	bool negative = len > 0 && *s == '-';
	int64_t ms;
	if (ops_duration_parse(s + negative, len - negative, &ms) == 0) {
		*ret_ms = negative ? -ms : ms;
		return true;
	}
	if (ops_parse_double(s, len, &seconds) != 0) {
		return false;
	}
	*ret_ms = (int64_t)(seconds * 1000);
	return true;
}

/* Takes a word from *at. */
static size_t word(const char **at, const char **ret)
{
	*at += strspn(*at, " \t");
	*ret = *at;
	size_t len = strcspn(*at, " \t");
	*at += len;
	return len;
}

static bool take_word(const char **at, const char *wanted)
{
	const char *w, *before = *at;
	size_t len = word(at, &w);
	if (len == strlen(wanted) && strncmp(w, wanted, len) == 0) {
		return true;
	}
	*at = before;
	return false;
}

static bool take_time(const char **at, int64_t *ret_ms)
{
	const char *w;
	size_t len = word(at, &w);
	return parse_time(w, len, ret_ms);
}

struct ops_labels *script_labels(const struct ops_promql_series *series)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (size_t i = 0; i < series->nlabels; i++) {
		ops_labels_builder_set(
			&b, series->labels[i].name.text, series->labels[i].value.text);
	}
	struct ops_labels *out = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return out;
}

static void store_series(struct script *s, const struct ops_promql_series *series, int64_t step_ms)
{
	struct ops_labels *labels = script_labels(series);
	for (size_t i = 0; i < series->nvalues; i++) {
		const struct ops_promql_series_value *v = &series->values[i];
		const struct ops_histogram *h =
			v->histogram != NULL ? ops_promql_series_histogram_of(&s->arena, v) : NULL;
		int64_t t = (int64_t)i * step_ms;
		int rc = 0;
		if (h != NULL) {
			rc = det_store_append_histogram(s->store, labels, t, h);
		} else if (!v->omitted) {
			rc = det_store_append(s->store, labels, t, v->value);
		}
		if (rc < 0 || (v->histogram != NULL && h == NULL)) {
			printf("%s:%u: a histogram is not valid\n", s->run->path, s->line);
		} /* else: a sample loaded twice is dropped, as upstream does */
	}
	ops_labels_unref(labels);
}

static bool same_series(const struct ops_promql_series *a, const struct ops_promql_series *b)
{
	bool same = a->nlabels == b->nlabels;
	for (size_t i = 0; same && i < a->nlabels; i++) {
		same = strcmp(a->labels[i].name.text, b->labels[i].name.text) == 0 &&
		       strcmp(a->labels[i].value.text, b->labels[i].value.text) == 0;
	}
	return same;
}

/* A series written twice in one load has the samples of the later line. */
static bool overridden(const struct ops_promql_series *list, size_t n, size_t at)
{
	for (size_t i = at + 1; i < n; i++) {
		if (same_series(&list[i], &list[at])) {
			return true;
		}
	}
	return false;
}

static void load(struct script *s, const char *args, bool nhcb)
{
	int64_t step_ms = 0;
	struct ops_promql_series *list = NULL;
	size_t n = 0, cap = 0;
	if (!take_time(&args, &step_ms)) {
		printf("%s:%u: could not read the step of load\n", s->run->path, s->line);
	}
	for (char *line = next_line(s); line != NULL && *line != '\0'; line = next_line(s)) {
		struct ops_promql_source src = {line, strlen(line), &options};
		struct ops_error err = {0};
		if (script_store_starts(s->store, &s->arena, line, step_ms)) {
			continue;
		}
		OPS_GROW(list, n, cap);
		if (ops_promql_series_parse(&s->arena, &src, &list[n], &err) == 0) {
			n++;
		} else {
			printf("%s:%u: could not load: %s\n", s->run->path, s->line, err.message);
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (!overridden(list, n, i)) {
			store_series(s, &list[i], step_ms);
		}
	}
	if (nhcb) {
		script_store_nhcb(s->store, &s->arena, list, n, step_ms);
	}
	free(list);
}

static void parse_eval(struct script_eval *e, const char *at)
{
	bool known;
	if (take_word(&at, "instant")) {
		known = take_word(&at, "at") && take_time(&at, &e->start_ms);
	} else {
		e->range = true;
		known = take_word(&at, "range") && take_word(&at, "from") &&
			take_time(&at, &e->start_ms) && take_word(&at, "to") &&
			take_time(&at, &e->end_ms) && take_word(&at, "step") &&
			take_time(&at, &e->step_ms);
	}
	e->expr = at + strspn(at, " \t");
	if (!known) {
		e->unknown = "eval line not understood";
	}
}

static void parse_message(struct script_expectation *x, const char *at)
{
	at += strspn(at, " \t");
	if (strncmp(at, "msg:", 4) == 0) {
		x->message = at + 4 + strspn(at + 4, " \t");
	} else if (strncmp(at, "regex:", 6) == 0) {
		x->regex = at + 6 + strspn(at + 6, " \t");
	}
}

/* "expect string" takes a Go string: the parser of expressions reads it. */
static void parse_string(struct script *s, struct script_eval *e, const char *at)
{
	struct ops_promql_expr *expr;
	struct ops_promql_source src = {at, strlen(at), &options};
	if (ops_promql_parse(&s->arena, &src, &expr, NULL) == 0 &&
		expr->kind == OPS_PROMQL_STRING) {
		e->has_string = true;
		e->string = expr->string;
	} else {
		e->unknown = "expected string not understood";
	}
}

static void parse_expect(struct script *s, struct script_eval *e, const char *at)
{
	int64_t end_ms;
	if (take_word(&at, "fail")) {
		e->fail.wanted = true;
		parse_message(&e->fail, at);
	} else if (take_word(&at, "warn")) {
		e->warn.wanted = true;
		parse_message(&e->warn, at);
	} else if (take_word(&at, "info")) {
		e->info.wanted = true;
		parse_message(&e->info, at);
	} else if (take_word(&at, "no_warn")) {
		e->warn.unwanted = true;
	} else if (take_word(&at, "no_info")) {
		e->info.unwanted = true;
	} else if (take_word(&at, "ordered")) {
		e->ordered = true;
	} else if (take_word(&at, "string")) {
		parse_string(s, e, at);
	} else if (take_word(&at, "range") && take_word(&at, "vector") && take_word(&at, "from") &&
		   take_time(&at, &e->vector_start_ms) && take_word(&at, "to") &&
		   take_time(&at, &end_ms) && take_word(&at, "step") &&
		   take_time(&at, &e->vector_step_ms)) {
		e->has_vector_range = true;
	} else {
		e->unknown = "expect line not understood";
	}
}

static void parse_wanted(struct script *s, struct script_eval *e, const char *line)
{
	struct ops_promql_source src = {line, strlen(line), &options};
	if (ops_parse_double(line, strlen(line), &e->scalar) == 0) {
		e->has_scalar = true;
		return;
	}
	if (e->nseries == e->series_cap) {
		size_t cap = e->series_cap * 2 + 16;
		struct ops_promql_series *grown =
			ops_arena_array(&s->arena, struct ops_promql_series, cap);
		if (e->nseries != 0) {
			memcpy(grown, e->series, e->nseries * sizeof(*grown));
		}
		e->series = grown;
		e->series_cap = cap;
	}
	if (ops_promql_series_parse(&s->arena, &src, &e->series[e->nseries++], NULL) != 0) {
		e->unknown = "expected series not understood";
	}
}

static struct tag *tag_of(const char *name)
{
	for (size_t i = 0; i < ntags; i++) {
		if (strcmp(tags[i].name, name) == 0) {
			return &tags[i];
		}
	}
	if (ntags == MAX_TAGS) {
		return &tags[0];
	}
	snprintf(tags[ntags].name, sizeof(tags[ntags].name), "%s", name);
	return &tags[ntags++];
}

static void count_tag(const char *name, bool passed)
{
	struct tag *t = tag_of(name);
	t->passed += passed;
	t->failed += !passed;
}

static const json_t *case_of(const struct script *s, unsigned line)
{
	const json_t *cases = json_object_get(case_index, "cases");
	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *c = json_array_get(cases, i);
		const char *file = json_string_value(json_object_get(c, "file"));
		if (json_integer_value(json_object_get(c, "line")) == (json_int_t)line &&
			file != NULL && strcmp(file, s->name) == 0) {
			return c;
		}
	}
	return NULL;
}

static void count_case(const struct script *s, unsigned line, bool passed)
{
	const json_t *needs = json_object_get(case_of(s, line), "needs");
	for (size_t k = 0; k < json_array_size(needs); k++) {
		count_tag(json_string_value(json_array_get(needs, k)), passed);
	}
	if (json_array_size(needs) == 0) {
		count_tag("(none)", passed);
	}
}

static void eval(struct script *s, const char *command, const char *args)
{
	struct script_eval e = {.line = s->line};
	parse_eval(&e, args);
	e.fail.wanted = strcmp(command, "eval_fail") == 0;
	e.warn.wanted = strcmp(command, "eval_warn") == 0;
	e.info.wanted = strcmp(command, "eval_info") == 0;
	e.ordered = strcmp(command, "eval_ordered") == 0;
	for (char *line = next_line(s); line != NULL && *line != '\0'; line = next_line(s)) {
		if (strncmp(line, "expect ", 7) == 0) {
			parse_expect(s, &e, line + 7);
		} else if (strncmp(line, "expected_fail_", 14) != 0) {
			parse_wanted(s, &e, line);
		}
		if (e.has_scalar) {
			break;
		}
	}
	const char *why = script_check(s->store, &e, &options, &s->arena);
	if (why != NULL) {
		printf("%s:%u: %s\n  %s\n", s->run->path, e.line, e.expr, why);
		s->run->failed++;
	} else {
		conformance_pass(s->run);
	}
	count_case(s, e.line, why == NULL);
}

static void run_commands(struct script *s)
{
	for (char *line = next_line(s); line != NULL; line = next_line(s)) {
		const char *args = line, *w;
		size_t len = word(&args, &w);
		char command[32];
		snprintf(command, sizeof(command), "%.*s", (int)len, w);
		for (char *c = command; *c != '\0'; c++) {
			*c = (char)tolower((unsigned char)*c);
		}
		if (strncmp(command, "load", 4) == 0) {
			load(s, args, strcmp(command, "load_with_nhcb") == 0);
		} else if (strcmp(command, "clear") == 0) {
			det_store_clear(s->store);
		} else if (strncmp(command, "eval", 4) == 0) {
			eval(s, command, args);
		} else if (*command != '\0') {
			printf("%s:%u: unknown command %s\n", s->run->path, s->line, command);
			s->run->failed++;
		}
		ops_arena_reset(&s->arena);
	}
}

/* The case list lies beside the folder of the file. */
static void read_index(const char *path)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	char *dir = ops_path_dir(path), *up = ops_path_join(dir, "../index.json");
	if (case_index == NULL && ops_file_read(up, MAX_FILE, &text) == 0) {
		case_index = json_loadb(text.data, text.len, 0, NULL);
	}
	ops_strbuf_done(&text);
	free(up);
	free(dir);
}

static const char *last_two_parts(const char *path)
{
	size_t slashes = 0, at = strlen(path);
	while (at > 0) {
		slashes += path[at - 1] == '/';
		if (slashes == 2) {
			break;
		}
		at--;
	}
	return path + at;
}

static int run_script(struct conformance_run *run)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	int rc = ops_file_read(run->path, MAX_FILE, &text);
	if (rc != 0) {
		fprintf(stderr, "%s: could not read it: %s\n", run->path, strerror(-rc));
		return -1;
	}
	read_index(run->path);
	struct det_store_options store_options = {.retention_ms = INT64_MAX / 4};
	struct script s = {.run = run, .name = last_two_parts(run->path)};
	s.store = det_store_new(&store_options);
	ops_arena_init(&s.arena);
	s.text = ops_strbuf_take(&text);
	s.next = s.text;
	run_commands(&s);
	free(s.text);
	ops_arena_done(&s.arena);
	det_store_free(s.store);
	return 0;
}

static void summary(void)
{
	for (size_t i = 0; i < ntags; i++) {
		printf("needs %s: %zu passed, %zu failed\n", tags[i].name, tags[i].passed,
			tags[i].failed);
	}
	json_decref(case_index);
	case_index = NULL;
}

const struct conformance_kind conformance_promql = {
	.name = "promql",
	.run_file = run_script,
	.summary = summary,
};
