/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shard has a queue of samples and one request under way at most, so the samples of a series
 * arrive in order. A request takes the first samples when there are enough of them, or when the
 * first has waited for the deadline; they leave the queue when the receiver has answered for good.
 *
 * For good: 2xx; and any 4xx but 429, which would be the same the next time: that is counted as
 * failed and logged with the receiver's words. 5xx, 429 when so configured, and a broken connection
 * are tried again, after Retry-After or the back-off, for as long as it takes: the spool holds what
 * comes meanwhile. A 2.0 receiver says how much it has written; one that says nothing has not
 * understood the message, whatever its status.
 *
 * After a crash the first samples may be at the receiver already, and Prometheus refuses a whole
 * request when one sample in it is older than what it has of that series. So these doubtful ones
 * (at most what fits into one request) go out record by record, and a record that is refused is
 * halved until what is refused stands alone: what the receiver lacks arrives.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/log/log.h"
#include "common/remote/snappy.h"
#include "services/detector/remote/queue_internal.h"

static const double duration_buckets[] = {
	0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25};

struct ops_metric det_remote_samples = OPS_COUNTER("ops_remote_storage_samples_total",
	"Samples that the receiver has taken.", "remote_name", "url");
struct ops_metric det_remote_histograms = OPS_COUNTER("ops_remote_storage_histograms_total",
	"Native histograms that the receiver has taken.", "remote_name", "url");
struct ops_metric det_remote_failed = OPS_COUNTER("ops_remote_storage_samples_failed_total",
	"Samples that the receiver refused for good.", "remote_name", "url");
struct ops_metric det_remote_retried = OPS_COUNTER("ops_remote_storage_samples_retried_total",
	"Samples that had to be sent again.", "remote_name", "url");
struct ops_metric det_remote_dropped = OPS_COUNTER("ops_remote_storage_samples_dropped_total",
	"Samples that were not sent, by reason.", "remote_name", "url", "reason");
struct ops_metric det_remote_bytes = OPS_COUNTER("ops_remote_storage_bytes_total",
	"Bytes of samples sent, compressed.", "remote_name", "url");
struct ops_metric det_remote_duration =
	OPS_HISTOGRAM("ops_remote_storage_sent_batch_duration_seconds", "Time of a request.",
		duration_buckets, "remote_name", "url");
struct ops_metric det_remote_highest_sent =
	OPS_GAUGE("ops_remote_storage_queue_highest_sent_timestamp_seconds",
		"Newest timestamp that the receiver has taken.", "remote_name", "url");

struct ops_metric det_remote_exemplars = OPS_COUNTER("ops_remote_storage_exemplars_total",
	"Exemplars that the receiver has taken.", "remote_name", "url");
struct ops_metric det_remote_exemplars_dropped =
	OPS_COUNTER("ops_remote_storage_exemplars_dropped_total",
		"Exemplars that were not sent, by reason.", "remote_name", "url", "reason");
static struct ops_metric exemplars_failed = OPS_COUNTER("ops_remote_storage_exemplars_failed_total",
	"Exemplars that the receiver refused for good.", "remote_name", "url");
static struct ops_metric exemplars_retried =
	OPS_COUNTER("ops_remote_storage_exemplars_retried_total",
		"Exemplars that had to be sent again.", "remote_name", "url");

static void on_timer(void *arg)
{
	struct det_shard *s = arg;

	s->waiting = false;
	det_shard_go(s);
}

void det_shard_init(struct det_shard *s, struct det_queue *q)
{
	*s = (struct det_shard){.queue = q};
	s->timer = ops_timer_new(q->owner.loop, on_timer, s);
}

static void item_done(struct det_shard_item *item)
{
	ops_labels_unref(item->labels);
	ops_labels_unref(item->exemplar);
	free(item->histogram);
}

/* Of the first n items. */
static size_t exemplars_of(const struct det_shard *s, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += s->items[s->head + i].exemplar != NULL;
	return found;
}

static void pop(struct det_shard *s, size_t n)
{
	s->queue->nexemplars -= exemplars_of(s, n);
	for (size_t i = 0; i < n; i++)
		item_done(&s->items[s->head + i]);
	s->head += n;
	s->n -= n;
	s->queue->nitems -= n;
	if (s->n == 0)
		s->head = 0;
}

void det_shard_done(struct det_shard *s)
{
	if (s->call != NULL)
		ops_http_call_cancel(s->call);
	pop(s, s->n);
	ops_timer_free(s->timer);
	free(s->items);
}

void det_shard_add(struct det_shard *s, const struct det_shard_item *item)
{
	if (s->head > 0 && s->head + s->n == s->cap) {
		memmove(s->items, s->items + s->head, s->n * sizeof(s->items[0]));
		s->head = 0;
	}
	OPS_GROW(s->items, s->head + s->n, s->cap);
	if (s->n == s->sending)
		s->since_ms = ops_mono_ms();
	struct det_shard_item *to = &s->items[s->head + s->n++];
	*to = *item;
	ops_labels_ref(to->labels);
	s->queue->nitems++;
	s->queue->nexemplars += item->exemplar != NULL;
}

uint64_t det_shard_oldest(const struct det_shard *s)
{
	return s->n > 0 ? s->items[s->head].record : UINT64_MAX;
}

/* ---- a request ------------------------------------------------------------------------------ */

static void put_item(struct det_queue *q, const struct det_shard_item *item)
{
	const struct ops_remote_sample sample = {item->time_ms, 0, item->value};
	const struct ops_remote_histogram histogram = {
		item->histogram, item->histogram_len, item->time_ms, 0};
	struct ops_remote_exemplar exemplar = {.value = item->value, .time_ms = item->time_ms};
	struct ops_remote_metadata metadata;
	struct ops_remote_series series = {
		.labels = item->labels->items, .nlabels = item->labels->n};
	const char *metric = ops_labels_get(item->labels, OPS_LABEL_NAME);

	if (item->exemplar != NULL) {
		exemplar.labels = item->exemplar->items;
		exemplar.nlabels = item->exemplar->n;
		series.exemplars = &exemplar;
		series.nexemplars = 1;
	} else if (item->histogram != NULL) {
		series.histograms = &histogram;
		series.nhistograms = 1;
	} else {
		series.samples = &sample;
		series.nsamples = 1;
	}
	if (q->writer.version == OPS_REMOTE_2 && metric != NULL &&
		det_queue_metadata(q, metric, &metadata))
		series.metadata = &metadata;
	ops_remote_writer_series(&q->writer, &series);
}

static void drop_old(const struct det_queue *q, const struct det_shard_item *item)
{
	ops_metric_add(item->exemplar != NULL ? &det_remote_exemplars_dropped : &det_remote_dropped,
		1, q->name, q->shown_url, "too_old");
}

/* Writes what is not too old; how many that are. */
static size_t write_batch(struct det_shard *s)
{
	struct det_queue *q = s->queue;
	int64_t limit = q->target->queue.sample_age_limit_ms;
	int64_t oldest = limit > 0 ? ops_now_ms() - limit : INT64_MIN;
	size_t written = 0;

	q->writer.version = q->target->version;
	ops_remote_writer_reset(&q->writer);
	for (size_t i = 0; i < s->sending; i++) {
		const struct det_shard_item *item = &s->items[s->head + i];
		if (item->time_ms < oldest) {
			drop_old(q, item);
			continue;
		}
		put_item(q, item);
		written++;
	}
	return written;
}

static void on_answer(void *arg, const struct ops_http_response *res);

int det_queue_send(
	struct det_queue *q, const struct det_send *send, struct ops_http_call **ret_call)
{
	const struct det_remote_target *t = q->target;
	char type[128], version[80];
	OPS_CLEANUP(ops_freep) const char **lines = ops_xcalloc(t->nheaders + 4, sizeof(*lines));
	size_t n = 0;

	snprintf(type, sizeof(type), "Content-Type: %s", ops_remote_media_type(t->version));
	snprintf(version, sizeof(version), OPS_REMOTE_VERSION_HEADER ": %s",
		ops_remote_version_text(t->version));
	lines[n++] = type;
	lines[n++] = "Content-Encoding: snappy";
	lines[n++] = version;
	lines[n++] = "User-Agent: ops-detector";
	for (size_t i = 0; i < t->nheaders; i++)
		lines[n++] = t->headers[i];
	ops_strbuf_reset(&q->plain);
	ops_strbuf_reset(&q->body);
	ops_remote_writer_finish(send->writer, &q->plain);
	ops_snappy_encode(q->plain.data, q->plain.len, &q->body);
	struct ops_http_request req = {.method = "POST",
		.url = t->url,
		.headers = lines,
		.nheaders = n,
		.body = q->body.data,
		.body_len = q->body.len,
		.timeout_ms = t->timeout_ms,
		.max_response_bytes = 65536,
		.want_header = OPS_REMOTE_SAMPLES_WRITTEN};
	const struct ops_http_way way = {q->owner.client, q->owner.tokens, &t->http};
	struct ops_error err = {.line = 0};
	int rc = ops_http_options_start(&way, &req, &send->done, ret_call, &err);
	if (rc < 0 && rc != -ESHUTDOWN)
		log_error("could not start a remote write", F_STR("remote_name", q->name),
			F_STR("error", err.message));
	return rc;
}

struct both { /* counters of samples and of exemplars */
	struct ops_metric *samples, *exemplars;
};

/* What is in the request. */
static void count(const struct det_shard *s, const struct both *metrics)
{
	const struct det_queue *q = s->queue;
	size_t exemplars = exemplars_of(s, s->sending);

	if (s->sending > exemplars)
		ops_metric_add(
			metrics->samples, (double)(s->sending - exemplars), q->name, q->shown_url);
	if (exemplars > 0)
		ops_metric_add(metrics->exemplars, (double)exemplars, q->name, q->shown_url);
}

static void again(struct det_shard *s, int64_t retry_after_ms)
{
	const struct det_remote_tuning *t = &s->queue->target->queue;
	int64_t wait = ops_backoff_ms(s->attempt++, t->min_backoff_ms, t->max_backoff_ms);

	const struct both metrics = {&det_remote_retried, &exemplars_retried};

	count(s, &metrics);
	s->queue->failing = true;
	s->waiting = true;
	ops_timer_start(s->timer, retry_after_ms >= 0 ? retry_after_ms : OPS_MAX(wait, 1));
}

/* The samples under way leave the queue, delivered or not. */
static void settle(struct det_shard *s)
{
	size_t n = s->sending;

	s->sending = 0;
	s->attempt = 0;
	s->doubtful -= OPS_MIN(s->doubtful, n);
	pop(s, n);
	det_queue_advance(s->queue);
}

static void start(struct det_shard *s)
{
	struct det_queue *q = s->queue;
	size_t written = write_batch(s);
	const struct det_send send = {&q->writer, {on_answer, s}};

	if (written == 0) {
		settle(s);
		det_shard_go(s);
		return;
	}
	int rc = det_queue_send(q, &send, &s->call);
	if (rc == -ESHUTDOWN)
		return;
	if (rc == OPS_OAUTH2_WAIT) {
		s->waiting = true;
		ops_timer_start(s->timer, TOKEN_WAIT_MS);
		return;
	}
	if (rc != 0) {
		again(s, -1);
		return;
	}
	ops_metric_add(&det_remote_bytes, (double)q->body.len, q->name, q->shown_url);
}

/* Of its samples: exemplars have times of their own, which may be long ago. */
static int64_t newest_of(const struct det_shard *s)
{
	int64_t newest = INT64_MIN;

	for (size_t i = 0; i < s->sending; i++)
		if (s->items[s->head + i].exemplar == NULL)
			newest = OPS_MAX(newest, s->items[s->head + i].time_ms);
	return newest;
}

static void count_delivered(struct det_shard *s)
{
	struct det_queue *q = s->queue;
	size_t histograms = 0, exemplars = exemplars_of(s, s->sending);
	int64_t newest = newest_of(s);

	for (size_t i = 0; i < s->sending; i++)
		histograms += s->items[s->head + i].histogram != NULL;
	ops_metric_add(&det_remote_samples, (double)(s->sending - histograms - exemplars), q->name,
		q->shown_url);
	ops_metric_add(&det_remote_histograms, (double)histograms, q->name, q->shown_url);
	if (exemplars > 0)
		ops_metric_add(&det_remote_exemplars, (double)exemplars, q->name, q->shown_url);
	if (newest > INT64_MIN)
		ops_metric_set(
			&det_remote_highest_sent, (double)newest / 1000, q->name, q->shown_url);
	q->failing = false;
}

static void give_up(struct det_shard *s, const struct ops_http_response *res, const char *why)
{
	struct det_queue *q = s->queue;
	char said[256];

	snprintf(said, sizeof(said), "%.*s", (int)OPS_MIN(res->len, sizeof(said) - 1),
		res->body != NULL ? res->body : "");
	count(s, &(const struct both){&det_remote_failed, &exemplars_failed});
	log_error("samples are not accepted by a remote write receiver and are dropped",
		F_STR("remote_name", q->name), F_STR("url", q->shown_url), F_STR("reason", why),
		F_INT("status", res->code),
		F_UINT("samples", s->sending - exemplars_of(s, s->sending)),
		F_UINT("exemplars", exemplars_of(s, s->sending)), F_STR("answer", said));
}

enum verdict {
	DELIVERED,
	REFUSED,
	AGAIN
};

static enum verdict judge(
	const struct det_queue *q, const struct ops_http_response *res, const char **ret_why)
{
	uint64_t written = 0;

	*ret_why = "its status";
	if (res->outcome != OPS_HTTP_DONE && res->outcome != OPS_HTTP_TOO_BIG)
		return AGAIN;
	if (res->code == 429)
		return q->target->queue.retry_on_429 ? AGAIN : REFUSED;
	if (res->code / 100 == 5)
		return AGAIN;
	if (res->code / 100 != 2)
		return REFUSED;
	if (q->target->version == OPS_REMOTE_2 &&
		ops_parse_u64(res->header, strlen(res->header), &written) < 0) {
		*ret_why = "it does not say what it has written: no receiver of remote write 2.0";
		return REFUSED;
	}
	return DELIVERED;
}

static void on_answer(void *arg, const struct ops_http_response *res)
{
	struct det_shard *s = arg;
	struct det_queue *q = s->queue;
	const char *why;

	s->call = NULL;
	if (res->outcome == OPS_HTTP_CANCELLED)
		return;
	ops_metric_observe(
		&det_remote_duration, (double)res->duration_ms / 1000, q->name, q->shown_url);
	enum verdict verdict = judge(q, res, &why);
	if (verdict == AGAIN) {
		log_warn("a remote write has to be tried again", F_STR("remote_name", q->name),
			F_STR("url", q->shown_url), F_INT("status", res->code),
			F_STR("error", res->error != NULL ? res->error : ""));
		again(s, res->outcome == OPS_HTTP_DONE ? res->retry_after_ms : -1);
		det_queue_advance(q);
		return;
	}
	if (verdict == REFUSED && res->code == 400 && s->doubtful > 0 && s->sending > 1) {
		s->sending = (s->sending + 1) / 2;
		start(s);
		return;
	}
	if (verdict == REFUSED)
		give_up(s, res, why);
	else
		count_delivered(s);
	settle(s);
	det_shard_go(s);
}

/* How many samples the next request takes. */
static size_t batch_size(const struct det_shard *s)
{
	size_t most = OPS_MIN(s->n, (size_t)s->queue->target->queue.max_samples_per_send);
	size_t same = 1;

	if (s->doubtful == 0)
		return most;
	while (same < most && s->items[s->head + same].record == s->items[s->head].record)
		same++;
	return same;
}

void det_shard_go(struct det_shard *s)
{
	struct det_queue *q = s->queue;
	const struct det_remote_tuning *t = &q->target->queue;

	if (s->call != NULL || s->waiting || s->n == 0 || q->next_config != NULL)
		return;
	if (s->sending == 0) {
		int64_t left = s->since_ms + t->deadline_ms - ops_mono_ms();
		bool enough = s->n >= (size_t)t->max_samples_per_send || s->doubtful > 0;
		if (!enough && left > 0 && !q->draining) {
			ops_timer_start(s->timer, left);
			return;
		}
		s->sending = batch_size(s);
	}
	start(s);
}
