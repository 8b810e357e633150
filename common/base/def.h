/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Words that every file uses: attributes, checked allocation, container_of, cleanup guards.
 * Small allocations abort on failure (there is nothing sensible left to do); a size that a peer
 * chooses is checked against a limit before it reaches these.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define OPS_MUST_CHECK __attribute__((warn_unused_result))
#define OPS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define OPS_NORETURN __attribute__((noreturn))
#define OPS_CLEANUP(fn) __attribute__((cleanup(fn)))
#define OPS_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define ops_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define OPS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define OPS_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Invariants stay checked in release builds: prints the place and aborts. */
#define ops_assert(cond) ((cond) ? (void)0 : ops_assert_failed(#cond, __FILE__, __LINE__, __func__))
void ops_assert_failed(const char *cond, const char *file, int line, const char *func) OPS_NORETURN;

/*
 * A struct that is handed through void * starts with a magic, set at creation and checked where
 * it comes back: OPS_MAGIC_CHECK(obj, FOO_MAGIC).
 */
#define OPS_MAGIC_CHECK(obj, value) ops_assert((obj) != NULL && (obj)->magic == (value))

/* Never return NULL. ops_xcalloc checks n * size for overflow. Release with free(). */
void *ops_xmalloc(size_t size) OPS_MUST_CHECK;
void *ops_xcalloc(size_t n, size_t size) OPS_MUST_CHECK;
void *ops_xrealloc(void *ptr, size_t n, size_t size) OPS_MUST_CHECK;
char *ops_xstrdup(const char *s) OPS_MUST_CHECK; /* NULL in, NULL out */
char *ops_xstrndup(const char *s, size_t len) OPS_MUST_CHECK;
char *ops_xasprintf(const char *fmt, ...) OPS_MUST_CHECK OPS_PRINTF(1, 2);

/* free() that also clears the variable: for OPS_CLEANUP(ops_freep) char *s = NULL. */
static inline void ops_freep(void *pp)
{
	void **p = (void **)pp;
	free(*p);
	*p = NULL;
}

/*
 * Growing arrays of any type: OPS_GROW(items, n, cap) makes room for one more element at items[n];
 * capacity doubles.
 */
#define OPS_GROW(items, n, cap)                                                                    \
	do {                                                                                       \
		if ((n) >= (cap)) {                                                                \
			(cap) = (cap) != 0 ? (cap)*2 : 8;                                          \
			(items) = ops_xrealloc((items), (size_t)(cap), sizeof((items)[0]));        \
		}                                                                                  \
	} while (0)
