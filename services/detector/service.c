/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order of start: the alert stream first (transitions need somewhere to go), then the store, which
 * is opened on a thread while the loop says how far it is, then rules with their restored alerts,
 * then the samples door. Stop runs backwards.
 */
#include "services/detector/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/msg/msg.h"
#include "services/detector/api/api.h"
#include "services/detector/config.h"
#include "services/detector/ingest.h"
#include "services/detector/remote/datasource.h"
#include "services/detector/remote/remote.h"
#include "services/detector/storage.h"

enum {
	DRAIN_POLL_MS = 20
};

static struct ops_metric firing_gauge =
	OPS_GAUGE("ops_detector_alerts_firing", "Alerts firing now.");
static struct ops_metric replicated_gauge = OPS_GAUGE("ops_detector_targets_replicated",
	"Targets that two collectors or more send now; one of them is stored.");
static struct ops_metric dead_gauge =
	OPS_GAUGE("ops_detector_rules_dead", "Rules with a selector that matches no series.");
static struct ops_metric store_series = OPS_GAUGE("ops_detector_series", "Series in the store.");
static struct ops_metric store_bytes =
	OPS_GAUGE("ops_detector_store_bytes", "Memory of the store.");

struct detector {
	struct ops_daemon *daemon;
	const struct det_config *config;
	struct ops_pub *alerts;
	struct det_storage *storage;
	struct det_store *store; /* the storage's */
	struct det_engine_options engine;
	struct det_rules *rules;
	struct det_remote *remote;
	struct ops_timer *drain_poll;
	struct ops_arena datasource_arena;
	struct det_datasource_settings datasource_settings;
	struct det_datasource *datasource;
	struct det_ingest *ingest;
	struct det_api *api;
	char *state_file;
	unsigned promql_features;
	bool start_storage;
	struct ops_labels *external_labels;
};

/* ---- alerts out ---- */

static int publish_alert(void *arg, const struct ops_alert *alert, const char *event_id)
{
	struct detector *d = arg;
	char fingerprint[17];
	ops_fingerprint_text(alert->fingerprint, fingerprint);
	struct ops_event e = {.source = "ops-detector",
		.type = "ops.alert",
		.subject = fingerprint,
		.id = event_id,
		.data = ops_alert_to_json(alert)};
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf payload = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf topic = OPS_STRBUF_INIT;
	ops_event_encode(&e, &payload);
	ops_alert_topic(alert, &topic);
	return ops_pub_send(d->alerts, topic.data, payload.data, payload.len, NULL);
}

static void begin_alerts(void *arg)
{
	struct detector *d = arg;
	ops_pub_cork(d->alerts);
}

static int end_alerts(void *arg)
{
	struct detector *d = arg;
	return ops_pub_uncork(d->alerts);
}

static bool caught_up(void *arg)
{
	const struct detector *d = arg;
	return d->ingest != NULL && det_ingest_live(d->ingest);
}

static int open_alerts(struct detector *d, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *dir = ops_path_join(ops_daemon_state_dir(d->daemon), "alerts");
	const struct ops_pub_config cfg = {.stream = "alerts",
		.url = d->config->alerts_listen,
		.replay_url = d->config->alerts_replay_listen,
		.replay_advertise = d->config->alerts_replay_advertise,
		.dir = dir,
		.key = ops_daemon_bus_key(d->daemon),
		.tls = ops_daemon_bus_tls(d->daemon)};
	int rc = ops_pub_open(ops_daemon_loop(d->daemon), &cfg, &d->alerts, err);
	if (rc != 0) {
		ops_daemon_exit_code(d->daemon, 4);
	}
	return rc;
}

/* ---- store, rules, samples in ---- */

static void apply_limits(struct detector *d)
{
	const struct det_config *c = d->config;
	d->engine.lookback_ms = c->lookback_ms;
	d->engine.timeout_ms = c->query_timeout_ms;
	d->engine.max_samples = (uint64_t)OPS_MAX(c->query_max_samples, 1);
}

/* Rules and destinations: both are read before either takes effect. */
static int load_sources(struct detector *d, const struct det_config *config,
	struct ops_conf_warnings *warnings, struct ops_error *err)
{
	struct det_rule_sources sources;
	struct det_remote_config *remote = NULL;
	int rc = det_rule_sources_load(config, &sources, warnings, err);
	if (rc != 0) {
		return rc;
	}
	rc = det_remote_config_load(
		config->scrape_config_file, sources.external_labels, warnings, &remote, err);
	if (rc == 0) {
		rc = det_rules_load(d->rules, &sources.set, warnings, err);
	}
	if (rc == 0) {
		d->engine.default_step_ms = sources.set.interval_ms;
		d->promql_features = sources.set.promql_features;
		d->engine.use_start_timestamps =
			(d->promql_features & OPS_PROMQL_START_TIMESTAMPS) != 0;
		d->start_storage = sources.start_storage;
		ops_labels_unref(d->external_labels);
		d->external_labels = ops_labels_ref(sources.external_labels);
		rc = det_remote_apply(d->remote, remote, err);
	}
	det_remote_config_unref(remote);
	det_rule_sources_done(&sources);
	return rc;
}

static int load_rules(struct detector *d, const struct det_config *config, struct ops_error *err)
{
	struct ops_arena arena;
	ops_arena_init(&arena);
	struct ops_conf_warnings warnings = {.arena = &arena};
	int rc = load_sources(d, config, &warnings, err);
	for (size_t i = 0; i < warnings.n; i++) {
		log_warn("configuration", F_STR("warning", warnings.items[i]));
	}
	ops_arena_done(&arena);
	return rc;
}

/* Before the rules, which write to the store at once. */
static int open_remote(struct detector *d, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *dir = ops_path_join(ops_daemon_state_dir(d->daemon), "remote");
	apply_limits(d);
	const struct det_remote_setup setup = {.loop = ops_daemon_loop(d->daemon),
		.client = ops_daemon_client(d->daemon),
		.store = d->store,
		.dir = dir,
		.queue_max_bytes = d->config->remote_write_queue_bytes,
		.store_forgets = true}; /* the last second, when it is killed */
	return det_remote_open(&setup, &d->remote, err);
}

/* Again at each reload: what it points to goes with the configuration, its values stay. */
static int load_datasource(
	struct detector *d, const struct det_config *config, struct ops_error *err)
{
	struct ops_arena arena;
	ops_arena_init(&arena);
	struct det_datasource_settings settings;
	int rc = det_datasource_load(&arena, config->datasource, &settings, NULL, err);
	if (rc != 0) {
		ops_arena_done(&arena);
		return rc;
	}
	ops_arena_done(&d->datasource_arena);
	d->datasource_arena = arena;
	d->datasource_settings = settings;
	return 0;
}

static int open_datasource(struct detector *d, struct ops_error *err)
{
	int rc = load_datasource(d, d->config, err);
	if (rc != 0) {
		ops_daemon_exit_code(d->daemon, 3);
	} else if (d->datasource_settings.url != NULL) {
		d->datasource = det_datasource_new(ops_daemon_loop(d->daemon),
			ops_daemon_client(d->daemon), &d->datasource_settings);
	}
	return rc;
}

static int open_rules(struct detector *d, struct ops_error *err)
{
	d->state_file = ops_path_join(ops_daemon_state_dir(d->daemon), "rules.json");
	const struct det_rules_config cfg = {.loop = ops_daemon_loop(d->daemon),
		.store = d->store,
		.engine = &d->engine,
		.state_file = d->state_file,
		.source = det_datasource_source(d->datasource),
		.publish = publish_alert,
		.begin = begin_alerts,
		.end = end_alerts,
		.caught_up = caught_up,
		.arg = d};
	int rc = det_rules_new(&cfg, &d->rules, err);
	if (rc == 0) {
		rc = load_rules(d, d->config, err);
	}
	if (rc == -EINVAL) {
		ops_daemon_exit_code(d->daemon, 3);
	}
	return rc;
}

static void on_exemplar(void *arg, const struct ops_exemplar *e)
{
	const struct detector *d = arg;
	if (d->api != NULL) {
		det_api_add_exemplar(d->api, e);
	}
}

static int receive(void *arg, const struct ops_strbuf *message, struct ops_error *err)
{
	const struct detector *d = arg;
	struct det_received got; /* what was refused is counted by the store */
	return det_api_receive(d->api, "collector", OPS_REMOTE_2, message, &got, err);
}

static int open_ingest(struct detector *d, struct ops_error *err)
{
	/* It goes with the store that it belongs to. */
	OPS_CLEANUP(ops_freep)
	char *checkpoint = ops_path_join(ops_daemon_state_dir(d->daemon), "tsdb/ingest");
	const struct det_ingest_config cfg = {.loop = ops_daemon_loop(d->daemon),
		.store = d->store,
		.alerts = d->alerts,
		.listen = d->config->samples_listen,
		.checkpoint_dir = checkpoint,
		.heartbeat_ms = d->config->heartbeat_ms,
		.key = ops_daemon_bus_key(d->daemon),
		.tls = ops_daemon_bus_tls(d->daemon),
		.on_exemplar = on_exemplar,
		.receive = receive,
		.arg = d};
	int rc = det_ingest_open(&cfg, &d->ingest, err);
	if (rc != 0) {
		ops_daemon_exit_code(d->daemon, 4);
	}
	return rc;
}

/* ---- health and metrics ---- */

static enum ops_health collectors_health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	const struct detector *d = arg;
	size_t n = det_ingest_members(d->ingest);
	uint64_t lag = det_ingest_lag(d->ingest);
	*ret_response_ms = 0;
	snprintf(buf, size, "%zu collectors, %llu records behind", n, (unsigned long long)lag);
	return n > 0 ? OPS_HEALTHY : OPS_DEGRADED;
}

static void collect(void *arg)
{
	const struct detector *d = arg;
	struct det_store_stats stats;
	det_store_stats(d->store, &stats);
	ops_metric_set(&firing_gauge, (double)det_rules_firing(d->rules));
	if (d->ingest != NULL) {
		ops_metric_set(&replicated_gauge, (double)det_ingest_replicated(d->ingest));
	}
	ops_metric_set(&dead_gauge, (double)det_rules_dead(d->rules));
	ops_metric_set(&store_series, (double)stats.series);
	ops_metric_set(&store_bytes, (double)stats.memory_bytes);
}

/* ---- what the API tells of the configuration ---- */

static void config_yaml(void *arg, struct ops_strbuf *out)
{
	const struct detector *d = arg;
	ops_conf_dump(ops_daemon_keys, d->config, 0, out);
	ops_conf_dump(det_config_keys, d->config, 0, out);
}

static void config_flags(void *arg, json_t *out)
{
	const struct detector *d = arg;
	det_config_flags(d->config, out);
}

static struct ops_labels *external_labels(void *arg)
{
	const struct detector *d = arg;
	return d->external_labels;
}

/* ---- life ---- */

static void stop(void *state)
{
	struct detector *d = state;
	det_api_free(d->api); /* its threads read the store */
	det_ingest_close(d->ingest);
	det_rules_free(d->rules);
	det_datasource_free(d->datasource);
	ops_arena_done(&d->datasource_arena);
	ops_timer_free(d->drain_poll);
	det_remote_close(d->remote);
	det_storage_close(d->storage);
	ops_pub_close(d->alerts);
	ops_labels_unref(d->external_labels);
	free(d->state_file);
	free(d);
}

static void on_members(struct ops_http_req *req, void *arg)
{
	const struct detector *d = arg;
	json_t *reply = json_object(), *data = json_object();
	ops_json_set(data, "members", det_ingest_members_json(d->ingest));
	ops_json_set_string(reply, "status", "success");
	ops_json_set(reply, "data", data);
	ops_http_reply_json(req, 200, reply);
}

/* To the destinations of remote_write. */
static void pass_exemplar(void *arg, const struct ops_exemplar *e)
{
	const struct detector *d = arg;
	det_remote_exemplar(d->remote, e);
}

static void open_api(struct detector *d)
{
	const struct det_api_config api = {.loop = ops_daemon_loop(d->daemon),
		.workers = (unsigned)d->config->query_concurrency,
		.store = d->store,
		.options = &d->engine,
		.enable_admin = d->config->enable_admin_api,
		.enable_lifecycle = d->config->enable_lifecycle,
		.audit = ops_daemon_audit(d->daemon),
		.exemplars_max = (size_t)d->config->exemplars_max,
		.promql_features = &d->promql_features,
		.start_storage = &d->start_storage,
		.retention_ms = d->config->retention_ms,
		.config_yaml = config_yaml,
		.flags = config_flags,
		.external_labels = external_labels,
		.on_exemplar = pass_exemplar,
		.arg = d};
	d->api = det_api_register(ops_daemon_http(d->daemon), &api);
	det_rules_api(d->rules, ops_daemon_http(d->daemon));
	ops_http_route(ops_daemon_http(d->daemon), OPS_GET, "/api/v1/members", OPS_ROLE_VIEWER,
		on_members, d);
	ops_daemon_health(d->daemon, "collectors", collectors_health, d);
	ops_metrics_on_collect(collect, d);
	ops_daemon_set_ready(d->daemon, true, NULL);
}

/* A start that fails after all: what is wrong is said, the loop ends. */
static void give_up(struct detector *d, const struct ops_error *err)
{
	char text[1200];
	log_error("could not start", F_STR("error", ops_error_text(err, text, sizeof(text))));
	ops_loop_stop(ops_daemon_loop(d->daemon));
}

static void on_store_open(void *arg, int rc, const struct ops_error *failure)
{
	struct detector *d = arg;
	struct ops_error err = *failure;
	d->store = det_storage_store(d->storage);
	if (rc != 0) {
		ops_daemon_exit_code(d->daemon, 70);
	}
	if (rc == 0) {
		det_store_maintain(d->store, ops_now_ms()); /* what is old goes at once */
	}
	rc = rc == 0 ? open_remote(d, &err) : rc;
	rc = rc == 0 ? open_datasource(d, &err) : rc;
	rc = rc == 0 ? open_rules(d, &err) : rc;
	rc = rc == 0 ? open_ingest(d, &err) : rc;
	if (rc != 0) {
		give_up(d, &err);
		return;
	}
	open_api(d);
}

static int open_storage(struct detector *d, struct ops_error *err)
{
	const struct det_storage_config cfg = {
		.daemon = d->daemon, .config = d->config, .on_open = on_store_open, .arg = d};
	ops_daemon_set_ready(d->daemon, false, "opening the store");
	det_api_opening(ops_daemon_http(d->daemon));
	return det_storage_open(&cfg, &d->storage, err);
}

static int start(
	struct ops_daemon *daemon, const void *config, void **ret_state, struct ops_error *err)
{
	struct detector *d = ops_xcalloc(1, sizeof(*d));
	d->daemon = daemon;
	d->config = config;
	int rc = open_alerts(d, err);
	rc = rc == 0 ? open_storage(d, err) : rc;
	if (rc != 0) {
		stop(d);
		return rc;
	}
	*ret_state = d;
	return 0;
}

static int reload(struct ops_daemon *daemon, void *state, const void *config, struct ops_error *err)
{
	(void)daemon;
	struct detector *d = state;
	if (d->rules == NULL) {
		return ops_error_set(err, -EAGAIN, "the store is still being opened");
	}
	int rc = load_rules(d, config, err);
	if (rc == 0) {
		rc = load_datasource(d, config, err);
	}
	if (rc == 0) {
		d->config = config;
		apply_limits(d);
		det_storage_configure(d->storage, config);
	}
	return rc;
}

static void on_drain_poll(void *arg)
{
	struct detector *d = arg;
	if (d->remote == NULL || det_remote_drained(d->remote)) {
		ops_daemon_drained(d->daemon);
	} else {
		ops_timer_start(d->drain_poll, DRAIN_POLL_MS);
	}
}

/* What remote write has begun to send is answered first, so that nothing of it is sent again. */
static void drain(struct ops_daemon *daemon, void *state)
{
	struct detector *d = state;
	d->drain_poll = ops_timer_new(ops_daemon_loop(daemon), on_drain_poll, d);
	ops_timer_start(d->drain_poll, 0);
}

static int check(const void *config, struct ops_conf_warnings *warnings, struct ops_error *err)
{
	const struct det_config *c = config;
	struct det_rule_sources sources;
	struct det_datasource_settings datasource;
	uint64_t memory;
	struct ops_arena arena;
	int rc = det_memory_max(c->memory_max, &memory, err);
	if (rc != 0) {
		return rc;
	}
	ops_arena_init(&arena);
	rc = det_datasource_load(&arena, c->datasource, &datasource, warnings, err);
	ops_arena_done(&arena);
	if (rc == 0) {
		rc = det_rule_sources_load(config, &sources, warnings, err);
	}
	if (rc == 0) {
		struct det_remote_config *remote = NULL;
		rc = det_remote_config_load(
			c->scrape_config_file, sources.external_labels, warnings, &remote, err);
		det_remote_config_unref(remote);
		if (rc == 0) {
			rc = det_rules_check(&sources.set, warnings, err);
		}
		det_rule_sources_done(&sources);
	}
	return rc;
}

static const struct ops_service_flag flags[] = {
	{"datasource", "URL", "datasource.url", "who evaluates the rules instead of our engine"},
	{"rule-shard", "I/N", "rule_shard", "this detector's share of the rule groups"},
	{"enable-feature", "LIST", "enable_features[]", "PromQL's experiments, by commas"},
	{"rules.eval", "WHEN", "rules_eval", "arrival or interval"},
	{"memory.max", "SIZE", "memory_max", "no new series above it"},
	{NULL, NULL, NULL, NULL},
};

const struct ops_service det_service_table = {
	.name = "ops-detector",
	.summary = "stores samples, answers PromQL, evaluates rules, publishes alerts",
	.default_listen = "127.0.0.1:9090",
	.keys = det_config_keys,
	.flags = flags,
	.config_size = sizeof(struct det_config),
	.check = check,
	.start = start,
	.reload = reload,
	.drain = drain,
	.stop = stop,
};
