/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/series, labels, label/{name}/values. Names and values are copied out of the store in one
 * step; of series only references to their label sets are kept, so that a million of them can be
 * written piece by piece without the store.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/text.h"
#include "services/detector/api/selection.h"

struct listing {
	struct det_job job;
	struct det_selection selection;
	const char *name;	    /* label values: of this label */
	struct ops_labels **labels; /* series: of the found ones */
	size_t n, next;
	bool found;
};

static void release(struct det_job *job)
{
	struct listing *l = ops_container_of(job, struct listing, job);
	for (size_t i = 0; l->labels != NULL && i < l->n; i++) {
		ops_labels_unref(l->labels[i]);
	}
	det_selection_done(&l->selection);
}

static struct listing *new_listing(
	struct ops_http_req *req, struct det_api *api, bool (*step)(struct det_job *))
{
	struct listing *l = det_job_new(api, req, sizeof(*l));
	l->job.step = step;
	l->job.release = release;
	return l;
}

static void close_list(struct listing *l, size_t n)
{
	static const char *truncated[] = {"results truncated due to limit"};
	const struct det_annotations a = {.warnings = truncated, .nwarnings = 1};
	ops_strbuf_addc(&l->job.out, ']');
	det_api_close_answer(&l->job.out, n > l->selection.limit ? &a : NULL);
}

static void find_labels(struct listing *l)
{
	struct det_series_list list;
	det_api_read_begin(&l->job);
	det_selection_find(&l->selection, &list);
	det_selection_sort(&list);
	l->n = list.n;
	l->labels = ops_arena_array(&l->job.arena, struct ops_labels *, list.n + 1);
	for (size_t i = 0; i < list.n; i++) {
		const struct ops_labels *ls = list.items[i]->labels;
		l->labels[i] = ops_labels_from_sorted(ls->items, ls->n); /* outlives the read */
	}
	det_api_read_end(&l->job);
}

static bool step_series(struct det_job *job)
{
	struct listing *l = ops_container_of(job, struct listing, job);
	struct ops_strbuf *out = &job->out;
	if (!l->found) {
		l->found = true;
		find_labels(l);
		det_api_open_answer(out);
		ops_strbuf_addc(out, '[');
	}
	for (; l->next < OPS_MIN(l->n, l->selection.limit); l->next++) {
		if (out->len >= DET_JOB_PIECE) {
			return true;
		}
		ops_strbuf_adds(out, l->next > 0 ? "," : "");
		det_api_labels(out, l->labels[l->next]->items, l->labels[l->next]->n);
	}
	close_list(l, l->n);
	return false;
}

void det_api_series(struct ops_http_req *req, void *arg)
{
	struct listing *l = new_listing(req, arg, step_series);
	const char *any = NULL;
	l->selection.names_match = true;
	if (ops_http_params(req, "match[]", &any, 1) == 0) {
		det_api_reply_error(req, "bad_data", "no match[] parameter provided");
		det_job_drop(&l->job);
	} else if (det_selection_read(&l->selection, &l->job) != 0) {
		det_job_drop(&l->job);
	} else {
		det_job_start(&l->job);
	}
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Distinct names (name NULL) or values of a name among the selected series, sorted. */
static struct det_strings collect(struct listing *l, const struct det_series_list *list)
{
	struct ops_map *seen = ops_map_new();
	struct det_strings out = {0};
	size_t cap = 0;
	const char **items = NULL;
	for (size_t i = 0; i < list->n; i++) {
		const struct ops_labels *ls = list->items[i]->labels;
		for (uint32_t k = 0; k < ls->n; k++) {
			const char *text = l->name == NULL ? ls->items[k].name : ls->items[k].value;
			bool wanted = l->name == NULL || strcmp(ls->items[k].name, l->name) == 0;
			if (wanted && ops_map_puts(seen, text, l) == NULL) {
				OPS_GROW(items, out.n, cap);
				items[out.n++] = text;
			}
		}
	}
	ops_map_free(seen, NULL);
	if (out.n != 0) {
		qsort(items, out.n, sizeof(items[0]), compare_text);
		out.items = ops_arena_dup(&l->job.arena, items, out.n * sizeof(items[0]));
	}
	free(items);
	return out;
}

static bool step_strings(struct det_job *job)
{
	struct listing *l = ops_container_of(job, struct listing, job);
	struct det_strings list;
	struct det_store *store = job->api->config.store;
	det_api_read_begin(job);
	if (l->selection.nmatches > 0) {
		struct det_series_list series;
		det_selection_find(&l->selection, &series);
		list = collect(l, &series);
	} else if (l->name == NULL) {
		det_store_label_names(store, &job->arena, &list);
	} else {
		det_store_label_values(store, l->name, &job->arena, &list);
	}
	det_api_open_answer(&job->out);
	ops_strbuf_addc(&job->out, '[');
	for (size_t i = 0; i < OPS_MIN(list.n, l->selection.limit); i++) {
		ops_strbuf_adds(&job->out, i > 0 ? "," : "");
		det_api_string(&job->out, list.items[i]);
	}
	det_api_read_end(job);
	close_list(l, list.n);
	return false;
}

static void start_strings(struct listing *l)
{
	if (det_selection_read(&l->selection, &l->job) != 0) {
		det_job_drop(&l->job);
	} else {
		det_job_start(&l->job);
	}
}

void det_api_label_names(struct ops_http_req *req, void *arg)
{
	start_strings(new_listing(req, arg, step_strings));
}

/* One "__" or "_2e_" at text: what it stands for, appended to out. 0: it is neither. */
static size_t unescape_one(const char *text, char *out, size_t *n)
{
	uint64_t code = 0;
	size_t hex = strspn(text + 1, "0123456789abcdefABCDEF");
	if (text[1] == '_') {
		out[(*n)++] = '_';
		return 2;
	}
	if (hex == 0 || hex > 5 || text[hex + 1] != '_' ||
		ops_parse_hex_u64(text + 1, hex, &code) != 0 || (code >= 0xd800 && code < 0xe000)) {
		return 0;
	}
	*n += ops_utf8_encode((uint32_t)code, out + *n);
	return hex + 2;
}

/* "U__a_2e_b" is a.b: names that do not fit into a path are escaped so. What is no such escape all
 * through is a name as it stands. */
static char *unescape_name(struct ops_arena *arena, const char *name)
{
	char *out = ops_arena_strdup(arena, name);
	if (strncmp(name, "U__", 3) != 0) {
		return out;
	}
	size_t n = 0;
	for (const char *at = name + 3; *at != '\0';) {
		size_t taken = 1;
		if (*at != '_') {
			out[n++] = *at;
		} else if ((taken = unescape_one(at, out, &n)) == 0) {
			return ops_arena_strdup(arena, name);
		}
		at += taken;
	}
	out[n] = '\0';
	return out;
}

void det_api_label_values(struct ops_http_req *req, void *arg)
{
	struct listing *l = new_listing(req, arg, step_strings);
	l->name = unescape_name(&l->job.arena, ops_http_segment(req, "name"));
	if (ops_label_name_valid(l->name, strlen(l->name))) {
		start_strings(l);
		return;
	}
	(void)det_api_refuse(req, "invalid label name: \"%.200s\"", l->name);
	det_job_drop(&l->job);
}
