/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of a change and why: the audit record first (no change without one), then the journal
 * (the commit), then what is derived. If the process dies after the audit record the log tells of
 * an attempt that did not take effect, which is the harmless way round.
 */
#include "services/freeze/service.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

static struct ops_metric changes_total =
	OPS_COUNTER("ops_freeze_changes_total", "Changes of freeze records.", "kind");

static int audit_change(
	struct frz_service *s, const struct frz_record *next, const struct frz_deed *deed)
{
	const struct frz_caller *by = deed->by;
	char action[48], object[192];
	snprintf(action, sizeof(action), "freeze.%s", frz_event_text(deed->kind));
	snprintf(object, sizeof(object), "freeze/%s", next->scope);
	const struct frz_record *old = frz_set_find(&s->set, next->id);
	const struct ops_audit_entry entry = {.actor = by->actor,
		.actor_type = by->actor_type,
		.action = action,
		.object = object,
		.reason = deed->reason,
		.source_addr = by->source_addr,
		.trace_id = by->trace_id,
		.alert = next->alert,
		.outcome = "success",
		.before = old != NULL ? frz_record_to_json(old) : NULL,
		.after = frz_record_to_json(next)};
	return ops_audit_log(ops_daemon_audit(s->daemon), &entry);
}

void frz_confirm_history(struct frz_service *s)
{
	int rc = ops_outbox_sync(s->outbox);
	if (rc == 0) {
		rc = frz_journal_confirm(s->journal, &s->set);
	}
	if (rc != 0) {
		log_error("could not sync the history spool", F_ERR(rc));
	}
}

static void replace_in_set(struct frz_service *s, struct frz_record *next)
{
	struct frz_record *old = frz_set_find(&s->set, next->id);
	if (old != NULL) {
		frz_set_remove(&s->set, old);
	}
	if (next->cleared_ms == 0) {
		frz_set_add(&s->set, next);
	} else {
		frz_record_free(next);
	}
}

void frz_publish_begun(struct frz_service *s, int64_t now)
{
	for (size_t i = 0; i < s->set.n; i++) {
		const struct frz_record *r = s->set.items[i];
		if (r->from_ms > s->looked_ms && r->from_ms <= now) {
			frz_publish_scope(s, r->scope);
		}
	}
	s->looked_ms = now;
}

int frz_commit_change(struct frz_service *s, struct frz_record *next, const struct frz_deed *deed)
{
	struct frz_event e = {.kind = deed->kind,
		.at_ms = ops_now_ms(),
		.record = next,
		.actor = deed->by->actor,
		.reason = deed->reason};
	int rc = audit_change(s, next, deed);
	if (rc == 0) {
		rc = frz_journal_commit(s->journal, &e);
	}
	if (rc != 0) {
		log_error("could not commit a change", F_STR("scope", next->scope), F_ERR(rc));
		frz_record_free(next);
		return rc;
	}
	const char *kind = frz_event_text(deed->kind);
	ops_metric_add(&changes_total, 1, kind);
	log_info("freeze changed", F_STR("kind", kind), F_STR("scope", next->scope),
		F_STR("id", next->id), F_STR("alert", next->alert));
	frz_history_event(s->outbox, &e);
	frz_publish_begun(s, e.at_ms); /* before this one: its caller tells it, once */
	replace_in_set(s, next);
	return 0;
}

int frz_change(struct frz_service *s, struct frz_record *next, const struct frz_deed *deed,
	struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *scope = ops_xstrdup(next->scope);
	int rc = frz_commit_change(s, next, deed);
	if (rc != 0) {
		return ops_error_set(
			err, rc, "the change could not be made durable: %s", strerror(-rc));
	}
	frz_publish_scope(s, scope);
	frz_confirm_history(s); /* last: what it confirms is not told again by the next start */
	return 0;
}

struct frz_record *frz_record_copy(const struct frz_record *r)
{
	OPS_JSON_AUTO *j = frz_record_to_json(r);
	struct frz_record *copy = NULL;
	struct ops_error err;
	int rc = frz_record_from_json(j, &copy, &err);
	ops_assert(rc == 0);
	return copy;
}

int frz_clear_one(struct frz_service *s, const struct frz_record *r, const struct frz_deed *deed,
	struct ops_error *err)
{
	struct frz_record *next = frz_record_copy(r);
	next->cleared_ms = ops_now_ms();
	next->cleared_by = ops_xstrdup(deed->by->actor);
	next->clear_reason = ops_xstrdup(deed->reason);
	return frz_change(s, next, deed, err);
}

int frz_clear_scope(struct frz_service *s, const char *scope, const struct frz_deed *deed,
	size_t *ret_n, struct ops_error *err)
{
	size_t n = 0;
	for (size_t i = s->set.n; i > 0; i--) {
		struct frz_record *r = s->set.items[i - 1];
		if (strcmp(r->scope, scope) != 0) {
			continue;
		}
		int rc = frz_clear_one(s, r, deed, err);
		if (rc != 0) {
			return rc;
		}
		n++;
	}
	*ret_n = n;
	return 0;
}
