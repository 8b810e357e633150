/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document is read twice: the first time only to see whether it is whole and how many samples
 * it has, so that a malformed one or one above the rate leaves nothing behind. Its size is that of
 * any request here (http.body_limit), unpacked 64 MiB; the detector's own door takes any length.
 * Answers are those of remote write: 503 while no detector is heard, 429 for the rate, 400 for what
 * is refused for good.
 */
#include "services/collector/receive/import_door.h"

#include <stdio.h>

#include "common/exposition/import.h"
#include "common/metrics/metrics.h"

#define DOOR "import"
#define TEXT_MAX ((size_t)64 << 20)

static struct ops_metric requests_total = OPS_COUNTER(
	"ops_received_requests_total", "Requests of senders, by answer.", "door", "code");

struct delivery {
	struct col_outlet *outlet;
	bool bus;
	enum col_outlet_refusal why;
};

static void reply(struct ops_http_req *req, int code, const char *text)
{
	char label[8];
	snprintf(label, sizeof(label), "%d", code);
	ops_metric_add(&requests_total, 1, DOOR, label);
	if (code == 429 || code == 503) {
		ops_http_reply_header(req, "Retry-After", "5");
	}
	if (code == 204) {
		ops_http_reply(req, code, NULL, NULL, 0);
	} else {
		ops_http_reply_text(req, code, text);
	}
}

static int count(void *arg, struct ops_labels *labels, int64_t time_ms, double value)
{
	(void)arg;
	(void)labels;
	(void)time_ms;
	(void)value;
	return 0;
}

static int deliver(void *arg, struct ops_labels *labels, int64_t time_ms, double value)
{
	struct delivery *d = arg;
	const struct ops_remote_sample sample = {.time_ms = time_ms, .value = value};
	const struct ops_remote_series series = {
		.labels = labels->items, .nlabels = labels->n, .samples = &sample, .nsamples = 1};
	enum col_outlet_refusal why = col_outlet_series(d->outlet, DOOR, &series);
	d->bus |= why == COL_OUTLET_BUS;
	d->why = why != COL_OUTLET_TAKEN ? why : d->why;
	return why == COL_OUTLET_TAKEN ? 0 : -1;
}

/* The whole document into one sink; err is what ended it. */
static int read_body(struct ops_http_req *req, const struct ops_import_sink *sink,
	size_t *ret_taken, size_t *ret_refused, struct ops_error *err)
{
	struct ops_import im;
	const char *body;
	size_t len;
	ops_http_body(req, &body, &len);
	ops_import_init(&im, sink);
	im.max_bytes = TEXT_MAX;
	int r = ops_import_request(&im, req);
	if (r == 0) {
		r = ops_import_take(&im, body, len);
	}
	if (r == 0) {
		r = ops_import_finish(&im);
	}
	*ret_taken = im.taken;
	*ret_refused = im.refused;
	*err = im.err;
	ops_import_done(&im);
	return r;
}

static void pass_on(struct col_import_door *door, struct ops_http_req *req)
{
	struct delivery d = {.outlet = door->outlet};
	const struct ops_import_sink sink = {.on_sample = deliver, .arg = &d};
	struct ops_error err;
	size_t taken = 0, refused = 0;
	int r = read_body(req, &sink, &taken, &refused, &err);
	ops_assert(r == 0); /* it was good a moment ago */
	d.bus |= col_outlet_flush(door->outlet, DOOR) != 0;
	if (d.bus) {
		reply(req, 503, "the samples could not be passed on");
	} else if (refused > 0) {
		char text[100];
		snprintf(text, sizeof(text), "%zu of %zu samples refused: %s", refused,
			refused + taken, col_outlet_reason(d.why));
		reply(req, 400, text);
	} else {
		reply(req, 204, NULL);
	}
}

static void on_import(struct ops_http_req *req, void *arg)
{
	struct col_import_door *door = arg;
	const struct ops_import_sink sink = {.on_sample = count};
	struct ops_error err;
	size_t taken = 0, refused = 0;
	char text[400];
	if (!door->heard(door->arg)) {
		reply(req, 503, "no detector is heard: keep the samples and try again");
	} else if (read_body(req, &sink, &taken, &refused, &err) != 0) {
		if (err.line > 0) {
			snprintf(text, sizeof(text), "line %d, column %d: %.300s", err.line,
				err.column, err.message);
		} else {
			snprintf(text, sizeof(text), "%.300s", err.message);
		}
		reply(req, 400, text);
	} else if (!col_outlet_admits(door->outlet, taken)) {
		reply(req, 429, "more samples per second than receive.samples_per_second");
	} else {
		pass_on(door, req);
	}
}

void col_import_register(struct col_import_door *door, struct ops_http_server *http)
{
	ops_http_route(http, OPS_POST | OPS_RAW_BODY, "/api/v1/import/prometheus",
		OPS_ROLE_OPERATOR, on_import, door);
}
