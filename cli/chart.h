/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Time series as a chart of characters, as wide as it may be. Pure but for printing to stdout. */
#include "common/base/def.h"

struct ctl_chart_series {
	const char *name; /* for the legend; control characters are replaced */
	const int64_t *t_ms;
	const double *v; /* NaN and infinities are left out */
	size_t n;
};

struct ctl_chart {
	const struct ctl_chart_series *series;
	size_t n;
	int64_t start_ms, end_ms, step_ms; /* a gap of more than two steps is not bridged */
	unsigned width, height;		   /* in characters; height without axis and legend */
	bool color, unicode;		   /* unicode: eight dots to a character (braille) */
};

/* How many points beside each other fit into the drawing: what a query's step should give. */
unsigned ctl_chart_columns(const struct ctl_chart *chart);
void ctl_chart_print(const struct ctl_chart *chart);
