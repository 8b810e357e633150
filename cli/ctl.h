/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * opsctl: one static table entry a command, one file a group of commands. A command gets a context
 * with its flags and arguments parsed, talks to the services' HTTP doors (or PostgreSQL), prints
 * for a person or, with --json, for a script, and returns an exit code of the catalogue below.
 */
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "common/json/json.h"

enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,	  /* the service said no, or a check failed */
	CTL_USAGE = 2,	  /* the command line is wrong (freeze check: 64) */
	CTL_CONFIG = 3,	  /* a configuration file is wrong */
	CTL_FROZEN = 10,  /* freeze check: do not deploy */
	CTL_UNKNOWN = 20, /* freeze check: could not tell */
	CTL_CHECK_USAGE = 64,
	CTL_UNREACHABLE = 69, /* no answer from the service or the database */
	CTL_DENIED = 77,      /* not permitted */
};

struct ctl_flag {
	const char *name;  /* without the dashes */
	const char *value; /* name of its value in the help, NULL for a switch */
	const char *doc;
};

enum {
	CTL_FLAGS_MAX = 12,
	CTL_ARGS_MAX = 64
};

struct ctl;
struct ctl_command {
	const char *path; /* "freeze check" */
	const char *args; /* for the usage line; "" = none */
	const char *summary;
	struct ctl_flag flags[CTL_FLAGS_MAX]; /* ended by a NULL name when fewer */
	int (*run)(struct ctl *c);
};

struct ctl {
	const struct ctl_command *command;
	bool json, color;
	const char *token_file;
	const char *url; /* instead of a service's own; NULL: that */
	int64_t timeout_ms;
	const char *values[CTL_FLAGS_MAX]; /* of command->flags; "" for a switch that is set */
	const char *args[CTL_ARGS_MAX];
	int nargs;
};

/* Tables, each ended by a NULL path. */
extern const struct ctl_command ctl_alert_commands[]; /* alerts, silence *, note */
extern const struct ctl_command ctl_freeze_commands[];
extern const struct ctl_command ctl_metric_commands[]; /* targets */
extern const struct ctl_command ctl_query_commands[];  /* query * */
extern const struct ctl_command ctl_audit_commands[];  /* audit * */
extern const struct ctl_command ctl_timeline_commands[];
extern const struct ctl_command ctl_check_commands[]; /* check *, test rules */
extern const struct ctl_command ctl_tsdb_commands[];  /* tsdb * */
extern const struct ctl_command ctl_admin_commands[]; /* reload, top, db migrate, completion */
extern const struct ctl_command *const ctl_tables[];  /* all of them, NULL-terminated */
extern const struct ctl_flag ctl_globals[];	      /* flags of every command */
extern const size_t ctl_nglobals;

int ctl_run_completion(struct ctl *c); /* completion.c */
int ctl_check_metrics(struct ctl *c);  /* cmd_check_metrics.c */

/* ---- database: database.c ---- */

#define CTL_DATABASE_FLAGS                                                                         \
	{"database", "CONNINFO", "as a role that may read (default OPS_DATABASE)"},                \
	{                                                                                          \
		"password-file", "FILE", "its password (default OPS_DATABASE_PASSWORD_FILE)"       \
	}
/* CTL_OK and the connection string, or the exit code after a message. */
int ctl_database(const struct ctl *c, const char **ret_conninfo);
/* The same and the connection. */
struct ops_pg_sync;
int ctl_database_open(const struct ctl *c, struct ops_pg_sync **ret);

const char *ctl_flag(const struct ctl *c, const char *name); /* NULL when not given */
/* A flag that is a whole number from 1 to most; *inout stays when it is not given. CTL_OK, or
 * ctl_usage(). */
int ctl_flag_number(const struct ctl *c, const char *name, uint64_t most, uint64_t *inout);
/* "opsctl: ..." on stderr, returns code. */
int ctl_fail(int code, const char *fmt, ...) OPS_PRINTF(2, 3);
int ctl_fail_error(int code, const struct ops_error *err);
int ctl_usage(const struct ctl *c, const char *fmt, ...)
	OPS_PRINTF(2, 3); /* CTL_USAGE, or 64 for freeze check */

/* ---- services ---- */

enum ctl_service {
	CTL_DETECTOR,
	CTL_COLLECTOR,
	CTL_ALERTMANAGER,
	CTL_FREEZE,
	CTL_AUDITLOG,
	CTL_SERVICES
};
const char *ctl_service_name(enum ctl_service s);
bool ctl_is_service(const char *name, enum ctl_service *ret); /* cmd_check.c */
const char *ctl_service_url(enum ctl_service s); /* OPS_<NAME>_URL, or the default on loopback */

struct ctl_reply {
	int code; /* HTTP status; 0 = no answer, error says why */
	char error[256];
	struct ops_strbuf body;
	json_t *json; /* parsed body, NULL when it is none */
	int64_t duration_ms;
};
void ctl_reply_done(struct ctl_reply *r);
/* path starts with '/' and is already encoded; body may be NULL. */
void ctl_call(const struct ctl *c, enum ctl_service s, const char *method, const char *path,
	const json_t *body, struct ctl_reply *ret);
/* Same, and prints what went wrong: 0 for a 2xx, else an exit code. */
int ctl_request(const struct ctl *c, enum ctl_service s, const char *method, const char *path,
	const json_t *body, struct ctl_reply *ret);
void ctl_url_add(struct ops_strbuf *url, const char *name,
	const char *value); /* ?name=value or &..., encoded */
/* What may stand in a path without encoding: letters, digits, '-'. */
bool ctl_id_valid(const char *id);
const char *ctl_user(void); /* for the audit log: SUDO_USER, or the login name */

/* ---- programs: program.c ---- */

/* PREFIX/below when this is PREFIX/bin/opsctl and that exists, else the packaged place. Owned. */
char *ctl_installed(const char *below, const char *packaged);
/* Runs ops-SERVICE with these arguments (NULL-terminated) to its end; its exit code, or ours.
 * quiet: without its stdout. */
int ctl_run_service(enum ctl_service s, const char *const *args, bool quiet);
/* Selectors of a rule file that match nothing at url: told, and added to the list. dead_rules.c */
int ctl_dead_rules(const struct ctl *c, const char *url, const char *file, json_t *dead_list);

/* ---- output ---- */

struct ctl_table {
	size_t columns, rows, cap;
	char **cells;
};
/* Header texts end with NULL. */
void ctl_table_init(struct ctl_table *t, const char *first, ...) __attribute__((sentinel));
void ctl_table_add(
	struct ctl_table *t, const char *cell); /* NULL prints "-"; cells fill rows in order */
void ctl_table_print(struct ctl_table *t, const struct ctl *c); /* to stdout, and releases it */
void ctl_table_done(struct ctl_table *t);
void ctl_print_json(const json_t *j);
const char *ctl_text(const json_t *obj, const char *key); /* string member or "" */
/* "3m ago", "in 2h" for an RFC 3339 text; the text itself when it is none. */
void ctl_relative_time(const char *text, char *buf, size_t size);
