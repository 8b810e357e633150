/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which series of a layout are in the one that takes its place. Both know their series by hash: 64
 * bits, so that what a target would have to find to confuse two of its own series is not found by
 * chance. The two lists are mostly the same in the same order: one walk pairs what stands together,
 * looking a few places ahead where something was put in or taken out. What is left over is looked
 * up in a table, whose places are mixed with a secret: nobody can choose labels that meet in one.
 */
#include <string.h>

#include "common/base/text.h"
#include "services/collector/layout.h"

enum {
	LOOK_AHEAD = 8
};

struct hashes {
	const uint64_t *items;
	size_t n, nseries; /* reports follow, one of which may be named like an exposed series */
};

static struct hashes hashes_of(const struct col_layout *l)
{
	return l != NULL ? (struct hashes){l->hashes, l->wire.n, l->nseries}
			 : (struct hashes){NULL, 0, 0};
}

/* How far both must move on to stand on a pair again; false: not near. */
static bool next_pair(struct hashes a, struct hashes b, size_t *i, size_t *j)
{
	for (size_t step = 1; step <= LOOK_AHEAD; step++) {
		bool more_a = *i + step < a.n, more_b = *j + step < b.n;
		if (more_a && more_b && a.items[*i + step] == b.items[*j + step]) {
			*i += step;
			*j += step;
			return true;
		}
		if (more_a && a.items[*i + step] == b.items[*j]) {
			*i += step;
			return true;
		}
		if (more_b && a.items[*i] == b.items[*j + step]) {
			*j += step;
			return true;
		}
	}
	return false;
}

static size_t pair_in_order(struct hashes a, struct hashes b, uint32_t *places)
{
	size_t i = 0, j = 0, found = 0;
	while (i < a.n && j < b.n) {
		if (a.items[i] == b.items[j]) {
			places[i++] = (uint32_t)j++;
			found++;
		} else if (!next_pair(a, b, &i, &j)) {
			i += LOOK_AHEAD;
			j += LOOK_AHEAD;
		}
	}
	return found;
}

static size_t slot_of(uint64_t hash, uint64_t secret, size_t mask)
{
	__extension__ unsigned __int128 product = (unsigned __int128)(hash ^ secret) * secret;
	return (size_t)(product >> 64 ^ product) & mask;
}

/* For what has no place yet. */
static void pair_by_table(struct hashes a, struct hashes b, uint32_t *places, size_t found)
{
	uint64_t secret = ops_random_u64() | 1;
	size_t size = 16;
	while (size < (b.n - found + b.n - b.nseries) * 2) {
		size *= 2;
	}
	OPS_CLEANUP(ops_freep) bool *taken = ops_xcalloc(b.n, sizeof(*taken));
	OPS_CLEANUP(ops_freep) uint32_t *table = ops_xcalloc(size, sizeof(*table));
	for (size_t i = 0; i < a.n; i++) {
		if (places[i] < b.nseries) {
			taken[places[i]] = true;
		}
	}
	for (size_t j = 0; j < b.n; j++) {
		size_t at = slot_of(b.items[j], secret, size - 1);
		while (!taken[j] && table[at] != 0) {
			at = (at + 1) & (size - 1);
		}
		if (!taken[j]) {
			table[at] = (uint32_t)j + 1;
		}
	}
	for (size_t i = 0; i < a.n; i++) {
		size_t at = slot_of(a.items[i], secret, size - 1);
		while (places[i] == UINT32_MAX && table[at] != 0) {
			if (b.items[table[at] - 1] == a.items[i]) {
				places[i] = table[at] - 1;
			}
			at = (at + 1) & (size - 1);
		}
	}
}

/* For each series of a its column in b, UINT32_MAX where it has none. The caller frees it. */
static uint32_t *pair(const struct col_layout *from, const struct col_layout *to)
{
	struct hashes a = hashes_of(from), b = hashes_of(to);
	uint32_t *places = ops_xmalloc(OPS_MAX(a.n, (size_t)1) * sizeof(*places));
	memset(places, 0xff, a.n * sizeof(*places));
	size_t found = pair_in_order(a, b, places);
	if (found < a.n && found < b.n) {
		pair_by_table(a, b, places, found);
	}
	return places;
}

size_t col_layout_added(const struct col_layout *l, const struct col_layout *before)
{
	if (l == before) {
		return 0;
	}
	if (before == NULL) {
		return l->nseries;
	}
	OPS_CLEANUP(ops_freep) uint32_t *places = pair(before, l);
	size_t known = 0;
	for (size_t i = 0; i < before->wire.n; i++) {
		known += places[i] < l->nseries;
	}
	return l->nseries - known;
}

void col_layout_retire(const struct col_layout *l, struct col_values *last,
	const struct col_layout *next, const struct col_values *next_values, bool track_timestamps)
{
	bool has_times = false;
	OPS_CLEANUP(ops_freep) uint32_t *places = pair(l, next);
	for (size_t i = 0; i < l->wire.n; i++) {
		uint32_t at = places[i];
		if (at != UINT32_MAX) {
			last->values[i] = next_values->values[at];
			col_values_set_time(last, i, col_values_time(next_values, at));
		} else if (col_values_time(last, i) == 0 || track_timestamps) {
			last->values[i] = ops_stale_nan();
			col_values_set_time(last, i, 0);
		}
		has_times |= col_values_time(last, i) != 0;
	}
	last->has_times = has_times;
}
