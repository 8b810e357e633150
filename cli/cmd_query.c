/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query: PromQL and what there is to ask for, from the detector or anything that speaks its API
 * (OPS_DETECTOR_URL). A range is drawn on the terminal; its step defaults to what the drawing's
 * width can show.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/chart.h"
#include "cli/ctl.h"
#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/model/labels.h"

enum {
	DEFAULT_WIDTH = 80,
	DEFAULT_HEIGHT = 15,
	CHARACTERS_MAX = 1000,
	RANGE_MS = 3600000
};

/* ---- tables ---- */

static void metric_text(const json_t *metric, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, ctl_text(metric, "__name__"));
	const char *name;
	const json_t *value;
	bool first = true;
	json_object_foreach((json_t *)(uintptr_t)metric, name, value)
	{
		if (strcmp(name, "__name__") != 0) {
			const char *text = json_string_value(value);
			ops_strbuf_adds(out, first ? "{" : ", ");
			ops_label_print_name(name, strlen(name), out);
			ops_strbuf_addc(out, '=');
			ops_strbuf_add_quoted(out, text, strlen(text));
			first = false;
		}
	}
	ops_strbuf_adds(out, first ? "" : "}");
	if (out->len == 0) {
		ops_strbuf_adds(out, "{}");
	}
}

/* [time, "value"] of an instant vector; the last of a matrix, with how many there are. */
static void add_row(struct ctl_table *t, const json_t *series)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	metric_text(json_object_get(series, "metric"), &text);
	const json_t *pair = json_object_get(series, "value");
	const json_t *values = json_object_get(series, "values");
	char points[32] = "1";
	if (pair == NULL && values != NULL) {
		size_t n = json_array_size(values);
		pair = n > 0 ? json_array_get(values, n - 1) : NULL;
		snprintf(points, sizeof(points), "%zu", n);
	}
	ctl_table_add(t, ops_strbuf_text(&text));
	ctl_table_add(t, pair != NULL ? json_string_value(json_array_get(pair, 1)) : "histogram");
	ctl_table_add(t, points);
	ops_strbuf_done(&text);
}

static void print_warnings(const json_t *answer)
{
	static const char *const kinds[] = {"warnings", "infos"};
	for (size_t k = 0; k < OPS_LENGTH(kinds); k++) {
		size_t i;
		json_t *text;
		json_array_foreach(json_object_get(answer, kinds[k]), i, text)
		{
			fprintf(stderr, "opsctl: %s\n", json_string_value(text));
		}
	}
}

static void print_table(const struct ctl *c, const json_t *data, void *arg)
{
	(void)arg;
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
		add_row(&t, series);
	}
	ctl_table_print(&t, c);
}

/* Asks the detector and has the data printed by fn, or the whole answer as JSON. */
static int show(struct ctl *c, const struct ops_strbuf *path,
	void (*fn)(const struct ctl *c, const json_t *data, void *arg), void *arg)
{
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_DETECTOR, "GET", ops_strbuf_text(path), NULL, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		fn(c, json_object_get(r.json, "data"), arg);
		print_warnings(r.json);
	}
	ctl_reply_done(&r);
	return rc;
}

/* ---- times ---- */

/* Seconds, RFC 3339, or a duration before now. */
static int read_time(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	double seconds;
	int64_t ms;
	const char *duration = text + (text[0] == '-');
	if (ops_parse_double(text, strlen(text), &seconds) == 0 && fabs(seconds) < 9e12) {
		*ret_ms = (int64_t)llround(seconds * 1000);
	} else if (ops_duration_parse(duration, strlen(duration), &ms) == 0) {
		*ret_ms = now_ms - ms;
	} else if (ops_time_parse(text, strlen(text), ret_ms) != 0) {
		return -EINVAL;
	}
	return 0;
}

/* CTL_OK with *ret_ms set or, without the flag, as it was. */
static int time_flag(const struct ctl *c, const char *name, int64_t *ret_ms)
{
	const char *text = ctl_flag(c, name);
	if (text == NULL || read_time(text, ops_now_ms(), ret_ms) == 0) {
		return CTL_OK;
	}
	return ctl_usage(
		c, "--%s wants seconds, RFC 3339 or a duration before now, not '%s'", name, text);
}

static void add_time(struct ops_strbuf *url, const char *name, int64_t ms)
{
	char text[40];
	snprintf(text, sizeof(text), "%lld.%03lld", (long long)(ms / 1000), (long long)(ms % 1000));
	ctl_url_add(url, name, text);
}

/* ---- instant ---- */

static int run_instant(struct ctl *c)
{
	if (c->nargs != 1) {
		return ctl_usage(c, "one expression, in quotes");
	}
	int64_t at_ms = ops_now_ms();
	int rc = time_flag(c, "time", &at_ms);
	if (rc != CTL_OK) {
		return rc;
	}
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf path = OPS_STRBUF_INIT;
	ops_strbuf_adds(&path, "/api/v1/query");
	ctl_url_add(&path, "query", c->args[0]);
	if (ctl_flag(c, "time") != NULL) {
		add_time(&path, "time", at_ms);
	}
	return show(c, &path, print_table, NULL);
}

/* ---- range ---- */

struct drawing {
	struct ctl_chart chart;
	struct ctl_chart_series *series;
	char **names;
};

static void take_series(struct drawing *d, const json_t *from)
{
	const json_t *values = json_object_get(from, "values");
	size_t n = json_array_size(values);
	struct ops_strbuf name = OPS_STRBUF_INIT;
	int64_t *t = ops_xcalloc(n + 1, sizeof(*t));
	double *v = ops_xcalloc(n + 1, sizeof(*v));
	metric_text(json_object_get(from, "metric"), &name);
	for (size_t i = 0; i < n; i++) {
		const json_t *pair = json_array_get(values, i);
		const char *text = json_string_value(json_array_get(pair, 1));
		t[i] = (int64_t)llround(json_number_value(json_array_get(pair, 0)) * 1000);
		if (text == NULL || ops_parse_double(text, strlen(text), &v[i]) != 0) {
			v[i] = NAN;
		}
	}
	d->names[d->chart.n] = ops_strbuf_take(&name);
	d->series[d->chart.n] =
		(struct ctl_chart_series){.name = d->names[d->chart.n], .t_ms = t, .v = v, .n = n};
	d->chart.n++;
}

static void free_series(struct drawing *d)
{
	for (size_t i = 0; i < d->chart.n; i++) {
		free(d->names[i]);
		free((void *)(uintptr_t)d->series[i].t_ms);
		free((void *)(uintptr_t)d->series[i].v);
	}
	free(d->names);
	free(d->series);
}

static void draw(const struct ctl *c, const json_t *data, void *arg)
{
	struct drawing *d = arg;
	(void)c;
	const json_t *result = json_object_get(data, "result");
	size_t n = json_array_size(result);
	if (n == 0) {
		puts("no series");
		return;
	}
	d->series = ops_xcalloc(n, sizeof(*d->series));
	d->names = ops_xcalloc(n, sizeof(*d->names));
	for (size_t i = 0; i < n; i++) {
		take_series(d, json_array_get(result, i));
	}
	d->chart.series = d->series;
	ctl_chart_print(&d->chart);
	free_series(d);
}

/* The first of these that is set decides, as for setlocale. */
static bool has_unicode(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	const char *value = NULL;
	for (size_t i = 0; i < OPS_LENGTH(names) && (value == NULL || *value == '\0'); i++) {
		value = getenv(names[i]);
	}
	return value != NULL &&
	       (strcasestr(value, "UTF-8") != NULL || strcasestr(value, "utf8") != NULL);
}

static int size_flag(const struct ctl *c, const char *name, unsigned *inout)
{
	uint64_t n = *inout;
	int rc = ctl_flag_number(c, name, CHARACTERS_MAX, &n);
	*inout = (unsigned)n;
	return rc;
}

static int read_chart(struct ctl *c, struct ctl_chart *chart)
{
	struct winsize terminal;
	*chart = (struct ctl_chart){.width = DEFAULT_WIDTH,
		.height = DEFAULT_HEIGHT,
		.color = c->color,
		.unicode = has_unicode(),
		.end_ms = ops_now_ms()};
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &terminal) == 0 && terminal.ws_col > 0) {
		chart->width = terminal.ws_col;
	}
	int rc = time_flag(c, "end", &chart->end_ms);
	chart->start_ms = chart->end_ms - RANGE_MS;
	rc = rc == CTL_OK ? time_flag(c, "start", &chart->start_ms) : rc;
	rc = rc == CTL_OK ? size_flag(c, "width", &chart->width) : rc;
	rc = rc == CTL_OK ? size_flag(c, "height", &chart->height) : rc;
	if (rc != CTL_OK) {
		return rc;
	}
	if (chart->end_ms <= chart->start_ms) {
		return ctl_usage(c, "--end must be after --start");
	}
	const char *step = ctl_flag(c, "step");
	chart->step_ms = OPS_MAX(
		(chart->end_ms - chart->start_ms) / ctl_chart_columns(chart) / 1000 * 1000, 1000);
	if (step != NULL && (ops_duration_parse(step, strlen(step), &chart->step_ms) != 0 ||
				    chart->step_ms <= 0)) {
		return ctl_usage(c, "--step wants a duration, not '%s'", step);
	}
	return CTL_OK;
}

static int run_range(struct ctl *c)
{
	if (c->nargs != 1) {
		return ctl_usage(c, "one expression, in quotes");
	}
	struct drawing d = {.series = NULL};
	int rc = read_chart(c, &d.chart);
	if (rc != CTL_OK) {
		return rc;
	}
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf path = OPS_STRBUF_INIT;
	ops_strbuf_adds(&path, "/api/v1/query_range");
	ctl_url_add(&path, "query", c->args[0]);
	add_time(&path, "start", d.chart.start_ms);
	add_time(&path, "end", d.chart.end_ms);
	add_time(&path, "step", d.chart.step_ms);
	return show(c, &path, draw, &d);
}

/* The short form: a range when a start is given. */
static int run_query(struct ctl *c)
{
	if (c->nargs != 1) {
		return ctl_usage(c, "one expression, in quotes");
	}
	if (ctl_flag(c, "start") == NULL) {
		return run_instant(c);
	}
	return run_range(c);
}

/* ---- series, labels ---- */

static int add_window(const struct ctl *c, struct ops_strbuf *path)
{
	int64_t start_ms = 0, end_ms = 0;
	int rc = time_flag(c, "start", &start_ms);
	rc = rc == CTL_OK ? time_flag(c, "end", &end_ms) : rc;
	if (rc == CTL_OK && ctl_flag(c, "start") != NULL) {
		add_time(path, "start", start_ms);
	}
	if (rc == CTL_OK && ctl_flag(c, "end") != NULL) {
		add_time(path, "end", end_ms);
	}
	ctl_url_add(path, "limit", ctl_flag(c, "limit"));
	return rc;
}

static void print_list(const struct ctl *c, const json_t *data, void *arg)
{
	(void)c;
	(void)arg;
	size_t i;
	json_t *item;
	json_array_foreach(data, i, item)
	{
		struct ops_strbuf text = OPS_STRBUF_INIT;
		if (json_is_string(item)) {
			ops_strbuf_adds(&text, json_string_value(item));
		} else {
			metric_text(item, &text);
		}
		puts(ops_strbuf_text(&text));
		ops_strbuf_done(&text);
	}
}

static int run_series(struct ctl *c)
{
	if (c->nargs == 0) {
		return ctl_usage(c, "at least one selector");
	}
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf path = OPS_STRBUF_INIT;
	ops_strbuf_adds(&path, "/api/v1/series");
	for (int i = 0; i < c->nargs; i++) {
		ctl_url_add(&path, "match[]", c->args[i]);
	}
	int rc = add_window(c, &path);
	return rc == CTL_OK ? show(c, &path, print_list, NULL) : rc;
}

static int run_labels(struct ctl *c)
{
	if (c->nargs > 1) {
		return ctl_usage(c, "one label at most");
	}
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf path = OPS_STRBUF_INIT;
	if (c->nargs == 1) {
		ops_strbuf_adds(&path, "/api/v1/label/");
		ops_strbuf_add_url(&path, c->args[0], strlen(c->args[0]));
		ops_strbuf_adds(&path, "/values");
	} else {
		ops_strbuf_adds(&path, "/api/v1/labels");
	}
	ctl_url_add(&path, "match[]", ctl_flag(c, "match"));
	int rc = add_window(c, &path);
	return rc == CTL_OK ? show(c, &path, print_list, NULL) : rc;
}

#define TIME_DOC "seconds, RFC 3339, or a duration before now"

const struct ctl_command ctl_query_commands[] = {
	{"query", "EXPRESSION [--time TIME | --start TIME [--end TIME] [--step DURATION]]",
		"evaluate PromQL",
		{{"time", "TIME", "at this time (default now)"},
			{"start", "TIME", "range query from here"},
			{"end", "TIME", "to here (default now)"},
			{"step", "DURATION", "resolution (default: what the width can show)"}},
		run_query},
	{"query instant", "EXPRESSION [--time TIME]", "evaluate PromQL at one time",
		{{"time", "TIME", TIME_DOC " (default now)"}}, run_instant},
	{"query range", "EXPRESSION [--start TIME] [--end TIME] [--step DURATION]",
		"evaluate PromQL over a time and draw it",
		{{"start", "TIME", TIME_DOC " (default an hour before the end)"},
			{"end", "TIME", TIME_DOC " (default now)"},
			{"step", "DURATION", "resolution (default: what the width can show)"},
			{"width", "N", "characters in a line (default: the terminal's, or 80)"},
			{"height", "N", "lines of the drawing (default 15)"}},
		run_range},
	{"query series", "SELECTOR... [--start TIME] [--end TIME] [--limit N]",
		"which series there are",
		{{"start", "TIME", TIME_DOC}, {"end", "TIME", TIME_DOC},
			{"limit", "N", "at most so many"}},
		run_series},
	{"query labels", "[LABEL] [--match SELECTOR] [--start TIME] [--end TIME] [--limit N]",
		"names of labels, or the values of one",
		{{"match", "SELECTOR", "only of series that match"}, {"start", "TIME", TIME_DOC},
			{"end", "TIME", TIME_DOC}, {"limit", "N", "at most so many"}},
		run_labels},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
