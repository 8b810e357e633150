/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Of a kubeconfig the current context is used: its cluster's server and authority, its user's
 * token, certificate or password. Plugins (exec, auth-provider) are refused: a service that runs
 * programs because a file says so is not what one expects of a scraper.
 */
#include "services/collector/discovery/kubernetes_access.h"

#include <errno.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"

#define POD_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

static const char *text_of(const struct ops_conf_node *mapping, const char *key)
{
	const struct ops_conf_node *n = ops_conf_get(mapping, key);
	return n != NULL && n->type == OPS_CONF_SCALAR && n->len > 0 ? n->text : NULL;
}

/* The entry of a list of {name: ..., what: {...}}. */
static const struct ops_conf_node *named(
	const struct ops_conf_node *root, const char *list, const char *what, const char *name)
{
	const struct ops_conf_node *all = ops_conf_get(root, list);
	for (size_t i = 0; all != NULL && all->type == OPS_CONF_SEQUENCE && i < all->n; i++) {
		const struct ops_conf_node *item = all->items[i];
		if (item->type == OPS_CONF_MAPPING && ops_str_eq(text_of(item, "name"), name)) {
			const struct ops_conf_node *found = ops_conf_get(item, what);
			return found != NULL && found->type == OPS_CONF_MAPPING ? found : NULL;
		}
	}
	return NULL;
}

/* NAME is a path beside the file, NAME-data the thing itself in base64. */
static int file_or_data(struct ops_arena *a, const struct ops_conf_node *node, const char *name,
	const char **ret_file, const char **ret_text, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *data_key = ops_xasprintf("%s-data", name);
	const char *data = text_of(node, data_key), *file = text_of(node, name);
	if (data != NULL) {
		OPS_CLEANUP(ops_freep) void *raw = NULL;
		size_t len = 0;
		if (ops_base64_decode(data, strlen(data), &raw, &len) != 0) {
			return ops_conf_error(
				ops_conf_get(node, data_key), err, "%s is not base64", data_key);
		}
		*ret_text = ops_arena_strndup(a, raw, len);
	} else if (file != NULL) {
		OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(node->file);
		OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, file);
		*ret_file = ops_arena_strdup(a, path);
	}
	return 0;
}

static int load_user(struct ops_arena *a, const struct ops_conf_node *user,
	struct ops_http_options *http, struct ops_error *err)
{
	struct ops_authorization_options *z = &http->authorization;
	if (ops_conf_get(user, "exec") != NULL || ops_conf_get(user, "auth-provider") != NULL) {
		return ops_conf_error(user, err,
			"credentials by a program (exec, auth-provider) are not supported");
	}
	z->credentials = text_of(user, "token");
	z->credentials_file = text_of(user, "tokenFile");
	if (z->credentials_file != NULL) {
		z->credentials = NULL;
	}
	http->basic.username = text_of(user, "username");
	http->basic.password = text_of(user, "password");
	http->has_basic = http->basic.username != NULL;
	int r = file_or_data(
		a, user, "client-certificate", &http->tls.cert_file, &http->tls.cert, err);
	return r != 0 ? r
		      : file_or_data(
				a, user, "client-key", &http->tls.key_file, &http->tls.key, err);
}

static int load_cluster(struct ops_arena *a, const struct ops_conf_node *cluster,
	struct col_k8s_access *ret, struct ops_error *err)
{
	struct ops_tls_client *tls = &ret->http.tls;
	ret->base = text_of(cluster, "server");
	if (ret->base == NULL) {
		return ops_conf_error(cluster, err, "the cluster has no server");
	}
	tls->server_name = text_of(cluster, "tls-server-name");
	tls->insecure_skip_verify =
		ops_str_eq(text_of(cluster, "insecure-skip-tls-verify"), "true");
	ret->http.proxy.url = text_of(cluster, "proxy-url");
	return file_or_data(a, cluster, "certificate-authority", &tls->ca_file, &tls->ca, err);
}

int col_k8s_from_kubeconfig(
	struct ops_arena *a, const char *path, struct col_k8s_access *ret, struct ops_error *err)
{
	struct ops_conf_node *root = NULL;
	int r = ops_conf_load_file(a, path, NULL, &root, err);
	if (r != 0) {
		return r;
	}
	*ret = (struct col_k8s_access){.http = {.follow_redirects = true}};
	ret->http.authorization.type = "Bearer";
	const char *current =
		root->type == OPS_CONF_MAPPING ? text_of(root, "current-context") : NULL;
	const struct ops_conf_node *context =
		current != NULL ? named(root, "contexts", "context", current) : NULL;
	if (context == NULL) {
		return ops_conf_error(root, err, "the current context is not there");
	}
	const struct ops_conf_node *cluster =
		named(root, "clusters", "cluster", text_of(context, "cluster"));
	const struct ops_conf_node *user = named(root, "users", "user", text_of(context, "user"));
	if (cluster == NULL) {
		return ops_conf_error(context, err, "the context's cluster is not there");
	}
	ret->own_namespace = text_of(context, "namespace");
	r = load_cluster(a, cluster, ret, err);
	return r != 0 || user == NULL ? r : load_user(a, user, &ret->http, err);
}

int col_k8s_from_pod(struct ops_arena *a, struct col_k8s_access *ret, struct ops_error *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	OPS_CLEANUP(ops_freep) char *ns = NULL;
	if (host == NULL || port == NULL) {
		return ops_error_set(err, -ENOENT,
			"this is no pod of a cluster: KUBERNETES_SERVICE_HOST is not set (set "
			"api_server or kubeconfig_file)");
	}
	bool six = strchr(host, ':') != NULL;
	*ret = (struct col_k8s_access){.http = {.follow_redirects = true}};
	ret->base = ops_arena_printf(
		a, "https://%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
	ret->http.authorization.type = "Bearer";
	ret->http.authorization.credentials_file = POD_DIR "/token";
	ret->http.tls.ca_file = POD_DIR "/ca.crt";
	if (ops_file_read_secret(POD_DIR "/namespace", &ns) == 0) {
		ret->own_namespace = ops_arena_strdup(a, ns);
	}
	return 0;
}
