/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of common/run share: the daemon, its loaded configuration, flags. Internal to
 * common/run. */
#include "common/base/arena.h"
#include "common/log/log.h"
#include "common/run/run.h"

enum {
	OPS_EXIT_USAGE = 2,
	OPS_EXIT_CONFIG = 3,
	OPS_EXIT_BUS = 4,
	OPS_EXIT_DATABASE = 5,
	OPS_EXIT_INTERNAL = 70
};

/* One loaded configuration file; everything lives in its arena. */
struct ops_loaded {
	struct ops_arena arena;
	void *config;			 /* starts with struct ops_daemon_config */
	const struct ops_conf_key *keys; /* common and own, in one table */
	const struct ops_conf_node *root;
	enum ops_role anonymous_role;
	enum ops_log_level log_level;
	struct ops_conf_warnings warnings;
};

enum {
	OPS_SERVICE_FLAGS_MAX = 16
};

struct ops_flags {
	const char *config;
	const char *values[OPS_SERVICE_FLAGS_MAX]; /* of the service's own; NULL: not given */
	bool check, dump_config;
	bool has_log_level;
	enum ops_log_level log_level;
};

struct ops_health_check {
	char *name;
	enum ops_health (*fn)(void *arg, char *buf, size_t size, double *ret_response_ms);
	void *arg;
};

struct ops_daemon {
	const struct ops_service *service;
	struct ops_flags flags;
	struct ops_loaded *loaded;
	void *state; /* the service's */
	struct ops_loop *loop;
	struct ops_http_server *http;
	struct ops_http_client *client;
	struct ops_audit *audit;
	struct ops_pg *pg;
	struct ops_bus_key *bus_key;
	struct ops_bus_tls bus_tls;
	bool has_bus_tls;
	int lock_fd; /* of the state directory */
	struct ops_health_check *checks;
	size_t nchecks, checks_cap;
	bool ready;
	char why_not[256];
	int exit_code; /* set by the service; 0 = the default for the place */
	bool draining, drained;
	struct ops_timer *drain_poll, *drain_deadline;
};

/* Who asked for a reload. */
struct ops_reload_caller {
	const char *actor, *actor_type, *source_addr, *trace_id;
};

/* daemon_flags.c: returns -1 to go on, else the exit code (usage is printed). */
int ops_daemon_flags(
	const struct ops_service *service, int argc, char **argv, struct ops_flags *ret);

/* daemon_config.c */
int ops_loaded_new(const struct ops_service *service, const struct ops_flags *flags,
	struct ops_loaded **ret, struct ops_error *err) OPS_MUST_CHECK;
/* Deeper checks: web configuration, the service's own. Changes nothing. */
int ops_loaded_check(const struct ops_service *service, struct ops_loaded *l,
	struct ops_error *err) OPS_MUST_CHECK;
void ops_loaded_free(struct ops_loaded *l);
const struct ops_daemon_config *ops_loaded_common(const struct ops_loaded *l);
/* Common and own keys in one table, in the arena. */
const struct ops_conf_key *ops_daemon_table(const struct ops_service *service, struct ops_arena *a);
/* conninfo with the password of the password file; owned, wipe and free. */
int ops_daemon_conninfo(
	const struct ops_daemon_config *c, char **ret, struct ops_error *err) OPS_MUST_CHECK;

/* daemon_reload.c */
void ops_reload_metrics_init(void);
int ops_daemon_reload_by(struct ops_daemon *d, const struct ops_reload_caller *by,
	struct ops_error *err) OPS_MUST_CHECK;

/* daemon_http.c */
void ops_daemon_routes(struct ops_daemon *d);

/* daemon_notify.c: "READY=1" ... to $NOTIFY_SOCKET; quiet when there is none. */
void ops_daemon_notify(const char *state);
