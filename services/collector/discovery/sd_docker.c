/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docker_sd_configs: the containers of an engine. A target for each TCP port of each network of a
 * container; a container without one gets the configured port, and one in the host's network the
 * configured host without a port. A container that lives in another's network has its networks.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/collector/discovery/sd_classes.h"

#define META "__meta_docker_"

struct settings {
	struct col_sd_engine engine;
	const char *host_networking_host;
	bool match_first_network;
};

static const struct ops_conf_key keys[] = {
	COL_SD_KEY(settings, "host_networking_host", OPS_CONF_K_STRING, host_networking_host, 0,
		"localhost"),
	COL_SD_KEY(
		settings, "match_first_network", OPS_CONF_K_BOOL, match_first_network, 0, "true"),
	COL_SD_ENGINE_ROWS(settings, engine),
	OPS_CONF_END,
};

static int finish(struct ops_arena *a, const struct ops_conf_node *node, void *settings,
	struct ops_error *err)
{
	struct settings *s = settings;
	return col_sd_engine_finish(a, node, &s->engine, err);
}

static int64_t interval_ms(const struct col_sd *sd)
{
	return ((const struct settings *)sd->settings)->engine.refresh_ms;
}

/* ---- a container ---- */

struct look {
	const struct settings *s;
	const json_t *containers, *networks; /* lists of the engine */
	struct col_group *to;
};

static const char *network_mode(const json_t *container)
{
	return col_json_text(json_object_get(container, "HostConfig"), "NetworkMode");
}

static const json_t *networks_of(const json_t *container)
{
	return col_json_at(container, "NetworkSettings", "Networks", NULL);
}

static const json_t *container_by_id(const json_t *containers, const char *id)
{
	for (size_t i = 0; i < json_array_size(containers); i++) {
		const json_t *c = json_array_get(containers, i);
		if (strcmp(col_json_text(c, "Id"), id) == 0) {
			return c;
		}
	}
	return NULL;
}

/* Follows "container:ID"; a ring of them ends at some point, too. */
static const json_t *effective_networks(const struct look *l, const json_t *container)
{
	const json_t *found = networks_of(container);
	for (int hops = 0; json_object_size(found) == 0 && container != NULL && hops < 16; hops++) {
		const char *mode = network_mode(container);
		if (!ops_str_starts(mode, "container:")) {
			break;
		}
		container = container_by_id(l->containers, mode + strlen("container:"));
		found = networks_of(container);
	}
	return found;
}

static void set_number(struct ops_labels_builder *b, const char *name, const json_t *value)
{
	char buf[32];
	ops_labels_builder_set(b, name, col_json_scalar(value, buf));
}

static void add_target(const struct look *l, const struct ops_labels *common, const json_t *network,
	const json_t *container, const json_t *port)
{
	struct ops_labels_builder b;
	const char *ip = col_json_text(network, "IPAddress");
	ops_labels_builder_from(&b, common);
	ops_labels_builder_set(&b, META "network_ip", ip);
	col_sd_docker_network(
		&b, META "network_", l->networks, col_json_text(network, "NetworkID"));
	if (port != NULL) {
		int64_t public = json_integer_value(json_object_get(port, "PublicPort"));
		set_number(&b, META "port_private", json_object_get(port, "PrivatePort"));
		if (public > 0) {
			set_number(&b, META "port_public", json_object_get(port, "PublicPort"));
			ops_labels_builder_set(
				&b, META "port_public_ip", col_json_text(port, "IP"));
		}
		col_sd_address(&b, ip, json_integer_value(json_object_get(port, "PrivatePort")));
	} else if (strcmp(network_mode(container), "host") == 0) {
		ops_labels_builder_set(&b, "__address__", l->s->host_networking_host);
	} else {
		col_sd_address(&b, ip, l->s->engine.port);
	}
	col_group_add(l->to, &b);
}

static void add_network(const struct look *l, const struct ops_labels *common,
	const json_t *network, const json_t *container)
{
	const json_t *ports = json_object_get(container, "Ports");
	bool added = false;
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		if (strcmp(col_json_text(port, "Type"), "tcp") == 0) {
			add_target(l, common, network, container, port);
			added = true;
		}
	}
	if (!added) {
		add_target(l, common, network, container, NULL);
	}
}

static struct ops_labels *common_labels(const json_t *container)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	ops_labels_builder_set(&b, META "container_id", col_json_text(container, "Id"));
	ops_labels_builder_set(&b, META "container_name",
		json_string_value(json_array_get(json_object_get(container, "Names"), 0)));
	ops_labels_builder_set(&b, META "container_network_mode", network_mode(container));
	col_sd_labels(&b, META "container_label_", json_object_get(container, "Labels"));
	struct ops_labels *ls = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return ls;
}

static int compare_names(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

static void add_container(const struct look *l, const json_t *container)
{
	json_t *networks = (json_t *)(uintptr_t)effective_networks(l, container); /* only read */
	size_t n = 0, all = json_object_size(networks);
	if (json_array_size(json_object_get(container, "Names")) == 0 || all == 0) {
		return;
	}
	struct ops_labels *common = common_labels(container);
	const char **names = ops_xcalloc(all, sizeof(*names));
	for (void *at = json_object_iter(networks); at != NULL;
		at = json_object_iter_next(networks, at)) {
		if (json_is_object(json_object_iter_value(at))) {
			names[n++] = json_object_iter_key(at);
		}
	}
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n && (i == 0 || !l->s->match_first_network); i++) {
		add_network(l, common, json_object_get(networks, names[i]), container);
	}
	free(names);
	ops_labels_unref(common);
}

/* ---- a look ---- */

static void on_replies(struct col_sd *sd, json_t *const *replies)
{
	const struct settings *s = sd->settings;
	if (!json_is_array(replies[0]) || !json_is_array(replies[1])) {
		col_sd_failed(sd, "%s: the answer is not that of a Docker engine", s->engine.host);
		return;
	}
	struct col_group *g = col_group_new(s->engine.host);
	const struct look l = {s, replies[0], replies[1], g};
	for (size_t i = 0; i < json_array_size(l.containers); i++) {
		add_container(&l, json_array_get(l.containers, i));
	}
	col_sd_replace(sd, &g, 1);
}

static void refresh(struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	const struct col_sd_engine *e = &s->engine;
	OPS_CLEANUP(ops_freep) char *list = col_sd_engine_url(e, "containers/json", true);
	OPS_CLEANUP(ops_freep) char *networks = col_sd_engine_url(e, "networks", false);
	const char *const urls[] = {list, networks};
	const struct col_sd_server server = {.http = &e->http, .unix_socket = e->socket};
	col_sd_get(sd, &server, urls, OPS_LENGTH(urls));
}

const struct col_sd_class col_sd_docker = {.name = "docker",
	.keys = keys,
	.settings_bytes = sizeof(struct settings),
	.http_at = offsetof(struct settings, engine.http),
	.finish = finish,
	.interval_ms = interval_ms,
	.refresh = refresh,
	.on_replies = on_replies};
