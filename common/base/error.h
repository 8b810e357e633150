/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An error that a human reads: configuration, rules, PromQL, HTTP replies, the command line.
 * Embedded by value, no heap. Everything else returns int (0, negative errno, positive outcome).
 */
#include "common/base/def.h"

#include <stdarg.h>

struct ops_error {
	char file[256];	   /* "" when there is no file */
	int line, column;  /* 1-based; 0 = unknown */
	char message[512]; /* what is wrong, lower case, no full stop */
	char hint[256];	   /* what would be right; may be "" */
};

/* Sets message (file, position and hint are cleared). err may be NULL. Returns code unchanged. */
int ops_error_set(struct ops_error *err, int code, const char *fmt, ...) OPS_PRINTF(3, 4);
int ops_error_set_at(struct ops_error *err, int code, const char *file, int line, int column,
	const char *fmt, ...) OPS_PRINTF(6, 7);
/* Adds what would be right to an error that is already set. */
void ops_error_hint(struct ops_error *err, const char *fmt, ...) OPS_PRINTF(2, 3);
/* Puts "context: " before the message. */
void ops_error_prefix(struct ops_error *err, const char *fmt, ...) OPS_PRINTF(2, 3);
/* "file:line:column: message (hint)", leaving out what is unknown. Returns buf. */
char *ops_error_text(const struct ops_error *err, char *buf, size_t size);

#ifdef __clang_analyzer__
/*
 * The analyzer sees one file at a time and would follow the path where an error comes back as 0.
 * This tells it what the contract says: the code is returned unchanged.
 */
static inline int ops_error_code(int code, int returned)
{
	(void)returned;
	return code;
}
#define ops_error_set(err, code, ...) ops_error_code((code), ops_error_set(err, code, __VA_ARGS__))
#define ops_error_set_at(err, code, ...)                                                           \
	ops_error_code((code), ops_error_set_at(err, code, __VA_ARGS__))
#endif
