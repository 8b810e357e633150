/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch is useless without its layout, and the ring that serves replays forgets its oldest
 * records. So a layout is sent again when half a ring has gone by since it was last sent: whatever
 * the ring holds of the newer half can be understood from the ring alone.
 */
#include "services/collector/publish.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/msg/msg.h"

enum {
	RECORD_OVERHEAD = 128 /* topic and trailer */
};

static struct ops_metric samples_total = OPS_COUNTER(
	"ops_collector_samples_published_total", "Samples published, staleness markers included.");
static struct ops_metric layouts_total = OPS_COUNTER(
	"ops_collector_layouts_published_total", "Layouts published, repeats included.");
static struct ops_metric failed_total = OPS_COUNTER(
	"ops_collector_publish_failures_total", "Messages that the bus refused to take.");

struct col_publisher {
	struct ops_pub *pub;
	uint64_t ring_bytes, sent_bytes;
	struct ops_strbuf buffer;
	struct ops_member self;
};

int col_publisher_open(struct ops_loop *loop, const struct col_publisher_config *cfg,
	struct col_publisher **ret, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *stream = ops_xasprintf("samples/%s", cfg->instance);
	const char *replay = cfg->replay_listen;
	const char *advertise = cfg->replay_advertise;
	const struct ops_pub_config pub = {.stream = stream,
		.url = cfg->samples_url,
		.dial = true,
		.replay_url = replay != NULL && replay[0] != '\0' ? replay : NULL,
		.replay_advertise = advertise != NULL && advertise[0] != '\0' ? advertise : NULL,
		.ring_bytes = cfg->ring_bytes,
		.heartbeat_ms = cfg->heartbeat_ms,
		.key = cfg->key,
		.tls = cfg->tls};
	struct col_publisher *p = ops_xcalloc(1, sizeof(*p));
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
		.started_ms = ops_now_ms()};
	ops_metric_register(&samples_total);
	ops_metric_register(&layouts_total);
	ops_metric_register(&failed_total);
	*ret = p;
	return 0;
}

void col_publisher_close(struct col_publisher *p)
{
	if (p == NULL) {
		return;
	}
	if (p->pub != NULL) {
		ops_pub_close(p->pub);
	}
	ops_strbuf_done(&p->buffer);
	ops_member_done(&p->self);
	free(p);
}

static int send_buffer(struct col_publisher *p, const char *kind, uint64_t layout_id)
{
	char topic[40];
	snprintf(topic, sizeof(topic), "%s/%016" PRIx64, kind, layout_id);
	int r = ops_pub_send(p->pub, topic, p->buffer.data, p->buffer.len, NULL);
	if (r != 0) {
		ops_metric_add(&failed_total, 1);
		log_warn("could not publish samples", F_STR("topic", topic), F_ERR(r));
		return r;
	}
	p->sent_bytes += p->buffer.len + RECORD_OVERHEAD;
	return 0;
}

int col_publish_layout(struct col_publisher *p, struct col_layout *layout, bool announce)
{
	bool kept = layout->sent_at != 0 && p->sent_bytes - layout->sent_at <= p->ring_bytes / 2;
	if (kept && !announce) {
		return 0;
	}
	ops_strbuf_reset(&p->buffer);
	ops_layout_encode(&layout->wire, &p->buffer);
	uint64_t at = p->sent_bytes;
	int r = send_buffer(p, "layout", layout->wire.id);
	if (r == 0) {
		layout->sent_at = at;
		ops_metric_add(&layouts_total, 1);
	}
	return r;
}

void col_publish_row(struct col_publisher *p, const struct col_layout *layout, int64_t time_ms,
	const struct col_values *values)
{
	const struct ops_batch batch = {.layout_id = layout->wire.id,
		.time_ms = time_ms,
		.values = values->values,
		.n = layout->wire.n,
		.times_ms = values->has_times ? values->times_ms : NULL};
	ops_strbuf_reset(&p->buffer);
	ops_batch_encode(&batch, &p->buffer);
	if (send_buffer(p, "batch", batch.layout_id) == 0) {
		ops_metric_add(&samples_total, (double)batch.n);
	}
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
