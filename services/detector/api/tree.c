/* SPDX-License-Identifier: Apache-2.0 */
/* parse_query's tree, in the shape that Prometheus' user interface reads. The parser bounds its
 * depth. */
#include "services/detector/api/api_internal.h"

#include <string.h>

#include "common/base/number.h"

static void add_text(struct ops_strbuf *out, const char *key, const struct ops_promql_string *s)
{
	ops_strbuf_printf(out, ",\"%s\":", key);
	ops_strbuf_add_json(out, s->text != NULL ? s->text : "", s->len);
}

static void add_list(struct ops_strbuf *out, const char *key, const struct ops_promql_strings *list)
{
	ops_strbuf_printf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < list->n; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		ops_strbuf_add_json(out, list->items[i].text, list->items[i].len);
	}
	ops_strbuf_addc(out, ']');
}

static void add_bool(struct ops_strbuf *out, const char *key, bool v)
{
	ops_strbuf_printf(out, ",\"%s\":%s", key, v ? "true" : "false");
}

static void add_ms(struct ops_strbuf *out, const char *key, int64_t ms)
{
	ops_strbuf_printf(out, ",\"%s\":%lld", key, (long long)ms);
}

static void add_child(struct ops_strbuf *out, const char *key, const struct ops_promql_expr *e)
{
	ops_strbuf_printf(out, ",\"%s\":", key);
	if (e == NULL) {
		ops_strbuf_adds(out, "null");
	} else {
		det_api_tree(e, out);
	}
}

static void add_number(struct ops_strbuf *out, const struct ops_promql_expr *e)
{
	char text[352];
	(void)ops_format_double_f(e->number.value, text);
	ops_strbuf_printf(out, ",\"val\":\"%s\"", text);
}

static void add_shift(struct ops_strbuf *out, const struct ops_promql_shift *s)
{
	add_ms(out, "offset", s->offset_ms);
	add_child(out, "offsetExpr", s->offset_expr);
	if (s->at == OPS_PROMQL_AT_TIMESTAMP) {
		add_ms(out, "timestamp", s->at_ms);
	} else {
		ops_strbuf_adds(out, ",\"timestamp\":null");
	}
	ops_strbuf_printf(out, ",\"startOrEnd\":%s",
		s->at == OPS_PROMQL_AT_START ? "\"start\""
		: s->at == OPS_PROMQL_AT_END ? "\"end\""
					     : "null");
}

static void add_selector(struct ops_strbuf *out, const struct ops_promql_vector_selector *vs)
{
	add_text(out, "name", &vs->name);
	ops_strbuf_adds(out, ",\"matchers\":[");
	for (size_t i = 0; i < vs->nmatchers; i++) {
		const struct ops_promql_matcher *m = &vs->matchers[i];
		ops_strbuf_printf(
			out, "%s{\"type\":\"%s\"", i > 0 ? "," : "", ops_match_op_text(m->op));
		add_text(out, "name", &m->name);
		add_text(out, "value", &m->value);
		ops_strbuf_addc(out, '}');
	}
	ops_strbuf_addc(out, ']');
	add_shift(out, &vs->shift);
	add_bool(out, "anchored", vs->anchored);
	add_bool(out, "smoothed", vs->smoothed);
}

static void add_fill(struct ops_strbuf *out, const char *key, bool has, double v)
{
	char text[32] = "null";
	if (has) {
		(void)ops_format_double(v, text);
	}
	ops_strbuf_printf(out, "\"%s\":%s", key, text);
}

static void add_matching(struct ops_strbuf *out, const struct ops_promql_matching *m)
{
	static const char *const cards[] = {
		"one-to-one", "many-to-one", "one-to-many", "many-to-many"};
	if (m == NULL) {
		ops_strbuf_adds(out, ",\"matching\":null");
		return;
	}
	ops_strbuf_printf(out, ",\"matching\":{\"card\":\"%s\"", cards[m->card]);
	add_list(out, "labels", &m->labels);
	add_bool(out, "on", m->on);
	add_list(out, "include", &m->include);
	ops_strbuf_adds(out, ",\"fillValues\":{");
	add_fill(out, "lhs", m->has_fill_left, m->fill_left);
	ops_strbuf_addc(out, ',');
	add_fill(out, "rhs", m->has_fill_right, m->fill_right);
	ops_strbuf_adds(out, "}}");
}

static void add_binary(struct ops_strbuf *out, const struct ops_promql_binary *b)
{
	ops_strbuf_printf(out, ",\"op\":\"%s\"", ops_promql_op_text(b->op));
	add_child(out, "lhs", b->lhs);
	add_child(out, "rhs", b->rhs);
	add_matching(out, b->matching);
	add_bool(out, "bool", b->return_bool);
}

static void add_aggregate(struct ops_strbuf *out, const struct ops_promql_aggregate *a)
{
	ops_strbuf_printf(out, ",\"op\":\"%s\"", ops_promql_aggr_text(a->op));
	add_child(out, "expr", a->expr);
	add_child(out, "param", a->param);
	add_list(out, "grouping", &a->grouping);
	add_bool(out, "without", a->without);
}

static void add_call(struct ops_strbuf *out, const struct ops_promql_call *c)
{
	const struct ops_promql_function *f = c->function;
	ops_strbuf_printf(out, ",\"func\":{\"name\":\"%s\",\"argTypes\":[", f->name);
	for (size_t i = 0; i < f->nargs; i++) {
		ops_strbuf_printf(
			out, "%s\"%s\"", i > 0 ? "," : "", ops_promql_value_type_name(f->args[i]));
	}
	ops_strbuf_printf(out, "],\"variadic\":%d,\"returnType\":\"%s\"},\"args\":[", f->variadic,
		ops_promql_value_type_name(f->returns));
	for (size_t i = 0; i < c->nargs; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		det_api_tree(c->args[i], out);
	}
	ops_strbuf_addc(out, ']');
}

static void add_subquery(struct ops_strbuf *out, const struct ops_promql_subquery *s)
{
	add_child(out, "expr", s->expr);
	add_ms(out, "range", s->range_ms);
	add_child(out, "rangeExpr", s->range_expr);
	add_ms(out, "step", s->step_ms);
	add_child(out, "stepExpr", s->step_expr);
	add_shift(out, &s->shift);
}

static void add_duration(struct ops_strbuf *out, const struct ops_promql_duration *d)
{
	ops_strbuf_printf(out, ",\"op\":\"%s\"", ops_promql_op_text(d->op));
	add_child(out, "lhs", d->lhs);
	add_child(out, "rhs", d->rhs);
	add_bool(out, "wrapped", d->wrapped);
}

static const char *const type_names[] = {
	[OPS_PROMQL_NUMBER] = "numberLiteral",
	[OPS_PROMQL_STRING] = "stringLiteral",
	[OPS_PROMQL_VECTOR_SELECTOR] = "vectorSelector",
	[OPS_PROMQL_MATRIX_SELECTOR] = "matrixSelector",
	[OPS_PROMQL_SUBQUERY] = "subquery",
	[OPS_PROMQL_UNARY] = "unaryExpr",
	[OPS_PROMQL_BINARY] = "binaryExpr",
	[OPS_PROMQL_AGGREGATE] = "aggregation",
	[OPS_PROMQL_CALL] = "call",
	[OPS_PROMQL_PAREN] = "parenExpr",
	[OPS_PROMQL_DURATION] = "durationExpr",
};

void det_api_tree(const struct ops_promql_expr *e, struct ops_strbuf *out)
{
	ops_strbuf_printf(out, "{\"type\":\"%s\"", type_names[e->kind]);
	switch (e->kind) {
	case OPS_PROMQL_NUMBER:
		add_number(out, e);
		break;
	case OPS_PROMQL_STRING:
		add_text(out, "val", &e->string);
		break;
	case OPS_PROMQL_VECTOR_SELECTOR:
		add_selector(out, &e->vector);
		break;
	case OPS_PROMQL_MATRIX_SELECTOR:
		add_selector(out, &ops_promql_unparen(e->matrix.vector)->vector);
		add_ms(out, "range", e->matrix.range_ms);
		add_child(out, "rangeExpr", e->matrix.range_expr);
		break;
	case OPS_PROMQL_SUBQUERY:
		add_subquery(out, &e->subquery);
		break;
	case OPS_PROMQL_UNARY:
		ops_strbuf_printf(out, ",\"op\":\"%s\"", ops_promql_op_text(e->unary.op));
		add_child(out, "expr", e->unary.expr);
		break;
	case OPS_PROMQL_BINARY:
		add_binary(out, &e->binary);
		break;
	case OPS_PROMQL_AGGREGATE:
		add_aggregate(out, &e->aggregate);
		break;
	case OPS_PROMQL_CALL:
		add_call(out, &e->call);
		break;
	case OPS_PROMQL_PAREN:
		add_child(out, "expr", e->paren);
		break;
	case OPS_PROMQL_DURATION:
		add_duration(out, &e->duration);
		break;
	}
	ops_strbuf_addc(out, '}');
}
