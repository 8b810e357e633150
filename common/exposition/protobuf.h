/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Prometheus' protobuf exposition (io.prometheus.client.MetricFamily, each behind its length) as
 * text that the other readers understand, and its native histograms as messages of remote write.
 * Any thread.
 */
#include "common/base/error.h"
#include "common/base/strbuf.h"

enum ops_protobuf_flags {
	OPS_PROTOBUF_NATIVE = 1,      /* histograms that are native are taken as such ... */
	OPS_PROTOBUF_CLASSIC_TOO = 2, /* ... and their classic buckets as well */
	OPS_PROTOBUF_HONOR_TIMES = 4, /* of native histograms; others have theirs in the text */
};

struct ops_protobuf_native { /* in messages: a Histogram of remote write, with its time */
	size_t from, len;
	int64_t time_ms;
};

struct ops_protobuf_body {	   /* zeroed to begin; memory is used again */
	struct ops_strbuf text;	   /* OPS_EXPOSITION_PROTO */
	struct ops_strbuf natives; /* the same: a line per native histogram, its value the index */
	struct ops_strbuf messages;
	struct ops_protobuf_native *items;
	size_t n, cap;
	struct ops_strbuf labels; /* of the metric that is read */
};
void ops_protobuf_body_done(struct ops_protobuf_body *b);

/* time_ms: of native histograms without a time. -EINVAL malformed, -EFBIG the text is too long. */
int ops_protobuf_read(struct ops_protobuf_body *b, const void *data, size_t len, unsigned flags,
	int64_t time_ms, struct ops_error *err) OPS_MUST_CHECK;
