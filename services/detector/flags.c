/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /api/v1/status/flags tells: the settings that Prometheus has as flags, under its names, for
 * those who ask a server what it can do. Flags that nothing here answers to are left out.
 */
#include "services/detector/config.h"

#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/json/json.h"

static void set_time(json_t *out, const char *flag, int64_t ms)
{
	char text[32];
	ops_json_set_string(out, flag, ops_duration_format(ms, text, sizeof(text)));
}

static void set_number(json_t *out, const char *flag, uint64_t n, const char *unit)
{
	char text[32];
	snprintf(text, sizeof(text), "%llu%s", (unsigned long long)n, unit);
	ops_json_set_string(out, flag, text);
}

static void set_bool(json_t *out, const char *flag, bool on)
{
	ops_json_set_string(out, flag, on ? "true" : "false");
}

void det_config_flags(const struct det_config *cfg, json_t *out)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf features = OPS_STRBUF_INIT;
	for (size_t i = 0; i < cfg->features.n; i++) {
		ops_strbuf_printf(&features, "%s%s", i > 0 ? "," : "", cfg->features.items[i]);
	}
	ops_json_set_string(
		out, "config.file", cfg->scrape_config_file != NULL ? cfg->scrape_config_file : "");
	ops_json_set_string(out, "enable-feature", ops_strbuf_text(&features));
	set_time(out, "query.lookback-delta", cfg->lookback_ms);
	set_number(out, "query.max-concurrency", (uint64_t)cfg->query_concurrency, "");
	set_number(out, "query.max-samples", (uint64_t)cfg->query_max_samples, "");
	set_time(out, "query.timeout", cfg->query_timeout_ms);
	set_time(out, "storage.tsdb.min-block-duration", cfg->block_ms);
	set_number(out, "storage.tsdb.retention.size", cfg->retention_bytes, "B");
	set_time(out, "storage.tsdb.retention.time", cfg->retention_ms);
	set_bool(out, "web.enable-admin-api", cfg->enable_admin_api);
	set_bool(out, "web.enable-lifecycle", cfg->enable_lifecycle);
	set_bool(out, "web.enable-remote-write-receiver", true);
	ops_json_set_string(out, "web.listen-address", cfg->daemon.listen);
}
