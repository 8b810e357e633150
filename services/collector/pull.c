/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scrape is the same exchange thousands of times an hour, so it is made of as few system calls
 * and wake-ups as it can be: the request goes out with one send on a connection that stands, the
 * answer is read into one flat buffer that is large enough for what came last time, and once its
 * length is known the kernel is asked to wake us when all of it is there (SO_RCVLOWAT). Buffers
 * belong to the puller and are lent for one answer, from its first byte on: targets that answer at
 * once share one buffer, which stays in the processor's cache.
 *
 * Bounds: a head of 64 KiB; bodies as the caller says, packed and unpacked; at most COL_TURN_BYTES
 * are read or unpacked before other targets get their turn; one deadline over everything. A request
 * that fails on a connection that was used before, without any byte of an answer, is sent once more
 * on a new one: the target may have closed it meanwhile, and GET can be repeated.
 *
 * Failures are told in the next turn, so that no callback comes out of col_pull_start.
 */
#include "services/collector/pull.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "services/collector/pull_internal.h"

enum {
	LOW_WATER_LEAST = 16 * 1024,
	SLACK_BYTES = 4096
};

/* ---- the end of a request ---- */

static void request_done(struct col_connection *c)
{
	c->active = false;
	ops_timer_stop(c->deadline);
	ops_timer_stop(c->again);
	col_gunzip_done(&c->gunzip);
	col_buffer_give(c->owner, &c->in);
	col_buffer_give(c->owner, &c->plain);
}

static void set_low_water(struct col_connection *c, size_t n)
{
	int value = (int)OPS_MIN(n, (size_t)COL_TURN_BYTES);
	/* a hint: without it we are only woken more often */
	(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
	c->low_water = n > 1;
}

void col_connection_close(struct col_connection *c)
{
	ops_resolve_cancel(c->resolving);
	c->resolving = NULL;
	ops_watch_free(c->watch);
	c->watch = NULL;
	col_tls_end(c, c->state == COL_IDLE);
	if (c->fd >= 0) {
		close(c->fd);
		c->fd = -1;
	}
	c->low_water = false;
	c->state = COL_CLOSED;
}

static void tell(struct col_connection *c, const struct ops_http_response *res)
{
	struct col_buffer *in = c->in, *plain = c->plain;
	struct col_puller *owner = c->owner;
	c->in = c->plain = NULL; /* they hold the body while the callback may free c */
	request_done(c);
	c->pull.fn(c->pull.arg, res);
	col_buffer_give(owner, &in);
	col_buffer_give(owner, &plain);
}

static int64_t elapsed_ms(const struct col_connection *c)
{
	return (ops_mono_ns() - c->started_ns) / 1000000;
}

static void tell_failure(struct col_connection *c)
{
	char error[sizeof(c->error)];
	memcpy(error, c->error, sizeof(error));
	const struct ops_http_response res = {.outcome = c->failure,
		.error = error,
		.body = "",
		.content_type = "",
		.duration_ms = elapsed_ms(c),
		.wire_bytes = c->wire_bytes,
		.retry_after_ms = -1};
	c->state = COL_CLOSED;
	tell(c, &res);
}

static void send_again(struct col_connection *c)
{
	col_connection_close(c);
	c->reused = false;
	c->sent = 0;
	col_connection_open(c);
}

void col_connection_fail(
	struct col_connection *c, enum ops_http_outcome outcome, const char *fmt, ...)
{
	bool silent = c->reused && c->active && (c->in == NULL || c->in->len == 0);
	if (silent && outcome == OPS_HTTP_FAILED) {
		send_again(c);
		return;
	}
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	col_connection_close(c);
	c->failure = outcome;
	c->state = COL_FAILED;
	ops_timer_start(c->again, 0);
}

void col_connection_tell_body(struct col_connection *c, const char *body, size_t len)
{
	char type[sizeof(c->head.content_type)];
	memcpy(type, c->head.content_type, sizeof(type));
	const struct ops_http_response res = {.outcome = OPS_HTTP_DONE,
		.code = c->head.code,
		.body = len > 0 ? body : "",
		.len = len,
		.content_type = type,
		.duration_ms = elapsed_ms(c),
		.wire_bytes = c->wire_bytes,
		.retry_after_ms = -1};
	c->last_len = c->in->len;
	if (c->low_water) {
		set_low_water(c, 1);
	}
	if (c->head.keep_alive) {
		c->state = COL_IDLE;
		c->reused = true;
	} else {
		c->state = COL_IDLE; /* ended in order */
		col_connection_close(c);
	}
	tell(c, &res);
}

/* ---- reading ---- */

enum { /* positive outcomes of progress(): the request has ended */
	ENDED = 1
};

static int too_big(struct col_connection *c)
{
	col_connection_fail(c, OPS_HTTP_TOO_BIG, "the answer is too large");
	return ENDED;
}

static int on_chunks(struct col_connection *c)
{
	const char *what = NULL;
	int r = col_chunks_decode(&c->chunks, c->in->data, c->in->len, &what);
	if (r == -EBADMSG) {
		col_connection_fail(c, OPS_HTTP_FAILED, "%s", what);
		return ENDED;
	}
	size_t body = c->chunks.out - c->head.len;
	if (body > c->pull.max_body_bytes || c->chunks.left > c->pull.max_body_bytes - body) {
		return too_big(c);
	}
	if (r == 0) {
		c->head.keep_alive = c->head.keep_alive && c->chunks.in == c->in->len;
		col_connection_unpack_or_tell(c, c->in->data + c->head.len, body);
		return ENDED;
	}
	/* what is left of an unfinished line moves behind the decoded bytes */
	size_t rest = c->in->len - c->chunks.in;
	memmove(c->in->data + c->chunks.out, c->in->data + c->chunks.in, rest);
	c->in->len = c->chunks.out + rest;
	c->chunks.in = c->chunks.out;
	return 0;
}

static int on_length(struct col_connection *c)
{
	if (c->head.content_length > c->pull.max_body_bytes) {
		return too_big(c);
	}
	size_t whole = c->head.len + (size_t)c->head.content_length;
	if (c->in->len >= whole) {
		c->head.keep_alive = c->head.keep_alive && c->in->len == whole;
		col_connection_unpack_or_tell(
			c, c->in->data + c->head.len, (size_t)c->head.content_length);
		return ENDED;
	}
	size_t left = whole - c->in->len;
	col_buffer_reserve(c->in, left + 1);
	if (c->ssl == NULL && left >= LOW_WATER_LEAST) {
		set_low_water(c, left);
	} else if (c->low_water) {
		set_low_water(c, 1);
	}
	return 0;
}

static int on_bytes(struct col_connection *c)
{
	const char *what = NULL;
	if (!c->has_head) {
		int r = col_head_parse(c->in->data, c->in->len, &c->head, &what);
		if (r == -EAGAIN) {
			return 0;
		}
		if (r != 0) {
			col_connection_fail(c, OPS_HTTP_FAILED, "%s", what);
			return ENDED;
		}
		c->has_head = true;
		c->chunks = (struct col_chunks){.in = c->head.len, .out = c->head.len};
	}
	switch (c->head.framing) {
	case COL_FRAMING_NONE:
		c->head.gzip = false;
		col_connection_unpack_or_tell(c, c->in->data + c->head.len, 0);
		return ENDED;
	case COL_FRAMING_LENGTH:
		return on_length(c);
	case COL_FRAMING_CHUNKED:
		return on_chunks(c);
	case COL_FRAMING_CLOSE:
		return c->in->len - c->head.len > c->pull.max_body_bytes ? too_big(c) : 0;
	}
	return 0;
}

static void on_end(struct col_connection *c)
{
	if (c->has_head && c->head.framing == COL_FRAMING_CLOSE) {
		col_connection_unpack_or_tell(
			c, c->in->data + c->head.len, c->in->len - c->head.len);
	} else if (c->in->len == 0) {
		col_connection_fail(c, OPS_HTTP_FAILED, "the target hung up without an answer");
	} else {
		col_connection_fail(
			c, OPS_HTTP_FAILED, "the target hung up in the middle of its answer");
	}
}

static ssize_t receive(struct col_connection *c, unsigned *ret_what)
{
	char *at = c->in->data + c->in->len;
	size_t room = c->in->cap - c->in->len;
	*ret_what = OPS_READABLE;
	if (c->ssl != NULL) {
		return col_tls_read(c, at, room, ret_what);
	}
	ssize_t n = recv(c->fd, at, room, 0);
	return n >= 0 ? n : -errno;
}

static void read_answer(struct col_connection *c)
{
	unsigned what = OPS_READABLE;
	c->in = c->in != NULL ? c->in : col_buffer_take(c->owner);
	for (size_t turn = 0; turn < COL_TURN_BYTES;) {
		size_t expected = c->last_len > c->in->len ? c->last_len - c->in->len : 0;
		col_buffer_reserve(c->in,
			c->in->cap > c->in->len && c->in->len > 0 ? 1 : expected + SLACK_BYTES);
		size_t room = c->in->cap - c->in->len;
		ssize_t n = receive(c, &what);
		if (n == -EAGAIN || n == -EINTR) {
			if ((what & OPS_WRITABLE) != 0) {
				ops_watch_set(c->watch, what);
			}
			if (c->in->len == 0) {
				col_buffer_give(c->owner, &c->in);
			}
			return;
		}
		if (n < 0) {
			col_connection_fail(c, OPS_HTTP_FAILED, "could not read the answer: %s",
				strerror((int)-n));
			return;
		}
		if (n == 0) {
			on_end(c);
			return;
		}
		c->in->len += (size_t)n;
		c->wire_bytes += (size_t)n;
		turn += (size_t)n;
		if (on_bytes(c) == ENDED || (c->ssl == NULL && (size_t)n < room)) {
			return;
		}
	}
	ops_timer_start(c->again, 0); /* TLS may hold bytes that the socket does not show */
}

/* ---- sending ---- */

static void send_request(struct col_connection *c)
{
	while (c->sent < c->request_len) {
		const char *at = c->request + c->sent;
		size_t left = c->request_len - c->sent;
		unsigned what = OPS_WRITABLE;
		ssize_t n = c->ssl != NULL ? col_tls_write(c, at, left, &what)
					   : send(c->fd, at, left, MSG_NOSIGNAL);
		if (n < 0 && c->ssl == NULL) {
			n = -errno;
		}
		if (n == -EAGAIN || n == -EINTR) {
			c->state = COL_SENDING;
			ops_watch_set(c->watch, what | OPS_READABLE);
			return;
		}
		if (n < 0) {
			col_connection_fail(c, OPS_HTTP_FAILED, "could not send the request: %s",
				strerror((int)-n));
			return;
		}
		c->sent += (size_t)n;
	}
	if (c->state != COL_IDLE) {
		ops_watch_set(c->watch, OPS_READABLE);
	}
	c->state = COL_READING;
}

void col_connection_connected(struct col_connection *c)
{
	c->state = COL_SENDING;
	send_request(c);
}

/* ---- events ---- */

/* Between requests only the end can come; anything else would be taken for the next answer. */
static void on_idle(struct col_connection *c)
{
	col_connection_close(c);
}

static void on_event(int fd, unsigned what, void *arg)
{
	struct col_connection *c = arg;
	(void)fd;
	switch (c->state) {
	case COL_CONNECTING:
	case COL_HANDSHAKE:
		col_connection_on_event(c, what);
		return;
	case COL_SENDING:
		if (c->sent < c->request_len) {
			send_request(c);
		}
		return;
	case COL_READING:
		read_answer(c);
		return;
	case COL_IDLE:
		on_idle(c);
		return;
	case COL_UNPACKING: /* the whole answer was read: this can only be the end */
		c->head.keep_alive = false;
		ops_watch_set(c->watch, 0);
		return;
	case COL_CLOSED:
	case COL_RESOLVING:
	case COL_FAILED:
		return;
	}
}

void col_connection_watch(struct col_connection *c, unsigned what)
{
	if (c->watch == NULL) {
		c->watch = ops_watch_new(c->owner->loop, c->fd, what, on_event, c);
	} else {
		ops_watch_set(c->watch, what);
	}
}

static void on_again(void *arg)
{
	struct col_connection *c = arg;
	if (c->state == COL_FAILED) {
		tell_failure(c);
	} else if (c->state == COL_UNPACKING) {
		col_connection_unpack(c);
	} else if (c->state == COL_READING) {
		read_answer(c);
	}
}

static void on_deadline(void *arg)
{
	struct col_connection *c = arg;
	static const char *const doing[] = {[COL_RESOLVING] = "resolving the name",
		[COL_CONNECTING] = "connecting",
		[COL_HANDSHAKE] = "the TLS handshake",
		[COL_SENDING] = "sending the request",
		[COL_READING] = "waiting for the answer",
		[COL_UNPACKING] = "unpacking the answer"};
	if (c->state == COL_FAILED) {
		return; /* is told already */
	}
	const char *what = c->state < OPS_LENGTH(doing) ? doing[c->state] : NULL;
	col_connection_fail(
		c, OPS_HTTP_TIMEOUT, "no time was left while %s", what != NULL ? what : "scraping");
}

/* ---- life ---- */

struct col_puller *col_puller_new(struct ops_loop *loop)
{
	struct col_puller *p = ops_xcalloc(1, sizeof(*p));
	p->loop = loop;
	p->resolver = ops_resolver_new(loop);
	p->contexts = ops_map_new();
	p->gunzip = col_gunzip_whole_new();
	return p;
}

void col_puller_free(struct col_puller *p)
{
	if (p == NULL) {
		return;
	}
	while (p->idle != NULL) {
		struct col_buffer *b = p->idle;
		p->idle = b->next;
		free(b->data);
		free(b);
	}
	ops_resolver_free(p->resolver);
	ops_map_free(p->contexts, col_tls_context_free);
	col_gunzip_whole_free(p->gunzip);
	free(p);
}

static const char *copy(const char *s)
{
	return s != NULL && s[0] != '\0' ? ops_xstrdup(s) : NULL;
}

struct col_connection *col_connection_new(struct col_puller *p, const struct col_origin *origin)
{
	struct col_connection *c = ops_xcalloc(1, sizeof(*c));
	c->owner = p;
	c->fd = -1;
	c->host = ops_xstrdup(origin->host);
	c->port = origin->port;
	c->use_tls = origin->tls != NULL;
	if (origin->tls != NULL) {
		c->tls = (struct ops_tls_client){.ca_file = copy(origin->tls->ca_file),
			.cert_file = copy(origin->tls->cert_file),
			.key_file = copy(origin->tls->key_file),
			.server_name = copy(origin->tls->server_name),
			.insecure_skip_verify = origin->tls->insecure_skip_verify};
	}
	c->deadline = ops_timer_new(p->loop, on_deadline, c);
	c->again = ops_timer_new(p->loop, on_again, c);
	return c;
}

void col_connection_free(struct col_connection *c)
{
	if (c == NULL) {
		return;
	}
	col_pull_cancel(c);
	col_connection_close(c);
	ops_timer_free(c->deadline);
	ops_timer_free(c->again);
	col_tls_forget(c);
	free((void *)(uintptr_t)c->tls.ca_file);
	free((void *)(uintptr_t)c->tls.cert_file);
	free((void *)(uintptr_t)c->tls.key_file);
	free((void *)(uintptr_t)c->tls.server_name);
	free(c->request);
	free(c->host);
	free(c);
}

static void keep_request(struct col_connection *c, const char *head, size_t len)
{
	if (len > c->request_cap) {
		c->request = ops_xrealloc(c->request, len, 1);
		c->request_cap = len;
	}
	memcpy(c->request, head, len);
	c->request_len = len;
}

void col_pull_start(struct col_connection *c, const struct col_pull *pull)
{
	ops_assert(!c->active);
	if (pull->head != NULL) {
		keep_request(c, pull->head, pull->len);
	}
	c->pull = *pull;
	c->pull.head = NULL;
	c->sent = c->wire_bytes = 0;
	c->has_head = false;
	c->active = true;
	c->started_ns = ops_mono_ns();
	ops_timer_start(c->deadline, pull->timeout_ms);
	if (c->state == COL_IDLE) {
		send_request(c);
	} else {
		c->reused = false;
		col_connection_open(c);
	}
}

void col_pull_cancel(struct col_connection *c)
{
	if (!c->active) {
		return;
	}
	request_done(c);
	col_connection_close(c);
}
