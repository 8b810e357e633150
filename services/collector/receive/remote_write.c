/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is answered when its samples are in the ring from which the detector asks for what it
 * missed. That ring is memory: while no detector is heard a sender keeps its samples and tries
 * again (503), which loses nothing, instead of filling the ring. What is refused for good (labels,
 * the limit of series) is 400, which tells a sender not to repeat it; the rate is 429.
 */
#include "services/collector/receive/remote_write.h"

#include <errno.h>
#include <stdio.h>

#include "common/metrics/metrics.h"
#include "common/remote/snappy.h"

#define DOOR "remote_write"
#define DECODED_MAX ((size_t)64 << 20)

static struct ops_metric requests_total = OPS_COUNTER(
	"ops_received_requests_total", "Requests of senders, by answer.", "door", "code");

struct intake {
	struct col_outlet *outlet;
	size_t samples, histograms, exemplars, refused;
	const char *why;
	bool bus;
};

static int on_series(void *arg, const struct ops_remote_series *s)
{
	struct intake *in = arg;
	enum col_outlet_refusal why = col_outlet_series(in->outlet, DOOR, s);
	if (why == COL_OUTLET_TAKEN) {
		in->samples += s->nsamples;
		in->histograms += s->nhistograms;
		in->exemplars += s->nexemplars;
		return 0;
	}
	in->bus |= why == COL_OUTLET_BUS;
	in->refused += s->nsamples + s->nhistograms;
	in->why = in->why != NULL ? in->why : s->flaw != NULL ? s->flaw : col_outlet_reason(why);
	return 0;
}

static int on_count(void *arg, const struct ops_remote_series *s)
{
	size_t *n = arg;
	*n += s->nsamples + s->nhistograms;
	return 0;
}

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

static void add_written(struct ops_http_req *req, const char *header, size_t n)
{
	char text[32];
	snprintf(text, sizeof(text), "%zu", n);
	ops_http_reply_header(req, header, text);
}

static void answer(
	struct ops_http_req *req, enum ops_remote_version version, const struct intake *in)
{
	char text[300];
	if (version == OPS_REMOTE_2) {
		add_written(req, OPS_REMOTE_SAMPLES_WRITTEN, in->samples);
		add_written(req, OPS_REMOTE_HISTOGRAMS_WRITTEN, in->histograms);
		add_written(req, OPS_REMOTE_EXEMPLARS_WRITTEN, in->exemplars);
	}
	if (in->bus) {
		reply(req, 503, "the samples could not be passed on");
	} else if (in->refused > 0) {
		snprintf(text, sizeof(text), "%zu of %zu samples refused: %s", in->refused,
			in->refused + in->samples + in->histograms, in->why);
		reply(req, 400, text);
	} else {
		reply(req, 204, NULL);
	}
}

static void pass_on(struct col_remote_door *door, struct ops_http_req *req,
	enum ops_remote_version version, const struct ops_strbuf *message)
{
	struct ops_error err = {0};
	size_t n = 0;
	const struct ops_remote_sink counting = {.on_series = on_count, .arg = &n};
	if (ops_remote_write_decode(
		    version, ops_strbuf_text(message), message->len, &counting, &err) != 0) {
		reply(req, 400, err.message);
		return;
	}
	if (!col_outlet_admits(door->outlet, n)) {
		reply(req, 429, "more samples per second than receive.samples_per_second");
		return;
	}
	struct intake in = {.outlet = door->outlet};
	const struct ops_remote_sink sink = {.on_series = on_series, .arg = &in};
	int r = ops_remote_write_decode(
		version, ops_strbuf_text(message), message->len, &sink, &err);
	ops_assert(r == 0); /* the same message was good a moment ago */
	in.bus |= col_outlet_flush(door->outlet, DOOR) != 0;
	answer(req, version, &in);
}

static void on_write(struct ops_http_req *req, void *arg)
{
	struct col_remote_door *door = arg;
	enum ops_remote_version version;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf message = OPS_STRBUF_INIT;
	struct ops_error err = {0};
	const char *body;
	size_t len;
	if (ops_remote_content_type(ops_http_header(req, "Content-Type"), &version) != 0 ||
		!ops_remote_content_encoding(ops_http_header(req, "Content-Encoding"))) {
		reply(req, 415, "remote write 1.0 or 2.0, packed with snappy, is wanted");
		return;
	}
	if (!door->heard(door->arg)) {
		reply(req, 503, "no detector is heard: keep the samples and try again");
		return;
	}
	ops_http_body(req, &body, &len);
	if (ops_snappy_decode(body, len, DECODED_MAX, &message, &err) != 0) {
		reply(req, 400, err.message);
		return;
	}
	pass_on(door, req, version, &message);
}

void col_remote_register(struct col_remote_door *door, struct ops_http_server *http)
{
	ops_http_route(http, OPS_POST, "/api/v1/write", OPS_ROLE_OPERATOR, on_write, door);
}
