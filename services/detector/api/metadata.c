/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/metadata: type, help and unit of metric families, on the loop. */
#include <string.h>

#include "services/detector/api/api_internal.h"

static void add_metadata(struct ops_strbuf *out, const struct det_metadata *m, bool first)
{
	ops_strbuf_adds(out, first ? "" : ",");
	det_api_string(out, m->name);
	ops_strbuf_adds(out, ":[{\"type\":");
	det_api_string(out, ops_series_type_text(m->type));
	ops_strbuf_adds(out, ",\"help\":");
	det_api_string(out, m->help);
	ops_strbuf_adds(out, ",\"unit\":");
	det_api_string(out, m->unit);
	ops_strbuf_adds(out, "}]");
}

void det_api_metadata(struct ops_http_req *req, void *arg)
{
	struct det_api *api = arg;
	size_t limit = SIZE_MAX, per_metric = SIZE_MAX, n, written = 0;
	if (det_api_param_number(req, "limit", &limit) != 0 ||
		det_api_param_number(req, "limit_per_metric", &per_metric) != 0) {
		return;
	}
	const char *metric = ops_http_param(req, "metric");
	struct ops_arena arena;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	const struct det_metadata *const *list;
	ops_arena_init(&arena);
	det_store_metadata_all(api->config.store, &arena, &list, &n);
	ops_strbuf_addc(&out, '{');
	for (size_t i = 0; i < n && written < limit; i++) {
		if (metric == NULL || *metric == '\0' || strcmp(metric, list[i]->name) == 0) {
			add_metadata(&out, list[i], written++ == 0);
		}
	}
	ops_strbuf_addc(&out, '}');
	det_api_reply(req, &out, NULL);
	ops_strbuf_done(&out);
	ops_arena_done(&arena);
}
