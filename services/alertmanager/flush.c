/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One flush of one group: snapshot its alerts, drop what is muted (time interval, inhibition,
 * silence), then ask the notification log for each integration whether it must be told, and send.
 * When all integrations that had to be told have been, resolved alerts leave the group; if one
 * failed they stay and the next flush tries again. A failing receiver holds up no other.
 */
#include <string.h>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/alertmanager/dispatch_parts.h"
#include "services/alertmanager/inhibit.h"
#include "services/alertmanager/route.h"

enum {
	DEADLINE_MIN_MS = 10000,
	LOG_KEPT_MIN_MS = 600000 /* a resolution must find the entry of its notification */
};

static struct ops_metric suppressed_total =
	OPS_COUNTER("alertmanager_notifications_suppressed_total",
		"Alerts left out of notifications, by reason.", "reason");
static struct ops_metric log_failed = OPS_COUNTER("ops_alertmanager_nflog_write_failed_total",
	"Entries of the notification log that could not be made durable.");

struct job { /* one integration of the flush */
	struct flush *flush;
	struct alm_send *send;
	char *key;
	struct alm_nflog_entry entry; /* to be logged on success; owns its sets */
};

struct flush {
	struct alm_dispatch *d;
	struct group *group; /* NULL when it is gone */
	struct alm_config *cfg;
	const struct alm_route *route;
	char *group_key;
	struct ops_labels *labels;
	int64_t at_ms;
	struct alm_alert **all; /* copies of what the group held */
	size_t nall;
	struct alm_alert **told; /* borrowed from all: what is not muted */
	size_t ntold;
	struct job *jobs;
	size_t njobs, pending;
	bool failed;
	struct flush *next;
};

static void unlink_flush(struct flush *f)
{
	struct flush **at = &f->d->flushes;
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
}

static void flush_free(void *arg)
{
	struct flush *f = arg;

	for (size_t i = 0; i < f->njobs; i++) {
		free(f->jobs[i].key);
		free(f->jobs[i].entry.firing);
		free(f->jobs[i].entry.resolved);
	}
	for (size_t i = 0; i < f->nall; i++)
		alm_alert_free(f->all[i]);
	free(f->all);
	free(f->told);
	free(f->jobs);
	free(f->group_key);
	ops_labels_unref(f->labels);
	alm_config_unref(f->cfg);
	free(f);
}

static int by_labels(const void *x, const void *y)
{
	const struct alm_alert *const *a = x, *const *b = y;
	return ops_labels_compare((*a)->labels, (*b)->labels);
}

/* What was resolved and told, and has not changed since, leaves the group. */
static void drop_resolved(struct flush *f, struct group *g)
{
	for (size_t k = g->pub.n; k > 0; k--) {
		const struct alm_alert *a = g->pub.alerts[k - 1];
		if (!alm_alert_resolved(a, f->at_ms))
			continue;
		struct alm_alert **told = bsearch(&a, f->all, f->nall, sizeof f->all[0], by_labels);
		if (told != NULL && (*told)->updated_at_ms == a->updated_at_ms &&
			alm_alert_resolved(*told, f->at_ms))
			alm_group_remove_at(g, k - 1);
	}
}

static void flush_end(struct flush *f)
{
	struct group *g = f->group;

	unlink_flush(f);
	if (g != NULL) {
		if (!f->failed)
			drop_resolved(f, g);
		alm_group_flushed(g);
	}
	flush_free(f);
}

static void log_outcome(const struct alm_outcome *o)
{
	const struct alm_notification *n = o->notification;
	if (!o->sent)
		log_warn("could not deliver notification", F_STR("receiver", n->receiver->name),
			F_STR("integration", n->integration->name), F_STR("group", n->group_key),
			F_INT("alerts", n->n), F_UINT("attempts", o->attempts),
			F_STR("error", o->error));
}

static void job_logged(struct job *job)
{
	if (alm_nflog_put(job->flush->d->conf.nflog, job->key, &job->entry) != 0)
		ops_metric_add(&log_failed, 1);
}

static void on_sent(void *arg, const struct alm_outcome *o)
{
	struct job *job = arg;
	struct flush *f = job->flush;

	job->send = NULL;
	if (o->sent)
		job_logged(job);
	else
		f->failed = true;
	log_outcome(o);
	f->d->conf.on_outcome(f->d->conf.arg, o);
	if (--f->pending == 0)
		flush_end(f);
}

/* ---- what to tell ---- */

static void snapshot(struct flush *f, const struct group *g)
{
	f->nall = g->pub.n;
	f->all = ops_xcalloc(f->nall + 1, sizeof f->all[0]);
	f->told = ops_xcalloc(f->nall + 1, sizeof f->told[0]);
	for (size_t i = 0; i < f->nall; i++) {
		struct alm_alert *c = alm_alert_copy(g->pub.alerts[i]);
		if (!alm_alert_resolved(c, f->at_ms))
			c->ends_at_ms = 0; /* it must not turn resolved while it is under way */
		f->all[i] = c;
	}
	qsort(f->all, f->nall, sizeof f->all[0], by_labels);
}

static bool muted(const struct flush *f, const struct alm_alert *a)
{
	const char *id[1];
	uint64_t by = 0;

	if (alm_inhibited(f->d->inhibitor, a->labels, f->at_ms, &by)) {
		ops_metric_add(&suppressed_total, 1, "inhibition");
		return true;
	}
	if (alm_silences_match(f->d->conf.silences, a->labels, f->at_ms, id, 1) > 0) {
		ops_metric_add(&suppressed_total, 1, "silence");
		return true;
	}
	return false;
}

static void select_told(struct flush *f, struct group *g)
{
	g->pub.muted_by = alm_route_muted_by(f->route, f->at_ms);
	if (g->pub.muted_by != NULL) {
		ops_metric_add(&suppressed_total, (double)f->nall, "time_interval");
		return;
	}
	for (size_t i = 0; i < f->nall; i++) {
		if (!muted(f, f->all[i]))
			f->told[f->ntold++] = f->all[i];
	}
}

static void fill_entry(const struct flush *f, struct alm_nflog_entry *e)
{
	*e = (struct alm_nflog_entry){.at_ms = f->at_ms,
		.expires_ms = f->at_ms + LOG_KEPT_MIN_MS +
			      2 * (f->route->repeat_interval_ms + f->route->group_interval_ms)};
	e->firing = ops_xcalloc(f->ntold + 1, sizeof e->firing[0]);
	e->resolved = ops_xcalloc(f->ntold + 1, sizeof e->resolved[0]);
	for (size_t i = 0; i < f->ntold; i++) {
		if (alm_alert_resolved(f->told[i], f->at_ms))
			e->resolved[e->nresolved++] = f->told[i]->fingerprint;
		else
			e->firing[e->nfiring++] = f->told[i]->fingerprint;
	}
	alm_fingerprints_sort(e->firing, e->nfiring);
	alm_fingerprints_sort(e->resolved, e->nresolved);
}

static struct alm_notification *compose(
	struct flush *f, const struct alm_integration *in, const char *reason)
{
	struct alm_alert **alerts = ops_xcalloc(f->ntold + 1, sizeof alerts[0]);
	size_t n = 0;

	for (size_t i = 0; i < f->ntold; i++) {
		if (in->send_resolved || !alm_alert_resolved(f->told[i], f->at_ms))
			alerts[n++] = alm_alert_copy(f->told[i]);
	}
	struct alm_notification *x =
		alm_notification_new(f->cfg, f->route->receiver, in, alerts, n);
	x->group_key = ops_xstrdup(f->group_key);
	x->group_labels = ops_labels_ref(f->labels);
	x->at_ms = f->at_ms;
	x->external_url = f->d->conf.external_url;
	x->reason = reason;
	x->repeat_ms = f->route->repeat_interval_ms;
	x->route_labels = &f->route->labels;
	return x;
}

static void start_job(struct flush *f, const struct alm_integration *in, struct job *job)
{
	const struct alm_send_config send = {
		.loop = f->d->conf.loop,
		.client = f->d->conf.client,
		.tokens = f->d->conf.tokens,
		.deadline_ms = OPS_MAX(f->route->group_interval_ms, (int64_t)DEADLINE_MIN_MS),
		.on_done = on_sent,
		.arg = job,
	};

	job->flush = f;
	job->key = alm_nflog_key(f->group_key, f->route->receiver->name, in->name, in->index);
	fill_entry(f, &job->entry);
	const struct alm_nflog_entry *last = alm_nflog_get(f->d->conf.nflog, job->key, f->at_ms);
	const char *reason = alm_nflog_needed(
		last, &job->entry, in->send_resolved, f->route->repeat_interval_ms);
	if (reason == NULL)
		return;
	if (job->entry.nfiring == 0 && !in->send_resolved) {
		job_logged(job); /* nobody wants to hear it, but the next flush must know */
		return;
	}
	f->pending++;
	job->send = alm_send_start(&send, compose(f, in, reason));
}

void alm_flush_start(struct group *g)
{
	struct flush *f = ops_xcalloc(1, sizeof *f);
	const struct alm_receiver *r = g->pub.route->receiver;

	f->d = g->d;
	f->group = g;
	f->cfg = alm_config_ref(g->d->cfg);
	f->route = g->pub.route;
	f->group_key = ops_xstrdup(g->pub.key);
	f->labels = ops_labels_ref(g->pub.labels);
	f->at_ms = ops_now_ms();
	f->next = g->d->flushes;
	g->d->flushes = f;
	g->flush = f;
	snapshot(f, g);
	select_told(f, g);
	f->njobs = r->n;
	f->jobs = ops_xcalloc(r->n + 1, sizeof f->jobs[0]);
	for (size_t i = 0; f->ntold > 0 && i < r->n; i++) {
		if (r->items[i].kind != ALM_UNSENT)
			start_job(f, &r->items[i], &f->jobs[i]);
	}
	if (f->pending == 0)
		flush_end(f);
}

void alm_flush_detach(struct flush *f)
{
	f->group = NULL;
}

void alm_flush_cancel_all(struct alm_dispatch *d)
{
	while (d->flushes != NULL) {
		struct flush *f = d->flushes;
		for (size_t i = 0; i < f->njobs; i++) {
			if (f->jobs[i].send != NULL)
				alm_send_cancel(f->jobs[i].send);
		}
		d->flushes = f->next;
		if (f->group != NULL)
			f->group->flush = NULL;
		flush_free(f);
	}
}
