/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subscriber: one SUB socket, any number of publishers behind it (they may dial us), one
 * ops_stream for each. nng is subscribed to everything: with a filter there the numbers that we do
 * not want would look like numbers that we lost; all traffic crosses the wire either way.
 *
 * A frame names its stream by the epoch only, so a frame of an epoch that no heartbeat has
 * announced is dropped: the heartbeat will show that it is missing, and it is replayed. Publishers
 * send one as soon as we connect.
 *
 * Limits: 1024 streams; one that was silent for long is forgotten (its checkpoint file is not).
 */
#include "common/bus/bus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/map.h"
#include "common/base/text.h"
#include "common/bus/counters.h"
#include "common/bus/frame.h"
#include "common/bus/heartbeat.h"
#include "common/bus/position.h"
#include "common/bus/replay.h"
#include "common/bus/socket.h"
#include "common/bus/stream.h"

enum {
	STREAMS_MAX = 1024,
	FLUSH_MS = 100,
	TICK_MS = 1000,
	HANG_UP_MS = 15000,
	FORGET_DIALLED_MS = 3600 * 1000,
	FORGET_LISTENING_MS = 600 * 1000
};

static const int64_t prune_after_ms = 7LL * 24 * 3600 * 1000;

struct ops_sub {
	struct ops_stream_owner owner; /* what streams see of us */
	struct ops_sub_config cfg;     /* strings are ours; key, tls borrowed */
	struct ops_bus_tls tls;
	char **topics;
	struct ops_socket *socket;
	struct ops_map *by_name;  /* owns the streams */
	struct ops_map *by_epoch; /* 8 bytes of epoch */
	struct ops_timer *flush_timer, *tick_timer;
	int64_t heard_ms; /* any frame, or the last hang-up */
};

/* ---- handing over ---- */

static bool topic_wanted(const struct ops_sub *s, const char *topic)
{
	size_t len = strlen(topic);

	for (size_t i = 0; i < s->cfg.ntopics; i++) {
		const char *want = s->topics[i];
		size_t want_len = strlen(want);
		/* The '\n' behind the topic is part of what a prefix may ask for. */
		if (want_len > 0 && want[want_len - 1] == '\n') {
			if (want_len - 1 == len && memcmp(want, topic, len) == 0)
				return true;
		} else if (want_len <= len && memcmp(want, topic, want_len) == 0) {
			return true;
		}
	}
	return s->cfg.ntopics == 0;
}

static int deliver(void *arg, const struct ops_bus_message *m)
{
	struct ops_sub *s = arg;

	return topic_wanted(s, m->topic) ? s->cfg.on_message(s->cfg.arg, m) : 0;
}

static void on_epoch(void *arg, struct ops_stream *st, uint64_t old_epoch)
{
	struct ops_sub *s = arg;
	uint64_t epoch = ops_stream_epoch(st);

	if (ops_map_get(s->by_epoch, &old_epoch, sizeof(old_epoch)) == st)
		ops_map_remove(s->by_epoch, &old_epoch, sizeof(old_epoch));
	ops_map_put(s->by_epoch, &epoch, sizeof(epoch), st);
}

static void on_moved(void *arg)
{
	struct ops_sub *s = arg;

	if (!s->owner.closed && !ops_timer_pending(s->flush_timer))
		ops_timer_start(s->flush_timer, FLUSH_MS);
}

/* ---- streams ---- */

static void forget_stream(struct ops_sub *s, struct ops_stream *st)
{
	uint64_t epoch = ops_stream_epoch(st);

	if (ops_map_get(s->by_epoch, &epoch, sizeof(epoch)) == st)
		ops_map_remove(s->by_epoch, &epoch, sizeof(epoch));
	ops_stream_free(st);
}

static struct ops_stream *find_or_add_stream(struct ops_sub *s, const char *name)
{
	struct ops_stream *st = ops_map_gets(s->by_name, name);

	if (st != NULL)
		return st;
	if (ops_map_count(s->by_name) >= STREAMS_MAX) {
		ops_metric_add(&ops_bus_refused, 1, "too_many_streams");
		return NULL;
	}
	if (ops_stream_new(&s->owner, name, &st) != 0) {
		ops_metric_add(&ops_bus_refused, 1, "checkpoint_open_failed");
		return NULL; /* the next heartbeat tries again */
	}
	ops_map_puts(s->by_name, name, st);
	return st;
}

static void on_heartbeat(struct ops_sub *s, const struct ops_frame *f)
{
	struct ops_heartbeat h;

	if (ops_heartbeat_decode(f->payload, f->len, &h) != 0 || h.epoch != f->epoch) {
		ops_metric_add(&ops_bus_refused, 1, "bad_heartbeat");
		return;
	}
	struct ops_stream *st = find_or_add_stream(s, h.stream);
	if (st != NULL)
		ops_stream_on_heartbeat(st, &h);
}

static void on_flush_timer(void *arg)
{
	struct ops_sub *s = arg;
	struct ops_map_entry e;

	for (size_t at = 0; ops_map_next(s->by_name, &at, &e);)
		ops_stream_flush(e.value);
}

/* ---- frames ---- */

static void count_fault(int fault)
{
	static const char *const reasons[] = {
		[OPS_FRAME_MALFORMED] = "bad_frame",
		[OPS_FRAME_BAD_CRC] = "bad_crc",
		[OPS_FRAME_BAD_MAC] = "bad_mac",
	};

	ops_metric_add(&ops_bus_refused, 1, reasons[fault]);
}

static void on_volatile(struct ops_sub *s, const struct ops_stream *st, const struct ops_frame *f)
{
	const char *name = st != NULL ? ops_stream_name(st) : "";
	struct ops_bus_message m = {name, f->topic, f->payload, f->len, f->epoch, 0, false};

	int ignored = deliver(s, &m);
	(void)ignored; /* there is no second time for a volatile message */
}

static void on_frame(void *arg, const struct ops_socket_message *bytes)
{
	struct ops_sub *s = arg;
	struct ops_frame f;
	int fault = ops_frame_open(bytes->body, bytes->len, s->cfg.key, &f);

	if (fault != 0) {
		count_fault(fault);
		return;
	}
	s->heard_ms = ops_mono_ms();
	struct ops_stream *st = ops_map_get(s->by_epoch, &f.epoch, sizeof(f.epoch));
	if (f.seq == 0 && strcmp(f.topic, OPS_HEARTBEAT_TOPIC) == 0) {
		on_heartbeat(s, &f);
		return;
	}
	if (f.seq == 0) {
		on_volatile(s, st, &f);
		return;
	}
	if (st == NULL || f.seq > INT64_MAX) {
		ops_metric_add(&ops_bus_refused, 1, "unknown_epoch");
		return;
	}
	ops_stream_on_frame(st, &f);
}

/* ---- once a second ---- */

static void tick_streams(struct ops_sub *s, int64_t now_ms)
{
	struct ops_map_entry e;
	int64_t forget_ms = s->cfg.listen ? FORGET_LISTENING_MS : FORGET_DIALLED_MS;

	for (size_t at = 0; ops_map_next(s->by_name, &at, &e);) {
		struct ops_stream *st = e.value;
		if (ops_stream_silent_ms(st, now_ms) > forget_ms) {
			ops_map_remove(s->by_name, e.key, e.len);
			forget_stream(s, st);
			continue;
		}
		ops_stream_tick(st, now_ms);
	}
}

static void on_tick(void *arg)
{
	struct ops_sub *s = arg;
	int64_t now_ms = ops_mono_ms();

	tick_streams(s, now_ms);
	/* A host that vanished without a FIN leaves a connection that looks alive. */
	if (!s->cfg.listen && now_ms - s->heard_ms > HANG_UP_MS) {
		ops_socket_hang_up(s->socket);
		s->heard_ms = now_ms;
	}
	ops_timer_start_beat(s->tick_timer, TICK_MS);
}

bool ops_sub_live(const struct ops_sub *s)
{
	struct ops_map_entry e;
	int64_t now_ms = ops_mono_ms();
	size_t heard = 0;

	for (size_t at = 0; ops_map_next(s->by_name, &at, &e);) {
		const struct ops_stream *st = e.value;
		bool recent = ops_stream_heard(st, now_ms);
		if (!recent && !s->cfg.listen)
			return false;
		if (recent && !ops_stream_complete(st))
			return false;
		heard += recent ? 1 : 0;
	}
	return heard > 0;
}

int64_t ops_sub_silent_ms(const struct ops_sub *s, const char *stream)
{
	struct ops_map_entry e;
	int64_t now_ms = ops_mono_ms(), least = INT64_MAX;

	for (size_t at = 0; ops_map_next(s->by_name, &at, &e);) {
		const struct ops_stream *st = e.value;
		if (stream == NULL || strcmp(ops_stream_name(st), stream) == 0)
			least = OPS_MIN(least, ops_stream_silent_ms(st, now_ms));
	}
	return least;
}

uint64_t ops_sub_lag(const struct ops_sub *s)
{
	struct ops_map_entry e;
	uint64_t lag = 0;

	for (size_t at = 0; ops_map_next(s->by_name, &at, &e);)
		lag += ops_stream_lag(e.value);
	return lag;
}

/* ---- what is durable, what is lacking ---- */

void ops_sub_mark(struct ops_sub *s)
{
	struct ops_map_entry e;

	for (size_t at = 0; ops_map_next(s->by_name, &at, &e);)
		ops_stream_mark(e.value);
}

void ops_sub_commit(struct ops_sub *s)
{
	struct ops_map_entry e;

	for (size_t at = 0; ops_map_next(s->by_name, &at, &e);)
		ops_stream_commit(e.value);
}

void ops_sub_lacks(struct ops_sub *s, const char *stream)
{
	struct ops_stream *st = ops_map_gets(s->by_name, stream);

	if (st != NULL)
		ops_stream_lacks(st);
}

/* ---- opening and closing ---- */

static void copy_config(struct ops_sub *s, const struct ops_sub_config *cfg)
{
	s->cfg = *cfg;
	s->cfg.name = ops_xstrdup(cfg->name);
	s->cfg.url = ops_xstrdup(cfg->url);
	s->cfg.replay_url = ops_xstrdup(cfg->replay_url);
	s->cfg.checkpoint_dir = ops_xstrdup(cfg->checkpoint_dir);
	if (cfg->tls != NULL) {
		s->tls = (struct ops_bus_tls){ops_xstrdup(cfg->tls->ca_file),
			ops_xstrdup(cfg->tls->cert_file), ops_xstrdup(cfg->tls->key_file),
			ops_xstrdup(cfg->tls->server_name)};
		s->cfg.tls = &s->tls;
	}
	s->topics = ops_xcalloc(cfg->ntopics + 1, sizeof(*s->topics));
	for (size_t i = 0; i < cfg->ntopics; i++)
		s->topics[i] = ops_xstrdup(cfg->topics[i]);
	s->cfg.topics = NULL;
}

/* The configuration's strings are const for everyone else. */
static void free_text(const char *text)
{
	free((void *)(uintptr_t)text);
}

static void free_sub(void *arg)
{
	struct ops_sub *s = arg;

	for (size_t i = 0; i < s->cfg.ntopics; i++)
		free(s->topics[i]);
	free(s->topics);
	free_text(s->cfg.name);
	free_text(s->cfg.url);
	free_text(s->cfg.replay_url);
	free_text(s->cfg.checkpoint_dir);
	free_text(s->tls.ca_file);
	free_text(s->tls.cert_file);
	free_text(s->tls.key_file);
	free_text(s->tls.server_name);
	ops_map_free(s->by_epoch, NULL);
	ops_map_free(s->by_name, NULL);
	free(s);
}

static int check_config(const struct ops_sub_config *cfg, struct ops_error *err)
{
	if (!ops_name_valid(cfg->name, strlen(cfg->name))) {
		ops_error_set(err, -EINVAL, "bad consumer name \"%s\"", cfg->name);
		ops_error_hint(
			err, "1 to %d characters of A-Z a-z 0-9 _ . : / -", OPS_NAME_MAX_BYTES);
		return -EINVAL;
	}
	if (cfg->replay_url != NULL && !ops_socket_url_valid(cfg->replay_url))
		return ops_error_set(err, -EINVAL, "bad replay address \"%s\"", cfg->replay_url);
	if (cfg->checkpoint_dir == NULL)
		return 0;
	int r = ops_mkdir_p(cfg->checkpoint_dir, 0700);
	if (r != 0)
		return ops_error_set(err, r, "could not make the checkpoint directory %s: %s",
			cfg->checkpoint_dir, strerror(-r));
	if (cfg->listen) /* publishers come and go under new names */
		ops_position_prune(cfg->checkpoint_dir, cfg->name, prune_after_ms);
	return 0;
}

int ops_sub_open(struct ops_loop *loop, const struct ops_sub_config *cfg, struct ops_sub **ret,
	struct ops_error *err)
{
	int r = check_config(cfg, err);

	if (r != 0)
		return r;
	struct ops_sub *s = ops_xcalloc(1, sizeof(*s));
	ops_bus_counters_register();
	copy_config(s, cfg);
	s->owner = (struct ops_stream_owner){.loop = loop,
		.cfg = &s->cfg,
		.deliver = deliver,
		.on_epoch = on_epoch,
		.on_moved = on_moved,
		.arg = s};
	s->by_name = ops_map_new();
	s->by_epoch = ops_map_new();
	s->flush_timer = ops_timer_new(loop, on_flush_timer, s);
	s->tick_timer = ops_timer_new(loop, on_tick, s);
	s->heard_ms = ops_mono_ms();
	struct ops_socket_config socket = {.kind = OPS_SOCKET_SUB,
		.url = cfg->url,
		.dial = !cfg->listen,
		.tls = cfg->tls,
		.on_message = on_frame,
		.arg = s};
	r = ops_socket_open(loop, &socket, &s->socket, err);
	if (r != 0) {
		ops_sub_close(s);
		return r;
	}
	ops_timer_start_beat(s->tick_timer, TICK_MS);
	*ret = s;
	return 0;
}

void ops_sub_close(struct ops_sub *s)
{
	struct ops_map_entry e;

	if (s == NULL || s->owner.closed)
		return;
	s->owner.closed = true;
	ops_socket_close(s->socket);
	ops_timer_free(s->flush_timer);
	ops_timer_free(s->tick_timer);
	for (size_t at = 0; ops_map_next(s->by_name, &at, &e);)
		ops_stream_free(e.value);
	ops_loop_defer(s->owner.loop, free_sub, s);
}
