/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Most exemplars stay what they were from scrape to scrape: their text is hashed, and only those
 * whose hash is not that of the scrape before are parsed and sent. An exemplar has the form of a
 * sample without its name, so the parser of samples reads it. A target without exemplars costs
 * nothing.
 */
#include "services/collector/exemplars.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/msg/exemplars.h"
#include "services/collector/classics.h"

void col_exemplar_reader_init(struct col_exemplar_reader *r)
{
	ops_exposition_init(&r->parser);
	r->line = (struct ops_strbuf)OPS_STRBUF_INIT;
	r->message = (struct ops_strbuf)OPS_STRBUF_INIT;
}

void col_exemplar_reader_done(struct col_exemplar_reader *r)
{
	ops_exposition_done(&r->parser);
	ops_strbuf_done(&r->line);
	ops_strbuf_done(&r->message);
}

void col_exemplars_done(struct col_exemplars *x)
{
	free(x->seen);
	*x = (struct col_exemplars){.seen = NULL};
}

/* The labels are owned by the caller. */
static struct ops_labels *parse(struct col_exemplar_reader *r, struct ops_exposition_text text,
	int64_t time_ms, struct ops_exemplar *ret)
{
	struct ops_exposition *p = &r->parser;
	struct ops_error err;
	ops_strbuf_reset(&r->line);
	ops_strbuf_addc(&r->line, 'x');
	ops_strbuf_add(&r->line, text.data, text.len);
	ops_strbuf_addc(&r->line, '\n');
	ops_exposition_start(p, OPS_EXPOSITION_OPENMETRICS, r->line.data, r->line.len);
	if (ops_exposition_next(p, &err) != OPS_ENTRY_SAMPLE) {
		return NULL; /* a label twice: the scraper's reader looks at the form only */
	}
	size_t n = 0;
	for (size_t i = 0; i < p->nlabels; i++) {
		if (p->labels[i].value_len > 0) {
			p->labels[n++] = p->labels[i];
		}
	}
	ret->value = p->tail.value;
	ret->time_ms = p->tail.has_time ? p->tail.time_ms : time_ms;
	return ops_labels_from_sorted(p->labels, n);
}

static void forget(struct col_exemplars *x, const struct col_layout *l)
{
	free(x->seen);
	x->seen = ops_xcalloc(col_layout_columns(l) + 1, sizeof(*x->seen));
	x->layout_id = l->wire.id;
}

/* Borrowed; NULL: the series is not there any more. */
static struct ops_labels *series_of(const struct col_exemplar_row *row, uint32_t column)
{
	const struct col_layout *l = row->layout;
	if (column < l->nseries) {
		return l->wire.series[column];
	}
	const struct col_classics *c = l->classics;
	return col_native_series(row->native, c->items[c->owner[column - l->wire.n]].place);
}

size_t col_exemplars_collect(
	struct col_exemplars *x, struct col_exemplar_reader *r, const struct col_exemplar_row *row)
{
	size_t n = 0;
	const struct col_values *v = row->values;
	if (v->nexemplars == 0) {
		return 0;
	}
	if (x->layout_id != row->layout->wire.id || x->seen == NULL) {
		forget(x, row->layout);
	}
	ops_exemplars_begin(&r->message);
	col_layout_unpack(row->layout);
	for (size_t i = 0; i < v->nexemplars; i++) {
		const struct col_exemplar_text *e = &v->exemplars[i];
		uint64_t hash = ops_hash64(e->text.data, e->text.len, 1);
		if (x->seen[e->column] == hash) {
			continue;
		}
		x->seen[e->column] = hash;
		struct ops_exemplar out = {.series = series_of(row, e->column)};
		struct ops_labels *labels =
			out.series != NULL ? parse(r, e->text, row->time_ms, &out) : NULL;
		out.labels = labels;
		n += labels != NULL && ops_exemplars_add(&r->message, &out) == 0;
		ops_labels_unref(labels);
	}
	return n;
}
