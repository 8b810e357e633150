/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the numbers in log and segments stand for:
 *
 *	1 pair		varint number in this file, varint length, name, varint length, value
 *	2 series	varint id, varint n, n numbers of pairs in the order of names
 *	3 group		u64 id, u64 layout, varint n, n times varint series id + 1 (0: dead column)
 *	4 family	u8 type, name NUL help NUL unit NUL
 *	5 feed		u64 group, u8 1: it is fed, 0: not any more; job NUL, who feeds it NUL
 *
 * A thing is defined when the log first needs it, so a layout that never had a row is not. A group
 * that is defined again has columns that it lacked before; the last feed of a group counts. The
 * file only grows; a new one without what is gone is begun when enough is. Both may be there after
 * a crash in between: what is defined twice is the same.
 */
#include <string.h>

#include "common/base/bytes.h"
#include "services/detector/store/state.h"
#include "services/detector/store/varint.h"

enum {
	RECORD_PAIR = 1,
	RECORD_SERIES = 2,
	RECORD_GROUP = 3,
	RECORD_FAMILY = 4,
	RECORD_FEED = 5
};

static bool defining(const struct det_store *s)
{
	return s->disk != NULL && !s->replaying;
}

static void put_varint(struct ops_strbuf *out, uint64_t v)
{
	uint8_t bytes[DET_VARINT_MAX];
	ops_strbuf_add(out, bytes, (size_t)(det_put_varint(bytes, v) - bytes));
}

static void put_u64(struct ops_strbuf *out, uint64_t v)
{
	uint8_t bytes[8];
	ops_put_u64(bytes, v);
	ops_strbuf_add(out, bytes, sizeof(bytes));
}

static void put_text(struct ops_strbuf *out, const char *text, uint32_t len)
{
	put_varint(out, len);
	ops_strbuf_add(out, text, len);
}

static void define_pair(struct det_store *s, struct det_pair *p, struct ops_strbuf *out)
{
	if (p->file_ref != 0) {
		return;
	}
	p->file_ref = ++s->next_ref;
	size_t begun = det_log_begin(out, RECORD_PAIR);
	put_varint(out, p->file_ref);
	put_text(out, p->name->text, p->name->len);
	put_text(out, p->text, p->len);
	det_log_end(out, begun);
}

static void define_entry(struct det_store *s, struct det_entry *e, struct ops_strbuf *out)
{
	if (det_store_filed(s, e, true)) {
		return;
	}
	for (uint32_t i = 0; i < e->npairs; i++) {
		define_pair(s, s->index.pairs[e->pairs[i]], out);
	}
	size_t begun = det_log_begin(out, RECORD_SERIES);
	put_varint(out, e->id);
	put_varint(out, e->npairs);
	for (uint32_t i = 0; i < e->npairs; i++) {
		put_varint(out, s->index.pairs[e->pairs[i]]->file_ref);
	}
	det_log_end(out, begun);
}

static void add_feed(const struct det_group *g, struct ops_strbuf *out)
{
	if (g->source == NULL || g->job == NULL) {
		return;
	}
	size_t begun = det_log_begin(out, RECORD_FEED);
	put_u64(out, g->id);
	ops_strbuf_addc(out, !g->retired || g->resumes ? 1 : 0);
	ops_strbuf_add(out, g->job->name, strlen(g->job->name) + 1);
	ops_strbuf_add(out, g->source, strlen(g->source) + 1);
	det_log_end(out, begun);
}

static void define_columns(struct det_store *s, struct det_group *g, struct ops_strbuf *out)
{
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		if (g->series[c] != NULL) {
			define_entry(s, g->series[c], out);
		}
	}
	g->filed = true;
	size_t begun = det_log_begin(out, RECORD_GROUP);
	put_u64(out, g->id);
	put_u64(out, g->layout_id);
	put_varint(out, g->ncolumns);
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		put_varint(out, g->series[c] != NULL ? g->series[c]->id + (uint64_t)1 : 0);
	}
	det_log_end(out, begun);
	add_feed(g, out);
}

static void add_family(const struct det_metadata *m, struct ops_strbuf *out)
{
	size_t begun = det_log_begin(out, RECORD_FAMILY);
	ops_strbuf_addc(out, (char)m->type);
	ops_strbuf_add(out, m->name, strlen(m->name) + 1);
	ops_strbuf_add(out, m->help, strlen(m->help) + 1);
	ops_strbuf_add(out, m->unit, strlen(m->unit) + 1);
	det_log_end(out, begun);
}

static void flush(struct det_store *s, struct ops_strbuf *out)
{
	det_disk_put(s->disk, DET_LOG_SERIES, out->data, out->len);
	ops_strbuf_done(out);
}

void det_define_group(struct det_store *s, struct det_group *g)
{
	if (defining(s) && !g->filed) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		define_columns(s, g, &out);
		flush(s, &out);
	}
}

void det_define_feed(struct det_store *s, struct det_group *g)
{
	if (defining(s) && g->filed) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		add_feed(g, &out);
		flush(s, &out);
	}
}

void det_define_series(struct det_store *s, struct det_entry *e)
{
	if (defining(s) && !det_store_filed(s, e, false)) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		define_entry(s, e, &out);
		flush(s, &out);
	}
}

void det_define_family(struct det_store *s, const struct det_metadata *m)
{
	if (defining(s)) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		add_family(m, &out);
		flush(s, &out);
	}
}

static void forget_filed(struct det_store *s)
{
	s->next_ref = 0;
	for (uint32_t i = 0; i < s->index.npairs; i++) {
		if (s->index.pairs[i] != NULL) {
			s->index.pairs[i]->file_ref = 0;
		}
	}
	for (size_t i = 0; i < s->npages; i++) {
		if (s->pages[i] != NULL) {
			memset(s->pages[i]->filed, 0, sizeof(s->pages[i]->filed));
		}
	}
}

void det_definitions_rewrite(struct det_store *s)
{
	if (!defining(s)) {
		return;
	}
	uint64_t number = det_disk_roll(s->disk, DET_LOG_SERIES);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_map_entry at;
	forget_filed(s);
	for (struct det_group *g = s->groups; g != NULL; g = g->next) {
		g->filed = false;
		if (g->last_ms != INT64_MIN) { /* else when its first row comes */
			define_columns(s, g, &out);
		}
	}
	for (size_t i = 0; ops_map_next(s->metadata, &i, &at);) {
		add_family(at.value, &out);
	}
	s->buried = 0;
	flush(s, &out);
	det_disk_remove(s->disk, DET_LOG_SERIES, number);
}

/* ---- loading ---- */

struct loading {
	struct det_store *s;
	struct ops_map *groups;
	uint32_t *pairs; /* id + 1 by number */
	size_t npairs, limit;
};

static bool get_text(const uint8_t **at, const uint8_t *end, struct ops_label *l, bool name)
{
	uint32_t len;
	if (!det_get_varint_u32(at, end, &len) || len == 0 || len > (size_t)(end - *at) ||
		memchr(*at, '\0', len) != NULL) {
		return false;
	}
	if (name) {
		l->name = (const char *)*at;
		l->name_len = len;
	} else {
		l->value = (const char *)*at;
		l->value_len = len;
	}
	*at += len;
	return true;
}

static bool load_pair(struct loading *l, const uint8_t *at, size_t len)
{
	const uint8_t *end = at + len;
	struct ops_label label;
	uint32_t number;
	if (!det_get_varint_u32(&at, end, &number) || number == 0 || number > l->limit ||
		!get_text(&at, end, &label, true) || !get_text(&at, end, &label, false) ||
		at != end) {
		return false;
	}
	if (number >= l->npairs) {
		size_t cap = OPS_MAX((size_t)number + 1, l->npairs * 2);
		l->pairs = ops_xrealloc(l->pairs, cap, sizeof(*l->pairs));
		memset(l->pairs + l->npairs, 0, (cap - l->npairs) * sizeof(*l->pairs));
		l->npairs = cap;
	}
	l->pairs[number] = det_index_pair(&l->s->index, &label)->id + 1;
	return true;
}

static bool load_series(struct loading *l, const uint8_t *at, size_t len)
{
	const uint8_t *end = at + len;
	uint32_t id, n, number;
	if (!det_get_varint_u32(&at, end, &id) || !det_get_varint_u32(&at, end, &n) || n > len ||
		n > UINT16_MAX) {
		return false;
	}
	struct ops_label *labels = ops_xcalloc(n + 1, sizeof(*labels));
	bool good = true;
	for (uint32_t i = 0; i < n && good; i++) {
		good = det_get_varint_u32(&at, end, &number) && number < l->npairs &&
		       l->pairs[number] != 0;
		const struct det_pair *p = good ? l->s->index.pairs[l->pairs[number] - 1] : NULL;
		good = good && (i == 0 || strcmp(labels[i - 1].name, p->name->text) < 0);
		if (good) {
			labels[i] =
				(struct ops_label){p->name->text, p->text, p->name->len, p->len};
		}
	}
	if (good && at == end && n != 0) {
		struct ops_labels *ls = ops_labels_from_sorted(labels, n);
		struct det_entry *e = det_store_restore(l->s, ls, id);
		if (e == NULL) { /* twice is fine, so is a series that went and came back */
			e = det_store_lookup(l->s, ls);
			good = e != NULL && (e->id == id || det_store_renumber(l->s, e, id));
		}
		l->s->recovery.series += good;
		ops_labels_unref(ls);
	}
	free(labels);
	return good;
}

static struct det_group *load_group_head(struct loading *l, const uint64_t ids[2], uint32_t n)
{
	struct det_group *g = ops_map_get(l->groups, &ids[0], sizeof(ids[0]));
	if (g == NULL) {
		g = det_store_group_add(l->s, ids[1], n);
		g->id = ids[0];
		g->retired = ids[1] != 0;
		l->s->next_group = OPS_MAX(l->s->next_group, ids[0]);
		(void)ops_map_put(l->groups, &ids[0], sizeof(ids[0]), g);
		if (ids[1] != 0) {
			(void)ops_map_put(l->s->layouts, &ids[1], sizeof(ids[1]), g);
		}
	}
	return g->ncolumns == n ? g : NULL;
}

static bool load_group(struct loading *l, const uint8_t *at, size_t len)
{
	const uint8_t *end = at + len;
	uint32_t n;
	if (len < 17) {
		return false;
	}
	const uint64_t ids[2] = {ops_get_u64(at), ops_get_u64(at + 8)};
	at += 16;
	if (!det_get_varint_u32(&at, end, &n) || n > (size_t)(end - at) ||
		n > DET_SEGMENT_MAX_COLUMNS) {
		return false;
	}
	struct det_group *g = load_group_head(l, ids, n);
	bool good = g != NULL;
	for (uint32_t c = 0; good && c < n; c++) {
		uint64_t id;
		good = det_get_varint(&at, end, &id);
		if (!good || id == 0 || g->series[c] != NULL) {
			continue;
		}
		struct det_entry *e =
			id <= UINT32_MAX ? det_store_at(l->s, (uint32_t)id - 1) : NULL;
		if (e != NULL && !det_entry_attached(e, g)) {
			det_entry_attach(e, g, c);
		} else {
			l->s->recovery.lost_records += e == NULL;
		}
	}
	return good;
}

static bool load_feed(struct loading *l, const uint8_t *at, size_t len)
{
	const char *job = (const char *)at + 9, *end = (const char *)at + len;
	const char *stop = len > 9 ? memchr(job, '\0', len - 9) : NULL;
	if (stop == NULL || stop + 1 == end ||
		memchr(stop + 1, '\0', (size_t)(end - stop) - 1) != end - 1) {
		return false;
	}
	uint64_t id = ops_get_u64(at);
	struct det_group *g = ops_map_get(l->groups, &id, sizeof(id));
	if (g == NULL || g->layout_id == 0) {
		return false;
	}
	g->job = det_store_job(l->s, job);
	g->resumes = at[8] != 0;
	free(g->source);
	g->source = ops_xstrdup(stop + 1);
	return true;
}

static bool load_family(struct loading *l, const uint8_t *at, size_t len)
{
	const char *texts[3] = {"", "", ""};
	const char *p = (const char *)at + 1, *end = (const char *)at + len;
	if (len < 4 || at[0] > OPS_T_GAUGEHISTOGRAM) {
		return false;
	}
	for (size_t i = 0; i < 3; i++) {
		const char *stop = p < end ? memchr(p, '\0', (size_t)(end - p)) : NULL;
		if (stop == NULL) {
			return false;
		}
		texts[i] = p;
		p = stop + 1;
	}
	const struct ops_layout_family f = {
		texts[0], texts[1], texts[2], (enum ops_series_type)at[0]};
	det_store_describe(l->s, &f);
	return true;
}

void det_definitions_load(struct det_store *s, struct ops_map *groups, const void *data, size_t len)
{
	struct loading l = {.s = s, .groups = groups, .limit = len};
	struct det_log_reader reader;
	uint8_t type;
	const uint8_t *p;
	size_t n;
	(void)det_log_open(&reader, DET_LOG_SERIES, data, len);
	while (det_log_next(&reader, &type, &p, &n)) {
		bool good = type == RECORD_PAIR	    ? load_pair(&l, p, n)
			    : type == RECORD_SERIES ? load_series(&l, p, n)
			    : type == RECORD_GROUP  ? load_group(&l, p, n)
			    : type == RECORD_FAMILY ? load_family(&l, p, n)
			    : type == RECORD_FEED   ? load_feed(&l, p, n)
						    : false;
		s->recovery.lost_records += !good;
	}
	s->recovery.lost_records += reader.lost_places;
	s->recovery.lost_bytes += reader.lost_bytes;
	free(l.pairs);
}
