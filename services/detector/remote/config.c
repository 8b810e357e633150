/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys and defaults are Prometheus 3's. What has no counterpart here is accepted with a
 * warning, so that the user's file loads; a way to log in that we do not speak is named with what
 * follows from it.
 */
#include "services/detector/remote/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

enum {
	NOTES = 4
};

struct written {
	struct det_remote_target t;
	const char *message;
	const struct ops_conf_node *headers, *relabel;
	const struct ops_conf_node *notes[NOTES];
};

#define ROW(name_, kind_, member, fallback_)                                                       \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct written, member),      \
		.fallback = (fallback_)                                                            \
	}
#define COUNT(name_, member, fallback_, least)                                                     \
	{                                                                                          \
		.name = (name_), .kind = OPS_CONF_K_INT,                                           \
		.offset = offsetof(struct written, member), .fallback = (fallback_),               \
		.min = (least), .max = 10000000                                                    \
	}
#define NOTE(name_, i) ROW(name_, OPS_CONF_K_NODE, notes[i], NULL)

static const struct ops_conf_key queue_keys[] = {
	COUNT("capacity", t.queue.capacity, "10000", 1),
	COUNT("max_shards", t.queue.max_shards, "50", 1),
	COUNT("min_shards", t.queue.min_shards, "1", 1),
	COUNT("max_samples_per_send", t.queue.max_samples_per_send, "2000", 1),
	ROW("batch_send_deadline", OPS_CONF_K_DURATION, t.queue.deadline_ms, "5s"),
	ROW("min_backoff", OPS_CONF_K_DURATION, t.queue.min_backoff_ms, "30ms"),
	ROW("max_backoff", OPS_CONF_K_DURATION, t.queue.max_backoff_ms, "5s"),
	ROW("retry_on_http_429", OPS_CONF_K_BOOL, t.queue.retry_on_429, "false"),
	ROW("sample_age_limit", OPS_CONF_K_DURATION, t.queue.sample_age_limit_ms, "0s"),
	OPS_CONF_END,
};

static const struct ops_conf_key metadata_keys[] = {
	ROW("send", OPS_CONF_K_BOOL, t.metadata.send, "true"),
	ROW("send_interval", OPS_CONF_K_DURATION, t.metadata.interval_ms, "1m"),
	COUNT("max_samples_per_send", t.metadata.max_per_send, "2000", 1),
	OPS_CONF_END,
};

static const struct ops_conf_key keys[] = {
	{.name = "url",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct written, t.url),
		.flags = OPS_CONF_REQUIRED},
	ROW("remote_timeout", OPS_CONF_K_DURATION, t.timeout_ms, "30s"),
	ROW("headers", OPS_CONF_K_NODE, headers, NULL),
	ROW("write_relabel_configs", OPS_CONF_K_NODE, relabel, NULL),
	ROW("name", OPS_CONF_K_STRING, t.name, NULL),
	ROW("protobuf_message", OPS_CONF_K_STRING, message, "prometheus.WriteRequest"),
	ROW("send_exemplars", OPS_CONF_K_BOOL, t.send_exemplars, "false"),
	ROW("send_native_histograms", OPS_CONF_K_BOOL, t.send_histograms, "false"),
	OPS_HTTP_OPTIONS_ROWS(struct written, t.http),
	{.name = "queue_config", .kind = OPS_CONF_K_MAPPING, .offset = 0, .sub = queue_keys},
	{.name = "metadata_config", .kind = OPS_CONF_K_MAPPING, .offset = 0, .sub = metadata_keys},
	NOTE("sigv4", 0),
	NOTE("azuread", 1),
	NOTE("google_iam", 2),
	NOTE("round_robin_dns", 3),
	OPS_CONF_END,
};

static void note_unused(
	const struct ops_conf_node *node, const struct written *w, struct ops_conf_warnings *to)
{
	for (const struct ops_conf_key *k = keys; k->name != NULL; k++) {
		if (k->offset < offsetof(struct written, notes) ||
			ops_conf_get(node, k->name) == NULL)
			continue;
		size_t i = (k->offset - offsetof(struct written, notes)) / sizeof(w->notes[0]);
		ops_conf_warn(to, ops_conf_get(node, k->name),
			i < 3 ? "remote_write does not speak %s: requests go out without it"
			      : "%s is accepted but has no effect",
			k->name);
	}
}

static int load_headers(struct ops_arena *a, const struct ops_conf_node *map,
	struct det_remote_target *t, struct ops_error *err)
{
	static const char *const ours[] = {"authorization", "content-encoding", "content-type",
		"host", "user-agent", "x-prometheus-remote-write-version"};

	if (ops_conf_is_null(map))
		return 0;
	if (map->type != OPS_CONF_MAPPING)
		return ops_conf_error(map, err, "headers must be a mapping of names to texts");
	const char **lines = ops_arena_array(a, const char *, map->n + 1);
	for (size_t i = 0; i < map->n; i++) {
		const char *value = NULL, *name = map->keys[i]->text;
		for (size_t k = 0; k < OPS_LENGTH(ours); k++)
			if (strcasecmp(name, ours[k]) == 0)
				return ops_conf_error(map->keys[i], err,
					"%s is a reserved header, it may not be set here", name);
		int rc = ops_conf_string(map->items[i], name, &value, err);
		if (rc != 0)
			return rc;
		lines[i] = ops_arena_printf(a, "%s: %s", name, value);
	}
	t->headers = lines;
	t->nheaders = map->n;
	return 0;
}

static bool is_file_name(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len <= 64 && s[0] != '.' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		       len;
}

static void name_target(struct ops_arena *a, struct det_remote_target *t)
{
	uint64_t hash = ops_fnv1a64(OPS_FNV1A64_INIT, t->url, strlen(t->url));

	if (t->name == NULL || t->name[0] == '\0')
		t->name = ops_arena_printf(a, "%06llx", (unsigned long long)(hash & 0xffffff));
	hash = ops_fnv1a64(OPS_FNV1A64_INIT, t->name, strlen(t->name));
	t->folder = is_file_name(t->name)
			    ? t->name
			    : ops_arena_printf(a, "+%016llx", (unsigned long long)hash);
}

/* Without user information and query, for logs and metrics. */
static const char *redacted(struct ops_arena *a, const char *url)
{
	const char *host = strstr(url, "://");
	size_t scheme = host != NULL ? (size_t)(host - url) + 3 : 0;
	size_t end = scheme + strcspn(url + scheme, "?#");
	size_t authority = strcspn(url + scheme, "/?#");
	size_t user = 0;

	for (size_t i = 0; i < authority; i++)
		if (url[scheme + i] == '@')
			user = i + 1;
	return ops_arena_printf(
		a, "%.*s%.*s", (int)scheme, url, (int)(end - scheme - user), url + scheme + user);
}

static int check_url(
	const struct ops_conf_node *node, const struct written *w, struct ops_error *err)
{
	if (ops_str_starts(w->t.url, "http://") || ops_str_starts(w->t.url, "https://"))
		return 0;
	return ops_conf_error(
		ops_conf_get(node, "url"), err, "url must begin with http:// or https://");
}

static int check_values(const struct ops_conf_node *node, struct written *w, struct ops_error *err)
{
	struct det_remote_tuning *q = &w->t.queue;

	if (check_url(node, w, err) < 0)
		return -EINVAL;
	if (ops_remote_version_parse(w->message, &w->t.version) < 0) {
		(void)ops_conf_error(ops_conf_get(node, "protobuf_message"), err,
			"unknown protobuf_message \"%s\"", w->message);
		ops_error_hint(err, "prometheus.WriteRequest or io.prometheus.write.v2.Request");
		return -EINVAL;
	}
	if (q->min_shards > q->max_shards)
		return ops_conf_error(node, err, "min_shards is above max_shards");
	if (w->t.timeout_ms <= 0 || q->deadline_ms <= 0 || q->min_backoff_ms <= 0 ||
		q->max_backoff_ms < q->min_backoff_ms || w->t.metadata.interval_ms <= 0)
		return ops_conf_error(node, err,
			"remote_timeout, batch_send_deadline, send_interval and back-offs must be "
			"above 0, and max_backoff not below min_backoff");
	return 0;
}

static int load_target(struct det_remote_config *c, const struct ops_conf_node *node,
	struct ops_conf_warnings *warnings, struct ops_error *err)
{
	struct written w = {.t = {.url = NULL}};
	struct det_remote_target *t = &w.t;

	if (node->type != OPS_CONF_MAPPING)
		return ops_conf_error(node, err, "a destination of remote_write is a mapping");
	int rc = ops_conf_decode(&c->arena, node, keys, &w, warnings, err);
	if (rc == 0)
		rc = check_values(node, &w, err);
	if (rc == 0)
		rc = ops_http_options_finish(&c->arena, node, &t->http, warnings, err);
	if (rc == 0)
		rc = load_headers(&c->arena, w.headers, t, err);
	if (rc != 0)
		return rc;
	name_target(&c->arena, t);
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->targets[i].folder, t->folder) == 0)
			return ops_conf_error(node, err,
				"two destinations of remote_write are named %s", t->name);
	rc = ops_relabel_load(&c->arena, w.relabel, false, &t->relabel, err);
	if (rc != 0)
		return rc;
	t->shown_url = redacted(&c->arena, t->url);
	t->hash = ops_conf_hash(node, c->external != NULL ? c->external->hash : 0);
	note_unused(node, &w, warnings);
	c->targets[c->n++] = *t;
	return 0;
}

static int load_targets(struct det_remote_config *c, const struct ops_conf_node *list,
	struct ops_conf_warnings *warnings, struct ops_error *err)
{
	int rc = 0;

	if (list == NULL || ops_conf_is_null(list))
		return 0;
	if (list->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(list, err, "remote_write must be a list of destinations");
	c->targets = ops_arena_array(&c->arena, struct det_remote_target, list->n + 1);
	for (size_t i = 0; i < list->n && rc == 0; i++)
		rc = load_target(c, list->items[i], warnings, err);
	return rc;
}

static struct det_remote_config *config_new(struct ops_labels *external)
{
	struct det_remote_config *c = ops_xcalloc(1, sizeof(*c));

	c->refs = 1;
	c->external = external != NULL && external->n > 0 ? ops_labels_ref(external) : NULL;
	ops_arena_init(&c->arena);
	return c;
}

int det_remote_config_load(const char *path, struct ops_labels *external,
	struct ops_conf_warnings *warnings, struct det_remote_config **ret, struct ops_error *err)
{
	const struct ops_conf_options opt = {.expand_env = true, .keep_unset = true};
	struct det_remote_config *c = config_new(external);
	struct ops_conf_node *root = NULL;
	int rc = 0;

	if (path != NULL && path[0] != '\0')
		rc = ops_conf_load_file(&c->arena, path, &opt, &root, err);
	if (rc == 0 && root != NULL && root->type == OPS_CONF_MAPPING)
		rc = load_targets(c, ops_conf_get(root, "remote_write"), warnings, err);
	if (rc != 0)
		det_remote_config_unref(c);
	else
		*ret = c;
	return rc;
}

struct det_remote_config *det_remote_config_ref(struct det_remote_config *c)
{
	c->refs++;
	return c;
}

void det_remote_config_unref(struct det_remote_config *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	for (size_t i = 0; i < c->n; i++)
		ops_relabel_done(&c->targets[i].relabel);
	ops_labels_unref(c->external);
	ops_arena_done(&c->arena);
	free(c);
}
