/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets in files are read for every scrape, so that a rotated password takes effect without a
 * reload; they are small and local. Without body_size_limit a body may still not be larger than
 * BODY_MAX: one broken exporter must not take the collector's memory.
 */
#include "services/collector/fetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"

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

int col_fetch_start(struct ops_http_client *client, const struct col_target *t,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_http_call **ret_call, struct ops_error *err)
{
	OPS_CLEANUP(secrets_done) struct secrets secrets = {.username = NULL};
	const struct col_job *job = t->job;
	int r = read_secrets(&job->auth, &secrets, err);
	if (r != 0) {
		return r;
	}
	OPS_CLEANUP(ops_freep) char *accept = ops_xasprintf("Accept: %s", job->accept);
	char timeout[64];
	snprintf(timeout, sizeof(timeout), "X-Prometheus-Scrape-Timeout-Seconds: %g",
		(double)t->timeout_ms / 1000);
	size_t n = 0;
	OPS_CLEANUP(ops_freep)
	const char **headers = ops_xcalloc(job->nheaders + 4, sizeof(*headers));
	headers[n++] = accept;
	headers[n++] = timeout;
	headers[n++] = USER_AGENT;
	for (size_t i = 0; i < job->nheaders; i++) {
		headers[n++] = job->headers[i];
	}
	if (secrets.authorization != NULL) {
		headers[n++] = secrets.authorization;
	}
	const struct ops_http_request req = {.url = t->url,
		.headers = headers,
		.nheaders = n,
		.timeout_ms = t->timeout_ms,
		.max_response_bytes = body_limit(job),
		.no_redirects = !job->follow_redirects,
		.gzip = job->compression,
		.basic_user = secrets.username,
		.basic_password = secrets.password,
		.bearer = secrets.bearer,
		.proxy_url = job->proxy_url,
		.tls = job->tls};
	r = ops_http_call_start(client, &req, fn, arg, ret_call);
	return r == 0 ? 0 : ops_error_set(err, r, "could not start the request: %s", strerror(-r));
}

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
