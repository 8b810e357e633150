/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run log is a journal: a run is durable as "running" before its program is started, and again
 * when it has ended. After a crash, what is still "running" there was killed with us (see child.c)
 * and is recorded as interrupted; it is not started again, since half of it may have happened and
 * only a human can tell whether it is safe to repeat.
 *
 * A playbook that failed five times in a row is not run for ten minutes; then one run is tried. A
 * flapping alert must not roll a release back every minute: hence the cool-down.
 */
#include "services/alertmanager/playbook.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/alertmanager/journal.h"
#include "services/alertmanager/playrun.h"

enum {
	RUNS_KEPT = 1000,
	QUEUE_MAX = 100,
	FAILURES_TO_OPEN = 5,
	OPEN_MS = 600000
};

static struct ops_metric runs_total = OPS_COUNTER(
	"ops_playbook_runs_total", "Ended runs by playbook and outcome.", "playbook", "outcome");
static struct ops_metric skipped_total = OPS_COUNTER("ops_playbook_skipped_total",
	"Runs that were not started, by playbook and reason.", "playbook", "reason");
static struct ops_metric running_gauge =
	OPS_GAUGE("ops_playbook_running", "Playbooks running now.");
static struct ops_metric breaker_gauge = OPS_GAUGE("ops_playbook_breaker_open",
	"1 while a playbook is not run because it kept failing.", "playbook");
static const double buckets[] = {0.1, 0.5, 1, 5, 15, 60, 300};
static struct ops_metric duration = OPS_HISTOGRAM(
	"ops_playbook_duration_seconds", "Time of a playbook run.", buckets, "playbook");

struct breaker {
	unsigned failures;
	int64_t open_until_mono_ms;
};

struct active {
	struct alm_playbooks *owner;
	struct alm_run *run;
	struct alm_playrun *process;
	struct active *next;
};

struct alm_playbooks {
	struct alm_playbooks_config cfg;
	struct alm_journal *journal;
	struct alm_run **runs; /* oldest first */
	size_t n, cap;
	struct active *active;
	unsigned nactive;
	struct alm_alert *queue[QUEUE_MAX]; /* copies, waiting for a free place */
	size_t nqueue;
	struct ops_map *breakers; /* by playbook */
	struct ops_timer *starter;
};

/* ---- run log ---- */

static void run_free(struct alm_run *run)
{
	free(run->playbook);
	free(run);
}

static const char *outcome_constant(const char *text)
{
	static const char *const known[] = {"running", "succeeded", "failed", "timed_out",
		"interrupted", "not_started", "skipped_cooldown", "skipped_suppressed",
		"skipped_breaker", "skipped_queue_full"};
	for (size_t i = 0; i < OPS_LENGTH(known); i++) {
		if (strcmp(known[i], text) == 0)
			return known[i];
	}
	return "failed";
}

json_t *alm_run_to_json(const struct alm_run *run)
{
	json_t *j = json_object();

	ops_json_set_string(j, "id", run->id);
	ops_json_set_string(j, "playbook", run->playbook);
	ops_json_set_string(j, "fingerprint", run->fingerprint);
	ops_json_set_string(j, "outcome", run->outcome);
	ops_json_set_time(j, "alertStartsAt", run->alert_starts_ms);
	ops_json_set_time(j, "startedAt", run->started_ms);
	if (run->finished_ms != 0)
		ops_json_set_time(j, "finishedAt", run->finished_ms);
	if (run->finished_ms != 0 && run->exit_code >= 0)
		ops_json_set_i64(j, "exitCode", run->exit_code);
	if (run->signal != 0)
		ops_json_set_i64(j, "signal", run->signal);
	ops_json_set_bool(j, "timedOut", run->timed_out);
	ops_json_set_i64(j, "lines", run->lines);
	return j;
}

static struct alm_run *run_find(struct alm_playbooks *p, const char *id)
{
	for (size_t i = p->n; i > 0; i--) {
		if (strcmp(p->runs[i - 1]->id, id) == 0)
			return p->runs[i - 1];
	}
	return NULL;
}

static struct alm_run *run_add(struct alm_playbooks *p)
{
	struct alm_run *run = ops_xcalloc(1, sizeof *run);

	if (p->n == RUNS_KEPT) {
		size_t i = 0;
		while (i + 1 < p->n && p->runs[i]->finished_ms == 0)
			i++;
		run_free(p->runs[i]);
		memmove(&p->runs[i], &p->runs[i + 1], (--p->n - i) * sizeof p->runs[0]);
	}
	OPS_GROW(p->runs, p->n, p->cap);
	p->runs[p->n++] = run;
	return run;
}

static void apply(void *arg, const json_t *j)
{
	const char *id = NULL, *playbook = NULL, *fingerprint = NULL, *outcome = NULL;
	int64_t exit_code = -1, signo = 0, lines = 0;

	if (ops_json_get_string(j, "id", &id, NULL) != 0 || strlen(id) != 36 ||
		ops_json_get_string(j, "playbook", &playbook, NULL) != 0 ||
		ops_json_get_string(j, "fingerprint", &fingerprint, NULL) != 0 ||
		strlen(fingerprint) != 16 || ops_json_get_string(j, "outcome", &outcome, NULL) != 0)
		return;
	struct alm_run *run = run_find(arg, id);
	if (run == NULL)
		run = run_add(arg);
	free(run->playbook);
	memcpy(run->id, id, sizeof run->id);
	memcpy(run->fingerprint, fingerprint, sizeof run->fingerprint);
	run->playbook = ops_xstrdup(playbook);
	run->outcome = outcome_constant(outcome);
	(void)!ops_json_get_time(j, "alertStartsAt", &run->alert_starts_ms, NULL);
	(void)!ops_json_get_time(j, "startedAt", &run->started_ms, NULL);
	(void)!ops_json_get_time(j, "finishedAt", &run->finished_ms, NULL);
	(void)!ops_json_get_i64(j, "exitCode", &exit_code, NULL);
	(void)!ops_json_get_i64(j, "signal", &signo, NULL);
	(void)!ops_json_get_i64(j, "lines", &lines, NULL);
	(void)!ops_json_get_bool(j, "timedOut", &run->timed_out, NULL);
	run->exit_code = (int)exit_code;
	run->signal = (int)signo;
	run->lines = (unsigned)lines;
}

static void dump(void *arg, void (*emit)(void *to, json_t *record), void *to)
{
	struct alm_playbooks *p = arg;
	for (size_t i = 0; i < p->n; i++)
		emit(to, alm_run_to_json(p->runs[i]));
}

static int record(struct alm_playbooks *p, const struct alm_run *run)
{
	int rc = alm_journal_append(p->journal, alm_run_to_json(run));
	return rc == 0 ? alm_journal_sync(p->journal) : rc;
}

/* ---- whether ---- */

static const char *known_run(
	const struct alm_playbooks *p, const struct alm_alert *a, const char *playbook)
{
	int64_t now_ms = ops_now_ms();

	for (size_t i = p->n; i > 0; i--) {
		const struct alm_run *run = p->runs[i - 1];
		if (strcmp(run->fingerprint, a->id) != 0 || strcmp(run->playbook, playbook) != 0)
			continue;
		if (run->alert_starts_ms == a->starts_at_ms)
			return "done";
		if (!ops_str_starts(run->outcome, "skipped_") &&
			run->started_ms + p->cfg.cooldown_ms > now_ms)
			return "skipped_cooldown";
	}
	return NULL;
}

static struct breaker *breaker_of(struct alm_playbooks *p, const char *playbook)
{
	struct breaker *b = ops_map_gets(p->breakers, playbook);
	if (b == NULL) {
		b = ops_xcalloc(1, sizeof *b);
		(void)ops_map_puts(p->breakers, playbook, b);
	}
	return b;
}

static bool queued(const struct alm_playbooks *p, const struct alm_alert *a)
{
	for (size_t i = 0; i < p->nqueue; i++) {
		if (p->queue[i]->fingerprint == a->fingerprint)
			return true;
	}
	return false;
}

static const char *reason_not_to(
	struct alm_playbooks *p, const struct alm_alert *a, const char *playbook)
{
	const char *reason = known_run(p, a, playbook);

	if (reason == NULL && p->cfg.suppressed(p->cfg.arg, a))
		reason = "skipped_suppressed";
	if (reason == NULL && breaker_of(p, playbook)->open_until_mono_ms > ops_mono_ms())
		reason = "skipped_breaker";
	return reason;
}

/* ---- running ---- */

static void breaker_count(struct alm_playbooks *p, const struct alm_run *run)
{
	struct breaker *b = breaker_of(p, run->playbook);

	if (strcmp(run->outcome, "succeeded") == 0) {
		*b = (struct breaker){0};
	} else if (++b->failures >= FAILURES_TO_OPEN) {
		b->open_until_mono_ms = ops_mono_ms() + OPEN_MS;
		log_error("playbook keeps failing and is not run for a while",
			F_STR("playbook", run->playbook), F_UINT("failures", b->failures));
	}
	ops_metric_set(&breaker_gauge, b->open_until_mono_ms > ops_mono_ms(), run->playbook);
}

static void run_ended(struct alm_playbooks *p, struct alm_run *run, const char *outcome)
{
	run->outcome = outcome;
	run->finished_ms = ops_now_ms();
	if (record(p, run) != 0)
		log_error("could not record the end of a playbook run", F_STR("run_id", run->id));
	ops_metric_add(&runs_total, 1, run->playbook, outcome);
	ops_metric_observe(
		&duration, (double)(run->finished_ms - run->started_ms) / 1000, run->playbook);
	p->cfg.on_finished(p->cfg.arg, run);
}

static void active_remove(struct active *act)
{
	struct alm_playbooks *p = act->owner;
	struct active **at = &p->active;

	while (*at != act)
		at = &(*at)->next;
	*at = act->next;
	ops_metric_set(&running_gauge, --p->nactive);
	free(act);
}

static void on_end(void *arg, const struct alm_playrun_result *r)
{
	struct active *act = arg;
	struct alm_playbooks *p = act->owner;
	struct alm_run *run = act->run;

	run->exit_code = r->exit_code;
	run->signal = r->signal;
	run->timed_out = r->timed_out;
	active_remove(act);
	run_ended(p, run, r->timed_out ? "timed_out" : r->exit_code == 0 ? "succeeded" : "failed");
	breaker_count(p, run);
	log_info("playbook ended", F_STR("playbook", run->playbook), F_STR("run_id", run->id),
		F_STR("outcome", run->outcome), F_INT("exit_code", run->exit_code),
		F_UINT("lines", run->lines));
	ops_timer_start(p->starter, 0);
}

static void on_line(void *arg, const char *stream, unsigned number, const char *line, size_t len)
{
	struct active *act = arg;
	(void)len;
	act->run->lines = number;
	act->owner->cfg.on_line(act->owner->cfg.arg, act->run, number, stream, line);
}

static void start_process(struct alm_playbooks *p, struct alm_run *run, const struct alm_alert *a)
{
	struct active *act = ops_xcalloc(1, sizeof *act);
	struct ops_error err = {0};
	const struct alm_playrun_config cfg = {
		.loop = p->cfg.loop,
		.dir = p->cfg.dir,
		.name = run->playbook,
		.user = p->cfg.user,
		.run_id = run->id,
		.environment = p->cfg.environment,
		.timeout_ms = p->cfg.timeout_ms,
		.on_line = on_line,
		.on_end = on_end,
		.arg = act,
	};

	*act = (struct active){.owner = p, .run = run, .next = p->active};
	p->active = act;
	ops_metric_set(&running_gauge, ++p->nactive);
	p->cfg.on_started(p->cfg.arg, run);
	if (alm_playrun_start(&cfg, a, &act->process, &err) == 0)
		return;
	log_error("could not start playbook", F_STR("playbook", run->playbook),
		F_STR("fingerprint", run->fingerprint), F_STR("error", err.message));
	p->cfg.on_line(p->cfg.arg, run, ++run->lines, "error", err.message);
	active_remove(act);
	run_ended(p, run, "not_started");
	breaker_count(p, run);
}

static void start_run(struct alm_playbooks *p, const struct alm_alert *a, const char *playbook)
{
	struct alm_run *run = run_add(p);

	ops_uuid4(run->id);
	memcpy(run->fingerprint, a->id, sizeof run->fingerprint);
	memcpy(run->traceparent, a->traceparent, sizeof run->traceparent);
	run->playbook = ops_xstrdup(playbook);
	run->alert_starts_ms = a->starts_at_ms;
	run->started_ms = ops_now_ms();
	run->exit_code = -1;
	run->outcome = "running";
	int rc = record(p, run);
	if (rc != 0) { /* without the record a crash would start it twice */
		log_error("could not record a playbook run, so it is not started",
			F_STR("playbook", playbook), F_ERR(rc));
		ops_metric_add(&skipped_total, 1, playbook, "not_durable");
		run->outcome = "not_started";
		run->finished_ms = run->started_ms;
		return;
	}
	start_process(p, run, a);
}

/*
 * Not to run is a decision too: on record, so that the alert's history says why nothing was done
 * and a restart does not decide anew about an alert that fired long ago. A flapping alert has one
 * such record.
 */
static void skip_run(struct alm_playbooks *p, const struct alm_alert *a, const char *playbook,
	const char *outcome)
{
	struct alm_run *run = p->n > 0 ? p->runs[p->n - 1] : NULL;

	ops_metric_add(&skipped_total, 1, playbook, outcome + strlen("skipped_"));
	log_info("playbook is not run", F_STR("playbook", playbook), F_STR("fingerprint", a->id),
		F_STR("reason", outcome));
	bool again = run != NULL && strcmp(run->outcome, outcome) == 0 &&
		     strcmp(run->fingerprint, a->id) == 0 && strcmp(run->playbook, playbook) == 0;
	if (!again) {
		run = run_add(p);
		ops_uuid4(run->id);
		memcpy(run->fingerprint, a->id, sizeof run->fingerprint);
		memcpy(run->traceparent, a->traceparent, sizeof run->traceparent);
		run->playbook = ops_xstrdup(playbook);
		run->started_ms = ops_now_ms();
		run->finished_ms = run->started_ms;
		run->exit_code = -1;
		run->outcome = outcome;
	}
	run->alert_starts_ms = a->starts_at_ms;
	if (record(p, run) != 0)
		log_error("could not record that a playbook is not run", F_STR("run_id", run->id));
	if (!again)
		p->cfg.on_finished(p->cfg.arg, run);
}

static void on_starter(void *arg)
{
	struct alm_playbooks *p = arg;

	while (p->nqueue > 0 && p->nactive < p->cfg.concurrency) {
		struct alm_alert *a = p->queue[0];
		memmove(&p->queue[0], &p->queue[1], --p->nqueue * sizeof p->queue[0]);
		const char *playbook = alm_alert_playbook(a);
		const char *reason = reason_not_to(p, a, playbook);
		if (reason == NULL)
			start_run(p, a, playbook);
		else if (strcmp(reason, "done") != 0)
			skip_run(p, a, playbook, reason);
		alm_alert_free(a);
	}
}

void alm_playbooks_consider(struct alm_playbooks *p, const struct alm_alert *a)
{
	const char *playbook = alm_alert_playbook(a);

	if (playbook == NULL || p->cfg.dir == NULL || queued(p, a))
		return;
	const char *reason = reason_not_to(p, a, playbook);
	if (reason == NULL && p->nqueue == QUEUE_MAX)
		reason = "skipped_queue_full";
	if (reason == NULL) {
		p->queue[p->nqueue++] = alm_alert_copy(a);
		ops_timer_start(p->starter, 0);
	} else if (strcmp(reason, "done") != 0) {
		skip_run(p, a, playbook, reason);
	}
}

/* ---- life ---- */

void alm_playbooks_reconfigure(struct alm_playbooks *p, const struct alm_playbooks_config *cfg)
{
	p->cfg = *cfg;
	if (p->cfg.concurrency == 0)
		p->cfg.concurrency = 4;
}

int alm_playbooks_open(
	const struct alm_playbooks_config *cfg, struct alm_playbooks **ret, struct ops_error *err)
{
	struct alm_playbooks *p = ops_xcalloc(1, sizeof *p);
	const struct alm_journal_config journal = {.dir = cfg->state_dir,
		.apply = apply,
		.dump = dump,
		.arg = p,
		.compact_after = 2000};

	alm_playbooks_reconfigure(p, cfg);
	p->breakers = ops_map_new();
	p->starter = ops_timer_new(cfg->loop, on_starter, p);
	ops_metric_register(&runs_total);
	ops_metric_register(&skipped_total);
	ops_metric_register(&running_gauge);
	int rc = alm_journal_open(&journal, &p->journal, err);
	if (rc != 0) {
		alm_playbooks_close(p);
		return rc;
	}
	*ret = p;
	return 0;
}

void alm_playbooks_recover(struct alm_playbooks *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct alm_run *run = p->runs[i];
		if (run->finished_ms != 0 || strcmp(run->outcome, "running") != 0)
			continue;
		log_warn("playbook run was interrupted by the end of this service and is not "
			 "repeated",
			F_STR("playbook", run->playbook), F_STR("run_id", run->id),
			F_STR("fingerprint", run->fingerprint));
		p->cfg.on_started(p->cfg.arg, run);
		run_ended(p, run, "interrupted");
	}
}

void alm_playbooks_close(struct alm_playbooks *p)
{
	if (p == NULL)
		return;
	while (p->active != NULL) {
		struct active *act = p->active;
		struct alm_run *run = act->run;
		alm_playrun_abort(act->process);
		p->active = act->next;
		ops_metric_set(&running_gauge, --p->nactive);
		free(act);
		run_ended(p, run, "interrupted");
	}
	for (size_t i = 0; i < p->nqueue; i++)
		alm_alert_free(p->queue[i]);
	for (size_t i = 0; i < p->n; i++)
		run_free(p->runs[i]);
	alm_journal_close(p->journal);
	ops_map_free(p->breakers, free);
	ops_timer_free(p->starter);
	free(p->runs);
	free(p);
}

bool alm_playbooks_idle(const struct alm_playbooks *p)
{
	return p->active == NULL && p->nqueue == 0;
}

const struct alm_run *alm_playbooks_run(const struct alm_playbooks *p, size_t i)
{
	return i < p->n ? p->runs[i] : NULL;
}
