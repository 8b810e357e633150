/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A group of columns with common timestamps: the rows of one layout, or the samples of one series
 * that comes alone (one column). The newest rows are raw, older ones sealed blocks. Owned by the
 * store; loop thread only.
 */
#include "services/detector/store/block.h"
#include "services/detector/store/store.h"

/* A row has this where a column has no sample. Signalling, so no computation ever makes it. */
#define DET_ABSENT_BITS 0x7ff0000000000003ULL
double det_absent(void);
bool det_is_absent(double v);
/* A histogram stands here (histogram_log.h); signalling too. */
#define DET_HISTOGRAM_BITS 0x7ff0000000000004ULL
double det_histogram_mark(void);
bool det_is_histogram(double v);

struct det_sealed; /* opaque */

struct det_group {
	uint64_t layout_id; /* 0: a single series */
	uint32_t ncolumns;
	struct det_series **series; /* per column; NULL: refused, dead */
	int64_t last_ms;	    /* of the newest row, INT64_MIN before the first */
	bool shared;		    /* some series here may have another group as well */
	bool retired;		    /* no more rows come */
	uint32_t nrows, rows_cap;   /* head */
	int64_t *times;
	double *rows; /* row after row */
	struct det_sealed **sealed;
	size_t nsealed, sealed_cap;
	size_t bytes; /* all of the above */
	struct det_group *prev, *next;
};

struct det_group *det_group_new(uint64_t layout_id, uint32_t ncolumns);
void det_group_free(struct det_group *g);
/* time_ms > last_ms. Returns the new row (ncolumns values) to be corrected; valid until the next
 * call. */
double *det_group_add(struct det_group *g, int64_t time_ms, const double *values);
/* The newest row, still raw or NULL when it is sealed. */
double *det_group_last_row(struct det_group *g);
void det_group_seal(struct det_group *g); /* the raw rows, if any */
/* Drops sealed blocks that end before cutoff and raw rows when all of them are older. */
void det_group_drop(struct det_group *g, int64_t cutoff_ms);
bool det_group_empty(const struct det_group *g);
int64_t det_group_first(const struct det_group *g); /* INT64_MAX when empty */
void det_group_read(const struct det_group *g, uint32_t column, const int64_t range_ms[2],
	struct det_samples *out); /* appends to out */
/* Newest sample of the column; INT64_MIN when none. */
int64_t det_group_column_last(const struct det_group *g, uint32_t column);
