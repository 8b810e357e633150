/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one writer. Whoever holds the session advisory lock on a connection may append; the gapless
 * primary key is the fence behind it, should the server and we ever disagree about who that is.
 *
 * After every connect the writer reads what it does not know yet, from the record its own head
 *stands on: from nothing at start (so the whole chain is recomputed before the first new record),
 *from the last commit after a lost connection (so a commit of unknown fate is found out). Every
 *record must hash to its leaf and follow in the chain, and the tree must pass through what the
 *signer signed. If not, the log is BROKEN until someone looks and restarts: what comes in is kept
 *in the spool, nothing is written behind the damage and nothing is signed.
 *
 * Writing: a batch from the spool is looked up by id (a repeated delivery gets its old number),
 *what is new is numbered and hashed against a copy of the head, and inserted by one statement. The
 *copy becomes the head when the commit is known.
 *
 *	AWAY -> LOCKING -> CATCHING_UP -> READY     connection lost: -> AWAY
 *	           |  ^         |           |
 *	        STANDBY         +-> BROKEN  +-> RETRY -> CATCHING_UP
 */
#include "services/auditlog/sequencer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

#define PAGE_ROWS 1000
#define PAGE_ROWS_TEXT "1000"

static const int64_t standby_poll_ms = 500, retry_ms = 500;

static struct ops_metric metric_size =
	OPS_GAUGE("ops_auditlog_size", "Records in the log, as this process knows it.");
static struct ops_metric metric_broken = OPS_GAUGE("ops_auditlog_chain_broken",
	"1 when the log in the database is not the one that this process knows.");
static struct ops_metric metric_writer =
	OPS_GAUGE("ops_auditlog_writer", "1 while this process is the one that appends.");
static struct ops_metric metric_errors = OPS_COUNTER("ops_auditlog_database_errors_total",
	"Statements of the sequencer that the database refused.", "stage");

static void catch_up(struct aud_sequencer *q);

/* ---- state ---- */

const char *aud_state_text(enum aud_state s)
{
	static const char *const texts[] = {
		"away", "locking", "standby", "catching up", "ready", "retry", "broken"};

	return texts[s];
}

void aud_sequencer_enter(struct aud_sequencer *q, enum aud_state state)
{
	if ((state == AUD_STANDBY) != (q->state == AUD_STANDBY))
		ops_daemon_set_ready(q->aud->daemon, state != AUD_STANDBY,
			"another process holds the writer's lock");
	q->state = state;
	if (state == AUD_READY)
		q->problem[0] = '\0';
	ops_metric_set(&metric_writer, state == AUD_READY);
	ops_metric_set(&metric_broken, state == AUD_BROKEN);
	if (state != AUD_READY && q->aud->intake != NULL)
		aud_intake_release(q->aud->intake);
}

static void broken(struct aud_sequencer *q, uint64_t seq, const char *what)
{
	snprintf(q->problem, sizeof(q->problem), "record %llu %s", (unsigned long long)seq, what);
	log_error("the audit log in the database is broken: nothing is appended or signed until it "
		  "is repaired and this "
		  "process restarted; new records wait in the spool",
		F_UINT("seq", seq), F_STR("problem", q->problem));
	aud_sequencer_enter(q, AUD_BROKEN);
}

/* The database said no to something that should work. */
void aud_sequencer_refused(
	struct aud_sequencer *q, const char *stage, const struct ops_pg_result *r)
{
	ops_metric_add(&metric_errors, 1, stage);
	snprintf(q->problem, sizeof(q->problem), "%s: %s (%s)", stage, r->message, r->sqlstate);
	log_error("the database refused", F_STR("stage", stage), F_STR("sqlstate", r->sqlstate),
		F_STR("error", r->message));
	aud_sequencer_enter(q, AUD_RETRY);
	ops_timer_start(q->timer, ops_backoff_ms(q->failures++, 500, 30000));
}

/* True when the answer is for nobody, or not good; handles both. */
bool aud_sequencer_failed(struct aud_sequencer *q, const char *stage, const struct ops_pg_result *r)
{
	OPS_MAGIC_CHECK(q, AUD_SEQUENCER_MAGIC);
	q->busy = false;
	if (q->closed) {
		aud_sequencer_free(q);
		return true;
	}
	if (r->outcome == OPS_PG_OK)
		return false;
	aud_batch_reset(q->batch);
	if (r->outcome == OPS_PG_FAILED)
		aud_sequencer_refused(q, stage, r);
	return true; /* lost: on_state(false) follows */
}

bool aud_sequencer_exec(struct aud_sequencer *q, const struct ops_pg_statement *s,
	void (*fn)(void *arg, const struct ops_pg_result *r))
{
	q->busy = ops_pg_exec(q->pg, s, 1, fn, q) == 0;
	if (!q->busy)
		ops_timer_start(
			q->timer, retry_ms); /* too much is queued, or the connection is going */
	return q->busy;
}

/* ---- the lock ---- */

static void on_lock(void *arg, const struct ops_pg_result *r)
{
	struct aud_sequencer *q = arg;
	const char *got = ops_pg_value(r, 0, 0);

	if (aud_sequencer_failed(q, "lock", r))
		return;
	if (got != NULL && got[0] == 't') {
		log_info("this process is the writer of the audit log now",
			F_UINT("known", q->head.tree.size));
		catch_up(q);
		return;
	}
	if (q->state != AUD_STANDBY)
		log_info("another process holds the writer's lock, standing by");
	aud_sequencer_enter(q, AUD_STANDBY);
	ops_timer_start(q->timer, standby_poll_ms);
}

static void lock(struct aud_sequencer *q)
{
	/* The number has no meaning; it must only be the same for every instance. */
	static const struct ops_pg_statement ask = {
		"SELECT pg_try_advisory_lock(7881299347898369)", 0, NULL};

	if (q->state != AUD_STANDBY)
		aud_sequencer_enter(q, AUD_LOCKING);
	(void)aud_sequencer_exec(q, &ask, on_lock);
}

/* ---- reading what is there ---- */

static bool hash_column(const struct ops_pg_result *r, int row, int column, unsigned char *ret)
{
	const char *hex = ops_pg_value(r, row, column);

	return hex != NULL && strlen(hex) == 2 * (size_t)OPS_HASH_BYTES &&
	       ops_hex_decode(hex, strlen(hex), ret) == 0;
}

/* Columns: seq, body, leaf, chain. NULL: the row is what it must be. */
static const char *take_row(
	struct aud_sequencer *q, const struct ops_pg_result *r, int row, uint64_t seq)
{
	unsigned char leaf[OPS_HASH_BYTES], stored_leaf[OPS_HASH_BYTES],
		stored_chain[OPS_HASH_BYTES];
	bool known = seq == q->head.tree.size && seq > 0;

	if (!known && seq != q->head.tree.size + 1)
		return "stands where another one is missing";
	if (!hash_column(r, row, 2, stored_leaf) || !hash_column(r, row, 3, stored_chain))
		return "has no hashes";
	ops_audit_leaf(ops_pg_value(r, row, 1), ops_pg_length(r, row, 1), leaf);
	if (memcmp(leaf, stored_leaf, sizeof(leaf)) != 0)
		return "was changed";
	if (!known)
		ops_audit_head_append(&q->head, leaf);
	if (memcmp(stored_chain, q->head.chain, sizeof(stored_chain)) != 0)
		return known ? "is not the one that was written last"
			     : "does not follow from the record before it";
	if (aud_signer_observe(q->aud->signer, &q->head.tree) < 0)
		return "and those before it are not what was signed";
	return NULL;
}

/* Everything was read: is it at least what we know to have been there? */
static void caught_up(struct aud_sequencer *q, bool anything)
{
	uint64_t have = q->head.tree.size;

	if (have < aud_signer_size(q->aud->signer)) {
		broken(q, have + 1, "and those after it are missing, but they were signed");
		return;
	}
	if (have > 0 && !anything) {
		broken(q, have, "is missing, but it was written");
		return;
	}
	q->failures = 0;
	log_info("the audit log is complete and ready", F_UINT("records", have));
	aud_sequencer_enter(q, AUD_READY);
	aud_sequencer_kick(q);
}

static void on_page(void *arg, const struct ops_pg_result *r)
{
	struct aud_sequencer *q = arg;

	if (aud_sequencer_failed(q, "catch up", r))
		return;
	for (int row = 0; row < r->rows; row++) {
		const char *text = ops_pg_value(r, row, 0);
		uint64_t seq = 0;
		if (ops_parse_u64(text, strlen(text), &seq) < 0)
			seq = 0;
		const char *problem = take_row(q, r, row, seq);
		if (problem != NULL) {
			broken(q, seq, problem);
			return;
		}
	}
	ops_metric_set(&metric_size, (double)q->head.tree.size);
	if (r->rows == PAGE_ROWS)
		catch_up(q);
	else
		caught_up(q, r->rows > 0);
}

static void catch_up(struct aud_sequencer *q)
{
	char from[24];
	const char *params[] = {from};
	const struct ops_pg_statement page = {
		"SELECT seq, body, encode(leaf, 'hex'), encode(chain, 'hex') FROM audit.records "
		"WHERE seq >= $1 ORDER BY seq LIMIT " PAGE_ROWS_TEXT,
		1, params};

	aud_sequencer_enter(q, AUD_CATCHING_UP);
	/* The last known record is read again: it must still be there, and be the same. */
	snprintf(from, sizeof(from), "%llu",
		(unsigned long long)OPS_MAX(q->head.tree.size, (uint64_t)1));
	(void)aud_sequencer_exec(q, &page, on_page);
}

/* ---- life ---- */

static void on_state(void *arg, bool connected)
{
	struct aud_sequencer *q = arg;

	OPS_MAGIC_CHECK(q, AUD_SEQUENCER_MAGIC);
	if (q->state == AUD_BROKEN)
		return;
	ops_timer_stop(q->timer);
	if (connected) {
		q->state = AUD_LOCKING;
		lock(q);
	} else {
		log_warn("the database is away, records wait in the spool",
			F_STR("error", ops_pg_last_error(q->pg)));
		snprintf(q->problem, sizeof(q->problem), "the database is away: %s",
			ops_pg_last_error(q->pg));
		aud_sequencer_enter(q, AUD_AWAY);
	}
}

static void on_timer(void *arg)
{
	struct aud_sequencer *q = arg;

	OPS_MAGIC_CHECK(q, AUD_SEQUENCER_MAGIC);
	if (q->busy || !ops_pg_connected(q->pg))
		return;
	/* On a retry too: what matters is that the lock is still ours. */
	if (q->state == AUD_STANDBY || q->state == AUD_LOCKING || q->state == AUD_RETRY)
		lock(q);
	else if (q->state == AUD_CATCHING_UP)
		catch_up(q);
	else if (q->state == AUD_READY)
		aud_sequencer_kick(q);
}

struct aud_sequencer *aud_sequencer_new(struct aud *a, struct ops_pg *pg)
{
	struct aud_sequencer *q = ops_xcalloc(1, sizeof(*q));

	q->magic = AUD_SEQUENCER_MAGIC;
	q->aud = a;
	q->pg = pg;
	q->batch = aud_batch_new();
	q->timer = ops_timer_new(a->loop, on_timer, q);
	ops_audit_head_init(&q->head);
	ops_metric_set(&metric_broken, 0);
	ops_metric_set(&metric_writer, 0);
	ops_metric_set(&metric_size, 0);
	snprintf(q->problem, sizeof(q->problem), "%s",
		pg != NULL ? "not connected yet" : "no database is configured");
	if (pg != NULL)
		ops_pg_on_state(pg, on_state, q);
	return q;
}

void aud_sequencer_free(struct aud_sequencer *q)
{
	if (q == NULL)
		return;
	if (!q->closed)
		ops_timer_free(q->timer);
	q->closed = true;
	if (q->busy)
		return; /* the answer that is under way comes back here */
	aud_batch_free(q->batch);
	free(q);
}

enum aud_state aud_sequencer_state(const struct aud_sequencer *q)
{
	return q->state;
}

const char *aud_sequencer_problem(const struct aud_sequencer *q)
{
	return q->problem;
}

const struct ops_audit_head *aud_sequencer_head(const struct aud_sequencer *q)
{
	return &q->head;
}

struct ops_pg *aud_sequencer_pg(const struct aud_sequencer *q)
{
	return q->pg;
}
