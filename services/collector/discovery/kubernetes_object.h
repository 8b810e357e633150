/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Parts of Kubernetes objects as labels, for the roles' builders. Pure functions. */
#include "services/collector/discovery/kubernetes_labels.h"

#define COL_K8S_META "__meta_kubernetes_"

extern const char *const col_k8s_kinds[COL_K8S_KINDS];

/* NULL: not known, or its kind is not watched. */
const json_t *col_k8s_find(
	const struct col_k8s_world *w, enum col_k8s_kind kind, const char *ns, const char *name);
const char *col_k8s_namespace(const json_t *object); /* "" when it has none */

/* Labels; a value that is not there gives none. */
void col_k8s_set(struct ops_labels_builder *b, const char *label, const json_t *value);
void col_k8s_metadata(struct ops_labels_builder *b, enum col_k8s_kind kind, const json_t *object);
/* Where the settings ask for it. */
void col_k8s_attach_node(
	struct ops_labels_builder *b, const struct col_k8s_world *w, const char *node_name);
void col_k8s_attach_namespace(
	struct ops_labels_builder *b, const struct col_k8s_world *w, const json_t *object);
struct ops_labels *col_k8s_built(struct ops_labels_builder *b); /* b is done */

/* ---- pods ---- */

struct col_k8s_container {
	const json_t *spec;
	bool init;
};
/* Plain ones first; without spec behind the last. */
struct col_k8s_container col_k8s_container_at(const json_t *pod, size_t i);
/* port of the container, or NULL. */
void col_k8s_container_labels(struct ops_labels_builder *b, const json_t *pod,
	struct col_k8s_container c, const json_t *port);
void col_k8s_pod_labels(struct ops_labels_builder *b, const json_t *pod);
const char *col_k8s_pod_ip(const json_t *pod); /* "" when it has none yet */
int64_t col_k8s_port(const json_t *port, const char *key);

/* ---- roles of their own file ---- */

void col_k8s_endpoints(const struct col_k8s_world *w, const json_t *object, struct col_group *to);
void col_k8s_endpointslice(
	const struct col_k8s_world *w, const json_t *object, struct col_group *to);
