/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * StatsD's door: datagrams over UDP, lines over TCP; what they add up to is published every
 * interval as samples of the job `statsd`. Loop thread only.
 */
#include "common/loop/loop.h"
#include "services/collector/publish.h"
#include "services/collector/receive/statsd_table.h"

struct col_statsd; /* opaque */

struct col_statsd_config {
	const char *listen_udp, *listen_tcp; /* "address:port"; "" or NULL: closed */
	const char *mapping_file;
	const char *instance; /* label of every series, with job="statsd" */
	int64_t interval_ms;
	struct col_statsd_limits limits;
};

int col_statsd_open(struct ops_loop *loop, struct col_publisher *publisher,
	const struct col_statsd_config *cfg, struct col_statsd **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void col_statsd_close(struct col_statsd *s); /* NULL is fine */
/* The mapping file again; the old one stays on error. */
int col_statsd_reload(
	struct col_statsd *s, const char *mapping_file, struct ops_error *err) OPS_MUST_CHECK;
/* What is listened to, for tests: the real port. */
unsigned col_statsd_udp_port(const struct col_statsd *s);
unsigned col_statsd_tcp_port(const struct col_statsd *s);
