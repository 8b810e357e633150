/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several GETs that make one look: all succeed, or the look failed. A reply has a size limit, JSON
 * a depth limit (the parser's), and an answer that is not JSON says what came instead.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "services/collector/discovery/sd.h"

enum {
	TIMEOUT_MS = 30000,
	TOKEN_WAIT_MS = 100
};

struct part {
	struct col_sd_fetch *whole;
	char *url;
	struct ops_http_call *call;
	json_t *reply;
};

struct col_sd_fetch {
	struct col_sd *sd;
	size_t n, missing;
	bool freed; /* while calls are cancelled */
	struct part parts[];
};

void col_sd_fetch_free(struct col_sd_fetch *f)
{
	if (f == NULL || f->freed) {
		return;
	}
	f->freed = true;
	for (size_t i = 0; i < f->n; i++) {
		struct ops_http_call *call = f->parts[i].call;
		f->parts[i].call = NULL;
		if (call != NULL) {
			ops_http_call_cancel(call);
		}
		json_decref(f->parts[i].reply);
		free(f->parts[i].url);
	}
	free(f);
}

static struct col_sd *end(struct col_sd_fetch *f)
{
	struct col_sd *sd = f->sd;
	sd->fetch = NULL;
	col_sd_fetch_free(f);
	return sd;
}

static void fail(struct part *p, const char *what, const char *more)
{
	char url[100];
	snprintf(url, sizeof(url), "%s", p->url);
	col_sd_failed(end(p->whole), "%s: %s%.100s", url, what, more);
}

static void finish(struct col_sd_fetch *f)
{
	json_t *replies[8] = {NULL};
	struct col_sd *sd = f->sd;
	for (size_t i = 0; i < f->n; i++) {
		replies[i] = f->parts[i].reply;
	}
	sd->fetch = NULL; /* the class may begin the next */
	sd->class->on_replies(sd, replies);
	col_sd_fetch_free(f);
}

static void on_reply(void *arg, const struct ops_http_response *res)
{
	struct part *p = arg;
	struct ops_error err;
	char text[160];
	p->call = NULL;
	if (res->outcome == OPS_HTTP_CANCELLED) {
		if (!p->whole->freed) {
			(void)end(p->whole);
		}
		return;
	}
	if (res->outcome != OPS_HTTP_DONE) {
		fail(p, "", res->error);
		return;
	}
	if (res->code != 200) {
		snprintf(text, sizeof(text), "HTTP status %d: ", res->code);
		OPS_CLEANUP(ops_freep) char *body = ops_xstrndup(res->body, OPS_MIN(res->len, 100));
		body[strcspn(body, "\r\n")] = '\0';
		fail(p, text, body);
		return;
	}
	if (ops_json_parse(res->body, res->len, COL_SD_BODY_MAX, &p->reply, &err) != 0) {
		snprintf(text, sizeof(text), "line %d, column %d: ", err.line, err.column);
		fail(p, text, err.message);
		return;
	}
	if (--p->whole->missing == 0) {
		finish(p->whole);
	}
}

int col_sd_fill(struct col_sd *sd, const struct ops_http_options *http,
	struct ops_http_request *req, struct ops_http_hold *hold, struct ops_error *err)
{
	return ops_http_options_apply(sd->env->tokens, http, req, hold, err);
}

static int start_part(struct part *p, const struct col_sd_server *server, struct ops_error *err)
{
	struct col_sd *sd = p->whole->sd;
	char interval[64];
	const char *const own[] = {
		"Accept: application/json", "User-Agent: ops-collector", interval};
	int64_t ms = sd->class->interval_ms != NULL ? sd->class->interval_ms(sd) : 0;
	snprintf(interval, sizeof(interval), "X-Prometheus-Refresh-Interval-Seconds: %g",
		(double)ms / 1000);
	OPS_CLEANUP(ops_http_hold_done) struct ops_http_hold hold = {.n = 0};
	struct ops_http_request req = {.url = p->url,
		.headers = own,
		.nheaders = OPS_LENGTH(own),
		.timeout_ms = TIMEOUT_MS,
		.max_response_bytes = COL_SD_BODY_MAX,
		.gzip = true,
		.unix_socket = server->unix_socket};
	int r = col_sd_fill(sd, server->http, &req, &hold, err);
	if (r != 0) {
		return r;
	}
	r = ops_http_call_start(sd->env->client, &req, on_reply, p, &p->call);
	return r == 0 ? 0 : ops_error_set(err, r, "could not start: %s", strerror(-r));
}

void col_sd_get(
	struct col_sd *sd, const struct col_sd_server *server, const char *const *urls, size_t n)
{
	ops_assert(n > 0 && n <= 8);
	col_sd_fetch_free(sd->fetch);
	struct col_sd_fetch *f = ops_xcalloc(1, sizeof(*f) + n * sizeof(f->parts[0]));
	sd->fetch = f;
	f->sd = sd;
	f->n = f->missing = n;
	for (size_t i = 0; i < n; i++) {
		f->parts[i].whole = f;
		f->parts[i].url = ops_xstrdup(urls[i]);
	}
	for (size_t i = 0; i < n; i++) {
		struct ops_error err;
		int r = start_part(&f->parts[i], server, &err);
		if (r == OPS_OAUTH2_WAIT) {
			(void)end(f);
			col_sd_again(sd, TOKEN_WAIT_MS);
			return;
		}
		if (r != 0) {
			fail(&f->parts[i], "", err.message);
			return;
		}
	}
}

/* ---- JSON from outside ---- */

const char *col_json_text(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));
	return text != NULL ? text : "";
}

const json_t *col_json_at(const json_t *obj, const char *key, ...)
{
	va_list ap;
	va_start(ap, key);
	for (const char *k = key; k != NULL && obj != NULL; k = va_arg(ap, const char *)) {
		obj = json_object_get(obj, k);
	}
	va_end(ap);
	return obj;
}

const char *col_json_scalar(const json_t *value, char buf[32])
{
	if (json_is_integer(value)) {
		snprintf(buf, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		return buf;
	}
	if (json_is_boolean(value)) {
		return json_is_true(value) ? "true" : "false";
	}
	const char *text = json_string_value(value);
	return text != NULL ? text : "";
}
