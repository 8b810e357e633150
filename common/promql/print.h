/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Pieces of the printer that the pretty printer needs too: private to common/promql. */
#include "common/promql/ast.h"

struct ops_strbuf;

/* "sum by (a, b) " without the parentheses that follow. */
void ops_promql_print_aggregate_head(const struct ops_promql_aggregate *a, struct ops_strbuf *out);
/* "+ bool on (a) group_left (b) fill (0)" */
void ops_promql_print_operator(const struct ops_promql_binary *b, struct ops_strbuf *out);
/* "[5m:1m] @ 1.000 offset 1m" */
void ops_promql_print_subquery_suffix(const struct ops_promql_subquery *s, struct ops_strbuf *out);
