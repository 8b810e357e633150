/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/write: the receiving end of remote write, 1.0 and 2.0. Writing needs the role operator:
 * who can write samples can raise and silence alerts.
 */

#include "common/remote/snappy.h"
#include "services/detector/api/api_internal.h"
#include "services/detector/api/write.h"

/* One that takes no time worth another thread. */
static void receive_here(struct ops_http_req *req, struct det_api *api,
	enum ops_remote_version version, const char *body, size_t len)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf message = OPS_STRBUF_INIT;
	struct ops_error err = {0};
	struct det_received got;
	if (ops_snappy_decode(body, len, DET_WRITE_DECODED_MAX, &message, &err) != 0 ||
		det_api_receive(api, "write", version, &message, &got, &err) != 0) {
		det_write_refuse(req, 400, err.message);
	} else {
		det_write_answer(req, version, &got);
	}
}

void det_api_write(struct ops_http_req *req, void *arg)
{
	enum ops_remote_version version;
	const char *body;
	size_t len;
	if (ops_remote_content_type(ops_http_header(req, "Content-Type"), &version) != 0) {
		det_write_refuse(
			req, 415, "unknown Content-Type: remote write 1.0 or 2.0 is wanted");
		return;
	}
	if (!ops_remote_content_encoding(ops_http_header(req, "Content-Encoding"))) {
		det_write_refuse(req, 415, "unknown Content-Encoding: snappy is wanted");
		return;
	}
	ops_http_body(req, &body, &len);
	if (len > DET_WRITE_HERE_MAX) {
		det_write_later(req, arg, version);
	} else {
		receive_here(req, arg, version, body, len);
	}
}
