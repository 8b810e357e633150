/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Objects of the Kubernetes API as target groups, with Prometheus' labels. Pure functions. */
#include "common/base/map.h"
#include "services/collector/discovery/sd.h"

enum col_k8s_kind {
	COL_K8S_NODE,
	COL_K8S_POD,
	COL_K8S_SERVICE,
	COL_K8S_ENDPOINTS,
	COL_K8S_ENDPOINTSLICE,
	COL_K8S_INGRESS,
	COL_K8S_NAMESPACE,
	COL_K8S_KINDS
};

struct col_k8s_world {				/* all that is known */
	struct ops_map *objects[COL_K8S_KINDS]; /* "namespace/name" -> json_t, NULL: not watched */
	bool attach_node, attach_namespace;
};

/* "namespace/name", or "/name"; owned. */
char *col_k8s_key(const json_t *object);
/* What there is to scrape about one object, as its role says. Owned, maybe without targets. */
struct col_group *col_k8s_group(const struct col_k8s_world *w, enum col_k8s_kind role,
	const char *key, const json_t *object);
