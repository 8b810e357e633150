/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Background work on blocks: one job at a time, on a thread of its own. It reads what cannot
 * change: segments of the head, and blocks; the loop takes its result over. Calls are the loop's.
 */
#include "services/detector/store/blocks.h"
#include "services/detector/store/store.h"

struct det_cut; /* opaque: the samples of a span of time, gathered */

/* What the head has in [mint, maxt); the raw rows of that time must be sealed. A read must be open
 * until it is freed. NULL when there is nothing. */
struct det_cut *det_cut_new(struct det_store *s, int64_t mint_ms, int64_t maxt_ms);
void det_cut_free(struct det_cut *c);
/* Any thread. 1: no sample is left. */
int det_cut_write(const struct det_cut *c, const char *blocks_dir, struct det_block_meta *ret_meta,
	struct ops_error *err) OPS_MUST_CHECK;
