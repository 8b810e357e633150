/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/read: remote read. STREAMED_XOR_CHUNKS is answered frame by frame, in one read of the
 * store that lasts as long as the answer: a client that is too slow for the server's own guard ends
 * it. SAMPLES is one message that has to be whole before it is compressed. Native histograms have
 * no chunk coding here: an answer with a series that has some is given as SAMPLES, which every
 * client accepts; when the first one comes while the answer is on its way, it breaks off and the
 * client sees that.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/remote/histogram.h"
#include "common/remote/negotiate.h"
#include "common/remote/read.h"
#include "common/remote/snappy.h"
#include "common/remote/xor.h"
#include "services/detector/api/selection.h"

#define QUERY_MAX ((size_t)16 << 20)  /* bytes of an uncompressed request */
#define SAMPLES_MAX ((size_t)1 << 30) /* bytes of a SAMPLES answer */
#define FRAME_CHUNKS 64u	      /* in a frame at most */

struct reading {
	struct det_job job;
	struct ops_remote_read request;
	bool begun, chunks;
	struct det_series_list *found; /* per query */
	size_t query, series;	       /* where the next step goes on */
	struct det_samples samples;
	struct ops_strbuf scratch;
};

static void release(struct det_job *job)
{
	struct reading *r = ops_container_of(job, struct reading, job);
	ops_remote_read_done(&r->request);
	det_samples_done(&r->samples);
	ops_strbuf_done(&r->scratch);
}

/* ---- on a worker, the store is held ---- */

static void find(struct reading *r)
{
	struct ops_arena *arena = &r->job.arena;
	r->found = ops_arena_array(arena, struct det_series_list, r->request.n + 1);
	for (size_t i = 0; i < r->request.n; i++) {
		const struct ops_remote_query *q = &r->request.queries[i];
		const int64_t range_ms[2] = {q->start_ms, q->end_ms};
		det_store_select(
			r->job.api->config.store, &q->matchers, range_ms, arena, &r->found[i]);
		det_selection_sort(&r->found[i]);
	}
}

static bool any_histograms(const struct reading *r)
{
	for (size_t i = 0; i < r->request.n; i++) {
		for (size_t k = 0; k < r->found[i].n; k++) {
			if (det_series_has_histograms(r->found[i].items[k])) {
				return true;
			}
		}
	}
	return false;
}

/* False: nothing to tell of it. */
static bool read_series(struct reading *r, const struct det_series *series)
{
	const struct ops_remote_query *q = &r->request.queries[r->query];
	det_series_read(series, q->start_ms, q->end_ms, &r->samples);
	r->job.samples += r->samples.n;
	return r->samples.n > 0;
}

static void add_frames(struct reading *r, const struct ops_labels *labels)
{
	const struct det_samples *s = &r->samples;
	struct ops_remote_chunk chunks[FRAME_CHUNKS];
	size_t starts[FRAME_CHUNKS + 1];
	for (size_t at = 0; at < s->n;) {
		size_t n = 0;
		ops_strbuf_reset(&r->scratch);
		for (; n < FRAME_CHUNKS && at < s->n; n++) {
			size_t count = OPS_MIN(s->n - at, (size_t)OPS_XOR_MAX_SAMPLES);
			starts[n] = r->scratch.len;
			ops_xor_encode(s->t + at, s->v + at, count, &r->scratch);
			chunks[n] = (struct ops_remote_chunk){.min_ms = s->t[at],
				.max_ms = s->t[at + count - 1],
				.encoding = OPS_REMOTE_XOR};
			at += count;
		}
		starts[n] = r->scratch.len;
		for (size_t i = 0; i < n; i++) { /* the buffer does not move any more */
			chunks[i].data = r->scratch.data + starts[i];
			chunks[i].len = starts[i + 1] - starts[i];
		}
		ops_remote_frame(&r->job.out, labels, chunks, n, r->query);
	}
}

static void add_samples(struct reading *r, const struct ops_labels *labels)
{
	const struct det_samples *s = &r->samples;
	struct ops_remote_sample *samples = ops_xcalloc(s->n, sizeof(*samples));
	struct ops_remote_histogram *histograms = ops_xcalloc(s->n, sizeof(*histograms));
	struct ops_remote_series out = {.labels = labels->items,
		.nlabels = labels->n,
		.samples = samples,
		.histograms = histograms};
	size_t *starts = ops_xcalloc(s->n + 1, sizeof(*starts));
	struct ops_strbuf wire = OPS_STRBUF_INIT;
	for (size_t i = 0; i < s->n; i++) {
		if (s->h == NULL || s->h[i] == NULL) {
			samples[out.nsamples++] =
				(struct ops_remote_sample){.time_ms = s->t[i], .value = s->v[i]};
			continue;
		}
		size_t start = wire.len;
		ops_remote_histogram_encode(s->h[i], s->t[i], &wire);
		starts[out.nhistograms] = start;
		histograms[out.nhistograms++] =
			(struct ops_remote_histogram){.time_ms = s->t[i], .len = wire.len - start};
	}
	for (size_t i = 0; i < out.nhistograms; i++) {
		histograms[i].data = (const uint8_t *)wire.data + starts[i];
	}
	ops_remote_result_series(&r->job.out, &out);
	ops_strbuf_done(&wire);
	free(starts);
	free(samples);
	free(histograms);
}

/* False: a native histogram, which has no place here. */
static bool add_chunks(struct reading *r, const struct det_series *series)
{
	if (!read_series(r, series)) {
		return true;
	}
	if (r->samples.h != NULL) {
		return false;
	}
	add_frames(r, series->labels);
	return true;
}

static bool step_chunks(struct reading *r)
{
	while (r->query < r->request.n && !det_job_cancelled(&r->job)) {
		const struct det_series_list *f = &r->found[r->query];
		for (; r->series < f->n; r->series++) {
			if (r->job.out.len >= DET_JOB_PIECE) {
				return true;
			}
			if (!add_chunks(r, f->items[r->series])) {
				r->chunks = false;
				return false;
			}
		}
		r->query++;
		r->series = 0;
	}
	return false;
}

static void all_samples(struct reading *r)
{
	for (r->query = 0; r->query < r->request.n; r->query++) {
		size_t mark = ops_remote_result_begin(&r->job.out);
		const struct det_series_list *f = &r->found[r->query];
		for (size_t i = 0; i < f->n && !det_job_cancelled(&r->job); i++) {
			if (read_series(r, f->items[i])) {
				add_samples(r, f->items[i]->labels);
			}
			if (r->job.out.len > SAMPLES_MAX) {
				det_job_fail(&r->job, "bad_data",
					"exceeded the largest answer in samples: ask for chunks, "
					"for less time or fewer series");
				return;
			}
		}
		ops_remote_result_end(&r->job.out, mark);
	}
}

static void compress(struct reading *r)
{
	struct ops_strbuf packed = OPS_STRBUF_INIT;
	ops_snappy_encode(ops_strbuf_text(&r->job.out), r->job.out.len, &packed);
	ops_strbuf_done(&r->job.out);
	r->job.out = packed;
}

static void answer_samples(struct reading *r)
{
	struct det_job *job = &r->job;
	ops_strbuf_reset(&job->out);
	all_samples(r);
	if (job->error_type == NULL) {
		compress(r);
		job->encoding = "snappy";
		job->content_type = OPS_REMOTE_READ_SAMPLES_TYPE;
	}
}

static bool step(struct det_job *job)
{
	struct reading *r = ops_container_of(job, struct reading, job);
	bool more = false, first = !r->begun;
	if (first) {
		r->begun = true;
		job->content_type = OPS_REMOTE_READ_CHUNKS_TYPE;
		det_api_read_begin(job); /* until the last step */
		find(r);
		r->chunks = r->request.chunks && !any_histograms(r);
	}
	if (r->chunks) {
		more = step_chunks(r);
	}
	if (!r->chunks && first) {
		answer_samples(r);
	} else if (!r->chunks) {
		det_job_fail(job, "execution", "a native histogram after chunks were sent");
	}
	if (!more) {
		det_api_read_end(job);
	}
	return more;
}

/* ---- on the loop ---- */

static void reply_line(struct ops_http_req *req, int code, const char *message)
{
	char text[700];
	snprintf(text, sizeof(text), "%s\n", message);
	ops_http_reply_text(req, code, text);
}

void det_api_read(struct ops_http_req *req, void *arg)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf message = OPS_STRBUF_INIT;
	struct ops_error err = {0};
	const char *body;
	size_t len;
	ops_http_body(req, &body, &len);
	if (ops_snappy_decode(body, len, QUERY_MAX, &message, &err) != 0) {
		reply_line(req, 400, err.message);
		return;
	}
	struct reading *r = det_job_new(arg, req, sizeof(*r));
	r->job.step = step;
	r->job.release = release;
	r->job.may_pack = false;
	if (ops_remote_read_decode(ops_strbuf_text(&message), message.len, &r->job.arena,
		    &r->request, &err) != 0) {
		reply_line(req, 400, err.message);
		det_job_drop(&r->job);
		return;
	}
	det_job_start(&r->job);
}
