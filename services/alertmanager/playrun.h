/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One run of one playbook: starts it, reads its lines, ends it when its time is up. */
#include "common/loop/loop.h"
#include "services/alertmanager/alert.h"

struct alm_playrun; /* opaque */

struct alm_playrun_result {
	int exit_code; /* -1 when ended by a signal */
	int signal;
	bool timed_out;
};

struct alm_playrun_config {
	struct ops_loop *loop;
	const char *dir, *name, *user, *run_id; /* borrowed during start */
	const char *const *environment;		/* NAME=value, NULL-ended; borrowed during start */
	int64_t timeout_ms;
	void (*on_line)(
		void *arg, const char *stream, unsigned number, const char *line, size_t len);
	void (*on_end)(void *arg,
		const struct alm_playrun_result *r); /* once; the run is gone afterwards */
	void *arg;
};

/* The name must be that of a regular, executable file right in dir that others cannot write. */
int alm_playbook_check(const char *dir, const char *name, struct ops_error *err) OPS_MUST_CHECK;
int alm_playrun_start(const struct alm_playrun_config *cfg, const struct alm_alert *a,
	struct alm_playrun **ret, struct ops_error *err) OPS_MUST_CHECK;
/* Kills it at once; no on_end. At shutdown. */
void alm_playrun_abort(struct alm_playrun *r);
void alm_playrun_terminate(struct alm_playrun *r); /* TERM, then KILL; on_end follows */
