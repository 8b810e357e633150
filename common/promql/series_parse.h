/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What series.c and series_histogram.c share: private to common/promql. */
#include "common/promql/parser.h"
#include "common/promql/series.h"

struct ops_promql_series_parser {
	struct ops_promql_parser p;
	struct ops_promql_series *series;
	size_t labels_cap, values_cap;
};

/* "unexpected <token> in <context>, expected <expected>"; always false. */
bool ops_promql_series_stop(
	struct ops_promql_series_parser *sp, const char *context, const char *expected);
/* A number with an optional sign when is_signed; false with a finding. */
bool ops_promql_series_number(struct ops_promql_series_parser *sp, bool is_signed, double *ret);
/* {{key:value ...}}; the next token is {{ or a finding follows. */
bool ops_promql_series_histogram(
	struct ops_promql_series_parser *sp, struct ops_promql_histogram **ret);
