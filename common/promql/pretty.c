/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node whose canonical text is longer than the width is split: its parts go on lines of their
 * own, one level deeper. Selectors are never split. The layout, odd spots included (a short
 * subquery below the first level is not indented), is that of `promtool promql format`, so that
 * files formatted there do not change here.
 *
 * A node measures itself by printing, so a deep tree is printed once per level; queries are short
 * and this is the command line's business only.
 */
#include "common/base/strbuf.h"
#include "common/promql/parse.h"
#include "common/promql/print.h"

struct pretty {
	struct ops_strbuf *out;
	size_t width;
};

static void pretty_node(struct pretty *p, const struct ops_promql_expr *e, int level);

static void indent(struct pretty *p, int level)
{
	for (int i = 0; i < level; i++) {
		ops_strbuf_adds(p->out, "  ");
	}
}

static bool fits(const struct pretty *p, const struct ops_promql_expr *e)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_promql_print(e, &text);
	bool ok = text.len <= p->width;
	ops_strbuf_done(&text);
	return ok;
}

static void close_paren(struct pretty *p, int level)
{
	ops_strbuf_addc(p->out, '\n');
	indent(p, level);
	ops_strbuf_addc(p->out, ')');
}

static void pretty_aggregate(struct pretty *p, const struct ops_promql_aggregate *a, int level)
{
	indent(p, level);
	ops_promql_print_aggregate_head(a, p->out);
	ops_strbuf_adds(p->out, "(\n");
	if (a->param != NULL) {
		pretty_node(p, a->param, level + 1);
		ops_strbuf_adds(p->out, ",\n");
	}
	pretty_node(p, a->expr, level + 1);
	close_paren(p, level);
}

static void pretty_binary(struct pretty *p, const struct ops_promql_binary *b, int level)
{
	pretty_node(p, b->lhs, level + 1);
	ops_strbuf_addc(p->out, '\n');
	indent(p, level);
	ops_promql_print_operator(b, p->out);
	ops_strbuf_addc(p->out, '\n');
	pretty_node(p, b->rhs, level + 1);
}

static void pretty_call(struct pretty *p, const struct ops_promql_call *c, int level)
{
	indent(p, level);
	ops_strbuf_printf(p->out, "%s(\n", c->function->name);
	for (size_t i = 0; i < c->nargs; i++) {
		ops_strbuf_adds(p->out, i > 0 ? ",\n" : "");
		pretty_node(p, c->args[i], level + 1);
	}
	close_paren(p, level);
}

static void pretty_paren(struct pretty *p, const struct ops_promql_expr *inner, int level)
{
	indent(p, level);
	ops_strbuf_adds(p->out, "(\n");
	pretty_node(p, inner, level + 1);
	close_paren(p, level);
}

/* The operand is laid out at the same level and loses its indent to the sign. */
static void pretty_unary(struct pretty *p, const struct ops_promql_expr *e, int level)
{
	struct ops_strbuf operand = OPS_STRBUF_INIT;
	struct pretty inner = {.out = &operand, .width = p->width};
	pretty_node(&inner, e->unary.expr, level);
	const char *text = ops_strbuf_text(&operand);
	while (*text == ' ' || *text == '\n') {
		text++;
	}
	indent(p, level);
	ops_strbuf_adds(p->out, ops_promql_op_text(e->unary.op));
	ops_strbuf_adds(p->out, text);
	ops_strbuf_done(&operand);
}

static void pretty_leaf(struct pretty *p, const struct ops_promql_expr *e, int level)
{
	indent(p, level);
	ops_promql_print(e, p->out);
}

static void pretty_subquery(struct pretty *p, const struct ops_promql_expr *e, int level)
{
	if (fits(p, e)) {
		ops_promql_print(e, p->out);
		return;
	}
	pretty_node(p, e->subquery.expr, level);
	ops_promql_print_subquery_suffix(&e->subquery, p->out);
}

static void pretty_node(struct pretty *p, const struct ops_promql_expr *e, int level)
{
	if (e->kind == OPS_PROMQL_SUBQUERY) {
		pretty_subquery(p, e, level);
	} else if (e->kind == OPS_PROMQL_UNARY) {
		pretty_unary(p, e, level);
	} else if (fits(p, e)) {
		pretty_leaf(p, e, level);
	} else if (e->kind == OPS_PROMQL_AGGREGATE) {
		pretty_aggregate(p, &e->aggregate, level);
	} else if (e->kind == OPS_PROMQL_BINARY) {
		pretty_binary(p, &e->binary, level);
	} else if (e->kind == OPS_PROMQL_CALL) {
		pretty_call(p, &e->call, level);
	} else if (e->kind == OPS_PROMQL_PAREN) {
		pretty_paren(p, e->paren, level);
	} else {
		pretty_leaf(p, e, level);
	}
}

void ops_promql_pretty(const struct ops_promql_expr *e, size_t width, struct ops_strbuf *out)
{
	struct pretty p = {.out = out, .width = width};
	pretty_node(&p, e, 0);
}
