/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label sets are kept as pairs of symbol numbers, a few bytes each, and looked up by these bytes.
 * At the end symbols get their rank as number, so comparing label sets is comparing integers;
 * series are numbered in that order, which makes postings runs and lets readers merge blocks.
 *
 * A series in the file, all varints: number of labels, symbol of name and value for each; number
 * of columns, group and column for each; number of histogram pieces and, unless 0, the first.
 * A pair that only one series has (an address, a request) keeps the series' number in place of its
 * postings: bytes 0.
 */
#include "services/detector/store/index_write.h"

#include <errno.h>
#include <roaring/roaring.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "services/detector/store/varint.h"

struct pair_of { /* one label of one series */
	uint32_t name, value, series;
};

struct printer {
	const struct det_index_writer *w;
	struct ops_strbuf *out;
	size_t from;		    /* of the file in out */
	uint32_t *rank;		    /* of each symbol */
	uint32_t *by_rank;	    /* symbol at each rank */
	uint32_t *order;	    /* series at each number */
	uint32_t *refs;		    /* group and column of all series, at at_ref * 2 */
	struct ops_strbuf postings; /* these three are written while pairs are counted */
	struct ops_strbuf pairs, names;
	uint32_t nseries, counts[DET_COUNTS];
	uint64_t starts[DET_SECTIONS];
	bool too_big;
};

void det_index_writer_init(struct det_index_writer *w)
{
	*w = (struct det_index_writer){
		.symbols_by_text = ops_map_new(), .series_by_pairs = ops_map_new()};
	ops_arena_init(&w->arena);
}

void det_index_writer_done(struct det_index_writer *w)
{
	for (uint32_t i = 0; i < w->ngroups; i++) {
		free(w->groups[i].refs);
		free(w->groups[i].used);
		free(w->groups[i].pieces);
	}
	free(w->groups);
	free(w->series);
	free(w->symbols);
	free(w->histograms);
	ops_map_free(w->symbols_by_text, NULL);
	ops_map_free(w->series_by_pairs, NULL);
	ops_arena_done(&w->arena);
}

/* Numbers stand in maps plus 1, for NULL is absent. */
static void *as_pointer(uint32_t number)
{
	return (void *)((uintptr_t)number + 1);
}

static uint32_t as_number(const void *pointer)
{
	return (uint32_t)((uintptr_t)pointer - 1);
}

static uint32_t symbol(struct det_index_writer *w, const char *text, size_t len)
{
	void *known = ops_map_get(w->symbols_by_text, text, len);
	if (known != NULL) {
		return as_number(known);
	}
	OPS_GROW(w->symbols, w->nsymbols, w->symbols_cap);
	w->symbols[w->nsymbols] = ops_arena_strndup(&w->arena, text, len);
	ops_map_put(w->symbols_by_text, text, len, as_pointer(w->nsymbols));
	return w->nsymbols++;
}

uint32_t det_index_writer_series(
	struct det_index_writer *w, const struct ops_label *labels, size_t nlabels)
{
	uint32_t *pairs = ops_xcalloc(nlabels * 2 + 1, sizeof(uint32_t));
	for (size_t i = 0; i < nlabels; i++) {
		pairs[2 * i] = symbol(w, labels[i].name, labels[i].name_len);
		pairs[2 * i + 1] = symbol(w, labels[i].value, labels[i].value_len);
	}
	size_t bytes = nlabels * 2 * sizeof(uint32_t);
	const void *known = ops_map_get(w->series_by_pairs, pairs, bytes);
	uint32_t number = known != NULL ? as_number(known) : w->nseries;
	if (known == NULL) {
		OPS_GROW(w->series, w->nseries, w->series_cap);
		w->series[w->nseries++] = (struct det_index_series){.nlabels = (uint32_t)nlabels,
			.pairs = ops_arena_dup(&w->arena, pairs, bytes)};
		ops_map_put(w->series_by_pairs, pairs, bytes, as_pointer(number));
	}
	free(pairs);
	return number;
}

static bool same_group(
	const struct det_index_group *g, uint64_t group, const uint32_t *refs, uint32_t ncolumns)
{
	return g->group == group && g->ncolumns == ncolumns &&
	       memcmp(g->refs, refs, ncolumns * sizeof(*refs)) == 0;
}

uint32_t det_index_writer_group(
	struct det_index_writer *w, uint64_t group, const uint32_t *refs, uint32_t ncolumns)
{
	/* Segments of a group come one after the other. */
	if (w->last_group < w->ngroups &&
		same_group(&w->groups[w->last_group], group, refs, ncolumns)) {
		return w->last_group;
	}
	OPS_GROW(w->groups, w->ngroups, w->groups_cap);
	struct det_index_group *g = &w->groups[w->ngroups];
	size_t room = ncolumns != 0 ? ncolumns : 1;
	*g = (struct det_index_group){.group = group,
		.ncolumns = ncolumns,
		.refs = ops_xcalloc(room, sizeof(uint32_t)),
		.used = ops_xcalloc(room, 1)};
	memcpy(g->refs, refs, ncolumns * sizeof(*refs));
	w->last_group = w->ngroups;
	return w->ngroups++;
}

void det_index_writer_piece(
	struct det_index_writer *w, uint32_t group, const struct det_piece *piece)
{
	struct det_index_group *g = &w->groups[group];
	OPS_GROW(g->pieces, g->nsegments, g->pieces_cap);
	g->pieces[g->nsegments++] = *piece;
}

void det_index_writer_histograms(
	struct det_index_writer *w, uint32_t series, const struct det_piece *piece)
{
	OPS_GROW(w->histograms, w->nhistograms, w->histograms_cap);
	w->histograms[w->nhistograms++] =
		(struct det_index_histograms){.series = series, .piece = *piece};
}

/* ---- order ------------------------------------------------------------------------------------
 */

static int compare_symbols(const void *a, const void *b, void *arg)
{
	const struct printer *p = arg;
	const uint32_t *x = a, *y = b;
	return strcmp(p->w->symbols[*x], p->w->symbols[*y]);
}

static int compare_series(const void *a, const void *b, void *arg)
{
	const struct printer *p = arg;
	const struct det_index_series *x = &p->w->series[*(const uint32_t *)a],
				      *y = &p->w->series[*(const uint32_t *)b];
	for (uint32_t i = 0; i < 2 * OPS_MIN(x->nlabels, y->nlabels); i++) {
		uint32_t rx = p->rank[x->pairs[i]], ry = p->rank[y->pairs[i]];
		if (rx != ry) {
			return rx < ry ? -1 : 1;
		}
	}
	return x->nlabels == y->nlabels ? 0 : x->nlabels < y->nlabels ? -1 : 1;
}

static int compare_histograms(const void *a, const void *b)
{
	const struct det_index_histograms *x = a, *y = b;
	if (x->series != y->series) {
		return x->series < y->series ? -1 : 1;
	}
	return (x->piece.start > y->piece.start) - (x->piece.start < y->piece.start);
}

static void rank_symbols(struct printer *p)
{
	uint32_t n = p->w->nsymbols;
	p->by_rank = ops_xcalloc((size_t)n + 1, sizeof(uint32_t));
	p->rank = ops_xcalloc((size_t)n + 1, sizeof(uint32_t));
	for (uint32_t i = 0; i < n; i++) {
		p->by_rank[i] = i;
	}
	qsort_r(p->by_rank, n, sizeof(uint32_t), compare_symbols, p);
	for (uint32_t i = 0; i < n; i++) {
		p->rank[p->by_rank[i]] = i;
	}
}

static void order_series(struct printer *p)
{
	p->order = ops_xcalloc((size_t)p->w->nseries + 1, sizeof(uint32_t));
	for (uint32_t i = 0; i < p->w->nseries; i++) {
		if (p->w->series[i].nrefs != 0 || p->w->series[i].nhistograms != 0) {
			p->order[p->nseries++] = i;
		}
	}
	qsort_r(p->order, p->nseries, sizeof(uint32_t), compare_series, p);
}

/* Turns the columns of groups into the columns of each series. */
static void collect_refs(struct printer *p)
{
	const struct det_index_writer *w = p->w;
	uint32_t total = 0;
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t g = 0; g < w->ngroups; g++) {
			for (uint32_t c = 0; c < w->groups[g].ncolumns; c++) {
				uint32_t ref = w->groups[g].refs[c];
				if (ref == UINT32_MAX || w->groups[g].used[c] == 0) {
					continue;
				}
				struct det_index_series *s = &w->series[ref];
				if (pass == 1) {
					p->refs[2 * (s->at_ref + s->nrefs)] = g;
					p->refs[2 * (s->at_ref + s->nrefs) + 1] = c;
				}
				s->nrefs++;
			}
		}
		for (uint32_t i = 0; pass == 0 && i < w->nseries; i++) {
			w->series[i].at_ref = total;
			total += w->series[i].nrefs;
			w->series[i].nrefs = 0;
		}
		if (pass == 0) {
			p->refs = ops_xcalloc((size_t)total * 2 + 1, sizeof(uint32_t));
		}
	}
}

static void collect_histograms(const struct det_index_writer *w)
{
	if (w->nhistograms == 0) {
		return;
	}
	qsort(w->histograms, w->nhistograms, sizeof(*w->histograms), compare_histograms);
	for (uint32_t i = 0; i < w->nhistograms; i++) {
		struct det_index_series *s = &w->series[w->histograms[i].series];
		if (s->nhistograms++ == 0) {
			s->first_histograms = i;
		}
	}
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

static void put_u32(struct ops_strbuf *out, uint32_t v)
{
	char bytes[4];
	ops_put_u32(bytes, v);
	ops_strbuf_add(out, bytes, sizeof(bytes));
}

static void put_u64(struct ops_strbuf *out, uint64_t v)
{
	char bytes[8];
	ops_put_u64(bytes, v);
	ops_strbuf_add(out, bytes, sizeof(bytes));
}

static void put_varint(struct ops_strbuf *out, uint64_t v)
{
	uint8_t bytes[DET_VARINT_MAX];
	ops_strbuf_add(out, bytes, (size_t)(det_put_varint(bytes, v) - bytes));
}

/* The next section starts here, at a multiple of eight. */
static void start_section(struct printer *p, enum det_index_section section)
{
	while ((p->out->len - p->from) % 8 != 0) {
		ops_strbuf_addc(p->out, '\0');
	}
	p->starts[section] = p->out->len - p->from;
}

/* Where we are in the section whose starts are written as u32. */
static uint32_t within(struct printer *p, enum det_index_section section)
{
	uint64_t at = p->out->len - p->from - p->starts[section];
	p->too_big = p->too_big || at > UINT32_MAX;
	return (uint32_t)at;
}

static void print_symbols(struct printer *p)
{
	uint32_t n = p->w->nsymbols, *starts = ops_xcalloc((size_t)n + 1, sizeof(uint32_t));
	start_section(p, DET_SECTION_SYMBOLS);
	for (uint32_t i = 0; i < n; i++) {
		const char *text = p->w->symbols[p->by_rank[i]];
		starts[i] = within(p, DET_SECTION_SYMBOLS);
		ops_strbuf_add(p->out, text, strlen(text) + 1);
	}
	starts[n] = within(p, DET_SECTION_SYMBOLS);
	start_section(p, DET_SECTION_SYMBOL_STARTS);
	for (uint32_t i = 0; i <= n; i++) {
		put_u32(p->out, starts[i]);
	}
	free(starts);
}

static void print_one_series(struct printer *p, const struct det_index_series *s)
{
	put_varint(p->out, s->nlabels);
	for (uint32_t i = 0; i < 2 * s->nlabels; i++) {
		put_varint(p->out, p->rank[s->pairs[i]]);
	}
	put_varint(p->out, s->nrefs);
	for (uint32_t i = 0; i < 2 * s->nrefs; i++) {
		put_varint(p->out, p->refs[2 * s->at_ref + i]);
	}
	put_varint(p->out, s->nhistograms);
	if (s->nhistograms != 0) {
		put_varint(p->out, s->first_histograms);
	}
}

static void print_series(struct printer *p)
{
	uint32_t *starts = ops_xcalloc((size_t)p->nseries + 1, sizeof(uint32_t));
	start_section(p, DET_SECTION_SERIES);
	for (uint32_t i = 0; i < p->nseries; i++) {
		starts[i] = within(p, DET_SECTION_SERIES);
		print_one_series(p, &p->w->series[p->order[i]]);
	}
	starts[p->nseries] = within(p, DET_SECTION_SERIES);
	start_section(p, DET_SECTION_SERIES_STARTS);
	for (uint32_t i = 0; i <= p->nseries; i++) {
		put_u32(p->out, starts[i]);
	}
	free(starts);
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair_of *x = a, *y = b;
	if (x->name != y->name) {
		return x->name < y->name ? -1 : 1;
	}
	if (x->value != y->value) {
		return x->value < y->value ? -1 : 1;
	}
	return x->series < y->series ? -1 : 1;
}

static struct pair_of *collect_pairs(const struct printer *p, size_t *ret_n)
{
	size_t n = 0;
	for (uint32_t i = 0; i < p->nseries; i++) {
		n += p->w->series[p->order[i]].nlabels;
	}
	struct pair_of *all = ops_xcalloc(n + 1, sizeof(*all)), *to = all;
	for (uint32_t i = 0; i < p->nseries; i++) {
		const struct det_index_series *s = &p->w->series[p->order[i]];
		for (uint32_t l = 0; l < s->nlabels; l++) {
			*to++ = (struct pair_of){.name = p->rank[s->pairs[2 * l]],
				.value = p->rank[s->pairs[2 * l + 1]],
				.series = i};
		}
	}
	qsort(all, n, sizeof(*all), compare_pairs);
	*ret_n = n;
	return all;
}

/* Postings of equal pairs. Returns their bytes. */
static uint32_t print_postings(struct printer *p, const struct pair_of *pairs, size_t n)
{
	roaring_bitmap_t *bitmap = roaring_bitmap_create();
	ops_assert(bitmap != NULL);
	for (size_t i = 0; i < n; i++) {
		roaring_bitmap_add(bitmap, pairs[i].series);
	}
	roaring_bitmap_run_optimize(bitmap);
	size_t bytes = roaring_bitmap_portable_size_in_bytes(bitmap);
	ops_strbuf_reserve(&p->postings, bytes);
	roaring_bitmap_portable_serialize(bitmap, p->postings.data + p->postings.len);
	p->postings.len += bytes;
	roaring_bitmap_free(bitmap);
	p->too_big = p->too_big || p->postings.len > UINT32_MAX;
	return (uint32_t)bytes;
}

static void print_pair(struct printer *p, const struct pair_of *pairs, size_t n)
{
	put_u32(&p->pairs, pairs->name);
	put_u32(&p->pairs, pairs->value);
	if (n == 1) {
		put_u32(&p->pairs, pairs->series);
		put_u32(&p->pairs, 0);
	} else {
		put_u32(&p->pairs, (uint32_t)p->postings.len);
		put_u32(&p->pairs, print_postings(p, pairs, n));
	}
	p->counts[DET_COUNT_PAIRS]++;
}

static void print_pairs(struct printer *p)
{
	size_t n;
	struct pair_of *all = collect_pairs(p, &n);
	uint32_t first = 0;
	for (size_t i = 0, end; i < n; i = end) {
		end = i + 1;
		while (end < n && all[end].name == all[i].name && all[end].value == all[i].value) {
			end++;
		}
		print_pair(p, all + i, end - i);
		if (end == n || all[end].name != all[i].name) {
			put_u32(&p->names, all[i].name);
			put_u32(&p->names, first);
			put_u32(&p->names, p->counts[DET_COUNT_PAIRS] - first);
			p->counts[DET_COUNT_NAMES]++;
			first = p->counts[DET_COUNT_PAIRS];
		}
	}
	free(all);
	start_section(p, DET_SECTION_PAIRS);
	ops_strbuf_add(p->out, p->pairs.data, p->pairs.len);
	start_section(p, DET_SECTION_NAMES);
	ops_strbuf_add(p->out, p->names.data, p->names.len);
	start_section(p, DET_SECTION_POSTINGS);
	ops_strbuf_add(p->out, p->postings.data, p->postings.len);
}

static void print_piece(struct ops_strbuf *out, const struct det_piece *piece)
{
	put_u64(out, piece->start);
	put_u32(out, piece->bytes);
	put_u32(out, piece->rows);
	put_u64(out, (uint64_t)piece->first_ms);
	put_u64(out, (uint64_t)piece->last_ms);
}

static void print_groups(struct printer *p)
{
	start_section(p, DET_SECTION_GROUPS);
	for (uint32_t i = 0; i < p->w->ngroups; i++) {
		const struct det_index_group *g = &p->w->groups[i];
		put_u64(p->out, g->group);
		put_u32(p->out, p->counts[DET_COUNT_SEGMENTS]);
		put_u32(p->out, g->nsegments);
		put_u32(p->out, g->ncolumns);
		put_u32(p->out, 0);
		p->counts[DET_COUNT_SEGMENTS] += g->nsegments;
	}
	start_section(p, DET_SECTION_SEGMENTS);
	for (uint32_t i = 0; i < p->w->ngroups; i++) {
		for (uint32_t s = 0; s < p->w->groups[i].nsegments; s++) {
			print_piece(p->out, &p->w->groups[i].pieces[s]);
		}
	}
	start_section(p, DET_SECTION_HISTOGRAMS);
	for (uint32_t i = 0; i < p->w->nhistograms; i++) {
		print_piece(p->out, &p->w->histograms[i].piece);
	}
}

static void print_header(struct printer *p)
{
	char *head = p->out->data + p->from;
	size_t size = p->out->len - p->from;
	p->counts[DET_COUNT_SYMBOLS] = p->w->nsymbols;
	p->counts[DET_COUNT_SERIES] = p->nseries;
	p->counts[DET_COUNT_GROUPS] = p->w->ngroups;
	p->counts[DET_COUNT_HISTOGRAMS] = p->w->nhistograms;
	memcpy(head, DET_BLOCK_INDEX_MAGIC, 8);
	ops_put_u32(head + 8, DET_INDEX_VERSION);
	ops_put_u64(head + DET_INDEX_SIZE_AT, size);
	for (unsigned i = 0; i < DET_COUNTS; i++) {
		ops_put_u32(head + DET_INDEX_COUNTS_AT + (size_t)i * 4, p->counts[i]);
	}
	for (unsigned i = 0; i < DET_SECTIONS; i++) {
		ops_put_u64(head + DET_INDEX_STARTS_AT + (size_t)i * 8, p->starts[i]);
	}
	uint32_t crc = ops_crc32c(0, head + DET_INDEX_CRC_AT + 4, size - DET_INDEX_CRC_AT - 4);
	ops_put_u32(head + DET_INDEX_CRC_AT, crc);
}

int det_index_writer_print(struct det_index_writer *w, struct ops_strbuf *out, uint64_t *ret_series)
{
	static const char zeros[DET_INDEX_HEADER_BYTES];
	struct printer p = {.w = w, .out = out, .from = out->len};
	collect_refs(&p);
	collect_histograms(w);
	rank_symbols(&p);
	order_series(&p);
	ops_strbuf_add(out, zeros, sizeof(zeros));
	print_symbols(&p);
	print_series(&p);
	print_pairs(&p);
	print_groups(&p);
	print_header(&p);
	free(p.rank);
	free(p.by_rank);
	free(p.order);
	free(p.refs);
	ops_strbuf_done(&p.postings);
	ops_strbuf_done(&p.pairs);
	ops_strbuf_done(&p.names);
	*ret_series = p.nseries;
	return p.too_big ? -E2BIG : 0;
}
