/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluated against the live store when a group is flushed and when the API asks, so there is no
 * cache that could be stale after a restart or reload (peers send inhibited alerts in that window).
 * Cost is rules x alerts only for targets that match a rule; stores hold thousands of alerts, not
 * millions.
 */
#include "services/alertmanager/inhibit.h"

#include <string.h>

#include "common/base/text.h"

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

static bool rule_mutes(const struct alm_inhibit_rule *rule, const struct alm_alerts *alerts,
	const struct ops_labels *labels, int64_t now_ms, uint64_t *ret_by)
{
	bool both_sides = ops_matchers_match(&rule->source, labels);
	const struct alm_alert *a;

	for (size_t at = 0; (a = alm_alerts_next(alerts, &at)) != NULL;) {
		if (alm_alert_resolved(a, now_ms) || a->starts_at_ms > now_ms)
			continue;
		if (!ops_matchers_match(&rule->source, a->labels) ||
			!equal_labels(rule, a->labels, labels))
			continue;
		if (both_sides && ops_matchers_match(&rule->target, a->labels))
			continue;
		*ret_by = a->fingerprint;
		return true;
	}
	return false;
}

bool alm_inhibited(const struct alm_config *cfg, const struct alm_alerts *alerts,
	const struct ops_labels *labels, int64_t now_ms, uint64_t *ret_by)
{
	for (size_t i = 0; i < cfg->ninhibit; i++) {
		const struct alm_inhibit_rule *rule = &cfg->inhibit[i];
		if (ops_matchers_match(&rule->target, labels) &&
			rule_mutes(rule, alerts, labels, now_ms, ret_by))
			return true;
	}
	return false;
}
