/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain requests go through the puller, which is made for them. The general client (curl) has what
 * is rare: proxies, and redirects, which a target keeps giving once it gave one.
 *
 * Secrets in files are read for every scrape, so that a rotated password takes effect without a
 * reload; they are small and local. Without body_size_limit a body may still not be larger than
 * BODY_MAX: one broken exporter must not take the collector's memory.
 */
#include "services/collector/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

#define BODY_MAX ((size_t)256 << 20)
#define USER_AGENT "User-Agent: ops-collector"

struct secrets {
	char *username, *password, *bearer, *authorization;
};

static void secrets_done(struct secrets *s)
{
	free(s->username);
	free(s->password);
	free(s->bearer);
	free(s->authorization);
}

static int secret_text(const char *text, const char *path, char **ret, struct ops_error *err)
{
	if (path == NULL) {
		*ret = ops_xstrdup(text);
		return 0;
	}
	int r = ops_file_read_secret(path, ret);
	return r == 0 ? 0
		      : ops_error_set(err, r, "could not read the secret file %s: %s", path,
				strerror(-r));
}

static int read_secrets(const struct col_auth *a, struct secrets *ret, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *credentials = NULL;
	int r = secret_text(a->username, a->username_file, &ret->username, err);
	if (r == 0) {
		r = secret_text(a->password, a->password_file, &ret->password, err);
	}
	if (r == 0) {
		r = secret_text(a->credentials, a->credentials_file, &credentials, err);
	}
	if (r == 0 && credentials != NULL && strcmp(a->type, "Bearer") == 0) {
		ret->bearer = ops_xstrdup(credentials);
	} else if (r == 0 && credentials != NULL) {
		ret->authorization = ops_xasprintf("Authorization: %s %s", a->type, credentials);
	}
	return r;
}

static size_t body_limit(const struct col_job *job)
{
	uint64_t limit = job->limits.body_bytes;
	return limit > 0 && limit < BODY_MAX ? (size_t)limit : BODY_MAX;
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

struct col_fetch *col_fetch_new(const struct col_fetch_config *cfg, const struct col_target *t)
{
	struct col_fetch *f = ops_xcalloc(1, sizeof(*f));
	f->cfg = *cfg;
	f->url = ops_xstrdup(t->url);
	bool direct = t->job->proxy_url == NULL || t->job->proxy_url[0] == '\0';
	if (direct && split_url(f)) {
		const struct col_origin origin = {
			.host = f->host, .port = f->port, .tls = f->use_tls ? &t->job->tls : NULL};
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

static void add_basic(struct ops_strbuf *out, const struct secrets *secrets)
{
	OPS_CLEANUP(ops_freep)
	char *pair = ops_xasprintf(
		"%s:%s", secrets->username, secrets->password != NULL ? secrets->password : "");
	OPS_CLEANUP(ops_freep) char *packed = ops_base64_encode(pair, strlen(pair));
	ops_strbuf_printf(out, "Authorization: Basic %s\r\n", packed);
}

static bool one_line(const char *s)
{
	return s == NULL || strpbrk(s, "\r\n") == NULL;
}

/* -EINVAL: a header or secret has a line break in it. */
static int write_head(const struct col_fetch *f, const struct col_target *t,
	const struct secrets *secrets, struct ops_strbuf *out)
{
	const struct col_job *job = t->job;
	char timeout[64];
	bool host = false, fine = one_line(secrets->bearer) && one_line(secrets->authorization);
	for (size_t i = 0; i < job->nheaders; i++) {
		host |= strncasecmp(job->headers[i], "Host:", 5) == 0;
		fine = fine && one_line(job->headers[i]);
	}
	if (!fine) {
		return -EINVAL;
	}
	timeout_text(t, timeout, sizeof(timeout));
	ops_strbuf_printf(out, "GET %s HTTP/1.1\r\n", f->path);
	if (!host) {
		ops_strbuf_printf(out, "Host: %.*s\r\n", f->authority_len, f->authority);
	}
	ops_strbuf_printf(out, USER_AGENT "\r\nAccept: %s\r\nAccept-Encoding: %s\r\n%s\r\n",
		job->accept, job->compression ? "gzip" : "identity", timeout);
	if (secrets->bearer != NULL) {
		ops_strbuf_printf(out, "Authorization: Bearer %s\r\n", secrets->bearer);
	} else if (secrets->authorization != NULL) {
		ops_strbuf_printf(out, "%s\r\n", secrets->authorization);
	} else if (secrets->username != NULL) {
		add_basic(out, secrets);
	}
	for (size_t i = 0; i < job->nheaders; i++) {
		ops_strbuf_printf(out, "%s\r\n", job->headers[i]);
	}
	ops_strbuf_adds(out, "\r\n");
	return 0;
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

static int client_start(struct col_fetch *f, const struct secrets *secrets, int64_t timeout_ms)
{
	const struct col_target *t = f->target;
	const struct col_job *job = t->job;
	OPS_CLEANUP(ops_freep) char *accept = ops_xasprintf("Accept: %s", job->accept);
	char timeout[64];
	timeout_text(t, timeout, sizeof(timeout));
	size_t n = 0;
	OPS_CLEANUP(ops_freep)
	const char **headers = ops_xcalloc(job->nheaders + 4, sizeof(*headers));
	headers[n++] = accept;
	headers[n++] = timeout;
	headers[n++] = USER_AGENT;
	for (size_t i = 0; i < job->nheaders; i++) {
		headers[n++] = job->headers[i];
	}
	if (secrets->authorization != NULL) {
		headers[n++] = secrets->authorization;
	}
	const struct ops_http_request req = {.url = t->url,
		.headers = headers,
		.nheaders = n,
		.timeout_ms = timeout_ms,
		.max_response_bytes = body_limit(job),
		.no_redirects = !job->follow_redirects,
		.gzip = job->compression,
		.basic_user = secrets->username,
		.basic_password = secrets->password,
		.bearer = secrets->bearer,
		.proxy_url = job->proxy_url,
		.tls = job->tls};
	return ops_http_call_start(f->cfg.client, &req, on_client, f, &f->call);
}

/* ---- by the puller ---- */

static bool is_redirect(int code)
{
	return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

/* The client asks again, in what is left of the time, and from now on at once. */
static int follow(struct col_fetch *f)
{
	OPS_CLEANUP(secrets_done) struct secrets secrets = {.username = NULL};
	struct ops_error err;
	int64_t left_ms = f->target->timeout_ms - (ops_mono_ns() - f->started_ns) / 1000000;
	int r = read_secrets(&f->target->job->auth, &secrets, &err);
	if (r == 0) {
		r = client_start(f, &secrets, OPS_MAX(left_ms, (int64_t)1));
	}
	f->redirects = r == 0;
	return r;
}

static void on_pull(void *arg, const struct ops_http_response *res)
{
	struct col_fetch *f = arg;
	bool redirect = res->outcome == OPS_HTTP_DONE && is_redirect(res->code) &&
			f->target->job->follow_redirects;
	if (!redirect || follow(f) != 0) {
		f->fn(f->arg, res);
	}
}

int col_fetch_start(struct col_fetch *f, const struct col_target *t,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_error *err)
{
	OPS_CLEANUP(secrets_done) struct secrets secrets = {.username = NULL};
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf head = OPS_STRBUF_INIT;
	int r = read_secrets(&t->job->auth, &secrets, err);
	if (r != 0) {
		return r;
	}
	f->target = t;
	f->fn = fn;
	f->arg = arg;
	f->started_ns = ops_mono_ns();
	if (f->connection == NULL || f->redirects) {
		r = client_start(f, &secrets, t->timeout_ms);
	} else {
		r = write_head(f, t, &secrets, &head);
	}
	if (r != 0) {
		return ops_error_set(err, r, "could not start the request: %s", strerror(-r));
	}
	if (f->call == NULL) {
		const struct col_pull pull = {.head = head.data,
			.len = head.len,
			.timeout_ms = t->timeout_ms,
			.max_body_bytes = body_limit(t->job),
			.fn = on_pull,
			.arg = f};
		col_pull_start(f->connection, &pull);
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
	return ops_exposition_format_of(type, t->job->fallback, ret_format, err);
}
