/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/receive/receive.h"

#include "services/collector/receive/import_door.h"
#include "services/collector/receive/otlp.h"
#include "services/collector/receive/push.h"
#include "services/collector/receive/remote_write.h"
#include "services/collector/receive/statsd.h"

struct col_receive {
	struct col_push *push;
	struct col_statsd *statsd;
	struct col_outlet *outlet;
	struct col_door remote, import;
	struct col_otlp_door otlp;
};

#define DAY_MS ((int64_t)86400000)

#define PUSH(member_) offsetof(struct col_receive_config, push.member_)
static const struct ops_conf_key push_keys[] = {
	{.name = "enabled",
		.kind = OPS_CONF_K_BOOL,
		.offset = PUSH(enabled),
		.flags = OPS_CONF_RESTART,
		.fallback = "true",
		.doc = "Pushgateway's paths: PUT, POST, DELETE /metrics/job/NAME{/LABEL/VALUE} "
		       "(role "
		       "operator)"},
	{.name = "interval",
		.kind = OPS_CONF_K_DURATION,
		.offset = PUSH(interval_ms),
		.flags = OPS_CONF_RESTART,
		.fallback = "15s",
		.min = 1000,
		.max = 240000,
		.doc = "how often a group is published again; below the lookback of five minutes"},
	{.name = "ttl",
		.kind = OPS_CONF_K_DURATION,
		.offset = PUSH(ttl_ms),
		.flags = OPS_CONF_RESTART,
		.fallback = "0s",
		.max = 3650 * DAY_MS,
		.doc = "a group that was not pushed for so long ends; 0: never; a push may say "
		       "?ttl="},
	{.name = "max_groups",
		.kind = OPS_CONF_K_INT,
		.offset = PUSH(max_groups),
		.flags = OPS_CONF_RESTART,
		.fallback = "10000",
		.min = 1,
		.max = 1000000,
		.doc = "a push of one more group is answered with 429"},
	{.name = "max_samples",
		.kind = OPS_CONF_K_INT,
		.offset = PUSH(max_samples),
		.flags = OPS_CONF_RESTART,
		.fallback = "50000",
		.min = 1,
		.max = OPS_LAYOUT_MAX_SERIES,
		.doc = "samples in one push; more are answered with 429"},
	OPS_CONF_END,
};

#define STATSD(member_) offsetof(struct col_receive_config, statsd.member_)
static const struct ops_conf_key statsd_keys[] = {
	{.name = "listen_udp",
		.kind = OPS_CONF_K_STRING,
		.offset = STATSD(listen_udp),
		.flags = OPS_CONF_RESTART,
		.doc = "address:port for datagrams, usually 127.0.0.1:8125; the protocol has no "
		       "authentication; empty: closed"},
	{.name = "listen_tcp",
		.kind = OPS_CONF_K_STRING,
		.offset = STATSD(listen_tcp),
		.flags = OPS_CONF_RESTART,
		.doc = "address:port for lines over TCP; empty: closed"},
	{.name = "mapping_file",
		.kind = OPS_CONF_K_PATH,
		.offset = STATSD(mapping_file),
		.doc = "statsd_exporter's mapping file; read again on reload"},
	{.name = "interval",
		.kind = OPS_CONF_K_DURATION,
		.offset = STATSD(interval_ms),
		.flags = OPS_CONF_RESTART,
		.fallback = "10s",
		.min = 100,
		.max = 240000,
		.doc = "how often the sums are published"},
	{.name = "ttl",
		.kind = OPS_CONF_K_DURATION,
		.offset = STATSD(ttl_ms),
		.flags = OPS_CONF_RESTART,
		.fallback = "1h",
		.max = 3650 * DAY_MS,
		.doc = "a series that was not heard for so long ends, where the mapping does not "
		       "say; "
		       "0: never"},
	{.name = "max_series",
		.kind = OPS_CONF_K_INT,
		.offset = STATSD(max_series),
		.flags = OPS_CONF_RESTART,
		.fallback = "100000",
		.min = 1,
		.max = OPS_LAYOUT_MAX_SERIES,
		.doc = "lines that would make more series are refused and counted"},
	{.name = "max_set_members",
		.kind = OPS_CONF_K_INT,
		.offset = STATSD(max_set_members),
		.flags = OPS_CONF_RESTART,
		.fallback = "10000",
		.min = 1,
		.max = 10000000,
		.doc = "different members that a set counts in an interval"},
	OPS_CONF_END,
};

#define OTLP(member_) offsetof(struct col_receive_config, otlp.member_)
static const struct ops_conf_key otlp_keys[] = {
	{.name = "enabled",
		.kind = OPS_CONF_K_BOOL,
		.offset = OTLP(enabled),
		.flags = OPS_CONF_RESTART,
		.fallback = "true",
		.doc = "OTLP/HTTP: POST /v1/metrics and /api/v1/otlp/v1/metrics (role operator)"},
	{.name = "max_delta_series",
		.kind = OPS_CONF_K_INT,
		.offset = OTLP(max_delta_series),
		.flags = OPS_CONF_RESTART,
		.fallback = "100000",
		.min = 1,
		.max = 100000000,
		.doc = "series of delta temporality that are added up; points of more are "
		       "rejected"},
	{.name = "delta_ttl",
		.kind = OPS_CONF_K_DURATION,
		.offset = OTLP(delta_ttl_ms),
		.flags = OPS_CONF_RESTART,
		.fallback = "1h",
		.min = 1000,
		.max = 3650 * DAY_MS,
		.doc = "a sum that was not heard for so long is forgotten"},
	OPS_CONF_END,
};

const struct ops_conf_key col_receive_keys[] = {
	{.name = "remote_write",
		.kind = OPS_CONF_K_BOOL,
		.offset = offsetof(struct col_receive_config, remote_write),
		.flags = OPS_CONF_RESTART,
		.fallback = "true",
		.doc = "Prometheus' remote write 1.0 and 2.0: POST /api/v1/write (role operator)"},
	{.name = "import",
		.kind = OPS_CONF_K_BOOL,
		.offset = offsetof(struct col_receive_config, import),
		.flags = OPS_CONF_RESTART,
		.fallback = "true",
		.doc = "samples as exposition text with their own times: POST "
		       "/api/v1/import/prometheus (role operator)"},
	{.name = "otlp",
		.kind = OPS_CONF_K_MAPPING,
		.offset = 0,
		.sub = otlp_keys,
		.doc = "for OpenTelemetry's SDKs and collectors"},
	{.name = "samples_per_second",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct col_receive_config, samples_per_second),
		.flags = OPS_CONF_RESTART,
		.fallback = "0",
		.max = 1000000000,
		.doc = "remote write, import and OTLP together; more are answered with 429; 0: no "
		       "limit"},
	{.name = "max_series",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct col_receive_config, max_series),
		.flags = OPS_CONF_RESTART,
		.fallback = "1000000",
		.max = 1000000000,
		.doc = "different series within an hour, remote write, import and OTLP together; "
		       "new ones "
		       "above are refused; 0: no limit"},
	{.name = "push",
		.kind = OPS_CONF_K_MAPPING,
		.offset = 0,
		.sub = push_keys,
		.doc = "for jobs that end before a scrape would come"},
	{.name = "statsd",
		.kind = OPS_CONF_K_MAPPING,
		.offset = 0,
		.sub = statsd_keys,
		.doc = "for programs that send a datagram per event"},
	OPS_CONF_END,
};

static bool given(const char *s)
{
	return s != NULL && s[0] != '\0';
}

static int open_push(const struct col_receive_world *w, const struct col_receive_config *cfg,
	struct col_receive *r, struct ops_error *err)
{
	const struct col_push_config push = {.state_dir = w->state_dir,
		.interval_ms = cfg->push.interval_ms,
		.ttl_ms = cfg->push.ttl_ms,
		.max_groups = cfg->push.max_groups,
		.max_samples = cfg->push.max_samples,
		.self = w->instance,
		.client = w->client,
		.key = w->key,
		.owns = w->owns,
		.members = w->members,
		.arg = w->arg};
	int rc = col_push_open(w->loop, w->publisher, &push, &r->push, err);
	if (rc == 0) {
		col_push_register(r->push, w->http);
	}
	return rc;
}

static int open_statsd(const struct col_receive_world *w, const struct col_receive_config *cfg,
	struct col_receive *r, struct ops_error *err)
{
	const struct col_statsd_config statsd = {.listen_udp = cfg->statsd.listen_udp,
		.listen_tcp = cfg->statsd.listen_tcp,
		.mapping_file = cfg->statsd.mapping_file,
		.instance = w->instance,
		.interval_ms = cfg->statsd.interval_ms,
		.limits = {.series = (size_t)cfg->statsd.max_series,
			.set_members = (size_t)cfg->statsd.max_set_members,
			.ttl_ms = cfg->statsd.ttl_ms}};
	return col_statsd_open(w->loop, w->publisher, &statsd, &r->statsd, err);
}

static void open_forwarding(const struct col_receive_world *w, const struct col_receive_config *cfg,
	struct col_receive *r)
{
	const struct col_outlet_limits limits = {
		.samples_per_second = cfg->samples_per_second, .series = cfg->max_series};
	r->outlet = col_outlet_new(w->publisher, &limits);
	if (cfg->remote_write) {
		r->remote = (struct col_door){r->outlet, w->heard, w->arg, "remote_write"};
		col_remote_register(&r->remote, w->http);
	}
	if (cfg->import) {
		r->import = (struct col_door){r->outlet, w->heard, w->arg, "import"};
		col_import_register(&r->import, w->http);
	}
	if (cfg->otlp.enabled) {
		const struct col_otlp_limits otlp = {
			.delta_series = (size_t)cfg->otlp.max_delta_series,
			.delta_ttl_ms = cfg->otlp.delta_ttl_ms};
		r->otlp = (struct col_otlp_door){.outlet = r->outlet,
			.series = col_otlp_series_new(&otlp),
			.heard = w->heard,
			.arg = w->arg};
		col_otlp_register(&r->otlp, w->http);
	}
}

int col_receive_open(const struct col_receive_world *world, const struct col_receive_config *cfg,
	struct col_receive **ret, struct ops_error *err)
{
	struct col_receive *r = ops_xcalloc(1, sizeof(*r));
	int rc = cfg->push.enabled ? open_push(world, cfg, r, err) : 0;
	if (rc == 0 && (given(cfg->statsd.listen_udp) || given(cfg->statsd.listen_tcp))) {
		rc = open_statsd(world, cfg, r, err);
	}
	if (rc != 0) {
		col_receive_close(r);
		return rc;
	}
	open_forwarding(world, cfg, r);
	*ret = r;
	return 0;
}

void col_receive_close(struct col_receive *r)
{
	if (r == NULL) {
		return;
	}
	col_push_close(r->push);
	col_statsd_close(r->statsd);
	col_otlp_series_free(r->otlp.series);
	col_outlet_free(r->outlet);
	free(r);
}

int col_receive_reload(
	struct col_receive *r, const struct col_receive_config *cfg, struct ops_error *err)
{
	return r->statsd != NULL ? col_statsd_reload(r->statsd, cfg->statsd.mapping_file, err) : 0;
}

int col_receive_check(const struct col_receive_config *cfg, struct ops_conf_warnings *warnings,
	struct ops_error *err)
{
	struct col_statsd_mapping *mapping = NULL;
	int r = col_statsd_mapping_load(cfg->statsd.mapping_file, warnings, &mapping, err);
	if (r == 0) {
		col_statsd_mapping_free(mapping);
	}
	return r;
}
