/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Exposition text, perhaps packed, into the store, piece by piece. Embedded by value; loop thread.
 */
#include "common/exposition/exposition.h"
#include "services/detector/store/store.h"

#define DET_IMPORT_EXTRA_MAX 16

struct z_stream_s;

struct det_import {
	/* set by the caller after det_import_init */
	enum ops_exposition_format format;
	bool packed;				 /* gzip */
	int64_t time_ms;			 /* of samples without one */
	const char *extra[DET_IMPORT_EXTRA_MAX]; /* name=value, for every series; borrowed */
	size_t nextra;
	/* read by it */
	size_t stored, refused;
	struct ops_error err;
	/* private */
	struct det_store *store;
	struct ops_exposition parser;
	struct ops_strbuf rest;	 /* a line whose end has not come */
	struct ops_labels *last; /* of the line before: often the same but for the time */
	struct z_stream_s *z;
	bool ended; /* a member of the packed stream */
	int lines;  /* in the pieces before */
};

void det_import_init(struct det_import *im, struct det_store *store);
void det_import_done(struct det_import *im);
/* 0, or negative with im->err: what stands before it is stored. */
int det_import_take(struct det_import *im, const char *data, size_t len) OPS_MUST_CHECK;
int det_import_finish(struct det_import *im) OPS_MUST_CHECK;
