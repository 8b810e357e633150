/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The skeleton of every service: flags, configuration, signals, reload, drain, /metrics, health.
 * A service is a table of functions; main.c is `return ops_daemon_main(&service, argc, argv);`.
 *
 * Flags: --config FILE, --check, --dump-config, --config-reference, --log-level LEVEL, --version,
 * --help. Exit codes: 0 drained, 2 usage, 3 configuration, 4 bus, 5 database, 70 internal. HTTP:
 * GET /metrics, /-/healthy, /-/ready, /health, /version, POST /-/reload (operator; also PUT).
 * SIGHUP reloads, SIGTERM/SIGINT drain (second one stops at once). sd_notify
 * READY=1/RELOADING=1/STOPPING=1 when NOTIFY_SOCKET is set.
 */
#include "common/audit/audit.h"
#include "common/base/error.h"
#include "common/bus/bus.h"
#include "common/conf/conf.h"
#include "common/loop/loop.h"
#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "common/pg/pg.h"

/* The keys that every service has at the top of its own configuration file. First member of each
 * service's config struct. */
struct ops_daemon_config {
	const char *listen;	     /* listen */
	const char *web_config_file; /* web_config_file */
	const char *anonymous_role;  /* anonymous_role: none, viewer, operator ... default viewer */
	const char *external_url;    /* external_url */
	const char *state_dir;	     /* state_dir */
	const char *bus_key_file;    /* bus.key_file */
	const char *bus_ca_file, *bus_cert_file, *bus_cert_key_file,
		*bus_server_name; /* bus.tls.* */
	const char *audit_url;	  /* audit_url; empty = no audit log configured */
	const char *database;	  /* database: conninfo; empty = none */
	const char *database_password_file;
	const char *log_level;
	int64_t requests_per_second; /* http.requests_per_second */
	uint64_t http_body_bytes;    /* http.body_limit */
	int64_t http_connections;    /* http.connections */
	int64_t drain_timeout_ms;    /* drain_timeout */
};
/*
 * The common rows. They are joined with the service's own in one table (the struct starts with
 * struct ops_daemon_config, offset 0), so a service table lists only its own keys and may not reuse
 * a name.
 */
extern const struct ops_conf_key ops_daemon_keys[];

struct ops_daemon; /* opaque */

/* --NAME ARGUMENT of a service: the same as KEY (one level down: KEY.KEY; a list of that one text:
 * KEY[]) in its file, and wins. */
struct ops_service_flag {
	const char *name, *argument, *key, *doc;
};

struct ops_service {
	const char *name;	    /* "ops-freeze" */
	const char *summary;	    /* one line for --help */
	const char *default_listen; /* "127.0.0.1:9096" */
	const struct ops_conf_key
		*keys; /* the service's own keys beside the common ones; OPS_CONF_END */
	const struct ops_service_flag *flags; /* ends with name NULL; may be NULL */
	size_t config_size; /* of a struct that starts with struct ops_daemon_config */
	/* Deeper validation (rule files, routing tree): loads everything, changes nothing. May be
	 * NULL. */
	int (*check)(const void *config, struct ops_conf_warnings *w, struct ops_error *err);
	/* Builds the service. On failure returns -errno with err and an exit code via
	 * ops_daemon_exit_code. */
	int (*start)(
		struct ops_daemon *d, const void *config, void **ret_state, struct ops_error *err);
	/* Swap to the new configuration or change nothing. config stays valid until the next
	 * reload. May be NULL. */
	int (*reload)(struct ops_daemon *d, void *state, const void *config, struct ops_error *err);
	/* Stop taking new work; call ops_daemon_drained when idle (or NULL: at once). */
	void (*drain)(struct ops_daemon *d, void *state);
	/* Frees everything. HTTP server, pending calls and database are gone by then, their
	 * callbacks have run. */
	void (*stop)(void *state);
};

int ops_daemon_main(const struct ops_service *service, int argc, char **argv) OPS_MUST_CHECK;

struct ops_loop *ops_daemon_loop(struct ops_daemon *d);
struct ops_http_server *ops_daemon_http(struct ops_daemon *d);
struct ops_http_client *ops_daemon_client(struct ops_daemon *d);
const struct ops_bus_key *ops_daemon_bus_key(struct ops_daemon *d); /* NULL without one */
const struct ops_bus_tls *ops_daemon_bus_tls(struct ops_daemon *d);
/* The audit client, opened when audit_url or a state directory is configured; never NULL after
 * start. */
struct ops_audit *ops_daemon_audit(struct ops_daemon *d);
struct ops_pg *ops_daemon_pg(struct ops_daemon *d); /* NULL when no database is configured */
const char *ops_daemon_state_dir(struct ops_daemon *d);
void ops_daemon_drained(struct ops_daemon *d);
void ops_daemon_set_ready(struct ops_daemon *d, bool ready, const char *why_not);
void ops_daemon_exit_code(struct ops_daemon *d, int code);
/* Same work as SIGHUP; err says why not. */
int ops_daemon_reload(struct ops_daemon *d, struct ops_error *err) OPS_MUST_CHECK;

enum ops_health {
	OPS_HEALTHY,
	OPS_DEGRADED,
	OPS_UNHEALTHY
};
/* Asked on GET /health; message is written to buf. Cheap: reports what is known, does no I/O. */
void ops_daemon_health(struct ops_daemon *d, const char *dependency,
	enum ops_health (*fn)(void *arg, char *buf, size_t size, double *ret_response_ms),
	void *arg);
