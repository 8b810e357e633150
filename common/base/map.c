/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear probing over a power of two, at most three quarters full counting the graves of removed
 * entries. Graves instead of backward shifting: an entry never moves except in a rehash, so the
 * entry under an iterator may be removed. The stored hash spares most key comparisons and makes a
 * rehash cheap. The seed is random per process; without it a peer could choose colliding labels.
 */
#include "common/base/map.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/text.h"

struct slot {
	char *key; /* NULL: never used; grave: removed */
	size_t len;
	uint64_t hash;
	void *value;
};

struct ops_map {
	struct slot *slots;
	size_t cap, live, graves;
};

static char grave[1];
static uint64_t seed;

struct ops_map *ops_map_new(void)
{
	while (seed == 0)
		seed = ops_random_u64();
	return ops_xcalloc(1, sizeof(struct ops_map));
}

static bool is_live(const struct slot *s)
{
	return s->key != NULL && s->key != grave;
}

void ops_map_free(struct ops_map *m, void (*free_value)(void *))
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->cap; i++) {
		if (!is_live(&m->slots[i]))
			continue;
		if (free_value != NULL)
			free_value(m->slots[i].value);
		free(m->slots[i].key);
	}
	free(m->slots);
	free(m);
}

size_t ops_map_count(const struct ops_map *m)
{
	return m->live;
}

static struct slot *find(const struct ops_map *m, const void *key, size_t len, uint64_t hash)
{
	if (m->cap == 0)
		return NULL;
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct slot *s = &m->slots[i];
		if (s->key == NULL)
			return NULL;
		if (s->key != grave && s->hash == hash && s->len == len &&
			(len == 0 || memcmp(s->key, key, len) == 0))
			return s;
	}
}

/* The first place for a key that is known to be absent. */
static struct slot *find_free(const struct ops_map *m, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	while (is_live(&m->slots[i]))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void rehash(struct ops_map *m)
{
	struct slot *old = m->slots;
	size_t old_cap = m->cap;

	m->cap = 8;
	while (m->cap < (m->live + 1) * 2)
		m->cap *= 2;
	m->slots = ops_xcalloc(m->cap, sizeof(struct slot));
	m->graves = 0;
	for (size_t i = 0; i < old_cap; i++) {
		if (is_live(&old[i]))
			*find_free(m, old[i].hash) = old[i];
	}
	free(old);
}

void *ops_map_get(const struct ops_map *m, const void *key, size_t len)
{
	const struct slot *s = find(m, key, len, ops_hash64(key, len, seed));

	return s != NULL ? s->value : NULL;
}

void *ops_map_put(struct ops_map *m, const void *key, size_t len, void *value)
{
	uint64_t hash = ops_hash64(key, len, seed);
	struct slot *s = find(m, key, len, hash);

	ops_assert(value != NULL);
	if (s != NULL) {
		void *before = s->value;
		s->value = value;
		return before;
	}
	if ((m->live + m->graves + 1) * 4 > m->cap * 3)
		rehash(m);
	s = find_free(m, hash);
	if (s->key == grave)
		m->graves--;
	*s = (struct slot){ops_xstrndup(key, len), len, hash, value};
	m->live++;
	return NULL;
}

void *ops_map_remove(struct ops_map *m, const void *key, size_t len)
{
	struct slot *s = find(m, key, len, ops_hash64(key, len, seed));

	if (s == NULL)
		return NULL;
	void *value = s->value;
	free(s->key);
	*s = (struct slot){0};
	m->live--;
	/* No chain runs through here when the next slot was never used: no grave needed. */
	if (m->slots[((size_t)(s - m->slots) + 1) & (m->cap - 1)].key != NULL) {
		s->key = grave;
		m->graves++;
	}
	return value;
}

void *ops_map_gets(const struct ops_map *m, const char *key)
{
	return ops_map_get(m, key, strlen(key));
}

void *ops_map_puts(struct ops_map *m, const char *key, void *value)
{
	return ops_map_put(m, key, strlen(key), value);
}

void *ops_map_removes(struct ops_map *m, const char *key)
{
	return ops_map_remove(m, key, strlen(key));
}

bool ops_map_next(const struct ops_map *m, size_t *at, struct ops_map_entry *ret_entry)
{
	for (; *at < m->cap; ++*at) {
		const struct slot *s = &m->slots[*at];
		if (!is_live(s))
			continue;
		*ret_entry = (struct ops_map_entry){s->key, s->len, s->value};
		++*at;
		return true;
	}
	return false;
}
