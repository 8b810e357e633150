/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding goes through the columns once and keeps the integers of the last three, for buckets lean
 * on their neighbours. Reading one column decodes those that it leans on first; the cursor keeps
 * what it decoded, so reading all buckets of a histogram in order decodes each once.
 *
 * Nothing of a segment is believed: lengths are checked against the bytes that are there before
 * anything is read, and the CRC (where the caller asks) before anything is decoded. The codec
 * itself bears any bytes, so a caller that checked the CRC before need not do it again.
 */
#include "services/detector/store/segment.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "services/detector/store/codec.h"

enum {
	FRAME_BYTES = 8, /* length and CRC */
	HEADER_BYTES = FRAME_BYTES + 8 + 4 + 4 + 8 + 8 + 4,
	MAX_BYTES = 1 << 30,
	RING = 3
};

struct encoder {
	const struct det_rows *rows;
	struct ops_strbuf *out;
	struct det_codec_scratch scratch;
	struct det_column ring[RING]; /* column % RING */
	double *values;
	int64_t *memory;
};

static void encoder_init(struct encoder *e, const struct det_rows *rows, struct ops_strbuf *out)
{
	size_t n = rows->nrows;
	int64_t *at = ops_xmalloc(n * sizeof(int64_t) * (RING + 4) + n);
	*e = (struct encoder){.rows = rows, .out = out, .memory = at};
	for (size_t i = 0; i < RING; i++, at += n) {
		e->ring[i] = (struct det_column){.ints = at, .exponent = DET_CODEC_NO_INTS};
	}
	for (size_t i = 0; i < OPS_LENGTH(e->scratch.work); i++, at += n) {
		e->scratch.work[i] = at;
	}
	e->values = (double *)(void *)at;
	e->scratch.odd = (uint8_t *)(at + n);
}

static bool all_absent(const double *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!det_value_absent(values[i])) {
			return false;
		}
	}
	return true;
}

static void encode_column(struct encoder *e, uint32_t column)
{
	size_t n = e->rows->nrows;
	struct det_column *self = &e->ring[column % RING];
	const double *values = e->rows->column(e->rows->arg, column, e->values);
	if (all_absent(values, n)) {
		self->exponent = DET_CODEC_NO_INTS;
		return;
	}
	const struct det_column *refs[DET_CODEC_MAX_REF] = {NULL};
	for (uint32_t d = 1; d <= DET_CODEC_MAX_REF && d <= column; d++) {
		const struct det_column *ref = &e->ring[(column - d) % RING];
		if (ref->exponent != DET_CODEC_NO_INTS && ref->depth < DET_SEGMENT_CHAIN) {
			refs[d - 1] = ref;
		}
	}
	ops_strbuf_reserve(e->out, DET_CODEC_MAX_BYTES(n));
	uint8_t *start = (uint8_t *)e->out->data;
	uint8_t *end = det_codec_encode(values, n, refs, &e->scratch, self, start + e->out->len);
	e->out->len = (size_t)(end - start);
}

static void put_header(const struct det_rows *rows, uint8_t *p)
{
	ops_put_u64(p + 8, rows->group);
	ops_put_u32(p + 16, rows->nrows);
	ops_put_u32(p + 20, rows->ncolumns);
	ops_put_u64(p + 24, (uint64_t)rows->times_ms[0]);
	ops_put_u64(p + 32, (uint64_t)rows->times_ms[rows->nrows - 1]);
}

/* Room for the header, then times, then room for the ends of columns. Returns where these are. */
static size_t encode_times(struct encoder *e)
{
	static const uint8_t zeros[HEADER_BYTES];
	const struct det_rows *rows = e->rows;
	size_t at = e->out->len;
	ops_strbuf_add(e->out, zeros, sizeof(zeros));
	size_t ends_bytes = (size_t)rows->ncolumns * sizeof(uint32_t);
	ops_strbuf_reserve(e->out, DET_CODEC_MAX_BYTES(rows->nrows) + ends_bytes);
	uint8_t *start = (uint8_t *)e->out->data;
	uint8_t *end = det_codec_encode_ints(
		rows->times_ms, rows->nrows, &e->scratch, start + e->out->len);
	size_t bytes = (size_t)(end - start) - e->out->len;
	put_header(rows, start + at);
	ops_put_u32(start + at + 40, (uint32_t)bytes);
	memset(end, 0, ends_bytes);
	e->out->len += bytes + ends_bytes;
	return e->out->len - ends_bytes;
}

static int encode_columns(struct encoder *e, size_t ends)
{
	size_t start = e->out->len;
	for (uint32_t c = 0; c < e->rows->ncolumns; c++) {
		encode_column(e, c);
		size_t end = e->out->len - start;
		if (end > MAX_BYTES) {
			return -E2BIG;
		}
		ops_put_u32(e->out->data + ends + (size_t)c * sizeof(uint32_t), (uint32_t)end);
	}
	return 0;
}

int det_segment_encode(const struct det_rows *rows, struct ops_strbuf *out)
{
	if (rows->nrows == 0 || rows->nrows > DET_SEGMENT_MAX_ROWS ||
		rows->ncolumns > DET_SEGMENT_MAX_COLUMNS) {
		return -EINVAL;
	}
	struct encoder e;
	size_t from = out->len;
	encoder_init(&e, rows, out);
	size_t ends = encode_times(&e);
	int rc = encode_columns(&e, ends);
	free(e.memory);
	size_t behind = out->len - from - FRAME_BYTES;
	if (rc == 0 && behind > MAX_BYTES) {
		rc = -E2BIG;
	}
	if (rc != 0) {
		out->len = from;
		return rc;
	}
	ops_put_u32(out->data + from, (uint32_t)behind + 4);
	ops_put_u32(out->data + from + 4, ops_crc32c(0, out->data + from + FRAME_BYTES, behind));
	return 0;
}

/* The fixed fields; lengths are those of bytes that are there. */
static bool read_header(const uint8_t *data, struct det_segment *s)
{
	s->crc = ops_get_u32(data + 4);
	s->group = ops_get_u64(data + 8);
	s->nrows = ops_get_u32(data + 16);
	s->ncolumns = ops_get_u32(data + 20);
	s->first_ms = (int64_t)ops_get_u64(data + 24);
	s->last_ms = (int64_t)ops_get_u64(data + 32);
	s->times_bytes = ops_get_u32(data + 40);
	s->times = data + HEADER_BYTES;
	size_t left = s->total_bytes - HEADER_BYTES;
	size_t ends_bytes = (size_t)s->ncolumns * sizeof(uint32_t);
	if (s->nrows == 0 || s->nrows > DET_SEGMENT_MAX_ROWS ||
		s->ncolumns > DET_SEGMENT_MAX_COLUMNS || s->first_ms > s->last_ms ||
		s->times_bytes > left || ends_bytes > left - s->times_bytes) {
		return false;
	}
	s->ends = s->times + s->times_bytes;
	s->columns = s->ends + ends_bytes;
	s->columns_bytes = (uint32_t)(left - s->times_bytes - ends_bytes);
	return true;
}

int det_segment_open(const uint8_t *data, size_t len, bool check, struct det_segment *ret)
{
	struct det_segment s;
	if (len < HEADER_BYTES) {
		return -ENODATA;
	}
	size_t behind = ops_get_u32(data);
	if (behind < HEADER_BYTES - 4 || behind > MAX_BYTES) {
		return -EBADMSG;
	}
	s.total_bytes = behind + 4;
	if (s.total_bytes > len) {
		return -ENODATA;
	}
	if (!read_header(data, &s) || (check && s.crc != ops_crc32c(0, data + FRAME_BYTES,
								 s.total_bytes - FRAME_BYTES))) {
		return -EBADMSG;
	}
	*ret = s;
	return 0;
}

int det_segment_times(const struct det_segment *s, int64_t *ret_times)
{
	int rc = det_codec_decode_ints(s->times, s->times_bytes, s->nrows, ret_times);
	if (rc != 0) {
		return rc;
	}
	for (uint32_t i = 1; i < s->nrows; i++) {
		if (ret_times[i] <= ret_times[i - 1]) {
			return -EBADMSG;
		}
	}
	bool fits = ret_times[0] == s->first_ms && ret_times[s->nrows - 1] == s->last_ms;
	return fits ? 0 : -EBADMSG;
}

/* Where the column stands; false when its ends are nonsense. */
static bool column_bytes(
	const struct det_segment *s, uint32_t column, const uint8_t **ret, size_t *ret_len)
{
	const uint8_t *end = s->ends + (size_t)column * sizeof(uint32_t);
	uint32_t to = ops_get_u32(end), from = column != 0 ? ops_get_u32(end - 4) : 0;
	if (from > to || to > s->columns_bytes) {
		return false;
	}
	*ret = s->columns + from;
	*ret_len = to - from;
	return true;
}

bool det_segment_column_empty(const struct det_segment *s, uint32_t column)
{
	const uint8_t *data;
	size_t len;
	return column >= s->ncolumns || !column_bytes(s, column, &data, &len) || len == 0;
}

void det_segment_cursor_done(struct det_segment_cursor *c)
{
	for (size_t i = 0; i < OPS_LENGTH(c->slots); i++) {
		free(c->slots[i].ints);
	}
	free(c->values);
	free(c->times);
	free(c->kept.t);
	free(c->kept.v);
	*c = (struct det_segment_cursor){.columns = NULL};
}

static void cursor_aim(struct det_segment_cursor *c, const struct det_segment *s)
{
	if (c->columns == s->columns && c->crc == s->crc && c->cap >= s->nrows) {
		return;
	}
	bool larger = c->cap < s->nrows;
	if (larger) {
		c->cap = s->nrows;
		free(c->values);
		free(c->times);
		c->values = ops_xcalloc(c->cap, sizeof(double));
		c->times = ops_xcalloc(c->cap, sizeof(int64_t));
	}
	for (size_t i = 0; i < OPS_LENGTH(c->slots); i++) {
		c->slots[i].column = 0;
		if (larger) {
			c->slots[i].ints = ops_xrealloc(c->slots[i].ints, c->cap, sizeof(int64_t));
		}
	}
	c->columns = s->columns;
	c->crc = s->crc;
	c->times_known = false;
}

/* Decodes one column whose ref, if it has one, is in the cursor. */
static int decode_column(const struct det_segment *s, uint32_t column, int ref_distance,
	struct det_segment_cursor *c)
{
	struct det_segment_slot *slot = &c->slots[column % OPS_LENGTH(c->slots)];
	struct det_column self = {.ints = slot->ints}, ref = {.depth = 0};
	const uint8_t *data;
	size_t len;
	if (!column_bytes(s, column, &data, &len)) {
		return -EBADMSG;
	}
	if (ref_distance != 0) {
		const struct det_segment_slot *other =
			&c->slots[(column - (uint32_t)ref_distance) % OPS_LENGTH(c->slots)];
		ref.ints = other->ints;
		ref.exponent = other->exponent;
	}
	slot->column = 0;
	int rc = det_codec_decode(
		data, len, s->nrows, ref_distance != 0 ? &ref : NULL, &self, c->values);
	if (rc == 0) {
		slot->column = column + 1;
		slot->exponent = self.exponent;
	}
	return rc;
}

/* The columns to decode, the wanted one first, until one stands alone or is decoded already. */
static int find_chain(const struct det_segment *s, uint32_t column,
	const struct det_segment_cursor *c, uint8_t ret_refs[DET_SEGMENT_CHAIN + 1], size_t *ret_n)
{
	size_t n = 0;
	for (;;) {
		const uint8_t *data;
		size_t len;
		if (n > DET_SEGMENT_CHAIN || !column_bytes(s, column, &data, &len)) {
			return -EBADMSG;
		}
		int ref = det_codec_ref(data, len);
		if (ref < 0 || (uint32_t)ref > column) {
			return -EBADMSG;
		}
		ret_refs[n++] = (uint8_t)ref;
		column -= (uint32_t)ref;
		if (ref == 0 || c->slots[column % OPS_LENGTH(c->slots)].column == column + 1) {
			*ret_n = n;
			return 0;
		}
	}
}

int det_segment_column(const struct det_segment *s, uint32_t column,
	struct det_segment_cursor *cursor, const double **ret_values)
{
	uint8_t refs[DET_SEGMENT_CHAIN + 1];
	size_t n;
	if (column >= s->ncolumns) {
		return -EBADMSG;
	}
	cursor_aim(cursor, s);
	int rc = find_chain(s, column, cursor, refs, &n);
	if (rc != 0) {
		return rc;
	}
	uint32_t at = column;
	for (size_t i = 0; i < n - 1; i++) {
		at -= refs[i];
	}
	for (size_t i = n; i-- > 0;) {
		rc = decode_column(s, at, refs[i], cursor);
		if (rc != 0) {
			return rc;
		}
		at += i > 0 ? refs[i - 1] : 0u;
	}
	*ret_values = cursor->values;
	return 0;
}

int det_segment_cursor_times(
	const struct det_segment *s, struct det_segment_cursor *cursor, const int64_t **ret_times)
{
	cursor_aim(cursor, s);
	if (!cursor->times_known) {
		int rc = det_segment_times(s, cursor->times);
		if (rc != 0) {
			return rc;
		}
		cursor->times_known = true;
	}
	*ret_times = cursor->times;
	return 0;
}
