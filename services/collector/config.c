/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus' configuration file as people have it. Keys come in three kinds: those that the
 * collector obeys; those that mean something to another part of Prometheus, or to a way of finding
 * targets that we do not have, which load with a note so that a file need not be cut in two; and
 * unknown ones, which are refused, because a misspelt key is a setting that silently does not hold.
 *
 * ${ENV} is expanded where the variable is set or has a default; any other ${name} stays, since in
 * a relabelling rule it is a group of the expression.
 */
#include "services/collector/config.h"

#include <errno.h>
#include <glob.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/collector/config_job.h"

enum {
	ROOT_NOTES = 16
};

struct written_root {
	const struct ops_conf_node *global, *scrape_configs;
	struct ops_conf_strings files;
	const struct ops_conf_node *silent[2];
	const struct ops_conf_node *alerting;
	const struct ops_conf_node *notes[ROOT_NOTES];
};

#define ROOT(name_, member)                                                                        \
	{                                                                                          \
		.name = (name_), .kind = OPS_CONF_K_NODE,                                          \
		.offset = offsetof(struct written_root, member)                                    \
	}

static const struct ops_conf_key root_keys[] = {
	ROOT("global", global),
	ROOT("scrape_configs", scrape_configs),
	ROOT("rule_files", silent[0]),
	ROOT("alerting", alerting),
	{.name = "scrape_config_files",
		.kind = OPS_CONF_K_PATHS,
		.offset = offsetof(struct written_root, files)},
	ROOT("remote_write", notes[1]),
	ROOT("remote_read", notes[2]),
	ROOT("storage", notes[3]),
	ROOT("tracing", notes[4]),
	ROOT("otlp", notes[5]),
	ROOT("runtime", notes[6]),
	OPS_CONF_END,
};

#define GLOBAL(name_, kind_, member, fallback_)                                                    \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct col_global, member),   \
		.fallback = (fallback_)                                                            \
	}
#define NOTE(name_, i) GLOBAL(name_, OPS_CONF_K_NODE, notes[i], NULL)

static const struct ops_conf_key global_keys[] = {
	GLOBAL("scrape_interval", OPS_CONF_K_DURATION, interval_ms, "1m"),
	GLOBAL("scrape_timeout", OPS_CONF_K_DURATION, timeout_ms, NULL),
	GLOBAL("evaluation_interval", OPS_CONF_K_NODE, silent[0], NULL),
	GLOBAL("external_labels", OPS_CONF_K_NODE, silent[1], NULL),
	GLOBAL("rule_query_offset", OPS_CONF_K_NODE, silent[2], NULL),
	GLOBAL("query_log_file", OPS_CONF_K_NODE, silent[3], NULL),
	GLOBAL("scrape_protocols", OPS_CONF_K_NODE, protocols, NULL),
	GLOBAL("body_size_limit", OPS_CONF_K_SIZE, limits.body_bytes, NULL),
	GLOBAL("sample_limit", OPS_CONF_K_INT, limits.samples, NULL),
	GLOBAL("target_limit", OPS_CONF_K_INT, limits.targets, NULL),
	GLOBAL("label_limit", OPS_CONF_K_INT, limits.labels, NULL),
	GLOBAL("label_name_length_limit", OPS_CONF_K_INT, limits.label_name_length, NULL),
	GLOBAL("label_value_length_limit", OPS_CONF_K_INT, limits.label_value_length, NULL),
	GLOBAL("metric_name_validation_scheme", OPS_CONF_K_STRING, names, "utf8"),
	GLOBAL("metric_name_escaping_scheme", OPS_CONF_K_STRING, escaping, NULL),
	GLOBAL("keep_dropped_targets", OPS_CONF_K_INT, limits.dropped, NULL),
	GLOBAL("extra_scrape_metrics", OPS_CONF_K_BOOL, extra_metrics, "false"),
	NOTE("scrape_failure_log_file", 0),
	GLOBAL("convert_classic_histograms_to_nhcb", OPS_CONF_K_BOOL, convert_classic, "false"),
	GLOBAL("scrape_native_histograms", OPS_CONF_K_BOOL, native_histograms, "false"),
	GLOBAL("always_scrape_classic_histograms", OPS_CONF_K_BOOL, classic_histograms, "false"),
	OPS_CONF_END,
};

static void note_unused(struct ops_conf_warnings *w, const struct ops_conf_node *at,
	const struct ops_conf_key *keys, const struct ops_conf_node *const *notes, size_t first)
{
	for (const struct ops_conf_key *k = keys; k->name != NULL; k++) {
		if (k->kind != OPS_CONF_K_NODE || k->offset < first) {
			continue;
		}
		const struct ops_conf_node *n = notes[(k->offset - first) / sizeof(n)];
		if (n != NULL) {
			const struct ops_conf_node *here = ops_conf_get(at, k->name);
			ops_conf_warn(w, here, "%s is accepted but has no effect here", k->name);
		}
	}
}

/* ---- global ---- */

static int load_global(struct ops_arena *a, const struct ops_conf_node *node,
	struct ops_conf_warnings *w, struct col_global *ret, struct ops_error *err)
{
	int r = ops_conf_decode(a, node, global_keys, ret, w, err);
	if (r != 0) {
		return r;
	}
	note_unused(w, node, global_keys, ret->notes, offsetof(struct col_global, notes));
	if (ret->interval_ms <= 0) {
		return ops_conf_error(ops_conf_get(node, "scrape_interval"), err,
			"scrape_interval must be above 0");
	}
	if (ret->timeout_ms > ret->interval_ms) {
		return ops_conf_error(ops_conf_get(node, "scrape_timeout"), err,
			"scrape_timeout is longer than scrape_interval");
	}
	if (ret->timeout_ms == 0) {
		ret->timeout_ms = OPS_MIN((int64_t)10000, ret->interval_ms);
	}
	return 0;
}

static void warn_old_alerting(struct ops_conf_warnings *w, const struct ops_conf_node *alerting)
{
	if (alerting == NULL) {
		return;
	}
	ops_conf_warn(
		w, alerting, "alerting is accepted but has no effect: alerts travel on the bus");
	const struct ops_conf_node *list = ops_conf_get(alerting, "alertmanagers");
	for (size_t i = 0; list != NULL && list->type == OPS_CONF_SEQUENCE && i < list->n; i++) {
		const struct ops_conf_node *v = ops_conf_get(list->items[i], "api_version");
		if (v != NULL) {
			ops_conf_warn(w, v, "api_version \"%s\" is an old form: there is only v2",
				v->text);
		}
	}
}

/* ---- the whole ---- */

static int check_name_unique(const struct col_config *c, size_t i, const struct ops_conf_node *node,
	struct ops_error *err)
{
	for (size_t k = 0; k < i; k++) {
		if (strcmp(c->jobs[k].name, c->jobs[i].name) == 0) {
			return ops_conf_error(ops_conf_get(node, "job_name"), err,
				"there are two jobs named \"%s\"", c->jobs[i].name);
		}
	}
	return 0;
}

struct loading {
	struct col_config *config;
	unsigned features;
	const struct ops_conf_node *global_node;
	struct col_global global;
	struct ops_conf_warnings *warnings;
	struct ops_error *err;
};

/* What is written wins. */
static void apply_features(struct loading *l)
{
	const struct ops_conf_node *n = l->global_node;
	if (n == NULL || ops_conf_get(n, "extra_scrape_metrics") == NULL) {
		l->global.extra_metrics = (l->features & COL_FEATURE_EXTRA_SCRAPE_METRICS) != 0;
	}
}

static int load_jobs(struct loading *l, const struct ops_conf_node *list)
{
	struct col_config *c = l->config;
	if (ops_conf_is_null(list)) {
		return 0;
	}
	if (list->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(list, l->err, "scrape_configs must be a list");
	}
	for (size_t i = 0; i < list->n; i++) {
		const struct ops_conf_node *node = list->items[i];
		OPS_GROW(c->jobs, c->njobs, c->cap_jobs);
		struct col_job *job = &c->jobs[c->njobs];
		int r = col_job_load(&c->arena, node, &l->global, l->warnings, job, l->err);
		if (r != 0) {
			return r;
		}
		c->njobs++;
		job->hash = ops_conf_hash(node, ops_conf_hash(l->global_node, l->features));
		r = check_name_unique(c, c->njobs - 1, node, l->err);
		if (r != 0) {
			return r;
		}
	}
	return 0;
}

static const struct ops_conf_options options = {.expand_env = true, .keep_unset = true};

/* A file of scrape_config_files holds scrape_configs and nothing else. */
static int load_part(struct loading *l, const char *path)
{
	struct written_part {
		const struct ops_conf_node *scrape_configs;
	} part = {NULL};
	static const struct ops_conf_key part_keys[] = {
		{.name = "scrape_configs",
			.kind = OPS_CONF_K_NODE,
			.offset = offsetof(struct written_part, scrape_configs)},
		OPS_CONF_END,
	};
	struct ops_arena *a = &l->config->arena;
	struct ops_conf_node *root = NULL;
	int r = ops_conf_load_file(a, path, &options, &root, l->err);
	if (r == 0) {
		r = ops_conf_decode(a, root, part_keys, &part, l->warnings, l->err);
	}
	return r != 0 ? r : load_jobs(l, part.scrape_configs);
}

static int load_parts(struct loading *l, const struct ops_conf_strings *patterns)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < patterns->n; i++) {
		glob_t found = {.gl_pathc = 0};
		size_t n = glob(patterns->items[i], 0, NULL, &found) == 0 ? found.gl_pathc : 0;
		for (size_t k = 0; r == 0 && k < n; k++) {
			const char *path = ops_arena_strdup(&l->config->arena, found.gl_pathv[k]);
			r = load_part(l, path);
		}
		globfree(&found);
	}
	return r;
}

static int load_root(
	struct col_config *c, unsigned features, struct ops_conf_warnings *w, struct ops_error *err)
{
	struct written_root root = {.global = NULL};
	struct loading l = {.config = c, .features = features, .warnings = w, .err = err};
	int r = ops_conf_decode(&c->arena, c->root, root_keys, &root, w, err);
	if (r != 0) {
		return r;
	}
	note_unused(w, c->root, root_keys, root.notes, offsetof(struct written_root, notes));
	warn_old_alerting(w, root.alerting);
	if (!ops_conf_is_null(root.global) && root.global->type != OPS_CONF_MAPPING) {
		return ops_conf_error(root.global, err, "global must be a mapping");
	}
	l.global_node = ops_conf_is_null(root.global) ? NULL : root.global;
	r = load_global(&c->arena, l.global_node, w, &l.global, err);
	if (r == 0) {
		apply_features(&l);
		r = load_jobs(&l, root.scrape_configs);
	}
	return r != 0 ? r : load_parts(&l, &root.files);
}

static struct col_config *config_new(void)
{
	struct col_config *c = ops_xcalloc(1, sizeof(*c));
	ops_arena_init(&c->arena);
	return c;
}

static int finish(struct col_config *c, int r, struct col_config **ret)
{
	if (r != 0) {
		col_config_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int col_config_load(const char *path, unsigned features, struct ops_conf_warnings *warnings,
	struct col_config **ret, struct ops_error *err)
{
	struct col_config *c = config_new();
	struct ops_conf_node *root = NULL;
	int r = 0;
	if (path != NULL && path[0] != '\0') {
		r = ops_conf_load_file(&c->arena, path, &options, &root, err);
	}
	c->root = root;
	if (r == 0 && root != NULL) {
		r = load_root(c, features, warnings, err);
	}
	return finish(c, r, ret);
}

int col_config_load_text(const char *name, const char *text, struct ops_conf_warnings *warnings,
	struct col_config **ret, struct ops_error *err)
{
	struct col_config *c = config_new();
	struct ops_conf_node *root = NULL;
	int r = ops_conf_load_text(&c->arena, name, text, strlen(text), &options, &root, err);
	c->root = root;
	if (r == 0 && root != NULL) {
		r = load_root(c, 0, warnings, err);
	}
	return finish(c, r, ret);
}

void col_config_free(struct col_config *c)
{
	if (c == NULL) {
		return;
	}
	for (size_t i = 0; i < c->njobs; i++) {
		col_job_done(&c->jobs[i]);
	}
	free(c->jobs);
	ops_arena_done(&c->arena);
	free(c);
}

void col_config_print(const struct col_config *c, struct ops_strbuf *out)
{
	if (c->root != NULL) {
		ops_conf_dump_node(c->root, false, out);
	}
}
