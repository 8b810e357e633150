/* SPDX-License-Identifier: Apache-2.0 */
/* query, targets: what the detector knows and what the collector scrapes. */
#include "cli/ctl.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"

static void metric_text(const json_t *metric, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, ctl_text(metric, "__name__"));
	const char *name;
	const json_t *value;
	bool first = true;
	json_object_foreach((json_t *)(uintptr_t)metric, name, value)
	{
		if (strcmp(name, "__name__") != 0) {
			ops_strbuf_printf(out, "%s%s=\"%s\"", first ? "{" : ", ", name,
				json_string_value(value));
			first = false;
		}
	}
	ops_strbuf_adds(out, first ? "" : "}");
	if (out->len == 0) {
		ops_strbuf_adds(out, "{}");
	}
}

/* [time, "value"] of an instant vector; the last of a matrix, with how many there are. */
static void print_series(struct ctl_table *t, const json_t *series)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	metric_text(json_object_get(series, "metric"), &text);
	const json_t *pair = json_object_get(series, "value");
	const json_t *values = json_object_get(series, "values");
	char points[32] = "1";
	if (pair == NULL) {
		size_t n = json_array_size(values);
		pair = n > 0 ? json_array_get(values, n - 1) : NULL;
		snprintf(points, sizeof(points), "%zu", n);
	}
	ctl_table_add(t, ops_strbuf_text(&text));
	ctl_table_add(t, json_string_value(json_array_get(pair, 1)));
	ctl_table_add(t, points);
	ops_strbuf_done(&text);
}

static void print_result(const struct ctl *c, const json_t *data)
{
	const json_t *result = json_object_get(data, "result");
	const char *type = ctl_text(data, "resultType");
	if (strcmp(type, "scalar") == 0 || strcmp(type, "string") == 0) {
		puts(json_string_value(json_array_get(result, 1)));
		return;
	}
	if (json_array_size(result) == 0) {
		puts("no series");
		return;
	}
	struct ctl_table t;
	ctl_table_init(&t, "SERIES", "VALUE", "POINTS", NULL);
	size_t i;
	json_t *series;
	json_array_foreach(result, i, series)
	{
		print_series(&t, series);
	}
	ctl_table_print(&t, c);
}

static int run_query(struct ctl *c)
{
	if (c->nargs != 1) {
		return ctl_usage(c, "one expression, in quotes");
	}
	bool range = ctl_flag(c, "start") != NULL;
	struct ops_strbuf path = OPS_STRBUF_INIT;
	ops_strbuf_adds(&path, range ? "/api/v1/query_range" : "/api/v1/query");
	ctl_url_add(&path, "query", c->args[0]);
	if (range) {
		char now[32];
		ops_time_format(ops_now_ms(), now, sizeof(now));
		ctl_url_add(&path, "start", ctl_flag(c, "start"));
		ctl_url_add(&path, "end", ctl_flag(c, "end") != NULL ? ctl_flag(c, "end") : now);
		ctl_url_add(
			&path, "step", ctl_flag(c, "step") != NULL ? ctl_flag(c, "step") : "15s");
	} else {
		ctl_url_add(&path, "time", ctl_flag(c, "time"));
	}
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_DETECTOR, "GET", ops_strbuf_text(&path), NULL, &r);
	ops_strbuf_done(&path);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		print_result(c, json_object_get(r.json, "data"));
	}
	ctl_reply_done(&r);
	return rc;
}

static int run_targets(struct ctl *c)
{
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_COLLECTOR, "GET", "/api/v1/targets", NULL, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		struct ctl_table t;
		ctl_table_init(&t, "JOB", "URL", "HEALTH", "LAST SCRAPE", "ERROR", NULL);
		size_t i;
		json_t *target;
		json_array_foreach(
			json_object_get(json_object_get(r.json, "data"), "activeTargets"), i,
			target)
		{
			char last[64];
			ctl_relative_time(ctl_text(target, "lastScrape"), last, sizeof(last));
			ctl_table_add(&t, ctl_text(target, "scrapePool"));
			ctl_table_add(&t, ctl_text(target, "scrapeUrl"));
			ctl_table_add(&t, ctl_text(target, "health"));
			ctl_table_add(&t, last);
			ctl_table_add(&t, ctl_text(target, "lastError"));
		}
		ctl_table_print(&t, c);
	}
	ctl_reply_done(&r);
	return rc;
}

const struct ctl_command ctl_metric_commands[] = {
	{"query", "EXPRESSION [--time TIME | --start TIME [--end TIME] [--step DURATION]]",
		"evaluate PromQL",
		{{"time", "TIME", "at this time (default now)"},
			{"start", "TIME", "range query from here"},
			{"end", "TIME", "to here (default now)"},
			{"step", "DURATION", "resolution (default 15s)"}},
		run_query},
	{"targets", "", "what is scraped, and how that went", {{NULL, NULL, NULL}}, run_targets},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
