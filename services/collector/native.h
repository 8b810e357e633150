/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Native histograms of a target, exposed or converted, which do not fit a row of numbers: each
 * scrape's go out as a message with their own labels and time, and what is gone is ended as a stale
 * series is. Loop thread only.
 */
#include "common/exposition/protobuf.h"
#include "services/collector/publish.h"

struct col_job;

struct col_native {		   /* of one target; zeroed to begin */
	struct col_layout *layout; /* of the text of the last scrape; NULL: it had none */
	struct col_layout *fresh;  /* of the scrape under way, when it is another */
	struct col_values values;  /* places in the body */
};

/* Finds the series of body->natives, by the layout of the scrape before unless again. */
int col_native_read(struct col_native *n, const struct col_series_rules *rules,
	const struct ops_protobuf_body *body, bool again, struct ops_error *err) OPS_MUST_CHECK;
/*
 * Makes those of the scrape that was read coarser, as the job's native_histogram_bucket_limit and
 * native_histogram_min_bucket_factor want it. scratch is reset. -E2BIG: one has too many buckets
 * all the same.
 */
int col_native_limit(const struct col_native *n, const struct col_job *job,
	struct ops_protobuf_body *body, struct ops_arena *scratch,
	struct ops_error *err) OPS_MUST_CHECK;
/* Lines of the scrape that was read, and series that are left of them. */
size_t col_native_lines(const struct col_native *n);
size_t col_native_count(const struct col_native *n);
/* The published series whose message is at that place of the body; NULL: none. */
struct ops_labels *col_native_series(const struct col_native *n, size_t place);
void col_native_publish(struct col_native *n, struct col_publisher *to,
	const struct ops_protobuf_body *body, int64_t time_ms);
/* All end. */
void col_native_end(struct col_native *n, struct col_publisher *to, int64_t time_ms);
void col_native_done(struct col_native *n); /* without a word on the bus */
