/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* State of det_replicas, for its two files: who sends what (replicas.c), whose rows are stored
 * (replicas_rows.c). */
#include "common/base/strbuf.h"
#include "services/detector/replicas.h"

enum {
	DET_HELD_MAX = 4
};

enum {
	DET_INTERVAL_MAX_MS = 600000 /* of a target's rows, as far as it matters here */
};

struct det_rep_stream { /* a collector's; lives as long as the whole */
	char *name;
	size_t led; /* targets */
};

struct det_rep_source { /* of a target */
	struct det_rep_stream *stream;
	uint64_t current, previous; /* layouts; 0 = none. previous: until the next batch */
	int64_t heard_ms;	    /* monotonic */
	bool gone;		    /* the collector is no member now */
	int64_t row_ms;		    /* of its newest row, stored or not */
	unsigned good;		    /* scrapes up to that one that succeeded, one after another */
	bool failed;		    /* that one did not */
};

struct det_rep_held {
	struct det_rep_stream *stream;
	int64_t time_ms;
	char *payload;
	size_t len;
};

struct det_rep_target {
	struct det_rep_source *sources;
	size_t n, cap;
	struct det_rep_stream *leader;	   /* NULL: whoever sends the next row */
	struct det_rep_stream *led_last;   /* the leader, or the one that was it last */
	struct det_rep_stream *led_before; /* and its predecessor */
	const char *ended;		   /* why led_last leads no more; NULL: it was silent */
	uint64_t stored;		   /* layout of the newest stored row */
	int64_t since_ms, last_ms, interval_ms; /* of the stored rows; since: of this leader */
	struct det_rep_held held[DET_HELD_MAX];
	size_t nheld;
	int64_t end_ms;	  /* of a last row that was dropped, since another lived; 0: none */
	int64_t heard_ms; /* monotonic */
};

struct det_replicas {
	struct det_store *store;
	struct ops_map *streams;   /* name -> struct det_rep_stream */
	struct ops_map *targets;   /* job instance -> struct det_rep_target */
	struct ops_map *by_layout; /* layout id -> struct det_rep_target (not owned) */
	struct ops_map *up;	   /* layout id -> its column `up` + 2; 1: it has none */
	struct ops_strbuf scratch;
};

/* ---- replicas.c ---- */

struct det_rep_stream *det_stream_of(struct det_replicas *r, const char *name);
struct det_rep_source *det_source_of(struct det_rep_target *t, struct det_rep_stream *s);
bool det_source_alive(const struct det_rep_target *t, const struct det_rep_source *s);
bool det_another_lives(const struct det_rep_target *t, const struct det_rep_stream *but);
void det_set_leader(struct det_rep_target *t, struct det_rep_stream *leader); /* or NULL */
/* Layout id, when neither a live collector nor the newest stored row has it. */
void det_retire_unused(
	struct det_replicas *r, const struct det_rep_target *t, uint64_t id, int64_t time_ms);
void det_drop_held(struct det_rep_target *t, size_t first); /* so many of them */
/* The source has nothing more to say; what it had is kept while others or the store need it. */
void det_end_source(struct det_replicas *r, struct det_rep_target *t, struct det_rep_stream *s);
void det_drop_held_of(struct det_rep_target *t, const struct det_rep_stream *s);

/* ---- replicas_rows.c ---- */

void det_replicas_register(void); /* metrics */
/* The one whose rows wait leads from here on; without one it is who sends the next row. */
void det_follow_another(struct det_replicas *r, struct det_rep_target *t, const char *reason);
