/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups and their timers. A group begins with the first alert that falls into it and waits
 * group_wait, so that alerts of one cause arrive as one message; an alert that has been firing
 * longer than that (after a restart) does not wait again. An empty group is kept until the next
 * sweep, so that a flapping alert meets group_interval and not group_wait each time.
 *
 * A reload drops all groups and builds them again from the store: the notification log knows what
 * was told, so nobody is told twice.
 */
#include "services/alertmanager/dispatch.h"

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/metrics/metrics.h"
#include "services/alertmanager/dispatch_parts.h"
#include "services/alertmanager/inhibit.h"
#include "services/alertmanager/route.h"

enum {
	SWEEP_MS = 30000
};

static struct ops_metric groups_gauge = OPS_GAUGE(
	"alertmanager_dispatcher_aggregation_groups", "Number of active aggregation groups.");

static void group_free(void *arg)
{
	struct group *g = arg;

	if (g->flush != NULL)
		alm_flush_detach(g->flush);
	for (size_t i = 0; i < g->pub.n; i++)
		g->pub.alerts[i]->groups--;
	ops_timer_free(g->timer);
	ops_labels_unref(g->pub.labels);
	free(g->pub.alerts);
	free(g->pub.key);
	free(g->map_key);
	free(g);
}

static void on_group_timer(void *arg)
{
	struct group *g = arg;

	if (g->d->draining)
		return;
	if (g->flush != NULL) {
		g->again = true;
		return;
	}
	alm_group_arm(g, g->pub.route->group_interval_ms);
	alm_flush_start(g);
}

static struct group *group_new(struct alm_dispatch *d, const struct alm_route *r,
	struct ops_labels *labels, const char *map_key)
{
	struct ops_strbuf key = OPS_STRBUF_INIT;
	struct group *g = ops_xcalloc(1, sizeof *g);

	ops_strbuf_printf(&key, "%s:", r->key);
	ops_labels_print(labels, &key);
	g->pub.route = r;
	g->pub.labels = ops_labels_ref(labels);
	g->pub.key = ops_strbuf_take(&key);
	g->d = d;
	g->map_key = ops_xstrdup(map_key);
	g->timer = ops_timer_new(d->conf.loop, on_group_timer, g);
	(void)ops_map_puts(d->groups, map_key, g);
	ops_metric_set(&groups_gauge, (double)ops_map_count(d->groups));
	return g;
}

static bool group_has(const struct group *g, const struct alm_alert *a)
{
	for (size_t i = 0; i < g->pub.n; i++) {
		if (g->pub.alerts[i] == a)
			return true;
	}
	return false;
}

static void group_insert(struct group *g, struct alm_alert *a, bool fresh)
{
	int64_t wait = g->pub.route->group_wait_ms;

	if (!group_has(g, a)) {
		OPS_GROW(g->pub.alerts, g->pub.n, g->cap);
		g->pub.alerts[g->pub.n++] = a;
		a->groups++;
	}
	bool waited = a->starts_at_ms + wait < ops_now_ms();
	if (fresh)
		alm_group_arm(g, waited ? 0 : wait);
	else if (!g->flushed && g->flush == NULL && waited)
		alm_group_arm(g, 0);
}

/* What nobody was told about and is over needs no group, unless resolved ones are asked for. */
static void into_route(
	struct alm_dispatch *d, const struct alm_route *r, struct alm_alert *a, bool resolved_too)
{
	struct ops_strbuf key OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_labels *labels = alm_route_group_labels(r, a->labels);

	ops_strbuf_printf(&key, "%zu", r->id);
	ops_labels_print(labels, &key);
	struct group *g = ops_map_gets(d->groups, ops_strbuf_text(&key));
	bool fresh = g == NULL;
	if (!fresh || resolved_too || !alm_alert_resolved(a, ops_now_ms())) {
		if (fresh)
			g = group_new(d, r, labels, ops_strbuf_text(&key));
		group_insert(g, a, fresh);
	}
	ops_labels_unref(labels);
}

static void into_routes(struct alm_dispatch *d, struct alm_alert *a, bool resolved_too)
{
	const struct alm_route *routes[ALM_ROUTES_MAX];
	size_t n = alm_route_match(d->cfg->route, a->labels, routes, ALM_ROUTES_MAX);

	for (size_t i = 0; i < n; i++)
		into_route(d, routes[i], a, resolved_too);
}

void alm_dispatch_alert(struct alm_dispatch *d, struct alm_alert *a)
{
	into_routes(d, a, false);
}

/*
 * After a restart also what is resolved goes in, as its receivers may have been told that it fires:
 * the group's flush asks the notification log.
 */
static void dispatch_stored(struct alm_dispatch *d)
{
	struct alm_alert *a;
	for (size_t at = 0; (a = alm_alerts_next(d->conf.alerts, &at)) != NULL;)
		into_routes(d, a, true);
}

static void on_sweep(void *arg)
{
	struct alm_dispatch *d = arg;
	struct ops_map_entry e;

	for (size_t at = 0; ops_map_next(d->groups, &at, &e);) {
		struct group *g = e.value;
		if (g->pub.n > 0 || g->flush != NULL || !g->flushed)
			continue;
		(void)ops_map_removes(d->groups, g->map_key);
		group_free(g);
	}
	ops_metric_set(&groups_gauge, (double)ops_map_count(d->groups));
	ops_timer_start(d->sweeper, SWEEP_MS);
}

struct alm_dispatch *alm_dispatch_new(
	const struct alm_dispatch_config *conf, struct alm_config *cfg)
{
	struct alm_dispatch *d = ops_xcalloc(1, sizeof *d);

	d->conf = *conf;
	d->cfg = alm_config_ref(cfg);
	d->inhibitor = alm_inhibitor_new(cfg, conf->alerts);
	d->groups = ops_map_new();
	d->sweeper = ops_timer_new(conf->loop, on_sweep, d);
	ops_timer_start(d->sweeper, SWEEP_MS);
	dispatch_stored(d);
	return d;
}

void alm_dispatch_free(struct alm_dispatch *d)
{
	if (d == NULL)
		return;
	alm_flush_cancel_all(d);
	ops_map_free(d->groups, group_free);
	ops_timer_free(d->sweeper);
	alm_inhibitor_free(d->inhibitor);
	alm_config_unref(d->cfg);
	free(d);
}

void alm_dispatch_reload(struct alm_dispatch *d, struct alm_config *cfg)
{
	struct alm_config *old = d->cfg;

	d->cfg = alm_config_ref(cfg);
	alm_inhibitor_free(d->inhibitor);
	d->inhibitor = alm_inhibitor_new(cfg, d->conf.alerts);
	ops_map_free(d->groups, group_free);
	d->groups = ops_map_new();
	dispatch_stored(d);
	alm_config_unref(old);
}

struct alm_config *alm_dispatch_config_now(const struct alm_dispatch *d)
{
	return d->cfg;
}

bool alm_dispatch_idle(const struct alm_dispatch *d)
{
	return d->flushes == NULL;
}

bool alm_dispatch_drain(struct alm_dispatch *d)
{
	d->draining = true;
	return alm_dispatch_idle(d);
}

size_t alm_dispatch_groups(const struct alm_dispatch *d)
{
	return ops_map_count(d->groups);
}

const struct alm_group *alm_dispatch_next(const struct alm_dispatch *d, size_t *at)
{
	struct ops_map_entry e;
	return ops_map_next(d->groups, at, &e) ? &((struct group *)e.value)->pub : NULL;
}

void alm_suppression(
	const struct alm_dispatch *d, const struct alm_alert *a, struct alm_suppression *ret)
{
	int64_t now_ms = ops_now_ms();

	*ret = (struct alm_suppression){0};
	ret->nsilences = alm_silences_match(
		d->conf.silences, a->labels, now_ms, ret->silences, OPS_LENGTH(ret->silences));
	ret->inhibited = alm_inhibited(d->inhibitor, a->labels, now_ms, &ret->inhibited_by);
}
