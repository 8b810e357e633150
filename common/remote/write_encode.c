/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding. Zero values are left out, as proto3 has it; a sample of value 0 is then its timestamp
 * alone. The bits of a double go out unchanged, or staleness markers would be lost.
 *
 * In 2.0 every text is a symbol, number 0 the empty one. Symbols and series are kept in two
 * buffers, as the table is complete only when the last series is known; both are top-level fields,
 * so finishing means to write one behind the other.
 */
#include <string.h>

#include "common/base/map.h"
#include "common/remote/types.h"

static void put_label(struct ops_strbuf *b, uint32_t number, const struct ops_label *l)
{
	size_t mark = ops_proto_begin(b, number);

	ops_proto_put_bytes(b, 1, l->name, l->name_len);
	ops_proto_put_bytes(b, 2, l->value, l->value_len);
	ops_proto_end(b, mark);
}

void ops_remote_put_labels(
	struct ops_strbuf *b, uint32_t number, const struct ops_label *labels, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put_label(b, number, &labels[i]);
}

static void put_time(struct ops_strbuf *b, uint32_t number, int64_t time_ms)
{
	if (time_ms != 0)
		ops_proto_put_varint(b, number, (uint64_t)time_ms);
}

static void put_value(struct ops_strbuf *b, uint32_t number, double v)
{
	if (!ops_double_same(v, 0.0))
		ops_proto_put_double(b, number, v);
}

void ops_remote_put_sample(struct ops_strbuf *b, uint32_t number, const struct ops_remote_sample *s,
	enum ops_remote_version version)
{
	size_t mark = ops_proto_begin(b, number);

	put_value(b, 1, s->value);
	put_time(b, 2, s->time_ms);
	if (version == OPS_REMOTE_2)
		put_time(b, 3, s->start_ms);
	ops_proto_end(b, mark);
}

static void put_exemplar(struct ops_strbuf *b, const struct ops_remote_exemplar *e)
{
	size_t mark = ops_proto_begin(b, 3);

	ops_remote_put_labels(b, 1, e->labels, e->nlabels);
	put_value(b, 2, e->value);
	put_time(b, 3, e->time_ms);
	ops_proto_end(b, mark);
}

void ops_remote_put_series(struct ops_strbuf *b, uint32_t number, const struct ops_remote_series *s)
{
	size_t mark = ops_proto_begin(b, number);

	ops_remote_put_labels(b, 1, s->labels, s->nlabels);
	for (size_t i = 0; i < s->nsamples; i++)
		ops_remote_put_sample(b, 2, &s->samples[i], OPS_REMOTE_1);
	for (size_t i = 0; i < s->nexemplars; i++)
		put_exemplar(b, &s->exemplars[i]);
	for (size_t i = 0; i < s->nhistograms; i++)
		ops_proto_put_bytes(b, 4, s->histograms[i].data, s->histograms[i].len);
	ops_proto_end(b, mark);
}

static uint32_t symbol(struct ops_remote_writer *w, const char *s, size_t len)
{
	if (w->nsymbols == 0) {
		ops_proto_put_bytes(&w->symbols, 4, "", 0);
		w->nsymbols = 1;
		w->refs = ops_map_new();
	}
	if (len == 0)
		return 0;
	uintptr_t known = (uintptr_t)ops_map_get(w->refs, s, len);
	if (known != 0)
		return (uint32_t)known;
	ops_proto_put_bytes(&w->symbols, 4, s, len);
	(void)ops_map_put(w->refs, s, len, (void *)(uintptr_t)w->nsymbols);
	return w->nsymbols++;
}

static void put_refs(struct ops_remote_writer *w, const struct ops_label *labels, size_t n)
{
	size_t mark = ops_proto_begin(&w->body, 1);

	for (size_t i = 0; i < n; i++) {
		ops_proto_put_raw(&w->body, symbol(w, labels[i].name, labels[i].name_len));
		ops_proto_put_raw(&w->body, symbol(w, labels[i].value, labels[i].value_len));
	}
	ops_proto_end(&w->body, mark);
}

static void put_exemplar_2(struct ops_remote_writer *w, const struct ops_remote_exemplar *e)
{
	size_t mark = ops_proto_begin(&w->body, 4);

	put_refs(w, e->labels, e->nlabels);
	put_value(&w->body, 2, e->value);
	put_time(&w->body, 3, e->time_ms);
	ops_proto_end(&w->body, mark);
}

static void put_metadata_2(struct ops_remote_writer *w, const struct ops_remote_metadata *m)
{
	size_t mark = ops_proto_begin(&w->body, 5);

	if (m->type != OPS_T_UNKNOWN)
		ops_proto_put_varint(&w->body, 1, ops_remote_type_to(m->type));
	if (m->help.len > 0)
		ops_proto_put_varint(&w->body, 3, symbol(w, m->help.s, m->help.len));
	if (m->unit.len > 0)
		ops_proto_put_varint(&w->body, 4, symbol(w, m->unit.s, m->unit.len));
	ops_proto_end(&w->body, mark);
}

static void put_series_2(struct ops_remote_writer *w, const struct ops_remote_series *s)
{
	size_t mark = ops_proto_begin(&w->body, 5);

	put_refs(w, s->labels, s->nlabels);
	for (size_t i = 0; i < s->nsamples; i++)
		ops_remote_put_sample(&w->body, 2, &s->samples[i], OPS_REMOTE_2);
	for (size_t i = 0; i < s->nhistograms; i++)
		ops_proto_put_bytes(&w->body, 3, s->histograms[i].data, s->histograms[i].len);
	for (size_t i = 0; i < s->nexemplars; i++)
		put_exemplar_2(w, &s->exemplars[i]);
	if (s->metadata != NULL)
		put_metadata_2(w, s->metadata);
	ops_proto_end(&w->body, mark);
}

void ops_remote_writer_init(struct ops_remote_writer *w, enum ops_remote_version version)
{
	*w = (struct ops_remote_writer){.version = version};
}

void ops_remote_writer_done(struct ops_remote_writer *w)
{
	ops_strbuf_done(&w->body);
	ops_strbuf_done(&w->symbols);
	ops_map_free(w->refs, NULL);
	w->refs = NULL;
}

void ops_remote_writer_reset(struct ops_remote_writer *w)
{
	ops_strbuf_reset(&w->body);
	ops_strbuf_reset(&w->symbols);
	ops_map_free(w->refs, NULL);
	w->refs = NULL;
	w->nsymbols = 0;
	w->nseries = w->nsamples = w->nhistograms = w->nexemplars = w->nmetadata = 0;
}

void ops_remote_writer_series(struct ops_remote_writer *w, const struct ops_remote_series *s)
{
	if (w->version == OPS_REMOTE_1)
		ops_remote_put_series(&w->body, 1, s);
	else
		put_series_2(w, s);
	w->nseries++;
	w->nsamples += s->nsamples;
	w->nhistograms += s->nhistograms;
	w->nexemplars += s->nexemplars;
	w->nmetadata += w->version == OPS_REMOTE_2 && s->metadata != NULL;
}

void ops_remote_writer_metadata(struct ops_remote_writer *w, const struct ops_remote_metadata *m)
{
	ops_assert(w->version == OPS_REMOTE_1);
	size_t mark = ops_proto_begin(&w->body, 3);
	if (m->type != OPS_T_UNKNOWN)
		ops_proto_put_varint(&w->body, 1, ops_remote_type_to(m->type));
	ops_proto_put_bytes(&w->body, 2, m->family.s, m->family.len);
	if (m->help.len > 0)
		ops_proto_put_bytes(&w->body, 4, m->help.s, m->help.len);
	if (m->unit.len > 0)
		ops_proto_put_bytes(&w->body, 5, m->unit.s, m->unit.len);
	ops_proto_end(&w->body, mark);
	w->nmetadata++;
}

size_t ops_remote_writer_bytes(const struct ops_remote_writer *w)
{
	return w->body.len + w->symbols.len;
}

void ops_remote_writer_finish(const struct ops_remote_writer *w, struct ops_strbuf *out)
{
	if (w->symbols.len > 0)
		ops_strbuf_add(out, w->symbols.data, w->symbols.len);
	if (w->body.len > 0)
		ops_strbuf_add(out, w->body.data, w->body.len);
}
