/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP door: POST /ops/change (X-User, any JSON), and what an auditor reads: the records, the
 * last checkpoint, the key, the state. The proof itself is not served: whoever doubts the log
 * should not have to ask the log. `opsctl audit verify` makes it from SQL and the key.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/metrics/metrics.h"
#include "services/auditlog/auditlog.h"

static struct ops_metric metric_refused = OPS_COUNTER(
	"ops_auditlog_refused_total", "Requests to append that are not records.", "door");

/* ---- POST /ops/change ---- */

struct change_call {
	struct ops_http_req *req;
	struct aud_waiter *waiter;
	char id[37];
};

static void on_outcome(void *arg, const struct aud_outcome *o)
{
	struct change_call *call = arg;
	json_t *answer = json_object();

	ops_json_set_bool(answer, "logged", o->code == 0);
	ops_json_set_string(answer, "id", call->id);
	if (o->code < 0) {
		ops_json_set_string(answer, "error", strerror(-o->code));
	} else {
		ops_json_set(
			answer, "seq", o->seq > 0 ? json_integer((json_int_t)o->seq) : json_null());
		ops_json_set_string(answer, "durable", o->durable);
	}
	ops_http_reply_json(call->req, o->code < 0 ? 503 : 200, answer);
	free(call);
}

/* The client went away; the record is kept all the same. */
static void on_abort(struct ops_http_req *req, void *arg)
{
	struct change_call *call = arg;

	(void)req;
	aud_waiter_cancel(call->waiter);
	free(call);
}

static void refuse(struct ops_http_req *req, int code, const struct ops_error *err)
{
	ops_metric_add(&metric_refused, 1, "http");
	ops_http_reply_error(req, code == -ENOSPC || code == -EIO ? 503 : 400, err);
}

static void post_change(struct ops_http_req *req, void *arg)
{
	struct aud *a = arg;
	OPS_JSON_AUTO *body = NULL;
	struct ops_change c;
	struct ops_error err = {.line = 0};
	bool known = ops_http_authenticated(req);
	const struct aud_caller by = {.user = ops_http_header(req, "X-User"),
		.service = known ? ops_http_principal(req) : "http",
		.source_addr = ops_http_remote(req),
		.trace_id = ops_http_trace_id(req)};

	if (ops_http_json(req, &body) < 0) {
		ops_metric_add(&metric_refused, 1, "http");
		return;
	}
	int code = aud_change_from_body(body, &by, &c, &err);
	if (code < 0) {
		refuse(req, code, &err);
		return;
	}
	struct change_call *call = ops_xcalloc(1, sizeof(*call));
	call->req = req;
	code = aud_intake_add(a->intake, &c, on_outcome, call, &call->waiter, &err);
	memcpy(call->id, c.id, sizeof(call->id));
	ops_change_done(&c);
	if (code < 0) {
		free(call);
		refuse(req, code, &err);
		return;
	}
	ops_http_on_abort(req, on_abort, call);
}

/* ---- GET /v1/records ---- */

struct records_call {
	struct ops_http_req *req; /* NULL: the client went away */
};

static void on_records_abort(struct ops_http_req *req, void *arg)
{
	struct records_call *call = arg;

	(void)req;
	call->req = NULL;
}

/* Bodies are JSON already: they are put in as they are, so the reader can hash them. */
static void on_records(void *arg, const struct ops_pg_result *r)
{
	struct records_call *call = arg;
	struct ops_strbuf out = OPS_STRBUF_INIT;

	if (call->req == NULL) {
		free(call);
		return;
	}
	if (r->outcome != OPS_PG_OK) {
		struct ops_error err;
		ops_error_set(&err, -EIO, "the database could not answer: %s", r->message);
		ops_http_reply_error(call->req, 503, &err);
		free(call);
		return;
	}
	ops_strbuf_adds(&out, "{\"records\":[");
	for (int row = 0; row < r->rows; row++)
		ops_strbuf_printf(&out,
			"%s{\"seq\":%s,\"at\":\"%s\",\"leaf\":\"%s\",\"chain\":\"%s\",\"record\":%"
			"s}",
			row > 0 ? ",\n" : "\n", ops_pg_value(r, row, 0), ops_pg_value(r, row, 4),
			ops_pg_value(r, row, 1), ops_pg_value(r, row, 2), ops_pg_value(r, row, 3));
	ops_strbuf_printf(
		&out, "],\n\"next\":%s}\n", r->rows > 0 ? ops_pg_value(r, r->rows - 1, 0) : "null");
	ops_http_reply(call->req, 200, "application/json", out.data, out.len);
	ops_strbuf_done(&out);
	free(call);
}

static int number_param(const struct ops_http_req *req, const char *name, int64_t max,
	int64_t *value, struct ops_error *err)
{
	const char *text = ops_http_param(req, name);
	int64_t v;

	if (text == NULL)
		return 0;
	if (ops_parse_i64(text, strlen(text), &v) < 0 || v < 0 || v > max)
		return ops_error_set(
			err, -EINVAL, "%s must be a number from 0 to %lld", name, (long long)max);
	*value = v;
	return 0;
}

/* Without `after` the newest. %s: the direction, so that the key's index serves both ends. */
#define RECORDS_SQL                                                                                \
	"SELECT seq, leaf, chain, body, to_char(at, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM ("   \
	"SELECT seq, encode(leaf, 'hex') AS leaf, encode(chain, 'hex') AS chain, body, "           \
	"at AT TIME ZONE 'UTC' AS at FROM audit.records WHERE seq > $1 "                           \
	"AND ($3::text IS NULL OR body::jsonb ->> 'actor' = $3) "                                  \
	"AND ($4::text IS NULL OR body::jsonb ->> 'object' = $4) "                                 \
	"AND ($5::text IS NULL OR body::jsonb ->> 'action' = $5) "                                 \
	"AND ($6::text IS NULL OR body::jsonb ->> 'alert' = $6) "                                  \
	"ORDER BY seq %s LIMIT $2) r ORDER BY seq"

static void get_records(struct ops_http_req *req, void *arg)
{
	struct aud *a = arg;
	struct ops_pg *pg = aud_sequencer_pg(a->sequencer);
	struct ops_error err = {.line = 0};
	int64_t after = 0, limit = 100;
	char after_text[24], limit_text[24];

	if (number_param(req, "after", INT64_MAX, &after, &err) < 0 ||
		number_param(req, "limit", 1000, &limit, &err) < 0) {
		ops_http_reply_error(req, 400, &err);
		return;
	}
	snprintf(after_text, sizeof(after_text), "%lld", (long long)after);
	snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);
	const char *params[] = {after_text, limit_text, ops_http_param(req, "actor"),
		ops_http_param(req, "object"), ops_http_param(req, "action"),
		ops_http_param(req, "alert")};
	OPS_CLEANUP(ops_freep)
	char *sql =
		ops_xasprintf(RECORDS_SQL, ops_http_param(req, "after") != NULL ? "ASC" : "DESC");
	const struct ops_pg_statement s = {sql, OPS_LENGTH(params), params};
	struct records_call *call = ops_xcalloc(1, sizeof(*call));
	call->req = req;
	if (pg == NULL || ops_pg_exec(pg, &s, 1, on_records, call) < 0) {
		free(call);
		ops_error_set(&err, -ENOTCONN,
			"the database is away; records are being kept in the spool");
		ops_http_reply_error(req, 503, &err);
		return;
	}
	ops_http_on_abort(req, on_records_abort, call);
}

/* ---- what proves and what tells ---- */

static void get_checkpoint(struct ops_http_req *req, void *arg)
{
	struct aud *a = arg;
	const char *note = aud_signer_note(a->signer);

	if (note[0] == '\0')
		ops_http_reply_text(req, 404, "nothing was signed yet\n");
	else
		ops_http_reply(req, 200, "text/plain; charset=utf-8", note, strlen(note));
}

static void get_key(struct ops_http_req *req, void *arg)
{
	struct aud *a = arg;
	OPS_CLEANUP(ops_freep) char *line = ops_xasprintf("%s\n", aud_signer_vkey(a->signer));

	ops_http_reply_text(req, 200, line);
}

static void get_status(struct ops_http_req *req, void *arg)
{
	struct aud *a = arg;
	const struct ops_audit_head *head = aud_sequencer_head(a->sequencer);
	json_t *answer = json_object();

	ops_json_set_string(answer, "state", aud_state_text(aud_sequencer_state(a->sequencer)));
	ops_json_set_string(answer, "problem", aud_sequencer_problem(a->sequencer));
	ops_json_set_i64(answer, "size", (int64_t)head->tree.size);
	ops_json_set_i64(answer, "signed_size", (int64_t)aud_signer_size(a->signer));
	ops_json_set_i64(answer, "waiting", (int64_t)aud_intake_waiting(a->intake));
	ops_http_reply_json(req, 200, answer);
}

void aud_http_routes(struct aud *a)
{
	struct ops_http_server *http = ops_daemon_http(a->daemon);

	ops_metric_register(&metric_refused);
	ops_http_route(http, OPS_POST, "/ops/change", OPS_ROLE_OPERATOR, post_change, a);
	ops_http_route(http, OPS_GET, "/v1/records", OPS_ROLE_VIEWER, get_records, a);
	ops_http_route(http, OPS_GET, "/v1/checkpoint", OPS_ROLE_VIEWER, get_checkpoint, a);
	ops_http_route(http, OPS_GET, "/v1/key", OPS_ROLE_VIEWER, get_key, a);
	ops_http_route(http, OPS_GET, "/v1/status", OPS_ROLE_VIEWER, get_status, a);
}
