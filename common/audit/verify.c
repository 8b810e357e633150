/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the table in one snapshot, in order of seq, each record with the checkpoint that
 * signed the log at that size. What can be wrong shows itself in a fixed order:
 *
 *  - a hole in seq: removed;
 *  - the body does not hash to its leaf, or a column that follows from the body says something
 * else: changed;
 *  - body and leaf agree, but the chain does not follow from the record before: a whole record was
 * moved, exchanged or put in: reordered;
 *  - all of it agrees, but the Merkle root is not the one that was signed: rewritten by someone who
 *    recomputed the hashes. The first changed record is then somewhere after the last checkpoint
 * that holds;
 *  - a checkpoint signed more records than there are: cut off.
 *
 * Everything before the first fault is proven, nothing after it is: the pass ends there.
 */
#include "common/audit/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/audit/canon.h"
#include "common/audit/merkle.h"
#include "common/audit/note.h"
#include "common/base/number.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/pg/pg_sync.h"

#define BODY_LIMIT_BYTES ((size_t)4 << 20)

struct pass {
	const struct ops_audit_verify *cfg;
	struct ops_audit_verify_result *result;
	struct ops_note_verifier verifier;
	struct ops_checkpoint trusted;
	struct ops_audit_head head;
	struct ops_error *err;
};

/* Column numbers of the query below. */
enum {
	C_SEQ,
	C_ID,
	C_AT,
	C_BODY,
	C_LEAF,
	C_CHAIN,
	C_SIZE,
	C_ROOT,
	C_NOTE
};

static const char records_sql[] =
	"SELECT r.seq, r.id, (extract(epoch FROM r.at) * 1000000)::bigint, r.body, "
	"encode(r.leaf, 'hex'), encode(r.chain, 'hex'), c.size, encode(c.root, 'hex'), c.note "
	"FROM audit.records r LEFT JOIN audit.checkpoints c ON c.size = r.seq ORDER BY r.seq";

static const char beyond_sql[] = "SELECT size, note FROM audit.checkpoints WHERE size > "
				 "coalesce((SELECT max(seq) FROM audit.records), 0) "
				 "ORDER BY size LIMIT 1";

const char *ops_audit_fault_text(enum ops_audit_fault fault)
{
	static const char *const texts[] = {
		"sound", "changed", "removed", "reordered", "cut off", "rewritten", "checkpoint"};

	return texts[fault];
}

static int doubt(struct pass *p, enum ops_audit_fault fault, uint64_t seq, const char *fmt, ...)
	OPS_PRINTF(4, 5);

static int doubt(struct pass *p, enum ops_audit_fault fault, uint64_t seq, const char *fmt, ...)
{
	va_list ap;

	p->result->fault = fault;
	p->result->bad_seq = seq;
	va_start(ap, fmt);
	if (vsnprintf(p->result->problem, sizeof(p->result->problem), fmt, ap) < 0)
		p->result->problem[0] = '\0';
	va_end(ap);
	return OPS_AUDIT_DOUBTED;
}

static uint64_t number(const struct ops_pg_row *row, int column)
{
	const char *text = ops_pg_row_value(row, column);
	uint64_t value = 0;

	return text != NULL && ops_parse_u64(text, strlen(text), &value) == 0 ? value : 0;
}

static bool same_hash(const struct ops_pg_row *row, int column, const unsigned char *hash)
{
	char hex[2 * OPS_HASH_BYTES + 1];

	ops_hex_encode(hash, OPS_HASH_BYTES, hex);
	return ops_str_eq(ops_pg_row_value(row, column), hex);
}

/* The columns beside body are for queries; a lie there would mislead them without touching a hash.
 */
static const char *column_that_lies(const struct ops_pg_row *row)
{
	OPS_JSON_AUTO *body = NULL;
	const char *id = NULL, *at = ops_pg_row_value(row, C_AT);
	double time_us = 0;
	int64_t at_us = 0;

	if (ops_canon_parse(ops_pg_row_value(row, C_BODY), ops_pg_row_length(row, C_BODY),
		    BODY_LIMIT_BYTES, &body, NULL) < 0)
		return "body";
	if (ops_json_get_string(body, "id", &id, NULL) != 0 ||
		!ops_str_eq(id, ops_pg_row_value(row, C_ID)))
		return "id";
	if (ops_json_get_double(body, "time_us", &time_us, NULL) != 0 || at == NULL ||
		ops_parse_i64(at, strlen(at), &at_us) < 0 || time_us != (double)at_us)
		return "at";
	return NULL;
}

static int check_record(struct pass *p, const struct ops_pg_row *row, uint64_t seq)
{
	unsigned char leaf[OPS_HASH_BYTES];
	uint64_t expected = p->head.tree.size + 1;
	unsigned long long n = seq;

	if (seq != expected)
		return doubt(p, OPS_AUDIT_REMOVED, expected,
			"record %llu is missing: record %llu is followed by %llu",
			(unsigned long long)expected, (unsigned long long)expected - 1, n);
	ops_audit_leaf(ops_pg_row_value(row, C_BODY), ops_pg_row_length(row, C_BODY), leaf);
	if (!same_hash(row, C_LEAF, leaf))
		return doubt(p, OPS_AUDIT_CHANGED, seq,
			"record %llu was changed: its body does not hash to its leaf", n);
	const char *liar = column_that_lies(row);
	if (liar != NULL)
		return doubt(p, OPS_AUDIT_CHANGED, seq,
			"record %llu was changed: column %s does not agree with the body", n, liar);
	struct ops_audit_head next = p->head;
	ops_audit_head_append(&next, leaf);
	if (!same_hash(row, C_CHAIN, next.chain))
		return doubt(p, OPS_AUDIT_REORDERED, seq,
			"record %llu does not follow from the record before it: moved, exchanged "
			"or put in",
			n);
	p->head = next;
	return 0;
}

/* The note is what was signed; size and root beside it are copies for SQL. */
static int check_checkpoint(struct pass *p, const struct ops_pg_row *row, uint64_t seq)
{
	struct ops_checkpoint signed_head;
	struct ops_error why;
	unsigned char root[OPS_HASH_BYTES];
	unsigned long long n = seq;

	ops_merkle_root(&p->head.tree, root);
	if (p->cfg->vkey != NULL) {
		if (ops_checkpoint_open(
			    ops_pg_row_value(row, C_NOTE), &p->verifier, &signed_head, &why) < 0)
			return doubt(p, OPS_AUDIT_CHECKPOINT, seq,
				"the checkpoint of size %llu: %s", n, why.message);
		if (signed_head.size != seq || !same_hash(row, C_ROOT, signed_head.root))
			return doubt(p, OPS_AUDIT_CHECKPOINT, seq,
				"the checkpoint of size %llu says something else than its note", n);
	}
	if (!same_hash(row, C_ROOT, root))
		return doubt(p, OPS_AUDIT_REWRITTEN, p->result->signed_size + 1,
			"records %llu to %llu are not those that the checkpoint of size %llu "
			"signed",
			(unsigned long long)p->result->signed_size + 1, n, n);
	p->result->checkpoints++;
	p->result->signed_size = seq;
	return 0;
}

static int check_trusted(struct pass *p, uint64_t seq)
{
	unsigned char root[OPS_HASH_BYTES];

	ops_merkle_root(&p->head.tree, root);
	if (memcmp(root, p->trusted.root, sizeof(root)) != 0)
		return doubt(p, OPS_AUDIT_REWRITTEN, p->result->signed_size + 1,
			"records %llu to %llu are not those of the trusted checkpoint",
			(unsigned long long)p->result->signed_size + 1, (unsigned long long)seq);
	p->result->trusted_checked = true;
	p->result->signed_size = seq;
	return 0;
}

static int on_row(void *arg, const struct ops_pg_row *row)
{
	struct pass *p = arg;
	uint64_t seq = number(row, C_SEQ);
	int code = check_record(p, row, seq);

	/* The outside copy first: it cannot have been exchanged together with the rows. */
	if (code == 0 && p->cfg->trusted_note != NULL && p->trusted.size == seq)
		code = check_trusted(p, seq);
	if (code == 0 && ops_pg_row_value(row, C_SIZE) != NULL)
		code = check_checkpoint(p, row, seq);
	if (code == 0 && p->cfg->on_progress != NULL && seq % 10000 == 0)
		p->cfg->on_progress(p->cfg->arg, seq);
	return code;
}

static int cut_off(struct pass *p, uint64_t signed_size, const char *by)
{
	unsigned long long have = p->head.tree.size, first = have + 1;

	return doubt(p, OPS_AUDIT_CUT_OFF, have + 1,
		"records from %llu on are missing: %s signed %llu records, there are %llu", first,
		by, (unsigned long long)signed_size, have);
}

static int on_beyond(void *arg, const struct ops_pg_row *row)
{
	return cut_off(arg, number(row, 0), "a checkpoint");
}

static int run(struct pass *p, struct ops_pg_sync *s)
{
	const struct ops_pg_query records = {.sql = records_sql, .on_row = on_row, .arg = p};
	const struct ops_pg_query beyond = {.sql = beyond_sql, .on_row = on_beyond, .arg = p};
	int code = ops_pg_sync_script(s,
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
		/* Both tables in the order of their keys, whatever their statistics say: nothing is
		   collected or sorted. */
		"SET LOCAL enable_hashjoin = off; SET LOCAL enable_sort = off",
		p->err);

	if (code == 0)
		code = ops_pg_sync_query(s, &records, p->err);
	if (code == 0 && p->cfg->trusted_note != NULL && p->trusted.size > p->head.tree.size)
		code = cut_off(p, p->trusted.size, "the trusted checkpoint");
	if (code == 0)
		code = ops_pg_sync_query(s, &beyond, p->err);
	return code;
}

static int prepare(struct pass *p)
{
	int code = 0;

	if (p->cfg->vkey != NULL)
		code = ops_note_verifier_parse(p->cfg->vkey, &p->verifier, p->err);
	if (code == 0 && p->cfg->trusted_note != NULL) {
		if (p->cfg->vkey == NULL)
			return ops_error_set(
				p->err, -EINVAL, "a trusted checkpoint needs the verifier key");
		code = ops_checkpoint_open(p->cfg->trusted_note, &p->verifier, &p->trusted, p->err);
		if (code < 0)
			ops_error_prefix(p->err, "the trusted checkpoint");
		else
			p->result->trusted_checked = p->trusted.size == 0;
	}
	return code;
}

int ops_audit_verify(const struct ops_audit_verify *v, struct ops_audit_verify_result *ret,
	struct ops_error *err)
{
	OPS_CLEANUP(ops_pg_sync_closep) struct ops_pg_sync *s = NULL;
	struct ops_audit_verify_result result = {.fault = OPS_AUDIT_SOUND};
	struct pass p = {.cfg = v, .result = &result, .err = err};
	unsigned char root[OPS_HASH_BYTES];
	int code = prepare(&p);

	if (code == 0)
		code = ops_pg_sync_open(v->conninfo, &s, err);
	if (code < 0)
		return code;
	code = run(&p, s);
	if (code < 0)
		return code;
	result.records = p.head.tree.size;
	ops_merkle_root(&p.head.tree, root);
	ops_hex_encode(root, sizeof(root), result.root);
	ops_hex_encode(p.head.chain, sizeof(p.head.chain), result.chain);
	*ret = result;
	return code;
}
