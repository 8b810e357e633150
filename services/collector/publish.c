/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch is useless without its layout, and the ring that serves replays forgets its oldest
 * records. What the detector has for good leaves it early, so it is nearly empty while all is well;
 * when it fills, a layout is sent again when half a ring has gone by since it was last sent:
 * whatever the ring holds of the newer half can be understood from the ring alone. A detector that
 * has lost what it knew asks for what is gone, and all are sent again.
 *
 * A message costs a dozen switches between threads on its way, whatever its length: rows of scrapes
 * that end together are gathered into one. Who scrapes says when nothing more is to come; a row
 * waits GATHER_MS at most. Order is kept: what waits goes before a layout.
 */
#include "services/collector/publish.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/msg/exemplars.h"
#include "common/msg/msg.h"

enum {
	RECORD_OVERHEAD = 128, /* topic and trailer */
	GATHER_MS = 4,
	GATHER_BYTES = 256 * 1024,
	QUEUE_MESSAGES = 256, /* for a detector that does not read: at most so many */
	ANNOUNCE_AGAIN_MS = 30000
};

static struct ops_metric samples_total = OPS_COUNTER(
	"ops_collector_samples_published_total", "Samples published, staleness markers included.");
static struct ops_metric layouts_total = OPS_COUNTER(
	"ops_collector_layouts_published_total", "Layouts published, repeats included.");
static struct ops_metric announced_total = OPS_COUNTER("ops_collector_layouts_repeated_total",
	"Times that all layouts were sent again, because the detector asked for what is gone.");
static struct ops_metric failed_total = OPS_COUNTER(
	"ops_collector_publish_failures_total", "Messages that the bus refused to take.");

struct col_publisher {
	struct ops_pub *pub;
	uint64_t ring_bytes, sent_bytes;
	uint64_t announce_from; /* layouts that were sent before are sent again */
	int64_t announced_ms;
	struct ops_strbuf buffer;
	struct ops_strbuf rows; /* that wait */
	size_t waiting, waiting_samples;
	uint64_t waiting_layout;    /* of the first */
	struct ops_strbuf released; /* layouts, told behind the rows that wait */
	struct ops_timer *gather;
	struct ops_member self;
};

static int send(struct col_publisher *p, const char *topic, const void *payload, size_t len)
{
	int r = ops_pub_send(p->pub, topic, payload, len, NULL);
	if (r != 0) {
		ops_metric_add(&failed_total, 1);
		log_warn("could not publish samples", F_STR("topic", topic), F_ERR(r));
		return r;
	}
	p->sent_bytes += len + RECORD_OVERHEAD;
	return 0;
}

static void flush_rows(struct col_publisher *p)
{
	char topic[40] = OPS_BATCHES_TOPIC;
	if (p->waiting == 0) {
		return;
	}
	if (p->waiting == 1) {
		snprintf(topic, sizeof(topic), "batch/%016" PRIx64, p->waiting_layout);
	}
	if (send(p, topic, p->rows.data, p->rows.len) == 0) {
		ops_metric_add(&samples_total, (double)p->waiting_samples);
	}
	ops_strbuf_reset(&p->rows);
	p->waiting = p->waiting_samples = 0;
}

void col_publish_flush(struct col_publisher *p)
{
	ops_timer_stop(p->gather);
	flush_rows(p);
	if (p->released.len > 0) {
		(void)send(p, OPS_RELEASED_TOPIC, p->released.data, p->released.len);
		ops_strbuf_reset(&p->released);
	}
}

static void on_gathered(void *arg)
{
	col_publish_flush(arg);
}

/*
 * The detector has lost what it knew, or was away for longer than the ring lasts: each layout goes
 * before its next row. Not again and again while it catches up.
 */
static void on_gone(void *arg)
{
	struct col_publisher *p = arg;
	int64_t now_ms = ops_mono_ms();
	if (p->announced_ms != 0 && now_ms - p->announced_ms < ANNOUNCE_AGAIN_MS) {
		return;
	}
	p->announced_ms = now_ms;
	p->announce_from = p->sent_bytes;
	ops_metric_add(&announced_total, 1);
}

int col_publisher_open(struct ops_loop *loop, const struct col_publisher_config *cfg,
	struct col_publisher **ret, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *stream = ops_xasprintf("samples/%s", cfg->instance);
	const char *replay = cfg->replay_listen;
	const char *advertise = cfg->replay_advertise;
	struct ops_pub_config pub = {.stream = stream,
		.url = cfg->samples_url,
		.dial = true,
		.replay_url = replay != NULL && replay[0] != '\0' ? replay : NULL,
		.replay_advertise = advertise != NULL && advertise[0] != '\0' ? advertise : NULL,
		.ring_bytes = cfg->ring_bytes,
		.overflow_dir = cfg->overflow_dir,
		.overflow_bytes = cfg->overflow_bytes,
		.heartbeat_ms = cfg->heartbeat_ms,
		.queue_messages = QUEUE_MESSAGES,
		.key = cfg->key,
		.tls = cfg->tls,
		.on_gone = on_gone};
	struct col_publisher *p = ops_xcalloc(1, sizeof(*p));
	p->gather = ops_timer_new(loop, on_gathered, p);
	pub.arg = p;
	int r = ops_pub_open(loop, &pub, &p->pub, err);
	if (r != 0) {
		col_publisher_close(p);
		return r;
	}
	advertise = pub.replay_advertise != NULL ? pub.replay_advertise : pub.replay_url;
	p->ring_bytes = cfg->ring_bytes;
	p->sent_bytes = 1;
	p->self = (struct ops_member){.instance = ops_xstrdup(cfg->instance),
		.replay_url = ops_xstrdup(advertise != NULL ? advertise : ""),
		.url = ops_xstrdup(cfg->url != NULL ? cfg->url : ""),
		.started_ms = ops_now_ms()};
	ops_metric_register(&samples_total);
	ops_metric_register(&layouts_total);
	ops_metric_register(&failed_total);
	ops_metric_register(&announced_total);
	*ret = p;
	return 0;
}

void col_publisher_close(struct col_publisher *p)
{
	if (p == NULL) {
		return;
	}
	if (p->pub != NULL) {
		col_publish_flush(p);
		ops_pub_close(p->pub);
	}
	ops_timer_free(p->gather);
	ops_strbuf_done(&p->rows);
	ops_strbuf_done(&p->released);
	ops_strbuf_done(&p->buffer);
	ops_member_done(&p->self);
	free(p);
}

int col_publish_layout(struct col_publisher *p, struct col_layout *layout, bool announce)
{
	bool kept = layout->sent_at != 0 && layout->sent_at >= p->announce_from &&
		    (p->sent_bytes - layout->sent_at <= p->ring_bytes / 2 ||
			    ops_pub_held_bytes(p->pub) <= p->ring_bytes / 2);
	if (kept && !announce) {
		return 0;
	}
	char topic[40];
	col_publish_flush(p);
	const void *message = layout->packed;
	size_t len = layout->packed_len;
	if (message == NULL) {
		ops_strbuf_reset(&p->buffer);
		ops_layout_encode(&layout->wire, &p->buffer);
		message = p->buffer.data;
		len = p->buffer.len;
	}
	snprintf(topic, sizeof(topic), "layout/%016" PRIx64, layout->wire.id);
	uint64_t at = p->sent_bytes;
	int r = send(p, topic, message, len);
	if (r != 0) {
		return r;
	}
	if (layout->packed == NULL) {
		col_layout_keep_message(layout, message, len);
	}
	layout->sent_at = at;
	ops_metric_add(&layouts_total, 1);
	return 0;
}

void col_publish_row(struct col_publisher *p, const struct col_layout *layout, int64_t time_ms,
	const struct col_values *values)
{
	const struct ops_batch batch = {.layout_id = layout->wire.id,
		.time_ms = time_ms,
		.values = values->values,
		.n = layout->wire.n,
		.times_ms = values->has_times ? values->times_ms : NULL};
	ops_batch_encode(&batch, &p->rows);
	p->waiting_layout = p->waiting == 0 ? batch.layout_id : p->waiting_layout;
	p->waiting++;
	p->waiting_samples += batch.n;
	if (p->rows.len >= GATHER_BYTES) {
		col_publish_flush(p);
	} else if (p->waiting == 1) {
		ops_timer_start(p->gather, GATHER_MS);
	}
}

void col_publish_release(struct col_publisher *p, const struct col_layout *layout)
{
	ops_released_add(&p->released, layout->wire.id);
	if (p->released.len >= GATHER_BYTES) {
		col_publish_flush(p);
	} else {
		ops_timer_start(p->gather, GATHER_MS);
	}
}

void col_publish_exemplars(struct col_publisher *p, const struct ops_strbuf *message)
{
	if (ops_pub_send_volatile(p->pub, OPS_EXEMPLARS_TOPIC, message->data, message->len) != 0) {
		ops_metric_add(&failed_total, 1);
	}
}

int col_publish_received(struct col_publisher *p, const struct ops_strbuf *message, size_t samples)
{
	col_publish_flush(p);
	int r = send(p, OPS_RECEIVED_TOPIC, message->data, message->len);
	if (r == 0) {
		ops_metric_add(&samples_total, (double)samples);
	}
	return r;
}

void col_publish_member(struct col_publisher *p)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	json_t *data = ops_member_to_json(&p->self);
	const struct ops_event event = {.source = "ops-collector",
		.type = "ops.members",
		.subject = p->self.instance,
		.data = data};
	ops_event_encode(&event, &text);
	if (ops_pub_send_volatile(p->pub, "members/collector", text.data, text.len) != 0) {
		ops_metric_add(&failed_total, 1);
	}
	ops_strbuf_done(&text);
}
