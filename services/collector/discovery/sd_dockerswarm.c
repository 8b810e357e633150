/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dockerswarm_sd_configs: services (their virtual addresses), tasks (containers of services) or
 * nodes of a swarm. What a task's labels need of its service, node and networks is asked for in the
 * same look; filters hold for what the role is about only.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/collector/discovery/sd_classes.h"

#define META "__meta_dockerswarm_"

struct settings {
	struct col_sd_engine engine;
	const char *role;
};

static const struct ops_conf_key keys[] = {
	COL_SD_KEY(settings, "role", OPS_CONF_K_STRING, role, OPS_CONF_REQUIRED, NULL),
	COL_SD_ENGINE_ROWS(settings, engine),
	OPS_CONF_END,
};

static int check_role(
	const struct ops_conf_node *node, const struct settings *s, struct ops_error *err)
{
	if (ops_str_eq(s->role, "services") || ops_str_eq(s->role, "tasks") ||
		ops_str_eq(s->role, "nodes")) {
		return 0;
	}
	int r = ops_conf_error(ops_conf_get(node, "role"), err, "unknown role \"%s\"", s->role);
	ops_error_hint(err, "services, tasks or nodes");
	return r;
}

static int finish(struct ops_arena *a, const struct ops_conf_node *node, void *settings,
	struct ops_error *err)
{
	struct settings *s = settings;
	int r = check_role(node, s, err);
	return r != 0 ? r : col_sd_engine_finish(a, node, &s->engine, err);
}

static int64_t interval_ms(const struct col_sd *sd)
{
	return ((const struct settings *)sd->settings)->engine.refresh_ms;
}

struct look {
	const struct settings *s;
	const json_t *services, *networks, *nodes, *tasks;
	struct col_group *to;
};

static void set_at(struct ops_labels_builder *b, const char *label, const json_t *value)
{
	char buf[32];
	ops_labels_builder_set(b, label, col_json_scalar(value, buf));
}

static const json_t *by_id(const json_t *list, const char *id)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *item = json_array_get(list, i);
		if (strcmp(col_json_text(item, "ID"), id) == 0) {
			return item;
		}
	}
	return NULL;
}

/* The address of "10.0.0.5/24". */
static bool cidr_host(const char *cidr, char *ret, size_t size)
{
	size_t len = strcspn(cidr, "/");
	if (len == 0 || len >= size || cidr[len] == '\0') {
		return false;
	}
	memcpy(ret, cidr, len);
	ret[len] = '\0';
	return true;
}

static bool is_tcp(const json_t *port)
{
	return strcmp(col_json_text(port, "Protocol"), "tcp") == 0;
}

static int64_t published(const json_t *port)
{
	return json_integer_value(json_object_get(port, "PublishedPort"));
}

/* ---- services ---- */

static void service_identity(struct ops_labels_builder *b, const json_t *service)
{
	const json_t *spec = json_object_get(service, "Spec"),
		     *mode = json_object_get(spec, "Mode");
	ops_labels_builder_set(b, META "service_id", col_json_text(service, "ID"));
	ops_labels_builder_set(b, META "service_name", col_json_text(spec, "Name"));
	if (json_is_object(json_object_get(mode, "Global"))) {
		ops_labels_builder_set(b, META "service_mode", "global");
	} else if (json_is_object(json_object_get(mode, "Replicated"))) {
		ops_labels_builder_set(b, META "service_mode", "replicated");
	}
	col_sd_labels(b, META "service_label_", json_object_get(spec, "Labels"));
}

static struct ops_labels *service_labels(const json_t *service)
{
	struct ops_labels_builder b;
	const json_t *container =
		col_json_at(service, "Spec", "TaskTemplate", "ContainerSpec", NULL);
	ops_labels_builder_init(&b);
	service_identity(&b, service);
	ops_labels_builder_set(
		&b, META "service_task_container_hostname", col_json_text(container, "Hostname"));
	ops_labels_builder_set(
		&b, META "service_task_container_image", col_json_text(container, "Image"));
	ops_labels_builder_set(&b, META "service_updating_status",
		col_json_text(json_object_get(service, "UpdateStatus"), "State"));
	struct ops_labels *ls = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return ls;
}

static void add_virtual_address(const struct look *l, const struct ops_labels *common,
	const json_t *service, const json_t *vip)
{
	const json_t *ports = col_json_at(service, "Endpoint", "Ports", NULL);
	const char *network = col_json_text(vip, "NetworkID");
	char host[64];
	bool added = false;
	if (!cidr_host(col_json_text(vip, "Addr"), host, sizeof(host))) {
		return;
	}
	for (size_t i = 0; i <= json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		struct ops_labels_builder b;
		if (port == NULL ? added : !is_tcp(port)) {
			continue;
		}
		ops_labels_builder_from(&b, common);
		col_sd_docker_network(&b, META "network_", l->networks, network);
		if (port != NULL) {
			ops_labels_builder_set(
				&b, META "service_endpoint_port_name", col_json_text(port, "Name"));
			ops_labels_builder_set(&b, META "service_endpoint_port_publish_mode",
				col_json_text(port, "PublishMode"));
		}
		col_sd_address(&b, host, port != NULL ? published(port) : l->s->engine.port);
		col_group_add(l->to, &b);
		added = true;
	}
}

static void add_services(const struct look *l)
{
	for (size_t i = 0; i < json_array_size(l->services); i++) {
		const json_t *service = json_array_get(l->services, i);
		const json_t *vips = col_json_at(service, "Endpoint", "VirtualIPs", NULL);
		struct ops_labels *common = service_labels(service);
		for (size_t k = 0; k < json_array_size(vips); k++) {
			add_virtual_address(l, common, service, json_array_get(vips, k));
		}
		ops_labels_unref(common);
	}
}

/* ---- nodes ---- */

static void node_labels(struct ops_labels_builder *b, const json_t *node)
{
	static const struct {
		const char *label, *path[3];
	} rows[] = {
		{META "node_id", {"ID", NULL, NULL}},
		{META "node_role", {"Spec", "Role", NULL}},
		{META "node_availability", {"Spec", "Availability", NULL}},
		{META "node_hostname", {"Description", "Hostname", NULL}},
		{META "node_platform_architecture", {"Description", "Platform", "Architecture"}},
		{META "node_platform_os", {"Description", "Platform", "OS"}},
		{META "node_engine_version", {"Description", "Engine", "EngineVersion"}},
		{META "node_status", {"Status", "State", NULL}},
		{META "node_address", {"Status", "Addr", NULL}},
	};
	const json_t *manager = json_object_get(node, "ManagerStatus");
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		set_at(b, rows[i].label,
			col_json_at(node, rows[i].path[0], rows[i].path[1], rows[i].path[2], NULL));
	}
	if (json_is_object(manager)) {
		ops_labels_builder_set(b, META "node_manager_leader",
			json_is_true(json_object_get(manager, "Leader")) ? "true" : "false");
		set_at(b, META "node_manager_reachability",
			json_object_get(manager, "Reachability"));
		set_at(b, META "node_manager_address", json_object_get(manager, "Addr"));
	}
	col_sd_labels(b, META "node_label_", col_json_at(node, "Spec", "Labels", NULL));
}

static const char *node_address(const json_t *node)
{
	return col_json_text(json_object_get(node, "Status"), "Addr");
}

static void add_nodes(const struct look *l)
{
	for (size_t i = 0; i < json_array_size(l->nodes); i++) {
		const json_t *node = json_array_get(l->nodes, i);
		struct ops_labels_builder b;
		ops_labels_builder_init(&b);
		node_labels(&b, node);
		col_sd_address(&b, node_address(node), l->s->engine.port);
		col_group_add(l->to, &b);
	}
}

/* ---- tasks ---- */

static struct ops_labels *task_labels(const json_t *task, const json_t *service, const json_t *node)
{
	struct ops_labels_builder b;
	char slot[32];
	ops_labels_builder_init(&b);
	ops_labels_builder_set(&b, META "task_id", col_json_text(task, "ID"));
	set_at(&b, META "task_desired_state", json_object_get(task, "DesiredState"));
	set_at(&b, META "task_state", col_json_at(task, "Status", "State", NULL));
	snprintf(slot, sizeof(slot), "%" JSON_INTEGER_FORMAT,
		json_integer_value(json_object_get(task, "Slot")));
	ops_labels_builder_set(&b, META "task_slot", slot);
	col_sd_labels(&b, META "container_label_",
		col_json_at(task, "Spec", "ContainerSpec", "Labels", NULL));
	if (service != NULL) {
		service_identity(&b, service);
	}
	if (node != NULL) {
		node_labels(&b, node);
	}
	struct ops_labels *ls = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return ls;
}

static void add_task_target(const struct look *l, const struct ops_labels *common, const char *host,
	const json_t *port, const char *network)
{
	struct ops_labels_builder b;
	ops_labels_builder_from(&b, common);
	col_sd_docker_network(&b, META "network_", l->networks, network);
	if (port != NULL) {
		ops_labels_builder_set(
			&b, META "task_port_publish_mode", col_json_text(port, "PublishMode"));
	}
	col_sd_address(&b, host, port != NULL ? published(port) : l->s->engine.port);
	col_group_add(l->to, &b);
}

static void add_attachment(const struct look *l, const struct ops_labels *common,
	const json_t *service, const json_t *attachment)
{
	const json_t *addresses = json_object_get(attachment, "Addresses");
	const json_t *ports = col_json_at(service, "Endpoint", "Ports", NULL);
	const char *network = col_json_text(json_object_get(attachment, "Network"), "ID");
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const char *address = json_string_value(json_array_get(addresses, i));
		char host[64];
		bool added = false;
		if (address == NULL || !cidr_host(address, host, sizeof(host))) {
			continue;
		}
		for (size_t k = 0; k < json_array_size(ports); k++) {
			const json_t *port = json_array_get(ports, k);
			if (is_tcp(port)) {
				add_task_target(l, common, host, port, network);
				added = true;
			}
		}
		if (!added) {
			add_task_target(l, common, host, NULL, network);
		}
	}
}

static void add_task(const struct look *l, const json_t *task)
{
	const json_t *service = by_id(l->services, col_json_text(task, "ServiceID"));
	const json_t *node = by_id(l->nodes, col_json_text(task, "NodeID"));
	const json_t *ports = col_json_at(task, "Status", "PortStatus", "Ports", NULL);
	const json_t *attachments = json_object_get(task, "NetworksAttachments");
	struct ops_labels *common = task_labels(task, service, node);
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		if (is_tcp(port)) {
			add_task_target(l, common, node_address(node), port, "");
		}
	}
	for (size_t i = 0; i < json_array_size(attachments); i++) {
		add_attachment(l, common, service, json_array_get(attachments, i));
	}
	ops_labels_unref(common);
}

/* ---- a look ---- */

enum {
	SERVICES,
	NETWORKS,
	NODES,
	TASKS,
	LISTS
};

/* Nodes need no other list, services no nodes and tasks. */
static size_t lists_of(const struct settings *s)
{
	if (strcmp(s->role, "nodes") == 0) {
		return 1;
	}
	return strcmp(s->role, "services") == 0 ? 2 : LISTS;
}

static void on_replies(struct col_sd *sd, json_t *const *replies)
{
	const struct settings *s = sd->settings;
	size_t n = lists_of(s);
	for (size_t i = 0; i < n; i++) {
		if (!json_is_array(replies[i])) {
			col_sd_failed(sd, "%s: the answer is not that of a swarm", s->engine.host);
			return;
		}
	}
	struct col_group *g = col_group_new(s->engine.host);
	struct look l = {.s = s, .to = g};
	if (n == 1) {
		l.nodes = replies[0];
		add_nodes(&l);
	} else {
		l.services = replies[SERVICES];
		l.networks = replies[NETWORKS];
		if (n == 2) {
			add_services(&l);
		}
	}
	if (n == LISTS) {
		l.nodes = replies[NODES];
		l.tasks = replies[TASKS];
		for (size_t i = 0; i < json_array_size(l.tasks); i++) {
			add_task(&l, json_array_get(l.tasks, i));
		}
	}
	col_sd_replace(sd, &g, 1);
}

static void refresh(struct col_sd *sd)
{
	static const char *const lists[LISTS] = {
		[SERVICES] = "services", "networks", "nodes", [TASKS] = "tasks"};
	const struct settings *s = sd->settings;
	size_t n = lists_of(s);
	char *urls[LISTS];
	for (size_t i = 0; i < n; i++) {
		const char *what = n == 1 ? "nodes" : lists[i];
		urls[i] = col_sd_engine_url(&s->engine, what, strcmp(what, s->role) == 0);
	}
	const struct col_sd_server server = {
		.http = &s->engine.http, .unix_socket = s->engine.socket};
	col_sd_get(sd, &server, (const char *const *)urls, n);
	for (size_t i = 0; i < n; i++) {
		free(urls[i]);
	}
}

const struct col_sd_class col_sd_dockerswarm = {.name = "dockerswarm",
	.keys = keys,
	.settings_bytes = sizeof(struct settings),
	.http_at = offsetof(struct settings, engine.http),
	.finish = finish,
	.interval_ms = interval_ms,
	.refresh = refresh,
	.on_replies = on_replies};
