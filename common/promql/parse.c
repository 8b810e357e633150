/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doors of the parser: an expression, or a selector alone. Types are only checked when the
 * syntax is sound, so that one slip does not hide behind its consequences.
 */
#include "common/promql/parse.h"

#include <errno.h>
#include <string.h>

#include "common/promql/parser.h"

void ops_promql_error_fill(const struct ops_promql_source *src,
	const struct ops_promql_problem *first, struct ops_error *err)
{
	int line = 1;
	uint32_t line_start = 0;
	uint32_t start = first->start > src->len ? (uint32_t)src->len : first->start;
	for (uint32_t i = 0; i < start; i++) {
		if (src->text[i] == '\n') {
			line++;
			line_start = i + 1;
		}
	}
	(void)ops_error_set_at(err, -EINVAL, "", line, (int)(start - line_start) + 1,
		"parse error: %s", first->message);
}

static int finish(const struct ops_promql_source *src, const struct ops_promql_problems *problems,
	struct ops_error *err)
{
	if (problems->n == 0) {
		return 0;
	}
	ops_promql_error_fill(src, &problems->items[0], err);
	return -EINVAL;
}

static int check_size(const struct ops_promql_source *src, struct ops_promql_problems *problems)
{
	problems->n = 0;
	if (src->len <= OPS_PROMQL_MAX_BYTES) {
		return 0;
	}
	problems->items[problems->n++] =
		(struct ops_promql_problem){.message = "expression is too long"};
	return -EFBIG;
}

/* An expression up to the end of the text, or NULL with a finding. */
static struct ops_promql_expr *parse_whole(struct ops_promql_parser *p)
{
	if (ops_promql_peek_type(p) == TOK_EOF) {
		ops_promql_problem_add(p, 0, 0, "no expression found in input");
		return NULL;
	}
	struct ops_promql_expr *e = ops_promql_parse_expr(p);
	enum ops_promql_token_type t = ops_promql_peek_type(p);
	bool whole = e != NULL && (t == TOK_EOF || t == TOK_ERROR);
	return whole || ops_promql_unexpected(p, NULL, NULL) ? e : NULL;
}

int ops_promql_parse_all(struct ops_arena *arena, const struct ops_promql_source *src,
	struct ops_promql_expr **ret, struct ops_promql_problems *ret_problems)
{
	struct ops_promql_parser p;
	int r = check_size(src, ret_problems);
	if (r != 0) {
		return r;
	}
	ops_promql_parser_init(&p, arena, src, false, ret_problems);
	struct ops_promql_expr *e = parse_whole(&p);
	if (e != NULL && ret_problems->n == 0) {
		ops_promql_check(&p, e);
	}
	if (ret_problems->n != 0) {
		return -EINVAL;
	}
	*ret = e;
	return 0;
}

int ops_promql_parse(struct ops_arena *arena, const struct ops_promql_source *src,
	struct ops_promql_expr **ret, struct ops_error *err)
{
	struct ops_promql_problems problems;
	int r = ops_promql_parse_all(arena, src, ret, &problems);
	if (r != 0) {
		ops_promql_error_fill(src, &problems.items[0], err);
	}
	return r;
}

int ops_promql_parse_text(struct ops_arena *arena, const char *text, struct ops_promql_expr **ret,
	struct ops_error *err)
{
	struct ops_promql_source src = {.text = text, .len = strlen(text)};
	return ops_promql_parse(arena, &src, ret, err);
}

/* Upstream never asks for a non-empty matcher here; most users of match[] do. */
int ops_promql_parse_selector(struct ops_arena *arena, const struct ops_promql_source *src,
	struct ops_promql_expr **ret_vector_selector, struct ops_error *err)
{
	struct ops_promql_parser p;
	struct ops_promql_problems problems;
	int r = check_size(src, &problems);
	if (r != 0) {
		ops_promql_error_fill(src, &problems.items[0], err);
		return r;
	}
	ops_promql_parser_init(&p, arena, src, false, &problems);
	struct ops_promql_token name;
	bool named = ops_promql_token_is_metric(ops_promql_peek_type(&p));
	if (named) {
		name = ops_promql_take(&p);
	}
	struct ops_promql_expr *e = NULL;
	if (named || ops_promql_peek_type(&p) == TOK_LEFT_BRACE) {
		e = ops_promql_parse_selector_node(&p, named ? &name : NULL);
	}
	enum ops_promql_token_type t = ops_promql_peek_type(&p);
	bool whole = e != NULL && t == TOK_EOF;
	bool goes_on = whole || ops_promql_unexpected(&p, NULL, NULL);
	if (goes_on && e != NULL && problems.n == 0) {
		e->vector.may_match_all = (p.features & OPS_PROMQL_MATCH_ALL) != 0;
		ops_promql_check(&p, e);
	}
	r = finish(src, &problems, err);
	if (r == 0) {
		*ret_vector_selector = e;
	}
	return r;
}
