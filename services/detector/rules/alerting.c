/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine of an alert, as Prometheus has it:
 *
 *	(none)  -> pending   in the result for the first time; with `for: 0` firing at once
 *	pending -> firing    in every result for the length of `for`
 *	pending -> (gone)    not in the result; published as resolved, so that history closes
 *	firing  -> resolved  not in the result for keep_firing_for; kept 15 minutes for the API
 *	resolved -> pending  in the result again: a new episode with its own start
 *
 * The keys beyond Prometheus' (policy.c) come in between: fire_after decides what counts as being
 * in the result, no_data and resolve_when whether not being there is enough to be over, and a
 * flapping alert is held before keep_firing_for is looked at.
 *
 * The store is in memory: after a restart it fills from the collectors' rings. An alert restored
 * from the state file is therefore neither resolved nor fired by an empty result before the rule's
 * data is back (det_rule_informed()); its `for` goes on from the time in the file.
 */
#include "services/detector/rules/internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"

enum {
	RESOLVED_KEPT_MS = 15 * 60 * 1000,
	INFORMED_CAP_MS = 10 * 60 * 1000,
	TEXT_MAX_BYTES = 32 * 1024
};

const char *det_alert_state_text(enum det_alert_state s)
{
	static const char *const names[] = {"inactive", "pending", "firing"};
	return names[s];
}

void det_instance_free(void *instance)
{
	struct det_instance *a = instance;
	if (a != NULL) {
		ops_labels_unref(a->labels);
		ops_labels_unref(a->told);
		ops_labels_unref(a->annotations);
		ops_labels_unref(a->source);
		free(a);
	}
}

/* ---- labels and annotations of one result ---- */

struct naming { /* of one result */
	struct ops_labels *own, *told;
	uint64_t fingerprint;
};

/* What a template made is at most as long as a message's member may be: cut between characters. */
static void cut(struct ops_strbuf *text)
{
	size_t len = text->len;
	if (len <= TEXT_MAX_BYTES) {
		return;
	}
	len = TEXT_MAX_BYTES;
	while (len > 0 && ((unsigned char)text->data[len] & 0xc0) == 0x80) {
		len--;
	}
	text->len = len;
	text->data[len] = '\0';
}

static void expand_into(const struct det_expand_context *c, const struct ops_rule *rule,
	const struct ops_rule_pairs *pairs, struct ops_labels_builder *b)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (size_t i = 0; i < pairs->n; i++) {
		ops_strbuf_reset(&text);
		/* A mistake shows as the text: an alert with a broken summary is better than none.
		 */
		(void)det_expand(c, rule, &pairs->items[i], &text);
		cut(&text);
		ops_labels_builder_set(b, pairs->items[i].name, ops_strbuf_text(&text));
	}
	ops_strbuf_done(&text);
}

static struct ops_labels *alert_labels(
	const struct det_expand_context *c, const struct ops_rule *rule)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (uint32_t i = 0; i < c->series->nlabels; i++) {
		ops_labels_builder_set(&b, c->series->labels[i].name, c->series->labels[i].value);
	}
	ops_labels_builder_del(&b, OPS_LABEL_NAME);
	expand_into(c, rule, &rule->labels, &b);
	ops_labels_builder_set(&b, "alertname", rule->name);
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return labels;
}

/* As the world knows the alert: who we are only matters outside. */
static struct ops_labels *told_labels(struct ops_labels *own, const struct ops_labels *external)
{
	struct ops_labels_builder b;
	if (external->n == 0) {
		return ops_labels_ref(own);
	}
	ops_labels_builder_from(&b, own);
	for (uint32_t i = 0; i < external->n; i++) {
		if (ops_labels_get(own, external->items[i].name) == NULL) {
			ops_labels_builder_set(
				&b, external->items[i].name, external->items[i].value);
		}
	}
	struct ops_labels *told = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return told;
}

static struct naming name_alert(const struct det_expand_context *c, const struct ops_rule *rule)
{
	struct naming name = {.own = alert_labels(c, rule)};
	name.told = told_labels(name.own, c->gen->external_labels);
	name.fingerprint = ops_labels_fingerprint(name.told);
	return name;
}

static struct ops_labels *alert_annotations(const struct det_expand_context *c,
	const struct ops_rule *rule, const struct det_instance *a)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	expand_into(c, rule, &rule->annotations, &b);
	if (a->flapping && ops_labels_builder_get(&b, "flapping") == NULL) {
		char text[96], within[32];
		snprintf(text, sizeof(text), "fired %u times within %s", a->nfired,
			ops_duration_format(rule->policy.flap_within_ms, within, sizeof(within)));
		ops_labels_builder_set(&b, "flapping", text);
	}
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return labels;
}

/* ---- one alert ---- */

static void see(struct det_instance *a, int64_t now_ms)
{
	if (a->state == DET_INACTIVE) {
		a->state = DET_PENDING;
		a->active_ms = now_ms;
		a->fired_ms = 0;
		a->resolved_ms = 0;
	}
	a->keep_since_ms = 0;
	a->restored = false;
	a->last_seen_ms = now_ms;
}

static void wake_at(struct det_rule *r, int64_t ms)
{
	if (r->deadline_ms == 0 || ms < r->deadline_ms) {
		r->deadline_ms = ms;
	}
}

static void fire_when_due(struct det_rule *r, struct det_instance *a, int64_t now_ms)
{
	if (a->state != DET_PENDING || !det_policy_breached(r, a, now_ms)) {
		return;
	}
	int64_t due = a->active_ms + r->rule->for_ms;
	if (now_ms >= due) {
		a->state = DET_FIRING;
		a->fired_ms = now_ms;
		det_policy_fired(r, a, now_ms);
		r->group->owner->changed = true;
	} else {
		wake_at(r, due);
	}
}

static bool needs_source(const struct ops_rule *rule)
{
	return rule->policy.resolve != NULL || rule->policy.no_data != OPS_RULE_NO_DATA_RESOLVE;
}

/* The labels of the result without the metric's name. */
static struct ops_labels *source_labels(const struct det_result_series *series)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (uint32_t i = 0; i < series->nlabels; i++) {
		ops_labels_builder_set(&b, series->labels[i].name, series->labels[i].value);
	}
	ops_labels_builder_del(&b, OPS_LABEL_NAME);
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return labels;
}

static struct det_instance *instance_of(struct det_rule *r, const struct naming *name)
{
	struct det_instance *a =
		ops_map_get(r->instances, &name->fingerprint, sizeof(name->fingerprint));
	if (a == NULL) {
		a = ops_xcalloc(1, sizeof(*a));
		a->told = ops_labels_ref(name->told);
		a->fingerprint = name->fingerprint;
		ops_map_put(r->instances, &a->fingerprint, sizeof(a->fingerprint), a);
	}
	/* What was restored may know only how it was told, and external labels may have changed to
	 * what a series has itself. */
	ops_labels_unref(a->labels);
	a->labels = ops_labels_ref(name->own);
	return a;
}

static void apply_one(struct det_rule *r, const struct det_expand_context *c,
	const struct naming *name, int64_t now_ms)
{
	struct det_rules *owner = r->group->owner;
	struct det_instance *a = instance_of(r, name);
	enum det_alert_state before = a->state;
	see(a, now_ms);
	owner->changed = owner->changed || before != a->state;
	bool number = c->series->npoints > 0 && c->series->points[0].h == NULL;
	a->value = number ? c->series->points[0].v : NAN;
	if (a->source == NULL && needs_source(r->rule)) {
		a->source = source_labels(c->series);
	}
	det_policy_remember(r, a, true);
	fire_when_due(r, a, now_ms);
	ops_labels_unref(a->annotations);
	a->annotations = alert_annotations(c, r->rule, a);
}

/* All label sets first: a duplicate refuses the whole result before any alert has changed. */
static int name_all(
	struct det_rule *r, const struct det_result *result, int64_t now_ms, struct naming *ret)
{
	struct det_rules *owner = r->group->owner;
	int rc = 0;
	if (result->n == 0) {
		return 0;
	}
	struct ops_map *seen = ops_map_new();
	for (size_t i = 0; i < result->n; i++) {
		const struct det_expand_context c = {owner, owner->gen, &result->series[i], now_ms};
		ret[i] = name_alert(&c, r->rule);
		if (ops_map_put(seen, &ret[i].fingerprint, sizeof(ret[i].fingerprint),
			    ret[i].told) != NULL) {
			rc = -EINVAL;
		}
	}
	ops_map_free(seen, NULL);
	return rc;
}

/* ---- what is not in the result ---- */

/*
 * Has the store what the rule looks back on? True once samples from before this process were
 * replayed, or the process has watched for as long as the rule looks back.
 */
bool det_rule_informed(const struct det_rule *r, int64_t now_ms)
{
	const struct det_rules *owner = r->group->owner;
	if (owner->cfg.source != NULL) {
		return true; /* its data did not go when we did */
	}
	for (size_t i = 0; i < r->nselectors; i++) {
		const struct det_selector *s = &r->selectors[i];
		int64_t reach = OPS_MIN(s->reach_ms, (int64_t)INFORMED_CAP_MS);
		if (now_ms - owner->started_ms >= reach) {
			continue;
		}
		const int64_t range[2] = {owner->started_ms - reach, owner->started_ms};
		struct det_series_list list = {NULL, 0};
		struct det_samples samples = {0};
		struct ops_arena arena;
		ops_arena_init(&arena);
		det_store_select(owner->cfg.store, &s->matchers, range, &arena, &list);
		for (size_t k = 0; k < list.n && samples.n == 0; k++) {
			det_series_read(list.items[k], range[0], range[1], &samples);
		}
		bool found = samples.n > 0;
		det_samples_done(&samples);
		ops_arena_done(&arena);
		if (!found) {
			return false;
		}
	}
	return true;
}

static bool keeps_firing(struct det_rule *r, struct det_instance *a, int64_t now_ms)
{
	if (a->state != DET_FIRING || r->rule->keep_firing_for_ms == 0) {
		return false;
	}
	if (a->keep_since_ms == 0) {
		a->keep_since_ms = now_ms;
		r->group->owner->changed = true;
	}
	int64_t end = a->keep_since_ms + r->rule->keep_firing_for_ms;
	if (now_ms >= end) {
		return false;
	}
	wake_at(r, end);
	return true;
}

static bool keeps_flapping(struct det_rule *r, const struct det_instance *a, int64_t now_ms)
{
	int64_t until = det_policy_flaps_until(r, a);
	if (now_ms >= until) {
		return false;
	}
	wake_at(r, until);
	return true;
}

/* Missing data is no recovery: keep leaves the alert as it is, fire counts it as a breach. */
static bool kept_without_data(struct det_rule *r, struct det_instance *a, int64_t now_ms)
{
	enum ops_rule_no_data policy = r->rule->policy.no_data;
	if (policy == OPS_RULE_NO_DATA_RESOLVE || !det_policy_missing(r, a->source, now_ms)) {
		return false;
	}
	if (policy == OPS_RULE_NO_DATA_FIRE) {
		a->last_seen_ms = now_ms;
		a->history |= 1;
		fire_when_due(r, a, now_ms);
	}
	return true;
}

/* Not in the result: does it go on all the same? */
static bool goes_on(struct det_rule *r, struct det_instance *a, const struct det_outcome *out)
{
	if (a->restored && !det_rule_informed(r, out->now_ms)) {
		return true;
	}
	if (kept_without_data(r, a, out->now_ms)) {
		return true;
	}
	if (r->rule->policy.fire_m > 0 &&
		(a->state == DET_PENDING ? a->history != 0
					 : det_policy_breached(r, a, out->now_ms))) {
		return true;
	}
	if (a->state != DET_FIRING) {
		return false;
	}
	if (out->recovered != NULL && !det_policy_recovered(a, out->recovered)) {
		return true;
	}
	return keeps_flapping(r, a, out->now_ms) || keeps_firing(r, a, out->now_ms);
}

static void resolve(struct det_rule *r, struct det_instance *a, int64_t now_ms)
{
	a->state = DET_INACTIVE;
	a->resolved_ms = now_ms;
	det_policy_resolved(a);
	r->group->owner->changed = true;
}

static void drop_old(struct det_rule *r, struct det_instance *a)
{
	ops_map_remove(r->instances, &a->fingerprint, sizeof(a->fingerprint));
	det_instance_free(a);
	r->group->owner->changed = true;
}

/* A resolved alert is forgotten when it was told, and nothing asks for its past any more. */
static bool outlived(const struct det_rule *r, const struct det_instance *a, int64_t now_ms)
{
	int64_t kept = OPS_MAX((int64_t)RESOLVED_KEPT_MS, r->rule->policy.flap_within_ms);
	return a->published == DET_INACTIVE && now_ms - a->resolved_ms > kept;
}

static void apply_absent(struct det_rule *r, const struct det_outcome *out)
{
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(r->instances, &at, &e)) {
		struct det_instance *a = e.value;
		if (a->last_seen_ms == out->now_ms) {
			continue;
		}
		det_policy_remember(r, a, false);
		if (a->state == DET_INACTIVE) {
			if (outlived(r, a, out->now_ms)) {
				drop_old(r, a);
			}
		} else if (!goes_on(r, a, out)) {
			resolve(r, a, out->now_ms);
		}
	}
}

bool det_alerting_firing(const struct det_rule *r)
{
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(r->instances, &at, &e)) {
		if (((const struct det_instance *)e.value)->state == DET_FIRING) {
			return true;
		}
	}
	return false;
}

static bool any_active(const struct det_rule *r)
{
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(r->instances, &at, &e)) {
		const struct det_instance *a = e.value;
		if (a->state != DET_INACTIVE && (a->source == NULL || a->source->n > 0)) {
			return true;
		}
	}
	return false;
}

/* `no_data: fire` and nothing is there to name: the rule itself is the alert. */
static bool fires_without_data(const struct det_rule *r, const struct det_outcome *out)
{
	return r->rule->policy.no_data == OPS_RULE_NO_DATA_FIRE && out->result->n == 0 &&
	       !any_active(r) && det_rule_informed(r, out->now_ms) &&
	       det_policy_missing(r, NULL, out->now_ms);
}

static int apply_all(struct det_rule *r, const struct det_outcome *out, struct ops_error *err)
{
	struct det_rules *owner = r->group->owner;
	const struct det_result *result = out->result;
	struct naming *names = ops_xcalloc(OPS_MAX(result->n, 1), sizeof(*names));
	int rc = name_all(r, result, out->now_ms, names);
	if (rc == 0) {
		r->deadline_ms = 0;
		for (size_t i = 0; i < result->n; i++) {
			const struct det_expand_context c = {
				owner, owner->gen, &result->series[i], out->now_ms};
			apply_one(r, &c, &names[i], out->now_ms);
		}
		apply_absent(r, out);
	} else {
		ops_error_set(err, rc,
			"vector contains metrics with the same labelset after applying alert "
			"labels");
	}
	for (size_t i = 0; i < result->n; i++) {
		ops_labels_unref(names[i].own);
		ops_labels_unref(names[i].told);
	}
	free(names);
	return rc;
}

int det_alerting_apply(struct det_rule *r, const struct det_outcome *out, struct ops_error *err)
{
	if (!fires_without_data(r, out)) {
		return apply_all(r, out, err);
	}
	struct det_result_series nothing = {.labels = NULL};
	const struct det_result result = {.series = &nothing, .n = 1};
	const struct det_outcome missing = {out->now_ms, &result, out->recovered};
	return apply_all(r, &missing, err);
}

void det_alerting_resolve_all(struct det_rule *r, int64_t now_ms)
{
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(r->instances, &at, &e)) {
		struct det_instance *a = e.value;
		if (a->state != DET_INACTIVE) {
			resolve(r, a, now_ms);
		}
	}
}

/* ---- ALERTS and ALERTS_FOR_STATE ---- */

static void write_one(struct det_store *store, const struct det_instance *a, const char *metric,
	const char *state, int64_t now_ms, double value)
{
	struct ops_labels_builder b;
	ops_labels_builder_from(&b, a->labels);
	ops_labels_builder_set(&b, OPS_LABEL_NAME, metric);
	if (state != NULL) {
		ops_labels_builder_set(&b, "alertstate", state);
	}
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	/* A marker for a series that never was would make it. */
	bool needed = !ops_is_stale(value) || det_store_has(store, labels);
	if (needed && det_store_append(store, labels, now_ms, value) != 0) {
		log_debug("the store refused a sample", F_STR("metric", metric));
	}
	ops_labels_unref(labels);
}

void det_alerting_write_series(struct det_rule *r, int64_t now_ms)
{
	struct det_store *store = r->group->owner->cfg.store;
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(r->instances, &at, &e)) {
		const struct det_instance *a = e.value;
		double stale = ops_stale_nan();
		if (a->state == DET_INACTIVE && a->resolved_ms != now_ms) {
			continue;
		}
		write_one(
			store, a, "ALERTS", "pending", now_ms, a->state == DET_PENDING ? 1 : stale);
		write_one(store, a, "ALERTS", "firing", now_ms, a->state == DET_FIRING ? 1 : stale);
		int64_t since_s = a->active_ms / 1000; /* whole seconds, as others write it */
		write_one(store, a, "ALERTS_FOR_STATE", NULL, now_ms,
			a->state != DET_INACTIVE ? (double)since_s : stale);
	}
}
