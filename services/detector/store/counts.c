/* SPDX-License-Identifier: Apache-2.0 */
/* How much there is: totals, and cardinality by name and pair for who looks for the cause. */
#include <string.h>

#include "services/detector/store/state.h"

void det_store_stats(const struct det_store *s, struct det_store_stats *ret)
{
	*ret = s->stats;
	ret->memory_bytes = det_store_bytes(s);
	ret->label_pairs = s->index.table.n;
	ret->blocks = 0;
	for (const struct det_group *g = s->groups; g != NULL; g = g->next) {
		ret->blocks += g->nsealed + (g->nrows != 0);
	}
}

static int compare_counts(const void *a, const void *b)
{
	const struct det_count *x = a, *y = b;
	if (x->n != y->n) {
		return x->n < y->n ? 1 : -1;
	}
	int by_name = strcmp(x->name, y->name);
	return by_name != 0 || x->value == NULL ? by_name : strcmp(x->value, y->value);
}

struct counting {
	struct det_count *items;
	size_t n, cap;
};

static void add_count(struct counting *c, const char *name, const char *value, uint64_t n)
{
	OPS_GROW(c->items, c->n, c->cap);
	c->items[c->n++] = (struct det_count){name, value, n};
}

static void count_name(const struct det_index *ix, struct counting *c, enum det_count_kind kind,
	const struct det_label_name *name)
{
	uint64_t bytes = 0;
	bool metric = kind == DET_COUNT_SERIES_BY_METRIC;
	if (metric && strcmp(name->text, OPS_LABEL_NAME) != 0) {
		return;
	}
	for (uint32_t i = 0; i < name->npairs; i++) {
		const struct det_pair *p = ix->pairs[name->pairs[i]];
		bytes += p->len;
		if (metric) {
			add_count(c, p->text, NULL, p->nseries);
		} else if (kind == DET_COUNT_SERIES_BY_PAIR) {
			add_count(c, name->text, p->text, p->nseries);
		}
	}
	if (kind == DET_COUNT_VALUES_BY_NAME) {
		add_count(c, name->text, NULL, name->npairs);
	} else if (kind == DET_COUNT_BYTES_BY_NAME) {
		add_count(c, name->text, NULL, bytes);
	}
}

size_t det_store_count(struct det_store *s, enum det_count_kind kind, size_t limit,
	struct ops_arena *arena, struct det_count **ret)
{
	struct counting c = {0};
	struct ops_map_entry e;
	det_read_lock(s);
	for (size_t at = 0; ops_map_next(s->index.names, &at, &e);) {
		count_name(&s->index, &c, kind, e.value);
	}
	if (c.n != 0) {
		qsort(c.items, c.n, sizeof(c.items[0]), compare_counts);
	}
	size_t n = OPS_MIN(c.n, limit);
	*ret = ops_arena_array(arena, struct det_count, n + 1);
	if (n != 0) {
		memcpy(*ret, c.items, n * sizeof(c.items[0]));
	}
	free(c.items);
	det_read_unlock(s);
	return n;
}

void det_store_disk(struct det_store *s, struct det_store_disk *ret)
{
	*ret = (struct det_store_disk){0};
	if (s->disk == NULL) {
		return;
	}
	struct det_disk_state state;
	det_disk_look(s->disk, &state);
	ret->error = state.error;
	ret->since_ms = state.since_ms;
	ret->lost_bytes = state.lost_bytes;
	ret->wal_bytes = state.wal_bytes;
	for (const struct det_head_file *f = s->heads; f != NULL; f = f->next) {
		ret->head_bytes += f->used;
	}
	for (size_t i = 0; i < s->nblocks; i++) {
		ret->block_bytes += det_block_meta(s->blocks[i])->bytes;
	}
	ret->blocks = s->nblocks;
	ret->cuts = s->cuts;
	ret->compactions = s->compactions;
	ret->failures = s->failures;
	ret->bad_segments = det_block_corruptions();
}

uint64_t det_store_moment(struct det_store *s)
{
	return s->disk != NULL ? det_disk_moment(s->disk) : 1;
}

bool det_store_durable(const struct det_store *s, uint64_t moment)
{
	/* The log that holds what is in memory may have lost it. */
	return s->disk != NULL && s->in_memory == 0 && det_disk_durable(s->disk, moment);
}
