/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wiring: configuration -> discovery -> targets -> scrapes -> bus. Everything that may change
 * what is scraped (reload, a file_sd file, the member list) ends in one of two calls: rebuild()
 * makes the targets anew and lets scraping keep what is the same, rebalance only asks again whose
 * they are.
 */
#include "services/collector/service.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

static struct ops_metric pool_targets = OPS_GAUGE("prometheus_target_scrape_pool_targets",
	"Targets of a job, whoever scrapes them.", "scrape_job");
static struct ops_metric targets_gauge =
	OPS_GAUGE("ops_collector_targets", "Targets that this collector scrapes.");
static struct ops_metric dropped_gauge =
	OPS_GAUGE("ops_collector_targets_dropped", "Targets that relabelling dropped.");

static bool owns(void *arg, uint64_t target_hash, size_t replicas)
{
	struct col_service *s = arg;
	return s->members != NULL && col_members_owns(s->members, target_hash, replicas);
}

static void count_pools(const struct col_config *config, const struct col_targets *t)
{
	for (size_t i = 0; i < config->njobs; i++) {
		ops_metric_set(&pool_targets, (double)t->counts[i].targets, config->jobs[i].name);
	}
	ops_metric_set(&dropped_gauge, (double)t->dropped_total);
}

static void rebuild(struct col_service *s)
{
	struct col_targets next;
	col_targets_build(s->scrape_config, s->discovery, &next);
	count_pools(s->scrape_config, &next);
	col_scraping_apply(&s->scraping, &next);
	col_targets_done(&s->dropped);
	s->dropped = next;
}

static void on_discovered(void *arg)
{
	struct col_service *s = arg;
	log_debug("targets found or gone");
	rebuild(s);
}

static void on_members(void *arg)
{
	struct col_service *s = arg;
	if (s->members != NULL) {
		col_scraping_rebalance(&s->scraping);
	}
}

static void announce(void *arg)
{
	struct col_service *s = arg;
	col_publish_member(s->publisher);
}

static void collect_gauges(void *arg)
{
	struct col_service *s = arg;
	ops_metric_set(&targets_gauge, (double)s->scraping.owned);
	if (s->discovery != NULL) { /* not while it stops */
		col_discovery_count(s->discovery, s->scrape_config);
	}
}

/* ---- start and stop ---- */

static void service_free(struct col_service *s)
{
	if (s->scraping.scrapers != NULL) {
		col_scraping_done(&s->scraping);
	}
	col_puller_free(s->puller);
	ops_oauth2_tokens_free(s->tokens);
	col_receive_close(s->receive);
	col_members_close(s->members);
	col_publisher_close(s->publisher);
	col_targets_done(&s->dropped);
	col_discovery_free(s->discovery);
	col_config_free(s->scrape_config);
	free(s->instance);
	free(s->url);
	free(s);
}

/*
 * Unique, because two collectors on one host have two ports, and the same after a restart, so that
 * the others need not share anew.
 */
static char *instance_name(struct ops_daemon *d, const struct col_service_config *c)
{
	if (c->instance != NULL && c->instance[0] != '\0') {
		return ops_xstrdup(c->instance);
	}
	char host[128] = "collector";
	if (gethostname(host, sizeof(host) - 1) != 0) {
		snprintf(host, sizeof(host), "collector");
	}
	return ops_xasprintf("%s:%u", host, ops_http_server_port(ops_daemon_http(d)));
}

/* Where other members and opsctl find our HTTP doors: as we listen, with our name for a wildcard.
 */
static char *own_url(struct ops_daemon *d, const struct col_service_config *c)
{
	if (c->advertise_url != NULL && c->advertise_url[0] != '\0') {
		return ops_xstrdup(c->advertise_url);
	}
	char host[128] = "localhost";
	const char *listen = c->daemon.listen, *colon = strrchr(listen, ':');
	size_t len = colon != NULL ? (size_t)(colon - listen) : strlen(listen);
	OPS_CLEANUP(ops_freep) char *given = ops_xstrndup(listen, len);
	bool any = len == 0 || strcmp(given, "0.0.0.0") == 0 || strcmp(given, "[::]") == 0;
	if (any && gethostname(host, sizeof(host) - 1) != 0) {
		snprintf(host, sizeof(host), "localhost");
	}
	return ops_xasprintf(
		"http://%s:%u", any ? host : given, ops_http_server_port(ops_daemon_http(d)));
}

static int open_bus(struct col_service *s, struct ops_error *err)
{
	struct ops_daemon *d = s->daemon;
	const struct col_service_config *c = s->config;
	const char *state = c->daemon.state_dir;
	bool on_disk = c->ring_disk_bytes > 0 && state != NULL && state[0] != '\0';
	OPS_CLEANUP(ops_freep) char *dir = on_disk ? ops_path_join(state, "ring") : NULL;
	const struct col_publisher_config pub = {.instance = s->instance,
		.samples_url = c->samples_url,
		.replay_listen = c->replay_listen,
		.replay_advertise = c->replay_advertise,
		.url = s->url,
		.ring_bytes = c->ring_bytes,
		.overflow_dir = dir,
		.overflow_bytes = c->ring_disk_bytes,
		.heartbeat_ms = c->heartbeat_ms,
		.key = ops_daemon_bus_key(d),
		.tls = ops_daemon_bus_tls(d)};
	int r = col_publisher_open(ops_daemon_loop(d), &pub, &s->publisher, err);
	if (r != 0) {
		return r;
	}
	s->puller = col_puller_new(ops_daemon_loop(d));
	s->tokens = ops_oauth2_tokens_new(ops_daemon_loop(d), ops_daemon_client(d));
	const struct col_scraping_config scraping = {.loop = ops_daemon_loop(d),
		.fetch = {.puller = s->puller, .client = ops_daemon_client(d), .tokens = s->tokens},
		.publisher = s->publisher,
		.owns = owns,
		.arg = s};
	col_scraping_init(&s->scraping, &scraping);
	const struct col_members_config members = {.url = c->members_url,
		.self = s->instance,
		.heartbeat_ms = c->heartbeat_ms,
		.key = ops_daemon_bus_key(d),
		.tls = ops_daemon_bus_tls(d),
		.on_change = on_members,
		.announce = announce,
		.arg = s};
	return col_members_open(ops_daemon_loop(d), &members, &s->members, err);
}

static void log_warnings(const struct ops_conf_warnings *w)
{
	for (size_t i = 0; i < w->n; i++) {
		log_warn("configuration", F_STR("note", w->items[i]));
	}
}

static int read_features(const struct ops_conf_strings *names, unsigned *ret, struct ops_error *err)
{
	static const struct {
		const char *name;
		unsigned feature;
	} known[] = {{"extra-scrape-metrics", COL_FEATURE_EXTRA_SCRAPE_METRICS}};
	*ret = 0;
	for (size_t i = 0; i < names->n; i++) {
		unsigned feature = 0;
		for (size_t k = 0; k < OPS_LENGTH(known); k++) {
			feature |=
				ops_str_eq(known[k].name, names->items[i]) ? known[k].feature : 0;
		}
		if (feature == 0) {
			return ops_error_set(err, -EINVAL,
				"enable_features: there is no feature '%s'", names->items[i]);
		}
		*ret |= feature;
	}
	return 0;
}

static int load_scrape_config(const struct col_service_config *c, struct ops_conf_warnings *w,
	struct col_config **ret, struct ops_error *err)
{
	unsigned features = 0;
	int r = read_features(&c->features, &features, err);
	return r != 0 ? r : col_config_load(c->scrape_config_file, features, w, ret, err);
}

static int load_and_log(
	const struct col_service_config *c, struct col_config **ret, struct ops_error *err)
{
	struct ops_arena a;
	ops_arena_init(&a);
	struct ops_conf_warnings warnings = {.arena = &a};
	int r = load_scrape_config(c, &warnings, ret, err);
	log_warnings(&warnings);
	ops_arena_done(&a);
	return r;
}

static enum ops_health bus_health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	struct col_service *s = arg;
	static const char *const texts[] = {"waiting for the member list",
		"no member list heard: scraping all targets", "sharing targets"};
	enum col_share share = col_members_share(s->members);
	bool wanted = s->config->members_url != NULL && s->config->members_url[0] != '\0';
	*ret_response_ms = 0;
	snprintf(buf, size, "%s (%zu members)", texts[share], col_members_count(s->members));
	return share == COL_SHARE_ALL && wanted ? OPS_DEGRADED : OPS_HEALTHY;
}

/* Without a member list nobody tells: then the ring is trusted. */
static bool detector_heard(void *arg)
{
	const struct col_service *s = arg;
	const char *url = s->config->members_url;
	return url == NULL || url[0] == '\0' || col_members_share(s->members) == COL_SHARE_HASHED;
}

static bool owns_group(void *arg, uint64_t hash)
{
	return owns(arg, hash, 1);
}

static const struct ops_members *members_list(void *arg)
{
	const struct col_service *s = arg;
	return col_members_list(s->members);
}

static int open_doors(struct col_service *s, struct ops_error *err)
{
	const struct col_receive_world world = {.loop = ops_daemon_loop(s->daemon),
		.http = ops_daemon_http(s->daemon),
		.publisher = s->publisher,
		.instance = s->instance,
		.state_dir = s->config->daemon.state_dir,
		.client = ops_daemon_client(s->daemon),
		.key = ops_daemon_bus_key(s->daemon),
		.heard = detector_heard,
		.owns = owns_group,
		.members = members_list,
		.arg = s};
	return col_receive_open(&world, &s->config->receive, &s->receive, err);
}

static void start_discovery(struct col_service *s)
{
	const struct col_discovery_config cfg = {.loop = ops_daemon_loop(s->daemon),
		.client = ops_daemon_client(s->daemon),
		.tokens = s->tokens,
		.on_change = on_discovered,
		.arg = s};
	s->discovery = col_discovery_new(&cfg);
	col_discovery_apply(s->discovery, s->scrape_config);
}

/*
 * Messages of some hundred kilobytes are made and freed many times a second: handing their memory
 * back to the kernel each time would cost as much as reading the bodies.
 */
static void keep_memory(void)
{
#if defined(M_TRIM_THRESHOLD) && defined(M_MMAP_THRESHOLD)
	(void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 16 << 20);
#endif
}

static int start(struct ops_daemon *d, const void *config, void **ret_state, struct ops_error *err)
{
	struct col_service *s = ops_xcalloc(1, sizeof(*s));
	keep_memory();
	s->daemon = d;
	s->config = config;
	s->instance = instance_name(d, s->config);
	s->url = own_url(d, s->config);
	int r = load_and_log(s->config, &s->scrape_config, err);
	if (r != 0) {
		ops_daemon_exit_code(d, 3);
		service_free(s);
		return r;
	}
	r = open_bus(s, err);
	if (r != 0) {
		ops_daemon_exit_code(d, 4);
		service_free(s);
		return r;
	}
	r = open_doors(s, err);
	if (r != 0) {
		ops_daemon_exit_code(d, 3);
		service_free(s);
		return r;
	}
	ops_metric_register(&targets_gauge);
	ops_metric_register(&dropped_gauge);
	ops_metrics_on_collect(collect_gauges, s);
	ops_daemon_health(d, "bus", bus_health, s);
	start_discovery(s);
	rebuild(s);
	col_api_register(s, ops_daemon_http(d));
	log_info("collector started", F_STR("instance", s->instance),
		F_UINT("jobs", s->scrape_config->njobs));
	ops_daemon_set_ready(d, true, NULL);
	*ret_state = s;
	return 0;
}

static int reload(struct ops_daemon *d, void *state, const void *config, struct ops_error *err)
{
	(void)d;
	struct col_service *s = state;
	struct col_config *next = NULL;
	int r = load_and_log(config, &next, err);
	if (r != 0) {
		return r;
	}
	r = col_receive_reload(
		s->receive, &((const struct col_service_config *)config)->receive, err);
	if (r != 0) {
		col_config_free(next);
		return r;
	}
	struct col_config *old = s->scrape_config;
	s->config = config;
	s->scrape_config = next;
	col_discovery_apply(s->discovery, next);
	rebuild(s);
	col_config_free(old);
	return 0;
}

static int check(const void *config, struct ops_conf_warnings *w, struct ops_error *err)
{
	const struct col_service_config *c = config;
	struct col_config *loaded = NULL;
	int r = load_scrape_config(c, w, &loaded, err);
	if (r == 0) {
		col_config_free(loaded);
		r = col_receive_check(&c->receive, w, err);
	}
	return r;
}

static void drain(struct ops_daemon *d, void *state)
{
	struct col_service *s = state;
	col_discovery_free(s->discovery);
	s->discovery = NULL;
	col_scraping_stop(&s->scraping);
	ops_daemon_drained(d);
}

static void stop(void *state)
{
	service_free(state);
}

#define KEY(name_, kind_, member, flags_, fallback_, doc_)                                         \
	{                                                                                          \
		.name = (name_), .kind = (kind_),                                                  \
		.offset = offsetof(struct col_service_config, member), .flags = (flags_),          \
		.fallback = (fallback_), .doc = (doc_)                                             \
	}

static const struct ops_conf_key keys[] = {
	KEY("scrape_config_file", OPS_CONF_K_PATH, scrape_config_file, 0, NULL,
		"Prometheus' configuration file: global and scrape_configs are used"),
	KEY("samples_url", OPS_CONF_K_STRING, samples_url, OPS_CONF_RESTART, "tcp://127.0.0.1:7401",
		"the detector's door for samples"),
	KEY("members_url", OPS_CONF_K_STRING, members_url, OPS_CONF_RESTART, "tcp://127.0.0.1:7402",
		"where the list of live collectors comes from; empty = scrape everything"),
	KEY("replay_listen", OPS_CONF_K_STRING, replay_listen, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7501", "where the detector asks for samples it has missed"),
	KEY("replay_advertise", OPS_CONF_K_STRING, replay_advertise, OPS_CONF_RESTART, NULL,
		"what the detector dials for that, when it is another address"),
	KEY("instance", OPS_CONF_K_STRING, instance, OPS_CONF_RESTART, NULL,
		"unique name among the collectors; default: host name and port"),
	KEY("advertise_url", OPS_CONF_K_STRING, advertise_url, OPS_CONF_RESTART, NULL,
		"URL of this collector for the others and opsctl; default: http:// with the "
		"address "
		"of listen, "
		"or the host name when that is a wildcard"),
	{.name = "ring_size",
		.kind = OPS_CONF_K_SIZE,
		.offset = offsetof(struct col_service_config, ring_bytes),
		.flags = OPS_CONF_RESTART,
		.fallback = "64MiB",
		.min = 1 << 20,
		.max = (int64_t)1 << 40,
		.doc = "memory for samples that the detector may ask for again"},
	{.name = "ring_disk_size",
		.kind = OPS_CONF_K_SIZE,
		.offset = offsetof(struct col_service_config, ring_disk_bytes),
		.flags = OPS_CONF_RESTART,
		.fallback = "1GiB",
		.max = (int64_t)1 << 42,
		.doc = "disk in state_dir for samples that the memory cannot hold while the "
		       "detector is away; 0 = they are dropped"},
	{.name = "heartbeat_interval",
		.kind = OPS_CONF_K_DURATION,
		.offset = offsetof(struct col_service_config, heartbeat_ms),
		.flags = OPS_CONF_RESTART,
		.fallback = "1s",
		.min = 50,
		.max = 60000,
		.doc = "how often this collector announces itself"},
	KEY("enable_features", OPS_CONF_K_STRINGS, features, 0, NULL, "extra-scrape-metrics"),
	{.name = "receive",
		.kind = OPS_CONF_K_MAPPING,
		.offset = offsetof(struct col_service_config, receive),
		.sub = col_receive_keys,
		.doc = "what comes in without being asked for"},
	OPS_CONF_END,
};

const struct ops_service col_service_table = {
	.name = "ops-collector",
	.summary = "finds targets, scrapes them, publishes sample batches",
	.default_listen = "127.0.0.1:9091",
	.keys = keys,
	.config_size = sizeof(struct col_service_config),
	.check = check,
	.start = start,
	.reload = reload,
	.drain = drain,
	.stop = stop,
};
