/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool is the promise: a record is canonical, valid and fsynced when ops_audit_record returns,
 * and the change may take effect. What follows is delivery: batches in order over one request
 * socket, one under way at a time, acknowledged in the spool when the answer says that the other
 * side has them durably. An answer that does not come is asked for again; ids make that harmless.
 *
 * Requests:  {"op":"append","records":[record, ...]}, or "record" for one
 * Answers:   {"ok":true,"durable":...,"seq":...,"results":[{"seq":...,"durable":...} |
 * {"error":...,"permanent":true}, ...]}
 *
 * A record that the log refuses for good would block everything behind it. It cannot come from this
 * code, which checks the same rules before it spools, but from another version of it: such a record
 * is moved to dead/records.jsonl and counted.
 */
#include "common/audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/audit/canon.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/json/json.h"
#include "common/metrics/metrics.h"
#include "common/spool/spool.h"

#define AUDIT_MAGIC 0x61756474u
#define BATCH_BYTES ((size_t)512 << 10)

static const int64_t answer_timeout_ms = 10000;
static const size_t answer_limit_bytes = (size_t)1 << 20;

static struct ops_metric metric_records =
	OPS_COUNTER("ops_audit_records_total", "Audit records made durable here.");
static struct ops_metric metric_failed = OPS_COUNTER("ops_audit_records_failed_total",
	"Audit records that could not be made durable; the change was not made.", "reason");
static struct ops_metric metric_waiting =
	OPS_GAUGE("ops_audit_waiting", "Audit records not yet taken by the audit log.");
static struct ops_metric metric_retries = OPS_COUNTER(
	"ops_audit_retries_total", "Deliveries to the audit log that are tried again.", "reason");
static struct ops_metric metric_dead = OPS_COUNTER("ops_audit_dead_total",
	"Audit records that the audit log refused for good; kept in dead/.");

struct ops_audit {
	uint32_t magic;
	struct ops_loop *loop;
	char *service, *dead_file;
	struct ops_spool *spool;
	struct ops_req *req; /* NULL: no audit log configured */
	struct ops_timer *timer;
	struct ops_strbuf request;
	char *bodies[OPS_AUDIT_BATCH]; /* of the request that is under way */
	uint64_t last;		       /* its last number */
	size_t n;
	bool busy, closed;
	unsigned failures;
};

int ops_audit_body(const struct ops_change *c, struct ops_strbuf *out, struct ops_error *err)
{
	OPS_JSON_AUTO *record = ops_change_to_json(c);

	return ops_canon_json(record, out, err);
}

/* ---- delivery ---- */

static void again_later(struct ops_audit *a, const char *reason)
{
	ops_metric_add(&metric_retries, 1, reason);
	ops_timer_start(a->timer, ops_backoff_ms(a->failures++, 200, 10000));
}

static void release(struct ops_audit *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->bodies[i]);
	a->n = 0;
	ops_strbuf_reset(&a->request);
}

static int on_record(uint64_t number, const void *data, size_t len, void *arg)
{
	struct ops_audit *a = arg;

	if (a->n > 0 && a->request.len + len > BATCH_BYTES)
		return 1;
	ops_strbuf_adds(&a->request, a->n > 0 ? "," : "{\"op\":\"append\",\"records\":[");
	ops_strbuf_add(&a->request, data, len);
	a->bodies[a->n++] = ops_xstrndup(data, len);
	a->last = number;
	return 0;
}

static int bury(const struct ops_audit *a, const char *body, const char *why)
{
	struct ops_strbuf line = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_closep)
	int fd = open(a->dead_file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	ops_strbuf_adds(&line, "{\"error\":");
	ops_strbuf_add_json(&line, why, strlen(why));
	ops_strbuf_printf(&line, ",\"record\":%s}\n", body);
	int code = ops_write_all(fd, line.data, line.len);
	if (code == 0 && fdatasync(fd) < 0)
		code = -errno;
	ops_strbuf_done(&line);
	if (code == 0)
		ops_metric_add(&metric_dead, 1);
	return code;
}

/* Number of records from the front that need not be sent again. */
static size_t settled(const struct ops_audit *a, const json_t *results)
{
	for (size_t i = 0; i < a->n; i++) {
		const json_t *r = json_array_get(results, i);
		const char *why = NULL;
		bool permanent = false;
		if (!json_is_object(r) || ops_json_get_string(r, "error", &why, NULL) < 0)
			return i;
		if (why == NULL)
			continue;
		if (ops_json_get_bool(r, "permanent", &permanent, NULL) != 0 || !permanent ||
			bury(a, a->bodies[i], why) < 0)
			return i;
	}
	return a->n;
}

static void apply_answer(struct ops_audit *a, const void *data, size_t len)
{
	OPS_JSON_AUTO *answer = NULL;
	json_t *results = NULL;
	bool ok = false;

	if (ops_json_parse(data, len, answer_limit_bytes, &answer, NULL) < 0 ||
		ops_json_get_bool(answer, "ok", &ok, NULL) != 0 || !ok ||
		ops_json_get_array(answer, "results", &results, NULL) != 0) {
		again_later(a, "refused");
		return;
	}
	size_t done = settled(a, results);
	uint64_t number = a->last - (uint64_t)(a->n - done);
	if (done > 0 && ops_spool_ack(a->spool, number) < 0) {
		again_later(a, "ack");
	} else if (done < a->n) {
		again_later(a, "refused");
	} else {
		a->failures = 0;
		ops_timer_start(a->timer, 0);
	}
}

static void on_answer(void *arg, int code, const void *data, size_t len)
{
	struct ops_audit *a = arg;

	OPS_MAGIC_CHECK(a, AUDIT_MAGIC);
	a->busy = false;
	if (a->closed)
		return;
	if (code < 0)
		again_later(a, code == -ETIMEDOUT ? "timeout" : "bus");
	else
		apply_answer(a, data, len);
	release(a);
	ops_metric_set(&metric_waiting, (double)ops_audit_waiting(a));
}

static void deliver(void *arg)
{
	struct ops_audit *a = arg;

	OPS_MAGIC_CHECK(a, AUDIT_MAGIC);
	ops_metric_set(&metric_waiting, (double)ops_audit_waiting(a));
	if (a->busy || a->req == NULL || ops_audit_waiting(a) == 0)
		return;
	int code = ops_spool_read(
		a->spool, ops_spool_acked(a->spool) + 1, OPS_AUDIT_BATCH, on_record, a);
	if (code < 0 || a->n == 0) {
		release(a);
		again_later(a, "spool");
		return;
	}
	ops_strbuf_adds(&a->request, "]}");
	a->busy = true;
	if (ops_req_send(a->req, a->request.data, a->request.len, answer_timeout_ms, on_answer, a) <
		0) {
		a->busy = false;
		release(a);
		again_later(a, "bus");
	}
}

/* ---- public ---- */

static int open_spool(struct ops_audit *a, const char *dir, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *records = ops_path_join(dir, "records");
	OPS_CLEANUP(ops_freep) char *dead = ops_path_join(dir, "dead");
	const struct ops_spool_config cfg = {.dir = records};
	struct ops_spool_report report = {0};
	int code = ops_mkdir_p(dead, 0700);

	if (code < 0)
		return ops_error_set(err, code, "could not make %s: %s", dead, strerror(-code));
	a->dead_file = ops_path_join(dead, "records.jsonl");
	code = ops_spool_open(&cfg, &a->spool, &report, err);
	if (code == 0 && report.lost_records > 0)
		ops_metric_add(&metric_failed, (double)report.lost_records, "spool_damaged");
	return code;
}

int ops_audit_open(struct ops_loop *loop, const struct ops_audit_config *cfg,
	struct ops_audit **ret, struct ops_error *err)
{
	struct ops_audit *a = ops_xcalloc(1, sizeof(*a));
	int code = open_spool(a, cfg->dir, err);

	a->magic = AUDIT_MAGIC;
	a->loop = loop;
	a->service = ops_xstrdup(cfg->service);
	if (code == 0 && cfg->url != NULL && cfg->url[0] != '\0')
		code = ops_req_open(loop, cfg->url, cfg->key, cfg->tls, &a->req, err);
	a->timer = ops_timer_new(loop, deliver, a);
	ops_metric_register(&metric_records);
	ops_metric_register(&metric_dead);
	if (code < 0) {
		ops_audit_close(a);
		return code;
	}
	ops_timer_start(a->timer, 0);
	*ret = a;
	return 0;
}

static void free_audit(void *arg)
{
	free(arg);
}

void ops_audit_close(struct ops_audit *a)
{
	if (a == NULL)
		return;
	OPS_MAGIC_CHECK(a, AUDIT_MAGIC);
	a->closed = true;
	ops_timer_free(a->timer);
	if (a->req != NULL)
		ops_req_close(a->req);
	ops_spool_close(a->spool);
	release(a);
	ops_strbuf_done(&a->request);
	free(a->service);
	free(a->dead_file);
	ops_loop_defer(a->loop, free_audit, a); /* an answer may be on its way through this turn */
}

uint64_t ops_audit_waiting(const struct ops_audit *a)
{
	return ops_spool_next(a->spool) - 1 - ops_spool_acked(a->spool);
}

/* The same rules that the log applies: what passes here is not refused there. */
static int valid_body(const struct ops_change *c, struct ops_strbuf *body)
{
	OPS_JSON_AUTO *j = ops_change_to_json(c);
	struct ops_change copy;
	int code = ops_change_from_json(j, &copy, NULL);

	if (code < 0)
		return code;
	ops_change_done(&copy);
	return ops_canon_json(j, body, NULL);
}

int ops_audit_record(struct ops_audit *a, struct ops_change *c)
{
	struct ops_strbuf body = OPS_STRBUF_INIT;
	const char *stage = "invalid";

	OPS_MAGIC_CHECK(a, AUDIT_MAGIC);
	if (c->service == NULL)
		c->service = ops_xstrdup(a->service);
	int code = valid_body(c, &body);
	if (code == 0) {
		stage = "spool";
		code = ops_spool_append(a->spool, body.data, body.len, NULL);
	}
	if (code == 0)
		code = ops_spool_sync(a->spool);
	ops_strbuf_done(&body);
	if (code < 0) {
		ops_metric_add(&metric_failed, 1, stage);
		return code;
	}
	ops_metric_add(&metric_records, 1);
	if (!a->busy && a->failures == 0)
		ops_timer_start(a->timer, 0);
	return 0;
}

int ops_audit_log(struct ops_audit *a, const struct ops_audit_entry *e)
{
	struct ops_change c;

	ops_change_init(&c);
	c.actor = ops_xstrdup(e->actor != NULL && e->actor[0] != '\0' ? e->actor : a->service);
	c.actor_type = ops_xstrdup(e->actor_type != NULL ? e->actor_type : "service");
	c.action = ops_xstrdup(e->action);
	c.object = ops_xstrdup(e->object);
	c.reason = ops_xstrdup(e->reason);
	c.source_addr = ops_xstrdup(e->source_addr);
	c.trace_id = ops_xstrdup(e->trace_id);
	c.alert = ops_xstrdup(e->alert);
	c.outcome = ops_xstrdup(e->outcome != NULL ? e->outcome : "success");
	c.before = e->before;
	c.after = e->after;
	int code = ops_audit_record(a, &c);
	ops_change_done(&c);
	return code;
}
