/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rendezvous hashing: each collector scores (member, target) and the highest score has the target.
 * Every member decides alone and comes to the same answer from the same list; when one leaves, only
 * its targets move.
 *
 * The rules around the list make gaps impossible rather than overlaps: a target scraped twice for a
 * moment is stored once, one that nobody scrapes is lost. So a collector that hears no list for the
 * grace time (three heartbeats) scrapes everything, and one that the list leaves out for that long
 * counts itself in; until then it goes on by the last list that had it, because a detector that was
 * restarted has not heard of everybody yet. Only in the moment after its start does a collector
 * wait: it cannot know yet whether others are there.
 *
 * Lists are rarer than heartbeats: while the detector's heartbeats are heard the last list holds.
 * Likewise the detector knows by our stream's heartbeats that we live; announcements are for one
 * that does not know us.
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
	GRACE_HEARTBEATS = 3,
	ANNOUNCE_EVERY = 10 /* heartbeats */
};

static struct ops_metric refused_lists = OPS_COUNTER(
	"ops_collector_member_lists_refused_total", "Member lists that could not be read.");
static struct ops_metric members_gauge =
	OPS_GAUGE("ops_collector_members", "Collectors in the last member list heard.");

/* ---- the decision ---- */

void col_roster_init(struct col_roster *r, const char *self, int64_t grace_ms, int64_t now_ms)
{
	*r = (struct col_roster){.self = self, .grace_ms = grace_ms, .started_ms = now_ms};
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

/* A list without self: is it too early to believe it? */
static bool overlooked(const struct col_roster *r, int64_t now_ms)
{
	return !r->listed && now_ms - r->left_out_ms <= r->grace_ms;
}

bool col_roster_hear(struct col_roster *r, const char *const *names, size_t n, int64_t now_ms)
{
	bool same = n == r->n && r->heard_ms != 0;
	for (size_t i = 0; same && i < n; i++) {
		same = contains((const char *const *)r->names, r->n, names[i]);
	}
	r->heard_ms = now_ms;
	r->listed = contains(names, n, r->self);
	r->was_listed |= r->listed;
	if (r->listed) {
		r->left_out_ms = 0;
	} else if (r->left_out_ms == 0) {
		r->left_out_ms = now_ms;
	}
	if (same || (r->was_listed && overlooked(r, now_ms))) {
		return false;
	}
	forget_names(r);
	r->names = ops_xcalloc(n + 1, sizeof(*r->names));
	for (size_t i = 0; i < n; i++) {
		r->names[r->n++] = ops_xstrdup(names[i]);
	}
	return true;
}

void col_roster_still(struct col_roster *r, int64_t heard_ms)
{
	r->heard_ms = r->heard_ms != 0 ? OPS_MAX(r->heard_ms, heard_ms) : 0;
}

enum col_share col_roster_share(const struct col_roster *r, int64_t now_ms)
{
	bool fresh = now_ms - r->started_ms < r->grace_ms;
	if (r->heard_ms == 0 || (overlooked(r, now_ms) && !r->was_listed)) {
		return fresh ? COL_SHARE_WAIT : COL_SHARE_ALL;
	}
	return now_ms - r->heard_ms > r->grace_ms ? COL_SHARE_ALL : COL_SHARE_HASHED;
}

static uint64_t score(const char *member, uint64_t target_hash)
{
	return ops_hash64(member, strlen(member), target_hash);
}

/* Whether a ranks before b. */
static bool ranks_before(const char *a, const char *b, uint64_t target_hash)
{
	uint64_t sa = score(a, target_hash), sb = score(b, target_hash);
	return sa > sb || (sa == sb && strcmp(a, b) > 0);
}

bool col_roster_owns(const struct col_roster *r, uint64_t target_hash, size_t replicas)
{
	size_t before = 0;
	for (size_t i = 0; i < r->n && before < replicas; i++) {
		before += ranks_before(r->names[i], r->self, target_hash);
	}
	return before < replicas;
}

static size_t insert_ranked(
	const char **ranked, size_t n, size_t max, const char *name, uint64_t target_hash)
{
	size_t at = n;
	while (at > 0 && ranks_before(name, ranked[at - 1], target_hash)) {
		at--;
	}
	if (at >= max) {
		return n;
	}
	size_t kept = OPS_MIN(n, max - 1);
	memmove(ranked + at + 1, ranked + at, (kept - at) * sizeof(*ranked));
	ranked[at] = name;
	return kept + 1;
}

size_t col_roster_ranking(
	const struct col_roster *r, uint64_t target_hash, size_t max, const char **ret)
{
	size_t n = insert_ranked(ret, 0, max, r->self, target_hash);
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(r->names[i], r->self) != 0) {
			n = insert_ranked(ret, n, max, r->names[i], target_hash);
		}
	}
	return n;
}

/* ---- on the bus ---- */

struct col_members {
	struct col_members_config cfg;
	struct col_roster roster;
	struct ops_sub *sub;
	struct ops_timer *timer;
	unsigned heartbeats;
	struct ops_members list; /* the last */
	enum col_share share;	 /* as last told */
};

static void settle(struct col_members *m, bool changed)
{
	enum col_share share =
		m->sub == NULL ? COL_SHARE_ALL : col_roster_share(&m->roster, ops_mono_ms());
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
	ops_timer_start_beat(m->timer, m->cfg.heartbeat_ms);
	if (!m->roster.listed || m->heartbeats % ANNOUNCE_EVERY == 0) {
		m->cfg.announce(m->cfg.arg);
	}
	m->heartbeats++;
	int64_t silent_ms = m->sub != NULL ? ops_sub_silent_ms(m->sub, NULL) : INT64_MAX;
	if (silent_ms != INT64_MAX) {
		col_roster_still(&m->roster, ops_mono_ms() - silent_ms);
	}
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
		bool changed = hear(m, &list);
		const struct ops_members last = m->list;
		m->list = list;
		list = last;
		if (!m->roster.listed) {
			m->cfg.announce(m->cfg.arg);
		}
		settle(m, changed);
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
	col_roster_init(&m->roster, cfg->self, GRACE_HEARTBEATS * cfg->heartbeat_ms, ops_mono_ms());
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
	ops_members_done(&m->list);
	free(m);
}

bool col_members_owns(const struct col_members *m, uint64_t target_hash, size_t replicas)
{
	switch (m->share) {
	case COL_SHARE_WAIT:
		return false;
	case COL_SHARE_ALL:
		return true;
	case COL_SHARE_HASHED:
		return col_roster_owns(&m->roster, target_hash, replicas);
	}
	return true;
}

size_t col_members_owners(
	const struct col_members *m, uint64_t target_hash, size_t replicas, const char **ret)
{
	if (m->share == COL_SHARE_HASHED) {
		return col_roster_ranking(&m->roster, target_hash, replicas, ret);
	}
	ret[0] = m->cfg.self;
	return m->share == COL_SHARE_ALL ? 1 : 0;
}

const struct ops_members *col_members_list(const struct col_members *m)
{
	return &m->list;
}

enum col_share col_members_share(const struct col_members *m)
{
	return m->share;
}

size_t col_members_count(const struct col_members *m)
{
	return m->roster.n;
}
