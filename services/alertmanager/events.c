/* SPDX-License-Identifier: Apache-2.0 */
/* Topics are notifications/<receiver>, playbooks/<name>, notes/<fingerprint>; bytes that could end
 * a topic become '_'. */
#include "services/alertmanager/events.h"

#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/msg/msg.h"

static struct ops_metric failed = OPS_COUNTER(
	"ops_alertmanager_events_failed_total", "Events that could not be published.", "kind");

static void publish(struct alm *s, const char *kind, const char *name, const struct ops_event *e)
{
	struct ops_strbuf topic OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_strbuf payload OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	size_t at = strlen(kind) + 1;

	ops_strbuf_printf(&topic, "%s/%s", kind, name);
	for (; at < topic.len; at++) {
		char c = topic.data[at];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || strchr("_.:-", c) != NULL;
		if (!plain)
			topic.data[at] = '_';
	}
	ops_event_encode(e, &payload);
	int rc = ops_pub_send(
		s->events, ops_strbuf_text(&topic), ops_strbuf_text(&payload), payload.len, NULL);
	if (rc != 0) {
		ops_metric_add(&failed, 1, kind);
		log_error("could not publish an event", F_STR("topic", ops_strbuf_text(&topic)),
			F_ERR(rc));
	}
}

void alm_event_notification(struct alm *s, const char *id, const struct alm_outcome *o)
{
	const struct alm_notification *n = o->notification;
	json_t *data = json_object(), *fingerprints = json_array();

	for (size_t i = 0; i < n->n; i++)
		json_array_append_new(fingerprints, json_string(n->alerts[i]->id));
	ops_json_set(data, "fingerprints", fingerprints);
	ops_json_set_string(data, "receiver", n->receiver->name);
	ops_json_set_string(data, "integration", n->integration->name);
	ops_json_set_string(data, "reason", n->reason);
	ops_json_set_string(data, "status", alm_notification_firing(n) ? "firing" : "resolved");
	ops_json_set_string(data, "outcome", o->sent ? "sent" : "failed");
	ops_json_set_i64(data, "attempts", o->attempts);
	ops_json_set_i64(data, "code", o->code);
	ops_json_set_string(data, "error", o->sent ? NULL : o->error);
	ops_json_set_i64(data, "duration_ms", o->duration_ms);
	ops_json_set_string(data, "group_key", n->group_key);
	const struct ops_event e = {.source = "ops-alertmanager",
		.type = "ops.notification",
		.subject = n->n > 0 ? n->alerts[0]->id : NULL,
		.traceparent = n->n > 0 && n->alerts[0]->traceparent[0] != '\0'
				       ? n->alerts[0]->traceparent
				       : NULL,
		.id = id,
		.data = data};
	publish(s, "notifications", n->receiver->name, &e);
}

void alm_event_run(struct alm *s, const struct alm_run *run)
{
	json_t *data = json_object();
	bool over = run->finished_ms != 0;

	ops_json_set_string(data, "run_id", run->id);
	ops_json_set_string(data, "fingerprint", run->fingerprint);
	ops_json_set_string(data, "playbook", run->playbook);
	ops_json_set_string(data, "state", over ? "finished" : "started");
	ops_json_set_string(data, "outcome", run->outcome);
	ops_json_set(data, "exit_code",
		over && run->exit_code >= 0 ? json_integer(run->exit_code) : json_null());
	ops_json_set(data, "signal", run->signal > 0 ? json_integer(run->signal) : json_null());
	ops_json_set_bool(data, "timed_out", run->timed_out);
	const struct ops_event e = {.source = "ops-alertmanager",
		.type = "ops.playbook",
		.subject = run->fingerprint,
		.traceparent = run->traceparent[0] != '\0' ? run->traceparent : NULL,
		.data = data};
	publish(s, "playbooks", run->playbook, &e);
}

void alm_event_note(struct alm *s, const char *id, const char *fingerprint, const char *author,
	const char *action)
{
	json_t *data = json_object();

	ops_json_set_string(data, "fingerprint", fingerprint);
	ops_json_set_string(data, "author", author);
	ops_json_set_string(data, "action", action);
	const struct ops_event e = {.source = "ops-alertmanager",
		.type = "ops.note",
		.subject = fingerprint,
		.id = id,
		.data = data};
	publish(s, "notes", fingerprint, &e);
}
