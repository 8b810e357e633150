/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Playbooks: which run is started when, and what is remembered of it. At most once per firing of an
 * alert (fingerprint, playbook, start), at most one per cool-down, a few at a time, none of a
 * playbook that keeps failing.
 */
#include "common/loop/loop.h"
#include "services/alertmanager/alert.h"

struct alm_playbooks; /* opaque */

struct alm_run {
	char id[37];
	char *playbook;
	char fingerprint[17];
	char traceparent[56];
	int64_t alert_starts_ms, started_ms, finished_ms; /* finished 0 = still running */
	int exit_code, signal;				  /* exit_code -1 = none */
	bool timed_out;
	const char *outcome; /* running, succeeded, failed, timed_out, interrupted, not_started,
				skipped_<why> */
	unsigned lines;
};

struct alm_playbooks_config {
	struct ops_loop *loop;
	const char *dir;       /* of the playbooks */
	const char *state_dir; /* of the run log */
	const char *user;
	const char *const *environment; /* NAME=value, NULL-ended */
	int64_t timeout_ms, cooldown_ms;
	unsigned concurrency;
	/* Silenced or inhibited now: people know, nothing is run. */
	bool (*suppressed)(void *arg, const struct alm_alert *a);
	void (*on_started)(void *arg, const struct alm_run *run);
	void (*on_line)(void *arg, const struct alm_run *run, unsigned number, const char *stream,
		const char *line);
	void (*on_finished)(void *arg, const struct alm_run *run);
	void *arg;
};

/* The texts of cfg are borrowed until close or alm_playbooks_reconfigure. */
int alm_playbooks_open(const struct alm_playbooks_config *cfg, struct alm_playbooks **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void alm_playbooks_reconfigure(struct alm_playbooks *p, const struct alm_playbooks_config *cfg);
void alm_playbooks_close(
	struct alm_playbooks *p); /* kills what runs; it is recorded as interrupted */
/* Reports as interrupted what the last process left behind: once, after open, when callbacks can
 * work. */
void alm_playbooks_recover(struct alm_playbooks *p);
/* The alert has started firing (or was firing before a restart): runs its playbook unless that was
 * done. */
void alm_playbooks_consider(struct alm_playbooks *p, const struct alm_alert *a);
bool alm_playbooks_idle(const struct alm_playbooks *p); /* nothing runs */
/* Recent runs, newest last: for (size_t i = 0; (run = alm_playbooks_run(p, i)) != NULL; i++) */
const struct alm_run *alm_playbooks_run(const struct alm_playbooks *p, size_t i);
json_t *alm_run_to_json(const struct alm_run *run) OPS_MUST_CHECK;
