/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The asking side, one request at a time. nng's raw REQ socket moves the messages; the request id,
 * the deadline and sending again are here. A request is sent when a peer is there to take it, and
 * again when the peer that took it went away before it answered; the same bytes, so a server that
 * sees it twice can tell by its content. A late answer to an earlier request has another id or
 * nonce and is dropped.
 */
#include "common/bus/bus.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/bus/counters.h"
#include "common/bus/envelope.h"
#include "common/bus/socket.h"

enum {
	RETRY_MS = 20
};

struct ops_req {
	struct ops_loop *loop;
	struct ops_socket *socket;
	const struct ops_bus_key *key;
	bool busy, sent, closed;
	uint32_t id;		 /* of the request, with the top bit as the protocol wants it */
	uint32_t lost_when_sent; /* a higher count of lost peers means: send again */
	uint64_t nonce;
	int64_t deadline_ms;
	struct ops_strbuf bytes; /* the sealed request */
	struct ops_timer *timer;
	void (*fn)(void *arg, int code, const void *data, size_t len);
	void *arg;
};

static void finish(struct ops_req *r, int code, const struct ops_envelope *e)
{
	static const char *const outcomes[] = {"answered", "timeout", "bad_answer"};

	r->busy = r->sent = false;
	ops_timer_stop(r->timer);
	ops_metric_add(&ops_bus_requests, 1, outcomes[code == 0 ? 0 : code == -ETIMEDOUT ? 1 : 2]);
	r->fn(r->arg, code, e != NULL ? e->data : NULL, e != NULL ? e->len : 0);
}

static void try_send(struct ops_req *r)
{
	uint32_t header = htobe32(r->id);
	struct ops_socket_message m = {&header, sizeof(header), r->bytes.data, r->bytes.len};

	/* Counted before sending: a peer lost in between must count. */
	r->lost_when_sent = ops_socket_pipes_lost(r->socket);
	r->sent = ops_socket_send(r->socket, &m) == 0;
}

static void arm_timer(struct ops_req *r)
{
	int64_t left_ms = r->deadline_ms - ops_mono_ms();

	ops_timer_start(r->timer, r->sent ? left_ms : OPS_MIN(left_ms, RETRY_MS));
}

static void on_req_timer(void *arg)
{
	struct ops_req *r = arg;

	if (!r->busy)
		return;
	if (ops_mono_ms() >= r->deadline_ms) {
		finish(r, -ETIMEDOUT, NULL);
		return;
	}
	if (!r->sent)
		try_send(r);
	arm_timer(r);
}

static void on_req_pipe(void *arg)
{
	struct ops_req *r = arg;

	if (!r->busy)
		return;
	if (r->sent && ops_socket_pipes_lost(r->socket) == r->lost_when_sent)
		return;
	try_send(r);
	arm_timer(r);
}

static void on_answer(void *arg, const struct ops_socket_message *m)
{
	struct ops_req *r = arg;
	struct ops_envelope e;
	uint32_t id = 0;

	if (m->header_len == sizeof(id))
		memcpy(&id, m->header, sizeof(id));
	if (!r->busy || be32toh(id) != r->id)
		return; /* late */
	if (ops_envelope_open(OPS_ENVELOPE_ANSWER, m->body, m->len, r->key, &e) != 0 ||
		e.nonce != r->nonce) {
		ops_metric_add(&ops_bus_refused, 1, "bad_answer");
		finish(r, -EBADMSG, NULL);
		return;
	}
	finish(r, 0, &e);
}

int ops_req_open(struct ops_loop *loop, const char *url, const struct ops_bus_key *key,
	const struct ops_bus_tls *tls, struct ops_req **ret, struct ops_error *err)
{
	struct ops_req *r = ops_xcalloc(1, sizeof(*r));
	struct ops_socket_config cfg = {.kind = OPS_SOCKET_REQ,
		.url = url,
		.dial = true,
		.tls = tls,
		.on_message = on_answer,
		.on_pipe = on_req_pipe,
		.arg = r};

	ops_bus_counters_register();
	r->loop = loop;
	r->key = key;
	int code = ops_socket_open(loop, &cfg, &r->socket, err);
	if (code != 0) {
		free(r);
		return code;
	}
	r->timer = ops_timer_new(loop, on_req_timer, r);
	*ret = r;
	return 0;
}

static void free_req(void *arg)
{
	struct ops_req *r = arg;

	ops_strbuf_done(&r->bytes);
	free(r);
}

void ops_req_close(struct ops_req *r)
{
	if (r == NULL || r->closed)
		return;
	r->closed = true;
	r->busy = false;
	ops_socket_close(r->socket);
	ops_timer_free(r->timer);
	ops_loop_defer(r->loop, free_req, r);
}

int ops_req_send(struct ops_req *r, const void *data, size_t len, int64_t timeout_ms,
	void (*fn)(void *arg, int code, const void *data, size_t len), void *arg)
{
	if (r->busy)
		return -EBUSY;
	if (len > OPS_BUS_REQUEST_MAX_BYTES)
		return -EMSGSIZE;
	r->id = (uint32_t)ops_random_u64() | 0x80000000U;
	r->nonce = ops_random_u64();
	r->deadline_ms = ops_mono_ms() + timeout_ms;
	r->fn = fn;
	r->arg = arg;
	r->busy = true;
	struct ops_envelope e = {r->nonce, data, len};
	ops_strbuf_reset(&r->bytes);
	ops_envelope_seal(OPS_ENVELOPE_REQUEST, &e, r->key, &r->bytes);
	try_send(r);
	arm_timer(r);
	return 0;
}
