/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions by precedence climbing: or < and unless < comparison < + - < * / % atan2 < ^, all
 * left-associative but ^. A unary sign binds like * (so -1^2 is -(1^2)) and disappears into a
 * number behind it. Modifiers ([5m], offset, @) bind tighter than everything and belong to the
 * operand.
 *
 * Depth: every recursion counts against OPS_PROMQL_MAX_DEPTH. A chain a+b+c+... needs no recursion
 * here but makes a tree as deep as the chain is long, and everybody who walks the tree recurses:
 * OPS_PROMQL_MAX_HEIGHT bounds the chain too.
 */
#include "common/promql/parser.h"

#define UNARY_PRECEDENCE 5

static int precedence(enum ops_promql_op op)
{
	if (op == OPS_PROMQL_OP_OR) {
		return 1;
	}
	if (op == OPS_PROMQL_OP_AND || op == OPS_PROMQL_OP_UNLESS) {
		return 2;
	}
	if (op >= OPS_PROMQL_OP_EQL && op <= OPS_PROMQL_OP_TRIM_LOWER) {
		return 3;
	}
	if (op == OPS_PROMQL_OP_ADD || op == OPS_PROMQL_OP_SUB) {
		return 4;
	}
	return op == OPS_PROMQL_OP_POW ? 6 : UNARY_PRECEDENCE;
}

static bool is_binary(enum ops_promql_token_type t)
{
	return t >= TOK_OP_ADD && t <= TOK_OP_UNLESS;
}

static struct ops_promql_expr *parse_binary(struct ops_promql_parser *p, int min);

static struct ops_promql_expr *parse_number(struct ops_promql_parser *p)
{
	struct ops_promql_token t = ops_promql_take(p);
	struct ops_promql_expr *e = ops_promql_node(p, OPS_PROMQL_NUMBER, t.start, t.end);
	e->number.value = ops_promql_token_number(p, &t);
	e->number.is_duration = t.type == TOK_DURATION;
	return e;
}

static struct ops_promql_expr *parse_string(struct ops_promql_parser *p)
{
	struct ops_promql_token t = ops_promql_take(p);
	struct ops_promql_expr *e = ops_promql_node(p, OPS_PROMQL_STRING, t.start, t.end);
	e->string = ops_promql_token_string(p, &t);
	return e;
}

static struct ops_promql_expr *parse_paren(struct ops_promql_parser *p)
{
	struct ops_promql_token open = ops_promql_take(p);
	struct ops_promql_expr *inner = ops_promql_parse_expr(p);
	if (inner == NULL || ops_promql_peek_type(p) != TOK_RIGHT_PAREN) {
		return NULL;
	}
	struct ops_promql_token close = ops_promql_take(p);
	struct ops_promql_expr *e = ops_promql_node(p, OPS_PROMQL_PAREN, open.start, close.end);
	e->paren = inner;
	return ops_promql_raise(p, e, inner) ? e : NULL;
}

static struct ops_promql_expr *parse_unary(struct ops_promql_parser *p)
{
	struct ops_promql_token sign = ops_promql_take(p);
	struct ops_promql_expr *operand =
		ops_promql_enter(p) ? parse_binary(p, UNARY_PRECEDENCE + 1) : NULL;
	ops_promql_leave(p);
	if (operand == NULL) {
		return NULL;
	}
	if (operand->kind == OPS_PROMQL_NUMBER) {
		if (sign.type == TOK_OP_SUB) {
			operand->number.value = -operand->number.value;
		}
		operand->start = sign.start;
		return operand;
	}
	struct ops_promql_expr *e = ops_promql_node(p, OPS_PROMQL_UNARY, sign.start, operand->end);
	e->unary.op = sign.type == TOK_OP_SUB ? OPS_PROMQL_OP_SUB : OPS_PROMQL_OP_ADD;
	e->unary.expr = operand;
	return ops_promql_raise(p, e, operand) ? e : NULL;
}

/* What begins with a word: aggregation, call or metric name; what follows the word decides. */
static struct ops_promql_expr *parse_word(struct ops_promql_parser *p)
{
	struct ops_promql_token word = ops_promql_take(p);
	enum ops_promql_token_type next = ops_promql_peek_type(p);
	if (ops_promql_token_is_aggr(word.type)) {
		if (next == TOK_LEFT_PAREN || next == TOK_BY || next == TOK_WITHOUT) {
			return ops_promql_parse_aggregate(p, &word);
		}
		return ops_promql_parse_selector_node(p, &word);
	}
	bool function = word.type == TOK_IDENTIFIER || word.type == TOK_START ||
			word.type == TOK_END ||
			(word.type >= TOK_OP_STEP && word.type <= TOK_OP_MAX_OF);
	if (function && next == TOK_LEFT_PAREN) {
		return ops_promql_parse_call(p, &word);
	}
	return ops_promql_parse_selector_node(p, &word);
}

static struct ops_promql_expr *parse_primary(struct ops_promql_parser *p)
{
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (t == TOK_NUMBER || t == TOK_DURATION) {
		return parse_number(p);
	}
	if (t == TOK_STRING) {
		return parse_string(p);
	}
	if (t == TOK_LEFT_PAREN) {
		return parse_paren(p);
	}
	if (t == TOK_LEFT_BRACE) {
		return ops_promql_parse_selector_node(p, NULL);
	}
	return ops_promql_token_is_metric(t) ? parse_word(p) : NULL;
}

static struct ops_promql_expr *parse_operand(struct ops_promql_parser *p)
{
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (t == TOK_OP_ADD || t == TOK_OP_SUB) {
		return parse_unary(p);
	}
	struct ops_promql_expr *e = parse_primary(p);
	return e != NULL ? ops_promql_parse_modifiers(p, e) : NULL;
}

static bool parse_fill_value(struct ops_promql_parser *p, double *ret)
{
	(void)ops_promql_take(p);
	if (!ops_promql_expect(p, TOK_LEFT_PAREN)) {
		return false;
	}
	bool negative = ops_promql_peek_type(p) == TOK_OP_SUB;
	if (negative || ops_promql_peek_type(p) == TOK_OP_ADD) {
		(void)ops_promql_take(p);
	}
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (t != TOK_NUMBER && t != TOK_DURATION) {
		return false;
	}
	struct ops_promql_token number = ops_promql_take(p);
	double value = ops_promql_token_number(p, &number);
	*ret = negative ? -value : value;
	return ops_promql_expect(p, TOK_RIGHT_PAREN);
}

static bool parse_fill(struct ops_promql_parser *p, struct ops_promql_matching *m)
{
	if (ops_promql_peek_type(p) == TOK_FILL) {
		m->has_fill_left = m->has_fill_right = true;
		bool ok = parse_fill_value(p, &m->fill_left);
		m->fill_right = m->fill_left;
		return ok;
	}
	for (int i = 0; i < 2; i++) {
		enum ops_promql_token_type t = ops_promql_peek_type(p);
		bool ok = true;
		if (t == TOK_FILL_LEFT && !m->has_fill_left) {
			m->has_fill_left = true;
			ok = parse_fill_value(p, &m->fill_left);
		} else if (t == TOK_FILL_RIGHT && !m->has_fill_right) {
			m->has_fill_right = true;
			ok = parse_fill_value(p, &m->fill_right);
		}
		if (!ok) {
			return false;
		}
	}
	return true;
}

/* [bool] [on|ignoring (...) [group_left|group_right [(...)]]] [fill...] */
static bool parse_matching(struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	struct ops_promql_matching *m = ops_arena_new(p->arena, struct ops_promql_matching);
	e->binary.matching = m;
	e->binary.return_bool = ops_promql_accept(p, TOK_BOOL);
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (t == TOK_ON || t == TOK_IGNORING) {
		(void)ops_promql_take(p);
		m->on = t == TOK_ON;
		if (!ops_promql_parse_grouping(p, &m->labels)) {
			return false;
		}
		t = ops_promql_peek_type(p);
		if (t == TOK_GROUP_LEFT || t == TOK_GROUP_RIGHT) {
			(void)ops_promql_take(p);
			m->card = t == TOK_GROUP_LEFT ? OPS_PROMQL_MANY_TO_ONE
						      : OPS_PROMQL_ONE_TO_MANY;
			if (ops_promql_peek_type(p) == TOK_LEFT_PAREN &&
				!ops_promql_parse_grouping(p, &m->include)) {
				return false;
			}
		}
	}
	return parse_fill(p, m);
}

static struct ops_promql_expr *join(
	struct ops_promql_parser *p, struct ops_promql_expr *e, struct ops_promql_expr *lhs)
{
	struct ops_promql_expr *rhs = e->binary.rhs;
	struct ops_promql_matching *m = e->binary.matching;
	e->binary.lhs = lhs;
	e->start = lhs->start;
	e->end = rhs->end;
	if ((m->has_fill_left || m->has_fill_right) && (p->features & OPS_PROMQL_FILL) == 0) {
		ops_promql_problem_add(p, e->start, e->end,
			"binop fill modifiers are experimental and not enabled");
	}
	return ops_promql_raise(p, e, lhs) && ops_promql_raise(p, e, rhs) ? e : NULL;
}

static struct ops_promql_expr *parse_binary(struct ops_promql_parser *p, int min)
{
	struct ops_promql_expr *lhs = parse_operand(p);
	while (lhs != NULL && is_binary(ops_promql_peek_type(p))) {
		enum ops_promql_op op = (enum ops_promql_op)(ops_promql_peek_type(p) - TOK_OP_ADD);
		int level = precedence(op);
		if (level < min) {
			break;
		}
		struct ops_promql_token t = ops_promql_take(p);
		struct ops_promql_expr *e = ops_promql_node(p, OPS_PROMQL_BINARY, t.start, t.end);
		e->binary.op = op;
		if (!parse_matching(p, e) || !ops_promql_enter(p)) {
			return NULL;
		}
		e->binary.rhs = parse_binary(p, op == OPS_PROMQL_OP_POW ? level : level + 1);
		ops_promql_leave(p);
		lhs = e->binary.rhs != NULL ? join(p, e, lhs) : NULL;
	}
	return lhs;
}

struct ops_promql_expr *ops_promql_parse_expr(struct ops_promql_parser *p)
{
	struct ops_promql_expr *e = ops_promql_enter(p) ? parse_binary(p, 1) : NULL;
	ops_promql_leave(p);
	return e;
}
