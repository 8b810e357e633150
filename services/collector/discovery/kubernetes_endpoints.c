/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints and endpoint slices. An endpoint has its own labels, its service's and its pod's. Ports
 * of a pod that the service does not name become targets too, as users of Prometheus rely on.
 */
#include "services/collector/discovery/kubernetes_object.h"

#include <string.h>

#include "services/collector/discovery/sd_classes.h"

struct seen_ports { /* what a service names of its pods' ports */
	const json_t *pod;
	int64_t port;
};

struct endpoints {
	const struct col_k8s_world *w;
	const char *ns;
	const struct ops_labels *common;
	struct col_group *to;
	struct seen_ports *seen;
	size_t nseen, cap_seen;
};

static void add_target(
	struct col_group *to, const struct ops_labels_builder *own, const struct ops_labels *common)
{
	struct ops_labels_builder b;
	ops_labels_builder_from(&b, common);
	for (size_t i = 0; i < own->n; i++) {
		ops_labels_builder_set(&b, own->items[i].name, own->items[i].value);
	}
	col_group_add(to, &b);
}

static void add_service(struct ops_labels_builder *b, const struct col_k8s_world *w, const char *ns,
	const char *name)
{
	const json_t *service = col_k8s_find(w, COL_K8S_SERVICE, ns, name);
	if (service != NULL) {
		col_k8s_metadata(b, COL_K8S_SERVICE, service);
	}
}

static const json_t *referred_pod(const struct endpoints *e, const json_t *ref)
{
	const char *ns = col_json_text(ref, "namespace");
	if (strcmp(col_json_text(ref, "kind"), "Pod") != 0) {
		return NULL;
	}
	return col_k8s_find(
		e->w, COL_K8S_POD, ns[0] != '\0' ? ns : e->ns, col_json_text(ref, "name"));
}

/* The container whose port this is, by number. */
static void matching_container(struct ops_labels_builder *b, const json_t *pod, int64_t number)
{
	for (size_t i = 0; col_k8s_container_at(pod, i).spec != NULL; i++) {
		struct col_k8s_container c = col_k8s_container_at(pod, i);
		const json_t *ports = json_object_get(c.spec, "ports");
		for (size_t k = 0; k < json_array_size(ports); k++) {
			const json_t *port = json_array_get(ports, k);
			if (col_k8s_port(port, "containerPort") == number) {
				col_k8s_container_labels(b, pod, c, port);
				return;
			}
		}
	}
}

/* Takes what own holds; it is done. */
static void add_endpoint(struct endpoints *e, struct ops_labels_builder *own, const json_t *ref,
	const char *node, int64_t port)
{
	const json_t *pod = referred_pod(e, ref);
	col_k8s_attach_node(own, e->w, node);
	if (pod != NULL) {
		col_k8s_pod_labels(own, pod);
		matching_container(own, pod, port);
		OPS_GROW(e->seen, e->nseen, e->cap_seen);
		e->seen[e->nseen++] = (struct seen_ports){pod, port};
	}
	add_target(e->to, own, e->common);
	ops_labels_builder_done(own);
}

static bool is_seen(const struct endpoints *e, const json_t *pod, int64_t port, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (e->seen[i].pod == pod && (port < 0 || e->seen[i].port == port)) {
			return true;
		}
	}
	return false;
}

/* Ports of the pods that the service does not name. */
static void add_other_ports(struct endpoints *e, const json_t *pod)
{
	for (size_t i = 0; col_k8s_container_at(pod, i).spec != NULL; i++) {
		struct col_k8s_container c = col_k8s_container_at(pod, i);
		const json_t *ports = json_object_get(c.spec, "ports");
		for (size_t k = 0; k < json_array_size(ports); k++) {
			const json_t *port = json_array_get(ports, k);
			int64_t number = col_k8s_port(port, "containerPort");
			if (is_seen(e, pod, number, e->nseen)) {
				continue;
			}
			struct ops_labels_builder b;
			ops_labels_builder_init(&b);
			col_k8s_pod_labels(&b, pod);
			col_k8s_container_labels(&b, pod, c, port);
			col_sd_address(&b, col_k8s_pod_ip(pod), number);
			add_target(e->to, &b, e->common);
			ops_labels_builder_done(&b);
		}
	}
}

static void finish_endpoints(struct endpoints *e)
{
	for (size_t i = 0; i < e->nseen; i++) {
		const json_t *pod = e->seen[i].pod;
		if (!is_seen(e, pod, -1, i) && col_k8s_pod_ip(pod)[0] != '\0') {
			add_other_ports(e, pod);
		}
	}
	free(e->seen);
}

static void add_addresses(
	struct endpoints *e, const json_t *addresses, const json_t *port, const char *ready)
{
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const json_t *a = json_array_get(addresses, i);
		const json_t *ref = json_object_get(a, "targetRef");
		struct ops_labels_builder b;
		ops_labels_builder_init(&b);
		col_k8s_set(&b, COL_K8S_META "endpoint_port_name", json_object_get(port, "name"));
		col_k8s_set(&b, COL_K8S_META "endpoint_port_protocol",
			json_object_get(port, "protocol"));
		ops_labels_builder_set(&b, COL_K8S_META "endpoint_ready", ready);
		col_k8s_set(&b, COL_K8S_META "endpoint_address_target_kind",
			json_object_get(ref, "kind"));
		col_k8s_set(&b, COL_K8S_META "endpoint_address_target_name",
			json_object_get(ref, "name"));
		col_k8s_set(&b, COL_K8S_META "endpoint_node_name", json_object_get(a, "nodeName"));
		col_k8s_set(&b, COL_K8S_META "endpoint_hostname", json_object_get(a, "hostname"));
		col_sd_address(&b, col_json_text(a, "ip"), col_k8s_port(port, "port"));
		add_endpoint(e, &b, ref, col_json_text(a, "nodeName"), col_k8s_port(port, "port"));
	}
}

void col_k8s_endpoints(const struct col_k8s_world *w, const json_t *object, struct col_group *to)
{
	const json_t *subsets = json_object_get(object, "subsets");
	const char *ns = col_k8s_namespace(object);
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	col_k8s_attach_namespace(&b, w, object);
	col_k8s_metadata(&b, COL_K8S_ENDPOINTS, object);
	add_service(&b, w, ns, col_json_text(json_object_get(object, "metadata"), "name"));
	struct ops_labels *common = col_k8s_built(&b);
	struct endpoints e = {.w = w, .ns = ns, .common = common, .to = to};
	for (size_t i = 0; i < json_array_size(subsets); i++) {
		const json_t *subset = json_array_get(subsets, i);
		const json_t *ports = json_object_get(subset, "ports");
		for (size_t k = 0; k < json_array_size(ports); k++) {
			const json_t *port = json_array_get(ports, k);
			add_addresses(&e, json_object_get(subset, "addresses"), port, "true");
			add_addresses(
				&e, json_object_get(subset, "notReadyAddresses"), port, "false");
		}
	}
	finish_endpoints(&e);
	ops_labels_unref(common);
}

/* ---- slices ---- */

#define SLICE COL_K8S_META "endpointslice_"

static void slice_endpoint_labels(
	struct ops_labels_builder *b, const json_t *endpoint, const json_t *port)
{
	const json_t *conditions = json_object_get(endpoint, "conditions");
	const json_t *ref = json_object_get(endpoint, "targetRef");
	col_k8s_set(b, SLICE "port", json_object_get(port, "port"));
	col_k8s_set(b, SLICE "port_name", json_object_get(port, "name"));
	col_k8s_set(b, SLICE "port_protocol", json_object_get(port, "protocol"));
	col_k8s_set(b, SLICE "port_app_protocol", json_object_get(port, "appProtocol"));
	col_k8s_set(b, SLICE "endpoint_conditions_ready", json_object_get(conditions, "ready"));
	col_k8s_set(b, SLICE "endpoint_conditions_serving", json_object_get(conditions, "serving"));
	col_k8s_set(b, SLICE "endpoint_conditions_terminating",
		json_object_get(conditions, "terminating"));
	col_k8s_set(b, SLICE "endpoint_hostname", json_object_get(endpoint, "hostname"));
	col_k8s_set(b, SLICE "endpoint_node_name", json_object_get(endpoint, "nodeName"));
	col_k8s_set(b, SLICE "endpoint_zone", json_object_get(endpoint, "zone"));
	col_k8s_set(b, SLICE "address_target_kind", json_object_get(ref, "kind"));
	col_k8s_set(b, SLICE "address_target_name", json_object_get(ref, "name"));
	col_sd_labels(
		b, SLICE "endpoint_topology_", json_object_get(endpoint, "deprecatedTopology"));
}

static void add_slice_endpoint(struct endpoints *e, const json_t *endpoint, const json_t *ports)
{
	const json_t *addresses = json_object_get(endpoint, "addresses");
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		for (size_t k = 0; k < json_array_size(addresses); k++) {
			const char *ip = json_string_value(json_array_get(addresses, k));
			struct ops_labels_builder b;
			ops_labels_builder_init(&b);
			slice_endpoint_labels(&b, endpoint, port);
			col_sd_address(&b, ip != NULL ? ip : "", col_k8s_port(port, "port"));
			add_endpoint(e, &b, json_object_get(endpoint, "targetRef"),
				col_json_text(endpoint, "nodeName"), col_k8s_port(port, "port"));
		}
	}
}

void col_k8s_endpointslice(
	const struct col_k8s_world *w, const json_t *object, struct col_group *to)
{
	const json_t *list = json_object_get(object, "endpoints");
	const json_t *labels = col_json_at(object, "metadata", "labels", NULL);
	const char *ns = col_k8s_namespace(object);
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	col_k8s_attach_namespace(&b, w, object);
	col_k8s_metadata(&b, COL_K8S_ENDPOINTSLICE, object);
	col_k8s_set(&b, SLICE "address_type", json_object_get(object, "addressType"));
	add_service(&b, w, ns, col_json_text(labels, "kubernetes.io/service-name"));
	struct ops_labels *common = col_k8s_built(&b);
	struct endpoints e = {.w = w, .ns = ns, .common = common, .to = to};
	for (size_t i = 0; i < json_array_size(list); i++) {
		add_slice_endpoint(&e, json_array_get(list, i), json_object_get(object, "ports"));
	}
	finish_endpoints(&e);
	ops_labels_unref(common);
}
