/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One NNG socket on the loop. The only file that knows nng; what it promises is what nng 1.5.2
 * keeps. PUB and SUB are cooked; REQ and REP are raw: a message carries its routing header, and
 * request ids, time-outs and retries are ours. Callbacks run on the loop thread.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/bus/bus.h"
#include "common/loop/loop.h"

enum ops_socket_kind {
	OPS_SOCKET_PUB,
	OPS_SOCKET_SUB,
	OPS_SOCKET_REQ,
	OPS_SOCKET_REP
};

enum {
	OPS_BUS_FRAME_MAX_BYTES = 16 << 20, /* also of an answer */
	OPS_BUS_REQUEST_MAX_BYTES = 1 << 20
};

struct ops_socket; /* opaque */

struct ops_socket_message { /* borrowed during the callback; the body may be written to */
	const void *header;
	size_t header_len;
	char *body;
	size_t len;
};

struct ops_socket_config {
	enum ops_socket_kind kind;
	const char *url;
	bool dial;
	int queue_messages;	       /* of PUB, per peer; 0 = 2048 */
	const struct ops_bus_tls *tls; /* borrowed during open; needed by tls+tcp:// */
	void (*on_message)(void *arg, const struct ops_socket_message *m); /* NULL for PUB */
	void (*on_pipe)(void *arg); /* peers came or went; may be NULL */
	void *arg;
};

int ops_socket_open(struct ops_loop *loop, const struct ops_socket_config *cfg,
	struct ops_socket **ret, struct ops_error *err) OPS_MUST_CHECK;
/* Also from its own callbacks: no callback follows, the memory goes at the end of the turn. */
void ops_socket_close(struct ops_socket *s);
/* Never blocks. -EAGAIN: no peer takes it now (REQ, REP); a PUB always takes it. Copies. */
int ops_socket_send(struct ops_socket *s, const struct ops_socket_message *m) OPS_MUST_CHECK;
uint32_t ops_socket_pipes(const struct ops_socket *s);	    /* peers connected now */
uint32_t ops_socket_pipes_lost(const struct ops_socket *s); /* peers that went, ever */
/* Hangs up on the newest peer; a dialer connects again. For peers that fell silent without a word.
 */
void ops_socket_hang_up(struct ops_socket *s);
bool ops_socket_url_valid(const char *url); /* tcp:// or tls+tcp://, of sane length */
