/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Native histograms in the Histogram message of remote write and read. Pure functions. */
#include "common/model/histogram.h"

struct ops_strbuf;

/* The arrays lie in the arena. -EBADMSG: not such a message. Counts are not checked. */
int det_histogram_from_wire(const void *data, size_t len, struct ops_arena *arena,
	struct ops_histogram *ret) OPS_MUST_CHECK;
/* Appends the fields, with the time, as a float histogram. */
void det_histogram_to_wire(const struct ops_histogram *h, int64_t time_ms, struct ops_strbuf *out);
