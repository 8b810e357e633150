/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a metric is (type, help, unit). 2.0 carries it in each series; 1.0 sends it in requests of
 * its own, every so often and without a queue: what is lost comes again.
 */
#include <string.h>

#include "common/base/text.h"
#include "common/log/log.h"
#include "services/detector/remote/queue_internal.h"

struct ops_metric det_remote_metadata = OPS_COUNTER("ops_remote_storage_metadata_total",
	"Entries of metadata that the receiver has taken.", "remote_name", "url");
struct ops_metric det_remote_metadata_failed =
	OPS_COUNTER("ops_remote_storage_metadata_failed_total",
		"Entries of metadata that could not be sent.", "remote_name", "url");

static struct ops_remote_text text(const char *s)
{
	return (struct ops_remote_text){s, strlen(s)};
}

static void fill(const struct det_metadata *m, struct ops_remote_metadata *ret)
{
	*ret = (struct ops_remote_metadata){text(m->name), text(m->help), text(m->unit), m->type};
}

bool det_queue_metadata(
	const struct det_queue *q, const char *metric, struct ops_remote_metadata *ret)
{
	static const char *const suffixes[] = {"_total", "_bucket", "_sum", "_count", "_info"};
	const struct det_metadata *m = det_store_metadata(q->owner.store, metric);
	char family[256];

	for (size_t i = 0; m == NULL && i < OPS_LENGTH(suffixes); i++) {
		size_t len = strlen(metric) - OPS_MIN(strlen(metric), strlen(suffixes[i]));
		if (!ops_str_ends(metric, suffixes[i]) || len == 0 || len >= sizeof(family))
			continue;
		memcpy(family, metric, len);
		family[len] = '\0';
		m = det_store_metadata(q->owner.store, family);
	}
	if (m == NULL)
		return false;
	fill(m, ret);
	return true;
}

static int send_some(struct det_queue *q);

static void on_answer(void *arg, const struct ops_http_response *res)
{
	struct det_queue *q = arg;
	bool good = res->outcome == OPS_HTTP_DONE && res->code / 100 == 2;

	q->metadata_call = NULL;
	if (res->outcome == OPS_HTTP_CANCELLED)
		return;
	ops_metric_add(good ? &det_remote_metadata : &det_remote_metadata_failed,
		(double)q->metadata_sent, q->name, q->shown_url);
	if (good)
		(void)send_some(q);
}

/* From where the last request ended. The texts are the store's, so nothing is kept between two. As
 * det_queue_send. */
static int send_some(struct det_queue *q)
{
	const struct det_send send = {&q->metadata_writer, {on_answer, q}};
	const struct det_metadata *const *all = NULL;
	struct ops_remote_metadata m;
	struct ops_arena arena;
	size_t n = 0;

	ops_arena_init(&arena);
	det_store_metadata_all(q->owner.store, &arena, &all, &n);
	ops_remote_writer_reset(&q->metadata_writer);
	size_t end = OPS_MIN(n, q->metadata_at + (size_t)q->target->metadata.max_per_send);
	q->metadata_sent = end > q->metadata_at ? end - q->metadata_at : 0;
	for (; q->metadata_at < end; q->metadata_at++) {
		fill(all[q->metadata_at], &m);
		ops_remote_writer_metadata(&q->metadata_writer, &m);
	}
	ops_arena_done(&arena);
	int rc = q->metadata_sent > 0 ? det_queue_send(q, &send, &q->metadata_call) : 0;
	if (rc < 0)
		ops_metric_add(&det_remote_metadata_failed, (double)q->metadata_sent, q->name,
			q->shown_url);
	return rc;
}

static void on_timer(void *arg)
{
	struct det_queue *q = arg;
	int64_t next_ms = q->target->metadata.interval_ms;

	if (q->metadata_call == NULL && !q->draining) {
		q->metadata_at = 0;
		if (send_some(q) == OPS_OAUTH2_WAIT)
			next_ms = TOKEN_WAIT_MS;
	}
	ops_timer_start(q->metadata_timer, next_ms);
}

void det_metadata_start(struct det_queue *q)
{
	if (!q->target->metadata.send || q->target->version != OPS_REMOTE_1)
		return;
	ops_remote_writer_init(&q->metadata_writer, OPS_REMOTE_1);
	q->metadata_timer = ops_timer_new(q->owner.loop, on_timer, q);
	ops_timer_start(q->metadata_timer, q->target->metadata.interval_ms);
}

void det_metadata_stop(struct det_queue *q)
{
	if (q->metadata_timer == NULL)
		return;
	if (q->metadata_call != NULL)
		ops_http_call_cancel(q->metadata_call);
	ops_timer_free(q->metadata_timer);
	q->metadata_timer = NULL;
	ops_remote_writer_done(&q->metadata_writer);
}
