/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where the Kubernetes API is and how to speak to it. */
#include "common/net/http_options.h"

struct col_k8s_access {
	const char *base; /* https://host:port */
	struct ops_http_options http;
	const char *own_namespace; /* of this pod; NULL outside of a cluster */
};

/*
 * From a kubeconfig file, or from what a pod finds in its environment. ret lies in the arena.
 * Negative errno with err: the file cannot be used, or this is no pod.
 */
int col_k8s_from_kubeconfig(struct ops_arena *a, const char *path, struct col_k8s_access *ret,
	struct ops_error *err) OPS_MUST_CHECK;
int col_k8s_from_pod(
	struct ops_arena *a, struct col_k8s_access *ret, struct ops_error *err) OPS_MUST_CHECK;
