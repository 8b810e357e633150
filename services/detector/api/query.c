/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/query and query_range. A handler reads the parameters and parses the expression on the
 * loop; a worker evaluates, and keeps of the result what does not belong to the store: points lie
 * in the query's arena, label sets are turned into JSON at once. After that the store is let go and
 * the answer is written series by series.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "services/detector/api/job.h"

struct query {
	struct det_job job;
	struct det_engine_options options;
	struct det_query query;
	size_t limit;
	bool stats;
	struct det_result result;
	bool evaluated;
	struct ops_strbuf metrics; /* label sets as JSON, one behind the other */
	size_t *metric_ends;	   /* per series that is answered */
	size_t nseries, next;
	int64_t evaluation_ns, metrics_ns;
};

static void release(struct det_job *job)
{
	struct query *q = ops_container_of(job, struct query, job);
	ops_strbuf_done(&q->metrics);
}

static int parse_expr(struct query *q)
{
	const char *given = ops_http_param(q->job.req, "query");
	struct ops_promql_expr *expr;
	struct ops_error err = {0};
	const char *text = ops_arena_strdup(&q->job.arena, given != NULL ? given : "");
	if (det_api_parse(q->job.api, &q->job.arena, text, &expr, &err) != 0) {
		det_api_bad_at(q->job.req, "query", &err);
		return -EINVAL;
	}
	q->query.expr = expr;
	q->query.text = text;
	return 0;
}

/* As any duration, but upstream words the refusal in another way. */
static int read_lookback(struct ops_http_req *req, int64_t *ret_ms)
{
	const char *text = ops_http_param(req, "lookback_delta");
	if (text == NULL || *text == '\0' || det_api_parse_duration(text, ret_ms)) {
		return 0;
	}
	return det_api_refuse(req,
		"error parsing lookback delta duration: cannot parse \"%.200s\" to a valid "
		"duration",
		text);
}

/* timeout, lookback_delta, limit, stats. A timeout only shortens the configured one. */
static int read_options(struct query *q)
{
	struct ops_http_req *req = q->job.req;
	const char *stats = ops_http_param(req, "stats");
	int64_t timeout_ms = 0, lookback_ms = 0;
	int has_timeout = det_api_param_duration(req, "timeout", &timeout_ms);
	if (has_timeout < 0 || read_lookback(req, &lookback_ms) < 0) {
		return -EINVAL;
	}
	if (has_timeout == 0 && timeout_ms <= 0) {
		det_api_reply_error(req, "timeout", "query timed out in query queue");
		return -EINVAL;
	}
	if (has_timeout == 0 &&
		(q->options.timeout_ms == 0 || timeout_ms < q->options.timeout_ms)) {
		q->options.timeout_ms = timeout_ms;
	}
	if (lookback_ms > 0) {
		q->options.lookback_ms = lookback_ms;
	}
	q->stats = stats != NULL && stats[0] != '\0';
	return 0;
}

static void add_point(struct ops_strbuf *out, const struct det_point *p)
{
	ops_strbuf_addc(out, '[');
	det_api_time(out, p->t);
	ops_strbuf_addc(out, ',');
	if (p->h != NULL) {
		ops_histogram_json(p->h, out);
	} else {
		det_api_value(out, p->v);
	}
	ops_strbuf_addc(out, ']');
}

/* Never with an exponent, unlike the points of series: upstream writes the two by different means.
 */
static void add_scalar(struct ops_strbuf *out, const struct det_point *p)
{
	char text[352];
	(void)ops_format_double_f(p->v, text);
	ops_strbuf_addc(out, '[');
	det_api_time(out, p->t);
	ops_strbuf_printf(out, ",\"%s\"]", text);
}

/* Floats stand under one key, histograms under another. */
static void add_points(struct ops_strbuf *out, const struct det_result_series *s, bool histograms)
{
	bool any = false;
	for (size_t i = 0; i < s->npoints; i++) {
		if ((s->points[i].h != NULL) == histograms) {
			ops_strbuf_adds(out, any	   ? ","
					     : !histograms ? ",\"values\":["
							   : ",\"histograms\":[");
			add_point(out, &s->points[i]);
			any = true;
		}
	}
	ops_strbuf_adds(out, any ? "]" : "");
}

static void add_series(struct ops_strbuf *out, struct query *q, size_t i)
{
	const struct det_result_series *s = &q->result.series[i];
	size_t from = i > 0 ? q->metric_ends[i - 1] : 0;
	ops_strbuf_adds(out, i > 0 ? ",{\"metric\":" : "{\"metric\":");
	ops_strbuf_add(out, q->metrics.data + from, q->metric_ends[i] - from);
	if (q->result.type == OPS_PROMQL_RANGE) {
		add_points(out, s, false);
		add_points(out, s, true);
	} else {
		ops_strbuf_adds(out, s->points[0].h != NULL ? ",\"histogram\":" : ",\"value\":");
		add_point(out, &s->points[0]);
	}
	ops_strbuf_adds(out, "}");
}

/* ---- on a worker ---- */

static void warn_limit(struct query *q)
{
	if (q->result.n <= q->limit) {
		return;
	}
	struct det_annotations *a = &q->result.annotations;
	const char **list = ops_arena_array(&q->job.arena, const char *, a->nwarnings + 1);
	for (size_t i = 0; i < a->nwarnings; i++) {
		list[i] = a->warnings[i];
	}
	list[a->nwarnings++] = "results truncated due to limit";
	a->warnings = list;
}

static const char *error_type(int rc)
{
	return rc == -ETIMEDOUT	  ? "timeout"
	       : rc == -ERANGE	  ? "bad_data"
	       : rc == -ECANCELED ? "canceled"
				  : "execution";
}

static bool has_series(const struct query *q)
{
	return q->result.type == OPS_PROMQL_RANGE || q->result.type == OPS_PROMQL_INSTANT;
}

/* The store is held: what belongs to it is copied. */
static void keep(struct query *q)
{
	struct det_result *r = &q->result;
	if (r->type == OPS_PROMQL_STRING_VALUE) {
		r->string.text = ops_arena_strndup(&q->job.arena, r->string.text, r->string.len);
	}
	if (!has_series(q)) {
		return;
	}
	warn_limit(q);
	q->nseries = OPS_MIN(r->n, q->limit);
	q->metric_ends = ops_arena_array(&q->job.arena, size_t, q->nseries + 1);
	for (size_t i = 0; i < q->nseries; i++) {
		det_api_labels(&q->metrics, r->series[i].labels, r->series[i].nlabels);
		q->metric_ends[i] = q->metrics.len;
	}
}

static int evaluate(struct query *q)
{
	const struct det_api *api = q->job.api;
	struct ops_error err = {0};
	int64_t begin_ns = ops_mono_ns();
	int64_t waited_ms = q->job.waited_ns / 1000000;
	if (q->options.timeout_ms > 0) {
		q->options.timeout_ms = OPS_MAX(q->options.timeout_ms - waited_ms, 1);
	}
	det_api_read_begin(&q->job);
	int rc = det_engine_eval(
		api->config.store, &q->options, &q->query, &q->job.arena, &q->result, &err);
	q->evaluation_ns = ops_mono_ns() - begin_ns;
	if (rc == 0) {
		keep(q);
	}
	det_api_read_end(&q->job);
	q->metrics_ns = ops_mono_ns() - begin_ns - q->evaluation_ns;
	if (rc != 0) {
		det_job_fail(&q->job, error_type(rc), "%s", err.message);
	}
	q->job.samples = q->result.samples;
	return rc;
}

static void open_result(struct query *q)
{
	struct ops_strbuf *out = &q->job.out;
	const struct det_result *r = &q->result;
	det_api_open_answer(out);
	ops_strbuf_printf(
		out, "{\"resultType\":\"%s\",\"result\":", ops_promql_value_type_name(r->type));
	if (r->type == OPS_PROMQL_SCALAR) {
		add_scalar(out, &r->series[0].points[0]);
	} else if (r->type == OPS_PROMQL_STRING_VALUE) {
		ops_strbuf_addc(out, '[');
		det_api_time(out, q->query.start_ms);
		ops_strbuf_addc(out, ',');
		ops_strbuf_add_json(out, r->string.text, r->string.len);
		ops_strbuf_addc(out, ']');
	} else {
		ops_strbuf_addc(out, '[');
	}
}

static void add_stats(struct query *q)
{
	double evaluation = (double)q->evaluation_ns / 1e9;
	double queue = (double)q->job.waited_ns / 1e9;
	ops_strbuf_printf(&q->job.out,
		",\"stats\":{\"timings\":{\"evalTotalTime\":%.9g,\"resultSortTime\":%.9g,"
		"\"queryPreparationTime\":0,\"innerEvalTime\":%.9g,\"execQueueTime\":%.9g,"
		"\"execTotalTime\":%.9g},\"samples\":{\"totalQueryableSamples\":%llu,"
		"\"peakSamples\":%llu}}",
		evaluation, (double)q->metrics_ns / 1e9, evaluation, queue, evaluation + queue,
		(unsigned long long)q->result.samples, (unsigned long long)q->result.peak_samples);
}

static bool step(struct det_job *job)
{
	struct query *q = ops_container_of(job, struct query, job);
	if (!q->evaluated) {
		q->evaluated = true;
		if (evaluate(q) != 0) {
			return false;
		}
		open_result(q);
	}
	for (; q->next < q->nseries; q->next++) {
		if (job->out.len >= DET_JOB_PIECE) {
			return true;
		}
		add_series(&job->out, q, q->next);
	}
	ops_strbuf_adds(&job->out, has_series(q) ? "]" : "");
	if (q->stats) {
		add_stats(q);
	}
	ops_strbuf_addc(&job->out, '}');
	det_api_close_answer(&job->out, &q->result.annotations);
	return false;
}

/* ---- on the loop ---- */

static struct query *new_query(struct ops_http_req *req, struct det_api *api)
{
	struct query *q = det_job_new(api, req, sizeof(*q));
	q->job.step = step;
	q->job.release = release;
	q->limit = SIZE_MAX;
	if (api->config.options != NULL) {
		q->options = *api->config.options;
	}
	return q;
}

static void start(struct query *q)
{
	if (q->options.timeout_ms > 0) {
		q->job.deadline_ms = ops_mono_ms() + q->options.timeout_ms;
	}
	q->query.cancelled = &q->job.cancelled;
	det_job_start(&q->job);
}

void det_api_query(struct ops_http_req *req, void *arg)
{
	struct query *q = new_query(req, arg);
	q->query.start_ms = ops_now_ms();
	if (det_api_param_limit(req, "limit", &q->limit) >= 0 &&
		det_api_param_time(req, "time", &q->query.start_ms) >= 0 && read_options(q) == 0 &&
		parse_expr(q) == 0) {
		start(q);
	} else {
		det_job_drop(&q->job);
	}
}

static bool read_range(struct query *q)
{
	struct det_query *range = &q->query;
	struct ops_http_req *req = q->job.req;
	if (det_api_param_limit(req, "limit", &q->limit) < 0 ||
		det_api_need_time(req, "start", &range->start_ms) != 0 ||
		det_api_need_time(req, "end", &range->end_ms) != 0) {
		return false;
	}
	if (range->end_ms < range->start_ms) {
		(void)det_api_bad(req, "end", "end timestamp must not be before start time");
		return false;
	}
	int rc = det_api_param_duration(req, "step", &range->step_ms);
	if (rc == 1) {
		(void)det_api_bad(req, "step", "cannot parse \"\" to a valid duration");
	}
	return rc == 0;
}

static bool check_range(struct query *q)
{
	const struct det_query *range = &q->query;
	if (range->step_ms <= 0) {
		(void)det_api_bad(q->job.req, "step",
			"zero or negative query resolution step widths are not accepted. Try a "
			"positive integer");
		return false;
	}
	if ((range->end_ms - range->start_ms) / range->step_ms > DET_QUERY_MAX_STEPS) {
		det_api_reply_error(q->job.req, "bad_data",
			"exceeded maximum resolution of 11,000 points per timeseries. Try "
			"decreasing the query resolution (?step=XX)");
		return false;
	}
	return true;
}

static bool check_type(struct query *q)
{
	enum ops_promql_value_type type = q->query.expr->type;
	if (type == OPS_PROMQL_SCALAR || type == OPS_PROMQL_INSTANT) {
		return true;
	}
	(void)det_api_bad(q->job.req, "query",
		"invalid expression type \"%s\" for range query, must be Scalar or instant Vector",
		ops_promql_value_type_text(type));
	return false;
}

void det_api_query_range(struct ops_http_req *req, void *arg)
{
	struct query *q = new_query(req, arg);
	q->query.range = true;
	if (read_range(q) && check_range(q) && read_options(q) == 0 && parse_expr(q) == 0 &&
		check_type(q)) {
		start(q);
	} else {
		det_job_drop(&q->job);
	}
}
