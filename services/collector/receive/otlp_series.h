/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * OTLP points as Prometheus' series, by the rules of OpenTelemetry's "Prometheus and OpenMetrics
 * Compatibility": names with underscores, unit and _total; service.name and service.instance.id as
 * job and instance; the other attributes of a resource in target_info. Histograms, exponential ones
 * too, become classic buckets. Deltas are added up here, per series, in memory. Loop thread only.
 */
#include "services/collector/receive/otlp_model.h"
#include "services/collector/receive/outlet.h"

struct col_otlp_series; /* opaque: the sums of delta series */

struct col_otlp_limits {
	size_t delta_series;  /* sums that are kept; a histogram is one per bucket */
	int64_t delta_ttl_ms; /* a sum that was not heard for so long is forgotten */
};

struct col_otlp_outcome {
	size_t taken, rejected; /* points */
	char why[200];		/* of the first that was rejected */
	bool bus;		/* something was refused because the bus did not take it */
};

struct col_otlp_series *col_otlp_series_new(const struct col_otlp_limits *limits);
void col_otlp_series_free(struct col_otlp_series *s); /* NULL is fine */
/* Hands every series to the outlet. */
void col_otlp_translate(struct col_otlp_series *s, struct col_outlet *outlet,
	const struct col_otlp_request *request, int64_t now_ms, struct col_otlp_outcome *ret);
/* The metric's name as Prometheus has it; appended. For tests. */
void col_otlp_name(const struct col_otlp_metric *m, struct ops_strbuf *out);
