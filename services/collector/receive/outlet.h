/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Samples with their own times on their way to the detector: series by series into remote write 2.0
 * messages of bounded size. Keeps the limits that all doors share: samples per second, and
 * different series within an hour. Loop thread only.
 */
#include "common/remote/write.h"
#include "services/collector/publish.h"

struct col_outlet; /* opaque */

struct col_outlet_limits { /* 0: none */
	int64_t samples_per_second;
	int64_t series; /* different ones within the last hour, about */
};

enum col_outlet_refusal { /* the label of ops_received_refused_total{door,reason} */
	COL_OUTLET_TAKEN,
	COL_OUTLET_RATE,
	COL_OUTLET_SERIES,
	COL_OUTLET_LABELS, /* the labels are no label set of a series */
	COL_OUTLET_BUS	   /* the bus does not take it */
};
const char *col_outlet_reason(enum col_outlet_refusal why);

struct col_outlet *col_outlet_new(
	struct col_publisher *publisher, const struct col_outlet_limits *limits);
void col_outlet_free(struct col_outlet *o); /* what was not flushed is gone; NULL is fine */
/*
 * False: the last second's samples are used up: answer 429. Asked once before a request of about n
 * samples is taken.
 */
bool col_outlet_admits(struct col_outlet *o, size_t n);
/* labels sorted, as in a decoded series; door is the metric's label. */
enum col_outlet_refusal col_outlet_series(
	struct col_outlet *o, const char *door, const struct ops_remote_series *s);
/*
 * What m says of its family, as a series of the family's name without samples: the only place that
 * remote write 2.0 has for it. False: the bus does not take what was collected.
 */
bool col_outlet_describe(
	struct col_outlet *o, const char *door, const struct ops_remote_metadata *m) OPS_MUST_CHECK;
/* Sends what is collected. Negative errno of the bus: some of it is lost, and counted. */
int col_outlet_flush(struct col_outlet *o, const char *door) OPS_MUST_CHECK;
