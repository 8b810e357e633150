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
 *   - so is one whose scrape failed (its column `up` is 0) when the last GOOD_LEAST scrapes of
 *     another one succeeded: that one leads from this row on. A follower that fails every now and
 *     then does not take over, and who has taken over leads until its own scrapes fail;
 *   - a row from before the leader's first one is the store's to judge: a collector that was cut
 * off brings what happened before its successor began.
 *
 * A leader's row in which everything is stale says that the target is gone from its configuration.
 * While another collector still sends the target, that is not stored.
 */
#include "services/detector/replicas_internal.h"

#include <errno.h>
#include <string.h>

#include "common/base/map.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

enum {
	GOOD_LEAST = 3
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

void det_replicas_register(void)
{
	ops_metric_register(&dropped_total);
}

static void drop_row(const struct ops_batch *b)
{
	ops_metric_add(&batches_total, 1, "replica");
	ops_metric_add(&dropped_total, (double)b->n);
}

/* A row of its current layout says that the one before is over. */
static void end_previous(struct det_replicas *r, struct det_rep_target *t, struct det_rep_source *s,
	const struct ops_batch *b)
{
	uint64_t previous = s->previous;
	if (s->current == b->layout_id && previous != 0) {
		s->previous = 0;
		det_retire_unused(r, t, previous, b->time_ms);
	}
}

static void note_stored(struct det_rep_target *t, const struct ops_batch *b)
{
	int64_t step = b->time_ms - t->last_ms;
	if (t->last_ms != 0 && step > 0) { /* a gap is none, nor is a scrape that was late */
		int64_t most = t->interval_ms != 0 ? t->interval_ms * 2 : step;
		int64_t known = OPS_MAX(OPS_MIN(step, most), t->interval_ms / 2);
		t->interval_ms = OPS_MIN(known, (int64_t)DET_INTERVAL_MAX_MS);
	}
	t->last_ms = OPS_MAX(t->last_ms, b->time_ms);
}

static int store_row(struct det_replicas *r, struct det_rep_target *t, const struct ops_batch *b)
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
		det_retire_unused(r, t, before, b->time_ms);
	}
	return 0;
}

/* What waited for a time that the leader has told now. */
static void drop_answered(struct det_rep_target *t)
{
	size_t n = 0;
	while (n < t->nheld && t->held[n].time_ms <= t->last_ms + t->interval_ms / 2) {
		n++;
	}
	det_drop_held(t, n);
}

static void lead(struct det_rep_target *t, struct det_rep_stream *s, int64_t time_ms)
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
	det_set_leader(t, s);
}

static int store_as_leader(struct det_replicas *r, struct det_rep_target *t,
	struct det_rep_stream *s, const struct ops_batch *b)
{
	int rc = store_row(r, t, b);
	if (rc != 0) {
		return rc;
	}
	lead(t, s, b->time_ms);
	note_stored(t, b);
	t->end_ms = 0;
	end_previous(r, t, det_source_of(t, s), b);
	drop_answered(t);
	return 0;
}

void det_follow_another(struct det_replicas *r, struct det_rep_target *t, const char *reason)
{
	struct det_rep_held held[DET_HELD_MAX];
	size_t n = t->nheld;
	t->ended = reason;
	det_set_leader(t, NULL);
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

static void hold(struct det_replicas *r, struct det_rep_target *t, struct det_rep_stream *s,
	const struct ops_bus_message *m, const struct ops_batch *b)
{
	if (t->nheld > 0 && t->held[0].stream != s) {
		drop_row(b);
		return;
	}
	bool missed = t->nheld > 0 && b->time_ms > t->held[0].time_ms + t->interval_ms / 2;
	char *copy = ops_xmalloc(m->len);
	memcpy(copy, m->payload, m->len);
	t->held[t->nheld++] = (struct det_rep_held){s, b->time_ms, copy, m->len};
	if (missed || t->nheld == DET_HELD_MAX) {
		det_follow_another(r, t, "silent");
	}
}

/* ---- whose scrapes fail ---- */

/* The batch's own word on whether the scrape succeeded; -1: it says nothing. */
static int batch_up(struct det_replicas *r, const struct ops_batch *b)
{
	const uint64_t id = b->layout_id;
	uintptr_t at = (uintptr_t)ops_map_get(r->up, &id, sizeof(id));
	if (at == 0 && det_store_has_layout(r->store, id)) {
		at = (uintptr_t)(det_store_report_column(r->store, id, "up") + 2);
		(void)ops_map_put(r->up, &id, sizeof(id), (void *)at);
	}
	size_t column = at - 2;
	return at < 2 || column >= b->n || ops_is_stale(b->values[column]) ? -1
	       : b->values[column] != 0					   ? 1
									   : 0;
}

/* A change of layout makes two rows of one scrape. */
static void note_scrape(struct det_replicas *r, struct det_rep_source *s, const struct ops_batch *b)
{
	int up = batch_up(r, b);
	if (up < 0 || b->time_ms < s->row_ms) {
		return;
	}
	s->failed = up == 0;
	s->good = s->failed ? 0 : s->good + (b->time_ms > s->row_ms && s->good < GOOD_LEAST);
	s->row_ms = b->time_ms;
}

/* One that may take over from s, whose scrape of that time failed: preferably the one whose rows
 * wait; NULL: none. */
static struct det_rep_stream *better_than(
	const struct det_rep_target *t, const struct det_rep_stream *s, int64_t time_ms)
{
	struct det_rep_stream *found = NULL;
	for (size_t i = 0; i < t->n; i++) {
		const struct det_rep_source *x = &t->sources[i];
		if (x->stream == s || x->good < GOOD_LEAST || !det_source_alive(t, x) ||
			time_ms - x->row_ms > t->interval_ms * 3 / 2) {
			continue;
		}
		if (found == NULL || (t->nheld > 0 && t->held[0].stream == x->stream)) {
			found = x->stream;
		}
	}
	return found;
}

static void follow_better(struct det_replicas *r, struct det_rep_target *t,
	struct det_rep_stream *better, int64_t time_ms)
{
	if (t->nheld > 0 && t->held[0].stream != better) {
		det_drop_held(t, t->nheld);
	}
	det_follow_another(r, t, "failed");
	lead(t, better, time_ms);
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

/* Of the time that its predecessor had alone. */
static bool fills_gap(
	const struct det_rep_target *t, const struct det_rep_stream *s, const struct ops_batch *b)
{
	return t->led_before == s && b->time_ms < t->since_ms - t->interval_ms / 2;
}

static bool told_already(const struct det_rep_target *t, const struct ops_batch *b)
{
	return t->last_ms != 0 && b->time_ms <= t->last_ms + t->interval_ms / 2;
}

/* The last that anybody says of the target: nothing comes behind it. */
static int store_end(struct det_replicas *r, struct det_rep_target *t, struct det_rep_stream *s,
	const struct ops_batch *b)
{
	struct ops_batch last = *b;
	last.time_ms = OPS_MAX(b->time_ms, t->last_ms + 1);
	int rc = store_row(r, t, &last);
	t->last_ms = OPS_MAX(t->last_ms, last.time_ms);
	t->ended = "ended";
	det_end_source(r, t, s);
	det_set_leader(t, NULL);
	det_drop_held(t, t->nheld);
	return rc;
}

/* 0, or what the store has against it. */
static int on_row(struct det_replicas *r, struct det_rep_target *t, struct det_rep_stream *s,
	const struct ops_bus_message *m, const struct ops_batch *b)
{
	struct det_rep_source *source = det_source_of(t, s);
	bool another = t->led_last != NULL && t->led_last != s;
	if (t->n > 1) { /* alone it leads anyway */
		note_scrape(r, source, b);
	}
	if (source->current == 0) { /* it announced that before we started */
		source->current = b->layout_id;
	}
	if (all_stale(b)) {
		if (!det_another_lives(t, s)) {
			return store_end(r, t, s, b);
		}
		drop_row(b);
		det_end_source(r, t, s);
		t->end_ms = b->time_ms;
		if (t->leader == s) {
			det_follow_another(r, t, "ended");
		}
	} else if (another && fills_gap(t, s, b)) {
		return store_row(r, t, b);
	} else if (another && told_already(t, b)) {
		drop_row(b);
		end_previous(r, t, source, b);
	} else if (t->leader != NULL && t->leader != s) {
		hold(r, t, s, m, b);
	} else {
		struct det_rep_stream *better =
			source->failed ? better_than(t, s, b->time_ms) : NULL;
		if (better == NULL) {
			return store_as_leader(r, t, s, b);
		}
		drop_row(b);
		follow_better(r, t, better, b->time_ms);
		end_previous(r, t, det_source_of(t, s), b);
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
	struct det_rep_target *t = ops_map_get(r->by_layout, &b.layout_id, sizeof(b.layout_id));
	if (t == NULL) {
		ops_metric_add(&batches_total, 1, "layout_unknown");
		return 1;
	}
	return on_row(r, t, det_stream_of(r, m->stream), m, &b);
}
