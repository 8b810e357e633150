/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of prometheus.yml the detector needs four things; the rest is the collector's, which also
 * refuses what is wrong there. A pattern of rule_files that matches nothing is a warning, as with
 * Prometheus; a plain name that is not there is one too, so that the same file loads in both.
 */
#include "services/detector/config.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/promql/parse.h"

#define KEY(name_, kind_, member, flags_, fallback_, doc_)                                         \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct det_config, member),   \
		.flags = (flags_), .fallback = (fallback_), .doc = (doc_)                          \
	}

const struct ops_conf_key det_config_keys[] = {
	KEY("scrape_config_file", OPS_CONF_K_PATH, scrape_config_file, 0, NULL,
		"prometheus.yml: evaluation_interval, external_labels and rule_files are read"),
	KEY("rule_files", OPS_CONF_K_PATHS, rule_files, 0, NULL, "further rule files; globs"),
	KEY("rule_variables", OPS_CONF_K_NODE, rule_variables, 0, NULL,
		"NAME: text; replaces ${NAME} in rule files, no other ${...} is touched"),
	KEY("rules_eval", OPS_CONF_K_STRING, rules_eval, 0, "arrival",
		"arrival: when samples that a rule reads arrive, and by interval; interval: only "
		"by interval"),
	KEY("samples_listen", OPS_CONF_K_STRING, samples_listen, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7401", "where collectors dial"),
	KEY("alerts_listen", OPS_CONF_K_STRING, alerts_listen, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7402", "where alerts are published"),
	KEY("alerts_replay_listen", OPS_CONF_K_STRING, alerts_replay_listen, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7502", "its replay socket"),
	KEY("alerts_replay_advertise", OPS_CONF_K_STRING, alerts_replay_advertise, OPS_CONF_RESTART,
		NULL, "what subscribers dial for replay, when it is another address"),
	{.name = "heartbeat_interval",
		.kind = OPS_CONF_K_DURATION,
		.offset = offsetof(struct det_config, heartbeat_ms),
		.flags = OPS_CONF_RESTART,
		.fallback = "1s",
		.min = 50,
		.max = 60000,
		.doc = "how often the list of live collectors is published; one that is silent for "
		       "three and a half of them is dropped from it: the same as theirs"},
	KEY("retention", OPS_CONF_K_DURATION, retention_ms, 0, "15d", "how long samples are kept"),
	KEY("retention_size", OPS_CONF_K_SIZE, retention_bytes, 0, "0",
		"most bytes of blocks on disk, oldest go first; 0 = no limit"),
	KEY("memory_max", OPS_CONF_K_STRING, memory_max, 0, "80%",
		"new series are refused above this: a size, or a share of the cgroup's memory "
		"limit "
		"(of the machine where there is none); 0 = no limit"),
	KEY("wal_fsync_interval", OPS_CONF_K_DURATION, wal_fsync_ms, 0, "1s",
		"how often the log is synced: what a crash may lose"),
	KEY("out_of_order_window", OPS_CONF_K_DURATION, out_of_order_ms, 0, "10m",
		"how far behind its series' last sample one may be; 0 = not at all"),
	KEY("block_duration", OPS_CONF_K_DURATION, block_ms, OPS_CONF_RESTART, "2h",
		"time that a new block covers"),
	KEY("series_per_target_limit", OPS_CONF_K_INT, series_per_target, 0, "0",
		"series of a target above this are refused; 0 = no limit"),
	KEY("series_per_job_limit", OPS_CONF_K_INT, series_per_job, 0, "0",
		"series of a job above this are refused; 0 = no limit"),
	KEY("lookback_delta", OPS_CONF_K_DURATION, lookback_ms, 0, "5m",
		"how long a series without new samples is seen"),
	KEY("query_timeout", OPS_CONF_K_DURATION, query_timeout_ms, 0, "10s", "longest evaluation"),
	KEY("query_max_samples", OPS_CONF_K_INT, query_max_samples, 0, "50000000",
		"most samples a query may hold in memory"),
	{.name = "query_concurrency",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct det_config, query_concurrency),
		.flags = OPS_CONF_RESTART,
		.fallback = "20",
		.max = 256,
		.doc = "queries that run at a time, each on a thread of its own; 0: one after the "
		       "other, between all other work"},
	KEY("enable_admin_api", OPS_CONF_K_BOOL, enable_admin_api, OPS_CONF_RESTART, "false",
		"/api/v1/admin/tsdb: delete_series, clean_tombstones, snapshot (role operator)"),
	KEY("enable_lifecycle", OPS_CONF_K_BOOL, enable_lifecycle, OPS_CONF_RESTART, "false",
		"POST /-/quit ends the service (role operator)"),
	{.name = "exemplars_max",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct det_config, exemplars_max),
		.flags = OPS_CONF_RESTART,
		.fallback = "100000",
		.max = 100000000,
		.doc = "exemplars kept in memory, the newest of all series; 0: none"},
	KEY("datasource", OPS_CONF_K_NODE, datasource, OPS_CONF_RESTART, NULL,
		"rules are evaluated by this Prometheus-compatible engine: its URL, or {url, "
		"timeout, "
		"concurrency, basic_auth, authorization, tls_config, ...}"),
	KEY("rule_shard", OPS_CONF_K_STRING, rule_shard, 0, NULL,
		"I/N: of the rule groups only those whose name falls to detector I of N"),
	KEY("remote_write_queue_max", OPS_CONF_K_SIZE, remote_write_queue_bytes, OPS_CONF_RESTART,
		"1GiB",
		"per destination of remote_write: the oldest samples fall out of its queue on disk "
		"above this"),
	KEY("enable_features", OPS_CONF_K_STRINGS, features, 0, NULL,
		"promql-experimental-functions, promql-extended-range-selectors, "
		"promql-binop-fill-modifiers, promql-duration-expr, use-start-timestamps, "
		"st-storage"),
	OPS_CONF_END,
};

struct reader { /* what reading the sources adds to */
	struct det_rule_sources *to;
	struct ops_labels_builder external;
	const char **files;
	size_t n, cap;
	struct ops_conf_warnings *warnings;
	struct ops_error *err;
};

static void add_file(struct reader *r, const char *path)
{
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->files[i], path) == 0) {
			return;
		}
	}
	OPS_GROW(r->files, r->n, r->cap);
	r->files[r->n++] = ops_arena_strdup(&r->to->arena, path);
}

static void add_pattern(struct reader *r, const char *pattern)
{
	glob_t found;
	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			add_file(r, found.gl_pathv[i]);
		}
	} else {
		ops_conf_warn(r->warnings, NULL, "rule_files: nothing matches %s", pattern);
	}
	globfree(&found);
}

static int add_list(struct reader *r, const struct ops_conf_node *list, const char *dir)
{
	if (list == NULL || ops_conf_is_null(list)) {
		return 0;
	}
	if (list->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(
			list, r->err, "rule_files must be a list of files or patterns");
	}
	for (size_t i = 0; i < list->n; i++) {
		const char *pattern = NULL;
		int rc = ops_conf_string(list->items[i], "rule_files", &pattern, r->err);
		if (rc != 0) {
			return rc;
		}
		OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, pattern);
		add_pattern(r, path);
	}
	return 0;
}

static int take_external_labels(struct reader *r, const struct ops_conf_node *map)
{
	if (map == NULL || ops_conf_is_null(map)) {
		return 0;
	}
	if (map->type != OPS_CONF_MAPPING) {
		return ops_conf_error(
			map, r->err, "external_labels must be a mapping of names to texts");
	}
	for (size_t i = 0; i < map->n; i++) {
		const char *value = NULL;
		const char *name = map->keys[i]->text;
		if (!ops_label_name_valid(name, strlen(name)) ||
			strcmp(name, OPS_LABEL_NAME) == 0) {
			return ops_conf_error(
				map->keys[i], r->err, "'%s' is not a label name", name);
		}
		int rc = ops_conf_string(map->items[i], name, &value, r->err);
		if (rc != 0) {
			return rc;
		}
		ops_labels_builder_set(&r->external, name, value);
	}
	return 0;
}

static int take_offset(struct reader *r, const struct ops_conf_node *n)
{
	int64_t *ms = &r->to->set.query_offset_ms;
	return n != NULL ? ops_conf_duration(n, "rule_query_offset", ms, r->err) : 0;
}

static int take_interval(struct reader *r, const struct ops_conf_node *n)
{
	int64_t *ms = &r->to->set.interval_ms;
	int rc = n != NULL ? ops_conf_duration(n, "evaluation_interval", ms, r->err) : 0;
	if (rc == 0 && n != NULL && *ms <= 0) {
		return ops_conf_error(n, r->err, "evaluation_interval must be longer than 0");
	}
	return rc;
}

static int read_prometheus(struct reader *r, const char *path)
{
	struct ops_conf_node *root = NULL;
	const struct ops_conf_options opt = {.expand_env = true, .keep_unset = true};
	int rc = ops_conf_load_file(&r->to->arena, path, &opt, &root, r->err);
	if (rc == 0 && root->type != OPS_CONF_MAPPING) {
		rc = ops_conf_error(root, r->err, "a mapping is wanted here");
	}
	if (rc != 0) {
		return rc;
	}
	const struct ops_conf_node *global = ops_conf_get(root, "global");
	if (global != NULL && global->type == OPS_CONF_MAPPING) {
		rc = take_interval(r, ops_conf_get(global, "evaluation_interval"));
		if (rc == 0) {
			rc = take_offset(r, ops_conf_get(global, "rule_query_offset"));
		}
		if (rc == 0) {
			rc = take_external_labels(r, ops_conf_get(global, "external_labels"));
		}
	} else if (global != NULL && !ops_conf_is_null(global)) {
		rc = ops_conf_error(global, r->err, "global must be a mapping");
	}
	if (rc == 0) {
		OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(path);
		rc = add_list(r, ops_conf_get(root, "rule_files"), dir);
	}
	return rc;
}

static int take_variables(
	const struct ops_conf_node *map, struct det_rule_sources *s, struct ops_error *err)
{
	if (map == NULL || ops_conf_is_null(map)) {
		return 0;
	}
	if (map->type != OPS_CONF_MAPPING) {
		return ops_conf_error(
			map, err, "rule_variables must be a mapping of names to texts");
	}
	struct ops_rule_variable *all =
		ops_arena_array(&s->arena, struct ops_rule_variable, OPS_MAX(map->n, 1));
	for (size_t i = 0; i < map->n; i++) {
		const char *value = NULL;
		int rc = ops_conf_string(map->items[i], map->keys[i]->text, &value, err);
		if (rc != 0) {
			return rc;
		}
		all[i].name = ops_arena_strdup(&s->arena, map->keys[i]->text);
		all[i].value = ops_arena_strdup(&s->arena, value != NULL ? value : "");
	}
	s->set.variables = all;
	s->set.nvariables = map->n;
	return 0;
}

#define START_STORAGE "st-storage"

static int take_feature(
	const char *name, size_t len, struct det_rule_sources *s, struct ops_error *err)
{
	static const struct {
		const char *name;
		unsigned feature;
	} known[] = {{"promql-experimental-functions", OPS_PROMQL_EXPERIMENTAL_FUNCTIONS},
		{"promql-extended-range-selectors", OPS_PROMQL_EXTENDED_RANGE},
		{"promql-binop-fill-modifiers", OPS_PROMQL_FILL},
		{"promql-duration-expr", OPS_PROMQL_DURATION_EXPR},
		{"use-start-timestamps", OPS_PROMQL_START_TIMESTAMPS},
		{START_STORAGE, 0}}; /* not of the language */
	for (size_t i = 0; i < OPS_LENGTH(known); i++) {
		if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0) {
			s->set.promql_features |= known[i].feature;
			s->start_storage |= ops_str_eq(known[i].name, START_STORAGE);
			return 0;
		}
	}
	return ops_error_set(err, -EINVAL, "enable_features: there is no feature '%.*s'",
		(int)OPS_MIN(len, 100), name);
}

static int take_features(
	const struct det_config *cfg, struct det_rule_sources *s, struct ops_error *err)
{
	int rc = 0;
	s->set.promql_features = OPS_PROMQL_DEFAULT_FEATURES;
	for (size_t i = 0; rc == 0 && i < cfg->features.n; i++) {
		const char *at = cfg->features.items[i];
		while (rc == 0 && *at != '\0') { /* one, or several by commas as Prometheus' flag */
			size_t len = strcspn(at, ",");
			rc = take_feature(at, len, s, err);
			at += len + (at[len] == ',');
		}
	}
	return rc;
}

static int take_shard(
	const struct det_config *cfg, struct det_rule_sources *s, struct ops_error *err)
{
	const char *text = cfg->rule_shard;
	if (text == NULL || det_rules_shard_parse(text, &s->set.shard, &s->set.shards) == 0) {
		return 0;
	}
	(void)ops_error_set(err, -EINVAL, "rule_shard: '%s' is no share of the rules", text);
	ops_error_hint(err, "for example 1/3, 2/3 and 3/3 for three detectors");
	return -EINVAL;
}

static int take_trigger(
	const struct det_config *cfg, struct det_rule_sources *s, struct ops_error *err)
{
	bool arrival = ops_str_eq(cfg->rules_eval, "arrival");
	s->set.trigger = arrival ? DET_RULES_ARRIVAL : DET_RULES_INTERVAL;
	return arrival || ops_str_eq(cfg->rules_eval, "interval")
		       ? 0
		       : ops_error_set(err, -EINVAL,
				 "rules_eval: '%s' is neither arrival nor interval",
				 cfg->rules_eval);
}

static int read_all(struct reader *r, const struct det_config *cfg)
{
	int rc = take_features(cfg, r->to, r->err);
	if (rc == 0) {
		rc = take_trigger(cfg, r->to, r->err);
	}
	if (rc == 0) {
		rc = take_shard(cfg, r->to, r->err);
	}
	if (rc == 0 && cfg->scrape_config_file != NULL && cfg->scrape_config_file[0] != '\0') {
		rc = read_prometheus(r, cfg->scrape_config_file);
	}
	for (size_t i = 0; rc == 0 && i < cfg->rule_files.n; i++) {
		add_pattern(r, cfg->rule_files.items[i]);
	}
	return rc != 0 ? rc : take_variables(cfg->rule_variables, r->to, r->err);
}

int det_rule_sources_load(const struct det_config *cfg, struct det_rule_sources *ret,
	struct ops_conf_warnings *warnings, struct ops_error *err)
{
	struct reader r = {.to = ret, .warnings = warnings, .err = err};
	memset(ret, 0, sizeof(*ret));
	ops_arena_init(&ret->arena);
	ops_labels_builder_init(&r.external);
	int rc = read_all(&r, cfg);
	ret->external_labels = ops_labels_builder_build(&r.external);
	ops_labels_builder_done(&r.external);
	ret->set.external_labels = ret->external_labels;
	ret->set.external_url = cfg->daemon.external_url;
	ret->set.nfiles = r.n;
	ret->set.files =
		r.n > 0 ? ops_arena_dup(&ret->arena, r.files, r.n * sizeof(*r.files)) : NULL;
	free(r.files);
	if (rc != 0) {
		det_rule_sources_done(ret);
	}
	return rc;
}

void det_rule_sources_done(struct det_rule_sources *s)
{
	ops_labels_unref(s->external_labels);
	ops_arena_done(&s->arena);
	memset(s, 0, sizeof(*s));
}
