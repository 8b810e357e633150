/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of the scrape client share. */
#include "common/base/error.h"
#include "common/net/resolve.h"
#include "services/collector/gunzip.h"
#include "services/collector/http_response.h"
#include "services/collector/pull.h"

struct ssl_st;
struct ssl_session_st;

struct col_buffer { /* flat; goes back to the puller between requests */
	char *data;
	size_t len, cap;
	struct col_buffer *next;
};

struct col_puller {
	struct ops_loop *loop;
	struct ops_resolver *resolver;
	struct ops_map *contexts; /* files and flags -> struct col_tls_context */
	uint64_t context_serial;
	struct col_buffer *idle;
	size_t idle_bytes;
	struct libdeflate_decompressor *gunzip;
};

enum col_connection_state {
	COL_CLOSED,
	COL_RESOLVING,
	COL_CONNECTING,
	COL_HANDSHAKE,
	COL_IDLE,
	COL_SENDING, /* and reading */
	COL_READING,
	COL_UNPACKING,
	COL_FAILED /* about to be told */
};

struct col_connection {
	struct col_puller *owner;
	char *host;
	uint16_t port;
	bool use_tls;
	struct ops_tls_client tls; /* strings are ours */

	enum col_connection_state state;
	int fd;
	struct ops_watch *watch;
	struct ops_timer *deadline, *again; /* again: goes on in the next turn */
	struct ops_resolving *resolving;
	struct ops_addresses addresses;
	size_t next_address;
	struct ssl_st *ssl;
	struct ssl_session_st *session; /* of the last handshake, for the next */
	uint64_t context_serial;	/* of the context that made it */

	/* the request under way */
	struct col_pull pull; /* but head */
	char *request;
	size_t request_len, request_cap, sent;
	bool reused; /* the connection has answered before: it may have been closed meanwhile */
	int64_t started_ns;
	bool active;
	struct col_buffer *in, *plain; /* in: from the first byte on; plain: unpacked */
	struct col_head head;
	struct col_chunks chunks;
	struct col_gunzip gunzip;
	bool has_head;
	bool low_water;	 /* SO_RCVLOWAT is not what it was */
	size_t last_len; /* of the last answer, as received */
	size_t last_plain_len;
	size_t wire_bytes;
	enum ops_http_outcome failure;
	char error[256];
};

/* pull.c */
void col_connection_connected(struct col_connection *c); /* ready for the request */
void col_connection_fail(struct col_connection *c, enum ops_http_outcome outcome, const char *fmt,
	...) OPS_PRINTF(3, 4);
void col_connection_close(struct col_connection *c); /* the socket only */
void col_connection_watch(struct col_connection *c, unsigned what);
void col_connection_tell_body(struct col_connection *c, const char *body, size_t len);

/* pull_body.c */
enum {
	COL_TURN_BYTES = 1 << 20 /* read or unpacked before other targets get their turn */
};
struct col_buffer *col_buffer_take(struct col_puller *p);
void col_buffer_give(struct col_puller *p, struct col_buffer **slot); /* *slot is NULL then */
void col_buffer_reserve(struct col_buffer *b, size_t n);	      /* behind what is there */
/* The body is there, from `from` on: it is told, at once or when it is unpacked. */
void col_connection_unpack_or_tell(struct col_connection *c, const char *from, size_t len);
void col_connection_unpack(struct col_connection *c); /* the next slice */

/* pull_connect.c */
void col_connection_open(struct col_connection *c);
void col_connection_on_event(struct col_connection *c, unsigned what); /* while connecting */

/* pull_tls.c */
int col_tls_start(struct col_connection *c, struct ops_error *err) OPS_MUST_CHECK;
/* 0 done, -EAGAIN with *ret_what to wait for, -EPROTO with c's error text in err. */
int col_tls_handshake(
	struct col_connection *c, unsigned *ret_what, struct ops_error *err) OPS_MUST_CHECK;
/* As recv and send: bytes, 0 at the end (reading), or negative errno; -EAGAIN sets *ret_what. */
ssize_t col_tls_read(struct col_connection *c, void *buf, size_t len, unsigned *ret_what);
ssize_t col_tls_write(struct col_connection *c, const void *data, size_t len, unsigned *ret_what);
void col_tls_end(struct col_connection *c, bool in_order);
void col_tls_forget(struct col_connection *c); /* the session */
void col_tls_context_free(void *context);
