/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subscription's checkpoint follows what the store has on its disk: about once a second what
 * was applied is marked, and the mark is committed when all of it is durable. So collectors keep
 * what a power cut could still take away and no more. Without a directory nothing is committed, and
 * a restart begins at the oldest record of each collector's ring.
 *
 * Layouts and batches go to the replicas (replicas.h), which see to it that a target that several
 * collectors send is stored once. The store remembers who feeds a layout, so a restart goes on with
 * the layouts that were. One is on disk with its first row: no mark is taken between the two.
 *
 * A batch whose layout is not known is counted and dropped. It can only be the head of a ring that
 * wrapped, or the store has lost the layout: the collector is asked for all of them.
 */
#include "services/detector/ingest.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/msg/msg.h"
#include "services/detector/replicas.h"

enum {
	HEARTBEAT_MS = 1000,
	MEMBERS_MAX = 1024,
	MAINTAIN_MS = 60000,
	COMMIT_MS = 1000,
	MARKS_LEFT_OUT_MAX = 5,
	LACKS_AGAIN_MS = 1000,
	/* Heartbeats: the list goes out with each at first, for those who had the one of before. */
	LIST_OFTEN = 10,
	LIST_EVERY = 5
};

static struct ops_metric layouts_total =
	OPS_COUNTER("ops_detector_layouts_total", "Layouts, by what became of them.", "outcome");
static struct ops_metric refused_total = OPS_COUNTER("ops_detector_messages_refused_total",
	"Messages of collectors that are neither layout nor batch and could not be used.",
	"reason");
static struct ops_metric members_gauge =
	OPS_GAUGE("ops_detector_collectors", "Collectors heard of lately.");
static struct ops_metric lost_total = OPS_COUNTER(
	"ops_detector_sample_records_lost_total", "Records that no collector has any more.");

struct member {
	struct ops_member m;
	int64_t heard_ms; /* monotonic */
};

struct det_ingest {
	struct det_ingest_config cfg;
	struct ops_sub *sub;
	struct ops_timer *heartbeat, *maintain, *commit;
	int64_t heartbeat_ms;
	uint64_t heartbeats;
	uint64_t moment;	 /* of the mark that is not committed yet; 0: none */
	unsigned marks_left_out; /* in a row */
	int64_t lacked_ms;	 /* monotonic */
	struct ops_map *members; /* instance -> struct member */
	struct ops_map *unfed;	 /* ids of layouts without a row, since the last mark */
	struct det_replicas *replicas;
	struct ops_strbuf scratch;
};

/* ---- layouts and batches ---- */

static void on_layout(struct det_ingest *in, const struct ops_bus_message *m)
{
	struct ops_layout *l = NULL;
	struct ops_error err;
	if (ops_layout_decode(m->payload, m->len, &l, &err) != 0) {
		ops_metric_add(&layouts_total, 1, "refused");
		log_warn("refused a layout", F_STR("stream", m->stream),
			F_STR("error", err.message));
		return;
	}
	OPS_CLEANUP(ops_freep)
	char *source = ops_xasprintf("%s\n%s\n%s", m->stream, l->job, l->instance);
	int rc = det_store_layout(in->cfg.store, l);
	det_store_feed(in->cfg.store, l->id, source);
	ops_metric_add(&layouts_total, 1, rc == 0 ? "new" : "known");
	det_replicas_layout(in->replicas, m->stream, l);
	if (rc == 0) {
		ops_map_put(in->unfed, &l->id, sizeof(l->id), in);
	}
	ops_layout_free(l);
}

/* The store goes on with it after a restart; of a target's layouts the newest comes last. */
static void on_resumed(void *arg, const struct det_store_resumed *resumed)
{
	struct det_ingest *in = arg;
	det_replicas_resume(in->replicas, resumed);
}

static void lacks_layout(struct det_ingest *in, const char *stream)
{
	int64_t now_ms = ops_mono_ms();
	if (in->lacked_ms == 0 || now_ms - in->lacked_ms >= LACKS_AGAIN_MS) {
		in->lacked_ms = now_ms;
		ops_sub_lacks(in->sub, stream);
	}
}

static void on_batch(struct det_ingest *in, const struct ops_bus_message *m)
{
	uint64_t id = 0;
	int rc = det_replicas_batch(in->replicas, m, &id);
	if (rc == 1) {
		lacks_layout(in, m->stream);
	} else if (rc == 0 && ops_map_count(in->unfed) != 0) {
		(void)ops_map_remove(in->unfed, &id, sizeof(id));
	}
}

/* Several in one message; what follows a malformed one cannot be found. */
static void on_batches(struct det_ingest *in, const struct ops_bus_message *m)
{
	struct ops_bus_message one = *m;
	struct ops_error err;
	det_store_hold_log(in->cfg.store, true);
	for (size_t at = 0; at < m->len; at += one.len) {
		one.payload = m->payload + at;
		if (ops_batch_size(one.payload, m->len - at, &one.len, &err) != 0) {
			one.len = m->len - at; /* refused there, too */
		}
		on_batch(in, &one);
	}
	det_store_hold_log(in->cfg.store, false);
}

struct released { /* by whom */
	struct det_ingest *in;
	const char *stream;
};

static void on_released_id(void *arg, uint64_t layout_id)
{
	const struct released *r = arg;
	det_replicas_release(r->in->replicas, r->stream, layout_id);
}

static void on_released(struct det_ingest *in, const struct ops_bus_message *m)
{
	struct released r = {in, m->stream};
	struct ops_error err;
	if (ops_released_decode(m->payload, m->len, on_released_id, &r, &err) != 0) {
		ops_metric_add(&refused_total, 1, "bad_released");
		log_warn("refused what a collector lets go of", F_STR("stream", m->stream),
			F_STR("error", err.message));
	}
}

static void on_exemplars(struct det_ingest *in, const struct ops_bus_message *m)
{
	struct ops_error err;
	if (in->cfg.on_exemplar == NULL) {
		return;
	}
	if (ops_exemplars_decode(m->payload, m->len, in->cfg.on_exemplar, in->cfg.arg, &err) != 0) {
		ops_metric_add(&refused_total, 1, "bad_exemplars");
	}
}

/* What a collector's doors received. */
static void on_received(struct det_ingest *in, const struct ops_bus_message *m)
{
	struct ops_error err;
	ops_strbuf_reset(&in->scratch);
	ops_strbuf_add(&in->scratch, m->payload, m->len);
	if (in->cfg.receive(in->cfg.arg, &in->scratch, &err) != 0) {
		ops_metric_add(&refused_total, 1, "bad_received");
		log_warn("refused received samples", F_STR("stream", m->stream),
			F_STR("error", err.message));
	}
}

/* ---- members ---- */

static void member_free(void *member)
{
	struct member *e = member;
	if (e != NULL) {
		ops_member_done(&e->m);
		free(e);
	}
}

static void publish_members(struct det_ingest *in)
{
	struct ops_members list = {NULL, 0, 0};
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(in->members, &at, &e)) {
		OPS_GROW(list.items, list.n, list.cap);
		list.items[list.n++] = ((struct member *)e.value)->m; /* borrowed */
	}
	struct ops_event event = {.source = "ops-detector",
		.type = "ops.members",
		.data = ops_members_to_json(&list)};
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf payload = OPS_STRBUF_INIT;
	ops_event_encode(&event, &payload);
	int rc = ops_pub_send_volatile(
		in->cfg.alerts, "members/collector", payload.data, payload.len);
	if (rc != 0) {
		log_warn("could not publish the member list", F_ERR(rc));
	}
	free(list.items);
}

static void on_announcement(struct det_ingest *in, const struct ops_bus_message *m)
{
	struct ops_event e;
	json_t *doc = NULL;
	struct ops_error err;
	struct ops_member member = {NULL, NULL, NULL, 0};
	int rc = ops_event_decode(m->payload, m->len, &e, &doc, &err);
	if (rc == 0) {
		rc = ops_member_from_json(e.data, &member, &err);
	}
	json_decref(doc);
	if (rc != 0) {
		ops_metric_add(&refused_total, 1, "bad_announcement");
		log_warn("refused a collector's announcement", F_STR("error", err.message));
		return;
	}
	struct member *old = ops_map_gets(in->members, member.instance);
	if (old == NULL && ops_map_count(in->members) >= MEMBERS_MAX) {
		ops_metric_add(&refused_total, 1, "too_many_members");
		ops_member_done(&member);
		return;
	}
	bool news = old == NULL || old->m.started_ms != member.started_ms;
	struct member *next = ops_xcalloc(1, sizeof(*next));
	next->m = member;
	next->heard_ms = ops_mono_ms();
	member_free(ops_map_puts(in->members, member.instance, next));
	if (news) {
		log_info("a collector joined", F_STR("instance", next->m.instance));
		publish_members(in);
	}
}

static char *stream_name(const struct ops_member *m)
{
	return ops_xasprintf("samples/%s", m->instance);
}

/*
 * Three heartbeats and a half: one may be late, and one be on its way. Announcements are rarer than
 * heartbeats, so those of its stream count too. True: somebody was dropped.
 */
static bool drop_silent_members(struct det_ingest *in)
{
	size_t before = ops_map_count(in->members), at = 0;
	struct ops_map_entry e;
	while (ops_map_next(in->members, &at, &e)) {
		struct member *m = e.value;
		OPS_CLEANUP(ops_freep) char *stream = stream_name(&m->m);
		int64_t silent_ms =
			OPS_MIN(ops_mono_ms() - m->heard_ms, ops_sub_silent_ms(in->sub, stream));
		if (silent_ms > in->heartbeat_ms * 7 / 2) {
			log_warn("a collector went silent", F_STR("instance", m->m.instance));
			det_replicas_gone(in->replicas, stream);
			ops_map_remove(in->members, e.key, e.len);
			member_free(m);
		}
	}
	return ops_map_count(in->members) != before;
}

static void on_heartbeat(void *arg)
{
	struct det_ingest *in = arg;
	bool changed = drop_silent_members(in);
	if (changed || in->heartbeats < LIST_OFTEN || ops_map_count(in->members) == 0 ||
		in->heartbeats % LIST_EVERY == 0) {
		publish_members(in);
	}
	in->heartbeats++;
	ops_metric_set(&members_gauge, (double)ops_map_count(in->members));
	ops_timer_start_beat(in->heartbeat, in->heartbeat_ms);
}

static void on_maintain(void *arg)
{
	struct det_ingest *in = arg;
	det_replicas_maintain(in->replicas);
	det_store_maintain(in->cfg.store, ops_now_ms());
#ifdef __GLIBC__
	(void)malloc_trim(0); /* what a burst of layouts or a large query took */
#endif
	ops_timer_start(in->maintain, MAINTAIN_MS);
}

static void on_commit(void *arg)
{
	struct det_ingest *in = arg;
	if (in->moment != 0 && det_store_durable(in->cfg.store, in->moment)) {
		ops_sub_commit(in->sub);
		in->moment = 0;
	}
	if (ops_map_count(in->unfed) != 0 && in->marks_left_out < MARKS_LEFT_OUT_MAX) {
		in->marks_left_out++;
	} else if (in->moment == 0) {
		ops_sub_mark(in->sub);
		in->moment = det_store_moment(in->cfg.store);
		in->marks_left_out = 0;
		ops_map_free(in->unfed, NULL);
		in->unfed = ops_map_new();
	}
	ops_timer_start_beat(in->commit, COMMIT_MS);
}

/* ---- the stream ---- */

void det_ingest_message(struct det_ingest *in, const struct ops_bus_message *m)
{
	if (ops_str_starts(m->topic, "batch/")) {
		on_batch(in, m);
	} else if (strcmp(m->topic, OPS_BATCHES_TOPIC) == 0) {
		on_batches(in, m);
	} else if (ops_str_starts(m->topic, "layout/")) {
		on_layout(in, m);
	} else if (strcmp(m->topic, OPS_EXEMPLARS_TOPIC) == 0) {
		on_exemplars(in, m);
	} else if (strcmp(m->topic, OPS_RECEIVED_TOPIC) == 0 && in->cfg.receive != NULL) {
		on_received(in, m);
	} else if (strcmp(m->topic, OPS_RELEASED_TOPIC) == 0) {
		on_released(in, m);
	} else if (strcmp(m->topic, "members/collector") == 0) {
		on_announcement(in, m);
	} else {
		ops_metric_add(&refused_total, 1, "unknown_topic");
	}
}

static int on_message(void *arg, const struct ops_bus_message *m)
{
	det_ingest_message(arg, m);
	return 0; /* what could not be used would not get better by coming again */
}

static void on_event(void *arg, enum ops_sub_event event, const char *stream, uint64_t count)
{
	(void)arg;
	if (event == OPS_SUB_LOST) {
		ops_metric_add(&lost_total, (double)count);
		log_error("samples are lost: a collector's ring wrapped before they were read",
			F_STR("stream", stream), F_UINT("records", count));
	} else if (event == OPS_SUB_RESET) {
		log_info("a collector started over", F_STR("stream", stream));
	}
}

int det_ingest_open(
	const struct det_ingest_config *cfg, struct det_ingest **ret, struct ops_error *err)
{
	struct det_ingest *in = ops_xcalloc(1, sizeof(*in));
	in->cfg = *cfg;
	in->members = ops_map_new();
	in->heartbeat_ms = cfg->heartbeat_ms != 0 ? cfg->heartbeat_ms : HEARTBEAT_MS;
	in->replicas = det_replicas_new(cfg->store);
	in->unfed = ops_map_new();
	ops_strbuf_init(&in->scratch);
	const struct ops_sub_config sub = {.name = "ops-detector",
		.url = cfg->listen,
		.listen = true,
		.checkpoint_dir = cfg->checkpoint_dir,
		.commits = true,
		.key = cfg->key,
		.tls = cfg->tls,
		.on_message = on_message,
		.on_event = on_event,
		.arg = in};
	det_store_resume(cfg->store, on_resumed, in);
	int rc = ops_sub_open(cfg->loop, &sub, &in->sub, err);
	if (rc != 0) {
		det_ingest_close(in);
		return rc;
	}
	in->heartbeat = ops_timer_new(cfg->loop, on_heartbeat, in);
	in->maintain = ops_timer_new(cfg->loop, on_maintain, in);
	in->commit = ops_timer_new(cfg->loop, on_commit, in);
	ops_timer_start(in->heartbeat, 0);
	ops_timer_start_beat(in->commit, COMMIT_MS);
	ops_timer_start(in->maintain, MAINTAIN_MS);
	*ret = in;
	return 0;
}

void det_ingest_close(struct det_ingest *in)
{
	if (in == NULL) {
		return;
	}
	ops_timer_free(in->heartbeat);
	ops_timer_free(in->maintain);
	ops_timer_free(in->commit);
	ops_sub_close(in->sub);
	ops_map_free(in->members, member_free);
	ops_map_free(in->unfed, NULL);
	det_replicas_free(in->replicas);
	ops_strbuf_done(&in->scratch);
	free(in);
}

size_t det_ingest_members(const struct det_ingest *in)
{
	return ops_map_count(in->members);
}

json_t *det_ingest_members_json(const struct det_ingest *in)
{
	json_t *list = json_array();
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(in->members, &at, &e);) {
		const struct member *m = e.value;
		OPS_CLEANUP(ops_freep) char *stream = stream_name(&m->m);
		json_t *j = json_object();
		ops_json_set_string(j, "instance", m->m.instance);
		ops_json_set_string(j, "url", m->m.url != NULL ? m->m.url : "");
		ops_json_set_string(j, "replayUrl", m->m.replay_url);
		ops_json_set_time(j, "started", m->m.started_ms);
		ops_json_set_i64(j, "targetsLed", (int64_t)det_replicas_led(in->replicas, stream));
		int r = json_array_append_new(list, j);
		ops_assert(r == 0);
	}
	return list;
}

size_t det_ingest_replicated(const struct det_ingest *in)
{
	struct det_replicas_stats stats;
	det_replicas_stats(in->replicas, &stats);
	return stats.replicated;
}

bool det_ingest_live(const struct det_ingest *in)
{
	return ops_sub_live(in->sub);
}

uint64_t det_ingest_lag(const struct det_ingest *in)
{
	return ops_sub_lag(in->sub);
}
