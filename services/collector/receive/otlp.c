/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers as the protocol has them (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response"): in the
 * encoding of the request; 200 with partial_success when some points were rejected for good, 400
 * with a google.rpc.Status for what cannot be read, 429 and 503 with Retry-After for what may be
 * tried again.
 */
#include "services/collector/receive/otlp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/json/json.h"
#include "common/metrics/metrics.h"
#include "common/proto/proto.h"
#include "services/collector/gunzip.h"

enum {
	RPC_INVALID_ARGUMENT = 3,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_UNAVAILABLE = 14,
	SLICE_BYTES = 256 * 1024
};
#define UNPACKED_MAX ((size_t)64 << 20)

static struct ops_metric requests_total =
	OPS_COUNTER("ops_received_otlp_requests_total", "OTLP requests, by answer.", "code");
static struct ops_metric points_total =
	OPS_COUNTER("ops_received_otlp_points_total", "OTLP data points.", "outcome");

static void send(struct ops_http_req *req, int code, bool json, const struct ops_strbuf *body)
{
	char label[8];
	snprintf(label, sizeof(label), "%d", code);
	ops_metric_add(&requests_total, 1, label);
	if (code == 429 || code == 503) {
		ops_http_reply_header(req, "Retry-After", "5");
	}
	ops_http_reply(req, code, json ? "application/json" : "application/x-protobuf",
		ops_strbuf_text(body), body->len);
}

static void refuse(struct ops_http_req *req, int code, bool json, const char *message)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf body = OPS_STRBUF_INIT;
	int status = code == 429   ? RPC_RESOURCE_EXHAUSTED
		     : code == 503 ? RPC_UNAVAILABLE
				   : RPC_INVALID_ARGUMENT;
	if (json) {
		ops_strbuf_printf(&body, "{\"code\":%d,\"message\":", status);
		ops_strbuf_add_json(&body, message, strlen(message));
		ops_strbuf_addc(&body, '}');
	} else {
		ops_proto_put_varint(&body, 1, (uint64_t)status);
		ops_proto_put_bytes(&body, 2, message, strlen(message));
	}
	send(req, code, json, &body);
}

static void answer(struct ops_http_req *req, bool json, const struct col_otlp_outcome *o)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf body = OPS_STRBUF_INIT;
	ops_metric_add(&points_total, (double)o->taken, "taken");
	ops_metric_add(&points_total, (double)o->rejected, "rejected");
	if (json && o->rejected == 0) {
		ops_strbuf_adds(&body, "{}");
	} else if (json) {
		ops_strbuf_printf(&body,
			"{\"partialSuccess\":{\"rejectedDataPoints\":\"%zu\",\"errorMessage\":",
			o->rejected);
		ops_strbuf_add_json(&body, o->why, strlen(o->why));
		ops_strbuf_adds(&body, "}}");
	} else if (o->rejected > 0) {
		size_t mark = ops_proto_begin(&body, 1);
		ops_proto_put_varint(&body, 1, o->rejected);
		ops_proto_put_bytes(&body, 2, o->why, strlen(o->why));
		ops_proto_end(&body, mark);
	}
	send(req, 200, json, &body);
}

static int unpack(const char *data, size_t len, struct ops_strbuf *out)
{
	struct col_gunzip g = {.z = NULL};
	size_t n = 0;
	int r;
	col_gunzip_start(&g, data, len);
	do {
		ops_strbuf_reserve(out, SLICE_BYTES);
		r = col_gunzip_step(&g, out->data + out->len, SLICE_BYTES, &n);
		out->len += n;
		if (out->len > UNPACKED_MAX) {
			r = -EMSGSIZE;
		}
	} while (r == -EAGAIN);
	col_gunzip_done(&g);
	return r;
}

/* 0, or the answer was given. */
static int read_body(struct ops_http_req *req, bool json, struct ops_strbuf *unpacked,
	const char **ret, size_t *ret_len)
{
	const char *encoding = ops_http_header(req, "Content-Encoding");
	ops_http_body(req, ret, ret_len);
	if (encoding == NULL || strcmp(encoding, "identity") == 0) {
		return 0;
	}
	if (strcmp(encoding, "gzip") != 0) {
		refuse(req, 415, json, "Content-Encoding must be gzip or absent");
		return -ENOTSUP;
	}
	int r = unpack(*ret, *ret_len, unpacked);
	if (r != 0) {
		refuse(req, r == -EMSGSIZE ? 413 : 400, json,
			r == -EMSGSIZE ? "the body is larger than 64 MiB" : "the body is not gzip");
		return r;
	}
	*ret = ops_strbuf_text(unpacked);
	*ret_len = unpacked->len;
	return 0;
}

static void take(struct col_otlp_door *door, struct ops_http_req *req, bool json,
	const struct col_otlp_request *request)
{
	struct col_otlp_outcome outcome;
	if (!col_outlet_admits(door->outlet, request->npoints)) {
		refuse(req, 429, json, "more samples per second than receive.samples_per_second");
		return;
	}
	col_otlp_translate(door->series, door->outlet, request, ops_now_ms(), &outcome);
	if (outcome.bus) {
		refuse(req, 503, json, "the samples could not be passed on");
	} else {
		answer(req, json, &outcome);
	}
}

static void on_metrics(struct ops_http_req *req, void *arg)
{
	struct col_otlp_door *door = arg;
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf unpacked = OPS_STRBUF_INIT;
	const char *type = ops_http_header(req, "Content-Type"), *data = "";
	size_t len = 0;
	bool json = type != NULL && strncmp(type, "application/json", 16) == 0;
	if (!json && (type == NULL || strncmp(type, "application/x-protobuf", 22) != 0)) {
		refuse(req, 415, false,
			"Content-Type must be application/x-protobuf or application/json");
		return;
	}
	if (!door->heard(door->arg)) {
		refuse(req, 503, json, "no detector is heard: keep the points and try again");
		return;
	}
	if (read_body(req, json, &unpacked, &data, &len) != 0) {
		return;
	}
	struct ops_arena arena;
	struct ops_error err = {0};
	struct col_otlp_request request = {.arena = &arena};
	ops_arena_init(&arena);
	int r = json ? col_otlp_from_json(&request, data, len, &err)
		     : col_otlp_from_proto(&request, data, len, &err);
	if (r != 0) {
		refuse(req, r == -E2BIG ? 413 : 400, json, err.message);
	} else {
		take(door, req, json, &request);
	}
	ops_arena_done(&arena);
}

void col_otlp_register(struct col_otlp_door *door, struct ops_http_server *http)
{
	ops_http_route(http, OPS_POST, "/v1/metrics", OPS_ROLE_OPERATOR, on_metrics, door);
	ops_http_route(
		http, OPS_POST, "/api/v1/otlp/v1/metrics", OPS_ROLE_OPERATOR, on_metrics, door);
}
