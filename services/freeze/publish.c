/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scope looks like from outside. The bus and the flag file say what the gate would say for a
 * deploy in exactly this scope, computed by the same function.
 */
#include "services/freeze/service.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/msg/msg.h"

static void send_state(struct frz_service *s, const char *scope, const struct frz_record *r)
{
	struct ops_freeze_state state = {.scope = ops_xstrdup(scope), .frozen = r != NULL};
	if (r != NULL) {
		state.reason = ops_xstrdup(r->reason);
		state.actor = ops_xstrdup(r->actor);
		state.source = ops_xstrdup(frz_source_text(r->source));
		state.freeze_id = ops_xstrdup(r->id);
		state.alert = ops_xstrdup(r->alert);
		state.since_ms = r->from_ms;
		state.until_ms = r->until_ms;
	}
	struct ops_event e = {.source = "ops-freeze",
		.type = "ops.freeze",
		.subject = scope,
		.data = ops_freeze_state_to_json(&state)};
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf payload = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf topic = OPS_STRBUF_INIT;
	ops_event_encode(&e, &payload);
	ops_strbuf_printf(&topic, "freeze/%s", scope);
	int rc = ops_pub_send(s->pub, topic.data, payload.data, payload.len, NULL);
	if (rc != 0) {
		log_error("could not publish a freeze state", F_STR("scope", scope), F_ERR(rc));
	}
	ops_freeze_state_done(&state);
}

static void write_flag(struct frz_service *s, const char *scope, const struct frz_record *r)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	if (r != NULL) {
		char since[32];
		ops_strbuf_printf(&text,
			"scope: %s\nreason: %s\nactor: %s\nsource: %s\nid: %s\nsince: %s\n", scope,
			r->reason, r->actor, frz_source_text(r->source), r->id,
			ops_time_format(r->from_ms, since, sizeof(since)));
		if (r->alert != NULL) {
			ops_strbuf_printf(&text, "alert: %s\n", r->alert);
		}
	}
	int rc = frz_flags_set(s->flags, scope, r != NULL ? ops_strbuf_text(&text) : NULL);
	if (rc != 0) {
		log_error("could not write a flag file", F_STR("scope", scope), F_ERR(rc));
	}
}

void frz_publish_scope(struct frz_service *s, const char *scope)
{
	const struct frz_request req = {scope, FRZ_DEPLOY, ops_now_ms()};
	const struct frz_record *match = NULL;
	size_t n = 0;
	frz_evaluate(&s->set, &req, &match, 1, &n);
	write_flag(s, scope, match);
	send_state(s, scope, match);
}
