/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proof as a program for tests/integration/test_auditlog.py, which tampers with a real log:
 * OPS_TEST_DATABASE, OPS_TEST_VKEY and OPS_TEST_NOTE in, one line of JSON out. Skipped without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/audit/verify.h"
#include "common/base/strbuf.h"

int main(void)
{
	struct ops_audit_verify_result r;
	struct ops_error err = {.line = 0};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	const struct ops_audit_verify v = {.conninfo = getenv("OPS_TEST_DATABASE"),
		.vkey = getenv("OPS_TEST_VKEY"),
		.trusted_note = getenv("OPS_TEST_NOTE")};

	if (v.conninfo == NULL) {
		fprintf(stderr, "skipped: OPS_TEST_DATABASE is not set\n");
		return 77;
	}
	int code = ops_audit_verify(&v, &r, &err);
	if (code < 0) {
		fprintf(stderr, "%s\n", err.message);
		return 2;
	}
	ops_strbuf_printf(&out,
		"{\"fault\":\"%s\",\"bad_seq\":%llu,\"records\":%llu,\"checkpoints\":%llu,\"signed_"
		"size\":%llu,"
		"\"trusted\":%s,\"problem\":",
		ops_audit_fault_text(r.fault), (unsigned long long)r.bad_seq,
		(unsigned long long)r.records, (unsigned long long)r.checkpoints,
		(unsigned long long)r.signed_size, r.trusted_checked ? "true" : "false");
	ops_strbuf_add_json(&out, r.problem, strlen(r.problem));
	printf("%s}\n", ops_strbuf_text(&out));
	ops_strbuf_done(&out);
	return code;
}
