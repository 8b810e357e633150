/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical text of a tree, byte for byte as Prometheus prints it (rule and query API compare
 * and show it). It parses back to the same tree: precedence needs no parentheses beyond the ones
 * that the tree has as PAREN nodes. Matchers are sorted by their text; the metric name stands
 * before the braces when it was written there.
 */
#include "common/promql/parse.h"

#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/promql/print.h"

static void print_name(const struct ops_promql_string *name, struct ops_strbuf *out)
{
	if (ops_label_name_classic(name->text, name->len)) {
		ops_strbuf_add(out, name->text, name->len);
	} else {
		ops_promql_quote(name, out);
	}
}

static void print_names(const struct ops_promql_strings *names, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, " (");
	for (size_t i = 0; i < names->n; i++) {
		ops_strbuf_adds(out, i > 0 ? ", " : "");
		print_name(&names->items[i], out);
	}
	ops_strbuf_addc(out, ')');
}

void ops_promql_print_matcher(const struct ops_promql_matcher *m, struct ops_strbuf *out)
{
	static const char *const ops[] = {[OPS_MATCH_EQ] = "=",
		[OPS_MATCH_NE] = "!=",
		[OPS_MATCH_RE] = "=~",
		[OPS_MATCH_NRE] = "!~"};
	print_name(&m->name, out);
	ops_strbuf_adds(out, ops[m->op]);
	ops_promql_quote(&m->value, out);
}

static void print_duration_ms(int64_t ms, struct ops_strbuf *out)
{
	char text[64];
	ops_strbuf_adds(out, ops_duration_format(ms, text, sizeof(text)));
}

static void print_plain_number(double v, struct ops_strbuf *out)
{
	char text[352];
	if (isinf(v)) {
		ops_strbuf_adds(out, v > 0 ? "+Inf" : "-Inf");
	} else if (isnan(v)) {
		ops_strbuf_adds(out, "NaN");
	} else {
		ops_strbuf_add(out, text, ops_format_double_f(v, text));
	}
}

static void print_number(const struct ops_promql_expr *e, struct ops_strbuf *out)
{
	if (!e->number.is_duration) {
		print_plain_number(e->number.value, out);
		return;
	}
	ops_strbuf_adds(out, e->number.value < 0 ? "-" : "");
	print_duration_ms((int64_t)round(fabs(e->number.value) * 1000), out);
}

static void print_duration(const struct ops_promql_expr *e, struct ops_strbuf *out);

static void print_duration_operation(const struct ops_promql_duration *d, struct ops_strbuf *out)
{
	const char *op = ops_promql_op_text(d->op);
	if (d->op >= OPS_PROMQL_OP_STEP) {
		ops_strbuf_adds(out, op);
		ops_strbuf_addc(out, '(');
		if (d->lhs != NULL) {
			print_duration(d->lhs, out);
			ops_strbuf_adds(out, ", ");
			print_duration(d->rhs, out);
		}
		ops_strbuf_addc(out, ')');
	} else if (d->lhs == NULL) {
		ops_strbuf_adds(out, d->op == OPS_PROMQL_OP_SUB ? op : "");
		print_duration(d->rhs, out);
	} else {
		print_duration(d->lhs, out);
		ops_strbuf_printf(out, " %s ", op);
		print_duration(d->rhs, out);
	}
}

static void print_duration(const struct ops_promql_expr *e, struct ops_strbuf *out)
{
	if (e->kind == OPS_PROMQL_NUMBER) {
		print_number(e, out);
		return;
	}
	ops_strbuf_adds(out, e->duration.wrapped ? "(" : "");
	print_duration_operation(&e->duration, out);
	ops_strbuf_adds(out, e->duration.wrapped ? ")" : "");
}

/* One of the two is set. */
static void print_span(int64_t ms, const struct ops_promql_expr *expr, struct ops_strbuf *out)
{
	if (expr != NULL) {
		print_duration(expr, out);
	} else {
		print_duration_ms(ms, out);
	}
}

static void print_at(const struct ops_promql_shift *s, struct ops_strbuf *out)
{
	if (s->at == OPS_PROMQL_AT_TIMESTAMP) {
		uint64_t ms = s->at_ms < 0 ? 0 - (uint64_t)s->at_ms : (uint64_t)s->at_ms;
		ops_strbuf_printf(out, " @ %s%llu.%03llu", s->at_ms < 0 ? "-" : "",
			(unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000));
	} else if (s->at != OPS_PROMQL_AT_NONE) {
		ops_strbuf_adds(out, s->at == OPS_PROMQL_AT_START ? " @ start()" : " @ end()");
	}
}

static void print_offset(const struct ops_promql_shift *s, struct ops_strbuf *out)
{
	if (s->offset_expr != NULL || s->offset_ms != 0) {
		ops_strbuf_adds(out, " offset ");
		print_span(s->offset_ms, s->offset_expr, out);
	}
}

/* Texts of the matchers, sorted by insertion: there are a handful. */
static void print_matchers(
	const struct ops_promql_matcher *const *ms, size_t n, struct ops_strbuf *out)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	char **texts = ops_xcalloc(n, sizeof(*texts));
	for (size_t i = 0; i < n; i++) {
		ops_promql_print_matcher(ms[i], &text);
		char *s = ops_strbuf_take(&text);
		size_t at = i;
		for (; at > 0 && strcmp(texts[at - 1], s) > 0; at--) {
			texts[at] = texts[at - 1];
		}
		texts[at] = s;
	}
	ops_strbuf_addc(out, '{');
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		ops_strbuf_adds(out, texts[i]);
		free(texts[i]);
	}
	ops_strbuf_addc(out, '}');
	free(texts);
}

/* Says no more than the name before the braces. */
static bool is_own_name(
	const struct ops_promql_vector_selector *vs, const struct ops_promql_matcher *m)
{
	return m->op == OPS_MATCH_EQ && m->value.len > 0 && m->value.len == vs->name.len &&
	       memcmp(m->value.text, vs->name.text, vs->name.len) == 0 &&
	       m->name.len == sizeof(OPS_LABEL_NAME) - 1 &&
	       memcmp(m->name.text, OPS_LABEL_NAME, m->name.len) == 0;
}

static void print_selector_core(const struct ops_promql_vector_selector *vs, struct ops_strbuf *out)
{
	const struct ops_promql_matcher **shown = ops_xcalloc(vs->nmatchers + 1, sizeof(*shown));
	size_t n = 0;
	for (size_t i = 0; i < vs->nmatchers; i++) {
		if (!is_own_name(vs, &vs->matchers[i])) {
			shown[n++] = &vs->matchers[i];
		}
	}
	ops_strbuf_add(out, vs->name.text, vs->name.len);
	if (n > 0 || vs->name.len == 0) {
		print_matchers(shown, n, out);
	}
	free((void *)shown);
}

static const char *extended_text(const struct ops_promql_vector_selector *vs)
{
	return vs->anchored ? " anchored" : vs->smoothed ? " smoothed" : "";
}

static void print_vector(const struct ops_promql_vector_selector *vs, struct ops_strbuf *out)
{
	print_selector_core(vs, out);
	print_at(&vs->shift, out);
	ops_strbuf_adds(out, extended_text(vs));
	print_offset(&vs->shift, out);
}

static void print_matrix(const struct ops_promql_matrix_selector *m, struct ops_strbuf *out)
{
	const struct ops_promql_vector_selector *vs = &m->vector->vector;
	print_selector_core(vs, out);
	ops_strbuf_addc(out, '[');
	print_span(m->range_ms, m->range_expr, out);
	ops_strbuf_addc(out, ']');
	ops_strbuf_adds(out, extended_text(vs));
	print_at(&vs->shift, out);
	print_offset(&vs->shift, out);
}

void ops_promql_print_subquery_suffix(const struct ops_promql_subquery *s, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, '[');
	print_span(s->range_ms, s->range_expr, out);
	ops_strbuf_addc(out, ':');
	if (s->step_ms != 0 || s->step_expr != NULL) {
		print_span(s->step_ms, s->step_expr, out);
	}
	ops_strbuf_addc(out, ']');
	print_at(&s->shift, out);
	print_offset(&s->shift, out);
}

static void print_fill(const struct ops_promql_matching *m, struct ops_strbuf *out)
{
	bool both = m->has_fill_left && m->has_fill_right && m->fill_left == m->fill_right;
	if (m->has_fill_left) {
		ops_strbuf_adds(out, both ? " fill (" : " fill_left (");
		print_plain_number(m->fill_left, out);
		ops_strbuf_addc(out, ')');
	}
	if (m->has_fill_right && !both) {
		ops_strbuf_adds(out, " fill_right (");
		print_plain_number(m->fill_right, out);
		ops_strbuf_addc(out, ')');
	}
}

void ops_promql_print_operator(const struct ops_promql_binary *b, struct ops_strbuf *out)
{
	const struct ops_promql_matching *m = b->matching;
	ops_strbuf_adds(out, ops_promql_op_text(b->op));
	ops_strbuf_adds(out, b->return_bool ? " bool" : "");
	if (m == NULL) {
		return;
	}
	bool grouped = m->card == OPS_PROMQL_MANY_TO_ONE || m->card == OPS_PROMQL_ONE_TO_MANY;
	if (m->labels.n > 0 || m->on || grouped) {
		ops_strbuf_adds(out, m->on ? " on" : " ignoring");
		print_names(&m->labels, out);
	}
	if (grouped) {
		ops_strbuf_adds(
			out, m->card == OPS_PROMQL_MANY_TO_ONE ? " group_left" : " group_right");
		print_names(&m->include, out);
	}
	print_fill(m, out);
}

void ops_promql_print_aggregate_head(const struct ops_promql_aggregate *a, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, ops_promql_aggr_text(a->op));
	if (a->without || a->grouping.n > 0) {
		ops_strbuf_adds(out, a->without ? " without" : " by");
		print_names(&a->grouping, out);
		ops_strbuf_addc(out, ' ');
	}
}

static void print_aggregate(const struct ops_promql_aggregate *a, struct ops_strbuf *out)
{
	ops_promql_print_aggregate_head(a, out);
	ops_strbuf_addc(out, '(');
	if (a->param != NULL) {
		ops_promql_print(a->param, out);
		ops_strbuf_adds(out, ", ");
	}
	ops_promql_print(a->expr, out);
	ops_strbuf_addc(out, ')');
}

static void print_call(const struct ops_promql_call *c, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, c->function->name);
	ops_strbuf_addc(out, '(');
	for (size_t i = 0; i < c->nargs; i++) {
		ops_strbuf_adds(out, i > 0 ? ", " : "");
		ops_promql_print(c->args[i], out);
	}
	ops_strbuf_addc(out, ')');
}

void ops_promql_print(const struct ops_promql_expr *e, struct ops_strbuf *out)
{
	switch (e->kind) {
	case OPS_PROMQL_NUMBER:
		print_number(e, out);
		break;
	case OPS_PROMQL_STRING:
		ops_promql_quote(&e->string, out);
		break;
	case OPS_PROMQL_VECTOR_SELECTOR:
		print_vector(&e->vector, out);
		break;
	case OPS_PROMQL_MATRIX_SELECTOR:
		print_matrix(&e->matrix, out);
		break;
	case OPS_PROMQL_SUBQUERY:
		ops_promql_print(e->subquery.expr, out);
		ops_promql_print_subquery_suffix(&e->subquery, out);
		break;
	case OPS_PROMQL_UNARY:
		ops_strbuf_adds(out, ops_promql_op_text(e->unary.op));
		ops_promql_print(e->unary.expr, out);
		break;
	case OPS_PROMQL_BINARY:
		ops_promql_print(e->binary.lhs, out);
		ops_strbuf_addc(out, ' ');
		ops_promql_print_operator(&e->binary, out);
		ops_strbuf_addc(out, ' ');
		ops_promql_print(e->binary.rhs, out);
		break;
	case OPS_PROMQL_AGGREGATE:
		print_aggregate(&e->aggregate, out);
		break;
	case OPS_PROMQL_CALL:
		print_call(&e->call, out);
		break;
	case OPS_PROMQL_PAREN:
		ops_strbuf_addc(out, '(');
		ops_promql_print(e->paren, out);
		ops_strbuf_addc(out, ')');
		break;
	case OPS_PROMQL_DURATION:
		print_duration(e, out);
		break;
	}
}
