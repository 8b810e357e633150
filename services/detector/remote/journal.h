/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The record of a queue: what the store took in during one turn of the loop. Rows name their
 * layout, everything else carries its labels. Exemplars, which not every queue wants, are a record
 * of their own. Built by the tap, read by the queues.
 */
#include "common/base/strbuf.h"
#include "common/model/histogram.h"
#include "common/model/labels.h"
#include "common/msg/exemplars.h"
#include "services/detector/store/store.h"

struct det_journal { /* embedded; all zero is empty */
	struct ops_strbuf bytes;
	uint32_t nsamples, nexemplars;
};
void det_journal_done(struct det_journal *j);
void det_journal_reset(struct det_journal *j);
/* nstored: how many of the row's values are samples. */
void det_journal_row(struct det_journal *j, const struct det_store_row *row, size_t nstored);
void det_journal_sample(
	struct det_journal *j, const struct ops_labels *labels, int64_t time_ms, double value);
void det_journal_histogram(struct det_journal *j, const struct ops_labels *labels, int64_t time_ms,
	const struct ops_histogram *h);
/* labels may be empty. */
void det_journal_exemplar(struct det_journal *j, const struct ops_exemplar *e);
struct det_journal_counts {
	uint64_t samples, exemplars;
};
/* The record; before = what the queue has ever taken until now. Until the next change. */
const char *det_journal_record(
	struct det_journal *j, const struct det_journal_counts *before, size_t *ret_len);

struct det_journal_entry {
	uint64_t layout_id;    /* a row; else 0 and labels are set */
	const uint8_t *labels; /* det_journal_labels() */
	size_t labels_len;
	int64_t time_ms;
	double value;
	const uint8_t *blob; /* row: the doubles; else a histogram, or NULL */
	size_t blob_len;
	bool exemplar;
	const uint8_t *exemplar_labels; /* det_journal_labels(); NULL: none */
	size_t exemplar_labels_len;
};
struct det_journal_header {
	struct det_journal_counts before;
	uint32_t nsamples, nexemplars;
	uint32_t bytes; /* of the header */
};
/* -EBADMSG: no such record. */
int det_journal_header(const void *data, size_t len, struct det_journal_header *ret) OPS_MUST_CHECK;
int det_journal_read(const void *data, size_t len,
	void (*fn)(void *arg, const struct det_journal_entry *e), void *arg) OPS_MUST_CHECK;

/* Label sets as bytes: also in the files of layouts. NULL labels are no bytes. */
void det_journal_put_labels(struct ops_strbuf *b, const struct ops_labels *labels);
/* NULL: malformed, or none. Release with ops_labels_unref(). */
struct ops_labels *det_journal_labels(const uint8_t *data, size_t len) OPS_MUST_CHECK;
