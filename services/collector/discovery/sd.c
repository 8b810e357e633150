/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups are kept sorted by source, so that all collectors that found the same build the same
 * targets in the same order. A report that changes nothing tells nobody: most looks find what the
 * look before found.
 *
 * A failed look is repeated after a delay that grows from RETRY_MS to the refresh interval, so that
 * a server that was away for a moment is asked again soon, and one that is gone is left in peace.
 */
#include "services/collector/discovery/sd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

enum {
	RETRY_MS = 1000,
	RETRY_MAX_MS = 60000
};

static struct ops_metric failures_total = OPS_COUNTER("prometheus_sd_refresh_failures_total",
	"Looks for targets that failed; what was found before stays.", "mechanism");
static struct ops_metric updates_total = OPS_COUNTER("prometheus_sd_received_updates_total",
	"Target groups that were found new, changed or gone.", "mechanism");
static struct ops_metric looks_total = OPS_COUNTER(
	"ops_collector_sd_refreshes_total", "Looks for targets that succeeded.", "mechanism");

/* ---- groups ---- */

struct col_group *col_group_new(const char *source)
{
	struct col_group *g = ops_xcalloc(1, sizeof(*g));
	g->source = ops_xstrdup(source);
	return g;
}

void col_group_free(struct col_group *g)
{
	if (g == NULL) {
		return;
	}
	for (size_t i = 0; i < g->n; i++) {
		ops_labels_unref(g->labels[i]);
	}
	free(g->labels);
	free(g->source);
	free(g);
}

void col_group_add(struct col_group *g, struct ops_labels_builder *target)
{
	OPS_GROW(g->labels, g->n, g->cap);
	g->labels[g->n++] = ops_labels_builder_build(target);
	ops_labels_builder_done(target);
}

void col_label_set(
	struct ops_labels_builder *b, const char *prefix, const char *name, const char *value)
{
	char *whole = ops_xasprintf("%s%s", prefix, name);
	for (char *s = whole; *s != '\0'; s++) {
		bool fine = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
			    (*s >= '0' && *s <= '9') || *s == '_';
		*s = fine ? *s : '_';
	}
	ops_labels_builder_set(b, whole, value);
	free(whole);
}

static bool same_group(const struct col_group *a, const struct col_group *b)
{
	if (a->n != b->n) {
		return false;
	}
	for (size_t i = 0; i < a->n; i++) {
		if (!ops_labels_equal(a->labels[i], b->labels[i])) {
			return false;
		}
	}
	return true;
}

/* ---- reports ---- */

/* Where source is or would be. */
static size_t place_of(const struct col_sd *sd, const char *source, bool *ret_there)
{
	size_t from = 0, to = sd->n;
	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = strcmp(sd->groups[middle]->source, source);
		if (order == 0) {
			*ret_there = true;
			return middle;
		}
		from = order < 0 ? middle + 1 : from;
		to = order < 0 ? to : middle;
	}
	*ret_there = false;
	return from;
}

/* True when something changed. Takes g. */
static bool put(struct col_sd *sd, struct col_group *g)
{
	bool there = false;
	size_t at = place_of(sd, g->source, &there);
	if (there && same_group(sd->groups[at], g)) {
		col_group_free(g);
		return false;
	}
	if (there) {
		col_group_free(sd->groups[at]);
	} else {
		OPS_GROW(sd->groups, sd->n, sd->cap);
		memmove(&sd->groups[at + 1], &sd->groups[at],
			(sd->n - at) * sizeof(struct col_group *));
		sd->n++;
	}
	sd->groups[at] = g;
	ops_metric_add(&updates_total, 1, sd->class->name);
	return true;
}

static void remove_at(struct col_sd *sd, size_t at)
{
	col_group_free(sd->groups[at]);
	memmove(&sd->groups[at], &sd->groups[at + 1],
		(sd->n - at - 1) * sizeof(struct col_group *));
	sd->n--;
	ops_metric_add(&updates_total, 1, sd->class->name);
}

static void tell(struct col_sd *sd)
{
	sd->env->on_change(sd->env->arg);
}

void col_sd_put(struct col_sd *sd, struct col_group *g)
{
	if (put(sd, g)) {
		tell(sd);
	}
}

void col_sd_drop(struct col_sd *sd, const char *source)
{
	bool there = false;
	size_t at = place_of(sd, source, &there);
	if (there) {
		remove_at(sd, at);
		tell(sd);
	}
}

static int compare_groups(const void *a, const void *b)
{
	const struct col_group *const *x = a, *const *y = b;
	return strcmp((*x)->source, (*y)->source);
}

/* Both lists are sorted: what is in one only is new or gone. */
void col_sd_replace(struct col_sd *sd, struct col_group **groups, size_t n)
{
	bool changed = false;
	qsort(groups, n, sizeof(struct col_group *), compare_groups);
	for (size_t at = 0, i = 0; at < sd->n;) {
		while (i < n && strcmp(groups[i]->source, sd->groups[at]->source) < 0) {
			i++;
		}
		if (i < n && strcmp(groups[i]->source, sd->groups[at]->source) == 0) {
			at++;
			continue;
		}
		remove_at(sd, at);
		changed = true;
	}
	for (size_t i = 0; i < n; i++) {
		changed |= put(sd, groups[i]);
	}
	if (changed) {
		tell(sd);
	}
	col_sd_ok(sd);
}

static void plan(struct col_sd *sd)
{
	int64_t interval = sd->class->interval_ms != NULL ? sd->class->interval_ms(sd) : 0;
	int64_t cap = interval > 0 ? OPS_MIN(interval, (int64_t)RETRY_MAX_MS) : RETRY_MAX_MS;
	if (sd->class->refresh == NULL) {
		return;
	}
	if (sd->failures > 0) {
		ops_timer_start(sd->timer,
			ops_backoff_ms(sd->failures - 1, OPS_MIN((int64_t)RETRY_MS, cap), cap));
	} else if (interval > 0) {
		ops_timer_start(sd->timer, interval);
	}
}

void col_sd_ok(struct col_sd *sd)
{
	if (sd->failures > 0) {
		log_info("discovery works again", F_STR("mechanism", sd->class->name));
	}
	sd->ok_ms = ops_now_ms();
	sd->failures = 0;
	sd->error[0] = '\0';
	ops_metric_add(&looks_total, 1, sd->class->name);
	plan(sd);
}

void col_sd_failed(struct col_sd *sd, const char *fmt, ...)
{
	char text[sizeof(sd->error)];
	va_list ap;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0) {
		text[0] = '\0';
	}
	va_end(ap);
	if (sd->failures == 0 || strcmp(text, sd->error) != 0) {
		log_warn("could not look for targets; what was found before stays",
			F_STR("mechanism", sd->class->name), F_STR("error", text));
	}
	memcpy(sd->error, text, sizeof(text));
	sd->failures++;
	ops_metric_add(&failures_total, 1, sd->class->name);
	plan(sd);
}

void col_sd_again(struct col_sd *sd, int64_t delay_ms)
{
	ops_timer_start(sd->timer, delay_ms);
}

/* ---- life ---- */

static void on_timer(void *arg)
{
	struct col_sd *sd = arg;
	sd->class->refresh(sd);
}

struct col_sd *col_sd_new(
	const struct col_sd_class *class, const void *settings, const struct col_sd_env *env)
{
	struct col_sd *sd = ops_xcalloc(1, sizeof(*sd));
	sd->class = class;
	sd->settings = settings;
	sd->env = env;
	sd->state = ops_xcalloc(1, class->state_bytes + 1);
	ops_metric_register(&failures_total);
	ops_metric_register(&updates_total);
	ops_metric_add(&failures_total, 0, class->name);
	if (class->refresh != NULL) {
		sd->timer = ops_timer_new(env->loop, on_timer, sd);
	}
	if (class->start != NULL) {
		class->start(sd);
	}
	if (class->refresh != NULL) {
		class->refresh(sd);
	}
	return sd;
}

void col_sd_free(struct col_sd *sd)
{
	if (sd == NULL) {
		return;
	}
	col_sd_fetch_free(sd->fetch);
	if (sd->class->stop != NULL) {
		sd->class->stop(sd);
	}
	ops_timer_free(sd->timer);
	for (size_t i = 0; i < sd->n; i++) {
		col_group_free(sd->groups[i]);
	}
	free(sd->groups);
	free(sd->state);
	free(sd);
}

const char *col_sd_state(const struct col_sd *sd)
{
	if (sd->failures > 0) {
		return "failing";
	}
	return sd->ok_ms > 0 ? "ok" : "pending";
}

size_t col_sd_targets(const struct col_sd *sd)
{
	size_t n = 0;
	for (size_t i = 0; i < sd->n; i++) {
		n += sd->groups[i]->n;
	}
	return n;
}
