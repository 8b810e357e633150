/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Names of blocks: ULIDs (time in milliseconds, then 80 random bits, Crockford's base 32), which
 * sort by the time they were made. */
#include "common/base/def.h"

#define DET_ULID_CHARS 26u

void det_ulid_new(char ret[DET_ULID_CHARS + 1]);
bool det_ulid_valid(const char *text);
