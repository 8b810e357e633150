/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Prometheus' protobuf exposition (io.prometheus.client.MetricFamily, each behind its length) as
 * text that the other readers understand, and its native histograms as messages of remote write.
 * Any thread.
 */
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "common/exposition/exposition.h"

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
void ops_protobuf_body_reset(struct ops_protobuf_body *b); /* nothing is in it */
/*
 * One more native histogram, from elsewhere: series is its line up to the value, a blank at its
 * end; its message is the end of b->messages, from there on.
 */
void ops_protobuf_add_native(struct ops_protobuf_body *b, struct ops_exposition_text series,
	size_t from, int64_t time_ms);
/* name="value" of a series; out holds the labels before it. */
void ops_protobuf_put_label(
	struct ops_strbuf *out, struct ops_exposition_text name, struct ops_exposition_text value);

/* time_ms: of native histograms without a time. -EINVAL malformed, -EFBIG the text is too long. */
int ops_protobuf_read(struct ops_protobuf_body *b, const void *data, size_t len, unsigned flags,
	int64_t time_ms, struct ops_error *err) OPS_MUST_CHECK;
