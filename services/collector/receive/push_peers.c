/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request carries a frame of the bus, so that the stack's key says who may send one; without a
 * key the door asks for a role. One request per peer is under way at a time, and what it confirms
 * moves its position on: what changed meanwhile goes with the next. A request that is repeated, or
 * a state that comes back by way of a third collector, changes nothing, because a state is never
 * replaced by an earlier one.
 */
#include "services/collector/receive/push_peers.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/bus/frame.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

#define TOPIC "push/state"

enum {
	REQUEST_BYTES = 1 << 20,
	TIMEOUT_MS = 10000,
	RETRY_MS = 1000
};

static struct ops_metric requests_total = OPS_COUNTER("ops_push_peer_requests_total",
	"Changes of pushed groups, sent to other collectors or taken from them.", "outcome");
static struct ops_metric behind_gauge = OPS_GAUGE(
	"ops_push_peers_behind", "Other collectors that have not confirmed every pushed group.");

struct peer {
	struct col_push_peers *owner;
	char *instance, *url;
	int64_t started_ms;
	uint64_t confirmed, sending; /* numbers of changes */
	struct ops_http_call *call;  /* NULL: none under way */
	int64_t retry_ms;	     /* monotonic; not before */
	bool listed, told;	     /* told: that it cannot be reached */
};

struct col_push_peers {
	struct col_push_peers_config cfg;
	struct peer **peers;
	size_t n, cap;
};

struct col_push_peers *col_push_peers_new(const struct col_push_peers_config *cfg)
{
	struct col_push_peers *p = ops_xcalloc(1, sizeof(*p));
	p->cfg = *cfg;
	ops_metric_register(&behind_gauge);
	return p;
}

static void peer_free(struct peer *x)
{
	if (x->call != NULL) {
		ops_http_call_cancel(x->call);
	}
	free(x->instance);
	free(x->url);
	free(x);
}

void col_push_peers_free(struct col_push_peers *p)
{
	if (p == NULL) {
		return;
	}
	for (size_t i = 0; i < p->n; i++) {
		peer_free(p->peers[i]);
	}
	free(p->peers);
	free(p);
}

/* ---- who they are ---- */

/* Its place; the number of peers when it is none. */
static size_t find(const struct col_push_peers *p, const char *instance)
{
	size_t i = 0;
	while (i < p->n && strcmp(p->peers[i]->instance, instance) != 0) {
		i++;
	}
	return i;
}

static struct peer *peer_new(struct col_push_peers *p, const struct ops_member *m)
{
	struct peer *x = ops_xcalloc(1, sizeof(*x));
	x->owner = p;
	x->instance = ops_xstrdup(m->instance);
	x->url = ops_xstrdup(m->url);
	x->started_ms = m->started_ms;
	return x;
}

static void note_member(struct col_push_peers *p, const struct ops_member *m)
{
	size_t at = find(p, m->instance);
	if (at == p->n) {
		OPS_GROW(p->peers, p->n, p->cap);
		p->peers[p->n++] = peer_new(p, m);
	} else if (p->peers[at]->started_ms != m->started_ms ||
		   strcmp(p->peers[at]->url, m->url) != 0) {
		peer_free(p->peers[at]); /* it has forgotten what it confirmed, maybe */
		p->peers[at] = peer_new(p, m);
	}
	p->peers[at]->listed = true;
}

static void read_list(struct col_push_peers *p)
{
	const struct ops_members *list = p->cfg.members(p->cfg.members_arg);
	size_t kept = 0;
	for (size_t i = 0; i < list->n; i++) {
		const struct ops_member *m = &list->items[i];
		if (m->url != NULL && strcmp(m->instance, p->cfg.self) != 0) {
			note_member(p, m);
		}
	}
	for (size_t i = 0; i < p->n; i++) {
		struct peer *x = p->peers[i];
		if (x->listed) {
			x->listed = false;
			p->peers[kept++] = x;
		} else {
			peer_free(x);
		}
	}
	p->n = kept;
}

/* ---- sending ---- */

static void on_answer(void *arg, const struct ops_http_response *res)
{
	struct peer *x = arg;
	x->call = NULL;
	if (res->outcome == OPS_HTTP_CANCELLED) {
		return;
	}
	bool taken = res->outcome == OPS_HTTP_DONE && res->code / 100 == 2;
	ops_metric_add(&requests_total, 1, taken ? "sent" : "failed");
	if (taken) {
		x->confirmed = x->sending;
		x->told = false;
		col_push_peers_run(x->owner);
		return;
	}
	x->retry_ms = ops_mono_ms() + RETRY_MS;
	if (!x->told) {
		x->told = true;
		log_warn("a collector does not take pushed groups", F_STR("collector", x->instance),
			F_STR("url", x->url), F_INT("code", res->code),
			F_STR("error", res->error != NULL ? res->error : ""));
	}
}

static void send(struct peer *x, const struct ops_strbuf *frame)
{
	static const char *const headers[] = {"Content-Type: application/octet-stream"};
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("%s%s", x->url, COL_PUSH_PEERS_PATH);
	const struct ops_http_request req = {.method = "POST",
		.url = url,
		.headers = headers,
		.nheaders = OPS_LENGTH(headers),
		.body = frame->data,
		.body_len = frame->len,
		.timeout_ms = TIMEOUT_MS,
		.no_redirects = true};
	if (ops_http_call_start(x->owner->cfg.client, &req, on_answer, x, &x->call) != 0) {
		x->call = NULL;
		x->retry_ms = ops_mono_ms() + RETRY_MS;
		ops_metric_add(&requests_total, 1, "failed");
	}
}

static bool send_changes(struct peer *x)
{
	const struct col_push_peers_config *cfg = &x->owner->cfg;
	struct ops_strbuf frame = OPS_STRBUF_INIT;
	ops_strbuf_adds(&frame, TOPIC "\n");
	x->sending = cfg->changes(cfg->arg, x->confirmed, REQUEST_BYTES, &frame);
	bool some = x->sending != x->confirmed;
	if (some) {
		ops_frame_seal(&frame, (uint64_t)ops_now_ms(), x->sending, cfg->key);
		send(x, &frame);
	}
	ops_strbuf_done(&frame);
	return some;
}

void col_push_peers_run(struct col_push_peers *p)
{
	size_t behind = 0;
	read_list(p);
	for (size_t i = 0; i < p->n; i++) {
		struct peer *x = p->peers[i];
		bool waits = x->call != NULL || ops_mono_ms() < x->retry_ms;
		behind += waits || send_changes(x);
	}
	ops_metric_set(&behind_gauge, (double)behind);
}

/* ---- taking ---- */

int col_push_peers_take(struct col_push_peers *p, const char *body, size_t len)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf copy = OPS_STRBUF_INIT;
	struct ops_frame frame;
	ops_strbuf_add(&copy, body, len);
	if (len == 0 || ops_frame_open(copy.data, copy.len, p->cfg.key, &frame) != 0 ||
		strcmp(frame.topic, TOPIC) != 0) {
		ops_metric_add(&requests_total, 1, "refused");
		return -EBADMSG;
	}
	ops_metric_add(&requests_total, 1, "taken");
	p->cfg.apply(p->cfg.arg, frame.payload, frame.len);
	return 0;
}
