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

static size_t first_slot(const struct col_series_set *s, uint64_t hash)
{
	__extension__ unsigned __int128 product = (unsigned __int128)(hash ^ secret) * secret;
	return (size_t)(product >> 64 ^ product) & s->mask;
}

static size_t probe(const struct col_series_set *s, const struct ops_labels *labels)
{
	size_t at = first_slot(s, labels->hash);
	while (s->slots[at] != 0 && !ops_labels_equal(s->series[s->slots[at] - 1], labels)) {
		at = (at + 1) & s->mask;
	}
	return at;
}

int64_t col_series_set_find(const struct col_series_set *s, const struct ops_labels *labels)
{
	if (s->n == 0) {
		return -1;
	}
	uint32_t slot = s->slots[probe(s, labels)];
	return (int64_t)slot - 1;
}

static void grow(struct col_series_set *s)
{
	uint32_t *old = s->slots;
	size_t old_size = old != NULL ? s->mask + 1 : 0, size = OPS_MAX(old_size * 2, (size_t)64);
	s->slots = ops_xcalloc(size, sizeof(*s->slots));
	s->mask = size - 1;
	for (size_t i = 0; i < old_size; i++) {
		if (old[i] != 0) {
			s->slots[probe(s, s->series[old[i] - 1])] = old[i];
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
	size_t at = probe(s, series[index]);
	if (s->slots[at] != 0) {
		return false;
	}
	s->slots[at] = index + 1;
	s->n++;
	return true;
}
