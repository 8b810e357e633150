/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of chunks, newest first; allocation bumps the newest. A request larger than what the next
 * chunk would hold gets a chunk of its own size, so that one big array does not double the others.
 * Every allocation is cleared: a kept chunk holds old bytes after a reset.
 */
#include "common/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	ALIGN = 16,
	FIRST_BYTES = 4096,
	LARGEST_BYTES = 256 * 1024
};

struct ops_arena_chunk {
	struct ops_arena_chunk *next;
	size_t size_bytes, used_bytes; /* of data */
	_Alignas(ALIGN) char data[];
};

void ops_arena_init(struct ops_arena *a)
{
	*a = (struct ops_arena){0};
}

static void free_chunks(struct ops_arena_chunk *c)
{
	while (c != NULL) {
		struct ops_arena_chunk *next = c->next;
		free(c);
		c = next;
	}
}

void ops_arena_done(struct ops_arena *a)
{
	free_chunks(a->head);
	ops_arena_init(a);
}

void ops_arena_reset(struct ops_arena *a)
{
	struct ops_arena_chunk **largest = &a->head;

	a->used_bytes = 0;
	if (a->head == NULL)
		return;
	for (struct ops_arena_chunk **at = &a->head; *at != NULL; at = &(*at)->next) {
		if ((*at)->size_bytes > (*largest)->size_bytes)
			largest = at;
	}
	struct ops_arena_chunk *keep = *largest;
	*largest = keep->next;
	free_chunks(a->head);
	keep->next = NULL;
	keep->used_bytes = 0;
	a->head = keep;
}

static struct ops_arena_chunk *add_chunk(struct ops_arena *a, size_t need)
{
	size_t size = a->head != NULL ? a->head->size_bytes * 2 : FIRST_BYTES;

	size = OPS_MAX(OPS_MIN(size, (size_t)LARGEST_BYTES), need);
	ops_assert(size <= SIZE_MAX - sizeof(struct ops_arena_chunk));
	struct ops_arena_chunk *c = ops_xmalloc(sizeof(*c) + size);
	c->next = a->head;
	c->size_bytes = size;
	c->used_bytes = 0;
	a->head = c;
	return c;
}

void *ops_arena_alloc(struct ops_arena *a, size_t size)
{
	ops_assert(size <= SIZE_MAX / 2);
	size_t need = (OPS_MAX(size, (size_t)1) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	struct ops_arena_chunk *c = a->head;

	if (c == NULL || c->size_bytes - c->used_bytes < need)
		c = add_chunk(a, need);
	void *ptr = c->data + c->used_bytes;
	c->used_bytes += need;
	a->used_bytes += need;
	return memset(ptr, 0, need);
}

void *ops_arena_calloc(struct ops_arena *a, size_t n, size_t size)
{
	size_t bytes = 0;

	ops_assert(!__builtin_mul_overflow(n, size, &bytes));
	return ops_arena_alloc(a, bytes);
}

void *ops_arena_dup(struct ops_arena *a, const void *data, size_t size)
{
	void *copy = ops_arena_alloc(a, size);

	if (size != 0)
		memcpy(copy, data, size);
	return copy;
}

char *ops_arena_strdup(struct ops_arena *a, const char *s)
{
	return ops_arena_strndup(a, s, strlen(s));
}

char *ops_arena_strndup(struct ops_arena *a, const char *s, size_t len)
{
	char *copy = ops_arena_alloc(a, len + 1);

	if (len != 0)
		memcpy(copy, s, len);
	return copy;
}

char *ops_arena_printf(struct ops_arena *a, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	ops_assert(n >= 0);
	char *text = ops_arena_alloc(a, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}
