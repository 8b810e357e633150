/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Queue and shards: queue.c reads, outgoing.c relabels, position.c keeps the position, shard.c
 * sends, metadata.c sends that. */
#include "common/metrics/metrics.h"
#include "common/remote/write.h"
#include "services/detector/remote/queue.h"

struct det_shard_item {
	struct ops_labels *labels; /* as the receiver will see them */
	int64_t time_ms;
	double value;
	void *histogram; /* the message's bytes; NULL = a float */
	uint32_t histogram_len;
	struct ops_labels *exemplar; /* its labels; NULL = no exemplar */
	uint64_t record;
};

struct det_shard {
	struct det_queue *queue;
	struct det_shard_item *items; /* [head, head + n) */
	size_t head, n, cap;
	size_t sending;	 /* the first ones, in the request under way or tried again */
	size_t doubtful; /* so many may have been delivered by whoever sent before us */
	struct ops_timer *timer;
	struct ops_http_call *call;
	unsigned attempt;
	int64_t since_ms; /* monotonic: when the first one waiting came */
	bool waiting;	  /* for the next attempt */
};

struct det_queue {
	struct det_queue_owner owner;
	struct det_remote_config *config, *next_config;
	const struct det_remote_target *target, *next_target;
	char *name, *shown_url; /* labels of metrics, in all configurations */
	struct ops_spool *spool;
	int position_fd;
	uint64_t read_next;		      /* record */
	uint64_t position;		      /* everything up to it is delivered */
	struct det_journal_counts taken;      /* ever appended */
	struct det_journal_counts read_until; /* of these: in records that have been read */
	int64_t acked_ms;		      /* monotonic: when the spool was told last */
	struct ops_map *layouts;	      /* id -> struct det_out_layout */
	struct ops_map *singles; /* bytes of labels -> struct ops_labels, or &dropped */
	struct det_shard *shards;
	size_t nshards, wanted;
	size_t nitems;	   /* in all shards */
	size_t nexemplars; /* of these */
	struct ops_timer *pump, *tune;
	struct ops_remote_writer writer;
	struct ops_strbuf plain, body;
	bool draining, failing;
	unsigned idle_turns;
	struct ops_timer *metadata_timer;
	struct ops_http_call *metadata_call;
	struct ops_remote_writer metadata_writer;
	size_t metadata_at, metadata_sent;
};

extern struct ops_metric det_remote_samples, det_remote_histograms, det_remote_failed,
	det_remote_retried, det_remote_dropped, det_remote_bytes, det_remote_metadata,
	det_remote_metadata_failed, det_remote_duration, det_remote_highest_sent,
	det_remote_exemplars, det_remote_exemplars_dropped;

/* shard.c */
void det_shard_init(struct det_shard *s, struct det_queue *q);
void det_shard_done(struct det_shard *s); /* cancels */
/* Takes the histogram and the exemplar; refers to labels. */
void det_shard_add(struct det_shard *s, const struct det_shard_item *item);
/* Sends when it is time. */
void det_shard_go(struct det_shard *s);
/* Record of the oldest item; UINT64_MAX when empty. */
uint64_t det_shard_oldest(const struct det_shard *s);

/* outgoing.c */
struct det_out_layout { /* a layout as the receiver sees it */
	unsigned generation;
	struct ops_labels **labels; /* NULL: dropped or none */
	size_t n;
};
/* NULL: unknown. */
const struct det_out_layout *det_outgoing_layout(struct det_queue *q, uint64_t id);
/* Of det_journal_labels()' bytes, borrowed; NULL: relabelling drops it. */
struct ops_labels *det_outgoing_single(struct det_queue *q, const uint8_t *data, size_t len);
void det_outgoing_forget(struct det_queue *q); /* relabelling has changed */
void det_outgoing_drop(struct det_queue *q);   /* the queue ends */

/* position.c */
void det_position_read(struct det_queue *q);
void det_position_write(const struct det_queue *q);
/* Tells the spool, now or when it was not told for a second. */
void det_position_acknowledge(struct det_queue *q, bool now);

/* queue.c: items were delivered or given up */
void det_queue_advance(struct det_queue *q);
/* Appends the metadata of a metric, or says that there is none. */
bool det_queue_metadata(
	const struct det_queue *q, const char *metric, struct ops_remote_metadata *ret);

/* metadata.c: 1.0 sends it apart */
void det_metadata_start(struct det_queue *q);
void det_metadata_stop(struct det_queue *q);

struct det_send { /* one request of either kind */
	const struct ops_remote_writer *writer;
	struct ops_http_done done;
};
enum {
	TOKEN_WAIT_MS = 50 /* when there is no access token yet */
};
/* As ops_http_options_start; what failed is logged. */
int det_queue_send(struct det_queue *q, const struct det_send *send,
	struct ops_http_call **ret_call) OPS_MUST_CHECK;
