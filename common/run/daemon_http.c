/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doors that every service has. /-/healthy says that the process answers, /-/ready that it does
 * its work; both need no credentials, so that orchestrators can ask. /health lists what the service
 * depends on; a degraded dependency is still 200, since the service copes (that is what the word
 * means here), an unhealthy one 503.
 */
#include "common/run/daemon.h"

#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/metrics/metrics.h"
#include "common/model/regex.h"
#include "ops_version.h"

static const char *const health_names[] = {"healthy", "degraded", "unhealthy"};

/* Counted by the expressions themselves, which stand below the metrics. */
static struct ops_metric regex_limit = OPS_COUNTER("ops_regex_limit_total",
	"Matches of a regular expression that were given up at a limit of steps or memory.");

static void on_metrics(struct ops_http_req *req, void *arg)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf page = OPS_STRBUF_INIT;

	(void)arg;
	ops_metric_set(&regex_limit, (double)ops_regex_limit_total());
	ops_metrics_expose(&page);
	ops_http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", ops_strbuf_text(&page),
		page.len);
}

static void on_healthy(struct ops_http_req *req, void *arg)
{
	const struct ops_daemon *d = arg;
	char text[128];

	snprintf(text, sizeof(text), "%s is healthy.\n", d->service->name);
	ops_http_reply_text(req, 200, text);
}

static void on_ready(struct ops_http_req *req, void *arg)
{
	const struct ops_daemon *d = arg;
	char text[512];

	if (d->ready) {
		snprintf(text, sizeof(text), "%s is ready.\n", d->service->name);
		ops_http_reply_text(req, 200, text);
		return;
	}
	snprintf(text, sizeof(text), "%s is not ready: %s\n", d->service->name, d->why_not);
	ops_http_reply_text(req, 503, text);
}

static void on_version(struct ops_http_req *req, void *arg)
{
	const struct ops_daemon *d = arg;
	json_t *j = json_object();

	ops_json_set_string(j, "service", d->service->name);
	ops_json_set_string(j, "version", OPS_VERSION);
	ops_json_set_string(j, "revision", OPS_REVISION);
	ops_http_reply_json(req, 200, j);
}

static enum ops_health run_check(const struct ops_health_check *check, json_t *all)
{
	char message[256] = "";
	double response_ms = 0;
	enum ops_health h = check->fn(check->arg, message, sizeof(message), &response_ms);
	json_t *j = json_object();

	ops_json_set_string(j, "status", health_names[h]);
	ops_json_set(j, "response_time_ms", json_real(response_ms));
	ops_json_set_string(j, "message", message);
	ops_json_set(all, check->name, j);
	return h;
}

static void on_health(struct ops_http_req *req, void *arg)
{
	const struct ops_daemon *d = arg;
	json_t *checks = json_object(), *j = json_object();
	enum ops_health worst = OPS_HEALTHY;

	for (size_t i = 0; i < d->nchecks; i++) {
		enum ops_health h = run_check(&d->checks[i], checks);
		worst = OPS_MAX(worst, h);
	}
	ops_json_set_string(j, "status", health_names[worst]);
	ops_json_set_string(j, "service", d->service->name);
	ops_json_set_string(j, "version", OPS_VERSION);
	ops_json_set(j, "checks", checks);
	ops_http_reply_json(req, worst == OPS_UNHEALTHY ? 503 : 200, j);
}

static void on_reload(struct ops_http_req *req, void *arg)
{
	struct ops_daemon *d = arg;
	struct ops_error err = {.line = 0};
	const struct ops_reload_caller by = {.actor = ops_http_principal(req),
		.actor_type = "user",
		.source_addr = ops_http_remote(req),
		.trace_id = ops_http_trace_id(req)};

	if (ops_daemon_reload_by(d, &by, &err) != 0) {
		ops_http_reply_error(req, 500, &err);
		return;
	}
	json_t *j = json_object();
	ops_json_set_bool(j, "reloaded", true);
	ops_http_reply_json(req, 200, j);
}

void ops_daemon_health(struct ops_daemon *d, const char *dependency,
	enum ops_health (*fn)(void *arg, char *buf, size_t size, double *ret_response_ms),
	void *arg)
{
	OPS_GROW(d->checks, d->nchecks, d->checks_cap);
	d->checks[d->nchecks++] = (struct ops_health_check){ops_xstrdup(dependency), fn, arg};
}

void ops_daemon_set_ready(struct ops_daemon *d, bool ready, const char *why_not)
{
	d->ready = ready;
	snprintf(d->why_not, sizeof(d->why_not), "%s", ready || why_not == NULL ? "" : why_not);
}

void ops_daemon_routes(struct ops_daemon *d)
{
	ops_http_route(d->http, OPS_GET, "/metrics", OPS_ROLE_VIEWER, on_metrics, d);
	ops_http_route(d->http, OPS_GET, "/-/healthy", OPS_ROLE_NONE, on_healthy, d);
	ops_http_route(d->http, OPS_GET, "/-/ready", OPS_ROLE_NONE, on_ready, d);
	ops_http_route(d->http, OPS_GET, "/health", OPS_ROLE_VIEWER, on_health, d);
	ops_http_route(d->http, OPS_GET, "/version", OPS_ROLE_VIEWER, on_version, d);
	ops_http_route(d->http, OPS_POST | OPS_PUT, "/-/reload", OPS_ROLE_OPERATOR, on_reload, d);
}
