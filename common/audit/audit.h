/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Audit client: what every service uses to record a change before it takes effect. The record is
 * fsynced into the service's own spool (that is the durability point), then delivered in order to
 * ops-auditlog over the bus' request socket until it is acknowledged; ids make delivery idempotent.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/bus/bus.h"
#include "common/loop/loop.h"
#include "common/msg/msg.h"

struct ops_audit; /* opaque */
struct ops_strbuf;

/*
 * The record as it is hashed and stored: canonical JSON (RFC 8785). -ERANGE: before or after holds
 * an integer beyond 2^53 that a JSON number cannot hold exactly; err names it.
 */
int ops_audit_body(
	const struct ops_change *c, struct ops_strbuf *out, struct ops_error *err) OPS_MUST_CHECK;
#define OPS_AUDIT_BATCH 64 /* records in one append request at most */

struct ops_audit_config {
	const char *service; /* "ops-freeze": fills ops_change.service */
	const char *url;     /* "tcp://127.0.0.1:7405"; NULL = keep in the spool only */
	const char *dir;     /* spool */
	const struct ops_bus_key *key;
	const struct ops_bus_tls *tls;
};

int ops_audit_open(struct ops_loop *loop, const struct ops_audit_config *cfg,
	struct ops_audit **ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_audit_close(struct ops_audit *a);
/* Durable when this returns 0. On failure (-ENOSPC, -EIO) the caller must not let the change take
 * effect. */
int ops_audit_record(struct ops_audit *a, struct ops_change *c) OPS_MUST_CHECK;
uint64_t ops_audit_waiting(const struct ops_audit *a);
/* Convenience: the common fields in one call; reason, trace_id, alert, before, after may be NULL
 * (after/before are taken). */
struct ops_audit_entry {
	const char *actor, *actor_type, *action, *object, *reason, *source_addr, *trace_id, *alert,
		*outcome;
	json_t *before, *after;
};
int ops_audit_log(struct ops_audit *a, const struct ops_audit_entry *e) OPS_MUST_CHECK;
