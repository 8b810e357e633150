/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What pg.c (units and their answers) and pg_connect.c (making and losing the connection) share. */
#include <libpq-fe.h>

#include "common/loop/loop.h"
#include "common/pg/pg.h"

enum pg_state {
	PG_WAITING,    /* for the retry timer */
	PG_RESOLVING,  /* the host name, by evdns */
	PG_CONNECTING, /* PQconnectPoll */
	PG_SETUP,      /* session settings and on_connect_sql are under way */
	PG_READY,
};

struct pg_unit {
	struct pg_unit *next;
	void (*fn)(void *arg, const struct ops_pg_result *r); /* NULL: a setup statement */
	void *arg;
	PGresult *last; /* of the last statement, or the error */
	bool failed;
	int64_t sent_ms;
};

struct pg_setup {
	struct pg_setup *next;
	char *sql;
};

struct pg_resolve; /* pg_connect.c */

struct ops_pg {
	uint32_t magic;
	struct ops_loop *loop;
	char *conninfo, *application_name;
	int64_t statement_timeout_ms;
	unsigned max_in_flight;

	enum pg_state state;
	PGconn *conn;
	struct pg_resolve *resolve;
	struct ops_watch *watch;
	int watched_fd;
	struct ops_timer *retry;    /* PG_WAITING */
	struct ops_timer *deadline; /* connecting, or an answer that does not come */
	unsigned attempt;
	char last_error[256];

	struct pg_unit *head, **tail;
	size_t in_flight;
	int setup_left;
	struct pg_setup *setup, **setup_tail;
	bool broken; /* a send failed: the loss is handled from the loop, not under the caller */
	bool freed;  /* ops_pg_free was called from inside a callback */
	unsigned depth;

	void (*on_state)(void *arg, bool connected);
	void *on_state_arg;
	void (*on_notify)(void *arg, const char *channel, const char *payload);
	void *on_notify_arg;
};

/* pg_connect.c */
void pg_connect_start(struct ops_pg *pg);
void pg_connect_step(struct ops_pg *pg);
void pg_connect_drop(struct ops_pg *pg); /* closes everything, no callbacks */
void pg_watch(struct ops_pg *pg, unsigned what);
void pg_remember_error(struct ops_pg *pg, const char *text);

/* pg.c */
void pg_on_socket(int fd, unsigned what, void *arg);
void pg_established(struct ops_pg *pg); /* the handshake is done: pipeline mode, settings */
void pg_lose(struct ops_pg *pg);	/* units get LOST, the retry timer starts */
