/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may stand behind an operand: a range or subquery in brackets, offset, @, anchored, smoothed.
 * They change the selector they follow; a subquery wraps it. What a modifier may not follow (a
 * range behind a sum, an offset behind a number) is a finding about meaning: the text goes on to be
 * parsed.
 */
#include "common/promql/parser.h"

#include <math.h>

/* Seconds to milliseconds as upstream: rounded to nanoseconds, then cut. */
static int64_t milliseconds(double seconds)
{
	return (int64_t)round(seconds * 1e9) / 1000000;
}

/* A range counts as a millisecond at least: none would select nothing and print as 0s. */
static int64_t range_milliseconds(double seconds)
{
	int64_t ms = milliseconds(seconds);
	return seconds > 0 && ms == 0 ? 1 : ms;
}

/* Where e keeps its offset and @; NULL: e takes none. */
static struct ops_promql_shift *shift_of(struct ops_promql_expr *e)
{
	if (e->kind == OPS_PROMQL_VECTOR_SELECTOR) {
		return &e->vector.shift;
	}
	if (e->kind == OPS_PROMQL_SUBQUERY) {
		return &e->subquery.shift;
	}
	if (e->kind == OPS_PROMQL_MATRIX_SELECTOR &&
		e->matrix.vector->kind == OPS_PROMQL_VECTOR_SELECTOR) {
		return &e->matrix.vector->vector.shift;
	}
	return NULL;
}

static void refuse_modifier(
	struct ops_promql_parser *p, const struct ops_promql_expr *e, const char *what)
{
	if (e->kind == OPS_PROMQL_MATRIX_SELECTOR) {
		ops_promql_problem_add(
			p, e->start, e->end, "ranges only allowed for vector selectors");
		return;
	}
	ops_promql_problem_add(p, e->start, e->end,
		"%s modifier must be preceded by an instant vector selector or range vector "
		"selector or a subquery",
		what);
}

static void set_offset(struct ops_promql_parser *p, struct ops_promql_expr *e,
	const struct ops_promql_expr *duration)
{
	struct ops_promql_shift *shift = shift_of(e);
	if (shift == NULL) {
		refuse_modifier(p, e, "offset");
		return;
	}
	if (shift->offset_ms != 0 || shift->offset_expr != NULL) {
		ops_promql_problem_add(p, e->start, e->end, "offset may not be set multiple times");
	} else if (duration->kind == OPS_PROMQL_NUMBER) {
		shift->offset_ms = milliseconds(duration->number.value);
	} else {
		shift->offset_expr = duration;
	}
	e->end = OPS_MAX(e->end, duration->end);
}

static struct ops_promql_expr *parse_offset(struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	(void)ops_promql_take(p);
	struct ops_promql_expr *duration = ops_promql_parse_offset_duration(p);
	if (duration == NULL) {
		return ops_promql_unexpected(p, "offset", "number, duration, step(), or range()")
			       ? e
			       : NULL;
	}
	set_offset(p, e, duration);
	return e;
}

/* The shift of e when @ may be set there, else NULL with a finding. */
static struct ops_promql_shift *shift_for_at(struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	struct ops_promql_shift *shift = shift_of(e);
	if (shift == NULL) {
		refuse_modifier(p, e, "@");
		return NULL;
	}
	if (shift->at != OPS_PROMQL_AT_NONE) {
		ops_promql_problem_add(
			p, e->start, e->end, "@ <timestamp> may not be set multiple times");
		return NULL;
	}
	return shift;
}

static const char *bound_text(struct ops_promql_parser *p, double v)
{
	if (isnan(v)) {
		return "NaN";
	}
	return isinf(v) ? (v > 0 ? "+Inf" : "-Inf") : ops_arena_printf(p->arena, "%f", v);
}

static void set_at(struct ops_promql_parser *p, struct ops_promql_expr *e, double seconds)
{
	const double limit = 9223372036854775.0; /* what int64 holds in milliseconds */
	if (!(seconds > -limit && seconds < limit)) {
		ops_promql_problem_add(p, e->start, e->end,
			"timestamp out of bounds for @ modifier: %s", bound_text(p, seconds));
		seconds = 0;
	}
	struct ops_promql_shift *shift = shift_for_at(p, e);
	if (shift != NULL) {
		shift->at = OPS_PROMQL_AT_TIMESTAMP;
		shift->at_ms = (int64_t)round(seconds * 1000);
		e->end = p->last_closing;
	}
}

/* start() or end() */
static bool parse_at_function(struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	enum ops_promql_token_type t = ops_promql_take(p).type;
	if (!ops_promql_expect(p, TOK_LEFT_PAREN) || !ops_promql_expect(p, TOK_RIGHT_PAREN)) {
		return false;
	}
	struct ops_promql_shift *shift = shift_for_at(p, e);
	if (shift != NULL) {
		shift->at = t == TOK_START ? OPS_PROMQL_AT_START : OPS_PROMQL_AT_END;
		e->end = p->last_closing;
	}
	return true;
}

/* A number with an optional sign. */
static bool parse_at_number(struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	double sign = t == TOK_OP_SUB ? -1 : 1;
	if (t == TOK_OP_ADD || t == TOK_OP_SUB) {
		(void)ops_promql_take(p);
		t = ops_promql_peek_type(p);
	}
	if (t != TOK_NUMBER && t != TOK_DURATION) {
		return false;
	}
	struct ops_promql_token number = ops_promql_take(p);
	set_at(p, e, sign * ops_promql_token_number(p, &number));
	return true;
}

static struct ops_promql_expr *parse_at(struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	(void)ops_promql_take(p);
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	bool ok = t == TOK_START || t == TOK_END ? parse_at_function(p, e) : parse_at_number(p, e);
	if (!ok && !ops_promql_unexpected(p, "@", "timestamp")) {
		return NULL;
	}
	return e;
}

static void check_range_operand(
	struct ops_promql_parser *p, const struct ops_promql_expr *e, uint32_t start, uint32_t end)
{
	const char *message = NULL;
	if (e->kind != OPS_PROMQL_VECTOR_SELECTOR) {
		message = "ranges only allowed for vector selectors";
	} else if (e->vector.shift.offset_ms != 0 || e->vector.shift.offset_expr != NULL) {
		message = "no offset modifiers allowed before range";
	} else if (e->vector.shift.at != OPS_PROMQL_AT_NONE) {
		message = "no @ modifiers allowed before range";
	}
	if (message != NULL) {
		ops_promql_problem_add(p, start, end, "%s", message);
	}
}

/* e [ range ] */
static struct ops_promql_expr *make_matrix(struct ops_promql_parser *p, struct ops_promql_expr *e,
	const struct ops_promql_expr *range, uint32_t bracket)
{
	struct ops_promql_expr *m =
		ops_promql_node(p, OPS_PROMQL_MATRIX_SELECTOR, e->start, p->last_closing);
	check_range_operand(p, e, bracket, p->last_closing);
	m->matrix.vector = e;
	if (range->kind == OPS_PROMQL_NUMBER) {
		m->matrix.range_ms = range_milliseconds(range->number.value);
	} else {
		m->matrix.range_expr = range;
	}
	return ops_promql_raise(p, m, e) ? m : NULL;
}

/* e [ range : step ], step NULL when left out */
static struct ops_promql_expr *make_subquery(struct ops_promql_parser *p, struct ops_promql_expr *e,
	const struct ops_promql_expr *range, const struct ops_promql_expr *step)
{
	struct ops_promql_expr *s =
		ops_promql_node(p, OPS_PROMQL_SUBQUERY, e->start, p->last_closing);
	s->subquery.expr = e;
	if (range->kind == OPS_PROMQL_NUMBER) {
		s->subquery.range_ms = range_milliseconds(range->number.value);
	} else {
		s->subquery.range_expr = range;
	}
	if (step != NULL && step->kind == OPS_PROMQL_NUMBER) {
		s->subquery.step_ms = range_milliseconds(step->number.value);
	} else {
		s->subquery.step_expr = step;
	}
	return ops_promql_raise(p, s, e) ? s : NULL;
}

static struct ops_promql_expr *give_up(struct ops_promql_parser *p, struct ops_promql_expr *e,
	const char *context, const char *expected)
{
	return ops_promql_unexpected(p, context, expected) ? e : NULL;
}

/* Behind the colon of a subquery. */
static struct ops_promql_expr *parse_step(
	struct ops_promql_parser *p, struct ops_promql_expr *e, const struct ops_promql_expr *range)
{
	if (ops_promql_accept(p, TOK_RIGHT_BRACKET)) {
		return make_subquery(p, e, range, NULL);
	}
	struct ops_promql_expr *step = ops_promql_parse_positive_duration(p);
	if (step == NULL) {
		return give_up(
			p, e, "subquery selector", "number, duration, step(), range(), or \"]\"");
	}
	if (!ops_promql_accept(p, TOK_RIGHT_BRACKET)) {
		return give_up(p, e, "subquery selector", "\"]\"");
	}
	return make_subquery(p, e, range, step);
}

static struct ops_promql_expr *parse_bracket(struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	uint32_t bracket = ops_promql_take(p).start;
	struct ops_promql_expr *range = ops_promql_parse_positive_duration(p);
	if (range == NULL) {
		return give_up(
			p, e, "subquery or range selector", "number, duration, step(), or range()");
	}
	if (ops_promql_accept(p, TOK_RIGHT_BRACKET)) {
		return make_matrix(p, e, range, bracket);
	}
	if (ops_promql_accept(p, TOK_COLON)) {
		return parse_step(p, e, range);
	}
	return give_up(p, e, "subquery or range", "\":\" or \"]\"");
}

/* Sets *set unless *other is set; both belong to one selector. */
static void set_extended(
	struct ops_promql_parser *p, const struct ops_promql_expr *e, bool *set, const bool *other)
{
	*set = true;
	if (*other) {
		ops_promql_problem_add(p, e->start, e->end,
			"anchored and smoothed modifiers cannot be used together");
	}
}

static struct ops_promql_expr *parse_extended(
	struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	struct ops_promql_token t = ops_promql_take(p);
	bool anchored = t.type == TOK_ANCHORED;
	const char *word = anchored ? "anchored" : "smoothed";
	struct ops_promql_expr *vector =
		e->kind == OPS_PROMQL_MATRIX_SELECTOR ? e->matrix.vector : e;
	if ((p->features & OPS_PROMQL_EXTENDED_RANGE) == 0) {
		ops_promql_problem_add(
			p, e->start, e->end, "%s modifier is experimental and not enabled", word);
	} else if (vector->kind == OPS_PROMQL_VECTOR_SELECTOR) {
		struct ops_promql_vector_selector *vs = &vector->vector;
		set_extended(p, e, anchored ? &vs->anchored : &vs->smoothed,
			anchored ? &vs->smoothed : &vs->anchored);
		e->end = t.end;
	} else if (e->kind == OPS_PROMQL_SUBQUERY) {
		ops_promql_problem_add(
			p, e->start, e->end, "%s modifier is not supported for subqueries", word);
	} else if (e->kind != OPS_PROMQL_MATRIX_SELECTOR) {
		ops_promql_problem_add(p, e->start, e->end, "%s modifier not implemented", word);
	}
	return e;
}

struct ops_promql_expr *ops_promql_parse_modifiers(
	struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	while (e != NULL) {
		enum ops_promql_token_type t = ops_promql_peek_type(p);
		if (t == TOK_LEFT_BRACKET) {
			e = parse_bracket(p, e);
		} else if (t == TOK_OFFSET) {
			e = parse_offset(p, e);
		} else if (t == TOK_AT) {
			e = parse_at(p, e);
		} else if (t == TOK_ANCHORED || t == TOK_SMOOTHED) {
			e = parse_extended(p, e);
		} else {
			break;
		}
	}
	return e;
}
