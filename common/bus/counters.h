/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The bus' metrics, counted where things happen. Stream "unknown" until a heartbeat has named it.
 */
#include "common/metrics/metrics.h"

extern struct ops_metric ops_bus_published, ops_bus_received, ops_bus_replayed, ops_bus_duplicates;
extern struct ops_metric ops_bus_gaps, ops_bus_lost, ops_bus_lag;
extern struct ops_metric ops_bus_overflow, ops_bus_held;
extern struct ops_metric ops_bus_refused;  /* by reason */
extern struct ops_metric ops_bus_requests; /* by outcome */
extern struct ops_metric ops_bus_abandoned;

/* Makes all of them visible at 0; idempotent. */
void ops_bus_counters_register(void);
/* A stream that is gone takes its series with it. */
void ops_bus_counters_forget(const char *stream);
