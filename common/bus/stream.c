/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule is one: only number `next` of `epoch` is given to the handler. Whatever else arrives is
 * a duplicate (skipped), a gap (dropped, and asked for), or of another epoch (not routed here).
 * Nothing is kept in memory while something is missing: the publisher's log is the buffer, and
 * under overload the live frames become a hint that there is more to ask for.
 *
 * One request is out at a time. Its answer says which numbers it accounts for, so a hole in the log
 * becomes a counted loss and never a loop. Another request follows at once while there is progress
 * to make, otherwise after a back-off: when the publisher does not answer, or when the handler
 * refuses.
 *
 * That the epoch changed, or that the publisher lost its tail (its head is below what we have), is
 * believed only from the replay door, whose answer carries our nonce; a heartbeat could be an old
 * one that somebody recorded. Without a door the heartbeat must do.
 *
 * What the checkpoint says is what the publisher may forget. It is where we are, or, when what is
 * applied becomes durable later, where we were at the last mark that was committed.
 */
#include "common/bus/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/bus/counters.h"
#include "common/bus/position.h"
#include "common/bus/replay.h"

enum {
	REQUEST_RECORDS = 1000,
	REQUEST_TIMEOUT_MS = 3000,
	BACKOFF_BASE_MS = 100,
	BACKOFF_CAP_MS = 5000,
	ACK_EVERY_MS = 5000,
	IDLE_CLOSE_MS = 60000
};

struct ops_stream {
	struct ops_stream_owner *owner;
	char *name, *replay_url;
	bool started;	  /* epoch and next are known */
	bool catching_up; /* a gap was told and is not closed */
	bool asking;	  /* a request is out */
	bool refused;	  /* the handler does not want `next` now */
	bool suspicious;  /* the heartbeat does not fit: ask even if nothing is missing */
	bool lacks;	  /* what the oldest records said: ask for them, to be told it anew */
	uint64_t epoch, next, head;
	struct place {
		uint64_t epoch, next; /* 0: nowhere */
	} marked, safe;		      /* unless the checkpoint follows `next` */
	uint64_t told_acked;
	int64_t heard_ms, interval_ms, asked_ms;
	unsigned attempts;
	struct ops_position *position; /* NULL: memory only */
	bool dirty;
	struct ops_req *req;
	struct ops_timer *timer; /* running: asks when it fires */
	struct ops_strbuf scratch;
};

static void on_ask_timer(void *arg);

int ops_stream_new(struct ops_stream_owner *owner, const char *name, struct ops_stream **ret)
{
	struct ops_position *position = NULL;
	const struct ops_sub_config *cfg = owner->cfg;

	if (cfg->checkpoint_dir != NULL) {
		int r = ops_position_open(cfg->checkpoint_dir, cfg->name, name, &position);
		if (r != 0)
			return r;
	}
	struct ops_stream *st = ops_xcalloc(1, sizeof(*st));
	st->owner = owner;
	st->name = ops_xstrdup(name);
	st->position = position;
	st->timer = ops_timer_new(owner->loop, on_ask_timer, st);
	*ret = st;
	return 0;
}

static void free_stream(void *arg)
{
	struct ops_stream *st = arg;

	ops_strbuf_done(&st->scratch);
	free(st->replay_url);
	free(st->name);
	free(st);
}

/* Its own callbacks may be on the stack: the memory goes at the end of the turn. */
void ops_stream_free(struct ops_stream *st)
{
	ops_stream_flush(st);
	ops_position_close(st->position);
	st->position = NULL;
	ops_req_close(st->req);
	st->req = NULL;
	ops_timer_free(st->timer);
	st->timer = NULL;
	ops_bus_counters_forget(st->name);
	ops_loop_defer(st->owner->loop, free_stream, st);
}

const char *ops_stream_name(const struct ops_stream *st)
{
	return st->name;
}

uint64_t ops_stream_epoch(const struct ops_stream *st)
{
	return st->epoch;
}

uint64_t ops_stream_lag(const struct ops_stream *st)
{
	return st->started && st->head >= st->next ? st->head + 1 - st->next : 0;
}

int64_t ops_stream_silent_ms(const struct ops_stream *st, int64_t now_ms)
{
	return now_ms - st->heard_ms;
}

bool ops_stream_heard(const struct ops_stream *st, int64_t now_ms)
{
	return ops_stream_silent_ms(st, now_ms) <= 3 * st->interval_ms;
}

bool ops_stream_complete(const struct ops_stream *st)
{
	return st->started && !st->refused && !st->suspicious && st->next > st->head;
}

/* What need not come again. */
static struct place checkpoint(const struct ops_stream *st)
{
	return st->owner->cfg->commits ? st->safe : (struct place){st->epoch, st->next};
}

void ops_stream_flush(struct ops_stream *st)
{
	struct place at = checkpoint(st);

	if (!st->dirty || !st->started)
		return;
	/* When the disk refuses, the position stays behind: messages repeat after a restart. */
	if (st->position == NULL || at.next == 0 ||
		ops_position_put(st->position, at.epoch, at.next) == 0)
		st->dirty = false;
	else
		ops_metric_add(&ops_bus_refused, 1, "checkpoint_write_failed");
}

void ops_stream_mark(struct ops_stream *st)
{
	if (st->started)
		st->marked = (struct place){st->epoch, st->next};
}

void ops_stream_commit(struct ops_stream *st)
{
	if (st->marked.next == 0 || st->position == NULL)
		return;
	st->safe = st->marked;
	st->dirty = true;
	ops_stream_flush(st); /* whoever commits does not do so all the time */
}

/* ---- events and counters ---- */

static void tell(struct ops_stream *st, enum ops_sub_event event, uint64_t count)
{
	const struct ops_sub_config *cfg = st->owner->cfg;

	if (cfg->on_event != NULL)
		cfg->on_event(cfg->arg, event, st->name, count);
}

static void move_to(struct ops_stream *st, uint64_t next)
{
	st->next = next;
	if (st->position == NULL || st->owner->cfg->commits)
		return;
	st->dirty = true;
	st->owner->on_moved(st->owner->arg);
}

/* Numbers below `next` will never come. */
static void lose(struct ops_stream *st, uint64_t next)
{
	uint64_t count = next - st->next;

	ops_metric_add(&ops_bus_lost, (double)count, st->name);
	move_to(st, next);
	tell(st, OPS_SUB_LOST, count);
}

static void start_at(struct ops_stream *st, uint64_t epoch, uint64_t next)
{
	uint64_t old_epoch = st->epoch;

	st->epoch = epoch;
	st->told_acked = 0;
	st->suspicious = false;
	move_to(st, next);
	if (!st->started || old_epoch != epoch)
		st->owner->on_epoch(st->owner->arg, st, old_epoch);
	st->started = true;
}

static void reset(struct ops_stream *st, uint64_t epoch, uint64_t first, uint64_t head)
{
	st->head = head;
	st->refused = false;
	start_at(st, epoch, first);
	tell(st, OPS_SUB_RESET, 0);
}

/* ---- asking for what is missing ---- */

static bool wants_replay(const struct ops_stream *st)
{
	return st->started && (st->suspicious || st->lacks || st->next <= st->head);
}

static void ask_later(struct ops_stream *st, int64_t delay_ms)
{
	if (!st->asking && !ops_timer_pending(st->timer))
		ops_timer_start(st->timer, delay_ms);
}

static void ask_after_back_off(struct ops_stream *st)
{
	ask_later(st, ops_backoff_ms(st->attempts, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
	st->attempts += st->attempts < 16 ? 1 : 0;
}

static void deliver_record(struct ops_stream *st, const struct ops_replay_record *rec, int *ret)
{
	struct ops_frame f;

	/* A copy, because the answer has no room for the NUL byte behind a payload. */
	ops_strbuf_reset(&st->scratch);
	ops_strbuf_add(&st->scratch, rec->data, rec->len);
	if (ops_frame_split(st->scratch.data, st->scratch.len, &f) != 0) {
		ops_metric_add(&ops_bus_refused, 1, "bad_record");
		*ret = 0; /* it will not be better the next time */
		return;
	}
	struct ops_bus_message m = {st->name, f.topic, f.payload, f.len, st->epoch, rec->seq, true};
	*ret = st->owner->deliver(st->owner->arg, &m);
}

/* 0, or negative when the rest must not be looked at: refused by the handler, closed, or malformed.
 */
static int take_record(struct ops_stream *st, const struct ops_replay_record *rec)
{
	int r = 0;

	if (rec->seq < st->next) {
		ops_metric_add(&ops_bus_duplicates, 1, st->name);
		return 0;
	}
	if (rec->seq > st->next)
		lose(st, rec->seq);
	if (st->owner->closed)
		return -ECANCELED;
	deliver_record(st, rec, &r);
	if (st->owner->closed)
		return -ECANCELED;
	if (r < 0) {
		st->refused = true;
		return r;
	}
	st->refused = false;
	ops_metric_add(&ops_bus_replayed, 1, st->name);
	move_to(st, rec->seq + 1);
	return 0;
}

static int take_records(struct ops_stream *st, const struct ops_replay_answer *a,
	struct ops_replay_records *records)
{
	struct ops_replay_record rec;
	int r = ops_replay_next(records, &rec);

	for (; r == 0; r = ops_replay_next(records, &rec)) {
		r = take_record(st, &rec);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (a->upto >= st->next)
		lose(st, a->upto + 1);
	return st->owner->closed ? -ECANCELED : 0;
}

static void take_answer(struct ops_stream *st, const struct ops_replay_answer *a,
	struct ops_replay_records *records)
{
	uint64_t before = st->next;

	if (a->epoch != st->epoch || a->head + 1 < st->next) {
		reset(st, a->epoch, a->first, a->head);
		if (!st->owner->closed && wants_replay(st))
			ask_later(st, 0);
		return;
	}
	st->suspicious = false;
	st->lacks = false;
	st->head = OPS_MAX(st->head, a->head);
	int r = take_records(st, a, records);
	if (st->owner->closed)
		return;
	if (r == -EBADMSG && !st->refused)
		ops_metric_add(&ops_bus_refused, 1, "bad_answer");
	if (st->next > before)
		st->attempts = 0;
	if (st->next > st->head)
		st->catching_up = false;
	if (r == 0 && st->next > before && wants_replay(st))
		ask_later(st, 0);
	else if (wants_replay(st))
		ask_after_back_off(st);
}

static void on_replay_answer(void *arg, int code, const void *data, size_t len)
{
	struct ops_stream *st = arg;
	struct ops_replay_answer a;
	struct ops_replay_records records;

	st->asking = false;
	if (code != 0) {
		ask_after_back_off(st);
		return;
	}
	if (ops_replay_answer_decode(data, len, &a, &records) != 0 ||
		strcmp(a.stream, st->name) != 0) {
		ops_metric_add(&ops_bus_refused, 1, "bad_answer");
		ask_after_back_off(st);
		return;
	}
	take_answer(st, &a, &records);
}

static int open_req(struct ops_stream *st)
{
	const struct ops_sub_config *cfg = st->owner->cfg;

	if (st->req != NULL)
		return 0;
	return ops_req_open(st->owner->loop, st->replay_url, cfg->key, cfg->tls, &st->req, NULL);
}

static void ask(struct ops_stream *st)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_replay_request q = {.epoch = st->epoch,
		.from = st->next,
		.max_bytes = OPS_REPLAY_MAX_BYTES,
		.max_records = REQUEST_RECORDS};

	if (st->asking || !st->started || st->replay_url == NULL)
		return;
	ops_stream_flush(st);
	/* Only a position that outlives us allows the publisher to forget. */
	struct place at = checkpoint(st);
	if (st->position != NULL && !st->dirty && at.epoch == st->epoch && at.next != 0)
		q.acked = at.next - 1;
	if (st->lacks) {
		q.from = 1;
		q.max_records = 1;
	}
	snprintf(q.consumer, sizeof(q.consumer), "%s", st->owner->cfg->name);
	ops_replay_request_encode(&q, &out);
	int r = open_req(st);
	if (r == 0)
		r = ops_req_send(
			st->req, out.data, out.len, REQUEST_TIMEOUT_MS, on_replay_answer, st);
	ops_strbuf_done(&out);
	st->asking = r == 0;
	st->asked_ms = ops_mono_ms();
	if (r == 0)
		st->told_acked = q.acked;
	else
		ask_after_back_off(st);
}

void ops_stream_lacks(struct ops_stream *st)
{
	st->lacks = true;
	ask_later(st, 0);
}

static void on_ask_timer(void *arg)
{
	ask(arg);
}

/* Something up to head is missing. */
static void on_missing(struct ops_stream *st)
{
	uint64_t missing = ops_stream_lag(st);

	if (missing == 0)
		return;
	if (st->replay_url == NULL) {
		lose(st, st->head + 1);
		return;
	}
	if (!st->catching_up) {
		st->catching_up = true;
		ops_metric_add(&ops_bus_gaps, 1, st->name);
		tell(st, OPS_SUB_GAP, missing);
		if (st->owner->closed)
			return;
	}
	ask_later(st, 0);
}

/* ---- live frames ---- */

static void deliver_next(struct ops_stream *st, const struct ops_frame *f)
{
	struct ops_bus_message m = {
		st->name, f->topic, f->payload, f->len, st->epoch, f->seq, false};
	int r = st->owner->deliver(st->owner->arg, &m);

	if (st->owner->closed)
		return;
	if (r >= 0) {
		move_to(st, f->seq + 1);
		return;
	}
	if (st->replay_url == NULL) { /* it cannot come again */
		lose(st, f->seq + 1);
		return;
	}
	st->refused = true;
	ask_after_back_off(st);
}

void ops_stream_on_frame(struct ops_stream *st, const struct ops_frame *f)
{
	ops_metric_add(&ops_bus_received, 1, st->name);
	if (f->seq < st->next) {
		ops_metric_add(&ops_bus_duplicates, 1, st->name);
		return;
	}
	if (f->seq > st->next && st->replay_url == NULL) {
		lose(st, f->seq);
		if (st->owner->closed)
			return;
	}
	st->head = OPS_MAX(st->head, f->seq);
	if (st->refused)
		return; /* the timer runs */
	if (f->seq == st->next)
		deliver_next(st, f);
	else
		on_missing(st);
}

/* ---- heartbeats ---- */

static void learn_replay_url(struct ops_stream *st, const char *heard)
{
	const char *configured = st->owner->cfg->replay_url;
	const char *url = configured != NULL ? configured : heard;

	if (ops_str_eq(url[0] != '\0' ? url : NULL, st->replay_url))
		return;
	free(st->replay_url);
	st->replay_url = url[0] != '\0' ? ops_xstrdup(url) : NULL;
	ops_req_close(st->req);
	st->req = NULL;
	st->asking = false;
}

/* The first heartbeat: from the checkpoint, or from the oldest, or from now. */
static void start(struct ops_stream *st, const struct ops_heartbeat *h)
{
	uint64_t epoch = 0, next = 0;

	st->head = h->head;
	if (st->position != NULL && ops_position_get(st->position, &epoch, &next)) {
		st->safe = (struct place){epoch, next};
		start_at(st, epoch, next);
		return;
	}
	start_at(st, h->epoch, st->owner->cfg->from_now ? h->head + 1 : h->first);
	st->lacks = h->first > 1 && !st->owner->cfg->from_now && st->replay_url != NULL;
	if (st->lacks)
		ask_later(st, 0);
}

void ops_stream_on_heartbeat(struct ops_stream *st, const struct ops_heartbeat *h)
{
	st->heard_ms = ops_mono_ms();
	st->interval_ms = h->interval_ms;
	learn_replay_url(st, h->replay_url);
	bool first_time = !st->started;
	if (first_time)
		start(st, h);
	bool other = h->epoch != st->epoch || h->head + 1 < st->next;
	if (other && st->replay_url == NULL) {
		/* A lower head of the same epoch is an older heartbeat: no door, nothing to ask. */
		if (h->epoch != st->epoch)
			reset(st, h->epoch, h->first, h->head);
		return;
	}
	if (other) {
		st->suspicious = true;
		ask_later(st, 0);
		return;
	}
	st->head = OPS_MAX(st->head, h->head);
	if (first_time)
		st->catching_up = ops_stream_lag(st) > 0; /* a start is no gap */
	if (!st->refused)
		on_missing(st);
}

void ops_stream_tick(struct ops_stream *st, int64_t now_ms)
{
	ops_metric_set(&ops_bus_lag, (double)ops_stream_lag(st), st->name);
	if (st->asking || !st->started)
		return;
	struct place at = checkpoint(st);
	bool acks = st->position != NULL && at.epoch == st->epoch && at.next > st->told_acked + 1;
	if (acks && st->replay_url != NULL && now_ms - st->asked_ms >= ACK_EVERY_MS)
		ask_later(st, 0);
	else if (st->req != NULL && now_ms - st->asked_ms >= IDLE_CLOSE_MS) {
		ops_req_close(st->req);
		st->req = NULL;
	}
}
