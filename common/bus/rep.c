/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answering side. A raw REP socket hands over each request with its routing header; a call
 * keeps that header, so answers may come in any order and late. A request that fails the check gets
 * no answer: whoever lacks the key learns nothing, and the honest asker asks again after its
 * time-out.
 */
#include "common/bus/bus.h"

#include <errno.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/bus/counters.h"
#include "common/bus/envelope.h"
#include "common/bus/socket.h"

enum {
	HEADER_MAX_BYTES = 64, /* pipe id, up to 15 hops, request id */
	CALLS_MAX = 1024
};

struct ops_rep {
	struct ops_loop *loop;
	struct ops_socket *socket;
	const struct ops_bus_key *key;
	void (*fn)(void *arg, struct ops_rep_call *call, const void *data, size_t len);
	void *arg;
	struct ops_rep_call *calls; /* not answered yet */
	size_t ncalls;
};

struct ops_rep_call {
	struct ops_rep *rep; /* NULL: closed meanwhile */
	struct ops_rep_call *prev, *next;
	uint64_t nonce;
	size_t header_len;
	unsigned char header[HEADER_MAX_BYTES];
};

static void link_call(struct ops_rep *r, struct ops_rep_call *c)
{
	c->rep = r;
	c->next = r->calls;
	if (c->next != NULL)
		c->next->prev = c;
	r->calls = c;
	r->ncalls++;
}

static void unlink_call(struct ops_rep_call *c)
{
	if (c->rep == NULL)
		return;
	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		c->rep->calls = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	c->rep->ncalls--;
}

static void on_request(void *arg, const struct ops_socket_message *m)
{
	struct ops_rep *r = arg;
	struct ops_envelope e;

	if (m->header_len > HEADER_MAX_BYTES ||
		ops_envelope_open(OPS_ENVELOPE_REQUEST, m->body, m->len, r->key, &e) != 0) {
		ops_metric_add(&ops_bus_refused, 1, "bad_request");
		return;
	}
	if (r->ncalls >= CALLS_MAX) {
		ops_metric_add(&ops_bus_refused, 1, "too_many_requests");
		return;
	}
	struct ops_rep_call *c = ops_xcalloc(1, sizeof(*c));
	c->nonce = e.nonce;
	c->header_len = m->header_len;
	memcpy(c->header, m->header, m->header_len);
	link_call(r, c);
	r->fn(r->arg, c, e.data, e.len);
}

int ops_rep_open(struct ops_loop *loop, const char *url, const struct ops_bus_key *key,
	const struct ops_bus_tls *tls,
	void (*fn)(void *arg, struct ops_rep_call *call, const void *data, size_t len), void *arg,
	struct ops_rep **ret, struct ops_error *err)
{
	struct ops_rep *r = ops_xcalloc(1, sizeof(*r));
	struct ops_socket_config cfg = {
		.kind = OPS_SOCKET_REP, .url = url, .tls = tls, .on_message = on_request, .arg = r};

	ops_bus_counters_register();
	*r = (struct ops_rep){.loop = loop, .key = key, .fn = fn, .arg = arg};
	int code = ops_socket_open(loop, &cfg, &r->socket, err);
	if (code != 0) {
		free(r);
		return code;
	}
	*ret = r;
	return 0;
}

void ops_rep_close(struct ops_rep *r)
{
	if (r == NULL)
		return;
	for (struct ops_rep_call *c = r->calls; c != NULL; c = c->next)
		c->rep = NULL;
	ops_socket_close(r->socket);
	ops_loop_defer(r->loop, free, r);
}

void ops_rep_answer(struct ops_rep_call *call, const void *data, size_t len)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;

	ops_assert(len <= OPS_BUS_FRAME_MAX_BYTES + 4096);
	if (call->rep != NULL) {
		struct ops_envelope e = {call->nonce, data, len};
		ops_envelope_seal(OPS_ENVELOPE_ANSWER, &e, call->rep->key, &out);
		struct ops_socket_message m = {call->header, call->header_len, out.data, out.len};
		/* The asker is gone or does not read: it will ask again if it still cares. */
		if (ops_socket_send(call->rep->socket, &m) != 0)
			ops_metric_add(&ops_bus_refused, 1, "answer_not_taken");
	}
	ops_strbuf_done(&out);
	unlink_call(call);
	free(call);
}
