/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reload: everything that can fail is tried first, on the side; then the audit record; then the
 * swap. A bad file changes nothing, is logged with its position, sets
 * ops_config_last_reload_successful to 0 and is on record too. The service's own reload is the last
 * step that can refuse; it swaps or changes nothing.
 */
#include "common/run/daemon.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"

static struct ops_metric reload_successful = OPS_GAUGE("ops_config_last_reload_successful",
	"1 when the last (re)load of the configuration worked.");
static struct ops_metric reload_time = OPS_GAUGE("ops_config_last_reload_success_timestamp_seconds",
	"When the configuration in force was loaded.");

static void note_success(void)
{
	ops_metric_set(&reload_successful, 1);
	ops_metric_set(&reload_time, (double)ops_now_ms() / 1000.0);
}

void ops_reload_metrics_init(void)
{
	note_success();
}

static int record(struct ops_daemon *d, const struct ops_reload_caller *by, const char *outcome,
	const char *reason)
{
	const struct ops_audit_entry e = {.actor = by->actor,
		.actor_type = by->actor_type,
		.action = "config.reload",
		.object = d->service->name,
		.reason = reason,
		.source_addr = by->source_addr,
		.trace_id = by->trace_id,
		.outcome = outcome};

	return d->audit != NULL ? ops_audit_log(d->audit, &e) : 0;
}

static int prepare(struct ops_daemon *d, struct ops_loaded **ret, struct ops_error *err)
{
	struct ops_loaded *next = NULL;
	int rc = ops_loaded_new(d->service, &d->flags, &next, err);

	if (rc != 0)
		return rc;
	const char *key = ops_conf_restart_needed(next->keys, d->loaded->config, next->config);
	if (key != NULL) {
		rc = ops_error_set_at(
			err, -EINVAL, d->flags.config, 0, 0, "a change of %s needs a restart", key);
		ops_error_hint(err, "restart %s, or set %s back", d->service->name, key);
	}
	if (rc == 0)
		rc = ops_loaded_check(d->service, next, err);
	if (rc != 0) {
		ops_loaded_free(next);
		return rc;
	}
	*ret = next;
	return 0;
}

static int swap(struct ops_daemon *d, struct ops_loaded *next, struct ops_error *err)
{
	if (d->service->reload != NULL) {
		int rc = d->service->reload(d, d->state, next->config, err);
		if (rc != 0)
			return rc;
	}
	/* Its file was checked a moment ago; should it have changed since, the old users stay and
	 * the error is told. */
	int rc = ops_http_server_reload(d->http, err);
	if (!d->flags.has_log_level)
		ops_log_set_level(next->log_level);
	struct ops_loaded *old = d->loaded;
	d->loaded = next;
	ops_loaded_free(old);
	return rc;
}

static int refused(struct ops_daemon *d, const struct ops_reload_caller *by, const char *outcome,
	int rc, struct ops_error *err)
{
	char text[1200];

	ops_error_text(err, text, sizeof(text));
	ops_metric_set(&reload_successful, 0);
	log_error("could not reload the configuration, the old one stays", F_STR("error", text),
		F_STR("actor", by->actor));
	int audit_rc = record(d, by, outcome, text);
	if (audit_rc != 0)
		log_error("could not record a refused reload", F_ERR(audit_rc));
	return rc;
}

int ops_daemon_reload_by(
	struct ops_daemon *d, const struct ops_reload_caller *by, struct ops_error *err)
{
	struct ops_loaded *next = NULL;
	int rc = prepare(d, &next, err);

	if (rc != 0)
		return refused(d, by, "refused", rc, err);
	rc = record(d, by, "success", NULL);
	if (rc != 0) {
		ops_loaded_free(next);
		rc = ops_error_set(err, rc,
			"could not make the audit record of the reload durable: %s", strerror(-rc));
		return refused(d, by, "failed", rc, err);
	}
	for (size_t i = 0; i < next->warnings.n; i++)
		log_warn("configuration", F_STR("warning", next->warnings.items[i]));
	rc = swap(d, next, err);
	if (rc != 0) {
		if (d->loaded != next)
			ops_loaded_free(next);
		return refused(d, by, "failed", rc, err);
	}
	note_success();
	log_info("configuration reloaded", F_STR("actor", by->actor),
		F_STR("file", d->flags.config));
	return 0;
}

int ops_daemon_reload(struct ops_daemon *d, struct ops_error *err)
{
	const struct ops_reload_caller self = {.actor = d->service->name, .actor_type = "service"};

	return ops_daemon_reload_by(d, &self, err);
}
