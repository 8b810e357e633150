/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Metric families as protobuf messages, for /federate: filled metric by metric, in order of names.
 */
#include "common/base/strbuf.h"
#include "common/model/histogram.h"
#include "common/model/labels.h"

struct det_family { /* the one that is being filled; zeroed to begin with */
	struct ops_strbuf body;
	const char *name; /* of the labels of its last metric */
	unsigned type;
};

struct det_family_metric { /* borrowed; labels until the family is flushed */
	const struct ops_labels *labels, *external; /* external: those that labels lack, or NULL */
	int64_t time_ms;
	double value;
	const struct ops_histogram *h; /* or NULL: value */
};

/* A metric of another name or type ends the family before, which goes to out. */
void det_family_add(
	struct det_family *f, const struct det_family_metric *m, struct ops_strbuf *out);
void det_family_flush(struct det_family *f, struct ops_strbuf *out);
