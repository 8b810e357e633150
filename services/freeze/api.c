/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP door: the gate that pipelines ask, and the records behind it. */
#include "services/freeze/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

enum {
	MATCHES_SHOWN = 32
};

static struct ops_metric gate_total =
	OPS_COUNTER("ops_freeze_gate_requests_total", "Answers of the gate.", "decision");

/*
 * Who asks. An authenticated name wins; what the caller claims to be is taken only from callers
 * that the door lets in without a name (loopback, a closed network), where nothing better is known.
 */
static struct frz_caller caller_of(struct ops_http_req *req, const char *claimed)
{
	struct frz_caller by = {.actor = ops_http_principal(req),
		.actor_type = "user",
		.source_addr = ops_http_remote(req),
		.trace_id = ops_http_trace_id(req)};
	if (!ops_http_authenticated(req) && claimed != NULL && claimed[0] != '\0') {
		by.actor = claimed;
	}
	if (ops_str_starts(by.actor, "playbook/")) {
		by.actor_type = "playbook";
	}
	return by;
}

static void reply_invalid(struct ops_http_req *req, const char *message, const char *hint)
{
	struct ops_error err;
	ops_error_set(&err, -EINVAL, "%s", message);
	ops_error_hint(&err, "%s", hint);
	ops_http_reply_error(req, 400, &err);
}

/* ---- the gate ---- */

static int gate_request(struct ops_http_req *req, struct frz_request *ret)
{
	ret->scope = ops_http_param(req, "scope");
	ret->at_ms = ops_now_ms();
	if (ret->scope == NULL || !frz_scope_valid(ret->scope)) {
		reply_invalid(req, "scope is missing or not a scope", "ask /v1/gate?scope=claims");
		return -EINVAL;
	}
	if (frz_action_parse(ops_http_param(req, "action"), &ret->action) != 0) {
		reply_invalid(req, "action is unknown", "deploy or rollback");
		return -EINVAL;
	}
	const char *at = ops_http_param(req, "at");
	if (at != NULL && ops_time_parse(at, strlen(at), &ret->at_ms) != 0) {
		reply_invalid(req, "at is not a time", "RFC 3339, as 2026-11-20T18:00:00Z");
		return -EINVAL;
	}
	return 0;
}

/* A refusal is on record, and so is a yes to somebody who says who he is; "what if" questions are
 * not. */
static int record_decision(struct frz_service *s, struct ops_http_req *req,
	const struct frz_request *asked, enum frz_decision decision,
	const struct frz_record *const *matches, size_t n)
{
	const char *claimed = ops_http_param(req, "actor");
	bool named = ops_http_authenticated(req) || claimed != NULL;
	if (ops_http_param(req, "at") != NULL || (decision == FRZ_OPEN && !named)) {
		return 0;
	}
	const struct frz_caller by = caller_of(req, claimed);
	frz_history_decision(s->outbox, asked, decision, &by, matches, n);
	if (decision == FRZ_OPEN) {
		return 0;
	}
	char object[192];
	snprintf(object, sizeof(object), "gate/%s", asked->scope);
	const struct ops_audit_entry entry = {.actor = by.actor,
		.actor_type = by.actor_type,
		.action = asked->action == FRZ_DEPLOY ? "gate.deploy" : "gate.rollback",
		.object = object,
		.reason = matches[0]->reason,
		.source_addr = by.source_addr,
		.trace_id = by.trace_id,
		.alert = matches[0]->alert,
		.outcome = "refused"};
	return ops_audit_log(ops_daemon_audit(s->daemon), &entry);
}

static void on_gate(struct ops_http_req *req, void *arg)
{
	struct frz_service *s = arg;
	struct frz_request asked;
	if (gate_request(req, &asked) != 0) {
		return;
	}
	const struct frz_record *matches[MATCHES_SHOWN];
	size_t n = 0;
	enum frz_decision decision =
		frz_evaluate(&s->set, &asked, matches, OPS_LENGTH(matches), &n);
	size_t shown = OPS_MIN(n, OPS_LENGTH(matches));
	int rc = record_decision(s, req, &asked, decision, matches, shown);
	if (rc != 0) {
		/* The answer stays a refusal; that it could not be recorded is somebody's work. */
		log_error("could not record a refusal", F_STR("scope", asked.scope), F_ERR(rc));
	}
	const char *text = decision == FRZ_FROZEN ? "frozen" : "open";
	ops_metric_add(&gate_total, 1, text);
	json_t *body = json_object();
	ops_json_set_string(body, "decision", text);
	ops_json_set_string(body, "scope", asked.scope);
	ops_json_set_string(body, "action", frz_action_text(asked.action));
	ops_json_set_time(body, "at", asked.at_ms);
	json_t *freezes = json_array();
	for (size_t i = 0; i < shown; i++) {
		json_array_append_new(freezes, frz_record_to_json(matches[i]));
	}
	ops_json_set(body, "freezes", freezes);
	ops_http_reply_header(req, "Cache-Control", "no-store");
	ops_http_reply_json(req, decision == FRZ_FROZEN ? 423 : 200, body);
}

/* ---- records ---- */

static void on_list(struct ops_http_req *req, void *arg)
{
	struct frz_service *s = arg;
	int64_t now = ops_now_ms();
	json_t *all = json_array();
	for (size_t i = 0; i < s->set.n; i++) {
		json_t *one = frz_record_to_json(s->set.items[i]);
		ops_json_set_bool(one, "active", frz_record_active(s->set.items[i], now));
		json_array_append_new(all, one);
	}
	json_t *body = json_object();
	ops_json_set(body, "freezes", all);
	ops_http_reply_json(req, 200, body);
}

static void on_scopes(struct ops_http_req *req, void *arg)
{
	struct frz_service *s = arg;
	int64_t now = ops_now_ms();
	json_t *scopes = json_object();
	for (size_t i = 0; i < s->set.n; i++) {
		if (frz_record_active(s->set.items[i], now)) {
			ops_json_set_string(scopes, s->set.items[i]->scope, "frozen");
		}
	}
	json_t *body = json_object();
	ops_json_set(body, "scopes", scopes);
	ops_http_reply_json(req, 200, body);
}

/* "ttl": "4h" is what people type; the record knows only until. */
static int apply_ttl(const json_t *body, const struct frz_config *cfg, struct frz_record *r,
	struct ops_error *err)
{
	const char *ttl = NULL;
	int64_t ms = 0;
	int rc = ops_json_get_string(body, "ttl", &ttl, err);
	if (rc < 0) {
		return rc;
	}
	if (ttl != NULL && (ops_duration_parse(ttl, strlen(ttl), &ms) != 0 || ms <= 0)) {
		ops_error_set(err, -EINVAL, "ttl '%s' is not a duration", ttl);
		ops_error_hint(err, "as in 4h or 1h30m");
		return -EINVAL;
	}
	if (ttl != NULL) {
		r->until_ms = r->from_ms + ms;
	} else if (r->until_ms == 0 && r->source == FRZ_ALERT) {
		r->until_ms =
			r->from_ms + cfg->automatic_ttl_ms; /* an automatic freeze always ends */
	}
	return 0;
}

static int decode_new(struct frz_service *s, struct ops_http_req *req, const json_t *body,
	struct frz_record **ret, struct ops_error *err)
{
	static const char *const allowed[] = {"id", "scope", "reason", "actor", "source", "alert",
		"thaw", "since", "until", "ttl", "trace_id", NULL};
	if (!json_is_object(body)) {
		return ops_error_set(err, -EINVAL, "a freeze is a JSON object");
	}
	if (ops_json_only(body, allowed, err) != 0 || frz_record_from_json(body, ret, err) != 0) {
		return -EINVAL;
	}
	struct frz_record *r = *ret;
	int rc = apply_ttl(body, s->config, r, err);
	if (rc != 0) {
		frz_record_free(r);
		return rc;
	}
	const struct frz_caller by = caller_of(req, r->actor);
	char *actor = ops_xstrdup(by.actor);
	free(r->actor);
	r->actor = actor;
	if (r->trace_id == NULL) {
		r->trace_id = ops_xstrdup(by.trace_id);
	}
	return 0;
}

/* A playbook that runs again for the same alert finds its freeze already there: that is the answer.
 */
static const struct frz_record *same_freeze(const struct frz_service *s, const struct frz_record *r)
{
	for (size_t i = 0; i < s->set.n; i++) {
		const struct frz_record *old = s->set.items[i];
		bool same_id = strcmp(old->id, r->id) == 0;
		bool same_cause = r->alert != NULL && ops_str_eq(old->alert, r->alert) &&
				  strcmp(old->scope, r->scope) == 0 && old->source == r->source;
		bool over = old->until_ms != 0 && old->until_ms <= ops_now_ms(); /* not swept yet */
		if (same_id || (same_cause && !over)) {
			return old;
		}
	}
	return NULL;
}

static void on_create(struct ops_http_req *req, void *arg)
{
	struct frz_service *s = arg;
	OPS_JSON_AUTO *body = NULL;
	if (ops_http_json(req, &body) != 0) {
		return;
	}
	struct ops_error err;
	struct frz_record *r = NULL;
	if (decode_new(s, req, body, &r, &err) != 0) {
		ops_http_reply_error(req, 400, &err);
		return;
	}
	const struct frz_record *old = same_freeze(s, r);
	if (old != NULL) {
		frz_record_free(r);
		ops_http_reply_json(req, 200, frz_record_to_json(old));
		return;
	}
	json_t *answer = frz_record_to_json(r);
	OPS_CLEANUP(ops_freep) char *actor = ops_xstrdup(r->actor);
	OPS_CLEANUP(ops_freep) char *reason = ops_xstrdup(r->reason);
	const struct frz_caller by = caller_of(req, actor);
	const struct frz_deed deed = {FRZ_SET, &by, reason};
	if (frz_change(s, r, &deed, &err) != 0) {
		json_decref(answer);
		ops_http_reply_error(req, 503, &err);
		return;
	}
	ops_http_reply_json(req, 201, answer);
}

static void on_delete(struct ops_http_req *req, void *arg)
{
	struct frz_service *s = arg;
	const char *reason = ops_http_param(req, "reason");
	if (reason == NULL || reason[0] == '\0') {
		reply_invalid(req, "reason is missing", "DELETE /v1/freezes/ID?reason=...");
		return;
	}
	struct frz_record *r = frz_set_find(&s->set, ops_http_segment(req, "id"));
	struct ops_error err;
	if (r == NULL) {
		ops_error_set(&err, -ENOENT, "there is no such freeze in force");
		ops_http_reply_error(req, 404, &err);
		return;
	}
	const struct frz_caller by = caller_of(req, ops_http_param(req, "actor"));
	const struct frz_deed deed = {FRZ_CLEAR, &by, reason};
	if (frz_clear_one(s, r, &deed, &err) != 0) {
		ops_http_reply_error(req, 503, &err);
		return;
	}
	json_t *body = json_object();
	ops_json_set_i64(body, "cleared", 1);
	ops_http_reply_json(req, 200, body);
}

static int decode_clear(const json_t *body, const char **scope, const char **reason,
	const char **actor, struct ops_error *err)
{
	static const char *const allowed[] = {"scope", "reason", "actor", NULL};
	if (!json_is_object(body) || ops_json_only(body, allowed, err) != 0 ||
		ops_json_get_string(body, "scope", scope, err) != 0 ||
		ops_json_get_string(body, "reason", reason, err) != 0 ||
		ops_json_get_string(body, "actor", actor, err) < 0 || (*reason)[0] == '\0' ||
		!frz_scope_valid(*scope)) {
		ops_error_set(err, -EINVAL, "scope and reason are needed to clear a freeze");
		ops_error_hint(err, "{\"scope\": \"claims\", \"reason\": \"...\"}");
		return -EINVAL;
	}
	return 0;
}

static void on_clear(struct ops_http_req *req, void *arg)
{
	struct frz_service *s = arg;
	OPS_JSON_AUTO *body = NULL;
	if (ops_http_json(req, &body) != 0) {
		return;
	}
	struct ops_error err;
	const char *scope = NULL, *reason = NULL, *actor = NULL;
	if (decode_clear(body, &scope, &reason, &actor, &err) != 0) {
		ops_http_reply_error(req, 400, &err);
		return;
	}
	const struct frz_caller by = caller_of(req, actor);
	size_t n = 0;
	const struct frz_deed deed = {FRZ_CLEAR, &by, reason};
	if (frz_clear_scope(s, scope, &deed, &n, &err) != 0) {
		ops_http_reply_error(req, 503, &err);
		return;
	}
	json_t *answer = json_object();
	ops_json_set_string(answer, "scope", scope);
	ops_json_set_i64(answer, "cleared", (int64_t)n);
	ops_http_reply_json(req, 200, answer);
}

void frz_api_register(struct frz_service *s, struct ops_http_server *http)
{
	ops_metric_add(&gate_total, 0, "open");
	ops_metric_add(&gate_total, 0, "frozen");
	ops_http_route(http, OPS_GET, "/v1/gate", OPS_ROLE_VIEWER, on_gate, s);
	ops_http_route(http, OPS_GET, "/v1/freezes", OPS_ROLE_VIEWER, on_list, s);
	ops_http_route(http, OPS_GET, "/v1/scopes", OPS_ROLE_VIEWER, on_scopes, s);
	ops_http_route(http, OPS_POST, "/v1/freezes", OPS_ROLE_OPERATOR, on_create, s);
	ops_http_route(http, OPS_POST, "/v1/freezes/clear", OPS_ROLE_OPERATOR, on_clear, s);
	ops_http_route(http, OPS_DELETE, "/v1/freezes/{id}", OPS_ROLE_OPERATOR, on_delete, s);
}
