/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/targets, targets/metadata, scrape_pools, alertmanagers. The detector scrapes nothing; it
 * tells what the samples tell: a target is a series `up` with a sample in the lookback, its labels
 * are the target's, its value the health, and the distance of its last two samples the interval.
 * How the target was found, and what exactly went wrong, the collector's /api/v1/targets knows.
 * Alerts leave by the bus, so there is no Alertmanager to be listed.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/text.h"
#include "services/detector/api/selection.h"

#define LOOKBACK_MS 300000

struct target {
	const struct ops_labels *labels; /* of `up` */
	int64_t last_ms, interval_ms;
	double up, duration_s;
};

struct targets {
	struct det_job job;
	bool active, dropped; /* wanted */
	const char *pool;     /* only of this one; NULL: all */
	const char *metric;   /* metadata: only of this family; "": all */
	size_t limit;
	struct ops_matchers match; /* metadata: on the targets' labels */
	struct target *items;
	size_t n;
	struct ops_map *families; /* metadata: name -> struct family */
};

static void release(struct det_job *job)
{
	struct targets *t = ops_container_of(job, struct targets, job);
	ops_matchers_done(&t->match);
	ops_map_free(t->families, NULL);
}

static struct targets *new_targets(
	struct ops_http_req *req, struct det_api *api, bool (*step)(struct det_job *))
{
	struct targets *t = det_job_new(api, req, sizeof(*t));
	t->job.step = step;
	t->job.release = release;
	ops_matchers_init(&t->match);
	return t;
}

/* ---- on a worker, the store is held ---- */

static const char *text_of(const struct ops_labels *ls, const char *name)
{
	const char *value = ops_labels_get(ls, name);
	return value != NULL ? value : "";
}

/* The newest value of the series with these labels and another metric name; NaN: none. */
static double newest_of(struct targets *t, const struct ops_labels *up, const char *metric,
	int64_t now_ms, struct det_samples *samples)
{
	struct ops_labels_builder b;
	ops_labels_builder_from(&b, up);
	ops_labels_builder_set(&b, OPS_LABEL_NAME, metric);
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	struct det_series *series = det_store_find(t->job.api->config.store, labels, &t->job.arena);
	ops_labels_unref(labels);
	if (series == NULL) {
		return NAN;
	}
	det_series_read(series, now_ms - LOOKBACK_MS, now_ms, samples);
	return samples->n > 0 ? samples->v[samples->n - 1] : NAN;
}

static void add_target(struct targets *t, const struct det_series *series, int64_t now_ms,
	struct det_samples *samples)
{
	det_series_read(series, now_ms - LOOKBACK_MS, now_ms, samples);
	size_t n = samples->n;
	if (n == 0 || ops_is_stale(samples->v[n - 1])) {
		return;
	}
	if (t->pool != NULL && strcmp(text_of(series->labels, "job"), t->pool) != 0) {
		return;
	}
	t->items[t->n++] = (struct target){.labels = series->labels,
		.last_ms = samples->t[n - 1],
		.interval_ms = n > 1 ? samples->t[n - 1] - samples->t[n - 2] : 0,
		.up = samples->v[n - 1]};
	t->items[t->n - 1].duration_s =
		newest_of(t, series->labels, "scrape_duration_seconds", now_ms, samples);
}

static int compare_targets(const void *a, const void *b)
{
	return ops_labels_compare(
		((const struct target *)a)->labels, ((const struct target *)b)->labels);
}

static void find_targets(struct targets *t)
{
	struct ops_matchers ms;
	struct det_series_list list = {0};
	struct det_samples samples = {0};
	struct ops_error err;
	int64_t now_ms = ops_now_ms();
	const int64_t range_ms[2] = {now_ms - LOOKBACK_MS, now_ms};
	ops_matchers_init(&ms);
	if (ops_matchers_add(&ms, OPS_MATCH_EQ, OPS_LABEL_NAME, "up", &err) == 0) {
		det_store_select(t->job.api->config.store, &ms, range_ms, &t->job.arena, &list);
	}
	ops_matchers_done(&ms);
	t->items = ops_arena_array(&t->job.arena, struct target, list.n + 1);
	for (size_t i = 0; i < list.n && !det_job_cancelled(&t->job); i++) {
		add_target(t, list.items[i], now_ms, &samples);
	}
	det_samples_done(&samples);
	if (t->n > 1) {
		qsort(t->items, t->n, sizeof(t->items[0]), compare_targets);
	}
}

static void add_labels(struct ops_strbuf *out, const struct ops_labels *up)
{
	struct ops_labels_builder b;
	ops_labels_builder_from(&b, up);
	ops_labels_builder_del(&b, OPS_LABEL_NAME);
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	ops_labels_json(labels, out);
	ops_labels_unref(labels);
}

static void add_url(struct ops_strbuf *out, const char *key, const struct ops_labels *up)
{
	struct ops_strbuf url = OPS_STRBUF_INIT;
	ops_strbuf_printf(&url, "http://%s/metrics", text_of(up, "instance"));
	ops_strbuf_printf(out, ",\"%s\":", key);
	det_api_string(out, ops_strbuf_text(&url));
	ops_strbuf_done(&url);
}

static void add_active(struct ops_strbuf *out, const struct target *g)
{
	char time[40], interval[64], duration[352];
	bool up = g->up == 1;
	ops_duration_format(g->interval_ms, interval, sizeof(interval));
	(void)ops_format_double_f(isfinite(g->duration_s) ? g->duration_s : 0, duration);
	ops_strbuf_adds(out, "{\"discoveredLabels\":{\"__address__\":");
	det_api_string(out, text_of(g->labels, "instance"));
	ops_strbuf_adds(out, ",\"job\":");
	det_api_string(out, text_of(g->labels, "job"));
	ops_strbuf_adds(out, "},\"labels\":");
	add_labels(out, g->labels);
	ops_strbuf_adds(out, ",\"scrapePool\":");
	det_api_string(out, text_of(g->labels, "job"));
	add_url(out, "scrapeUrl", g->labels);
	add_url(out, "globalUrl", g->labels);
	ops_strbuf_printf(out,
		",\"lastError\":\"%s\",\"lastScrape\":\"%s\",\"lastScrapeDuration\":%s,"
		"\"health\":\"%s\",\"scrapeInterval\":\"%s\",\"scrapeTimeout\":\"%s\"}",
		up ? "" : "the scrape failed: see the collector's targets",
		ops_time_format(g->last_ms, time, sizeof(time)), duration, up ? "up" : "down",
		interval, interval);
}

static bool step_targets(struct det_job *job)
{
	struct targets *t = ops_container_of(job, struct targets, job);
	struct ops_strbuf *out = &job->out;
	det_api_read_begin(job);
	if (t->active) {
		find_targets(t);
	}
	det_api_open_answer(out);
	ops_strbuf_adds(out, "{\"activeTargets\":[");
	for (size_t i = 0; i < t->n; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		add_active(out, &t->items[i]);
	}
	det_api_read_end(job);
	ops_strbuf_adds(out, "],\"droppedTargets\":[],\"droppedTargetCounts\":{}}");
	det_api_close_answer(out, NULL);
	return false;
}

void det_api_targets(struct ops_http_req *req, void *arg)
{
	struct targets *t = new_targets(req, arg, step_targets);
	const char *state = ops_http_param(req, "state");
	const char *pool = ops_http_param(req, "scrapePool");
	t->active = state == NULL || *state == '\0' || strcasecmp(state, "any") == 0 ||
		    strcasecmp(state, "active") == 0;
	t->pool = pool != NULL && *pool != '\0' ? ops_arena_strdup(&t->job.arena, pool) : NULL;
	det_job_start(&t->job);
}

static bool step_pools(struct det_job *job)
{
	struct targets *t = ops_container_of(job, struct targets, job);
	const char *last = NULL;
	struct det_strings jobs;
	det_api_read_begin(job);
	find_targets(t);
	struct ops_map *seen = ops_map_new();
	for (size_t i = 0; i < t->n; i++) {
		ops_map_puts(seen, text_of(t->items[i].labels, "job"), t);
	}
	det_store_label_values(job->api->config.store, "job", &job->arena, &jobs); /* sorted */
	det_api_open_answer(&job->out);
	ops_strbuf_adds(&job->out, "{\"scrapePools\":[");
	for (size_t i = 0; i < jobs.n; i++) {
		if (ops_map_gets(seen, jobs.items[i]) != NULL) {
			ops_strbuf_adds(&job->out, last != NULL ? "," : "");
			last = jobs.items[i];
			det_api_string(&job->out, last);
		}
	}
	ops_map_free(seen, NULL);
	det_api_read_end(job);
	ops_strbuf_adds(&job->out, "]}");
	det_api_close_answer(&job->out, NULL);
	return false;
}

void det_api_scrape_pools(struct ops_http_req *req, void *arg)
{
	det_job_start(&new_targets(req, arg, step_pools)->job);
}

void det_api_alertmanagers(struct ops_http_req *req, void *arg)
{
	(void)arg;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
	det_api_reply(req, &out, NULL);
	ops_strbuf_done(&out);
}

/* ---- metadata by target ---- */

struct family { /* copied on the loop: the store's own may go while a worker reads */
	const char *name, *help, *unit, *type;
};

static struct ops_map *copy_families(struct targets *t)
{
	struct ops_map *map = ops_map_new();
	const struct det_metadata *const *list;
	size_t n;
	struct ops_arena *arena = &t->job.arena;
	det_store_metadata_all(t->job.api->config.store, arena, &list, &n);
	struct family *copies = ops_arena_array(arena, struct family, n + 1);
	for (size_t i = 0; i < n; i++) {
		copies[i] = (struct family){.name = ops_arena_strdup(arena, list[i]->name),
			.help = ops_arena_strdup(arena, list[i]->help),
			.unit = ops_arena_strdup(arena, list[i]->unit),
			.type = ops_series_type_text(list[i]->type)};
		ops_map_puts(map, list[i]->name, &copies[i]);
	}
	return map;
}

/* The family of a series: its name, or without the suffix that its type gives it. */
static const struct family *family_of(const struct targets *t, const char *name)
{
	static const char *const suffixes[] = {"_bucket", "_count", "_sum", "_total", "_info"};
	const struct family *m = ops_map_gets(t->families, name);
	for (size_t i = 0; m == NULL && i < OPS_LENGTH(suffixes); i++) {
		if (ops_str_ends(name, suffixes[i])) {
			m = ops_map_get(t->families, name, strlen(name) - strlen(suffixes[i]));
		}
	}
	return m;
}

static void add_metadata(struct targets *t, const struct target *g, const struct family *m)
{
	struct ops_strbuf *out = &t->job.out;
	ops_strbuf_adds(out, t->n++ > 0 ? ",{\"target\":" : "{\"target\":");
	add_labels(out, g->labels);
	if (*t->metric == '\0') {
		ops_strbuf_adds(out, ",\"metric\":");
		det_api_string(out, m->name);
	}
	ops_strbuf_adds(out, ",\"type\":");
	det_api_string(out, m->type);
	ops_strbuf_adds(out, ",\"help\":");
	det_api_string(out, m->help);
	ops_strbuf_adds(out, ",\"unit\":");
	det_api_string(out, m->unit);
	ops_strbuf_addc(out, '}');
}

static void add_families(struct targets *t, const struct target *g)
{
	struct det_store *store = t->job.api->config.store;
	struct ops_matchers ms;
	struct det_series_list list = {0};
	struct ops_error err;
	const int64_t range_ms[2] = {g->last_ms - LOOKBACK_MS, INT64_MAX / 2};
	ops_matchers_init(&ms);
	if (ops_matchers_add(&ms, OPS_MATCH_EQ, "job", text_of(g->labels, "job"), &err) == 0 &&
		ops_matchers_add(
			&ms, OPS_MATCH_EQ, "instance", text_of(g->labels, "instance"), &err) == 0) {
		det_store_select(store, &ms, range_ms, &t->job.arena, &list);
	}
	ops_matchers_done(&ms);
	struct ops_map *seen = ops_map_new();
	for (size_t i = 0; i < list.n && t->n < t->limit; i++) {
		const struct family *m =
			family_of(t, text_of(list.items[i]->labels, OPS_LABEL_NAME));
		bool wanted = m != NULL && (*t->metric == '\0' || strcmp(t->metric, m->name) == 0);
		if (wanted && ops_map_puts(seen, m->name, t) == NULL) {
			add_metadata(t, g, m);
		}
	}
	ops_map_free(seen, NULL);
}

static bool step_metadata(struct det_job *job)
{
	struct targets *t = ops_container_of(job, struct targets, job);
	det_api_read_begin(job);
	find_targets(t);
	det_api_open_answer(&job->out);
	ops_strbuf_addc(&job->out, '[');
	size_t n = t->n;
	t->n = 0; /* counts what is written now */
	for (size_t i = 0; i < n && t->n < t->limit && !det_job_cancelled(job); i++) {
		if (ops_matchers_match(&t->match, t->items[i].labels)) {
			add_families(t, &t->items[i]);
		}
	}
	det_api_read_end(job);
	ops_strbuf_addc(&job->out, ']');
	det_api_close_answer(&job->out, NULL);
	return false;
}

static int read_match(struct targets *t, struct ops_http_req *req)
{
	const char *text = ops_http_param(req, "match_target");
	struct ops_promql_expr *selector;
	struct ops_error err = {0};
	if (text == NULL || *text == '\0') {
		return 0;
	}
	static const struct ops_promql_options any = {
		.features = OPS_PROMQL_DEFAULT_FEATURES | OPS_PROMQL_MATCH_ALL};
	struct ops_promql_source src = {text, strlen(text), &any};
	int rc = ops_promql_parse_selector(&t->job.arena, &src, &selector, &err);
	if (rc == 0) {
		rc = det_engine_matchers(selector, &t->match, &err);
	}
	if (rc != 0) {
		det_api_bad_at(req, "match_target", &err);
	}
	return rc;
}

void det_api_targets_metadata(struct ops_http_req *req, void *arg)
{
	struct targets *t = new_targets(req, arg, step_metadata);
	const char *metric = ops_http_param(req, "metric");
	t->metric = ops_arena_strdup(&t->job.arena, metric != NULL ? metric : "");
	t->limit = SIZE_MAX;
	if (det_api_param_number(req, "limit", &t->limit) == 0 && read_match(t, req) == 0) {
		t->families = copy_families(t);
		det_job_start(&t->job);
	} else {
		det_job_drop(&t->job);
	}
}
