/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/series, labels, label/{name}/values, metadata: what there is. */
#include "services/detector/api/api.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/text.h"
#include "services/detector/api/api_internal.h"

#define MAX_MATCHES 64u

struct selection { /* of match[], start and end */
	struct ops_arena arena;
	struct det_series **items; /* each once */
	size_t n, cap;
	bool any; /* a match[] was given */
	size_t limit;
};

static void selection_done(struct selection *s)
{
	free(s->items);
	ops_arena_done(&s->arena);
}

static int add_matches(struct det_api *api, struct selection *s, struct ops_map *seen,
	const struct ops_matchers *ms, const int64_t range_ms[2])
{
	struct det_series_list list;
	det_store_select(api->config.store, ms, range_ms, &s->arena, &list);
	for (size_t i = 0; i < list.n; i++) {
		uint32_t id = list.items[i]->id;
		if (ops_map_put(seen, &id, sizeof(id), list.items[i]) == NULL) {
			OPS_GROW(s->items, s->n, s->cap);
			s->items[s->n++] = list.items[i];
		}
	}
	return 0;
}

static int parse_match(
	struct selection *s, const char *text, struct ops_matchers *ret, struct ops_error *err)
{
	struct ops_promql_source src = {text, strlen(text), NULL};
	struct ops_promql_expr *selector;
	int rc = ops_promql_parse_selector(&s->arena, &src, &selector, err);
	return rc == 0 ? det_engine_matchers(selector, ret, err) : rc;
}

static bool has_matcher(const struct ops_matchers *ms)
{
	for (size_t i = 0; i < ms->n; i++) {
		if (!ops_matcher_match_value(&ms->items[i], "")) {
			return true;
		}
	}
	return false;
}

static int refuse_match(struct ops_http_req *req, const struct ops_error *err)
{
	char why[1024];
	snprintf(why, sizeof(why), "%d:%d: %s", err->line, err->column, err->message);
	det_api_bad(req, "match[]", why);
	return -EINVAL;
}

static int select_each(struct det_api *api, struct ops_http_req *req, struct selection *s,
	const int64_t range_ms[2])
{
	const char *texts[MAX_MATCHES];
	size_t n = ops_http_params(req, "match[]", texts, MAX_MATCHES);
	if (n > MAX_MATCHES) {
		det_api_bad(req, "match[]", "more than 64 of them");
		return -EINVAL;
	}
	s->any = n != 0;
	struct ops_map *seen = ops_map_new();
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct ops_matchers ms;
		struct ops_error err = {0};
		if (parse_match(s, texts[i], &ms, &err) != 0) {
			rc = refuse_match(req, &err);
			continue;
		}
		if (!has_matcher(&ms)) {
			det_api_bad(req, "match[]",
				"match[] must contain at least one non-empty matcher");
			rc = -EINVAL;
		} else {
			rc = add_matches(api, s, seen, &ms, range_ms);
		}
		ops_matchers_done(&ms);
	}
	ops_map_free(seen, NULL);
	return rc;
}

/* 0, or the reply is sent. The caller calls selection_done either way. */
static int select_series(struct det_api *api, struct ops_http_req *req, struct selection *s)
{
	int64_t range_ms[2] = {INT64_MIN / 2, INT64_MAX / 2};
	*s = (struct selection){.limit = SIZE_MAX};
	ops_arena_init(&s->arena);
	if (det_api_param_time(req, "start", &range_ms[0]) < 0 ||
		det_api_param_time(req, "end", &range_ms[1]) < 0 ||
		det_api_param_limit(req, "limit", &s->limit) < 0) {
		return -EINVAL;
	}
	if (range_ms[1] < range_ms[0]) {
		det_api_bad(req, "end", "end timestamp must not be before start time");
		return -EINVAL;
	}
	return select_each(api, req, s, range_ms);
}

static void reply_limited(
	struct ops_http_req *req, const struct ops_strbuf *out, size_t n, size_t limit)
{
	static const char *truncated[] = {"results truncated due to limit"};
	const struct det_annotations a = {.warnings = truncated, .nwarnings = 1};
	det_api_reply(req, out, n > limit ? &a : NULL);
}

static int compare_series(const void *a, const void *b)
{
	return ops_labels_compare(
		(*(struct det_series *const *)a)->labels, (*(struct det_series *const *)b)->labels);
}

void det_api_series(struct ops_http_req *req, void *arg)
{
	struct selection s;
	int rc = select_series(arg, req, &s);
	if (rc == 0 && !s.any) {
		det_api_reply_error(req, "bad_data", "no match[] parameter provided");
	} else if (rc == 0) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		if (s.n > 1) {
			qsort(s.items, s.n, sizeof(s.items[0]), compare_series);
		}
		ops_strbuf_addc(&out, '[');
		for (size_t i = 0; i < OPS_MIN(s.n, s.limit); i++) {
			ops_strbuf_adds(&out, i > 0 ? "," : "");
			det_api_labels(&out, s.items[i]->labels->items, s.items[i]->labels->n);
		}
		ops_strbuf_addc(&out, ']');
		reply_limited(req, &out, s.n, s.limit);
		ops_strbuf_done(&out);
	}
	selection_done(&s);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Distinct names (name NULL) or values of a name among the selected series, sorted. */
static struct det_strings collect(struct selection *s, const char *name)
{
	struct ops_map *seen = ops_map_new();
	struct det_strings out = {0};
	size_t cap = 0;
	const char **items = NULL;
	for (size_t i = 0; i < s->n; i++) {
		const struct ops_labels *ls = s->items[i]->labels;
		for (uint32_t k = 0; k < ls->n; k++) {
			const char *text = name == NULL ? ls->items[k].name : ls->items[k].value;
			bool wanted = name == NULL || strcmp(ls->items[k].name, name) == 0;
			if (wanted && ops_map_puts(seen, text, s) == NULL) {
				OPS_GROW(items, out.n, cap);
				items[out.n++] = text;
			}
		}
	}
	ops_map_free(seen, NULL);
	if (out.n != 0) {
		qsort(items, out.n, sizeof(items[0]), compare_text);
		out.items = ops_arena_dup(&s->arena, items, out.n * sizeof(items[0]));
	}
	free(items);
	return out;
}

static void reply_strings(
	struct ops_http_req *req, const struct selection *s, const struct det_strings *list)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_addc(&out, '[');
	for (size_t i = 0; i < OPS_MIN(list->n, s->limit); i++) {
		ops_strbuf_adds(&out, i > 0 ? "," : "");
		det_api_string(&out, list->items[i]);
	}
	ops_strbuf_addc(&out, ']');
	reply_limited(req, &out, list->n, s->limit);
	ops_strbuf_done(&out);
}

void det_api_label_names(struct ops_http_req *req, void *arg)
{
	struct det_api *api = arg;
	struct selection s;
	if (select_series(api, req, &s) == 0) {
		struct det_strings list;
		if (s.any) {
			list = collect(&s, NULL);
		} else {
			det_store_label_names(api->config.store, &s.arena, &list);
		}
		reply_strings(req, &s, &list);
	}
	selection_done(&s);
}

/* "U__a_2e_b" is a.b: names that do not fit into a path are escaped so. */
static char *unescape_name(struct ops_arena *arena, const char *name)
{
	if (strncmp(name, "U__", 3) != 0) {
		return ops_arena_strdup(arena, name);
	}
	char *out = ops_arena_alloc(arena, strlen(name) + 1);
	size_t n = 0;
	for (const char *at = name + 3; *at != '\0';) {
		size_t hex = *at == '_' ? strspn(at + 1, "0123456789abcdefABCDEF") : 0;
		uint64_t code = 0;
		if (*at == '_' && at[1] == '_') {
			out[n++] = '_';
			at += 2;
		} else if (hex > 0 && hex <= 6 && at[hex + 1] == '_' &&
			   ops_parse_hex_u64(at + 1, hex, &code) == 0 && code < 0x110000) {
			n += ops_utf8_encode((uint32_t)code, out + n);
			at += hex + 2;
		} else {
			out[n++] = *at++;
		}
	}
	out[n] = '\0';
	return out;
}

void det_api_label_values(struct ops_http_req *req, void *arg)
{
	struct det_api *api = arg;
	struct selection s;
	if (select_series(api, req, &s) == 0) {
		const char *name = unescape_name(&s.arena, ops_http_segment(req, "name"));
		struct det_strings list;
		if (!ops_label_name_valid(name, strlen(name))) {
			char why[300];
			snprintf(why, sizeof(why), "invalid label name: \"%.200s\"", name);
			det_api_reply_error(req, "bad_data", why);
		} else {
			if (s.any) {
				list = collect(&s, name);
			} else {
				det_store_label_values(api->config.store, name, &s.arena, &list);
			}
			reply_strings(req, &s, &list);
		}
	}
	selection_done(&s);
}

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
	if (det_api_param_limit(req, "limit", &limit) < 0 ||
		det_api_param_limit(req, "limit_per_metric", &per_metric) < 0) {
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
