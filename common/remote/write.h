/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The messages of Prometheus' remote write, 1.0 and 2.0, uncompressed: decoded series by series
 * into memory that is used again for the next one, and encoded. A decoded series borrows its texts
 * from the message, which has no NUL behind them.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "common/model/labels.h"
#include "common/msg/samples.h"
#include "common/remote/negotiate.h"

#define OPS_REMOTE_MAX_LABELS 256u	/* of a series or exemplar */
#define OPS_REMOTE_MAX_TEXT 65536u	/* bytes of a name or value */
#define OPS_REMOTE_MAX_SYMBOLS 1000000u /* 2.0: of a request */

struct ops_remote_text {
	const char *s; /* not NULL */
	size_t len;
};

struct ops_remote_sample {
	int64_t time_ms;
	int64_t start_ms; /* when the counter began; 0 = unknown (always in 1.0) */
	double value;
};

struct ops_remote_histogram { /* the Histogram message as it is, the same in 1.0 and 2.0 */
	const uint8_t *data;
	size_t len;
	int64_t time_ms, start_ms;
};

struct ops_remote_exemplar {
	const struct ops_label *labels;
	size_t nlabels;
	double value;
	int64_t time_ms; /* 0 = not given */
};

struct ops_remote_metadata {
	struct ops_remote_text family; /* 2.0: the series' metric name, as the message has none */
	struct ops_remote_text help, unit;
	enum ops_series_type type;
};

struct ops_remote_series {
	/* Sorted by name and without empty values, for ops_labels_from_sorted(). */
	const struct ops_label *labels;
	size_t nlabels;
	const struct ops_remote_sample *samples;
	size_t nsamples;
	const struct ops_remote_histogram *histograms;
	size_t nhistograms;
	const struct ops_remote_exemplar *exemplars;
	size_t nexemplars;
	const struct ops_remote_metadata *metadata; /* 2.0 only; NULL = none */
	/* Decoded: why the labels are no label set of a series (static text), or NULL. */
	const char *flaw;
};

/* Either may be NULL. A non-zero result ends the decoding, which returns it. */
struct ops_remote_sink {
	int (*on_series)(void *arg, const struct ops_remote_series *s);
	int (*on_metadata)(void *arg, const struct ops_remote_metadata *m); /* 1.0 only */
	void *arg;
};

/*
 * The whole message is checked before the sink hears of anything: -EBADMSG, with err set, means
 * that nothing was delivered. A series whose labels are wrong is delivered with its flaw.
 */
int ops_remote_write_decode(enum ops_remote_version version, const void *data, size_t len,
	const struct ops_remote_sink *sink, struct ops_error *err) OPS_MUST_CHECK;

/*
 * The same in two steps, for messages that take long: the check, on any thread, and the delivery in
 * pieces. data is borrowed until the decoder is freed.
 */
struct ops_remote_decoder; /* opaque */
int ops_remote_decoder_new(enum ops_remote_version version, const void *data, size_t len,
	struct ops_remote_decoder **ret, struct ops_error *err) OPS_MUST_CHECK;
#define OPS_REMOTE_MORE 1
/* Delivers about that many bytes of the message, one series at least. 0 = the end; OPS_REMOTE_MORE;
 * else what the sink returned. */
int ops_remote_decoder_go_on(struct ops_remote_decoder *d, const struct ops_remote_sink *sink,
	size_t bytes) OPS_MUST_CHECK;
void ops_remote_decoder_free(struct ops_remote_decoder *d); /* NULL is fine */

/* Builds one request. Embedded by value; reset keeps the memory. */
struct ops_remote_writer {
	enum ops_remote_version version;
	struct ops_strbuf body;
	struct ops_strbuf symbols; /* 2.0: encoded already */
	struct ops_map *refs;	   /* 2.0: text -> index + 1 */
	uint32_t nsymbols;
	size_t nseries, nsamples, nhistograms, nexemplars, nmetadata;
};
void ops_remote_writer_init(struct ops_remote_writer *w, enum ops_remote_version version);
void ops_remote_writer_done(struct ops_remote_writer *w);
void ops_remote_writer_reset(struct ops_remote_writer *w);
/* labels sorted; flaw is ignored, start_ms and metadata are left out in 1.0. */
void ops_remote_writer_series(struct ops_remote_writer *w, const struct ops_remote_series *s);
/* 1.0 only: in 2.0 metadata stands in the series. */
void ops_remote_writer_metadata(struct ops_remote_writer *w, const struct ops_remote_metadata *m);
size_t ops_remote_writer_bytes(const struct ops_remote_writer *w);
/* Appends the message. */
void ops_remote_writer_finish(const struct ops_remote_writer *w, struct ops_strbuf *out);
