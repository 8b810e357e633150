/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durations in brackets and behind offset: numbers of seconds, 5m, step(), range(), min_of(),
 * max_of() and arithmetic on them. A plain number stays a NUMBER node; all else is a DURATION node
 * that the evaluator computes, and so is a number in parentheses, so that it prints with them.
 *
 * Behind offset a bare literal or function ends the duration: "foo offset 5m - 2" subtracts from
 * foo. Only parentheses (or a doubled sign) let arithmetic through, as upstream's grammar resolves
 * it.
 */
#include "common/promql/parser.h"

static struct ops_promql_expr *parse_operation(struct ops_promql_parser *p, int min);

/* Seconds that int64 nanoseconds cannot hold; NaN too. */
static bool out_of_range(double seconds)
{
	return !(seconds > -9223372036.0 && seconds < 9223372036.0);
}

static struct ops_promql_expr *zero(struct ops_promql_parser *p)
{
	return ops_promql_node(p, OPS_PROMQL_NUMBER, 0, 0);
}

static struct ops_promql_expr *checked_range(
	struct ops_promql_parser *p, struct ops_promql_expr *e, uint32_t start, uint32_t end)
{
	if (out_of_range(e->number.value)) {
		ops_promql_problem_add(p, start, end, "duration out of range");
		return zero(p);
	}
	return e;
}

static struct ops_promql_expr *parse_literal(struct ops_promql_parser *p)
{
	struct ops_promql_token t = ops_promql_take(p);
	struct ops_promql_expr *e = ops_promql_node(p, OPS_PROMQL_NUMBER, t.start, t.end);
	e->number.value = ops_promql_token_number(p, &t);
	e->number.is_duration = t.type == TOK_DURATION;
	return e;
}

static void check_enabled(struct ops_promql_parser *p, const struct ops_promql_expr *e)
{
	if ((p->features & OPS_PROMQL_DURATION_EXPR) == 0) {
		ops_promql_problem_add(
			p, e->start, e->end, "experimental duration expression is not enabled");
	}
}

static struct ops_promql_expr *duration_node(struct ops_promql_parser *p, enum ops_promql_op op,
	const struct ops_promql_expr *lhs, const struct ops_promql_expr *rhs)
{
	uint32_t start = lhs != NULL ? lhs->start : rhs != NULL ? rhs->start : 0;
	struct ops_promql_expr *e =
		ops_promql_node(p, OPS_PROMQL_DURATION, start, rhs != NULL ? rhs->end : 0);
	e->duration.op = op;
	e->duration.lhs = lhs;
	e->duration.rhs = rhs;
	/* Heights only matter for recursion, which the parser's own depth bounds here. */
	e->height = (uint16_t)(1 + OPS_MAX(lhs != NULL ? lhs->height : 0,
					   rhs != NULL ? rhs->height : 0));
	return e;
}

static struct ops_promql_expr *wrap(
	struct ops_promql_parser *p, struct ops_promql_expr *e, uint32_t start)
{
	if (e->kind == OPS_PROMQL_NUMBER) {
		e = duration_node(p, OPS_PROMQL_OP_ADD, NULL, e);
	}
	e->duration.wrapped = true;
	e->start = start;
	e->end = p->last_closing;
	return e;
}

static bool is_sign(enum ops_promql_token_type t)
{
	return t == TOK_OP_ADD || t == TOK_OP_SUB;
}

static bool is_function(enum ops_promql_token_type t)
{
	return t >= TOK_OP_STEP && t <= TOK_OP_MAX_OF;
}

static bool is_literal(enum ops_promql_token_type t)
{
	return t == TOK_NUMBER || t == TOK_DURATION;
}

/* step(), range(), min_of(a, b), max_of(a, b) */
static struct ops_promql_expr *parse_function(struct ops_promql_parser *p)
{
	struct ops_promql_token name = ops_promql_take(p);
	enum ops_promql_op op = (enum ops_promql_op)(name.type - TOK_OP_ADD);
	struct ops_promql_expr *lhs = NULL, *rhs = NULL;
	if (!ops_promql_expect(p, TOK_LEFT_PAREN)) {
		return NULL;
	}
	if (op == OPS_PROMQL_OP_MIN_OF || op == OPS_PROMQL_OP_MAX_OF) {
		lhs = ops_promql_parse_duration(p);
		rhs = lhs != NULL && ops_promql_expect(p, TOK_COMMA) ? ops_promql_parse_duration(p)
								     : NULL;
		if (rhs == NULL) {
			return NULL;
		}
	}
	if (!ops_promql_expect(p, TOK_RIGHT_PAREN)) {
		return NULL;
	}
	struct ops_promql_expr *e = duration_node(p, op, lhs, rhs);
	e->start = name.start;
	e->end = p->last_closing;
	check_enabled(p, e);
	return e;
}

static struct ops_promql_expr *parse_wrapped(struct ops_promql_parser *p)
{
	struct ops_promql_token open = ops_promql_take(p);
	struct ops_promql_expr *inner = ops_promql_parse_duration(p);
	if (inner == NULL || !ops_promql_expect(p, TOK_RIGHT_PAREN)) {
		return NULL;
	}
	check_enabled(p, inner);
	return wrap(p, inner, open.start);
}

static struct ops_promql_expr *apply_sign(
	struct ops_promql_parser *p, const struct ops_promql_token *sign, struct ops_promql_expr *e)
{
	if (e->kind == OPS_PROMQL_NUMBER) {
		if (sign->type == TOK_OP_SUB) {
			e->number.value = -e->number.value;
		}
		e = checked_range(p, e, sign->start, sign->end);
		e->start = e->end != 0 ? sign->start : 0;
		return e;
	}
	if (sign->type == TOK_OP_ADD) {
		return e;
	}
	struct ops_promql_expr *negated = duration_node(p, OPS_PROMQL_OP_SUB, NULL, e);
	negated->start = sign->start;
	return negated;
}

static struct ops_promql_expr *parse_signed(struct ops_promql_parser *p)
{
	struct ops_promql_token sign = ops_promql_take(p);
	/* Binds like *: only ^ goes in. */
	struct ops_promql_expr *e = ops_promql_enter(p) ? parse_operation(p, 3) : NULL;
	ops_promql_leave(p);
	return e != NULL ? apply_sign(p, &sign, e) : NULL;
}

static struct ops_promql_expr *parse_operand(struct ops_promql_parser *p)
{
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (is_literal(t)) {
		struct ops_promql_expr *e = parse_literal(p);
		return checked_range(p, e, e->start, e->end);
	}
	if (is_sign(t)) {
		return parse_signed(p);
	}
	if (is_function(t)) {
		return parse_function(p);
	}
	return t == TOK_LEFT_PAREN ? parse_wrapped(p) : NULL;
}

static int precedence(enum ops_promql_token_type t)
{
	if (is_sign(t)) {
		return 1;
	}
	if (t == TOK_OP_MUL || t == TOK_OP_DIV || t == TOK_OP_MOD) {
		return 2;
	}
	return t == TOK_OP_POW ? 3 : 0;
}

static struct ops_promql_expr *join(struct ops_promql_parser *p, const struct ops_promql_token *op,
	struct ops_promql_expr *lhs, struct ops_promql_expr *rhs)
{
	bool division = op->type == TOK_OP_DIV || op->type == TOK_OP_MOD;
	check_enabled(p, lhs);
	if (division && rhs->kind == OPS_PROMQL_NUMBER && rhs->number.value == 0) {
		ops_promql_problem_add(p, op->start, op->end, "%s by zero",
			op->type == TOK_OP_DIV ? "division" : "modulo");
		return zero(p);
	}
	struct ops_promql_expr *e =
		duration_node(p, (enum ops_promql_op)(op->type - TOK_OP_ADD), lhs, rhs);
	return ops_promql_raise(p, e, lhs) ? e : NULL;
}

static struct ops_promql_expr *parse_operators(
	struct ops_promql_parser *p, struct ops_promql_expr *lhs, int min)
{
	while (lhs != NULL) {
		int level = precedence(ops_promql_peek_type(p));
		if (level == 0 || level < min) {
			break;
		}
		struct ops_promql_token op = ops_promql_take(p);
		struct ops_promql_expr *rhs =
			ops_promql_enter(p) ? parse_operation(p, level == 3 ? 3 : level + 1) : NULL;
		ops_promql_leave(p);
		lhs = rhs != NULL ? join(p, &op, lhs, rhs) : NULL;
	}
	return lhs;
}

static struct ops_promql_expr *parse_operation(struct ops_promql_parser *p, int min)
{
	return parse_operators(p, parse_operand(p), min);
}

struct ops_promql_expr *ops_promql_parse_duration(struct ops_promql_parser *p)
{
	struct ops_promql_expr *e = ops_promql_enter(p) ? parse_operation(p, 1) : NULL;
	ops_promql_leave(p);
	return e;
}

struct ops_promql_expr *ops_promql_parse_positive_duration(struct ops_promql_parser *p)
{
	struct ops_promql_expr *e = ops_promql_parse_duration(p);
	if (e != NULL && e->kind == OPS_PROMQL_NUMBER && !(e->number.value > 0)) {
		ops_promql_problem_add(p, e->start, e->end, "duration must be greater than 0");
		return zero(p);
	}
	return e;
}

/* A sign behind offset and what it covers. */
static struct ops_promql_expr *parse_signed_offset(struct ops_promql_parser *p)
{
	struct ops_promql_token sign = ops_promql_take(p);
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (is_literal(t)) {
		struct ops_promql_expr *e = parse_literal(p);
		return apply_sign(p, &sign, e);
	}
	if (is_function(t)) {
		struct ops_promql_expr *f = parse_function(p);
		return f != NULL ? apply_sign(p, &sign, f) : NULL;
	}
	if (t == TOK_LEFT_PAREN) {
		struct ops_promql_expr *w = parse_wrapped(p);
		return w != NULL ? apply_sign(p, &sign, w) : NULL;
	}
	struct ops_promql_expr *e = ops_promql_enter(p) ? parse_operation(p, 3) : NULL;
	ops_promql_leave(p);
	return e != NULL ? parse_operators(p, apply_sign(p, &sign, e), 1) : NULL;
}

struct ops_promql_expr *ops_promql_parse_offset_duration(struct ops_promql_parser *p)
{
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	if (is_literal(t)) {
		struct ops_promql_expr *e = parse_literal(p);
		return checked_range(p, e, e->start, e->end);
	}
	if (is_sign(t)) {
		return parse_signed_offset(p);
	}
	return is_function(t) ? parse_function(p) : ops_promql_parse_duration(p);
}
