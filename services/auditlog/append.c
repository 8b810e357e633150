/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch from the spool into the table. Two statements: which ids are there already, then one
 * INSERT of the others through arrays (unnest), which costs a few microseconds a row. Numbers and
 * hashes are made between the two, on a copy of the head.
 *
 * A primary key violation means that somebody else wrote: the lock and the fence disagree, or a
 * hand was in the table. It goes the way of every refusal: wait, read what is there, check it, go
 * on from it.
 */
#include "services/auditlog/sequencer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

#define BATCH_ROWS 500
#define BATCH_BYTES ((size_t)2 << 20)

static const double batch_buckets[] = {1, 2, 5, 10, 20, 50, 100, 200, 500};
static struct ops_metric metric_batch =
	OPS_HISTOGRAM("ops_auditlog_batch_records", "Records in one commit.", batch_buckets);
static struct ops_metric metric_duplicates = OPS_COUNTER(
	"ops_auditlog_duplicates_total", "Records delivered again and recognised by their id.");

struct item {
	uint64_t number, seq; /* seq 0: not known yet */
	char id[37];
	int64_t time_us;
	char *body; /* owned */
	size_t len;
	size_t same_as; /* index + 1 of the earlier item with this id in the batch; 0: none */
};

struct aud_batch {
	struct item items[BATCH_ROWS];
	size_t n, bytes;
	struct ops_map *by_id;	    /* id -> item, of the first with that id */
	struct ops_audit_head head; /* after the batch */
};

enum {
	A_SEQ,
	A_ID,
	A_TIME,
	A_BODY,
	A_LEAF,
	A_CHAIN,
	A_COUNT
};

struct aud_batch *aud_batch_new(void)
{
	struct aud_batch *b = ops_xcalloc(1, sizeof(*b));

	b->by_id = ops_map_new();
	return b;
}

void aud_batch_reset(struct aud_batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->items[i].body);
	b->n = 0;
	b->bytes = 0;
	ops_map_free(b->by_id, NULL);
	b->by_id = ops_map_new();
}

void aud_batch_free(struct aud_batch *b)
{
	aud_batch_reset(b);
	ops_map_free(b->by_id, NULL);
	free(b);
}

static int on_entry(const struct aud_entry *e, void *arg)
{
	struct aud_batch *b = arg;

	if (b->n == BATCH_ROWS || (b->n > 0 && b->bytes + e->len > BATCH_BYTES))
		return 1;
	struct item *item = &b->items[b->n++];
	*item = (struct item){.number = e->number, .time_us = e->time_us, .len = e->len};
	memcpy(item->id, e->id, sizeof(item->id));
	item->body = ops_xstrndup(e->body, e->len);
	b->bytes += e->len;
	struct item *first = ops_map_gets(b->by_id, item->id);
	if (first != NULL)
		item->same_as = (size_t)(first - b->items) + 1;
	else
		ops_map_puts(b->by_id, item->id, item);
	return 0;
}

/* ---- the insert ---- */

/* Array literal: every element in double quotes, with \ and " escaped. */
static void add_element(struct ops_strbuf *b, const char *text, size_t len)
{
	ops_strbuf_adds(b, b->len > 0 ? ",\"" : "{\"");
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			ops_strbuf_addc(b, '\\');
		ops_strbuf_addc(b, text[i]);
	}
	ops_strbuf_addc(b, '"');
}

static void add_number(struct ops_strbuf *b, int64_t v)
{
	ops_strbuf_printf(b, "%s%lld", b->len > 0 ? "," : "{", (long long)v);
}

static void add_hash(struct ops_strbuf *b, const unsigned char *hash)
{
	char text[2 * OPS_HASH_BYTES + 3] = "\\x";

	ops_hex_encode(hash, OPS_HASH_BYTES, text + 2);
	add_element(b, text, sizeof(text) - 1);
}

/* Gives the item its place in the chain and adds its row. */
static void add_row(struct aud_batch *b, struct item *item, struct ops_strbuf arrays[A_COUNT])
{
	unsigned char leaf[OPS_HASH_BYTES];

	ops_audit_leaf(item->body, item->len, leaf);
	ops_audit_head_append(&b->head, leaf);
	item->seq = b->head.tree.size;
	add_number(&arrays[A_SEQ], (int64_t)item->seq);
	add_element(&arrays[A_ID], item->id, strlen(item->id));
	add_number(&arrays[A_TIME], item->time_us);
	add_element(&arrays[A_BODY], item->body, item->len);
	add_hash(&arrays[A_LEAF], leaf);
	add_hash(&arrays[A_CHAIN], b->head.chain);
}

static void commit(struct aud_sequencer *q)
{
	struct aud_batch *b = q->batch;
	uint64_t last = b->items[b->n - 1].number;

	q->head = b->head;
	ops_metric_observe(&metric_batch, (double)b->n);
	for (size_t i = 0; i < b->n; i++) {
		const struct item *item = &b->items[i];
		aud_intake_committed(q->aud->intake, item->number,
			item->same_as != 0 ? b->items[item->same_as - 1].seq : item->seq);
	}
	aud_batch_reset(b);
	aud_intake_stored(q->aud->intake, last);
	ops_timer_start(q->timer, 0);
}

static void on_inserted(void *arg, const struct ops_pg_result *r)
{
	struct aud_sequencer *q = arg;

	if (!aud_sequencer_failed(q, "append", r))
		commit(q);
}

static void insert(struct aud_sequencer *q)
{
	static const char sql[] = "INSERT INTO audit.records (seq, id, at, body, leaf, chain) "
				  "SELECT seq, id, timestamptz 'epoch' + us * interval '1 "
				  "microsecond', body, leaf, chain "
				  "FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], "
				  "$5::bytea[], $6::bytea[]) "
				  "AS r (seq, id, us, body, leaf, chain)";
	struct aud_batch *b = q->batch;
	struct ops_strbuf arrays[A_COUNT];
	const char *params[A_COUNT];
	size_t rows = 0;

	for (int i = 0; i < A_COUNT; i++)
		ops_strbuf_init(&arrays[i]);
	b->head = q->head;
	for (size_t i = 0; i < b->n; i++) {
		if (b->items[i].seq == 0 && b->items[i].same_as == 0) {
			add_row(b, &b->items[i], arrays);
			rows++;
		} else {
			ops_metric_add(&metric_duplicates, 1);
		}
	}
	for (int i = 0; i < A_COUNT; i++) {
		ops_strbuf_addc(&arrays[i], '}');
		params[i] = ops_strbuf_text(&arrays[i]);
	}
	const struct ops_pg_statement s = {sql, A_COUNT, params};
	if (rows == 0)
		commit(q);
	else if (!aud_sequencer_exec(q, &s, on_inserted))
		aud_batch_reset(b);
	for (int i = 0; i < A_COUNT; i++)
		ops_strbuf_done(&arrays[i]);
}

/* ---- the look-up ---- */

static void on_known(void *arg, const struct ops_pg_result *r)
{
	struct aud_sequencer *q = arg;

	if (aud_sequencer_failed(q, "look up", r))
		return;
	for (int row = 0; row < r->rows; row++) {
		struct item *item = ops_map_gets(q->batch->by_id, ops_pg_value(r, row, 0));
		const char *seq = ops_pg_value(r, row, 1);
		if (item == NULL || ops_parse_u64(seq, strlen(seq), &item->seq) < 0)
			log_error("the database answered an id that was not asked for");
	}
	insert(q);
}

static void look_up(struct aud_sequencer *q)
{
	struct ops_strbuf ids = OPS_STRBUF_INIT;

	for (size_t i = 0; i < q->batch->n; i++)
		add_element(&ids, q->batch->items[i].id, 36);
	ops_strbuf_addc(&ids, '}');
	const char *params[] = {ops_strbuf_text(&ids)};
	const struct ops_pg_statement s = {
		"SELECT id, seq FROM audit.records WHERE id = ANY ($1::uuid[])", 1, params};
	if (!aud_sequencer_exec(q, &s, on_known))
		aud_batch_reset(q->batch);
	ops_strbuf_done(&ids);
}

void aud_sequencer_kick(struct aud_sequencer *q)
{
	if (q->state != AUD_READY || q->busy || q->batch->n > 0)
		return;
	int code = aud_intake_read(q->aud->intake, BATCH_ROWS, on_entry, q->batch);
	if (code < 0) {
		log_error("could not read the audit spool", F_ERR(code));
		aud_batch_reset(q->batch);
		ops_timer_start(q->timer, 1000);
	} else if (q->batch->n > 0) {
		look_up(q);
	}
}
