/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One line of StatsD: `name:value|type`, with what grew around it: sample rate `|@0.1`, DogStatsD
 * tags `|#k:v,k2:v2` and packed values `name:1:2:3|ms`, and the tags in the name of InfluxDB
 * (`name,k=v:1|c`) and Librato (`name#k=v:1|c`).
 * Sources: github.com/statsd/statsd docs/metric_types.md; DogStatsD protocol 1.0 to 1.2.
 * Pure function; the event points into the line. Any thread.
 */
#include "common/base/def.h"

enum {
	COL_STATSD_MAX_VALUES = 64,
	COL_STATSD_MAX_TAGS = 32
};

enum col_statsd_type {
	COL_STATSD_COUNTER,
	COL_STATSD_GAUGE,
	COL_STATSD_TIMER,     /* milliseconds */
	COL_STATSD_HISTOGRAM, /* h and d: without a unit */
	COL_STATSD_SET
};

struct col_statsd_text {
	const char *s;
	size_t len;
};

struct col_statsd_event {
	struct col_statsd_text name;
	enum col_statsd_type type;
	double values[COL_STATSD_MAX_VALUES];		       /* not of a set */
	bool relative[COL_STATSD_MAX_VALUES];		       /* gauge: +1 and -1 change it */
	struct col_statsd_text members[COL_STATSD_MAX_VALUES]; /* of a set: what was seen */
	size_t nvalues;
	double rate; /* 0 < rate <= 1: each value stands for 1 / rate events */
	struct col_statsd_text tag_names[COL_STATSD_MAX_TAGS], tag_values[COL_STATSD_MAX_TAGS];
	size_t ntags;
};

/* 0; 1: an event or service check of DogStatsD, which is no metric; -EINVAL, and *ret_why is the
 * reason label of the counter of refused lines. */
int col_statsd_parse(const char *line, size_t len, struct col_statsd_event *ret,
	const char **ret_why) OPS_MUST_CHECK;
