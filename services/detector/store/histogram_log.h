/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The histogram samples of one series: times and encoded blobs, ascending. Owned by the series;
 * loop thread only.
 */
#include "common/model/histogram.h"

struct det_samples;

struct det_histogram_log {
	int64_t *times;
	uint32_t *ends; /* of the blobs in bytes */
	uint32_t n, cap;
	uint8_t *bytes;
	size_t bytes_cap;
};

void det_histogram_log_free(struct det_histogram_log *log); /* NULL is fine */
/* At its place; one that is there stays. *log is made when NULL. -EFBIG: the log is full. */
int det_histogram_log_add(
	struct det_histogram_log **log, int64_t t, const struct ops_histogram *h) OPS_MUST_CHECK;
/*
 * Gives every sample of out that is marked as a histogram (det_is_histogram) its histogram, in
 * out's arena; those whose blob is not there any more leave out.
 */
void det_histogram_log_fill(const struct det_histogram_log *log, struct det_samples *out);
/* The same with a finder of your own; what it does not find leaves out. */
void det_histogram_fill(struct det_samples *out,
	const struct ops_histogram *(*find)(void *arg, int64_t t), void *arg);
/* In the arena; NULL: there is none at t. */
const struct ops_histogram *det_histogram_log_at(
	const struct det_histogram_log *log, int64_t t, struct ops_arena *arena);
void det_histogram_log_drop_before(struct det_histogram_log *log, int64_t cutoff_ms);
size_t det_histogram_log_bytes(const struct det_histogram_log *log); /* memory it takes */
/* Time of the newest sample; INT64_MIN when there is none. */
int64_t det_histogram_log_last(const struct det_histogram_log *log);
/* The newest sample, decoded into the arena. false: there is none. */
bool det_histogram_log_newest(
	const struct det_histogram_log *log, struct ops_arena *arena, struct ops_histogram *ret);
