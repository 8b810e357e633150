/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Values of number, duration and string tokens: private to common/promql. */
#include "common/base/arena.h"
#include "common/promql/ast.h"

/* Go's integer syntax with base prefix and leading-zero octal, else its float syntax; '_' between
 * digits. */
int ops_promql_number_value(
	struct ops_arena *a, const char *s, size_t len, double *ret) OPS_MUST_CHECK;
/* The text of a string token that the scanner accepted, quotes included. */
struct ops_promql_string ops_promql_unquote(struct ops_arena *a, const char *s, size_t len);
