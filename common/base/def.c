/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that cannot fail. A daemon that cannot get a few hundred bytes has no good way on:
 * every caller would need an error path that no test ever walks. Aborting leaves a core and lets
 * the supervisor restart us from durable state. Sizes chosen by a peer never get here unchecked.
 */
#include "common/base/def.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ops_assert_failed(const char *cond, const char *file, int line, const char *func)
{
	fprintf(stderr, "%s:%d: %s: assertion failed: %s\n", file, line, func, cond);
	abort();
}

static void *check(void *ptr)
{
	if (ptr == NULL) {
		fputs("out of memory\n", stderr);
		abort();
	}
	return ptr;
}

void *ops_xmalloc(size_t size)
{
	return check(malloc(size != 0 ? size : 1));
}

void *ops_xcalloc(size_t n, size_t size)
{
	return check(calloc(n != 0 ? n : 1, size != 0 ? size : 1));
}

void *ops_xrealloc(void *ptr, size_t n, size_t size)
{
	size_t bytes = 0;

	ops_assert(!__builtin_mul_overflow(n, size, &bytes));
	return check(realloc(ptr, bytes != 0 ? bytes : 1));
}

char *ops_xstrdup(const char *s)
{
	return s != NULL ? ops_xstrndup(s, strlen(s)) : NULL;
}

char *ops_xstrndup(const char *s, size_t len)
{
	char *copy = ops_xmalloc(len + 1);

	if (len != 0)
		memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *ops_xasprintf(const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	return check(n >= 0 ? text : NULL);
}
