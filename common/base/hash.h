/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Non-cryptographic hashes and the CRC.
 * ops_hash64: wyhash-style mix (Wang Yi, public domain idea), seeded; stable across processes for
 * equal seeds. ops_fnv1a64: FNV-1a (Fowler/Noll/Vo), as Prometheus' model.Fingerprint uses it.
 * ops_crc32c: Castagnoli CRC (RFC 3720 appendix B), hardware SSE4.2 where the processor has it.
 */
#include "common/base/def.h"

uint64_t ops_hash64(const void *data, size_t len, uint64_t seed);

#define OPS_FNV1A64_INIT 14695981039346656037ULL
uint64_t ops_fnv1a64(uint64_t hash, const void *data, size_t len);

/* Continue with the previous result; start with 0. */
uint32_t ops_crc32c(uint32_t crc, const void *data, size_t len);
/* The same by tables alone, for processors without the instruction; a test compares the two. */
uint32_t ops_crc32c_software(uint32_t crc, const void *data, size_t len);
