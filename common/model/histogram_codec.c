/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of a histogram: a byte of flags (hint, what follows), schema and spans as varints, then the
 * numbers. Counts are whole numbers nearly always: then each is the varint of its difference to
 * the bucket before, one or two bytes; when one of them is not, all are doubles. The sum is always
 * a double: it is the staleness marker too. A bucket takes at least a byte, so a length bounds what
 * decoding makes.
 *
 *   flags | schema | [threshold] | counts: count zero | sum | positive | negative | [custom]
 *   side: number of spans, then offset and length of each, then the counts
 */
#include "common/model/histogram.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/strbuf.h"

enum {
	FLAG_HINT = 3,
	FLAG_WHOLE = 1 << 2, /* counts are whole numbers */
	FLAG_THRESHOLD = 1 << 3,
	FLAG_CUSTOM = 1 << 4,
	FLAG_ALL = FLAG_HINT | FLAG_WHOLE | FLAG_THRESHOLD | FLAG_CUSTOM
};

#define WHOLE_MAX 9007199254740992.0 /* 2^53 */

static bool is_whole(double v)
{
	return v >= 0 && v <= WHOLE_MAX && v == floor(v) && !(v == 0 && signbit(v));
}

static bool whole_side(const struct ops_histogram_buckets *side)
{
	uint32_t i = 0;
	while (i < side->n && is_whole(side->items[i].count)) {
		i++;
	}
	return i == side->n;
}

static void put_varint(struct ops_strbuf *out, uint64_t v)
{
	while (v >= 0x80) {
		ops_strbuf_addc(out, (char)(uint8_t)(v | 0x80));
		v >>= 7;
	}
	ops_strbuf_addc(out, (char)(uint8_t)v);
}

static void put_signed(struct ops_strbuf *out, int64_t v)
{
	put_varint(out, ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0));
}

static void put_double(struct ops_strbuf *out, double v)
{
	uint8_t raw[sizeof(uint64_t)];
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	ops_put_u64(raw, bits);
	ops_strbuf_add(out, raw, sizeof(raw));
}

static size_t span_length(const struct ops_histogram_buckets *side, uint32_t from)
{
	uint32_t to = from + 1;
	while (to < side->n && side->items[to].index == side->items[to - 1].index + 1) {
		to++;
	}
	return to - from;
}

static void put_side(struct ops_strbuf *out, const struct ops_histogram_buckets *side, bool whole)
{
	size_t spans = 0;
	for (uint32_t i = 0; i < side->n; i += (uint32_t)span_length(side, i)) {
		spans++;
	}
	put_varint(out, spans);
	int64_t end = 0;
	for (uint32_t i = 0; i < side->n;) {
		size_t n = span_length(side, i);
		put_signed(out, side->items[i].index - end);
		put_varint(out, n);
		end = side->items[i].index + (int64_t)n;
		i += (uint32_t)n;
	}
	int64_t before = 0;
	for (uint32_t i = 0; i < side->n; i++) {
		if (!whole) {
			put_double(out, side->items[i].count);
			continue;
		}
		int64_t count = (int64_t)side->items[i].count;
		put_signed(out, count - before);
		before = count;
	}
}

void ops_histogram_encode(const struct ops_histogram *h, struct ops_strbuf *out)
{
	bool custom = ops_histogram_is_custom(h);
	bool whole = is_whole(h->count) && is_whole(h->zero_count) && whole_side(&h->positive) &&
		     whole_side(&h->negative);
	bool threshold = !ops_double_same(h->zero_threshold, 0);
	ops_strbuf_addc(
		out, (char)((unsigned)h->hint | (whole ? FLAG_WHOLE : 0u) |
			     (threshold ? FLAG_THRESHOLD : 0u) | (custom ? FLAG_CUSTOM : 0u)));
	put_signed(out, h->schema);
	if (threshold) {
		put_double(out, h->zero_threshold);
	}
	if (whole) {
		put_varint(out, (uint64_t)h->count);
		put_varint(out, (uint64_t)h->zero_count);
	} else {
		put_double(out, h->count);
		put_double(out, h->zero_count);
	}
	put_double(out, h->sum);
	put_side(out, &h->positive, whole);
	put_side(out, &h->negative, whole);
	if (custom) {
		put_varint(out, h->ncustom);
		for (uint32_t i = 0; i < h->ncustom; i++) {
			put_double(out, h->custom[i]);
		}
	}
}

struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
	struct ops_arena *arena;
};

static uint64_t get_varint(struct reader *r)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && r->left != 0; shift += 7) {
		uint8_t b = *r->at++;
		r->left--;
		v |= (uint64_t)(b & 0x7f) << shift;
		if ((b & 0x80) == 0) {
			return v;
		}
	}
	r->bad = true;
	return 0;
}

static int64_t get_signed(struct reader *r)
{
	uint64_t v = get_varint(r);
	return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static double get_double(struct reader *r)
{
	if (r->left < sizeof(uint64_t)) {
		r->bad = true;
		return 0;
	}
	uint64_t bits = ops_get_u64(r->at);
	double v;
	memcpy(&v, &bits, sizeof(v));
	r->at += sizeof(bits);
	r->left -= sizeof(bits);
	return v;
}

/* Adds a span's buckets without counts; false: not a span. */
static bool get_span(struct reader *r, struct ops_histogram_buckets *side, int64_t *end, bool first)
{
	int64_t offset = get_signed(r);
	uint64_t n = get_varint(r);
	if (r->bad || n == 0 || n > OPS_HISTOGRAM_MAX_BUCKETS - side->n ||
		n > side->cap - side->n || offset < -OPS_HISTOGRAM_MAX_INDEX ||
		offset > 2 * OPS_HISTOGRAM_MAX_INDEX || (!first && offset < 0)) {
		return false;
	}
	int64_t index = *end + offset;
	*end = index + (int64_t)n;
	if (index < -OPS_HISTOGRAM_MAX_INDEX || *end > OPS_HISTOGRAM_MAX_INDEX) {
		return false;
	}
	for (uint64_t i = 0; i < n; i++) {
		side->items[side->n++].index = (int32_t)(index + (int64_t)i);
	}
	return true;
}

static int64_t get_count(struct reader *r, int64_t before)
{
	int64_t delta = get_signed(r);
	if (delta < -(int64_t)WHOLE_MAX || delta > (int64_t)WHOLE_MAX) {
		r->bad = true;
		return 0;
	}
	int64_t count = before + delta;
	r->bad = r->bad || count < 0 || count > (int64_t)WHOLE_MAX;
	return count;
}

static void get_side(struct reader *r, struct ops_histogram_buckets *side, bool whole)
{
	uint64_t spans = get_varint(r);
	/* Each bucket takes a byte at least, with or without its span. */
	if (r->bad || spans > r->left || spans == 0) {
		r->bad = r->bad || spans != 0;
		return;
	}
	side->cap = (uint32_t)OPS_MIN(r->left, (size_t)OPS_HISTOGRAM_MAX_BUCKETS);
	side->items = ops_arena_array(r->arena, struct ops_histogram_bucket, side->cap);
	int64_t end = 0;
	for (uint64_t i = 0; i < spans; i++) {
		if (!get_span(r, side, &end, i == 0)) {
			r->bad = true;
			return;
		}
	}
	int64_t before = 0;
	for (uint32_t i = 0; i < side->n && !r->bad; i++) {
		if (whole) {
			before = get_count(r, before);
			side->items[i].count = (double)before;
		} else {
			side->items[i].count = get_double(r);
		}
	}
}

static void get_custom(struct reader *r, struct ops_histogram *h)
{
	uint64_t n = get_varint(r);
	if (r->bad || n > r->left / sizeof(double) || n > OPS_HISTOGRAM_MAX_BUCKETS) {
		r->bad = true;
		return;
	}
	double *bounds = ops_arena_array(r->arena, double, n);
	for (uint64_t i = 0; i < n; i++) {
		bounds[i] = get_double(r);
	}
	h->custom = bounds;
	h->ncustom = (uint32_t)n;
}

int ops_histogram_decode(
	const void *data, size_t len, struct ops_arena *arena, struct ops_histogram *ret)
{
	struct reader r = {.at = data, .left = len, .arena = arena};
	struct ops_histogram h = {0};
	if (len < 2 || (*r.at & ~FLAG_ALL) != 0) {
		return -EBADMSG;
	}
	unsigned flags = *r.at++;
	r.left--;
	bool whole = (flags & FLAG_WHOLE) != 0, custom = (flags & FLAG_CUSTOM) != 0;
	h.hint = (enum ops_reset_hint)(flags & FLAG_HINT);
	int64_t schema = get_signed(&r);
	h.zero_threshold = (flags & FLAG_THRESHOLD) != 0 ? get_double(&r) : 0;
	if (whole) {
		uint64_t count = get_varint(&r), zero = get_varint(&r);
		r.bad = r.bad || count > (uint64_t)WHOLE_MAX || zero > (uint64_t)WHOLE_MAX;
		h.count = (double)count;
		h.zero_count = (double)zero;
	} else {
		h.count = get_double(&r);
		h.zero_count = get_double(&r);
	}
	h.sum = get_double(&r);
	get_side(&r, &h.positive, whole);
	if (!r.bad) {
		get_side(&r, &h.negative, whole);
	}
	if (!r.bad && custom) {
		get_custom(&r, &h);
	}
	bool known =
		custom ? schema == OPS_HISTOGRAM_CUSTOM
		       : schema >= OPS_HISTOGRAM_SCHEMA_MIN && schema <= OPS_HISTOGRAM_SCHEMA_MAX;
	if (r.bad || r.left != 0 || !known) {
		return -EBADMSG;
	}
	h.schema = (int32_t)schema;
	*ret = h;
	return 0;
}
