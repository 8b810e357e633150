/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Libraries count instead of logging. Losing something is never silent: ops_bus_lost_total is what
 * an alert rule watches.
 */
#include "common/bus/counters.h"

struct ops_metric ops_bus_published = OPS_COUNTER("ops_bus_published_total",
	"Messages given to subscribers and, if kept, to the log.", "stream");
struct ops_metric ops_bus_received = OPS_COUNTER(
	"ops_bus_received_total", "Frames that arrived live and passed every check.", "stream");
struct ops_metric ops_bus_replayed = OPS_COUNTER("ops_bus_replayed_total",
	"Records that arrived by asking the publisher for them.", "stream");
struct ops_metric ops_bus_duplicates = OPS_COUNTER("ops_bus_duplicates_total",
	"Messages skipped because their number had been handled.", "stream");
struct ops_metric ops_bus_gaps = OPS_COUNTER("ops_bus_gaps_total",
	"Times that a number was missing from the live stream; what is missing is asked for.",
	"stream");
struct ops_metric ops_bus_lost = OPS_COUNTER(
	"ops_bus_lost_total", "Messages that are gone for good for this subscriber.", "stream");
struct ops_metric ops_bus_lag = OPS_GAUGE(
	"ops_bus_lag", "Messages that the publisher has and this subscriber has not.", "stream");
struct ops_metric ops_bus_overflow = OPS_GAUGE("ops_bus_overflow_bytes",
	"Bytes on disk that the publisher's ring in memory could not hold.", "stream");
struct ops_metric ops_bus_held = OPS_GAUGE("ops_bus_held_bytes",
	"Bytes in memory of a publisher's records that a subscriber may still ask for.", "stream");
struct ops_metric ops_bus_refused = OPS_COUNTER("ops_bus_refused_total",
	"Frames, requests and answers dropped before they reached anyone.", "reason");
struct ops_metric ops_bus_requests =
	OPS_COUNTER("ops_bus_requests_total", "Requests sent, by how they ended.", "outcome");
struct ops_metric ops_bus_abandoned = OPS_COUNTER("ops_bus_sockets_abandoned_total",
	"Sockets that the library did not close in time; each "
	"keeps its memory until the process ends.");

void ops_bus_counters_register(void)
{
	struct ops_metric *const all[] = {&ops_bus_published, &ops_bus_received, &ops_bus_replayed,
		&ops_bus_duplicates, &ops_bus_gaps, &ops_bus_lost, &ops_bus_lag, &ops_bus_refused,
		&ops_bus_requests, &ops_bus_abandoned};

	for (size_t i = 0; i < OPS_LENGTH(all); i++)
		ops_metric_register(all[i]);
}

void ops_bus_counters_forget(const char *stream)
{
	struct ops_metric *const by_stream[] = {&ops_bus_received, &ops_bus_replayed,
		&ops_bus_duplicates, &ops_bus_gaps, &ops_bus_lost, &ops_bus_lag};

	for (size_t i = 0; i < OPS_LENGTH(by_stream); i++)
		ops_metric_forget(by_stream[i], stream);
}
