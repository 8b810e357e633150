/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A target is a job and an instance; collectors that scrape the same one send layouts with the same
 * names, usually the same layout. Leadership is decided by the times of the rows, not by when they
 * arrive, so that a replay after a gap or a restart comes to the same result as the live stream:
 *
 *   - who sends the first row leads;
 *   - a row of another collector that is no newer than the leader's last, half an interval more for
 *     scrapes that were not quite simultaneous, is dropped;
 *   - a newer one waits. When the leader's row for that time comes, it is dropped; when a second
 * one comes before that, the leader has missed a whole interval: its follower takes over, and what
 *     has waited is stored first. So a fail-over costs no row and doubles none;
 *   - a leader that says that it lets go, or is no member any more, is followed at once;
 *   - a row from before the leader's first one is the store's to judge: a collector that was cut
 * off brings what happened before its successor began.
 *
 * A leader's row in which everything is stale says that the target is gone from its configuration.
 * While another collector still sends the target, that is not stored.
 *
 * Layouts: a target may have several at a time, the current one of each collector and the one that
 * it had until the next batch. The store forgets one when no live collector has it any more and the
 * newest stored row has another: its series that went away become stale at that row's time. One
 * that comes back with it is asked to announce it again.
 */
#include "services/detector/replicas.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

enum {
	SILENT_MS = 24 * 3600 * 1000,
	INTERVAL_MAX_MS = 600000,
	ALIVE_LEAST_MS = 5000,
	HELD_MAX = 4
};

static struct ops_metric samples_total =
	OPS_COUNTER("ops_detector_samples_ingested_total", "Samples from collectors.");
static struct ops_metric batches_total =
	OPS_COUNTER("ops_detector_batches_total", "Batches, by what became of them.", "outcome");
static struct ops_metric dropped_total = OPS_COUNTER("ops_detector_replica_samples_dropped_total",
	"Samples of collectors whose rows of a target are not the ones that are stored.");
static struct ops_metric changes_total = OPS_COUNTER("ops_detector_leader_changes_total",
	"Times that the rows of a target were stored from another collector from then on, by what "
	"the one before did.",
	"reason");

struct stream { /* a collector's; lives as long as the whole */
	char *name;
	size_t led; /* targets */
};

struct source { /* of a target */
	const struct stream *stream;
	uint64_t current, previous; /* layouts; 0 = none. previous: until the next batch */
	int64_t heard_ms;	    /* monotonic */
	bool gone;		    /* the collector is no member now */
};

struct held {
	struct stream *stream;
	int64_t time_ms;
	char *payload;
	size_t len;
};

struct target {
	struct source *sources;
	size_t n, cap;
	struct stream *leader;	   /* NULL: whoever sends the next row */
	struct stream *led_last;   /* the leader, or the one that was it last */
	struct stream *led_before; /* and its predecessor */
	const char *ended;	   /* why led_last leads no more; NULL: it was silent */
	uint64_t stored;	   /* layout of the newest stored row */
	int64_t since_ms, last_ms, interval_ms; /* of the stored rows; since: of this leader */
	struct held held[HELD_MAX];
	size_t nheld;
	int64_t end_ms;	  /* of a last row that was dropped, since another lived; 0: none */
	int64_t heard_ms; /* monotonic */
};

struct det_replicas {
	struct det_store *store;
	struct ops_map *streams;   /* name -> struct stream */
	struct ops_map *targets;   /* job instance -> struct target */
	struct ops_map *by_layout; /* layout id -> struct target (not owned) */
	struct ops_strbuf scratch;
};

struct det_replicas *det_replicas_new(struct det_store *store)
{
	struct det_replicas *r = ops_xcalloc(1, sizeof(*r));
	r->store = store;
	r->streams = ops_map_new();
	r->targets = ops_map_new();
	r->by_layout = ops_map_new();
	ops_strbuf_init(&r->scratch);
	ops_metric_register(&dropped_total);
	return r;
}

static void drop_held(struct target *t, size_t first)
{
	for (size_t i = 0; i < first; i++) {
		free(t->held[i].payload);
	}
	t->nheld -= first;
	memmove(t->held, t->held + first, t->nheld * sizeof(t->held[0]));
}

static void target_free(void *arg)
{
	struct target *t = arg;
	drop_held(t, t->nheld);
	free(t->sources);
	free(t);
}

static void stream_free(void *arg)
{
	struct stream *s = arg;
	free(s->name);
	free(s);
}

void det_replicas_free(struct det_replicas *r)
{
	if (r == NULL) {
		return;
	}
	ops_map_free(r->by_layout, NULL);
	ops_map_free(r->targets, target_free);
	ops_map_free(r->streams, stream_free);
	ops_strbuf_done(&r->scratch);
	free(r);
}

/* ---- streams, targets, sources ---- */

static struct stream *stream_of(struct det_replicas *r, const char *name)
{
	struct stream *s = ops_map_gets(r->streams, name);
	if (s == NULL) {
		s = ops_xcalloc(1, sizeof(*s));
		s->name = ops_xstrdup(name);
		(void)ops_map_puts(r->streams, name, s);
	}
	return s;
}

static struct source *source_of(struct target *t, const struct stream *s)
{
	struct source *found = NULL;
	for (size_t i = 0; i < t->n && found == NULL; i++) {
		found = t->sources[i].stream == s ? &t->sources[i] : NULL;
	}
	if (found == NULL) {
		OPS_GROW(t->sources, t->n, t->cap);
		found = &t->sources[t->n++];
		*found = (struct source){.stream = s};
	}
	found->heard_ms = t->heard_ms = ops_mono_ms();
	found->gone = false;
	return found;
}

static bool source_alive(const struct target *t, const struct source *s)
{
	int64_t limit = OPS_MAX(t->interval_ms * 5 / 2, (int64_t)ALIVE_LEAST_MS);
	return s->current != 0 && !s->gone && ops_mono_ms() - s->heard_ms <= limit;
}

static bool another_lives(const struct target *t, const struct stream *but)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->sources[i].stream != but && source_alive(t, &t->sources[i])) {
			return true;
		}
	}
	return false;
}

static void set_leader(struct target *t, struct stream *leader)
{
	if (t->leader != NULL) {
		t->leader->led--;
	}
	t->leader = leader;
	if (leader != NULL) {
		leader->led++;
		t->led_last = leader;
	}
}

/* ---- layouts ---- */

static bool layout_used(const struct target *t, uint64_t id)
{
	bool used = t->stored == id;
	for (size_t i = 0; i < t->n && !used; i++) {
		const struct source *s = &t->sources[i];
		used = !s->gone && (s->current == id || s->previous == id);
	}
	return used;
}

static void retire_unused(
	struct det_replicas *r, const struct target *t, uint64_t id, int64_t time_ms)
{
	if (id != 0 && !layout_used(t, id) && ops_map_get(r->by_layout, &id, sizeof(id)) == t) {
		det_store_retire_layout(r->store, id, time_ms);
		(void)ops_map_remove(r->by_layout, &id, sizeof(id));
	}
}

static struct target *target_of(struct det_replicas *r, const char *key)
{
	struct target *t = ops_map_gets(r->targets, key);
	if (t == NULL) {
		t = ops_xcalloc(1, sizeof(*t));
		(void)ops_map_puts(r->targets, key, t);
	}
	return t;
}

static void change_layout(struct det_replicas *r, struct target *t, struct source *s, uint64_t id)
{
	uint64_t middle = 0;
	(void)ops_map_put(r->by_layout, &id, sizeof(id), t);
	if (s->current == id) {
		return;
	}
	if (s->previous == 0) {
		s->previous = s->current;
	} else {
		middle = s->current; /* no batch of it came: it never had samples */
	}
	if (s->previous == id) {
		s->previous = 0; /* back to what it was */
	}
	s->current = id;
	retire_unused(r, t, middle, 0);
}

void det_replicas_layout(struct det_replicas *r, const char *stream, const struct ops_layout *l)
{
	OPS_CLEANUP(ops_freep) char *key = ops_xasprintf("%s\n%s", l->job, l->instance);
	struct target *t = target_of(r, key);
	change_layout(r, t, source_of(t, stream_of(r, stream)), l->id);
}

void det_replicas_resume(struct det_replicas *r, uint64_t layout_id, const char *source)
{
	const char *end = strchr(source, '\n');
	size_t len = end != NULL ? (size_t)(end - source) : 0;
	OPS_CLEANUP(ops_freep) char *stream = ops_xstrndup(source, len);
	struct target *t = target_of(r, end != NULL ? end + 1 : source);
	struct stream *s = stream_of(r, stream);
	change_layout(r, t, source_of(t, s), layout_id);
	set_leader(t, s); /* others wait for what it has kept meanwhile */
}

/* ---- rows ---- */

static void drop_row(const struct ops_batch *b)
{
	ops_metric_add(&batches_total, 1, "replica");
	ops_metric_add(&dropped_total, (double)b->n);
}

/* A row of its current layout says that the one before is over. */
static void end_previous(
	struct det_replicas *r, struct target *t, struct source *s, const struct ops_batch *b)
{
	uint64_t previous = s->previous;
	if (s->current == b->layout_id && previous != 0) {
		s->previous = 0;
		retire_unused(r, t, previous, b->time_ms);
	}
}

static void note_stored(struct target *t, const struct ops_batch *b)
{
	int64_t step = b->time_ms - t->last_ms;
	if (t->last_ms != 0 && step > 0) {
		int64_t most = t->interval_ms != 0 ? t->interval_ms * 2 : step; /* a gap is none */
		t->interval_ms = OPS_MIN(OPS_MIN(step, most), (int64_t)INTERVAL_MAX_MS);
	}
	t->last_ms = OPS_MAX(t->last_ms, b->time_ms);
}

static int store_row(struct det_replicas *r, struct target *t, const struct ops_batch *b)
{
	int rc = det_store_append_batch(r->store, b);
	if (rc != 0) {
		ops_metric_add(&batches_total, 1, rc == 1 ? "layout_unknown" : "refused");
		return rc;
	}
	ops_metric_add(&batches_total, 1, "stored");
	ops_metric_add(&samples_total, (double)b->n);
	uint64_t before = t->stored;
	if (b->time_ms >= t->last_ms && before != b->layout_id) {
		t->stored = b->layout_id;
		retire_unused(r, t, before, b->time_ms);
	}
	return 0;
}

/* What waited for a time that the leader has told now. */
static void drop_answered(struct target *t)
{
	size_t n = 0;
	while (n < t->nheld && t->held[n].time_ms <= t->last_ms + t->interval_ms / 2) {
		n++;
	}
	drop_held(t, n);
}

static void lead(struct target *t, struct stream *s, int64_t time_ms)
{
	if (t->leader == s) {
		return;
	}
	if (t->led_last != s) {
		t->since_ms = time_ms;
		t->led_before = t->led_last;
	}
	if (t->led_last != NULL && t->led_last != s) {
		ops_metric_add(&changes_total, 1, t->ended != NULL ? t->ended : "silent");
	}
	t->ended = NULL;
	set_leader(t, s);
}

static int store_as_leader(
	struct det_replicas *r, struct target *t, struct stream *s, const struct ops_batch *b)
{
	int rc = store_row(r, t, b);
	if (rc != 0) {
		return rc;
	}
	lead(t, s, b->time_ms);
	note_stored(t, b);
	t->end_ms = 0;
	end_previous(r, t, source_of(t, s), b);
	drop_answered(t);
	return 0;
}

/* The one whose rows wait leads from here on; without one it is who sends the next row. */
static void follow_another(struct det_replicas *r, struct target *t, const char *reason)
{
	struct held held[HELD_MAX];
	size_t n = t->nheld;
	t->ended = reason;
	set_leader(t, NULL);
	memcpy(held, t->held, n * sizeof(held[0]));
	t->nheld = 0;
	for (size_t i = 0; i < n; i++) {
		struct ops_batch b;
		struct ops_error err;
		if (ops_batch_decode(held[i].payload, held[i].len, &r->scratch, &b, &err) == 0) {
			(void)store_as_leader(r, t, held[i].stream, &b); /* counted there */
		}
		free(held[i].payload);
	}
}

static void hold(struct det_replicas *r, struct target *t, struct stream *s,
	const struct ops_bus_message *m, const struct ops_batch *b)
{
	if (t->nheld > 0 && t->held[0].stream != s) {
		drop_row(b);
		return;
	}
	bool missed = t->nheld > 0 && b->time_ms > t->held[0].time_ms + t->interval_ms / 2;
	char *copy = ops_xmalloc(m->len);
	memcpy(copy, m->payload, m->len);
	t->held[t->nheld++] = (struct held){s, b->time_ms, copy, m->len};
	if (missed || t->nheld == HELD_MAX) {
		follow_another(r, t, "silent");
	}
}

static bool all_stale(const struct ops_batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (!ops_is_stale(b->values[i])) {
			return false;
		}
	}
	return b->n > 0;
}

static void drop_held_of(struct target *t, const struct stream *s)
{
	if (t->nheld > 0 && t->held[0].stream == s) {
		drop_held(t, t->nheld);
	}
}

/* The source has nothing more to say; what it had is kept while others or the store need it. */
static void end_source(struct det_replicas *r, struct target *t, struct stream *s)
{
	struct source *source = source_of(t, s);
	uint64_t ids[] = {source->current, source->previous};
	source->current = source->previous = 0;
	drop_held_of(t, s);
	for (size_t i = 0; i < OPS_LENGTH(ids); i++) {
		retire_unused(r, t, ids[i], 0);
	}
}

/* Of the time that its predecessor had alone. */
static bool fills_gap(const struct target *t, const struct stream *s, const struct ops_batch *b)
{
	return t->led_before == s && b->time_ms < t->since_ms - t->interval_ms / 2;
}

static bool told_already(const struct target *t, const struct ops_batch *b)
{
	return t->last_ms != 0 && b->time_ms <= t->last_ms + t->interval_ms / 2;
}

/* The last that anybody says of the target: nothing comes behind it. */
static int store_end(
	struct det_replicas *r, struct target *t, struct stream *s, const struct ops_batch *b)
{
	struct ops_batch last = *b;
	last.time_ms = OPS_MAX(b->time_ms, t->last_ms + 1);
	int rc = store_row(r, t, &last);
	t->last_ms = OPS_MAX(t->last_ms, last.time_ms);
	t->ended = "ended";
	end_source(r, t, s);
	set_leader(t, NULL);
	drop_held(t, t->nheld);
	return rc;
}

/* 0, or what the store has against it. */
static int on_row(struct det_replicas *r, struct target *t, struct stream *s,
	const struct ops_bus_message *m, const struct ops_batch *b)
{
	struct source *source = source_of(t, s);
	bool another = t->led_last != NULL && t->led_last != s;
	if (source->current == 0) { /* it announced that before we started */
		source->current = b->layout_id;
	}
	if (all_stale(b)) {
		if (!another_lives(t, s)) {
			return store_end(r, t, s, b);
		}
		drop_row(b);
		end_source(r, t, s);
		t->end_ms = b->time_ms;
		if (t->leader == s) {
			follow_another(r, t, "ended");
		}
	} else if (another && fills_gap(t, s, b)) {
		return store_row(r, t, b);
	} else if (another && told_already(t, b)) {
		drop_row(b);
		end_previous(r, t, source, b);
	} else if (t->leader != NULL && t->leader != s) {
		hold(r, t, s, m, b);
	} else {
		return store_as_leader(r, t, s, b);
	}
	return 0;
}

int det_replicas_batch(
	struct det_replicas *r, const struct ops_bus_message *m, uint64_t *ret_layout)
{
	struct ops_batch b;
	struct ops_error err;
	if (ops_batch_decode(m->payload, m->len, &r->scratch, &b, &err) != 0) {
		ops_metric_add(&batches_total, 1, "refused");
		log_warn(
			"refused a batch", F_STR("stream", m->stream), F_STR("error", err.message));
		return -EINVAL;
	}
	*ret_layout = b.layout_id;
	struct target *t = ops_map_get(r->by_layout, &b.layout_id, sizeof(b.layout_id));
	if (t == NULL) {
		ops_metric_add(&batches_total, 1, "layout_unknown");
		return 1;
	}
	return on_row(r, t, stream_of(r, m->stream), m, &b);
}

/* ---- collectors that go ---- */

void det_replicas_release(struct det_replicas *r, const char *stream, uint64_t layout_id)
{
	struct stream *s = stream_of(r, stream);
	struct target *t = ops_map_get(r->by_layout, &layout_id, sizeof(layout_id));
	if (t == NULL) {
		return;
	}
	end_source(r, t, s);
	if (t->leader == s) {
		follow_another(r, t, "released");
	}
}

/* One said that the target is no more, and the others that were thought to have it are gone. */
static void end_after_all(struct det_replicas *r, struct target *t)
{
	uint64_t stored = t->stored;
	if (t->end_ms == 0 || stored == 0 || another_lives(t, NULL)) {
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		t->sources[i].current = t->sources[i].previous = 0;
	}
	t->stored = 0;
	retire_unused(r, t, stored, OPS_MAX(t->end_ms, t->last_ms + 1));
	t->end_ms = 0;
}

void det_replicas_gone(struct det_replicas *r, const char *stream)
{
	struct stream *s = ops_map_gets(r->streams, stream);
	struct ops_map_entry e;
	if (s == NULL) {
		return;
	}
	for (size_t at = 0; ops_map_next(r->targets, &at, &e);) {
		struct target *t = e.value;
		for (size_t i = 0; i < t->n; i++) {
			t->sources[i].gone |= t->sources[i].stream == s;
		}
		drop_held_of(t, s);
		if (t->leader == s) {
			follow_another(r, t, "gone");
		}
		end_after_all(r, t);
	}
}

static void forget_target(struct det_replicas *r, struct target *t)
{
	uint64_t stored = t->stored;
	t->stored = 0;
	for (size_t i = 0; i < t->n; i++) {
		uint64_t ids[] = {t->sources[i].current, t->sources[i].previous};
		t->sources[i].current = t->sources[i].previous = 0;
		retire_unused(r, t, ids[0], 0);
		retire_unused(r, t, ids[1], 0);
	}
	retire_unused(r, t, stored, 0);
	set_leader(t, NULL);
	target_free(t);
}

void det_replicas_maintain(struct det_replicas *r)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(r->targets, &at, &e);) {
		struct target *t = e.value;
		if (ops_mono_ms() - t->heard_ms > SILENT_MS) {
			(void)ops_map_remove(r->targets, e.key, e.len);
			forget_target(r, t);
		}
	}
}

void det_replicas_stats(const struct det_replicas *r, struct det_replicas_stats *ret)
{
	struct ops_map_entry e;
	*ret = (struct det_replicas_stats){.targets = ops_map_count(r->targets)};
	for (size_t at = 0; ops_map_next(r->targets, &at, &e);) {
		const struct target *t = e.value;
		size_t alive = 0;
		for (size_t i = 0; i < t->n; i++) {
			alive += source_alive(t, &t->sources[i]);
		}
		ret->replicated += alive > 1;
	}
}

size_t det_replicas_led(const struct det_replicas *r, const char *stream)
{
	const struct stream *s = ops_map_gets(r->streams, stream);
	return s != NULL ? s->led : 0;
}
