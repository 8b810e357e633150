/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A run of 64-bit integers as bytes: bit-packed in sub-blocks, each with its own frame of
 * reference. Any integers come back; close ones take few bits. Pure functions on the caller's
 * memory; any thread.
 */
#include "common/base/def.h"

#define DET_PACK_BLOCK 64u /* values in a sub-block */
/* Room that det_pack_encode may need for n values. */
#define DET_PACK_MAX_BYTES(n) ((size_t)(n)*8u + ((size_t)(n) / DET_PACK_BLOCK + 1u) * 96u)

/* Bits that n values will take, estimated without looking for outliers. */
size_t det_pack_cost_bits(const int64_t *values, size_t n);
/* Returns the end of what was written. */
uint8_t *det_pack_encode(const int64_t *values, size_t n, uint8_t *out);
/* Exactly n values, *at moves behind them. False: no such bytes; nothing is read from end on. */
bool det_pack_decode(const uint8_t **at, const uint8_t *end, size_t n, int64_t *ret) OPS_MUST_CHECK;
