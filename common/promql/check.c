/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types and meaning, on a tree without syntax errors: children first, so that findings come in
 * the order of the text. The same walk numbers the nodes and drops the matching of binary
 * operations that are not between two instant vectors.
 */
#include "common/promql/parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct check {
	struct ops_promql_parser *p;
	uint32_t next_id;
};

static void check_node(struct check *c, struct ops_promql_expr *e);

static void OPS_PRINTF(3, 4)
	complain(struct check *c, const struct ops_promql_expr *e, const char *fmt, ...)
{
	va_list ap;
	char text[512];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ops_promql_problem_add(c->p, e->start, e->end, "%s", text);
}

static const char *quoted(struct check *c, const struct ops_promql_string *s)
{
	return ops_promql_text_quoted(c->p->arena, s->text, OPS_MIN(s->len, (size_t)128));
}

static void expect_type(struct check *c, struct ops_promql_expr *e, enum ops_promql_value_type want,
	const char *context)
{
	check_node(c, e);
	if (e->type != want) {
		complain(c, e, "expected type %s in %s, got %s", ops_promql_value_type_text(want),
			context, ops_promql_value_type_text(e->type));
	}
}

static void check_aggregate(struct check *c, struct ops_promql_expr *e)
{
	struct ops_promql_aggregate *a = &e->aggregate;
	expect_type(c, a->expr, OPS_PROMQL_INSTANT, "aggregation expression");
	if (a->param != NULL) {
		expect_type(c, a->param,
			a->op == OPS_PROMQL_AGGR_COUNT_VALUES ? OPS_PROMQL_STRING_VALUE
							      : OPS_PROMQL_SCALAR,
			"aggregation parameter");
	}
}

/* The operator with its modifiers, without the blanks around; end is the last byte, as upstream. */
static void complain_operator(struct check *c, const struct ops_promql_expr *e, const char *message)
{
	const char *text = c->p->lexer.input;
	uint32_t start = e->binary.lhs->end, end = e->binary.rhs->start;
	while (start < end && ops_promql_is_space((unsigned char)text[start])) {
		start++;
	}
	end -= end > start ? 1 : 0;
	while (end > start && ops_promql_is_space((unsigned char)text[end])) {
		end--;
	}
	ops_promql_problem_add(c->p, start, end, "%s", message);
}

static bool same_string(const struct ops_promql_string *a, const struct ops_promql_string *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static void check_group_labels(struct check *c, const struct ops_promql_expr *e)
{
	const struct ops_promql_matching *m = e->binary.matching;
	for (size_t i = 0; m->on && i < m->labels.n; i++) {
		for (size_t j = 0; j < m->include.n; j++) {
			if (!same_string(&m->labels.items[i], &m->include.items[j])) {
				continue;
			}
			complain_operator(c, e,
				ops_arena_printf(c->p->arena,
					"label %s must not occur in ON and GROUP clause at once",
					quoted(c, &m->labels.items[i])));
		}
	}
}

static bool is_number_or_vector(const struct ops_promql_expr *e)
{
	return e->type == OPS_PROMQL_SCALAR || e->type == OPS_PROMQL_INSTANT;
}

static void check_matching(struct check *c, struct ops_promql_expr *e)
{
	struct ops_promql_binary *b = &e->binary;
	struct ops_promql_matching *m = b->matching;
	bool fill = m->has_fill_left || m->has_fill_right;
	if (b->lhs->type != OPS_PROMQL_INSTANT || b->rhs->type != OPS_PROMQL_INSTANT) {
		if (m->labels.n > 0) {
			complain(c, e, "vector matching only allowed between instant vectors");
		}
		if (fill) {
			complain(c, e,
				"filling in missing series only allowed between instant vectors");
		}
		b->matching = NULL;
	} else if (ops_promql_op_is_set(b->op)) {
		if (m->card != OPS_PROMQL_MANY_TO_MANY) {
			complain(c, e, "no grouping allowed for \"%s\" operation",
				ops_promql_op_text(b->op));
			complain(c, e, "set operations must always be many-to-many");
		}
		if (fill) {
			complain(c, e, "filling in missing series not allowed for set operators");
		}
	}
}

static void check_binary(struct check *c, struct ops_promql_expr *e)
{
	struct ops_promql_binary *b = &e->binary;
	check_node(c, b->lhs);
	check_node(c, b->rhs);
	bool scalars = b->lhs->type == OPS_PROMQL_SCALAR && b->rhs->type == OPS_PROMQL_SCALAR;
	bool any_scalar = b->lhs->type == OPS_PROMQL_SCALAR || b->rhs->type == OPS_PROMQL_SCALAR;
	bool comparison = ops_promql_op_is_comparison(b->op);
	e->type = scalars ? OPS_PROMQL_SCALAR : OPS_PROMQL_INSTANT;

	if (b->return_bool && !comparison) {
		complain_operator(c, e, "bool modifier can only be used on comparison operators");
	}
	if (comparison && !b->return_bool && scalars) {
		complain_operator(c, e, "comparisons between scalars must use BOOL modifier");
	}
	if (ops_promql_op_is_set(b->op) && b->matching->card == OPS_PROMQL_ONE_TO_ONE) {
		b->matching->card = OPS_PROMQL_MANY_TO_MANY;
	}
	check_group_labels(c, e);
	const struct ops_promql_expr *sides[] = {b->lhs, b->rhs};
	for (size_t i = 0; i < 2; i++) {
		if (!is_number_or_vector(sides[i])) {
			complain(c, sides[i],
				"binary expression must contain only scalar and instant vector "
				"types");
		}
	}
	check_matching(c, e);
	if (any_scalar && ops_promql_op_is_set(b->op)) {
		complain(c, e, "set operator \"%s\" not allowed in binary scalar expression",
			ops_promql_op_text(b->op));
	}
}

static void check_arg_count(struct check *c, const struct ops_promql_expr *e)
{
	const struct ops_promql_function *f = e->call.function;
	size_t got = e->call.nargs;
	if (f->variadic == 0) {
		if (got != f->nargs) {
			complain(c, e, "expected %zu argument(s) in call to \"%s\", got %zu",
				f->nargs, f->name, got);
		}
		return;
	}
	size_t least = f->nargs - 1;
	if (got < least) {
		complain(c, e, "expected at least %zu argument(s) in call to \"%s\", got %zu",
			least, f->name, got);
	} else if (f->variadic > 0 && got > least + (size_t)f->variadic) {
		complain(c, e, "expected at most %zu argument(s) in call to \"%s\", got %zu",
			least + (size_t)f->variadic, f->name, got);
	}
}

/* The second argument of info() is no selector of series but a bag of label matchers. */
static void check_info(struct check *c, const struct ops_promql_expr *e)
{
	if (e->call.nargs < 2) {
		return;
	}
	struct ops_promql_expr *arg = e->call.args[1];
	if (arg->kind == OPS_PROMQL_VECTOR_SELECTOR && arg->vector.name.len == 0) {
		arg->vector.may_match_all = true;
		return;
	}
	complain(c, arg, "expected label selectors only%s",
		arg->kind == OPS_PROMQL_VECTOR_SELECTOR ? ", got vector selector instead" : "");
}

static void check_call(struct check *c, struct ops_promql_expr *e)
{
	const struct ops_promql_function *f = e->call.function;
	e->type = f->returns;
	check_arg_count(c, e);
	if (f->id == OPS_PROMQL_FN_INFO) {
		check_info(c, e);
	}
	for (size_t i = 0; i < e->call.nargs; i++) {
		if (i >= f->nargs && f->variadic == 0) {
			break;
		}
		struct ops_promql_expr *arg = e->call.args[i];
		enum ops_promql_value_type want = f->args[OPS_MIN(i, f->nargs - 1)];
		check_node(c, arg);
		if (arg->type != want) {
			complain(c, arg, "expected type %s in call to function \"%s\", got %s",
				ops_promql_value_type_text(want), f->name,
				ops_promql_value_type_text(arg->type));
		}
	}
}

static void check_selector(struct check *c, const struct ops_promql_expr *e)
{
	const struct ops_promql_vector_selector *vs = &e->vector;
	if (vs->name.len > 0) {
		for (size_t i = 0; i + 1 < vs->nmatchers; i++) {
			if (strcmp(vs->matchers[i].name.text, OPS_LABEL_NAME) == 0) {
				complain(c, e, "metric name must not be set twice: %s or %s",
					quoted(c, &vs->name), quoted(c, &vs->matchers[i].value));
			}
		}
		return;
	}
	for (size_t i = 0; i < vs->nmatchers; i++) {
		if (!vs->matchers[i].matches_empty) {
			return;
		}
	}
	if (!vs->may_match_all) {
		complain(c, e, "vector selector must contain at least one non-empty matcher");
	}
}

static void check_unary(struct check *c, struct ops_promql_expr *e)
{
	check_node(c, e->unary.expr);
	e->type = e->unary.expr->type;
	if (!is_number_or_vector(e->unary.expr)) {
		complain(c, e,
			"unary expression only allowed on expressions of type scalar or instant "
			"vector, got \"%s\"",
			ops_promql_value_type_text(e->type));
	}
}

static void check_node(struct check *c, struct ops_promql_expr *e)
{
	switch (e->kind) {
	case OPS_PROMQL_VECTOR_SELECTOR:
		check_selector(c, e);
		break;
	case OPS_PROMQL_MATRIX_SELECTOR:
		check_node(c, e->matrix.vector);
		break;
	case OPS_PROMQL_SUBQUERY:
		check_node(c, e->subquery.expr);
		if (e->subquery.expr->type != OPS_PROMQL_INSTANT) {
			complain(c, e, "subquery is only allowed on instant vector, got %s instead",
				ops_promql_value_type_name(e->subquery.expr->type));
		}
		break;
	case OPS_PROMQL_UNARY:
		check_unary(c, e);
		break;
	case OPS_PROMQL_BINARY:
		check_binary(c, e);
		break;
	case OPS_PROMQL_AGGREGATE:
		check_aggregate(c, e);
		break;
	case OPS_PROMQL_CALL:
		check_call(c, e);
		break;
	case OPS_PROMQL_PAREN:
		check_node(c, e->paren);
		e->type = e->paren->type;
		break;
	case OPS_PROMQL_NUMBER:
	case OPS_PROMQL_STRING:
	case OPS_PROMQL_DURATION:
		break;
	}
	e->id = c->next_id++;
}

void ops_promql_check(struct ops_promql_parser *p, struct ops_promql_expr *root)
{
	struct check c = {.p = p};
	check_node(&c, root);
}
