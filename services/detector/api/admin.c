/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/admin/tsdb: deletion, clean-up, snapshots; and /-/quit. Off unless the configuration says
 * so, for the role operator, and recorded by the audit log before they take effect: what cannot be
 * recorded is not done. They run on the loop, since the store's writer is there.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "services/detector/api/api_internal.h"

#define MATCHES_MAX 64u

static bool enabled(const struct det_api *api, struct ops_http_req *req)
{
	if (!api->config.enable_admin) {
		det_api_reply_error(req, "unavailable", "admin APIs disabled");
	}
	return api->config.enable_admin;
}

/* False: it could not be recorded, the reply is sent. */
static bool record(
	const struct det_api *api, struct ops_http_req *req, const char *action, json_t *taken)
{
	const struct ops_audit_entry entry = {.actor = ops_http_principal(req),
		.actor_type = "user",
		.action = action,
		.object = "tsdb",
		.source_addr = ops_http_remote(req),
		.trace_id = ops_http_trace_id(req),
		.outcome = "success",
		.after = taken};
	if (api->config.audit == NULL) {
		json_decref(taken);
		return true;
	}
	if (ops_audit_log(api->config.audit, &entry) == 0) {
		return true;
	}
	det_api_reply_error(
		req, "unavailable", "the change could not be recorded in the audit log");
	return false;
}

static void reply_none(struct ops_http_req *req)
{
	det_api_headers(req);
	ops_http_reply(req, 204, NULL, NULL, 0);
}

static void reply_failure(struct ops_http_req *req, const struct ops_error *err)
{
	det_api_reply_error(req, "internal", err->message);
}

/* ---- delete_series ---- */

struct deletion {
	struct ops_arena arena;
	const char *texts[MATCHES_MAX];
	struct ops_matchers matches[MATCHES_MAX];
	size_t n;
	int64_t range_ms[2];
};

static int read_match(struct deletion *d, struct ops_http_req *req, const char *text)
{
	struct ops_promql_source src = {text, strlen(text), NULL};
	struct ops_promql_expr *selector;
	struct ops_error err = {0};
	int rc = ops_promql_parse_selector(&d->arena, &src, &selector, &err);
	rc = rc == 0 ? det_engine_matchers(selector, &d->matches[d->n], &err) : rc;
	if (rc != 0) {
		det_api_bad_at(req, "match[]", &err);
		return rc;
	}
	d->n++;
	return 0;
}

static int read_deletion(struct deletion *d, struct ops_http_req *req)
{
	d->range_ms[0] = INT64_MIN / 2;
	d->range_ms[1] = INT64_MAX / 2;
	size_t n = ops_http_params(req, "match[]", d->texts, MATCHES_MAX);
	if (n == 0 || n > MATCHES_MAX) {
		det_api_reply_error(req, "bad_data",
			n == 0 ? "no match[] parameter provided" : "more than 64 match[]");
		return -EINVAL;
	}
	if (det_api_param_time(req, "start", &d->range_ms[0]) < 0 ||
		det_api_param_time(req, "end", &d->range_ms[1]) < 0) {
		return -EINVAL;
	}
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = read_match(d, req, d->texts[i]);
	}
	return rc;
}

static json_t *deletion_json(const struct deletion *d)
{
	json_t *j = json_object(), *matches = json_array();
	for (size_t i = 0; i < d->n; i++) {
		json_array_append_new(matches, json_string(d->texts[i]));
	}
	ops_json_set(j, "match", matches);
	if (d->range_ms[0] != INT64_MIN / 2) {
		ops_json_set_time(j, "start", d->range_ms[0]);
	}
	if (d->range_ms[1] != INT64_MAX / 2) {
		ops_json_set_time(j, "end", d->range_ms[1]);
	}
	return j;
}

static int delete_all(const struct det_api *api, const struct deletion *d, struct ops_error *err)
{
	uint64_t series = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < d->n; i++) {
		rc = det_store_delete(api->config.store, &d->matches[i], d->range_ms, &series, err);
	}
	return rc;
}

static void on_delete(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	struct ops_error err = {0};
	if (!enabled(api, req)) {
		return;
	}
	struct deletion *d = ops_xcalloc(1, sizeof(*d));
	ops_arena_init(&d->arena);
	if (read_deletion(d, req) == 0 &&
		record(api, req, "tsdb.delete_series", deletion_json(d))) {
		if (delete_all(api, d, &err) == 0) {
			reply_none(req);
		} else {
			reply_failure(req, &err);
		}
	}
	for (size_t i = 0; i < d->n; i++) {
		ops_matchers_done(&d->matches[i]);
	}
	ops_arena_done(&d->arena);
	free(d);
}

/* ---- the others ---- */

static void on_clean(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	struct ops_error err = {0};
	if (!enabled(api, req) || !record(api, req, "tsdb.clean_tombstones", NULL)) {
		return;
	}
	if (det_store_clean_tombstones(api->config.store, &err) == 0) {
		reply_none(req);
	} else {
		reply_failure(req, &err);
	}
}

static void on_snapshot(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	struct ops_error err = {0};
	const char *name = NULL;
	if (!enabled(api, req) || !record(api, req, "tsdb.snapshot", NULL)) {
		return;
	}
	struct ops_arena arena;
	ops_arena_init(&arena);
	if (det_store_snapshot(api->config.store, NULL, &arena, &name, &err) == 0) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		ops_strbuf_adds(&out, "{\"name\":");
		det_api_string(&out, name);
		ops_strbuf_addc(&out, '}');
		det_api_reply(req, &out, NULL);
		ops_strbuf_done(&out);
	} else {
		reply_failure(req, &err);
	}
	ops_arena_done(&arena);
}

/* The signal comes back to the loop, which drains as always. */
static void on_quit(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	if (!api->config.enable_lifecycle) {
		ops_http_reply_text(req, 403, "Lifecycle API is not enabled.\n");
		return;
	}
	if (record(api, req, "service.quit", NULL)) {
		ops_http_reply_text(req, 200, "Requesting termination... Goodbye!");
		(void)kill(getpid(), SIGTERM);
	}
}

void det_api_admin_routes(struct det_api *api, struct ops_http_server *server)
{
	static const struct {
		const char *path;
		void (*fn)(struct ops_http_req *req, void *arg);
	} routes[] = {{"/api/v1/admin/tsdb/delete_series", on_delete},
		{"/api/v1/admin/tsdb/clean_tombstones", on_clean},
		{"/api/v1/admin/tsdb/snapshot", on_snapshot}, {"/-/quit", on_quit}};
	for (size_t i = 0; i < OPS_LENGTH(routes); i++) {
		ops_http_route(server, OPS_POST | OPS_PUT, routes[i].path, OPS_ROLE_OPERATOR,
			routes[i].fn, api);
	}
}
