/* SPDX-License-Identifier: Apache-2.0 */
/* Names of operators and ways through the tree; all facts come from the X-macro lists of ast.h. */
#include "common/promql/ast.h"

const char *ops_promql_op_text(enum ops_promql_op op)
{
#define TEXT(id, text) text,
	static const char *const texts[] = {OPS_PROMQL_OPS(TEXT)};
#undef TEXT
	ops_assert((size_t)op < OPS_LENGTH(texts));
	return texts[op];
}

static const struct {
	const char *text;
	bool param, experimental;
} aggregates[] = {
#define ROW(id, text, param, experimental) {text, param, experimental},
	OPS_PROMQL_AGGREGATES(ROW)
#undef ROW
};

const char *ops_promql_aggr_text(enum ops_promql_aggr op)
{
	ops_assert((size_t)op < OPS_LENGTH(aggregates));
	return aggregates[op].text;
}

bool ops_promql_aggr_has_param(enum ops_promql_aggr op)
{
	ops_assert((size_t)op < OPS_LENGTH(aggregates));
	return aggregates[op].param;
}

bool ops_promql_aggr_is_experimental(enum ops_promql_aggr op)
{
	ops_assert((size_t)op < OPS_LENGTH(aggregates));
	return aggregates[op].experimental;
}

bool ops_promql_op_is_comparison(enum ops_promql_op op)
{
	return op >= OPS_PROMQL_OP_EQL && op <= OPS_PROMQL_OP_GTR;
}

bool ops_promql_op_is_set(enum ops_promql_op op)
{
	return op >= OPS_PROMQL_OP_AND && op <= OPS_PROMQL_OP_UNLESS;
}

const struct ops_promql_expr *ops_promql_unparen(const struct ops_promql_expr *e)
{
	while (e->kind == OPS_PROMQL_PAREN) {
		e = e->paren;
	}
	return e;
}

static struct ops_promql_expr *pick(
	struct ops_promql_expr *first, struct ops_promql_expr *second, size_t i)
{
	if (first == NULL) {
		return i == 0 ? second : NULL;
	}
	return i == 0 ? first : i == 1 ? second : NULL;
}

struct ops_promql_expr *ops_promql_child(const struct ops_promql_expr *e, size_t i)
{
	switch (e->kind) {
	case OPS_PROMQL_MATRIX_SELECTOR:
		return i == 0 ? e->matrix.vector : NULL;
	case OPS_PROMQL_SUBQUERY:
		return i == 0 ? e->subquery.expr : NULL;
	case OPS_PROMQL_UNARY:
		return i == 0 ? e->unary.expr : NULL;
	case OPS_PROMQL_BINARY:
		return pick(e->binary.lhs, e->binary.rhs, i);
	case OPS_PROMQL_AGGREGATE:
		return pick(e->aggregate.param, e->aggregate.expr, i);
	case OPS_PROMQL_CALL:
		return i < e->call.nargs ? e->call.args[i] : NULL;
	case OPS_PROMQL_PAREN:
		return i == 0 ? e->paren : NULL;
	case OPS_PROMQL_NUMBER:
	case OPS_PROMQL_STRING:
	case OPS_PROMQL_VECTOR_SELECTOR:
	case OPS_PROMQL_DURATION:
		return NULL;
	}
	return NULL;
}
