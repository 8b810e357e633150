/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a complete request to its handler, in this order: rate of the address, route, origin, syntax
 * of path and parameters, who is calling, which route, may they. Credentials that are present and
 * wrong are refused on every path, even an open one: a client with a mistyped password must not
 * believe that it works. Who has no role at all gets 401 before 404, so that nobody can list the
 * paths of a closed door.
 */
#include "common/net/http_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/log/log.h"

enum {
	CHECKS_PER_ADDR = 8
};

static void refuse(struct ops_http_req *req, int code, const char *reason, const char *message)
{
	struct ops_error err = {.line = 0};

	ops_http_count_refused(reason);
	(void)ops_error_set(&err, 0, "%s", message);
	ops_http_reply_error(req, code, &err);
}

static void unauthorized(struct ops_http_req *req, const char *message)
{
	char challenge[192];

	snprintf(challenge, sizeof(challenge), "Basic realm=\"%s\", charset=\"UTF-8\"",
		req->server->service);
	ops_http_reply_header(req, "WWW-Authenticate", challenge);
	if (req->server->web->ntokens > 0)
		ops_http_reply_header(req, "WWW-Authenticate", "Bearer");
	refuse(req, 401, "unauthorized", message);
}

static void forbidden(struct ops_http_req *req, enum ops_role least)
{
	struct ops_error err = {.line = 0};

	ops_http_count_refused("forbidden");
	(void)ops_error_set(&err, 0, "%s has role %s, this needs %s", req->identity.name,
		ops_role_text(req->identity.role), ops_role_text(least));
	ops_http_reply_error(req, 403, &err);
}

static void wrong_method(struct ops_http_req *req, unsigned allowed)
{
	struct ops_error err = {.line = 0};
	const char *text = ops_http_methods_text(&req->arena, allowed | OPS_OPTIONS);

	ops_http_reply_header(req, "Allow", text);
	if (req->method == OPS_OPTIONS) {
		ops_http_reply(req, 204, NULL, NULL, 0);
		return;
	}
	(void)ops_error_set(&err, 0, "method %s is not allowed for %s",
		ops_http_method_text(req->method), req->path);
	ops_error_hint(&err, "%s", text);
	ops_http_reply_error(req, 405, &err);
}

static void not_found(struct ops_http_req *req)
{
	struct ops_error err = {.line = 0};

	(void)ops_error_set(&err, 0, "no such path: %s", req->path);
	ops_http_reply_error(req, 404, &err);
}

static void unknown_path(struct ops_http_req *req)
{
	const struct ops_http_server *s = req->server;

	req->handed_over = s->fallback != NULL;
	if (s->fallback != NULL && s->fallback(req, s->fallback_arg))
		return;
	req->handed_over = false;
	not_found(req);
}

static void route(struct ops_http_req *req)
{
	struct ops_http_server *s = req->server;
	struct ops_http_match *m = &req->match;
	enum ops_role least = m->route != NULL ? m->route->least : OPS_ROLE_VIEWER;

	if (req->identity.role < least) {
		if (req->identity.authenticated)
			forbidden(req, least);
		else if (s->web->nusers + s->web->ntokens > 0)
			unauthorized(req, "credentials are required");
		else
			forbidden(req, least);
		return;
	}
	if (m->route == NULL && m->allowed == 0) {
		unknown_path(req);
		return;
	}
	if (m->route == NULL) {
		wrong_method(req, m->allowed);
		return;
	}
	req->handed_over = true;
	ops_log_set_trace(req->trace.trace_id); /* of what the handler logs in this turn */
	m->route->fn(req, m->route->arg);
	ops_log_set_trace(NULL);
}

static void on_password_checked(void *arg, bool yes)
{
	struct ops_http_req *req = arg;

	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	req->auth_job = NULL;
	req->addr->password_checks--;
	if (yes) {
		route(req);
		return;
	}
	req->identity = (struct ops_identity){.name = "anonymous"};
	unauthorized(req, "wrong user name or password");
}

static void check_password(struct ops_http_req *req, const struct ops_credentials *c)
{
	struct ops_http_server *s = req->server;
	struct ops_auth_job *job = NULL;
	struct ops_identity identity = {.role = OPS_ROLE_NONE};

	if (req->addr->password_checks >= CHECKS_PER_ADDR) {
		ops_http_reply_header(req, "Retry-After", "1");
		refuse(req, 429, "password_checks", "too many password checks at a time");
		return;
	}
	switch (ops_auth_password(s->auth, s->web, c, &identity, &job)) {
	case OPS_AUTH_YES:
		req->identity = identity;
		route(req);
		break;
	case OPS_AUTH_NO:
		unauthorized(req, "wrong user name or password");
		break;
	case OPS_AUTH_LATER:
		req->identity = identity;
		req->auth_job = job;
		req->addr->password_checks++;
		ops_auth_job_notify(job, on_password_checked, req);
		break;
	case OPS_AUTH_BUSY:
		ops_http_reply_header(req, "Retry-After", "1");
		refuse(req, 429, "password_checks", "too many password checks at a time");
		break;
	}
}

static void authenticate(struct ops_http_req *req, const struct ops_credentials *c)
{
	struct ops_http_server *s = req->server;

	switch (c->scheme) {
	case OPS_AUTH_NONE:
		req->identity.role =
			s->web->anonymous_role_set ? s->web->anonymous_role : s->anonymous_role;
		route(req);
		break;
	case OPS_AUTH_BASIC:
		check_password(req, c);
		break;
	case OPS_AUTH_BEARER:
		if (ops_auth_bearer(s->web, c->secret, &req->identity))
			route(req);
		else
			unauthorized(req, "unknown token");
		break;
	case OPS_AUTH_MALFORMED:
		unauthorized(req, "the Authorization header is malformed or of an unknown scheme");
		break;
	}
}

static bool has_form(const struct ops_http_req *req)
{
	static const char form[] = "application/x-www-form-urlencoded";
	const char *type = ops_http_head_get(&req->head, "Content-Type");
	const struct ops_http_route *route = req->match.route;
	if (route != NULL && (route->methods & (OPS_RAW_BODY | OPS_STREAM_BODY)) != 0)
		return false;
	if (type == NULL || strncasecmp(type, form, sizeof(form) - 1) != 0)
		return false;
	char end = type[sizeof(form) - 1];
	return end == '\0' || end == ';' || end == ' ';
}

static int parse_params(struct ops_http_req *req)
{
	int rc = 0;
	if (has_form(req))
		rc = ops_http_params_parse(
			&req->arena, ops_strbuf_text(&req->body), req->body.len, &req->params);
	return rc != 0 ? rc
		       : ops_http_params_parse(&req->arena, req->head.query,
				 strlen(req->head.query), &req->params);
}

static int parse_path(struct ops_http_req *req)
{
	const char *raw = req->head.path;

	if (strcmp(raw, "*") == 0)
		raw = "/"; /* OPTIONS *: about the server as a whole */
	req->path = ops_http_percent_decode(&req->arena, raw, strlen(raw), false);
	if (req->path == NULL) {
		req->path = "";
		return -EINVAL;
	}
	int rc = ops_http_router_match(
		&req->server->router, &req->arena, raw, req->method, &req->match);
	if (rc == 0 && req->match.route != NULL)
		req->handler = req->match.route->pattern;
	return rc;
}

bool ops_http_streams_body(struct ops_http_req *req)
{
	struct ops_http_match m;

	return req->server->streams &&
	       ops_http_router_match(
		       &req->server->router, &req->arena, req->head.path, req->method, &m) == 0 &&
	       m.route != NULL && (m.route->methods & OPS_STREAM_BODY) != 0;
}

/*
 * A page of another site asks a browser to change something here, with whatever rights the
 * browser's user has (by address, or by remembered credentials). Browsers say so in Sec-Fetch-Site,
 * older ones by an Origin that is not us.
 */
static bool is_cross_site(const struct ops_http_req *req)
{
	const char *site = ops_http_head_get(&req->head, "Sec-Fetch-Site");
	const char *origin = ops_http_head_get(&req->head, "Origin");
	const char *host = ops_http_head_get(&req->head, "Host");

	const struct ops_http_route *route = req->match.route;

	if (((unsigned)req->method & (OPS_GET | OPS_HEAD | OPS_OPTIONS)) != 0)
		return false;
	if (route != NULL && (route->methods & OPS_SAFE_POST) != 0)
		return false;
	if (site != NULL)
		return strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
	if (origin == NULL)
		return false;
	const char *authority = strstr(origin, "://");
	return authority == NULL || !ops_str_eq(authority + 3, host);
}

void ops_http_dispatch(struct ops_http_req *req)
{
	struct ops_credentials c;

	ops_trace_init(&req->trace, ops_http_head_get(&req->head, "traceparent"));
	if (!ops_http_guard_take(&req->server->guard, req->addr, ops_mono_ms())) {
		ops_http_reply_header(req, "Retry-After", "1");
		refuse(req, 429, "rate", "too many requests from this address");
		return;
	}
	if (parse_path(req) != 0) {
		refuse(req, 400, "path", "malformed path");
		return;
	}
	if (is_cross_site(req)) {
		refuse(req, 403, "cross_site",
			"a change asked for by a page of another site is refused");
		return;
	}
	if (parse_params(req) != 0) {
		refuse(req, 400, "parameters", "malformed or too many parameters");
		return;
	}
	ops_credentials_parse(ops_http_head_get(&req->head, "Authorization"), &c);
	authenticate(req, &c);
	ops_credentials_done(&c);
}
