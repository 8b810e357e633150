/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Which collectors share the work, and which target is whose: that of one of them, or of the first
 * N of its ranking where a job asks for `replicas: N`. The detector publishes the list of those it
 * hears; without a list a collector scrapes everything, so that one alone needs nobody. Loop thread
 * only.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/bus/bus.h"
#include "common/loop/loop.h"
#include "common/msg/samples.h"

/* ---- the decision, apart from sockets and clocks ---- */

enum {
	COL_REPLICAS_MAX = 16
};

enum col_share {
	COL_SHARE_WAIT,	 /* too early to tell: scrape nothing */
	COL_SHARE_ALL,	 /* nobody speaks of members: scrape everything */
	COL_SHARE_HASHED /* by rendezvous among the members */
};

struct col_roster {
	const char *self;
	char **names; /* of the last list; self is added when it has been left out for too long */
	size_t n;
	bool listed;	 /* self is in the list */
	bool was_listed; /* and has been */
	int64_t grace_ms;
	int64_t started_ms;  /* monotonic, as all times here */
	int64_t heard_ms;    /* last list, or that it still holds; 0 = no list yet */
	int64_t left_out_ms; /* since when lists come without self; 0 = not */
};

void col_roster_init(struct col_roster *r, const char *self, int64_t grace_ms, int64_t now_ms);
void col_roster_done(struct col_roster *r);
/* names are copied. True when what is ours may have changed. */
bool col_roster_hear(struct col_roster *r, const char *const *names, size_t n, int64_t now_ms);
/* Whoever sent the list was heard of at that time and has not sent another. */
void col_roster_still(struct col_roster *r, int64_t heard_ms);
enum col_share col_roster_share(const struct col_roster *r, int64_t now_ms);
/* Whether the target with this hash is ours, at COL_SHARE_HASHED: we are among the first
 * `replicas` of its ranking. */
bool col_roster_owns(const struct col_roster *r, uint64_t target_hash, size_t replicas);
/* The first max of the ranking; how many there are. Names are the roster's. */
size_t col_roster_ranking(
	const struct col_roster *r, uint64_t target_hash, size_t max, const char **ret);

/* ---- on the bus ---- */

struct col_members; /* opaque */

struct col_members_config {
	const char *
		url; /* of the detector's alert stream; empty or NULL: no list, scrape everything */
	const char *self;
	int64_t heartbeat_ms;
	const struct ops_bus_key *key;
	const struct ops_bus_tls *tls;
	/* What is ours may have changed. */
	void (*on_change)(void *arg);
	/* Time to announce oneself: each heartbeat while no list has us, else now and then. */
	void (*announce)(void *arg);
	void *arg;
};

int col_members_open(struct ops_loop *loop, const struct col_members_config *cfg,
	struct col_members **ret, struct ops_error *err) OPS_MUST_CHECK;
void col_members_close(struct col_members *m);
bool col_members_owns(const struct col_members *m, uint64_t target_hash, size_t replicas);
/* Who scrapes it, the first of the ranking first: as col_roster_ranking(); we alone where there is
 * no list. */
size_t col_members_owners(
	const struct col_members *m, uint64_t target_hash, size_t replicas, const char **ret);
/* The last list, we among them or not; its URLs are those of the HTTP doors. */
const struct ops_members *col_members_list(const struct col_members *m);
enum col_share col_members_share(const struct col_members *m);
size_t col_members_count(const struct col_members *m); /* in the last list */
