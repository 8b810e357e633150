/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row is its values; times of their own are rare, so their column is made when the first one
 * comes and counts only while has_times is set.
 */
#include <string.h>

#include "services/collector/layout.h"

void col_values_done(struct col_values *v)
{
	free(v->values);
	free(v->times_ms);
	free(v->exemplars);
	*v = (struct col_values){.n = 0};
}

void col_values_reserve(struct col_values *v, size_t n)
{
	if (n <= v->cap) {
		return;
	}
	size_t cap = v->cap == 0 ? n : OPS_MAX(n, v->cap * 2);
	v->values = ops_xrealloc(v->values, cap, sizeof(*v->values));
	if (v->times_ms != NULL) {
		v->times_ms = ops_xrealloc(v->times_ms, cap, sizeof(*v->times_ms));
		memset(v->times_ms + v->cap, 0, (cap - v->cap) * sizeof(*v->times_ms));
	}
	v->cap = cap;
}

int64_t col_values_time(const struct col_values *v, size_t column)
{
	return v->has_times ? v->times_ms[column] : 0;
}

void col_values_set_time(struct col_values *v, size_t column, int64_t time_ms)
{
	if (!v->has_times && time_ms == 0) {
		return;
	}
	if (v->times_ms == NULL) {
		v->times_ms = ops_xcalloc(v->cap, sizeof(*v->times_ms));
	} else if (!v->has_times) {
		memset(v->times_ms, 0, v->cap * sizeof(*v->times_ms));
	}
	v->has_times = true;
	v->times_ms[column] = time_ms;
}
