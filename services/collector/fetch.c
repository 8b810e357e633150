/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain requests go through the puller, which is made for them. The general client (curl) has what
 * is rare: proxies, and redirects, which a target keeps giving once it gave one.
 *
 * Secrets in files are read for every scrape, so that a rotated password takes effect without a
 * reload; they are small and local. Without any a request is the same every time and written once.
 * Without body_size_limit a body may still not be larger than BODY_MAX: one broken exporter must
 * not take the collector's memory.
 */
#include "services/collector/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

#define BODY_MAX ((size_t)256 << 20)
#define USER_AGENT "User-Agent: ops-collector"

static size_t body_limit(const struct col_job *job)
{
	uint64_t limit = job->limits.body_bytes;
	return limit > 0 && limit < BODY_MAX ? (size_t)limit : BODY_MAX;
}

int col_fetch_token(struct ops_oauth2_tokens *tokens, const struct col_target *t, const char **ret,
	struct ops_error *err)
{
	const struct ops_http_options *http = &t->job->http;
	return http->has_oauth2 ? ops_oauth2_tokens_get(tokens, &http->oauth2, ret, err) : 0;
}

/* ---- the request ---- */

struct col_fetch {
	struct col_fetch_config cfg;
	char *host; /* NULL: the URL is nothing for the puller */
	uint16_t port;
	bool use_tls;
	const char *authority; /* in url */
	int authority_len;
	const char *path; /* in url */
	char *url;
	struct col_connection *connection;
	int64_t head_timeout_ms; /* the connection's head has it and holds for all; 0: none does */
	struct ops_http_call *call;
	bool redirects;			 /* the target answered with one: the client follows it */
	const struct col_target *target; /* while under way */
	int64_t started_ns;
	void (*fn)(void *arg, const struct ops_http_response *res);
	void *arg;
};

/* http[s]://host[:port]/path; what it does not understand is left to the client. */
static bool split_url(struct col_fetch *f)
{
	bool tls = ops_str_starts(f->url, "https://");
	if (!tls && !ops_str_starts(f->url, "http://")) {
		return false;
	}
	const char *from = strstr(f->url, "://") + 3, *end = from + strcspn(from, "/?#");
	const char *host = from, *host_end = from + strcspn(from, ":/?#");
	if (*from == '[') {
		host = from + 1;
		host_end = memchr(host, ']', (size_t)(end - host));
		if (host_end == NULL) {
			return false;
		}
	}
	const char *port = *from == '[' ? host_end + 1 : host_end;
	uint64_t number = tls ? 443 : 80;
	if (port < end &&
		(*port != ':' || ops_parse_u64(port + 1, (size_t)(end - port) - 1, &number) != 0)) {
		return false;
	}
	bool odd = memchr(from, '@', (size_t)(end - from)) != NULL || *end != '/' ||
		   host == host_end || number == 0 || number > 65535;
	for (const char *s = f->url; *s != '\0'; s++) {
		odd |= (unsigned char)*s <= ' ' || *s == 0x7f || *s == '#';
	}
	if (odd) {
		return false;
	}
	f->host = ops_xstrndup(host, (size_t)(host_end - host));
	f->port = (uint16_t)number;
	f->use_tls = tls;
	f->authority = from;
	f->authority_len = (int)(end - from);
	f->path = end;
	return true;
}

/* What only the client can: a proxy, certificates that are not in files, chosen TLS versions. */
static bool is_rare(const struct col_target *t)
{
	const struct ops_tls_client *tls = &t->job->http.tls;
	OPS_CLEANUP(ops_freep) char *proxy = ops_proxy_for(&t->job->http.proxy, t->url);
	return proxy != NULL || tls->ca != NULL || tls->cert != NULL || tls->key != NULL ||
	       tls->min_version != OPS_TLS_DEFAULT || tls->max_version != OPS_TLS_DEFAULT;
}

struct col_fetch *col_fetch_new(const struct col_fetch_config *cfg, const struct col_target *t)
{
	struct col_fetch *f = ops_xcalloc(1, sizeof(*f));
	f->cfg = *cfg;
	f->url = ops_xstrdup(t->url);
	if (!is_rare(t) && split_url(f)) {
		const struct col_origin origin = {.host = f->host,
			.port = f->port,
			.tls = f->use_tls ? &t->job->http.tls : NULL};
		f->connection = col_connection_new(cfg->puller, &origin);
	}
	return f;
}

void col_fetch_cancel(struct col_fetch *f)
{
	if (f->connection != NULL) {
		col_pull_cancel(f->connection);
	}
	if (f->call != NULL) {
		f->fn = NULL;
		ops_http_call_cancel(f->call);
		f->call = NULL;
	}
}

void col_fetch_free(struct col_fetch *f)
{
	if (f == NULL) {
		return;
	}
	col_fetch_cancel(f);
	col_connection_free(f->connection);
	free(f->host);
	free(f->url);
	free(f);
}

static void timeout_text(const struct col_target *t, char *buf, size_t size)
{
	snprintf(
		buf, size, "X-Prometheus-Scrape-Timeout-Seconds: %g", (double)t->timeout_ms / 1000);
}

static void add_basic(struct ops_strbuf *out, const struct ops_http_request *req)
{
	OPS_CLEANUP(ops_freep)
	char *pair = ops_xasprintf(
		"%s:%s", req->basic_user, req->basic_password != NULL ? req->basic_password : "");
	OPS_CLEANUP(ops_freep) char *packed = ops_base64_encode(pair, strlen(pair));
	ops_strbuf_printf(out, "Authorization: Basic %s\r\n", packed);
}

static bool one_line(const char *s)
{
	return s == NULL || strpbrk(s, "\r\n") == NULL;
}

/* -EINVAL: a header or secret has a line break in it. */
static int write_head(
	const struct col_fetch *f, const struct ops_http_request *req, struct ops_strbuf *out)
{
	bool fine = one_line(req->bearer);
	for (size_t i = 0; i < req->nheaders; i++) {
		fine = fine && one_line(req->headers[i]);
	}
	if (!fine) {
		return -EINVAL;
	}
	ops_strbuf_printf(out, "GET %s HTTP/1.1\r\nHost: %.*s\r\nAccept-Encoding: %s\r\n", f->path,
		f->authority_len, f->authority, req->gzip ? "gzip" : "identity");
	if (req->bearer != NULL) {
		ops_strbuf_printf(out, "Authorization: Bearer %s\r\n", req->bearer);
	} else if (req->basic_user != NULL) {
		add_basic(out, req);
	}
	for (size_t i = 0; i < req->nheaders; i++) {
		ops_strbuf_printf(out, "%s\r\n", req->headers[i]);
	}
	ops_strbuf_adds(out, "\r\n");
	return 0;
}

/* The request as the settings of the target's job want it. */
static int prepare(struct col_fetch *f, struct ops_http_request *req, struct ops_http_hold *hold,
	struct ops_error *err)
{
	const struct col_target *t = f->target;
	const struct col_job *job = t->job;
	OPS_CLEANUP(ops_freep) char *accept = ops_xasprintf("Accept: %s", job->accept);
	char timeout[64];
	timeout_text(t, timeout, sizeof(timeout));
	const char *const headers[] = {
		ops_http_keep(hold, accept), ops_http_keep(hold, timeout), USER_AGENT};
	*req = (struct ops_http_request){.url = t->url,
		.headers = headers,
		.nheaders = OPS_LENGTH(headers),
		.timeout_ms = t->timeout_ms,
		.max_response_bytes = body_limit(job),
		.gzip = job->compression};
	int r = ops_http_options_apply(f->cfg.tokens, &job->http, req, hold, err);
	return r == OPS_OAUTH2_WAIT
		       ? ops_error_set(err, -EAGAIN, "the access token has not come yet")
		       : r;
}

/* ---- by the client ---- */

static void on_client(void *arg, const struct ops_http_response *res)
{
	struct col_fetch *f = arg;
	f->call = NULL;
	if (f->fn != NULL) {
		f->fn(f->arg, res);
	}
}

static int client_start(struct col_fetch *f, const struct ops_http_request *req)
{
	return ops_http_call_start(f->cfg.client, req, on_client, f, &f->call);
}

/* ---- by the puller ---- */

static bool is_redirect(int code)
{
	return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

/* The client asks again, in what is left of the time, and from now on at once. */
static int follow(struct col_fetch *f)
{
	OPS_CLEANUP(ops_http_hold_done) struct ops_http_hold hold = {.n = 0};
	struct ops_http_request req;
	struct ops_error err;
	int64_t left_ms = f->target->timeout_ms - (ops_mono_ns() - f->started_ns) / 1000000;
	int r = prepare(f, &req, &hold, &err);
	if (r == 0) {
		req.timeout_ms = OPS_MAX(left_ms, (int64_t)1);
		r = client_start(f, &req);
	}
	f->redirects = r == 0;
	return r;
}

static void on_pull(void *arg, const struct ops_http_response *res)
{
	struct col_fetch *f = arg;
	bool redirect = res->outcome == OPS_HTTP_DONE && is_redirect(res->code) &&
			f->target->job->http.follow_redirects;
	if (!redirect || follow(f) != 0) {
		f->fn(f->arg, res);
	}
}

static void pull_start(struct col_fetch *f, const char *head, size_t len)
{
	const struct col_pull pull = {.head = head,
		.len = len,
		.timeout_ms = f->target->timeout_ms,
		.max_body_bytes = body_limit(f->target->job),
		.fn = on_pull,
		.arg = f};
	col_pull_start(f->connection, &pull);
}

int col_fetch_start(struct col_fetch *f, const struct col_target *t,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_error *err)
{
	OPS_CLEANUP(ops_http_hold_done) struct ops_http_hold hold = {.n = 0};
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf head = OPS_STRBUF_INIT;
	struct ops_http_request req;
	f->target = t;
	f->fn = fn;
	f->arg = arg;
	f->started_ns = ops_mono_ns();
	if (f->head_timeout_ms == t->timeout_ms && !f->redirects) {
		pull_start(f, NULL, 0);
		return 0;
	}
	int r = prepare(f, &req, &hold, err);
	if (r != 0) {
		return r;
	}
	if (f->connection == NULL || f->redirects) {
		r = client_start(f, &req);
	} else {
		r = write_head(f, &req, &head);
	}
	if (r != 0) {
		return ops_error_set(err, r, "could not start the request: %s", strerror(-r));
	}
	if (f->call == NULL) {
		bool constant = ops_http_options_constant(&t->job->http);
		f->head_timeout_ms = constant ? t->timeout_ms : 0;
		pull_start(f, head.data, head.len);
	}
	return 0;
}

/* ---- the answer ---- */

static const char *outcome_reason(enum ops_http_outcome o)
{
	switch (o) {
	case OPS_HTTP_TIMEOUT:
		return "timeout";
	case OPS_HTTP_REFUSED:
		return "refused";
	case OPS_HTTP_UNRESOLVED:
		return "unresolved";
	case OPS_HTTP_TLS:
		return "tls";
	case OPS_HTTP_TOO_BIG:
		return "too_big";
	case OPS_HTTP_DONE:
	case OPS_HTTP_FAILED:
	case OPS_HTTP_CANCELLED:
		return "failed";
	}
	return "failed";
}

int col_fetch_check(const struct col_target *t, const struct ops_http_response *res,
	enum ops_exposition_format *ret_format, const char **ret_reason, struct ops_error *err)
{
	if (res->outcome == OPS_HTTP_TOO_BIG) {
		*ret_reason = outcome_reason(res->outcome);
		return ops_error_set(
			err, -EINVAL, "body_size_limit of %zu bytes exceeded", body_limit(t->job));
	}
	if (res->outcome == OPS_HTTP_TIMEOUT) {
		*ret_reason = outcome_reason(res->outcome);
		return ops_error_set(err, -EINVAL, "scrape_timeout of %g s exceeded",
			(double)t->timeout_ms / 1000);
	}
	if (res->outcome != OPS_HTTP_DONE) {
		*ret_reason = outcome_reason(res->outcome);
		return ops_error_set(
			err, -EINVAL, "%s", res->error != NULL ? res->error : "the request failed");
	}
	if (res->code != 200) {
		*ret_reason = "status";
		return ops_error_set(err, -EINVAL, "server returned HTTP status %d", res->code);
	}
	*ret_reason = "content_type";
	const char *type = res->content_type != NULL ? res->content_type : "";
	if (ops_exposition_is_protobuf(type)) {
		*ret_format = OPS_EXPOSITION_PROTO;
		return 0;
	}
	return ops_exposition_format_of(type, t->job->fallback, ret_format, err);
}
