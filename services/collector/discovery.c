/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One runs for each different setting: two jobs with the same kubernetes_sd_configs entry share one
 * watch. Settings are the same when their text is (a hash over the parsed tree, comments and layout
 * apart) and their class is.
 *
 * Changes are told after SETTLE_MS, and then at most once in PAUSE_MS: building the targets of a
 * large configuration costs time, and a rollout changes groups many times a second.
 */
#include "services/collector/discovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/metrics/metrics.h"

enum {
	SETTLE_MS = 20,
	PAUSE_MS = 1000
};

static struct ops_metric discovered = OPS_GAUGE("prometheus_sd_discovered_targets",
	"Targets found for a job, before relabelling.", "config");
static struct ops_metric failing = OPS_GAUGE("prometheus_sd_failed_configs",
	"Ways of finding targets whose last look failed.", "mechanism");
static struct ops_metric succeeded = OPS_GAUGE("ops_collector_sd_last_success_timestamp_seconds",
	"When a way of finding targets last succeeded.", "config", "mechanism");

struct running {
	struct col_sd *sd;
	bool keep; /* while a configuration is applied */
};

struct col_discovery {
	struct col_discovery_config cfg;
	struct col_sd_env env;
	struct ops_map *running; /* class and hash -> struct running */
	struct ops_timer *timer;
	int64_t told_ms; /* monotonic */
};

static void on_timer(void *arg)
{
	struct col_discovery *d = arg;
	d->told_ms = ops_mono_ms();
	d->cfg.on_change(d->cfg.arg);
}

static void on_change(void *arg)
{
	struct col_discovery *d = arg;
	if (ops_timer_pending(d->timer)) {
		return;
	}
	int64_t next = d->told_ms + PAUSE_MS - ops_mono_ms();
	ops_timer_start(d->timer, OPS_MAX(next, (int64_t)SETTLE_MS));
}

struct col_discovery *col_discovery_new(const struct col_discovery_config *cfg)
{
	struct col_discovery *d = ops_xcalloc(1, sizeof(*d));
	d->cfg = *cfg;
	d->env = (struct col_sd_env){.loop = cfg->loop,
		.client = cfg->client,
		.tokens = cfg->tokens,
		.on_change = on_change,
		.arg = d};
	d->running = ops_map_new();
	d->timer = ops_timer_new(cfg->loop, on_timer, d);
	d->told_ms = -PAUSE_MS;
	return d;
}

static void running_free(void *arg)
{
	struct running *r = arg;
	col_sd_free(r->sd);
	free(r);
}

void col_discovery_free(struct col_discovery *d)
{
	if (d != NULL) {
		ops_map_free(d->running, running_free);
		ops_timer_free(d->timer);
		free(d);
	}
}

static void name_of(const struct col_sd_setting *s, char *buf, size_t size)
{
	snprintf(buf, size, "%s %016" PRIx64, s->class->name, s->hash);
}

static void apply_one(struct col_discovery *d, const struct col_sd_setting *s)
{
	char name[64];
	name_of(s, name, sizeof(name));
	struct running *r = ops_map_gets(d->running, name);
	if (r == NULL) {
		r = ops_xcalloc(1, sizeof(*r));
		r->sd = col_sd_new(s->class, s->settings, &d->env);
		(void)ops_map_puts(d->running, name, r);
	}
	r->sd->settings = s->settings;
	r->keep = true;
}

void col_discovery_apply(struct col_discovery *d, const struct col_config *config)
{
	struct ops_map_entry e;
	for (size_t i = 0; i < config->njobs; i++) {
		for (size_t k = 0; k < config->jobs[i].nsds; k++) {
			apply_one(d, &config->jobs[i].sds[k]);
		}
	}
	for (size_t at = 0; ops_map_next(d->running, &at, &e);) {
		struct running *r = e.value;
		if (!r->keep) {
			running_free(ops_map_remove(d->running, e.key, e.len));
			continue;
		}
		r->keep = false;
	}
}

const struct col_sd *col_discovery_of(
	const struct col_discovery *d, const struct col_job *job, size_t i)
{
	char name[64];
	name_of(&job->sds[i], name, sizeof(name));
	const struct running *r = ops_map_gets(d->running, name);
	return r != NULL ? r->sd : NULL;
}

/* ---- numbers ---- */

static void count_job(const struct col_discovery *d, const struct col_job *job)
{
	size_t n = 0;
	for (size_t i = 0; i < job->ngroups; i++) {
		n += job->groups[i].ntargets;
	}
	for (size_t i = 0; i < job->nsds; i++) {
		const struct col_sd *sd = col_discovery_of(d, job, i);
		n += col_sd_targets(sd);
		if (sd->ok_ms > 0) {
			ops_metric_set(
				&succeeded, (double)sd->ok_ms / 1000, job->name, sd->class->name);
		}
	}
	ops_metric_set(&discovered, (double)n, job->name);
}

void col_discovery_count(const struct col_discovery *d, const struct col_config *config)
{
	for (size_t i = 0; i < config->njobs; i++) {
		count_job(d, &config->jobs[i]);
	}
	for (size_t i = 0; col_sd_classes[i] != NULL; i++) {
		struct ops_map_entry e;
		size_t n = 0;
		for (size_t at = 0; ops_map_next(d->running, &at, &e);) {
			const struct col_sd *sd = ((const struct running *)e.value)->sd;
			n += sd->class == col_sd_classes[i] && sd->failures > 0;
		}
		ops_metric_set(&failing, (double)n, col_sd_classes[i]->name);
	}
}
