/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every record goes to the local spool first, whether the database is there or not. One path
 * instead of two: kill -9 between spool and database, a commit of unknown fate and a database that
 * is away for an hour are the same case, "it is still in the spool", and order is the spool's
 * order. The price is one fdatasync for all records of a loop turn, beside the commit.
 *
 * A door waits for the commit while the sequencer is at work, at most patience_ms, because the
 * number is worth waiting for; otherwise the answer is "spool", which is as durable.
 *
 * What the database has is noted in the spool once a second, not at every commit: that costs three
 * more fsyncs, and what is drained twice after a crash is recognised by its ids.
 *
 * A spool record is "<id> <time in us>\n<body>": what the columns need, so that draining does not
 * parse JSON.
 */
#include "services/auditlog/auditlog.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/audit/audit.h"
#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/spool/spool.h"

static const int64_t patience_ms = 2000, tick_ms = 250, ack_ms = 1000;

static struct ops_metric metric_records = OPS_COUNTER("ops_auditlog_records_total",
	"Records taken, by where they were durable when the door answered.", "durable");
static struct ops_metric metric_failed = OPS_COUNTER("ops_auditlog_records_failed_total",
	"Records that could not be made durable and were refused.");
static struct ops_metric metric_waiting = OPS_GAUGE("ops_auditlog_spool_waiting",
	"Records in the local spool that are not in the database yet.");

struct aud_waiter {
	struct aud_waiter *next;
	uint64_t number;
	int64_t since_ms;
	void (*fn)(void *arg, const struct aud_outcome *o); /* NULL: cancelled */
	void *arg;
};

struct aud_intake {
	struct aud *aud;
	struct ops_spool *spool;
	struct ops_timer
		*sync_timer; /* zero: the end of this turn's input, one fdatasync for all */
	struct ops_timer *tick;
	struct aud_waiter *head, **tail;
	uint64_t synced; /* numbers up to this one are on disk */
	uint64_t stored; /* up to this one in the database */
	int64_t acked_ms;
};

static void on_sync(void *arg);
static void on_tick(void *arg);

int aud_intake_open(struct aud *a, const char *dir, struct aud_intake **ret, struct ops_error *err)
{
	const struct ops_spool_config cfg = {.dir = dir};
	struct ops_spool_report report = {0};
	struct ops_spool *spool = NULL;
	int code = ops_spool_open(&cfg, &spool, &report, err);

	if (code < 0)
		return code;
	if (report.lost_records > 0)
		log_error("audit records were lost to a damaged spool",
			F_UINT("records", report.lost_records), F_STR("dir", dir));
	struct aud_intake *in = ops_xcalloc(1, sizeof(*in));
	in->aud = a;
	in->spool = spool;
	in->tail = &in->head;
	in->synced = ops_spool_next(spool) - 1;
	in->stored = ops_spool_acked(spool);
	in->sync_timer = ops_timer_new(a->loop, on_sync, in);
	in->tick = ops_timer_new(a->loop, on_tick, in);
	ops_timer_start(in->tick, tick_ms);
	ops_metric_register(&metric_failed);
	*ret = in;
	return 0;
}

/* ---- answering ---- */

static void answer_first(struct aud_intake *in, const struct aud_outcome *o)
{
	struct aud_waiter *w = in->head;

	in->head = w->next;
	if (in->head == NULL)
		in->tail = &in->head;
	if (o->code < 0)
		ops_metric_add(&metric_failed, 1);
	else
		ops_metric_add(&metric_records, 1, o->durable);
	if (w->fn != NULL)
		w->fn(w->arg, o);
	free(w);
}

void aud_intake_release(struct aud_intake *in)
{
	const struct aud_outcome spooled = {.durable = "spool"};

	while (in->head != NULL && in->head->number <= in->synced)
		answer_first(in, &spooled);
}

void aud_intake_committed(struct aud_intake *in, uint64_t number, uint64_t seq)
{
	const struct aud_outcome stored = {.seq = seq, .durable = "postgresql"};

	if (in->head != NULL && in->head->number == number)
		answer_first(in, &stored);
}

void aud_waiter_cancel(struct aud_waiter *w)
{
	if (w != NULL)
		w->fn = NULL;
}

/* On failure everyone who waits is told: none of them may believe that the record is safe. */
static bool sync_now(struct aud_intake *in)
{
	uint64_t last = ops_spool_next(in->spool) - 1;
	int code = ops_spool_sync(in->spool);

	if (code < 0) {
		const struct aud_outcome failed = {.code = code};
		log_error("could not sync the audit spool", F_ERR(code));
		while (in->head != NULL)
			answer_first(in, &failed);
		return false;
	}
	in->synced = last;
	return true;
}

static void on_sync(void *arg)
{
	struct aud_intake *in = arg;

	if (!sync_now(in))
		return;
	if (aud_sequencer_state(in->aud->sequencer) == AUD_READY)
		aud_sequencer_kick(in->aud->sequencer);
	else
		aud_intake_release(in);
}

static void note_stored(struct aud_intake *in)
{
	int code = ops_spool_ack(in->spool, in->stored);

	in->acked_ms = ops_mono_ms();
	if (code < 0)
		log_error("could not note in the spool what is in the database", F_ERR(code));
}

static void on_tick(void *arg)
{
	struct aud_intake *in = arg;
	const struct aud_outcome spooled = {.durable = "spool"};
	int64_t limit = ops_mono_ms() - patience_ms;

	while (in->head != NULL && in->head->number <= in->synced && in->head->since_ms < limit)
		answer_first(in, &spooled);
	if (in->stored > ops_spool_acked(in->spool) && ops_mono_ms() - in->acked_ms >= ack_ms)
		note_stored(in);
	ops_metric_set(&metric_waiting, (double)aud_intake_waiting(in));
	ops_timer_start(in->tick, tick_ms);
}

void aud_intake_close(struct aud_intake *in)
{
	if (in == NULL)
		return;
	if (sync_now(in))
		aud_intake_release(in);
	if (in->stored > ops_spool_acked(in->spool))
		note_stored(in);
	ops_timer_free(in->sync_timer);
	ops_timer_free(in->tick);
	ops_spool_close(in->spool);
	free(in);
}

/* ---- taking ---- */

/* Through the catalogue's own validation, whichever door it came by. */
static int make_record(struct ops_change *c, struct ops_strbuf *out, struct ops_error *err)
{
	struct ops_change checked;

	for (char *p = c->id; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	OPS_JSON_AUTO *j = ops_change_to_json(c);
	int code = ops_change_from_json(j, &checked, err);
	if (code < 0)
		return code;
	ops_strbuf_printf(out, "%s %lld\n", checked.id, (long long)checked.time_us);
	code = ops_audit_body(&checked, out, err);
	ops_change_done(&checked);
	return code;
}

int aud_intake_add(struct aud_intake *in, struct ops_change *c,
	void (*fn)(void *arg, const struct aud_outcome *o), void *arg, struct aud_waiter **ret,
	struct ops_error *err)
{
	struct ops_strbuf record = OPS_STRBUF_INIT;
	uint64_t number = 0;
	int code = make_record(c, &record, err);

	if (code == 0) {
		code = ops_spool_append(in->spool, record.data, record.len, &number);
		if (code < 0) {
			ops_metric_add(&metric_failed, 1);
			log_error("could not append to the audit spool", F_ERR(code));
			ops_error_set(err, code, "the record could not be made durable: %s",
				strerror(-code));
		}
	}
	ops_strbuf_done(&record);
	if (code < 0)
		return code;
	struct aud_waiter *w = ops_xcalloc(1, sizeof(*w));
	w->number = number;
	w->since_ms = ops_mono_ms();
	w->fn = fn;
	w->arg = arg;
	*in->tail = w;
	in->tail = &w->next;
	if (!ops_timer_pending(in->sync_timer))
		ops_timer_start(in->sync_timer, 0);
	*ret = w;
	return 0;
}

/* ---- draining ---- */

struct reading {
	int (*fn)(const struct aud_entry *e, void *arg);
	void *arg;
};

static int on_record(uint64_t number, const void *data, size_t len, void *arg)
{
	const struct reading *r = arg;
	struct aud_entry e = {.number = number};
	const char *text = data, *end = memchr(text, '\n', len);

	ops_assert(end != NULL && end - text > 37 && text[36] == ' ');
	memcpy(e.id, text, 36);
	ops_assert(ops_parse_i64(text + 37, (size_t)(end - text) - 37, &e.time_us) == 0);
	e.body = end + 1;
	e.len = len - (size_t)(e.body - text);
	return r->fn(&e, r->arg);
}

int aud_intake_read(struct aud_intake *in, size_t max,
	int (*fn)(const struct aud_entry *e, void *arg), void *arg)
{
	struct reading r = {fn, arg};
	uint64_t from = in->stored + 1;

	if (from > in->synced)
		return 0;
	return ops_spool_read(in->spool, from,
		(size_t)OPS_MIN((uint64_t)max, in->synced - from + 1), on_record, &r);
}

void aud_intake_stored(struct aud_intake *in, uint64_t number)
{
	in->stored = number;
}

uint64_t aud_intake_waiting(const struct aud_intake *in)
{
	return ops_spool_next(in->spool) - 1 - in->stored;
}
