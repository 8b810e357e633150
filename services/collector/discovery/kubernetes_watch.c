/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol of the API server: GET with limit and continue gives pages and, in the last one, the
 * resourceVersion at which the list is true; GET with watch=1 and that version gives a line of JSON
 * for each change after it. The server ends a watch after timeoutSeconds; it is then asked to go on
 * from the last version heard (bookmarks keep it fresh). 410 (Gone) means that it is too old: list
 * again. What disappeared in between is found by comparing the new list with what was known.
 *
 * managedFields are dropped at once: they are most of an object, and nobody scrapes them.
 */
#include "services/collector/discovery/kubernetes_watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/collector/discovery/kubernetes_labels.h"

enum {
	PAGE = 500,
	LIST_TIMEOUT_MS = 60000,
	WATCH_S = 300,
	WATCH_SLACK_MS = 30000,
	LINE_MAX_BYTES = 8 << 20,
	RETRY_MS = 1000,
	RETRY_MAX_MS = 60000,
	SHORT_WATCH_MS = 1000 /* one that ends sooner is not repeated at once */
};

struct col_k8s_watch {
	struct col_k8s_watch_config cfg;
	struct ops_map *listing; /* keys of the pages so far */
	char *resource_version;	 /* NULL: list first */
	char *next_page;
	struct ops_http_call *call;
	struct ops_timer *timer;
	struct ops_strbuf line;
	bool listed;
	unsigned failures;
	int64_t started_ms;
};

static void go_on(void *arg);

/* ---- objects ---- */

static void put_object(struct ops_map *objects, const char *key, json_t *object)
{
	json_t *meta = json_object_get(object, "metadata");
	(void)json_object_del(meta, "managedFields");
	json_t *before = ops_map_puts(objects, key, json_incref(object));
	json_decref(before);
}

static void set_text(char **to, const char *text)
{
	if (text[0] != '\0') {
		free(*to);
		*to = ops_xstrdup(text);
	}
}

static int apply_event(
	struct ops_map *objects, const json_t *event, char **resource_version, bool *ret_changed)
{
	const char *type = col_json_text(event, "type");
	json_t *object = json_object_get(event, "object");
	const json_t *meta = json_object_get(object, "metadata");
	if (strcmp(type, "ERROR") == 0) {
		return -ESTALE;
	}
	if (!json_is_object(object) || !json_is_object(meta)) {
		return -EBADMSG;
	}
	set_text(resource_version, col_json_text(meta, "resourceVersion"));
	OPS_CLEANUP(ops_freep) char *key = col_k8s_key(object);
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
		put_object(objects, key, object);
		*ret_changed = true;
	} else if (strcmp(type, "DELETED") == 0) {
		json_decref(ops_map_removes(objects, key));
		*ret_changed = true;
	}
	return 0;
}

int col_k8s_apply(struct ops_map *objects, const char *line, size_t len, char **resource_version,
	bool *ret_changed)
{
	OPS_JSON_AUTO *event = NULL;
	struct ops_error err;
	if (ops_json_parse(line, len, LINE_MAX_BYTES, &event, &err) != 0) {
		return -EBADMSG;
	}
	return apply_event(objects, event, resource_version, ret_changed);
}

/* ---- failures ---- */

static void fail(struct col_k8s_watch *w, const char *why)
{
	w->failures++;
	col_sd_failed(w->cfg.sd, "%s: %.160s", w->cfg.path, why);
	ops_timer_start(w->timer, ops_backoff_ms(w->failures - 1, RETRY_MS, RETRY_MAX_MS));
}

static void list_again(struct col_k8s_watch *w)
{
	free(w->resource_version);
	free(w->next_page);
	w->resource_version = w->next_page = NULL;
	ops_map_free(w->listing, NULL);
	w->listing = NULL;
}

/* What the server says in a Status object, or the status code. */
static void fail_status(struct col_k8s_watch *w, const struct ops_http_response *res)
{
	OPS_JSON_AUTO *status = NULL;
	struct ops_error err;
	char why[200];
	snprintf(why, sizeof(why), "HTTP status %d", res->code);
	if (ops_json_parse(res->body, res->len, 1 << 20, &status, &err) == 0 &&
		col_json_text(status, "message")[0] != '\0') {
		snprintf(why, sizeof(why), "HTTP status %d: %.150s", res->code,
			col_json_text(status, "message"));
	}
	list_again(w);
	fail(w, why);
}

/* ---- lists ---- */

/* Items of a list have no kind of their own; what is not an object is no item. */
static void take_items(struct col_k8s_watch *w, const json_t *items)
{
	if (w->listing == NULL) {
		w->listing = ops_map_new();
	}
	for (size_t i = 0; i < json_array_size(items); i++) {
		json_t *object = json_array_get(items, i);
		if (!json_is_object(object)) {
			continue;
		}
		OPS_CLEANUP(ops_freep) char *key = col_k8s_key(object);
		put_object(w->cfg.objects, key, object);
		(void)ops_map_puts(w->listing, key, w);
	}
}

/* Whether the path is about this key: a watch of one namespace owns the keys of that only. */
static bool is_ours(const struct col_k8s_watch *w, const char *key)
{
	const char *at = strstr(w->cfg.path, "/namespaces/");
	if (at == NULL) {
		return true;
	}
	at += strlen("/namespaces/");
	size_t len = strcspn(at, "/");
	return strncmp(at, key, len) == 0 && key[len] == '/';
}

static void drop_missing(struct col_k8s_watch *w)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(w->cfg.objects, &at, &e);) {
		if (is_ours(w, e.key) && ops_map_get(w->listing, e.key, e.len) == NULL) {
			json_decref(ops_map_remove(w->cfg.objects, e.key, e.len));
		}
	}
}

static void take_page(struct col_k8s_watch *w, const json_t *list)
{
	const json_t *meta = json_object_get(list, "metadata");
	const json_t *items = json_object_get(list, "items");
	if (!json_is_array(items) && !json_is_null(items)) {
		list_again(w);
		fail(w, "the answer is not a list of the Kubernetes API");
		return;
	}
	take_items(w, items);
	free(w->next_page);
	w->next_page = NULL;
	set_text(&w->next_page, col_json_text(meta, "continue"));
	if (w->next_page != NULL) {
		go_on(w);
		return;
	}
	drop_missing(w);
	list_again(w);
	w->resource_version = ops_xstrdup(col_json_text(meta, "resourceVersion"));
	w->listed = true;
	w->failures = 0;
	w->cfg.on_change(w->cfg.sd);
	go_on(w);
}

static void on_list(void *arg, const struct ops_http_response *res)
{
	struct col_k8s_watch *w = arg;
	OPS_JSON_AUTO *list = NULL;
	struct ops_error err;
	w->call = NULL;
	if (res->outcome == OPS_HTTP_CANCELLED) {
		return;
	}
	if (res->outcome != OPS_HTTP_DONE) {
		list_again(w);
		fail(w, res->error);
	} else if (res->code != 200) {
		fail_status(w, res);
	} else if (ops_json_parse(res->body, res->len, COL_SD_BODY_MAX, &list, &err) != 0) {
		list_again(w);
		fail(w, err.message);
	} else {
		take_page(w, list);
	}
}

/* ---- watches ---- */

/* False: the watch is over. */
static bool take_line(struct col_k8s_watch *w, const char *line, size_t len, bool *changed)
{
	if (len == 0) {
		return true;
	}
	int r = col_k8s_apply(w->cfg.objects, line, len, &w->resource_version, changed);
	if (r != 0) {
		list_again(w);
	}
	return r == 0;
}

static void on_watch_data(void *arg, const char *data, size_t len)
{
	struct col_k8s_watch *w = arg;
	bool changed = false, fine = true;
	while (len > 0 && fine) {
		const char *end = memchr(data, '\n', len);
		size_t n = end != NULL ? (size_t)(end - data) : len;
		ops_strbuf_add(&w->line, data, n);
		if (end != NULL) {
			fine = take_line(w, ops_strbuf_text(&w->line), w->line.len, &changed);
			ops_strbuf_reset(&w->line);
			n++;
		}
		fine = fine && w->line.len <= LINE_MAX_BYTES;
		data += n;
		len -= n;
	}
	if (changed) {
		w->cfg.on_change(w->cfg.sd);
	}
	if (!fine) {
		struct ops_http_call *call = w->call;
		w->call = NULL;
		list_again(w);
		ops_timer_start(w->timer, RETRY_MS);
		ops_http_call_cancel(call);
	}
}

static void on_watch_end(void *arg, const struct ops_http_response *res)
{
	struct col_k8s_watch *w = arg;
	if (res->outcome == OPS_HTTP_CANCELLED) {
		return; /* who cancelled knows what comes next */
	}
	w->call = NULL;
	if (res->outcome == OPS_HTTP_DONE && res->code == 410) {
		list_again(w);
		ops_timer_start(w->timer, 0);
	} else if (res->outcome == OPS_HTTP_DONE && res->code != 200) {
		fail_status(w, res);
	} else if (res->outcome == OPS_HTTP_DONE || res->outcome == OPS_HTTP_TIMEOUT) {
		bool short_one = ops_mono_ms() - w->started_ms < SHORT_WATCH_MS;
		ops_timer_start(w->timer, short_one ? RETRY_MS : 0);
	} else {
		list_again(w); /* after a failure, the whole picture */
		fail(w, res->error);
	}
}

/* ---- requests ---- */

static char *make_url(const struct col_k8s_watch *w)
{
	struct ops_strbuf url = OPS_STRBUF_INIT;
	ops_strbuf_printf(&url, "%s?", w->cfg.path);
	if (w->resource_version != NULL) {
		ops_strbuf_printf(
			&url, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%d", WATCH_S);
		ops_strbuf_adds(&url, "&resourceVersion=");
		ops_strbuf_add_url(&url, w->resource_version, strlen(w->resource_version));
	} else {
		ops_strbuf_printf(&url, "limit=%d", PAGE);
	}
	if (w->next_page != NULL) {
		ops_strbuf_adds(&url, "&continue=");
		ops_strbuf_add_url(&url, w->next_page, strlen(w->next_page));
	}
	ops_strbuf_adds(&url, w->cfg.selectors);
	return ops_strbuf_take(&url);
}

static void go_on(void *arg)
{
	static const char *const headers[] = {
		"Accept: application/json", "User-Agent: ops-collector"};
	struct col_k8s_watch *w = arg;
	struct col_sd *sd = w->cfg.sd;
	bool watch = w->resource_version != NULL;
	OPS_CLEANUP(ops_http_hold_done) struct ops_http_hold hold = {.n = 0};
	OPS_CLEANUP(ops_freep) char *url = make_url(w);
	struct ops_error err;
	struct ops_http_request req = {.url = url,
		.headers = headers,
		.nheaders = OPS_LENGTH(headers),
		.timeout_ms = watch ? WATCH_S * 1000 + WATCH_SLACK_MS : LIST_TIMEOUT_MS,
		.max_response_bytes = COL_SD_BODY_MAX,
		.gzip = !watch,
		.on_data = watch ? on_watch_data : NULL};
	int r = col_sd_fill(sd, w->cfg.http_of(sd), &req, &hold, &err);
	if (r == OPS_OAUTH2_WAIT) {
		ops_timer_start(w->timer, 100);
		return;
	}
	ops_strbuf_reset(&w->line);
	w->started_ms = ops_mono_ms();
	if (r == 0) {
		r = ops_http_call_start(
			sd->env->client, &req, watch ? on_watch_end : on_list, w, &w->call);
		if (r != 0) {
			(void)ops_error_set(&err, r, "could not start: %s", strerror(-r));
		}
	}
	if (r != 0) {
		w->call = NULL;
		fail(w, err.message);
	}
}

struct col_k8s_watch *col_k8s_watch_new(const struct col_k8s_watch_config *cfg)
{
	struct col_k8s_watch *w = ops_xcalloc(1, sizeof(*w));
	w->cfg = *cfg;
	w->timer = ops_timer_new(cfg->sd->env->loop, go_on, w);
	ops_timer_start(w->timer, 0);
	return w;
}

void col_k8s_watch_free(struct col_k8s_watch *w)
{
	if (w == NULL) {
		return;
	}
	struct ops_http_call *call = w->call;
	w->call = NULL;
	if (call != NULL) {
		ops_http_call_cancel(call);
	}
	list_again(w);
	ops_timer_free(w->timer);
	ops_strbuf_done(&w->line);
	free(w->cfg.path);
	free(w->cfg.selectors);
	free(w);
}

bool col_k8s_watch_listed(const struct col_k8s_watch *w)
{
	return w->listed;
}
