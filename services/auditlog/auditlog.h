/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ops-auditlog inside: doors -> intake (local spool, the durability point) -> sequencer
 * (PostgreSQL, the one order) -> signer (checkpoints). One struct aud owns all of it; everything
 * runs on the loop.
 */
#include "common/audit/merkle.h"
#include "common/base/def.h"
#include "common/bus/bus.h"
#include "common/loop/loop.h"
#include "common/msg/msg.h"
#include "common/pg/pg.h"
#include "common/run/run.h"

struct aud_config {
	struct ops_daemon_config daemon; /* first */
	const char *append_listen, *signing_key_file, *origin;
	int64_t checkpoint_interval_ms;
};

struct aud_intake;
struct aud_sequencer;
struct aud_signer;

struct aud {
	struct ops_daemon *daemon;
	struct ops_loop *loop;
	struct aud_intake *intake;
	struct aud_sequencer *sequencer;
	struct aud_signer *signer;
	struct ops_rep *rep;
	struct ops_timer *drain_timer;
};

extern const struct ops_service aud_service_table;

/* ---- intake.c: what came through a door waits here, durable, until it has its number ---- */

struct aud_outcome {
	int code;	     /* 0, or why it could not be made durable (-ENOSPC ...) */
	uint64_t seq;	     /* 0: not in the database yet */
	const char *durable; /* "postgresql" or "spool" */
};

struct aud_waiter; /* one record whose door waits for the outcome */

int aud_intake_open(struct aud *a, const char *dir, struct aud_intake **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void aud_intake_close(struct aud_intake *in); /* answers everyone who still waits */
/*
 * Validates c, makes its canonical body and appends it. 0: fn is called once, later. -EINVAL,
 * -ERANGE: not a record (err); -ENOSPC, -EIO: err. c->id is made lower-case.
 */
int aud_intake_add(struct aud_intake *in, struct ops_change *c,
	void (*fn)(void *arg, const struct aud_outcome *o), void *arg, struct aud_waiter **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void aud_waiter_cancel(struct aud_waiter *w); /* the record stays */

struct aud_entry { /* borrowed during the read */
	uint64_t number;
	char id[37];
	int64_t time_us;
	const char *body;
	size_t len;
};
/* From the oldest that is not in the database, at most max; fn returns non-zero to stop. */
int aud_intake_read(struct aud_intake *in, size_t max,
	int (*fn)(const struct aud_entry *e, void *arg), void *arg) OPS_MUST_CHECK;
/* This number is in the database: its door is answered. Call in order, then once for the batch
 * aud_intake_stored, so that it is not read again. */
void aud_intake_committed(struct aud_intake *in, uint64_t number, uint64_t seq);
void aud_intake_stored(struct aud_intake *in, uint64_t number);
/* Nobody shall wait for the database now: those whose record is synced are answered "spool". */
void aud_intake_release(struct aud_intake *in);
uint64_t aud_intake_waiting(const struct aud_intake *in); /* records not in the database */

/* ---- sequencer.c: the one writer ---- */

enum aud_state {
	AUD_AWAY,	 /* no connection */
	AUD_LOCKING,	 /* asking for the writer's lock */
	AUD_STANDBY,	 /* another process has it */
	AUD_CATCHING_UP, /* reading and checking what is there */
	AUD_READY,
	AUD_RETRY,  /* the database refused; again later */
	AUD_BROKEN, /* the log is not the one we know: nothing is written or signed until someone
		       looks */
};
const char *aud_state_text(enum aud_state s);

struct aud_sequencer *aud_sequencer_new(
	struct aud *a, struct ops_pg *pg); /* pg NULL: AUD_AWAY for ever */
void aud_sequencer_free(struct aud_sequencer *q);
enum aud_state aud_sequencer_state(const struct aud_sequencer *q);
const char *aud_sequencer_problem(const struct aud_sequencer *q); /* "" when there is none */
const struct ops_audit_head *aud_sequencer_head(const struct aud_sequencer *q); /* committed */
struct ops_pg *aud_sequencer_pg(const struct aud_sequencer *q); /* NULL without a database */
void aud_sequencer_kick(struct aud_sequencer *q);		/* there is something to write */

/* ---- signer.c: checkpoints ---- */

int aud_signer_open(struct aud *a, const struct aud_config *c, struct aud_signer **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void aud_signer_close(struct aud_signer *g);
/* Called for every head on the way up from nothing: -EINVAL when it contradicts what was signed. */
int aud_signer_observe(struct aud_signer *g, const struct ops_merkle *tree) OPS_MUST_CHECK;
uint64_t aud_signer_size(const struct aud_signer *g); /* of the last checkpoint */
/* Signs the head now if it is ahead; true when nothing is left to sign or store. */
bool aud_signer_finish(struct aud_signer *g);
const char *aud_signer_note(const struct aud_signer *g); /* "" before the first */
const char *aud_signer_vkey(const struct aud_signer *g);

/* ---- doors ---- */

void aud_http_routes(struct aud *a); /* door_http.c */
int aud_bus_open(
	struct aud *a, const char *url, struct ops_error *err) OPS_MUST_CHECK; /* door_bus.c */

/* change.c: the free-form JSON of POST /ops/change as a record. body is read only. */
struct aud_caller {
	const char *user;    /* X-User, or NULL */
	const char *service; /* authenticated name, or "http" */
	const char *source_addr, *trace_id;
};
int aud_change_from_body(const json_t *body, const struct aud_caller *by, struct ops_change *ret,
	struct ops_error *err) OPS_MUST_CHECK;
