/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log holds what is in no segment yet: rows, late samples and histograms.
 *
 *	1 row		u64 group, i64 time, varint place in its chain, row against the one before
 *	2 late sample	u32 series, i64 time, f64 value
 *	3 histogram	u32 series, i64 time, blob
 *
 * A chain begins with the first row after a seal and with the first row in a file: that row is
 *coded against zeros. A row can be read only if the one before was; its place in the chain tells.
 *So a lost record costs the rest of its chain, at most DET_HEAD_ROWS rows, and never a wrong value.
 *
 * A file may go when all its rows stand in segments. Late samples and histograms stand in none, so
 * they are written again when a new file begins. Groups that hold back an old file are sealed.
 */
#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "services/detector/store/histogram_log.h"
#include "services/detector/store/rowcode.h"
#include "services/detector/store/state.h"
#include "services/detector/store/varint.h"

#define ROLL_BYTES ((uint64_t)64 << 20)
#define ROLL_MS (10 * 60 * (int64_t)1000)

enum {
	RECORD_ROW = 1,
	RECORD_LATE = 2,
	RECORD_BLOB = 3
};

static bool logging(const struct det_store *s)
{
	return s->disk != NULL && !s->replaying;
}

static void put_u64(struct ops_strbuf *out, uint64_t v)
{
	uint8_t bytes[8];
	ops_put_u64(bytes, v);
	ops_strbuf_add(out, bytes, sizeof(bytes));
}

static void put_varint(struct ops_strbuf *out, uint64_t v)
{
	uint8_t bytes[DET_VARINT_MAX];
	ops_strbuf_add(out, bytes, (size_t)(det_put_varint(bytes, v) - bytes));
}

void det_store_hold_log(struct det_store *s, bool on)
{
	if (s->disk != NULL) {
		det_disk_hold(s->disk, on);
	}
}

void det_wal_row(struct det_store *s, struct det_group *g)
{
	if (!logging(s)) {
		return;
	}
	uint64_t number = det_disk_number(s->disk, DET_LOG_WAL);
	const double *row = det_group_last_row(g), *before = NULL;
	det_define_group(s, g);
	if (g->wal_chain == number && g->nrows > 1) {
		before = det_group_row(g, g->nrows - 2);
		g->wal_index++;
	} else {
		g->wal_chain = number;
		g->wal_index = 0;
	}
	g->wal_first = g->wal_first != 0 ? g->wal_first : number;
	ops_strbuf_reset(&s->scratch);
	size_t begun = det_log_begin(&s->scratch, RECORD_ROW);
	put_u64(&s->scratch, g->id);
	put_u64(&s->scratch, (uint64_t)g->last_ms);
	put_varint(&s->scratch, g->wal_index);
	det_row_encode(before, row, g->ncolumns, &s->scratch);
	det_log_end(&s->scratch, begun);
	det_disk_put(s->disk, DET_LOG_WAL, s->scratch.data, s->scratch.len);
}

static void log_sample(struct det_store *s, struct det_entry *e, uint8_t type, int64_t t,
	const void *data, size_t len)
{
	if (!logging(s)) {
		return;
	}
	uint8_t id[4];
	ops_put_u32(id, e->id);
	det_define_series(s, e);
	ops_strbuf_reset(&s->scratch);
	size_t begun = det_log_begin(&s->scratch, type);
	ops_strbuf_add(&s->scratch, id, sizeof(id));
	put_u64(&s->scratch, (uint64_t)t);
	ops_strbuf_add(&s->scratch, data, len);
	det_log_end(&s->scratch, begun);
	det_disk_put(s->disk, DET_LOG_WAL, s->scratch.data, s->scratch.len);
}

void det_wal_late(struct det_store *s, struct det_entry *e, int64_t t, double v)
{
	log_sample(s, e, RECORD_LATE, t, &v, sizeof(v));
}

void det_wal_blob(struct det_store *s, struct det_entry *e, int64_t t, const void *blob, size_t len)
{
	log_sample(s, e, RECORD_BLOB, t, blob, len);
}

void det_wal_carry_over(struct det_store *s)
{
	struct ops_map_entry at;
	for (size_t i = 0; ops_map_next(s->late, &i, &at);) {
		const struct det_late *l = at.value;
		struct det_entry *e = det_store_at(s, l->series);
		for (uint32_t k = 0; e != NULL && k < l->n; k++) {
			det_wal_late(s, e, l->t[k], l->v[k]);
		}
	}
	for (size_t i = 0; ops_map_next(s->histograms, &i, &at);) {
		const struct det_histogram_log *l = at.value;
		uint32_t id, start = 0;
		memcpy(&id, at.key, sizeof(id));
		struct det_entry *e = det_store_at(s, id);
		for (uint32_t k = 0; e != NULL && k < l->n; k++) {
			det_wal_blob(s, e, l->times[k], l->bytes + start, l->ends[k] - start);
			start = l->ends[k];
		}
	}
}

void det_wal_roll(struct det_store *s)
{
	(void)det_disk_roll(s->disk, DET_LOG_WAL);
	s->rolled_ms = ops_mono_ms();
	det_wal_carry_over(s);
}

void det_wal_maintain(struct det_store *s)
{
	if (s->disk == NULL) {
		return;
	}
	if (det_disk_bytes(s->disk, DET_LOG_WAL) > ROLL_BYTES ||
		ops_mono_ms() - s->rolled_ms > ROLL_MS) {
		det_wal_roll(s);
	}
	uint64_t number = det_disk_number(s->disk, DET_LOG_WAL), needed = number;
	for (struct det_group *g = s->groups; g != NULL; g = g->next) {
		if (g->nrows != 0 && g->wal_first + 1 < number) {
			det_store_seal(s, g);
		}
		if (g->nrows != 0 && g->wal_first != 0) {
			needed = OPS_MIN(needed, g->wal_first);
		}
	}
	if (s->in_memory == 0) {
		det_disk_remove(s->disk, DET_LOG_WAL, needed);
	}
}

/* ---- replay ---- */

struct chain { /* of a group, while a file is replayed */
	uint64_t next;
	double row[];
};

struct replay {
	struct det_store *s;
	struct ops_map *groups, *chains;
	uint64_t number;
};

static struct chain *chain_of(struct replay *r, const struct det_group *g)
{
	struct chain *c = ops_map_get(r->chains, &g->id, sizeof(g->id));
	if (c == NULL) {
		c = ops_xcalloc(1, sizeof(*c) + g->ncolumns * sizeof(double));
		c->next = UINT64_MAX;
		(void)ops_map_put(r->chains, &g->id, sizeof(g->id), c);
	}
	return c;
}

static void add_row(struct replay *r, struct det_group *g, int64_t t, const double *row)
{
	struct det_store *s = r->s;
	if (t <= g->last_ms || t < s->head_ms) {
		return; /* a segment has it */
	}
	if (det_group_full(g)) {
		det_store_seal(s, g);
	}
	double *to = det_group_add(g, t, row);
	for (uint32_t c = 0; c < g->ncolumns; c++) {
		to[c] = g->series[c] != NULL ? to[c] : det_absent();
		s->recovery.samples += !det_is_absent(to[c]);
	}
	g->wal_first = g->wal_first != 0 ? g->wal_first : r->number;
	s->recovery.rows++;
}

static bool replay_row(struct replay *r, const uint8_t *p, size_t len)
{
	const uint8_t *at = p + 16, *end = p + len;
	uint64_t place;
	if (len < 17 || !det_get_varint(&at, end, &place)) {
		return false;
	}
	uint64_t id = ops_get_u64(p);
	struct det_group *g = ops_map_get(r->groups, &id, sizeof(id));
	if (g == NULL) {
		/* Its definition is lost, or it went with its samples to a block. */
		return (int64_t)ops_get_u64(p + 8) < r->s->head_ms;
	}
	struct chain *c = chain_of(r, g);
	if (place == 0) {
		memset(c->row, 0, g->ncolumns * sizeof(double));
	} else if (place != c->next) {
		c->next = UINT64_MAX;
		return false;
	}
	if (det_row_decode(at, (size_t)(end - at), g->ncolumns, c->row) != 0) {
		c->next = UINT64_MAX;
		return false;
	}
	c->next = place + 1;
	add_row(r, g, (int64_t)ops_get_u64(p + 8), c->row);
	return true;
}

static bool replay_late(struct replay *r, const uint8_t *p, size_t len)
{
	struct det_entry *e = len == 20 ? det_store_at(r->s, ops_get_u32(p)) : NULL;
	int64_t t = len == 20 ? (int64_t)ops_get_u64(p + 4) : 0;
	double v;
	if (e == NULL) {
		return len == 20; /* the series is gone since */
	}
	memcpy(&v, p + 12, sizeof(v));
	if (t >= r->s->head_ms) {
		(void)det_store_put_late(r->s, e, t, v);
	}
	return true;
}

static bool replay_blob(struct replay *r, const uint8_t *p, size_t len)
{
	if (len < 13) {
		return false;
	}
	struct det_entry *e = det_store_at(r->s, ops_get_u32(p));
	int64_t t = (int64_t)ops_get_u64(p + 4);
	if (e == NULL || t < r->s->head_ms) {
		return true;
	}
	struct ops_arena arena;
	struct ops_histogram h;
	ops_arena_init(&arena);
	bool good = ops_histogram_decode(p + 12, len - 12, &arena, &h) == 0 &&
		    det_store_append_blob(r->s, e, t, &h) == 0;
	ops_arena_done(&arena);
	return good;
}

void det_wal_replay(
	struct det_store *s, struct ops_map *groups, uint64_t number, const void *data, size_t len)
{
	struct replay r = {s, groups, ops_map_new(), number};
	struct det_log_reader reader;
	uint8_t type;
	const uint8_t *payload;
	size_t n;
	(void)det_log_open(&reader, DET_LOG_WAL, data, len);
	while (det_log_next(&reader, &type, &payload, &n)) {
		bool good = type == RECORD_ROW	  ? replay_row(&r, payload, n)
			    : type == RECORD_LATE ? replay_late(&r, payload, n)
			    : type == RECORD_BLOB ? replay_blob(&r, payload, n)
						  : false;
		s->recovery.lost_rows += !good;
	}
	s->recovery.lost_records += reader.lost_places;
	s->recovery.lost_bytes += reader.lost_bytes;
	ops_map_free(r.chains, free);
}
