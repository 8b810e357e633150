/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a job: made by a handler on the loop, which has checked the parameters; a step on a
 * worker; then on the loop either the whole reply (it was short) or its first piece, and further
 * steps as long as little waits to be sent. A slow reader therefore costs memory for one result,
 * but neither a thread nor the store's lock: steps after the first use only what the first one
 * copied.
 *
 * The client that goes away takes its request along: the job is told through `cancelled` and freed
 * when it comes back from the pool.
 */
#include "services/detector/api/job.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"

enum {
	PACK_FROM = 1024,	  /* bytes */
	WAITING_MAX = 1024 * 1024 /* bytes unsent: the next step waits for the client */
};

static const double durations[] = {0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60};
static struct ops_metric jobs_active =
	OPS_GAUGE("ops_detector_queries", "Queries that wait, run or are being sent.");
static struct ops_metric job_seconds = OPS_HISTOGRAM("ops_detector_query_duration_seconds",
	"Time of queries: waiting for a worker, until the first bytes are made, in all.", durations,
	"slice");
static struct ops_metric jobs_total = OPS_COUNTER("ops_detector_queries_total",
	"Queries by outcome: ok, an error's type, or gone.", "outcome");
static struct ops_metric samples_total =
	OPS_COUNTER("ops_detector_query_samples_total", "Samples that queries have read and made.");

static void job_free(struct det_job *job)
{
	det_api_read_end(job); /* in case that it did not come to it */
	if (job->release != NULL) {
		job->release(job);
	}
	LIST_REMOVE(job, link);
	ops_metric_add(&jobs_active, -1);
	det_packer_free(job->packer);
	ops_strbuf_done(&job->out);
	ops_strbuf_done(&job->packed);
	ops_arena_done(&job->arena);
	free(job);
}

static void count(const struct det_job *job, const char *outcome)
{
	ops_metric_add(&jobs_total, 1, outcome);
	ops_metric_add(&samples_total, (double)job->samples);
	ops_metric_observe(&job_seconds, (double)job->waited_ns / 1e9, "queue");
	ops_metric_observe(&job_seconds, (double)job->first_ns / 1e9, "evaluation");
	ops_metric_observe(&job_seconds, (double)(ops_mono_ns() - job->made_ns) / 1e9, "total");
}

/* ---- on a worker ---- */

static void pack(struct det_job *job)
{
	bool first = job->packer == NULL && !job->begun;
	if (first && job->may_pack && (job->more || job->out.len >= PACK_FROM)) {
		job->packer = det_packer_new(job->more || job->out.len >= DET_JOB_PIECE);
	}
	if (job->packer != NULL) {
		ops_strbuf_reset(&job->packed);
		det_packer_add(job->packer, &job->out, !job->more, &job->packed);
	}
}

static void run(struct det_task *task)
{
	struct det_job *job = ops_container_of(task, struct det_job, task);
	int64_t begin_ns = ops_mono_ns();
	job->more = false;
	ops_strbuf_reset(&job->out);
	if (!job->stepped) {
		job->waited_ns = begin_ns - job->made_ns;
	}
	if (det_job_cancelled(job)) {
		return;
	}
	if (!job->stepped && job->deadline_ms != 0 && ops_mono_ms() > job->deadline_ms) {
		det_job_fail(job, "timeout", "query timed out in query queue");
		return;
	}
	do {
		job->more = job->step(job) && job->error_type == NULL;
	} while (job->more && job->out.len == 0 && !det_job_cancelled(job));
	if (job->error_type == NULL) {
		pack(job);
	}
	if (!job->stepped) {
		job->first_ns = ops_mono_ns() - begin_ns;
	}
	job->stepped = true;
}

/* ---- on the loop ---- */

static void submit(struct det_job *job)
{
	job->in_pool = true;
	det_pool_submit(job->api->pool, &job->task);
}

static void on_drain(struct ops_http_req *req, void *arg)
{
	struct det_job *job = arg;
	(void)req;
	if (!job->in_pool) {
		submit(job);
	}
}

static void on_gone(struct ops_http_req *req, void *arg)
{
	struct det_job *job = arg;
	(void)req;
	job->req = NULL;
	atomic_store(&job->cancelled, true);
	if (!job->in_pool) {
		count(job, "gone");
		job_free(job);
	}
}

static void add_headers(const struct det_job *job)
{
	const char *encoding = job->packer != NULL ? "gzip" : job->encoding;
	det_api_headers(job->req);
	if (encoding != NULL) {
		ops_http_reply_header(job->req, "Content-Encoding", encoding);
	}
}

static void send_whole(struct det_job *job, const struct ops_strbuf *body)
{
	struct ops_http_req *req = job->req;
	add_headers(job);
	job->req = NULL;
	ops_http_reply(req, 200, job->content_type, ops_strbuf_text(body), body->len);
	count(job, "ok");
	job_free(job);
}

static void send_piece(struct det_job *job, const struct ops_strbuf *body)
{
	struct ops_http_req *req = job->req;
	if (!job->begun) {
		add_headers(job);
		ops_http_stream_begin(req, 200, job->content_type, on_drain, job);
		job->begun = true;
	}
	size_t waiting = ops_http_stream_write(req, body->data, body->len);
	if (!job->more) {
		job->req = NULL;
		ops_http_stream_end(req);
		count(job, "ok");
		job_free(job);
	} else if (waiting < WAITING_MAX) {
		submit(job);
	}
}

static void send_error(struct det_job *job)
{
	struct ops_http_req *req = job->req;
	job->req = NULL;
	if (job->begun) {
		ops_http_stream_cut(req);
	} else {
		det_api_reply_error(req, job->error_type, job->error);
	}
	count(job, job->error_type);
	job_free(job);
}

static void done(struct det_task *task)
{
	struct det_job *job = ops_container_of(task, struct det_job, task);
	const struct ops_strbuf *body = job->packer != NULL ? &job->packed : &job->out;
	job->in_pool = false;
	if (job->req == NULL) {
		count(job, "gone");
		job_free(job);
	} else if (job->error_type != NULL) {
		send_error(job);
	} else if (!job->more && !job->begun) {
		send_whole(job, body);
	} else {
		send_piece(job, body);
	}
}

void *det_job_new(struct det_api *api, struct ops_http_req *req, size_t size)
{
	ops_assert(size >= sizeof(struct det_job));
	struct det_job *job = ops_xcalloc(1, size);
	job->task = (struct det_task){.run = run, .done = done};
	job->api = api;
	job->req = req;
	job->content_type = "application/json";
	job->may_pack = ops_http_accepts_gzip(req);
	job->made_ns = ops_mono_ns();
	ops_arena_init(&job->arena);
	LIST_INSERT_HEAD(&api->jobs, job, link);
	ops_metric_add(&jobs_active, 1);
	return job;
}

void det_job_start(struct det_job *job)
{
	ops_http_on_abort(job->req, on_gone, job);
	submit(job);
}

void det_job_drop(struct det_job *job)
{
	count(job, "bad_data");
	job_free(job);
}

void det_job_fail(struct det_job *job, const char *type, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(job->error, sizeof(job->error), fmt, ap);
	va_end(ap);
	job->error_type = type;
}

bool det_job_cancelled(const struct det_job *job)
{
	return atomic_load_explicit(&job->cancelled, memory_order_relaxed);
}

void det_jobs_cancel(struct det_jobs *jobs)
{
	struct det_job *job;
	LIST_FOREACH(job, jobs, link)
	{
		atomic_store(&job->cancelled, true);
	}
}

void det_api_read_begin(struct det_job *job)
{
	ops_assert(!job->reading);
	det_store_read_begin(job->api->config.store, &job->read);
	job->reading = true;
}

void det_api_read_end(struct det_job *job)
{
	if (job->reading) {
		det_store_read_end(job->api->config.store, &job->read);
	}
	job->reading = false;
}
