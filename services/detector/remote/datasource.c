/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A query is asked by POST, as expressions may be longer than a URL may be. One that is cancelled
 * while it waits is dropped; one that is under way is cancelled in the client, and its callback
 * finds that nobody wants to know.
 */
#include "services/detector/remote/datasource.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/metrics/metrics.h"
#include "common/net/oauth2.h"

enum {
	ANSWER_BYTES_MAX = 64 << 20,
	TOKEN_WAIT_MS = 50
};

static struct ops_metric queries_total = OPS_COUNTER(
	"ops_detector_datasource_queries_total", "Queries to the datasource.", "outcome");
static struct ops_metric waiting_gauge =
	OPS_GAUGE("ops_detector_datasource_queries_waiting", "Queries that wait for their turn.");
static const double duration_buckets[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10};
static struct ops_metric duration = OPS_HISTOGRAM("ops_detector_datasource_query_duration_seconds",
	"Time of a query to the datasource.", duration_buckets);

struct asked { /* a query, waiting or under way */
	struct det_datasource *ds;
	TAILQ_ENTRY(asked) link;
	struct det_rules_ask ask;
	char *form;
	size_t form_len;
	bool running;
	struct ops_http_call *call; /* NULL: not started, or the client is gone */
};
TAILQ_HEAD(asked_list, asked);

struct det_datasource {
	struct ops_http_client *client;
	struct ops_oauth2_tokens *tokens;
	struct ops_timer *timer; /* while queries wait for a token */
	const struct det_datasource_settings *settings;
	struct det_rules_source source;
	char *url;
	struct asked_list waiting, running;
	size_t nwaiting, nrunning;
};

/* ---- configuration -------------------------------------------------------------------------- */

#define ROW(name_, kind_, member, fallback_)                                                       \
	{                                                                                          \
		.name = (name_), .kind = (kind_),                                                  \
		.offset = offsetof(struct det_datasource_settings, member),                        \
		.fallback = (fallback_)                                                            \
	}

static const struct ops_conf_key keys[] = {
	{.name = "url",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct det_datasource_settings, url),
		.flags = OPS_CONF_REQUIRED},
	ROW("timeout", OPS_CONF_K_DURATION, timeout_ms, "30s"),
	{.name = "concurrency",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct det_datasource_settings, concurrency),
		.fallback = "8",
		.min = 1,
		.max = 1024},
	OPS_HTTP_OPTIONS_ROWS(struct det_datasource_settings, http),
	OPS_CONF_END,
};

int det_datasource_load(struct ops_arena *a, const struct ops_conf_node *node,
	struct det_datasource_settings *ret, struct ops_conf_warnings *warnings,
	struct ops_error *err)
{
	struct det_datasource_settings s = {.url = NULL};

	*ret = s;
	if (node == NULL || ops_conf_is_null(node))
		return 0;
	bool plain = node->type == OPS_CONF_SCALAR; /* the URL alone */
	int rc = plain ? ops_conf_string(node, "datasource", &s.url, err)
		       : ops_conf_decode(a, node, keys, &s, warnings, err);
	if (plain) {
		s.timeout_ms = 30000;
		s.concurrency = 8;
		s.http.follow_redirects = true;
	}
	if (rc == 0 && !ops_str_starts(s.url, "http://") && !ops_str_starts(s.url, "https://"))
		rc = ops_conf_error(
			node, err, "the URL of datasource must begin with http:// or https://");
	if (rc == 0 && s.timeout_ms <= 0)
		rc = ops_conf_error(node, err, "timeout of datasource must be above 0");
	if (rc == 0)
		rc = ops_http_options_finish(a, node, &s.http, warnings, err);
	if (rc == 0)
		*ret = s;
	return rc;
}

/* ---- queries -------------------------------------------------------------------------------- */

static void start_more(struct det_datasource *ds);

static void asked_free(struct asked *q)
{
	free(q->form);
	free(q);
}

static int read_answer(const struct ops_http_response *res, struct ops_arena *a,
	struct det_result *ret, struct ops_error *err)
{
	if (res->outcome == OPS_HTTP_TIMEOUT)
		return ops_error_set(err, -ETIMEDOUT, "the datasource did not answer in time");
	if (res->outcome != OPS_HTTP_DONE)
		return ops_error_set(err, -EIO, "could not ask the datasource: %s",
			res->error != NULL ? res->error : "failed");
	int rc = det_datasource_decode(res->body, res->len, a, ret, err);
	if (rc == 0 && res->code != 200)
		return ops_error_set(
			err, -EIO, "the datasource answered with status %d", res->code);
	if (rc != 0 && res->code / 100 != 2)
		ops_error_prefix(err, "status %d", res->code);
	return rc;
}

static void on_answer(void *arg, const struct ops_http_response *res)
{
	struct asked *q = arg;
	struct det_datasource *ds = q->ds;
	struct det_result result;
	struct ops_error err;

	q->call = NULL;
	if (res->outcome == OPS_HTTP_CANCELLED) /* whoever cancelled frees it */
		return;
	int rc = read_answer(res, q->ask.arena, &result, &err);
	ops_metric_add(&queries_total, 1, rc == 0 ? "answered" : "failed");
	ops_metric_observe(&duration, (double)res->duration_ms / 1000);
	TAILQ_REMOVE(&ds->running, q, link);
	ds->nrunning--;
	struct det_rules_ask ask = q->ask;
	asked_free(q);
	start_more(ds);
	ask.fn(ask.arg, rc, rc == 0 ? &result : NULL, &err); /* may ask the next */
}

/* As ops_http_options_start. */
static int start(struct asked *q, struct ops_error *err)
{
	struct det_datasource *ds = q->ds;
	static const char *const headers[] = {
		"Content-Type: application/x-www-form-urlencoded", "User-Agent: ops-detector"};
	struct ops_http_request req = {.method = "POST",
		.url = ds->url,
		.headers = headers,
		.nheaders = OPS_LENGTH(headers),
		.body = q->form,
		.body_len = q->form_len,
		.timeout_ms = ds->settings->timeout_ms,
		.max_response_bytes = ANSWER_BYTES_MAX,
		.gzip = true};
	const struct ops_http_done done = {on_answer, q};
	const struct ops_http_way way = {ds->client, ds->tokens, &ds->settings->http};

	return ops_http_options_start(&way, &req, &done, &q->call, err);
}

static void run(struct asked *q)
{
	TAILQ_INSERT_TAIL(&q->ds->running, q, link);
	q->ds->nrunning++;
	q->running = true;
}

static void fail(struct asked *q, int rc, struct ops_error *err)
{
	struct det_rules_ask ask = q->ask;

	ops_error_prefix(err, "could not ask the datasource");
	ops_metric_add(&queries_total, 1, "failed");
	asked_free(q);
	ask.fn(ask.arg, rc, NULL, err);
}

static void start_more(struct det_datasource *ds)
{
	while (ds->nrunning < (size_t)ds->settings->concurrency && !TAILQ_EMPTY(&ds->waiting)) {
		struct asked *q = TAILQ_FIRST(&ds->waiting);
		struct ops_error err = {.line = 0};
		TAILQ_REMOVE(&ds->waiting, q, link);
		ds->nwaiting--;
		int rc = start(q, &err);
		if (rc == OPS_OAUTH2_WAIT) {
			TAILQ_INSERT_HEAD(&ds->waiting, q, link);
			ds->nwaiting++;
			ops_timer_start(ds->timer, TOKEN_WAIT_MS);
			break;
		}
		if (rc != 0) {
			fail(q, rc, &err);
			continue;
		}
		run(q);
	}
	ops_metric_set(&waiting_gauge, (double)ds->nwaiting);
}

static int ask(void *arg, const struct det_rules_ask *what, void **ret_handle)
{
	struct det_datasource *ds = arg;
	struct ops_strbuf form = OPS_STRBUF_INIT;
	struct asked *q = ops_xcalloc(1, sizeof(*q));

	q->ds = ds;
	q->ask = *what;
	ops_strbuf_adds(&form, "query=");
	ops_strbuf_add_url(&form, what->expr, strlen(what->expr));
	ops_strbuf_printf(&form, "&time=%.3f", (double)what->time_ms / 1000);
	q->form_len = form.len;
	q->form = ops_strbuf_take(&form);
	struct ops_error err = {.line = 0};
	bool full = ds->nrunning >= (size_t)ds->settings->concurrency;
	int rc = full ? 0 : start(q, &err);
	if (rc == OPS_OAUTH2_WAIT)
		ops_timer_start(ds->timer, TOKEN_WAIT_MS);
	if (full || rc == OPS_OAUTH2_WAIT) {
		TAILQ_INSERT_TAIL(&ds->waiting, q, link);
		ds->nwaiting++;
		*ret_handle = q;
		return 0;
	}
	if (rc != 0) {
		asked_free(q);
		return rc;
	}
	run(q);
	*ret_handle = q;
	return 0;
}

static void cancel(void *handle)
{
	struct asked *q = handle;
	struct det_datasource *ds = q->ds;

	if (q->call != NULL)
		ops_http_call_cancel(q->call);
	if (q->running) {
		TAILQ_REMOVE(&ds->running, q, link);
		ds->nrunning--;
	} else {
		TAILQ_REMOVE(&ds->waiting, q, link);
		ds->nwaiting--;
	}
	asked_free(q);
}

/* URL + /api/v1/query, in front of a query string where there is one. */
static char *query_url(const char *url)
{
	size_t path = strcspn(url, "?");
	size_t end = path;

	while (end > 0 && url[end - 1] == '/')
		end--;
	return ops_xasprintf("%.*s/api/v1/query%s", (int)end, url, url + path);
}

static void on_timer(void *arg)
{
	start_more(arg);
}

struct det_datasource *det_datasource_new(struct ops_loop *loop, struct ops_http_client *client,
	const struct det_datasource_settings *settings)
{
	struct det_datasource *ds = ops_xcalloc(1, sizeof(*ds));

	ds->client = client;
	ds->tokens = ops_oauth2_tokens_new(loop, client);
	ds->timer = ops_timer_new(loop, on_timer, ds);
	ds->settings = settings;
	ds->source = (struct det_rules_source){ask, cancel, ds};
	ds->url = query_url(settings->url);
	TAILQ_INIT(&ds->waiting);
	TAILQ_INIT(&ds->running);
	return ds;
}

void det_datasource_free(struct det_datasource *ds)
{
	if (ds == NULL)
		return;
	TAILQ_CONCAT(&ds->waiting, &ds->running, link);
	struct asked *q = TAILQ_FIRST(&ds->waiting);
	while (q != NULL) {
		struct asked *next = TAILQ_NEXT(q, link);
		if (q->call != NULL)
			ops_http_call_cancel(q->call);
		asked_free(q);
		q = next;
	}
	ops_timer_free(ds->timer);
	ops_oauth2_tokens_free(ds->tokens);
	free(ds->url);
	free(ds);
}

const struct det_rules_source *det_datasource_source(struct det_datasource *ds)
{
	return ds != NULL ? &ds->source : NULL;
}
