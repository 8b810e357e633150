/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Exposition text that somebody hands in, perhaps packed, sample by sample and piece by piece:
 * what /api/v1/import/prometheus is in every service that has it. Embedded by value; loop thread.
 */
#include "common/exposition/exposition.h"

#define OPS_IMPORT_EXTRA_MAX 16

struct ops_http_req;
struct z_stream_s;

struct ops_import_sink {
	/* labels are borrowed. 0: taken; else the sample counts as refused. */
	int (*on_sample)(void *arg, struct ops_labels *labels, int64_t time_ms, double value);
	/* HELP, TYPE, UNIT of p->name; may be NULL. */
	void (*on_metadata)(
		void *arg, enum ops_exposition_entry kind, const struct ops_exposition *p);
	void *arg;
};

struct ops_import {
	/* set by the caller after ops_import_init, or by ops_import_request */
	enum ops_exposition_format format;
	bool packed;				 /* gzip */
	size_t max_bytes;			 /* of text; 0: no limit */
	int64_t time_ms;			 /* of samples without one */
	const char *extra[OPS_IMPORT_EXTRA_MAX]; /* name=value, for every series; borrowed */
	size_t nextra;
	/* read by it */
	size_t taken, refused;
	struct ops_error err;
	/* private */
	struct ops_import_sink sink;
	struct ops_exposition parser;
	struct ops_strbuf rest;	 /* a line whose end has not come */
	struct ops_labels *last; /* of the line before: often the same but for the time */
	struct z_stream_s *z;
	size_t bytes; /* of text so far */
	bool ended;   /* a member of the packed stream */
	int lines;    /* in the pieces before */
};

void ops_import_init(struct ops_import *im, const struct ops_import_sink *sink);
void ops_import_done(struct ops_import *im);
/*
 * Settings by the request: extra_label adds a label to every series, timestamp (milliseconds) is
 * the time of samples without one, else now; Content-Type and Content-Encoding. -EINVAL with
 * im->err.
 */
int ops_import_request(struct ops_import *im, struct ops_http_req *req) OPS_MUST_CHECK;
/* 0, or negative with im->err: what stands before it is taken. */
int ops_import_take(struct ops_import *im, const char *data, size_t len) OPS_MUST_CHECK;
int ops_import_finish(struct ops_import *im) OPS_MUST_CHECK;
