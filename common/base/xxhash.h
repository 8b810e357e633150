/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* XXH64 with seed 0: for where other programs hash the same bytes and must come to the same. */
#include "common/base/def.h"

uint64_t ops_xxh64(const void *data, size_t len);
