/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A document is taken in pieces that end with a line, so that its length does not matter; only
 * OpenMetrics, which has an end of its own, is read as a whole. Lines that name the same series as
 * the one before share its label set.
 */
#include "services/detector/api/import.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <zlib.h>

enum {
	LINE_MAX_BYTES = 4 << 20,
	DOCUMENT_MAX = 64 << 20, /* OpenMetrics, which is not read in pieces */
	UNPACKED_AT_ONCE = 256 * 1024
};

/* ---- lines ---- */

static struct ops_labels *labels_of(const struct det_import *im)
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

static void take_sample(struct det_import *im)
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
	if (det_store_append(im->store, im->last, time_ms, tail->value) == 0) {
		im->stored++;
	} else {
		im->refused++;
	}
}

static void describe(struct det_import *im, enum ops_exposition_entry kind)
{
	const struct ops_exposition *p = &im->parser;
	OPS_CLEANUP(ops_freep) char *name = ops_xstrndup(p->name.data, p->name.len);
	const struct det_metadata *old = det_store_metadata(im->store, name);
	OPS_CLEANUP(ops_freep)
	char *help = kind == OPS_ENTRY_HELP ? ops_xstrndup(p->text.data, p->text.len)
					    : ops_xstrdup(old != NULL ? old->help : "");
	OPS_CLEANUP(ops_freep)
	char *unit = kind == OPS_ENTRY_UNIT ? ops_xstrndup(p->text.data, p->text.len)
					    : ops_xstrdup(old != NULL ? old->unit : "");
	const struct ops_layout_family family = {.name = name,
		.help = help,
		.unit = unit,
		.type = kind == OPS_ENTRY_TYPE ? p->type
			: old != NULL	       ? old->type
					       : OPS_T_UNKNOWN};
	det_store_describe(im->store, &family);
}

/* Whole lines. */
static int take_lines(struct det_import *im, const char *data, size_t len)
{
	int kind;
	ops_exposition_start(&im->parser, im->format, data, len);
	while ((kind = ops_exposition_next(&im->parser, &im->err)) > 0) {
		if (kind == OPS_ENTRY_SAMPLE) {
			take_sample(im);
		} else if (kind != OPS_ENTRY_COMMENT) {
			describe(im, (enum ops_exposition_entry)kind);
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

static int take_text(struct det_import *im, const char *data, size_t len)
{
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

static int inflate_some(struct det_import *im, char *out, size_t room, size_t *ret_n)
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

static int take_packed(struct det_import *im, const char *data, size_t len)
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

void det_import_init(struct det_import *im, struct det_store *store)
{
	*im = (struct det_import){.store = store, .format = OPS_EXPOSITION_TEXT};
	ops_exposition_init(&im->parser);
	im->z = ops_xcalloc(1, sizeof(*im->z));
	ops_assert(inflateInit2(im->z, 15 + 16) == Z_OK);
}

void det_import_done(struct det_import *im)
{
	inflateEnd(im->z);
	free(im->z);
	ops_exposition_done(&im->parser);
	ops_strbuf_done(&im->rest);
	ops_labels_unref(im->last);
}

int det_import_take(struct det_import *im, const char *data, size_t len)
{
	if (len == 0) {
		return 0;
	}
	return im->packed ? take_packed(im, data, len) : take_text(im, data, len);
}

int det_import_finish(struct det_import *im)
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
