/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The insides that the files of this folder share. */
#include <sys/queue.h>

#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/tmpl/tmpl.h"
#include "services/detector/rules/rules.h"

enum det_alert_state {
	DET_INACTIVE,
	DET_PENDING,
	DET_FIRING
}; /* inactive = resolved, kept for a while */
const char *det_alert_state_text(enum det_alert_state s);

struct det_instance { /* one alert: a rule and a label set */
	struct ops_labels *labels, *annotations;
	struct ops_labels *told; /* on the bus: labels, and the external ones that they lack */
	uint64_t fingerprint;	 /* of told */
	enum det_alert_state state;
	enum det_alert_state published; /* what the bus was told last */
	bool ever_published;
	bool sent;     /* in this turn, not known to be durable yet */
	bool restored; /* from the state file, and not seen in a result since */
	int64_t active_ms, fired_ms, resolved_ms, keep_since_ms;
	int64_t last_seen_ms;
	double value;
	/* For the keys that Prometheus does not have; kept only where the rule has them. */
	struct ops_labels *source;	     /* of the result, before the rule's own labels */
	uint64_t history;		     /* fire_after: was it in the result, newest in bit 0 */
	int64_t fired[OPS_RULE_CHANGES_MAX]; /* flapping: when it fired lately, oldest first */
	unsigned nfired;
	bool flapping, flapping_published;
};

struct det_selector {
	const struct ops_promql_expr *expr;
	struct ops_matchers matchers;
	const char *name; /* of the metric when it is fixed; borrowed from matchers */
	int64_t reach_ms;
	struct ops_arena arena; /* of the series that it selected last, see recall.c */
	struct det_series_list series;
	bool remembered;
	uint64_t generation; /* of the store then */
	int64_t from_ms;
	bool may_be_empty;     /* below absent(), or of the alerts that we write ourselves */
	int64_t dead_since_ms; /* it matches no series; 0 = it does */
};

struct det_rule {
	const struct ops_rule *rule; /* in the generation's arena */
	struct det_rule_group *group;
	char *key; /* file;group;name;nth of that name: names the rule across reloads and restarts
		    */
	struct det_selector *selectors;
	size_t nselectors, selectors_cap;
	struct ops_map *instances; /* alerting: fingerprint -> struct det_instance */
	struct ops_map
		*recorded; /* recording: label hash -> struct ops_labels of the last result */
	bool dirty;
	bool fresh;	       /* evaluated too lately for the interval to matter */
	bool open;	       /* may read the layout that is being matched, not known to */
	uint64_t tried;	       /* number of that layout, see det_generation */
	int64_t deadline_ms;   /* earliest end of a `for` or keep_firing_for; 0 = none */
	int64_t not_before_ns; /* cost bound of arrival evaluation, monotonic */
	int64_t last_eval_ms, last_cost_ns;
	int64_t looked_ms; /* when dead selectors were last looked for; INT64_MIN = never */
	uint64_t evaluations, failures;
	char error[512]; /* of the last evaluation; "" = fine */
};

struct det_pass { /* a group's evaluation by interval; pass.c */
	bool on;
	size_t at; /* the rule that is next */
	int64_t now_ms, cost_ns;
};

struct det_rule_group {
	struct det_rules *owner;
	const struct ops_rule_group *def;
	struct det_rule *rules;
	size_t n;
	int64_t interval_ms, last_eval_ms, last_cost_ns;
	struct ops_timer *timer;
	bool ticked;		 /* was evaluated by interval */
	bool untold;		 /* publishing failed: again soon */
	struct det_round *round; /* an evaluation elsewhere is under way */
	struct det_pass pass;
	TAILQ_ENTRY(det_rule_group) in_passes; /* while a pass waits for its turn */
	size_t caught_up_to;		       /* rule where arrivals go on */
};
TAILQ_HEAD(det_passes, det_rule_group);

struct det_generation { /* one loaded configuration */
	struct ops_arena arena;
	struct ops_rule_groups defs; /* of our shard */
	struct det_rule_group *groups;
	size_t n;
	struct ops_map *by_metric;	/* metric name -> struct det_rule_list */
	struct det_rule_list *nameless; /* rules with a selector without a fixed name */
	struct ops_map *by_layout;	/* layout id (8 bytes) -> struct det_rule_list */
	char *external_url;
	struct ops_labels *external_labels;
	struct ops_tmpl_set *templates;
	uint64_t tried; /* layouts matched */
	int64_t interval_ms, query_offset_ms;
	enum det_rules_trigger trigger;
};

struct det_rule_list {
	struct det_rule **items;
	size_t n, cap;
};

struct det_rules {
	struct det_rules_config cfg;
	struct det_generation *gen;
	struct ops_map *saved; /* rule key -> json_t array of instances whose rule is not loaded */
	struct ops_timer *arrival; /* evaluates the dirty ones in the next turn */
	struct ops_timer *slice;   /* the next slice of a pass */
	struct det_passes passes;  /* that wait for it */
	size_t arrival_at;	   /* group where the next round of arrivals begins */
	int64_t rest_until_ns;	   /* no round before, monotonic */
	struct ops_arena scratch;  /* of one evaluation */
	size_t remembered_bytes;   /* of all selectors */
	int64_t started_ms, started_mono_ms;
	bool settled; /* the store has caught up with what was missed while we were down */
	bool changed; /* state file is behind memory */
	bool evaluating;
};

/* load.c */
void det_generation_free(struct det_generation *g);
void det_rule_list_add(struct det_rule_list *l, struct det_rule *rule); /* once */
struct det_rule *det_rule_find(const struct det_generation *g, const char *key);

/* index.c */
void det_index_build(struct det_generation *g);
void det_index_layout(
	struct det_generation *g, uint64_t id, struct det_series *const *series, size_t n);
void det_index_forget_layout(struct det_generation *g, uint64_t id);
void det_index_mark_layout(struct det_generation *g, uint64_t id);
bool det_index_mark_series(
	struct det_generation *g, const struct det_series *series); /* any marked? */

/* eval.c */
int64_t det_group_offset(const struct det_rule_group *g); /* query_offset in force */
void det_group_start(struct det_rule_group *g);
bool det_rule_due(const struct det_rule *r, bool all, int64_t now_ms);
void det_rule_evaluate(struct det_rule *r, bool by_interval, int64_t now_ms);
void det_rules_wake_dirty(struct det_rules *r); /* what was recorded may be read by others */

/* pass.c */
void det_group_evaluate(struct det_rule_group *g, int64_t now_ms); /* all, in one go */
void det_pass_start(struct det_rule_group *g, int64_t now_ms);	   /* not while one is under way */
void det_pass_cancel(struct det_rule_group *g);
void det_pass_on_turn(void *rules);
/* Rules that are dirty or have a deadline, until that time; any? */
bool det_group_catch_up(struct det_rule_group *g, int64_t now_ms, int64_t until_ns);

/* Saves the state, then tells what is news. */
void det_group_tell(struct det_rule_group *g);

void det_group_arm(struct det_rule_group *g); /* its timer */

/* away.c: rules of a group one after the other, each answered by the source */
void det_away_start(struct det_rule_group *g, int64_t now_ms); /* not while a round is under way */
void det_away_cancel(struct det_rule_group *g);

struct det_outcome { /* what an evaluation gave */
	int64_t now_ms;
	const struct det_result *result;
	const struct det_result *recovered; /* of resolve_when; NULL: not asked */
};

/* recall.c: what a selector matched, as long as the store has the same series */
bool det_recall(void *rule, const struct ops_promql_expr *selector, const int64_t range_ms[2],
	struct det_series_list *ret);
void det_recall_forget(struct det_rules *owner, struct det_selector *s);

/* eval.c: takes the result; keeps time, error and counts of an evaluation that is over */
int det_rule_apply(
	struct det_rule *r, const struct det_outcome *out, struct ops_error *err) OPS_MUST_CHECK;
void det_rule_evaluated(
	struct det_rule *r, int64_t now_ms, int64_t cost_ns, int rc, const struct ops_error *err);

/* alerting.c: result -> instances; sets rule->deadline_ms, owner->changed */
int det_alerting_apply(
	struct det_rule *r, const struct det_outcome *out, struct ops_error *err) OPS_MUST_CHECK;
bool det_alerting_firing(const struct det_rule *r); /* any? */
/* Has the store what the rule looks back on? */
bool det_rule_informed(const struct det_rule *r, int64_t now_ms);
void det_alerting_resolve_all(struct det_rule *r, int64_t now_ms);
void det_alerting_write_series(struct det_rule *r, int64_t now_ms); /* ALERTS, ALERTS_FOR_STATE */
void det_instance_free(void *instance);

/* dead.c: selectors that match no series */
bool det_expects_nothing(const struct ops_promql_expr *e); /* absent() and its like */
void det_dead_init(struct det_rule *r);			   /* once its selectors are known */
void det_dead_look(struct det_rule *r, int64_t now_ms);	   /* not more often than need be */
bool det_dead_rule(const struct det_rule *r);
void det_dead_json(const struct det_rule *r, struct ops_strbuf *out); /* its selectors, a list */

/* policy.c: no_data, resolve_when, fire_after, flapping */
/* Has the alert been in enough of the last evaluations? Without fire_after: in this one. */
bool det_policy_breached(const struct det_rule *r, const struct det_instance *a, int64_t now_ms);
void det_policy_remember(const struct det_rule *r, struct det_instance *a, bool present);
/* Some data that expr reads is missing: for this alert, or (NULL) altogether. */
bool det_policy_missing(const struct det_rule *r, const struct ops_labels *alert, int64_t now_ms);
bool det_policy_recovered(const struct det_instance *a, const struct det_result *recovered);
/* It fires now: counts, and says so when that was too often. */
void det_policy_fired(const struct det_rule *r, struct det_instance *a, int64_t now_ms);
/* Until when a flapping alert goes on, as calm as it may be; 0 = it does not flap. */
int64_t det_policy_flaps_until(const struct det_rule *r, const struct det_instance *a);
void det_policy_resolved(struct det_instance *a);

/* publish.c: what is news goes out; the state file must have it before */
void det_publish_group(struct det_rule_group *g); /* sets untold */
void det_leftover_take(struct det_rules *r, const struct det_rule *rule);
void det_leftover_resolve(struct det_rules *r, int64_t now_ms);
bool det_publish_leftovers(struct det_rules *r); /* false: some are left */
void det_leftovers_tell(struct det_rules *r);	 /* without a group; tries again by itself */

/* recording.c */
int det_recording_apply(struct det_rule *r, const struct det_result *result, int64_t now_ms,
	struct ops_error *err) OPS_MUST_CHECK;

/* The rule is gone, and so are the series that it made. */
void det_recording_end(const struct det_rule *r, int64_t now_ms);

/* expand.c */
struct ops_tmpl_set *det_expand_set(void);
struct det_expand_context {
	struct det_rules *owner; /* NULL while checking */
	const struct det_generation *gen;
	const struct det_result_series *series;
	int64_t now_ms;
};
/* Template text of a label or annotation; a mistake becomes the text "<error expanding template:
 * ...>" and -EINVAL. */
int det_expand(const struct det_expand_context *c, const struct ops_rule *rule,
	const struct ops_rule_pair *pair, struct ops_strbuf *out);
int det_expand_check(struct ops_tmpl_set *set, const struct ops_rule *rule,
	struct ops_error *err) OPS_MUST_CHECK;

/* state.c */
int det_state_load(struct det_rules *r, struct ops_error *err) OPS_MUST_CHECK;
void det_state_adopt(
	struct det_rules *r, struct det_rule *rule);	/* instances saved under its key */
int det_state_save(struct det_rules *r) OPS_MUST_CHECK; /* when changed */
json_t *det_instance_json(const struct det_instance *a) OPS_MUST_CHECK;
struct det_instance *det_instance_from_json(const json_t *j) OPS_MUST_CHECK; /* NULL: malformed */
