/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A chunk of samples in the XOR coding of Prometheus (after Gorilla). Pure function; any thread. */
#include "common/base/strbuf.h"

#define OPS_XOR_MAX_SAMPLES 120u /* what Prometheus puts into one chunk */

/* Appends the chunk of 1..65535 samples, times ascending. */
void ops_xor_encode(
	const int64_t *times_ms, const double *values, size_t n, struct ops_strbuf *out);
