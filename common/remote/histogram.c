/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message lists buckets as spans (gap to the one before, length) with a row of numbers: deltas
 * between neighbours where counts are integers, the counts themselves where they are floats. The
 * model has (index, count) pairs of doubles for both.
 *
 * Which form is written: counts come from exporters as integers, stay exact as doubles up to 2^53,
 * and take a fifth of the bytes; so integers where everything is whole and below that.
 */
#include "common/remote/histogram.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/proto/proto.h"

enum {
	F_COUNT_INT = 1,
	F_COUNT_FLOAT = 2,
	F_SUM = 3,
	F_SCHEMA = 4,
	F_ZERO_THRESHOLD = 5,
	F_ZERO_COUNT_INT = 6,
	F_ZERO_COUNT_FLOAT = 7,
	F_NEGATIVE_SPANS = 8,
	F_POSITIVE_SPANS = 11, /* of either sign: spans, deltas, counts */
	F_RESET_HINT = 14,
	F_TIMESTAMP = 15,
	F_CUSTOM_VALUES = 16
};

/* ---- decoding ------------------------------------------------------------------------------- */

struct side { /* one sign's buckets while they are read */
	int32_t *indexes;
	size_t nindexes, indexes_cap;
	double *counts;
	size_t ncounts, counts_cap;
	int64_t next;  /* index behind the last span */
	int64_t delta; /* running sum of deltas */
};

struct span {
	int64_t offset;
	uint64_t length;
};

static int span_part(void *arg, const struct ops_proto_field *part)
{
	struct span *span = arg;

	if (part->number > 2)
		return 0;
	if (part->wire != OPS_PROTO_VARINT)
		return -EBADMSG;
	if (part->number == 1)
		span->offset = ops_proto_zigzag(part->value);
	else
		span->length = part->value;
	return 0;
}

static int add_span(const struct ops_proto_field *f, struct side *s)
{
	struct span span = {0, 0};

	if (ops_proto_each(f, span_part, &span) < 0 ||
		span.length > OPS_HISTOGRAM_MAX_BUCKETS - s->nindexes ||
		span.offset > OPS_HISTOGRAM_MAX_INDEX || span.offset < -OPS_HISTOGRAM_MAX_INDEX ||
		(s->nindexes > 0 && span.offset < 0))
		return -EBADMSG;
	s->next += span.offset;
	if (s->next + (int64_t)span.length > OPS_HISTOGRAM_MAX_INDEX ||
		s->next < -OPS_HISTOGRAM_MAX_INDEX)
		return -EBADMSG;
	for (uint64_t i = 0; i < span.length; i++) {
		OPS_GROW(s->indexes, s->nindexes, s->indexes_cap);
		s->indexes[s->nindexes++] = (int32_t)s->next++;
	}
	return 0;
}

static int add_count(struct side *s, double count)
{
	if (s->ncounts == OPS_HISTOGRAM_MAX_BUCKETS)
		return -EBADMSG;
	OPS_GROW(s->counts, s->ncounts, s->counts_cap);
	s->counts[s->ncounts++] = count;
	return 0;
}

static int add_deltas(const struct ops_proto_field *f, struct side *s)
{
	struct ops_proto_reader r;
	uint64_t v;
	int rc;

	if (f->wire != OPS_PROTO_LEN && f->wire != OPS_PROTO_VARINT)
		return -EBADMSG;
	ops_proto_elements(&r, f);
	while ((rc = ops_proto_next_varint(&r, &v)) > 0)
		if (__builtin_add_overflow(s->delta, ops_proto_zigzag(v), &s->delta) ||
			add_count(s, (double)s->delta) < 0)
			return -EBADMSG;
	return rc;
}

static int add_counts(const struct ops_proto_field *f, struct side *s)
{
	struct ops_proto_reader r;
	double v;
	int rc;

	if (f->wire != OPS_PROTO_LEN && f->wire != OPS_PROTO_FIXED64)
		return -EBADMSG;
	ops_proto_elements(&r, f);
	while ((rc = ops_proto_next_double(&r, &v)) > 0)
		if (add_count(s, v) < 0)
			return -EBADMSG;
	return rc;
}

/* kind: 0 spans, 1 deltas, 2 counts */
static int add_buckets(const struct ops_proto_field *f, uint32_t kind, struct side *s)
{
	return kind == 0 ? add_span(f, s) : kind == 1 ? add_deltas(f, s) : add_counts(f, s);
}

static int read_scalar(const struct ops_proto_field *f, struct ops_histogram *h)
{
	static const enum ops_proto_wire wires[] = {
		[F_COUNT_INT] = OPS_PROTO_VARINT,
		[F_COUNT_FLOAT] = OPS_PROTO_FIXED64,
		[F_SUM] = OPS_PROTO_FIXED64,
		[F_SCHEMA] = OPS_PROTO_VARINT,
		[F_ZERO_THRESHOLD] = OPS_PROTO_FIXED64,
		[F_ZERO_COUNT_INT] = OPS_PROTO_VARINT,
		[F_ZERO_COUNT_FLOAT] = OPS_PROTO_FIXED64,
	};
	double *const numbers[] = {NULL, &h->count, &h->count, &h->sum, NULL, &h->zero_threshold,
		&h->zero_count, &h->zero_count};

	if (f->wire != wires[f->number])
		return -EBADMSG;
	if (f->number == F_SCHEMA) {
		int64_t schema = ops_proto_zigzag(f->value);
		if (schema < INT8_MIN || schema > INT8_MAX)
			return -EBADMSG;
		h->schema = (int32_t)schema;
	} else {
		*numbers[f->number] =
			f->wire == OPS_PROTO_VARINT ? (double)f->value : ops_proto_double(f);
	}
	return 0;
}

struct decoding {
	struct side sides[3]; /* positive, negative, custom bounds */
	struct ops_histogram h;
};

static int read_part(void *arg, const struct ops_proto_field *f)
{
	struct decoding *d = arg;

	if (f->number <= F_ZERO_COUNT_FLOAT)
		return read_scalar(f, &d->h);
	if (f->number < F_POSITIVE_SPANS)
		return add_buckets(f, f->number - F_NEGATIVE_SPANS, &d->sides[1]);
	if (f->number < F_RESET_HINT)
		return add_buckets(f, f->number - F_POSITIVE_SPANS, &d->sides[0]);
	if (f->number == F_CUSTOM_VALUES)
		return add_counts(f, &d->sides[2]);
	if (f->number == F_RESET_HINT && f->wire == OPS_PROTO_VARINT && f->value <= OPS_RESET_GAUGE)
		d->h.hint = (enum ops_reset_hint)f->value;
	return 0;
}

static int build_side(
	const struct side *s, struct ops_arena *arena, struct ops_histogram_buckets *ret)
{
	if (s->nindexes != s->ncounts)
		return -EBADMSG;
	for (size_t i = 0; i < s->nindexes; i++)
		ops_histogram_push(arena, ret, s->indexes[i], s->counts[i]);
	return 0;
}

static int build(struct decoding *d, struct ops_arena *arena)
{
	const struct side *custom = &d->sides[2];
	struct ops_histogram *h = &d->h;

	if (build_side(&d->sides[0], arena, &h->positive) < 0 ||
		build_side(&d->sides[1], arena, &h->negative) < 0)
		return -EBADMSG;
	h->ncustom = (uint32_t)custom->ncounts;
	h->custom = h->ncustom == 0 ? NULL
				    : ops_arena_dup(arena, custom->counts,
					      h->ncustom * sizeof(custom->counts[0]));
	return 0;
}

int ops_remote_histogram_decode(const struct ops_remote_histogram *message, struct ops_arena *arena,
	struct ops_histogram *ret)
{
	struct decoding d = {.h = {.hint = OPS_RESET_UNKNOWN}};
	const struct ops_proto_field whole = ops_proto_whole(message->data, message->len);
	int rc = ops_proto_each(&whole, read_part, &d);

	if (rc == 0)
		rc = build(&d, arena);
	if (rc == 0)
		*ret = d.h;
	for (size_t i = 0; i < OPS_LENGTH(d.sides); i++) {
		free(d.sides[i].indexes);
		free(d.sides[i].counts);
	}
	return rc;
}

/* ---- encoding ------------------------------------------------------------------------------- */

static bool whole(double v)
{
	return v >= 0 && v < 9007199254740992.0 && floor(v) == v;
}

static bool all_whole(const struct ops_histogram_buckets *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (!whole(b->items[i].count))
			return false;
	return true;
}

static void put_spans(
	struct ops_strbuf *b, uint32_t number, const struct ops_histogram_buckets *side)
{
	int64_t end = 0;

	for (uint32_t i = 0; i < side->n;) {
		uint32_t last = i;
		while (last + 1 < side->n &&
			side->items[last + 1].index == side->items[last].index + 1)
			last++;
		size_t mark = ops_proto_begin(b, number);
		ops_proto_put_sint(b, 1, side->items[i].index - end);
		ops_proto_put_varint(b, 2, last - i + 1);
		ops_proto_end(b, mark);
		end = (int64_t)side->items[last].index + 1;
		i = last + 1;
	}
}

static void put_counts(struct ops_strbuf *b, uint32_t number,
	const struct ops_histogram_buckets *side, bool integers)
{
	int64_t before = 0;

	if (side->n == 0)
		return;
	size_t mark = ops_proto_begin(b, integers ? number + 1 : number + 2);
	for (uint32_t i = 0; i < side->n; i++) {
		if (integers) {
			int64_t delta = (int64_t)side->items[i].count - before;
			before += delta;
			ops_proto_put_raw(b, (uint64_t)delta << 1 ^ (uint64_t)(delta >> 63));
		} else {
			ops_proto_put_raw_double(b, side->items[i].count);
		}
	}
	ops_proto_end(b, mark);
}

static void put_number(struct ops_strbuf *b, uint32_t number, double v, bool integer)
{
	if (integer)
		ops_proto_put_varint(b, number, (uint64_t)v);
	else
		ops_proto_put_double(b, number + 1, v);
}

void ops_remote_put_buckets(struct ops_strbuf *out, uint32_t number,
	const struct ops_histogram_buckets *side, bool integers)
{
	put_spans(out, number, side);
	put_counts(out, number, side, integers);
}

void ops_remote_histogram_encode(
	const struct ops_histogram *h, int64_t time_ms, struct ops_strbuf *out)
{
	bool integers = whole(h->count) && whole(h->zero_count) && all_whole(&h->positive) &&
			all_whole(&h->negative);

	put_number(out, F_COUNT_INT, h->count, integers);
	ops_proto_put_double(out, F_SUM, h->sum);
	ops_proto_put_sint(out, F_SCHEMA, h->schema);
	ops_proto_put_double(out, F_ZERO_THRESHOLD, h->zero_threshold);
	put_number(out, F_ZERO_COUNT_INT, h->zero_count, integers);
	ops_remote_put_buckets(out, F_NEGATIVE_SPANS, &h->negative, integers);
	ops_remote_put_buckets(out, F_POSITIVE_SPANS, &h->positive, integers);
	if (h->hint != OPS_RESET_UNKNOWN)
		ops_proto_put_varint(out, F_RESET_HINT, h->hint);
	ops_proto_put_varint(out, F_TIMESTAMP, (uint64_t)time_ms);
	if (h->ncustom > 0) {
		size_t mark = ops_proto_begin(out, F_CUSTOM_VALUES);
		for (uint32_t i = 0; i < h->ncustom; i++)
			ops_proto_put_raw_double(out, h->custom[i]);
		ops_proto_end(out, mark);
	}
}
