/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document is taken in pieces that end with a line, so that its length does not matter; only
 * OpenMetrics, which has an end of its own, is read as a whole. Lines that name the same series as
 * the one before share its label set.
 */
#include "common/exposition/import.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <zlib.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/net/http_server.h"

enum {
	LINE_MAX_BYTES = 4 << 20,
	DOCUMENT_MAX = 64 << 20, /* OpenMetrics, which is not read in pieces */
	UNPACKED_AT_ONCE = 256 * 1024
};

/* ---- lines ---- */

static struct ops_labels *labels_of(const struct ops_import *im)
{
	const struct ops_exposition *p = &im->parser;
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	for (size_t i = 0; i < p->nlabels; i++) {
		const struct ops_label *l = &p->labels[i];
		ops_labels_builder_setn(&b, l->name, l->name_len, l->value, l->value_len);
	}
	for (size_t i = 0; i < im->nextra; i++) {
		const char *eq = strchr(im->extra[i], '=');
		ops_labels_builder_setn(
			&b, im->extra[i], (size_t)(eq - im->extra[i]), eq + 1, strlen(eq + 1));
	}
	ops_labels_builder_setn(
		&b, OPS_LABEL_NAME, strlen(OPS_LABEL_NAME), p->name.data, p->name.len);
	struct ops_labels *labels = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return labels;
}

static void take_sample(struct ops_import *im)
{
	const struct ops_sample_tail *tail = &im->parser.tail;
	struct ops_labels *labels = labels_of(im);
	if (im->last != NULL && ops_labels_equal(im->last, labels)) {
		ops_labels_unref(labels);
	} else {
		ops_labels_unref(im->last);
		im->last = labels;
	}
	int64_t time_ms = tail->has_time ? tail->time_ms : im->time_ms;
	if (im->sink.on_sample(im->sink.arg, im->last, time_ms, tail->value) == 0) {
		im->taken++;
	} else {
		im->refused++;
	}
}

/* Whole lines. */
static int take_lines(struct ops_import *im, const char *data, size_t len)
{
	int kind;
	ops_exposition_start(&im->parser, im->format, data, len);
	while ((kind = ops_exposition_next(&im->parser, &im->err)) > 0) {
		if (kind == OPS_ENTRY_SAMPLE) {
			take_sample(im);
		} else if (kind != OPS_ENTRY_COMMENT && im->sink.on_metadata != NULL) {
			im->sink.on_metadata(
				im->sink.arg, (enum ops_exposition_entry)kind, &im->parser);
		}
	}
	if (kind < 0) {
		im->err.line += im->lines;
		return kind;
	}
	for (const char *at = data; (at = memchr(at, '\n', len - (size_t)(at - data))) != NULL;
		at++) {
		im->lines++;
	}
	return 0;
}

static int take_text(struct ops_import *im, const char *data, size_t len)
{
	im->bytes += len;
	if (im->max_bytes > 0 && im->bytes > im->max_bytes) {
		return ops_error_set(
			&im->err, -EFBIG, "more than %zu bytes of text", im->max_bytes);
	}
	if (im->format == OPS_EXPOSITION_OPENMETRICS) { /* one document, with an end of its own */
		ops_strbuf_add(&im->rest, data, len);
		return im->rest.len > DOCUMENT_MAX ? ops_error_set(&im->err, -EFBIG,
							     "an OpenMetrics document may "
							     "have 64 MiB here")
						   : 0;
	}
	const char *end = memrchr(data, '\n', len);
	size_t whole = end != NULL ? (size_t)(end - data) + 1 : 0;
	int rc = 0;
	if (whole > 0 && im->rest.len > 0) {
		const char *first = memchr(data, '\n', len);
		size_t n = (size_t)(first - data) + 1;
		ops_strbuf_add(&im->rest, data, n);
		rc = take_lines(im, im->rest.data, im->rest.len);
		ops_strbuf_reset(&im->rest);
		data += n;
		len -= n;
		whole -= n;
	}
	if (rc == 0 && whole > 0) {
		rc = take_lines(im, data, whole);
	}
	if (rc == 0 && len > whole) {
		ops_strbuf_add(&im->rest, data + whole, len - whole);
	}
	if (im->rest.len > LINE_MAX_BYTES) {
		rc = ops_error_set(&im->err, -EINVAL, "line %d is too long", im->lines + 1);
	}
	return rc;
}

/* ---- the body ---- */

static int inflate_some(struct ops_import *im, char *out, size_t room, size_t *ret_n)
{
	if (im->ended) { /* another member follows */
		im->ended = false;
		if (inflateReset(im->z) != Z_OK) {
			return -EBADMSG;
		}
	}
	im->z->next_out = (Bytef *)out;
	im->z->avail_out = (uInt)room;
	int rc = inflate(im->z, Z_NO_FLUSH);
	im->ended = rc == Z_STREAM_END;
	*ret_n = room - im->z->avail_out;
	return rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ? 0 : -EBADMSG;
}

static int take_packed(struct ops_import *im, const char *data, size_t len)
{
	OPS_CLEANUP(ops_freep) char *out = ops_xmalloc(UNPACKED_AT_ONCE);
	im->z->next_in = (z_const Bytef *)(uintptr_t)data;
	im->z->avail_in = (uInt)len;
	size_t n = 0;
	do {
		int rc = inflate_some(im, out, UNPACKED_AT_ONCE, &n);
		if (rc != 0) {
			return ops_error_set(&im->err, -EBADMSG, "the body is not valid gzip");
		}
		rc = n > 0 ? take_text(im, out, n) : 0;
		if (rc != 0) {
			return rc;
		}
	} while (im->z->avail_in > 0 || n == UNPACKED_AT_ONCE);
	return 0;
}

void ops_import_init(struct ops_import *im, const struct ops_import_sink *sink)
{
	*im = (struct ops_import){.sink = *sink, .format = OPS_EXPOSITION_TEXT};
	ops_exposition_init(&im->parser);
	im->z = ops_xcalloc(1, sizeof(*im->z));
	ops_assert(inflateInit2(im->z, 15 + 16) == Z_OK);
}

void ops_import_done(struct ops_import *im)
{
	inflateEnd(im->z);
	free(im->z);
	ops_exposition_done(&im->parser);
	ops_strbuf_done(&im->rest);
	ops_labels_unref(im->last);
}

int ops_import_take(struct ops_import *im, const char *data, size_t len)
{
	if (len == 0) {
		return 0;
	}
	return im->packed ? take_packed(im, data, len) : take_text(im, data, len);
}

int ops_import_finish(struct ops_import *im)
{
	if (im->packed && !im->ended) {
		return ops_error_set(&im->err, -EBADMSG, "the body is cut off");
	}
	if (im->rest.len > 0) { /* the last line may lack its end */
		if (im->rest.data[im->rest.len - 1] != '\n') {
			ops_strbuf_addc(&im->rest, '\n');
		}
		return take_lines(im, im->rest.data, im->rest.len);
	}
	return 0;
}

/* ---- the request ---- */

static int read_labels(struct ops_import *im, struct ops_http_req *req)
{
	im->nextra = ops_http_params(req, "extra_label", im->extra, OPS_IMPORT_EXTRA_MAX);
	if (im->nextra > OPS_IMPORT_EXTRA_MAX) {
		return ops_error_set(
			&im->err, -EINVAL, "more than %d extra_label", OPS_IMPORT_EXTRA_MAX);
	}
	for (size_t i = 0; i < im->nextra; i++) {
		const char *eq = strchr(im->extra[i], '=');
		if (eq == NULL || eq == im->extra[i]) {
			return ops_error_set(&im->err, -EINVAL,
				"extra_label must be name=value, not \"%.100s\"", im->extra[i]);
		}
	}
	return 0;
}

int ops_import_request(struct ops_import *im, struct ops_http_req *req)
{
	const char *text = ops_http_param(req, "timestamp");
	const char *encoding = ops_http_header(req, "Content-Encoding");
	im->time_ms = ops_now_ms();
	if (text != NULL && *text != '\0' && ops_parse_i64(text, strlen(text), &im->time_ms) != 0) {
		return ops_error_set(
			&im->err, -EINVAL, "timestamp must be a number of milliseconds");
	}
	im->packed = encoding != NULL && strcmp(encoding, "gzip") == 0;
	if (encoding != NULL && !im->packed && strcmp(encoding, "identity") != 0) {
		return ops_error_set(&im->err, -EINVAL, "Content-Encoding must be gzip or none");
	}
	int rc = ops_exposition_format_of(
		ops_http_header(req, "Content-Type"), OPS_EXPOSITION_TEXT, &im->format, &im->err);
	return rc != 0 ? rc : read_labels(im, req);
}
