/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beside the rewritten text, each group keeps the set of strings it can match, if that is a small
 * finite set: an atom waits until it is known whether a repetition follows, then goes into the
 * sequence; "|" moves the sequence to the branches. Plain characters are collected in a run first,
 * or a long literal would be copied once per character.
 */
#include "common/model/regex_shape.h"

#include <string.h>

void ops_regex_shape_begin(struct ops_regex_reader *r, struct ops_regex_group *g)
{
	g->head = g->tail = OPS_REGEX_NONE;
	g->ended = false;
	g->fast = true;
	ops_strbuf_reset(&g->run);
	ops_regex_set_one(r->arena, &g->set, "", 0);
}

static void flush_run(struct ops_regex_reader *r, struct ops_regex_group *g)
{
	if (g->run.len == 0)
		return;
	struct ops_regex_set one;
	ops_regex_set_one(r->arena, &one, ops_strbuf_text(&g->run), g->run.len);
	ops_regex_set_product(r->arena, &g->set, &one);
	ops_strbuf_reset(&g->run);
}

static bool sequence_pristine(const struct ops_regex_group *g)
{
	return g->head == OPS_REGEX_NONE && g->tail == OPS_REGEX_NONE && g->run.len == 0 &&
	       g->set.known && g->set.n == 1 && g->set.items[0][0] == '\0';
}

static void commit_any(
	struct ops_regex_reader *r, struct ops_regex_group *g, enum ops_regex_any any)
{
	if (sequence_pristine(g)) {
		g->head = any;
		return;
	}
	/* .+.+ counts characters, not bytes: left to the engine. */
	bool both = g->head == OPS_REGEX_PLUS && any == OPS_REGEX_PLUS;
	flush_run(r, g);
	g->fast = g->fast && g->tail == OPS_REGEX_NONE && !both;
	g->tail = any;
}

/* The atom that waited becomes a part of the sequence. */
void ops_regex_shape_commit(struct ops_regex_reader *r)
{
	struct ops_regex_group *g = &r->stack[r->depth];
	struct ops_regex_atom *a = &g->atom;
	enum ops_regex_atom_kind kind = a->kind;
	g->weight = OPS_MAX(g->weight, a->weight);
	a->kind = OPS_REGEX_ATOM_NONE;
	a->weight = 0;
	if (kind == OPS_REGEX_ATOM_NONE)
		return;
	if (kind == OPS_REGEX_ATOM_END) {
		g->fast = g->fast && r->depth == 0;
		g->ended = true;
		return;
	}
	if (g->ended || kind == OPS_REGEX_ATOM_ANY || kind == OPS_REGEX_ATOM_OTHER)
		g->fast = false;
	if (kind == OPS_REGEX_ATOM_BEGIN && (r->depth > 0 || !sequence_pristine(g)))
		g->fast = false;
	if ((kind == OPS_REGEX_ATOM_CHAR || kind == OPS_REGEX_ATOM_SET) &&
		g->tail != OPS_REGEX_NONE)
		g->fast = false;
	if (!g->fast)
		return;
	if (kind == OPS_REGEX_ATOM_CHAR) {
		ops_strbuf_add(&g->run, a->bytes, a->len);
	} else if (kind == OPS_REGEX_ATOM_SET) {
		flush_run(r, g);
		ops_regex_set_product(r->arena, &g->set, &a->set);
	} else if (kind == OPS_REGEX_ATOM_STAR || kind == OPS_REGEX_ATOM_PLUS) {
		commit_any(r, g, kind == OPS_REGEX_ATOM_STAR ? OPS_REGEX_STAR : OPS_REGEX_PLUS);
	}
}

void ops_regex_shape_branch(struct ops_regex_reader *r)
{
	struct ops_regex_group *g = &r->stack[r->depth];
	ops_regex_shape_commit(r);
	flush_run(r, g);
	if (g->nbranches == g->cap) {
		size_t cap = g->cap != 0 ? g->cap * 2 : 1;
		struct ops_regex_branch *branches =
			ops_arena_array(r->arena, struct ops_regex_branch, cap);
		if (g->nbranches != 0)
			memcpy(branches, g->branches, g->nbranches * sizeof(*branches));
		g->branches = branches;
		g->cap = cap;
	}
	g->all_fast = g->all_fast && g->fast && g->set.known;
	struct ops_regex_branch *last = g->nbranches > 0 ? &g->branches[g->nbranches - 1] : NULL;
	if (!g->all_fast)
		return;
	if (last != NULL && last->head == g->head && last->tail == g->tail) {
		ops_regex_set_union(r->arena, &last->literals, &g->set);
		return;
	}
	g->branches[g->nbranches++] =
		(struct ops_regex_branch){.head = g->head, .tail = g->tail, .literals = g->set};
}

void ops_regex_shape_repeat(struct ops_regex_reader *r, struct ops_regex_atom *a, char op)
{
	if (op == '?' && (a->kind == OPS_REGEX_ATOM_CHAR || a->kind == OPS_REGEX_ATOM_SET)) {
		if (a->kind == OPS_REGEX_ATOM_CHAR)
			ops_regex_set_one(r->arena, &a->set, a->bytes, a->len);
		ops_regex_set_add(r->arena, &a->set, "", 0);
		a->kind = OPS_REGEX_ATOM_SET;
	} else if (a->kind == OPS_REGEX_ATOM_ANY && op == '*') {
		a->kind = OPS_REGEX_ATOM_STAR;
	} else if (a->kind == OPS_REGEX_ATOM_ANY && op == '+') {
		a->kind = OPS_REGEX_ATOM_PLUS;
	} else {
		a->kind = OPS_REGEX_ATOM_OTHER;
	}
}

/* [.] and [ab] are sets of literals; other classes are not worth it. */
bool ops_regex_shape_class(
	struct ops_regex_reader *r, const char *text, size_t len, struct ops_regex_set *ret)
{
	*ret = (struct ops_regex_set){.known = true};
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] >= 0x80 || strchr("\\^-[", text[i]) != NULL)
			return false;
		ops_regex_set_add(r->arena, ret, &text[i], 1);
	}
	return true;
}
