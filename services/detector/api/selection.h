/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * match[], start, end and limit of a request: parsed on the loop, looked up on a worker. Lives in a
 * job, in whose arena it allocates.
 */
#include "services/detector/api/job.h"

#define DET_MATCHES_MAX 64u

struct det_selection {
	struct det_job *job;
	struct ops_matchers *matches; /* one set of matchers for each match[] */
	size_t nmatches;
	int64_t range_ms[2];
	size_t limit;
	bool names_match; /* an error in a match[] names the parameter; upstream's do for series */
};

/* 0, or the reply is sent. Release with det_selection_done either way. */
int det_selection_read(struct det_selection *s, struct det_job *job) OPS_MUST_CHECK;
/* Only the match[] parameters; no reply: err says what is wrong. */
int det_selection_matches(
	struct det_selection *s, struct det_job *job, struct ops_error *err) OPS_MUST_CHECK;
void det_selection_done(struct det_selection *s);
/*
 * The store is held by the caller. Series that fit any of the matches, each once, in the arena, in
 * no order.
 */
void det_selection_find(const struct det_selection *s, struct det_series_list *ret);
void det_selection_sort(struct det_series_list *list); /* by labels */
