/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/format_query and parse_query: what the parser alone can answer, on the loop. */
#include "services/detector/api/api_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int det_api_parse(const struct det_api *api, struct ops_arena *arena, const char *text,
	struct ops_promql_expr **ret, struct ops_error *err)
{
	const unsigned *features = api->config.promql_features;
	const struct ops_promql_options options = {
		.features = features != NULL ? *features : OPS_PROMQL_DEFAULT_FEATURES};
	const struct ops_promql_source src = {text, strlen(text), &options};
	return ops_promql_parse(arena, &src, ret, err);
}

const char *det_api_position(const struct ops_error *err, char *buf, size_t size)
{
	if (err->line > 0) {
		snprintf(buf, size, "%d:%d: %s", err->line, err->column, err->message);
	} else {
		snprintf(buf, size, "%s", err->message);
	}
	return buf;
}

void det_api_bad_at(struct ops_http_req *req, const char *parameter, const struct ops_error *err)
{
	char why[DET_POSITION_MAX];
	(void)det_api_bad(req, parameter, "%s", det_api_position(err, why, sizeof(why)));
}

static int read_expr(const struct det_api *api, struct ops_http_req *req, struct ops_arena *arena,
	struct ops_promql_expr **ret)
{
	const char *text = ops_http_param(req, "query");
	struct ops_error err = {0};
	if (det_api_parse(api, arena, text != NULL ? text : "", ret, &err) != 0) {
		det_api_bad_at(req, "query", &err);
		return -EINVAL;
	}
	return 0;
}

void det_api_format_query(struct ops_http_req *req, void *arg)
{
	struct ops_arena arena;
	struct ops_promql_expr *expr;
	ops_arena_init(&arena);
	if (read_expr(arg, req, &arena, &expr) == 0) {
		struct ops_strbuf text = OPS_STRBUF_INIT, out = OPS_STRBUF_INIT;
		ops_promql_pretty(expr, 100, &text);
		det_api_string(&out, ops_strbuf_text(&text));
		det_api_reply(req, &out, NULL);
		ops_strbuf_done(&text);
		ops_strbuf_done(&out);
	}
	ops_arena_done(&arena);
}

void det_api_parse_query(struct ops_http_req *req, void *arg)
{
	struct ops_arena arena;
	struct ops_promql_expr *expr;
	ops_arena_init(&arena);
	if (read_expr(arg, req, &arena, &expr) == 0) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		det_api_tree(expr, &out);
		det_api_reply(req, &out, NULL);
		ops_strbuf_done(&out);
	}
	ops_arena_done(&arena);
}
