/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scope looks like from outside. The bus and the flag file say what the gate would say for a
 * deploy in exactly this scope, computed by the same function.
 *
 * A wide freeze decides for narrow scopes too, so a change of "*" or "claims" is told again for
 * every scope below it that was ever told: otherwise the flag of "claims" would outlive the freeze
 * of "*" that wrote it.
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

/* One "name: value" line: what people typed must not look like another line. */
static void add_line(struct ops_strbuf *text, const char *name, const char *value)
{
	if (value == NULL) {
		return;
	}
	ops_strbuf_printf(text, "%s: ", name);
	for (const char *c = value; *c != '\0'; c++) {
		ops_strbuf_addc(text, (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c);
	}
	ops_strbuf_addc(text, '\n');
}

static void write_flag(struct frz_service *s, const char *scope, const struct frz_record *r)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	if (r != NULL) {
		char since[32];
		add_line(&text, "scope", r->scope);
		add_line(&text, "reason", r->reason);
		add_line(&text, "actor", r->actor);
		add_line(&text, "source", frz_source_text(r->source));
		add_line(&text, "id", r->id);
		add_line(&text, "since", ops_time_format(r->from_ms, since, sizeof(since)));
		add_line(&text, "alert", r->alert);
	}
	int rc = frz_flags_set(s->flags, scope, r != NULL ? ops_strbuf_text(&text) : NULL);
	if (rc != 0) {
		log_error("could not write a flag file", F_STR("scope", scope), F_ERR(rc));
	}
}

static void publish_one(struct frz_service *s, const char *scope)
{
	const struct frz_request req = {scope, FRZ_DEPLOY, ops_now_ms()};
	const struct frz_record *match = NULL;
	size_t n = 0;
	frz_evaluate(&s->set, &req, &match, 1, &n);
	write_flag(s, scope, match);
	send_state(s, scope, match);
}

void frz_publish_scope(struct frz_service *s, const char *scope)
{
	if (ops_map_gets(s->told, scope) == NULL) {
		ops_map_puts(s->told, scope, s);
	}
	publish_one(s, scope);
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(s->told, &at, &e)) {
		if (strcmp(e.key, scope) != 0 && frz_scope_covers(scope, e.key)) {
			publish_one(s, e.key);
		}
	}
}
