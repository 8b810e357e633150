/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was found, and what became of it: for people at /targets and /service-discovery (text, or
 * JSON when asked for), for programs at /api/v1/discovery, and rule by rule at
 * /api/v1/targets/relabel_steps, which answers "why is my target not there".
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/msg/fields.h"
#include "services/collector/service.h"

enum {
	LABELS_MAX_BYTES = 64 * 1024,
	RULES_MAX = 1000
};

static void reply_success(struct ops_http_req *req, json_t *data)
{
	json_t *whole = json_object();
	ops_json_set_string(whole, "status", "success");
	ops_json_set(whole, "data", data);
	ops_http_reply_json(req, 200, whole);
}

static void reply_bad(struct ops_http_req *req, int code, const char *error)
{
	json_t *whole = json_object();
	ops_json_set_string(whole, "status", "error");
	ops_json_set_string(whole, "errorType", code == 404 ? "not_found" : "bad_data");
	ops_json_set_string(whole, "error", error);
	ops_http_reply_json(req, code, whole);
}

static const struct col_job *find_job(const struct col_service *s, const char *name, size_t *ret_at)
{
	for (size_t i = 0; name != NULL && i < s->scrape_config->njobs; i++) {
		if (strcmp(s->scrape_config->jobs[i].name, name) == 0) {
			*ret_at = i;
			return &s->scrape_config->jobs[i];
		}
	}
	return NULL;
}

/* ---- what was found ---- */

static json_t *discoverer_json(const struct col_sd *sd)
{
	json_t *j = json_object();
	ops_json_set_string(j, "mechanism", sd->class->name);
	ops_json_set_string(j, "state", col_sd_state(sd));
	ops_json_set_string(j, "lastError", sd->error);
	ops_json_set_time(j, "lastSuccess", sd->ok_ms);
	ops_json_set_i64(j, "failures", sd->failures);
	ops_json_set_i64(j, "groups", (int64_t)sd->n);
	ops_json_set_i64(j, "targets", (int64_t)col_sd_targets(sd));
	return j;
}

static size_t static_targets(const struct col_job *job)
{
	size_t n = 0;
	for (size_t i = 0; i < job->ngroups; i++) {
		n += job->groups[i].ntargets;
	}
	return n;
}

static json_t *job_json(const struct col_service *s, size_t i)
{
	const struct col_job *job = &s->scrape_config->jobs[i];
	size_t found = static_targets(job);
	json_t *j = json_object(), *list = json_array();
	for (size_t k = 0; k < job->nsds; k++) {
		const struct col_sd *sd = col_discovery_of(s->discovery, job, k);
		if (sd != NULL) {
			found += col_sd_targets(sd);
			json_array_append_new(list, discoverer_json(sd));
		}
	}
	ops_json_set_string(j, "scrapePool", job->name);
	ops_json_set_i64(j, "discovered", (int64_t)found);
	ops_json_set_i64(j, "active", (int64_t)s->dropped.counts[i].targets);
	ops_json_set_i64(j, "dropped", (int64_t)s->dropped.counts[i].dropped);
	ops_json_set_i64(j, "static", (int64_t)static_targets(job));
	ops_json_set(j, "discoverers", list);
	return j;
}

static json_t *jobs_json(const struct col_service *s)
{
	json_t *jobs = json_array(), *data = json_object();
	for (size_t i = 0; s->discovery != NULL && i < s->scrape_config->njobs; i++) {
		json_array_append_new(jobs, job_json(s, i));
	}
	ops_json_set(data, "jobs", jobs);
	return data;
}

static void on_discovery(struct ops_http_req *req, void *arg)
{
	reply_success(req, jobs_json(arg));
}

/* ---- rule by rule ---- */

static json_t *written_json(const struct ops_conf_node *node)
{
	if (node == NULL || node->type == OPS_CONF_SCALAR) {
		return json_string(node != NULL ? node->text : "");
	}
	bool list = node->type == OPS_CONF_SEQUENCE;
	json_t *j = list ? json_array() : json_object();
	for (size_t i = 0; i < node->n; i++) {
		json_t *value = written_json(node->items[i]);
		if (list) {
			json_array_append_new(j, value);
		} else {
			ops_json_set(j, node->keys[i]->text, value);
		}
	}
	return j;
}

static json_t *labels_json(struct ops_labels_builder *b)
{
	struct ops_labels *ls = ops_labels_builder_build(b);
	json_t *j = ops_msg_labels_json(ls);
	ops_labels_unref(ls);
	return j;
}

static json_t *steps_json(const struct col_job *job, struct ops_labels_builder *labels)
{
	json_t *steps = json_array(), *data = json_object();
	bool keep = true;
	for (size_t i = 0; keep && i < job->relabel.n && i < RULES_MAX; i++) {
		const struct ops_relabel one = {&job->relabel.rules[i], 1};
		const struct ops_conf_node *written = job->relabel_written;
		json_t *step = json_object();
		keep = ops_relabel_apply(&one, labels);
		ops_json_set(step, "rule",
			written_json(written != NULL && i < written->n ? written->items[i] : NULL));
		ops_json_set(step, "output", labels_json(labels));
		ops_json_set_bool(step, "keep", keep);
		json_array_append_new(steps, step);
	}
	ops_json_set(data, "steps", steps);
	ops_json_set_bool(data, "keep", keep);
	return data;
}

static int read_labels(const char *text, struct ops_labels_builder *to, struct ops_error *err)
{
	OPS_JSON_AUTO *object = NULL;
	int r = ops_json_parse(text, strlen(text), LABELS_MAX_BYTES, &object, err);
	if (r != 0) {
		return r;
	}
	if (!json_is_object(object)) {
		return ops_error_set(err, -EINVAL, "labels must be a JSON object");
	}
	for (void *at = json_object_iter(object); at != NULL;
		at = json_object_iter_next(object, at)) {
		const char *value = json_string_value(json_object_iter_value(at));
		if (value == NULL) {
			return ops_error_set(err, -EINVAL, "the value of label %.100s is no string",
				json_object_iter_key(at));
		}
		ops_labels_builder_set(to, json_object_iter_key(at), value);
	}
	return 0;
}

static void on_relabel_steps(struct ops_http_req *req, void *arg)
{
	const struct col_service *s = arg;
	const char *labels = ops_http_param(req, "labels");
	size_t at = 0;
	const struct col_job *job = find_job(s, ops_http_param(req, "scrapePool"), &at);
	struct ops_labels_builder b;
	struct ops_error err;
	if (job == NULL) {
		reply_bad(req, 404, "there is no scrapePool of this name");
		return;
	}
	ops_labels_builder_init(&b);
	if (read_labels(labels != NULL ? labels : "{}", &b, &err) != 0) {
		reply_bad(req, 400, err.message);
	} else {
		reply_success(req, steps_json(job, &b));
	}
	ops_labels_builder_done(&b);
}

/* ---- for people ---- */

static bool wants_json(const struct ops_http_req *req)
{
	const char *accept = ops_http_header(req, "Accept");
	return accept != NULL && strstr(accept, "application/json") != NULL;
}

static void reply_page(struct ops_http_req *req, struct ops_strbuf *text)
{
	ops_http_reply(req, 200, "text/plain; charset=utf-8", ops_strbuf_text(text), text->len);
	ops_strbuf_done(text);
}

static void on_service_discovery(struct ops_http_req *req, void *arg)
{
	const struct col_service *s = arg;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	if (wants_json(req)) {
		reply_success(req, jobs_json(s));
		return;
	}
	for (size_t i = 0; s->discovery != NULL && i < s->scrape_config->njobs; i++) {
		const struct col_job *job = &s->scrape_config->jobs[i];
		const struct col_pool_count *n = &s->dropped.counts[i];
		ops_strbuf_printf(
			&out, "%s: %zu active, %zu dropped\n", job->name, n->targets, n->dropped);
		if (job->ngroups > 0) {
			ops_strbuf_printf(&out, "  static: %zu targets\n", static_targets(job));
		}
		for (size_t k = 0; k < job->nsds; k++) {
			const struct col_sd *sd = col_discovery_of(s->discovery, job, k);
			ops_strbuf_printf(&out, "  %s: %s, %zu targets in %zu groups%s%s\n",
				sd->class->name, col_sd_state(sd), col_sd_targets(sd), sd->n,
				sd->error[0] != '\0' ? "; " : "", sd->error);
		}
	}
	for (size_t i = 0; i < s->dropped.ndropped; i++) {
		const struct col_dropped *d = &s->dropped.dropped[i];
		ops_strbuf_printf(&out, "dropped from %s: ", d->job->name);
		ops_labels_print(d->discovered, &out);
		ops_strbuf_addc(&out, '\n');
	}
	reply_page(req, &out);
}

static int compare_scrapers(const void *a, const void *b)
{
	const struct col_scraper *const *x = a, *const *y = b;
	return strcmp((*x)->target->key, (*y)->target->key);
}

static void print_target(const struct col_scraper *x, struct ops_strbuf *out)
{
	bool ours = x->ours;
	int64_t ago = x->last_scrape_ms > 0 ? ops_now_ms() - x->last_scrape_ms : -1;
	ops_strbuf_printf(out, "%-8s %s %s ", ours ? col_health_text(x->health) : "other",
		x->target->job->name, x->target->url);
	ops_labels_print(x->target->labels, out);
	if (ago >= 0) {
		ops_strbuf_printf(out, " %" PRId64 ".%" PRId64 " s ago in %.0f ms", ago / 1000,
			ago % 1000 / 100, x->last_duration * 1000);
	}
	ops_strbuf_printf(out, "%s%s\n", x->last_error[0] != '\0' ? ": " : "", x->last_error);
}

static void on_targets_page(struct ops_http_req *req, void *arg)
{
	const struct col_service *s = arg;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_map_entry e;
	size_t n = 0, total = ops_map_count(s->scraping.scrapers);
	if (wants_json(req)) {
		col_api_reply_targets(req, s);
		return;
	}
	const struct col_scraper **all = ops_xcalloc(total + 1, sizeof(struct col_scraper *));
	for (size_t at = 0; ops_map_next(s->scraping.scrapers, &at, &e);) {
		all[n++] = e.value;
	}
	qsort(all, n, sizeof(struct col_scraper *), compare_scrapers);
	for (size_t i = 0; i < n; i++) {
		print_target(all[i], &out);
	}
	free(all);
	reply_page(req, &out);
}

void col_api_register_discovery(struct col_service *s, struct ops_http_server *http)
{
	static const struct {
		const char *path;
		void (*fn)(struct ops_http_req *req, void *arg);
	} doors[] = {{"/api/v1/discovery", on_discovery},
		{"/api/v1/targets/relabel_steps", on_relabel_steps},
		{"/service-discovery", on_service_discovery}, {"/targets", on_targets_page}};
	for (size_t i = 0; i < OPS_LENGTH(doors); i++) {
		ops_http_route(http, OPS_GET, doors[i].path, OPS_ROLE_VIEWER, doors[i].fn, s);
	}
}
