/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluated when a group is flushed and when the API asks, on the store as it is then: no answer is
 * kept that could be stale after a restart or reload (peers send inhibited alerts in that window).
 * What is kept is the list of alerts on the source side of each rule, until the store changes, so
 * that a storm of targets does not compare every alert with every other.
 */
#include "services/alertmanager/inhibit.h"

#include <string.h>

#include "common/base/text.h"

struct sources {
	const struct alm_alert **items;
	size_t n, cap;
};

struct alm_inhibitor {
	struct alm_config *cfg;
	const struct alm_alerts *alerts;
	uint64_t generation; /* of the store, when the lists were made */
	struct sources *by_rule;
};

struct alm_inhibitor *alm_inhibitor_new(struct alm_config *cfg, const struct alm_alerts *alerts)
{
	struct alm_inhibitor *in = ops_xcalloc(1, sizeof *in);

	in->cfg = alm_config_ref(cfg);
	in->alerts = alerts;
	in->by_rule = ops_xcalloc(cfg->ninhibit + 1, sizeof in->by_rule[0]);
	return in;
}

void alm_inhibitor_free(struct alm_inhibitor *in)
{
	if (in == NULL)
		return;
	for (size_t i = 0; i < in->cfg->ninhibit; i++)
		free(in->by_rule[i].items);
	free(in->by_rule);
	alm_config_unref(in->cfg);
	free(in);
}

static void refresh(struct alm_inhibitor *in)
{
	const struct alm_alert *a;

	if (in->generation == alm_alerts_generation(in->alerts))
		return;
	in->generation = alm_alerts_generation(in->alerts);
	for (size_t i = 0; i < in->cfg->ninhibit; i++)
		in->by_rule[i].n = 0;
	for (size_t at = 0; (a = alm_alerts_next(in->alerts, &at)) != NULL;) {
		for (size_t i = 0; i < in->cfg->ninhibit; i++) {
			struct sources *s = &in->by_rule[i];
			if (!ops_matchers_match(&in->cfg->inhibit[i].source, a->labels))
				continue;
			OPS_GROW(s->items, s->n, s->cap);
			s->items[s->n++] = a;
		}
	}
}

static const char *value_of(const struct ops_labels *ls, const char *name)
{
	const char *v = ops_labels_get(ls, name);
	return v != NULL ? v : "";
}

static bool equal_labels(
	const struct alm_inhibit_rule *rule, const struct ops_labels *a, const struct ops_labels *b)
{
	for (size_t i = 0; i < rule->equal.n; i++) {
		if (strcmp(value_of(a, rule->equal.items[i]), value_of(b, rule->equal.items[i])) !=
			0)
			return false;
	}
	return true;
}

static bool rule_mutes(const struct alm_inhibit_rule *rule, const struct sources *sources,
	const struct ops_labels *labels, int64_t now_ms, uint64_t *ret_by)
{
	bool both_sides = ops_matchers_match(&rule->source, labels);

	for (size_t i = 0; i < sources->n; i++) {
		const struct alm_alert *a = sources->items[i];
		if (alm_alert_resolved(a, now_ms) || a->starts_at_ms > now_ms)
			continue;
		if (!equal_labels(rule, a->labels, labels))
			continue;
		if (both_sides && ops_matchers_match(&rule->target, a->labels))
			continue;
		*ret_by = a->fingerprint;
		return true;
	}
	return false;
}

bool alm_inhibited(
	struct alm_inhibitor *in, const struct ops_labels *labels, int64_t now_ms, uint64_t *ret_by)
{
	refresh(in);
	for (size_t i = 0; i < in->cfg->ninhibit; i++) {
		const struct alm_inhibit_rule *rule = &in->cfg->inhibit[i];
		if (ops_matchers_match(&rule->target, labels) &&
			rule_mutes(rule, &in->by_rule[i], labels, now_ms, ret_by))
			return true;
	}
	return false;
}
