/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * History on its way to PostgreSQL: rows are appended to a spool, and drained in order, in batches
 * (each batch one transaction), whenever the database is there. A row carries the statement's name,
 * so the statements must be idempotent (ON CONFLICT DO NOTHING / DO UPDATE): a batch of unknown
 * fate is repeated. A row that the database refuses for what it says (not a retryable class) is
 * moved to dead/ beside the spool, counted in ops_outbox_dead_total and reported through on_dead,
 * so that one bad row cannot stop history.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/loop/loop.h"
#include "common/pg/pg.h"

struct ops_outbox; /* opaque */

struct ops_outbox_statement {
	const char *name; /* stored in the spool: never rename one */
	const char *sql;
	int nparams;
};

struct ops_outbox_config {
	const char *dir;
	uint64_t max_bytes; /* of the spool; 0 = 1 GiB; what is lost above is counted in
			       ops_outbox_dropped_total */
	const struct ops_outbox_statement *statements; /* ended by a NULL name */
	void (*on_dead)(
		void *arg, const char *statement, const char *sqlstate, const char *message);
	void *arg;
};

/* pg may be NULL (no database configured): rows wait in the spool. */
int ops_outbox_open(struct ops_loop *loop, struct ops_pg *pg, const struct ops_outbox_config *cfg,
	struct ops_outbox **ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_outbox_close(struct ops_outbox *o);
/* Appends a row; durable after ops_outbox_sync (or at the end of the loop turn, whichever is
 * first). */
int ops_outbox_put(struct ops_outbox *o, const char *statement, const char *const *params,
	int nparams) OPS_MUST_CHECK;
int ops_outbox_sync(struct ops_outbox *o) OPS_MUST_CHECK;
/* Call from ops_pg_on_state: starts draining. */
void ops_outbox_kick(struct ops_outbox *o);
uint64_t ops_outbox_waiting(const struct ops_outbox *o); /* rows not yet in PostgreSQL */
