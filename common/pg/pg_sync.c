/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocking libpq behind few functions. Queries use single-row mode: libpq hands out each row as it
 * arrives instead of collecting the whole result, so memory stays flat whatever the table's size.
 * A query that its reader stops is cancelled on the server and what is under way is read off, so
 * that the connection stays usable.
 */
#include "common/pg/pg_sync.h"

#include <errno.h>
#include <libpq-fe.h>
#include <string.h>

#include "common/base/strbuf.h"

struct ops_pg_sync {
	PGconn *conn;
};

static void first_line(const char *text, char *ret, size_t size)
{
	size_t len = strcspn(text, "\n");

	len = OPS_MIN(len, size - 1);
	memcpy(ret, text, len);
	ret[len] = '\0';
}

static void ignore_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

int ops_pg_sync_open(const char *conninfo, struct ops_pg_sync **ret, struct ops_error *err)
{
	const char *keys[] = {
		"fallback_application_name", "connect_timeout", "dbname", "client_encoding", NULL};
	const char *values[] = {"opsctl", "10", conninfo, "UTF8", NULL};
	char *problem = NULL, why[300];
	PQconninfoOption *options = PQconninfoParse(conninfo, &problem);

	PQfreemem(problem); /* quotes the text, which may hold a password */
	if (options == NULL)
		return ops_error_set(
			err, -ENOTCONN, "the conninfo of the database cannot be parsed");
	PQconninfoFree(options);
	PGconn *conn = PQconnectdbParams(keys, values, 1);
	if (conn == NULL || PQstatus(conn) != CONNECTION_OK) {
		first_line(conn != NULL ? PQerrorMessage(conn) : "out of memory", why, sizeof(why));
		PQfinish(conn);
		return ops_error_set(err, -ENOTCONN, "could not connect to the database: %s", why);
	}
	PQsetNoticeReceiver(conn, ignore_notice, NULL);
	struct ops_pg_sync *s = ops_xcalloc(1, sizeof(*s));
	s->conn = conn;
	*ret = s;
	return 0;
}

void ops_pg_sync_close(struct ops_pg_sync *s)
{
	if (s == NULL)
		return;
	PQfinish(s->conn);
	free(s);
}

void ops_pg_sync_closep(struct ops_pg_sync **s)
{
	ops_pg_sync_close(*s);
	*s = NULL;
}

const char *ops_pg_row_name(const struct ops_pg_row *row, int column)
{
	return PQfname(row->handle, column);
}

const char *ops_pg_row_value(const struct ops_pg_row *row, int column)
{
	return PQgetisnull(row->handle, 0, column) ? NULL : PQgetvalue(row->handle, 0, column);
}

size_t ops_pg_row_length(const struct ops_pg_row *row, int column)
{
	return (size_t)PQgetlength(row->handle, 0, column);
}

/* The server counts characters from 1; we say line and column. */
static void locate(const char *sql, long position, struct ops_error *err)
{
	int line = 1, column = 1;

	for (const char *p = sql; *p != '\0' && position > 1; p++) {
		if (((unsigned char)p[1] & 0xc0) != 0x80)
			position--;
		column++;
		if (*p == '\n') {
			line++;
			column = 1;
		}
	}
	err->line = line;
	err->column = column;
}

static long digits(const char *text)
{
	long value = 0;

	for (; text != NULL && *text >= '0' && *text <= '9' && value < 100000000; text++)
		value = value * 10 + (*text - '0');
	return value;
}

static int refused(const PGconn *conn, const PGresult *r, const char *sql, struct ops_error *err)
{
	const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
	const char *hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
	long position = digits(PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION));
	char why[300];

	if (PQstatus(conn) != CONNECTION_OK) {
		first_line(PQerrorMessage(conn), why, sizeof(why));
		return ops_error_set(
			err, -ENOTCONN, "the connection to the database was lost: %s", why);
	}
	if (err == NULL)
		return -EINVAL;
	const char *text = r != NULL ? PQresultErrorMessage(r) : PQerrorMessage(conn);
	first_line(primary != NULL ? primary : text, why, sizeof(why));
	ops_error_set(err, -EINVAL, "%s", why);
	if (hint != NULL || detail != NULL)
		ops_error_hint(err, "%s", hint != NULL ? hint : detail);
	if (position > 0)
		locate(sql, position, err);
	return -EINVAL;
}

static void cancel(PGconn *conn)
{
	char why[256];
	PGcancel *c = PQgetCancel(conn);

	if (c != NULL && PQcancel(c, why, sizeof(why)) == 0) {
		/* Not cancelled: reading off what comes takes longer, nothing else. */
	}
	PQfreeCancel(c);
}

int ops_pg_sync_query(struct ops_pg_sync *s, const struct ops_pg_query *q, struct ops_error *err)
{
	int code = 0;

	if (!PQsendQueryParams(s->conn, q->sql, q->nparams, NULL, q->params, NULL, NULL, 0) ||
		!PQsetSingleRowMode(s->conn))
		return refused(s->conn, NULL, q->sql, err);
	for (PGresult *r = PQgetResult(s->conn); r != NULL; r = PQgetResult(s->conn)) {
		ExecStatusType status = PQresultStatus(r);
		if (status == PGRES_FATAL_ERROR && code == 0) {
			code = refused(s->conn, r, q->sql, err);
		} else if (status == PGRES_SINGLE_TUPLE && code == 0 && q->on_row != NULL) {
			const struct ops_pg_row row = {PQnfields(r), r};
			code = q->on_row(q->arg, &row);
			if (code != 0)
				cancel(s->conn);
		}
		PQclear(r);
	}
	return code;
}

int ops_pg_sync_script(struct ops_pg_sync *s, const char *sql, struct ops_error *err)
{
	PGresult *r = PQexec(s->conn, sql);
	ExecStatusType status = PQresultStatus(r);
	int code = 0;

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
		code = refused(s->conn, r, sql, err);
	PQclear(r);
	return code;
}

bool ops_pg_sync_in_transaction(const struct ops_pg_sync *s)
{
	return PQtransactionStatus(s->conn) == PQTRANS_INTRANS;
}

int ops_pg_sync_set_password(
	struct ops_pg_sync *s, const char *role, const char *password, struct ops_error *err)
{
	struct ops_strbuf sql = OPS_STRBUF_INIT;
	char *hashed = PQencryptPasswordConn(s->conn, password, role, NULL);
	char *name = PQescapeIdentifier(s->conn, role, strlen(role));
	char *literal = hashed != NULL ? PQescapeLiteral(s->conn, hashed, strlen(hashed)) : NULL;
	int code;

	if (name == NULL || literal == NULL) {
		code = ops_error_set(err, -EINVAL, "could not prepare the password of %s", role);
	} else {
		ops_strbuf_printf(&sql, "ALTER ROLE %s PASSWORD %s", name, literal);
		code = ops_pg_sync_script(s, ops_strbuf_text(&sql), err);
	}
	PQfreemem(hashed);
	PQfreemem(name);
	PQfreemem(literal);
	ops_strbuf_done(&sql);
	return code;
}
