/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Lossless coding of a block of doubles: every bit pattern comes back, NaN payloads included.
 * Pure functions on the caller's memory; any thread.
 */
#include "common/base/def.h"

#define DET_BLOCK_ROWS 120u /* most values in one block */
/* Room that det_block_encode may need for n values. */
#define DET_BLOCK_MAX_BYTES(n) ((size_t)(n)*8u + 16u)

/* Encodes n <= DET_BLOCK_ROWS values; out has DET_BLOCK_MAX_BYTES(n). Returns the bytes used. */
size_t det_block_encode(const double *values, size_t n, uint8_t *out);
/* Decodes exactly n values. -EBADMSG when the bytes are not such a block (never reads past len). */
int det_block_decode(const uint8_t *data, size_t len, size_t n, double *ret_values) OPS_MUST_CHECK;
