/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What handlers see of a request. All strings live in the request's arena until the end of the loop
 * turn in which it was answered, so a handler may still use them after its reply.
 *
 * When the client goes away, the handler may hold the request in a job of its own: with on_abort it
 * is told and lets go; without, the request stays, connectionless, until the handler replies into
 * the void.
 */
#include "common/net/http_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

struct ops_http_req *ops_http_req_new(
	struct ops_http_server *s, struct ops_http_conn *conn, struct ops_http_addr *addr)
{
	struct ops_http_req *req = ops_xcalloc(1, sizeof(*req));

	req->magic = REQ_MAGIC;
	req->server = s;
	req->conn = conn;
	req->addr = addr;
	req->begin_ns = ops_mono_ns();
	req->handler = "other";
	req->head.path = req->head.query = req->head.method = "";
	req->path = "";
	snprintf(req->identity.name, sizeof(req->identity.name), "anonymous");
	snprintf(req->remote, sizeof(req->remote), "%s", addr->text);
	ops_arena_init(&req->arena);
	LIST_INSERT_HEAD(&s->reqs, req, link);
	return req;
}

static void release(void *arg)
{
	struct ops_http_req *req = arg;

	ops_arena_done(&req->arena);
	ops_strbuf_done(&req->body);
	ops_strbuf_done(&req->headers);
	ops_http_params_done(&req->params);
	free(req);
}

void ops_http_req_free(struct ops_http_req *req)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	req->magic = 0;
	if (req->server == NULL) {
		release(req);
		return;
	}
	LIST_REMOVE(req, link);
	ops_loop_defer(req->server->loop, release, req);
}

void ops_http_req_abort(struct ops_http_req *req)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	req->conn = NULL;
	if (req->auth_job != NULL) {
		ops_auth_job_cancel(req->auth_job);
		req->auth_job = NULL;
		req->addr->password_checks--;
	}
	req->addr = NULL;
	if (req->handed_over && req->on_abort == NULL)
		return;
	if (req->on_abort != NULL) {
		req->aborting = true;
		req->on_abort(req, req->abort_arg);
	}
	ops_http_count_request(req->handler, ops_http_method_text(req->method), 499,
		ops_mono_ns() - req->begin_ns);
	ops_http_req_free(req);
}

void ops_http_on_abort(
	struct ops_http_req *req, void (*fn)(struct ops_http_req *, void *), void *arg)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	req->on_abort = fn;
	req->abort_arg = arg;
}

void ops_http_on_body(struct ops_http_req *req,
	void (*fn)(struct ops_http_req *, const void *data, size_t len, bool last), void *arg)
{
	OPS_MAGIC_CHECK(req, REQ_MAGIC);
	req->on_body = fn;
	req->body_arg = arg;
	if (req->conn != NULL)
		ops_http_conn_resume(req->conn);
}

void *ops_http_body_arg(const struct ops_http_req *req)
{
	return req->body_arg;
}

enum ops_http_method ops_http_method(const struct ops_http_req *req)
{
	return req->method;
}

const char *ops_http_path(const struct ops_http_req *req)
{
	return req->path;
}

const char *ops_http_segment(const struct ops_http_req *req, const char *name)
{
	for (size_t i = 0; i < req->match.ncaptures; i++) {
		if (strcmp(req->match.captures[i].name, name) == 0)
			return req->match.captures[i].value;
	}
	return NULL;
}

const char *ops_http_param(const struct ops_http_req *req, const char *name)
{
	for (size_t i = 0; i < req->params.n; i++) {
		if (strcmp(req->params.items[i].name, name) == 0)
			return req->params.items[i].value;
	}
	return NULL;
}

size_t ops_http_params(
	const struct ops_http_req *req, const char *name, const char **ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < req->params.n; i++) {
		if (strcmp(req->params.items[i].name, name) != 0)
			continue;
		if (n < max)
			ret[n] = req->params.items[i].value;
		n++;
	}
	return n;
}

const char *ops_http_header(const struct ops_http_req *req, const char *name)
{
	return ops_http_head_get(&req->head, name);
}

void ops_http_body(struct ops_http_req *req, const char **ret, size_t *ret_len)
{
	*ret = ops_strbuf_text(&req->body);
	*ret_len = req->body.len;
}

const char *ops_http_remote(const struct ops_http_req *req)
{
	return req->remote;
}

const char *ops_http_principal(const struct ops_http_req *req)
{
	return req->identity.name;
}

bool ops_http_authenticated(const struct ops_http_req *req)
{
	return req->identity.authenticated;
}

enum ops_role ops_http_role(const struct ops_http_req *req)
{
	return req->identity.role;
}

const char *ops_http_trace_id(const struct ops_http_req *req)
{
	return req->trace.trace_id;
}

const char *ops_http_traceparent(const struct ops_http_req *req)
{
	return req->trace.traceparent;
}

int ops_http_json(struct ops_http_req *req, json_t **ret)
{
	struct ops_error err = {.line = 0};
	size_t limit = req->server != NULL ? req->server->limits.body_bytes : req->body.len;

	int rc = ops_json_parse(ops_strbuf_text(&req->body), req->body.len, limit, ret, &err);
	if (rc == 0)
		return 0;
	ops_error_prefix(&err, "body is not the JSON that was expected");
	if (err.hint[0] == '\0')
		ops_error_hint(&err,
			"one JSON value in UTF-8; line and column say where it stops being one");
	ops_http_reply_error(req, rc == -EFBIG ? 413 : 400, &err);
	return -EINVAL;
}
