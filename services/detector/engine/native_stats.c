/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under histogram_count(), histogram_sum() and histogram_avg() only these two numbers of a
 * histogram matter, unless something in between looks at the buckets (a quantile, a trim, or a
 * subquery, which has to find resets by itself). Buckets are dropped right after reading then.
 * Since resets cannot be found without buckets, they are found first and kept as the hint.
 */
#include "services/detector/engine/eval.h"

bool det_wants_stats(const struct det_eval *ev)
{
	return ev->sh->stats_depth != 0 && ev->sh->whole_depth == 0;
}

void det_native_stats(struct det_eval *ev)
{
	struct det_samples *s = &ev->sh->samples;
	const struct ops_histogram *before = NULL;
	for (size_t i = 0; s->h != NULL && i < s->n; i++) {
		const struct ops_histogram *h = s->h[i];
		if (h == NULL) {
			continue;
		}
		struct ops_histogram *stats = ops_arena_new(&s->arena, struct ops_histogram);
		stats->schema = h->schema;
		stats->count = h->count;
		stats->sum = h->sum;
		stats->hint = h->hint;
		if (h->hint == OPS_RESET_UNKNOWN && before != NULL) {
			stats->hint =
				ops_histogram_reset_since(h, before) ? OPS_RESET_YES : OPS_RESET_NO;
		}
		before = h;
		s->h[i] = stats;
	}
}
