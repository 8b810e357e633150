/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which blocks become one: first those that overlap in time, for reading them costs a merge; then
 * as Prometheus' levels have it: windows of 10 h, 50 h, 250 h ... aligned to the epoch, as long as
 * they stay below a tenth of the retention. The newest block is left alone; of the others, a window
 * is due when it is full or when one of them that is later shows that nothing more comes into it.
 */
#include "services/detector/store/blocks.h"

enum {
	LEVELS = 12,
	FACTOR = 5
};
#define FIRST_MS (2 * 3600 * 1000LL)

static size_t overlapping(const struct det_block_meta *metas, size_t n, size_t *ret)
{
	size_t count = 0;
	int64_t until = INT64_MIN;
	for (size_t i = 0; i < n; i++) {
		if (metas[i].mint_ms < until) {
			if (count == 0) {
				ret[count++] = i - 1;
			}
			ret[count++] = i;
		} else if (count != 0) {
			break;
		}
		until = OPS_MAX(until, metas[i].maxt_ms);
	}
	return count;
}

static int64_t window_start(int64_t t, int64_t range)
{
	int64_t start = t - t % range;
	return t % range < 0 ? start - range : start;
}

/* Blocks from at on that lie in one window; their number. */
static size_t in_window(const struct det_block_meta *metas, size_t n, size_t at, int64_t range)
{
	int64_t end = window_start(metas[at].mint_ms, range) + range;
	size_t count = 0;
	while (at + count < n && metas[at + count].maxt_ms <= end) {
		count++;
	}
	return count;
}

static size_t level(const struct det_block_meta *metas, size_t n, int64_t range, size_t *ret)
{
	int64_t newest_ms = metas[n - 2].mint_ms;
	for (size_t i = 0; i < n - 1;) {
		size_t count = in_window(metas, n - 1, i, range);
		if (count == 0) { /* longer than the window already */
			i++;
			continue;
		}
		int64_t mint = metas[i].mint_ms, maxt = metas[i + count - 1].maxt_ms;
		if (count > 1 && (maxt - mint == range || maxt <= newest_ms)) {
			for (size_t k = 0; k < count; k++) {
				ret[k] = i + k;
			}
			return count;
		}
		i += count;
	}
	return 0;
}

size_t det_blocks_plan(
	const struct det_block_meta *metas, size_t n, int64_t retention_ms, size_t *ret)
{
	size_t count = overlapping(metas, n, ret);
	int64_t range = FIRST_MS * FACTOR;
	for (unsigned i = 0; i < LEVELS && count == 0 && n > 1 && range <= retention_ms / 10; i++) {
		count = level(metas, n, range, ret);
		range *= FACTOR;
	}
	return count;
}
