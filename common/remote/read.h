/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Prometheus' remote read from the server's side: the request decoded, both forms of the answer
 * encoded. SAMPLES is one ReadResponse, compressed by snappy. STREAMED_XOR_CHUNKS is a row of
 * frames, each with its CRC32C, of chunks in Gorilla's XOR coding; it is not compressed again.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "common/model/matcher.h"
#include "common/remote/write.h"

#define OPS_REMOTE_MAX_QUERIES 1000u
#define OPS_REMOTE_MAX_MATCHERS 1000u	/* in all */
#define OPS_REMOTE_FRAME_BYTES 1048576u /* what a frame should not exceed by much */

struct ops_remote_query {
	int64_t start_ms, end_ms; /* both inclusive */
	struct ops_matchers matchers;
	struct ops_remote_hints { /* what the caller will do with it; all 0 when not given */
		int64_t step_ms, start_ms, end_ms, range_ms;
		const char *func; /* "" */
	} hints;
};

struct ops_remote_read {
	struct ops_remote_query *queries; /* in the arena, but for the matchers */
	size_t n;
	bool chunks; /* STREAMED_XOR_CHUNKS is the first accepted type that we know */
};

/* -EBADMSG malformed; -EINVAL a regular expression that does not compile. */
int ops_remote_read_decode(const void *data, size_t len, struct ops_arena *a,
	struct ops_remote_read *ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_remote_read_done(struct ops_remote_read *r); /* the matchers */

/* ReadResponse: per query, in their order, begin, its series, end. */
size_t ops_remote_result_begin(struct ops_strbuf *b) OPS_MUST_CHECK;
void ops_remote_result_series(struct ops_strbuf *b, const struct ops_remote_series *s);
void ops_remote_result_end(struct ops_strbuf *b, size_t mark);

enum ops_remote_encoding {
	OPS_REMOTE_XOR = 1,
	OPS_REMOTE_HISTOGRAM = 2,
	OPS_REMOTE_FLOAT_HISTOGRAM = 3
};
struct ops_remote_chunk {
	int64_t min_ms, max_ms;
	enum ops_remote_encoding encoding;
	const void *data;
	size_t len;
};
/*
 * Appends a frame with chunks of one series; the next frame of the same series goes on with it.
 * query is the index of the query.
 */
void ops_remote_frame(struct ops_strbuf *b, const struct ops_labels *labels,
	const struct ops_remote_chunk *chunks, size_t n, size_t query);
