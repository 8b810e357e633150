/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What remote write brings goes into the store. What can be stored is stored; when something was
 * refused the answer is 400, which tells the sender not to try again, with the counts of what was
 * stored. The store's own reasons are in its metrics.
 */
#include <stdio.h>

#include "common/metrics/metrics.h"
#include "common/remote/histogram.h"
#include "services/detector/api/write.h"

static struct ops_metric received_total = OPS_COUNTER("ops_detector_received_samples_total",
	"Samples from remote write and import, by outcome.", "door", "outcome");

void det_api_count_received(const char *door, size_t stored, size_t refused)
{
	ops_metric_add(&received_total, (double)stored, door, "stored");
	ops_metric_add(&received_total, (double)refused, door, "refused");
}

static void refuse(struct det_receipt *r, size_t n, const char *why)
{
	r->got->refused += n;
	if (r->got->problem[0] == '\0') {
		snprintf(r->got->problem, sizeof(r->got->problem), "%s", why);
	}
}

/* The sample is stored; 1.0 has no starts. */
static void take_start(
	struct det_receipt *r, const struct ops_labels *labels, int64_t time_ms, int64_t start_ms)
{
	const bool *wanted = r->api->config.start_storage;
	if (start_ms != 0 && wanted != NULL && *wanted) {
		/* What is refused is counted by the store, and a sample without start is a sample.
		 */
		(void)!det_store_append_start(r->api->config.store, labels, time_ms, start_ms);
	}
}

static void take_samples(
	struct det_receipt *r, struct ops_labels *labels, const struct ops_remote_series *s)
{
	for (size_t i = 0; i < s->nsamples; i++) {
		if (det_store_append(r->api->config.store, labels, s->samples[i].time_ms,
			    s->samples[i].value) == 0) {
			r->got->samples++;
			take_start(r, labels, s->samples[i].time_ms, s->samples[i].start_ms);
		} else {
			refuse(r, 1,
				"out of order sample, too old, too far in the future, or no "
				"memory");
		}
	}
}

static void take_histograms(
	struct det_receipt *r, struct ops_labels *labels, const struct ops_remote_series *s)
{
	for (size_t i = 0; i < s->nhistograms; i++) {
		const struct ops_remote_histogram *in = &s->histograms[i];
		struct ops_histogram h;
		int rc = ops_remote_histogram_decode(in, &r->arena, &h);
		if (rc == 0) {
			rc = det_store_append_histogram(
				r->api->config.store, labels, in->time_ms, &h);
		}
		ops_arena_reset(&r->arena);
		if (rc == 0) {
			r->got->histograms++;
			take_start(r, labels, in->time_ms, in->start_ms);
		} else {
			refuse(r, 1, rc == 1 ? "out of order histogram" : "invalid histogram");
		}
	}
}

static void take_exemplars(
	struct det_receipt *r, struct ops_labels *labels, const struct ops_remote_series *s)
{
	for (size_t i = 0; i < s->nexemplars; i++) {
		const struct ops_remote_exemplar *in = &s->exemplars[i];
		struct ops_exemplar e = {.series = labels,
			.labels = ops_labels_from_sorted(in->labels, in->nlabels),
			.value = in->value,
			.time_ms = in->time_ms};
		/* What is too old or long is no reason to refuse the samples: counted. */
		r->got->exemplars += det_api_take_exemplar(r->api, &e);
		ops_labels_unref(e.labels);
	}
}

static void describe(struct det_api *api, const struct ops_remote_metadata *m)
{
	struct ops_arena arena;
	ops_arena_init(&arena);
	const struct ops_layout_family family = {
		.name = ops_arena_strndup(&arena, m->family.s, m->family.len),
		.help = ops_arena_strndup(&arena, m->help.s, m->help.len),
		.unit = ops_arena_strndup(&arena, m->unit.s, m->unit.len),
		.type = m->type};
	if (family.name[0] != '\0') {
		det_store_describe(api->config.store, &family);
	}
	ops_arena_done(&arena);
}

static int on_series(void *arg, const struct ops_remote_series *s)
{
	struct det_receipt *r = arg;
	if (s->flaw != NULL) {
		r->got->bad_series++;
		refuse(r, s->nsamples + s->nhistograms, s->flaw);
		return 0;
	}
	struct ops_labels *labels = ops_labels_from_sorted(s->labels, s->nlabels);
	take_samples(r, labels, s);
	take_histograms(r, labels, s);
	take_exemplars(r, labels, s);
	ops_labels_unref(labels);
	if (s->metadata != NULL) {
		describe(r->api, s->metadata);
	}
	return 0;
}

static int on_metadata(void *arg, const struct ops_remote_metadata *m)
{
	const struct det_receipt *r = arg;
	describe(r->api, m);
	return 0;
}

void det_receipt_init(struct det_receipt *r, struct det_api *api, struct det_received *got)
{
	*r = (struct det_receipt){.api = api, .got = got};
	r->sink = (struct ops_remote_sink){on_series, on_metadata, r};
	*got = (struct det_received){.samples = 0};
	ops_arena_init(&r->arena);
}

void det_receipt_done(struct det_receipt *r, const char *door)
{
	const struct det_received *got = r->got;
	ops_arena_done(&r->arena);
	det_api_count_received(door, got->samples + got->histograms, got->refused);
}

static void add_count(struct ops_http_req *req, const char *header, size_t n)
{
	char text[32];
	snprintf(text, sizeof(text), "%zu", n);
	ops_http_reply_header(req, header, text);
}

void det_write_answer(
	struct ops_http_req *req, enum ops_remote_version version, const struct det_received *r)
{
	if (version == OPS_REMOTE_2) {
		add_count(req, OPS_REMOTE_SAMPLES_WRITTEN, r->samples);
		add_count(req, OPS_REMOTE_HISTOGRAMS_WRITTEN, r->histograms);
		add_count(req, OPS_REMOTE_EXEMPLARS_WRITTEN, r->exemplars);
	}
	if (r->refused == 0 && r->bad_series == 0) {
		ops_http_reply(req, 204, NULL, NULL, 0);
		return;
	}
	char text[400];
	snprintf(text, sizeof(text), "%s (%zu of %zu samples refused)\n", r->problem, r->refused,
		r->refused + r->samples + r->histograms);
	ops_http_reply_text(req, 400, text);
}

void det_write_refuse(struct ops_http_req *req, int code, const char *message)
{
	char text[700];
	snprintf(text, sizeof(text), "%s\n", message);
	ops_http_reply_text(req, code, text);
}

int det_api_receive(struct det_api *api, const char *door, enum ops_remote_version version,
	const struct ops_strbuf *message, struct det_received *ret, struct ops_error *err)
{
	struct det_receipt r;
	det_receipt_init(&r, api, ret);
	int rc = ops_remote_write_decode(
		version, ops_strbuf_text(message), message->len, &r.sink, err);
	det_receipt_done(&r, door);
	return rc;
}
