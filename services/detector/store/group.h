/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A group of columns with common timestamps: the rows of one layout, or the samples of one series
 * that comes alone (one column). The newest rows are raw, older ones sealed segments. Owned by the
 * store; changed under its write lock, read under its read lock.
 */
#include "services/detector/store/segment.h"
#include "services/detector/store/store.h"

/* Raw rows at most. Fewer cost less memory, more compress better until the block cut joins them. */
#define DET_HEAD_ROWS 16u
#define DET_HEAD_STEP 4u /* rows that the raw part grows by */

/* A row has this where a column has no sample. Signalling, so no computation ever makes it. */
#define DET_ABSENT_BITS DET_ABSENT_PATTERN
/* A histogram stands here (histogram_log.h); signalling too. */
#define DET_HISTOGRAM_BITS 0x7ff0000000000004ULL

/* Here, not in group.c: loops over columns ask them of every value. */
static inline uint64_t det_value_bits(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static inline double det_value_of(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

static inline double det_absent(void)
{
	return det_value_of(DET_ABSENT_BITS);
}

static inline bool det_is_absent(double v)
{
	return det_value_bits(v) == DET_ABSENT_BITS;
}

static inline double det_histogram_mark(void)
{
	return det_value_of(DET_HISTOGRAM_BITS);
}

static inline bool det_is_histogram(double v)
{
	return det_value_bits(v) == DET_HISTOGRAM_BITS;
}

struct det_head_file; /* opaque */

struct det_sealed { /* a segment of the head */
	const uint8_t *data;
	uint64_t serial; /* never the same again */
	int64_t first_ms, last_ms;
	uint32_t bytes;
	uint32_t nrows;
	struct det_head_file *file; /* that holds it; NULL: data is memory of its own */
};

struct det_group {
	uint64_t id;	    /* on disk */
	uint64_t layout_id; /* 0: a single series */
	uint32_t ncolumns;
	struct det_entry **series; /* per column; NULL: refused, dead */
	struct det_job *job;	   /* that its columns count for while it is live */
	int64_t last_ms;	   /* of the newest row, INT64_MIN before the first */
	bool shared;		   /* some series here may have another group as well */
	bool dead;		   /* some column has no series */
	enum det_refusal dead_why;
	bool retired;		  /* no more rows come */
	bool resumes;		  /* it was not when the store was closed */
	char *source;		  /* who feeds it; NULL: nobody said */
	bool filed;		  /* stands in the definitions file as it is */
	uint32_t nrows, rows_cap; /* head */
	uint32_t seal_at;	  /* rows; differs at first, so that groups do not seal at once */
	uint64_t wal_first;	  /* number of the log file with the oldest row not sealed */
	uint64_t wal_chain;	  /* of the log file that the row before is in; 0: none */
	uint32_t wal_index;	  /* of the row before in its chain */
	int64_t *times;
	double *steps[DET_HEAD_ROWS / DET_HEAD_STEP]; /* of DET_HEAD_STEP rows each */
	struct det_sealed *sealed;
	uint32_t nsealed, sealed_cap;
	size_t bytes; /* all of the above that is memory */
	struct det_group *prev, *next;
};

struct det_group *det_group_new(uint64_t layout_id, uint32_t ncolumns);
void det_group_free(struct det_group *g); /* segments' memory must be gone */
/* time_ms > last_ms and there is room (det_group_full). Returns the new row (ncolumns values) to be
 * corrected; valid until the next call. */
double *det_group_add(struct det_group *g, int64_t time_ms, const double *values);
bool det_group_full(const struct det_group *g);			      /* seal it first */
const double *det_group_row(const struct det_group *g, uint32_t row); /* below nrows */
/* The newest row, or NULL when it is sealed. */
const double *det_group_last_row(const struct det_group *g);
/* Appends the raw rows as one segment to out. -E2BIG. */
int det_group_encode(const struct det_group *g, struct ops_strbuf *out) OPS_MUST_CHECK;
/* The raw rows stand in this segment now. */
void det_group_sealed(struct det_group *g, const struct det_sealed *segment);
bool det_group_empty(const struct det_group *g);
int64_t det_group_first(const struct det_group *g); /* INT64_MAX when empty */
bool det_group_has_time(const struct det_group *g, int64_t time_ms);

/* Decoded segments, so that neighbours in a segment are decoded once. One per query. */
struct det_decoder; /* opaque */
void det_decoder_free(struct det_decoder *d);
/* For the i-th block that a series is read from. */
struct det_segment_cursor *det_decoder_cursor(struct det_decoder **d, uint32_t i);
/* Appends to out. */
void det_group_read(const struct det_group *g, uint32_t column, const int64_t range_ms[2],
	struct det_samples *out);
/* Newest sample of the column; INT64_MIN when none. */
int64_t det_group_column_last(const struct det_group *g, uint32_t column);
void det_samples_add(struct det_samples *out, int64_t t, double v);
