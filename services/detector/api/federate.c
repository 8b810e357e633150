/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /federate: the newest sample of each selected series as exposition text, grouped by metric name,
 * with its time, as untyped metrics, and native histograms of custom buckets as classic ones, which
 * they mostly were (others have no place in text, and leave in protobuf alone); external labels
 * where a series has none of that name, and always an instance, so that the scraping server does
 * not put its own there. The first step finds the series and keeps references to their label sets;
 * each step then looks up as many of them again as fit into a piece, so that the store is never
 * held while a client reads.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/exposition/exposition.h"
#include "services/detector/api/federate.h"
#include "services/detector/api/selection.h"

#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PROTO_TYPE                                                                                 \
	"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; "               \
	"encoding=delimited"
#define LOOKBACK_MS 300000

enum format {
	AS_TEXT,
	AS_OPENMETRICS,
	AS_PROTO
};

struct federation {
	struct det_job job;
	struct det_selection selection;
	struct ops_labels *external;
	struct ops_labels **labels; /* of the series, by name, then the rest */
	size_t n, next;
	struct det_samples samples;
	const char *last_name, *last_type;
	enum format format;
	struct det_family family; /* AS_PROTO */
	bool found;
};

static void release(struct det_job *job)
{
	struct federation *f = ops_container_of(job, struct federation, job);
	for (size_t i = 0; i < f->n; i++) {
		ops_labels_unref(f->labels[i]);
	}
	ops_labels_unref(f->external);
	det_samples_done(&f->samples);
	ops_strbuf_done(&f->family.body);
	det_selection_done(&f->selection);
}

static const char *name_of(const struct ops_labels *ls)
{
	const char *name = ops_labels_get(ls, OPS_LABEL_NAME);
	return name != NULL ? name : "";
}

static int compare(const void *a, const void *b)
{
	const struct ops_labels *x = *(struct ops_labels *const *)a;
	const struct ops_labels *y = *(struct ops_labels *const *)b;
	int by_name = strcmp(name_of(x), name_of(y));
	return by_name != 0 ? by_name : ops_labels_compare(x, y);
}

/* ---- on a worker ---- */

static void find(struct federation *f)
{
	struct det_series_list list;
	det_selection_find(&f->selection, &list);
	f->labels = ops_arena_array(&f->job.arena, struct ops_labels *, list.n + 1);
	for (size_t i = 0; i < list.n; i++) {
		if (*name_of(list.items[i]->labels) != '\0') {
			const struct ops_labels *ls = list.items[i]->labels;
			f->labels[f->n++] = ops_labels_from_sorted(ls->items, ls->n);
		}
	}
	if (f->n > 1) {
		qsort(f->labels, f->n, sizeof(f->labels[0]), compare);
	}
}

static void add_label(struct ops_strbuf *out, const struct ops_label *l, bool *first)
{
	ops_strbuf_addc(out, *first ? '{' : ',');
	*first = false;
	ops_label_print(l, out);
}

/* One line: of a sample, or of a part of a histogram. */
struct line {
	const char *suffix;
	const double *le; /* of a bucket */
	double value;
	int64_t t;
};

static void add_le(struct ops_strbuf *out, double le, bool *first)
{
	char text[40];
	size_t len = ops_format_double(le, text);
	const struct ops_label l = {"le", text, 2, (uint32_t)len};
	add_label(out, &l, first);
}

/* The name and what it is followed by; it stands in the braces if it needs quotes. */
static bool add_name(struct federation *f, const char *name, const char *suffix)
{
	struct ops_strbuf *out = &f->job.out;
	if (ops_metric_name_classic(name, strlen(name))) {
		ops_strbuf_adds(out, name);
		ops_strbuf_adds(out, suffix);
		return true;
	}
	const char *whole = ops_arena_printf(&f->job.arena, "%s%s", name, suffix);
	ops_strbuf_addc(out, '{');
	ops_strbuf_add_quoted(out, whole, strlen(whole));
	return false;
}

static void add_series(struct federation *f, const struct ops_labels *ls, const struct line *line)
{
	static const struct ops_label no_instance = {"instance", "", 8, 0};
	struct ops_strbuf *out = &f->job.out;
	bool first = add_name(f, name_of(ls), line->suffix);
	for (uint32_t i = 0; i < ls->n; i++) {
		if (strcmp(ls->items[i].name, OPS_LABEL_NAME) != 0) {
			add_label(out, &ls->items[i], &first);
		}
	}
	bool instance = ops_labels_get(ls, "instance") != NULL;
	for (uint32_t i = 0; f->external != NULL && i < f->external->n; i++) {
		const struct ops_label *l = &f->external->items[i];
		instance = instance || strcmp(l->name, "instance") == 0;
		if (ops_labels_get(ls, l->name) == NULL) {
			add_label(out, l, &first);
		}
	}
	if (!instance) {
		add_label(out, &no_instance, &first);
	}
	if (line->le != NULL) {
		add_le(out, *line->le, &first);
	}
	ops_strbuf_adds(out, first ? " " : "} ");
}

static void add_line(struct federation *f, const struct ops_labels *ls, const struct line *line)
{
	struct ops_strbuf *out = &f->job.out;
	add_series(f, ls, line);
	ops_strbuf_add_double(out, line->value);
	ops_strbuf_addc(out, ' ');
	if (f->format == AS_OPENMETRICS) {
		det_api_time(out, line->t);
	} else {
		ops_strbuf_printf(out, "%lld", (long long)line->t);
	}
	ops_strbuf_addc(out, '\n');
}

/* A family starts where the name changes, or what its series are. */
static void add_type(struct federation *f, const char *name, const char *type)
{
	struct ops_strbuf *out = &f->job.out;
	if (f->last_name != NULL && strcmp(f->last_name, name) == 0 &&
		strcmp(f->last_type, type) == 0) {
		return;
	}
	ops_strbuf_adds(out, "# TYPE ");
	if (ops_metric_name_classic(name, strlen(name))) {
		ops_strbuf_adds(out, name);
	} else {
		ops_strbuf_add_quoted(out, name, strlen(name));
	}
	ops_strbuf_printf(out, " %s\n", type);
	f->last_name = name;
	f->last_type = type;
}

static void add_histogram(
	struct federation *f, const struct ops_labels *ls, int64_t t, const struct ops_histogram *h)
{
	double cumulative = 0;
	const double inf = INFINITY;
	size_t k = 0;
	add_type(f, name_of(ls), "histogram");
	for (uint32_t i = 0; i < h->ncustom; i++) {
		for (; k < h->positive.n && h->positive.items[k].index <= (int64_t)i; k++) {
			cumulative += h->positive.items[k].count;
		}
		add_line(f, ls, &(struct line){"_bucket", &h->custom[i], cumulative, t});
	}
	add_line(f, ls, &(struct line){"_bucket", &inf, h->count, t});
	add_line(f, ls, &(struct line){"_sum", NULL, h->sum, t});
	add_line(f, ls, &(struct line){"_count", NULL, h->count, t});
}

static void add_text(struct federation *f, const struct ops_labels *ls, int64_t t, double v,
	const struct ops_histogram *h)
{
	if (h == NULL) {
		add_type(f, name_of(ls), f->format == AS_OPENMETRICS ? "unknown" : "untyped");
		add_line(f, ls, &(struct line){"", NULL, v, t});
	} else if (ops_histogram_is_custom(h)) {
		add_histogram(f, ls, t, h);
	}
}

static void add_newest(struct federation *f, const struct ops_labels *ls)
{
	struct det_samples *s = &f->samples;
	struct det_series *series = det_store_find(f->job.api->config.store, ls, &f->job.arena);
	if (series == NULL) {
		return;
	}
	det_series_read(series, f->selection.range_ms[0], f->selection.range_ms[1], s);
	if (s->n == 0) {
		return;
	}
	size_t last = s->n - 1;
	const struct ops_histogram *h = s->h != NULL ? s->h[last] : NULL;
	if (ops_is_stale(h != NULL ? h->sum : s->v[last])) {
		return;
	}
	if (f->format == AS_PROTO) {
		const struct det_family_metric m = {ls, f->external, s->t[last], s->v[last], h};
		det_family_add(&f->family, &m, &f->job.out);
	} else {
		add_text(f, ls, s->t[last], s->v[last], h);
	}
}

static bool step(struct det_job *job)
{
	struct federation *f = ops_container_of(job, struct federation, job);
	det_api_read_begin(job);
	if (!f->found) {
		f->found = true;
		find(f);
	}
	while (f->next < f->n && job->out.len < DET_JOB_PIECE && !det_job_cancelled(job)) {
		add_newest(f, f->labels[f->next++]);
	}
	det_api_read_end(job);
	if (f->next < f->n) {
		return true;
	}
	ops_strbuf_adds(&job->out, f->format == AS_OPENMETRICS ? "# EOF\n" : "");
	det_family_flush(&f->family, &job->out);
	return false;
}

/* ---- on the loop ---- */

/* q of a media range, 1 where it says none. */
static double weight(const char *range)
{
	const char *q = strcasestr(range, ";q=");
	double v = 1;
	q = q != NULL ? q + strlen(";q=") : NULL;
	if (q != NULL && ops_parse_double(q, strcspn(q, "; \t"), &v) != 0) {
		v = 0;
	}
	return v;
}

/* The format of those asked for that is wanted most; of equals the first. */
static enum format wanted(struct ops_arena *arena, const char *accept)
{
	enum format best = AS_TEXT;
	double most = 0;
	for (const char *at = accept != NULL ? accept : ""; *at != '\0';) {
		size_t len = strcspn(at, ",");
		const char *range = ops_arena_strndup(arena, at, len);
		range += strspn(range, " \t");
		bool proto = ops_exposition_is_protobuf(range);
		enum ops_exposition_format format;
		struct ops_error err;
		bool text = ops_exposition_format_of(range, -1, &format, &err) == 0;
		if ((proto || text) && weight(range) > most) {
			most = weight(range);
			best = proto				      ? AS_PROTO
			       : format == OPS_EXPOSITION_OPENMETRICS ? AS_OPENMETRICS
								      : AS_TEXT;
		}
		at += len + (at[len] == ',');
	}
	return best;
}

void det_api_federate(struct ops_http_req *req, void *arg)
{
	struct det_api *api = arg;
	struct federation *f = det_job_new(api, req, sizeof(*f));
	struct ops_labels *external = api->config.external_labels != NULL
					      ? api->config.external_labels(api->config.arg)
					      : NULL;
	const struct det_engine_options *options = api->config.options;
	static const char *const types[] = {TEXT_TYPE, OPENMETRICS_TYPE, PROTO_TYPE};
	struct ops_error err = {0};
	f->job.step = step;
	f->job.release = release;
	if (det_selection_matches(&f->selection, &f->job, &err) != 0) {
		char why[DET_POSITION_MAX], text[DET_POSITION_MAX + 1];
		snprintf(text, sizeof(text), "%s\n", det_api_position(&err, why, sizeof(why)));
		det_api_headers(req);
		ops_http_reply_text(req, 400, text);
		det_job_drop(&f->job);
		return;
	}
	int64_t lookback_ms =
		options != NULL && options->lookback_ms > 0 ? options->lookback_ms : LOOKBACK_MS;
	f->selection.range_ms[1] = ops_now_ms();
	f->selection.range_ms[0] = f->selection.range_ms[1] - lookback_ms + 1;
	f->format = wanted(&f->job.arena, ops_http_header(req, "Accept"));
	f->job.content_type = types[f->format];
	f->external = external != NULL ? ops_labels_ref(external) : NULL;
	det_job_start(&f->job);
}
