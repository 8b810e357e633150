/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The messages that write and read have in common (prompb/types.proto): TimeSeries with its parts,
 * and the enumeration of metric types. Internal to common/remote.
 */
#include "common/proto/proto.h"
#include "common/remote/write.h"

/* Lists that are filled again for each series. */
struct ops_remote_lists {
	struct ops_label *labels;
	size_t nlabels, labels_cap;
	struct ops_remote_sample *samples;
	size_t nsamples, samples_cap;
	struct ops_remote_histogram *histograms;
	size_t nhistograms, histograms_cap;
	struct ops_remote_exemplar *exemplars;
	size_t nexemplars, exemplars_cap;
	struct ops_arena arena; /* labels of exemplars */
};
void ops_remote_lists_init(struct ops_remote_lists *l);
void ops_remote_lists_done(struct ops_remote_lists *l);
void ops_remote_lists_reset(struct ops_remote_lists *l);

/* All -EBADMSG when malformed. */
int ops_remote_add_label(struct ops_label **items, size_t *n, size_t *cap,
	const struct ops_remote_text pair[2]) OPS_MUST_CHECK;
int ops_remote_add_sample(
	struct ops_remote_lists *l, const struct ops_proto_field *f) OPS_MUST_CHECK;
int ops_remote_add_histogram(
	struct ops_remote_lists *l, const struct ops_proto_field *f) OPS_MUST_CHECK;
/* Sorts, drops empty values; the flaw or NULL. */
const char *ops_remote_order_labels(struct ops_label *labels, size_t *n, bool of_series);
/* What the lists hold, as a series. */
void ops_remote_series_of(struct ops_remote_lists *l, struct ops_remote_series *ret);

enum ops_series_type ops_remote_type_from(uint64_t wire);
uint64_t ops_remote_type_to(enum ops_series_type t);

/* field number: {labels = 1, samples = 2, exemplars = 3, histograms = 4}, the 1.0 message. */
void ops_remote_put_series(
	struct ops_strbuf *b, uint32_t number, const struct ops_remote_series *s);
void ops_remote_put_labels(
	struct ops_strbuf *b, uint32_t number, const struct ops_label *labels, size_t n);
void ops_remote_put_sample(struct ops_strbuf *b, uint32_t number, const struct ops_remote_sample *s,
	enum ops_remote_version version);
