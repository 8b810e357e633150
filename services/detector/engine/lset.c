/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set derived from another shares its texts and gets its own small array. The hash is computed
 * when a map asks for it: most sets of a query never meet one. Names are few, so they are found by
 * walking.
 */
#include "services/detector/engine/lset.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/strbuf.h"

struct det_lset det_lset_of(const struct ops_label *items, uint32_t n)
{
	return (struct det_lset){items, n, 0};
}

static uint64_t hash_of(const struct det_lset *ls)
{
	uint64_t hash = 0x9e3779b97f4a7c15ULL;
	for (uint32_t i = 0; i < ls->n; i++) {
		hash = ops_hash64(ls->items[i].name, ls->items[i].name_len, hash);
		hash = ops_hash64(ls->items[i].value, ls->items[i].value_len, hash);
	}
	return hash != 0 ? hash : 1;
}

const char *det_lset_get(const struct det_lset *ls, const char *name)
{
	for (uint32_t i = 0; i < ls->n; i++) {
		if (strcmp(ls->items[i].name, name) == 0) {
			return ls->items[i].value;
		}
	}
	return "";
}

static int compare_text(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
	int by_bytes = memcmp(a, b, OPS_MIN(a_len, b_len));
	return by_bytes != 0 ? by_bytes : (a_len > b_len) - (a_len < b_len);
}

int det_lset_compare(const struct det_lset *a, const struct det_lset *b)
{
	for (uint32_t i = 0; i < a->n && i < b->n; i++) {
		const struct ops_label *x = &a->items[i], *y = &b->items[i];
		int c = compare_text(x->name, x->name_len, y->name, y->name_len);
		if (c == 0) {
			c = compare_text(x->value, x->value_len, y->value, y->value_len);
		}
		if (c != 0) {
			return c;
		}
	}
	return (a->n > b->n) - (a->n < b->n);
}

bool det_lset_equal(const struct det_lset *a, const struct det_lset *b)
{
	bool differ = a->hash != b->hash && a->hash != 0 && b->hash != 0;
	return !differ && a->n == b->n && det_lset_compare(a, b) == 0;
}

static bool named(const struct ops_promql_strings *names, const struct ops_label *l)
{
	for (size_t i = 0; names != NULL && i < names->n; i++) {
		if (names->items[i].len == l->name_len &&
			memcmp(names->items[i].text, l->name, l->name_len) == 0) {
			return true;
		}
	}
	return false;
}

struct det_lset det_lset_keep(
	struct ops_arena *arena, const struct det_lset *ls, const struct ops_promql_strings *names)
{
	struct ops_label *items = ops_arena_array(arena, struct ops_label, ls->n + 1);
	uint32_t n = 0;
	for (uint32_t i = 0; i < ls->n; i++) {
		if (named(names, &ls->items[i])) {
			items[n++] = ls->items[i];
		}
	}
	return det_lset_of(items, n);
}

struct det_lset det_lset_drop(struct ops_arena *arena, const struct det_lset *ls,
	const struct ops_promql_strings *names, bool metric_name)
{
	struct ops_label *items = ops_arena_array(arena, struct ops_label, ls->n + 1);
	uint32_t n = 0;
	for (uint32_t i = 0; i < ls->n; i++) {
		bool gone = named(names, &ls->items[i]) ||
			    (metric_name && strcmp(ls->items[i].name, OPS_LABEL_NAME) == 0);
		if (!gone) {
			items[n++] = ls->items[i];
		}
	}
	return det_lset_of(items, n);
}

struct det_lset det_lset_drop_metadata(struct ops_arena *arena, const struct det_lset *ls)
{
	static struct ops_promql_string names[] = {
		{"__name__", 8}, {"__type__", 8}, {"__unit__", 8}};
	static const struct ops_promql_strings metadata = {names, OPS_LENGTH(names)};
	return det_lset_drop(arena, ls, &metadata, false);
}

struct det_lset det_lset_set(
	struct ops_arena *arena, const struct det_lset *ls, const char *name, const char *value)
{
	struct ops_label *items = ops_arena_array(arena, struct ops_label, ls->n + 1);
	const struct ops_label add = {name, value, (uint32_t)strlen(name), (uint32_t)strlen(value)};
	bool done = *value == '\0';
	uint32_t n = 0;
	for (uint32_t i = 0; i < ls->n; i++) {
		int c = compare_text(ls->items[i].name, ls->items[i].name_len, name, add.name_len);
		if (!done && c >= 0) {
			items[n++] = add;
			done = true;
		}
		if (c != 0) {
			items[n++] = ls->items[i];
		}
	}
	if (!done) {
		items[n++] = add;
	}
	return det_lset_of(items, n);
}

const char *det_lset_text(struct ops_arena *arena, const struct det_lset *ls)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, det_lset_get(ls, OPS_LABEL_NAME));
	ops_strbuf_addc(&out, '{');
	bool first = true;
	for (uint32_t i = 0; i < ls->n; i++) {
		if (strcmp(ls->items[i].name, OPS_LABEL_NAME) == 0) {
			continue;
		}
		ops_strbuf_printf(&out, "%s%s=", first ? "" : ", ", ls->items[i].name);
		ops_strbuf_add_json(&out, ls->items[i].value, ls->items[i].value_len);
		first = false;
	}
	ops_strbuf_addc(&out, '}');
	const char *text = ops_arena_strndup(arena, out.data, out.len);
	ops_strbuf_done(&out);
	return text;
}

void det_lset_map_init(struct det_lset_map *m, struct ops_arena *arena, size_t expected)
{
	size_t nslots = 16;
	while (nslots < expected * 2) {
		nslots *= 2;
	}
	*m = (struct det_lset_map){.arena = arena, .nslots = nslots};
	m->slots = ops_arena_array(arena, uint32_t, nslots);
	m->cap = nslots / 2;
	m->sets = ops_arena_array(arena, struct det_lset, m->cap);
}

static void map_grow(struct det_lset_map *m)
{
	struct det_lset_map bigger;
	det_lset_map_init(&bigger, m->arena, m->n * 2);
	for (size_t i = 0; i < m->n; i++) {
		(void)det_lset_map_add(&bigger, &m->sets[i]);
	}
	*m = bigger;
}

size_t det_lset_map_add(struct det_lset_map *m, const struct det_lset *ls)
{
	struct det_lset set = *ls;
	set.hash = set.hash != 0 ? set.hash : hash_of(ls);
	size_t slot = set.hash & (m->nslots - 1);
	while (m->slots[slot] != 0) {
		size_t at = m->slots[slot] - 1;
		if (det_lset_equal(&m->sets[at], &set)) {
			return at;
		}
		slot = (slot + 1) & (m->nslots - 1);
	}
	if (m->n == m->cap) {
		map_grow(m);
		return det_lset_map_add(m, &set);
	}
	m->sets[m->n] = set;
	m->slots[slot] = (uint32_t)++m->n;
	return m->n - 1;
}
