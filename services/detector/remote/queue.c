/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tap to the receiver: the tap appends a record per turn of the loop to the spool; the
 * pump reads records in order while the shards have room, and deals the samples out by the hash of
 * their labels as the receiver sees them, exemplars by those of their series, so that they follow
 * its samples. A receiver that is down fills the shards, the pump stops, and the spool grows up to
 * its limit; then the oldest segments fall out, and how many samples that were is known from the
 * counters in the records.
 *
 * Position: everything up to it is delivered or given up: one below the oldest record that some
 * shard still has samples of. It is written in place after each answer without waiting for the
 * disk, which survives our own death; the spool's own mark, which is synced, follows once a second.
 * What lies between a lost position and the truth is sent twice; receivers take the same sample at
 * the same time once.
 *
 * More shards are used when the backlog grows although the receiver takes everything, fewer when
 * they are idle; the number changes only while all of them are empty, or the order would be lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/log/log.h"
#include "common/remote/histogram.h"
#include "services/detector/remote/queue_internal.h"
#include "services/detector/store/group.h"

enum {
	RECORDS_PER_TURN = 8,
	RECORD_BYTES_MAX = 24 << 20,
	TUNE_MS = 10000,
	IDLE_TURNS = 6
};

static struct ops_metric pending_gauge = OPS_GAUGE("ops_remote_storage_samples_pending",
	"Samples in the queue that are not delivered.", "remote_name", "url");
static struct ops_metric exemplars_pending_gauge = OPS_GAUGE("ops_remote_storage_exemplars_pending",
	"Exemplars in the queue that are not delivered.", "remote_name", "url");
static struct ops_metric bytes_gauge = OPS_GAUGE(
	"ops_remote_storage_queue_bytes", "Size of the queue on disk.", "remote_name", "url");
static struct ops_metric shards_gauge =
	OPS_GAUGE("ops_remote_storage_shards", "Shards in use.", "remote_name", "url");
static struct ops_metric shards_max_gauge =
	OPS_GAUGE("ops_remote_storage_shards_max", "Most shards allowed.", "remote_name", "url");
static struct ops_metric in_total = OPS_COUNTER(
	"ops_remote_storage_samples_in_total", "Samples put into the queue.", "remote_name", "url");

static struct ops_metric exemplars_in_total = OPS_COUNTER("ops_remote_storage_exemplars_in_total",
	"Exemplars put into the queue.", "remote_name", "url");

/* ---- records to shards ---------------------------------------------------------------------- */

static void drop(const struct det_queue *q, uint64_t n, const char *reason)
{
	if (n > 0)
		ops_metric_add(&det_remote_dropped, (double)n, q->name, q->shown_url, reason);
}

static void drop_exemplars(const struct det_queue *q, uint64_t n, const char *reason)
{
	if (n > 0)
		ops_metric_add(
			&det_remote_exemplars_dropped, (double)n, q->name, q->shown_url, reason);
}

static void deal(struct det_queue *q, const struct det_shard_item *item)
{
	size_t shard = (size_t)(item->labels->hash % q->nshards);

	det_shard_add(&q->shards[shard], item);
}

static void deal_row(struct det_queue *q, const struct det_journal_entry *e)
{
	const struct det_out_layout *l = det_outgoing_layout(q, e->layout_id);
	size_t n = e->blob_len / 8, relabelled = 0, unknown = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t bits = ops_get_u64(e->blob + i * 8);
		struct det_shard_item item = {.time_ms = e->time_ms, .record = q->read_next};
		memcpy(&item.value, &bits, sizeof(bits));
		if (det_is_absent(item.value))
			continue;
		if (l == NULL || i >= l->n) {
			unknown++;
			continue;
		}
		item.labels = l->labels[i];
		if (item.labels == NULL)
			relabelled++;
		else
			deal(q, &item);
	}
	drop(q, relabelled, "dropped_series");
	drop(q, unknown, "unknown_series");
}

/* Turns our bytes into the message's. */
static bool take_histogram(const struct det_journal_entry *e, struct det_shard_item *item)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_histogram h;
	struct ops_arena a;

	ops_arena_init(&a);
	int rc = ops_histogram_decode(e->blob, e->blob_len, &a, &h);
	if (rc == 0) {
		ops_remote_histogram_encode(&h, e->time_ms, &b);
		item->histogram_len = (uint32_t)b.len;
		item->histogram = ops_strbuf_take(&b);
	}
	ops_arena_done(&a);
	return rc == 0;
}

static void deal_exemplar(struct det_queue *q, const struct det_journal_entry *e)
{
	struct det_shard_item item = {
		.time_ms = e->time_ms, .value = e->value, .record = q->read_next};

	item.labels = det_outgoing_single(q, e->labels, e->labels_len);
	if (item.labels == NULL || !q->target->send_exemplars) {
		drop_exemplars(q, 1, item.labels == NULL ? "dropped_series" : "exemplar");
		return;
	}
	item.exemplar = det_journal_labels(e->exemplar_labels, e->exemplar_labels_len);
	if (item.exemplar == NULL)
		item.exemplar = ops_labels_from_sorted(NULL, 0);
	deal(q, &item);
}

static void deal_entry(void *arg, const struct det_journal_entry *e)
{
	struct det_queue *q = arg;
	struct det_shard_item item = {
		.time_ms = e->time_ms, .value = e->value, .record = q->read_next};

	if (e->layout_id != 0) {
		deal_row(q, e);
		return;
	}
	if (e->exemplar) {
		deal_exemplar(q, e);
		return;
	}
	item.labels = det_outgoing_single(q, e->labels, e->labels_len);
	if (item.labels == NULL) {
		drop(q, 1, "dropped_series");
		return;
	}
	if (e->blob != NULL && (!q->target->send_histograms || !take_histogram(e, &item))) {
		drop(q, 1, "histogram");
		return;
	}
	deal(q, &item);
}

/* What fell out between the last record and this one. */
static void count_lost(struct det_queue *q, const struct det_journal_header *h)
{
	const struct det_journal_counts *until = &q->read_until, *before = &h->before;
	uint64_t samples = before->samples - OPS_MIN(until->samples, before->samples);
	uint64_t exemplars = before->exemplars - OPS_MIN(until->exemplars, before->exemplars);

	drop(q, samples, "queue_full");
	drop_exemplars(q, exemplars, "queue_full");
	if (samples > 0 || exemplars > 0)
		log_error("samples fell out of the queue of a remote write before they were sent",
			F_STR("remote_name", q->name), F_UINT("samples", samples),
			F_UINT("exemplars", exemplars));
	q->read_until = (struct det_journal_counts){
		before->samples + h->nsamples, before->exemplars + h->nexemplars};
}

static int on_record(uint64_t number, const void *data, size_t len, void *arg)
{
	struct det_queue *q = arg;
	struct det_journal_header h;

	if (det_journal_header(data, len, &h) == 0)
		count_lost(q, &h);
	q->read_next = number; /* what the items carry */
	if (det_journal_read(data, len, deal_entry, q) < 0)
		log_error("a record in the queue of a remote write is damaged",
			F_STR("remote_name", q->name), F_UINT("record", number));
	q->read_next = number + 1;
	return 0;
}

static bool room(const struct det_queue *q)
{
	for (size_t i = 0; i < q->nshards; i++)
		if (q->shards[i].n >= (size_t)q->target->queue.capacity)
			return false;
	return true;
}

static void go(struct det_queue *q)
{
	for (size_t i = 0; i < q->nshards; i++)
		det_shard_go(&q->shards[i]);
}

static void read_some(struct det_queue *q)
{
	uint64_t before = q->read_next;

	for (int i = 0; i < RECORDS_PER_TURN && room(q); i++)
		if (ops_spool_read(q->spool, q->read_next, 1, on_record, q) != 0)
			break;
	if (q->read_next == before && room(q))
		q->read_next = ops_spool_next(q->spool); /* all of it is damaged */
}

static bool unread(const struct det_queue *q)
{
	return q->read_next < ops_spool_next(q->spool);
}

static bool reads(const struct det_queue *q)
{
	return unread(q) && room(q) && !q->draining && q->next_config == NULL &&
	       q->wanted == q->nshards;
}

static void wake(struct det_queue *q)
{
	if (!ops_timer_pending(q->pump))
		ops_timer_start(q->pump, 0);
}

/* ---- delivered ------------------------------------------------------------------------------- */

void det_queue_advance(struct det_queue *q)
{
	uint64_t oldest = q->read_next;

	for (size_t i = 0; i < q->nshards; i++)
		oldest = OPS_MIN(oldest, det_shard_oldest(&q->shards[i]));
	if (oldest - 1 > q->position) {
		q->position = oldest - 1;
		det_position_write(q);
		det_position_acknowledge(q, false);
	}
	wake(q);
}

/* ---- changes -------------------------------------------------------------------------------- */

static bool calling(const struct det_queue *q)
{
	for (size_t i = 0; i < q->nshards; i++)
		if (q->shards[i].call != NULL)
			return true;
	return false;
}

static void shards_make(struct det_queue *q, size_t n)
{
	q->shards = ops_xcalloc(n, sizeof(q->shards[0]));
	q->nshards = q->wanted = n;
	for (size_t i = 0; i < n; i++)
		det_shard_init(&q->shards[i], q);
}

/* What is read first may have been sent before. */
static void shards_make_careful(struct det_queue *q)
{
	shards_make(q, (size_t)q->target->queue.min_shards);
	for (size_t i = 0; i < q->nshards && unread(q); i++)
		q->shards[i].doubtful = (size_t)q->target->queue.max_samples_per_send;
}

static void shards_drop(struct det_queue *q)
{
	for (size_t i = 0; i < q->nshards; i++)
		det_shard_done(&q->shards[i]);
	free(q->shards);
	q->shards = NULL;
	q->nshards = 0;
}

/* What was read and not delivered is read again, as the new relabelling may see it differently. */
static void adopt(struct det_queue *q)
{
	det_metadata_stop(q);
	shards_drop(q);
	det_outgoing_forget(q);
	det_remote_config_unref(q->config);
	q->config = q->next_config;
	q->target = q->next_target;
	q->next_config = NULL;
	q->read_next = q->position + 1;
	q->failing = false;
	shards_make_careful(q);
	det_metadata_start(q);
}

static void on_pump(void *arg)
{
	struct det_queue *q = arg;

	if (q->next_config != NULL && !calling(q))
		adopt(q);
	if (q->wanted != q->nshards && q->nitems == 0) {
		size_t n = q->wanted;
		shards_drop(q);
		shards_make(q, n);
	}
	if (!reads(q))
		return;
	read_some(q);
	go(q);
	det_queue_advance(q); /* past what fell out, and what relabelling dropped */
	if (unread(q) && room(q))
		wake(q);
}

static uint64_t unread_samples(const struct det_queue *q)
{
	return q->taken.samples - OPS_MIN(q->read_until.samples, q->taken.samples);
}

static uint64_t unread_exemplars(const struct det_queue *q)
{
	return q->taken.exemplars - OPS_MIN(q->read_until.exemplars, q->taken.exemplars);
}

static void on_tune(void *arg)
{
	struct det_queue *q = arg;
	const struct det_remote_tuning *t = &q->target->queue;
	uint64_t behind = unread_samples(q) + unread_exemplars(q) + q->nitems;

	if (q->failing) {
		q->wanted = q->nshards;
		q->idle_turns = 0;
	} else if (behind > q->nshards * (uint64_t)t->capacity) {
		q->wanted = OPS_MIN(q->nshards * 2, (size_t)t->max_shards);
		q->idle_turns = 0;
	} else if (behind >= (uint64_t)t->max_samples_per_send) {
		q->idle_turns = 0;
	} else if (q->nshards > (size_t)t->min_shards && ++q->idle_turns >= IDLE_TURNS) {
		q->wanted = OPS_MAX(q->nshards / 2, (size_t)t->min_shards);
		q->idle_turns = 0;
	}
	det_position_acknowledge(q, true);
	wake(q);
	ops_timer_start(q->tune, TUNE_MS);
}

/* ---- life ----------------------------------------------------------------------------------- */

static int open_files(struct det_queue *q, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *dir = ops_path_join(q->owner.dir, q->target->folder);
	OPS_CLEANUP(ops_freep) char *position = ops_path_join(dir, "position");
	const struct ops_spool_config cfg = {
		.dir = dir, .max_bytes = q->owner.max_bytes, .max_record_bytes = RECORD_BYTES_MAX};
	struct ops_spool_report report = {0, 0};
	int rc = ops_spool_open(&cfg, &q->spool, &report, err);

	if (rc != 0)
		return rc;
	q->position_fd = open(position, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (q->position_fd < 0)
		return ops_error_set(err, -errno, "could not open %s", position);
	if (report.torn_bytes > 0 || report.lost_records > 0)
		log_warn("the queue of a remote write was damaged", F_STR("remote_name", q->name),
			F_UINT("torn_bytes", report.torn_bytes),
			F_UINT("lost_records", report.lost_records));
	return 0;
}

int det_queue_open(const struct det_queue_owner *owner, struct det_remote_config *config,
	const struct det_remote_target *target, struct det_queue **ret, struct ops_error *err)
{
	struct det_queue *q = ops_xcalloc(1, sizeof(*q));

	q->owner = *owner;
	q->config = det_remote_config_ref(config);
	q->target = target;
	q->name = ops_xstrdup(target->name);
	q->shown_url = ops_xstrdup(target->shown_url);
	q->position_fd = -1;
	det_outgoing_forget(q);
	ops_remote_writer_init(&q->writer, target->version);
	int rc = open_files(q, err);
	if (rc != 0) {
		det_queue_close(q);
		return rc;
	}
	det_position_read(q);
	q->pump = ops_timer_new(owner->loop, on_pump, q);
	q->tune = ops_timer_new(owner->loop, on_tune, q);
	shards_make_careful(q);
	det_metadata_start(q);
	ops_timer_start(q->tune, TUNE_MS);
	wake(q);
	*ret = q;
	return 0;
}

void det_queue_close(struct det_queue *q)
{
	if (q == NULL)
		return;
	det_metadata_stop(q);
	shards_drop(q);
	if (q->spool != NULL && q->position_fd >= 0)
		det_position_acknowledge(q, true);
	ops_spool_close(q->spool);
	ops_closep(&q->position_fd);
	ops_timer_free(q->pump);
	ops_timer_free(q->tune);
	det_outgoing_drop(q);
	ops_remote_writer_done(&q->writer);
	ops_strbuf_done(&q->plain);
	ops_strbuf_done(&q->body);
	det_remote_config_unref(q->config);
	det_remote_config_unref(q->next_config);
	free(q->name);
	free(q->shown_url);
	free(q);
}

void det_queue_configure(struct det_queue *q, struct det_remote_config *config,
	const struct det_remote_target *target)
{
	bool same = target->hash == q->target->hash;

	det_remote_config_unref(q->next_config);
	q->next_config = NULL;
	if (same) {
		det_remote_config_ref(config);
		det_remote_config_unref(q->config);
		q->config = config;
		q->target = target;
	} else {
		q->next_config = det_remote_config_ref(config);
		q->next_target = target;
	}
	wake(q);
}

const char *det_queue_folder(const struct det_queue *q)
{
	return q->target->folder;
}

void det_queue_append(struct det_queue *q, struct det_journal *j)
{
	size_t len = 0;
	const char *record = det_journal_record(j, &q->taken, &len);
	int rc = ops_spool_append(q->spool, record, len, NULL);

	if (j->nsamples > 0)
		ops_metric_add(&in_total, j->nsamples, q->name, q->shown_url);
	if (j->nexemplars > 0)
		ops_metric_add(&exemplars_in_total, j->nexemplars, q->name, q->shown_url);
	if (rc != 0) {
		drop(q, j->nsamples, "disk");
		drop_exemplars(q, j->nexemplars, "disk");
		log_error("could not queue samples for a remote write",
			F_STR("remote_name", q->name), F_UINT("samples", j->nsamples),
			F_UINT("exemplars", j->nexemplars), F_ERR(rc));
		return;
	}
	q->taken.samples += j->nsamples;
	q->taken.exemplars += j->nexemplars;
	wake(q);
}

bool det_queue_wants_exemplars(const struct det_queue *q)
{
	return (q->next_config != NULL ? q->next_target : q->target)->send_exemplars;
}

void det_queue_sync(struct det_queue *q)
{
	int rc = ops_spool_sync(q->spool);

	if (rc != 0)
		log_error("could not sync the queue of a remote write",
			F_STR("remote_name", q->name), F_ERR(rc));
}

uint64_t det_queue_newest(const struct det_queue *q)
{
	return ops_spool_next(q->spool) - 1;
}

uint64_t det_queue_delivered(const struct det_queue *q)
{
	return q->position;
}

bool det_queue_drained(struct det_queue *q)
{
	q->draining = true;
	go(q);
	return q->nitems == 0 || q->failing;
}

void det_queue_count(const struct det_queue *q)
{
	uint64_t samples = unread_samples(q) + q->nitems - q->nexemplars;
	uint64_t exemplars = unread_exemplars(q) + q->nexemplars;

	ops_metric_set(&pending_gauge, (double)samples, q->name, q->shown_url);
	ops_metric_set(&exemplars_pending_gauge, (double)exemplars, q->name, q->shown_url);
	ops_metric_set(&bytes_gauge, (double)ops_spool_bytes(q->spool), q->name, q->shown_url);
	ops_metric_set(&shards_gauge, (double)q->nshards, q->name, q->shown_url);
	ops_metric_set(
		&shards_max_gauge, (double)q->target->queue.max_shards, q->name, q->shown_url);
}
