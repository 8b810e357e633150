/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The API's inside: reading parameters, writing replies. A reader that fails has replied already.
 */
#include <sys/queue.h>

#include "services/detector/api/api.h"

struct det_job;
struct det_later;
LIST_HEAD(det_jobs, det_job);
TAILQ_HEAD(det_laters, det_later);

struct det_api {
	struct det_api_config config;
	int64_t started_ms;
	struct det_pool *pool;
	struct det_exemplars *exemplars;
	struct det_jobs jobs;	 /* all that are not answered */
	struct det_laters later; /* large bodies of remote write, unpacked, to be stored */
	struct ops_timer *later_timer;
	struct det_pool *unpacker; /* of their own: queries may keep all other threads busy */
	size_t receiving;	   /* bytes of them, those that are being unpacked too */
};

struct det_job;
/*
 * Around everything that a worker borrows from the store: series and labels stay valid in between.
 */
void det_api_read_begin(struct det_job *job);
void det_api_read_end(struct det_job *job);

/* Pieces of an answer, appended. */
void det_api_time(struct ops_strbuf *out, int64_t t_ms);  /* 1435781451.781 */
void det_api_value(struct ops_strbuf *out, double value); /* "1.5", with quotes */
void det_api_labels(struct ops_strbuf *out, const struct ops_label *labels, uint32_t n);
void det_api_string(struct ops_strbuf *out, const char *text);
void det_api_headers(struct ops_http_req *req); /* those that all answers have */
/* {"status":"success","data": and what closes it, for answers in pieces. */
void det_api_open_answer(struct ops_strbuf *out);
void det_api_close_answer(struct ops_strbuf *out, const struct det_annotations *annotations);
/* {"status":"success","data":<data>,"warnings":[],"infos":[]} with what there is. */
void det_api_reply(struct ops_http_req *req, const struct ops_strbuf *data,
	const struct det_annotations *annotations);
/* "line:column: message" */
#define DET_POSITION_MAX 600
const char *det_api_position(const struct ops_error *err, char *buf, size_t size);
/* "invalid parameter ...: line:column: message" */
void det_api_bad_at(struct ops_http_req *req, const char *parameter, const struct ops_error *err);
/* With the language features that are on. */
int det_api_parse(const struct det_api *api, struct ops_arena *arena, const char *text,
	struct ops_promql_expr **ret, struct ops_error *err) OPS_MUST_CHECK;

/* 0 = read; 1 = absent, *ret untouched; -EINVAL = refused, the reply is sent. */
int det_api_param_time(struct ops_http_req *req, const char *name, int64_t *ret_ms) OPS_MUST_CHECK;
/* The same where an absent parameter has no default. */
int det_api_need_time(struct ops_http_req *req, const char *name, int64_t *ret_ms) OPS_MUST_CHECK;
bool det_api_parse_duration(const char *text, int64_t *ret_ms); /* seconds or 1m30s */
int det_api_param_duration(
	struct ops_http_req *req, const char *name, int64_t *ret_ms) OPS_MUST_CHECK;
/* "limit must be a number"; a negative one is none, 0 is 0. 0 or -EINVAL. */
int det_api_param_number(struct ops_http_req *req, const char *name, size_t *ret) OPS_MUST_CHECK;
int det_api_param_limit(struct ops_http_req *req, const char *name, size_t *ret) OPS_MUST_CHECK;

void det_api_query(struct ops_http_req *req, void *arg);
void det_api_query_range(struct ops_http_req *req, void *arg);
void det_api_format_query(struct ops_http_req *req, void *arg);
void det_api_parse_query(struct ops_http_req *req, void *arg);
void det_api_series(struct ops_http_req *req, void *arg);
void det_api_label_names(struct ops_http_req *req, void *arg);
void det_api_label_values(struct ops_http_req *req, void *arg);
void det_api_targets(struct ops_http_req *req, void *arg);
void det_api_targets_metadata(struct ops_http_req *req, void *arg);
void det_api_scrape_pools(struct ops_http_req *req, void *arg);
void det_api_alertmanagers(struct ops_http_req *req, void *arg);
void det_api_federate(struct ops_http_req *req, void *arg);
/* True when it was stored: new and not too long. Tells on_exemplar. */
bool det_api_take_exemplar(struct det_api *api, const struct ops_exemplar *e);
void det_api_query_exemplars(struct ops_http_req *req, void *arg);
void det_api_config(struct ops_http_req *req, void *arg);
void det_api_walreplay(struct ops_http_req *req, void *arg);
void det_api_features(struct ops_http_req *req, void *arg);
void det_api_notifications(struct ops_http_req *req, void *arg);
void det_api_admin_routes(struct det_api *api, struct ops_http_server *server);
void det_api_write(struct ops_http_req *req, void *arg);
void det_write_on_turn(void *api); /* the next piece of a large one */
void det_api_read(struct ops_http_req *req, void *arg);
void det_api_import(struct ops_http_req *req, void *arg);
void det_api_metadata(struct ops_http_req *req, void *arg);
void det_api_buildinfo(struct ops_http_req *req, void *arg);
void det_api_runtimeinfo(struct ops_http_req *req, void *arg);
void det_api_tsdb(struct ops_http_req *req, void *arg);
void det_api_tsdb_blocks(struct ops_http_req *req, void *arg);
void det_api_flags(struct ops_http_req *req, void *arg);

/* ops_detector_received_samples_total{door,outcome} */
void det_api_count_received(const char *door, size_t stored, size_t refused);
/* The tree as JSON, in the shape of upstream's parse_query. */
void det_api_tree(const struct ops_promql_expr *e, struct ops_strbuf *out);
