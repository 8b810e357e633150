/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/status: what Grafana and promtool ask to know whom they talk to. The version reported
 * is that of the language and API we follow; ours is beside it.
 */
#include "services/detector/api/api.h"

#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "services/detector/api/job.h"
#include "services/detector/store/blocks.h"

#include "ops_version.h"

#define API_VERSION "3.0.0" /* of Prometheus, whose API this is */
#define TOP 10u

void det_api_buildinfo(struct ops_http_req *req, void *arg)
{
	(void)arg;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_printf(&out,
		"{\"version\":\"" API_VERSION "\",\"revision\":\"%s\",\"branch\":\"\","
		"\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\","
		"\"application\":\"hms-ops %s\"}",
		OPS_REVISION, OPS_VERSION);
	det_api_reply(req, &out, NULL);
	ops_strbuf_done(&out);
}

static void add_time(struct ops_strbuf *out, const char *key, int64_t ms)
{
	char text[40];
	ops_strbuf_printf(out, "\"%s\":\"%s\",", key, ops_time_format(ms, text, sizeof(text)));
}

void det_api_runtimeinfo(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	char host[256] = "", retention[64];
	(void)gethostname(host, sizeof(host) - 1);
	ops_strbuf_addc(&out, '{');
	add_time(&out, "startTime", api->started_ms);
	add_time(&out, "serverTime", ops_now_ms());
	add_time(&out, "lastConfigTime", api->started_ms);
	ops_strbuf_adds(&out, "\"CWD\":\"\",\"hostname\":");
	det_api_string(&out, host);
	ops_strbuf_printf(&out,
		",\"reloadConfigSuccess\":true,\"corruptionCount\":0,\"goroutineCount\":1,"
		"\"GOMAXPROCS\":1,\"GOMEMLIMIT\":0,\"GOGC\":\"\",\"GODEBUG\":\"\","
		"\"storageRetention\":\"%s\"}",
		ops_duration_format(api->config.retention_ms, retention, sizeof(retention)));
	det_api_reply(req, &out, NULL);
	ops_strbuf_done(&out);
}

struct cardinality {
	struct det_job job;
	size_t limit;
	const char *head; /* what the loop knows */
};

static void add_counts(struct cardinality *c, const char *key, enum det_count_kind kind)
{
	struct ops_strbuf *out = &c->job.out;
	struct ops_arena *arena = &c->job.arena;
	struct det_count *list;
	size_t n = det_store_count(c->job.api->config.store, kind, c->limit, arena, &list);
	ops_strbuf_printf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		const char *name = list[i].name;
		if (list[i].value != NULL) {
			name = ops_arena_printf(arena, "%s=%s", name, list[i].value);
		}
		ops_strbuf_adds(out, i > 0 ? ",{\"name\":" : "{\"name\":");
		det_api_string(out, name);
		ops_strbuf_printf(out, ",\"value\":%llu}", (unsigned long long)list[i].n);
	}
	ops_strbuf_addc(out, ']');
}

/* Counting looks at every label of every series: for a worker. */
static bool step_tsdb(struct det_job *job)
{
	struct cardinality *c = ops_container_of(job, struct cardinality, job);
	det_api_open_answer(&job->out);
	ops_strbuf_adds(&job->out, c->head);
	det_api_read_begin(job);
	add_counts(c, "seriesCountByMetricName", DET_COUNT_SERIES_BY_METRIC);
	add_counts(c, "labelValueCountByLabelName", DET_COUNT_VALUES_BY_NAME);
	add_counts(c, "memoryInBytesByLabelName", DET_COUNT_BYTES_BY_NAME);
	add_counts(c, "seriesCountByLabelValuePair", DET_COUNT_SERIES_BY_PAIR);
	det_api_read_end(job);
	ops_strbuf_addc(&job->out, '}');
	det_api_close_answer(&job->out, NULL);
	return false;
}

void det_api_tsdb(struct ops_http_req *req, void *arg)
{
	struct det_api *api = arg;
	const char *text = ops_http_param(req, "limit");
	uint64_t limit = TOP;
	bool given = text != NULL && *text != '\0';
	if (given && (ops_parse_u64(text, strlen(text), &limit) != 0 || limit == 0)) {
		det_api_reply_error(req, "bad_data", "limit must be a positive number");
		return;
	}
	struct det_store_stats stats;
	struct cardinality *c = det_job_new(api, req, sizeof(*c));
	c->job.step = step_tsdb;
	c->limit = (size_t)OPS_MIN(limit, 1000000);
	det_store_stats(api->config.store, &stats);
	c->head = ops_arena_printf(&c->job.arena,
		"{\"headStats\":{\"numSeries\":%zu,\"numLabelPairs\":%zu,\"chunkCount\":%zu,"
		"\"minTime\":%lld,\"maxTime\":%lld}",
		stats.series, stats.label_pairs, stats.blocks, (long long)stats.min_ms,
		(long long)stats.max_ms);
	det_job_start(&c->job);
}

/* A block that was cut stands for itself. */
static json_t *sources_json(const struct det_block_meta *m)
{
	json_t *list = json_array();
	for (size_t i = 0; i < m->nparents; i++) {
		json_array_append_new(list, json_string(m->parents[i]));
	}
	if (m->nparents == 0) {
		json_array_append_new(list, json_string(m->ulid));
	}
	return list;
}

static json_t *block_json(const struct det_block_meta *m)
{
	json_t *one = json_object(), *stats = json_object(), *compaction = json_object();
	ops_json_set_string(one, "ulid", m->ulid);
	ops_json_set_i64(one, "minTime", m->mint_ms);
	ops_json_set_i64(one, "maxTime", m->maxt_ms);
	ops_json_set_i64(stats, "numSamples", (int64_t)m->samples);
	ops_json_set_i64(stats, "numSeries", (int64_t)m->series);
	ops_json_set_i64(stats, "numChunks", (int64_t)m->segments);
	ops_json_set(one, "stats", stats);
	ops_json_set_i64(compaction, "level", m->level);
	ops_json_set(compaction, "sources", sources_json(m));
	ops_json_set(one, "compaction", compaction);
	ops_json_set_i64(one, "version", 1);
	return one;
}

void det_api_tsdb_blocks(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	OPS_JSON_AUTO *data = json_object();
	json_t *list = json_array();
	const struct det_block_meta *m;
	for (size_t i = 0; (m = det_store_block(api->config.store, i)) != NULL; i++) {
		json_array_append_new(list, block_json(m));
	}
	ops_json_set(data, "blocks", list);
	ops_json_dump(data, &out);
	det_api_reply(req, &out, NULL);
}

void det_api_flags(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	OPS_JSON_AUTO *flags = json_object();
	if (api->config.flags != NULL) {
		api->config.flags(api->config.arg, flags);
	}
	ops_json_dump(flags, &out);
	det_api_reply(req, &out, NULL);
}

void det_api_config(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf yaml = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	if (api->config.config_yaml != NULL) {
		api->config.config_yaml(api->config.arg, &yaml);
	}
	ops_strbuf_adds(&out, "{\"yaml\":");
	det_api_string(&out, ops_strbuf_text(&yaml));
	ops_strbuf_addc(&out, '}');
	det_api_reply(req, &out, NULL);
}

static void reply_constant(struct ops_http_req *req, const char *data)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, data);
	det_api_reply(req, &out, NULL);
}

/* The log is read before the door opens, so whoever can ask gets the end of it. */
void det_api_walreplay(struct ops_http_req *req, void *arg)
{
	(void)arg;
	reply_constant(req, "{\"min\":0,\"max\":0,\"current\":0}");
}

/* For pages that poll it: what went wrong is in the log, in /health and in the metrics. */
void det_api_notifications(struct ops_http_req *req, void *arg)
{
	(void)arg;
	reply_constant(req, "[]");
}

void det_api_features(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	const unsigned *given = api->config.promql_features;
	unsigned on = given != NULL ? *given : OPS_PROMQL_DEFAULT_FEATURES;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	static const struct {
		const char *name;
		unsigned bit;
	} language[] = {{"binop_fill_modifiers", OPS_PROMQL_FILL},
		{"duration_expr", OPS_PROMQL_DURATION_EXPR},
		{"experimental_functions", OPS_PROMQL_EXPERIMENTAL_FUNCTIONS},
		{"extended_range_selectors", OPS_PROMQL_EXTENDED_RANGE},
		{"use_start_timestamps", OPS_PROMQL_START_TIMESTAMPS}};
	ops_strbuf_adds(&out, "{\"api\":{\"exemplars\":true,\"import_prometheus\":true,\"label_"
			      "values_match\":true,"
			      "\"lookback_delta\":true,\"query_stats\":true,\"remote_read\":true,"
			      "\"remote_write_receiver\":true},\"promql\":{");
	for (size_t i = 0; i < OPS_LENGTH(language); i++) {
		ops_strbuf_printf(&out, "%s\"%s\":%s", i > 0 ? "," : "", language[i].name,
			(on & language[i].bit) != 0 ? "true" : "false");
	}
	ops_strbuf_adds(&out, "}}");
	det_api_reply(req, &out, NULL);
}
