/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding goes twice over the message: once for nothing but to see that it is sound (and, in 2.0,
 * to collect the symbols, which may stand behind the series that use them), once to deliver. A
 * request is thus refused as a whole or not at all, without keeping all of it decoded: a message of
 * empty series would grow to forty times its size.
 *
 * What is bounded: labels and texts by the limits of the header, symbols by number, everything else
 * by the message itself, as the lists hold one series at a time.
 *
 * Field 6 of 2.0's TimeSeries was the creation time of the whole series until samples got their
 * own; it counts where a sample says nothing.
 */
#include <errno.h>
#include <string.h>

#include "common/remote/types.h"

struct decoder {
	const struct ops_remote_sink *sink; /* NULL while checking */
	struct ops_remote_lists lists;
	struct ops_remote_text *symbols;
	size_t nsymbols, symbols_cap;
	struct ops_remote_metadata metadata;
	const char *what; /* for the message of the error */
};

static struct ops_remote_text text_of(const struct ops_proto_field *f)
{
	return (struct ops_remote_text){(const char *)f->data, f->len};
}

/* ---- 1.0 ------------------------------------------------------------------------------------ */

static int read_pair(const struct ops_proto_field *f, struct ops_remote_text ret[2])
{
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	ret[0] = ret[1] = (struct ops_remote_text){"", 0};
	if (f->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0) {
		if (part.number > 2)
			continue;
		if (part.wire != OPS_PROTO_LEN)
			return -EBADMSG;
		ret[part.number - 1] = text_of(&part);
	}
	return rc;
}

static int add_label(
	const struct ops_proto_field *f, struct ops_label **items, size_t *n, size_t *cap)
{
	struct ops_remote_text pair[2];

	return read_pair(f, pair) < 0 ? -EBADMSG : ops_remote_add_label(items, n, cap, pair);
}

/* value and timestamp have the numbers 2 and 3 in both versions. */
static int exemplar_part(const struct ops_proto_field *part, struct ops_remote_exemplar *e)
{
	if (part->number > 3)
		return 0;
	if (part->wire != (part->number == 2 ? OPS_PROTO_FIXED64 : OPS_PROTO_VARINT))
		return -EBADMSG;
	if (part->number == 2)
		e->value = ops_proto_double(part);
	else
		e->time_ms = (int64_t)part->value;
	return 0;
}

static void keep_exemplar(
	struct decoder *d, struct ops_remote_exemplar *e, struct ops_label *labels, size_t n)
{
	struct ops_remote_lists *l = &d->lists;

	if (d->sink != NULL && ops_remote_order_labels(labels, &n, false) == NULL) {
		e->labels = n > 0 ? ops_arena_dup(&l->arena, labels, n * sizeof(labels[0])) : NULL;
		e->nlabels = n;
		OPS_GROW(l->exemplars, l->nexemplars, l->exemplars_cap);
		l->exemplars[l->nexemplars++] = *e;
	}
	free(labels);
}

static int add_exemplar_1(struct decoder *d, const struct ops_proto_field *f)
{
	struct ops_remote_exemplar e = {0};
	struct ops_label *labels = NULL;
	size_t n = 0, cap = 0;
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	if (f->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0) {
		rc = part.number == 1 ? add_label(&part, &labels, &n, &cap)
				      : exemplar_part(&part, &e);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		keep_exemplar(d, &e, labels, n);
	else
		free(labels);
	return rc;
}

static int series_part_1(struct decoder *d, const struct ops_proto_field *part)
{
	struct ops_remote_lists *l = &d->lists;

	switch (part->number) {
	case 1:
		d->what = "a label";
		return add_label(part, &l->labels, &l->nlabels, &l->labels_cap);
	case 2:
		d->what = "a sample";
		return ops_remote_add_sample(l, part);
	case 3:
		d->what = "an exemplar";
		return add_exemplar_1(d, part);
	case 4:
		d->what = "a histogram";
		return ops_remote_add_histogram(l, part);
	default:
		return 0;
	}
}

static int deliver_series(struct decoder *d, const struct ops_remote_metadata *metadata)
{
	struct ops_remote_series s;

	if (d->sink == NULL || d->sink->on_series == NULL)
		return 0;
	ops_remote_series_of(&d->lists, &s);
	s.metadata = metadata;
	return d->sink->on_series(d->sink->arg, &s);
}

static int decode_series_1(struct decoder *d, const struct ops_proto_field *f)
{
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	ops_remote_lists_reset(&d->lists);
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0)
		if (series_part_1(d, &part) < 0)
			return -EBADMSG;
	return rc < 0 ? rc : deliver_series(d, NULL);
}

static int decode_metadata(struct decoder *d, const struct ops_proto_field *f)
{
	struct ops_remote_text texts[6] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, {"", 0}, {"", 0}};
	struct ops_remote_metadata m = {.type = OPS_T_UNKNOWN};
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	d->what = "metadata";
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0) {
		if (part.number > 5 || part.number == 3)
			continue;
		if (part.wire != (part.number == 1 ? OPS_PROTO_VARINT : OPS_PROTO_LEN))
			return -EBADMSG;
		if (part.number == 1)
			m.type = ops_remote_type_from(part.value);
		else
			texts[part.number] = text_of(&part);
	}
	m.family = texts[2];
	m.help = texts[4];
	m.unit = texts[5];
	if (rc < 0 || d->sink == NULL || d->sink->on_metadata == NULL)
		return rc;
	return d->sink->on_metadata(d->sink->arg, &m);
}

static int decode_1(struct decoder *d, const struct ops_proto_field *f)
{
	if (f->number != 1 && f->number != 3)
		return 0;
	if (f->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	return f->number == 1 ? decode_series_1(d, f) : decode_metadata(d, f);
}

/* ---- 2.0 ------------------------------------------------------------------------------------ */

static int symbol(const struct decoder *d, uint64_t ref, struct ops_remote_text *ret)
{
	if (ref >= d->nsymbols)
		return -EBADMSG;
	*ret = d->symbols[ref];
	return 0;
}

/* Pairs of references, packed; a pair may not be torn between two occurrences. */
static int add_refs(const struct decoder *d, const struct ops_proto_field *f,
	struct ops_label **items, size_t *n, size_t *cap)
{
	struct ops_proto_reader r;
	struct ops_remote_text pair[2];
	uint64_t name, value;
	int rc;

	if (f->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	ops_proto_elements(&r, f);
	while ((rc = ops_proto_next_varint(&r, &name)) > 0)
		if (ops_proto_next_varint(&r, &value) <= 0 || symbol(d, name, &pair[0]) < 0 ||
			symbol(d, value, &pair[1]) < 0 ||
			ops_remote_add_label(items, n, cap, pair) < 0)
			return -EBADMSG;
	return rc;
}

static int add_exemplar_2(struct decoder *d, const struct ops_proto_field *f)
{
	struct ops_remote_exemplar e = {0};
	struct ops_label *labels = NULL;
	size_t n = 0, cap = 0;
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	if (f->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0) {
		rc = part.number == 1 ? add_refs(d, &part, &labels, &n, &cap)
				      : exemplar_part(&part, &e);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		keep_exemplar(d, &e, labels, n);
	else
		free(labels);
	return rc;
}

static int read_metadata_2(struct decoder *d, const struct ops_proto_field *f)
{
	struct ops_remote_metadata *m = &d->metadata;
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	if (f->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0) {
		if (part.number > 4 || part.number == 2)
			continue;
		if (part.wire != OPS_PROTO_VARINT)
			return -EBADMSG;
		if (part.number == 1)
			m->type = ops_remote_type_from(part.value);
		else if (symbol(d, part.value, part.number == 3 ? &m->help : &m->unit) < 0)
			return -EBADMSG;
	}
	return rc;
}

static int series_part_2(struct decoder *d, const struct ops_proto_field *part, int64_t *created_ms)
{
	struct ops_remote_lists *l = &d->lists;

	switch (part->number) {
	case 1:
		d->what = "the labels of a series";
		return add_refs(d, part, &l->labels, &l->nlabels, &l->labels_cap);
	case 2:
		d->what = "a sample";
		return ops_remote_add_sample(l, part);
	case 3:
		d->what = "a histogram";
		return ops_remote_add_histogram(l, part);
	case 4:
		d->what = "an exemplar";
		return add_exemplar_2(d, part);
	case 5:
		d->what = "metadata";
		return read_metadata_2(d, part);
	case 6:
		*created_ms = (int64_t)part->value;
		return part->wire == OPS_PROTO_VARINT ? 0 : -EBADMSG;
	default:
		return 0;
	}
}

static void apply_created(struct ops_remote_lists *l, int64_t created_ms)
{
	for (size_t i = 0; i < l->nsamples; i++)
		if (l->samples[i].start_ms == 0)
			l->samples[i].start_ms = created_ms;
	for (size_t i = 0; i < l->nhistograms; i++)
		if (l->histograms[i].start_ms == 0)
			l->histograms[i].start_ms = created_ms;
}

static struct ops_remote_text metric_name(const struct ops_remote_lists *l)
{
	for (size_t i = 0; i < l->nlabels; i++)
		if (l->labels[i].name_len == strlen(OPS_LABEL_NAME) &&
			memcmp(l->labels[i].name, OPS_LABEL_NAME, l->labels[i].name_len) == 0)
			return (struct ops_remote_text){l->labels[i].value, l->labels[i].value_len};
	return (struct ops_remote_text){"", 0};
}

static int decode_series_2(struct decoder *d, const struct ops_proto_field *f)
{
	struct ops_remote_metadata *m = &d->metadata;
	int64_t created_ms = 0;
	struct ops_proto_reader r;
	struct ops_proto_field part;
	int rc;

	ops_remote_lists_reset(&d->lists);
	*m = (struct ops_remote_metadata){{"", 0}, {"", 0}, {"", 0}, OPS_T_UNKNOWN};
	ops_proto_read(&r, f->data, f->len);
	while ((rc = ops_proto_next(&r, &part)) > 0)
		if (series_part_2(d, &part, &created_ms) < 0)
			return -EBADMSG;
	if (rc < 0)
		return rc;
	apply_created(&d->lists, created_ms);
	m->family = metric_name(&d->lists);
	bool said = m->type != OPS_T_UNKNOWN || m->help.len > 0 || m->unit.len > 0;
	return deliver_series(d, said ? m : NULL);
}

static int decode_2(struct decoder *d, const struct ops_proto_field *f)
{
	if (f->number != 5)
		return 0;
	return f->wire == OPS_PROTO_LEN ? decode_series_2(d, f) : -EBADMSG;
}

static int collect_symbols(struct decoder *d, const void *data, size_t len)
{
	struct ops_proto_reader r;
	struct ops_proto_field f;
	int rc;

	d->what = "the table of symbols";
	ops_proto_read(&r, data, len);
	while ((rc = ops_proto_next(&r, &f)) > 0) {
		if (f.number != 4)
			continue;
		if (f.wire != OPS_PROTO_LEN || d->nsymbols == OPS_REMOTE_MAX_SYMBOLS)
			return -EBADMSG;
		OPS_GROW(d->symbols, d->nsymbols, d->symbols_cap);
		d->symbols[d->nsymbols++] = text_of(&f);
	}
	if (d->nsymbols > 0 && d->symbols[0].len > 0)
		return -EBADMSG; /* reference 0 says "nothing" where a text is optional */
	return rc;
}

/* ---- both ----------------------------------------------------------------------------------- */

static int pass(struct decoder *d, enum ops_remote_version version, const void *data, size_t len)
{
	struct ops_proto_reader r;
	struct ops_proto_field f;
	int rc;

	d->what = "the message";
	ops_proto_read(&r, data, len);
	while ((rc = ops_proto_next(&r, &f)) > 0) {
		rc = version == OPS_REMOTE_1 ? decode_1(d, &f) : decode_2(d, &f);
		if (rc != 0)
			return rc;
	}
	return rc;
}

int ops_remote_write_decode(enum ops_remote_version version, const void *data, size_t len,
	const struct ops_remote_sink *sink, struct ops_error *err)
{
	struct decoder d = {.what = ""};
	int rc = 0;

	ops_remote_lists_init(&d.lists);
	if (version == OPS_REMOTE_2)
		rc = collect_symbols(&d, data, len);
	if (rc == 0)
		rc = pass(&d, version, data, len);
	if (rc < 0) {
		(void)ops_error_set(err, rc,
			"could not decode a request of remote write %s: %s is malformed",
			version == OPS_REMOTE_1 ? "1.0" : "2.0", d.what);
	} else {
		d.sink = sink;
		rc = pass(&d, version, data, len);
	}
	ops_remote_lists_done(&d.lists);
	free(d.symbols);
	return rc;
}
