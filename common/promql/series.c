/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series notation: a metric, then points divided by blanks. "1+2x3" is 1 3 5 7 (the start and three
 * more), "1x3" is 1 1 1 1, "_x3" three gaps. Values are added up one by one, as upstream does it,
 * so that rounding is the same. Histograms are not added here: a point carries the start, the
 * increment and how often to add it, because merging histograms is the evaluator's knowledge.
 *
 * Unlike the expression parser this one stops at the first error: each text is one line of a file.
 */
#include "common/promql/series.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/number.h"
#include "common/promql/parser.h"
#include "common/promql/series_parse.h"

static struct ops_promql_matcher *add_label(
	struct ops_promql_series_parser *sp, const struct ops_promql_string *name)
{
	struct ops_promql_series *s = sp->series;
	for (size_t i = 0; i < s->nlabels; i++) {
		if (s->labels[i].name.len == name->len &&
			memcmp(s->labels[i].name.text, name->text, name->len) == 0) {
			return &s->labels[i];
		}
	}
	if (s->nlabels == sp->labels_cap) {
		size_t cap = sp->labels_cap != 0 ? sp->labels_cap * 2 : 8;
		struct ops_promql_matcher *labels =
			ops_arena_array(sp->p.arena, struct ops_promql_matcher, cap);
		if (s->nlabels > 0) {
			memcpy(labels, s->labels, s->nlabels * sizeof(*labels));
		}
		s->labels = labels;
		sp->labels_cap = cap;
	}
	return &s->labels[s->nlabels++];
}

static void set_label(struct ops_promql_series_parser *sp, struct ops_promql_string name,
	struct ops_promql_string value)
{
	*add_label(sp, &name) =
		(struct ops_promql_matcher){.op = OPS_MATCH_EQ, .name = name, .value = value};
}

static const struct ops_promql_string metric_name = {OPS_LABEL_NAME, sizeof(OPS_LABEL_NAME) - 1};

/* name = "value", or "metric name" */
static bool parse_label(struct ops_promql_series_parser *sp)
{
	struct ops_promql_parser *p = &sp->p;
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (t != TOK_IDENTIFIER && t != TOK_STRING) {
		return ops_promql_series_stop(sp, "label set", "identifier or \"}\"");
	}
	struct ops_promql_token token = ops_promql_take(p);
	struct ops_promql_string name = ops_promql_token_string(p, &token);
	if (!ops_promql_accept(p, TOK_EQL)) {
		if (t == TOK_IDENTIFIER) {
			return ops_promql_series_stop(sp, "label set", "\"=\"");
		}
		set_label(sp, metric_name, name);
		return true;
	}
	if (ops_promql_peek_type(p) != TOK_STRING) {
		return ops_promql_series_stop(sp, "label set", "string");
	}
	token = ops_promql_take(p);
	set_label(sp, name, ops_promql_token_string(p, &token));
	return true;
}

static bool parse_label_set(struct ops_promql_series_parser *sp)
{
	struct ops_promql_parser *p = &sp->p;
	(void)ops_promql_take(p);
	while (!ops_promql_accept(p, TOK_RIGHT_BRACE)) {
		if (!parse_label(sp)) {
			return false;
		}
		if (!ops_promql_accept(p, TOK_COMMA) &&
			ops_promql_peek_type(p) != TOK_RIGHT_BRACE) {
			return ops_promql_series_stop(sp, "label set", "\",\" or \"}\"");
		}
	}
	return true;
}

static int compare_labels(const void *a, const void *b)
{
	const struct ops_promql_matcher *x = a, *y = b;
	int order = memcmp(x->name.text, y->name.text, OPS_MIN(x->name.len, y->name.len));
	return order != 0 ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static void finish_labels(struct ops_promql_series *s)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->nlabels; i++) {
		if (s->labels[i].value.len > 0) {
			s->labels[kept++] = s->labels[i];
		}
	}
	s->nlabels = kept;
	if (kept > 1) {
		qsort(s->labels, kept, sizeof(s->labels[0]), compare_labels);
	}
}

static bool parse_metric(struct ops_promql_series_parser *sp)
{
	struct ops_promql_parser *p = &sp->p;
	bool named = ops_promql_token_is_metric(ops_promql_peek_type(p));
	struct ops_promql_string name = {0};
	if (named) {
		struct ops_promql_token token = ops_promql_take(p);
		name = ops_promql_token_string(p, &token);
	}
	if (ops_promql_peek_type(p) == TOK_LEFT_BRACE && !parse_label_set(sp)) {
		return false;
	}
	if (named) {
		set_label(sp, metric_name, name);
	}
	finish_labels(sp->series);
	return true;
}

/* Room for n more points, zeroed; NULL with a finding when there are too many. */
static struct ops_promql_series_value *add_values(struct ops_promql_series_parser *sp, size_t n)
{
	struct ops_promql_series *s = sp->series;
	if (n > OPS_PROMQL_MAX_SERIES_VALUES - s->nvalues) {
		ops_promql_problem_add(&sp->p, 0, sp->p.lexer.len, "more than %zu values in series",
			OPS_PROMQL_MAX_SERIES_VALUES);
		return NULL;
	}
	if (s->nvalues + n > sp->values_cap) {
		size_t cap = OPS_MAX(s->nvalues + n, sp->values_cap * 2);
		struct ops_promql_series_value *values =
			ops_arena_array(sp->p.arena, struct ops_promql_series_value, cap);
		if (s->nvalues > 0) {
			memcpy(values, s->values, s->nvalues * sizeof(*values));
		}
		s->values = values;
		sp->values_cap = cap;
	}
	struct ops_promql_series_value *first = &s->values[s->nvalues];
	s->nvalues += n;
	return first;
}

/* x N, if it is next; else *ret = 0. */
static bool parse_times(struct ops_promql_series_parser *sp, bool needed, uint64_t *ret)
{
	struct ops_promql_parser *p = &sp->p;
	*ret = 0;
	if (!ops_promql_accept(p, TOK_TIMES)) {
		return !needed || ops_promql_series_stop(sp, "series values", NULL);
	}
	if (ops_promql_peek_type(p) != TOK_NUMBER) {
		return ops_promql_series_stop(sp, "series values", NULL);
	}
	struct ops_promql_token t = ops_promql_take(p);
	if (ops_parse_u64(p->lexer.input + t.start, t.end - t.start, ret) != 0) {
		ops_promql_problem_add(p, t.start, t.end,
			"invalid repetition in series values: %.*s",
			(int)OPS_MIN(t.end - t.start, 40U), p->lexer.input + t.start);
		return false;
	}
	*ret = OPS_MIN(*ret, (uint64_t)OPS_PROMQL_MAX_SERIES_VALUES);
	return true;
}

static bool parse_gap(struct ops_promql_series_parser *sp)
{
	uint64_t times = 0;
	(void)ops_promql_take(&sp->p);
	bool repeated = ops_promql_peek_type(&sp->p) == TOK_TIMES;
	if (!parse_times(sp, false, &times)) {
		return false;
	}
	size_t n = repeated ? (size_t)times : 1;
	struct ops_promql_series_value *v = add_values(sp, n);
	for (size_t i = 0; v != NULL && i < n; i++) {
		v[i].omitted = true;
	}
	return v != NULL;
}

static double stale_marker(void)
{
	const uint64_t bits = 0x7ff0000000000002ULL;
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* A number, a signed number, or stale. */
static bool parse_value(struct ops_promql_series_parser *sp, double *ret)
{
	struct ops_promql_parser *p = &sp->p;
	if (ops_promql_peek_type(p) != TOK_IDENTIFIER) {
		return ops_promql_series_number(sp, true, ret);
	}
	const struct ops_promql_token *t = ops_promql_peek(p);
	if (t->end - t->start != 5 || memcmp(p->lexer.input + t->start, "stale", 5) != 0) {
		return ops_promql_series_stop(sp, "series values", "number or \"stale\"");
	}
	(void)ops_promql_take(p);
	*ret = stale_marker();
	return true;
}

static bool parse_run(struct ops_promql_series_parser *sp)
{
	double value = 0, step = 0;
	uint64_t times = 0;
	if (!parse_value(sp, &value)) {
		return false;
	}
	enum ops_promql_token_type t = ops_promql_peek_type(&sp->p);
	bool stepped = t == TOK_OP_ADD || t == TOK_OP_SUB;
	if ((stepped && !ops_promql_series_number(sp, true, &step)) ||
		!parse_times(sp, stepped, &times)) {
		return false;
	}
	struct ops_promql_series_value *v = add_values(sp, (size_t)times + 1);
	for (size_t i = 0; v != NULL && i <= times; i++) {
		v[i].value = value;
		if (stepped) {
			value += step;
		}
	}
	return v != NULL;
}

static bool parse_histogram_run(struct ops_promql_series_parser *sp)
{
	struct ops_promql_histogram *start = NULL, *increment = NULL;
	uint64_t times = 0;
	if (!ops_promql_series_histogram(sp, &start)) {
		return false;
	}
	enum ops_promql_token_type t = ops_promql_peek_type(&sp->p);
	bool stepped = t == TOK_OP_ADD || t == TOK_OP_SUB;
	if (stepped) {
		(void)ops_promql_take(&sp->p);
		if (!ops_promql_series_histogram(sp, &increment)) {
			return false;
		}
		if (start->schema > increment->schema) {
			ops_promql_problem_add(&sp->p, 0, sp->p.lexer.len,
				"error combining histograms: cannot merge from schema %d to %d",
				increment->schema, start->schema);
			return false;
		}
	}
	if (!parse_times(sp, stepped, &times)) {
		return false;
	}
	struct ops_promql_series_value *v = add_values(sp, (size_t)times + 1);
	for (size_t i = 0; v != NULL && i <= times; i++) {
		v[i].histogram = start;
		v[i].increment = increment;
		v[i].steps = increment == NULL ? 0 : t == TOK_OP_SUB ? -(int64_t)i : (int64_t)i;
	}
	return v != NULL;
}

static bool parse_item(struct ops_promql_series_parser *sp)
{
	enum ops_promql_token_type t = ops_promql_peek_type(&sp->p);
	if (t == TOK_BLANK) {
		return parse_gap(sp);
	}
	return t == TOK_OPEN_HIST ? parse_histogram_run(sp) : parse_run(sp);
}

static bool parse_values(struct ops_promql_series_parser *sp)
{
	struct ops_promql_parser *p = &sp->p;
	while (ops_promql_accept(p, TOK_SPACE)) {
		enum ops_promql_token_type t = ops_promql_peek_type(p);
		if (t != TOK_EOF && t != TOK_SPACE && !parse_item(sp)) {
			return false;
		}
	}
	return ops_promql_peek_type(p) == TOK_EOF ||
	       ops_promql_series_stop(sp, "series values", NULL);
}

int ops_promql_series_parse(struct ops_arena *arena, const struct ops_promql_source *src,
	struct ops_promql_series *ret, struct ops_error *err)
{
	struct ops_promql_problems problems = {0};
	struct ops_promql_series series = {0};
	struct ops_promql_series_parser sp = {.series = &series};

	if (src->len > OPS_PROMQL_MAX_BYTES) {
		return ops_error_set(err, -EFBIG, "parse error: series is too long");
	}
	ops_promql_parser_init(&sp.p, arena, src, true, &problems);
	bool ok = parse_metric(&sp) && parse_values(&sp);
	if (!ok || problems.n > 0) {
		ops_promql_error_fill(src, &problems.items[0], err);
		return -EINVAL;
	}
	*ret = series;
	return 0;
}
