/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rule asks for the same series every time. What its selectors matched is remembered until the
 * store has other series (det_store_generation), selected with an open end so that time alone does
 * not outdate it: a series that has no sample in a later window reads as empty there. Matchers are
 * compiled once, when the rule is loaded.
 *
 * Memory is bounded for all rules together; what does not fit is selected each time.
 */
#include "services/detector/rules/internal.h"

#include <string.h>

enum {
	REMEMBER_MAX_BYTES = 32 << 20,
	REMEMBER_SERIES = 1000 /* larger lists cost more to read than to select */
};

void det_recall_forget(struct det_rules *owner, struct det_selector *s)
{
	if (s->remembered && owner != NULL) {
		owner->remembered_bytes -= s->arena.used_bytes;
	}
	s->remembered = false;
	ops_arena_done(&s->arena);
}

static void remember(struct det_rules *owner, struct det_selector *s, const int64_t range_ms[2])
{
	const int64_t open_end_ms[2] = {range_ms[0], INT64_MAX};
	det_recall_forget(owner, s);
	s->generation = det_store_generation(owner->cfg.store);
	s->from_ms = range_ms[0];
	det_store_select(owner->cfg.store, &s->matchers, open_end_ms, &s->arena, &s->series);
	s->remembered = s->series.n <= REMEMBER_SERIES &&
			owner->remembered_bytes + s->arena.used_bytes <= REMEMBER_MAX_BYTES;
	if (s->remembered) {
		owner->remembered_bytes += s->arena.used_bytes;
	}
}

static bool recall(struct det_rules *owner, struct det_selector *s, const int64_t range_ms[2],
	struct det_series_list *ret)
{
	bool known = s->remembered && s->from_ms <= range_ms[0] &&
		     s->generation == det_store_generation(owner->cfg.store);
	if (!known && owner->remembered_bytes < REMEMBER_MAX_BYTES) {
		remember(owner, s, range_ms);
		known = s->remembered;
	}
	if (known) {
		*ret = s->series;
		return true;
	}
	det_recall_forget(owner, s);
	det_store_select(owner->cfg.store, &s->matchers, range_ms, &owner->scratch, ret);
	return true;
}

bool det_recall(void *rule, const struct ops_promql_expr *selector, const int64_t range_ms[2],
	struct det_series_list *ret)
{
	struct det_rule *r = rule;
	for (size_t i = 0; i < r->nselectors; i++) {
		if (r->selectors[i].expr == selector) {
			return recall(r->group->owner, &r->selectors[i], range_ms, ret);
		}
	}
	return false;
}
