/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps are those of the Prometheus documentation: labels of the group, __address__ and the
 * settings of the job as __ labels, relabelling, then the __ labels say where and how to scrape and
 * are dropped. A default port is not added, as in Prometheus 3.
 */
#include "services/collector/targets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

#define PARAM_PREFIX "__param_"

static struct ops_metric sync_failed = OPS_COUNTER("prometheus_target_sync_failed_total",
	"Targets that could not be made from what was discovered.", "scrape_job");
static struct ops_metric over_limit =
	OPS_COUNTER("prometheus_target_scrape_pool_exceeded_target_limit_total",
		"Times a job had more targets than its target_limit.", "scrape_job");

struct build {
	struct col_targets *out;
	const struct col_job *job;
	struct col_pool_count *count; /* of the job */
	struct ops_map *keys;	      /* of the targets so far */
	struct ops_map *instances;    /* job and instance labels that are taken */
};

void col_target_free(struct col_target *t)
{
	if (t == NULL) {
		return;
	}
	ops_labels_unref(t->discovered);
	ops_labels_unref(t->labels);
	free(t->key);
	free(t->url);
	free(t->instance);
	free(t);
}

void col_targets_done(struct col_targets *t)
{
	for (size_t i = 0; i < t->n; i++) {
		col_target_free(t->items[i]);
	}
	for (size_t i = 0; i < t->ndropped; i++) {
		ops_labels_unref(t->dropped[i].discovered);
	}
	free(t->items);
	free(t->dropped);
	free(t->counts);
	*t = (struct col_targets){.n = 0};
}

/* ---- labels ---- */

static void set_default(struct ops_labels_builder *b, const char *name, const char *value)
{
	if (ops_labels_builder_get(b, name) == NULL) {
		ops_labels_builder_set(b, name, value);
	}
}

static void add_settings(struct ops_labels_builder *b, const struct col_job *job)
{
	char text[32];
	set_default(b, "job", job->name);
	set_default(b, "__scheme__", job->scheme);
	set_default(b, "__metrics_path__", job->metrics_path);
	set_default(b, "__scrape_interval__",
		ops_duration_format(job->interval_ms, text, sizeof(text)));
	set_default(
		b, "__scrape_timeout__", ops_duration_format(job->timeout_ms, text, sizeof(text)));
	for (size_t i = 0; i < job->nparams; i++) {
		if (job->params[i].n > 0) {
			OPS_CLEANUP(ops_freep)
			char *name = ops_xasprintf(PARAM_PREFIX "%s", job->params[i].name);
			set_default(b, name, job->params[i].values[0]);
		}
	}
}

/* The labels of its series: without those that start with __. */
static struct ops_labels *public_labels(const struct ops_labels_builder *b)
{
	struct ops_labels_builder to;
	ops_labels_builder_init(&to);
	for (size_t i = 0; i < b->n; i++) {
		if (!ops_str_starts(b->items[i].name, "__")) {
			ops_labels_builder_set(&to, b->items[i].name, b->items[i].value);
		}
	}
	set_default(&to, "instance", ops_labels_builder_get(b, "__address__"));
	struct ops_labels *ls = ops_labels_builder_build(&to);
	ops_labels_builder_done(&to);
	return ls;
}

/* ---- URL ---- */

static void add_param(struct ops_strbuf *out, bool *first, const char *name, const char *value)
{
	ops_strbuf_addc(out, *first ? '?' : '&');
	*first = false;
	ops_strbuf_add_url(out, name, strlen(name));
	ops_strbuf_addc(out, '=');
	ops_strbuf_add_url(out, value, strlen(value));
}

static bool is_param_of_job(const struct col_job *job, const char *name)
{
	for (size_t i = 0; i < job->nparams; i++) {
		if (job->params[i].n > 0 && strcmp(job->params[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

/* The first value of a parameter comes from its __param_ label, further ones from the job. */
static void add_params(
	struct ops_strbuf *out, const struct ops_labels_builder *b, const struct col_job *job)
{
	bool first = strchr(ops_strbuf_text(out), '?') == NULL;
	for (size_t i = 0; i < job->nparams; i++) {
		const struct col_param *p = &job->params[i];
		OPS_CLEANUP(ops_freep) char *label = ops_xasprintf(PARAM_PREFIX "%s", p->name);
		const char *value = ops_labels_builder_get(b, label);
		for (size_t k = 0; k < p->n; k++) {
			add_param(out, &first, p->name,
				k == 0 && value != NULL ? value : p->values[k]);
		}
	}
	for (size_t i = 0; i < b->n; i++) {
		const char *name = b->items[i].name;
		if (!ops_str_starts(name, PARAM_PREFIX)) {
			continue;
		}
		name += sizeof(PARAM_PREFIX) - 1;
		if (!is_param_of_job(job, name)) {
			add_param(out, &first, name, b->items[i].value);
		}
	}
}

static char *make_url(const struct ops_labels_builder *b, const struct col_job *job)
{
	const char *path = ops_labels_builder_get(b, "__metrics_path__");
	const char *scheme = ops_labels_builder_get(b, "__scheme__");
	struct ops_strbuf out = OPS_STRBUF_INIT;
	path = path != NULL ? path : "";
	ops_strbuf_printf(&out, "%s://%s%s%s", scheme != NULL ? scheme : "http",
		ops_labels_builder_get(b, "__address__"),
		path[0] == '/' || path[0] == '\0' ? "" : "/", path);
	add_params(&out, b, job);
	return ops_strbuf_take(&out);
}

/* ---- one target ---- */

static const char *check_address(const struct ops_labels_builder *b)
{
	const char *address = ops_labels_builder_get(b, "__address__");
	const char *scheme = ops_labels_builder_get(b, "__scheme__");
	if (address == NULL) {
		return "no address";
	}
	if (strpbrk(address, "/?#@ \t\r\n") != NULL) {
		return "the address is not a host name with an optional port";
	}
	if (scheme != NULL && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
		return "the scheme is not http or https";
	}
	return NULL;
}

static const char *read_times(const struct ops_labels_builder *b, struct col_target *t)
{
	const char *interval = ops_labels_builder_get(b, "__scrape_interval__");
	const char *timeout = ops_labels_builder_get(b, "__scrape_timeout__");
	if (interval == NULL || timeout == NULL ||
		ops_duration_parse(interval, strlen(interval), &t->interval_ms) != 0 ||
		ops_duration_parse(timeout, strlen(timeout), &t->timeout_ms) != 0 ||
		t->interval_ms <= 0 || t->timeout_ms <= 0) {
		return "the scrape interval or timeout is not a duration above 0";
	}
	return t->timeout_ms > t->interval_ms ? "the scrape timeout is longer than the interval"
					      : NULL;
}

/* keep_dropped_targets bounds what a job keeps, COL_DROPPED_MAX what all together do. */
static void drop(struct build *b, struct ops_labels *discovered)
{
	struct col_targets *out = b->out;
	int64_t limit = b->job->limits.dropped;
	out->dropped_total++;
	b->count->dropped++;
	if (out->ndropped == COL_DROPPED_MAX || (limit > 0 && b->count->dropped > (size_t)limit)) {
		ops_labels_unref(discovered);
		return;
	}
	OPS_GROW(out->dropped, out->ndropped, out->cap_dropped);
	out->dropped[out->ndropped++] = (struct col_dropped){b->job, discovered};
}

static void refuse(struct build *b, struct col_target *t, const char *why)
{
	log_warn("could not make a target", F_STR("job", b->job->name),
		F_STR("address", ops_labels_get(t->discovered, "__address__")),
		F_STR("error", why));
	ops_metric_add(&sync_failed, 1, b->job->name);
	col_target_free(t);
}

/*
 * Whoever reads the samples tells the layouts of two targets apart by job and instance. Two targets
 * may share both (other labels, other parameters), so the second gets a name of its own there.
 */
static void name_instance(struct build *b, struct col_target *t)
{
	const char *job = ops_labels_get(t->labels, "job");
	const char *instance = ops_labels_get(t->labels, "instance");
	struct ops_strbuf both = OPS_STRBUF_INIT;
	instance = instance != NULL ? instance : "";
	ops_strbuf_printf(&both, "%s\n%s", job != NULL ? job : "", instance);
	bool taken = ops_map_puts(b->instances, ops_strbuf_text(&both), t) != NULL;
	t->instance =
		taken ? ops_xasprintf("%s#%016" PRIx64, instance, t->hash) : ops_xstrdup(instance);
	ops_strbuf_done(&both);
}

static void add(struct build *b, struct col_target *t)
{
	struct ops_strbuf key = OPS_STRBUF_INIT;
	ops_strbuf_printf(&key, "%s\n%s\n", b->job->name, t->url);
	ops_labels_print(t->labels, &key);
	t->hash = ops_hash64(ops_strbuf_text(&key), key.len, 0);
	t->key = ops_strbuf_take(&key);
	if (ops_map_gets(b->keys, t->key) != NULL) {
		col_target_free(t);
		return;
	}
	(void)ops_map_puts(b->keys, t->key, t);
	name_instance(b, t);
	OPS_GROW(b->out->items, b->out->n, b->out->cap);
	b->out->items[b->out->n++] = t;
}

/* Takes nothing; labels is what was discovered. */
static void make_target(struct build *b, struct ops_labels_builder *labels)
{
	add_settings(labels, b->job);
	struct ops_labels *discovered = ops_labels_builder_build(labels);
	if (!ops_relabel_apply(&b->job->relabel, labels)) {
		drop(b, discovered);
		return;
	}
	struct col_target *t = ops_xcalloc(1, sizeof(*t));
	t->job = b->job;
	t->discovered = discovered;
	const char *why = check_address(labels);
	why = why != NULL ? why : read_times(labels, t);
	if (why != NULL) {
		refuse(b, t, why);
		return;
	}
	t->url = make_url(labels, b->job);
	t->labels = public_labels(labels);
	add(b, t);
}

static void add_static(struct build *b, const struct col_static_group *group)
{
	for (size_t i = 0; i < group->ntargets; i++) {
		struct ops_labels_builder labels;
		ops_labels_builder_from(&labels, group->labels);
		ops_labels_builder_set(&labels, "__address__", group->targets[i]);
		make_target(b, &labels);
		ops_labels_builder_done(&labels);
	}
}

static void add_group(struct build *b, const struct col_group *group)
{
	for (size_t i = 0; i < group->n; i++) {
		struct ops_labels_builder labels;
		ops_labels_builder_from(&labels, group->labels[i]);
		make_target(b, &labels);
		ops_labels_builder_done(&labels);
	}
}

static void build_job(struct build *b, const struct col_discovery *d)
{
	size_t first = b->out->n;
	for (size_t i = 0; i < b->job->ngroups; i++) {
		add_static(b, &b->job->groups[i]);
	}
	for (size_t i = 0; d != NULL && i < b->job->nsds; i++) {
		const struct col_sd *sd = col_discovery_of(d, b->job, i);
		for (size_t k = 0; sd != NULL && k < sd->n; k++) {
			add_group(b, sd->groups[k]);
		}
	}
	b->count->targets = b->out->n - first;
	int64_t limit = b->job->limits.targets;
	if (limit > 0 && (int64_t)(b->out->n - first) > limit) {
		ops_metric_add(&over_limit, 1, b->job->name);
		for (size_t i = first; i < b->out->n; i++) {
			b->out->items[i]->over_limit = true;
		}
	}
}

void col_targets_build(
	const struct col_config *config, const struct col_discovery *d, struct col_targets *ret)
{
	*ret = (struct col_targets){.counts = ops_xcalloc(config->njobs + 1, sizeof(*ret->counts))};
	struct build b = {.out = ret, .keys = ops_map_new(), .instances = ops_map_new()};
	for (size_t i = 0; i < config->njobs; i++) {
		b.job = &config->jobs[i];
		b.count = &ret->counts[i];
		build_job(&b, d);
	}
	ops_map_free(b.keys, NULL);
	ops_map_free(b.instances, NULL);
}
