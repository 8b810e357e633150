/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A push may go to any collector. Each of them has every group (push_peers.h); the one that
 * rendezvous hashing names exposes it, as it would scrape a target. So a collector that dies takes
 * no group along, and who exposes it changes within the heartbeats in which its targets move.
 *
 * Of two states of a group the later one wins, family by family (push_group.c), by its writer's
 * clock, but a change is always later than what its writer knew. A deleted group is remembered for
 * an hour, so that a collector that was away does not bring it back.
 *
 * A group is a file `push/<fingerprint>.prom` in the state directory (push_entry.h). It is replaced
 * before the answer, so what was answered with 200 survives anything. A file that cannot be read is
 * left where it is and logged.
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
#include "services/collector/receive/push_internal.h"

enum {
	FILE_LIMIT_BYTES = 64 << 20,
	TICK_MS = 250,
	IDLE_TICK_MS = 1000,
	REMEMBER_DELETED_MS = 3600000
};

struct ops_metric col_push_requests_total =
	OPS_COUNTER("ops_push_requests_total", "Pushes, by outcome.", "outcome");
static struct ops_metric groups_gauge =
	OPS_GAUGE("ops_push_groups", "Grouping keys that are kept.");
static struct ops_metric expired_total =
	OPS_COUNTER("ops_push_groups_expired_total", "Groups whose time to live was over.");
static struct ops_metric save_errors_total =
	OPS_COUNTER("ops_push_save_errors_total", "Groups that could not be written to disk.");

static char *file_of(const struct col_push *p, const struct col_push_entry *e)
{
	return ops_xasprintf("%s/%s.prom", p->dir, e->id);
}

size_t col_push_live(const struct col_push *p)
{
	return ops_map_count(p->entries) - p->ndeleted;
}

/* ---- publishing ---- */

static void expose(const struct col_push_entry *e, struct ops_strbuf *out)
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

bool col_push_is_ours(const struct col_push *p, const struct col_push_entry *e)
{
	return !e->deleted && p->cfg.owns(p->cfg.arg, e->hash);
}

int col_push_publish(struct col_push *p, struct col_push_entry *e, struct ops_error *err)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	int64_t now = ops_now_ms();
	if (e->feed == NULL) {
		OPS_CLEANUP(ops_freep) char *instance = ops_xasprintf("push/%s", e->id);
		e->feed = col_feed_new(
			p->publisher, col_push_group_key(e->group), instance, &p->limits);
	}
	expose(e, &text);
	const struct ops_exposition_text body = {text.data, text.len};
	int r = col_feed_publish(e->feed, body, now, err);
	ops_strbuf_done(&text);
	e->due_ms = now + p->cfg.interval_ms;
	e->exposed = true;
	return r;
}

/* One of the others exposes it from here on. */
static void let_go(struct col_push_entry *e)
{
	if (e->exposed) {
		col_feed_release(e->feed);
		e->exposed = false;
		e->due_ms = 0;
	}
}

static void end(struct col_push_entry *e)
{
	if (e->exposed) {
		col_feed_end(e->feed, ops_now_ms());
		e->exposed = false;
	}
}

void col_push_forget(struct col_push *p, struct col_push_entry *e)
{
	end(e);
	if (p->dir != NULL) {
		OPS_CLEANUP(ops_freep) char *path = file_of(p, e);
		if (unlink(path) != 0 && errno != ENOENT) {
			ops_metric_add(&save_errors_total, 1);
			log_error("could not remove a pushed group", F_STR("file", path),
				F_ERR(-errno));
		}
	}
	p->ndeleted -= e->deleted;
	(void)ops_map_removes(p->entries, e->id);
	col_push_entry_free(e);
}

static void tend(struct col_push *p, struct col_push_entry *e, int64_t now)
{
	struct ops_error err;
	if (e->deleted && now - e->version_ms > REMEMBER_DELETED_MS) {
		col_push_forget(p, e);
	} else if (col_push_entry_over(e, now)) {
		ops_metric_add(&expired_total, 1);
		col_push_forget(p, e);
	} else if (!col_push_is_ours(p, e)) {
		let_go(e);
	} else if (now >= e->due_ms && col_push_publish(p, e, &err) != 0) {
		log_warn("could not publish a pushed group", F_STR("group", e->id),
			F_STR("error", err.message));
	}
}

static void on_tick(void *arg)
{
	struct col_push *p = arg;
	struct ops_map_entry at;
	int64_t now = ops_now_ms();
	for (size_t i = 0; ops_map_next(p->entries, &i, &at);) {
		tend(p, at.value, now);
	}
	ops_metric_set(&groups_gauge, (double)col_push_live(p));
	col_push_peers_run(p->peers);
	ops_timer_start_beat(p->tick, ops_map_count(p->entries) != 0 ? TICK_MS : IDLE_TICK_MS);
}

/* ---- states ---- */

int col_push_save(struct col_push *p, const struct col_push_entry *e)
{
	if (p->dir == NULL) {
		return 0;
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	col_push_entry_encode(e, &text);
	OPS_CLEANUP(ops_freep) char *path = file_of(p, e);
	int r = ops_file_write_atomic(path, text.data, text.len, 0600);
	ops_strbuf_done(&text);
	if (r != 0) {
		ops_metric_add(&save_errors_total, 1);
		log_error("could not write a pushed group", F_STR("file", path), F_ERR(r));
	}
	return r;
}

void col_push_change(struct col_push *p, struct col_push_entry *e, bool whole)
{
	e->version_ms = OPS_MAX(ops_now_ms(), e->version_ms + 1);
	col_push_entry_set_writer(e, p->cfg.self);
	e->base = whole ? col_push_entry_version(e) : e->base;
	col_push_entry_stamp(e);
	e->changed = ++p->changes;
}

void col_push_set_deleted(struct col_push *p, struct col_push_entry *e, bool deleted)
{
	p->ndeleted += (size_t)deleted - (size_t)e->deleted;
	e->deleted = deleted;
}

bool col_push_join(struct col_push *p, struct col_push_entry *e, struct col_push_entry *by)
{
	bool deleted = e->deleted, changed = col_push_entry_merge(e, by);
	p->ndeleted += (size_t)e->deleted - (size_t)deleted;
	if (changed) {
		e->due_ms = 0;
	}
	if (e->deleted) {
		end(e);
	}
	return changed;
}

/* What a file or another collector says; takes e. The entry as it stands, or NULL: it is known, or
 * refused. */
static struct col_push_entry *adopt(struct col_push *p, struct col_push_entry *e)
{
	struct col_push_entry *known = ops_map_gets(p->entries, e->id);
	bool full = known == NULL && (int64_t)col_push_live(p) >= p->cfg.max_groups;
	bool useless =
		known != NULL ? !col_push_join(p, known, e) : col_push_entry_over(e, ops_now_ms());
	if (full || useless) {
		if (full) {
			ops_metric_add(&col_push_requests_total, 1, "limit");
		}
		col_push_entry_free(e);
		return NULL;
	}
	if (known != NULL) {
		col_push_entry_free(e);
		e = known;
	} else {
		p->ndeleted += e->deleted;
		(void)ops_map_puts(p->entries, e->id, e);
	}
	e->changed = ++p->changes;
	return e;
}

static int compare_changes(const void *a, const void *b)
{
	const struct col_push_entry *const *x = a, *const *y = b;
	return (*x)->changed < (*y)->changed ? -1 : (*x)->changed > (*y)->changed;
}

static uint64_t peer_changes(void *arg, uint64_t after, size_t max_bytes, struct ops_strbuf *out)
{
	const struct col_push *p = arg;
	struct ops_map_entry at;
	size_t n = 0;
	if (after >= p->changes) {
		return after;
	}
	const struct col_push_entry **list =
		ops_xcalloc(ops_map_count(p->entries) + 1, sizeof(struct col_push_entry *));
	for (size_t i = 0; ops_map_next(p->entries, &i, &at);) {
		const struct col_push_entry *e = at.value;
		if (e->changed > after) {
			list[n++] = e;
		}
	}
	qsort(list, n, sizeof(struct col_push_entry *), compare_changes);
	for (size_t i = 0, from = out->len; i < n && (i == 0 || out->len - from < max_bytes); i++) {
		col_push_entry_encode(list[i], out);
		after = list[i]->changed;
	}
	free(list);
	return after;
}

static void peer_apply(void *arg, const char *text, size_t len)
{
	struct col_push *p = arg;
	for (size_t at = 0, took = 0; at < len; at += took) {
		struct col_push_entry *e = NULL;
		struct ops_error err;
		if (col_push_entry_decode(text + at, len - at, &e, &took, &err) != 0) {
			ops_metric_add(&col_push_requests_total, 1, "malformed");
			log_warn("refused a pushed group of another collector",
				F_STR("error", err.message));
			return;
		}
		e = adopt(p, e);
		if (e != NULL) {
			(void)col_push_save(p, e); /* counted; the one it was pushed to has it */
			tend(p, e, ops_now_ms());
		}
	}
}

/* ---- at the start ---- */

static int restore(struct col_push *p, const struct ops_strbuf *text, struct ops_error *err)
{
	struct col_push_entry *e = NULL;
	size_t took = 0;
	int r = col_push_entry_decode(ops_strbuf_text(text), text->len, &e, &took, err);
	if (r != 0) {
		return r;
	}
	e = adopt(p, e);
	if (e != NULL) { /* not all at once after a restart */
		e->due_ms = ops_now_ms() + (int64_t)(e->hash % (uint64_t)p->cfg.interval_ms);
	}
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

int col_push_open(struct ops_loop *loop, struct col_publisher *publisher,
	const struct col_push_config *cfg, struct col_push **ret, struct ops_error *err)
{
	struct col_push *p = ops_xcalloc(1, sizeof(*p));
	p->loop = loop;
	p->publisher = publisher;
	p->cfg = *cfg;
	p->entries = ops_map_new();
	const struct col_push_peers_config peers = {.loop = loop,
		.client = cfg->client,
		.key = cfg->key,
		.self = cfg->self,
		.members = cfg->members,
		.members_arg = cfg->arg,
		.changes = peer_changes,
		.apply = peer_apply,
		.arg = p};
	p->peers = col_push_peers_new(&peers);
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
	ops_timer_start_beat(p->tick, TICK_MS);
	*ret = p;
	return 0;
}

void col_push_close(struct col_push *p)
{
	if (p == NULL) {
		return;
	}
	ops_timer_free(p->tick);
	col_push_peers_free(p->peers);
	ops_map_free(p->entries, col_push_entry_free);
	free(p->dir);
	free(p);
}
