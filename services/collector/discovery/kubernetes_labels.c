/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each role has the labels that its objects give, and those of what they belong to: an endpoint has
 * its service's and its pod's. For endpoints, ports of a pod that the service does not name become
 * targets too, as users of Prometheus rely on.
 */
#include "services/collector/discovery/kubernetes_labels.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "services/collector/discovery/sd_classes.h"

#define META "__meta_kubernetes_"

static const char *const kinds[COL_K8S_KINDS] = {
	"node", "pod", "service", "endpoints", "endpointslice", "ingress", "namespace"};

char *col_k8s_key(const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	return ops_xasprintf(
		"%s/%s", col_json_text(meta, "namespace"), col_json_text(meta, "name"));
}

static const json_t *find(
	const struct col_k8s_world *w, enum col_k8s_kind kind, const char *ns, const char *name)
{
	if (w->objects[kind] == NULL || name[0] == '\0') {
		return NULL;
	}
	OPS_CLEANUP(ops_freep) char *key = ops_xasprintf("%s/%s", ns, name);
	return ops_map_gets(w->objects[kind], key);
}

static void set(struct ops_labels_builder *b, const char *label, const json_t *value)
{
	char buf[32];
	ops_labels_builder_set(b, label, col_json_scalar(value, buf));
}

/* ---- metadata ---- */

static void add_map(
	struct ops_labels_builder *b, const char *kind, const char *what, const json_t *object)
{
	json_t *o = (json_t *)(uintptr_t)object; /* only read */
	OPS_CLEANUP(ops_freep) char *plain = ops_xasprintf(META "%s_%s_", kind, what);
	OPS_CLEANUP(ops_freep) char *present = ops_xasprintf(META "%s_%spresent_", kind, what);
	for (void *at = json_object_iter(o); at != NULL; at = json_object_iter_next(o, at)) {
		const char *value = json_string_value(json_object_iter_value(at));
		if (value != NULL) {
			col_label_set(b, plain, json_object_iter_key(at), value);
			col_label_set(b, present, json_object_iter_key(at), "true");
		}
	}
}

static void add_metadata(struct ops_labels_builder *b, enum col_k8s_kind kind, const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	OPS_CLEANUP(ops_freep) char *name = ops_xasprintf(META "%s_name", kinds[kind]);
	ops_labels_builder_set(b, name, col_json_text(meta, "name"));
	add_map(b, kinds[kind], "label", json_object_get(meta, "labels"));
	add_map(b, kinds[kind], "annotation", json_object_get(meta, "annotations"));
}

static const char *namespace_of(const json_t *object)
{
	return col_json_text(json_object_get(object, "metadata"), "namespace");
}

static void attach_node(
	struct ops_labels_builder *b, const struct col_k8s_world *w, const char *node_name)
{
	const json_t *node = w->attach_node ? find(w, COL_K8S_NODE, "", node_name) : NULL;
	if (node != NULL) {
		add_metadata(b, COL_K8S_NODE, node);
	}
}

static void attach_namespace(
	struct ops_labels_builder *b, const struct col_k8s_world *w, const json_t *object)
{
	const char *name = namespace_of(object);
	ops_labels_builder_set(b, META "namespace", name);
	const json_t *ns = w->attach_namespace ? find(w, COL_K8S_NAMESPACE, "", name) : NULL;
	if (ns != NULL) {
		const json_t *meta = json_object_get(ns, "metadata");
		add_map(b, "namespace", "label", json_object_get(meta, "labels"));
		add_map(b, "namespace", "annotation", json_object_get(meta, "annotations"));
	}
}

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

static struct ops_labels *built(struct ops_labels_builder *b)
{
	struct ops_labels *ls = ops_labels_builder_build(b);
	ops_labels_builder_done(b);
	return ls;
}

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
	add_metadata(&b, COL_K8S_NODE, node);
	set(&b, META "node_provider_id", col_json_at(node, "spec", "providerID", NULL));
	for (size_t i = json_array_size(addresses); i > 0; i--) { /* the first of a type stays */
		const json_t *a = json_array_get(addresses, i - 1);
		col_label_set(&b, META "node_address_", col_json_text(a, "type"),
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

static const char *pod_ready(const json_t *pod)
{
	const json_t *conditions = col_json_at(pod, "status", "conditions", NULL);
	for (size_t i = 0; i < json_array_size(conditions); i++) {
		const json_t *c = json_array_get(conditions, i);
		if (strcmp(col_json_text(c, "type"), "Ready") == 0) {
			const char *status = col_json_text(c, "status");
			return strcmp(status, "True") == 0    ? "true"
			       : strcmp(status, "False") == 0 ? "false"
							      : "unknown";
		}
	}
	return "unknown";
}

static const json_t *controller_of(const json_t *pod)
{
	const json_t *owners = col_json_at(pod, "metadata", "ownerReferences", NULL);
	for (size_t i = 0; i < json_array_size(owners); i++) {
		const json_t *o = json_array_get(owners, i);
		if (json_is_true(json_object_get(o, "controller"))) {
			return o;
		}
	}
	return NULL;
}

static void pod_labels(struct ops_labels_builder *b, const json_t *pod)
{
	const json_t *owner = controller_of(pod);
	add_metadata(b, COL_K8S_POD, pod);
	ops_labels_builder_set(b, META "pod_ready", pod_ready(pod));
	set(b, META "pod_ip", col_json_at(pod, "status", "podIP", NULL));
	set(b, META "pod_phase", col_json_at(pod, "status", "phase", NULL));
	set(b, META "pod_host_ip", col_json_at(pod, "status", "hostIP", NULL));
	set(b, META "pod_node_name", col_json_at(pod, "spec", "nodeName", NULL));
	set(b, META "pod_uid", col_json_at(pod, "metadata", "uid", NULL));
	set(b, META "pod_controller_kind", json_object_get(owner, "kind"));
	set(b, META "pod_controller_name", json_object_get(owner, "name"));
}

struct container { /* of a pod, with its place in the lists */
	const json_t *spec;
	bool init;
};

static struct container container_at(const json_t *pod, size_t i)
{
	const json_t *plain = col_json_at(pod, "spec", "containers", NULL);
	const json_t *init = col_json_at(pod, "spec", "initContainers", NULL);
	size_t n = json_array_size(plain);
	return i < n ? (struct container){json_array_get(plain, i), false}
		     : (struct container){json_array_get(init, i - n), true};
}

static const json_t *container_id(const json_t *pod, struct container c)
{
	const json_t *all = col_json_at(
		pod, "status", c.init ? "initContainerStatuses" : "containerStatuses", NULL);
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *status = json_array_get(all, i);
		if (strcmp(col_json_text(status, "name"), col_json_text(c.spec, "name")) == 0) {
			return json_object_get(status, "containerID");
		}
	}
	return NULL;
}

static void container_labels(
	struct ops_labels_builder *b, const json_t *pod, struct container c, const json_t *port)
{
	set(b, META "pod_container_name", json_object_get(c.spec, "name"));
	set(b, META "pod_container_id", container_id(pod, c));
	set(b, META "pod_container_image", json_object_get(c.spec, "image"));
	ops_labels_builder_set(b, META "pod_container_init", c.init ? "true" : "false");
	if (port != NULL) {
		set(b, META "pod_container_port_name", json_object_get(port, "name"));
		set(b, META "pod_container_port_number", json_object_get(port, "containerPort"));
		set(b, META "pod_container_port_protocol", json_object_get(port, "protocol"));
	}
}

static const char *pod_ip(const json_t *pod)
{
	return col_json_text(json_object_get(pod, "status"), "podIP");
}

static int64_t port_number(const json_t *port, const char *key)
{
	return json_integer_value(json_object_get(port, key));
}

static void add_container(const json_t *pod, struct container c, const struct ops_labels *common,
	struct col_group *to)
{
	const json_t *ports = json_object_get(c.spec, "ports");
	size_t n = json_array_size(ports);
	for (size_t i = 0; i < n || (n == 0 && i == 0); i++) {
		const json_t *port = json_array_get(ports, i);
		struct ops_labels_builder b;
		ops_labels_builder_from(&b, common);
		container_labels(&b, pod, c, port);
		if (port != NULL) {
			col_sd_address(&b, pod_ip(pod), port_number(port, "containerPort"));
		} else {
			ops_labels_builder_set(&b, "__address__", pod_ip(pod));
		}
		col_group_add(to, &b);
	}
}

static void pod_group(const struct col_k8s_world *w, const json_t *pod, struct col_group *to)
{
	struct ops_labels_builder b;
	if (pod_ip(pod)[0] == '\0') {
		return;
	}
	ops_labels_builder_init(&b);
	attach_namespace(&b, w, pod);
	pod_labels(&b, pod);
	attach_node(&b, w, col_json_text(json_object_get(pod, "spec"), "nodeName"));
	struct ops_labels *common = built(&b);
	for (size_t i = 0; container_at(pod, i).spec != NULL; i++) {
		add_container(pod, container_at(pod, i), common, to);
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
	attach_namespace(&b, w, service);
	add_metadata(&b, COL_K8S_SERVICE, service);
	ops_labels_builder_set(&b, META "service_type", type);
	if (strcmp(type, "ExternalName") == 0) {
		set(&b, META "service_external_name", json_object_get(spec, "externalName"));
	} else {
		set(&b, META "service_cluster_ip", json_object_get(spec, "clusterIP"));
	}
	if (strcmp(type, "LoadBalancer") == 0) {
		set(&b, META "service_loadbalancer_ip", json_object_get(spec, "loadBalancerIP"));
	}
	struct ops_labels *common = built(&b);
	OPS_CLEANUP(ops_freep)
	char *host = ops_xasprintf("%s.%s.svc",
		col_json_text(json_object_get(service, "metadata"), "name"), namespace_of(service));
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		ops_labels_builder_from(&b, common);
		set(&b, META "service_port_name", json_object_get(port, "name"));
		set(&b, META "service_port_number", json_object_get(port, "port"));
		set(&b, META "service_port_protocol", json_object_get(port, "protocol"));
		col_sd_address(&b, host, port_number(port, "port"));
		col_group_add(to, &b);
	}
	ops_labels_unref(common);
}

static void add_service(struct ops_labels_builder *b, const struct col_k8s_world *w, const char *ns,
	const char *name)
{
	const json_t *service = find(w, COL_K8S_SERVICE, ns, name);
	if (service != NULL) {
		add_metadata(b, COL_K8S_SERVICE, service);
	}
}

/* ---- endpoints and endpoint slices ---- */

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

static const json_t *referred_pod(const struct endpoints *e, const json_t *ref)
{
	const char *ns = col_json_text(ref, "namespace");
	if (strcmp(col_json_text(ref, "kind"), "Pod") != 0) {
		return NULL;
	}
	return find(e->w, COL_K8S_POD, ns[0] != '\0' ? ns : e->ns, col_json_text(ref, "name"));
}

/* The container whose port this is, by number. */
static void matching_container(struct ops_labels_builder *b, const json_t *pod, int64_t number)
{
	for (size_t i = 0; container_at(pod, i).spec != NULL; i++) {
		struct container c = container_at(pod, i);
		const json_t *ports = json_object_get(c.spec, "ports");
		for (size_t k = 0; k < json_array_size(ports); k++) {
			const json_t *port = json_array_get(ports, k);
			if (port_number(port, "containerPort") == number) {
				container_labels(b, pod, c, port);
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
	attach_node(own, e->w, node);
	if (pod != NULL) {
		pod_labels(own, pod);
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
	for (size_t i = 0; container_at(pod, i).spec != NULL; i++) {
		struct container c = container_at(pod, i);
		const json_t *ports = json_object_get(c.spec, "ports");
		for (size_t k = 0; k < json_array_size(ports); k++) {
			const json_t *port = json_array_get(ports, k);
			int64_t number = port_number(port, "containerPort");
			if (is_seen(e, pod, number, e->nseen)) {
				continue;
			}
			struct ops_labels_builder b;
			ops_labels_builder_init(&b);
			pod_labels(&b, pod);
			container_labels(&b, pod, c, port);
			col_sd_address(&b, pod_ip(pod), number);
			add_target(e->to, &b, e->common);
			ops_labels_builder_done(&b);
		}
	}
}

static void finish_endpoints(struct endpoints *e)
{
	for (size_t i = 0; i < e->nseen; i++) {
		const json_t *pod = e->seen[i].pod;
		if (!is_seen(e, pod, -1, i) && pod_ip(pod)[0] != '\0') {
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
		set(&b, META "endpoint_port_name", json_object_get(port, "name"));
		set(&b, META "endpoint_port_protocol", json_object_get(port, "protocol"));
		ops_labels_builder_set(&b, META "endpoint_ready", ready);
		set(&b, META "endpoint_address_target_kind", json_object_get(ref, "kind"));
		set(&b, META "endpoint_address_target_name", json_object_get(ref, "name"));
		set(&b, META "endpoint_node_name", json_object_get(a, "nodeName"));
		set(&b, META "endpoint_hostname", json_object_get(a, "hostname"));
		col_sd_address(&b, col_json_text(a, "ip"), port_number(port, "port"));
		add_endpoint(e, &b, ref, col_json_text(a, "nodeName"), port_number(port, "port"));
	}
}

static void endpoints_group(
	const struct col_k8s_world *w, const json_t *object, struct col_group *to)
{
	const json_t *subsets = json_object_get(object, "subsets");
	const char *ns = namespace_of(object);
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	attach_namespace(&b, w, object);
	add_metadata(&b, COL_K8S_ENDPOINTS, object);
	add_service(&b, w, ns, col_json_text(json_object_get(object, "metadata"), "name"));
	struct ops_labels *common = built(&b);
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

#define SLICE META "endpointslice_"

static void slice_endpoint_labels(
	struct ops_labels_builder *b, const json_t *endpoint, const json_t *port)
{
	const json_t *conditions = json_object_get(endpoint, "conditions");
	const json_t *ref = json_object_get(endpoint, "targetRef");
	set(b, SLICE "port", json_object_get(port, "port"));
	set(b, SLICE "port_name", json_object_get(port, "name"));
	set(b, SLICE "port_protocol", json_object_get(port, "protocol"));
	set(b, SLICE "port_app_protocol", json_object_get(port, "appProtocol"));
	set(b, SLICE "endpoint_conditions_ready", json_object_get(conditions, "ready"));
	set(b, SLICE "endpoint_conditions_serving", json_object_get(conditions, "serving"));
	set(b, SLICE "endpoint_conditions_terminating", json_object_get(conditions, "terminating"));
	set(b, SLICE "endpoint_hostname", json_object_get(endpoint, "hostname"));
	set(b, SLICE "endpoint_node_name", json_object_get(endpoint, "nodeName"));
	set(b, SLICE "endpoint_zone", json_object_get(endpoint, "zone"));
	set(b, SLICE "address_target_kind", json_object_get(ref, "kind"));
	set(b, SLICE "address_target_name", json_object_get(ref, "name"));
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
			col_sd_address(&b, ip != NULL ? ip : "", port_number(port, "port"));
			add_endpoint(e, &b, json_object_get(endpoint, "targetRef"),
				col_json_text(endpoint, "nodeName"), port_number(port, "port"));
		}
	}
}

static void endpointslice_group(
	const struct col_k8s_world *w, const json_t *object, struct col_group *to)
{
	const json_t *list = json_object_get(object, "endpoints");
	const json_t *labels = col_json_at(object, "metadata", "labels", NULL);
	const char *ns = namespace_of(object);
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	attach_namespace(&b, w, object);
	add_metadata(&b, COL_K8S_ENDPOINTSLICE, object);
	set(&b, SLICE "address_type", json_object_get(object, "addressType"));
	add_service(&b, w, ns, col_json_text(labels, "kubernetes.io/service-name"));
	struct ops_labels *common = built(&b);
	struct endpoints e = {.w = w, .ns = ns, .common = common, .to = to};
	for (size_t i = 0; i < json_array_size(list); i++) {
		add_slice_endpoint(&e, json_array_get(list, i), json_object_get(object, "ports"));
	}
	finish_endpoints(&e);
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
	attach_namespace(&b, w, ingress);
	add_metadata(&b, COL_K8S_INGRESS, ingress);
	set(&b, META "ingress_class_name", col_json_at(ingress, "spec", "ingressClassName", NULL));
	struct ops_labels *common = built(&b);
	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *rule = json_array_get(rules, i);
		const json_t *paths = col_json_at(rule, "http", "paths", NULL);
		const char *host = col_json_text(rule, "host");
		size_t n = json_array_size(paths);
		for (size_t k = 0; k < n || (n == 0 && k == 0); k++) {
			const char *path = col_json_text(json_array_get(paths, k), "path");
			ops_labels_builder_from(&b, common);
			ops_labels_builder_set(&b, "__address__", host);
			ops_labels_builder_set(&b, META "ingress_scheme",
				has_tls(ingress, host) ? "https" : "http");
			ops_labels_builder_set(&b, META "ingress_host", host);
			ops_labels_builder_set(
				&b, META "ingress_path", path[0] != '\0' ? path : "/");
			col_group_add(to, &b);
		}
	}
	ops_labels_unref(common);
}

struct col_group *col_k8s_group(const struct col_k8s_world *w, enum col_k8s_kind role,
	const char *key, const json_t *object)
{
	static void (*const builders[COL_K8S_KINDS])(const struct col_k8s_world *, const json_t *,
		struct col_group *) = {node_group, pod_group, service_group, endpoints_group,
		endpointslice_group, ingress_group, NULL};
	OPS_CLEANUP(ops_freep) char *source = ops_xasprintf("%s/%s", kinds[role], key);
	struct col_group *g = col_group_new(source);
	if (builders[role] != NULL) {
		builders[role](w, object, g);
	}
	return g;
}
