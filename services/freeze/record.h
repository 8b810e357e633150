/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Freeze records and the decision. A record says: this scope is frozen from..until, by whom and
 * why. Frozen or not is a pure function of the set of records, the request and a moment
 * (frz_evaluate), so that "what if, on Friday at 18:00?" has an answer and the whole is testable as
 * a table.
 */
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/json/json.h"

enum frz_source {
	FRZ_MANUAL,
	FRZ_ALERT,
	FRZ_CALENDAR,
	FRZ_OUT_OF_BAND
};
const char *frz_source_text(enum frz_source s);
int frz_source_parse(const char *text, enum frz_source *ret) OPS_MUST_CHECK; /* -EINVAL */

enum frz_thaw {
	FRZ_THAW_MANUAL,
	FRZ_THAW_ON_RESOLVE
}; /* beside its until */

struct frz_record {
	char id[37]; /* UUID */
	char *scope; /* "claims", "claims/api", or "*" for all */
	char *reason, *actor;
	enum frz_source source;
	enum frz_thaw thaw;
	char *alert;		   /* fingerprint, or NULL */
	char *trace_id;		   /* or NULL */
	int64_t from_ms, until_ms; /* until 0 = open end */
	int64_t cleared_ms;	   /* 0 = not cleared */
	char *cleared_by, *clear_reason;
};

void frz_record_free(struct frz_record *r);
json_t *frz_record_to_json(const struct frz_record *r) OPS_MUST_CHECK;
int frz_record_from_json(
	const json_t *j, struct frz_record **ret, struct ops_error *err) OPS_MUST_CHECK;
bool frz_record_active(const struct frz_record *r, int64_t at_ms);

/* [A-Za-z0-9][A-Za-z0-9_.-]* segments joined by '/', at most 128 bytes; or "*". It names a file, so
 * nothing else passes. */
bool frz_scope_valid(const char *scope);
/* Does a record of scope `frozen` cover a request for `asked`? "*" covers all, "claims" covers
 * "claims/api". */
bool frz_scope_covers(const char *frozen, const char *asked);

struct frz_set { /* owned records; cleared and expired ones are dropped when they are history */
	struct frz_record **items;
	size_t n, cap;
};
void frz_set_done(struct frz_set *set);
void frz_set_add(struct frz_set *set, struct frz_record *taken);
struct frz_record *frz_set_find(const struct frz_set *set, const char *id);
void frz_set_remove(struct frz_set *set, const struct frz_record *r); /* frees it */

enum frz_action {
	FRZ_DEPLOY,
	FRZ_ROLLBACK
};
int frz_action_parse(const char *text, enum frz_action *ret) OPS_MUST_CHECK; /* NULL = deploy */
const char *frz_action_text(enum frz_action a);

enum frz_decision {
	FRZ_OPEN,
	FRZ_FROZEN
};
struct frz_request {
	const char *scope;
	enum frz_action action;
	int64_t at_ms;
};
/*
 * Every record that forbids the request goes to matches (at most max; *ret_n counts all). Automatic
 * freezes let rollbacks through: a playbook must not be blocked by the freeze that it asked for.
 */
enum frz_decision frz_evaluate(const struct frz_set *set, const struct frz_request *req,
	const struct frz_record **matches, size_t max, size_t *ret_n);
