/* SPDX-License-Identifier: Apache-2.0 */
/* Series by match[]: what series, labels, label values, federation and others have in common. */
#include "services/detector/api/selection.h"

#include <errno.h>
#include <string.h>

#include "common/base/map.h"

static int parse_match(
	struct det_selection *s, const char *text, struct ops_matchers *ret, struct ops_error *err)
{
	static const struct ops_promql_options any = {
		.features = OPS_PROMQL_DEFAULT_FEATURES | OPS_PROMQL_MATCH_ALL};
	struct ops_promql_source src = {text, strlen(text), &any};
	struct ops_promql_expr *selector;
	int rc = ops_promql_parse_selector(&s->job->arena, &src, &selector, err);
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

int det_selection_matches(struct det_selection *s, struct det_job *job, struct ops_error *err)
{
	const char *texts[DET_MATCHES_MAX];
	size_t n = ops_http_params(job->req, "match[]", texts, DET_MATCHES_MAX);
	s->job = job;
	if (n > DET_MATCHES_MAX) {
		return ops_error_set(err, -EINVAL, "more than %u of them", DET_MATCHES_MAX);
	}
	s->matches = ops_arena_array(&job->arena, struct ops_matchers, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (parse_match(s, texts[i], &s->matches[i], err) != 0) {
			return -EINVAL;
		}
		s->nmatches++;
		if (!has_matcher(&s->matches[i])) {
			return ops_error_set(err, -EINVAL,
				"match[] must contain at least one non-empty matcher");
		}
	}
	return 0;
}

int det_selection_read(struct det_selection *s, struct det_job *job)
{
	struct ops_error err = {0};
	s->range_ms[0] = INT64_MIN / 2;
	s->range_ms[1] = INT64_MAX / 2;
	s->limit = SIZE_MAX;
	if (det_api_param_limit(job->req, "limit", &s->limit) < 0 ||
		det_api_param_time(job->req, "start", &s->range_ms[0]) < 0 ||
		det_api_param_time(job->req, "end", &s->range_ms[1]) < 0) {
		return -EINVAL;
	}
	int rc = det_selection_matches(s, job, &err);
	if (rc != 0 && s->names_match) {
		det_api_bad_at(job->req, "match[]", &err);
	} else if (rc != 0) {
		char why[DET_POSITION_MAX];
		det_api_reply_error(job->req, "bad_data", det_api_position(&err, why, sizeof(why)));
	}
	return rc;
}

void det_selection_done(struct det_selection *s)
{
	for (size_t i = 0; i < s->nmatches; i++) {
		ops_matchers_done(&s->matches[i]);
	}
	s->nmatches = 0;
}

/* One match needs no search for duplicates. */
static void find_first(const struct det_selection *s, struct det_series_list *ret)
{
	det_store_select(
		s->job->api->config.store, &s->matches[0], s->range_ms, &s->job->arena, ret);
}

void det_selection_find(const struct det_selection *s, struct det_series_list *ret)
{
	*ret = (struct det_series_list){0};
	if (s->nmatches == 0 || s->range_ms[1] < s->range_ms[0]) {
		return;
	}
	if (s->nmatches == 1) {
		find_first(s, ret);
		return;
	}
	struct ops_map *seen = ops_map_new();
	size_t cap = 0;
	struct det_series **items = NULL;
	for (size_t i = 0; i < s->nmatches; i++) {
		struct det_series_list list;
		det_store_select(s->job->api->config.store, &s->matches[i], s->range_ms,
			&s->job->arena, &list);
		for (size_t k = 0; k < list.n; k++) {
			uint64_t id = list.items[k]->id;
			if (ops_map_put(seen, &id, sizeof(id), list.items[k]) == NULL) {
				OPS_GROW(items, ret->n, cap);
				items[ret->n++] = list.items[k];
			}
		}
	}
	ops_map_free(seen, NULL);
	if (ret->n > 0) {
		ret->items = ops_arena_dup(&s->job->arena, items, ret->n * sizeof(items[0]));
	}
	free(items);
}

static int compare_series(const void *a, const void *b)
{
	return ops_labels_compare(
		(*(struct det_series *const *)a)->labels, (*(struct det_series *const *)b)->labels);
}

void det_selection_sort(struct det_series_list *list)
{
	if (list->n > 1) {
		qsort(list->items, list->n, sizeof(list->items[0]), compare_series);
	}
}
