/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request at a time, each with what is left until the deadline (the group's next flush builds a
 * fresher notification) but at most the receiver's own timeout. Pauses double from half a second to
 * half a minute with jitter; a Retry-After from the receiver is honoured.
 */
#include "services/alertmanager/send.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "services/alertmanager/notify.h"

#define SEND_MAGIC 0x616c6d73U

enum {
	ATTEMPT_MAX_MS = 30000,
	PAUSE_BASE_MS = 200, /* a page that failed once is tried again at once */
	PAUSE_MAX_MS = 30000,
	TOKEN_WAIT_MS = 50
};

static struct ops_metric sent_total = OPS_COUNTER(
	"alertmanager_notifications_total", "Notifications by integration.", "integration");
static struct ops_metric failed_total = OPS_COUNTER("alertmanager_notifications_failed_total",
	"Notifications that were not delivered, by integration and reason.", "integration",
	"reason");
static struct ops_metric requests_total = OPS_COUNTER("alertmanager_notification_requests_total",
	"Requests sent for notifications.", "integration");
static struct ops_metric requests_failed =
	OPS_COUNTER("alertmanager_notification_requests_failed_total",
		"Requests that were refused or not answered.", "integration");
static const double buckets[] = {0.05, 0.25, 1, 5, 10, 15, 20};
static struct ops_metric latency = OPS_HISTOGRAM("alertmanager_notification_latency_seconds",
	"Time of a notification request.", buckets, "integration");

struct alm_send {
	unsigned magic;
	struct alm_send_config cfg;
	struct alm_notification *n;
	struct ops_timer *timer;
	struct ops_http_call *call;
	struct ops_arena arena;
	int64_t deadline_mono_ms, last_ms;
	unsigned attempts;
	int code;
	bool cancelled;
	char error[600];
};

static void destroy(void *arg)
{
	struct alm_send *s = arg;
	OPS_MAGIC_CHECK(s, SEND_MAGIC);
	ops_timer_free(s->timer);
	ops_arena_done(&s->arena);
	alm_notification_free(s->n);
	s->magic = 0;
	free(s);
}

static void finish(struct alm_send *s, bool sent, const char *reason)
{
	const char *kind = s->n->integration->name;
	const struct alm_outcome o = {.notification = s->n,
		.sent = sent,
		.code = s->code,
		.attempts = s->attempts,
		.duration_ms = s->last_ms,
		.error = s->error};

	ops_metric_add(&sent_total, 1, kind);
	if (!sent)
		ops_metric_add(&failed_total, 1, kind, reason);
	s->cfg.on_done(s->cfg.arg, &o);
	ops_loop_defer(s->cfg.loop, destroy, s);
}

static int64_t left_ms(const struct alm_send *s)
{
	return s->deadline_mono_ms - ops_mono_ms();
}

static void on_response(void *arg, const struct ops_http_response *res)
{
	struct alm_send *s = arg;
	struct alm_verdict v;

	OPS_MAGIC_CHECK(s, SEND_MAGIC);
	s->call = NULL;
	if (s->cancelled)
		return;
	const char *kind = s->n->integration->name;
	alm_notify_judge(s->n, res, &v);
	s->code = res->outcome == OPS_HTTP_DONE ? res->code : 0;
	s->last_ms = res->duration_ms;
	ops_metric_add(&requests_total, 1, kind);
	ops_metric_observe(&latency, (double)res->duration_ms / 1000, kind);
	snprintf(s->error, sizeof s->error, "%s", v.error);
	if (v.ok) {
		finish(s, true, NULL);
		return;
	}
	ops_metric_add(&requests_failed, 1, kind);
	int64_t pause = ops_backoff_ms(s->attempts - 1, PAUSE_BASE_MS, PAUSE_MAX_MS);
	pause = OPS_MAX(pause, OPS_MIN(res->retry_after_ms, (int64_t)PAUSE_MAX_MS));
	if (!v.retry)
		finish(s, false, "refused");
	else if (pause >= left_ms(s))
		finish(s, false, "deadline");
	else
		ops_timer_start(s->timer, pause);
}

static int start_request(struct alm_send *s, struct ops_http_request *req, struct ops_error *err)
{
	struct ops_http_options http = s->n->integration->http;
	const struct ops_http_way way = {s->cfg.client, s->cfg.tokens, &http};
	const struct ops_http_done done = {on_response, s};

	if (req->bearer != NULL) {
		http.has_basic = http.has_oauth2 = false;
		http.authorization = (struct ops_authorization_options){.type = NULL};
	}
	return ops_http_options_start(&way, req, &done, &s->call, err);
}

/* As ops_http_options_start. */
static int start_call(struct alm_send *s, struct ops_error *err)
{
	struct alm_outgoing out = {0};

	ops_arena_reset(&s->arena);
	int rc = alm_notify_build(s->n, &s->arena, &out, err);
	if (rc != 0)
		return rc;
	int64_t own = s->n->integration->timeout_ms;
	int64_t timeout = OPS_MIN(OPS_MAX(left_ms(s), 1), own > 0 ? own : (int64_t)ATTEMPT_MAX_MS);
	if (out.is_mail) {
		out.mail.timeout_ms = timeout;
		rc = ops_mail_start(s->cfg.client, &out.mail, on_response, s, &s->call);
		return rc == 0 ? 0
			       : ops_error_set(
					 err, rc, "could not start the request: %s", strerror(-rc));
	}
	out.request.timeout_ms = timeout;
	return start_request(s, &out.request, err);
}

static void on_timer(void *arg)
{
	struct alm_send *s = arg;
	struct ops_error err = {0};

	OPS_MAGIC_CHECK(s, SEND_MAGIC);
	int rc = start_call(s, &err);
	if (rc == OPS_OAUTH2_WAIT && left_ms(s) > TOKEN_WAIT_MS) {
		ops_timer_start(s->timer, TOKEN_WAIT_MS);
		return;
	}
	s->attempts++;
	if (rc == 0)
		return;
	if (rc == OPS_OAUTH2_WAIT)
		(void)ops_error_set(&err, 0, "no access token in time");
	ops_error_text(&err, s->error, sizeof s->error);
	int64_t pause = ops_backoff_ms(s->attempts - 1, PAUSE_BASE_MS, PAUSE_MAX_MS);
	if (rc == -EACCES && pause < left_ms(s)) /* no token: the server of tokens may come back */
		ops_timer_start(s->timer, pause);
	else
		finish(s, false, rc == OPS_OAUTH2_WAIT || rc == -EACCES ? "deadline" : "build");
}

struct alm_send *alm_send_start(const struct alm_send_config *cfg, struct alm_notification *n)
{
	struct alm_send *s = ops_xcalloc(1, sizeof *s);

	s->magic = SEND_MAGIC;
	s->cfg = *cfg;
	s->n = n;
	s->deadline_mono_ms = ops_mono_ms() + cfg->deadline_ms;
	ops_arena_init(&s->arena);
	s->timer = ops_timer_new(cfg->loop, on_timer, s);
	ops_timer_start(s->timer, 0);
	return s;
}

void alm_send_cancel(struct alm_send *s)
{
	s->cancelled = true;
	if (s->call != NULL)
		ops_http_call_cancel(s->call);
	destroy(s);
}
