/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus door: requests of common/audit (see its audit.c for the form). Records of one request are
 * taken one by one; the answer goes out when the last of them has its outcome. A record that is
 * refused is marked permanent, so that its sender puts it aside instead of offering it for ever.
 */
#include <errno.h>
#include <string.h>

#include "common/audit/audit.h"
#include "common/audit/canon.h"
#include "common/base/strbuf.h"
#include "common/json/json.h"
#include "common/metrics/metrics.h"
#include "services/auditlog/auditlog.h"

static const size_t request_limit_bytes = (size_t)8 << 20;

static struct ops_metric metric_refused = OPS_COUNTER("ops_auditlog_bus_refused_total",
	"Append requests or records from the bus that are not what they should be.", "what");

struct append_call;

struct slot {
	struct append_call *call;
	json_t *result; /* owned until it goes into the answer */
};

struct append_call {
	struct ops_rep_call *rep;
	size_t n, left;
	struct slot slots[];
};

static void answer(struct ops_rep_call *rep, json_t *taken)
{
	OPS_CLEANUP(ops_freep) char *text = ops_json_text(taken);

	json_decref(taken);
	ops_rep_answer(rep, text, strlen(text));
}

static void refuse(struct ops_rep_call *rep, const char *why)
{
	json_t *j = json_object();

	ops_metric_add(&metric_refused, 1, "request");
	ops_json_set_bool(j, "ok", false);
	ops_json_set_string(j, "error", why);
	answer(rep, j);
}

static void finish(struct append_call *call)
{
	json_t *j = json_object(), *results = json_array();
	const json_t *last = call->slots[call->n - 1].result;

	ops_json_set_bool(j, "ok", true);
	if (json_object_get(last, "durable") != NULL) {
		ops_json_set(j, "durable", json_incref(json_object_get(last, "durable")));
		ops_json_set(j, "seq", json_incref(json_object_get(last, "seq")));
	}
	for (size_t i = 0; i < call->n; i++)
		json_array_append_new(results, call->slots[i].result);
	ops_json_set(j, "results", results);
	answer(call->rep, j);
	free(call);
}

static void settle(struct slot *slot, json_t *result)
{
	struct append_call *call = slot->call;

	slot->result = result;
	if (--call->left == 0)
		finish(call);
}

static void on_outcome(void *arg, const struct aud_outcome *o)
{
	json_t *result = json_object();

	if (o->code < 0) {
		ops_json_set_string(result, "error", strerror(-o->code));
	} else {
		ops_json_set(
			result, "seq", o->seq > 0 ? json_integer((json_int_t)o->seq) : json_null());
		ops_json_set_string(result, "durable", o->durable);
	}
	settle(arg, result);
}

/* Canonical text is read with every number as a double; this one member is an integer to us. */
static void make_integer(json_t *record, const char *key)
{
	const json_t *value = json_object_get(record, key);

	if (json_is_real(value) && json_real_value(value) > -9e15 && json_real_value(value) < 9e15)
		ops_json_set(record, key, json_integer((json_int_t)json_real_value(value)));
}

static void take(struct aud *a, struct slot *slot, json_t *record)
{
	struct ops_change c;
	struct ops_error err = {.line = 0};
	struct aud_waiter *waiter;
	char text[900];

	make_integer(record, "time_us");
	int code = ops_change_from_json(record, &c, &err);
	if (code == 0) {
		code = aud_intake_add(a->intake, &c, on_outcome, slot, &waiter, &err);
		ops_change_done(&c);
	}
	if (code == 0)
		return;
	ops_metric_add(&metric_refused, 1, "record");
	json_t *result = json_object();
	ops_json_set_string(result, "error", ops_error_text(&err, text, sizeof(text)));
	ops_json_set_bool(result, "permanent", code != -ENOSPC && code != -EIO);
	settle(slot, result);
}

static void take_all(struct aud *a, struct ops_rep_call *rep, json_t *const *records, size_t n)
{
	struct append_call *call = ops_xcalloc(1, sizeof(*call) + n * sizeof(call->slots[0]));

	call->rep = rep;
	call->n = n;
	call->left = n + 1; /* one for this function, so that it is not answered half-way */
	for (size_t i = 0; i < n; i++)
		call->slots[i].call = call;
	for (size_t i = 0; i < n; i++)
		take(a, &call->slots[i], records[i]);
	if (--call->left == 0)
		finish(call);
}

static void on_request(void *arg, struct ops_rep_call *rep, const void *data, size_t len)
{
	struct aud *a = arg;
	OPS_JSON_AUTO *request = NULL;
	json_t *records[OPS_AUDIT_BATCH];
	struct ops_error err;
	size_t n = 1;

	if (ops_canon_parse(data, len, request_limit_bytes, &request, &err) < 0) {
		refuse(rep, err.message);
		return;
	}
	const char *op = json_string_value(json_object_get(request, "op"));
	json_t *list = json_object_get(request, "records");
	records[0] = json_object_get(request, "record");
	if (json_is_array(list)) {
		n = json_array_size(list);
		for (size_t i = 0; i < n && i < OPS_LENGTH(records); i++)
			records[i] = json_array_get(list, i);
	}
	if (op == NULL || strcmp(op, "append") != 0)
		refuse(rep, "op must be \"append\"");
	else if (n == 0 || n > OPS_LENGTH(records) || records[0] == NULL)
		refuse(rep, "1 to 64 records, please");
	else
		take_all(a, rep, records, n);
}

int aud_bus_open(struct aud *a, const char *url, struct ops_error *err)
{
	ops_metric_register(&metric_refused);
	return ops_rep_open(a->loop, url, ops_daemon_bus_key(a->daemon),
		ops_daemon_bus_tls(a->daemon), on_request, a, &a->rep, err);
}
