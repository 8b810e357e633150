/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * PostgreSQL on the loop: one asynchronous connection in pipeline mode, reconnecting with jittered
 * back-off for ever. Statements are parameterised text; results are text. Nothing here blocks and
 * nothing is retried behind the caller's back: after a lost connection the fate of what was under
 * way is unknown (OPS_PG_LOST) and the caller repeats it if it is idempotent.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/loop/loop.h"

struct ops_pg; /* opaque */

struct ops_pg_config {
	const char *conninfo; /* libpq conninfo or URI; copied, never printed */
	const char *application_name;
	int64_t statement_timeout_ms; /* 0 = 30 s */
	unsigned max_in_flight;	      /* units queued and sent; 0 = 2000; above: -EAGAIN */
};

enum ops_pg_outcome {
	OPS_PG_OK,
	OPS_PG_FAILED, /* the server said no: sqlstate and message */
	OPS_PG_LOST,   /* connection lost before the answer */
};

struct ops_pg_result { /* of the last statement of the unit; valid during the callback */
	enum ops_pg_outcome outcome;
	char sqlstate[6];
	const char *message; /* "" when OK */
	int rows, columns;
	const void *handle;
};
const char *ops_pg_value(
	const struct ops_pg_result *r, int row, int column); /* NULL for SQL NULL */
size_t ops_pg_length(const struct ops_pg_result *r, int row, int column);
/* True for classes where repeating later can help: 08, 40, 53, 55, 57, 58, and LOST. */
bool ops_pg_retryable(const struct ops_pg_result *r);

struct ops_pg_statement { /* copied on queueing */
	const char *sql;
	int nparams;
	const char *const *params; /* text; NULL = SQL NULL */
};

struct ops_pg *ops_pg_new(struct ops_loop *loop, const struct ops_pg_config *cfg);
void ops_pg_free(struct ops_pg *pg); /* callbacks of what is under way run with LOST */
bool ops_pg_connected(const struct ops_pg *pg);
const char *ops_pg_last_error(const struct ops_pg *pg); /* "" when connected; password-free */
/* fn(true) after each connect, fn(false) after each loss. One listener. */
void ops_pg_on_state(struct ops_pg *pg, void (*fn)(void *arg, bool connected), void *arg);
/* Statements that run after each connect before anything else (SET, LISTEN). Text is copied. */
void ops_pg_on_connect_sql(struct ops_pg *pg, const char *sql);
/* NOTIFY on a channel the session LISTENs to. */
void ops_pg_on_notify(struct ops_pg *pg,
	void (*fn)(void *arg, const char *channel, const char *payload), void *arg);

/*
 * One unit = one transaction: all statements or none. fn is called exactly once, from the loop.
 * -ENOTCONN when not connected (nothing queued), -EAGAIN when too much is queued.
 */
int ops_pg_exec(struct ops_pg *pg, const struct ops_pg_statement *stmts, size_t n,
	void (*fn)(void *arg, const struct ops_pg_result *r), void *arg) OPS_MUST_CHECK;
size_t ops_pg_in_flight(const struct ops_pg *pg);
