/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector selectors: name{label op "value", ...}, {"quoted name", ...}. Regular expressions are
 * compiled once here, to refuse bad ones at the right place and to learn whether they match the
 * empty text (which "selects everything" is about); the evaluator compiles its own.
 */
#include "common/promql/parser.h"

static const struct ops_promql_string metric_name = {OPS_LABEL_NAME, sizeof(OPS_LABEL_NAME) - 1};

static struct ops_promql_matcher *add_matcher(
	struct ops_promql_parser *p, struct ops_promql_vector_selector *vs)
{
	size_t n = vs->nmatchers;
	if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) {
		struct ops_promql_matcher *items =
			ops_arena_array(p->arena, struct ops_promql_matcher, n == 0 ? 4 : n * 2);
		for (size_t i = 0; i < n; i++) {
			items[i] = vs->matchers[i];
		}
		vs->matchers = items;
	}
	return &vs->matchers[vs->nmatchers++];
}

static bool take_match_op(struct ops_promql_parser *p, enum ops_match_op *ret)
{
	static const struct {
		enum ops_promql_token_type type;
		enum ops_match_op op;
	} ops[] = {
		{TOK_EQL, OPS_MATCH_EQ},
		{TOK_OP_NEQ, OPS_MATCH_NE},
		{TOK_EQL_REGEX, OPS_MATCH_RE},
		{TOK_NEQ_REGEX, OPS_MATCH_NRE},
	};
	for (size_t i = 0; i < OPS_LENGTH(ops); i++) {
		if (ops_promql_accept(p, ops[i].type)) {
			*ret = ops[i].op;
			return true;
		}
	}
	return false;
}

static void check_regex(
	struct ops_promql_parser *p, struct ops_promql_matcher *m, uint32_t start, uint32_t end)
{
	struct ops_regex *re = NULL;
	struct ops_error err = {0};
	if (ops_regex_new(m->value.text, m->value.len, &re, &err) != 0) {
		ops_promql_problem_add(p, start, end, "%s", err.message);
		return;
	}
	m->matches_empty = ops_regex_match(re, "", 0) == (m->op == OPS_MATCH_RE);
	ops_regex_free(re);
}

/* name op "value" or "metric name". False: the parse cannot go on. */
static bool parse_matcher(struct ops_promql_parser *p, struct ops_promql_vector_selector *vs)
{
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	struct ops_promql_matcher m = {.op = OPS_MATCH_EQ};
	if (t != TOK_IDENTIFIER && t != TOK_STRING) {
		return ops_promql_unexpected(p, "label matching", "identifier or \"}\"");
	}
	struct ops_promql_token name = ops_promql_take(p);
	m.name = ops_promql_token_string(p, &name);
	if (!take_match_op(p, &m.op)) {
		if (name.type == TOK_IDENTIFIER) {
			return ops_promql_unexpected(
				p, "label matching", "label matching operator");
		}
		m.value = m.name;
		m.name = metric_name;
		m.matches_empty = m.value.len == 0;
		*add_matcher(p, vs) = m;
		return true;
	}
	if (ops_promql_peek_type(p) != TOK_STRING) {
		return ops_promql_unexpected(p, "label matching", "string");
	}
	struct ops_promql_token value = ops_promql_take(p);
	m.value = ops_promql_token_string(p, &value);
	m.matches_empty = (m.value.len == 0) == (m.op == OPS_MATCH_EQ);
	if (m.op == OPS_MATCH_RE || m.op == OPS_MATCH_NRE) {
		check_regex(p, &m, name.start, value.end);
	}
	*add_matcher(p, vs) = m;
	return true;
}

/* { [matcher {, matcher}] [,] } */
static bool parse_braces(struct ops_promql_parser *p, struct ops_promql_expr *e)
{
	struct ops_promql_token open = ops_promql_take(p);
	while (ops_promql_peek_type(p) != TOK_RIGHT_BRACE) {
		if (!parse_matcher(p, &e->vector)) {
			return false;
		}
		enum ops_promql_token_type t = ops_promql_peek_type(p);
		if (t != TOK_COMMA && t != TOK_RIGHT_BRACE) {
			if (p->recovering < OPS_PROMQL_QUIET_TOKENS &&
				!ops_promql_unexpected(p, "label matching", "\",\" or \"}\"")) {
				return false;
			}
			if (!ops_promql_skip_to(p, TOK_COMMA, TOK_RIGHT_BRACE)) {
				return false;
			}
		}
		(void)ops_promql_accept(p, TOK_COMMA);
	}
	struct ops_promql_token close = ops_promql_take(p);
	e->start = OPS_MIN(e->start, open.start);
	e->end = close.end;
	return true;
}

struct ops_promql_expr *ops_promql_parse_selector_node(
	struct ops_promql_parser *p, const struct ops_promql_token *name)
{
	uint32_t start = name != NULL ? name->start : ops_promql_peek(p)->start;
	struct ops_promql_expr *e = ops_promql_node(
		p, OPS_PROMQL_VECTOR_SELECTOR, start, name != NULL ? name->end : start);
	e->vector.name.text = "";
	if (ops_promql_peek_type(p) == TOK_LEFT_BRACE && !parse_braces(p, e)) {
		return NULL;
	}
	if (name != NULL) {
		e->vector.name = ops_promql_token_string(p, name);
		*add_matcher(p, &e->vector) = (struct ops_promql_matcher){
			.op = OPS_MATCH_EQ, .name = metric_name, .value = e->vector.name};
	}
	return e;
}
