/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Different series are counted by the hashes of their label sets in two generations of half an
 * hour: a series is known when one of them has it, and the older one is dropped when its time is
 * over. A hash that two series share lets one more in, which a limit can bear.
 *
 * The rate is a token bucket that holds one second; a request is let in while there is something in
 * it, and may overdraw it once, so that a large request is not refused for ever.
 */
#include "services/collector/receive/outlet.h"

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/metrics/metrics.h"

enum {
	FLUSH_BYTES = 1 << 20,
	GENERATION_MS = 30 * 60 * 1000
};

static struct ops_metric received_total = OPS_COUNTER("ops_received_samples_total",
	"Samples and histograms that were sent here and passed on.", "door");
static struct ops_metric refused_total = OPS_COUNTER("ops_received_refused_total",
	"Samples and histograms that were sent here and refused.", "door", "reason");

struct col_outlet {
	struct col_publisher *publisher;
	struct col_outlet_limits limits;
	struct ops_remote_writer writer;
	struct ops_strbuf message;
	size_t waiting; /* samples in the writer */
	double tokens;
	int64_t filled_ms;
	struct ops_map *known[2]; /* hashes; [0] is the younger generation */
	int64_t turned_ms;
};

static char present;

const char *col_outlet_reason(enum col_outlet_refusal why)
{
	static const char *const texts[] = {"", "rate", "series_limit", "labels", "bus"};
	return texts[why];
}

struct col_outlet *col_outlet_new(
	struct col_publisher *publisher, const struct col_outlet_limits *limits)
{
	struct col_outlet *o = ops_xcalloc(1, sizeof(*o));
	o->publisher = publisher;
	o->limits = *limits;
	o->tokens = (double)limits->samples_per_second;
	o->filled_ms = o->turned_ms = ops_mono_ms();
	o->known[0] = ops_map_new();
	o->known[1] = ops_map_new();
	ops_remote_writer_init(&o->writer, OPS_REMOTE_2);
	ops_metric_register(&received_total);
	return o;
}

void col_outlet_free(struct col_outlet *o)
{
	if (o == NULL) {
		return;
	}
	ops_map_free(o->known[0], NULL);
	ops_map_free(o->known[1], NULL);
	ops_remote_writer_done(&o->writer);
	ops_strbuf_done(&o->message);
	free(o);
}

bool col_outlet_admits(struct col_outlet *o, size_t n)
{
	if (o->limits.samples_per_second <= 0) {
		return true;
	}
	int64_t now = ops_mono_ms();
	double rate = (double)o->limits.samples_per_second;
	o->tokens = OPS_MIN(rate, o->tokens + (double)(now - o->filled_ms) * rate / 1000);
	o->filled_ms = now;
	if (o->tokens <= 0) {
		return false;
	}
	o->tokens -= (double)n;
	return true;
}

static uint64_t hash_of(const struct ops_remote_series *s)
{
	uint64_t h = 0;
	for (size_t i = 0; i < s->nlabels; i++) {
		h = ops_hash64(s->labels[i].name, s->labels[i].name_len, h);
		h = ops_hash64(s->labels[i].value, s->labels[i].value_len, h);
	}
	return h;
}

static bool within_series_limit(struct col_outlet *o, const struct ops_remote_series *s)
{
	if (o->limits.series <= 0) {
		return true;
	}
	int64_t now = ops_mono_ms();
	if (now - o->turned_ms > GENERATION_MS) {
		ops_map_free(o->known[1], NULL);
		o->known[1] = o->known[0];
		o->known[0] = ops_map_new();
		o->turned_ms = now;
	}
	uint64_t h = hash_of(s);
	if (ops_map_get(o->known[0], &h, sizeof(h)) != NULL) {
		return true;
	}
	bool old = ops_map_remove(o->known[1], &h, sizeof(h)) != NULL;
	size_t n = ops_map_count(o->known[0]) + ops_map_count(o->known[1]);
	if (!old && (int64_t)n >= o->limits.series) {
		return false;
	}
	(void)ops_map_put(o->known[0], &h, sizeof(h), &present);
	return true;
}

/* False: the bus does not take it, which is counted. */
static bool collect(struct col_outlet *o, const char *door, const struct ops_remote_series *s)
{
	ops_remote_writer_series(&o->writer, s);
	o->waiting += s->nsamples + s->nhistograms;
	return ops_remote_writer_bytes(&o->writer) < FLUSH_BYTES || col_outlet_flush(o, door) == 0;
}

bool col_outlet_describe(
	struct col_outlet *o, const char *door, const struct ops_remote_metadata *m)
{
	const struct ops_label name = {.name = OPS_LABEL_NAME,
		.name_len = sizeof(OPS_LABEL_NAME) - 1,
		.value = m->family.s,
		.value_len = (uint32_t)m->family.len};
	const struct ops_remote_series s = {.labels = &name, .nlabels = 1, .metadata = m};
	return m->family.len == 0 || m->family.len > OPS_REMOTE_MAX_TEXT || collect(o, door, &s);
}

enum col_outlet_refusal col_outlet_series(
	struct col_outlet *o, const char *door, const struct ops_remote_series *s)
{
	size_t n = s->nsamples + s->nhistograms;
	enum col_outlet_refusal why = s->flaw != NULL		  ? COL_OUTLET_LABELS
				      : within_series_limit(o, s) ? COL_OUTLET_TAKEN
								  : COL_OUTLET_SERIES;
	if (why == COL_OUTLET_TAKEN) {
		return collect(o, door, s) ? COL_OUTLET_TAKEN : COL_OUTLET_BUS;
	}
	ops_metric_add(&refused_total, (double)n, door, col_outlet_reason(why));
	return why;
}

int col_outlet_flush(struct col_outlet *o, const char *door)
{
	int r = 0;
	if (o->writer.nseries > 0) {
		ops_strbuf_reset(&o->message);
		ops_remote_writer_finish(&o->writer, &o->message);
		r = col_publish_received(o->publisher, &o->message, o->waiting);
		if (r == 0) {
			ops_metric_add(&received_total, (double)o->waiting, door);
		} else {
			ops_metric_add(&refused_total, (double)o->waiting, door,
				col_outlet_reason(COL_OUTLET_BUS));
		}
	}
	ops_remote_writer_reset(&o->writer);
	o->waiting = 0;
	return r;
}
