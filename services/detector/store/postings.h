/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Bitmaps in CRoaring's portable format, from bytes that may be damaged. Pure; any thread. */
#include "common/base/def.h"

#include <roaring/roaring.h>

/* Whether the bytes are exactly such a bitmap, all its numbers below limit: the library checks
 * lengths only, and relies on the rest. */
bool det_postings_valid(const uint8_t *data, size_t len, uint32_t limit);
/* Adds the numbers to *into (made when NULL). False: not valid; *into is as before. */
bool det_postings_add(const uint8_t *data, size_t len, uint32_t limit, roaring_bitmap_t **into);
