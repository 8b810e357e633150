/* SPDX-License-Identifier: Apache-2.0 */
/* From cumulative buckets, as classic histograms have them, to custom buckets of their own counts.
 */
#include "common/model/histogram.h"

#include <errno.h>
#include <math.h>

static bool fits(const struct ops_classic_histogram *from)
{
	double before = 0;
	for (size_t i = 0; i < from->n; i++) {
		const struct ops_classic_bucket *b = &from->buckets[i];
		if (isnan(b->le) || !(b->count >= before) ||
			(i > 0 && b->le <= from->buckets[i - 1].le)) {
			return false;
		}
		before = b->count;
	}
	return from->n < OPS_HISTOGRAM_MAX_BUCKETS;
}

int ops_histogram_from_classic(struct ops_arena *arena, const struct ops_classic_histogram *from,
	struct ops_histogram *ret)
{
	struct ops_histogram h = {.schema = OPS_HISTOGRAM_CUSTOM, .sum = from->sum};
	if (!fits(from)) {
		return -EINVAL;
	}
	double last = from->n != 0 ? from->buckets[from->n - 1].count : 0;
	bool ends = from->n != 0 && isinf(from->buckets[from->n - 1].le);
	h.count = from->count != NULL ? *from->count : last;
	if (!(h.count >= last) || (ends && h.count != last)) {
		return -EINVAL;
	}
	h.ncustom = (uint32_t)(from->n - ends);
	double *bounds = ops_arena_array(arena, double, h.ncustom + 1);
	double before = 0;
	for (size_t i = 0; i < from->n; i++) {
		if (i < h.ncustom) {
			bounds[i] = from->buckets[i].le;
		}
		if (from->buckets[i].count != before) {
			ops_histogram_push(
				arena, &h.positive, (int32_t)i, from->buckets[i].count - before);
		}
		before = from->buckets[i].count;
	}
	if (h.count != before) {
		ops_histogram_push(arena, &h.positive, (int32_t)h.ncustom, h.count - before);
	}
	h.custom = bounds;
	*ret = h;
	return 0;
}
