/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Exemplars on the wire: volatile messages beside the batches, for whoever wants them.
 * Little-endian, length-checked at every read; docs/wire-format-samples.md is the specification.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/model/labels.h"

struct ops_strbuf;

#define OPS_EXEMPLARS_TOPIC "exemplars"
#define OPS_EXEMPLARS_MAX 1000u /* in one message */

struct ops_exemplar { /* borrowed */
	struct ops_labels *series, *labels;
	double value;
	int64_t time_ms;
};

/* Appends the message's head; n is set by each ops_exemplars_add. */
void ops_exemplars_begin(struct ops_strbuf *out);
/* 0, or -E2BIG: there are OPS_EXEMPLARS_MAX, or its labels are too large (nothing is appended). */
int ops_exemplars_add(struct ops_strbuf *out, const struct ops_exemplar *e) OPS_MUST_CHECK;
/* Calls fn for each; -EINVAL with err: malformed from there on. */
int ops_exemplars_decode(const void *data, size_t len,
	void (*fn)(void *arg, const struct ops_exemplar *e), void *arg,
	struct ops_error *err) OPS_MUST_CHECK;
