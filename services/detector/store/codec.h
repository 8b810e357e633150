/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Lossless coding of a column of doubles: every bit pattern comes back, NaN payloads included.
 * A column may lean on one that was coded before it in the same segment (its ref). Pure functions
 * on the caller's memory; any thread.
 */
#include "common/base/def.h"
#include "services/detector/store/pack.h"

/* Room for a column of n values, or for n times. */
#define DET_CODEC_MAX_BYTES(n) (DET_PACK_MAX_BYTES(n) + (size_t)(n)*14u + 64u)
#define DET_CODEC_MAX_REF 2u /* a ref is at most so many columns before */

/* What is known of a column after it was coded or decoded: what later columns may lean on. */
struct det_column {
	int64_t *ints;	   /* value * 10^exponent; n of them, the caller's memory */
	unsigned exponent; /* DET_CODEC_NO_INTS: it is not made of integers */
	unsigned depth;	   /* how many columns it leans on, itself not counted */
};
#define DET_CODEC_NO_INTS 255u

struct det_codec_scratch { /* n each, the caller's */
	int64_t *work[3];
	uint8_t *odd;
};

/*
 * Appends the column to out, which has DET_CODEC_MAX_BYTES(n), and returns the end. refs[d - 1] is
 * the column d before it, NULL where it may not lean on that. The column itself goes to self.
 */
uint8_t *det_codec_encode(const double *values, size_t n,
	const struct det_column *const refs[DET_CODEC_MAX_REF],
	const struct det_codec_scratch *scratch, struct det_column *self, uint8_t *out);
/* How many columns before it the coded column leans on: 0 none, -EBADMSG. */
int det_codec_ref(const uint8_t *data, size_t len) OPS_MUST_CHECK;
/*
 * n values; ref is the column that det_codec_ref names. self->ints gets n integers where
 * self->exponent says so. -EBADMSG when the bytes are no such column (never reads past len).
 */
int det_codec_decode(const uint8_t *data, size_t len, size_t n, const struct det_column *ref,
	struct det_column *self, double *ret_values) OPS_MUST_CHECK;

/* Times, or any integers that grow evenly. scratch->work as above. */
uint8_t *det_codec_encode_ints(
	const int64_t *ints, size_t n, const struct det_codec_scratch *scratch, uint8_t *out);
int det_codec_decode_ints(
	const uint8_t *data, size_t len, size_t n, int64_t *ret_ints) OPS_MUST_CHECK;
