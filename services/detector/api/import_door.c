/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/import/prometheus: samples as exposition text, with their times or else at the request's;
 * the body is stored as it comes, of any length. extra_label adds a label to every series,
 * timestamp (milliseconds) is the time of samples without one. What stands before a malformed line
 * stays stored; the answer says which line it is.
 */
#include <stdio.h>

#include "common/exposition/import.h"
#include "services/detector/api/api_internal.h"

static int append(void *arg, struct ops_labels *labels, int64_t time_ms, double value)
{
	return det_store_append(arg, labels, time_ms, value);
}

static void describe(void *arg, enum ops_exposition_entry kind, const struct ops_exposition *p)
{
	struct det_store *store = arg;
	OPS_CLEANUP(ops_freep) char *name = ops_xstrndup(p->name.data, p->name.len);
	const struct det_metadata *old = det_store_metadata(store, name);
	OPS_CLEANUP(ops_freep)
	char *help = kind == OPS_ENTRY_HELP ? ops_xstrndup(p->text.data, p->text.len)
					    : ops_xstrdup(old != NULL ? old->help : "");
	OPS_CLEANUP(ops_freep)
	char *unit = kind == OPS_ENTRY_UNIT ? ops_xstrndup(p->text.data, p->text.len)
					    : ops_xstrdup(old != NULL ? old->unit : "");
	const struct ops_layout_family family = {.name = name,
		.help = help,
		.unit = unit,
		.type = kind == OPS_ENTRY_TYPE ? p->type
			: old != NULL	       ? old->type
					       : OPS_T_UNKNOWN};
	det_store_describe(store, &family);
}

static void answer(struct ops_http_req *req, const struct ops_import *im, int rc)
{
	det_api_count_received("import", im->taken, im->refused);
	if (rc == 0 && im->refused == 0) {
		det_api_headers(req);
		ops_http_reply(req, 204, NULL, NULL, 0);
		return;
	}
	char text[DET_POSITION_MAX + 100], why[DET_POSITION_MAX];
	if (rc != 0) {
		snprintf(text, sizeof(text), "%s (%zu samples before it are stored)",
			det_api_position(&im->err, why, sizeof(why)), im->taken);
	} else {
		snprintf(text, sizeof(text),
			"%zu of %zu samples were refused: out of order, too old, too far in the "
			"future, or no memory",
			im->refused, im->refused + im->taken);
	}
	det_api_reply_error(req, "bad_data", text);
}

static void end(struct ops_import *im)
{
	ops_import_done(im);
	free(im);
}

static void on_gone(struct ops_http_req *req, void *arg)
{
	const struct ops_import *im = arg;
	(void)req;
	det_api_count_received("import", im->taken, im->refused);
	end(arg);
}

static void on_piece(struct ops_http_req *req, const void *data, size_t len, bool last)
{
	struct ops_import *im = ops_http_body_arg(req);
	int rc = ops_import_take(im, data, len);
	if (rc == 0 && !last) {
		return;
	}
	rc = rc == 0 ? ops_import_finish(im) : rc;
	answer(req, im, rc);
	end(im);
}

void det_api_import(struct ops_http_req *req, void *arg)
{
	struct det_api *api = arg;
	struct ops_import *im = ops_xcalloc(1, sizeof(*im));
	const struct ops_import_sink sink = {
		.on_sample = append, .on_metadata = describe, .arg = api->config.store};
	ops_import_init(im, &sink);
	int rc = ops_import_request(im, req);
	if (rc != 0) {
		answer(req, im, rc);
		end(im);
		return;
	}
	ops_http_on_abort(req, on_gone, im);
	ops_http_on_body(req, on_piece, im);
}
