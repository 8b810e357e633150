/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Deleted spans of time of the head's series, until the block cut leaves the samples out. Kept in
 * one small file that is replaced whole. Changed by the writer under the write lock.
 */
#include "services/detector/store/store.h"

struct det_spans { /* of one series; few, in no order */
	uint32_t n, cap;
	struct det_span {
		int64_t mint_ms, maxt_ms;
	} * items;
};

void det_spans_free(void *spans);
void det_spans_add(struct det_spans *spans, int64_t mint_ms, int64_t maxt_ms);
bool det_spans_hold(const struct det_spans *spans, int64_t t);
/* Takes deleted samples out of out[from ..]. */
void det_spans_filter(const struct det_spans *spans, struct det_samples *out, size_t from);
/* All of the store's into its file, durable; and back. */
int det_spans_save(const struct det_store *s) OPS_MUST_CHECK;
void det_spans_load(struct det_store *s);
/* Forgets what ends before cutoff. True: something was. */
bool det_spans_drop_before(struct det_store *s, int64_t cutoff_ms);
