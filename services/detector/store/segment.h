/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A segment: consecutive rows of one group of columns, encoded; docs/store.md says where they lie.
 * Little-endian:
 *
 *	u32 length of everything behind this field   u32 CRC32C of everything behind this field
 *	u64 group    u32 rows    u32 columns    i64 first_ms    i64 last_ms    u32 bytes of times
 *	times, u32 end of each column counted from the first column's start, columns
 *
 * A column that holds no sample at all takes no bytes. Cumulative buckets may be coded against the
 * column before them or the one before that; chains are bounded by DET_SEGMENT_CHAIN, so any column
 * is decoded with at most that many others. Pure functions on the caller's memory; any thread.
 */
#include <string.h>

#include "common/base/def.h"
#include "common/base/strbuf.h"

#define DET_ABSENT_PATTERN                                                                         \
	0x7ff0000000000003ULL /* bits of a value: the column has no sample here */
static inline bool det_value_absent(double v)
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits == DET_ABSENT_PATTERN;
}

#define DET_SEGMENT_MAX_ROWS 8192u
#define DET_SEGMENT_MAX_COLUMNS 1000000u
#define DET_SEGMENT_CHAIN 16u

struct det_rows { /* what is to be encoded; borrowed */
	uint64_t group;
	const int64_t *times_ms; /* strictly ascending */
	uint32_t nrows, ncolumns;
	/* Values of a column, nrows of them, in scratch or wherever they stand. */
	const double *(*column)(void *arg, uint32_t column, double *scratch);
	void *arg;
};
/* Appends one segment. 0; -E2BIG when it would have more than 1 GiB (out is as before); -EINVAL
 * when there are no rows or more rows or columns than may be. */
int det_segment_encode(const struct det_rows *rows, struct ops_strbuf *out) OPS_MUST_CHECK;

struct det_segment { /* a checked view into bytes that outlive it */
	uint64_t group;
	uint32_t nrows, ncolumns;
	int64_t first_ms, last_ms;
	const uint8_t *times, *ends, *columns;
	uint32_t times_bytes, columns_bytes, crc;
	size_t total_bytes; /* the next segment starts here */
};
/* Header and bounds only, and the CRC when check is set. -EBADMSG when it is no segment, -ENODATA
 * when len ends inside of it (a torn tail). */
int det_segment_open(
	const uint8_t *data, size_t len, bool check, struct det_segment *ret) OPS_MUST_CHECK;
int det_segment_times(const struct det_segment *s, int64_t *ret_times) OPS_MUST_CHECK;
/* True when the column holds no sample at all. */
bool det_segment_column_empty(const struct det_segment *s, uint32_t column);

/* The columns decoded last, so that reading buckets in order decodes each once. Zero-initialised;
 * one per reader. */
struct det_segment_cursor {
	const uint8_t *columns; /* of the segment that it belongs to, and its CRC */
	uint32_t crc;
	struct det_segment_slot {
		uint32_t column; /* plus 1; 0: nothing */
		unsigned exponent;
		int64_t *ints;
	} slots[4];	/* column % 4 */
	double *values; /* of the column decoded last */
	int64_t *times;
	bool times_known;
	size_t cap;
	struct det_segment_kept { /* a block's reader puts here what it does not leave out */
		int64_t *t;
		double *v;
		size_t n, cap;
	} kept;
};
void det_segment_cursor_done(struct det_segment_cursor *c);
/* All nrows values of the column, absent ones included; they live in the cursor until the next
 * call. -EBADMSG. */
int det_segment_column(const struct det_segment *s, uint32_t column,
	struct det_segment_cursor *cursor, const double **ret_values) OPS_MUST_CHECK;
/* All times of the segment; they live in the cursor until another segment is read. */
int det_segment_cursor_times(const struct det_segment *s, struct det_segment_cursor *cursor,
	const int64_t **ret_times) OPS_MUST_CHECK;
