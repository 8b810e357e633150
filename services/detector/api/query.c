/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/query, query_range, format_query, parse_query. */
#include "services/detector/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "services/detector/api/api_internal.h"

struct request {
	struct det_api *api;
	struct ops_http_req *req;
	struct ops_arena arena;
	struct det_engine_options options;
	struct det_query query;
	size_t limit;
};

static void request_init(struct request *r, struct ops_http_req *req, struct det_api *api)
{
	*r = (struct request){.api = api, .req = req, .limit = SIZE_MAX};
	ops_arena_init(&r->arena);
	if (api->config.options != NULL) {
		r->options = *api->config.options;
	}
}

static void request_done(struct request *r)
{
	ops_arena_done(&r->arena);
}

static int parse_expr(struct request *r)
{
	const char *text = ops_http_param(r->req, "query");
	struct ops_promql_expr *expr;
	struct ops_error err = {0};
	text = text != NULL ? text : "";
	if (ops_promql_parse_text(&r->arena, text, &expr, &err) != 0) {
		char why[1024];
		snprintf(why, sizeof(why), "%d:%d: %s", err.line, err.column, err.message);
		det_api_bad(r->req, "query", why);
		return -EINVAL;
	}
	r->query.expr = expr;
	r->query.text = text;
	return 0;
}

/* timeout, lookback_delta, limit. A timeout only shortens the configured one. */
static int read_options(struct request *r)
{
	int64_t timeout_ms = 0, lookback_ms = 0;
	if (det_api_param_duration(r->req, "timeout", &timeout_ms) < 0 ||
		det_api_param_duration(r->req, "lookback_delta", &lookback_ms) < 0 ||
		det_api_param_limit(r->req, "limit", &r->limit) < 0) {
		return -EINVAL;
	}
	if (timeout_ms < 0 || lookback_ms < 0) {
		det_api_bad(r->req, timeout_ms < 0 ? "timeout" : "lookback_delta",
			"must not be negative");
		return -EINVAL;
	}
	if (timeout_ms != 0 && (r->options.timeout_ms == 0 || timeout_ms < r->options.timeout_ms)) {
		r->options.timeout_ms = timeout_ms;
	}
	if (lookback_ms != 0) {
		r->options.lookback_ms = lookback_ms;
	}
	return 0;
}

static void add_point(struct ops_strbuf *out, const struct det_point *p)
{
	ops_strbuf_addc(out, '[');
	det_api_time(out, p->t);
	ops_strbuf_addc(out, ',');
	det_api_value(out, p->v);
	ops_strbuf_addc(out, ']');
}

static void add_series(struct ops_strbuf *out, const struct det_result_series *s, bool matrix)
{
	ops_strbuf_adds(out, "{\"metric\":");
	det_api_labels(out, s->labels, s->nlabels);
	ops_strbuf_adds(out, matrix ? ",\"values\":[" : ",\"value\":");
	for (size_t i = 0; i < s->npoints; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		add_point(out, &s->points[i]);
	}
	ops_strbuf_adds(out, matrix ? "]}" : "}");
}

static void add_result(
	struct ops_strbuf *out, const struct request *r, const struct det_result *result)
{
	ops_strbuf_printf(out,
		"{\"resultType\":\"%s\",\"result\":", ops_promql_value_type_name(result->type));
	if (result->type == OPS_PROMQL_SCALAR) {
		add_point(out, &result->series[0].points[0]);
	} else if (result->type == OPS_PROMQL_STRING_VALUE) {
		ops_strbuf_addc(out, '[');
		det_api_time(out, r->query.start_ms);
		ops_strbuf_addc(out, ',');
		ops_strbuf_add_json(out, result->string.text, result->string.len);
		ops_strbuf_addc(out, ']');
	} else {
		ops_strbuf_addc(out, '[');
		for (size_t i = 0; i < OPS_MIN(result->n, r->limit); i++) {
			ops_strbuf_adds(out, i > 0 ? "," : "");
			add_series(out, &result->series[i], result->type == OPS_PROMQL_RANGE);
		}
		ops_strbuf_addc(out, ']');
	}
	ops_strbuf_addc(out, '}');
}

static void warn_limit(struct request *r, struct det_result *result)
{
	if (result->n <= r->limit) {
		return;
	}
	struct det_annotations *a = &result->annotations;
	const char **list = ops_arena_array(&r->arena, const char *, a->nwarnings + 1);
	for (size_t i = 0; i < a->nwarnings; i++) {
		list[i] = a->warnings[i];
	}
	list[a->nwarnings++] = "results truncated due to limit";
	a->warnings = list;
}

static const char *error_type(int rc)
{
	return rc == -ETIMEDOUT ? "timeout" : rc == -ERANGE ? "bad_data" : "execution";
}

static void run(struct request *r)
{
	struct det_result result;
	struct ops_error err = {0};
	int rc = det_engine_eval(
		r->api->config.store, &r->options, &r->query, &r->arena, &result, &err);
	if (rc != 0) {
		det_api_reply_error(r->req, error_type(rc), err.message);
		return;
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	warn_limit(r, &result);
	add_result(&out, r, &result);
	det_api_reply(r->req, &out, &result.annotations);
	ops_strbuf_done(&out);
}

void det_api_query(struct ops_http_req *req, void *arg)
{
	struct request r;
	request_init(&r, req, arg);
	r.query.start_ms = ops_now_ms();
	if (det_api_param_time(req, "time", &r.query.start_ms) >= 0 && read_options(&r) == 0 &&
		parse_expr(&r) == 0) {
		run(&r);
	}
	request_done(&r);
}

static bool read_range(struct request *r)
{
	struct det_query *q = &r->query;
	int64_t *const into[] = {&q->start_ms, &q->end_ms};
	static const char *const names[] = {"start", "end"};
	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		int rc = det_api_param_time(r->req, names[i], into[i]);
		if (rc == 1) {
			det_api_bad(r->req, names[i], "cannot parse \"\" to a valid timestamp");
		}
		if (rc != 0) {
			return false;
		}
	}
	int rc = det_api_param_duration(r->req, "step", &q->step_ms);
	if (rc == 1) {
		det_api_bad(r->req, "step", "cannot parse \"\" to a valid duration");
	}
	return rc == 0;
}

static bool check_range(struct request *r)
{
	const struct det_query *q = &r->query;
	if (q->end_ms < q->start_ms) {
		det_api_bad(r->req, "end", "end timestamp must not be before start time");
		return false;
	}
	if (q->step_ms <= 0) {
		det_api_bad(r->req, "step",
			"zero or negative query resolution step widths are not accepted. Try a "
			"positive integer");
		return false;
	}
	if ((q->end_ms - q->start_ms) / q->step_ms > DET_QUERY_MAX_STEPS) {
		det_api_reply_error(r->req, "bad_data",
			"exceeded maximum resolution of 11,000 points per timeseries. Try "
			"decreasing the query resolution (?step=XX)");
		return false;
	}
	return true;
}

void det_api_query_range(struct ops_http_req *req, void *arg)
{
	struct request r;
	request_init(&r, req, arg);
	r.query.range = true;
	if (read_range(&r) && check_range(&r) && read_options(&r) == 0 && parse_expr(&r) == 0) {
		enum ops_promql_value_type type = r.query.expr->type;
		if (type == OPS_PROMQL_SCALAR || type == OPS_PROMQL_INSTANT) {
			run(&r);
		} else {
			char why[160];
			snprintf(why, sizeof(why),
				"invalid expression type \"%s\" for range query, must be Scalar or "
				"instant Vector",
				ops_promql_value_type_text(type));
			det_api_bad(req, "query", why);
		}
	}
	request_done(&r);
}

void det_api_format_query(struct ops_http_req *req, void *arg)
{
	struct request r;
	request_init(&r, req, arg);
	if (parse_expr(&r) == 0) {
		struct ops_strbuf text = OPS_STRBUF_INIT, out = OPS_STRBUF_INIT;
		ops_promql_pretty(r.query.expr, 100, &text);
		det_api_string(&out, ops_strbuf_text(&text));
		det_api_reply(req, &out, NULL);
		ops_strbuf_done(&text);
		ops_strbuf_done(&out);
	}
	request_done(&r);
}

void det_api_parse_query(struct ops_http_req *req, void *arg)
{
	struct request r;
	request_init(&r, req, arg);
	if (parse_expr(&r) == 0) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		det_api_tree(r.query.expr, &out);
		det_api_reply(req, &out, NULL);
		ops_strbuf_done(&out);
	}
	request_done(&r);
}
