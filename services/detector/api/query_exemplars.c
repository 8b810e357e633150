/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/query_exemplars: the exemplars of the series that an expression's selectors name. */
#include <errno.h>
#include <string.h>

#include "services/detector/api/api_internal.h"
#include "services/detector/api/exemplars.h"

#define SELECTORS_MAX 64u

struct selectors {
	struct ops_matchers items[SELECTORS_MAX];
	size_t n;
	struct ops_error err;
	int rc;
};

static void on_selector(void *arg, const struct ops_promql_expr *selector, int64_t reach_ms)
{
	struct selectors *s = arg;
	(void)reach_ms;
	if (s->rc != 0) {
		return;
	}
	if (s->n == SELECTORS_MAX) {
		s->rc = ops_error_set(&s->err, -E2BIG, "more than %u selectors", SELECTORS_MAX);
		return;
	}
	s->rc = det_engine_matchers(selector, &s->items[s->n], &s->err);
	s->n += s->rc == 0;
}

static void bad(struct ops_http_req *req, const struct ops_error *err)
{
	char why[DET_POSITION_MAX];
	det_api_reply_error(req, "bad_data", det_api_position(err, why, sizeof(why)));
}

static void answer(const struct det_api *api, struct ops_http_req *req, struct selectors *s,
	const int64_t range_ms[2])
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf out = OPS_STRBUF_INIT;
	if (s->rc != 0) {
		bad(req, &s->err);
		return;
	}
	if (s->n == 0) { /* nothing that could have exemplars: no content, as upstream */
		det_api_headers(req);
		ops_http_reply(req, 204, NULL, NULL, 0);
		return;
	}
	det_exemplars_query(api->exemplars, s->items, s->n, range_ms, &out);
	det_api_reply(req, &out, NULL);
}

void det_api_query_exemplars(struct ops_http_req *req, void *arg)
{
	const struct det_api *api = arg;
	int64_t range_ms[2] = {INT64_MIN / 2, INT64_MAX / 2};
	const char *text = ops_http_param(req, "query");
	if (det_api_param_time(req, "start", &range_ms[0]) < 0 ||
		det_api_param_time(req, "end", &range_ms[1]) < 0) {
		return;
	}
	if (range_ms[1] < range_ms[0]) {
		det_api_reply_error(
			req, "bad_data", "end timestamp must not be before start timestamp");
		return;
	}
	struct ops_arena arena;
	struct ops_promql_expr *expr;
	struct selectors *s = ops_xcalloc(1, sizeof(*s));
	ops_arena_init(&arena);
	if (det_api_parse(api, &arena, text != NULL ? text : "", &expr, &s->err) != 0) {
		bad(req, &s->err);
	} else {
		det_engine_selectors(expr, api->config.options, on_selector, s);
		answer(api, req, s, range_ms);
	}
	for (size_t i = 0; i < s->n; i++) {
		ops_matchers_done(&s->items[i]);
	}
	free(s);
	ops_arena_done(&arena);
}

bool det_api_take_exemplar(struct det_api *api, const struct ops_exemplar *e)
{
	const struct det_exemplar x = {
		.series = e->series, .labels = e->labels, .value = e->value, .time_ms = e->time_ms};
	bool stored = det_exemplars_add(api->exemplars, &x) == DET_EXEMPLAR_STORED;

	if (stored && api->config.on_exemplar != NULL)
		api->config.on_exemplar(api->config.arg, e);
	return stored;
}

void det_api_add_exemplar(struct det_api *api, const struct ops_exemplar *e)
{
	(void)det_api_take_exemplar(api, e);
}
