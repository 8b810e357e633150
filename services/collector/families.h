/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Metric families of one document: HELP, TYPE and UNIT, and which family a sample belongs to. */
#include "common/base/arena.h"
#include "common/msg/samples.h"
#include "common/exposition/exposition.h"

struct col_families {
	struct ops_arena *arena; /* texts are copied there */
	struct ops_layout_family *items;
	size_t n, cap;
	struct ops_map *by_name;	      /* name -> index + 1 */
	struct ops_exposition_text last_name; /* of the sample before: neighbours share a family */
	uint32_t last;
	char bound[40]; /* a normalized le or quantile, until the next sample */
};

void col_families_init(struct col_families *f, struct ops_arena *arena);
void col_families_done(struct col_families *f);
void col_families_learn(
	struct col_families *f, enum ops_exposition_entry kind, const struct ops_exposition *p);
/* Index, or UINT32_MAX. */
uint32_t col_families_of(struct col_families *f, struct ops_exposition_text sample);
/*
 * Bounds of buckets and quantiles as float text (le="1" is le="1.0"), so that the two formats of
 * one target name the same series.
 */
void col_families_normalize(struct col_families *f, uint32_t family, struct ops_exposition *p);
/* Hands the families over to the layout's arena. */
void col_families_take(struct col_families *f, struct ops_layout *wire);
