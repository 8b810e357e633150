/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A request whose answer is made by a worker: evaluated in one step, written in as many as the
 * client's speed allows. A job belongs to the loop; while it is in the pool the worker alone
 * touches it (but for `cancelled`).
 */
#include <stdatomic.h>

#include "services/detector/api/api_internal.h"
#include "services/detector/api/worker.h"

#define DET_JOB_PIECE 262144u /* bytes of answer that a step makes, about */

struct det_packer; /* opaque: gzip */

struct det_job { /* first member of what a handler keeps */
	struct det_task task;
	LIST_ENTRY(det_job) link;
	struct det_api *api;
	struct ops_http_req *req; /* loop only; NULL: the client is gone */
	struct ops_arena arena;
	struct det_read read; /* between det_api_read_begin and _end */
	atomic_bool cancelled;
	/* On a worker: appends to out; true: there is more to come. Or fails. */
	bool (*step)(struct det_job *job);
	void (*release)(struct det_job *job); /* on the loop: what the handler added; may be NULL */
	const char *content_type;
	const char *encoding; /* of the content, other than the job's own gzip; may be NULL */
	int64_t deadline_ms;  /* monotonic: not evaluated after it; 0: none */
	int64_t made_ns, waited_ns, first_ns; /* when made; in the queue; of the first step */
	uint64_t samples;		      /* that were read */
	struct ops_strbuf out, packed;
	struct det_packer *packer; /* NULL: not packed */
	const char *error_type;	   /* NULL: good so far */
	char error[512];
	bool may_pack, more, stepped, begun, in_pool, reading;
};

/* size: of the handler's struct. The reply's owner is the job from now on. */
void *det_job_new(struct det_api *api, struct ops_http_req *req, size_t size) OPS_MUST_CHECK;
void det_job_start(struct det_job *job);
void det_job_drop(struct det_job *job); /* before the start: the handler has replied itself */
void det_job_fail(struct det_job *job, const char *type, const char *fmt, ...) OPS_PRINTF(3, 4);
bool det_job_cancelled(const struct det_job *job);
/* The client goes, the worker is told to stop; for the end of the service. */
void det_jobs_cancel(struct det_jobs *jobs);

/* pack.c */
struct det_packer *det_packer_new(bool much) OPS_MUST_CHECK; /* much: fast rather than small */
void det_packer_free(struct det_packer *p);
void det_packer_add(struct det_packer *p, const struct ops_strbuf *in, bool last,
	struct ops_strbuf *out); /* appends */
