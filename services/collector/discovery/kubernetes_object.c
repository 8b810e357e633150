/* SPDX-License-Identifier: Apache-2.0 */
/* What targets of several roles have in common: an object's own labels, and those of a pod. */
#include "services/collector/discovery/kubernetes_object.h"

#include <string.h>

#include "services/collector/discovery/sd_classes.h"

const char *const col_k8s_kinds[COL_K8S_KINDS] = {
	"node", "pod", "service", "endpoints", "endpointslice", "ingress", "namespace"};

char *col_k8s_key(const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	return ops_xasprintf(
		"%s/%s", col_json_text(meta, "namespace"), col_json_text(meta, "name"));
}

const json_t *col_k8s_find(
	const struct col_k8s_world *w, enum col_k8s_kind kind, const char *ns, const char *name)
{
	if (w->objects[kind] == NULL || name[0] == '\0') {
		return NULL;
	}
	OPS_CLEANUP(ops_freep) char *key = ops_xasprintf("%s/%s", ns, name);
	return ops_map_gets(w->objects[kind], key);
}

void col_k8s_set(struct ops_labels_builder *b, const char *label, const json_t *value)
{
	char buf[32];
	ops_labels_builder_set(b, label, col_json_scalar(value, buf));
}

static void add_map(
	struct ops_labels_builder *b, const char *kind, const char *what, const json_t *object)
{
	json_t *o = (json_t *)(uintptr_t)object; /* only read */
	OPS_CLEANUP(ops_freep) char *plain = ops_xasprintf(COL_K8S_META "%s_%s_", kind, what);
	OPS_CLEANUP(ops_freep)
	char *present = ops_xasprintf(COL_K8S_META "%s_%spresent_", kind, what);
	for (void *at = json_object_iter(o); at != NULL; at = json_object_iter_next(o, at)) {
		const char *value = json_string_value(json_object_iter_value(at));
		if (value != NULL) {
			col_label_set(b, plain, json_object_iter_key(at), value);
			col_label_set(b, present, json_object_iter_key(at), "true");
		}
	}
}

void col_k8s_metadata(struct ops_labels_builder *b, enum col_k8s_kind kind, const json_t *object)
{
	const json_t *meta = json_object_get(object, "metadata");
	OPS_CLEANUP(ops_freep)
	char *name = ops_xasprintf(COL_K8S_META "%s_name", col_k8s_kinds[kind]);
	ops_labels_builder_set(b, name, col_json_text(meta, "name"));
	add_map(b, col_k8s_kinds[kind], "label", json_object_get(meta, "labels"));
	add_map(b, col_k8s_kinds[kind], "annotation", json_object_get(meta, "annotations"));
}

const char *col_k8s_namespace(const json_t *object)
{
	return col_json_text(json_object_get(object, "metadata"), "namespace");
}

void col_k8s_attach_node(
	struct ops_labels_builder *b, const struct col_k8s_world *w, const char *node_name)
{
	const json_t *node = w->attach_node ? col_k8s_find(w, COL_K8S_NODE, "", node_name) : NULL;
	if (node != NULL) {
		col_k8s_metadata(b, COL_K8S_NODE, node);
	}
}

void col_k8s_attach_namespace(
	struct ops_labels_builder *b, const struct col_k8s_world *w, const json_t *object)
{
	const char *name = col_k8s_namespace(object);
	ops_labels_builder_set(b, COL_K8S_META "namespace", name);
	const json_t *ns =
		w->attach_namespace ? col_k8s_find(w, COL_K8S_NAMESPACE, "", name) : NULL;
	if (ns != NULL) {
		const json_t *meta = json_object_get(ns, "metadata");
		add_map(b, "namespace", "label", json_object_get(meta, "labels"));
		add_map(b, "namespace", "annotation", json_object_get(meta, "annotations"));
	}
}

struct ops_labels *col_k8s_built(struct ops_labels_builder *b)
{
	struct ops_labels *ls = ops_labels_builder_build(b);
	ops_labels_builder_done(b);
	return ls;
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

void col_k8s_pod_labels(struct ops_labels_builder *b, const json_t *pod)
{
	const json_t *owner = controller_of(pod);
	col_k8s_metadata(b, COL_K8S_POD, pod);
	ops_labels_builder_set(b, COL_K8S_META "pod_ready", pod_ready(pod));
	col_k8s_set(b, COL_K8S_META "pod_ip", col_json_at(pod, "status", "podIP", NULL));
	col_k8s_set(b, COL_K8S_META "pod_phase", col_json_at(pod, "status", "phase", NULL));
	col_k8s_set(b, COL_K8S_META "pod_host_ip", col_json_at(pod, "status", "hostIP", NULL));
	col_k8s_set(b, COL_K8S_META "pod_node_name", col_json_at(pod, "spec", "nodeName", NULL));
	col_k8s_set(b, COL_K8S_META "pod_uid", col_json_at(pod, "metadata", "uid", NULL));
	col_k8s_set(b, COL_K8S_META "pod_controller_kind", json_object_get(owner, "kind"));
	col_k8s_set(b, COL_K8S_META "pod_controller_name", json_object_get(owner, "name"));
}

struct col_k8s_container col_k8s_container_at(const json_t *pod, size_t i)
{
	const json_t *plain = col_json_at(pod, "spec", "containers", NULL);
	const json_t *init = col_json_at(pod, "spec", "initContainers", NULL);
	size_t n = json_array_size(plain);
	return i < n ? (struct col_k8s_container){json_array_get(plain, i), false}
		     : (struct col_k8s_container){json_array_get(init, i - n), true};
}

static const json_t *container_id(const json_t *pod, struct col_k8s_container c)
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

void col_k8s_container_labels(struct ops_labels_builder *b, const json_t *pod,
	struct col_k8s_container c, const json_t *port)
{
	col_k8s_set(b, COL_K8S_META "pod_container_name", json_object_get(c.spec, "name"));
	col_k8s_set(b, COL_K8S_META "pod_container_id", container_id(pod, c));
	col_k8s_set(b, COL_K8S_META "pod_container_image", json_object_get(c.spec, "image"));
	ops_labels_builder_set(b, COL_K8S_META "pod_container_init", c.init ? "true" : "false");
	if (port != NULL) {
		col_k8s_set(
			b, COL_K8S_META "pod_container_port_name", json_object_get(port, "name"));
		col_k8s_set(b, COL_K8S_META "pod_container_port_number",
			json_object_get(port, "containerPort"));
		col_k8s_set(b, COL_K8S_META "pod_container_port_protocol",
			json_object_get(port, "protocol"));
	}
}

const char *col_k8s_pod_ip(const json_t *pod)
{
	return col_json_text(json_object_get(pod, "status"), "podIP");
}

int64_t col_k8s_port(const json_t *port, const char *key)
{
	return json_integer_value(json_object_get(port, key));
}
