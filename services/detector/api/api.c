/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes, and the forms that all answers share: success and error envelopes, times, values, labels,
 * parameters. Answers are written into one buffer, not built as a tree: a result can be large. What
 * a caller got wrong is bad_data (400), what failed while evaluating is execution (422), too slow
 * is timeout (503), as in Prometheus, so that its clients show the right message.
 */
#include "services/detector/api/api.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/text.h"
#include "services/detector/api/exemplars.h"
#include "services/detector/api/job.h"

#define JSON_TYPE "application/json"
#define EDGE_MS 4.6e18 /* no time is farther away: half of what int64_t holds */

static const struct {
	const char *type;
	int code;
} error_types[] = {
	{"bad_data", 400},
	{"execution", 422},
	{"timeout", 503},
	{"canceled", 499},
	{"unavailable", 503},
	{"not_found", 404},
	{"not_acceptable", 406},
	{"internal", 500},
};

/* Reading is open to pages of other origins, as in Prometheus; who may read decides the role. */
void det_api_headers(struct ops_http_req *req)
{
	ops_http_reply_header(req, "Access-Control-Allow-Origin", "*");
	ops_http_reply_header(req, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
	ops_http_reply_header(
		req, "Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin");
	ops_http_reply_header(req, "Access-Control-Expose-Headers", "Date");
}

static void on_options(struct ops_http_req *req, void *arg)
{
	(void)arg;
	det_api_headers(req);
	ops_http_reply(req, 204, NULL, NULL, 0);
}

void det_api_reply_error(struct ops_http_req *req, const char *type, const char *message)
{
	int code = 500;
	for (size_t i = 0; i < OPS_LENGTH(error_types); i++) {
		if (strcmp(error_types[i].type, type) == 0) {
			code = error_types[i].code;
		}
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, "{\"status\":\"error\",\"errorType\":");
	det_api_string(&out, type);
	ops_strbuf_adds(&out, ",\"error\":");
	det_api_string(&out, message);
	ops_strbuf_addc(&out, '}');
	det_api_headers(req);
	ops_http_reply(req, code, JSON_TYPE, out.data, out.len);
	ops_strbuf_done(&out);
}

void det_api_bad(struct ops_http_req *req, const char *parameter, const char *why)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_printf(&text, "invalid parameter \"%s\": %s", parameter, why);
	det_api_reply_error(req, "bad_data", text.data);
	ops_strbuf_done(&text);
}

static void add_texts(struct ops_strbuf *out, const char *key, const char *const *items, size_t n)
{
	if (n == 0) {
		return;
	}
	ops_strbuf_printf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		det_api_string(out, items[i]);
	}
	ops_strbuf_addc(out, ']');
}

void det_api_open_answer(struct ops_strbuf *out)
{
	ops_strbuf_adds(out, "{\"status\":\"success\",\"data\":");
}

void det_api_close_answer(struct ops_strbuf *out, const struct det_annotations *annotations)
{
	if (annotations != NULL) {
		add_texts(out, "warnings", annotations->warnings, annotations->nwarnings);
		add_texts(out, "infos", annotations->infos, annotations->ninfos);
	}
	ops_strbuf_addc(out, '}');
}

void det_api_reply(struct ops_http_req *req, const struct ops_strbuf *data,
	const struct det_annotations *annotations)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_reserve(&out, data->len + 64);
	det_api_open_answer(&out);
	ops_strbuf_add(&out, data->data, data->len);
	det_api_close_answer(&out, annotations);
	det_api_headers(req);
	ops_http_reply(req, 200, JSON_TYPE, out.data, out.len);
	ops_strbuf_done(&out);
}

void det_api_reply_data(struct ops_http_req *req, const struct ops_strbuf *data)
{
	det_api_reply(req, data, NULL);
}

void det_api_string(struct ops_strbuf *out, const char *text)
{
	ops_strbuf_add_json(out, text, strlen(text));
}

void det_api_time(struct ops_strbuf *out, int64_t t_ms)
{
	uint64_t ms = t_ms < 0 ? 0 - (uint64_t)t_ms : (uint64_t)t_ms;
	ops_strbuf_reserve(out, 32);
	if (t_ms < 0) {
		out->data[out->len++] = '-';
	}
	out->len += ops_format_u64(ms / 1000, out->data + out->len);
	unsigned fraction = (unsigned)(ms % 1000);
	if (fraction != 0) {
		const char text[4] = {'.', (char)('0' + fraction / 100),
			(char)('0' + fraction / 10 % 10), (char)('0' + fraction % 10)};
		ops_strbuf_add(out, text, sizeof(text));
	}
}

void det_api_value(struct ops_strbuf *out, double value)
{
	enum {
		LONGEST = 352
	};
	double size = fabs(value);
	bool plain = !isfinite(value) || value == 0 || (size >= 1e-6 && size < 1e21);
	ops_strbuf_reserve(out, LONGEST + 2);
	out->data[out->len++] = '"';
	char *at = out->data + out->len;
	out->len += plain ? ops_format_double_f(value, at) : ops_format_double(value, at);
	ops_strbuf_addc(out, '"');
}

void det_api_labels(struct ops_strbuf *out, const struct ops_label *labels, uint32_t n)
{
	ops_strbuf_addc(out, '{');
	for (uint32_t i = 0; i < n; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		ops_strbuf_add_json(out, labels[i].name, labels[i].name_len);
		ops_strbuf_addc(out, ':');
		ops_strbuf_add_json(out, labels[i].value, labels[i].value_len);
	}
	ops_strbuf_addc(out, '}');
}

/* What int64_t holds in milliseconds, cut off so that spans can be added to it. */
static bool read_time(const char *text, int64_t *ret_ms)
{
	double seconds;
	const double most = (double)INT64_MAX / 1000;
	if (ops_parse_double(text, strlen(text), &seconds) != 0 || !(fabs(seconds) <= most)) {
		return false;
	}
	double ms = OPS_MAX(-EDGE_MS, OPS_MIN(seconds * 1000, EDGE_MS));
	*ret_ms = (int64_t)llround(ms);
	return true;
}

static bool parse_seconds(const char *text, int64_t *ret_ms)
{
	double seconds;
	if (ops_parse_double(text, strlen(text), &seconds) != 0 || !(fabs(seconds) < 9e15)) {
		return false;
	}
	*ret_ms = (int64_t)llround(seconds * 1000);
	return true;
}

static bool parse_time(const char *text, int64_t *ret_ms)
{
	/* upstream's own bounds, which clients send back; RFC 3339 has no such years */
	if (ops_str_eq(text, "-292273086-05-16T16:47:06Z")) {
		*ret_ms = (int64_t)-EDGE_MS;
		return true;
	}
	if (ops_str_eq(text, "292277025-08-18T07:12:54.999999999Z")) {
		*ret_ms = (int64_t)EDGE_MS;
		return true;
	}
	return read_time(text, ret_ms) || ops_time_parse(text, strlen(text), ret_ms) == 0;
}

/* before: what stands before the reason. */
static void refuse_param(struct ops_http_req *req, const char *name, const char *before,
	const char *text, const char *kind)
{
	struct ops_strbuf why = OPS_STRBUF_INIT;
	ops_strbuf_printf(&why, "%scannot parse \"%.200s\" to a valid %s", before, text, kind);
	det_api_bad(req, name, why.data);
	ops_strbuf_done(&why);
}

int det_api_param_time(struct ops_http_req *req, const char *name, int64_t *ret_ms)
{
	const char *text = ops_http_param(req, name);
	if (text == NULL || *text == '\0') {
		return 1;
	}
	if (parse_time(text, ret_ms)) {
		return 0;
	}
	char before[80];
	snprintf(before, sizeof(before), "Invalid time value for '%s': ", name);
	refuse_param(req, name, before, text, "timestamp");
	return -EINVAL;
}

int det_api_need_time(struct ops_http_req *req, const char *name, int64_t *ret_ms)
{
	const char *text = ops_http_param(req, name);
	if (text != NULL && parse_time(text, ret_ms)) {
		return 0;
	}
	refuse_param(req, name, "", text != NULL ? text : "", "timestamp");
	return -EINVAL;
}

bool det_api_parse_duration(const char *text, int64_t *ret_ms)
{
	return parse_seconds(text, ret_ms) || ops_duration_parse(text, strlen(text), ret_ms) == 0;
}

int det_api_param_duration(struct ops_http_req *req, const char *name, int64_t *ret_ms)
{
	const char *text = ops_http_param(req, name);
	if (text == NULL || *text == '\0') {
		return 1;
	}
	if (det_api_parse_duration(text, ret_ms)) {
		return 0;
	}
	refuse_param(req, name, "", text, "duration");
	return -EINVAL;
}

static void refuse_limit(struct ops_http_req *req, const char *name, const char *text)
{
	char why[300];
	uint64_t n;
	bool negative = text[0] == '-' && ops_parse_u64(text + 1, strlen(text + 1), &n) == 0;
	bool digits = text[strspn(text, "0123456789")] == '\0';
	snprintf(why, sizeof(why), "strconv.Atoi: parsing \"%.200s\": %s", text,
		digits ? "value out of range" : "invalid syntax");
	det_api_bad(req, name, negative ? "limit must be non-negative" : why);
}

int det_api_param_limit(struct ops_http_req *req, const char *name, size_t *ret)
{
	const char *text = ops_http_param(req, name);
	uint64_t limit;
	if (text == NULL || *text == '\0') {
		return 1;
	}
	if (ops_parse_u64(text, strlen(text), &limit) != 0 || limit > SIZE_MAX / 2) {
		refuse_limit(req, name, text);
		return -EINVAL;
	}
	if (limit != 0) { /* 0: none */
		*ret = (size_t)limit;
	}
	return 0;
}

int det_api_param_number(struct ops_http_req *req, const char *name, size_t *ret)
{
	const char *text = ops_http_param(req, name);
	int64_t n = 0;
	if (text == NULL || *text == '\0') {
		return 0;
	}
	if (ops_parse_i64(text, strlen(text), &n) != 0) {
		char why[80];
		snprintf(why, sizeof(why), "%s must be a number", name);
		det_api_reply_error(req, "bad_data", why);
		return -EINVAL;
	}
	*ret = n >= 0 ? (size_t)n : SIZE_MAX;
	return 0;
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
	ops_http_fallback(server, NULL, NULL);
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

void det_api_read_begin(struct det_job *job)
{
	ops_assert(!job->reading);
	det_store_read_begin(job->api->config.store, &job->read);
	job->reading = true;
}

void det_api_read_end(struct det_job *job)
{
	if (job->reading) {
		det_store_read_end(job->api->config.store, &job->read);
	}
	job->reading = false;
}
