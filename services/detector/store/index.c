/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A series has exactly one value per name, so the postings of different values of a name never
 * overlap: their union is a concatenation that is sorted once. A matcher that accepts the empty
 * value also accepts series without the label; it is turned round: what its refused values hold is
 * taken away from the rest. Ids only grow, so adding is an append.
 */
#include "services/detector/store/index.h"

#include <string.h>

void det_index_init(struct det_index *ix)
{
	*ix = (struct det_index){.names = ops_map_new()};
}

static void value_free(void *p)
{
	struct det_label_value *v = p;
	free(v->postings.ids);
	free(v);
}

static void name_free(void *p)
{
	struct det_label_name *n = p;
	ops_map_free(n->values, value_free);
	free(n);
}

void det_index_done(struct det_index *ix)
{
	ops_map_free(ix->names, name_free);
	free(ix->all.ids);
	*ix = (struct det_index){0};
}

static void postings_add(struct det_index *ix, struct det_postings *p, uint32_t id)
{
	size_t before = p->cap;
	if (p->n == p->cap) {
		p->cap = p->cap != 0 ? p->cap * 2 : 2;
		p->ids = ops_xrealloc(p->ids, p->cap, sizeof(uint32_t));
	}
	p->ids[p->n++] = id;
	ix->bytes += (p->cap - before) * sizeof(uint32_t);
}

static struct det_label_name *name_of(struct det_index *ix, const struct ops_label *l)
{
	struct det_label_name *n = ops_map_get(ix->names, l->name, l->name_len);
	if (n == NULL) {
		n = ops_xcalloc(1, sizeof(*n) + l->name_len + 1);
		char *text = (char *)(n + 1);
		memcpy(text, l->name, l->name_len);
		n->text = text;
		n->values = ops_map_new();
		ops_map_put(ix->names, l->name, l->name_len, n);
		ix->bytes += sizeof(*n) + l->name_len + 64;
	}
	return n;
}

void det_index_add(struct det_index *ix, uint32_t id, const struct ops_labels *labels)
{
	ops_assert(ix->all.n == 0 || ix->all.ids[ix->all.n - 1] < id);
	postings_add(ix, &ix->all, id);
	for (uint32_t i = 0; i < labels->n; i++) {
		const struct ops_label *l = &labels->items[i];
		struct det_label_name *n = name_of(ix, l);
		struct det_label_value *v = ops_map_get(n->values, l->value, l->value_len);
		if (v == NULL) {
			v = ops_xcalloc(1, sizeof(*v) + l->value_len + 1);
			char *text = (char *)(v + 1);
			memcpy(text, l->value, l->value_len);
			v->text = text;
			ops_map_put(n->values, l->value, l->value_len, v);
			ix->bytes += sizeof(*v) + 2 * (size_t)l->value_len + 64;
			ix->pairs++;
		}
		postings_add(ix, &v->postings, id);
	}
}

void det_index_mark(struct det_index *ix, const struct ops_labels *labels)
{
	for (uint32_t i = 0; i < labels->n; i++) {
		const struct ops_label *l = &labels->items[i];
		struct det_label_name *n = ops_map_get(ix->names, l->name, l->name_len);
		struct det_label_value *v =
			n != NULL ? ops_map_get(n->values, l->value, l->value_len) : NULL;
		if (v != NULL) {
			v->touched = true;
		}
	}
}

static void postings_sweep(struct det_postings *p, bool (*dead)(void *arg, uint32_t id), void *arg)
{
	size_t kept = 0;
	for (size_t i = 0; i < p->n; i++) {
		if (!dead(arg, p->ids[i])) {
			p->ids[kept++] = p->ids[i];
		}
	}
	p->n = kept;
}

static void name_sweep(struct det_index *ix, struct det_label_name *n,
	bool (*dead)(void *arg, uint32_t id), void *arg)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(n->values, &at, &e);) {
		struct det_label_value *v = e.value;
		if (!v->touched) {
			continue;
		}
		v->touched = false;
		postings_sweep(&v->postings, dead, arg);
		if (v->postings.n == 0) {
			ix->bytes -=
				sizeof(*v) + 2 * e.len + 64 + v->postings.cap * sizeof(uint32_t);
			ix->pairs--;
			(void)ops_map_remove(n->values, e.key, e.len);
			value_free(v);
		}
	}
}

void det_index_sweep(struct det_index *ix, bool (*dead)(void *arg, uint32_t id), void *arg)
{
	postings_sweep(&ix->all, dead, arg);
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(ix->names, &at, &e);) {
		struct det_label_name *n = e.value;
		name_sweep(ix, n, dead, arg);
		if (ops_map_count(n->values) == 0) {
			ix->bytes -= sizeof(*n) + e.len + 64;
			(void)ops_map_remove(ix->names, e.key, e.len);
			name_free(n);
		}
	}
}

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* Joins lists that do not overlap. */
static struct det_postings join(
	const struct det_postings *const *lists, size_t n, struct ops_arena *arena)
{
	if (n == 1) {
		return *lists[0];
	}
	struct det_postings out = {0};
	for (size_t i = 0; i < n; i++) {
		out.n += lists[i]->n;
	}
	out.ids = ops_arena_array(arena, uint32_t, OPS_MAX(out.n, (size_t)1));
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		memcpy(out.ids + at, lists[i]->ids, lists[i]->n * sizeof(uint32_t));
		at += lists[i]->n;
	}
	qsort(out.ids, out.n, sizeof(uint32_t), compare_ids);
	return out;
}

/* a|b|c: its values are looked up, not tried. False: not such an expression. */
static bool of_literals(const struct det_label_name *n, const struct ops_matcher *m, bool wanted,
	const struct det_postings **lists, size_t *found)
{
	const char *const *literals;
	size_t nliterals;
	if ((m->op == OPS_MATCH_RE) != wanted || m->re == NULL ||
		!ops_regex_literals(m->re, &literals, &nliterals)) {
		return false;
	}
	for (size_t i = 0; i < nliterals; i++) {
		const struct det_label_value *v = ops_map_gets(n->values, literals[i]);
		bool again = v == NULL;
		for (size_t k = 0; k < *found && !again; k++) {
			again = lists[k] == &v->postings;
		}
		if (!again) {
			lists[(*found)++] = &v->postings;
		}
	}
	return true;
}

/* Postings of all values of the matcher's name that it accepts (or, wanted false, refuses). */
static struct det_postings of_values(const struct det_index *ix, const struct ops_matcher *m,
	bool wanted, struct ops_arena *arena)
{
	const struct det_label_name *n = ops_map_gets(ix->names, m->name);
	if (n == NULL) {
		return (struct det_postings){0};
	}
	bool plain = (m->op == OPS_MATCH_EQ && wanted) || (m->op == OPS_MATCH_NE && !wanted);
	if (plain) {
		const struct det_label_value *v = ops_map_gets(n->values, m->value);
		return v != NULL ? v->postings : (struct det_postings){0};
	}
	const struct det_postings **lists =
		ops_arena_array(arena, const struct det_postings *, ops_map_count(n->values) + 1);
	size_t found = 0;
	struct ops_map_entry e;
	if (of_literals(n, m, wanted, lists, &found)) {
		return join(lists, found, arena);
	}
	for (size_t at = 0; ops_map_next(n->values, &at, &e);) {
		const struct det_label_value *v = e.value;
		if (ops_matcher_match_value(m, v->text) == wanted) {
			lists[found++] = &v->postings;
		}
	}
	return join(lists, found, arena);
}

/* Keeps of a what is in b (in true) or is not. */
static struct det_postings filter(const struct det_postings *a, const struct det_postings *b,
	bool in, struct ops_arena *arena)
{
	struct det_postings out = {
		.ids = ops_arena_array(arena, uint32_t, OPS_MAX(a->n, (size_t)1))};
	size_t j = 0;
	for (size_t i = 0; i < a->n; i++) {
		while (j < b->n && b->ids[j] < a->ids[i]) {
			j++;
		}
		bool found = j < b->n && b->ids[j] == a->ids[i];
		if (found == in) {
			out.ids[out.n++] = a->ids[i];
		}
	}
	return out;
}

struct det_postings det_index_match(
	const struct det_index *ix, const struct ops_matchers *matchers, struct ops_arena *arena)
{
	struct det_postings out = ix->all;
	bool whole = true; /* out is still everything */
	for (size_t i = 0; i < matchers->n; i++) {
		const struct ops_matcher *m = &matchers->items[i];
		if (ops_matcher_match_value(m, "")) {
			continue;
		}
		struct det_postings p = of_values(ix, m, true, arena);
		out = whole ? p : filter(&out, &p, true, arena);
		whole = false;
	}
	for (size_t i = 0; i < matchers->n && out.n != 0; i++) {
		const struct ops_matcher *m = &matchers->items[i];
		if (!ops_matcher_match_value(m, "")) {
			continue;
		}
		struct det_postings refused = of_values(ix, m, false, arena);
		if (refused.n != 0) {
			out = filter(&out, &refused, false, arena);
		}
	}
	return out;
}
