/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear probing with removal by shifting back (Knuth, TAOCP 6.4, algorithm R): no tombstones, so
 * that years of churn do not slow it down. Callers seed their hashes.
 */
#include "services/detector/store/table.h"

#define FIRST_SLOTS 64u

void det_table_done(struct det_table *t)
{
	free(t->slots);
	*t = (struct det_table){0};
}

uint32_t det_table_find(
	const struct det_table *t, uint32_t hash, bool (*same)(void *arg, uint32_t id), void *arg)
{
	if (t->slots == NULL) {
		return DET_NO_ID;
	}
	for (uint32_t i = hash & t->mask; t->slots[i].next_id != 0; i = (i + 1) & t->mask) {
		if (t->slots[i].hash == hash && same(arg, t->slots[i].next_id - 1)) {
			return t->slots[i].next_id - 1;
		}
	}
	return DET_NO_ID;
}

static void put(struct det_table *t, struct det_slot slot)
{
	uint32_t i = slot.hash & t->mask;
	while (t->slots[i].next_id != 0) {
		i = (i + 1) & t->mask;
	}
	t->slots[i] = slot;
}

static void grow(struct det_table *t)
{
	struct det_table old = *t;
	uint32_t size = old.slots != NULL ? (old.mask + 1) * 2 : FIRST_SLOTS;
	t->slots = ops_xcalloc(size, sizeof(t->slots[0]));
	t->mask = size - 1;
	for (uint32_t i = 0; old.slots != NULL && i <= old.mask; i++) {
		if (old.slots[i].next_id != 0) {
			put(t, old.slots[i]);
		}
	}
	free(old.slots);
}

void det_table_add(struct det_table *t, uint32_t hash, uint32_t id)
{
	ops_assert(id < DET_NO_ID - 1);
	if (t->slots == NULL || t->n + 1 > (t->mask / 8) * 7) {
		grow(t);
	}
	put(t, (struct det_slot){hash, id + 1});
	t->n++;
}

void det_table_remove(struct det_table *t, uint32_t hash, uint32_t id)
{
	uint32_t i = hash & t->mask;
	while (t->slots[i].next_id != id + 1) {
		ops_assert(t->slots[i].next_id != 0);
		i = (i + 1) & t->mask;
	}
	for (uint32_t j = (i + 1) & t->mask; t->slots[j].next_id != 0; j = (j + 1) & t->mask) {
		uint32_t home = t->slots[j].hash & t->mask;
		/* j may move to the gap at i unless its home lies behind it. */
		if (((j - home) & t->mask) >= ((j - i) & t->mask)) {
			t->slots[i] = t->slots[j];
			i = j;
		}
	}
	t->slots[i] = (struct det_slot){0, 0};
	t->n--;
}
