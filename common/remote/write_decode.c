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

struct ops_remote_decoder {
	enum ops_remote_version version;
	const struct ops_remote_sink *sink; /* NULL while checking */
	struct ops_remote_lists lists;
	struct ops_remote_text *symbols;
	size_t nsymbols, symbols_cap;
	struct ops_remote_metadata metadata; /* of a series of 2.0 */
	int64_t created_ms;		     /* the same */
	const char *what;		     /* for the message of the error */
	struct ops_proto_reader rest;	     /* not delivered yet */
};

static struct ops_remote_text text_of(const struct ops_proto_field *f)
{
	return (struct ops_remote_text){(const char *)f->data, f->len};
}

/* ---- labels and exemplars ------------------------------------------------------------------- */

struct label_list {
	struct ops_label **items;
	size_t *n, *cap;
};

static int pair_part(void *arg, const struct ops_proto_field *part)
{
	struct ops_remote_text *pair = arg;

	if (part->number > 2)
		return 0;
	if (part->wire != OPS_PROTO_LEN)
		return -EBADMSG;
	pair[part->number - 1] = text_of(part);
	return 0;
}

static int add_label(const struct ops_proto_field *f, const struct label_list *to)
{
	struct ops_remote_text pair[2] = {{"", 0}, {"", 0}};

	return ops_proto_each(f, pair_part, pair) < 0
		       ? -EBADMSG
		       : ops_remote_add_label(to->items, to->n, to->cap, pair);
}

static int symbol(const struct ops_remote_decoder *d, uint64_t ref, struct ops_remote_text *ret)
{
	if (ref >= d->nsymbols)
		return -EBADMSG;
	*ret = d->symbols[ref];
	return 0;
}

/* Pairs of references, packed; a pair may not be torn between two occurrences. */
static int add_refs(const struct ops_remote_decoder *d, const struct ops_proto_field *f,
	const struct label_list *to)
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
			ops_remote_add_label(to->items, to->n, to->cap, pair) < 0)
			return -EBADMSG;
	return rc;
}

/* Field 1 of a series and of an exemplar. */
static int add_labels(const struct ops_remote_decoder *d, const struct ops_proto_field *f,
	const struct label_list *to)
{
	return d->version == OPS_REMOTE_1 ? add_label(f, to) : add_refs(d, f, to);
}

static int add_series_labels(struct ops_remote_decoder *d, const struct ops_proto_field *f)
{
	struct ops_remote_lists *l = &d->lists;
	const struct label_list to = {&l->labels, &l->nlabels, &l->labels_cap};

	return add_labels(d, f, &to);
}

struct exemplar {
	const struct ops_remote_decoder *d;
	struct ops_remote_exemplar e;
	struct ops_label *labels;
	size_t n, cap;
};

static int exemplar_part(void *arg, const struct ops_proto_field *part)
{
	struct exemplar *x = arg;

	if (part->number == 1)
		return add_labels(x->d, part, &(struct label_list){&x->labels, &x->n, &x->cap});
	if (part->number > 3)
		return 0;
	if (part->wire != (part->number == 2 ? OPS_PROTO_FIXED64 : OPS_PROTO_VARINT))
		return -EBADMSG;
	if (part->number == 2)
		x->e.value = ops_proto_double(part);
	else
		x->e.time_ms = (int64_t)part->value;
	return 0;
}

static int add_exemplar(struct ops_remote_decoder *d, const struct ops_proto_field *f)
{
	struct exemplar x = {.d = d};
	struct ops_remote_lists *l = &d->lists;
	int rc = ops_proto_each(f, exemplar_part, &x);

	if (rc == 0 && d->sink != NULL && ops_remote_order_labels(x.labels, &x.n, false) == NULL) {
		x.e.labels = x.n > 0 ? ops_arena_dup(&l->arena, x.labels, x.n * sizeof(x.labels[0]))
				     : NULL;
		x.e.nlabels = x.n;
		OPS_GROW(l->exemplars, l->nexemplars, l->exemplars_cap);
		l->exemplars[l->nexemplars++] = x.e;
	}
	free(x.labels);
	return rc;
}

/* ---- 1.0 ------------------------------------------------------------------------------------ */

static int series_part_1(void *arg, const struct ops_proto_field *part)
{
	struct ops_remote_decoder *d = arg;

	switch (part->number) {
	case 1:
		d->what = "a label";
		return add_series_labels(d, part);
	case 2:
		d->what = "a sample";
		return ops_remote_add_sample(&d->lists, part);
	case 3:
		d->what = "an exemplar";
		return add_exemplar(d, part);
	case 4:
		d->what = "a histogram";
		return ops_remote_add_histogram(&d->lists, part);
	default:
		return 0;
	}
}

static int deliver_series(struct ops_remote_decoder *d, const struct ops_remote_metadata *metadata)
{
	struct ops_remote_series s;

	if (d->sink == NULL || d->sink->on_series == NULL)
		return 0;
	ops_remote_series_of(&d->lists, &s);
	s.metadata = metadata;
	return d->sink->on_series(d->sink->arg, &s);
}

static int decode_series_1(struct ops_remote_decoder *d, const struct ops_proto_field *f)
{
	ops_remote_lists_reset(&d->lists);
	int rc = ops_proto_each(f, series_part_1, d);

	return rc < 0 ? rc : deliver_series(d, NULL);
}

static int metadata_part_1(void *arg, const struct ops_proto_field *part)
{
	struct ops_remote_metadata *m = arg;
	struct ops_remote_text *const texts[] = {[2] = &m->family, [4] = &m->help, [5] = &m->unit};

	if (part->number > 5 || part->number == 3)
		return 0;
	if (part->wire != (part->number == 1 ? OPS_PROTO_VARINT : OPS_PROTO_LEN))
		return -EBADMSG;
	if (part->number == 1)
		m->type = ops_remote_type_from(part->value);
	else
		*texts[part->number] = text_of(part);
	return 0;
}

static const struct ops_remote_metadata no_metadata = {{"", 0}, {"", 0}, {"", 0}, OPS_T_UNKNOWN};

static int decode_metadata(struct ops_remote_decoder *d, const struct ops_proto_field *f)
{
	struct ops_remote_metadata m = no_metadata;

	d->what = "metadata";
	int rc = ops_proto_each(f, metadata_part_1, &m);
	if (rc < 0 || d->sink == NULL || d->sink->on_metadata == NULL)
		return rc;
	return d->sink->on_metadata(d->sink->arg, &m);
}

static int decode_1(struct ops_remote_decoder *d, const struct ops_proto_field *f)
{
	if (f->number != 1 && f->number != 3)
		return 0;
	return f->number == 1 ? decode_series_1(d, f) : decode_metadata(d, f);
}

/* ---- 2.0 ------------------------------------------------------------------------------------ */

static int metadata_part_2(void *arg, const struct ops_proto_field *part)
{
	struct ops_remote_decoder *d = arg;
	struct ops_remote_metadata *m = &d->metadata;

	if (part->number > 4 || part->number == 2)
		return 0;
	if (part->wire != OPS_PROTO_VARINT)
		return -EBADMSG;
	if (part->number != 1)
		return symbol(d, part->value, part->number == 3 ? &m->help : &m->unit);
	m->type = ops_remote_type_from(part->value);
	return 0;
}

static int series_part_2(void *arg, const struct ops_proto_field *part)
{
	struct ops_remote_decoder *d = arg;

	switch (part->number) {
	case 1:
		d->what = "the labels of a series";
		return add_series_labels(d, part);
	case 2:
		d->what = "a sample";
		return ops_remote_add_sample(&d->lists, part);
	case 3:
		d->what = "a histogram";
		return ops_remote_add_histogram(&d->lists, part);
	case 4:
		d->what = "an exemplar";
		return add_exemplar(d, part);
	case 5:
		d->what = "metadata";
		return ops_proto_each(part, metadata_part_2, d);
	case 6:
		d->created_ms = (int64_t)part->value;
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

static int decode_series_2(struct ops_remote_decoder *d, const struct ops_proto_field *f)
{
	struct ops_remote_metadata *m = &d->metadata;

	ops_remote_lists_reset(&d->lists);
	*m = no_metadata;
	d->created_ms = 0;
	int rc = ops_proto_each(f, series_part_2, d);
	if (rc < 0)
		return rc;
	apply_created(&d->lists, d->created_ms);
	m->family = metric_name(&d->lists);
	bool said = m->type != OPS_T_UNKNOWN || m->help.len > 0 || m->unit.len > 0;
	return deliver_series(d, said ? m : NULL);
}

static int add_symbol(void *arg, const struct ops_proto_field *f)
{
	struct ops_remote_decoder *d = arg;

	if (f->number != 4)
		return 0;
	if (f->wire != OPS_PROTO_LEN || d->nsymbols == OPS_REMOTE_MAX_SYMBOLS)
		return -EBADMSG;
	OPS_GROW(d->symbols, d->nsymbols, d->symbols_cap);
	d->symbols[d->nsymbols++] = text_of(f);
	return 0;
}

static int collect_symbols(struct ops_remote_decoder *d, const struct ops_proto_field *whole)
{
	d->what = "the table of symbols";
	int rc = ops_proto_each(whole, add_symbol, d);
	if (d->nsymbols > 0 && d->symbols[0].len > 0)
		return -EBADMSG; /* reference 0 says "nothing" where a text is optional */
	return rc;
}

/* ---- both ----------------------------------------------------------------------------------- */

static int request_part(void *arg, const struct ops_proto_field *f)
{
	struct ops_remote_decoder *d = arg;

	if (d->version == OPS_REMOTE_1)
		return decode_1(d, f);
	return f->number == 5 ? decode_series_2(d, f) : 0;
}

static int pass(struct ops_remote_decoder *d, const struct ops_proto_field *whole)
{
	d->what = "the message";
	return ops_proto_each(whole, request_part, d);
}

static int check(struct ops_remote_decoder *d, const struct ops_proto_field *whole)
{
	int rc = d->version == OPS_REMOTE_2 ? collect_symbols(d, whole) : 0;
	return rc == 0 ? pass(d, whole) : rc;
}

int ops_remote_decoder_new(enum ops_remote_version version, const void *data, size_t len,
	struct ops_remote_decoder **ret, struct ops_error *err)
{
	struct ops_remote_decoder *d = ops_xcalloc(1, sizeof(*d));
	const struct ops_proto_field whole = ops_proto_whole(data, len);

	d->version = version;
	d->what = "";
	ops_remote_lists_init(&d->lists);
	int rc = check(d, &whole);
	if (rc < 0) {
		(void)ops_error_set(err, rc,
			"could not decode a request of remote write %s: %s is malformed",
			version == OPS_REMOTE_1 ? "1.0" : "2.0", d->what);
		ops_remote_decoder_free(d);
		return rc;
	}
	ops_proto_read(&d->rest, data, len);
	*ret = d;
	return 0;
}

int ops_remote_decoder_go_on(
	struct ops_remote_decoder *d, const struct ops_remote_sink *sink, size_t bytes)
{
	struct ops_proto_field f;
	size_t left = (size_t)(d->rest.end - d->rest.at);
	size_t until = left > bytes ? left - bytes : 0;
	int rc = 0;

	d->sink = sink;
	while (rc == 0 && (size_t)(d->rest.end - d->rest.at) > until) {
		rc = ops_proto_next(&d->rest, &f);
		if (rc <= 0)
			return rc; /* cannot be malformed: it was checked */
		rc = request_part(d, &f);
	}
	if (rc != 0)
		return rc;
	return d->rest.at < d->rest.end ? OPS_REMOTE_MORE : 0;
}

void ops_remote_decoder_free(struct ops_remote_decoder *d)
{
	if (d == NULL)
		return;
	ops_remote_lists_done(&d->lists);
	free(d->symbols);
	free(d);
}

int ops_remote_write_decode(enum ops_remote_version version, const void *data, size_t len,
	const struct ops_remote_sink *sink, struct ops_error *err)
{
	struct ops_remote_decoder *d;
	int rc = ops_remote_decoder_new(version, data, len, &d, err);

	if (rc < 0)
		return rc;
	rc = ops_remote_decoder_go_on(d, sink, SIZE_MAX);
	ops_remote_decoder_free(d);
	return rc;
}
