/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver and the outbox against a real server: OPS_TEST_DATABASE is the conninfo of a database
 * in which this may create tables (tests/integration/test_pg.py gives it one). Skipped without.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/pg/migrate.h"
#include "common/pg/outbox.h"
#include "common/pg/pg.h"
#include "common/pg/pg_sync.h"
#include "common/base/test_tempdir.h"

struct world {
	struct ops_loop *loop;
	struct ops_pg *pg;
	struct ops_timer *limit;
	int connects, losses;
	int answers, ok, failed, lost;
	int stop_at; /* answers */
	char value[4096], sqlstate[6], note[64];
	int rows;
};

static const char *conninfo;

static void on_limit(void *arg)
{
	(void)arg;
	fail_msg("not within the time limit");
}

static void on_state(void *arg, bool connected)
{
	struct world *w = arg;

	if (connected)
		w->connects++;
	else
		w->losses++;
	ops_loop_stop(w->loop);
}

static void on_answer(void *arg, const struct ops_pg_result *r)
{
	struct world *w = arg;
	const char *value = ops_pg_value(r, 0, 0);

	w->answers++;
	w->ok += r->outcome == OPS_PG_OK;
	w->failed += r->outcome == OPS_PG_FAILED;
	w->lost += r->outcome == OPS_PG_LOST;
	w->rows = r->rows;
	snprintf(w->value, sizeof(w->value), "%s", value != NULL ? value : "(null)");
	memcpy(w->sqlstate, r->sqlstate, sizeof(w->sqlstate));
	if (w->answers >= w->stop_at)
		ops_loop_stop(w->loop);
}

static int setup(void **state)
{
	struct world *w = ops_xcalloc(1, sizeof(*w));
	const struct ops_pg_config cfg = {
		.conninfo = conninfo, .application_name = "test_pg", .max_in_flight = 500};

	w->loop = ops_loop_new();
	w->limit = ops_timer_new(w->loop, on_limit, w);
	ops_timer_start(w->limit, 20000);
	w->pg = ops_pg_new(w->loop, &cfg);
	ops_pg_on_state(w->pg, on_state, w);
	ops_loop_run(w->loop);
	*state = w;
	return w->connects == 1 ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;

	ops_pg_free(w->pg);
	ops_timer_free(w->limit);
	ops_loop_free(w->loop);
	free(w);
	return 0;
}

static void send(struct world *w, const char *sql)
{
	const struct ops_pg_statement s = {sql, 0, NULL};

	assert_int_equal(ops_pg_exec(w->pg, &s, 1, on_answer, w), 0);
}

static const char *ask(struct world *w, const char *sql)
{
	w->stop_at = w->answers + 1;
	send(w, sql);
	ops_loop_run(w->loop);
	return w->value;
}

static void test_values(void **state)
{
	struct world *w = *state;
	const char *params[] = {"h\xc3\xa9", NULL};
	const struct ops_pg_statement s = {"select $1::text || coalesce($2, '!')", 2, params};

	assert_string_equal(ask(w, "select 42"), "42");
	assert_string_equal(ask(w, "select null::int"), "(null)");
	assert_string_equal(ask(w, "show statement_timeout"), "30s");
	assert_string_equal(ask(w, "show timezone"), "UTC");
	w->stop_at = w->answers + 1;
	assert_int_equal(ops_pg_exec(w->pg, &s, 1, on_answer, w), 0);
	ops_loop_run(w->loop);
	assert_string_equal(w->value, "h\xc3\xa9!");
	assert_string_equal(ask(w, "select count(*) from generate_series(1, 200000) g"), "200000");
	ask(w, "select repeat('x', 1000) from generate_series(1, 5000)");
	assert_int_equal(w->rows, 5000);
}

static void test_unit_is_a_transaction(void **state)
{
	struct world *w = *state;
	const struct ops_pg_statement unit[] = {{"insert into t_unit values (1)", 0, NULL},
		{"select 1 / 0", 0, NULL}, {"select 7", 0, NULL}};

	ask(w, "drop table if exists t_unit");
	ask(w, "create table t_unit (a int)");
	w->stop_at = w->answers + 2;
	assert_int_equal(ops_pg_exec(w->pg, unit, 3, on_answer, w), 0);
	send(w, "select 5"); /* the next unit is not touched by the error */
	ops_loop_run(w->loop);
	assert_int_equal(w->failed, 1);
	assert_string_equal(w->value, "5");
	assert_string_equal(ask(w, "select count(*) from t_unit"), "0");
	ask(w, "selekt");
	assert_string_equal(w->sqlstate, "42601");
}

static void test_bound_and_order(void **state)
{
	struct world *w = *state;
	const struct ops_pg_statement s = {"select 1", 0, NULL};
	int taken = 0;

	while (ops_pg_exec(w->pg, &s, 1, on_answer, w) == 0)
		taken++;
	assert_int_equal(taken, 500);
	assert_int_equal(ops_pg_in_flight(w->pg), 500);
	w->stop_at = 500;
	ops_loop_run(w->loop);
	assert_int_equal(w->ok, 500);
	assert_int_equal(ops_pg_in_flight(w->pg), 0);
}

static void test_lost_and_back(void **state)
{
	struct world *w = *state;

	w->stop_at = 1000;
	send(w, "select pg_sleep(10)");
	send(w, "select 1");
	send(w, "select pg_terminate_backend(pg_backend_pid())");
	/* Another session ends ours while it sleeps. */
	struct ops_pg_sync *other = NULL;
	struct ops_error err;
	const struct ops_pg_query end = {
		.sql = "select pg_terminate_backend(pid) from pg_stat_activity where "
		       "application_name = 'test_pg'"};
	assert_int_equal(ops_pg_sync_open(conninfo, &other, &err), 0);
	assert_int_equal(ops_pg_sync_query(other, &end, &err), 0);
	ops_pg_sync_close(other);
	ops_loop_run(w->loop);
	assert_int_equal(w->losses, 1);
	assert_int_equal(w->lost, 3);
	assert_false(ops_pg_connected(w->pg));
	assert_string_not_equal(ops_pg_last_error(w->pg), "");
	const struct ops_pg_statement s = {"select 1", 0, NULL};
	assert_int_equal(ops_pg_exec(w->pg, &s, 1, on_answer, w), -ENOTCONN);
	ops_loop_run(w->loop);
	assert_int_equal(w->connects, 2);
	assert_string_equal(ask(w, "select 3"), "3");
}

static void on_notify(void *arg, const char *channel, const char *payload)
{
	struct world *w = arg;

	snprintf(w->note, sizeof(w->note), "%s:%s", channel, payload);
	ops_loop_stop(w->loop);
}

static void test_notify(void **state)
{
	struct world *w = *state;

	ops_pg_on_notify(w->pg, on_notify, w);
	ask(w, "listen here");
	w->stop_at = 1000;
	send(w, "notify here, 'now'");
	while (w->note[0] == '\0')
		ops_loop_run(w->loop);
	assert_string_equal(w->note, "here:now");
}

static void free_inside(void *arg, const struct ops_pg_result *r)
{
	struct world *w = arg;

	if (r->outcome == OPS_PG_OK) {
		ops_pg_free(w->pg);
		w->pg = NULL;
		ops_loop_stop(w->loop);
	} else {
		w->lost++;
	}
}

static void test_freed_from_inside_a_callback(void **state)
{
	struct world *w = *state;
	const struct ops_pg_statement s = {"select 1", 0, NULL};

	for (int i = 0; i < 3; i++)
		assert_int_equal(ops_pg_exec(w->pg, &s, 1, free_inside, w), 0);
	ops_loop_run(w->loop);
	assert_int_equal(w->lost, 2);
}

static const struct ops_outbox_statement statements[] = {
	{"put", "insert into t_outbox values ($1, $2) on conflict do nothing", 2},
	{NULL, NULL, 0},
};

static int dead;

static void on_dead(void *arg, const char *statement, const char *sqlstate, const char *message)
{
	(void)arg;
	(void)message;
	assert_string_equal(statement, "put");
	assert_string_equal(sqlstate, "22P02");
	dead++;
}

static void test_outbox(void **state)
{
	struct world *w = *state;
	char *dir = tempdir_make(), number[16];
	const char *params[] = {number, NULL};
	struct ops_outbox *o = NULL;
	struct ops_error err;
	struct ops_strbuf dead_rows = OPS_STRBUF_INIT;

	const struct ops_outbox_config cfg = {
		.dir = dir, .statements = statements, .on_dead = on_dead};
	ask(w, "drop table if exists t_outbox");
	ask(w, "create table t_outbox (a int primary key, b text)");
	assert_int_equal(ops_outbox_open(w->loop, w->pg, &cfg, &o, &err), 0);
	for (int i = 1; i <= 1000; i++) {
		snprintf(number, sizeof(number), i == 500 ? "bad %d" : "%d", i);
		assert_int_equal(ops_outbox_put(o, "put", params, 2), 0);
	}
	assert_int_equal(ops_outbox_waiting(o), 1000);
	for (int i = 0; i < 400 && ops_outbox_waiting(o) > 0; i++)
		ask(w, "select pg_sleep(0.01)");
	assert_int_equal(ops_outbox_waiting(o), 0);
	assert_string_equal(ask(w, "select count(*) || ' ' || sum(a) from t_outbox"), "999 500000");
	assert_int_equal(dead, 1);
	ops_outbox_close(o);
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "dead/rows.jsonl");
	assert_int_equal(ops_file_read(path, 10000, &dead_rows), 0);
	assert_non_null(strstr(ops_strbuf_text(&dead_rows), "\"params\":[\"bad 500\",null]"));
	ops_strbuf_done(&dead_rows);
	tempdir_remove(dir);
}

static int count_row(void *arg, const struct ops_pg_row *row)
{
	int *n = arg;

	assert_string_equal(ops_pg_row_name(row, 0), "g");
	return ++*n == 10 ? 77 : 0;
}

static void test_sync_stops_early(void **state)
{
	struct ops_pg_sync *s = NULL;
	struct ops_error err;
	int n = 0;
	const struct ops_pg_query many = {.sql = "select g from generate_series(1, 10000000) g",
		.on_row = count_row,
		.arg = &n};
	const struct ops_pg_query wrong = {.sql = "select 1,\n  nothing"};

	(void)state;
	assert_int_equal(ops_pg_sync_open(conninfo, &s, &err), 0);
	assert_int_equal(ops_pg_sync_query(s, &many, &err), 77);
	assert_int_equal(n, 10);
	assert_int_equal(ops_pg_sync_query(s, &wrong, &err), -EINVAL);
	assert_int_equal(err.line, 2);
	assert_int_equal(err.column, 3);
	ops_pg_sync_close(s);
	assert_int_equal(ops_pg_sync_open("host=/nowhere password=secret", &s, &err), -ENOTCONN);
	assert_null(strstr(err.message, "secret"));
	assert_int_equal(ops_pg_sync_open("password=secret nonsense", &s, &err), -ENOTCONN);
	assert_null(strstr(err.message, "nonsense"));
}

/* ---- migrations ---- */

static void write_file(const char *dir, const char *name, const char *text)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, name);

	assert_int_equal(ops_file_write_atomic(path, text, strlen(text), 0644), 0);
}

struct steps {
	int applied, pending;
};

static void on_step(void *arg, const struct ops_migration *m)
{
	struct steps *s = arg;

	if (m->applied)
		s->applied++;
	else
		s->pending++;
}

static int migrate(const char *dir, bool dry_run, struct steps *s, struct ops_error *err)
{
	*s = (struct steps){0};
	return ops_migrate(conninfo, dir, dry_run, on_step, s, err);
}

/* The database has deploy/sql applied; this works on a schema_migrations of its own. */
static void test_migrations(void **state)
{
	char *dir = tempdir_make();
	struct ops_error err;
	struct ops_pg_sync *s = NULL;
	struct steps n;

	(void)state;
	assert_int_equal(ops_pg_sync_open(conninfo, &s, &err), 0);
	assert_int_equal(
		ops_pg_sync_script(s, "DROP TABLE IF EXISTS ops.schema_migrations", &err), 0);
	assert_int_equal(migrate(dir, false, &n, &err), -EINVAL);
	write_file(dir, "0001_one.sql", "CREATE TABLE t_one (a int);");
	write_file(dir, "0002_two.sql", "CREATE TABLE t_two (a int);\nSELECT\n  nothing;");
	write_file(dir, "notes.txt", "not a migration");
	assert_int_equal(migrate(dir, true, &n, &err), 0);
	assert_int_equal(n.pending, 2);
	/* The first stands, the second is undone whole and says where. */
	assert_int_equal(migrate(dir, false, &n, &err), -EINVAL);
	assert_non_null(strstr(err.file, "0002_two.sql"));
	assert_int_equal(err.line, 3);
	assert_int_equal(err.column, 3);
	write_file(dir, "0002_two.sql", "CREATE TABLE t_two (a int);");
	assert_int_equal(migrate(dir, false, &n, &err), 0);
	assert_int_equal(n.applied, 1);
	assert_int_equal(n.pending, 1);
	assert_int_equal(migrate(dir, false, &n, &err), 0);
	assert_int_equal(n.applied, 2);

	write_file(dir, "0003_three.sql", "CREATE TABLE t_three (a int); COMMIT;");
	assert_int_equal(migrate(dir, false, &n, &err), -EINVAL);
	assert_non_null(strstr(err.message, "COMMIT"));
	write_file(dir, "0003_three.sql", "SELECT 1");
	write_file(dir, "0001_one.sql", "CREATE TABLE t_one (a text);");
	assert_int_equal(migrate(dir, false, &n, &err), -EINVAL);
	assert_non_null(strstr(err.message, "changed after it was applied"));
	write_file(dir, "0001_one.sql", "CREATE TABLE t_one (a int);");
	write_file(dir, "0005_five.sql", "SELECT 1");
	assert_int_equal(migrate(dir, false, &n, &err), -EINVAL);
	assert_non_null(strstr(err.message, "without gaps"));
	tempdir_remove(dir);
	dir = tempdir_make();
	write_file(dir, "0001_one.sql", "CREATE TABLE t_one (a int);");
	assert_int_equal(migrate(dir, false, &n, &err), -EINVAL);
	assert_non_null(strstr(err.message, "0002_two.sql"));
	tempdir_remove(dir);
	ops_pg_sync_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unit_is_a_transaction, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bound_and_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notify, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_from_inside_a_callback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outbox, setup, teardown),
		cmocka_unit_test(test_sync_stops_early),
		cmocka_unit_test(test_migrations),
	};

	conninfo = getenv("OPS_TEST_DATABASE");
	if (conninfo == NULL) {
		fprintf(stderr, "skipped: OPS_TEST_DATABASE is not set\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
