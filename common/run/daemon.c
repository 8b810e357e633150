/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service's life: flags, configuration, resources, start, loop, drain, stop.
 *
 * The port is bound before the service starts (a second instance fails early, routes need the
 * server), but nothing is answered before start has returned, because the loop does not turn until
 * then. One process owns a state directory: a lock on the file "lock" in it keeps a second one from
 * writing the same spools.
 *
 * At the end the callbacks that others still hold run while the service is alive: first the HTTP
 * server goes (aborts), then the client's calls are cancelled, then the service stops, then what it
 * stood on is closed.
 */
#include "common/run/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "ops_version.h"

enum {
	DRAIN_POLL_MS = 20,
	AUDIT_WAITING_DEGRADED = 1000,
};

/* ---- getters ---- */

struct ops_loop *ops_daemon_loop(struct ops_daemon *d)
{
	return d->loop;
}

struct ops_http_server *ops_daemon_http(struct ops_daemon *d)
{
	return d->http;
}

struct ops_http_client *ops_daemon_client(struct ops_daemon *d)
{
	return d->client;
}

const struct ops_bus_key *ops_daemon_bus_key(struct ops_daemon *d)
{
	return d->bus_key;
}

const struct ops_bus_tls *ops_daemon_bus_tls(struct ops_daemon *d)
{
	return d->has_bus_tls ? &d->bus_tls : NULL;
}

struct ops_audit *ops_daemon_audit(struct ops_daemon *d)
{
	return d->audit;
}

struct ops_pg *ops_daemon_pg(struct ops_daemon *d)
{
	return d->pg;
}

const char *ops_daemon_state_dir(struct ops_daemon *d)
{
	return ops_loaded_common(d->loaded)->state_dir;
}

void ops_daemon_exit_code(struct ops_daemon *d, int code)
{
	d->exit_code = code;
}

static bool is_set(const char *text)
{
	return text != NULL && *text != '\0';
}

/* ---- health of what the daemon itself opened ---- */

static enum ops_health database_health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	const struct ops_daemon *d = arg;

	*ret_response_ms = 0;
	if (ops_pg_connected(d->pg)) {
		snprintf(buf, size, "connected");
		return OPS_HEALTHY;
	}
	snprintf(buf, size, "not connected: %s", ops_pg_last_error(d->pg));
	return OPS_DEGRADED; /* history waits in the spool */
}

static enum ops_health audit_health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	const struct ops_daemon *d = arg;
	unsigned long long waiting = ops_audit_waiting(d->audit);

	*ret_response_ms = 0;
	snprintf(buf, size, "%llu records wait for delivery", waiting);
	return waiting > AUDIT_WAITING_DEGRADED ? OPS_DEGRADED : OPS_HEALTHY;
}

/* ---- resources ---- */

static int open_state_dir(struct ops_daemon *d, struct ops_error *err)
{
	const char *dir = ops_daemon_state_dir(d);
	int rc = ops_mkdir_p(dir, 0750);

	if (rc != 0)
		return ops_error_set(
			err, rc, "could not make state_dir %s: %s", dir, strerror(-rc));
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "lock");
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (d->lock_fd < 0)
		return ops_error_set(err, -errno, "could not open %s: %s", path, strerror(errno));
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	rc = ops_error_set(err, -EBUSY, "state_dir %s is in use by another process", dir);
	ops_error_hint(err, "give each instance its own state_dir");
	return rc;
}

static int open_bus(struct ops_daemon *d, struct ops_error *err)
{
	const struct ops_daemon_config *c = ops_loaded_common(d->loaded);

	d->bus_tls = (struct ops_bus_tls){
		c->bus_ca_file, c->bus_cert_file, c->bus_cert_key_file, c->bus_server_name};
	d->has_bus_tls = is_set(c->bus_ca_file) || is_set(c->bus_cert_file);
	if (!is_set(c->bus_key_file))
		return 0;
	int rc = ops_bus_key_load(c->bus_key_file, &d->bus_key, err);
	if (rc != 0)
		ops_daemon_exit_code(d, OPS_EXIT_BUS);
	return rc;
}

static int open_http(struct ops_daemon *d, struct ops_error *err)
{
	const struct ops_daemon_config *c = ops_loaded_common(d->loaded);
	const struct ops_http_config cfg = {.service = d->service->name,
		.listen = c->listen,
		.web_config_file = c->web_config_file,
		.anonymous_role = d->loaded->anonymous_role,
		.limits = {.body_bytes = (size_t)c->http_body_bytes,
			.connections = (unsigned)c->http_connections,
			.requests_per_second = (unsigned)c->requests_per_second}};

	int rc = ops_http_server_new(d->loop, &cfg, &d->http, err);
	if (rc != 0)
		return rc;
	ops_daemon_routes(d);
	d->client = ops_http_client_new(d->loop, &(const struct ops_http_client_config){0});
	return 0;
}

static int open_audit(struct ops_daemon *d, struct ops_error *err)
{
	const struct ops_daemon_config *c = ops_loaded_common(d->loaded);
	OPS_CLEANUP(ops_freep) char *dir = ops_path_join(c->state_dir, "audit");
	const struct ops_audit_config cfg = {.service = d->service->name,
		.url = is_set(c->audit_url) ? c->audit_url : NULL,
		.dir = dir,
		.key = d->bus_key,
		.tls = ops_daemon_bus_tls(d)};

	int rc = ops_audit_open(d->loop, &cfg, &d->audit, err);
	if (rc == 0)
		ops_daemon_health(d, "audit", audit_health, d);
	return rc;
}

static int open_database(struct ops_daemon *d, struct ops_error *err)
{
	const struct ops_daemon_config *c = ops_loaded_common(d->loaded);
	char *conninfo = NULL;

	if (!is_set(c->database))
		return 0;
	int rc = ops_daemon_conninfo(c, &conninfo, err);
	if (rc != 0) {
		ops_daemon_exit_code(d, OPS_EXIT_DATABASE);
		return rc;
	}
	const struct ops_pg_config cfg = {
		.conninfo = conninfo, .application_name = d->service->name};
	d->pg = ops_pg_new(d->loop, &cfg);
	explicit_bzero(conninfo, strlen(conninfo));
	free(conninfo);
	ops_daemon_health(d, "database", database_health, d);
	return 0;
}

static int open_all(struct ops_daemon *d, struct ops_error *err)
{
	int rc = open_state_dir(d, err);

	if (rc == 0)
		rc = open_bus(d, err);
	if (rc == 0)
		rc = open_http(d, err);
	if (rc == 0)
		rc = open_audit(d, err);
	if (rc == 0)
		rc = open_database(d, err);
	return rc;
}

static void close_all(struct ops_daemon *d)
{
	ops_http_server_free(d->http);
	d->http = NULL;
	ops_http_client_stop(d->client);
	ops_pg_free(d->pg);
	d->pg = NULL;
	if (d->state != NULL && d->service->stop != NULL)
		d->service->stop(d->state);
	ops_http_client_free(d->client);
	ops_audit_close(d->audit);
	ops_bus_key_free(d->bus_key);
	ops_timer_free(d->drain_poll);
	ops_timer_free(d->drain_deadline);
	ops_loop_free(d->loop);
	for (size_t i = 0; i < d->nchecks; i++)
		free(d->checks[i].name);
	free(d->checks);
	ops_closep(&d->lock_fd);
}

/* ---- signals, drain ---- */

static void on_drain_poll(void *arg)
{
	struct ops_daemon *d = arg;

	if (ops_http_server_busy(d->http) == 0)
		ops_loop_stop(d->loop);
	else
		ops_timer_start(d->drain_poll, DRAIN_POLL_MS);
}

static void on_drain_deadline(void *arg)
{
	struct ops_daemon *d = arg;

	log_warn("drain took too long, stopping with work under way",
		F_UINT("requests", ops_http_server_busy(d->http)));
	ops_loop_stop(d->loop);
}

void ops_daemon_drained(struct ops_daemon *d)
{
	if (d->drained)
		return;
	d->drained = true;
	ops_timer_start(d->drain_poll, 0);
}

static void on_terminate(int signo, void *arg)
{
	struct ops_daemon *d = arg;

	if (d->draining) {
		log_warn("stopped at once by a second signal", F_INT("signal", signo));
		ops_loop_stop(d->loop);
		return;
	}
	d->draining = true;
	log_info("draining", F_INT("signal", signo));
	ops_daemon_notify("STOPPING=1");
	ops_daemon_set_ready(d, false, "draining");
	ops_http_server_drain(d->http);
	ops_timer_start(d->drain_deadline, ops_loaded_common(d->loaded)->drain_timeout_ms);
	if (d->service->drain != NULL)
		d->service->drain(d, d->state);
	else
		ops_daemon_drained(d);
}

static void on_hangup(int signo, void *arg)
{
	struct ops_daemon *d = arg;
	struct ops_error err = {.line = 0};
	const struct ops_reload_caller by = {.actor = "SIGHUP", .actor_type = "system"};
	char state[64];

	(void)signo;
	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
		(long long)(ops_mono_ns() / 1000));
	ops_daemon_notify(state);
	if (ops_daemon_reload_by(d, &by, &err) != 0)
		ops_daemon_notify(
			"STATUS=the last reload was refused, the old configuration stays");
	ops_daemon_notify("READY=1");
}

static int catch_signals(struct ops_daemon *d, struct ops_error *err)
{
	int rc = ops_loop_on_signal(d->loop, SIGTERM, on_terminate, d);

	if (rc == 0)
		rc = ops_loop_on_signal(d->loop, SIGINT, on_terminate, d);
	if (rc == 0)
		rc = ops_loop_on_signal(d->loop, SIGHUP, on_hangup, d);
	return rc == 0 ? 0 : ops_error_set(err, rc, "could not catch signals: %s", strerror(-rc));
}

/* ---- life ---- */

static void log_warnings(const struct ops_loaded *l)
{
	for (size_t i = 0; i < l->warnings.n; i++)
		log_warn("configuration", F_STR("warning", l->warnings.items[i]));
}

static int start(struct ops_daemon *d, struct ops_error *err)
{
	d->loop = ops_loop_new();
	d->drain_poll = ops_timer_new(d->loop, on_drain_poll, d);
	d->drain_deadline = ops_timer_new(d->loop, on_drain_deadline, d);
	int rc = catch_signals(d, err);
	if (rc == 0)
		rc = open_all(d, err);
	if (rc != 0)
		return rc;
	ops_daemon_set_ready(d, true, NULL);
	return d->service->start(d, d->loaded->config, &d->state, err);
}

static int run(struct ops_daemon *d)
{
	struct ops_error err = {.line = 0};
	char text[1200];

	log_warnings(d->loaded);
	ops_reload_metrics_init();
	int rc = start(d, &err);
	if (rc != 0) {
		log_error("could not start",
			F_STR("error", ops_error_text(&err, text, sizeof(text))));
		close_all(d);
		return d->exit_code != 0 ? d->exit_code : OPS_EXIT_INTERNAL;
	}
	log_info("started", F_STR("listen", ops_loaded_common(d->loaded)->listen),
		F_INT("port", ops_http_server_port(d->http)), F_STR("version", OPS_VERSION),
		F_STR("revision", OPS_REVISION), F_STR("config", d->flags.config),
		F_INT("pid", getpid()));
	ops_daemon_notify("READY=1");
	ops_loop_run(d->loop);
	close_all(d);
	log_info("stopped", F_INT("exit_code", d->exit_code));
	return d->exit_code;
}

static int fail_config(const struct ops_service *service, const struct ops_error *err)
{
	char text[1200];

	fprintf(stderr, "%s: %s\n", service->name, ops_error_text(err, text, sizeof(text)));
	return OPS_EXIT_CONFIG;
}

static int print_check(const struct ops_service *service, const struct ops_daemon *d)
{
	for (size_t i = 0; i < d->loaded->warnings.n; i++)
		fprintf(stderr, "%s: warning: %s\n", service->name, d->loaded->warnings.items[i]);
	printf("%s: %s is valid\n", service->name, d->flags.config);
	return 0;
}

static int print_dump(const struct ops_daemon *d)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;

	ops_conf_dump(d->loaded->keys, d->loaded->config, 0, &out);
	fputs(ops_strbuf_text(&out), stdout);
	ops_strbuf_done(&out);
	return 0;
}

int ops_daemon_main(const struct ops_service *service, int argc, char **argv)
{
	struct ops_daemon d = {.service = service, .lock_fd = -1};
	struct ops_error err = {.line = 0};

	int code = ops_daemon_flags(service, argc, argv, &d.flags);
	if (code >= 0)
		return code;
	ops_log_init(service->name, d.flags.has_log_level ? d.flags.log_level : OPS_LOG_INFO);
	int rc = ops_loaded_new(service, &d.flags, &d.loaded, &err);
	if (rc == 0 && !d.flags.dump_config)
		rc = ops_loaded_check(service, d.loaded, &err);
	if (rc != 0)
		code = fail_config(service, &err);
	else if (d.flags.check)
		code = print_check(service, &d);
	else if (d.flags.dump_config)
		code = print_dump(&d);
	else {
		if (!d.flags.has_log_level)
			ops_log_set_level(d.loaded->log_level);
		code = run(&d);
	}
	ops_loaded_free(d.loaded);
	return code;
}
