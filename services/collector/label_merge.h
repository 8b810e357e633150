/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The label set of an exposed series: its own labels, the metric name and the target's labels. */
#include "common/exposition/exposition.h"
#include "services/collector/layout.h"

struct col_merge {
	struct ops_label *exposed, *merged; /* sized once for the target */
	uint32_t *places;		    /* in merged, of the exposed ones */
	size_t cap, n;
	uint64_t serial;	/* of the names that places hold for; 0: for none */
	struct ops_arena names; /* exported_... */
};

void col_merge_init(struct col_merge *m, const struct col_series_rules *rules);
void col_merge_done(struct col_merge *m);
/*
 * A label that both have: with honor_labels the exposed one stays, otherwise the target's, and the
 * exposed one is kept as exported_<name>.
 */
struct ops_labels *col_merge_build(struct col_merge *m, const struct ops_exposition *p,
	const struct col_series_rules *rules) OPS_MUST_CHECK;
