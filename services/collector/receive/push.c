/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group is a file `push/<fingerprint>.prom` in the state directory: one comment line with what is
 * not in the text (key, times) as JSON, then the text. The file is replaced before the answer, so
 * what was answered with 200 survives anything. A file that cannot be read is left where it is and
 * logged.
 *
 * Two timestamps come with each group, as from Pushgateway: push_time_seconds of the last push that
 * was taken, push_failure_time_seconds of the last that was refused.
 */
#include "services/collector/receive/push.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/map.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/collector/config.h"
#include "services/collector/receive/feed.h"
#include "services/collector/receive/push_group.h"

enum {
	FILE_LIMIT_BYTES = 64 << 20,
	TICK_MS = 250
};

static struct ops_metric pushes_total =
	OPS_COUNTER("ops_push_requests_total", "Pushes, by outcome.", "outcome");
static struct ops_metric groups_gauge =
	OPS_GAUGE("ops_push_groups", "Grouping keys that are kept.");
static struct ops_metric expired_total =
	OPS_COUNTER("ops_push_groups_expired_total", "Groups whose time to live was over.");
static struct ops_metric save_errors_total =
	OPS_COUNTER("ops_push_save_errors_total", "Groups that could not be written to disk.");

struct entry {
	char *id;		      /* fingerprint of the key in hex: name of its file */
	struct col_push_group *group; /* NULL until a push was taken */
	struct col_feed *feed;
	int64_t pushed_ms, failed_ms, ttl_ms, due_ms;
};

struct col_push {
	struct ops_loop *loop;
	struct col_publisher *publisher;
	struct col_push_config cfg;
	struct col_limits limits;
	char *dir;		 /* NULL: memory only */
	struct ops_map *entries; /* id -> struct entry */
	struct ops_timer *tick;
};

static void entry_free(void *arg)
{
	struct entry *e = arg;
	col_push_group_free(e->group);
	col_feed_free(e->feed);
	free(e->id);
	free(e);
}

static char *file_of(const struct col_push *p, const struct entry *e)
{
	return ops_xasprintf("%s/%s.prom", p->dir, e->id);
}

/* ---- publishing ---- */

static void expose(const struct entry *e, struct ops_strbuf *out)
{
	col_push_group_expose(e->group, out);
	ops_strbuf_adds(out, "# HELP push_time_seconds Last Unix time when changing this group in "
			     "the collector succeeded.\n# TYPE push_time_seconds gauge\n"
			     "push_time_seconds ");
	ops_strbuf_add_double(out, (double)e->pushed_ms / 1000);
	ops_strbuf_adds(out, "\n# HELP push_failure_time_seconds Last Unix time when changing this "
			     "group in the collector failed.\n"
			     "# TYPE push_failure_time_seconds gauge\npush_failure_time_seconds ");
	ops_strbuf_add_double(out, (double)e->failed_ms / 1000);
	ops_strbuf_addc(out, '\n');
}

static int publish(struct col_push *p, struct entry *e, struct ops_error *err)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	int64_t now = ops_now_ms();
	expose(e, &text);
	const struct ops_exposition_text body = {text.data, text.len};
	int r = col_feed_publish(e->feed, body, now, err);
	ops_strbuf_done(&text);
	e->due_ms = now + p->cfg.interval_ms;
	return r;
}

static void forget(struct col_push *p, struct entry *e)
{
	col_feed_end(e->feed, ops_now_ms());
	if (p->dir != NULL) {
		OPS_CLEANUP(ops_freep) char *path = file_of(p, e);
		if (unlink(path) != 0 && errno != ENOENT) {
			ops_metric_add(&save_errors_total, 1);
			log_error("could not remove a pushed group", F_STR("file", path),
				F_ERR(-errno));
		}
	}
	(void)ops_map_removes(p->entries, e->id);
	entry_free(e);
}

static void on_tick(void *arg)
{
	struct col_push *p = arg;
	struct ops_map_entry at;
	int64_t now = ops_now_ms();
	for (size_t i = 0; ops_map_next(p->entries, &i, &at);) {
		struct entry *e = at.value;
		if (e->ttl_ms > 0 && now - e->pushed_ms > e->ttl_ms) {
			ops_metric_add(&expired_total, 1);
			forget(p, e);
		} else if (now >= e->due_ms) {
			struct ops_error err;
			if (publish(p, e, &err) != 0) {
				log_warn("could not publish a pushed group", F_STR("group", e->id),
					F_STR("error", err.message));
			}
		}
	}
	ops_metric_set(&groups_gauge, (double)ops_map_count(p->entries));
	ops_timer_start(p->tick, TICK_MS);
}

/* ---- on disk ---- */

static int save(struct col_push *p, const struct entry *e)
{
	if (p->dir == NULL) {
		return 0;
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	const struct ops_labels *key = col_push_group_key(e->group);
	OPS_JSON_AUTO *head = json_object();
	json_t *labels = json_object();
	for (uint32_t i = 0; i < key->n; i++) {
		ops_json_set_string(labels, key->items[i].name, key->items[i].value);
	}
	ops_json_set(head, "labels", labels);
	ops_json_set_i64(head, "pushed_ms", e->pushed_ms);
	ops_json_set_i64(head, "failed_ms", e->failed_ms);
	ops_json_set_i64(head, "ttl_ms", e->ttl_ms);
	ops_strbuf_adds(&text, "# ");
	ops_json_dump(head, &text);
	ops_strbuf_addc(&text, '\n');
	col_push_group_expose(e->group, &text);
	OPS_CLEANUP(ops_freep) char *path = file_of(p, e);
	int r = ops_file_write_atomic(path, text.data, text.len, 0600);
	ops_strbuf_done(&text);
	if (r != 0) {
		ops_metric_add(&save_errors_total, 1);
		log_error("could not write a pushed group", F_STR("file", path), F_ERR(r));
	}
	return r;
}

static struct entry *entry_new(struct col_push *p, struct ops_labels *key)
{
	struct entry *e = ops_xcalloc(1, sizeof(*e));
	e->id = ops_xasprintf("%016" PRIx64, ops_labels_fingerprint(key));
	e->group = col_push_group_new(key);
	OPS_CLEANUP(ops_freep) char *instance = ops_xasprintf("push/%s", e->id);
	e->feed = col_feed_new(p->publisher, key, instance, &p->limits);
	return e;
}

static int decode_labels(const json_t *labels, struct ops_labels **ret)
{
	struct ops_labels_builder b;
	const char *name;
	json_t *value;
	int r = 0;
	ops_labels_builder_init(&b);
	json_object_foreach((json_t *)(uintptr_t)labels, name, value)
	{
		const char *text = json_string_value(value);
		if (text == NULL) {
			r = -EINVAL;
			break;
		}
		ops_labels_builder_set(&b, name, text);
	}
	if (r == 0) {
		*ret = ops_labels_builder_build(&b);
	}
	ops_labels_builder_done(&b);
	return r;
}

static int decode_head(const char *line, size_t len, struct ops_labels **ret_key, struct entry *ret,
	struct ops_error *err)
{
	json_t *head = NULL, *labels = NULL;
	int r = ops_json_parse(line, len, 1 << 20, &head, err);
	r = r != 0 ? r : ops_json_get_object(head, "labels", &labels, err);
	r = r != 0 ? r : ops_json_get_i64(head, "pushed_ms", &ret->pushed_ms, err);
	r = r < 0 ? r : ops_json_get_i64(head, "failed_ms", &ret->failed_ms, err);
	r = r < 0 ? r : ops_json_get_i64(head, "ttl_ms", &ret->ttl_ms, err);
	r = r < 0 ? r : decode_labels(labels, ret_key);
	json_decref(head);
	return r;
}

static int restore(struct col_push *p, const struct ops_strbuf *text, struct ops_error *err)
{
	struct entry times = {.group = NULL};
	struct ops_labels *key = NULL;
	const char *end = text->len > 2 ? memchr(text->data, '\n', text->len) : NULL;
	if (end == NULL || !ops_str_starts(text->data, "# {")) {
		return ops_error_set(err, -EBADMSG, "the first line is no JSON comment");
	}
	int r = decode_head(text->data + 2, (size_t)(end - text->data) - 2, &key, &times, err);
	if (r != 0) {
		return r;
	}
	struct entry *e = entry_new(p, key);
	ops_labels_unref(key);
	e->pushed_ms = times.pushed_ms;
	e->failed_ms = times.failed_ms;
	e->ttl_ms = times.ttl_ms;
	/* Not all at once after a restart. */
	e->due_ms = ops_now_ms() + (int64_t)(ops_labels_fingerprint(col_push_group_key(e->group)) %
					     (uint64_t)p->cfg.interval_ms);
	const struct ops_exposition_text body = {
		end + 1, text->len - (size_t)(end + 1 - text->data)};
	r = col_push_group_put(e->group, OPS_EXPOSITION_TEXT, body, true, SIZE_MAX, err);
	if (r != 0 || ops_map_gets(p->entries, e->id) != NULL) {
		entry_free(e);
		return r;
	}
	(void)ops_map_puts(p->entries, e->id, e);
	return 0;
}

static int load(struct col_push *p, struct ops_error *err)
{
	int r = ops_mkdir_p(p->dir, 0700);
	DIR *dir = r == 0 ? opendir(p->dir) : NULL;
	if (dir == NULL) {
		r = r != 0 ? r : -errno;
		return ops_error_set(err, r, "cannot read %s: %s", p->dir, strerror(-r));
	}
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		if (!ops_str_ends(d->d_name, ".prom")) {
			continue;
		}
		struct ops_strbuf text = OPS_STRBUF_INIT;
		struct ops_error why = {.message = "cannot be read"};
		OPS_CLEANUP(ops_freep) char *path = ops_path_join(p->dir, d->d_name);
		if (ops_file_read(path, FILE_LIMIT_BYTES, &text) != 0 ||
			restore(p, &text, &why) != 0) {
			ops_metric_add(&save_errors_total, 1);
			log_error("left out a pushed group", F_STR("file", path),
				F_STR("error", why.message));
		}
		ops_strbuf_done(&text);
	}
	closedir(dir);
	return 0;
}

/* ---- doors ---- */

static void refuse(struct ops_http_req *req, int code, const struct ops_error *err)
{
	ops_metric_add(&pushes_total, 1, code == 429 ? "limit" : "malformed");
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

/* The entry of the path's key, made when there is none. NULL: the answer was given. */
static struct entry *find_or_make(struct col_push *p, struct ops_http_req *req, bool *ret_fresh)
{
	struct ops_labels *key = NULL;
	struct ops_error err;
	if (col_push_key(ops_http_segment(req, "key"), &key, &err) != 0) {
		refuse(req, 400, &err);
		return NULL;
	}
	struct entry *made = entry_new(p, key);
	ops_labels_unref(key);
	struct entry *known = ops_map_gets(p->entries, made->id);
	*ret_fresh = known == NULL;
	if (known != NULL) {
		entry_free(made);
		return known;
	}
	if ((int64_t)ops_map_count(p->entries) >= p->cfg.max_groups) {
		entry_free(made);
		ops_error_set(&err, -E2BIG,
			"there are %" PRId64 " groups already (push.max_groups)",
			p->cfg.max_groups);
		refuse(req, 429, &err);
		return NULL;
	}
	return made;
}

static int take(
	struct col_push *p, struct entry *e, struct ops_http_req *req, struct ops_error *err)
{
	enum ops_exposition_format format;
	const char *data;
	size_t len;
	int64_t ttl;
	int r = ops_exposition_format_of(
		ops_http_header(req, "Content-Type"), OPS_EXPOSITION_TEXT, &format, err);
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
	}
	return r;
}

static void on_push(struct ops_http_req *req, void *arg)
{
	struct col_push *p = arg;
	struct ops_error err;
	bool fresh = false;
	struct entry *e = find_or_make(p, req, &fresh);
	if (e == NULL) {
		return;
	}
	int r = take(p, e, req, &err);
	if (r != 0) {
		if (fresh) {
			entry_free(e);
		} else {
			e->failed_ms = ops_now_ms();
		}
		refuse(req, r == -E2BIG ? 429 : 400, &err);
		return;
	}
	if (fresh) {
		(void)ops_map_puts(p->entries, e->id, e);
	}
	if (save(p, e) != 0) {
		ops_metric_add(&pushes_total, 1, "not_saved");
		ops_http_reply_text(req, 503, "the push is taken but could not be written to disk");
		return;
	}
	r = publish(p, e, &err);
	if (r != 0) {
		refuse(req, 400, &err);
		return;
	}
	ops_metric_add(&pushes_total, 1, "taken");
	ops_http_reply_text(req, 200, "");
}

static void on_delete(struct ops_http_req *req, void *arg)
{
	struct col_push *p = arg;
	struct ops_labels *key = NULL;
	struct ops_error err;
	if (col_push_key(ops_http_segment(req, "key"), &key, &err) != 0) {
		refuse(req, 400, &err);
		return;
	}
	char id[17];
	snprintf(id, sizeof(id), "%016" PRIx64, ops_labels_fingerprint(key));
	ops_labels_unref(key);
	struct entry *e = ops_map_gets(p->entries, id);
	if (e != NULL) {
		forget(p, e);
	}
	ops_metric_add(&pushes_total, 1, "deleted");
	ops_http_reply_text(req, 202, "");
}

static void on_list(struct ops_http_req *req, void *arg)
{
	const struct col_push *p = arg;
	struct ops_map_entry at;
	json_t *list = json_array();
	for (size_t i = 0; ops_map_next(p->entries, &i, &at);) {
		const struct entry *e = at.value;
		const struct ops_labels *key = col_push_group_key(e->group);
		json_t *item = json_object(), *labels = json_object();
		for (uint32_t k = 0; k < key->n; k++) {
			ops_json_set_string(labels, key->items[k].name, key->items[k].value);
		}
		ops_json_set(item, "labels", labels);
		ops_json_set_time(item, "pushed", e->pushed_ms);
		ops_json_set_time(item, "failed", e->failed_ms);
		ops_json_set_time(item, "expires", e->ttl_ms > 0 ? e->pushed_ms + e->ttl_ms : 0);
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
}

int col_push_open(struct ops_loop *loop, struct col_publisher *publisher,
	const struct col_push_config *cfg, struct col_push **ret, struct ops_error *err)
{
	struct col_push *p = ops_xcalloc(1, sizeof(*p));
	p->loop = loop;
	p->publisher = publisher;
	p->cfg = *cfg;
	p->entries = ops_map_new();
	ops_metric_register(&groups_gauge);
	ops_metric_register(&expired_total);
	ops_metric_register(&save_errors_total);
	if (cfg->state_dir != NULL && cfg->state_dir[0] != '\0') {
		p->dir = ops_path_join(cfg->state_dir, "push");
		int r = load(p, err);
		if (r != 0) {
			col_push_close(p);
			return r;
		}
	}
	p->tick = ops_timer_new(loop, on_tick, p);
	ops_timer_start(p->tick, TICK_MS);
	*ret = p;
	return 0;
}

void col_push_close(struct col_push *p)
{
	if (p == NULL) {
		return;
	}
	ops_timer_free(p->tick);
	ops_map_free(p->entries, entry_free);
	free(p->dir);
	free(p);
}
