/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What both halves of the codec agree on; codec.c describes the bytes. */
#include "common/base/def.h"

enum { /* bits of a column's first byte */
	DET_CODEC_ORDER = 3,
	DET_CODEC_BITS = 4,
	DET_CODEC_REF_SHIFT = 3,
	DET_CODEC_REF = 3 << DET_CODEC_REF_SHIFT,
	DET_CODEC_FLAT = 32,
	DET_CODEC_EXCEPTIONS = 64,
	DET_CODEC_SCALED = 128
};

enum {
	DET_CODEC_MAX_EXPONENT = 15,
	DET_CODEC_OTHER_PATTERN = 255
};

static const double det_codec_powers[] = {
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* Patterns that have a byte of their own as exceptions. */
static const uint64_t det_codec_patterns[] = {
	0x7ff0000000000003ULL, /* absent */
	0x7ff0000000000002ULL, /* staleness marker */
	0x7ff8000000000001ULL, /* NaN of Prometheus */
	0x7ff0000000000000ULL, /* infinities */
	0xfff0000000000000ULL,
	0x8000000000000000ULL, /* -0 */
	0x7ff8000000000000ULL, /* what a processor makes */
	0xfff8000000000000ULL,
};

/* Patterns of doubles as integers that ascend with the values; its own inverse. */
static inline uint64_t det_codec_ordered(uint64_t bits)
{
	return bits ^ ((uint64_t)((int64_t)bits >> 63) >> 1);
}
