/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start timestamps: when the counter behind a sample began. They are a column like any other, that
 * of a series with the same labels and DET_START_LABEL beside them: a sample there, at the same
 * time, holds the start in milliseconds. So log, blocks, retention, deletion, snapshots and the
 * codec, for which a constant beside regular times is next to nothing, have no part in it, and
 * series without starts have nothing to carry.
 *
 * Whoever does not ask for that label by name does not see these series: to a selection they are
 * what they would be under {DET_START_LABEL=""}. Nobody hears of their samples.
 */
#include <string.h>

#include "services/detector/store/state.h"

#define SAID "1" /* the label's value; no more than that there is one */

int det_store_append_start(
	struct det_store *s, const struct ops_labels *labels, int64_t time_ms, int64_t start_ms)
{
	struct ops_labels_builder b;
	ops_labels_builder_from(&b, labels);
	ops_labels_builder_set(&b, DET_START_LABEL, SAID);
	struct ops_labels *with = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	s->quiet = true;
	int rc = det_store_append(s, with, time_ms, (double)start_ms);
	s->quiet = false;
	ops_labels_unref(with);
	return rc;
}

static struct ops_matchers with_matcher(const struct ops_matchers *matchers,
	const struct ops_matcher *more, struct ops_arena *arena)
{
	struct ops_matchers all = {.n = matchers->n + 1};
	all.items = ops_arena_array(arena, struct ops_matcher, all.n);
	if (matchers->n > 0) {
		memcpy(all.items, matchers->items, matchers->n * sizeof(all.items[0]));
	}
	all.items[matchers->n] = *more;
	return all;
}

static bool is_start(const char *name)
{
	return strcmp(name, DET_START_LABEL) == 0;
}

struct ops_matchers det_without_starts(const struct ops_matchers *matchers, struct ops_arena *arena)
{
	static char name[] = DET_START_LABEL, empty[] = "";
	for (size_t i = 0; i < matchers->n; i++) {
		if (is_start(matchers->items[i].name)) {
			return *matchers;
		}
	}
	const struct ops_matcher none = {OPS_MATCH_EQ, name, empty, NULL};
	return with_matcher(matchers, &none, arena);
}

void det_store_select_starts(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], struct ops_arena *arena, struct det_series_list *ret)
{
	static char name[] = DET_START_LABEL, said[] = SAID;
	const struct ops_matcher only = {OPS_MATCH_EQ, name, said, NULL};
	const struct ops_matchers all = with_matcher(matchers, &only, arena);
	det_store_select(s, &all, range_ms, arena, ret);
}

void det_strings_drop_start(struct det_strings *list)
{
	size_t kept = 0;
	for (size_t i = 0; i < list->n; i++) {
		if (!is_start(list->items[i])) {
			list->items[kept++] = list->items[i];
		}
	}
	list->n = kept;
}
