/* SPDX-License-Identifier: Apache-2.0 */
/*
 * consul_sd_configs: the instances of services in Consul's catalogue. Every look is a blocking
 * query: the agent answers when its index has moved past the one that the answer before carried, or
 * after WAIT_S. One query watches the list of services (unless all wanted ones are named and no tag
 * is asked for), one more each service; a service is a group. An index that goes backwards means
 * that the agent began anew: the next query starts from nothing, as Consul's documentation asks.
 * Between two queries of one thing refresh_interval passes, which bounds what a busy catalogue can
 * cost.
 *
 * The datacenter, a label of every target, is the configured one or else the agent's own.
 */
#include "services/collector/discovery/sd_consul.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/collector/discovery/sd_classes.h"

enum {
	WAIT_S = 120,
	TIMEOUT_MS = 150000, /* the agent adds up to a sixteenth to the wait */
	RETRY_MS = 1000,
	RETRY_MAX_MS = 60000,
	TOKEN_WAIT_MS = 100
};

struct settings {
	const char *server, *path_prefix, *token, *datacenter, *namespace, *partition;
	const char *tag_separator, *scheme, *username, *password, *filter, *health_filter;
	const struct ops_conf_node *node_meta;
	bool allow_stale;
	int64_t refresh_ms;
	struct ops_conf_strings services, tags;
	struct ops_http_options http;
	const char *base;   /* of URLs */
	const char *common; /* of all queries */
};

static const struct ops_conf_key keys[] = {
	COL_SD_KEY(settings, "server", OPS_CONF_K_STRING, server, 0, "localhost:8500"),
	COL_SD_KEY(settings, "path_prefix", OPS_CONF_K_STRING, path_prefix, 0, ""),
	COL_SD_KEY(settings, "token", OPS_CONF_K_SECRET, token, 0, NULL),
	COL_SD_KEY(settings, "datacenter", OPS_CONF_K_STRING, datacenter, 0, NULL),
	COL_SD_KEY(settings, "namespace", OPS_CONF_K_STRING, namespace, 0, NULL),
	COL_SD_KEY(settings, "partition", OPS_CONF_K_STRING, partition, 0, NULL),
	COL_SD_KEY(settings, "tag_separator", OPS_CONF_K_STRING, tag_separator, 0, ","),
	COL_SD_KEY(settings, "scheme", OPS_CONF_K_STRING, scheme, 0, "http"),
	COL_SD_KEY(settings, "username", OPS_CONF_K_STRING, username, 0, NULL),
	COL_SD_KEY(settings, "password", OPS_CONF_K_SECRET, password, 0, NULL),
	COL_SD_KEY(settings, "allow_stale", OPS_CONF_K_BOOL, allow_stale, 0, "true"),
	COL_SD_KEY(settings, "refresh_interval", OPS_CONF_K_DURATION, refresh_ms, 0, "30s"),
	COL_SD_KEY(settings, "services", OPS_CONF_K_STRINGS, services, 0, NULL),
	COL_SD_KEY(settings, "tags", OPS_CONF_K_STRINGS, tags, 0, NULL),
	COL_SD_KEY(settings, "node_meta", OPS_CONF_K_NODE, node_meta, 0, NULL),
	COL_SD_KEY(settings, "filter", OPS_CONF_K_STRING, filter, 0, NULL),
	COL_SD_KEY(settings, "health_filter", OPS_CONF_K_STRING, health_filter, 0, NULL),
	OPS_HTTP_OPTIONS_ROWS(struct settings, http),
	OPS_CONF_END,
};

/* ---- settings ---- */

static bool given(const char *s)
{
	return s != NULL && s[0] != '\0';
}

static void add_parameter(struct ops_strbuf *b, const char *name, const char *value)
{
	if (given(value)) {
		ops_strbuf_printf(b, "&%s=", name);
		ops_strbuf_add_url(b, value, strlen(value));
	}
}

static int add_node_meta(
	struct ops_strbuf *b, const struct ops_conf_node *node, struct ops_error *err)
{
	if (ops_conf_is_null(node)) {
		return 0;
	}
	if (node->type != OPS_CONF_MAPPING) {
		return ops_conf_error(node, err, "node_meta must be a mapping");
	}
	for (size_t i = 0; i < node->n; i++) {
		const char *value = NULL;
		int r = ops_conf_string(node->items[i], node->keys[i]->text, &value, err);
		if (r != 0) {
			return r;
		}
		OPS_CLEANUP(ops_freep)
		char *pair = ops_xasprintf("%s:%s", node->keys[i]->text, value);
		add_parameter(b, "node-meta", pair);
	}
	return 0;
}

static int make_queries(struct ops_arena *a, struct settings *s, struct ops_error *err)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf b = OPS_STRBUF_INIT;
	const char *prefix = s->path_prefix;
	prefix += prefix[0] == '/';
	s->base = ops_arena_printf(
		a, "%s://%s%s%s/v1/", s->scheme, s->server, prefix[0] != '\0' ? "/" : "", prefix);
	add_parameter(&b, "dc", s->datacenter);
	add_parameter(&b, "ns", s->namespace);
	add_parameter(&b, "partition", s->partition);
	if (s->allow_stale) {
		ops_strbuf_adds(&b, "&stale=");
	}
	int r = add_node_meta(&b, s->node_meta, err);
	s->common = ops_arena_strdup(a, ops_strbuf_text(&b));
	return r;
}

static int check(const struct ops_conf_node *node, const struct settings *s, struct ops_error *err)
{
	if (!given(s->server) || strpbrk(s->server, "/ ?#") != NULL) {
		return ops_conf_error(node, err, "server must be HOST:PORT of a Consul agent");
	}
	if (!ops_str_eq(s->scheme, "http") && !ops_str_eq(s->scheme, "https")) {
		return ops_conf_error(ops_conf_get(node, "scheme"), err,
			"scheme \"%s\" is not http or https", s->scheme);
	}
	int r = col_sd_check_refresh(node, s->refresh_ms, err);
	if (r != 0) {
		return r;
	}
	if (s->http.has_basic && (s->username != NULL || s->password != NULL)) {
		return ops_conf_error(
			node, err, "username and password exclude basic_auth: they say the same");
	}
	bool others = s->http.has_oauth2 || ops_conf_get(node, "authorization") != NULL;
	if (given(s->token) && others) {
		return ops_conf_error(node, err, "at most one of token, authorization and oauth2");
	}
	return 0;
}

static int finish(struct ops_arena *a, const struct ops_conf_node *node, void *settings,
	struct ops_error *err)
{
	struct settings *s = settings;
	int r = check(node, s, err);
	return r != 0 ? r : make_queries(a, s, err);
}

/* ---- an answer as targets ---- */

static const char *aggregated_health(const json_t *checks)
{
	static const char *const order[] = {"passing", "warning", "critical", "maintenance"};
	size_t worst = 0;
	for (size_t i = 0; i < json_array_size(checks); i++) {
		const json_t *check = json_array_get(checks, i);
		const char *id = col_json_text(check, "CheckID");
		const char *status = col_json_text(check, "Status");
		bool maintained = strcmp(id, "_node_maintenance") == 0 ||
				  ops_str_starts(id, "_service_maintenance:");
		for (size_t k = 0; k < OPS_LENGTH(order); k++) {
			if (maintained || strcmp(order[k], status) == 0) {
				worst = OPS_MAX(worst, maintained ? OPS_LENGTH(order) - 1 : k);
			}
		}
	}
	return order[worst];
}

static void set_tags(struct ops_labels_builder *b, const json_t *tags, const char *separator)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_adds(&text, separator);
	for (size_t i = 0; i < json_array_size(tags); i++) {
		const char *tag = json_string_value(json_array_get(tags, i));
		ops_strbuf_adds(&text, tag != NULL ? tag : "");
		ops_strbuf_adds(&text, separator);
	}
	if (json_array_size(tags) == 0) { /* an empty list joined is an empty text */
		ops_strbuf_adds(&text, separator);
	}
	ops_labels_builder_set(b, "__meta_consul_tags", ops_strbuf_text(&text));
	ops_strbuf_done(&text);
}

static void add_instance(
	struct col_group *g, const struct col_consul_service *of, const json_t *entry)
{
	const json_t *node = json_object_get(entry, "Node");
	const json_t *service = json_object_get(entry, "Service");
	const char *own = col_json_text(service, "Address");
	const char *host = own[0] != '\0' ? own : col_json_text(node, "Address");
	int64_t port = json_integer_value(json_object_get(service, "Port"));
	struct ops_labels_builder b;
	char number[32];
	ops_labels_builder_init(&b);
	snprintf(number, sizeof(number), "%" PRId64, port);
	col_sd_address(&b, host, port);
	const struct {
		const char *name, *value;
	} rows[] = {
		{"__meta_consul_address", col_json_text(node, "Address")},
		{"__meta_consul_node", col_json_text(node, "Node")},
		{"__meta_consul_namespace", col_json_text(service, "Namespace")},
		{"__meta_consul_partition", col_json_text(service, "Partition")},
		{"__meta_consul_service_address", own},
		{"__meta_consul_service_port", number},
		{"__meta_consul_service_id", col_json_text(service, "ID")},
		{"__meta_consul_health", aggregated_health(json_object_get(entry, "Checks"))},
		{"__meta_consul_service", of->name},
		{"__meta_consul_dc", of->datacenter},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		ops_labels_builder_set(&b, rows[i].name, rows[i].value);
	}
	set_tags(&b, json_object_get(service, "Tags"), of->tag_separator);
	col_sd_labels(&b, "__meta_consul_metadata_", json_object_get(node, "Meta"));
	col_sd_labels(&b, "__meta_consul_service_metadata_", json_object_get(service, "Meta"));
	col_sd_labels(
		&b, "__meta_consul_tagged_address_", json_object_get(node, "TaggedAddresses"));
	col_group_add(g, &b);
}

struct col_group *col_consul_group(const struct col_consul_service *of, const json_t *entries)
{
	struct col_group *g = col_group_new(of->name);
	for (size_t i = 0; i < json_array_size(entries); i++) {
		add_instance(g, of, json_array_get(entries, i));
	}
	return g;
}

/* ---- blocking queries ---- */

enum subject {
	AGENT,
	CATALOGUE,
	SERVICE
};

struct query {
	struct col_sd *sd;
	enum subject subject;
	char *service; /* NULL unless the subject is one */
	uint64_t index;
	int64_t started_ms;
	unsigned failures;
	struct ops_http_call *call;
	struct ops_timer *timer;
	bool keep; /* while a catalogue is taken */
};

struct state {
	struct query *first;	  /* of the agent, then of the catalogue */
	struct ops_map *services; /* name -> struct query */
	char *datacenter;
};

static void ask(void *arg);

static struct query *query_new(struct col_sd *sd, enum subject subject, const char *service)
{
	struct query *q = ops_xcalloc(1, sizeof(*q));
	q->sd = sd;
	q->subject = subject;
	q->service = service != NULL ? ops_xstrdup(service) : NULL;
	q->timer = ops_timer_new(sd->env->loop, ask, q);
	ops_timer_start(q->timer, 0);
	return q;
}

static void query_free(void *arg)
{
	struct query *q = arg;
	if (q == NULL) {
		return;
	}
	struct ops_http_call *call = q->call;
	q->call = NULL;
	if (call != NULL) {
		ops_http_call_cancel(call);
	}
	ops_timer_free(q->timer);
	free(q->service);
	free(q);
}

static bool is_wanted(const struct settings *s, const char *name, const json_t *tags)
{
	bool named = s->services.n == 0;
	for (size_t i = 0; i < s->services.n; i++) {
		named |= strcmp(s->services.items[i], name) == 0;
	}
	for (size_t i = 0; i < s->tags.n; i++) {
		bool tagged = false;
		for (size_t k = 0; k < json_array_size(tags); k++) {
			const char *tag = json_string_value(json_array_get(tags, k));
			tagged |= tag != NULL && strcmp(tag, s->tags.items[i]) == 0;
		}
		named &= tagged;
	}
	return named;
}

static void watch_service(struct col_sd *sd, const char *name)
{
	struct state *st = sd->state;
	struct query *q = ops_map_gets(st->services, name);
	if (q == NULL) {
		q = query_new(sd, SERVICE, name);
		(void)ops_map_puts(st->services, name, q);
	}
	q->keep = true;
}

static void drop_unwanted(struct col_sd *sd)
{
	struct state *st = sd->state;
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(st->services, &at, &e);) {
		struct query *q = e.value;
		if (!q->keep) {
			(void)ops_map_remove(st->services, e.key, e.len);
			col_sd_drop(sd, q->service);
			query_free(q);
			continue;
		}
		q->keep = false;
	}
}

static int take_catalogue(struct col_sd *sd, json_t *services)
{
	if (!json_is_object(services)) {
		return -EBADMSG;
	}
	for (void *at = json_object_iter(services); at != NULL;
		at = json_object_iter_next(services, at)) {
		const char *name = json_object_iter_key(at);
		if (is_wanted(sd->settings, name, json_object_iter_value(at))) {
			watch_service(sd, name);
		}
	}
	drop_unwanted(sd);
	return 0;
}

static int take_service(struct query *q, const json_t *entries)
{
	const struct settings *s = q->sd->settings;
	const struct state *st = q->sd->state;
	const struct col_consul_service of = {.name = q->service,
		.datacenter = st->datacenter,
		.tag_separator = s->tag_separator};
	if (!json_is_array(entries)) {
		return -EBADMSG;
	}
	col_sd_put(q->sd, col_consul_group(&of, entries));
	return 0;
}

/* From now on the catalogue, or only the services that are named. */
static void know_datacenter(struct query *q, const char *name)
{
	struct col_sd *sd = q->sd;
	const struct settings *s = sd->settings;
	struct state *st = sd->state;
	free(st->datacenter);
	st->datacenter = ops_xstrdup(name);
	if (s->services.n == 0 || s->tags.n > 0 || given(s->filter)) {
		q->subject = CATALOGUE;
		ops_timer_start(q->timer, 0);
		return;
	}
	for (size_t i = 0; i < s->services.n; i++) {
		watch_service(sd, s->services.items[i]);
	}
}

static int take_agent(struct query *q, const json_t *self)
{
	const json_t *config = json_object_get(self, "Config");
	const char *name = col_json_text(config, "Datacenter");
	if (name[0] == '\0') {
		return -EBADMSG;
	}
	know_datacenter(q, name);
	return 0;
}

static int take(struct query *q, json_t *reply)
{
	switch (q->subject) {
	case AGENT:
		return take_agent(q, reply);
	case CATALOGUE:
		return take_catalogue(q->sd, reply);
	case SERVICE:
		return take_service(q, reply);
	}
	return -EBADMSG;
}

static void fail(struct query *q, const char *why)
{
	static const char *const subjects[] = {"agent", "catalogue", "service "};
	q->failures++;
	q->index = 0;
	col_sd_failed(q->sd, "%s%.80s: %.150s", subjects[q->subject],
		q->service != NULL ? q->service : "", why);
	ops_timer_start(q->timer, ops_backoff_ms(q->failures - 1, RETRY_MS, RETRY_MAX_MS));
}

static void plan_next(struct query *q, uint64_t index)
{
	const struct settings *s = q->sd->settings;
	int64_t pause = q->started_ms + s->refresh_ms - ops_mono_ms();
	q->index = index < q->index ? 0 : index;
	q->failures = 0;
	ops_timer_start(q->timer, OPS_MAX(pause, (int64_t)0));
}

static void on_good(struct query *q, const struct ops_http_response *res)
{
	OPS_JSON_AUTO *reply = NULL;
	struct ops_error err;
	uint64_t index = 0;
	if (q->subject != AGENT &&
		(ops_parse_u64(res->header, strlen(res->header), &index) != 0 || index == 0)) {
		fail(q, "the answer has no X-Consul-Index");
		return;
	}
	if (q->index != 0 && index == q->index) { /* the wait is over and nothing happened */
		col_sd_ok(q->sd);
		plan_next(q, index);
		return;
	}
	if (ops_json_parse(res->body, res->len, COL_SD_BODY_MAX, &reply, &err) != 0) {
		fail(q, err.message);
		return;
	}
	enum subject subject = q->subject;
	if (take(q, reply) != 0) {
		fail(q, "the answer is not one of Consul's API");
		return;
	}
	col_sd_ok(q->sd);
	if (subject != AGENT) {
		plan_next(q, index);
	}
}

static void on_reply(void *arg, const struct ops_http_response *res)
{
	struct query *q = arg;
	char why[160];
	if (res->outcome == OPS_HTTP_CANCELLED) {
		return;
	}
	q->call = NULL;
	if (res->outcome != OPS_HTTP_DONE) {
		fail(q, res->error);
	} else if (res->code != 200) {
		OPS_CLEANUP(ops_freep) char *body = ops_xstrndup(res->body, OPS_MIN(res->len, 100));
		body[strcspn(body, "\r\n")] = '\0';
		snprintf(why, sizeof(why), "HTTP status %d: %s", res->code, body);
		fail(q, why);
	} else {
		on_good(q, res);
	}
}

static char *make_url(const struct query *q)
{
	const struct settings *s = q->sd->settings;
	struct ops_strbuf url = OPS_STRBUF_INIT;
	ops_strbuf_adds(&url, s->base);
	switch (q->subject) {
	case AGENT:
		ops_strbuf_adds(&url, "agent/self");
		return ops_strbuf_take(&url);
	case CATALOGUE:
		ops_strbuf_adds(&url, "catalog/services");
		break;
	case SERVICE:
		ops_strbuf_adds(&url, "health/service/");
		ops_strbuf_add_url(&url, q->service, strlen(q->service));
		break;
	}
	ops_strbuf_printf(&url, "?index=%" PRIu64 "&wait=%ds%s", q->index, WAIT_S, s->common);
	if (q->subject == CATALOGUE) {
		add_parameter(&url, "filter", s->filter);
		return ops_strbuf_take(&url);
	}
	add_parameter(&url, "filter", s->health_filter);
	for (size_t i = 0; i < s->tags.n; i++) {
		add_parameter(&url, "tag", s->tags.items[i]);
	}
	return ops_strbuf_take(&url);
}

static int start_call(struct query *q, struct ops_error *err)
{
	const struct settings *s = q->sd->settings;
	OPS_CLEANUP(ops_http_hold_done) struct ops_http_hold hold = {.n = 0};
	OPS_CLEANUP(ops_freep) char *url = make_url(q);
	OPS_CLEANUP(ops_freep)
	char *token = ops_xasprintf("X-Consul-Token: %s", given(s->token) ? s->token : "");
	const char *const headers[] = {
		"Accept: application/json", "User-Agent: ops-collector", token};
	struct ops_http_request req = {.url = url,
		.headers = headers,
		.nheaders = OPS_LENGTH(headers) - (given(s->token) ? 0 : 1),
		.timeout_ms = TIMEOUT_MS,
		.max_response_bytes = COL_SD_BODY_MAX,
		.gzip = true,
		.want_header = "X-Consul-Index"};
	int r = col_sd_fill(q->sd, &s->http, &req, &hold, err);
	if (r != 0) {
		return r;
	}
	if (s->username != NULL) {
		req.basic_user = s->username;
		req.basic_password = s->password;
	}
	r = ops_http_call_start(q->sd->env->client, &req, on_reply, q, &q->call);
	return r == 0 ? 0 : ops_error_set(err, r, "could not start: %s", strerror(-r));
}

static void ask(void *arg)
{
	struct query *q = arg;
	const struct settings *s = q->sd->settings;
	struct ops_error err;
	if (q->subject == AGENT && given(s->datacenter)) {
		know_datacenter(q, s->datacenter);
		return;
	}
	q->started_ms = ops_mono_ms();
	int r = start_call(q, &err);
	if (r == OPS_OAUTH2_WAIT) {
		ops_timer_start(q->timer, TOKEN_WAIT_MS);
	} else if (r != 0) {
		fail(q, err.message);
	}
}

/* ---- life ---- */

static void start(struct col_sd *sd)
{
	struct state *st = sd->state;
	st->services = ops_map_new();
	st->first = query_new(sd, AGENT, NULL);
}

static void stop(struct col_sd *sd)
{
	struct state *st = sd->state;
	query_free(st->first);
	ops_map_free(st->services, query_free);
	free(st->datacenter);
}

const struct col_sd_class col_sd_consul = {.name = "consul",
	.keys = keys,
	.settings_bytes = sizeof(struct settings),
	.http_at = offsetof(struct settings, http),
	.finish = finish,
	.state_bytes = sizeof(struct state),
	.start = start,
	.stop = stop};
