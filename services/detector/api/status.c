/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/status: what Grafana and promtool ask to know whom they talk to. The version reported
 * is that of the language and API we follow; ours is beside it.
 */
#include "services/detector/api/api.h"

#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "services/detector/api/api_internal.h"

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

static void add_counts(struct det_api *api, struct ops_strbuf *out, const char *key,
	enum det_count_kind kind, size_t limit)
{
	struct ops_arena arena;
	struct det_count *list;
	ops_arena_init(&arena);
	size_t n = det_store_count(api->config.store, kind, limit, &arena, &list);
	ops_strbuf_printf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		const char *name = list[i].name;
		if (list[i].value != NULL) {
			name = ops_arena_printf(&arena, "%s=%s", name, list[i].value);
		}
		ops_strbuf_adds(out, i > 0 ? ",{\"name\":" : "{\"name\":");
		det_api_string(out, name);
		ops_strbuf_printf(out, ",\"value\":%llu}", (unsigned long long)list[i].n);
	}
	ops_strbuf_addc(out, ']');
	ops_arena_done(&arena);
}

void det_api_tsdb(struct ops_http_req *req, void *arg)
{
	struct det_api *api = arg;
	size_t limit = TOP;
	if (det_api_param_limit(req, "limit", &limit) < 0) {
		return;
	}
	struct det_store_stats stats;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	det_store_stats(api->config.store, &stats);
	ops_strbuf_printf(&out,
		"{\"headStats\":{\"numSeries\":%zu,\"numLabelPairs\":%zu,\"chunkCount\":%zu,"
		"\"minTime\":%lld,\"maxTime\":%lld}",
		stats.series, stats.label_pairs, stats.blocks, (long long)stats.min_ms,
		(long long)stats.max_ms);
	add_counts(api, &out, "seriesCountByMetricName", DET_COUNT_SERIES_BY_METRIC, limit);
	add_counts(api, &out, "labelValueCountByLabelName", DET_COUNT_VALUES_BY_NAME, limit);
	add_counts(api, &out, "memoryInBytesByLabelName", DET_COUNT_BYTES_BY_NAME, limit);
	add_counts(api, &out, "seriesCountByLabelValuePair", DET_COUNT_SERIES_BY_PAIR, limit);
	ops_strbuf_addc(&out, '}');
	det_api_reply(req, &out, NULL);
	ops_strbuf_done(&out);
}

void det_api_flags(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	const char *const *flags = api->config.flags;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_addc(&out, '{');
	for (size_t i = 0; flags != NULL && flags[i] != NULL && flags[i + 1] != NULL; i += 2) {
		ops_strbuf_adds(&out, i > 0 ? "," : "");
		det_api_string(&out, flags[i]);
		ops_strbuf_addc(&out, ':');
		det_api_string(&out, flags[i + 1]);
	}
	ops_strbuf_addc(&out, '}');
	det_api_reply(req, &out, NULL);
	ops_strbuf_done(&out);
}
