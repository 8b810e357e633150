/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of what holds alerts back: time intervals, inhibition, silences. */
#include "tests/conformance/conformance.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "common/base/text.h"
#include "services/alertmanager/inhibit.h"
#include "services/alertmanager/silence.h"

/* ---- time intervals ---- */

static int read_intervals(
	struct ops_arena *a, const char *yaml, bool one, struct alm_intervals *ret)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_conf_node *root = NULL;
	struct ops_error err;

	ops_strbuf_adds(&text, one ? "x:\n -\n" : "x:\n");
	conformance_indent(&text, yaml, "  ");
	int rc = ops_conf_load_text(
		a, "intervals", ops_strbuf_text(&text), text.len, NULL, &root, &err);
	return rc == 0 ? alm_intervals_parse(a, ops_conf_get(root, "x"), ret, &err) : rc;
}

/* JSON is YAML. A range from a negative day to a positive one exists in these tables only, never in
 * a file. */
static int read_json_intervals(struct ops_arena *a, const json_t *list, struct alm_intervals *ret)
{
	char *text = json_dumps(list, JSON_ENCODE_ANY);
	char *hit = strstr(text, "\"-31:31\"");
	if (hit != NULL)
		memcpy(hit, "\"001:31\"", 8);
	int rc = read_intervals(a, text, false, ret);
	free(text);
	return rc;
}

static void run_muted_by(
	struct conformance_run *run, const json_t *c, struct ops_arena *a, int64_t at_ms)
{
	struct ops_strbuf got OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_strbuf wanted OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	json_t *named = json_object_get(c, "named_intervals"),
	       *names = json_object_get(c, "muted_by"), *list;
	const char *name;

	json_object_foreach(named, name, list)
	{
		struct alm_intervals iv = {0};
		if (read_json_intervals(a, list, &iv) == 0 && alm_intervals_contain(&iv, at_ms))
			ops_strbuf_printf(&got, "%s ", name);
		alm_intervals_done(&iv);
	}
	for (size_t i = 0; i < json_array_size(names); i++)
		ops_strbuf_printf(&wanted, "%s ", json_string_value(json_array_get(names, i)));
	conformance_equal(run, c, ops_strbuf_text(&got), ops_strbuf_text(&wanted));
}

static void run_contained(
	struct conformance_run *run, const json_t *c, struct ops_arena *a, int64_t at_ms)
{
	const char *list = json_string_value(json_object_get(c, "intervals_yaml"));
	const char *one = json_string_value(json_object_get(c, "interval_yaml"));
	struct alm_intervals iv = {0};
	int rc = list != NULL  ? read_intervals(a, list, false, &iv)
		 : one != NULL ? read_intervals(a, one, true, &iv)
			       : read_json_intervals(a, json_object_get(c, "intervals"), &iv);
	bool inside = rc == 0 && alm_intervals_contain(&iv, at_ms);

	conformance_equal(run, c,
		rc != 0	 ? "refused"
		: inside ? "inside"
			 : "outside",
		json_is_true(json_object_get(c, "contained")) ? "inside" : "outside");
	alm_intervals_done(&iv);
}

static void run_interval_parse(struct conformance_run *run, const json_t *c, struct ops_arena *a)
{
	struct ops_strbuf got OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_strbuf wanted OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	const char *range = json_string_value(json_object_get(c, "yaml_time_range"));
	const char *list = json_string_value(json_object_get(c, "yaml_list"));
	const json_t *start = json_object_get(c, "start_minute");
	struct alm_intervals iv = {0};
	char *text = range != NULL ? ops_xasprintf("- times: [%s]", range) : ops_xstrdup(list);
	int rc = read_intervals(a, text, false, &iv);

	free(text);
	ops_strbuf_adds(&got, rc == 0 ? "accepted" : "refused");
	ops_strbuf_adds(&wanted, json_is_true(json_object_get(c, "ok")) ? "accepted" : "refused");
	if (start != NULL && rc == 0) {
		ops_strbuf_printf(&got, " %d-%d", iv.items[0].times.items[0].begin,
			iv.items[0].times.items[0].end);
		ops_strbuf_printf(&wanted, " %lld-%lld", (long long)json_integer_value(start),
			(long long)json_integer_value(json_object_get(c, "end_minute")));
	}
	conformance_equal(run, c, ops_strbuf_text(&got), ops_strbuf_text(&wanted));
	alm_intervals_done(&iv);
}

static void run_interval(struct conformance_run *run, const json_t *file, const json_t *c)
{
	const char *instant = json_string_value(json_object_get(c, "instant"));
	struct ops_arena a;
	int64_t at_ms = 0;
	(void)file;

	ops_arena_init(&a);
	if (instant == NULL)
		run_interval_parse(run, c, &a);
	else if (ops_time_parse(instant, strlen(instant), &at_ms) != 0)
		conformance_fail(run, c, "instant cannot be read", instant);
	else if (json_object_get(c, "named_intervals") != NULL)
		run_muted_by(run, c, &a, at_ms);
	else
		run_contained(run, c, &a, at_ms);
	ops_arena_done(&a);
}

/* ---- inhibition ---- */

enum {
	NOW_S = 1700000000
};

static int64_t fixed_now(void)
{
	return (int64_t)NOW_S * 1000;
}

static int64_t seconds(const json_t *c, const char *key, int64_t fallback_s)
{
	const json_t *v = json_object_get(c, key);
	return (NOW_S + (json_is_number(v) ? (int64_t)json_number_value(v) : fallback_s)) * 1000;
}

static void on_change(void *arg, struct alm_alert *a, enum alm_change change)
{
	(void)arg, (void)a, (void)change;
}

/* has_equal: the source side is given, so a label that only the sources have stands for it. */
static void inhibit_config(const json_t *c, struct ops_strbuf *out)
{
	json_t *rules = json_incref(json_object_get(c, "inhibit_rules"));
	if (rules == NULL)
		rules = json_pack("[{s:[s],s:[s],s:O}]", "source_matchers", "is_source=1",
			"target_matchers", "is_source!=1", "equal", json_object_get(c, "equal"));
	char *text = json_dumps(rules, 0);
	ops_strbuf_printf(
		out, "route: {receiver: r}\nreceivers: [{name: r}]\ninhibit_rules: %s\n", text);
	free(text);
	json_decref(rules);
}

static void put_alerts(struct alm_alerts *store, const json_t *list, bool mark)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *j = json_array_get(list, i);
		json_t *obj = json_deep_copy(json_object_get(j, "labels"));
		struct ops_labels *labels = NULL;
		if (mark)
			json_object_set_new(obj, "is_source", json_string("1"));
		if (alm_labels_from_json(obj, &labels, NULL) == 0) {
			struct alm_alert *a = alm_alert_new(labels, NULL);
			a->starts_at_ms = seconds(j, "starts_at_s", -60);
			a->ends_at_ms = seconds(j, "ends_at_s", 3600);
			a->updated_at_ms = fixed_now() + (int64_t)i;
			(void)!alm_alerts_put(store, a);
		}
		json_decref(obj);
	}
}

static void run_inhibit(struct conformance_run *run, const json_t *file, const json_t *c)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	char *dir = tempdir_make();
	struct alm_alerts *store = NULL;
	struct alm_config *cfg = NULL;
	struct ops_labels *target = NULL;
	struct ops_error err = {0};
	uint64_t by = 0;
	bool equal = json_object_get(c, "inhibit_rules") == NULL;
	(void)file;

	ops_clock_fake(fixed_now);
	inhibit_config(c, &text);
	const struct alm_alerts_config conf = {.dir = dir, .on_change = on_change};
	bool ready = alm_config_parse(
			     "inhibit", ops_strbuf_text(&text), text.len, NULL, &cfg, &err) == 0 &&
		     alm_alerts_open(&conf, &store, &err) == 0 &&
		     alm_labels_from_json(json_object_get(c, "target"), &target, &err) == 0;
	if (ready) {
		struct alm_inhibitor *in = alm_inhibitor_new(cfg, store);
		put_alerts(store, json_object_get(c, equal ? "source_alerts" : "alerts"), equal);
		conformance_equal(run, c,
			alm_inhibited(in, target, fixed_now(), &by) ? "inhibited" : "free",
			json_is_true(json_object_get(c, "inhibited")) ? "inhibited" : "free");
		alm_inhibitor_free(in);
	} else {
		conformance_fail(run, c, err.message, "a case that can be set up");
	}
	ops_labels_unref(target);
	alm_alerts_close(store);
	alm_config_unref(cfg);
	ops_clock_fake(NULL);
	tempdir_remove(dir);
}

/* ---- silences ---- */

static int add_matcher(struct ops_matchers *ms, const json_t *m)
{
	static const enum ops_match_op all[] = {
		OPS_MATCH_EQ, OPS_MATCH_NE, OPS_MATCH_RE, OPS_MATCH_NRE};
	struct ops_strbuf name OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_strbuf value OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	const char *op = json_string_value(json_object_get(m, "op"));
	const char *key = json_object_get(m, "value") != NULL ? "value" : "pattern";

	if (op == NULL || !conformance_text(m, "name", &name) || !conformance_text(m, key, &value))
		return -1;
	for (size_t i = 0; i < OPS_LENGTH(all); i++) {
		if (strcmp(ops_match_op_text(all[i]), op) == 0)
			return ops_matchers_add(
				ms, all[i], ops_strbuf_text(&name), ops_strbuf_text(&value), NULL);
	}
	return -1;
}

static struct alm_silence *silence_of(const json_t *set, int64_t starts_ms, int64_t ends_ms)
{
	struct alm_silence *s = alm_silence_new();
	for (size_t i = 0; i < json_array_size(set); i++) {
		if (add_matcher(&s->matchers, json_array_get(set, i)) != 0) {
			alm_silence_free(s);
			return NULL;
		}
	}
	s->starts_at_ms = starts_ms;
	s->ends_at_ms = ends_ms;
	return s;
}

static int64_t time_or_zero(const json_t *c, const char *key)
{
	return json_is_number(json_object_get(c, key)) ? seconds(c, key, 0) : 0;
}

static bool any_set_matches(const json_t *c)
{
	const json_t *sets = json_object_get(c, "matcher_sets");
	struct ops_labels *labels = NULL;
	bool hit = false;

	if (alm_labels_from_json(json_object_get(c, "labels"), &labels, NULL) != 0)
		return false;
	for (size_t i = 0; i < json_array_size(sets) && !hit; i++) {
		struct alm_silence *s = silence_of(json_array_get(sets, i), 1, 2);
		hit = s != NULL && s->matchers.n > 0 && ops_matchers_match(&s->matchers, labels);
		alm_silence_free(s);
	}
	ops_labels_unref(labels);
	return hit;
}

static bool kept_by_states(const json_t *c)
{
	struct alm_silence *s =
		silence_of(NULL, time_or_zero(c, "starts_at_s"), time_or_zero(c, "ends_at_s"));
	const char *state = alm_silence_state_text(alm_silence_state(s, fixed_now()));
	const json_t *states = json_object_get(c, "states");
	bool hit = false;

	for (size_t i = 0; i < json_array_size(states); i++)
		hit = hit || ops_str_eq(json_string_value(json_array_get(states, i)), state);
	alm_silence_free(s);
	return hit;
}

static bool can_update(const json_t *c)
{
	const json_t *old = json_object_get(c, "old"), *fresh = json_object_get(c, "new");
	struct alm_silence *a =
		silence_of(NULL, time_or_zero(old, "starts_at_s"), time_or_zero(old, "ends_at_s"));
	struct alm_silence *b = silence_of(
		NULL, time_or_zero(fresh, "starts_at_s"), time_or_zero(fresh, "ends_at_s"));
	bool ok = alm_silence_can_update(a, b, fixed_now());
	alm_silence_free(a);
	alm_silence_free(b);
	return ok;
}

static bool valid(const json_t *c)
{
	const json_t *sets = json_object_get(c, "matcher_sets");
	bool ok = json_array_size(sets) > 0;

	for (size_t i = 0; i < json_array_size(sets) && ok; i++) {
		struct alm_silence *s = silence_of(json_array_get(sets, i),
			time_or_zero(c, "starts_at_s"), time_or_zero(c, "ends_at_s"));
		ok = s != NULL && alm_silence_validate(s, NULL) == 0;
		alm_silence_free(s);
	}
	return ok;
}

/* One matcher of a new silence; the classic mode knows fewer names than we accept. */
static bool valid_matcher(const json_t *c)
{
	struct ops_strbuf name OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	bool classic = ops_str_eq(json_string_value(json_object_get(c, "mode")), "classic");
	struct alm_silence *s = alm_silence_new();
	bool ok = conformance_text(c, "name", &name) &&
		  strlen(ops_strbuf_text(&name)) == name.len &&
		  (!classic || ops_label_name_classic(ops_strbuf_text(&name), name.len)) &&
		  add_matcher(&s->matchers, c) == 0 &&
		  ops_matchers_add(&s->matchers, OPS_MATCH_EQ, "other", "x", NULL) == 0;

	s->starts_at_ms = 1;
	s->ends_at_ms = 2;
	ok = ok && alm_silence_validate(s, NULL) == 0;
	alm_silence_free(s);
	return ok;
}

static void run_silence(struct conformance_run *run, const json_t *file, const json_t *c)
{
	const char *kind = json_string_value(json_object_get(c, "kind"));
	bool got, wanted;
	(void)file;

	if (kind == NULL) {
		got = valid_matcher(c);
		wanted = json_is_true(json_object_get(c, "ok"));
	} else if (strcmp(kind, "match") == 0) {
		got = any_set_matches(c);
		wanted = json_is_true(json_object_get(c, "matches"));
	} else if (strcmp(kind, "state_filter") == 0) {
		got = kept_by_states(c);
		wanted = json_is_true(json_object_get(c, "kept"));
	} else if (strcmp(kind, "can_update") == 0) {
		got = can_update(c);
		wanted = json_is_true(json_object_get(c, "ok"));
	} else {
		got = valid(c);
		wanted = json_is_true(json_object_get(c, "ok"));
	}
	conformance_equal(run, c, got ? "yes" : "no", wanted ? "yes" : "no");
}

const struct conformance_kind conformance_am_intervals = {
	.name = "am_intervals", .run_case = run_interval};
const struct conformance_kind conformance_am_inhibition = {
	.name = "am_inhibition", .run_case = run_inhibit};
const struct conformance_kind conformance_am_silences = {
	.name = "am_silences", .run_case = run_silence};
