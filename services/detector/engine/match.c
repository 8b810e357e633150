/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector matching. Labels are looked at once: every column gets the number of its signature, the
 * columns of the "one" side are chained by signature, and each pair of columns that can meet gets
 * its result column. Then each pair is one loop over the steps.
 *
 * What the language forbids is forbidden per step: two samples of one signature on the "one" side,
 * two on the "many" side of a one-to-one match, two results with the same labels. It can only
 * happen where a signature or a result has more than one column, so only those are checked.
 *
 * group_right is a swap of the sides; the operands are swapped back when computed. fill_left and
 * fill_right stand in for a missing sample of the other side.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <string.h>

#define NONE UINT32_MAX
#define PAIR_DOUBLES 16u /* what a pair and its labels take */

struct match {
	const struct ops_promql_expr *e;
	const struct ops_promql_binary *op;
	const struct ops_promql_matching *m;
	bool swapped, filter, drops_name, one_to_one;
	struct det_vec *many, *one;
	struct det_lset_map signatures;
	uint32_t *sig_many, *sig_one;	/* column -> signature */
	uint32_t *first_one, *next_one; /* chains of one-side columns by signature */
	uint32_t *count_many;		/* columns of a signature on the many side */
	uint8_t *matched;		/* signature x step, where it is needed; else NULL */
	struct det_lset_map results;
	struct pair {
		uint32_t many, one; /* NONE: filled */
		uint32_t result;
	} * pairs;
	size_t npairs, pairs_cap;
	uint32_t *pairs_of_result;
	uint8_t **seen; /* result -> step -> matched already; NULL where one pair feeds it */
};

struct det_lset det_match_signature(
	struct det_eval *ev, const struct ops_promql_matching *m, const struct det_lset *ls)
{
	return m->on ? det_lset_keep(ev->sh->arena, ls, &m->labels)
		     : det_lset_drop(ev->sh->arena, ls, &m->labels, true);
}

static uint32_t *signatures_of(struct det_eval *ev, struct match *x, const struct det_vec *vec)
{
	uint32_t *sig = det_scratch(ev, vec->n, sizeof(uint32_t));
	for (size_t c = 0; c < vec->n; c++) {
		struct det_lset ls = det_match_signature(ev, x->m, &vec->cols[c].labels);
		sig[c] = (uint32_t)det_lset_map_add(&x->signatures, &ls);
	}
	return sig;
}

static void chain(struct det_eval *ev, struct match *x)
{
	size_t nsig = x->signatures.n;
	x->first_one = det_scratch(ev, nsig, sizeof(uint32_t));
	x->next_one = det_scratch(ev, x->one->n, sizeof(uint32_t));
	x->count_many = det_scratch(ev, nsig, sizeof(uint32_t));
	for (size_t s = 0; s < nsig; s++) {
		x->first_one[s] = NONE;
	}
	for (size_t c = x->one->n; c-- > 0;) {
		x->next_one[c] = x->first_one[x->sig_one[c]];
		x->first_one[x->sig_one[c]] = (uint32_t)c;
	}
	for (size_t c = 0; c < x->many->n; c++) {
		x->count_many[x->sig_many[c]]++;
	}
}

static struct det_lset result_labels(struct det_eval *ev, const struct match *x,
	const struct det_lset *many, const struct det_lset *one)
{
	struct ops_arena *arena = ev->sh->arena;
	struct det_lset out = x->drops_name ? det_lset_drop_metadata(arena, many) : *many;
	if (x->one_to_one) {
		out = x->m->on ? det_lset_keep(arena, &out, &x->m->labels)
			       : det_lset_drop(arena, &out, &x->m->labels, false);
	}
	for (size_t i = 0; i < x->m->include.n; i++) {
		const char *name = x->m->include.items[i].text;
		out = det_lset_set(arena, &out, name, det_lset_get(one, name));
	}
	return out;
}

/* Whether both have a sample at some step. */
static bool meet(const struct det_eval *ev, const double *a, const double *b)
{
	size_t i = 0;
	while (i < ev->nsteps && (det_is_absent(a[i]) || det_is_absent(b[i]))) {
		i++;
	}
	return i < ev->nsteps;
}

static void add_pair(struct det_eval *ev, struct match *x, uint32_t many, uint32_t one)
{
	struct det_lset filled;
	const struct det_lset *l = many != NONE ? &x->many->cols[many].labels : &filled;
	const struct det_lset *r = one != NONE ? &x->one->cols[one].labels : &filled;
	if (many == NONE || one == NONE) {
		filled = det_match_signature(ev, x->m, many == NONE ? r : l);
	}
	struct det_lset labels = result_labels(ev, x, l, r);
	if (x->npairs == x->pairs_cap) {
		size_t cap = x->pairs_cap * 2 + 16;
		struct pair *grown = det_scratch(ev, cap, sizeof(*grown));
		if (x->npairs != 0) {
			memcpy(grown, x->pairs, x->npairs * sizeof(*grown));
		}
		x->pairs = grown;
		x->pairs_cap = cap;
	}
	x->pairs[x->npairs++] =
		(struct pair){many, one, (uint32_t)det_lset_map_add(&x->results, &labels)};
}

/* fill() for a missing sample of the "one" side is the right one's, as upstream has it. */
static bool fills_one(const struct match *x, double *ret)
{
	*ret = x->m->fill_right;
	return x->m->has_fill_right;
}

static bool fills_many(const struct match *x, double *ret)
{
	*ret = x->m->fill_left;
	return x->m->has_fill_left;
}

static int may_pair(struct det_eval *ev, const struct match *x)
{
	if (x->npairs * PAIR_DOUBLES > ev->sh->options.max_samples) {
		return det_eval_fail(ev, -E2BIG, "vector matching makes too many pairs");
	}
	return det_eval_spend(ev, 16);
}

static int make_pairs(struct det_eval *ev, struct match *x)
{
	double unused;
	for (uint32_t c = 0; c < x->many->n; c++) {
		for (uint32_t o = x->first_one[x->sig_many[c]]; o != NONE; o = x->next_one[o]) {
			if (meet(ev, x->many->cols[c].v, x->one->cols[o].v)) {
				add_pair(ev, x, c, o);
			}
			int rc = may_pair(ev, x);
			if (rc != 0) {
				return rc;
			}
		}
		if (fills_one(x, &unused)) {
			add_pair(ev, x, c, NONE);
		}
	}
	for (uint32_t o = 0; fills_many(x, &unused) && o < x->one->n; o++) {
		add_pair(ev, x, NONE, o);
	}
	return 0;
}

static bool any_many(const struct match *x, size_t step)
{
	for (size_t c = 0; c < x->many->n; c++) {
		if (!det_is_absent(x->many->cols[c].v[step])) {
			return true;
		}
	}
	return x->m->has_fill_left || x->m->has_fill_right;
}

static int fail_duplicate(struct det_eval *ev, const struct match *x, uint32_t a, uint32_t b)
{
	struct ops_arena *arena = ev->sh->arena;
	struct det_lset group = det_match_signature(ev, x->m, &x->one->cols[a].labels);
	const char *first = det_lset_text(arena, &x->one->cols[a].labels);
	const char *second = det_lset_text(arena, &x->one->cols[b].labels);
	bool in_order = strcmp(first, second) <= 0;
	return det_eval_fail(ev, -EINVAL,
		"found duplicate series for the match group %s on the %s hand-side of the "
		"operation: "
		"[%s, %s];many-to-many matching not allowed: matching labels must be unique on one "
		"side",
		det_lset_text(arena, &group), x->swapped ? "left" : "right",
		in_order ? first : second, in_order ? second : first);
}

static int check_one_side(struct det_eval *ev, const struct match *x)
{
	for (size_t s = 0; s < x->signatures.n; s++) {
		uint32_t first = x->first_one[s];
		if (first == NONE || x->next_one[first] == NONE) {
			continue;
		}
		for (size_t i = 0; i < ev->nsteps; i++) {
			uint32_t have = NONE;
			for (uint32_t o = first; o != NONE; o = x->next_one[o]) {
				if (det_is_absent(x->one->cols[o].v[i])) {
					continue;
				}
				if (have != NONE && any_many(x, i)) {
					return fail_duplicate(ev, x, have, o);
				}
				have = o;
			}
		}
	}
	return 0;
}

/* A filled pair applies where its other side has no sample. */
static bool fill_applies(
	const struct det_eval *ev, const struct match *x, const struct pair *p, size_t step)
{
	if (p->many == NONE) {
		size_t sig = x->sig_one[p->one];
		return !x->matched[sig * ev->nsteps + step];
	}
	for (uint32_t o = x->first_one[x->sig_many[p->many]]; o != NONE; o = x->next_one[o]) {
		if (!det_is_absent(x->one->cols[o].v[step])) {
			return false;
		}
	}
	return true;
}

static int mark(struct det_eval *ev, struct match *x, const struct pair *p, size_t step)
{
	if (x->matched != NULL) {
		size_t sig = p->many != NONE ? x->sig_many[p->many] : x->sig_one[p->one];
		uint8_t *at = &x->matched[sig * ev->nsteps + step];
		if (*at && x->one_to_one) {
			return det_eval_fail(ev, -EINVAL,
				"multiple matches for labels: many-to-one matching must be "
				"explicit "
				"(group_left/group_right)");
		}
		*at = 1;
	}
	uint8_t *seen = x->seen[p->result];
	if (seen != NULL) {
		if (seen[step]) {
			return det_eval_fail(ev, -EINVAL,
				x->one_to_one ? "multiple matches for labels: many-to-one matching "
						"must be "
						"explicit (group_left/group_right)"
					      : "multiple matches for labels: grouping labels must "
						"ensure "
						"unique matches");
		}
		seen[step] = 1;
	}
	return 0;
}

static double pair_value(const struct match *x, double many, double one)
{
	double l = x->swapped ? one : many, r = x->swapped ? many : one;
	double v = det_binary_op(x->op->op, l, r);
	return !x->filter ? v : v != 0 ? l : det_absent();
}

/* A step where a side is a histogram, or the operator is one of histograms. */
static int run_native(struct det_eval *ev, struct match *x, const struct pair *p,
	const struct det_operand sides[2], struct det_col *out, size_t step)
{
	struct det_operand r, side[2] = {sides[x->swapped], sides[!x->swapped]};
	bool keep;
	int rc = det_native_binary(ev, x->e, side, &r, &keep);
	if (rc != 0 || r.h == NULL) {
		return rc; /* without a result nothing has matched */
	}
	rc = mark(ev, x, p, step);
	if (rc == 0 && x->op->return_bool) {
		out->v[step] = keep;
	} else if (rc == 0 && keep) {
		rc = det_col_set(ev, out, step, r.h);
	}
	return rc;
}

static bool pair_has_histograms(const struct match *x, const struct pair *p)
{
	return (p->many != NONE && x->many->cols[p->many].h != NULL) ||
	       (p->one != NONE && x->one->cols[p->one].h != NULL) || det_is_trim(x->op->op);
}

static const struct ops_histogram *histogram_of(
	const struct det_vec *vec, uint32_t column, size_t step)
{
	return column != NONE ? det_col_histogram(&vec->cols[column], step) : NULL;
}

static int run_pair(struct det_eval *ev, struct match *x, const struct pair *p, struct det_col *out)
{
	bool native = pair_has_histograms(x, p);
	double fill = 0;
	bool filled = p->many == NONE  ? fills_many(x, &fill)
		      : p->one == NONE ? fills_one(x, &fill)
				       : false;
	const double *many = p->many != NONE ? x->many->cols[p->many].v : NULL;
	const double *one = p->one != NONE ? x->one->cols[p->one].v : NULL;
	bool plain = x->matched == NULL && x->seen[p->result] == NULL;
	for (size_t i = 0; i < ev->nsteps; i++) {
		double m = many != NULL ? many[i] : fill, o = one != NULL ? one[i] : fill;
		if (det_is_absent(m) || det_is_absent(o) ||
			(filled && !fill_applies(ev, x, p, i))) {
			continue;
		}
		if (native) {
			const struct det_operand sides[2] = {{m, histogram_of(x->many, p->many, i)},
				{o, histogram_of(x->one, p->one, i)}};
			if (sides[0].h != NULL || sides[1].h != NULL || det_is_trim(x->op->op)) {
				int failed = run_native(ev, x, p, sides, out, i);
				if (failed != 0) {
					return failed;
				}
				continue;
			}
		}
		int rc = plain ? 0 : mark(ev, x, p, i);
		if (rc != 0) {
			return rc;
		}
		double v = pair_value(x, m, o);
		if (!det_is_absent(v)) {
			out->v[i] = v;
		}
	}
	return 0;
}

static void plan_checks(struct det_eval *ev, struct match *x)
{
	bool needs_matched = x->m->has_fill_left;
	for (size_t s = 0; s < x->signatures.n && x->one_to_one; s++) {
		needs_matched = needs_matched || x->count_many[s] > 1;
	}
	if (needs_matched) {
		x->matched = det_scratch(ev, x->signatures.n, ev->nsteps);
	}
	x->seen = det_scratch(ev, x->results.n, sizeof(uint8_t *));
	x->pairs_of_result = det_scratch(ev, x->results.n, sizeof(uint32_t));
	for (size_t p = 0; p < x->npairs; p++) {
		x->pairs_of_result[x->pairs[p].result]++;
	}
	for (size_t r = 0; r < x->results.n; r++) {
		if (x->pairs_of_result[r] > 1) {
			x->seen[r] = det_scratch(ev, ev->nsteps, 1);
		}
	}
}

static int run_pairs(struct det_eval *ev, struct match *x, struct det_vec *ret)
{
	plan_checks(ev, x);
	int rc = det_vec_init(ev, ret, x->results.n);
	for (size_t r = 0; rc == 0 && r < x->results.n; r++) {
		struct det_col *col = det_vec_add(ev, ret, &x->results.sets[r]);
		col->drop_name = x->op->return_bool;
	}
	for (size_t p = 0; rc == 0 && p < x->npairs; p++) {
		const struct pair *pair = &x->pairs[p];
		struct det_col *col = &ret->cols[pair->result];
		bool inherits =
			!x->drops_name && pair->many != NONE && x->many->cols[pair->many].drop_name;
		col->drop_name = col->drop_name || inherits;
		rc = run_pair(ev, x, pair, col);
		if (rc == 0) {
			rc = det_eval_check(ev);
		}
	}
	if (rc == 0) {
		det_vec_trim(ev, ret);
	}
	return rc;
}

int det_eval_match(struct det_eval *ev, const struct ops_promql_expr *e, struct det_vec *lhs,
	struct det_vec *rhs, struct det_vec *ret)
{
	const struct ops_promql_binary *b = &e->binary;
	struct match x = {.e = e, .op = b, .m = b->matching};
	bool comparison = ops_promql_op_is_comparison(b->op);
	x.swapped = b->matching->card == OPS_PROMQL_ONE_TO_MANY;
	x.one_to_one = b->matching->card == OPS_PROMQL_ONE_TO_ONE;
	x.filter = comparison && !b->return_bool;
	x.drops_name = !comparison && !det_is_trim(b->op);
	x.many = x.swapped ? rhs : lhs;
	x.one = x.swapped ? lhs : rhs;
	det_lset_map_init(&x.signatures, ev->sh->arena, x.one->n);
	x.sig_one = signatures_of(ev, &x, x.one);
	x.sig_many = signatures_of(ev, &x, x.many);
	chain(ev, &x);
	int rc = check_one_side(ev, &x);
	if (rc != 0) {
		return rc;
	}
	det_lset_map_init(&x.results, ev->sh->arena, x.many->n);
	rc = make_pairs(ev, &x);
	return rc == 0 ? run_pairs(ev, &x, ret) : rc;
}
