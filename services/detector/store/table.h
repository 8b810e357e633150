/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Hash to id: eight bytes a slot, because the objects (series, label values) hold their own keys
 * and there are hundreds of thousands of them. Open addressing, linear probing. Owned by the store.
 */
#include "common/base/def.h"

#define DET_NO_ID UINT32_MAX

struct det_table {
	struct det_slot {
		uint32_t hash, next_id; /* id + 1; 0: free */
	} * slots;
	uint32_t mask, n;
};

void det_table_done(struct det_table *t);
/* The id whose object is the wanted one, or DET_NO_ID. */
uint32_t det_table_find(
	const struct det_table *t, uint32_t hash, bool (*same)(void *arg, uint32_t id), void *arg);
/* It is not there yet. */
void det_table_add(struct det_table *t, uint32_t hash, uint32_t id);
void det_table_remove(struct det_table *t, uint32_t hash, uint32_t id);
