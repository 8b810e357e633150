/* SPDX-License-Identifier: Apache-2.0 */
/* What docker and dockerswarm have in common: where the engine is, filters, networks, labels. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/collector/config_job.h"
#include "services/collector/discovery/sd_classes.h"

struct filter {
	const char *name;
	struct ops_conf_strings values;
};

static const struct ops_conf_key filter_keys[] = {
	COL_SD_KEY(filter, "name", OPS_CONF_K_STRING, name, OPS_CONF_REQUIRED, NULL),
	COL_SD_KEY(filter, "values", OPS_CONF_K_STRINGS, values, OPS_CONF_REQUIRED, NULL),
	OPS_CONF_END,
};

static int make_filters(struct ops_arena *a, const struct ops_conf_node *node, const char **ret,
	struct ops_error *err)
{
	*ret = NULL;
	if (ops_conf_is_null(node)) {
		return 0;
	}
	if (node->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(node, err, "filters must be a list");
	}
	OPS_JSON_AUTO *all = json_object();
	for (size_t i = 0; i < node->n; i++) {
		struct filter f = {.name = NULL};
		int r = ops_conf_decode(a, node->items[i], filter_keys, &f, NULL, err);
		if (r != 0) {
			return r;
		}
		json_t *values = json_object_get(all, f.name);
		if (values == NULL) {
			values = json_array();
			ops_json_set(all, f.name, values);
		}
		for (size_t k = 0; k < f.values.n; k++) {
			(void)json_array_append_new(values, json_string(f.values.items[k]));
		}
	}
	OPS_CLEANUP(ops_freep) char *text = ops_json_text(all);
	*ret = ops_arena_strdup(a, text);
	return 0;
}

static int split_host(struct ops_arena *a, const struct ops_conf_node *node, const char *host,
	const char **ret_base, const char **ret_socket, struct ops_error *err)
{
	bool tls = ops_conf_get(node, "tls_config") != NULL;
	*ret_socket = NULL;
	if (ops_str_starts(host, "unix://")) {
		*ret_socket = host + strlen("unix://");
		*ret_base = "http://docker";
		return 0;
	}
	if (ops_str_starts(host, "tcp://")) {
		*ret_base = ops_arena_printf(
			a, "%s://%s", tls ? "https" : "http", host + strlen("tcp://"));
		return 0;
	}
	if (ops_str_starts(host, "http://") || ops_str_starts(host, "https://")) {
		*ret_base = host;
		return 0;
	}
	int r = ops_conf_error(ops_conf_get(node, "host"), err,
		"\"%s\" is not an address of a Docker engine", host);
	ops_error_hint(err, "unix:///var/run/docker.sock, tcp://HOST:2375, http:// or https://");
	return r;
}

int col_sd_engine_finish(struct ops_arena *a, const struct ops_conf_node *node,
	struct col_sd_engine *e, struct ops_error *err)
{
	int r = col_sd_check_refresh(node, e->refresh_ms, err);
	if (r == 0) {
		r = split_host(a, node, e->host, &e->base, &e->socket, err);
	}
	return r != 0 ? r : make_filters(a, e->filters_written, &e->filters, err);
}

char *col_sd_engine_url(const struct col_sd_engine *e, const char *list, bool filtered)
{
	struct ops_strbuf url = OPS_STRBUF_INIT;
	ops_strbuf_printf(&url, "%s/%s", e->base, list);
	if (filtered && e->filters != NULL) {
		ops_strbuf_adds(&url, "?filters=");
		ops_strbuf_add_url(&url, e->filters, strlen(e->filters));
	}
	return ops_strbuf_take(&url);
}

void col_sd_labels(struct ops_labels_builder *b, const char *prefix, const json_t *object)
{
	json_t *o = (json_t *)(uintptr_t)object; /* only read */
	for (void *at = json_object_iter(o); at != NULL; at = json_object_iter_next(o, at)) {
		const char *value = json_string_value(json_object_iter_value(at));
		if (value != NULL) {
			col_label_set(b, prefix, json_object_iter_key(at), value);
		}
	}
}

static void set_bool(
	struct ops_labels_builder *b, const char *prefix, const char *name, const json_t *value)
{
	col_label_set(b, prefix, name, json_is_true(value) ? "true" : "false");
}

static const json_t *find_network(const json_t *networks, const char *id)
{
	for (size_t i = 0; i < json_array_size(networks); i++) {
		const json_t *n = json_array_get(networks, i);
		if (strcmp(col_json_text(n, "Id"), id) == 0) {
			return n;
		}
	}
	return NULL;
}

void col_sd_docker_network(
	struct ops_labels_builder *b, const char *prefix, const json_t *networks, const char *id)
{
	const json_t *n = find_network(networks, id);
	if (n == NULL || id[0] == '\0') {
		return;
	}
	OPS_CLEANUP(ops_freep) char *labels = ops_xasprintf("%slabel_", prefix);
	col_label_set(b, prefix, "id", id);
	col_label_set(b, prefix, "name", col_json_text(n, "Name"));
	col_label_set(b, prefix, "scope", col_json_text(n, "Scope"));
	set_bool(b, prefix, "internal", json_object_get(n, "Internal"));
	set_bool(b, prefix, "ingress", json_object_get(n, "Ingress"));
	col_sd_labels(b, labels, json_object_get(n, "Labels"));
}

void col_sd_address(struct ops_labels_builder *b, const char *host, int64_t port)
{
	bool six = strchr(host, ':') != NULL;
	OPS_CLEANUP(ops_freep)
	char *address =
		ops_xasprintf("%s%s%s:%" PRId64, six ? "[" : "", host, six ? "]" : "", port);
	ops_labels_builder_set(b, "__address__", address);
}
