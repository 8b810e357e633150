/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus' http_config, as far as it makes sense for calls that we make. A secret may change in
 * its file at any time, so files are read when a call starts; they are small and local.
 */
#include "services/detector/remote/http_options.h"

#include <errno.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"

#define KEY(name_, kind_, member, fallback_)                                                       \
	DET_HTTP_ROW(name_, kind_, struct det_http_options, member, fallback_)

const struct ops_conf_key det_http_basic_keys[] = {
	KEY("username", OPS_CONF_K_STRING, username, NULL),
	KEY("username_file", OPS_CONF_K_PATH, username_file, NULL),
	KEY("password", OPS_CONF_K_SECRET, password, NULL),
	KEY("password_file", OPS_CONF_K_PATH, password_file, NULL),
	OPS_CONF_END,
};

const struct ops_conf_key det_http_authorization_keys[] = {
	KEY("type", OPS_CONF_K_STRING, type, "Bearer"),
	KEY("credentials", OPS_CONF_K_SECRET, credentials, NULL),
	KEY("credentials_file", OPS_CONF_K_PATH, credentials_file, NULL),
	OPS_CONF_END,
};

const struct ops_conf_key det_http_tls_keys[] = {
	KEY("ca", OPS_CONF_K_STRING, tls.ca, NULL),
	KEY("cert", OPS_CONF_K_STRING, tls.cert, NULL),
	KEY("key", OPS_CONF_K_SECRET, tls.key, NULL),
	KEY("ca_file", OPS_CONF_K_PATH, tls.ca_file, NULL),
	KEY("cert_file", OPS_CONF_K_PATH, tls.cert_file, NULL),
	KEY("key_file", OPS_CONF_K_PATH, tls.key_file, NULL),
	KEY("server_name", OPS_CONF_K_STRING, tls.server_name, NULL),
	KEY("insecure_skip_verify", OPS_CONF_K_BOOL, tls.insecure_skip_verify, "false"),
	KEY("min_version", OPS_CONF_K_STRING, tls_min, NULL),
	KEY("max_version", OPS_CONF_K_STRING, tls_max, NULL),
	OPS_CONF_END,
};

static int tls_version(const struct ops_conf_node *at, const char *text, enum ops_tls_version *ret,
	struct ops_error *err)
{
	static const char *const names[] = {[OPS_TLS_1_0] = "TLS10",
		[OPS_TLS_1_1] = "TLS11",
		[OPS_TLS_1_2] = "TLS12",
		[OPS_TLS_1_3] = "TLS13"};

	for (size_t i = OPS_TLS_1_0; text != NULL && i < OPS_LENGTH(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum ops_tls_version)i;
			return 0;
		}
	return text == NULL ? 0 : ops_conf_error(at, err, "unknown TLS version \"%s\"", text);
}

struct lines {
	struct ops_arena *arena;
	const char **items;
	size_t n, cap;
};

static int add_values(
	struct lines *l, const char *name, const struct ops_conf_node *list, struct ops_error *err)
{
	if (ops_conf_is_null(list))
		return 0;
	if (list->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(list, err, "a list of values is wanted here");
	for (size_t i = 0; i < list->n; i++) {
		const char *value = NULL;
		int rc = ops_conf_string(list->items[i], name, &value, err);
		if (rc != 0)
			return rc;
		OPS_GROW(l->items, l->n, l->cap);
		l->items[l->n++] = ops_arena_printf(l->arena, "%s: %s", name, value);
	}
	return 0;
}

/* http_headers: {NAME: {values: [...], secrets: [...]}}. */
static int add_headers(struct lines *l, const struct ops_conf_node *map, struct ops_error *err)
{
	int rc = 0;

	if (ops_conf_is_null(map))
		return 0;
	if (map->type != OPS_CONF_MAPPING)
		return ops_conf_error(map, err, "http_headers must be a mapping");
	for (size_t i = 0; i < map->n && rc == 0; i++) {
		const char *name = map->keys[i]->text;
		const struct ops_conf_node *one = map->items[i];
		if (one->type != OPS_CONF_MAPPING || ops_conf_get(one, "files") != NULL)
			return ops_conf_error(
				one, err, "header %s must have values or secrets", name);
		rc = add_values(l, name, ops_conf_get(one, "values"), err);
		if (rc == 0)
			rc = add_values(l, name, ops_conf_get(one, "secrets"), err);
	}
	return rc;
}

static int check_credentials(
	const struct ops_conf_node *at, struct det_http_options *o, struct ops_error *err)
{
	bool authorization = o->credentials != NULL || o->credentials_file != NULL;
	bool bearer = o->bearer_token != NULL || o->bearer_token_file != NULL;
	bool basic = o->username != NULL || o->username_file != NULL;

	if (authorization + bearer + basic > 1)
		return ops_conf_error(at, err,
			"at most one of basic_auth, authorization and bearer_token may be given");
	if ((o->password != NULL && o->password_file != NULL) ||
		(o->username != NULL && o->username_file != NULL) ||
		(o->credentials != NULL && o->credentials_file != NULL) ||
		(o->bearer_token != NULL && o->bearer_token_file != NULL))
		return ops_conf_error(at, err, "a secret is given as text and as a file");
	if (authorization && strcasecmp(o->type, "basic") == 0)
		return ops_conf_error(at, err, "authorization type basic is written as basic_auth");
	if (bearer) {
		o->type = "Bearer";
		o->credentials = o->bearer_token;
		o->credentials_file = o->bearer_token_file;
	}
	return 0;
}

int det_http_options_finish(struct ops_arena *a, const struct ops_conf_node *at,
	struct det_http_options *o, struct ops_error *err)
{
	struct lines l = {.arena = a};
	int rc = check_credentials(at, o, err);

	if (rc == 0)
		rc = tls_version(at, o->tls_min, &o->tls.min_version, err);
	if (rc == 0)
		rc = tls_version(at, o->tls_max, &o->tls.max_version, err);
	if (rc == 0)
		rc = add_headers(&l, o->headers, err);
	if (rc == 0 && l.n > 0) {
		o->header_lines = ops_arena_dup(a, l.items, l.n * sizeof(l.items[0]));
		o->nheader_lines = l.n;
	}
	free(l.items);
	return rc;
}

struct secrets {
	char *username, *password, *credentials, *authorization;
};

static void secrets_done(struct secrets *s)
{
	free(s->username);
	free(s->password);
	free(s->credentials);
	free(s->authorization);
}

static int secret(const char *text, const char *path, char **ret)
{
	if (path != NULL)
		return ops_file_read_secret(path, ret);
	*ret = ops_xstrdup(text);
	return 0;
}

static int read_secrets(const struct det_http_options *o, struct secrets *s)
{
	int rc = secret(o->username, o->username_file, &s->username);

	if (rc == 0)
		rc = secret(o->password, o->password_file, &s->password);
	if (rc == 0)
		rc = secret(o->credentials, o->credentials_file, &s->credentials);
	if (rc == 0 && s->credentials != NULL)
		s->authorization = ops_xasprintf("Authorization: %s %s", o->type, s->credentials);
	return rc;
}

int det_http_start(struct ops_http_client *client, const struct det_http_options *o,
	struct ops_http_request *req, const struct det_http_done *done,
	struct ops_http_call **ret_call)
{
	OPS_CLEANUP(secrets_done) struct secrets s = {NULL, NULL, NULL, NULL};
	OPS_CLEANUP(ops_freep)
	const char **lines = ops_xcalloc(req->nheaders + o->nheader_lines + 1, sizeof(*lines));
	size_t n = 0;
	int rc = read_secrets(o, &s);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < req->nheaders; i++)
		lines[n++] = req->headers[i];
	for (size_t i = 0; i < o->nheader_lines; i++)
		lines[n++] = o->header_lines[i];
	if (s.authorization != NULL)
		lines[n++] = s.authorization;
	req->headers = lines;
	req->nheaders = n;
	req->basic_user = s.username;
	req->basic_password = s.password;
	req->proxy_url = o->proxy_url;
	req->no_redirects = !o->follow_redirects;
	req->tls = o->tls;
	rc = ops_http_call_start(client, req, done->fn, done->arg, ret_call);
	req->headers = NULL; /* copied by then */
	req->nheaders = 0;
	req->basic_user = req->basic_password = NULL;
	return rc;
}

char *det_http_redacted(const char *url)
{
	const char *host = strstr(url, "://");
	size_t scheme = host != NULL ? (size_t)(host - url) + 3 : 0;
	size_t end = scheme + strcspn(url + scheme, "?#");
	size_t authority = strcspn(url + scheme, "/?#");
	size_t user = 0;

	for (size_t i = 0; i < authority; i++)
		if (url[scheme + i] == '@')
			user = i + 1;
	return ops_xasprintf(
		"%.*s%.*s", (int)scheme, url, (int)(end - scheme - user), url + scheme + user);
}
