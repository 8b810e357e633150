/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool record is one row: {u16 length, statement name, u16 parameters, per parameter u32 length
 * or ~0 for NULL, bytes}, little-endian. Parameters are text without NUL bytes (what libpq sends).
 *
 * Draining: one batch at a time, a batch is one transaction, and the spool's ack moves on when the
 * commit is known. A batch of unknown fate is sent again, which the statements must bear.
 *
 * When the database refuses a batch for what a row says, the rows of that batch are sent one by
 * one: the bad one is found by failing alone, goes to dead/rows.jsonl and history goes on. Whether
 * the row or the schema is at fault cannot be told from here; the dead file keeps everything for a
 * repair. A missing table or permission (class 42, 28, 3D, 3F) is the installation's fault, not the
 * row's: those wait.
 */
#include "common/pg/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/metrics/metrics.h"
#include "common/spool/spool.h"

#define OUTBOX_MAGIC 0x6f757462u
#define BATCH_ROWS 400
#define BATCH_BYTES ((size_t)1 << 20)
#define NULL_LENGTH UINT32_MAX
#define PARAMS_MAX 64

static const int64_t poll_ms = 1000;

static struct ops_metric metric_rows =
	OPS_COUNTER("ops_outbox_rows_total", "Rows of history taken.");
static struct ops_metric metric_dead = OPS_COUNTER("ops_outbox_dead_total",
	"Rows that the database refused for what they say; kept in dead/.", "statement");
static struct ops_metric metric_dropped =
	OPS_COUNTER("ops_outbox_dropped_total", "Rows lost because the spool was full or damaged.");
static struct ops_metric metric_waiting =
	OPS_GAUGE("ops_outbox_waiting", "Rows not yet in the database.");
static struct ops_metric metric_errors = OPS_COUNTER(
	"ops_outbox_errors_total", "Batches that failed and are tried again.", "reason");

struct row {
	uint64_t number;
	char *bytes; /* owned; names and parameters point into it */
	const struct ops_outbox_statement *statement; /* NULL: unknown name */
	const char *name;
	const char *params[PARAMS_MAX];
	int nparams;
};

struct ops_outbox {
	uint32_t magic;
	struct ops_loop *loop;
	struct ops_pg *pg;
	const struct ops_outbox_statement *statements;
	void (*on_dead)(
		void *arg, const char *statement, const char *sqlstate, const char *message);
	void *arg;
	struct ops_spool *spool;
	char *dead_file;
	struct ops_timer *timer;
	struct row rows[BATCH_ROWS]; /* of the batch that is under way */
	size_t nrows, bytes;
	bool busy, sync_due, closed;
	size_t most; /* rows in a batch: halved by a refusal, doubled by a success */
	unsigned failures;
	uint64_t dropped_seen;
};

static void drain(struct ops_outbox *o);

/* ---- rows as bytes ---- */

static void put_u(struct ops_strbuf *b, uint32_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		ops_strbuf_addc(b, (char)(unsigned char)(v >> (8 * i)));
}

static void encode(struct ops_strbuf *b, const char *name, const char *const *params, int nparams)
{
	put_u(b, (uint32_t)strlen(name), 2);
	ops_strbuf_adds(b, name);
	ops_strbuf_addc(b, '\0');
	put_u(b, (uint32_t)nparams, 2);
	for (int i = 0; i < nparams; i++) {
		put_u(b, params[i] != NULL ? (uint32_t)strlen(params[i]) : NULL_LENGTH, 4);
		if (params[i] != NULL) {
			ops_strbuf_adds(b, params[i]);
			ops_strbuf_addc(b, '\0');
		}
	}
}

struct reader {
	const char *at, *end;
	bool bad;
};

static uint32_t get_u(struct reader *r, int bytes)
{
	uint32_t v = 0;

	if (r->end - r->at < bytes) {
		r->bad = true;
		return 0;
	}
	for (int i = 0; i < bytes; i++)
		v |= (uint32_t)(unsigned char)*r->at++ << (8 * i);
	return v;
}

static const char *get_text(struct reader *r, size_t len)
{
	const char *text = r->at;

	if (r->bad || (size_t)(r->end - r->at) <= len || text[len] != '\0') {
		r->bad = true;
		return "";
	}
	r->at += len + 1;
	return text;
}

static const struct ops_outbox_statement *find(
	const struct ops_outbox *o, const char *name, int nparams)
{
	for (const struct ops_outbox_statement *s = o->statements; s->name != NULL; s++)
		if (strcmp(s->name, name) == 0 && s->nparams == nparams)
			return s;
	return NULL;
}

/* A record passed the spool's CRC, so what does not decode was written by another version. */
static void decode(const struct ops_outbox *o, struct row *row, size_t len)
{
	struct reader r = {row->bytes, row->bytes + len, false};

	row->name = get_text(&r, get_u(&r, 2));
	row->nparams = (int)get_u(&r, 2);
	for (int i = 0; i < row->nparams && i < PARAMS_MAX && !r.bad; i++) {
		uint32_t size = get_u(&r, 4);
		row->params[i] = size == NULL_LENGTH ? NULL : get_text(&r, size);
	}
	row->statement =
		r.bad || row->nparams > PARAMS_MAX ? NULL : find(o, row->name, row->nparams);
	if (row->statement == NULL)
		row->nparams = 0;
}

/* ---- dead rows ---- */

static int append_dead(const struct ops_outbox *o, const struct row *row, const char *sqlstate,
	const char *message)
{
	struct ops_strbuf line = OPS_STRBUF_INIT;
	char now[40];
	OPS_CLEANUP(ops_closep)
	int fd = open(o->dead_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	ops_strbuf_printf(&line, "{\"time\":\"%s\",\"sqlstate\":\"%s\",\"statement\":",
		ops_time_format(ops_now_ms(), now, sizeof(now)), sqlstate);
	ops_strbuf_add_json(&line, row->name, strlen(row->name));
	ops_strbuf_adds(&line, ",\"message\":");
	ops_strbuf_add_json(&line, message, strlen(message));
	ops_strbuf_adds(&line, ",\"params\":[");
	for (int i = 0; i < row->nparams; i++) {
		ops_strbuf_adds(&line, i > 0 ? "," : "");
		if (row->params[i] == NULL)
			ops_strbuf_adds(&line, "null");
		else
			ops_strbuf_add_json(&line, row->params[i], strlen(row->params[i]));
	}
	ops_strbuf_adds(&line, "]}\n");
	int code = ops_write_all(fd, line.data, line.len);
	if (code == 0 && fdatasync(fd) < 0)
		code = -errno;
	ops_strbuf_done(&line);
	return code;
}

/* Without a place in dead/ the row stays where it is. */
static bool bury(
	struct ops_outbox *o, const struct row *row, const char *sqlstate, const char *message)
{
	if (append_dead(o, row, sqlstate, message) < 0) {
		ops_metric_add(&metric_errors, 1, "dead_file");
		return false;
	}
	ops_metric_add(&metric_dead, 1, row->name);
	if (o->on_dead != NULL)
		o->on_dead(o->arg, row->name, sqlstate, message);
	return true;
}

/* ---- draining ---- */

static void release_rows(struct ops_outbox *o)
{
	for (size_t i = 0; i < o->nrows; i++)
		free(o->rows[i].bytes);
	o->nrows = 0;
	o->bytes = 0;
}

static int on_record(uint64_t number, const void *data, size_t len, void *arg)
{
	struct ops_outbox *o = arg;
	if (o->nrows > 0 && (o->nrows >= o->most || o->bytes + len > BATCH_BYTES))
		return 1;
	struct row *row = &o->rows[o->nrows++];
	row->number = number;
	row->bytes = ops_xmalloc(len + 1);
	memcpy(row->bytes, data, len);
	row->bytes[len] = '\0';
	decode(o, row, len);
	o->bytes += len;
	return 0;
}

static void again_later(struct ops_outbox *o, const char *reason)
{
	ops_metric_add(&metric_errors, 1, reason);
	ops_timer_start(o->timer, ops_backoff_ms(o->failures++, 200, 30000));
}

static void acknowledge(struct ops_outbox *o, uint64_t number)
{
	o->failures = 0;
	o->most = OPS_MIN(o->most * 2, (size_t)BATCH_ROWS);
	if (ops_spool_ack(o->spool, number) < 0)
		again_later(o, "ack"); /* the rows are sent again, which does no harm */
	else
		ops_timer_start(o->timer, 0);
}

static bool installation_at_fault(const char *sqlstate)
{
	static const char *const classes[] = {"42", "28", "3D", "3F", "25"};

	for (size_t i = 0; i < OPS_LENGTH(classes); i++)
		if (memcmp(sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

static void on_refused(struct ops_outbox *o, const struct ops_pg_result *r)
{
	if (ops_pg_retryable(r) || installation_at_fault(r->sqlstate)) {
		again_later(o, "database");
	} else if (o->nrows > 1) {
		o->most = o->nrows / 2;
		ops_timer_start(o->timer, 0);
	} else if (bury(o, &o->rows[0], r->sqlstate, r->message)) {
		acknowledge(o, o->rows[0].number);
	} else {
		again_later(o, "dead_file");
	}
}

/* After close: whoever of the batch and the deferred sync comes last frees. */
static void free_when_idle(struct ops_outbox *o)
{
	if (!o->busy && !o->sync_due) {
		release_rows(o);
		free(o);
	}
}

static void on_batch(void *arg, const struct ops_pg_result *r)
{
	struct ops_outbox *o = arg;

	OPS_MAGIC_CHECK(o, OUTBOX_MAGIC);
	o->busy = false;
	if (o->closed) {
		free_when_idle(o);
		return;
	}
	if (r->outcome == OPS_PG_OK)
		acknowledge(o, o->rows[o->nrows - 1].number);
	else
		on_refused(o, r);
	release_rows(o);
	ops_metric_set(&metric_waiting, (double)ops_outbox_waiting(o));
}

/* Rows of another version come first here, alone: the rest of the batch is read again. */
static bool bury_unknown(struct ops_outbox *o)
{
	if (o->rows[0].statement != NULL)
		return false;
	if (bury(o, &o->rows[0], "", "no statement of this name and number of parameters"))
		acknowledge(o, o->rows[0].number);
	else
		again_later(o, "dead_file");
	return true;
}

static void send_batch(struct ops_outbox *o)
{
	struct ops_pg_statement stmts[BATCH_ROWS];
	size_t n = 0;

	for (; n < o->nrows && o->rows[n].statement != NULL; n++)
		stmts[n] = (struct ops_pg_statement){
			o->rows[n].statement->sql, o->rows[n].nparams, o->rows[n].params};
	for (size_t i = n; i < o->nrows; i++)
		free(o->rows[i].bytes);
	o->nrows = n;
	o->busy = ops_pg_exec(o->pg, stmts, n, on_batch, o) == 0;
	if (!o->busy)
		release_rows(o);
}

static void count_dropped(struct ops_outbox *o)
{
	uint64_t dropped = ops_spool_dropped(o->spool);

	if (dropped > o->dropped_seen)
		ops_metric_add(&metric_dropped, (double)(dropped - o->dropped_seen));
	o->dropped_seen = dropped;
}

static void drain(struct ops_outbox *o)
{
	count_dropped(o);
	ops_metric_set(&metric_waiting, (double)ops_outbox_waiting(o));
	if (o->busy || ops_outbox_waiting(o) == 0)
		return;
	if (o->pg == NULL || !ops_pg_connected(o->pg) || ops_outbox_sync(o) < 0) {
		ops_timer_start(o->timer, poll_ms);
		return;
	}
	int code =
		ops_spool_read(o->spool, ops_spool_acked(o->spool) + 1, BATCH_ROWS, on_record, o);
	if (code < 0 || o->nrows == 0) {
		release_rows(o);
		again_later(o, "spool");
		return;
	}
	if (bury_unknown(o)) {
		release_rows(o);
		return;
	}
	send_batch(o);
	if (!o->busy)
		ops_timer_start(o->timer, poll_ms);
}

static void on_timer(void *arg)
{
	struct ops_outbox *o = arg;

	OPS_MAGIC_CHECK(o, OUTBOX_MAGIC);
	drain(o);
}

/* ---- public ---- */

int ops_outbox_open(struct ops_loop *loop, struct ops_pg *pg, const struct ops_outbox_config *cfg,
	struct ops_outbox **ret, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *rows_dir = ops_path_join(cfg->dir, "rows");
	OPS_CLEANUP(ops_freep) char *dead_dir = ops_path_join(cfg->dir, "dead");
	struct ops_spool_config spool = {.dir = rows_dir,
		.max_bytes = cfg->max_bytes != 0 ? cfg->max_bytes : (uint64_t)1 << 30};
	struct ops_spool_report report = {0};
	struct ops_outbox *o = ops_xcalloc(1, sizeof(*o));
	int code = ops_mkdir_p(dead_dir, 0700);

	if (code < 0)
		code = ops_error_set(err, code, "could not make %s: %s", dead_dir, strerror(-code));
	else
		code = ops_spool_open(&spool, &o->spool, &report, err);
	if (code < 0) {
		free(o);
		return code;
	}
	o->magic = OUTBOX_MAGIC;
	o->loop = loop;
	o->pg = pg;
	o->most = BATCH_ROWS;
	o->statements = cfg->statements;
	o->on_dead = cfg->on_dead;
	o->arg = cfg->arg;
	o->dead_file = ops_path_join(dead_dir, "rows.jsonl");
	o->timer = ops_timer_new(loop, on_timer, o);
	ops_metric_register(&metric_dead);
	ops_metric_register(&metric_dropped);
	if (report.lost_records > 0)
		ops_metric_add(&metric_dropped, (double)report.lost_records);
	o->dropped_seen = ops_spool_dropped(o->spool);
	ops_timer_start(o->timer, 0);
	*ret = o;
	return 0;
}

void ops_outbox_close(struct ops_outbox *o)
{
	if (o == NULL)
		return;
	OPS_MAGIC_CHECK(o, OUTBOX_MAGIC);
	ops_timer_free(o->timer);
	ops_spool_close(o->spool);
	o->spool = NULL;
	free(o->dead_file);
	o->closed = true;
	free_when_idle(o);
}

static void deferred_sync(void *arg)
{
	struct ops_outbox *o = arg;

	OPS_MAGIC_CHECK(o, OUTBOX_MAGIC);
	o->sync_due = false;
	if (o->closed) {
		free_when_idle(o);
		return;
	}
	drain(o);
	/* The database away does not make rows less durable. */
	if (ops_outbox_sync(o) < 0)
		ops_metric_add(&metric_errors, 1, "sync");
}

int ops_outbox_put(
	struct ops_outbox *o, const char *statement, const char *const *params, int nparams)
{
	struct ops_strbuf bytes = OPS_STRBUF_INIT;
	uint64_t number;

	OPS_MAGIC_CHECK(o, OUTBOX_MAGIC);
	ops_assert(nparams <= PARAMS_MAX && find(o, statement, nparams) != NULL);
	encode(&bytes, statement, params, nparams);
	int code = ops_spool_append(o->spool, bytes.data, bytes.len, &number);
	ops_strbuf_done(&bytes);
	if (code < 0) {
		ops_metric_add(&metric_dropped, 1);
		return code;
	}
	ops_metric_add(&metric_rows, 1);
	if (!o->sync_due) {
		o->sync_due = true;
		ops_loop_defer(o->loop, deferred_sync, o);
	}
	return 0;
}

int ops_outbox_sync(struct ops_outbox *o)
{
	return ops_spool_sync(o->spool);
}

void ops_outbox_kick(struct ops_outbox *o)
{
	o->failures = 0;
	ops_timer_start(o->timer, 0);
}

uint64_t ops_outbox_waiting(const struct ops_outbox *o)
{
	return ops_spool_next(o->spool) - 1 - ops_spool_acked(o->spool);
}
