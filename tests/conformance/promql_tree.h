/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A syntax tree as JSON with upstream's names, to be compared with the cases' trees. */
#include "common/promql/ast.h"

#include <jansson.h>

json_t *conformance_promql_tree(const struct ops_promql_expr *e); /* owned */
/* Members that are absent, null, false, 0, "" or [] are the same thing; numbers compare by value.
 */
bool conformance_promql_tree_equal(const json_t *a, const json_t *b);
