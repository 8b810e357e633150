/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Native histograms between the model and the Histogram message that remote write and read share.
 */
#include "common/base/arena.h"
#include "common/base/strbuf.h"
#include "common/model/histogram.h"
#include "common/remote/write.h"

/*
 * -EBADMSG: malformed, spans that do not fit the buckets, or more of them than the model allows.
 * The result is not validated (ops_histogram_validate). Integer counts become doubles. A staleness
 * marker has sum set to it and nothing else.
 */
int ops_remote_histogram_decode(const struct ops_remote_histogram *message, struct ops_arena *arena,
	struct ops_histogram *ret) OPS_MUST_CHECK;
/* Appends one sign's buckets: spans as field number, their counts as differences in number + 1 when
 * they are all integers, as they are in number + 2 when not. So it is in client_model, too. */
void ops_remote_put_buckets(struct ops_strbuf *out, uint32_t number,
	const struct ops_histogram_buckets *side, bool integers);
/* Appends the message; integer counts where all of them are whole numbers. */
void ops_remote_histogram_encode(
	const struct ops_histogram *h, int64_t time_ms, struct ops_strbuf *out);
