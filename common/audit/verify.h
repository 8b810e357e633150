/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Proves the audit log from the database and a public key: recomputes every leaf, the chain and the
 * Merkle roots of all signed checkpoints. Blocking, memory is flat; for the command line.
 */
#include "common/base/def.h"
#include "common/base/error.h"

#define OPS_AUDIT_DOUBTED                                                                          \
	1 /* the log does not hold: result says what is wrong first, and where                     \
	   */

struct ops_audit_verify {
	const char *conninfo; /* a role that may read audit.* (ops_reader) */
	const char *vkey; /* the text of GET /v1/key; NULL: checkpoints are compared, signatures not
			     checked */
	/*
	 * Text of a checkpoint that was kept outside the database (GET /v1/checkpoint, the file
	 * `checkpoint` of the service's state directory); NULL = none. Without one a log that was
	 * cut off together with its checkpoints looks whole. Needs vkey.
	 */
	const char *trusted_note;
	void (*on_progress)(void *arg, uint64_t records); /* now and then; may be NULL */
	void *arg;
};

enum ops_audit_fault {
	OPS_AUDIT_SOUND,
	OPS_AUDIT_CHANGED,   /* body, id, time or hash of a record is not what was written */
	OPS_AUDIT_REMOVED,   /* a sequence number is missing */
	OPS_AUDIT_REORDERED, /* a whole record stands where another one stood (or was put in) */
	OPS_AUDIT_CUT_OFF, /* records at the end are missing: a checkpoint signed more than there is
			    */
	OPS_AUDIT_REWRITTEN,  /* consistent in itself, but not what a checkpoint signed */
	OPS_AUDIT_CHECKPOINT, /* a checkpoint is not signed by the key or contradicts its note */
};
const char *ops_audit_fault_text(enum ops_audit_fault fault); /* sound, changed, removed ... */

struct ops_audit_verify_result {
	enum ops_audit_fault fault;
	uint64_t bad_seq;     /* first record in doubt; 0 when sound */
	char problem[320];    /* for a human; "" when sound */
	uint64_t records;     /* proven up to here */
	uint64_t checkpoints; /* that hold */
	uint64_t signed_size; /* of the last one that holds: records after it are only chained */
	char root[65], chain[65]; /* hex, of `records` */
	bool trusted_checked;
};

/* 0: sound; OPS_AUDIT_DOUBTED; -ENOTCONN, -EINVAL (could not verify: err). result is set when >= 0.
 */
int ops_audit_verify(const struct ops_audit_verify *v, struct ops_audit_verify_result *ret,
	struct ops_error *err) OPS_MUST_CHECK;
