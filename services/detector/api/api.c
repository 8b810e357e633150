/* SPDX-License-Identifier: Apache-2.0 */
/* Which path is answered by what, and the life of the API. */
#include "services/detector/api/api.h"

#include "common/base/clock.h"
#include "common/base/text.h"
#include "services/detector/api/exemplars.h"
#include "services/detector/api/job.h"

static void on_options(struct ops_http_req *req, void *arg)
{
	(void)arg;
	det_api_headers(req);
	ops_http_reply(req, 204, NULL, NULL, 0);
}

static const struct {
	const char *path;
	unsigned methods;
	void (*fn)(struct ops_http_req *req, void *arg);
} routes[] = {
	{"/api/v1/query", OPS_GET | OPS_POST | OPS_SAFE_POST, det_api_query},
	{"/api/v1/query_range", OPS_GET | OPS_POST | OPS_SAFE_POST, det_api_query_range},
	{"/api/v1/format_query", OPS_GET | OPS_POST | OPS_SAFE_POST, det_api_format_query},
	{"/api/v1/parse_query", OPS_GET | OPS_POST | OPS_SAFE_POST, det_api_parse_query},
	{"/api/v1/series", OPS_GET | OPS_POST | OPS_SAFE_POST, det_api_series},
	{"/api/v1/labels", OPS_GET | OPS_POST | OPS_SAFE_POST, det_api_label_names},
	{"/api/v1/label/{name}/values", OPS_GET, det_api_label_values},
	{"/api/v1/metadata", OPS_GET, det_api_metadata},
	{"/api/v1/targets", OPS_GET, det_api_targets},
	{"/api/v1/targets/metadata", OPS_GET, det_api_targets_metadata},
	{"/api/v1/scrape_pools", OPS_GET, det_api_scrape_pools},
	{"/api/v1/alertmanagers", OPS_GET, det_api_alertmanagers},
	{"/api/v1/query_exemplars", OPS_GET | OPS_POST | OPS_SAFE_POST, det_api_query_exemplars},
	{"/api/v1/features", OPS_GET, det_api_features},
	{"/api/v1/notifications", OPS_GET, det_api_notifications},
	{"/federate", OPS_GET, det_api_federate},
	{"/api/v1/read", OPS_POST | OPS_SAFE_POST | OPS_RAW_BODY, det_api_read},
	{"/api/v1/status/config", OPS_GET, det_api_config},
	{"/api/v1/status/walreplay", OPS_GET, det_api_walreplay},
	{"/api/v1/status/buildinfo", OPS_GET, det_api_buildinfo},
	{"/api/v1/status/runtimeinfo", OPS_GET, det_api_runtimeinfo},
	{"/api/v1/status/tsdb", OPS_GET, det_api_tsdb},
	{"/api/v1/status/tsdb/blocks", OPS_GET, det_api_tsdb_blocks},
	{"/api/v1/status/flags", OPS_GET, det_api_flags},
};

void det_api_route(struct ops_http_server *server, unsigned methods, const char *path,
	void (*fn)(struct ops_http_req *req, void *arg), void *arg)
{
	ops_http_route(server, methods, path, OPS_ROLE_VIEWER, fn, arg);
	ops_http_route(server, OPS_OPTIONS, path, OPS_ROLE_NONE, on_options, arg);
}

static bool on_opening(struct ops_http_req *req, void *arg)
{
	const char *path = ops_http_path(req);
	(void)arg;
	if (!ops_str_starts(path, "/api/v1/") && !ops_str_eq(path, "/federate")) {
		return false;
	}
	ops_http_reply_header(req, "Retry-After", "5");
	det_api_reply_error(req, "unavailable", "the store is still being opened");
	return true;
}

void det_api_opening(struct ops_http_server *server)
{
	ops_http_fallback(server, on_opening, NULL);
}

/* A browser asks before it knows what there is. */
static bool on_unknown(struct ops_http_req *req, void *arg)
{
	if (ops_http_method(req) != OPS_OPTIONS ||
		!ops_str_starts(ops_http_path(req), "/api/v1/")) {
		return false;
	}
	on_options(req, arg);
	return true;
}

struct det_api *det_api_register(
	struct ops_http_server *server, const struct det_api_config *config)
{
	struct det_api *api = ops_xcalloc(1, sizeof(*api));
	api->config = *config;
	api->started_ms = ops_now_ms();
	api->pool = det_pool_new(config->loop, config->workers);
	api->exemplars = det_exemplars_new(config->exemplars_max);
	LIST_INIT(&api->jobs);
	api->unpacker = det_pool_new(config->loop, config->workers > 0);
	TAILQ_INIT(&api->later);
	api->later_timer = ops_timer_new(config->loop, det_write_on_turn, api);
	for (size_t i = 0; i < OPS_LENGTH(routes); i++) {
		det_api_route(server, routes[i].methods, routes[i].path, routes[i].fn, api);
	}
	ops_http_route(server, OPS_POST | OPS_RAW_BODY, "/api/v1/write", OPS_ROLE_OPERATOR,
		det_api_write, api);
	ops_http_route(server, OPS_POST | OPS_STREAM_BODY, "/api/v1/import/prometheus",
		OPS_ROLE_OPERATOR, det_api_import, api);
	det_api_admin_routes(api, server);
	ops_http_fallback(server, on_unknown, NULL);
	return api;
}

void det_api_free(struct det_api *api)
{
	if (api == NULL) {
		return;
	}
	det_jobs_cancel(&api->jobs);
	det_pool_free(api->pool);
	det_pool_free(api->unpacker);
	det_exemplars_free(api->exemplars);
	ops_assert(LIST_EMPTY(&api->jobs) && TAILQ_EMPTY(&api->later));
	ops_timer_free(api->later_timer);
	free(api);
}
