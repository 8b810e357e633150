/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The state of regex_parse.c while it reads, and what follows the shape of what the expression can
 * match: a choice of literals, with anything before or behind, or something else.
 */
#include "common/model/regex_syntax.h"

enum {
	OPS_REGEX_MAX_DEPTH = 200
};

enum ops_regex_atom_kind {
	OPS_REGEX_ATOM_NONE, /* nothing to repeat */
	OPS_REGEX_ATOM_CHAR,
	OPS_REGEX_ATOM_SET,
	OPS_REGEX_ATOM_ANY, /* a dot that matches everything */
	OPS_REGEX_ATOM_STAR,
	OPS_REGEX_ATOM_PLUS,
	OPS_REGEX_ATOM_BEGIN,
	OPS_REGEX_ATOM_END,
	OPS_REGEX_ATOM_OTHER,
};

struct ops_regex_atom {
	enum ops_regex_atom_kind kind;
	bool repeated, zero_width;
	size_t start;	 /* in the rewritten text */
	unsigned weight; /* product of the counts inside */
	char bytes[4];	 /* OPS_REGEX_ATOM_CHAR */
	size_t len;
	struct ops_regex_set set; /* OPS_REGEX_ATOM_SET */
};

struct ops_regex_group {
	unsigned outer_flags;
	unsigned weight;
	size_t start, column;
	struct ops_regex_atom atom;
	struct ops_strbuf run;
	/* the sequence so far */
	enum ops_regex_any head, tail;
	bool ended, fast;
	struct ops_regex_set set;
	/* the branches before it */
	struct ops_regex_branch *branches;
	size_t nbranches, cap;
	bool all_fast;
};

struct ops_regex_reader {
	struct ops_arena *arena;
	const char *pattern;
	size_t len, at;
	unsigned flags;
	struct ops_regex_syntax *out;
	size_t names_cap;
	struct ops_error *err;
	struct ops_regex_group stack[OPS_REGEX_MAX_DEPTH];
	size_t depth; /* of the innermost group; stack[0] is the whole */
};

void ops_regex_shape_begin(struct ops_regex_reader *r, struct ops_regex_group *g);
/* The atom that waited becomes a part of the sequence. */
void ops_regex_shape_commit(struct ops_regex_reader *r);
void ops_regex_shape_branch(struct ops_regex_reader *r); /* at "|" and at the end of a group */
void ops_regex_shape_repeat(struct ops_regex_reader *r, struct ops_regex_atom *a, char op);
/* text is what stands between the brackets. */
bool ops_regex_shape_class(
	struct ops_regex_reader *r, const char *text, size_t len, struct ops_regex_set *ret);
