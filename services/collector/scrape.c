/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When: each target has an offset in its interval, from the hash of its key, so that scrapes are
 * spread over the interval and keep their place across restarts and collectors. The samples get the
 * time at which the scrape was due when it started within a hundredth of the interval of it, ten
 * milliseconds at most: even spacing costs nothing to store. A new target is scraped within a
 * second, and then in its place, or at once in its place when that comes within seconds. Places are
 * slots of a fifth of a second: targets that share one start, answer and are published together,
 * which costs a fraction of as many single messages.
 *
 * What goes out: a row of the target's layout. Whenever the layout differs from that of the last
 * row - other series, or the scrape failed - the old layout gets a final row first, in which what
 * is gone is stale, and the new one is announced. A target that is removed gets a final row with
 * everything stale; one that only moved to another collector gets none, since it lives on: the
 * detector is told that it need not wait for us.
 */
#include "services/collector/scrape.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/collector/fetch.h"
#include "services/collector/scrape_read.h"

enum {
	FIRST_WITHIN_MS = 1000,
	SOON_MS = 5000,
	SLOT_MS = 200, /* targets whose places are within it start together */
	SLOTS_LEAST = 10,
	TOLERANCE_MS = 10,
	TOKEN_WAIT_MS = 50
};

static const double duration_buckets[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10};
static struct ops_metric scrapes_total = OPS_COUNTER("ops_scrapes_total", "Scrapes finished.");
static struct ops_metric errors_total =
	OPS_COUNTER("ops_scrape_errors_total", "Scrapes that failed.", "reason");
static struct ops_metric duration = OPS_HISTOGRAM(
	"ops_scrape_duration_seconds", "From the request to the parsed row.", duration_buckets);
static struct ops_metric parsed_total = OPS_COUNTER("ops_scrape_bodies_total",
	"Bodies read, by whether the layout of the scrape before fitted.", "way");
static struct ops_metric duplicates_total =
	OPS_COUNTER("prometheus_target_scrapes_sample_duplicate_timestamp_total",
		"Samples that name a series again within one scrape.");
static struct ops_metric skipped_total = OPS_COUNTER("ops_scrapes_skipped_total",
	"Scrapes that were due while the one before was still under way.");
static const double delay_buckets[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5};
static struct ops_metric start_delay = OPS_HISTOGRAM("ops_scrape_start_delay_seconds",
	"How much later than its place in the interval a scrape began.", delay_buckets);
static struct ops_metric sample_limit_total =
	OPS_COUNTER("prometheus_target_scrapes_exceeded_sample_limit_total",
		"Scrapes refused by sample_limit, a label limit or "
		"native_histogram_bucket_limit.");
static struct ops_metric body_limit_total =
	OPS_COUNTER("prometheus_target_scrapes_exceeded_body_size_limit_total",
		"Scrapes refused by body_size_limit.");

const char *col_health_text(enum col_health h)
{
	static const char *const texts[] = {"unknown", "up", "down"};
	return texts[h];
}

/* ---- rows ---- */

static void forget_rows(struct col_scraper *s)
{
	col_rows_release(&s->rows);
	col_layout_free(s->cache);
	s->cache = NULL;
	col_exemplars_done(&s->exemplars); /* they name columns of the layout */
	if (s->reports != NULL) {
		s->reports->sent_at = 0;
	}
}

static int publish_row(struct col_scraper *s, struct col_layout *next)
{
	return col_rows_publish(
		&s->rows, next, s->time_ms, s->target->job->track_timestamps_staleness);
}

static void fill_reports(struct col_scraper *s, const struct col_layout *l, bool up, size_t added)
{
	double *v = s->rows.now.values + l->nseries;
	v[COL_REPORT_UP] = up ? 1 : 0;
	v[COL_REPORT_DURATION] = s->last_duration;
	size_t native = col_native_count(&s->native);
	v[COL_REPORT_SCRAPED] = (double)(l->nlines - l->nconverted + col_native_lines(&s->native));
	v[COL_REPORT_POST_RELABEL] = (double)(l->nseries + l->nduplicates + native);
	v[COL_REPORT_ADDED] = (double)added;
	if (s->rules.reports[COL_REPORT_TIMEOUT] != NULL) {
		v[COL_REPORT_TIMEOUT] = (double)s->target->timeout_ms / 1000;
		v[COL_REPORT_SAMPLE_LIMIT] = (double)s->target->job->limits.samples;
		v[COL_REPORT_BODY_BYTES] = s->body_bytes;
	}
}

static bool reports_fit(const struct col_scraper *s)
{
	size_t n = 0;
	while (n < COL_REPORTS && s->rules.reports[n] != NULL) {
		n++;
	}
	return s->reports != NULL && s->reports->wire.n == n;
}

/* A row of the report series alone. A reload may have made them more or fewer. */
static void publish_reports(struct col_scraper *s)
{
	struct col_layout *old = NULL;
	if (!reports_fit(s)) {
		old = s->reports;
		s->reports = col_layout_reports(&s->rules);
	}
	s->rows.now.n = s->reports->wire.n;
	s->rows.now.has_times = false;
	col_values_reserve(&s->rows.now, s->rows.now.n);
	fill_reports(s, s->reports, false, 0);
	if (publish_row(s, s->reports) != 0 && old != NULL) { /* counted and logged there */
		col_layout_free(s->reports);
		s->reports = old;
		old = NULL;
	}
	col_layout_pack(s->reports);
	col_layout_free(old);
}

static void finish_down(struct col_scraper *s, const char *reason, const char *error)
{
	if (s->health != COL_HEALTH_DOWN) {
		log_warn("could not scrape target", F_STR("job", s->target->job->name),
			F_STR("target", s->target->url), F_STR("reason", reason),
			F_STR("error", error));
	}
	ops_metric_add(&errors_total, 1, reason);
	s->health = COL_HEALTH_DOWN;
	snprintf(s->last_error, sizeof(s->last_error), "%s", error);
	col_native_end(&s->native, s->owner->cfg.publisher, s->time_ms);
	publish_reports(s);
}

/* The row is in s->rows.last now, and the body is still there. */
static void publish_exemplars(struct col_scraper *s, struct col_layout *l)
{
	struct col_exemplar_reader *r = &s->owner->exemplars;
	const struct col_exemplar_row row = {l, &s->native, &s->rows.last, s->time_ms};
	if (col_exemplars_collect(&s->exemplars, r, &row) > 0) {
		col_publish_exemplars(s->owner->cfg.publisher, &r->message);
	}
	s->rows.last.nexemplars = 0;
}

static void finish_up(struct col_scraper *s, struct col_layout *fresh)
{
	struct col_layout *old = s->cache, *next = fresh != NULL ? fresh : old;
	ops_assert(next != NULL); /* without a cache every body is parsed anew */
	fill_reports(s, next, true, col_layout_added(next, s->rows.published));
	if (publish_row(s, next) != 0) {
		col_layout_free(fresh);
		ops_metric_add(&sample_limit_total, 1);
		finish_down(s, "limit",
			"the names of all series together are too large for a "
			"message: split the target or drop labels");
		return;
	}
	col_native_publish(&s->native, s->owner->cfg.publisher, &s->owner->protobuf, s->time_ms);
	publish_exemplars(s, next);
	s->health = COL_HEALTH_UP;
	s->last_error[0] = '\0';
	s->cache = next;
	if (old != next) {
		col_layout_free(old);
	}
	if (s->exemplars.seen == NULL) { /* else the series are asked for again and again */
		col_layout_pack(next);
	}
	ops_metric_add(&duplicates_total, (double)next->nduplicates);
}

/* ---- one scrape ---- */

/* When the last answer of those that are under way is in, nothing is worth waiting for. */
static void set_fetching(struct col_scraper *s, bool on)
{
	struct col_scraping *owner = s->owner;
	if (s->fetching == on) {
		return;
	}
	s->fetching = on;
	owner->fetching += on ? 1 : (size_t)-1;
}

static void scrape_done(struct col_scraper *s)
{
	if (s->owner->fetching == 0) {
		col_publish_flush(s->owner->cfg.publisher);
	}
}

static void clock_duration(struct col_scraper *s)
{
	s->last_duration = (double)(ops_mono_ns() - s->started_ns) / 1e9;
}

static const char *limit_reason(int code)
{
	if (code == -E2BIG) {
		ops_metric_add(&sample_limit_total, 1);
		return "limit";
	}
	return "malformed";
}

static void refuse_body(struct col_scraper *s, int code, const struct ops_error *err)
{
	char text[sizeof(s->last_error)];
	if (err->line > 0) {
		snprintf(text, sizeof(text), "line %d, column %d: %.400s", err->line, err->column,
			err->message);
	} else {
		snprintf(text, sizeof(text), "%.400s", err->message);
	}
	clock_duration(s);
	finish_down(s, limit_reason(code), text);
}

static void on_body(
	struct col_scraper *s, enum ops_exposition_format format, struct ops_exposition_text body)
{
	struct col_layout *fresh = NULL;
	struct ops_error err;
	int r = col_scrape_read(s, format, body, &fresh, &err);
	if (r != 0) {
		refuse_body(s, r, &err);
		return;
	}
	ops_metric_add(&parsed_total, 1, fresh == NULL ? "compared" : "parsed");
	clock_duration(s);
	finish_up(s, fresh);
}

static void on_response(void *arg, const struct ops_http_response *res)
{
	struct col_scraper *s = arg;
	set_fetching(s, false);
	if (res->outcome == OPS_HTTP_CANCELLED) {
		return;
	}
	enum ops_exposition_format format;
	struct ops_error err;
	const char *reason = NULL;
	ops_metric_add(&scrapes_total, 1);
	s->last_scrape_ms = s->time_ms;
	s->body_bytes = 0;
	if (col_fetch_check(s->target, res, &format, &reason, &err) != 0) {
		char text[512];
		clock_duration(s);
		if (res->outcome == OPS_HTTP_TOO_BIG) {
			ops_metric_add(&body_limit_total, 1);
			s->body_bytes = -1;
		}
		finish_down(s, reason, ops_error_text(&err, text, sizeof(text)));
	} else {
		const struct ops_exposition_text body = {
			res->body != NULL ? res->body : "", res->len};
		s->body_bytes = (double)res->len;
		on_body(s, format, body);
	}
	ops_metric_observe(&duration, s->last_duration);
	scrape_done(s);
}

static void refuse_scrape(struct col_scraper *s, const char *reason, const char *error)
{
	ops_metric_add(&scrapes_total, 1);
	s->last_scrape_ms = s->time_ms;
	s->last_duration = s->body_bytes = 0;
	finish_down(s, reason, error);
}

static void start_scrape(struct col_scraper *s)
{
	struct ops_error err;
	s->started_ns = ops_mono_ns();
	if (s->target->over_limit) {
		refuse_scrape(s, "limit", "the job has more targets than target_limit");
		return;
	}
	if (s->fetch == NULL) {
		s->fetch = col_fetch_new(&s->owner->cfg.fetch, s->target);
	}
	set_fetching(s, true);
	if (col_fetch_start(s->fetch, s->target, on_response, s, &err) != 0) {
		set_fetching(s, false);
		refuse_scrape(s, "failed", err.message);
	}
}

/* ---- when ---- */

/* The first moment after now that is the target's place in the interval. */
static int64_t next_due(const struct col_target *t, int64_t now)
{
	int64_t slot = OPS_MIN(t->interval_ms / SLOTS_LEAST, (int64_t)SLOT_MS);
	int64_t offset = (int64_t)(t->hash % (uint64_t)t->interval_ms);
	offset -= slot > 1 ? offset % slot : 0;
	int64_t since = (now - offset) % t->interval_ms;
	return now + t->interval_ms - since;
}

static void arm(struct col_scraper *s, int64_t due_ms)
{
	s->due_ms = due_ms;
	col_agenda_put(&s->owner->agenda, &s->entry, due_ms);
}

static void on_due(void *arg)
{
	struct col_scraper *s = arg;
	int64_t now = ops_now_ms(), due = s->due_ms, late = now - due;
	int64_t tolerance = OPS_MIN(s->target->interval_ms / 100, (int64_t)TOLERANCE_MS);
	if (late < -tolerance && late > -s->target->interval_ms) {
		arm(s, due); /* the timer was early, or the clock was set */
		return;
	}
	const char *token = NULL;
	struct ops_error err;
	if (col_fetch_token(s->owner->cfg.fetch.tokens, s->target, &token, &err) ==
		OPS_OAUTH2_WAIT) {
		col_agenda_put(&s->owner->agenda, &s->entry, now + TOKEN_WAIT_MS);
		return;
	}
	bool on_time = late >= -tolerance && late <= tolerance;
	arm(s, next_due(s->target, on_time ? OPS_MAX(now, due) : now));
	if (s->fetching) {
		ops_metric_add(&skipped_total, 1);
		return;
	}
	s->time_ms = on_time ? due : now;
	ops_metric_observe(&start_delay, (double)OPS_MAX(late, (int64_t)0) / 1000);
	start_scrape(s);
}

static void scraper_start(struct col_scraper *s)
{
	int64_t now = ops_now_ms();
	int64_t within = OPS_MIN(s->target->interval_ms, (int64_t)FIRST_WITHIN_MS);
	s->ours = true;
	s->owner->owned++;
	int64_t place = next_due(s->target, now);
	int64_t first = now + (int64_t)(s->target->hash % (uint64_t)within);
	int64_t patience = OPS_MIN(s->target->interval_ms / 4, (int64_t)SOON_MS);
	bool soon = place - first < patience; /* not twice in a row */
	arm(s, soon ? place : first);
}

static void drop_fetch(struct col_scraper *s)
{
	col_fetch_free(s->fetch);
	s->fetch = NULL;
	set_fetching(s, false);
}

static void scraper_stop(struct col_scraper *s)
{
	if (!s->ours) {
		return;
	}
	s->ours = false;
	col_agenda_drop(&s->entry);
	s->owner->owned--;
	drop_fetch(s);
}

/* ---- life ---- */

static void rules_done(struct col_series_rules *rules)
{
	for (size_t i = 0; i < COL_REPORTS; i++) {
		ops_labels_unref(rules->reports[i]);
	}
}

static void set_rules(struct col_scraper *s)
{
	const struct col_job *job = s->target->job;
	s->rules = (struct col_series_rules){.labels = s->target->labels,
		.instance = s->target->instance,
		.honor_labels = job->honor_labels,
		.honor_timestamps = job->honor_timestamps,
		.legacy_names = job->legacy_names,
		.convert_classic = job->convert_classic,
		.keep_classic = job->classic_histograms,
		.relabel = &job->metric_relabel,
		.limits = &job->limits};
	col_reports_build(s->target->labels, job->extra_metrics, s->rules.reports);
}

static struct col_scraper *scraper_new(struct col_scraping *owner, struct col_target *target)
{
	struct col_scraper *s = ops_xcalloc(1, sizeof(*s));
	s->owner = owner;
	s->target = target;
	s->entry.arg = s;
	s->rows.to = owner->cfg.publisher;
	set_rules(s);
	return s;
}

static void scraper_free(void *arg)
{
	struct col_scraper *s = arg;
	scraper_stop(s);
	forget_rows(s);
	col_layout_free(s->reports);
	col_rows_done(&s->rows);
	col_native_done(&s->native);
	rules_done(&s->rules);
	col_target_free(s->target);
	free(s);
}

/* The target is gone for good. */
static void bury(struct col_scraper *s)
{
	scraper_stop(s);
	col_rows_end(&s->rows, ops_now_ms());
	col_native_end(&s->native, s->owner->cfg.publisher, ops_now_ms());
	scraper_free(s);
}

/*
 * Same target, maybe other settings: then the next body is parsed anew, and the row after it says
 * what changed. The old cache stays as long as it was the last to be published.
 */
static void update(struct col_scraper *s, struct col_target *target)
{
	bool same_job = s->target->job->hash == target->job->hash;
	bool same_times = s->target->interval_ms == target->interval_ms;
	col_target_free(s->target);
	s->target = target;
	rules_done(&s->rules);
	set_rules(s);
	if (!same_job) {
		s->reparse = true;
		drop_fetch(s);
	}
	if (!same_times && s->ours) {
		arm(s, next_due(target, ops_now_ms()));
	}
}

void col_scraping_init(struct col_scraping *s, const struct col_scraping_config *cfg)
{
	*s = (struct col_scraping){.cfg = *cfg, .scrapers = ops_map_new()};
	col_agenda_init(&s->agenda, cfg->loop, on_due);
	col_exemplar_reader_init(&s->exemplars);
	ops_arena_init(&s->scratch);
	ops_metric_register(&scrapes_total);
	ops_metric_register(&duplicates_total);
	ops_metric_register(&sample_limit_total);
	ops_metric_register(&body_limit_total);
	ops_metric_register(&duration);
	ops_metric_register(&start_delay);
}

void col_scraping_done(struct col_scraping *s)
{
	ops_map_free(s->scrapers, scraper_free);
	s->scrapers = NULL;
	col_agenda_done(&s->agenda);
	col_exemplar_reader_done(&s->exemplars);
	ops_protobuf_body_done(&s->protobuf);
	ops_arena_done(&s->scratch);
}

static void take(struct col_scraping *s, struct col_target *target)
{
	struct col_scraper *known = ops_map_gets(s->scrapers, target->key);
	if (known != NULL) {
		update(known, target);
	} else {
		known = scraper_new(s, target);
		(void)ops_map_puts(s->scrapers, target->key, known);
	}
	known->keep = true;
}

void col_scraping_apply(struct col_scraping *s, struct col_targets *t)
{
	struct ops_map_entry e;
	for (size_t i = 0; i < t->n; i++) {
		take(s, t->items[i]);
	}
	t->n = 0;
	for (size_t at = 0; ops_map_next(s->scrapers, &at, &e);) {
		struct col_scraper *x = e.value;
		if (!x->keep) {
			(void)ops_map_remove(s->scrapers, e.key, e.len);
			bury(x);
			continue;
		}
		x->keep = false;
	}
	col_scraping_rebalance(s);
}

void col_scraping_rebalance(struct col_scraping *s)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(s->scrapers, &at, &e);) {
		struct col_scraper *x = e.value;
		bool ours = s->cfg.owns(s->cfg.arg, x->target->hash, x->target->job->replicas);
		if (ours && !x->ours) {
			scraper_start(x);
		} else if (!ours && x->ours) {
			scraper_stop(x);
			forget_rows(x);
			x->health = COL_HEALTH_UNKNOWN;
		}
	}
}

void col_scraping_stop(struct col_scraping *s)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(s->scrapers, &at, &e);) {
		struct col_scraper *x = e.value;
		scraper_stop(x);
		col_rows_release(&x->rows);
	}
	col_publish_flush(s->cfg.publisher);
}
