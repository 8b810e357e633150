/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The part of a compaction that merges native histograms; compact.c has the rest. */
#include <stddef.h>
#include <stdint.h>

#include "common/base/def.h"

struct det_block;
struct det_block_writer;

struct det_histogram_source {
	struct det_block *block;
	const uint32_t *refs; /* of each series of the block: its number in the writer */
};

/* All histograms that tombstones leave; of equal times that of the source named first. 0 or -errno.
 */
int det_compact_histograms(struct det_block_writer *writer,
	const struct det_histogram_source *sources, size_t nsources) OPS_MUST_CHECK;
