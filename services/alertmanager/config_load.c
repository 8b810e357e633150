/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The top of Alertmanager's file. Strict as upstream is (an unknown key is an error), with position
 * and hint. Order matters: receivers and time intervals are read before the routing tree that names
 * them, so that a dangling name is reported where it stands.
 *
 * ${NAME} is expanded from the environment, which upstream does not do; $${ is a literal ${, and
 * ${1} of a regular expression is left alone.
 */
#include "services/alertmanager/config.h"

#include <glob.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/tmpl/tmpl.h"
#include "services/alertmanager/config_parts.h"
#include "services/alertmanager/template.h"

enum {
	CONFIG_MAX = 4 << 20,
	TEMPLATE_MAX = 1 << 20
};

struct top {
	const struct ops_conf_node *global, *route, *receivers, *inhibit_rules, *templates,
		*time_intervals;
	const struct ops_conf_node *mute_time_intervals, *tracing, *event_recorder;
};

#define TOP(key)                                                                                   \
	{                                                                                          \
		.name = #key, .kind = OPS_CONF_K_NODE, .offset = offsetof(struct top, key)         \
	}
static const struct ops_conf_key top_keys[] = {
	TOP(global),
	TOP(route),
	TOP(receivers),
	TOP(inhibit_rules),
	TOP(templates),
	TOP(time_intervals),
	TOP(mute_time_intervals),
	TOP(tracing),
	TOP(event_recorder),
	OPS_CONF_END,
};

static int parse_interval_entry(struct alm_parse *p, const struct ops_conf_node *n, const char *key)
{
	static const struct ops_conf_key keys[] = {
		{.name = "name",
			.kind = OPS_CONF_K_STRING,
			.offset = offsetof(struct alm_intervals, name)},
		{.name = "time_intervals",
			.kind = OPS_CONF_K_NODE,
			.offset = offsetof(struct alm_intervals, items)},
		OPS_CONF_END,
	};
	struct alm_intervals *iv = &p->cfg->intervals[p->cfg->nintervals];
	struct alm_intervals raw = {0};

	int rc = ops_conf_decode(p->a, n, keys, &raw, NULL, p->err);
	if (rc != 0)
		return rc;
	if (!alm_given(raw.name))
		return ops_conf_error(n, p->err, "a time interval has no name");
	for (size_t i = 0; i < p->cfg->nintervals; i++) {
		if (ops_str_eq(p->cfg->intervals[i].name, raw.name))
			return ops_conf_error(
				n, p->err, "%s: name \"%s\" is not unique", key, raw.name);
	}
	p->cfg->nintervals++;
	rc = alm_intervals_parse(p->a, ops_conf_get(n, "time_intervals"), iv, p->err);
	iv->name = raw.name;
	return rc;
}

int alm_parse_intervals(struct alm_parse *p, const struct ops_conf_node *node, const char *key)
{
	if (ops_conf_is_null(node))
		return 0;
	if (node->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(node, p->err, "%s must be a list", key);
	struct alm_intervals *all =
		ops_arena_array(p->a, struct alm_intervals, p->cfg->nintervals + node->n + 1);
	if (p->cfg->nintervals > 0)
		memcpy(all, p->cfg->intervals, p->cfg->nintervals * sizeof all[0]);
	p->cfg->intervals = all;
	for (size_t i = 0; i < node->n; i++) {
		int rc = parse_interval_entry(p, node->items[i], key);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ---- templates ---- */

static int add_template_file(struct alm_parse *p, const struct ops_conf_node *at, const char *path)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	int rc = ops_file_read(path, TEMPLATE_MAX, &text);
	if (rc != 0)
		return ops_conf_error(
			at, p->err, "could not read template file %s: %s", path, strerror(-rc));
	return ops_tmpl_set_add(p->cfg->tmpl, path, ops_strbuf_text(&text), text.len, p->err);
}

static int load_templates(struct alm_parse *p, const struct ops_conf_node *node)
{
	p->cfg->tmpl = alm_template_set_new();
	for (size_t i = 0; i < p->cfg->templates.n; i++) {
		glob_t hits = {0};
		const struct ops_conf_node *at = node->items[i];
		char *dir OPS_CLEANUP(ops_freep) = ops_path_dir(at->file);
		char *pattern OPS_CLEANUP(ops_freep) =
			ops_path_join(dir, p->cfg->templates.items[i]);
		int rc = glob(pattern, 0, NULL, &hits);
		if (rc != 0 && rc != GLOB_NOMATCH)
			return ops_conf_error(
				at, p->err, "could not list template files %s", pattern);
		rc = 0;
		for (size_t k = 0; rc == 0 && k < hits.gl_pathc; k++)
			rc = add_template_file(p, at, hits.gl_pathv[k]);
		globfree(&hits);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int parse_templates(struct alm_parse *p, const struct ops_conf_node *node)
{
	int rc = ops_conf_string_list(p->a, node, "templates", &p->cfg->templates, p->err);

	return rc != 0 ? rc : load_templates(p, node);
}

/* ---- the whole ---- */

static int parse_top(struct alm_parse *p, const struct ops_conf_node *root)
{
	struct top t = {0};
	int rc = ops_conf_decode(p->a, root, top_keys, &t, p->warnings, p->err);

	if (rc == 0 && ops_conf_is_null(ops_conf_get(root, "route")))
		rc = ops_conf_error(root, p->err, "no route is given");
	if (rc == 0)
		rc = alm_parse_global(p, t.global);
	if (rc == 0)
		rc = parse_templates(p, t.templates);
	if (rc == 0)
		rc = alm_parse_receivers(p, t.receivers);
	if (rc == 0)
		rc = alm_parse_intervals(p, t.mute_time_intervals, "mute_time_intervals");
	if (rc == 0)
		rc = alm_parse_intervals(p, t.time_intervals, "time_intervals");
	if (rc == 0)
		rc = alm_parse_inhibit(p, t.inhibit_rules);
	if (rc == 0)
		rc = alm_parse_routes(p, t.route);
	if (rc == 0 && t.tracing != NULL)
		ops_conf_warn(p->warnings, t.tracing, "tracing is accepted and has no effect");
	if (rc == 0 && t.event_recorder != NULL)
		ops_conf_warn(p->warnings, t.event_recorder,
			"event_recorder is accepted and has no effect: history is in PostgreSQL");
	return rc;
}

int alm_config_parse(const char *name, const char *text, size_t len,
	struct ops_conf_warnings *warnings, struct alm_config **ret, struct ops_error *err)
{
	static const struct ops_conf_options options = {.expand_env = true};
	struct alm_config *cfg = ops_xcalloc(1, sizeof *cfg);
	struct alm_parse p = {.cfg = cfg, .a = &cfg->arena, .warnings = warnings, .err = err};
	struct ops_conf_node *root = NULL;

	ops_arena_init(&cfg->arena);
	cfg->refs = 1;
	cfg->loaded_ms = ops_now_ms();
	int rc = ops_conf_load_text(
		p.a, ops_arena_strdup(p.a, name), text, len, &options, &root, err);
	if (rc == 0)
		rc = parse_top(&p, root);
	if (rc != 0) {
		alm_config_unref(cfg);
		return rc;
	}
	cfg->root = root;
	*ret = cfg;
	return 0;
}

int alm_config_load(const char *path, struct ops_conf_warnings *warnings, struct alm_config **ret,
	struct ops_error *err)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	int rc = ops_file_read(path, CONFIG_MAX, &text);
	if (rc != 0)
		return ops_error_set_at(
			err, rc, path, 0, 0, "could not read configuration: %s", strerror(-rc));
	return alm_config_parse(path, ops_strbuf_text(&text), text.len, warnings, ret, err);
}
