/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kubernetes_sd_configs: for each kind of object that the role needs, and each namespace, a watch;
 * from all objects together the groups are built anew SETTLE_MS after something changed. Building
 * all of them instead of what changed keeps the joins (endpoints with services, pods and nodes)
 * simple; a group that comes out the same changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/collector/discovery/kubernetes_access.h"
#include "services/collector/discovery/kubernetes_labels.h"
#include "services/collector/discovery/kubernetes_watch.h"
#include "services/collector/discovery/sd_classes.h"

enum {
	SETTLE_MS = 200,
	ACCESS_RETRY_MS = 10000
};

struct settings {
	const char *api_server, *role_written, *kubeconfig_file;
	enum col_k8s_kind role;
	struct {
		bool own_namespace;
		struct ops_conf_strings names;
	} namespaces;
	struct {
		bool node, namespace;
	} attach;
	const struct ops_conf_node *selectors_written;
	char *selectors[COL_K8S_KINDS]; /* as parts of a query; NULL: none */
	struct ops_http_options http;
};

static const struct ops_conf_key namespace_keys[] = {
	COL_SD_KEY(
		settings, "own_namespace", OPS_CONF_K_BOOL, namespaces.own_namespace, 0, "false"),
	COL_SD_KEY(settings, "names", OPS_CONF_K_STRINGS, namespaces.names, 0, NULL),
	OPS_CONF_END,
};

static const struct ops_conf_key attach_keys[] = {
	COL_SD_KEY(settings, "node", OPS_CONF_K_BOOL, attach.node, 0, "false"),
	COL_SD_KEY(settings, "namespace", OPS_CONF_K_BOOL, attach.namespace, 0, "false"),
	OPS_CONF_END,
};

static const struct ops_conf_key keys[] = {
	COL_SD_KEY(settings, "api_server", OPS_CONF_K_STRING, api_server, 0, NULL),
	COL_SD_KEY(settings, "role", OPS_CONF_K_STRING, role_written, OPS_CONF_REQUIRED, NULL),
	COL_SD_KEY(settings, "kubeconfig_file", OPS_CONF_K_PATH, kubeconfig_file, 0, NULL),
	{.name = "namespaces", .kind = OPS_CONF_K_MAPPING, .sub = namespace_keys},
	{.name = "attach_metadata", .kind = OPS_CONF_K_MAPPING, .sub = attach_keys},
	COL_SD_KEY(settings, "selectors", OPS_CONF_K_NODE, selectors_written, 0, NULL),
	OPS_HTTP_OPTIONS_ROWS(struct settings, http),
	OPS_CONF_END,
};

/* What each role watches beside its own kind. */
static const struct {
	const char *role, *path;    /* below the API server, {} where namespaces/NAME/ goes */
	bool pods, services, nodes; /* nodes: when they are attached */
} kinds[COL_K8S_KINDS] = {
	[COL_K8S_NODE] = {"node", "/api/v1/nodes", false, false, false},
	[COL_K8S_POD] = {"pod", "/api/v1/{}pods", false, false, true},
	[COL_K8S_SERVICE] = {"service", "/api/v1/{}services", false, false, false},
	[COL_K8S_ENDPOINTS] = {"endpoints", "/api/v1/{}endpoints", true, true, true},
	[COL_K8S_ENDPOINTSLICE] = {"endpointslice", "/apis/discovery.k8s.io/v1/{}endpointslices",
		true, true, true},
	[COL_K8S_INGRESS] = {"ingress", "/apis/networking.k8s.io/v1/{}ingresses", false, false,
		false},
	[COL_K8S_NAMESPACE] = {NULL, "/api/v1/namespaces", false, false, false},
};

static int find_role(const char *text, enum col_k8s_kind *ret)
{
	for (int i = 0; i < COL_K8S_NAMESPACE; i++) {
		if (strcmp(kinds[i].role, text) == 0) {
			*ret = (enum col_k8s_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* ---- settings ---- */

struct selector {
	const char *role, *label, *field;
};

static const struct ops_conf_key selector_keys[] = {
	COL_SD_KEY(selector, "role", OPS_CONF_K_STRING, role, OPS_CONF_REQUIRED, NULL),
	COL_SD_KEY(selector, "label", OPS_CONF_K_STRING, label, 0, NULL),
	COL_SD_KEY(selector, "field", OPS_CONF_K_STRING, field, 0, NULL),
	OPS_CONF_END,
};

static bool watches(enum col_k8s_kind role, enum col_k8s_kind kind)
{
	return role == kind || (kind == COL_K8S_POD && kinds[role].pods) ||
	       (kind == COL_K8S_SERVICE && kinds[role].services) ||
	       (kind == COL_K8S_NODE && kinds[role].nodes);
}

static int load_selector(struct ops_arena *a, const struct ops_conf_node *node, struct settings *s,
	struct ops_error *err)
{
	struct selector w = {.role = NULL};
	enum col_k8s_kind kind = COL_K8S_NODE;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	int r = ops_conf_decode(a, node, selector_keys, &w, NULL, err);
	if (r != 0) {
		return r;
	}
	if (find_role(w.role, &kind) != 0 || !watches(s->role, kind)) {
		return ops_conf_error(ops_conf_get(node, "role"), err,
			"the role %s has no use for a selector of the role \"%s\"", s->role_written,
			w.role);
	}
	if (s->selectors[kind] != NULL) {
		return ops_conf_error(node, err, "there are two selectors of the role %s", w.role);
	}
	if (w.label != NULL) {
		ops_strbuf_adds(&text, "&labelSelector=");
		ops_strbuf_add_url(&text, w.label, strlen(w.label));
	}
	if (w.field != NULL) {
		ops_strbuf_adds(&text, "&fieldSelector=");
		ops_strbuf_add_url(&text, w.field, strlen(w.field));
	}
	s->selectors[kind] = ops_arena_strdup(a, ops_strbuf_text(&text));
	ops_strbuf_done(&text);
	return 0;
}

static int load_selectors(struct ops_arena *a, struct settings *s, struct ops_error *err)
{
	const struct ops_conf_node *list = s->selectors_written;
	int r = 0;
	if (ops_conf_is_null(list)) {
		return 0;
	}
	if (list->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(list, err, "selectors must be a list");
	}
	for (size_t i = 0; r == 0 && i < list->n; i++) {
		r = load_selector(a, list->items[i], s, err);
	}
	return r;
}

static bool speaks_http(const struct ops_conf_node *node)
{
	static const char *const names[] = {"basic_auth", "authorization", "oauth2", "bearer_token",
		"bearer_token_file", "tls_config", "proxy_url"};
	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		if (ops_conf_get(node, names[i]) != NULL) {
			return true;
		}
	}
	return false;
}

static int check(const struct ops_conf_node *node, struct settings *s, struct ops_error *err)
{
	if (find_role(s->role_written, &s->role) != 0) {
		int r = ops_conf_error(
			ops_conf_get(node, "role"), err, "unknown role \"%s\"", s->role_written);
		ops_error_hint(err, "node, pod, service, endpoints, endpointslice or ingress");
		return r;
	}
	if (s->kubeconfig_file != NULL && (s->api_server != NULL || speaks_http(node))) {
		return ops_conf_error(ops_conf_get(node, "kubeconfig_file"), err,
			"kubeconfig_file excludes api_server and settings of its own for HTTP");
	}
	if (s->api_server == NULL && speaks_http(node)) {
		return ops_conf_error(
			node, err, "settings for HTTP need an api_server that they are for");
	}
	if (s->api_server != NULL && s->namespaces.own_namespace) {
		return ops_conf_error(ops_conf_get(node, "namespaces"), err,
			"own_namespace needs to be in a pod or a kubeconfig_file");
	}
	return 0;
}

static int finish(struct ops_arena *a, const struct ops_conf_node *node, void *settings,
	struct ops_error *err)
{
	struct settings *s = settings;
	int r = check(node, s, err);
	return r != 0 ? r : load_selectors(a, s, err);
}

/* ---- what runs ---- */

struct state {
	struct ops_arena arena; /* of the access */
	struct col_k8s_access access;
	struct col_k8s_world world;
	struct col_k8s_watch **watches;
	size_t n, cap;
	struct ops_timer *timer; /* builds, or tries again to find the API server */
	bool open;
};

static void json_free(void *arg)
{
	json_decref(arg);
}

static void build(struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	struct state *st = sd->state;
	struct ops_map *objects = st->world.objects[s->role];
	struct ops_map_entry e;
	size_t n = 0;
	for (size_t i = 0; i < st->n; i++) {
		if (!col_k8s_watch_listed(st->watches[i])) {
			return; /* half of the picture would drop targets that are there */
		}
	}
	struct col_group **groups = ops_xcalloc(ops_map_count(objects) + 1, sizeof(*groups));
	for (size_t at = 0; ops_map_next(objects, &at, &e);) {
		groups[n++] = col_k8s_group(&st->world, s->role, e.key, e.value);
	}
	col_sd_replace(sd, groups, n);
	free(groups);
}

static void on_change(struct col_sd *sd)
{
	struct state *st = sd->state;
	if (!ops_timer_pending(st->timer)) {
		ops_timer_start(st->timer, SETTLE_MS);
	}
}

static int find_access(struct col_sd *sd, struct ops_error *err)
{
	const struct settings *s = sd->settings;
	struct state *st = sd->state;
	ops_arena_reset(&st->arena);
	if (s->kubeconfig_file != NULL) {
		return col_k8s_from_kubeconfig(&st->arena, s->kubeconfig_file, &st->access, err);
	}
	return s->api_server == NULL ? col_k8s_from_pod(&st->arena, &st->access, err) : 0;
}

static char *object_path(const char *base, enum col_k8s_kind kind, const char *ns)
{
	const char *path = kinds[kind].path, *hole = strstr(path, "{}");
	size_t base_len = strlen(base);
	base_len -= base_len > 0 && base[base_len - 1] == '/';
	if (hole == NULL) {
		return ops_xasprintf("%.*s%s", (int)base_len, base, path);
	}
	return ops_xasprintf("%.*s%.*s%s%s%s%s", (int)base_len, base, (int)(hole - path), path,
		ns != NULL ? "namespaces/" : "", ns != NULL ? ns : "", ns != NULL ? "/" : "",
		hole + 2);
}

static const struct ops_http_options *http_of(const struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	const struct state *st = sd->state;
	return s->api_server != NULL ? &s->http : &st->access.http;
}

static void watch(struct col_sd *sd, enum col_k8s_kind kind, const char *ns)
{
	const struct settings *s = sd->settings;
	struct state *st = sd->state;
	const char *selectors = s->selectors[kind] != NULL ? s->selectors[kind] : "";
	if (st->world.objects[kind] == NULL) {
		st->world.objects[kind] = ops_map_new();
	}
	const char *base = s->api_server != NULL ? s->api_server : st->access.base;
	const struct col_k8s_watch_config cfg = {.sd = sd,
		.http_of = http_of,
		.path = object_path(base, kind, ns),
		.selectors = ops_xstrdup(selectors),
		.objects = st->world.objects[kind],
		.on_change = on_change};
	OPS_GROW(st->watches, st->n, st->cap);
	st->watches[st->n++] = col_k8s_watch_new(&cfg);
}

/* Nodes and namespaces belong to no namespace. */
static void watch_kind(struct col_sd *sd, enum col_k8s_kind kind)
{
	const struct settings *s = sd->settings;
	const struct state *st = sd->state;
	const struct ops_conf_strings *names = &s->namespaces.names;
	bool own = s->namespaces.own_namespace && st->access.own_namespace != NULL;
	if (strstr(kinds[kind].path, "{}") == NULL || (names->n == 0 && !own)) {
		watch(sd, kind, NULL);
		return;
	}
	for (size_t i = 0; i < names->n; i++) {
		watch(sd, kind, names->items[i]);
	}
	if (own) {
		watch(sd, kind, st->access.own_namespace);
	}
}

static void open_watches(struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	struct state *st = sd->state;
	st->world.attach_node = s->attach.node;
	st->world.attach_namespace = s->attach.namespace;
	watch_kind(sd, s->role);
	if (kinds[s->role].pods) {
		watch_kind(sd, COL_K8S_POD);
	}
	if (kinds[s->role].services) {
		watch_kind(sd, COL_K8S_SERVICE);
	}
	if (kinds[s->role].nodes && s->attach.node) {
		watch_kind(sd, COL_K8S_NODE);
	}
	if (s->role != COL_K8S_NODE && s->attach.namespace) {
		watch_kind(sd, COL_K8S_NAMESPACE);
	}
	st->open = true;
}

static void on_timer(void *arg)
{
	struct col_sd *sd = arg;
	struct state *st = sd->state;
	struct ops_error err;
	if (st->open) {
		build(sd);
		return;
	}
	if (find_access(sd, &err) != 0) {
		char text[1100];
		col_sd_failed(sd, "%s", ops_error_text(&err, text, sizeof(text)));
		ops_timer_start(st->timer, ACCESS_RETRY_MS);
		return;
	}
	open_watches(sd);
}

static void start(struct col_sd *sd)
{
	struct state *st = sd->state;
	ops_arena_init(&st->arena);
	st->timer = ops_timer_new(sd->env->loop, on_timer, sd);
	ops_timer_start(st->timer, 0);
}

static void stop(struct col_sd *sd)
{
	struct state *st = sd->state;
	for (size_t i = 0; i < st->n; i++) {
		col_k8s_watch_free(st->watches[i]);
	}
	free(st->watches);
	for (size_t i = 0; i < COL_K8S_KINDS; i++) {
		ops_map_free(st->world.objects[i], json_free);
	}
	ops_timer_free(st->timer);
	ops_arena_done(&st->arena);
}

const struct col_sd_class col_sd_kubernetes = {.name = "kubernetes",
	.keys = keys,
	.settings_bytes = sizeof(struct settings),
	.http_at = offsetof(struct settings, http),
	.finish = finish,
	.state_bytes = sizeof(struct state),
	.start = start,
	.stop = stop};
