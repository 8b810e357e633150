/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alert state on disk: one JSON file, replaced atomically whenever a state changed and before the
 * change is published. Alerts are kept under their rule's key, those of rules that are gone too,
 * until it was told that they are resolved.
 */
#include "services/detector/rules/internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/log/log.h"
#include "common/msg/fields.h"

enum {
	STATE_LIMIT = 256 << 20
};

/* Only what is there: most rules have none of it. */
static void policy_json(const struct det_instance *a, json_t *j)
{
	if (a->source != NULL) {
		ops_json_set(j, "source", ops_msg_labels_json(a->source));
	}
	if (a->history != 0) {
		ops_json_set_i64(j, "history", (int64_t)a->history);
	}
	if (a->nfired > 0) {
		json_t *list = json_array();
		for (unsigned i = 0; i < a->nfired; i++) {
			json_array_append_new(list, json_integer(a->fired[i]));
		}
		ops_json_set(j, "fired_at", list);
		ops_json_set_bool(j, "flapping", a->flapping);
		ops_json_set_bool(j, "flapping_published", a->flapping_published);
	}
}

static int take_policy(const json_t *j, struct det_instance *a, struct ops_error *err)
{
	json_t *fired = NULL;
	int64_t history = 0;
	bool bad = ops_msg_labels(j, "source", &a->source, err) < 0 ||
		   ops_json_get_i64(j, "history", &history, err) < 0 ||
		   ops_json_get_bool(j, "flapping", &a->flapping, err) < 0 ||
		   ops_json_get_bool(j, "flapping_published", &a->flapping_published, err) < 0 ||
		   ops_json_get_array(j, "fired_at", &fired, err) < 0 ||
		   json_array_size(fired) > OPS_LENGTH(a->fired);
	if (bad) {
		return -EINVAL;
	}
	a->history = (uint64_t)history;
	for (size_t i = 0; i < json_array_size(fired); i++) {
		a->fired[a->nfired++] = json_integer_value(json_array_get(fired, i));
	}
	/* Nobody knows how calm it was meanwhile: the calm counts from here. */
	a->last_seen_ms = a->flapping ? ops_now_ms() - 1 : 0;
	return 0;
}

json_t *det_instance_json(const struct det_instance *a)
{
	json_t *j = json_object();
	ops_json_set(j, "labels", ops_msg_labels_json(a->told));
	if (!ops_labels_equal(a->labels, a->told)) {
		ops_json_set(j, "own_labels", ops_msg_labels_json(a->labels));
	}
	ops_json_set(j, "annotations", ops_msg_labels_json(a->annotations));
	ops_json_set_i64(j, "state", a->state);
	ops_json_set_i64(j, "published", a->published);
	ops_json_set_bool(j, "ever_published", a->ever_published);
	ops_json_set_i64(j, "active", a->active_ms);
	ops_json_set_i64(j, "fired", a->fired_ms);
	ops_json_set_i64(j, "resolved", a->resolved_ms);
	ops_json_set_i64(j, "keep_since", a->keep_since_ms);
	if (isfinite(a->value)) {
		ops_json_set(j, "value", json_real(a->value));
	}
	policy_json(a, j);
	return j;
}

static int take_state(
	const json_t *j, const char *key, enum det_alert_state *ret, struct ops_error *err)
{
	int64_t v = -1;
	if (ops_json_get_i64(j, key, &v, err) != 0 || v < DET_INACTIVE || v > DET_FIRING) {
		return -EINVAL;
	}
	*ret = (enum det_alert_state)v;
	return 0;
}

struct det_instance *det_instance_from_json(const json_t *j)
{
	struct ops_error err;
	struct det_instance *a = ops_xcalloc(1, sizeof(*a));
	bool bad = ops_msg_labels(j, "labels", &a->told, &err) != 0 ||
		   ops_msg_labels(j, "own_labels", &a->labels, &err) < 0 ||
		   ops_msg_labels(j, "annotations", &a->annotations, &err) < 0 ||
		   take_state(j, "state", &a->state, &err) != 0 ||
		   take_state(j, "published", &a->published, &err) != 0 ||
		   ops_json_get_bool(j, "ever_published", &a->ever_published, &err) < 0 ||
		   ops_json_get_i64(j, "active", &a->active_ms, &err) < 0 ||
		   ops_json_get_i64(j, "fired", &a->fired_ms, &err) < 0 ||
		   ops_json_get_i64(j, "resolved", &a->resolved_ms, &err) < 0 ||
		   ops_json_get_i64(j, "keep_since", &a->keep_since_ms, &err) < 0 ||
		   ops_json_get_double(j, "value", &a->value, &err) < 0 ||
		   take_policy(j, a, &err) != 0;
	if (bad) {
		det_instance_free(a);
		return NULL;
	}
	a->labels = a->labels != NULL ? a->labels : ops_labels_ref(a->told);
	a->fingerprint = ops_labels_fingerprint(a->told);
	a->restored = true;
	return a;
}

int det_state_load(struct det_rules *r, struct ops_error *err)
{
	if (r->cfg.state_file == NULL) {
		r->settled = true;
		return 0;
	}
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	int rc = ops_file_read(r->cfg.state_file, STATE_LIMIT, &text);
	if (rc == -ENOENT) {
		r->settled = true; /* a first start has missed nothing */
		return 0;
	}
	OPS_JSON_AUTO *doc = NULL;
	if (rc == 0) {
		rc = ops_json_parse(text.data, text.len, STATE_LIMIT, &doc, err);
	}
	json_t *rules = NULL;
	if (rc == 0) {
		rc = ops_json_get_object(doc, "rules", &rules, err);
	}
	if (rc != 0) {
		return ops_error_set(err, rc < 0 ? rc : -EINVAL,
			"could not read the state of rules in %s; move it away to start without",
			r->cfg.state_file);
	}
	const char *key;
	json_t *list;
	json_object_foreach(rules, key, list)
	{
		json_decref(ops_map_puts(r->saved, key, json_incref(list)));
	}
	return 0;
}

void det_state_adopt(struct det_rules *r, struct det_rule *rule)
{
	json_t *list = ops_map_removes(r->saved, rule->key);
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item)
	{
		struct det_instance *a = det_instance_from_json(item);
		if (a == NULL) {
			log_warn("left out a malformed alert of the state file",
				F_STR("rule", rule->key));
			continue;
		}
		det_instance_free(
			ops_map_put(rule->instances, &a->fingerprint, sizeof(a->fingerprint), a));
	}
	json_decref(list);
}

static json_t *rule_json(const struct det_rule *rule)
{
	size_t at = 0;
	struct ops_map_entry e;
	json_t *list = json_array();
	while (ops_map_next(rule->instances, &at, &e)) {
		json_array_append_new(list, det_instance_json(e.value));
	}
	return list;
}

static json_t *all_json(const struct det_rules *r)
{
	json_t *rules = json_object();
	for (size_t i = 0; i < r->gen->n; i++) {
		for (size_t k = 0; k < r->gen->groups[i].n; k++) {
			const struct det_rule *rule = &r->gen->groups[i].rules[k];
			if (ops_map_count(rule->instances) > 0) {
				ops_json_set(rules, rule->key, rule_json(rule));
			}
		}
	}
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(r->saved, &at, &e)) {
		ops_json_set(rules, e.key, json_incref(e.value));
	}
	return rules;
}

int det_state_save(struct det_rules *r)
{
	if (!r->changed || r->cfg.state_file == NULL) {
		return 0;
	}
	OPS_JSON_AUTO *doc = json_object();
	ops_json_set_time(doc, "saved", ops_now_ms());
	ops_json_set(doc, "rules", all_json(r));
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_json_dump(doc, &text);
	int rc = ops_file_write_atomic(r->cfg.state_file, text.data, text.len, 0600);
	if (rc == 0) {
		r->changed = false;
	}
	return rc;
}
