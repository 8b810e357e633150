/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's own numbers. Labels come from small closed sets: the handler is the route's pattern
 * (never the path), the method one of seven or "other", the reason a constant of this folder.
 */
#include "common/net/http_internal.h"

#include <stdio.h>

#include "common/metrics/metrics.h"

static const double seconds[] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

static struct ops_metric refused = OPS_COUNTER("ops_http_refused_total",
	"Connections and requests refused before a handler saw them.", "reason");
static struct ops_metric requests =
	OPS_COUNTER("ops_http_requests_total", "Requests answered.", "handler", "method", "code");
static struct ops_metric duration = OPS_HISTOGRAM("ops_http_request_duration_seconds",
	"Time from a request's first byte to its reply.", seconds, "handler");
static struct ops_metric connections =
	OPS_GAUGE("ops_http_connections", "Open connections to the HTTP door.");

void ops_http_count_refused(const char *reason)
{
	ops_metric_add(&refused, 1, reason);
}

void ops_http_count_request(const char *handler, const char *method, int code, int64_t duration_ns)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", code);
	ops_metric_add(&requests, 1, handler, method, text);
	ops_metric_observe(&duration, (double)duration_ns / 1e9, handler);
}

void ops_http_set_connections(unsigned n)
{
	ops_metric_set(&connections, n);
}
