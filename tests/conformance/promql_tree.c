/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cases' trees are dumps of Go structs: type and field names, durations in nanoseconds,
 * timestamps in milliseconds, fields with the zero value left out or not.
 */
#include "tests/conformance/promql_tree.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

static json_t *object(const char *type)
{
	return json_pack("{s:s}", "type", type);
}

static void set(json_t *o, const char *key, json_t *value)
{
	ops_assert(json_object_set_new(o, key, value) == 0);
}

static void set_child(json_t *o, const char *key, const struct ops_promql_expr *e)
{
	if (e != NULL) {
		set(o, key, conformance_promql_tree(e));
	}
}

static json_t *text_of(const struct ops_promql_string *s)
{
	json_t *t = json_stringn(s->text, s->len);
	if (t != NULL) {
		return t;
	}
	char *b64 = ops_base64_encode(s->text, s->len);
	t = json_pack("{s:s}", "$bytes", b64);
	free(b64);
	return t;
}

static json_t *texts_of(const struct ops_promql_strings *list)
{
	json_t *a = json_array();
	for (size_t i = 0; i < list->n; i++) {
		ops_assert(json_array_append_new(a, text_of(&list->items[i])) == 0);
	}
	return a;
}

static json_t *number_of(double v)
{
	if (isnan(v)) {
		return json_string("NaN");
	}
	return isinf(v) ? json_string(v > 0 ? "+Inf" : "-Inf") : json_real(v);
}

static json_t *op_of(enum ops_promql_op op)
{
	static const char *const names[] = {"ADD", "SUB", "MUL", "DIV", "MOD", "POW", "ATAN2",
		"EQLC", "NEQ", "LTE", "LSS", "GTE", "GTR", "TRIM_UPPER", "TRIM_LOWER", "LAND",
		"LOR", "LUNLESS", "STEP", "RANGE", "MIN_OF", "MAX_OF"};
	return json_string(names[op]);
}

static json_t *aggr_of(enum ops_promql_aggr op)
{
	char name[32];
	size_t n = 0;
	for (const char *s = ops_promql_aggr_text(op); *s != '\0' && n + 1 < sizeof(name); s++) {
		name[n++] = (char)toupper((unsigned char)*s);
	}
	return json_stringn(name, n);
}

static void set_span(json_t *o, const char *key, int64_t ms, const struct ops_promql_expr *expr)
{
	char expr_key[32];
	snprintf(expr_key, sizeof(expr_key), "%sExpr", key);
	set(o, key, json_integer(ms * 1000000));
	set_child(o, expr_key, expr);
}

static void set_shift(json_t *o, const struct ops_promql_shift *s)
{
	set_span(o, "OriginalOffset", s->offset_ms, s->offset_expr);
	if (s->at == OPS_PROMQL_AT_TIMESTAMP) {
		set(o, "Timestamp", json_integer(s->at_ms));
	} else if (s->at != OPS_PROMQL_AT_NONE) {
		set(o, "StartOrEnd", json_string(s->at == OPS_PROMQL_AT_START ? "START" : "END"));
	}
}

static json_t *vector_of(const struct ops_promql_vector_selector *v)
{
	json_t *o = object("VectorSelector"), *matchers = json_array();
	for (size_t i = 0; i < v->nmatchers; i++) {
		const struct ops_promql_matcher *m = &v->matchers[i];
		static const char *const ops[] = {"=", "!=", "=~", "!~"};
		json_t *row = json_pack("{s:[o,s,o]}", "matcher", text_of(&m->name), ops[m->op],
			text_of(&m->value));
		ops_assert(json_array_append_new(matchers, row) == 0);
	}
	set(o, "LabelMatchers", matchers);
	set(o, "Name", text_of(&v->name));
	set(o, "BypassEmptyMatcherCheck", json_boolean(v->may_match_all));
	set(o, "Anchored", json_boolean(v->anchored));
	set(o, "Smoothed", json_boolean(v->smoothed));
	set_shift(o, &v->shift);
	return o;
}

static json_t *matching_of(const struct ops_promql_matching *m)
{
	static const char *const cards[] = {
		"CardOneToOne", "CardManyToOne", "CardOneToMany", "CardManyToMany"};
	json_t *o = object("VectorMatching");
	set(o, "Card", json_string(cards[m->card]));
	set(o, "On", json_boolean(m->on));
	set(o, "MatchingLabels", texts_of(&m->labels));
	set(o, "Include", texts_of(&m->include));
	if (m->has_fill_left || m->has_fill_right) {
		json_t *fill = object("VectorMatchFillValues");
		if (m->has_fill_left) {
			set(fill, "LHS", number_of(m->fill_left));
		}
		if (m->has_fill_right) {
			set(fill, "RHS", number_of(m->fill_right));
		}
		set(o, "FillValues", fill);
	}
	return o;
}

static json_t *binary_of(const struct ops_promql_binary *b)
{
	json_t *o = object("BinaryExpr");
	set(o, "Op", op_of(b->op));
	set_child(o, "LHS", b->lhs);
	set_child(o, "RHS", b->rhs);
	set(o, "ReturnBool", json_boolean(b->return_bool));
	if (b->matching != NULL) {
		set(o, "VectorMatching", matching_of(b->matching));
	}
	return o;
}

static json_t *call_of(const struct ops_promql_call *c)
{
	json_t *o = object("Call"), *args = json_array();
	for (size_t i = 0; i < c->nargs; i++) {
		ops_assert(json_array_append_new(args, conformance_promql_tree(c->args[i])) == 0);
	}
	set(o, "Args", args);
	set(o, "Func", json_pack("{s:s}", "func", c->function->name));
	return o;
}

static json_t *aggregate_of(const struct ops_promql_aggregate *a)
{
	json_t *o = object("AggregateExpr");
	set(o, "Op", aggr_of(a->op));
	set_child(o, "Expr", a->expr);
	set_child(o, "Param", a->param);
	set(o, "Grouping", texts_of(&a->grouping));
	set(o, "Without", json_boolean(a->without));
	return o;
}

static json_t *subquery_of(const struct ops_promql_subquery *s)
{
	json_t *o = object("SubqueryExpr");
	set_child(o, "Expr", s->expr);
	set_span(o, "Range", s->range_ms, s->range_expr);
	set_span(o, "Step", s->step_ms, s->step_expr);
	set_shift(o, &s->shift);
	return o;
}

static json_t *duration_of(const struct ops_promql_duration *d)
{
	json_t *o = object("DurationExpr");
	set(o, "Op", op_of(d->op));
	set_child(o, "LHS", d->lhs);
	set_child(o, "RHS", d->rhs);
	set(o, "Wrapped", json_boolean(d->wrapped));
	return o;
}

json_t *conformance_promql_tree(const struct ops_promql_expr *e)
{
	json_t *o = NULL;
	switch (e->kind) {
	case OPS_PROMQL_NUMBER:
		o = object("NumberLiteral");
		set(o, "Val", number_of(e->number.value));
		set(o, "Duration", json_boolean(e->number.is_duration));
		return o;
	case OPS_PROMQL_STRING:
		o = object("StringLiteral");
		set(o, "Val", text_of(&e->string));
		return o;
	case OPS_PROMQL_VECTOR_SELECTOR:
		return vector_of(&e->vector);
	case OPS_PROMQL_MATRIX_SELECTOR:
		o = object("MatrixSelector");
		set_child(o, "VectorSelector", e->matrix.vector);
		set_span(o, "Range", e->matrix.range_ms, e->matrix.range_expr);
		return o;
	case OPS_PROMQL_SUBQUERY:
		return subquery_of(&e->subquery);
	case OPS_PROMQL_UNARY:
		o = object("UnaryExpr");
		set(o, "Op", op_of(e->unary.op));
		set_child(o, "Expr", e->unary.expr);
		return o;
	case OPS_PROMQL_BINARY:
		return binary_of(&e->binary);
	case OPS_PROMQL_AGGREGATE:
		return aggregate_of(&e->aggregate);
	case OPS_PROMQL_CALL:
		return call_of(&e->call);
	case OPS_PROMQL_PAREN:
		o = object("ParenExpr");
		set_child(o, "Expr", e->paren);
		return o;
	case OPS_PROMQL_DURATION:
		return duration_of(&e->duration);
	}
	return o;
}

static bool is_zero(const json_t *v)
{
	return v == NULL || json_is_null(v) || json_is_false(v) ||
	       (json_is_number(v) && json_number_value(v) == 0) ||
	       (json_is_string(v) && json_string_length(v) == 0) ||
	       (json_is_array(v) && json_array_size(v) == 0);
}

static bool has_members_of(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)b, key, value)
	{
		if (!conformance_promql_tree_equal(json_object_get(a, key), value)) {
			return false;
		}
	}
	return true;
}

bool conformance_promql_tree_equal(const json_t *a, const json_t *b)
{
	if (is_zero(a) || is_zero(b)) {
		return is_zero(a) && is_zero(b);
	}
	if (json_is_number(a) && json_is_number(b)) {
		return json_number_value(a) == json_number_value(b);
	}
	if (json_is_object(a) && json_is_object(b)) {
		return has_members_of(a, b) && has_members_of(b, a);
	}
	if (!json_is_array(a) || !json_is_array(b)) {
		return json_equal(a, b);
	}
	bool same = json_array_size(a) == json_array_size(b);
	for (size_t i = 0; same && i < json_array_size(a); i++) {
		same = conformance_promql_tree_equal(json_array_get(a, i), json_array_get(b, i));
	}
	return same;
}
