/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Bump allocator for whatever has a clear end: one request, one evaluation, one parsed file.
 * Memory comes in chunks that double up to 256 KiB; nothing is freed before the arena is.
 * Not thread-safe.
 */
#include "common/base/def.h"

struct ops_arena {
	struct ops_arena_chunk *head;
	size_t used_bytes; /* handed out, for limits */
};

void ops_arena_init(struct ops_arena *a);
void ops_arena_done(struct ops_arena *a);  /* frees all; the arena may be used again */
void ops_arena_reset(struct ops_arena *a); /* forgets all, keeps the largest chunk */

void *ops_arena_alloc(struct ops_arena *a, size_t size) OPS_MUST_CHECK; /* 16-aligned, zeroed */
/* Aborts when n * size overflows. */
void *ops_arena_calloc(struct ops_arena *a, size_t n, size_t size) OPS_MUST_CHECK;
void *ops_arena_dup(struct ops_arena *a, const void *data, size_t size) OPS_MUST_CHECK;
char *ops_arena_strdup(struct ops_arena *a, const char *s) OPS_MUST_CHECK;
char *ops_arena_strndup(struct ops_arena *a, const char *s, size_t len) OPS_MUST_CHECK;
char *ops_arena_printf(struct ops_arena *a, const char *fmt, ...) OPS_MUST_CHECK OPS_PRINTF(2, 3);

#define ops_arena_new(a, type) ((type *)ops_arena_alloc((a), sizeof(type)))
#define ops_arena_array(a, type, n) ((type *)ops_arena_calloc((a), (size_t)(n), sizeof(type)))
