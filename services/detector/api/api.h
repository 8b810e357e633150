/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Prometheus' HTTP API v1 over the store and the engine: query, query_range, series, labels,
 * label values, metadata, format_query, parse_query, status/{buildinfo,runtimeinfo,tsdb,flags}.
 * Rules, alerts and targets are registered by those who own them, with the reply helpers below.
 */
#include "common/base/strbuf.h"
#include "common/net/http_server.h"
#include "services/detector/engine/engine.h"
#include "services/detector/store/store.h"

struct det_api; /* opaque */

struct det_api_config { /* pointers are borrowed and must outlive the server */
	struct det_store *store;
	const struct det_engine_options *options; /* read at each query: may change on reload */
	int64_t retention_ms;
	/* "name", "value", ..., NULL for status/flags; may be NULL. */
	const char *const *flags;
};

/* Registers the routes. Free after the server. */
struct det_api *det_api_register(
	struct ops_http_server *server, const struct det_api_config *config);
void det_api_free(struct det_api *api);

/* {"status":"success","data":<data>} with the CORS header; data is JSON text. */
void det_api_reply_data(struct ops_http_req *req, const struct ops_strbuf *data);
/* {"status":"error","errorType":type,"error":message} with the status code that belongs to type. */
void det_api_reply_error(struct ops_http_req *req, const char *type, const char *message);
