/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matchers to series. A series has exactly one value per name; a matcher that accepts the empty
 * value also accepts series without the label, so it is turned round: what its refused values hold
 * is taken away from the rest.
 *
 * An expression is tried against each distinct value of its name once in the life of both: what it
 * accepted is kept by (name, operator, pattern) with how far it got in the name's list, and goes on
 * from there when values were added. The cache has its own lock, since readers fill it.
 */
#include <string.h>

#include "common/base/strbuf.h"
#include "services/detector/store/index.h"

#define CACHE_MAX 512u

struct accepted { /* behind it n ids; allocated in one piece so that free() frees it */
	uint32_t tried, removals;
	uint32_t n, cap;
	uint32_t ids[];
};

struct operand {
	roaring_bitmap_t *series;
	bool owned;
};

static void operand_done(struct operand *o)
{
	if (o->owned) {
		roaring_bitmap_free(o->series);
	}
}

static struct operand of_pair(const struct det_pair *p)
{
	if (p != NULL && p->series != NULL) {
		return (struct operand){p->series, false};
	}
	roaring_bitmap_t *r = roaring_bitmap_create_with_capacity(1);
	if (p != NULL && p->nseries == 1) {
		roaring_bitmap_add(r, p->only);
	}
	return (struct operand){r, true};
}

/* The series of all the pairs. */
static struct operand of_pairs(const struct det_index *ix, const uint32_t *ids, uint32_t n)
{
	if (n == 1) {
		return of_pair(ix->pairs[ids[0]]);
	}
	const roaring_bitmap_t **many = ops_xcalloc(n + 1u, sizeof(*many));
	uint32_t *singles = ops_xcalloc(n + 1u, sizeof(*singles));
	uint32_t nmany = 0, nsingles = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct det_pair *p = ix->pairs[ids[i]];
		if (p->series != NULL) {
			many[nmany++] = p->series;
		} else if (p->nseries == 1) {
			singles[nsingles++] = p->only;
		}
	}
	roaring_bitmap_t *r =
		nmany != 0 ? roaring_bitmap_or_many(nmany, many) : roaring_bitmap_create();
	if (nsingles != 0) {
		roaring_bitmap_add_many(r, nsingles, singles);
	}
	free(many);
	free(singles);
	return (struct operand){r, true};
}

static struct accepted *accepted_add(struct accepted *a, uint32_t id)
{
	if (a->n == a->cap) {
		a->cap = a->cap * 2 + 6;
		a = ops_xrealloc(a, 1, sizeof(*a) + a->cap * sizeof(uint32_t));
	}
	a->ids[a->n++] = id;
	return a;
}

/* a|b|c: its values are looked up, not tried. False: not such an expression. */
static bool of_literals(
	const struct det_index *ix, const struct ops_matcher *m, bool wanted, struct operand *ret)
{
	const char *const *literals;
	size_t nliterals;
	if ((m->op == OPS_MATCH_RE) != wanted || m->re == NULL ||
		!ops_regex_literals(m->re, &literals, &nliterals)) {
		return false;
	}
	uint32_t *ids = ops_xcalloc(nliterals + 1, sizeof(*ids));
	uint32_t n = 0;
	for (size_t i = 0; i < nliterals; i++) {
		const struct ops_label l = {.name = m->name,
			.value = literals[i],
			.name_len = (uint32_t)strlen(m->name),
			.value_len = (uint32_t)strlen(literals[i])};
		const struct det_pair *p = det_index_find(ix, &l);
		bool again = p == NULL;
		for (uint32_t k = 0; k < n && !again; k++) {
			again = ids[k] == p->id;
		}
		if (!again) {
			ids[n++] = p->id;
		}
	}
	*ret = of_pairs(ix, ids, n);
	free(ids);
	return true;
}

static struct accepted *try_values(const struct det_index *ix, const struct det_label_name *n,
	const struct ops_matcher *m, bool wanted, struct accepted *a)
{
	if (a->removals != n->removals) {
		a->n = 0;
		a->tried = 0;
		a->removals = n->removals;
	}
	while (a->tried < n->npairs) {
		uint32_t id = n->pairs[a->tried++];
		if (ops_matcher_match_value(m, ix->pairs[id]->text) == wanted) {
			a = accepted_add(a, id);
		}
	}
	return a;
}

/* Under the cache's lock. */
static struct operand of_tried(struct det_index *ix, const struct det_label_name *n,
	const struct ops_matcher *m, bool wanted)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf key = OPS_STRBUF_INIT;
	ops_strbuf_printf(&key, "%d%d%s", (int)m->op, wanted, m->name);
	ops_strbuf_addc(&key, '\0');
	ops_strbuf_adds(&key, m->value);
	struct accepted *a = ops_map_get(ix->cache, key.data, key.len);
	if (a == NULL) {
		if (ops_map_count(ix->cache) >= CACHE_MAX) {
			ops_map_free(ix->cache, free);
			ix->cache = ops_map_new();
		}
		a = ops_xcalloc(1, sizeof(*a));
		a->removals = n->removals;
	}
	a = try_values(ix, n, m, wanted, a);
	(void)ops_map_put(ix->cache, key.data, key.len, a);
	return of_pairs(ix, a->ids, a->n);
}

/* Series of all values of the matcher's name that it accepts (or, wanted false, refuses). */
static struct operand of_values(struct det_index *ix, const struct ops_matcher *m, bool wanted)
{
	const struct det_label_name *n = ops_map_gets(ix->names, m->name);
	if (n == NULL) {
		return of_pair(NULL);
	}
	if ((m->op == OPS_MATCH_EQ && wanted) || (m->op == OPS_MATCH_NE && !wanted)) {
		const struct ops_label l = {.name = m->name,
			.value = m->value,
			.name_len = (uint32_t)strlen(m->name),
			.value_len = (uint32_t)strlen(m->value)};
		return of_pair(det_index_find(ix, &l));
	}
	struct operand ret;
	if (of_literals(ix, m, wanted, &ret)) {
		return ret;
	}
	pthread_mutex_lock(&ix->cache_lock);
	ret = of_tried(ix, n, m, wanted);
	pthread_mutex_unlock(&ix->cache_lock);
	return ret;
}

/* *result becomes its intersection with what the matcher accepts; NULL stands for everything. */
static void keep(struct det_index *ix, const struct ops_matcher *m, roaring_bitmap_t **result)
{
	struct operand o = of_values(ix, m, true);
	if (*result != NULL) {
		roaring_bitmap_and_inplace(*result, o.series);
		operand_done(&o);
	} else {
		*result = o.owned ? o.series : roaring_bitmap_copy(o.series);
	}
}

static bool is_eq(const struct ops_matcher *m)
{
	return m->op == OPS_MATCH_EQ;
}

struct det_ids det_index_match(
	struct det_index *ix, const struct ops_matchers *matchers, struct ops_arena *arena)
{
	roaring_bitmap_t *result = NULL;
	for (int eq = 1; eq >= 0; eq--) { /* the cheap and selective ones first */
		for (size_t i = 0; i < matchers->n; i++) {
			const struct ops_matcher *m = &matchers->items[i];
			if (is_eq(m) == (eq == 1) && !ops_matcher_match_value(m, "")) {
				keep(ix, m, &result);
			}
		}
	}
	for (size_t i = 0; i < matchers->n; i++) {
		const struct ops_matcher *m = &matchers->items[i];
		if (ops_matcher_match_value(m, "")) {
			struct operand refused = of_values(ix, m, false);
			result = result != NULL ? result : roaring_bitmap_copy(ix->all);
			roaring_bitmap_andnot_inplace(result, refused.series);
			operand_done(&refused);
		}
	}
	const roaring_bitmap_t *from = result != NULL ? result : ix->all;
	struct det_ids ret = {.n = roaring_bitmap_get_cardinality(from)};
	uint32_t *ids = ops_arena_array(arena, uint32_t, ret.n + 1);
	roaring_bitmap_to_uint32_array(from, ids);
	ret.ids = ids;
	if (result != NULL) {
		roaring_bitmap_free(result);
	}
	return ret;
}
