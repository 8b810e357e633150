/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large bodies of remote write. A thread of its own unpacks the body and checks it; then the loop,
 * which alone writes to the store, takes the series in pieces, one piece of one body a turn, first
 * come first served. Only then the request is answered, and a client sends its next request after
 * that: so the order of what one client sends is kept.
 *
 * What waits is bounded in bytes, packed and unpacked; above that the answer is 503 with
 * Retry-After, which senders of remote write obey. A client that goes away takes along what was not
 * stored yet.
 */
#include <string.h>

#include "common/metrics/metrics.h"
#include "common/remote/snappy.h"
#include "services/detector/api/worker.h"
#include "services/detector/api/write.h"

enum {
	PIECE_BYTES = 128 << 10
};
#define WAITING_MAX ((size_t)256 << 20) /* bytes */

static struct ops_metric waiting_bytes = OPS_GAUGE("ops_detector_receiving_bytes",
	"Bytes of large remote write requests that are being unpacked and stored.");
static struct ops_metric pieces_total = OPS_COUNTER("ops_detector_receiving_pieces_total",
	"Pieces in which large remote write requests were stored.");

struct det_later {
	struct det_task task;
	struct det_api *api;
	struct ops_http_req *req; /* NULL: the client has gone */
	enum ops_remote_version version;
	struct ops_strbuf body, message;
	size_t charged; /* of WAITING_MAX */
	struct ops_error err;
	int rc;
	struct ops_remote_decoder *decoder;
	struct det_received got;
	struct det_receipt receipt;
	bool taking; /* in line for the loop */
	TAILQ_ENTRY(det_later) link;
};

static void charge(struct det_later *l, size_t bytes)
{
	l->api->receiving += bytes;
	l->api->receiving -= l->charged;
	l->charged = bytes;
	ops_metric_set(&waiting_bytes, (double)l->api->receiving);
}

static void later_free(struct det_later *l)
{
	if (l->taking) {
		TAILQ_REMOVE(&l->api->later, l, link);
		det_receipt_done(&l->receipt, "write");
	}
	charge(l, 0);
	ops_remote_decoder_free(l->decoder);
	ops_strbuf_done(&l->body);
	ops_strbuf_done(&l->message);
	free(l);
}

/* ---- on a worker ---- */

static void unpack(struct det_task *task)
{
	struct det_later *l = ops_container_of(task, struct det_later, task);
	l->rc = ops_snappy_decode(
		l->body.data, l->body.len, DET_WRITE_DECODED_MAX, &l->message, &l->err);
	if (l->rc == 0) {
		l->rc = ops_remote_decoder_new(l->version, ops_strbuf_text(&l->message),
			l->message.len, &l->decoder, &l->err);
	}
	ops_strbuf_done(&l->body);
}

/* ---- on the loop ---- */

static void arm(struct det_api *api)
{
	if (!TAILQ_EMPTY(&api->later) && !ops_timer_pending(api->later_timer)) {
		ops_timer_start(api->later_timer, 0);
	}
}

static void on_unpacked(struct det_task *task)
{
	struct det_later *l = ops_container_of(task, struct det_later, task);
	if (l->req == NULL) {
		later_free(l);
	} else if (l->rc != 0) {
		det_write_refuse(l->req, 400, l->err.message);
		later_free(l);
	} else {
		charge(l, l->message.len);
		det_receipt_init(&l->receipt, l->api, &l->got);
		l->taking = true;
		TAILQ_INSERT_TAIL(&l->api->later, l, link);
		arm(l->api);
	}
}

void det_write_on_turn(void *arg)
{
	struct det_api *api = arg;
	struct det_later *l = TAILQ_FIRST(&api->later);
	if (l == NULL) {
		return; /* its client has gone */
	}
	ops_metric_add(&pieces_total, 1);
	if (ops_remote_decoder_go_on(l->decoder, &l->receipt.sink, PIECE_BYTES) ==
		OPS_REMOTE_MORE) {
		TAILQ_REMOVE(&api->later, l, link);
		TAILQ_INSERT_TAIL(&api->later, l, link);
	} else {
		det_write_answer(l->req, l->version, &l->got);
		later_free(l);
	}
	arm(api);
}

static void on_gone(struct ops_http_req *req, void *arg)
{
	struct det_later *l = arg;
	(void)req;
	l->req = NULL;
	if (l->taking) {
		later_free(l); /* else it is with a worker */
	}
}

void det_write_later(struct ops_http_req *req, struct det_api *api, enum ops_remote_version version)
{
	const char *body;
	size_t len;
	ops_http_body(req, &body, &len);
	if (api->receiving + len > WAITING_MAX) {
		ops_http_reply_header(req, "Retry-After", "1");
		det_write_refuse(req, 503, "too many large requests at once, try again");
		return;
	}
	struct det_later *l = ops_xcalloc(1, sizeof(*l));
	l->task = (struct det_task){.run = unpack, .done = on_unpacked};
	l->api = api;
	l->req = req;
	l->version = version;
	charge(l, len);
	ops_strbuf_add(&l->body, body, len); /* the request may go before the worker comes to it */
	ops_http_on_abort(req, on_gone, l);
	det_pool_submit(api->unpacker, &l->task);
}
