/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline: an incident as a story, from SQL. A fingerprint comes back as often as its alert does;
 * what is shown is its latest occurrence, which begins with the first transition after the last one
 * that had been resolved before. What follows the resolve (thaw, deploy) belongs to it until the
 * next.
 */
#include "cli/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/pg/pg_sync.h"

/* $1 fingerprint, $2 whether all occurrences are asked for. */
static const char story[] =
	"WITH step AS (SELECT at, detail->>'status' = 'resolved' AS resolved"
	"              FROM ops.timeline WHERE incident = $1 AND kind = 'alert'),"
	" ended AS (SELECT at FROM step WHERE resolved AND at < (SELECT max(at) FROM step WHERE "
	"NOT resolved)),"
	" latest AS (SELECT CASE WHEN $2 THEN '-infinity' ELSE"
	"              coalesce(min(at), '-infinity') END AS since, (SELECT count(*) FROM ended) "
	"AS earlier"
	"            FROM step WHERE at > (SELECT coalesce(max(at), '-infinity') FROM ended))"
	"SELECT to_char(t.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS at,"
	" kind, actor, what, latest.earlier"
	" FROM ops.timeline t, latest WHERE incident = $1 AND t.at >= latest.since ORDER BY t.at, "
	"kind";

enum {
	EARLIER_COLUMN = 4
};

struct timeline {
	struct ctl_table table;
	json_t *rows;
	char earlier[24]; /* occurrences before the one that is shown */
};

static int timeline_row(void *arg, const struct ops_pg_row *row)
{
	struct timeline *t = arg;
	json_t *one = json_object();
	for (int i = 0; i < EARLIER_COLUMN; i++) {
		ops_json_set_string(one, ops_pg_row_name(row, i), ops_pg_row_value(row, i));
		ctl_table_add(&t->table, ops_pg_row_value(row, i));
	}
	json_array_append_new(t->rows, one);
	snprintf(t->earlier, sizeof(t->earlier), "%s", ops_pg_row_value(row, EARLIER_COLUMN));
	return 0;
}

static void print_timeline(const struct ctl *c, struct timeline *t, bool all)
{
	if (c->json) {
		ctl_print_json(t->rows);
		return;
	}
	ctl_table_print(&t->table, c);
	if (!all && strcmp(t->earlier, "0") != 0) {
		fprintf(stderr, "It had happened before, %s time%s: opsctl timeline --all %s\n",
			t->earlier, strcmp(t->earlier, "1") == 0 ? "" : "s", c->args[0]);
	}
}

static int run_timeline(struct ctl *c)
{
	if (c->nargs != 1) {
		return ctl_usage(c, "which incident? The fingerprint stands in `opsctl alerts`");
	}
	OPS_CLEANUP(ops_pg_sync_closep) struct ops_pg_sync *db = NULL;
	struct ops_error err;
	int code = ctl_database_open(c, &db);
	if (code != CTL_OK) {
		return code;
	}
	bool all = ctl_flag(c, "all") != NULL;
	const char *const params[] = {c->args[0], all ? "true" : "false"};
	struct timeline t = {.rows = json_array(), .earlier = "0"};
	ctl_table_init(&t.table, "AT", "KIND", "ACTOR", "WHAT", NULL);
	const struct ops_pg_query q = {
		.sql = story, .nparams = 2, .params = params, .on_row = timeline_row, .arg = &t};
	int rc = ops_pg_sync_query(db, &q, &err);
	if (rc == 0) {
		print_timeline(c, &t, all);
	}
	ctl_table_done(&t.table);
	json_decref(t.rows);
	return rc == 0 ? CTL_OK : ctl_fail_error(CTL_FAILED, &err);
}

const struct ctl_command ctl_timeline_commands[] = {
	{"timeline", "[--all] FINGERPRINT", "one incident, from first breach to deploy",
		{CTL_DATABASE_FLAGS,
			{"all", NULL, "every time that it happened, not the latest only"}},
		run_timeline},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
