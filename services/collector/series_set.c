/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing over the hashes that the label sets carry, half full at most. The slot is mixed
 * with a secret of this process: the hash alone is the same everywhere, and a target could choose
 * its labels so that all of them meet in one place.
 */
#include "services/collector/series_set.h"

#include "common/base/text.h"

static uint64_t secret;

void col_series_set_init(struct col_series_set *s)
{
	if (secret == 0) {
		secret = ops_random_u64() | 1;
	}
	*s = (struct col_series_set){.series = NULL};
}

void col_series_set_done(struct col_series_set *s)
{
	free(s->slots);
	col_series_set_init(s);
}

static uint32_t tag_of(uint64_t hash)
{
	__extension__ unsigned __int128 product = (unsigned __int128)(hash ^ secret) * secret;
	return (uint32_t)(product >> 64 ^ product);
}

/* The slot of an equal label set, or the free one where it belongs. */
static struct col_series_slot *probe(
	const struct col_series_set *s, const struct ops_labels *labels, uint32_t tag)
{
	size_t at = tag & s->mask;
	for (;; at = (at + 1) & s->mask) {
		struct col_series_slot *slot = &s->slots[at];
		if (slot->index == 0 ||
			(slot->tag == tag &&
				ops_labels_equal(s->series[slot->index - 1], labels))) {
			return slot;
		}
	}
}

int64_t col_series_set_find(const struct col_series_set *s, const struct ops_labels *labels)
{
	if (s->n == 0) {
		return -1;
	}
	return (int64_t)probe(s, labels, tag_of(labels->hash))->index - 1;
}

static void grow(struct col_series_set *s)
{
	struct col_series_slot *old = s->slots;
	size_t old_size = old != NULL ? s->mask + 1 : 0, size = OPS_MAX(old_size * 2, (size_t)64);
	s->slots = ops_xcalloc(size, sizeof(*s->slots));
	s->mask = size - 1;
	for (size_t i = 0; i < old_size; i++) {
		size_t at = old[i].tag & s->mask;
		while (old[i].index != 0 && s->slots[at].index != 0) {
			at = (at + 1) & s->mask;
		}
		if (old[i].index != 0) {
			s->slots[at] = old[i];
		}
	}
	free(old);
}

bool col_series_set_add(struct col_series_set *s, struct ops_labels *const *series, uint32_t index)
{
	s->series = series;
	if (s->slots == NULL || s->n * 2 > s->mask) {
		grow(s);
	}
	uint32_t tag = tag_of(series[index]->hash);
	struct col_series_slot *slot = probe(s, series[index], tag);
	if (slot->index != 0) {
		return false;
	}
	*slot = (struct col_series_slot){index + 1, tag};
	s->n++;
	return true;
}
