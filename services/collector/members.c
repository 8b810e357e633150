/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rendezvous hashing: each collector scores (member, target) and the highest score has the target.
 * Every member decides alone and comes to the same answer from the same list; when one leaves, only
 * its targets move.
 *
 * The rules around the list make gaps impossible rather than overlaps: a target scraped twice for a
 * moment is stored once, one that nobody scrapes is lost. So a collector that hears no list for the
 * grace time (three heartbeats) scrapes everything, and one that the list leaves out for that long
 * counts itself in. Only in the moment after its start does a collector wait: it cannot know yet
 * whether others are there.
 */
#include "services/collector/members.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/msg/msg.h"
#include "common/msg/samples.h"

enum {
	GRACE_HEARTBEATS = 3
};

static struct ops_metric refused_lists = OPS_COUNTER(
	"ops_collector_member_lists_refused_total", "Member lists that could not be read.");
static struct ops_metric members_gauge =
	OPS_GAUGE("ops_collector_members", "Collectors in the last member list heard.");

/* ---- the decision ---- */

void col_roster_init(struct col_roster *r, const char *self, int64_t now_ms)
{
	*r = (struct col_roster){.self = self, .started_ms = now_ms};
}

static void forget_names(struct col_roster *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->names[i]);
	}
	free(r->names);
	r->names = NULL;
	r->n = 0;
}

void col_roster_done(struct col_roster *r)
{
	forget_names(r);
}

static bool contains(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0) {
			return true;
		}
	}
	return false;
}

bool col_roster_hear(struct col_roster *r, const char *const *names, size_t n, int64_t now_ms)
{
	bool same = n == r->n && r->heard_ms != 0;
	for (size_t i = 0; same && i < n; i++) {
		same = contains((const char *const *)r->names, r->n, names[i]);
	}
	r->heard_ms = now_ms;
	r->listed = contains(names, n, r->self);
	if (r->listed) {
		r->left_out_ms = 0;
	} else if (r->left_out_ms == 0) {
		r->left_out_ms = now_ms;
	}
	if (same) {
		return false;
	}
	forget_names(r);
	r->names = ops_xcalloc(n + 1, sizeof(*r->names));
	for (size_t i = 0; i < n; i++) {
		r->names[r->n++] = ops_xstrdup(names[i]);
	}
	return true;
}

enum col_share col_roster_share(const struct col_roster *r, int64_t grace_ms, int64_t now_ms)
{
	if (r->heard_ms == 0) {
		return now_ms - r->started_ms < grace_ms ? COL_SHARE_WAIT : COL_SHARE_ALL;
	}
	if (now_ms - r->heard_ms > grace_ms) {
		return COL_SHARE_ALL;
	}
	if (!r->listed && now_ms - r->left_out_ms <= grace_ms) {
		return COL_SHARE_WAIT;
	}
	return COL_SHARE_HASHED;
}

static uint64_t score(const char *member, uint64_t target_hash)
{
	return ops_hash64(member, strlen(member), target_hash);
}

bool col_roster_owns(const struct col_roster *r, uint64_t target_hash)
{
	uint64_t own = score(r->self, target_hash);
	for (size_t i = 0; i < r->n; i++) {
		uint64_t other = score(r->names[i], target_hash);
		int order = strcmp(r->names[i], r->self);
		if (other > own || (other == own && order > 0)) {
			return false;
		}
	}
	return true;
}

/* ---- on the bus ---- */

struct col_members {
	struct col_members_config cfg;
	struct col_roster roster;
	struct ops_sub *sub;
	struct ops_timer *timer;
	enum col_share share; /* as last told */
};

static int64_t grace_ms(const struct col_members *m)
{
	return GRACE_HEARTBEATS * m->cfg.heartbeat_ms;
}

static void settle(struct col_members *m, bool changed)
{
	enum col_share share = m->sub == NULL
				       ? COL_SHARE_ALL
				       : col_roster_share(&m->roster, grace_ms(m), ops_mono_ms());
	changed |= share != m->share;
	if (share != m->share) {
		static const char *const texts[] = {"wait", "all", "hashed"};
		log_info("how targets are shared changed", F_STR("share", texts[share]),
			F_UINT("members", m->roster.n));
	}
	m->share = share;
	if (changed) {
		m->cfg.on_change(m->cfg.arg);
	}
}

static void on_timer(void *arg)
{
	struct col_members *m = arg;
	ops_timer_start(m->timer, m->cfg.heartbeat_ms);
	m->cfg.on_heartbeat(m->cfg.arg);
	settle(m, false);
}

static bool hear(struct col_members *m, const struct ops_members *list)
{
	const char **names = ops_xcalloc(list->n + 1, sizeof(*names));
	for (size_t i = 0; i < list->n; i++) {
		names[i] = list->items[i].instance;
	}
	bool changed = col_roster_hear(&m->roster, names, list->n, ops_mono_ms());
	free(names);
	ops_metric_set(&members_gauge, (double)list->n);
	return changed;
}

static int on_message(void *arg, const struct ops_bus_message *msg)
{
	struct col_members *m = arg;
	struct ops_event event;
	struct ops_members list = {NULL, 0, 0};
	json_t *doc = NULL;
	struct ops_error err;
	if (strcmp(msg->topic, "members/collector") != 0) {
		return 0;
	}
	int r = ops_event_decode(msg->payload, msg->len, &event, &doc, &err);
	if (r == 0) {
		r = ops_members_from_json(event.data, &list, &err);
	}
	if (r == 0) {
		settle(m, hear(m, &list));
	} else {
		ops_metric_add(&refused_lists, 1);
		log_warn("refused a member list", F_STR("error", err.message));
	}
	ops_members_done(&list);
	json_decref(doc);
	return 0;
}

static int subscribe(struct ops_loop *loop, struct col_members *m, struct ops_error *err)
{
	static const char *const topics[] = {"members/collector\n"};
	const struct ops_sub_config sub = {.name = m->cfg.self,
		.url = m->cfg.url,
		.topics = topics,
		.ntopics = OPS_LENGTH(topics),
		.from_now = true,
		.key = m->cfg.key,
		.tls = m->cfg.tls,
		.on_message = on_message,
		.arg = m};
	return ops_sub_open(loop, &sub, &m->sub, err);
}

int col_members_open(struct ops_loop *loop, const struct col_members_config *cfg,
	struct col_members **ret, struct ops_error *err)
{
	struct col_members *m = ops_xcalloc(1, sizeof(*m));
	m->cfg = *cfg;
	col_roster_init(&m->roster, cfg->self, ops_mono_ms());
	ops_metric_register(&members_gauge);
	ops_metric_register(&refused_lists);
	int r = cfg->url != NULL && cfg->url[0] != '\0' ? subscribe(loop, m, err) : 0;
	if (r != 0) {
		col_members_close(m);
		return r;
	}
	m->share = m->sub == NULL ? COL_SHARE_ALL : COL_SHARE_WAIT;
	m->timer = ops_timer_new(loop, on_timer, m);
	ops_timer_start(m->timer, 0);
	*ret = m;
	return 0;
}

void col_members_close(struct col_members *m)
{
	if (m == NULL) {
		return;
	}
	if (m->sub != NULL) {
		ops_sub_close(m->sub);
	}
	ops_timer_free(m->timer);
	col_roster_done(&m->roster);
	free(m);
}

bool col_members_owns(const struct col_members *m, uint64_t target_hash)
{
	switch (m->share) {
	case COL_SHARE_WAIT:
		return false;
	case COL_SHARE_ALL:
		return true;
	case COL_SHARE_HASHED:
		return col_roster_owns(&m->roster, target_hash);
	}
	return true;
}

enum col_share col_members_share(const struct col_members *m)
{
	return m->share;
}

size_t col_members_count(const struct col_members *m)
{
	return m->roster.n;
}
