/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The series of a typical service, for measurements: per instance histograms (eleven buckets, sum,
 * count), counters from idle to busy, and gauges: whole numbers, pages of memory, decimals,
 * states that hardly ever change. The same seed gives the same values.
 */
#include "common/base/strbuf.h"

enum {
	TYPICAL_BUCKETS = 12, /* +Inf included */
	TYPICAL_HISTOGRAM = TYPICAL_BUCKETS + 2
};

struct typical; /* opaque: one instance */

struct typical *typical_new(unsigned instance, unsigned nseries);
void typical_free(struct typical *t);
/* The next scrape, 15 s later: nseries values, in the order of an exposition. */
const double *typical_step(struct typical *t);
/* name{labels} of a series. */
void typical_name(const struct typical *t, unsigned series, struct ops_strbuf *out);
