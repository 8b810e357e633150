/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histograms are few and large beside floats: all of one series' are gathered, block by block in
 * the order of the blocks, merged by time, and written as they are.
 */
#include "services/detector/store/compact_histograms.h"

#include <stdlib.h>

#include "services/detector/store/block_impl.h"

struct gathered {
	struct det_blob *blobs;
	size_t n, cap;
};

static void gather_blobs(void *arg, const struct det_block_run *run)
{
	struct gathered *g = arg;
	for (size_t i = 0; run->blobs != NULL && i < run->n; i++) {
		OPS_GROW(g->blobs, g->n, g->cap);
		g->blobs[g->n++] = run->blobs[i];
	}
}

struct holder { /* a series with histograms */
	uint32_t ref, source, series;
};

static int compare_holders(const void *a, const void *b)
{
	const struct holder *x = a, *y = b;
	if (x->ref != y->ref) {
		return x->ref < y->ref ? -1 : 1;
	}
	return (x->source > y->source) - (x->source < y->source);
}

static struct holder *find_holders(
	const struct det_histogram_source *sources, size_t nsources, size_t *ret_n)
{
	struct holder *list = NULL;
	size_t n = 0, cap = 0;
	for (uint32_t i = 0; i < nsources; i++) {
		const struct det_block_index *ix = &sources[i].block->index;
		for (uint32_t s = 0; s < ix->counts[DET_COUNT_SERIES]; s++) {
			struct det_series_entry e;
			if (det_block_index_series(ix, s, &e) && e.nhistograms != 0) {
				OPS_GROW(list, n, cap);
				list[n++] = (struct holder){
					.ref = sources[i].refs[s], .source = i, .series = s};
			}
		}
	}
	if (n != 0) {
		qsort(list, n, sizeof(*list), compare_holders);
	}
	*ret_n = n;
	return list;
}

/* Merges in b's blobs behind the first n; of equal times those before stay. */
static void merge_blobs(struct gathered *g, size_t n)
{
	struct gathered merged = {.n = 0};
	size_t a = 0, b = n;
	while (a < n || b < g->n) {
		OPS_GROW(merged.blobs, merged.n, merged.cap);
		if (b == g->n || (a < n && g->blobs[a].t <= g->blobs[b].t)) {
			b += b < g->n && g->blobs[a].t == g->blobs[b].t;
			merged.blobs[merged.n++] = g->blobs[a++];
		} else {
			merged.blobs[merged.n++] = g->blobs[b++];
		}
	}
	free(g->blobs);
	*g = merged;
}

int det_compact_histograms(struct det_block_writer *writer,
	const struct det_histogram_source *sources, size_t nsources)
{
	static const int64_t always[2] = {INT64_MIN, INT64_MAX};
	struct det_segment_cursor cursor = {.columns = NULL};
	size_t n;
	int rc = 0;
	struct holder *holders = find_holders(sources, nsources, &n);
	for (size_t i = 0, end; i < n && rc == 0; i = end) {
		struct gathered g = {.n = 0};
		for (end = i; end < n && holders[end].ref == holders[i].ref; end++) {
			size_t before = g.n;
			det_block_read(sources[holders[end].source].block, holders[end].series,
				always, &cursor, gather_blobs, &g);
			merge_blobs(&g, before);
		}
		rc = det_block_writer_histograms(writer, holders[i].ref, g.blobs, g.n);
		free(g.blobs);
	}
	det_segment_cursor_done(&cursor);
	free(holders);
	return rc;
}
