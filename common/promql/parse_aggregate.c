/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregations, function calls and the label lists of by, without, on, ignoring and group_x.
 * An aggregation may have its by or without before or behind the parentheses, not both. Counts of
 * arguments are checked here for aggregations (as upstream: a syntax finding) and in check.c for
 * functions.
 */
#include "common/promql/parser.h"

struct args {
	struct ops_promql_expr **items;
	size_t n, cap;
};

static void args_add(struct ops_promql_parser *p, struct args *args, struct ops_promql_expr *e)
{
	if (args->n == args->cap) {
		size_t cap = args->cap != 0 ? args->cap * 2 : 4;
		struct ops_promql_expr **items =
			ops_arena_array(p->arena, struct ops_promql_expr *, cap);
		for (size_t i = 0; i < args->n; i++) {
			items[i] = args->items[i];
		}
		args->items = items;
		args->cap = cap;
	}
	args->items[args->n++] = e;
}

static bool starts_expr(enum ops_promql_token_type t)
{
	return t == TOK_NUMBER || t == TOK_DURATION || t == TOK_STRING || t == TOK_LEFT_PAREN ||
	       t == TOK_LEFT_BRACE || t == TOK_OP_ADD || t == TOK_OP_SUB ||
	       ops_promql_token_is_metric(t);
}

/* True when a comma was taken and another argument follows it. */
static bool take_commas(struct ops_promql_parser *p)
{
	while (ops_promql_peek_type(p) == TOK_COMMA) {
		struct ops_promql_token comma = ops_promql_take(p);
		if (starts_expr(ops_promql_peek_type(p))) {
			return true;
		}
		ops_promql_problem_add(p, comma.start, comma.end,
			"trailing commas not allowed in function call args");
	}
	return false;
}

/* ( [expr {, expr}] ) */
static bool parse_args(struct ops_promql_parser *p, struct args *ret)
{
	if (!ops_promql_expect(p, TOK_LEFT_PAREN)) {
		return false;
	}
	if (ops_promql_accept(p, TOK_RIGHT_PAREN)) {
		return true;
	}
	do {
		struct ops_promql_expr *e = ops_promql_parse_expr(p);
		if (e == NULL) {
			return false;
		}
		args_add(p, ret, e);
	} while (take_commas(p));
	return ops_promql_expect(p, TOK_RIGHT_PAREN);
}

static void strings_add(
	struct ops_promql_parser *p, struct ops_promql_strings *list, struct ops_promql_string s)
{
	if (list->n == 0 || (list->n >= 4 && (list->n & (list->n - 1)) == 0)) {
		size_t cap = list->n == 0 ? 4 : list->n * 2;
		struct ops_promql_string *items =
			ops_arena_array(p->arena, struct ops_promql_string, cap);
		for (size_t i = 0; i < list->n; i++) {
			items[i] = list->items[i];
		}
		list->items = items;
	}
	list->items[list->n++] = s;
}

/* One label name. False: nothing can follow. */
static bool parse_label(struct ops_promql_parser *p, struct ops_promql_strings *list)
{
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (t != TOK_STRING && !ops_promql_token_is_label(t)) {
		return ops_promql_unexpected(p, "grouping opts", "label");
	}
	struct ops_promql_token token = ops_promql_take(p);
	struct ops_promql_string name = ops_promql_token_string(p, &token);
	if (!ops_label_name_valid(name.text, name.len)) {
		ops_promql_problem_add(p, token.start, token.end,
			"invalid label name for grouping: %s",
			ops_promql_text_quoted(p->arena, name.text, name.len));
	}
	strings_add(p, list, name);
	return true;
}

bool ops_promql_parse_grouping(struct ops_promql_parser *p, struct ops_promql_strings *ret)
{
	if (!ops_promql_accept(p, TOK_LEFT_PAREN)) {
		return ops_promql_unexpected(p, "grouping opts", "\"(\"");
	}
	while (!ops_promql_accept(p, TOK_RIGHT_PAREN)) {
		if (!parse_label(p, ret)) {
			return false;
		}
		enum ops_promql_token_type t = ops_promql_peek_type(p);
		if (t != TOK_COMMA && t != TOK_RIGHT_PAREN) {
			if (p->recovering < OPS_PROMQL_QUIET_TOKENS &&
				!ops_promql_unexpected(p, "grouping opts", "\",\" or \")\"")) {
				return false;
			}
			if (!ops_promql_skip_to(p, TOK_COMMA, TOK_RIGHT_PAREN)) {
				return false;
			}
		}
		(void)ops_promql_accept(p, TOK_COMMA);
	}
	return true;
}

/* by (...) or without (...), if one is next. False: broken. */
static bool parse_clause(struct ops_promql_parser *p, struct ops_promql_aggregate *a, bool *ret_any)
{
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	*ret_any = t == TOK_BY || t == TOK_WITHOUT;
	if (!*ret_any) {
		return true;
	}
	(void)ops_promql_take(p);
	a->without = t == TOK_WITHOUT;
	return ops_promql_parse_grouping(p, &a->grouping);
}

static void set_arguments(
	struct ops_promql_parser *p, struct ops_promql_expr *e, const struct args *args)
{
	struct ops_promql_aggregate *a = &e->aggregate;
	size_t wanted = ops_promql_aggr_has_param(a->op) ? 2 : 1;
	if (args->n == 0) {
		ops_promql_problem_add(
			p, e->start, e->end, "no arguments for aggregate expression provided");
		return;
	}
	if (ops_promql_aggr_is_experimental(a->op) &&
		(p->features & OPS_PROMQL_EXPERIMENTAL_FUNCTIONS) == 0) {
		ops_promql_problem_add(p, e->start, e->end,
			"%s() is experimental and must be enabled with "
			"--enable-feature=promql-experimental-functions",
			ops_promql_aggr_text(a->op));
		return;
	}
	if (args->n != wanted) {
		ops_promql_problem_add(p, e->start, e->end,
			"wrong number of arguments for aggregate expression provided, "
			"expected %zu, got %zu",
			wanted, args->n);
		return;
	}
	a->param = wanted == 2 ? args->items[0] : NULL;
	a->expr = args->items[wanted - 1];
}

static bool enabled(const struct ops_promql_parser *p, enum ops_promql_function_id id)
{
	unsigned by = OPS_PROMQL_EXPERIMENTAL_FUNCTIONS;
	by |= id == OPS_PROMQL_FN_START_TIMESTAMP ? OPS_PROMQL_START_TIMESTAMPS : 0u;
	return (p->features & by) != 0;
}

static bool raise_over(
	struct ops_promql_parser *p, struct ops_promql_expr *e, const struct args *args)
{
	for (size_t i = 0; i < args->n; i++) {
		if (!ops_promql_raise(p, e, args->items[i])) {
			return false;
		}
	}
	return true;
}

struct ops_promql_expr *ops_promql_parse_aggregate(
	struct ops_promql_parser *p, const struct ops_promql_token *op)
{
	struct ops_promql_expr *e = ops_promql_node(p, OPS_PROMQL_AGGREGATE, op->start, op->end);
	struct ops_promql_aggregate *a = &e->aggregate;
	struct args args = {0};
	bool before = false, after = false;

	a->op = (enum ops_promql_aggr)(op->type - TOK_AGGR_AVG);
	bool ok = parse_clause(p, a, &before) && parse_args(p, &args);
	e->end = p->last_closing;
	ok = ok && (before || parse_clause(p, a, &after));
	if (!ok) {
		if (!ops_promql_unexpected(p, "aggregation", NULL)) {
			return NULL;
		}
		args.n = 0;
	}
	if (after || !ok) {
		e->end = p->last_closing;
	}
	set_arguments(p, e, &args);
	return raise_over(p, e, &args) ? e : NULL;
}

struct ops_promql_expr *ops_promql_parse_call(
	struct ops_promql_parser *p, const struct ops_promql_token *name)
{
	struct args args = {0};
	if (!parse_args(p, &args)) {
		return NULL;
	}
	struct ops_promql_expr *e =
		ops_promql_node(p, OPS_PROMQL_CALL, name->start, p->last_closing);
	const char *text = p->lexer.input + name->start;
	size_t len = name->end - name->start;
	e->call.function = ops_promql_function_find(text, len);
	e->call.args = args.items;
	e->call.nargs = args.n;
	if (e->call.function == NULL) {
		ops_promql_problem_add(p, name->start, name->end, "unknown function with name %s",
			ops_promql_text_quoted(p->arena, text, len));
	} else if (e->call.function->experimental && !enabled(p, e->call.function->id)) {
		ops_promql_problem_add(p, name->start, name->end, "function %s is not enabled",
			ops_promql_text_quoted(p->arena, text, len));
	}
	return raise_over(p, e, &args) ? e : NULL;
}
