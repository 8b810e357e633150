/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/receive/otlp_model.h"

#include <string.h>

void *col_otlp_grow(struct ops_arena *a, void *items, size_t *n, size_t *cap, size_t size)
{
	char *all = items;
	if (*n == *cap) {
		size_t more = *cap == 0 ? 4 : *cap * 2;
		all = ops_arena_alloc(a, more * size);
		if (*n > 0) {
			memcpy(all, items, *n * size);
		}
		*cap = more;
	}
	memset(all + *n * size, 0, size);
	(*n)++;
	return all;
}
