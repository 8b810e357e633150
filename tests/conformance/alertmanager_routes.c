/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of the routing tree: which routes take an alert, with which settings; the shape of the
 * tree. */
#include "tests/conformance/conformance.h"

#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/alertmanager/alert.h"
#include "services/alertmanager/route.h"

static void collect_receivers(const struct ops_conf_node *route, struct ops_strbuf *names)
{
	const struct ops_conf_node *receiver = ops_conf_get(route, "receiver"),
				   *routes = ops_conf_get(route, "routes");
	struct ops_strbuf quoted OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;

	if (receiver != NULL) {
		ops_strbuf_printf(&quoted, "- name: '%s'\n", receiver->text);
		if (strstr(ops_strbuf_text(names), ops_strbuf_text(&quoted)) == NULL)
			ops_strbuf_adds(names, ops_strbuf_text(&quoted));
	}
	for (size_t i = 0; routes != NULL && i < routes->n; i++)
		collect_receivers(routes->items[i], names);
}

/* A whole file around the tree: its receivers, and one for a root that names none. */
static bool whole_file(const json_t *c, struct ops_strbuf *out)
{
	const char *yaml = json_string_value(json_object_get(c, "route_yaml"));
	struct ops_strbuf names OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_conf_node *root = NULL;
	struct ops_arena a;

	if (yaml == NULL)
		return conformance_text(c, "config_yaml", out);
	ops_arena_init(&a);
	bool ok = ops_conf_load_text(&a, "route", yaml, strlen(yaml), NULL, &root, NULL) == 0;
	if (ok) {
		collect_receivers(root, &names);
		ops_strbuf_adds(out, "route:\n");
		if (ops_conf_get(root, "receiver") == NULL) {
			ops_strbuf_adds(out, "  receiver: none\n");
			ops_strbuf_adds(&names, "- name: 'none'\n");
		}
		conformance_indent(out, yaml, "  ");
		ops_strbuf_printf(out, "receivers:\n%s", ops_strbuf_text(&names));
	}
	ops_arena_done(&a);
	return ok;
}

static json_t *route_json(const struct alm_route *r)
{
	json_t *groups = json_array();
	for (size_t i = 0; i < r->ngroup_by; i++)
		json_array_append_new(groups, json_string(r->group_by[i]));
	return json_pack("{s:s,s:o,s:b,s:I,s:I,s:I}", "receiver", r->receiver->name, "group_by",
		groups, "group_by_all", (int)r->group_by_all, "group_wait_s",
		(json_int_t)(r->group_wait_ms / 1000), "group_interval_s",
		(json_int_t)(r->group_interval_ms / 1000), "repeat_interval_s",
		(json_int_t)(r->repeat_interval_ms / 1000));
}

static void compare(struct conformance_run *run, const json_t *c, json_t *got, const json_t *wanted)
{
	char *g = json_dumps(got, JSON_SORT_KEYS), *w = json_dumps(wanted, JSON_SORT_KEYS);
	conformance_equal(run, c, g, w);
	free(g);
	free(w);
	json_decref(got);
}

static void run_match(struct conformance_run *run, const json_t *c, const struct alm_config *cfg)
{
	const struct alm_route *hits[ALM_ROUTES_MAX];
	struct ops_labels *labels = NULL;
	json_t *got = json_array(), *keys = json_array(), *wanted = json_object_get(c, "expect");

	if (alm_labels_from_json(json_object_get(c, "labels"), &labels, NULL) != 0)
		labels = ops_labels_of("", "", NULL);
	size_t n = alm_route_match(cfg->route, labels, hits, ALM_ROUTES_MAX);
	for (size_t i = 0; i < n; i++) {
		json_t *r = route_json(hits[i]), *want = json_array_get(wanted, i);
		const char *key;
		json_t *value, *slim = json_object();
		/* A case may name the receivers only. */
		json_object_foreach(r, key, value)
		{
			if (want == NULL || !json_is_object(want) ||
				json_object_get(want, key) != NULL)
				json_object_set(slim, key, value);
		}
		json_array_append_new(got, json_is_string(want)
						   ? json_string(hits[i]->receiver->name)
						   : json_incref(slim));
		json_decref(slim);
		json_decref(r);
		json_array_append_new(keys, json_string(hits[i]->key));
	}
	ops_labels_unref(labels);
	if (json_object_get(c, "route_keys") != NULL &&
		!json_equal(keys, json_object_get(c, "route_keys"))) {
		compare(run, c, keys, json_object_get(c, "route_keys"));
		json_decref(got);
		return;
	}
	json_decref(keys);
	compare(run, c, got, wanted);
}

/* The labels of the only route that matches; [] = none. */
static void run_labels(struct conformance_run *run, const json_t *c, const struct alm_config *cfg)
{
	const json_t *wanted = json_object_get(c, "expect_route_labels");
	const struct alm_route *hits[ALM_ROUTES_MAX];
	struct ops_labels *labels = NULL;
	json_t *got = json_object();

	if (alm_labels_from_json(json_object_get(c, "labels"), &labels, NULL) == 0 &&
		alm_route_match(cfg->route, labels, hits, ALM_ROUTES_MAX) == 1) {
		for (size_t i = 0; i < hits[0]->labels.n; i++)
			json_object_set_new(got, hits[0]->labels.items[i].name,
				json_string(hits[0]->labels.items[i].value));
	}
	ops_labels_unref(labels);
	json_t *empty = json_object();
	compare(run, c, got, json_is_array(wanted) ? empty : wanted);
	json_decref(empty);
}

static void walk_ids(const struct alm_route *r, const char *parent, size_t index, json_t *out)
{
	struct ops_strbuf id OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	if (parent != NULL)
		ops_strbuf_printf(&id, "%s/", parent);
	ops_matchers_print(&r->matchers, &id);
	if (parent != NULL)
		ops_strbuf_printf(&id, "/%zu", index);
	json_array_append_new(out, json_string(ops_strbuf_text(&id)));
	for (size_t i = 0; i < r->nchildren; i++)
		walk_ids(&r->children[i], ops_strbuf_text(&id), i, out);
}

static void walk_receivers(const struct alm_route *r, json_t *out)
{
	json_array_append_new(out, json_string(r->receiver->name));
	for (size_t i = 0; i < r->nchildren; i++)
		walk_receivers(&r->children[i], out);
}

static void walk_group_by_all(
	const struct alm_route *r, const char *path, const json_t *wanted, json_t *out)
{
	if (path[0] != '\0' && json_object_get(wanted, path) != NULL)
		json_object_set_new(out, path, json_boolean(r->group_by_all));
	for (size_t i = 0; i < r->nchildren; i++) {
		char *child OPS_CLEANUP(ops_freep) =
			ops_xasprintf("%s%sroutes[%zu]", path, path[0] != '\0' ? "." : "", i);
		walk_group_by_all(&r->children[i], child, wanted, out);
	}
}

static void run_tree(struct conformance_run *run, const json_t *c, const struct alm_config *cfg)
{
	const json_t *ids = json_object_get(c, "route_ids"),
		     *all = json_object_get(c, "group_by_all");
	json_t *got = all != NULL ? json_object() : json_array();

	if (ids != NULL) {
		walk_ids(cfg->route, NULL, 0, got);
		bool same = json_array_size(ids) == json_array_size(got);
		for (size_t i = 0; same && i < json_array_size(ids); i++) { /* in any order */
			size_t k = 0;
			while (k < json_array_size(got) &&
				!json_equal(json_array_get(ids, i), json_array_get(got, k)))
				k++;
			same = k < json_array_size(got);
		}
		if (same) {
			conformance_pass(run);
			json_decref(got);
		} else {
			compare(run, c, got, ids);
		}
	} else if (all != NULL) {
		walk_group_by_all(cfg->route, "", all, got);
		compare(run, c, got, all);
	} else {
		walk_receivers(cfg->route, got);
		compare(run, c, got, json_object_get(c, "receivers_in_depth_first_order"));
	}
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct alm_config *cfg = NULL;
	struct ops_error err = {0};
	char why[1200];
	(void)file;

	if (!whole_file(c, &text) || alm_config_parse("alertmanager.yml", ops_strbuf_text(&text),
					     text.len, NULL, &cfg, &err) != 0) {
		conformance_fail(
			run, c, ops_error_text(&err, why, sizeof why), "a tree that can be read");
		return;
	}
	if (json_object_get(c, "expect") != NULL)
		run_match(run, c, cfg);
	else if (json_object_get(c, "expect_route_labels") != NULL)
		run_labels(run, c, cfg);
	else
		run_tree(run, c, cfg);
	alm_config_unref(cfg);
}

const struct conformance_kind conformance_am_routes = {.name = "am_routes", .run_case = run_case};
