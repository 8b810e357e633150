/* SPDX-License-Identifier: Apache-2.0 */
/*
 * and, or, unless: whether a sample stays depends on whether the other side has one with the same
 * signature at that step. The presence of a side is one byte per signature and step.
 */
#include "services/detector/engine/eval.h"

struct side {
	struct det_vec *vec;
	uint32_t *sig;
};

static void number(struct det_eval *ev, const struct ops_promql_matching *m,
	struct det_lset_map *map, struct side *side)
{
	side->sig = det_scratch(ev, side->vec->n, sizeof(uint32_t));
	for (size_t c = 0; c < side->vec->n; c++) {
		struct det_lset ls = det_match_signature(ev, m, &side->vec->cols[c].labels);
		side->sig[c] = (uint32_t)det_lset_map_add(map, &ls);
	}
}

static uint8_t *presence(struct det_eval *ev, const struct side *side, size_t nsig)
{
	uint8_t *present = det_scratch(ev, nsig, ev->nsteps);
	for (size_t c = 0; c < side->vec->n; c++) {
		uint8_t *row = present + side->sig[c] * ev->nsteps;
		for (size_t i = 0; i < ev->nsteps; i++) {
			row[i] |= !det_is_absent(side->vec->cols[c].v[i]);
		}
	}
	return present;
}

/* Keeps what the other side has (wanted) or has not. */
static void keep(struct det_eval *ev, const struct side *side, const uint8_t *other, bool wanted)
{
	for (size_t c = 0; c < side->vec->n; c++) {
		const uint8_t *row = other + side->sig[c] * ev->nsteps;
		double *v = side->vec->cols[c].v;
		for (size_t i = 0; i < ev->nsteps; i++) {
			if ((row[i] != 0) != wanted) {
				v[i] = det_absent();
			}
		}
	}
	det_vec_trim(ev, side->vec);
}

static int join(
	struct det_eval *ev, const struct det_vec *a, const struct det_vec *b, struct det_vec *ret)
{
	int rc = det_vec_init(ev, ret, a->n + b->n);
	for (size_t c = 0; rc == 0 && c < a->n + b->n; c++) {
		const struct det_col *from = c < a->n ? &a->cols[c] : &b->cols[c - a->n];
		struct det_col *to = det_vec_add(ev, ret, &from->labels);
		to->drop_name = from->drop_name;
		for (size_t i = 0; rc == 0 && i < ev->nsteps; i++) {
			rc = det_col_copy(ev, to, from, i);
		}
	}
	return rc == 0 ? det_vec_merge(ev, ret) : rc;
}

int det_eval_set(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *lhs,
	struct det_vec *rhs, struct det_vec *ret)
{
	struct det_lset_map map;
	struct side l = {.vec = lhs}, r = {.vec = rhs};
	det_lset_map_init(&map, ev->sh->arena, lhs->n + rhs->n);
	number(ev, e->binary.matching, &map, &l);
	number(ev, e->binary.matching, &map, &r);
	if (e->binary.op == OPS_PROMQL_OP_OR) {
		keep(ev, &r, presence(ev, &l, map.n), false);
		int rc = join(ev, lhs, rhs, ret);
		det_vec_done(ev, lhs);
		det_vec_done(ev, rhs);
		return rc;
	}
	keep(ev, &l, presence(ev, &r, map.n), e->binary.op == OPS_PROMQL_OP_AND);
	*ret = *lhs;
	det_vec_done(ev, rhs);
	return 0;
}
