/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the world. An alert is told as it is now: one that fired before anybody heard of it is
 * not told as pending first. Transitions of one turn share one sync of the stream's log (begin,
 * end), and count as told only when that succeeded; what failed is told again, under the same id.
 *
 * Leftovers are alerts of rules that are no longer loaded. Nobody evaluates them, so they are
 * resolved when their rule goes - or, when it went while the process was down, at the first load -
 * and are kept in the state file until that was told.
 */
#include "services/detector/rules/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "common/json/json.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

static struct ops_metric transitions = OPS_COUNTER(
	"ops_detector_alert_transitions_total", "Alert transitions published.", "status");
static struct ops_metric publish_errors = OPS_COUNTER("ops_detector_alert_publish_errors_total",
	"Transitions that could not be made durable; tried again.");

enum {
	FLAPPING_STATE = 16 /* the same state told again because it flaps now is another event */
};

/* ---- one transition ---- */

static int64_t changed_ms(const struct det_instance *a)
{
	return a->state == DET_PENDING	? a->active_ms
	       : a->state == DET_FIRING ? a->fired_ms
					: a->resolved_ms;
}

/* The same transition has the same id, whenever and however often it is published. */
static void event_id(const struct det_instance *a, char ret[37])
{
	const int64_t state = (int64_t)a->state + (a->flapping ? FLAPPING_STATE : 0);
	const int64_t identity[4] = {(int64_t)a->fingerprint, state, a->active_ms,
		a->state == DET_PENDING ? 0 : changed_ms(a)};
	uint64_t high = ops_hash64(identity, sizeof(identity), 1);
	uint64_t low = ops_hash64(identity, sizeof(identity), 2);
	/* UUID version 8 (RFC 9562): the bits are ours */
	high = (high & ~0xf000ULL) | 0x8000ULL;
	low = (low & ~(3ULL << 62)) | (2ULL << 62);
	snprintf(ret, 37, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
		(unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
		(unsigned long long)(low & 0xffffffffffffULL));
}

/* The query at the time of the transition: what it answers is why the alert changed. */
static char *generator_url(const struct det_rules *owner, const char *expr, int64_t at_ms)
{
	struct ops_strbuf url = OPS_STRBUF_INIT;
	ops_strbuf_printf(&url, "%s/api/v1/query?query=", owner->gen->external_url);
	ops_strbuf_add_url(&url, expr, strlen(expr));
	ops_strbuf_printf(
		&url, "&time=%lld.%03lld", (long long)(at_ms / 1000), (long long)(at_ms % 1000));
	return ops_strbuf_take(&url);
}

/* rule NULL: it is gone, only the key is known. */
static int send_one(struct det_rules *owner, const char *key, const struct ops_rule *rule,
	const struct det_instance *a)
{
	static const enum ops_alert_status statuses[] = {
		OPS_ALERT_RESOLVED, OPS_ALERT_PENDING, OPS_ALERT_FIRING};
	const char *nth = strrchr(key, ';');
	struct ops_alert alert;
	char id[37];
	ops_alert_init(&alert);
	alert.status = statuses[a->state];
	alert.labels = ops_labels_ref(a->told);
	alert.annotations = a->annotations != NULL ? ops_labels_ref(a->annotations) : NULL;
	alert.fingerprint = a->fingerprint;
	alert.active_at_ms = a->active_ms;
	alert.starts_at_ms = a->fired_ms;
	alert.ends_at_ms = a->state == DET_INACTIVE ? a->resolved_ms : 0;
	alert.value = a->value;
	alert.rule = ops_xasprintf("%.*s", nth != NULL ? (int)(nth - key) : 0, key);
	if (rule != NULL) {
		alert.expr = ops_xstrdup(rule->expr_text);
		alert.generator_url = generator_url(owner, rule->expr_text, changed_ms(a));
		alert.playbook = ops_xstrdup(rule->playbook);
	}
	event_id(a, id);
	int rc = owner->cfg.publish(owner->cfg.arg, &alert, id);
	const char *name = ops_labels_get(a->labels, "alertname");
	name = name != NULL ? name : "";
	if (rc == 0) {
		ops_metric_add(&transitions, 1, ops_alert_status_text(alert.status));
		log_info("alert changed", F_STR("status", ops_alert_status_text(alert.status)),
			F_STR("alertname", name), F_DOUBLE("value", a->value));
	} else {
		ops_metric_add(&publish_errors, 1);
		log_error("could not publish an alert", F_STR("alertname", name), F_ERR(rc));
	}
	ops_alert_done(&alert);
	return rc;
}

static void begin(struct det_rules *owner)
{
	if (owner->cfg.begin != NULL) {
		owner->cfg.begin(owner->cfg.arg);
	}
}

static int end(struct det_rules *owner)
{
	int rc = owner->cfg.end != NULL ? owner->cfg.end(owner->cfg.arg) : 0;
	if (rc != 0) {
		ops_metric_add(&publish_errors, 1);
		log_error("could not make alerts durable; they are told again", F_ERR(rc));
	}
	return rc;
}

/* ---- the alerts of a group ---- */

static bool is_news(const struct det_instance *a)
{
	return a->state != a->published || (!a->ever_published && a->state != DET_INACTIVE) ||
	       (a->flapping && !a->flapping_published);
}

/* Calls fn for every instance of the group until one is not 0. */
static int each_instance(
	struct det_rule_group *g, int (*fn)(struct det_rule *r, struct det_instance *a))
{
	for (size_t i = 0; i < g->n; i++) {
		size_t at = 0;
		struct ops_map_entry e;
		while (ops_map_next(g->rules[i].instances, &at, &e)) {
			int rc = fn(&g->rules[i], e.value);
			if (rc != 0) {
				return rc;
			}
		}
	}
	return 0;
}

static int has_news(struct det_rule *r, struct det_instance *a)
{
	(void)r;
	return is_news(a);
}

static int send_news(struct det_rule *r, struct det_instance *a)
{
	int rc = is_news(a) ? send_one(r->group->owner, r->key, r->rule, a) : 0;
	a->sent = is_news(a) && rc == 0;
	return rc;
}

static int take_back(struct det_rule *r, struct det_instance *a)
{
	(void)r;
	a->sent = false;
	return 0;
}

static int count_as_told(struct det_rule *r, struct det_instance *a)
{
	if (a->sent) {
		a->sent = false;
		a->published = a->state;
		a->flapping_published = a->flapping;
		a->ever_published = true;
		r->group->owner->changed = true;
	}
	return 0;
}

void det_publish_group(struct det_rule_group *g)
{
	g->untold = each_instance(g, has_news) != 0;
	if (!g->untold) {
		return;
	}
	begin(g->owner);
	int rc = each_instance(g, send_news);
	int end_rc = end(g->owner);
	each_instance(g, end_rc == 0 ? count_as_told : take_back);
	g->untold = rc != 0 || end_rc != 0;
}

/* ---- leftovers ---- */

void det_leftover_take(struct det_rules *r, const struct det_rule *rule)
{
	size_t at = 0;
	struct ops_map_entry e;
	json_t *list = NULL;
	while (ops_map_next(rule->instances, &at, &e)) {
		list = list != NULL ? list : json_array();
		json_array_append_new(list, det_instance_json(e.value));
	}
	if (list != NULL) {
		json_decref(ops_map_puts(r->saved, rule->key, list));
		r->changed = true;
	}
}

void det_leftover_resolve(struct det_rules *r, int64_t now_ms)
{
	size_t at = 0, i;
	struct ops_map_entry e;
	json_t *item;
	while (ops_map_next(r->saved, &at, &e)) {
		json_array_foreach((json_t *)e.value, i, item)
		{
			json_int_t state = json_integer_value(json_object_get(item, "state"));
			if (state != DET_INACTIVE) {
				/* Told or not, we cannot know: a crash may have come between. */
				ops_json_set_i64(item, "published", state);
				ops_json_set_i64(item, "state", DET_INACTIVE);
				ops_json_set_i64(item, "resolved", now_ms);
				r->changed = true;
			}
		}
	}
}

static int send_leftovers(struct det_rules *r, const char *key, const json_t *list)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
		struct det_instance *a = det_instance_from_json(json_array_get(list, i));
		if (a != NULL && is_news(a)) {
			rc = send_one(r, key, NULL, a);
		}
		det_instance_free(a);
	}
	return rc;
}

bool det_publish_leftovers(struct det_rules *r)
{
	size_t at = 0;
	struct ops_map_entry e;
	int rc = 0;
	if (ops_map_count(r->saved) == 0) {
		return true;
	}
	begin(r);
	while (rc == 0 && ops_map_next(r->saved, &at, &e)) {
		rc = send_leftovers(r, e.key, e.value);
	}
	int end_rc = end(r);
	if (rc != 0 || end_rc != 0) {
		return false; /* all of them again: the ids say what is known */
	}
	for (at = 0; ops_map_next(r->saved, &at, &e);) {
		ops_map_remove(r->saved, e.key, e.len);
		json_decref(e.value);
	}
	r->changed = true;
	return true;
}
