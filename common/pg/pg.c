/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection in libpq's pipeline mode. A unit is what stands between two syncs: the server runs
 * it as one implicit transaction, and an error skips the rest of it. Units are sent as they come
 * and answered in order, so the queue of units is the only book-keeping there is.
 *
 * Reading: PQgetResult gives the results of a statement, then NULL, then those of the next; a sync
 * result has no NULL behind it. Two NULLs in a row mean that there is nothing to read now. A unit
 * is answered at its sync and not before: only then is it known to be committed.
 *
 * Losing: after a FATAL from the server PQconsumeInput succeeds once more, so the socket is read
 * until libpq says bad. Whatever was not synced is answered with LOST, in order; its fate is
 * unknown. What is lost under the caller's feet (a send that fails) is handled from the loop, so
 * that a callback never runs inside ops_pg_exec.
 *
 * A server that accepts and then says nothing would hang everything that waits: the head of the
 * queue has a deadline a little behind the server's own statement timeout.
 */
#include "common/pg/pg.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/metrics/metrics.h"
#include "common/pg/pg_internal.h"

#define PG_MAGIC 0x70676c70u

static const int64_t answer_slack_ms = 10000;

static const double duration_buckets[] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
static struct ops_metric metric_connected =
	OPS_GAUGE("ops_pg_connected", "1 while the database connection stands.");
static struct ops_metric metric_connects =
	OPS_COUNTER("ops_pg_connects_total", "Database connections made.");
static struct ops_metric metric_lost =
	OPS_COUNTER("ops_pg_connection_failures_total", "Database connections lost or not made.");
static struct ops_metric metric_units =
	OPS_COUNTER("ops_pg_units_total", "Transactions sent to the database.", "outcome");
static struct ops_metric metric_refused = OPS_COUNTER(
	"ops_pg_units_refused_total", "Transactions not taken because too many were waiting.");
static struct ops_metric metric_duration = OPS_HISTOGRAM("ops_pg_unit_duration_seconds",
	"From sending a transaction to its answer.", duration_buckets);

static void setup_send(struct ops_pg *pg);

/* ---- results ---- */

const char *ops_pg_value(const struct ops_pg_result *r, int row, int column)
{
	if (r->handle == NULL || row >= r->rows || column >= r->columns ||
		PQgetisnull(r->handle, row, column))
		return NULL;
	return PQgetvalue(r->handle, row, column);
}

size_t ops_pg_length(const struct ops_pg_result *r, int row, int column)
{
	if (r->handle == NULL || row >= r->rows || column >= r->columns)
		return 0;
	return (size_t)PQgetlength(r->handle, row, column);
}

bool ops_pg_retryable(const struct ops_pg_result *r)
{
	static const char *const classes[] = {"08", "40", "53", "55", "57", "58"};

	if (r->outcome == OPS_PG_LOST)
		return true;
	for (size_t i = 0; r->outcome == OPS_PG_FAILED && i < OPS_LENGTH(classes); i++)
		if (memcmp(r->sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

static void fill_result(const struct pg_unit *u, struct ops_pg_result *ret)
{
	*ret = (struct ops_pg_result){
		.outcome = u->failed ? OPS_PG_FAILED : OPS_PG_OK, .message = ""};
	if (u->last == NULL)
		return;
	ret->handle = u->last;
	if (u->failed) {
		const char *state = PQresultErrorField(u->last, PG_DIAG_SQLSTATE);
		const char *text = PQresultErrorField(u->last, PG_DIAG_MESSAGE_PRIMARY);
		snprintf(ret->sqlstate, sizeof(ret->sqlstate), "%s",
			state != NULL ? state : "XX000");
		ret->message = text != NULL ? text : PQresultErrorMessage(u->last);
		return;
	}
	ret->rows = PQntuples(u->last);
	ret->columns = PQnfields(u->last);
}

/* ---- units ---- */

static struct pg_unit *unit_add(
	struct ops_pg *pg, void (*fn)(void *, const struct ops_pg_result *), void *arg)
{
	struct pg_unit *u = ops_xcalloc(1, sizeof(*u));

	u->fn = fn;
	u->arg = arg;
	u->sent_ms = ops_mono_ms();
	*pg->tail = u;
	pg->tail = &u->next;
	if (pg->in_flight++ == 0)
		ops_timer_start(pg->deadline, pg->statement_timeout_ms + answer_slack_ms);
	return u;
}

static struct pg_unit *unit_take(struct ops_pg *pg)
{
	struct pg_unit *u = pg->head;

	pg->head = u->next;
	if (pg->head == NULL)
		pg->tail = &pg->head;
	pg->in_flight--;
	return u;
}

static void unit_answer(struct ops_pg *pg, struct pg_unit *u, const struct ops_pg_result *r)
{
	static const char *const outcomes[] = {"ok", "failed", "lost"};

	if (u->fn != NULL) {
		ops_metric_add(&metric_units, 1, outcomes[r->outcome]);
		ops_metric_observe(&metric_duration, (double)(ops_mono_ms() - u->sent_ms) / 1000.0);
		pg->depth++;
		u->fn(u->arg, r);
		pg->depth--;
	}
	PQclear(u->last);
	free(u);
}

static bool send_statements(struct ops_pg *pg, const struct ops_pg_statement *stmts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!PQsendQueryParams(pg->conn, stmts[i].sql, stmts[i].nparams, NULL,
			    stmts[i].params, NULL, NULL, 0))
			return false;
	return PQpipelineSync(pg->conn) == 1;
}

static void flush(struct ops_pg *pg)
{
	int left = PQflush(pg->conn);

	if (left < 0)
		pg->broken = true;
	/* Broken: wake up at once, whatever the socket does, and lose the connection there. */
	pg_watch(pg, left != 0 ? OPS_READABLE | OPS_WRITABLE : OPS_READABLE);
	if (pg->broken)
		ops_timer_start(pg->deadline, 0);
}

static void send_unit(struct ops_pg *pg, const struct ops_pg_statement *stmts, size_t n)
{
	if (!send_statements(pg, stmts, n))
		pg->broken = true;
	flush(pg);
}

int ops_pg_exec(struct ops_pg *pg, const struct ops_pg_statement *stmts, size_t n,
	void (*fn)(void *arg, const struct ops_pg_result *r), void *arg)
{
	OPS_MAGIC_CHECK(pg, PG_MAGIC);
	ops_assert(fn != NULL && n > 0);
	if (pg->state != PG_READY || pg->broken)
		return -ENOTCONN;
	if (pg->in_flight >= pg->max_in_flight) {
		ops_metric_add(&metric_refused, 1);
		return -EAGAIN;
	}
	unit_add(pg, fn, arg);
	send_unit(pg, stmts, n);
	return 0;
}

size_t ops_pg_in_flight(const struct ops_pg *pg)
{
	return pg->in_flight;
}

/* ---- reading ---- */

static void setup_done(struct ops_pg *pg, const struct ops_pg_result *r)
{
	if (r->outcome != OPS_PG_OK) {
		pg_remember_error(pg, r->message);
		pg->broken = true;
		return;
	}
	if (--pg->setup_left > 0)
		return;
	pg->state = PG_READY;
	pg->attempt = 0;
	pg->last_error[0] = '\0';
	ops_metric_add(&metric_connects, 1);
	ops_metric_set(&metric_connected, 1);
	if (pg->on_state != NULL) {
		pg->depth++;
		pg->on_state(pg->on_state_arg, true);
		pg->depth--;
	}
}

static void on_sync(struct ops_pg *pg)
{
	struct ops_pg_result result;

	if (pg->head == NULL)
		return;
	struct pg_unit *u = unit_take(pg);
	fill_result(u, &result);
	if (pg->in_flight > 0)
		ops_timer_start(pg->deadline, pg->statement_timeout_ms + answer_slack_ms);
	else
		ops_timer_stop(pg->deadline);
	if (u->fn == NULL)
		setup_done(pg, &result);
	unit_answer(pg, u, &result);
}

static void on_result(struct ops_pg *pg, PGresult *r)
{
	struct pg_unit *u = pg->head;
	ExecStatusType status = PQresultStatus(r);

	if (status == PGRES_PIPELINE_SYNC) {
		PQclear(r);
		on_sync(pg);
		return;
	}
	bool error = status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
	if (u == NULL || u->failed || status == PGRES_PIPELINE_ABORTED) {
		if (error)
			pg_remember_error(pg, PQresultErrorMessage(r)); /* the server's farewell */
		PQclear(r);
		return;
	}
	PQclear(u->last);
	u->last = r;
	u->failed = error;
}

static void read_results(struct ops_pg *pg)
{
	int nulls = 0;

	while (nulls < 2 && !pg->freed && !pg->broken && !PQisBusy(pg->conn)) {
		PGresult *r = PQgetResult(pg->conn);
		if (r == NULL) {
			nulls++;
			continue;
		}
		nulls = 0;
		on_result(pg, r);
	}
}

static void read_notifies(struct ops_pg *pg)
{
	while (!pg->freed && !pg->broken && pg->conn != NULL) {
		PGnotify *n = PQnotifies(pg->conn);
		if (n == NULL)
			return;
		if (pg->on_notify != NULL) {
			pg->depth++;
			pg->on_notify(pg->on_notify_arg, n->relname, n->extra);
			pg->depth--;
		}
		PQfreemem(n);
	}
}

static void pump(struct ops_pg *pg, unsigned what)
{
	if ((what & OPS_READABLE) != 0 && !PQconsumeInput(pg->conn)) {
		/* Results that came before the end are still answers. */
		read_results(pg);
		if (!pg->freed && pg->last_error[0] == '\0')
			pg_remember_error(pg, PQerrorMessage(pg->conn));
		pg->broken = true;
	} else {
		read_results(pg);
		read_notifies(pg);
	}
	if (pg->freed)
		return;
	if (pg->broken || PQstatus(pg->conn) == CONNECTION_BAD)
		pg_lose(pg);
	else
		flush(pg);
}

static void free_now(void *arg)
{
	free(arg);
}

void pg_on_socket(int fd, unsigned what, void *arg)
{
	struct ops_pg *pg = arg;

	(void)fd;
	OPS_MAGIC_CHECK(pg, PG_MAGIC);
	if (pg->state == PG_CONNECTING)
		pg_connect_step(pg);
	else if (pg->state >= PG_SETUP)
		pump(pg, what);
}

/* ---- making and losing ---- */

void pg_established(struct ops_pg *pg)
{
	ops_timer_stop(pg->deadline);
	pg->broken = false;
	if (PQsetnonblocking(pg->conn, 1) != 0 || PQenterPipelineMode(pg->conn) != 1) {
		pg_remember_error(pg, PQerrorMessage(pg->conn));
		pg_lose(pg);
		return;
	}
	pg->state = PG_SETUP;
	ops_watch_free(pg->watch); /* the last step may have moved to another descriptor */
	pg->watch = NULL;
	setup_send(pg);
}

static void setup_send(struct ops_pg *pg)
{
	char timeout[32];
	const char *params[] = {timeout};
	struct ops_pg_statement settings = {
		"select set_config('statement_timeout', $1, false), set_config('timezone', 'UTC', "
		"false),"
		" set_config('idle_in_transaction_session_timeout', '60s', false)",
		1, params};

	snprintf(timeout, sizeof(timeout), "%lldms", (long long)pg->statement_timeout_ms);
	pg->setup_left = 1;
	for (struct pg_setup *s = pg->setup; s != NULL; s = s->next)
		pg->setup_left++;
	unit_add(pg, NULL, NULL);
	send_unit(pg, &settings, 1);
	for (struct pg_setup *s = pg->setup; s != NULL; s = s->next) {
		struct ops_pg_statement statement = {s->sql, 0, NULL};
		unit_add(pg, NULL, NULL);
		send_unit(pg, &statement, 1);
	}
}

static void answer_all_lost(struct ops_pg *pg)
{
	const struct ops_pg_result lost = {.outcome = OPS_PG_LOST,
		.sqlstate = "08006",
		.message = "the connection to the database was lost"};

	while (pg->head != NULL)
		unit_answer(pg, unit_take(pg), &lost);
}

void pg_lose(struct ops_pg *pg)
{
	bool was_ready = pg->state == PG_READY;

	pg->state = PG_WAITING;
	pg->broken = false;
	pg_connect_drop(pg);
	ops_timer_stop(pg->deadline);
	ops_metric_add(&metric_lost, 1);
	ops_metric_set(&metric_connected, 0);
	if (pg->last_error[0] == '\0')
		pg_remember_error(pg, "the connection to the database was lost");
	answer_all_lost(pg);
	if (pg->freed)
		return;
	ops_timer_start(pg->retry, ops_backoff_ms(pg->attempt++, 100, 30000));
	if (was_ready && pg->on_state != NULL)
		pg->on_state(pg->on_state_arg, false);
}

static void on_retry(void *arg)
{
	struct ops_pg *pg = arg;

	OPS_MAGIC_CHECK(pg, PG_MAGIC);
	pg_connect_start(pg);
}

static void on_deadline(void *arg)
{
	struct ops_pg *pg = arg;

	OPS_MAGIC_CHECK(pg, PG_MAGIC);
	if (pg->state == PG_WAITING)
		return;
	if (pg->state < PG_SETUP)
		pg_remember_error(pg, "the database did not answer in time");
	else if (!pg->broken)
		pg_remember_error(pg, "a statement was not answered in time");
	pg_lose(pg);
}

struct ops_pg *ops_pg_new(struct ops_loop *loop, const struct ops_pg_config *cfg)
{
	struct ops_pg *pg = ops_xcalloc(1, sizeof(*pg));

	pg->magic = PG_MAGIC;
	pg->loop = loop;
	pg->conninfo = ops_xstrdup(cfg->conninfo);
	pg->application_name =
		ops_xstrdup(cfg->application_name != NULL ? cfg->application_name : "hms-ops");
	pg->statement_timeout_ms =
		cfg->statement_timeout_ms > 0 ? cfg->statement_timeout_ms : 30000;
	pg->max_in_flight = cfg->max_in_flight != 0 ? cfg->max_in_flight : 2000;
	pg->tail = &pg->head;
	pg->setup_tail = &pg->setup;
	pg->retry = ops_timer_new(loop, on_retry, pg);
	pg->deadline = ops_timer_new(loop, on_deadline, pg);
	pg_remember_error(pg, "not connected yet");
	ops_metric_register(&metric_connects);
	ops_metric_register(&metric_lost);
	ops_metric_set(&metric_connected, 0);
	ops_timer_start(pg->retry, 0);
	return pg;
}

void ops_pg_free(struct ops_pg *pg)
{
	if (pg == NULL)
		return;
	OPS_MAGIC_CHECK(pg, PG_MAGIC);
	pg->freed = true;
	pg->state = PG_WAITING;
	pg->on_state = NULL;
	pg->on_notify = NULL;
	answer_all_lost(pg);
	pg_connect_drop(pg);
	ops_timer_free(pg->retry);
	ops_timer_free(pg->deadline);
	while (pg->setup != NULL) {
		struct pg_setup *s = pg->setup;
		pg->setup = s->next;
		free(s->sql);
		free(s);
	}
	free(pg->conninfo);
	free(pg->application_name);
	if (pg->depth > 0)
		ops_loop_defer(pg->loop, free_now, pg);
	else
		free(pg);
}

bool ops_pg_connected(const struct ops_pg *pg)
{
	return pg->state == PG_READY && !pg->broken;
}

const char *ops_pg_last_error(const struct ops_pg *pg)
{
	return ops_pg_connected(pg) ? "" : pg->last_error;
}

void ops_pg_on_state(struct ops_pg *pg, void (*fn)(void *arg, bool connected), void *arg)
{
	pg->on_state = fn;
	pg->on_state_arg = arg;
}

void ops_pg_on_connect_sql(struct ops_pg *pg, const char *sql)
{
	struct pg_setup *s = ops_xcalloc(1, sizeof(*s));

	s->sql = ops_xstrdup(sql);
	*pg->setup_tail = s;
	pg->setup_tail = &s->next;
}

void ops_pg_on_notify(struct ops_pg *pg,
	void (*fn)(void *arg, const char *channel, const char *payload), void *arg)
{
	pg->on_notify = fn;
	pg->on_notify_arg = arg;
}
