/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * PostgreSQL for programs that may wait: the command line. Blocking, rows are streamed one at a
 * time, so a table of any size can be read. Never used by a service.
 */
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_pg_sync; /* opaque: one connection */

/* -ENOTCONN with err (password-free). */
int ops_pg_sync_open(
	const char *conninfo, struct ops_pg_sync **ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_pg_sync_close(struct ops_pg_sync *s);	 /* NULL is fine */
void ops_pg_sync_closep(struct ops_pg_sync **s); /* for OPS_CLEANUP */

struct ops_pg_row { /* borrowed during the callback */
	int columns;
	const void *handle;
};
const char *ops_pg_row_name(const struct ops_pg_row *row, int column);
const char *ops_pg_row_value(
	const struct ops_pg_row *row, int column); /* text; NULL for SQL NULL */
size_t ops_pg_row_length(const struct ops_pg_row *row, int column);

struct ops_pg_query {
	const char *sql; /* one statement */
	int nparams;
	const char *const *params; /* text; NULL = SQL NULL */
	/* Called for every row (NULL: rows are ignored). Non-zero stops the query and is returned.
	 */
	int (*on_row)(void *arg, const struct ops_pg_row *row);
	void *arg;
};
/* 0, what on_row returned, -EINVAL (the server refused: err), -ENOTCONN (connection lost: err). */
int ops_pg_sync_query(
	struct ops_pg_sync *s, const struct ops_pg_query *q, struct ops_error *err) OPS_MUST_CHECK;
/* Several statements without parameters, e.g. a migration file; err->line and column point into
 * sql. */
int ops_pg_sync_script(
	struct ops_pg_sync *s, const char *sql, struct ops_error *err) OPS_MUST_CHECK;
bool ops_pg_sync_in_transaction(const struct ops_pg_sync *s);
/* ALTER ROLE ... PASSWORD; hashed here, so that the clear text never reaches the server or its log.
 */
int ops_pg_sync_set_password(struct ops_pg_sync *s, const char *role, const char *password,
	struct ops_error *err) OPS_MUST_CHECK;
