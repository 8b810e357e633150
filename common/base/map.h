/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Hash map from byte strings to pointers, open addressing, keys copied. Seeded per process
 * (hash flooding by label values must not be possible). Iteration order is unspecified; do not
 * insert while iterating; deleting the current entry is allowed.
 */
#include "common/base/def.h"

struct ops_map; /* opaque */

struct ops_map *ops_map_new(void);
/* free_value may be NULL; it is called for every value still in the map. NULL map is fine. */
void ops_map_free(struct ops_map *m, void (*free_value)(void *));
size_t ops_map_count(const struct ops_map *m);

void *ops_map_get(const struct ops_map *m, const void *key, size_t len); /* NULL: absent */
/* Returns the value that was there before (owned by the caller again) or NULL. value != NULL. */
void *ops_map_put(struct ops_map *m, const void *key, size_t len, void *value);
void *ops_map_remove(struct ops_map *m, const void *key, size_t len); /* the value, or NULL */

void *ops_map_gets(const struct ops_map *m, const char *key);
void *ops_map_puts(struct ops_map *m, const char *key, void *value);
void *ops_map_removes(struct ops_map *m, const char *key);

struct ops_map_entry {
	const void *key; /* followed by a NUL byte */
	size_t len;
	void *value;
};
/* for (size_t at = 0; ops_map_next(m, &at, &entry);) ... */
bool ops_map_next(const struct ops_map *m, size_t *at, struct ops_map_entry *ret_entry);
