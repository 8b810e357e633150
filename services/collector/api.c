/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doors that Prometheus has for targets, in its shapes. A collector answers for all targets it
 * knows of; those that another collector scrapes have health "unknown" here and say so in
 * lastError, so that nobody takes one collector's page for the whole.
 */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/msg/fields.h"
#include "services/collector/service.h"

static void reply_success(struct ops_http_req *req, json_t *data)
{
	json_t *whole = json_object();
	ops_json_set_string(whole, "status", "success");
	ops_json_set(whole, "data", data);
	ops_http_reply_json(req, 200, whole);
}

/* Who scrapes it, the first of its ranking first: its rows are the ones that are stored, usually.
 */
static json_t *owners_json(const struct col_service *s, const struct col_target *t)
{
	const char *names[COL_REPLICAS_MAX];
	json_t *list = json_array();
	size_t n = col_members_owners(s->members, t->hash, t->job->replicas, names);
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(list, json_string(names[i]));
	}
	return list;
}

static json_t *active_json(const struct col_service *s, const struct col_scraper *x)
{
	const struct col_target *t = x->target;
	char text[32];
	bool ours = x->ours;
	json_t *j = json_object();
	ops_json_set(j, "discoveredLabels", ops_msg_labels_json(t->discovered));
	ops_json_set(j, "labels", ops_msg_labels_json(t->labels));
	ops_json_set_string(j, "scrapePool", t->job->name);
	ops_json_set_string(j, "scrapeUrl", t->url);
	ops_json_set_string(j, "globalUrl", t->url);
	ops_json_set_string(j, "lastError", ours ? x->last_error : "scraped by another collector");
	ops_json_set_time(j, "lastScrape", x->last_scrape_ms);
	ops_json_set(j, "lastScrapeDuration", json_real(x->last_duration));
	ops_json_set_string(j, "health", col_health_text(x->health));
	ops_json_set_string(
		j, "scrapeInterval", ops_duration_format(t->interval_ms, text, sizeof(text)));
	ops_json_set_string(
		j, "scrapeTimeout", ops_duration_format(t->timeout_ms, text, sizeof(text)));
	ops_json_set_bool(j, "local", ours);
	ops_json_set_string(j, "collector", s->instance);
	ops_json_set_i64(j, "replicas", (int64_t)t->job->replicas);
	ops_json_set(j, "owners", owners_json(s, t));
	return j;
}

static int compare_scrapers(const void *a, const void *b)
{
	const struct col_scraper *const *x = a, *const *y = b;
	return strcmp((*x)->target->key, (*y)->target->key);
}

static json_t *active_targets(const struct col_service *s, const char *pool)
{
	size_t n = 0, total = ops_map_count(s->scraping.scrapers);
	const struct col_scraper **all = ops_xcalloc(total + 1, sizeof(struct col_scraper *));
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(s->scraping.scrapers, &at, &e);) {
		const struct col_scraper *x = e.value;
		if (pool == NULL || pool[0] == '\0' || strcmp(pool, x->target->job->name) == 0) {
			all[n++] = x;
		}
	}
	qsort(all, n, sizeof(struct col_scraper *), compare_scrapers);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(list, active_json(s, all[i]));
	}
	free(all);
	return list;
}

static json_t *dropped_targets(const struct col_service *s, const char *pool)
{
	json_t *list = json_array();
	for (size_t i = 0; i < s->dropped.ndropped; i++) {
		const struct col_dropped *d = &s->dropped.dropped[i];
		if (pool != NULL && pool[0] != '\0' && strcmp(pool, d->job->name) != 0) {
			continue;
		}
		json_t *j = json_object();
		ops_json_set(j, "discoveredLabels", ops_msg_labels_json(d->discovered));
		ops_json_set_string(j, "scrapePool", d->job->name);
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *dropped_counts(const struct col_service *s)
{
	json_t *counts = json_object();
	for (size_t i = 0; i < s->scrape_config->njobs; i++) {
		ops_json_set_i64(counts, s->scrape_config->jobs[i].name,
			(int64_t)s->dropped.counts[i].dropped);
	}
	return counts;
}

void col_api_reply_targets(struct ops_http_req *req, const struct col_service *s)
{
	const char *state = ops_http_param(req, "state");
	const char *pool = ops_http_param(req, "scrapePool");
	bool any = state == NULL || (strcmp(state, "active") != 0 && strcmp(state, "dropped") != 0);
	bool active = any || strcmp(state, "active") == 0;
	bool dropped = any || strcmp(state, "dropped") == 0;
	json_t *data = json_object();
	ops_json_set(data, "activeTargets", active ? active_targets(s, pool) : json_array());
	ops_json_set(data, "droppedTargets", dropped ? dropped_targets(s, pool) : json_array());
	if (dropped) {
		ops_json_set(data, "droppedTargetCounts", dropped_counts(s));
	}
	reply_success(req, data);
}

static void on_targets(struct ops_http_req *req, void *arg)
{
	col_api_reply_targets(req, arg);
}

static void on_pools(struct ops_http_req *req, void *arg)
{
	struct col_service *s = arg;
	json_t *pools = json_array(), *data = json_object();
	for (size_t i = 0; i < s->scrape_config->njobs; i++) {
		json_array_append_new(pools, json_string(s->scrape_config->jobs[i].name));
	}
	ops_json_set(data, "scrapePools", pools);
	reply_success(req, data);
}

static void on_config(struct ops_http_req *req, void *arg)
{
	struct col_service *s = arg;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	json_t *data = json_object();
	col_config_print(s->scrape_config, &text);
	ops_json_set_string(data, "yaml", ops_strbuf_text(&text));
	ops_strbuf_done(&text);
	reply_success(req, data);
}

void col_api_register(struct col_service *s, struct ops_http_server *http)
{
	ops_http_route(http, OPS_GET, "/api/v1/targets", OPS_ROLE_VIEWER, on_targets, s);
	col_api_register_discovery(s, http);
	ops_http_route(http, OPS_GET, "/api/v1/scrape_pools", OPS_ROLE_VIEWER, on_pools, s);
	ops_http_route(http, OPS_GET, "/api/v1/status/config", OPS_ROLE_VIEWER, on_config, s);
}
