/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message lists buckets as spans (a gap, then so many buckets in a row) and either differences
 * of integer counts or counts as doubles. Spans are read first and laid over the counts at the end,
 * since fields may come in any order. What the spans promise is checked against the counts, so
 * nothing is made that the message does not hold.
 */
#include "services/detector/api/wire_histogram.h"

#include <errno.h>

#include "common/base/strbuf.h"
#include "common/proto/proto.h"

enum {
	F_COUNT_INT = 1,
	F_COUNT_FLOAT,
	F_SUM,
	F_SCHEMA,
	F_ZERO_THRESHOLD,
	F_ZERO_INT,
	F_ZERO_FLOAT,
	F_NEGATIVE_SPANS,
	F_NEGATIVE_DELTAS,
	F_NEGATIVE_COUNTS,
	F_POSITIVE_SPANS,
	F_POSITIVE_DELTAS,
	F_POSITIVE_COUNTS,
	F_RESET_HINT,
	F_TIMESTAMP,
	F_CUSTOM
};

struct span {
	int32_t offset;
	uint32_t length;
};

struct side { /* of one sign */
	struct span *spans;
	size_t nspans, spans_cap;
	double *counts;
	size_t n, cap;
	double last; /* the integer count that the next difference is added to */
};

struct reader {
	struct side negative, positive;
	double *custom;
	size_t ncustom, custom_cap;
	struct ops_histogram h;
};

static int read_span(struct side *s, const struct ops_proto_field *f)
{
	struct ops_proto_reader r;
	struct ops_proto_field part;
	struct span span = {0};
	int rc = 0;
	if (f->wire != OPS_PROTO_LEN) {
		return -EBADMSG;
	}
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) == 1) {
		if (part.number == 1) {
			int64_t offset = ops_proto_zigzag(part.value);
			if (offset < INT32_MIN || offset > INT32_MAX) {
				return -EBADMSG;
			}
			span.offset = (int32_t)offset;
		} else if (part.number == 2) {
			span.length = (uint32_t)OPS_MIN(part.value, UINT32_MAX);
		}
	}
	OPS_GROW(s->spans, s->nspans, s->spans_cap);
	s->spans[s->nspans++] = span;
	return rc;
}

static int add_count(struct side *s, double count)
{
	if (s->n >= OPS_HISTOGRAM_MAX_BUCKETS) {
		return -EBADMSG;
	}
	OPS_GROW(s->counts, s->n, s->cap);
	s->counts[s->n++] = count;
	return 0;
}

static int read_deltas(struct side *s, const struct ops_proto_field *f)
{
	struct ops_proto_reader r;
	uint64_t v;
	int rc = 0, added = 0;
	ops_proto_elements(&r, f);
	while (added == 0 && (rc = ops_proto_next_varint(&r, &v)) == 1) {
		s->last += (double)ops_proto_zigzag(v);
		added = add_count(s, s->last);
	}
	return added != 0 ? added : rc;
}

static int read_counts(struct side *s, const struct ops_proto_field *f)
{
	struct ops_proto_reader r;
	double v;
	int rc = 0, added = 0;
	ops_proto_elements(&r, f);
	while (added == 0 && (rc = ops_proto_next_double(&r, &v)) == 1) {
		added = add_count(s, v);
	}
	return added != 0 ? added : rc;
}

static int read_custom(struct reader *to, const struct ops_proto_field *f)
{
	struct ops_proto_reader r;
	double v;
	int rc;
	ops_proto_elements(&r, f);
	while ((rc = ops_proto_next_double(&r, &v)) == 1) {
		if (to->ncustom >= OPS_HISTOGRAM_MAX_BUCKETS) {
			return -EBADMSG;
		}
		OPS_GROW(to->custom, to->ncustom, to->custom_cap);
		to->custom[to->ncustom++] = v;
	}
	return rc;
}

static int read_scalar(struct ops_histogram *h, const struct ops_proto_field *f)
{
	bool is_double = f->number == F_COUNT_FLOAT || f->number == F_SUM ||
			 f->number == F_ZERO_THRESHOLD || f->number == F_ZERO_FLOAT;
	if (f->number > F_CUSTOM) {
		return 0; /* of a later version */
	}
	if (f->wire != (is_double ? OPS_PROTO_FIXED64 : OPS_PROTO_VARINT)) {
		return -EBADMSG;
	}
	if (f->number == F_COUNT_INT) {
		h->count = (double)f->value;
	} else if (f->number == F_COUNT_FLOAT) {
		h->count = ops_proto_double(f);
	} else if (f->number == F_SUM) {
		h->sum = ops_proto_double(f);
	} else if (f->number == F_SCHEMA) {
		int64_t schema = ops_proto_zigzag(f->value);
		h->schema = schema < -128 || schema > 127 ? 127 : (int32_t)schema;
	} else if (f->number == F_ZERO_THRESHOLD) {
		h->zero_threshold = ops_proto_double(f);
	} else if (f->number == F_ZERO_INT) {
		h->zero_count = (double)f->value;
	} else if (f->number == F_ZERO_FLOAT) {
		h->zero_count = ops_proto_double(f);
	} else if (f->number == F_RESET_HINT && f->value <= OPS_RESET_GAUGE) {
		h->hint = (enum ops_reset_hint)f->value;
	}
	return 0;
}

static int read_field(struct reader *to, const struct ops_proto_field *f)
{
	switch (f->number) {
	case F_NEGATIVE_SPANS:
		return read_span(&to->negative, f);
	case F_NEGATIVE_DELTAS:
		return read_deltas(&to->negative, f);
	case F_NEGATIVE_COUNTS:
		return read_counts(&to->negative, f);
	case F_POSITIVE_SPANS:
		return read_span(&to->positive, f);
	case F_POSITIVE_DELTAS:
		return read_deltas(&to->positive, f);
	case F_POSITIVE_COUNTS:
		return read_counts(&to->positive, f);
	case F_CUSTOM:
		return read_custom(to, f);
	default:
		return read_scalar(&to->h, f);
	}
}

static int lay_out(const struct side *s, struct ops_arena *arena, struct ops_histogram_buckets *ret)
{
	int64_t index = 0;
	size_t at = 0;
	for (size_t i = 0; i < s->nspans; i++) {
		index += s->spans[i].offset;
		if (s->spans[i].length > s->n - at || (i > 0 && s->spans[i].offset < 0)) {
			return -EBADMSG;
		}
		for (uint32_t k = 0; k < s->spans[i].length; k++, index++) {
			if (index < -OPS_HISTOGRAM_MAX_INDEX || index > OPS_HISTOGRAM_MAX_INDEX) {
				return -EBADMSG;
			}
			ops_histogram_push(arena, ret, (int32_t)index, s->counts[at++]);
		}
	}
	return at == s->n ? 0 : -EBADMSG;
}

int det_histogram_from_wire(
	const void *data, size_t len, struct ops_arena *arena, struct ops_histogram *ret)
{
	struct reader to = {0};
	struct ops_proto_reader r;
	struct ops_proto_field f;
	int rc = 0, read = 0;
	ops_proto_read(&r, data, len);
	while (read == 0 && (rc = ops_proto_next(&r, &f)) == 1) {
		read = read_field(&to, &f);
	}
	rc = read != 0 ? read : rc;
	if (rc == 0) {
		rc = lay_out(&to.negative, arena, &to.h.negative);
	}
	if (rc == 0) {
		rc = lay_out(&to.positive, arena, &to.h.positive);
	}
	if (rc == 0) {
		if (to.ncustom > 0) {
			to.h.custom = ops_arena_dup(arena, to.custom, to.ncustom * sizeof(double));
			to.h.ncustom = (uint32_t)to.ncustom;
		}
		*ret = to.h;
	}
	free(to.negative.spans);
	free(to.negative.counts);
	free(to.positive.spans);
	free(to.positive.counts);
	free(to.custom);
	return rc;
}

/* ---- out ---- */

static void put_span(struct ops_strbuf *out, uint32_t number, int64_t offset, uint32_t length)
{
	size_t mark = ops_proto_begin(out, number);
	ops_proto_put_sint(out, 1, offset);
	ops_proto_put_varint(out, 2, length);
	ops_proto_end(out, mark);
}

static void put_side(struct ops_strbuf *out, const struct ops_histogram_buckets *b, uint32_t spans,
	uint32_t counts)
{
	int64_t end = 0; /* of the span before */
	for (uint32_t from = 0; from < b->n;) {
		uint32_t to = from + 1;
		while (to < b->n && b->items[to].index == b->items[to - 1].index + 1) {
			to++;
		}
		put_span(out, spans, b->items[from].index - end, to - from);
		end = (int64_t)b->items[to - 1].index + 1;
		from = to;
	}
	for (uint32_t i = 0; i < b->n; i++) {
		ops_proto_put_double(out, counts, b->items[i].count);
	}
}

void det_histogram_to_wire(const struct ops_histogram *h, int64_t time_ms, struct ops_strbuf *out)
{
	ops_proto_put_double(out, F_COUNT_FLOAT, h->count);
	ops_proto_put_double(out, F_SUM, h->sum);
	ops_proto_put_sint(out, F_SCHEMA, h->schema);
	ops_proto_put_double(out, F_ZERO_THRESHOLD, h->zero_threshold);
	ops_proto_put_double(out, F_ZERO_FLOAT, h->zero_count);
	put_side(out, &h->negative, F_NEGATIVE_SPANS, F_NEGATIVE_COUNTS);
	put_side(out, &h->positive, F_POSITIVE_SPANS, F_POSITIVE_COUNTS);
	ops_proto_put_varint(out, F_RESET_HINT, (uint64_t)h->hint);
	ops_proto_put_varint(out, F_TIMESTAMP, (uint64_t)time_ms);
	for (uint32_t i = 0; i < h->ncustom; i++) {
		ops_proto_put_double(out, F_CUSTOM, h->custom[i]);
	}
}
