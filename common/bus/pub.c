/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The publisher: history first, socket second. A number is given out by the log; what is published
 * is in it and, on disk, synced, so a heartbeat's head never promises what a crash could take away.
 * Between cork and uncork records are appended only; uncorking syncs once and publishes them from
 * the log.
 *
 * Heartbeats go out when the publisher opens, whenever a subscriber connects, and at every
 * interval: they carry the head, which is how a subscriber notices that the last frames before a
 * silence were lost.
 *
 * The replay door answers from the log, up to the published head, with as many records as both
 * sides allow, and at least one. Acknowledgements come with the requests; what all consumers have
 * is trimmed.
 */
#include "common/bus/bus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/bus/consumers.h"
#include "common/bus/counters.h"
#include "common/bus/frame.h"
#include "common/bus/heartbeat.h"
#include "common/bus/history.h"
#include "common/bus/replay.h"
#include "common/bus/socket.h"

enum {
	RING_BYTES_DEFAULT = 64 << 20,
	DISK_BYTES_DEFAULT = 1 << 30,
	HEARTBEAT_DEFAULT_MS = 1000,
	CONSUMERS_FLUSH_MS = 10000,
	OVERFLOW_UNREAD_MS = 30000
};

struct ops_pub {
	char *stream, *replay_advertise; /* "" without replay */
	const struct ops_bus_key *key;
	struct ops_loop *loop;
	struct ops_socket *socket;
	struct ops_rep *replay;
	struct ops_history *history;
	struct ops_consumers *consumers;
	struct ops_timer *heartbeat_timer;
	int64_t heartbeat_ms, consumers_flushed_ms;
	uint64_t head; /* last published */
	void (*on_gone)(void *arg);
	void *arg;
	bool overflows;		   /* there is a place for it */
	int64_t overflow_asked_ms; /* when somebody was away, or asked for what is there */
	bool corked;
	struct ops_strbuf frame, answer; /* scratch */
};

/* ---- publishing ---- */

/* p->frame holds topic '\n' payload. */
static void publish_frame(struct ops_pub *p, uint64_t seq)
{
	ops_frame_seal(&p->frame, ops_history_epoch(p->history), seq, p->key);
	struct ops_socket_message m = {NULL, 0, p->frame.data, p->frame.len};
	/* The socket is a hint: what it could not take, subscribers ask for. */
	if (ops_socket_send(p->socket, &m) != 0)
		ops_metric_add(&ops_bus_refused, 1, "not_sent");
}

static int fill_frame(struct ops_pub *p, const char *topic, const void *payload, size_t len)
{
	size_t topic_len = strlen(topic);

	if (!ops_topic_valid(topic, topic_len))
		return -EINVAL;
	if (len > OPS_BUS_FRAME_MAX_BYTES - topic_len - 1)
		return -EMSGSIZE;
	ops_strbuf_reset(&p->frame);
	ops_strbuf_reserve(&p->frame, topic_len + 1 + len + OPS_FRAME_TRAILER_BYTES);
	ops_strbuf_add(&p->frame, topic, topic_len);
	ops_strbuf_addc(&p->frame, '\n');
	if (len > 0)
		ops_strbuf_add(&p->frame, payload, len);
	return 0;
}

static int publish_record(uint64_t seq, const void *data, size_t len, void *arg)
{
	struct ops_pub *p = arg;

	ops_strbuf_reset(&p->frame);
	ops_strbuf_add(&p->frame, data, len);
	publish_frame(p, seq);
	return 0;
}

int ops_pub_send(
	struct ops_pub *p, const char *topic, const void *payload, size_t len, uint64_t *ret_seq)
{
	uint64_t seq = 0;
	int r = fill_frame(p, topic, payload, len);

	if (r == 0)
		r = ops_history_append(p->history, p->frame.data, p->frame.len, &seq);
	if (r == 0 && !p->corked)
		r = ops_history_sync(p->history);
	if (r != 0)
		return r;
	if (!p->corked) {
		publish_frame(p, seq);
		p->head = seq;
		ops_metric_add(&ops_bus_published, 1, p->stream);
	}
	if (ret_seq != NULL)
		*ret_seq = seq;
	return 0;
}

void ops_pub_cork(struct ops_pub *p)
{
	/* Memory has nothing to sync, and nothing may be kept there. */
	p->corked = ops_history_on_disk(p->history);
}

int ops_pub_uncork(struct ops_pub *p)
{
	p->corked = false;
	int r = ops_history_sync(p->history);
	if (r != 0)
		return r;
	uint64_t head = ops_history_next(p->history) - 1, from = p->head + 1;
	if (head < from)
		return 0;
	p->head = head;
	ops_metric_add(&ops_bus_published, (double)(head + 1 - from), p->stream);
	/* Durable already: if it cannot be read now, subscribers will ask. */
	if (ops_history_read(p->history, from, SIZE_MAX, publish_record, p) != 0)
		ops_metric_add(&ops_bus_refused, 1, "not_sent");
	return 0;
}

int ops_pub_send_volatile(struct ops_pub *p, const char *topic, const void *payload, size_t len)
{
	int r = fill_frame(p, topic, payload, len);

	if (r == 0)
		publish_frame(p, 0);
	return r;
}

uint64_t ops_pub_head(const struct ops_pub *p)
{
	return p->head;
}

uint64_t ops_pub_epoch(const struct ops_pub *p)
{
	return ops_history_epoch(p->history);
}

uint64_t ops_pub_held_bytes(const struct ops_pub *p)
{
	return ops_history_held_bytes(p->history);
}

/* ---- heartbeat ---- */

static void send_heartbeat(struct ops_pub *p)
{
	struct ops_strbuf json = OPS_STRBUF_INIT;
	struct ops_heartbeat h = {.epoch = ops_history_epoch(p->history),
		.head = p->head,
		.first = OPS_MIN(ops_history_first(p->history), p->head + 1),
		.interval_ms = p->heartbeat_ms};

	snprintf(h.stream, sizeof(h.stream), "%s", p->stream);
	snprintf(h.replay_url, sizeof(h.replay_url), "%s", p->replay_advertise);
	ops_heartbeat_encode(&h, &json);
	ops_assert(ops_pub_send_volatile(p, OPS_HEARTBEAT_TOPIC, json.data, json.len) == 0);
	ops_strbuf_done(&json);
}

/*
 * On while nobody is connected, and until a subscriber has read what is on disk; when nobody asks
 * for it any more, it is let go.
 */
static void manage_overflow(struct ops_pub *p, int64_t now_ms)
{
	if (!ops_history_on_disk(p->history))
		ops_metric_set(
			&ops_bus_held, (double)ops_history_held_bytes(p->history), p->stream);
	if (!p->overflows)
		return;
	if (ops_socket_pipes(p->socket) == 0) {
		p->overflow_asked_ms = now_ms;
		ops_history_keep_all(p->history, true);
	} else if (now_ms - p->overflow_asked_ms > OVERFLOW_UNREAD_MS) {
		ops_history_keep_all(p->history, false);
	}
	ops_metric_set(
		&ops_bus_overflow, (double)ops_history_overflow_bytes(p->history), p->stream);
}

static void on_heartbeat_timer(void *arg)
{
	struct ops_pub *p = arg;
	int64_t now_ms = ops_mono_ms();

	send_heartbeat(p);
	manage_overflow(p, now_ms);
	if (now_ms - p->consumers_flushed_ms >= CONSUMERS_FLUSH_MS) {
		ops_consumers_flush(p->consumers);
		p->consumers_flushed_ms = now_ms;
	}
	ops_timer_start_beat(p->heartbeat_timer, p->heartbeat_ms);
}

static void on_pub_pipe(void *arg)
{
	send_heartbeat(arg);
}

/* ---- replay ---- */

struct answering {
	struct ops_pub *pub;
	size_t max_bytes;
	uint32_t count;
	uint64_t last; /* number of the last record in the answer */
	uint64_t head;
};

enum {
	ANSWER_FULL = 1
};

static int add_record(uint64_t seq, const void *data, size_t len, void *arg)
{
	struct answering *a = arg;

	if (seq > a->head || (a->count > 0 && a->pub->answer.len + len + 64 > a->max_bytes))
		return ANSWER_FULL;
	ops_replay_answer_add(&a->pub->answer, seq, data, len);
	a->count++;
	a->last = seq;
	return 0;
}

/* Records from q->from on; *ret_upto is the last number they account for. */
static int add_records(struct ops_pub *p, const struct ops_replay_request *q, struct answering *a,
	uint64_t *ret_upto)
{
	size_t max = OPS_MIN(q->max_records, OPS_REPLAY_MAX_RECORDS);

	*ret_upto = OPS_MIN(q->from == 0 ? 0 : q->from - 1, p->head);
	if (max == 0 || q->from > p->head)
		return 0;
	int r = ops_history_read(p->history, q->from, max, add_record, a);
	if (r < 0)
		return r;
	/* Not full: the log has nothing more up to the head, so what is missing is gone. */
	*ret_upto = r == ANSWER_FULL || a->count == max ? a->last : p->head;
	return 0;
}

static void note_consumer(struct ops_pub *p, const struct ops_replay_request *q)
{
	bool same_epoch = q->epoch == ops_history_epoch(p->history);
	uint64_t acked = same_epoch ? OPS_MIN(q->acked, p->head) : 0;
	int64_t now_ms = ops_now_ms();

	if (!ops_consumers_heard(p->consumers, q->consumer, acked, now_ms)) {
		ops_metric_add(&ops_bus_refused, 1, "too_many_consumers");
		return;
	}
	uint64_t lowest = ops_consumers_lowest(p->consumers, now_ms);
	if (lowest > 0)
		ops_history_trim(p->history, lowest + 1);
}

/* It asks for numbers below the oldest, or has nothing and begins where the oldest is. */
static bool wants_what_is_gone(const struct ops_pub *p, const struct ops_replay_request *q)
{
	uint64_t first = ops_history_first(p->history);

	return first > 1 && (q->from < first || (q->acked == 0 && q->from == first));
}

static void on_replay_request(void *arg, struct ops_rep_call *call, const void *data, size_t len)
{
	struct ops_pub *p = arg;
	struct ops_replay_request q;

	if (ops_replay_request_decode(data, len, &q) != 0) {
		ops_metric_add(&ops_bus_refused, 1, "bad_replay_request");
		ops_rep_answer(call, NULL, 0);
		return;
	}
	if (q.from < ops_history_overflow_end(p->history))
		p->overflow_asked_ms = ops_mono_ms();
	if (p->on_gone != NULL && wants_what_is_gone(p, &q))
		p->on_gone(p->arg);
	note_consumer(p, &q);
	struct ops_replay_answer head = {.epoch = ops_history_epoch(p->history),
		.first = OPS_MIN(ops_history_first(p->history), p->head + 1),
		.head = p->head};
	struct answering a = {
		.pub = p, .max_bytes = OPS_MIN(q.max_bytes, OPS_REPLAY_MAX_BYTES), .head = p->head};
	uint64_t upto = 0;
	int r = 0;
	snprintf(head.stream, sizeof(head.stream), "%s", p->stream);
	ops_replay_answer_begin(&head, &p->answer);
	if (q.epoch == head.epoch)
		r = add_records(p, &q, &a, &upto);
	if (r < 0) { /* the disk fails now; an answer that is no answer lets the asker try later */
		ops_metric_add(&ops_bus_refused, 1, "replay_read_failed");
		ops_rep_answer(call, NULL, 0);
		return;
	}
	ops_replay_answer_finish(&p->answer, upto, a.count);
	ops_rep_answer(call, p->answer.data, p->answer.len);
}

/* ---- opening ---- */

static int check_config(const struct ops_pub_config *cfg, struct ops_error *err)
{
	if (!ops_name_valid(cfg->stream, strlen(cfg->stream))) {
		ops_error_set(err, -EINVAL, "bad stream name \"%s\"", cfg->stream);
		ops_error_hint(
			err, "1 to %d characters of A-Z a-z 0-9 _ . : / -", OPS_NAME_MAX_BYTES);
		return -EINVAL;
	}
	const char *told = cfg->replay_advertise != NULL ? cfg->replay_advertise : cfg->replay_url;
	if (told != NULL && (!ops_socket_url_valid(told) || strchr(told, '*') != NULL ||
				    strstr(told, "//0.0.0.0:") != NULL)) {
		ops_error_set(
			err, -EINVAL, "subscribers cannot dial the replay address \"%s\"", told);
		ops_error_hint(err, "set replay_advertise to the address that they see");
		return -EINVAL;
	}
	return 0;
}

static uint64_t history_limit(const struct ops_pub_config *cfg)
{
	if (cfg->dir != NULL)
		return cfg->disk_bytes != 0 ? cfg->disk_bytes : DISK_BYTES_DEFAULT;
	if (cfg->replay_url == NULL)
		return 0; /* nobody could ask for it */
	return cfg->ring_bytes != 0 ? cfg->ring_bytes : RING_BYTES_DEFAULT;
}

static int open_history(struct ops_pub *p, const struct ops_pub_config *cfg, struct ops_error *err)
{
	struct ops_history_config history = {.dir = cfg->dir,
		.limit_bytes = history_limit(cfg),
		.max_record_bytes = OPS_BUS_FRAME_MAX_BYTES,
		.overflow_dir = cfg->overflow_dir,
		.overflow_bytes =
			cfg->overflow_bytes != 0 ? cfg->overflow_bytes : DISK_BYTES_DEFAULT};
	OPS_CLEANUP(ops_freep)
	char *path = cfg->dir != NULL ? ops_xasprintf("%s/consumers", cfg->dir) : NULL;
	int r = ops_history_open(&history, &p->history, err);

	if (r != 0)
		return r;
	p->overflows = cfg->dir == NULL && cfg->overflow_dir != NULL;
	p->head = ops_history_next(p->history) - 1;
	p->consumers = ops_consumers_open(path, ops_history_epoch(p->history));
	return 0;
}

static int open_sockets(struct ops_pub *p, const struct ops_pub_config *cfg, struct ops_error *err)
{
	struct ops_socket_config socket = {.kind = OPS_SOCKET_PUB,
		.url = cfg->url,
		.dial = cfg->dial,
		.queue_messages = cfg->queue_messages,
		.tls = cfg->tls,
		.on_pipe = on_pub_pipe,
		.arg = p};
	int r = 0;

	/* The door first: a subscriber that hears of it dials at once. */
	if (cfg->replay_url != NULL)
		r = ops_rep_open(p->loop, cfg->replay_url, cfg->key, cfg->tls, on_replay_request, p,
			&p->replay, err);
	return r != 0 ? r : ops_socket_open(p->loop, &socket, &p->socket, err);
}

int ops_pub_open(struct ops_loop *loop, const struct ops_pub_config *cfg, struct ops_pub **ret,
	struct ops_error *err)
{
	int r = check_config(cfg, err);

	if (r != 0)
		return r;
	const char *told = cfg->replay_advertise != NULL ? cfg->replay_advertise : cfg->replay_url;
	struct ops_pub *p = ops_xcalloc(1, sizeof(*p));
	ops_bus_counters_register();
	p->loop = loop;
	p->stream = ops_xstrdup(cfg->stream);
	p->replay_advertise = ops_xstrdup(cfg->replay_url != NULL ? told : "");
	p->key = cfg->key;
	p->on_gone = cfg->on_gone;
	p->arg = cfg->arg;
	p->heartbeat_ms = cfg->heartbeat_ms != 0 ? cfg->heartbeat_ms : HEARTBEAT_DEFAULT_MS;
	p->consumers_flushed_ms = ops_mono_ms();
	p->heartbeat_timer = ops_timer_new(loop, on_heartbeat_timer, p);
	r = open_history(p, cfg, err);
	if (r == 0)
		r = open_sockets(p, cfg, err);
	if (r != 0) {
		ops_pub_close(p);
		return r;
	}
	ops_metric_add(&ops_bus_published, 0, p->stream);
	send_heartbeat(p);
	ops_timer_start_beat(p->heartbeat_timer, p->heartbeat_ms);
	*ret = p;
	return 0;
}

void ops_pub_close(struct ops_pub *p)
{
	if (p == NULL)
		return;
	ops_timer_free(p->heartbeat_timer);
	ops_rep_close(p->replay);
	ops_socket_close(p->socket);
	ops_consumers_close(p->consumers);
	ops_history_close(p->history);
	ops_strbuf_done(&p->frame);
	ops_strbuf_done(&p->answer);
	free(p->replay_advertise);
	free(p->stream);
	free(p);
}
