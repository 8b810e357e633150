/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes, pods, services and ingresses; each role has the labels that its objects give, and those of
 * what they belong to.
 */
#include "services/collector/discovery/kubernetes_labels.h"

#include <string.h>

#include "common/base/text.h"
#include "services/collector/discovery/kubernetes_object.h"
#include "services/collector/discovery/sd_classes.h"

/* ---- nodes ---- */

static const char *node_address(const json_t *addresses)
{
	static const char *const order[] = {"InternalIP", "InternalDNS", "ExternalIP",
		"ExternalDNS", "LegacyHostIP", "Hostname"};
	for (size_t i = 0; i < OPS_LENGTH(order); i++) {
		for (size_t k = 0; k < json_array_size(addresses); k++) {
			const json_t *a = json_array_get(addresses, k);
			if (strcmp(col_json_text(a, "type"), order[i]) == 0) {
				return col_json_text(a, "address");
			}
		}
	}
	return "";
}

static void node_group(const struct col_k8s_world *w, const json_t *node, struct col_group *to)
{
	const json_t *addresses = col_json_at(node, "status", "addresses", NULL);
	const char *address = node_address(addresses);
	struct ops_labels_builder b;
	(void)w;
	if (address[0] == '\0') {
		return;
	}
	ops_labels_builder_init(&b);
	col_k8s_metadata(&b, COL_K8S_NODE, node);
	col_k8s_set(
		&b, COL_K8S_META "node_provider_id", col_json_at(node, "spec", "providerID", NULL));
	for (size_t i = json_array_size(addresses); i > 0; i--) { /* the first of a type stays */
		const json_t *a = json_array_get(addresses, i - 1);
		col_label_set(&b, COL_K8S_META "node_address_", col_json_text(a, "type"),
			col_json_text(a, "address"));
	}
	ops_labels_builder_set(
		&b, "instance", col_json_text(json_object_get(node, "metadata"), "name"));
	col_sd_address(&b, address,
		json_integer_value(col_json_at(
			node, "status", "daemonEndpoints", "kubeletEndpoint", "Port", NULL)));
	col_group_add(to, &b);
}

/* ---- pods ---- */

static void add_container(const json_t *pod, struct col_k8s_container c,
	const struct ops_labels *common, struct col_group *to)
{
	const json_t *ports = json_object_get(c.spec, "ports");
	size_t n = json_array_size(ports);
	for (size_t i = 0; i < n || (n == 0 && i == 0); i++) {
		const json_t *port = json_array_get(ports, i);
		struct ops_labels_builder b;
		ops_labels_builder_from(&b, common);
		col_k8s_container_labels(&b, pod, c, port);
		if (port != NULL) {
			col_sd_address(
				&b, col_k8s_pod_ip(pod), col_k8s_port(port, "containerPort"));
		} else {
			ops_labels_builder_set(&b, "__address__", col_k8s_pod_ip(pod));
		}
		col_group_add(to, &b);
	}
}

static void pod_group(const struct col_k8s_world *w, const json_t *pod, struct col_group *to)
{
	struct ops_labels_builder b;
	if (col_k8s_pod_ip(pod)[0] == '\0') {
		return;
	}
	ops_labels_builder_init(&b);
	col_k8s_attach_namespace(&b, w, pod);
	col_k8s_pod_labels(&b, pod);
	col_k8s_attach_node(&b, w, col_json_text(json_object_get(pod, "spec"), "nodeName"));
	struct ops_labels *common = col_k8s_built(&b);
	for (size_t i = 0; col_k8s_container_at(pod, i).spec != NULL; i++) {
		add_container(pod, col_k8s_container_at(pod, i), common, to);
	}
	ops_labels_unref(common);
}

/* ---- services ---- */

static void service_group(
	const struct col_k8s_world *w, const json_t *service, struct col_group *to)
{
	const json_t *spec = json_object_get(service, "spec");
	const json_t *ports = json_object_get(spec, "ports");
	const char *type = col_json_text(spec, "type");
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	col_k8s_attach_namespace(&b, w, service);
	col_k8s_metadata(&b, COL_K8S_SERVICE, service);
	ops_labels_builder_set(&b, COL_K8S_META "service_type", type);
	if (strcmp(type, "ExternalName") == 0) {
		col_k8s_set(&b, COL_K8S_META "service_external_name",
			json_object_get(spec, "externalName"));
	} else {
		col_k8s_set(
			&b, COL_K8S_META "service_cluster_ip", json_object_get(spec, "clusterIP"));
	}
	if (strcmp(type, "LoadBalancer") == 0) {
		col_k8s_set(&b, COL_K8S_META "service_loadbalancer_ip",
			json_object_get(spec, "loadBalancerIP"));
	}
	struct ops_labels *common = col_k8s_built(&b);
	OPS_CLEANUP(ops_freep)
	char *host = ops_xasprintf("%s.%s.svc",
		col_json_text(json_object_get(service, "metadata"), "name"),
		col_k8s_namespace(service));
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		ops_labels_builder_from(&b, common);
		col_k8s_set(&b, COL_K8S_META "service_port_name", json_object_get(port, "name"));
		col_k8s_set(&b, COL_K8S_META "service_port_number", json_object_get(port, "port"));
		col_k8s_set(&b, COL_K8S_META "service_port_protocol",
			json_object_get(port, "protocol"));
		col_sd_address(&b, host, col_k8s_port(port, "port"));
		col_group_add(to, &b);
	}
	ops_labels_unref(common);
}

/* ---- ingresses ---- */

/* *.example matches one more label in front. */
static bool host_matches(const char *pattern, const char *host)
{
	if (strcmp(pattern, host) == 0) {
		return true;
	}
	const char *dot = strchr(host, '.');
	return ops_str_starts(pattern, "*.") && dot != NULL && dot != host &&
	       strcmp(pattern + 1, dot) == 0;
}

static bool has_tls(const json_t *ingress, const char *host)
{
	const json_t *all = col_json_at(ingress, "spec", "tls", NULL);
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *hosts = json_object_get(json_array_get(all, i), "hosts");
		for (size_t k = 0; k < json_array_size(hosts); k++) {
			const char *pattern = json_string_value(json_array_get(hosts, k));
			if (pattern != NULL && host_matches(pattern, host)) {
				return true;
			}
		}
	}
	return false;
}

static void ingress_group(
	const struct col_k8s_world *w, const json_t *ingress, struct col_group *to)
{
	const json_t *rules = col_json_at(ingress, "spec", "rules", NULL);
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	col_k8s_attach_namespace(&b, w, ingress);
	col_k8s_metadata(&b, COL_K8S_INGRESS, ingress);
	col_k8s_set(&b, COL_K8S_META "ingress_class_name",
		col_json_at(ingress, "spec", "ingressClassName", NULL));
	struct ops_labels *common = col_k8s_built(&b);
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *rule = json_array_get(rules, i);
		const json_t *paths = col_json_at(rule, "http", "paths", NULL);
		const char *host = col_json_text(rule, "host");
		size_t n = json_array_size(paths);
		for (size_t k = 0; k < n || (n == 0 && k == 0); k++) {
			const char *path = col_json_text(json_array_get(paths, k), "path");
			ops_labels_builder_from(&b, common);
			ops_labels_builder_set(&b, "__address__", host);
			ops_labels_builder_set(&b, COL_K8S_META "ingress_scheme",
				has_tls(ingress, host) ? "https" : "http");
			ops_labels_builder_set(&b, COL_K8S_META "ingress_host", host);
			ops_labels_builder_set(
				&b, COL_K8S_META "ingress_path", path[0] != '\0' ? path : "/");
			col_group_add(to, &b);
		}
	}
	ops_labels_unref(common);
}

struct col_group *col_k8s_group(const struct col_k8s_world *w, enum col_k8s_kind role,
	const char *key, const json_t *object)
{
	static void (*const builders[COL_K8S_KINDS])(const struct col_k8s_world *, const json_t *,
		struct col_group *) = {node_group, pod_group, service_group, col_k8s_endpoints,
		col_k8s_endpointslice, ingress_group, NULL};
	OPS_CLEANUP(ops_freep) char *source = ops_xasprintf("%s/%s", col_k8s_kinds[role], key);
	struct col_group *g = col_group_new(source);
	if (builders[role] != NULL) {
		builders[role](w, object, g);
	}
	return g;
}
