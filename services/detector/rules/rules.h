/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Recording and alerting rules over the store. A rule is evaluated when samples that it reads
 * arrive (coalesced to the end of the loop turn, bounded by its cost), and at least once per
 * interval for what time alone changes; a pending alert is looked at again exactly when its `for`
 * is over.
 *
 * A transition (pending, firing, resolved) is written to the state file before it is published, and
 * published with an id that depends on the transition alone, so that a crash in between repeats it
 * and nobody counts it twice. Loop thread only.
 */
#include "common/loop/loop.h"
#include "common/msg/msg.h"
#include "common/net/http_server.h"
#include "common/rules/rules.h"
#include "services/detector/engine/engine.h"
#include "services/detector/store/store.h"

struct det_rules; /* opaque */

/* One query of a rule that is evaluated elsewhere. */
struct det_rules_ask {
	const char *expr;
	int64_t time_ms;
	struct ops_arena *arena; /* for the result */
	/* result is NULL when rc is negative; err says why then. */
	void (*fn)(void *arg, int rc, const struct det_result *result, const struct ops_error *err);
	void *arg;
};
struct det_rules_source {
	/* Copies expr. fn is called once, and not before this returns; negative errno: never. */
	int (*ask)(void *arg, const struct det_rules_ask *ask, void **ret_handle);
	void (*cancel)(void *handle); /* fn will not be called */
	void *arg;
};

struct det_rules_config {      /* borrowed; engine is read at each evaluation */
	struct ops_loop *loop; /* NULL: nothing happens by itself, see det_rules_step */
	struct det_store *store;
	const struct det_engine_options *engine;
	const char *state_file; /* NULL: none */
	int64_t slice_ns;	/* a group's evaluation gives way after that time; 0: 2 ms */
	/* Who evaluates the rules instead of our engine; by interval only then. NULL: we do. */
	const struct det_rules_source *source;
	/* Makes the transition durable and public. Negative errno: it is tried again at the next
	 * evaluation. NULL: nobody is told. */
	int (*publish)(void *arg, const struct ops_alert *alert, const char *event_id);
	/* Around the transitions of one turn; end negative: none of them counts. May be NULL. */
	void (*begin)(void *arg);
	int (*end)(void *arg);
	/* Is the store up to date with the collectors? Asked after a restart with a state file, for
	 * at most five seconds: old samples that are still being replayed must not move an alert.
	 * May be NULL. */
	bool (*caught_up)(void *arg);
	void *arg;
};

enum det_rules_trigger {   /* rules_eval */
	DET_RULES_ARRIVAL, /* when samples arrive, and by interval */
	DET_RULES_INTERVAL
};

struct det_rules_set { /* what a configuration file says; copied where kept */
	const char *const *files;
	size_t nfiles;
	const struct ops_rule_variable *variables;
	size_t nvariables;
	int64_t interval_ms;	 /* global evaluation_interval */
	int64_t query_offset_ms; /* global rule_query_offset */
	enum det_rules_trigger trigger;
	const char *external_url;
	const struct ops_labels
		*external_labels; /* for templates; alerts on the bus get those they lack */
	unsigned promql_features;
	unsigned shard, shards; /* only groups whose name falls to shard 0..shards-1; 0: all */
};
/* "2/3": the second of three. -EINVAL. */
int det_rules_shard_parse(
	const char *text, unsigned *ret_shard, unsigned *ret_shards) OPS_MUST_CHECK;
unsigned det_rules_shard_of(const char *group, unsigned shards); /* 0..shards-1 */

int det_rules_new(const struct det_rules_config *cfg, struct det_rules **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void det_rules_free(struct det_rules *r);
/*
 * Loads every file and swaps, or changes nothing. Alerts of a rule that stands in both go on; those
 * of a rule that is gone are resolved.
 */
int det_rules_load(struct det_rules *r, const struct det_rules_set *set,
	struct ops_conf_warnings *warnings, struct ops_error *err) OPS_MUST_CHECK;
/* The same checks without a detector: for --check. */
int det_rules_check(const struct det_rules_set *set, struct ops_conf_warnings *warnings,
	struct ops_error *err) OPS_MUST_CHECK;

/* GET /api/v1/rules and /api/v1/alerts in Prometheus' shape. */
void det_rules_api(struct det_rules *r, struct ops_http_server *http);
size_t det_rules_firing(const struct det_rules *r);
size_t det_rules_dead(const struct det_rules *r); /* rules that read what is not there */

/*
 * Evaluates every rule at that time, group by group: those named in order first, the rest as
 * loaded. on_failure may be NULL. Returns how many failed. For tests of rules.
 */
struct det_rules_order {
	const char *const *groups;
	size_t n;
};
size_t det_rules_step(struct det_rules *r, const struct det_rules_order *order, int64_t now_ms,
	void (*on_failure)(void *arg, const char *rule, const char *error), void *arg);
struct det_rules_alert { /* pending or firing; borrowed */
	const char *name;
	bool firing;
	struct ops_labels *labels, *annotations; /* annotations may be NULL */
	double value;
};
void det_rules_each_alert(const struct det_rules *r,
	void (*fn)(void *arg, const struct det_rules_alert *alert), void *arg);
