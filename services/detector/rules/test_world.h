/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * For the tests of this folder: rules over a real store with a fake clock. A "crash" frees nothing
 * through the front door: the state file is what a SIGKILL would leave.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "common/log/log.h"
#include "services/detector/rules/internal.h"

#define T0 1700000000000LL

static int64_t now_ms = T0;

static inline int64_t fake_now(void)
{
	return now_ms;
}

enum {
	EVENTS_MAX = 64
};

struct world {
	char *dir, *rules_file, *state_file;
	struct ops_loop *loop;
	struct det_store *store;
	struct det_engine_options engine;
	struct det_rules *rules;
	bool refuse; /* publishing fails */
	const struct ops_labels *external;
	size_t n;
	struct {
		enum ops_alert_status status;
		char id[37], text[160], flapping[64];
		int64_t active_ms, starts_ms, ends_ms;
		uint64_t fingerprint;
	} events[EVENTS_MAX];
};

static inline int publish(void *arg, const struct ops_alert *alert, const char *event_id)
{
	struct world *w = arg;
	if (w->refuse) {
		return -ENOSPC;
	}
	assert_true(w->n < EVENTS_MAX);
	struct ops_strbuf labels = OPS_STRBUF_INIT;
	ops_labels_print(alert->labels, &labels);
	w->events[w->n].status = alert->status;
	w->events[w->n].active_ms = alert->active_at_ms;
	w->events[w->n].starts_ms = alert->starts_at_ms;
	w->events[w->n].ends_ms = alert->ends_at_ms;
	w->events[w->n].fingerprint = alert->fingerprint;
	snprintf(w->events[w->n].id, sizeof(w->events[w->n].id), "%s", event_id);
	snprintf(
		w->events[w->n].text, sizeof(w->events[w->n].text), "%s", ops_strbuf_text(&labels));
	ops_strbuf_done(&labels);
	const char *flapping =
		alert->annotations != NULL ? ops_labels_get(alert->annotations, "flapping") : NULL;
	snprintf(w->events[w->n].flapping, sizeof(w->events[w->n].flapping), "%s",
		flapping != NULL ? flapping : "");
	w->n++;
	return 0;
}

static inline int load_rules(struct world *w, const char *text, struct ops_error *err)
{
	assert_int_equal(ops_file_write_atomic(w->rules_file, text, strlen(text), 0600), 0);
	const char *files[] = {w->rules_file};
	const struct det_rules_set set = {
		.files = files, .nfiles = 1, .interval_ms = 5000, .external_labels = w->external};
	return det_rules_load(w->rules, &set, NULL, err);
}

static inline void start(struct world *w, const char *text)
{
	struct ops_error err;
	const struct det_store_options options = {.retention_ms = 3600000};
	w->loop = ops_loop_new();
	w->store = det_store_new(&options);
	const struct det_rules_config cfg = {.loop = w->loop,
		.store = w->store,
		.engine = &w->engine,
		.state_file = w->state_file,
		.publish = publish,
		.arg = w};
	if (det_rules_new(&cfg, &w->rules, &err) != 0 || load_rules(w, text, &err) != 0) {
		fail_msg("%s:%d:%d: %s", err.file, err.line, err.column, err.message);
	}
}

static inline void stop(struct world *w)
{
	det_rules_free(w->rules);
	det_store_free(w->store);
	ops_loop_free(w->loop);
}

static inline void setup(struct world *w, const char *text)
{
	memset(w, 0, sizeof(*w));
	now_ms = T0;
	ops_clock_fake(fake_now);
	ops_log_set_level(OPS_LOG_ERROR);
	w->dir = tempdir_make();
	w->rules_file = ops_path_join(w->dir, "r.yml");
	w->state_file = ops_path_join(w->dir, "state.json");
	start(w, text);
}

static inline void teardown(struct world *w)
{
	stop(w);
	tempdir_remove(w->dir);
	free(w->rules_file);
	free(w->state_file);
	ops_clock_fake(NULL);
}

static inline void sample(struct world *w, const char *instance, double v)
{
	struct ops_labels *ls = ops_labels_of("__name__", "up", "instance", instance, NULL);
	assert_int_equal(det_store_append(w->store, ls, now_ms, v), 0);
	ops_labels_unref(ls);
}

static inline void evaluate(struct world *w)
{
	for (size_t i = 0; i < w->rules->gen->n; i++) {
		det_group_evaluate(&w->rules->gen->groups[i], now_ms);
	}
}

static inline void step(struct world *w, int64_t after_ms, const char *instance, double v)
{
	now_ms += after_ms;
	sample(w, instance, v);
	evaluate(w);
}

#define DOWN_10S "alert: Down\nexpr: up == 0\nfor: 10s\n"

/* A SIGKILL: memory is gone, the state file stays. */
static inline void crash(struct world *w, const char *text)
{
	w->rules->changed = false; /* what was not saved yet is lost */
	stop(w);
	start(w, text);
}

static inline double recorded(struct world *w, const char *text)
{
	struct ops_arena a;
	struct det_result r;
	struct ops_error err;
	ops_arena_init(&a);
	assert_int_equal(det_engine_instant(w->store, text, now_ms, &a, &r, &err), 0);
	double v = r.n == 1 && r.series[0].npoints == 1 ? r.series[0].points[0].v : -1;
	ops_arena_done(&a);
	return v;
}
