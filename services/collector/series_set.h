/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Finds label sets by value among the series of one layout. Borrows the array of series; what is
 * appended there is made known by col_series_set_add.
 */
#include "common/base/def.h"
#include "common/model/labels.h"

struct col_series_set {
	struct ops_labels *const *series;
	struct col_series_slot {
		uint32_t index; /* and one; 0 = free */
		uint32_t tag;	/* of the hash: most others are told apart by it */
	} * slots;
	size_t mask, n;
};

void col_series_set_init(struct col_series_set *s);
void col_series_set_done(struct col_series_set *s);
/* Index of an equal label set, or -1. */
int64_t col_series_set_find(const struct col_series_set *s, const struct ops_labels *labels);
/* Makes series[index] known; false: an equal one is there already. series may have moved. */
bool col_series_set_add(struct col_series_set *s, struct ops_labels *const *series, uint32_t index);
