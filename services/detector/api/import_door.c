/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/import/prometheus: samples as exposition text, with their times or else at the request's;
 * the body is stored as it comes, of any length. extra_label adds a label to every series,
 * timestamp (milliseconds) is the time of samples without one. What stands before a malformed line
 * stays stored; the answer says which line it is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "services/detector/api/api_internal.h"
#include "services/detector/api/import.h"

static int read_labels(struct det_import *im, struct ops_http_req *req)
{
	im->nextra = ops_http_params(req, "extra_label", im->extra, DET_IMPORT_EXTRA_MAX);
	if (im->nextra > DET_IMPORT_EXTRA_MAX) {
		return ops_error_set(
			&im->err, -EINVAL, "more than %d extra_label", DET_IMPORT_EXTRA_MAX);
	}
	for (size_t i = 0; i < im->nextra; i++) {
		const char *eq = strchr(im->extra[i], '=');
		if (eq == NULL || eq == im->extra[i]) {
			return ops_error_set(&im->err, -EINVAL,
				"extra_label must be name=value, not \"%.100s\"", im->extra[i]);
		}
	}
	return 0;
}

static int read_parameters(struct det_import *im, struct ops_http_req *req)
{
	const char *text = ops_http_param(req, "timestamp");
	const char *encoding = ops_http_header(req, "Content-Encoding");
	im->time_ms = ops_now_ms();
	if (text != NULL && *text != '\0' && ops_parse_i64(text, strlen(text), &im->time_ms) != 0) {
		return ops_error_set(
			&im->err, -EINVAL, "timestamp must be a number of milliseconds");
	}
	im->packed = encoding != NULL && strcmp(encoding, "gzip") == 0;
	if (encoding != NULL && !im->packed && strcmp(encoding, "identity") != 0) {
		return ops_error_set(&im->err, -EINVAL, "Content-Encoding must be gzip or none");
	}
	int rc = ops_exposition_format_of(
		ops_http_header(req, "Content-Type"), OPS_EXPOSITION_TEXT, &im->format, &im->err);
	return rc != 0 ? rc : read_labels(im, req);
}

static void answer(struct ops_http_req *req, const struct det_import *im, int rc)
{
	det_api_count_received("import", im->stored, im->refused);
	if (rc == 0 && im->refused == 0) {
		det_api_headers(req);
		ops_http_reply(req, 204, NULL, NULL, 0);
		return;
	}
	char text[DET_POSITION_MAX + 100], why[DET_POSITION_MAX];
	if (rc != 0) {
		snprintf(text, sizeof(text), "%s (%zu samples before it are stored)",
			det_api_position(&im->err, why, sizeof(why)), im->stored);
	} else {
		snprintf(text, sizeof(text),
			"%zu of %zu samples were refused: out of order, too old, too far in the "
			"future, or no memory",
			im->refused, im->refused + im->stored);
	}
	det_api_reply_error(req, "bad_data", text);
}

static void end(struct det_import *im)
{
	det_import_done(im);
	free(im);
}

static void on_gone(struct ops_http_req *req, void *arg)
{
	const struct det_import *im = arg;
	(void)req;
	det_api_count_received("import", im->stored, im->refused);
	end(arg);
}

static void on_piece(struct ops_http_req *req, const void *data, size_t len, bool last)
{
	struct det_import *im = ops_http_body_arg(req);
	int rc = det_import_take(im, data, len);
	if (rc == 0 && !last) {
		return;
	}
	rc = rc == 0 ? det_import_finish(im) : rc;
	answer(req, im, rc);
	end(im);
}

void det_api_import(struct ops_http_req *req, void *arg)
{
	struct det_api *api = arg;
	struct det_import *im = ops_xcalloc(1, sizeof(*im));
	det_import_init(im, api->config.store);
	int rc = read_parameters(im, req);
	if (rc != 0) {
		answer(req, im, rc);
		end(im);
		return;
	}
	ops_http_on_abort(req, on_gone, im);
	ops_http_on_body(req, on_piece, im);
}
