/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The reliable bus on NNG. PUB is a fast hint; the publisher's log and its REP replay socket are
 * the truth. See docs/wire-format.md for the bytes and docs/bus.md for the topics.
 *
 * frame   = topic '\n' payload trailer
 * trailer = "\n#ops1 " epoch(16 hex) " " seq(16 hex) " " crc32c(8 hex) " " mac(32 hex) "\n"   fixed
 * 83 bytes crc32c over everything before it in the frame and epoch, seq; mac = first 16 bytes of
 *           HMAC-SHA-256(key, everything before the mac), zeros when the stack has no key.
 *
 * A stream is named (alerts, events, freeze, samples/<instance>) and numbered from 1 within an
 * epoch. An epoch ends when the log is lost; subscribers then start over from the oldest record
 * there is and are told. nng 1.5.2 rules (docs/adr) are obeyed inside. Everything runs on the loop
 * thread.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/loop/loop.h"

struct ops_bus_key; /* opaque: the stack's MAC key */
/* 32 or more bytes of key material (text file, white space trimmed). */
int ops_bus_key_load(
	const char *path, struct ops_bus_key **ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_bus_key_free(struct ops_bus_key *key);

struct ops_bus_tls { /* for tls+tcp:// addresses; both sides authenticate */
	const char *ca_file, *cert_file, *key_file, *server_name;
};

/* ---- publisher ---- */

struct ops_pub; /* opaque */

struct ops_pub_config {
	const char *stream;	/* "alerts" */
	const char *url;	/* "tcp://127.0.0.1:7402" */
	bool dial;		/* else listen */
	const char *replay_url; /* REP listens here; NULL = no replay */
	const char
		*replay_advertise; /* what subscribers dial, in the heartbeat; NULL = replay_url */
	const char *dir;	   /* log on disk; NULL = ring in memory only */
	uint64_t ring_bytes;	   /* memory ring when dir is NULL; 0 = 64 MiB */
	uint64_t disk_bytes;	   /* log limit; 0 = 1 GiB */
	/*
	 * With dir NULL: while no subscriber is connected, and until one has caught up, what the
	 * ring cannot hold goes here, up to overflow_bytes (0 = 1 GiB). NULL: it is dropped.
	 */
	const char *overflow_dir;
	uint64_t overflow_bytes;
	int64_t heartbeat_ms; /* 0 = 1000 */
	/*
	 * Messages that wait for each subscriber that reads too slowly, beside what the log keeps;
	 * the oldest go above that, and it asks for them. 0 = 2048, 1..8192.
	 */
	int queue_messages;
	const struct ops_bus_key *key; /* borrowed; may be NULL */
	const struct ops_bus_tls *tls; /* may be NULL */
	/*
	 * A subscriber asked for records that are not kept any more: what it needs to understand
	 * the later ones is to be sent again. Not from inside; may be NULL.
	 */
	void (*on_gone)(void *arg);
	void *arg;
};

int ops_pub_open(struct ops_loop *loop, const struct ops_pub_config *cfg, struct ops_pub **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void ops_pub_close(struct ops_pub *p);
/*
 * With a log on disk: appended and fsynced before it is published, so 0 means "will be delivered".
 * topic: 1..512 bytes without control characters. payload up to 16 MiB. -EINVAL, -EMSGSIZE,
 * -ENOSPC, -EIO: nothing was published. ret_seq may be NULL.
 */
int ops_pub_send(struct ops_pub *p, const char *topic, const void *payload, size_t len,
	uint64_t *ret_seq) OPS_MUST_CHECK;
/*
 * Between cork and uncork ops_pub_send only appends; uncork syncs once and publishes all of it. So
 * a turn that sends many messages pays for one fdatasync. When uncork fails (-ENOSPC, -EIO) none of
 * them was published and none will be. Without a log on disk cork does nothing.
 */
void ops_pub_cork(struct ops_pub *p);
int ops_pub_uncork(struct ops_pub *p) OPS_MUST_CHECK;
/* Not logged, not numbered (seq 0): heartbeats, member lists - the next one supersedes it. */
int ops_pub_send_volatile(
	struct ops_pub *p, const char *topic, const void *payload, size_t len) OPS_MUST_CHECK;
uint64_t ops_pub_head(const struct ops_pub *p); /* last number sent */
uint64_t ops_pub_epoch(const struct ops_pub *p);
/* Bytes of the memory ring that are in use: what subscribers may still ask for. */
uint64_t ops_pub_held_bytes(const struct ops_pub *p);

/* ---- subscriber ---- */

struct ops_sub; /* opaque */

struct ops_bus_message {     /* borrowed during the callback */
	const char *stream;  /* which publisher: stream name from its heartbeat, "" until known */
	const char *topic;   /* without '\n' */
	const char *payload; /* NUL-terminated behind len */
	size_t len;
	uint64_t epoch, seq; /* seq 0: volatile */
	bool replayed;
};

enum ops_sub_event {
	OPS_SUB_GAP,  /* count numbers are missing and being replayed */
	OPS_SUB_LOST, /* count records are gone for good */
	OPS_SUB_RESET /* the publisher's log is another one: its oldest record comes next */
};

struct ops_sub_config {
	const char *name; /* consumer name in replay requests (acks): unique per stream */
	const char *url;
	bool listen;		    /* else dial */
	const char *const *topics;  /* prefixes; a full topic is given with its '\n' */
	size_t ntopics;		    /* 0 = everything */
	const char *replay_url;	    /* dial here; NULL = learn from heartbeats */
	const char *checkpoint_dir; /* NULL = memory only (start at the publisher's oldest) */
	bool from_now; /* without a checkpoint start at the head instead of the oldest */
	/*
	 * What is applied becomes durable later: the checkpoint, and with it what the publisher may
	 * let go, follows ops_sub_commit() only.
	 */
	bool commits;
	const struct ops_bus_key *key;
	const struct ops_bus_tls *tls;
	/*
	 * 0: applied, the checkpoint moves on (written at most every 100 ms and at close: handlers
	 * are idempotent). Negative errno: not now; it comes again, in order, after a back-off. Per
	 * stream messages come in order, each at least once, duplicates by number are skipped. A
	 * volatile message (seq 0) comes when it comes; what is returned for it does not matter.
	 * The handler may close the subscriber.
	 */
	int (*on_message)(void *arg, const struct ops_bus_message *m);
	void (*on_event)(void *arg, enum ops_sub_event event, const char *stream,
		uint64_t count); /* may be NULL */
	void *arg;
};

int ops_sub_open(struct ops_loop *loop, const struct ops_sub_config *cfg, struct ops_sub **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void ops_sub_close(struct ops_sub *s);
/* A heartbeat was heard within 3 intervals, and nothing is missing. One that listens ignores silent
 * publishers. */
bool ops_sub_live(const struct ops_sub *s);
/* Since the last heartbeat of a stream, NULL: of any; INT64_MAX: none was heard. */
int64_t ops_sub_silent_ms(const struct ops_sub *s, const char *stream);
uint64_t ops_sub_lag(const struct ops_sub *s); /* records behind the heads heard of, all streams */
/* With `commits`: what was applied until the last mark is durable. */
void ops_sub_mark(struct ops_sub *s);
void ops_sub_commit(struct ops_sub *s);
/* Its messages refer to something that nobody here knows (any more): the publisher is told so, as
 * if its oldest records were asked for (its on_gone). */
void ops_sub_lacks(struct ops_sub *s, const char *stream);

/* ---- request and reply ---- */

struct ops_rep;	     /* server socket */
struct ops_rep_call; /* one request waiting for its answer */
struct ops_req;	     /* client socket */

int ops_rep_open(struct ops_loop *loop, const char *url, const struct ops_bus_key *key,
	const struct ops_bus_tls *tls,
	void (*fn)(void *arg, struct ops_rep_call *call, const void *data, size_t len), void *arg,
	struct ops_rep **ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_rep_close(struct ops_rep *r);
void ops_rep_answer(
	struct ops_rep_call *call, const void *data, size_t len); /* exactly once, now or later */

int ops_req_open(struct ops_loop *loop, const char *url, const struct ops_bus_key *key,
	const struct ops_bus_tls *tls, struct ops_req **ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_req_close(struct ops_req *r);
/* One at a time per ops_req (-EBUSY). fn(arg, 0, data, len) or fn(arg, -ETIMEDOUT / -EBADMSG, NULL,
 * 0). The server may see it twice. */
int ops_req_send(struct ops_req *r, const void *data, size_t len, int64_t timeout_ms,
	void (*fn)(void *arg, int code, const void *data, size_t len), void *arg) OPS_MUST_CHECK;
