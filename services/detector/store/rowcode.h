/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A row of doubles against the row before, for the log: cheap rather than small. Pure functions on
 * the caller's memory; any thread.
 */
#include "common/base/def.h"
#include "common/base/strbuf.h"

/* before NULL: zeros. */
void det_row_encode(const double *before, const double *row, uint32_t n, struct ops_strbuf *out);
/* row holds the one before (or zeros) and becomes the new one. -EBADMSG: not exactly such bytes. */
int det_row_decode(const uint8_t *data, size_t len, uint32_t n, double *row) OPS_MUST_CHECK;
