/* SPDX-License-Identifier: Apache-2.0 */
/* http_sd_configs: a URL whose answer is a list of target groups. */
#include <string.h>

#include "common/base/text.h"
#include "services/collector/discovery/groups_json.h"
#include "services/collector/discovery/sd_classes.h"

struct settings {
	const char *url;
	int64_t refresh_ms;
	struct ops_http_options http;
};

static const struct ops_conf_key keys[] = {
	COL_SD_KEY(settings, "url", OPS_CONF_K_STRING, url, OPS_CONF_REQUIRED, NULL),
	COL_SD_KEY(settings, "refresh_interval", OPS_CONF_K_DURATION, refresh_ms, 0, "1m"),
	OPS_HTTP_OPTIONS_ROWS(struct settings, http),
	OPS_CONF_END,
};

static int finish(struct ops_arena *a, const struct ops_conf_node *node, void *settings,
	struct ops_error *err)
{
	const struct settings *s = settings;
	(void)a;
	if (!ops_str_starts(s->url, "http://") && !ops_str_starts(s->url, "https://")) {
		return ops_conf_error(ops_conf_get(node, "url"), err,
			"\"%s\" is not an http or https URL", s->url);
	}
	return col_sd_check_refresh(node, s->refresh_ms, err);
}

static int64_t interval_ms(const struct col_sd *sd)
{
	return ((const struct settings *)sd->settings)->refresh_ms;
}

static void on_groups(struct col_sd *sd, json_t *const *replies)
{
	const struct settings *s = sd->settings;
	struct col_group *g = col_group_new(s->url);
	struct ops_error err;
	if (col_groups_from_json(replies[0], s->url, g, &err) != 0) {
		col_group_free(g);
		col_sd_failed(sd, "%s: %s", s->url, err.message);
		return;
	}
	col_sd_replace(sd, &g, 1);
}

static void refresh(struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	const struct col_sd_server server = {.http = &s->http};
	col_sd_get(sd, &server, &s->url, 1);
}

const struct col_sd_class col_sd_http = {.name = "http",
	.keys = keys,
	.settings_bytes = sizeof(struct settings),
	.http_at = offsetof(struct settings, http),
	.finish = finish,
	.interval_ms = interval_ms,
	.refresh = refresh,
	.on_replies = on_groups};
