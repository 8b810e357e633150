/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Prometheus' HTTP API v1 over the store and the engine. Rules and alerts are registered by those
 * who own them, with the reply helpers below. What takes long runs on worker threads.
 */
#include "common/audit/audit.h"
#include "common/base/strbuf.h"
#include "common/json/json.h"
#include "common/msg/exemplars.h"
#include "common/net/http_server.h"
#include "common/remote/negotiate.h"
#include "services/detector/engine/engine.h"
#include "services/detector/store/store.h"

struct det_api; /* opaque */

struct det_api_config { /* pointers are borrowed and must outlive the server */
	struct ops_loop *loop;
	unsigned workers; /* threads that answer queries; 0: the loop does */
	struct det_store *store;
	const struct det_engine_options *options; /* read at each query: may change on reload */
	size_t exemplars_max;			  /* that are kept */
	const unsigned *promql_features;	  /* as the above; NULL: the default ones */
	const bool *start_storage; /* as the above: are start timestamps stored? NULL: no */
	int64_t retention_ms;
	bool enable_admin, enable_lifecycle; /* /api/v1/admin/tsdb, /-/quit */
	struct ops_audit *audit;	     /* what these do is recorded; NULL: it is not */
	/* All of these may be NULL. The configuration in force as YAML, without secrets. */
	void (*config_yaml)(void *arg, struct ops_strbuf *out);
	void (*flags)(void *arg, json_t *out); /* of status/flags: an object of strings */
	struct ops_labels *(*external_labels)(void *arg); /* or NULL; borrowed */
	/* An exemplar was taken in, by a scrape or a remote write. */
	void (*on_exemplar)(void *arg, const struct ops_exemplar *e);
	void *arg;
};

/* Until the routes are registered, what asks for them is told to come back: 503 with Retry-After.
 */
void det_api_opening(struct ops_http_server *server);
/* Registers the routes. Free after the server and before the store. */
struct det_api *det_api_register(
	struct ops_http_server *server, const struct det_api_config *config);
void det_api_free(struct det_api *api);
/* One that came with a scrape; what becomes of it is counted. */
void det_api_add_exemplar(struct det_api *api, const struct ops_exemplar *e);

/* A route of the API: answers OPTIONS too. */
void det_api_route(struct ops_http_server *server, unsigned methods, const char *path,
	void (*fn)(struct ops_http_req *req, void *arg), void *arg);
struct det_received { /* what became of a message */
	size_t samples, histograms, exemplars, refused, bad_series;
	char problem[256]; /* the first; "" when there was none */
};
/*
 * Stores what a remote write message holds, as far as it can be stored; door is the metric's label.
 * -EBADMSG, with err set: it is no such message, nothing was stored.
 */
int det_api_receive(struct det_api *api, const char *door, enum ops_remote_version version,
	const struct ops_strbuf *message, struct det_received *ret,
	struct ops_error *err) OPS_MUST_CHECK;

/* {"status":"success","data":<data>} with the CORS header; data is JSON text. */
void det_api_reply_data(struct ops_http_req *req, const struct ops_strbuf *data);
/* {"status":"error","errorType":type,"error":message} with the status code that belongs to type. */
void det_api_reply_error(struct ops_http_req *req, const char *type, const char *message);
/* The same of bad_data: "invalid parameter ...: why", or just why. Always -EINVAL. */
int det_api_bad(struct ops_http_req *req, const char *parameter, const char *fmt, ...)
	OPS_PRINTF(3, 4);
int det_api_refuse(struct ops_http_req *req, const char *fmt, ...) OPS_PRINTF(2, 3);
