/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group that is pushed for the first time, or deleted without being known, is an entry before it
 * is anything else: a deleted one without a version, which goes again when the push is refused.
 */
#include "services/collector/receive/push_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/conf/conf.h"
#include "common/json/json.h"

static void refuse(struct ops_http_req *req, int code, const struct ops_error *err)
{
	ops_metric_add(&col_push_requests_total, 1, code == 429 ? "limit" : "malformed");
	if (code == 429) {
		ops_http_reply_header(req, "Retry-After", "60");
	}
	ops_http_reply_text(req, code, err->message);
}

static int read_ttl(
	const struct ops_http_req *req, int64_t fallback, int64_t *ret, struct ops_error *err)
{
	const char *text = ops_http_param(req, "ttl");
	text = text != NULL ? text : ops_http_header(req, "X-Time-To-Live");
	*ret = fallback;
	if (text == NULL) {
		return 0;
	}
	const struct ops_conf_node node = {
		.type = OPS_CONF_SCALAR, .text = text, .len = strlen(text)};
	return ops_conf_duration(&node, "ttl", ret, err);
}

/* The key of the path; NULL: the answer was given. */
static struct ops_labels *read_key(struct ops_http_req *req)
{
	struct ops_labels *key = NULL;
	struct ops_error err;
	if (col_push_key(ops_http_segment(req, "key"), &key, &err) != 0) {
		refuse(req, 400, &err);
	}
	return key;
}

/* The entry of the key, made when there is none. */
static struct col_push_entry *find_or_make(struct col_push *p, struct ops_labels *key)
{
	struct col_push_entry *made = col_push_entry_new(key, p->cfg.self);
	struct col_push_entry *known = ops_map_gets(p->entries, made->id);
	if (known != NULL) {
		col_push_entry_free(made);
		return known;
	}
	made->deleted = true; /* until something was taken */
	p->ndeleted++;
	(void)ops_map_puts(p->entries, made->id, made);
	return made;
}

static int check_room(
	const struct col_push *p, const struct col_push_entry *e, struct ops_error *err)
{
	if (!e->deleted || (int64_t)col_push_live(p) < p->cfg.max_groups) {
		return 0;
	}
	return ops_error_set(err, -E2BIG, "there are %" PRId64 " groups already (push.max_groups)",
		p->cfg.max_groups);
}

static int take(struct col_push *p, struct col_push_entry *e, struct ops_http_req *req,
	struct ops_error *err)
{
	enum ops_exposition_format format;
	const char *data;
	size_t len;
	int64_t ttl;
	int r = check_room(p, e, err);
	r = r != 0 ? r
		   : ops_exposition_format_of(ops_http_header(req, "Content-Type"),
			     OPS_EXPOSITION_TEXT, &format, err);
	r = r != 0 ? r : read_ttl(req, p->cfg.ttl_ms, &ttl, err);
	if (r != 0) {
		return r;
	}
	ops_http_body(req, &data, &len);
	const struct ops_exposition_text body = {data != NULL ? data : "", len};
	r = col_push_group_put(e->group, format, body, ops_http_method(req) == OPS_PUT,
		(size_t)p->cfg.max_samples, err);
	if (r == 0) {
		e->pushed_ms = ops_now_ms();
		e->ttl_ms = ttl;
		col_push_set_deleted(p, e, false);
		col_push_change(p, e, ops_http_method(req) == OPS_PUT);
	}
	return r;
}

/* Nothing of it was ever taken, here or elsewhere. */
static bool never_was(const struct col_push_entry *e)
{
	return e->deleted && e->version_ms == 0;
}

static void refuse_push(struct col_push *p, struct col_push_entry *e, struct ops_http_req *req,
	int code, const struct ops_error *err)
{
	if (never_was(e)) {
		col_push_forget(p, e);
	} else if (!e->deleted) {
		e->failed_ms = ops_now_ms();
		col_push_change(p, e, false);
	}
	refuse(req, code, err);
}

static void on_push(struct ops_http_req *req, void *arg)
{
	struct col_push *p = arg;
	struct ops_error err;
	struct ops_labels *key = read_key(req);
	if (key == NULL) {
		return;
	}
	struct col_push_entry *e = find_or_make(p, key);
	ops_labels_unref(key);
	int r = take(p, e, req, &err);
	if (r != 0) {
		refuse_push(p, e, req, r == -E2BIG ? 429 : 400, &err);
		return;
	}
	if (col_push_save(p, e) != 0) {
		ops_metric_add(&col_push_requests_total, 1, "not_saved");
		ops_http_reply_text(req, 503, "the push is taken but could not be written to disk");
		return;
	}
	r = col_push_is_ours(p, e) ? col_push_publish(p, e, &err) : 0;
	col_push_peers_run(p->peers);
	if (r != 0) {
		refuse(req, 400, &err);
		return;
	}
	ops_metric_add(&col_push_requests_total, 1, "taken");
	ops_http_reply_text(req, 200, "");
}

/* Also of a group that is not known here: another collector may have it. */
static void on_delete(struct ops_http_req *req, void *arg)
{
	struct col_push *p = arg;
	struct ops_labels *key = read_key(req);
	if (key == NULL) {
		return;
	}
	struct col_push_entry *e = find_or_make(p, key);
	if (never_was(e) && (int64_t)p->ndeleted > p->cfg.max_groups) { /* too many to remember */
		ops_labels_unref(key);
		col_push_forget(p, e);
		ops_http_reply_text(req, 202, "");
		return;
	}
	struct col_push_entry *gone = col_push_entry_new(key, p->cfg.self);
	ops_labels_unref(key);
	gone->deleted = true;
	col_push_change(p, e, true); /* to be later than everything in it */
	gone->version_ms = e->version_ms + 1;
	gone->base = col_push_entry_version(gone);
	(void)col_push_join(p, e, gone);
	col_push_entry_free(gone);
	(void)col_push_save(p, e); /* counted */
	col_push_peers_run(p->peers);
	ops_metric_add(&col_push_requests_total, 1, "deleted");
	ops_http_reply_text(req, 202, "");
}

static void on_peer(struct ops_http_req *req, void *arg)
{
	struct col_push *p = arg;
	const char *data;
	size_t len;
	ops_http_body(req, &data, &len);
	int r = col_push_peers_take(p->peers, data, len);
	ops_http_reply_text(
		req, r == 0 ? 200 : 403, r == 0 ? "" : "this is not of a collector of this stack");
}

static void on_list(struct ops_http_req *req, void *arg)
{
	const struct col_push *p = arg;
	struct ops_map_entry at;
	json_t *list = json_array();
	for (size_t i = 0; ops_map_next(p->entries, &i, &at);) {
		const struct col_push_entry *e = at.value;
		if (e->deleted) {
			continue;
		}
		const struct ops_labels *key = col_push_group_key(e->group);
		json_t *item = json_object(), *labels = json_object();
		for (uint32_t k = 0; k < key->n; k++) {
			ops_json_set_string(labels, key->items[k].name, key->items[k].value);
		}
		ops_json_set(item, "labels", labels);
		ops_json_set_time(item, "pushed", e->pushed_ms);
		ops_json_set_time(item, "failed", e->failed_ms);
		ops_json_set_time(item, "expires", e->ttl_ms > 0 ? e->pushed_ms + e->ttl_ms : 0);
		ops_json_set_string(item, "collector", e->writer);
		ops_json_set_bool(item, "local", e->exposed);
		ops_json_set_i64(item, "samples", (int64_t)col_push_group_samples(e->group));
		int r = json_array_append_new(list, item);
		ops_assert(r == 0);
	}
	json_t *reply = json_object();
	ops_json_set_string(reply, "status", "success");
	ops_json_set(reply, "data", list);
	ops_http_reply_json(req, 200, reply);
}

void col_push_register(struct col_push *p, struct ops_http_server *http)
{
	ops_http_route(
		http, OPS_POST | OPS_PUT, "/metrics/{key...}", OPS_ROLE_OPERATOR, on_push, p);
	ops_http_route(http, OPS_DELETE, "/metrics/{key...}", OPS_ROLE_OPERATOR, on_delete, p);
	ops_http_route(http, OPS_GET, "/api/v1/push/groups", OPS_ROLE_VIEWER, on_list, p);
	/* The stack's key says who sends it, where there is one. */
	ops_http_route(http, OPS_POST, COL_PUSH_PEERS_PATH,
		p->cfg.key != NULL ? OPS_ROLE_NONE : OPS_ROLE_OPERATOR, on_peer, p);
}
