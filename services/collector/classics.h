/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Classic histograms of a body that are to be native ones with custom buckets
 * (convert_classic_histograms_to_nhcb): a layout knows which of its lines are one histogram, and a
 * scrape reads their numbers where the row has them. Loop thread only.
 */
#include "common/base/arena.h"
#include "common/exposition/exposition.h"

struct col_values;
struct ops_layout_family;
struct ops_map;
struct ops_protobuf_body;

#define COL_CLASSIC_NONE UINT32_MAX

struct col_classic_bucket {
	double le;
	uint32_t column;
};

struct col_classic { /* one histogram; buckets ascend when it is finished */
	struct col_classic_bucket *buckets;
	size_t n, cap;
	uint32_t sum, count; /* columns, or COL_CLASSIC_NONE */
	char *series;	     /* its line up to the value */
	size_t series_len;
	size_t place; /* among the natives of the last body; SIZE_MAX: it could not be converted */
};

struct col_classics {
	struct col_classic *items;
	size_t n, cap;
	uint32_t *owner; /* of columns that no row shows: index of the histogram */
	size_t nhidden, cap_hidden;
	struct ops_map *by_series; /* while it is built: series -> index + 1 */
	struct ops_strbuf scratch;
};

struct col_classics *col_classics_new(void);
void col_classics_free(struct col_classics *c); /* NULL is fine */
/* Whether the current sample of p is a part of a classic histogram. family may be NULL. */
bool col_classics_has(
	const struct ops_exposition *p, const struct ops_layout_family *family, double *ret_le);
/*
 * Takes the sample, which has that column; COL_CLASSIC_NONE: it has none, the next hidden one is
 * made for it. Returns the column. le as col_classics_has() gave it.
 */
uint32_t col_classics_take(struct col_classics *c, const struct ops_exposition *p,
	const struct ops_layout_family *family, double le, uint32_t column);
#define COL_CLASSIC_HIDDEN 0x80000000u /* hidden columns while it is built: this and more */
/* Hidden columns begin at first. */
void col_classics_finish(struct col_classics *c, uint32_t first);
static inline uint32_t col_classic_column(uint32_t column, uint32_t first)
{
	bool hidden = column >= COL_CLASSIC_HIDDEN && column != COL_CLASSIC_NONE;
	return hidden ? column - COL_CLASSIC_HIDDEN + first : column;
}

/*
 * Each histogram as a native of body, in order; what is none (buckets that are not cumulative, a
 * count that is not the last bucket's) is counted and left out. scratch is reset.
 */
void col_classics_convert(struct col_classics *c, const struct col_values *values, int64_t time_ms,
	struct ops_arena *scratch, struct ops_protobuf_body *body);
