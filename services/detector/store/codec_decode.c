/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other half of codec.c, where the bytes are described: integers are unpacked, summed up, put
 * upon those of the ref, and become doubles; exceptions are written over the result last. Every
 * step is one loop over the whole column. Sums wrap: hostile bytes make wrong numbers, no harm.
 */
#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "services/detector/store/codec.h"
#include "services/detector/store/codec_format.h"
#include "services/detector/store/varint.h"

struct parsed { /* a column's beginning */
	uint8_t head;
	unsigned exponent, shift;
	const uint8_t *exceptions; /* behind their number */
	uint64_t nexceptions;
	const uint8_t *stream, *end;
};

static double bits_double(uint64_t u)
{
	double v;
	memcpy(&v, &u, sizeof(v));
	return v;
}

/* One run: rows before it, rows, pattern. */
static bool get_exception(
	const uint8_t **at, const uint8_t *end, uint64_t ret_run[2], uint64_t *ret_pattern)
{
	if (!det_get_varint(at, end, &ret_run[0]) || !det_get_varint(at, end, &ret_run[1]) ||
		*at >= end) {
		return false;
	}
	uint8_t what = *(*at)++;
	if (what < OPS_LENGTH(det_codec_patterns)) {
		*ret_pattern = det_codec_patterns[what];
		return true;
	}
	if (what != DET_CODEC_OTHER_PATTERN || end - *at < 8) {
		return false;
	}
	*ret_pattern = ops_get_u64(*at);
	*at += 8;
	return true;
}

static bool skip_exceptions(struct parsed *p, const uint8_t **at, size_t n)
{
	uint64_t left = n;
	if (!det_get_varint(at, p->end, &p->nexceptions)) {
		return false;
	}
	p->exceptions = *at;
	for (uint64_t i = 0; i < p->nexceptions; i++) {
		uint64_t run[2], pattern;
		if (!get_exception(at, p->end, run, &pattern) || run[0] > left) {
			return false;
		}
		left -= run[0];
		if (run[1] == 0 || run[1] > left) {
			return false;
		}
		left -= run[1];
	}
	return true;
}

static bool parse(const uint8_t *data, size_t len, size_t n, struct parsed *ret)
{
	if (len < 2 || n == 0) {
		return false;
	}
	const uint8_t *at = data + 1;
	*ret = (struct parsed){.head = data[0], .end = data + len};
	if ((ret->head & DET_CODEC_SCALED) != 0) {
		if (ret->end - at < 2 || at[0] > DET_CODEC_MAX_EXPONENT || at[1] > 63) {
			return false;
		}
		ret->exponent = *at++;
		ret->shift = *at++;
	}
	if ((ret->head & DET_CODEC_ORDER) > 2 ||
		((ret->head & DET_CODEC_EXCEPTIONS) != 0 && !skip_exceptions(ret, &at, n))) {
		return false;
	}
	ret->stream = at;
	return true;
}

/* Residuals of an order become integers: summed up as often, shifted, put upon the first. */
static void add_up(int64_t *v, size_t n, unsigned order, unsigned shift, uint64_t first)
{
	uint64_t sum = 0, slope = 0;
	if (order == 0) {
		for (size_t i = 0; i < n; i++) {
			v[i] = (int64_t)(((uint64_t)v[i] << shift) + first);
		}
	} else if (order == 1) {
		for (size_t i = 0; i < n; i++) {
			sum += (uint64_t)v[i];
			v[i] = (int64_t)((sum << shift) + first);
		}
	} else {
		v[0] = (int64_t)first;
		for (size_t i = 1; i < n; i++) {
			slope += (uint64_t)v[i];
			sum += slope;
			v[i] = (int64_t)((sum << shift) + first);
		}
	}
}

/* The residuals [from, n) and what is before them: the first is 0, order 2 has a difference. */
static bool get_residuals(const struct parsed *p, size_t n, uint64_t *ret_first, int64_t *ret)
{
	const uint8_t *at = p->stream;
	size_t from = 1;
	uint64_t u;
	if (!det_get_varint(&at, p->end, ret_first)) {
		return false;
	}
	ret[0] = 0;
	if ((p->head & DET_CODEC_ORDER) == 2) {
		if (n < 2 || !det_get_varint(&at, p->end, &u)) {
			return false;
		}
		ret[1] = det_unzigzag(u);
		from = 2;
	}
	if ((p->head & DET_CODEC_FLAT) == 0) {
		return det_pack_decode(&at, p->end, n - from, ret + from);
	}
	if (!det_get_varint(&at, p->end, &u)) {
		return false;
	}
	for (size_t i = from; i < n; i++) {
		ret[i] = det_unzigzag(u);
	}
	return true;
}

static bool get_stream(const struct parsed *p, size_t n, int64_t *ret)
{
	uint64_t first;
	unsigned order = p->head & DET_CODEC_ORDER;
	if (!get_residuals(p, n, &first, ret)) {
		return false;
	}
	add_up(ret, n, order, p->shift, (uint64_t)det_unzigzag(first));
	return true;
}

static void put_exceptions(const struct parsed *p, double *values)
{
	const uint8_t *at = p->exceptions;
	for (uint64_t i = 0; i < p->nexceptions; i++) {
		uint64_t run[2], pattern;
		bool fine = get_exception(&at, p->end, run, &pattern);
		ops_assert(fine); /* parse() read it already */
		values += run[0];
		for (uint64_t r = 0; r < run[1]; r++) {
			*values++ = bits_double(pattern);
		}
	}
}

static void to_doubles(const int64_t *ints, size_t n, unsigned exponent, double *ret)
{
	if (exponent == 0) {
		for (size_t i = 0; i < n; i++) {
			ret[i] = (double)ints[i];
		}
		return;
	}
	double scale = det_codec_powers[exponent];
	for (size_t i = 0; i < n; i++) {
		ret[i] = (double)ints[i] / scale;
	}
}

int det_codec_ref(const uint8_t *data, size_t len)
{
	if (len == 0) {
		return -EBADMSG;
	}
	int ref = (data[0] & DET_CODEC_REF) >> DET_CODEC_REF_SHIFT;
	return ref <= (int)DET_CODEC_MAX_REF ? ref : -EBADMSG;
}

int det_codec_decode(const uint8_t *data, size_t len, size_t n, const struct det_column *ref,
	struct det_column *self, double *ret_values)
{
	struct parsed p;
	int64_t *ints = self->ints;
	if (!parse(data, len, n, &p) || !get_stream(&p, n, ints)) {
		return -EBADMSG;
	}
	if ((p.head & DET_CODEC_REF) != 0) {
		if (ref == NULL || ref->exponent == DET_CODEC_NO_INTS) {
			return -EBADMSG;
		}
		for (size_t i = 0; i < n; i++) {
			ints[i] = (int64_t)((uint64_t)ints[i] + (uint64_t)ref->ints[i]);
		}
	}
	if ((p.head & DET_CODEC_BITS) != 0) {
		self->exponent = DET_CODEC_NO_INTS;
		for (size_t i = 0; i < n; i++) {
			ret_values[i] = bits_double(det_codec_ordered((uint64_t)ints[i]));
		}
	} else {
		self->exponent = p.exponent;
		to_doubles(ints, n, p.exponent, ret_values);
	}
	put_exceptions(&p, ret_values);
	return 0;
}

int det_codec_decode_ints(const uint8_t *data, size_t len, size_t n, int64_t *ret_ints)
{
	struct parsed p;
	if (!parse(data, len, n, &p) || (p.head & (DET_CODEC_REF | DET_CODEC_EXCEPTIONS)) != 0 ||
		!get_stream(&p, n, ret_ints)) {
		return -EBADMSG;
	}
	return 0;
}
