/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Time intervals of the routing tree: times of day, weekdays, days of the month (negative from its
 * end), months and years in a location. An instant is inside when every given part contains it.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/conf/conf.h"

struct alm_tz;

struct alm_range {
	int begin, end; /* inclusive; minutes of the day: end exclusive */
};

struct alm_ranges {
	struct alm_range *items;
	size_t n;
};

struct alm_interval {
	struct alm_ranges times, weekdays, days, months, years;
	struct alm_tz *tz; /* owned; NULL = UTC */
};

struct alm_intervals { /* one named time interval: any of them */
	const char *name;
	struct alm_interval *items;
	size_t n;
};

/* node is the list under time_intervals[].time_intervals. Memory is the arena's, zones are freed by
 * _done. */
int alm_intervals_parse(struct ops_arena *a, const struct ops_conf_node *node,
	struct alm_intervals *ret, struct ops_error *err) OPS_MUST_CHECK;
void alm_intervals_done(struct alm_intervals *iv);
bool alm_intervals_contain(const struct alm_intervals *iv, int64_t ms);
