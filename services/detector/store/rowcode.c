/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bitmap of what changed, then each change: for two integers their difference as a varint with
 * the lowest bit 0; otherwise the bytes that differ, after a byte with the lowest bit 1, their
 * number and how many zero bytes follow them. Most gauges stay, most counters grow by little.
 */
#include "services/detector/store/rowcode.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "services/detector/store/varint.h"

#define INTEGER_LIMIT 4503599627370496.0 /* 2^52: the difference fits, shifted twice */

static uint64_t bits_of(double v)
{
	uint64_t u;
	memcpy(&u, &v, sizeof(u));
	return u;
}

/* A NaN, an infinity, a fraction and the negative zero are none. */
static bool integer(double v, int64_t *ret)
{
	if (!(v > -INTEGER_LIMIT && v < INTEGER_LIMIT)) {
		return false;
	}
	*ret = (int64_t)v;
	return bits_of((double)*ret) == bits_of(v);
}

static uint8_t *put_change(uint8_t *out, double before, double now)
{
	int64_t a, b;
	if (integer(before, &a) && integer(now, &b)) {
		return det_put_varint(out, det_zigzag(b - a) << 1);
	}
	uint64_t x = bits_of(before) ^ bits_of(now);
	unsigned behind = 0;
	while ((x & 0xff) == 0) {
		x >>= 8;
		behind++;
	}
	unsigned len = 0;
	uint8_t *head = out++;
	for (; x != 0; x >>= 8) {
		*out++ = (uint8_t)x;
		len++;
	}
	*head = (uint8_t)((behind << 4) | ((len - 1) << 1) | 1);
	return out;
}

void det_row_encode(const double *before, const double *row, uint32_t n, struct ops_strbuf *out)
{
	size_t bitmap = ((size_t)n + 7) / 8;
	ops_strbuf_reserve(out, bitmap + (size_t)n * DET_VARINT_MAX);
	uint8_t *bits = (uint8_t *)out->data + out->len;
	uint8_t *at = bits + bitmap;
	memset(bits, 0, bitmap);
	for (uint32_t c = 0; c < n; c++) {
		double was = before != NULL ? before[c] : 0;
		if (!ops_double_same(was, row[c])) {
			bits[c / 8] |= (uint8_t)(1u << (c % 8));
			at = put_change(at, was, row[c]);
		}
	}
	out->len += (size_t)(at - bits);
}

static bool get_change(const uint8_t **at, const uint8_t *end, double *v)
{
	if (*at == end) {
		return false;
	}
	if ((**at & 1) == 0) {
		uint64_t u;
		int64_t was;
		if (!det_get_varint(at, end, &u) || !integer(*v, &was)) {
			return false;
		}
		*v = (double)(was + det_unzigzag(u >> 1));
		return true;
	}
	unsigned head = *(*at)++, behind = head >> 4, len = ((head >> 1) & 7) + 1;
	if (behind + len > 8 || (size_t)(end - *at) < len) {
		return false;
	}
	uint64_t x = 0;
	for (unsigned i = 0; i < len; i++) {
		x |= (uint64_t) * (*at)++ << (8 * (behind + i));
	}
	x ^= bits_of(*v);
	memcpy(v, &x, sizeof(x));
	return true;
}

int det_row_decode(const uint8_t *data, size_t len, uint32_t n, double *row)
{
	size_t bitmap = ((size_t)n + 7) / 8;
	if (len < bitmap) {
		return -EBADMSG;
	}
	const uint8_t *at = data + bitmap, *end = data + len;
	for (uint32_t c = 0; c < n; c++) {
		if ((data[c / 8] >> (c % 8) & 1) && !get_change(&at, end, &row[c])) {
			return -EBADMSG;
		}
	}
	return at == end ? 0 : -EBADMSG;
}
