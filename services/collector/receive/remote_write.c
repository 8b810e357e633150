/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/receive/remote_write.h"

#include <stdio.h>

#include "common/remote/snappy.h"

#define DECODED_MAX ((size_t)64 << 20)

struct intake {
	const struct col_door *door;
	struct col_door_outcome outcome;
	size_t samples, histograms, exemplars; /* of what is taken */
};

static int on_series(void *arg, const struct ops_remote_series *s)
{
	struct intake *in = arg;
	if (col_door_pass(in->door, s, &in->outcome)) {
		in->samples += s->nsamples;
		in->histograms += s->nhistograms;
		in->exemplars += s->nexemplars;
	}
	return 0;
}

/* 1.0 sends it in requests of their own. */
static int on_metadata(void *arg, const struct ops_remote_metadata *m)
{
	struct intake *in = arg;
	in->outcome.bus |= !col_outlet_describe(in->door->outlet, in->door->name, m);
	return 0;
}

static int on_count(void *arg, const struct ops_remote_series *s)
{
	size_t *n = arg;
	*n += s->nsamples + s->nhistograms;
	return 0;
}

static void add_written(struct ops_http_req *req, const char *header, size_t n)
{
	char text[32];
	snprintf(text, sizeof(text), "%zu", n);
	ops_http_reply_header(req, header, text);
}

static void pass_on(const struct col_door *door, struct ops_http_req *req,
	enum ops_remote_version version, const struct ops_strbuf *message)
{
	struct ops_error err = {0};
	size_t n = 0;
	const struct ops_remote_sink counting = {.on_series = on_count, .arg = &n};
	if (ops_remote_write_decode(
		    version, ops_strbuf_text(message), message->len, &counting, &err) != 0) {
		col_door_reply(door, req, 400, err.message);
		return;
	}
	if (col_door_above_rate(door, req, n)) {
		return;
	}
	struct intake in = {.door = door};
	const struct ops_remote_sink sink = {
		.on_series = on_series, .on_metadata = on_metadata, .arg = &in};
	int r = ops_remote_write_decode(
		version, ops_strbuf_text(message), message->len, &sink, &err);
	ops_assert(r == 0); /* the same message was good a moment ago */
	if (version == OPS_REMOTE_2) {
		add_written(req, OPS_REMOTE_SAMPLES_WRITTEN, in.samples);
		add_written(req, OPS_REMOTE_HISTOGRAMS_WRITTEN, in.histograms);
		add_written(req, OPS_REMOTE_EXEMPLARS_WRITTEN, in.exemplars);
	}
	col_door_finish(door, req, &in.outcome);
}

static void on_write(struct ops_http_req *req, void *arg)
{
	const struct col_door *door = arg;
	enum ops_remote_version version;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf message = OPS_STRBUF_INIT;
	struct ops_error err = {0};
	const char *body;
	size_t len;
	if (ops_remote_content_type(ops_http_header(req, "Content-Type"), &version) != 0 ||
		!ops_remote_content_encoding(ops_http_header(req, "Content-Encoding"))) {
		col_door_reply(
			door, req, 415, "remote write 1.0 or 2.0, packed with snappy, is wanted");
		return;
	}
	if (col_door_unheard(door, req)) {
		return;
	}
	ops_http_body(req, &body, &len);
	if (ops_snappy_decode(body, len, DECODED_MAX, &message, &err) != 0) {
		col_door_reply(door, req, 400, err.message);
		return;
	}
	pass_on(door, req, version, &message);
}

void col_remote_register(struct col_door *door, struct ops_http_server *http)
{
	ops_http_route(http, OPS_POST, "/api/v1/write", OPS_ROLE_OPERATOR, on_write, door);
}
