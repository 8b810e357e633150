/* SPDX-License-Identifier: Apache-2.0 */
/*
 * targets, debug relabel: what collectors find, what they scrape of it, and why something is not
 * among it. Every collector knows all targets and scrapes its own share. Who they are the detector
 * says (/api/v1/members); their views are one list, in which each target comes from the collector
 * that scrapes it, or from both where a job has replicas.
 */
#include "cli/ctl.h"

#include <stdio.h>
#include <string.h>

enum {
	COLLECTORS_MAX = 64
};

struct view {		 /* of all collectors that were asked */
	json_t *targets; /* what a collector scrapes: with its name in the key */
	json_t *known;	 /* job, url and labels as text -> target, scraped by whomever */
	json_t *dropped; /* list, of the first collector: all have the same */
	json_t *counts;
	int asked, answered;
};

static void view_init(struct view *v)
{
	*v = (struct view){
		.targets = json_object(), .known = json_object(), .dropped = json_array()};
}

static void view_done(struct view *v)
{
	json_decref(v->targets);
	json_decref(v->known);
	json_decref(v->dropped);
	json_decref(v->counts);
}

static char *key_of(const json_t *target)
{
	OPS_CLEANUP(ops_freep) char *labels = ops_json_text(json_object_get(target, "labels"));
	return ops_xasprintf(
		"%s %s %s", ctl_text(target, "scrapePool"), ctl_text(target, "scrapeUrl"), labels);
}

static void add_target(struct view *v, json_t *target, const char *url)
{
	OPS_CLEANUP(ops_freep) char *key = key_of(target);
	bool local = json_is_true(json_object_get(target, "local"));
	const char *name = ctl_text(target, "collector");
	ops_json_set_string(target, "collectorUrl", local ? url : "");
	if (local) {
		OPS_CLEANUP(ops_freep) char *own = ops_xasprintf("%s\n%s", key, name);
		ops_json_set(v->targets, own, json_incref(target));
	}
	ops_json_set(v->known, key, json_incref(target));
}

/* Those that none of the asked ones scrapes are there too, with the names of those that should. */
static void add_unclaimed(struct view *v)
{
	json_t *target, *claimed = json_object();
	const char *key;
	json_object_foreach(v->targets, key, target)
	{
		OPS_CLEANUP(ops_freep) char *plain = key_of(target);
		ops_json_set_bool(claimed, plain, true);
	}
	json_object_foreach(v->known, key, target)
	{
		if (json_object_get(claimed, key) == NULL) {
			ops_json_set_string(target, "collector", "");
			ops_json_set(v->targets, key, json_incref(target));
		}
	}
	json_decref(claimed);
}

static void add_reply(struct view *v, const json_t *reply, const char *collector)
{
	const json_t *data = json_object_get(reply, "data");
	json_t *dropped = json_object_get(data, "droppedTargets"), *target;
	size_t i;
	json_array_foreach(json_object_get(data, "activeTargets"), i, target)
	{
		add_target(v, target, collector);
	}
	if (v->answered == 0 && json_is_array(dropped)) {
		json_decref(v->dropped);
		v->dropped = json_incref(dropped);
		v->counts = json_incref(json_object_get(data, "droppedTargetCounts"));
	}
	v->answered++;
}

static int ask_one(const struct ctl *c, struct view *v, const char *url)
{
	struct ctl one = *c;
	struct ctl_reply r;
	one.url = url;
	int rc = ctl_request(&one, CTL_COLLECTOR, "GET", "/api/v1/targets", NULL, &r);
	if (rc == 0) {
		add_reply(v, r.json, url);
	}
	ctl_reply_done(&r);
	v->asked++;
	return rc;
}

/* Some that do not answer are told; the view is that of the others. */
static int ask_listed(const struct ctl *c, struct view *v, const char *list)
{
	int worst = 0;
	for (const char *s = list; *s != '\0' && v->asked < COLLECTORS_MAX;) {
		size_t len = strcspn(s, ",");
		if (len > 0) {
			OPS_CLEANUP(ops_freep) char *url = ops_xstrndup(s, len);
			int rc = ask_one(c, v, url);
			worst = rc != 0 ? rc : worst;
		}
		s += len + (s[len] == ',');
	}
	return worst;
}

/* URLs of the collectors that the detector hears; empty when it does not answer, or hears none. */
static void list_members(const struct ctl *c, struct ops_strbuf *out)
{
	struct ctl_reply r;
	json_t *member;
	size_t i;
	ctl_call(c, CTL_DETECTOR, "GET", "/api/v1/members", NULL, &r);
	const json_t *data = r.code == 200 ? json_object_get(r.json, "data") : NULL;
	json_array_foreach(json_object_get(data, "members"), i, member)
	{
		if (*ctl_text(member, "url") != '\0') {
			ops_strbuf_printf(out, "%s,", ctl_text(member, "url"));
		}
	}
	ctl_reply_done(&r);
}

static int ask_all(const struct ctl *c, struct view *v)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf members = OPS_STRBUF_INIT;
	const char *list = ctl_flag(c, "collector");
	list = list != NULL ? list : c->url;
	if (list == NULL) {
		list_members(c, &members);
		list = members.len > 0 ? ops_strbuf_text(&members) : ctl_service_url(CTL_COLLECTOR);
	}
	int rc = ask_listed(c, v, list);
	add_unclaimed(v);
	return rc;
}

/* "2/2": the second of the two that scrape it; "-": it has one. */
static void rank_text(const json_t *target, char *buf, size_t size)
{
	const json_t *owners = json_object_get(target, "owners");
	const char *name = ctl_text(target, "collector");
	size_t n = json_array_size(owners);
	snprintf(buf, size, "-");
	for (size_t i = 0; n > 1 && i < n; i++) {
		const char *owner = json_string_value(json_array_get(owners, i));
		if (owner != NULL && strcmp(owner, name) == 0) {
			snprintf(buf, size, "%zu/%zu", i + 1, n);
		}
	}
}

/* Who scrapes it, or should. */
static void add_collector(struct ctl_table *t, const json_t *target)
{
	const json_t *owners = json_object_get(target, "owners");
	struct ops_strbuf names = OPS_STRBUF_INIT;
	if (*ctl_text(target, "collector") != '\0') {
		ctl_table_add(t, ctl_text(target, "collector"));
		return;
	}
	for (size_t i = 0; i < json_array_size(owners); i++) {
		const char *name = json_string_value(json_array_get(owners, i));
		ops_strbuf_printf(&names, "%s%s", i > 0 ? "," : "", name != NULL ? name : "");
	}
	ctl_table_add(t, names.len > 0 ? ops_strbuf_text(&names) : "another");
	ops_strbuf_done(&names);
}

static void print_active(const struct ctl *c, const struct view *v)
{
	struct ctl_table t;
	const char *key;
	json_t *target;
	ctl_table_init(
		&t, "JOB", "URL", "HEALTH", "LAST SCRAPE", "COLLECTOR", "REPLICA", "ERROR", NULL);
	json_object_foreach(v->targets, key, target)
	{
		char last[64], rank[32];
		bool local = json_is_true(json_object_get(target, "local"));
		ctl_relative_time(ctl_text(target, "lastScrape"), last, sizeof(last));
		rank_text(target, rank, sizeof(rank));
		ctl_table_add(&t, ctl_text(target, "scrapePool"));
		ctl_table_add(&t, ctl_text(target, "scrapeUrl"));
		ctl_table_add(&t, ctl_text(target, "health"));
		ctl_table_add(&t, local ? last : "-");
		add_collector(&t, target);
		ctl_table_add(&t, rank);
		ctl_table_add(&t, ctl_text(target, "lastError"));
	}
	ctl_table_print(&t, c);
}

static void print_dropped(const struct ctl *c, const struct view *v)
{
	struct ctl_table t;
	size_t i;
	json_t *target;
	ctl_table_init(&t, "JOB", "LABELS BEFORE RELABELLING", NULL);
	json_array_foreach(v->dropped, i, target)
	{
		OPS_CLEANUP(ops_freep)
		char *labels = ops_json_text(json_object_get(target, "discoveredLabels"));
		ctl_table_add(&t, ctl_text(target, "scrapePool"));
		ctl_table_add(&t, labels);
	}
	ctl_table_print(&t, c);
}

static json_t *view_json(const struct view *v)
{
	json_t *data = json_object(), *all = json_array(), *whole = json_object(), *target;
	const char *key;
	json_object_foreach(v->targets, key, target)
	{
		json_array_append(all, target);
	}
	ops_json_set(data, "activeTargets", all);
	ops_json_set(data, "droppedTargets", json_incref(v->dropped));
	ops_json_set(data, "droppedTargetCounts",
		v->counts != NULL ? json_incref(v->counts) : json_object());
	ops_json_set_string(whole, "status", "success");
	ops_json_set(whole, "data", data);
	return whole;
}

static int run_targets(struct ctl *c)
{
	struct view v;
	view_init(&v);
	int rc = ask_all(c, &v);
	if (v.answered > 0 && c->json) {
		OPS_JSON_AUTO *whole = view_json(&v);
		ctl_print_json(whole);
	} else if (v.answered > 0 && ctl_flag(c, "dropped") != NULL) {
		print_dropped(c, &v);
	} else if (v.answered > 0) {
		print_active(c, &v);
	}
	view_done(&v);
	return rc;
}

/* ---- discovery ---- */

static void print_job(struct ctl_table *t, const json_t *job)
{
	const json_t *list = json_object_get(job, "discoverers");
	size_t n = json_array_size(list);
	for (size_t i = 0; i < n || (n == 0 && i == 0); i++) {
		const json_t *d = json_array_get(list, i);
		char found[32], counts[64];
		const json_t *number =
			json_object_get(d != NULL ? d : job, d != NULL ? "targets" : "static");
		snprintf(found, sizeof(found), "%" JSON_INTEGER_FORMAT, json_integer_value(number));
		snprintf(counts, sizeof(counts), "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
			json_integer_value(json_object_get(job, "active")),
			json_integer_value(json_object_get(job, "dropped")));
		ctl_table_add(t, ctl_text(job, "scrapePool"));
		ctl_table_add(t, d != NULL ? ctl_text(d, "mechanism") : "static");
		ctl_table_add(t, d != NULL ? ctl_text(d, "state") : "ok");
		ctl_table_add(t, found);
		ctl_table_add(t, counts);
		ctl_table_add(t, ctl_text(d, "lastError"));
	}
}

static int run_discovery(struct ctl *c)
{
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_COLLECTOR, "GET", "/api/v1/discovery", NULL, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		struct ctl_table t;
		size_t i;
		json_t *job;
		ctl_table_init(
			&t, "JOB", "MECHANISM", "STATE", "FOUND", "ACTIVE/DROPPED", "ERROR", NULL);
		json_array_foreach(json_object_get(json_object_get(r.json, "data"), "jobs"), i, job)
		{
			print_job(&t, job);
		}
		ctl_table_print(&t, c);
	}
	ctl_reply_done(&r);
	return rc;
}

/* ---- debug relabel ---- */

static bool is_address(const json_t *target, const char *job, const char *address)
{
	return strcmp(ctl_text(target, "scrapePool"), job) == 0 &&
	       strcmp(ctl_text(json_object_get(target, "discoveredLabels"), "__address__"),
		       address) == 0;
}

/* Labels that this step set, changed or removed. */
static void print_changes(const json_t *before, const json_t *after)
{
	json_t *b = (json_t *)(uintptr_t)before, *a = (json_t *)(uintptr_t)after; /* only read */
	const char *name;
	json_t *value;
	json_object_foreach(a, name, value)
	{
		const json_t *old = json_object_get(b, name);
		if (old == NULL || !json_equal((json_t *)(uintptr_t)old, value)) {
			printf("     %s = \"%s\"\n", name, json_string_value(value));
		}
	}
	json_object_foreach(b, name, value)
	{
		if (json_object_get(a, name) == NULL) {
			printf("     %s removed\n", name);
		}
	}
}

static void print_steps(const json_t *target, const json_t *data)
{
	const json_t *before = json_object_get(target, "discoveredLabels");
	const json_t *steps = json_object_get(data, "steps");
	for (size_t i = 0; i < json_array_size(steps); i++) {
		const json_t *step = json_array_get(steps, i);
		const json_t *after = json_object_get(step, "output");
		OPS_CLEANUP(ops_freep) char *rule = ops_json_text(json_object_get(step, "rule"));
		printf("  %zu. %s\n", i + 1, rule);
		if (!json_is_true(json_object_get(step, "keep"))) {
			printf("     dropped by rule %zu\n", i + 1);
			return;
		}
		print_changes(before, after);
		before = after;
	}
	printf("  kept\n");
}

static int explain(const struct ctl *c, const char *job, const json_t *target)
{
	OPS_CLEANUP(ops_freep)
	char *labels = ops_json_text(json_object_get(target, "discoveredLabels"));
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf path = OPS_STRBUF_INIT;
	struct ctl_reply r;
	ops_strbuf_adds(&path, "/api/v1/targets/relabel_steps");
	ctl_url_add(&path, "scrapePool", job);
	ctl_url_add(&path, "labels", labels);
	int rc = ctl_request(c, CTL_COLLECTOR, "GET", ops_strbuf_text(&path), NULL, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		printf("%s %s\n", job, labels);
		print_steps(target, json_object_get(r.json, "data"));
	}
	ctl_reply_done(&r);
	return rc;
}

static int run_debug_relabel(struct ctl *c)
{
	static const char *const lists[] = {"activeTargets", "droppedTargets"};
	struct ctl_reply r;
	int found = 0;
	if (c->nargs != 2) {
		return ctl_usage(c, "needs a job and an address");
	}
	int rc = ctl_request(c, CTL_COLLECTOR, "GET", "/api/v1/targets", NULL, &r);
	for (size_t k = 0; rc == 0 && k < OPS_LENGTH(lists); k++) {
		const json_t *list = json_object_get(json_object_get(r.json, "data"), lists[k]);
		for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
			const json_t *target = json_array_get(list, i);
			if (is_address(target, c->args[0], c->args[1])) {
				rc = explain(c, c->args[0], target);
				found++;
			}
		}
	}
	ctl_reply_done(&r);
	if (rc == 0 && found == 0) {
		return ctl_fail(CTL_FAILED,
			"%s has no target with the address %s, nor dropped one that it remembers",
			c->args[0], c->args[1]);
	}
	return rc;
}

const struct ctl_command ctl_metric_commands[] = {
	{"targets", "", "what is scraped, by which collector, and how that went",
		{{"collector", "URL",
			 "ask this one, or several separated by commas, instead of those that the "
			 "detector hears"},
			{"dropped", NULL, "what relabelling dropped instead"}, {NULL, NULL, NULL}},
		run_targets},
	{"discovery", "", "ways of finding targets, how they fare and what they found",
		{{NULL, NULL, NULL}}, run_discovery},
	{"debug relabel", "JOB ADDRESS", "rule by rule, why a target is kept or dropped",
		{{NULL, NULL, NULL}}, run_debug_relabel},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
