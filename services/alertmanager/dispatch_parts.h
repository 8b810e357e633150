/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What dispatch.c (groups and timers), group.c and flush.c (one flush) share. */
#include "services/alertmanager/dispatch.h"

struct ops_map;

struct group {
	struct alm_group pub; /* first: the API sees a pointer to this */
	struct alm_dispatch *d;
	struct ops_timer *timer;
	struct flush *flush; /* under way, or NULL */
	bool flushed;	     /* the first flush is over */
	bool again;	     /* the timer fired while a flush was under way */
	size_t cap;
	char *map_key;
};

struct alm_dispatch {
	struct alm_dispatch_config conf;
	struct alm_config *cfg;
	struct alm_inhibitor *inhibitor;
	struct ops_map *groups; /* map_key -> struct group */
	struct flush *flushes;	/* list of all under way, also of groups that are gone */
	struct ops_timer *sweeper;
	bool draining;
};

/* Starts a flush of g now; ends by itself and calls group_flushed (when the group still exists). */
void alm_flush_start(struct group *g);
/* The group is going away: the flush goes on without it. */
void alm_flush_detach(struct flush *f);
void alm_flush_cancel_all(struct alm_dispatch *d);

/* group.c */
void alm_group_arm(struct group *g, int64_t delay_ms);
void alm_group_flushed(struct group *g);
void alm_group_remove_at(struct group *g, size_t i);
