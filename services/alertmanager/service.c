/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wiring. Order of opening is the order of dependence: what must survive first (outbox, alerts,
 * silences, notification log, run log), then who acts on it (dispatcher, playbooks), then the doors
 * by which news comes in (HTTP, bus). Nothing is told before all stored alerts and silences are
 * known, so a restart sends nothing that a silence or an inhibiting alert holds back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/alertmanager/api.h"
#include "services/alertmanager/events.h"
#include "services/alertmanager/history.h"
#include "services/alertmanager/ingest.h"

enum {
	SWEEP_MS = 15000
};

static struct ops_metric alerts_gauge =
	OPS_GAUGE("alertmanager_alerts", "How many alerts by state.", "state");
static struct ops_metric silences_gauge =
	OPS_GAUGE("alertmanager_silences", "How many silences by state.", "state");
static struct ops_metric nflog_gauge =
	OPS_GAUGE("ops_alertmanager_nflog_entries", "Entries of the notification log.");
static struct ops_metric loaded_ok = OPS_GAUGE("alertmanager_config_last_reload_successful",
	"Whether the last configuration reload attempt was successful.");

/* ---- reactions ---- */

static void on_change(void *arg, struct alm_alert *a, enum alm_change change)
{
	struct alm *s = arg;

	if (s->dispatch == NULL) /* being replayed */
		return;
	alm_dispatch_alert(s->dispatch, a);
	if (change == ALM_FIRED)
		alm_playbooks_consider(s->playbooks, a);
	if (a->posted && change != ALM_UPDATED)
		alm_history_posted(s->outbox, a, change == ALM_RESOLVED);
	a->end_told = change == ALM_RESOLVED;
	if (change != ALM_UPDATED)
		log_info("alert changed", F_STR("to", change == ALM_FIRED ? "firing" : "resolved"),
			F_STR("alertname", ops_labels_get(a->labels, "alertname")),
			F_STR("fingerprint", a->id));
}

static void remember(struct alm *s, const char *id, const struct alm_outcome *o)
{
	const struct alm_notification *n = o->notification;
	struct alm_notified *slot = &s->notified[s->nnotified++ % ALM_NOTIFIED_KEPT];
	struct ops_strbuf fingerprints = OPS_STRBUF_INIT;

	alm_notified_clear(slot);
	for (size_t i = 0; i < n->n; i++)
		ops_strbuf_printf(&fingerprints, "%s%s", i > 0 ? "," : "", n->alerts[i]->id);
	memcpy(slot->id, id, sizeof slot->id);
	slot->at_ms = ops_now_ms();
	slot->duration_ms = o->duration_ms;
	slot->receiver = ops_xstrdup(n->receiver->name);
	slot->integration = ops_xstrdup(n->integration->name);
	slot->reason = ops_xstrdup(n->reason);
	slot->error = ops_xstrdup(o->error);
	slot->group_key = ops_xstrdup(n->group_key);
	slot->fingerprints = ops_strbuf_take(&fingerprints);
	slot->sent = o->sent;
	slot->code = o->code;
	slot->attempts = o->attempts;
}

static void on_outcome(void *arg, const struct alm_outcome *o)
{
	struct alm *s = arg;
	char id[37];

	ops_uuid4(id);
	remember(s, id, o);
	alm_history_notification(s->outbox, id, o);
	alm_event_notification(s, id, o);
	if (s->draining)
		alm_drain_check(s);
}

static bool on_suppressed(void *arg, const struct alm_alert *a)
{
	struct alm *s = arg;
	struct alm_suppression why;
	alm_suppression(s->dispatch, a, &why);
	return why.nsilences > 0 || why.inhibited;
}

static void on_run_started(void *arg, const struct alm_run *run)
{
	struct alm *s = arg;
	alm_history_run(s->outbox, run);
	alm_event_run(s, run);
}

static void on_run_line(
	void *arg, const struct alm_run *run, unsigned number, const char *stream, const char *line)
{
	struct alm *s = arg;
	alm_history_line(s->outbox, run->id, number, stream, line);
}

static void on_run_finished(void *arg, const struct alm_run *run)
{
	struct alm *s = arg;
	alm_history_run(s->outbox, run);
	alm_event_run(s, run);
	if (s->draining)
		alm_drain_check(s);
}

static void on_pg_state(void *arg, bool connected)
{
	struct alm *s = arg;
	if (connected)
		ops_outbox_kick(s->outbox);
}

static void on_dead_row(void *arg, const char *statement, const char *sqlstate, const char *message)
{
	(void)arg;
	log_error("PostgreSQL refuses a row of history", F_STR("statement", statement),
		F_STR("sqlstate", sqlstate), F_STR("error", message));
}

/* What its sender stopped talking about is over by time alone: nobody reports that, so it is looked
 * for. */
static void write_timeouts(struct alm *s, int64_t now_ms)
{
	struct alm_alert *a;
	for (size_t at = 0; (a = alm_alerts_next(s->alerts, &at)) != NULL;) {
		if (a->posted && !a->end_told && alm_alert_resolved(a, now_ms)) {
			alm_history_posted(s->outbox, a, true);
			a->end_told = true;
		}
	}
}

static void on_sweep(void *arg)
{
	struct alm *s = arg;
	int64_t now_ms = ops_now_ms();

	write_timeouts(s, now_ms);
	(void)alm_alerts_sweep(s->alerts, now_ms - s->settings->alert_retention_ms);
	alm_nflog_sweep(s->nflog, now_ms);
	alm_silences_sweep(s->silences, now_ms);
	ops_timer_start(s->sweeper, SWEEP_MS);
}

static void collect(void *arg)
{
	struct alm *s = arg;
	const struct alm_silence *silence;
	struct alm_alert *a;
	double states[3] = {0}, active = 0, suppressed = 0;
	int64_t now_ms = ops_now_ms();

	for (size_t at = 0; (a = alm_alerts_next(s->alerts, &at)) != NULL;) {
		if (alm_alert_resolved(a, now_ms))
			continue;
		if (on_suppressed(s, a))
			suppressed++;
		else
			active++;
	}
	for (size_t at = 0; (silence = alm_silences_next(s->silences, &at)) != NULL;)
		states[alm_silence_state(silence, now_ms)]++;
	ops_metric_set(&alerts_gauge, active, "active");
	ops_metric_set(&alerts_gauge, suppressed, "suppressed");
	for (size_t i = 0; i < OPS_LENGTH(states); i++)
		ops_metric_set(&silences_gauge, states[i],
			alm_silence_state_text((enum alm_silence_state)i));
	ops_metric_set(&nflog_gauge, (double)alm_nflog_count(s->nflog));
}

/* ---- opening ---- */

static char *state_path(struct alm *s, const char *name)
{
	return ops_path_join(ops_daemon_state_dir(s->daemon), name);
}

static int open_outbox(struct alm *s, struct ops_error *err)
{
	char *dir OPS_CLEANUP(ops_freep) = state_path(s, "outbox");
	const struct ops_outbox_config cfg = {
		.dir = dir, .statements = alm_history_statements, .on_dead = on_dead_row, .arg = s};
	struct ops_pg *pg = ops_daemon_pg(s->daemon);
	int rc = ops_outbox_open(ops_daemon_loop(s->daemon), pg, &cfg, &s->outbox, err);
	if (rc == 0 && pg != NULL)
		ops_pg_on_state(pg, on_pg_state, s);
	return rc;
}

static int open_stores(struct alm *s, struct ops_error *err)
{
	char *alerts OPS_CLEANUP(ops_freep) = state_path(s, "alerts");
	char *silences OPS_CLEANUP(ops_freep) = state_path(s, "silences");
	char *nflog OPS_CLEANUP(ops_freep) = state_path(s, "nflog");
	const struct alm_alerts_config cfg = {.dir = alerts, .on_change = on_change, .arg = s};
	int rc = alm_silences_open(silences, &s->silences, err);

	if (rc == 0)
		rc = alm_nflog_open(nflog, &s->nflog, err);
	if (rc == 0)
		rc = alm_alerts_open(&cfg, &s->alerts, err);
	return rc;
}

static int open_events(struct alm *s, struct ops_error *err)
{
	char *dir OPS_CLEANUP(ops_freep) = state_path(s, "events");
	const char *advertise = s->settings->events_replay_advertise;
	const struct ops_pub_config cfg = {.stream = "events",
		.url = s->settings->events_listen,
		.replay_url = s->settings->events_replay_listen,
		.replay_advertise = advertise != NULL && advertise[0] != '\0' ? advertise : NULL,
		.dir = dir,
		.key = ops_daemon_bus_key(s->daemon),
		.tls = ops_daemon_bus_tls(s->daemon)};
	return ops_pub_open(ops_daemon_loop(s->daemon), &cfg, &s->events, err);
}

static int open_dispatch(struct alm *s, struct ops_error *err)
{
	struct alm_config *cfg = NULL;
	s->tokens = ops_oauth2_tokens_new(ops_daemon_loop(s->daemon), ops_daemon_client(s->daemon));
	const struct alm_dispatch_config conf = {.loop = ops_daemon_loop(s->daemon),
		.client = ops_daemon_client(s->daemon),
		.tokens = s->tokens,
		.alerts = s->alerts,
		.silences = s->silences,
		.nflog = s->nflog,
		.external_url = s->external_url,
		.on_outcome = on_outcome,
		.arg = s};
	int rc = alm_config_load(s->settings->config_file, NULL, &cfg, err);
	if (rc != 0)
		return rc;
	s->dispatch = alm_dispatch_new(&conf, cfg);
	alm_config_unref(cfg);
	return 0;
}

/* Empty values are left out: a playbook's own ${NAME:-default} then works. */
static char **environment_of(const struct ops_conf_node *node)
{
	size_t n = node != NULL && node->type == OPS_CONF_MAPPING ? node->n : 0, k = 0;
	char **env = ops_xcalloc(n + 1, sizeof env[0]);

	for (size_t i = 0; i < n; i++) {
		if (node->items[i]->type == OPS_CONF_SCALAR && node->items[i]->len > 0)
			env[k++] =
				ops_xasprintf("%s=%s", node->keys[i]->text, node->items[i]->text);
	}
	return env;
}

static void environment_free(char **env)
{
	for (size_t i = 0; env != NULL && env[i] != NULL; i++)
		free(env[i]);
	free(env);
}

static struct alm_playbooks_config playbooks_config(struct alm *s, const char *state_dir)
{
	const struct alm_settings *set = s->settings;
	return (struct alm_playbooks_config){.loop = ops_daemon_loop(s->daemon),
		.dir = set->playbook_dir != NULL && set->playbook_dir[0] != '\0' ? set->playbook_dir
										 : NULL,
		.state_dir = state_dir,
		.user = set->playbook_user,
		.environment = (const char *const *)s->environment,
		.timeout_ms = set->playbook_timeout_ms,
		.cooldown_ms = set->playbook_cooldown_ms,
		.concurrency = (unsigned)set->playbook_concurrency,
		.suppressed = on_suppressed,
		.on_started = on_run_started,
		.on_line = on_run_line,
		.on_finished = on_run_finished,
		.arg = s};
}

static int open_playbooks(struct alm *s, struct ops_error *err)
{
	char *dir OPS_CLEANUP(ops_freep) = state_path(s, "playbooks");
	struct alm_alert *a;

	s->environment = environment_of(s->settings->playbook_environment);
	struct alm_playbooks_config cfg = playbooks_config(s, dir);
	int rc = alm_playbooks_open(&cfg, &s->playbooks, err);
	if (rc != 0)
		return rc;
	alm_playbooks_recover(s->playbooks);
	for (size_t at = 0; (a = alm_alerts_next(s->alerts, &at)) != NULL;) {
		if (!alm_alert_resolved(a, ops_now_ms()))
			alm_playbooks_consider(s->playbooks, a);
	}
	return 0;
}

static void on_bus_event(void *arg, enum ops_sub_event event, const char *stream, uint64_t count)
{
	(void)arg;
	if (event == OPS_SUB_GAP)
		log_info("alert stream has a gap, asking for it again", F_STR("stream", stream),
			F_UINT("count", count));
	else
		log_error("alert stream is not whole", F_STR("stream", stream),
			F_STR("what", event == OPS_SUB_LOST ? "alerts were lost for good"
							    : "it began anew"),
			F_UINT("count", count));
}

static int open_bus(struct alm *s, struct ops_error *err)
{
	static const char *const topics[] = {"alerts/"};
	char *dir OPS_CLEANUP(ops_freep) = state_path(s, "checkpoints");
	const char *url = s->settings->alerts_url, *replay = s->settings->alerts_replay_url;
	const struct ops_sub_config cfg = {.name = "ops-alertmanager",
		.url = url,
		.topics = topics,
		.ntopics = OPS_LENGTH(topics),
		.replay_url = replay != NULL && replay[0] != '\0' ? replay : NULL,
		.checkpoint_dir = dir,
		.key = ops_daemon_bus_key(s->daemon),
		.tls = ops_daemon_bus_tls(s->daemon),
		.on_message = alm_ingest_message,
		.on_event = on_bus_event,
		.arg = s};
	if (url == NULL || url[0] == '\0')
		return 0;
	return ops_sub_open(ops_daemon_loop(s->daemon), &cfg, &s->sub, err);
}

static enum ops_health bus_health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	struct alm *s = arg;
	*ret_response_ms = 0;
	if (s->sub == NULL) {
		snprintf(buf, size, "not configured: alerts come by HTTP");
		return OPS_HEALTHY;
	}
	snprintf(buf, size, "%llu alerts behind", (unsigned long long)ops_sub_lag(s->sub));
	return ops_sub_live(s->sub) ? OPS_HEALTHY : OPS_DEGRADED;
}

static enum ops_health history_health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	struct alm *s = arg;
	uint64_t waiting = ops_outbox_waiting(s->outbox);
	*ret_response_ms = 0;
	snprintf(buf, size, "%llu rows wait for PostgreSQL", (unsigned long long)waiting);
	return waiting > 1000 ? OPS_DEGRADED : OPS_HEALTHY;
}

static void stop(void *state)
{
	struct alm *s = state;

	ops_timer_free(s->sweeper);
	ops_sub_close(s->sub);
	alm_playbooks_close(s->playbooks);
	alm_dispatch_free(s->dispatch);
	ops_oauth2_tokens_free(s->tokens);
	alm_alerts_close(s->alerts);
	alm_silences_close(s->silences);
	alm_nflog_close(s->nflog);
	ops_pub_close(s->events);
	ops_outbox_close(s->outbox);
	environment_free(s->environment);
	for (size_t i = 0; i < ALM_NOTIFIED_KEPT; i++)
		alm_notified_clear(&s->notified[i]);
	free(s->external_url);
	free(s);
}

static char *external_url(const struct alm_settings *set)
{
	const char *url = set->daemon.external_url;
	if (url != NULL && url[0] != '\0')
		return ops_xstrdup(url);
	return ops_xasprintf(
		"http://%s%s", set->daemon.listen[0] == ':' ? "localhost" : "", set->daemon.listen);
}

static int start(struct ops_daemon *d, const void *config, void **ret_state, struct ops_error *err)
{
	int (*const steps[])(struct alm *, struct ops_error *) = {
		open_outbox, open_stores, open_events, open_dispatch, open_playbooks, open_bus};
	struct alm *s = ops_xcalloc(1, sizeof *s);

	s->daemon = d;
	s->settings = config;
	s->started_ms = ops_now_ms();
	s->external_url = external_url(s->settings);
	for (size_t i = 0; i < OPS_LENGTH(steps); i++) {
		int rc = steps[i](s, err);
		if (rc != 0) {
			stop(s);
			return rc;
		}
	}
	s->sweeper = ops_timer_new(ops_daemon_loop(d), on_sweep, s);
	ops_timer_start(s->sweeper, SWEEP_MS);
	ops_metrics_on_collect(collect, s);
	ops_daemon_health(d, "bus", bus_health, s);
	ops_daemon_health(d, "history", history_health, s);
	alm_api_routes(s);
	ops_daemon_set_ready(d, true, NULL);
	*ret_state = s;
	return 0;
}

/* ---- check, reload, drain ---- */

static int check_environment(const struct ops_conf_node *node, struct ops_error *err)
{
	if (node == NULL)
		return 0;
	if (node->type != OPS_CONF_MAPPING)
		return ops_conf_error(
			node, err, "playbook_environment must be a mapping of names to texts");
	for (size_t i = 0; i < node->n; i++) {
		if (!ops_label_name_classic(node->keys[i]->text, node->keys[i]->len))
			return ops_conf_error(node->keys[i], err, "\"%s\" is no name of a variable",
				node->keys[i]->text);
		if (node->items[i]->type != OPS_CONF_SCALAR)
			return ops_conf_error(
				node->items[i], err, "%s must be a text", node->keys[i]->text);
	}
	return 0;
}

static int check(const void *config, struct ops_conf_warnings *w, struct ops_error *err)
{
	const struct alm_settings *set = config;
	struct alm_config *cfg = NULL;
	int rc = check_environment(set->playbook_environment, err);

	if (rc == 0)
		rc = alm_config_load(set->config_file, w, &cfg, err);
	alm_config_unref(cfg);
	ops_metric_set(&loaded_ok, rc == 0);
	return rc;
}

static int reload(struct ops_daemon *d, void *state, const void *config, struct ops_error *err)
{
	struct alm *s = state;
	const struct alm_settings *next = config;
	struct alm_config *cfg = NULL;
	(void)d;

	int rc = alm_config_load(next->config_file, NULL, &cfg, err);
	if (rc != 0)
		return rc;
	char **old = s->environment;
	s->settings = next;
	s->environment = environment_of(next->playbook_environment);
	struct alm_playbooks_config playbooks = playbooks_config(s, NULL);
	alm_playbooks_reconfigure(s->playbooks, &playbooks);
	environment_free(old);
	alm_dispatch_reload(s->dispatch, cfg);
	alm_config_unref(cfg);
	return 0;
}

void alm_drain_check(struct alm *s)
{
	if (alm_dispatch_idle(s->dispatch) && alm_playbooks_idle(s->playbooks))
		ops_daemon_drained(s->daemon);
}

static void drain(struct ops_daemon *d, void *state)
{
	struct alm *s = state;
	(void)d;

	s->draining = true;
	ops_sub_close(s->sub);
	s->sub = NULL;
	(void)alm_dispatch_drain(s->dispatch);
	alm_drain_check(s);
}

const struct ops_service alm_service = {
	.name = "ops-alertmanager",
	.summary = "groups, silences, routes and delivers alerts; runs playbooks; speaks "
		   "Alertmanager's API v2",
	.default_listen = "127.0.0.1:9093",
	.keys = alm_settings_keys,
	.config_size = sizeof(struct alm_settings),
	.check = check,
	.start = start,
	.reload = reload,
	.drain = drain,
	.stop = stop,
};
