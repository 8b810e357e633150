/* SPDX-License-Identifier: Apache-2.0 */
/* audit verify, tail, export, record; timeline: what happened, and the proof that this is what
 * happened. */
#include "cli/ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/audit/verify.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/pg/pg_sync.h"

/* ---- verify ---- */

/* From a file when named, else from the running service, which keeps both outside the database. */
static int take_text(const struct ctl *c, const char *flag, const char *path, char **ret)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	if (ctl_flag(c, flag) != NULL) {
		int rc = ops_file_read(ctl_flag(c, flag), 65536, &text);
		if (rc != 0) {
			ops_strbuf_done(&text);
			return ctl_fail(CTL_CONFIG, "could not read %s: %s", ctl_flag(c, flag),
				strerror(-rc));
		}
		*ret = ops_strbuf_take(&text);
		return 0;
	}
	struct ctl_reply r;
	ctl_call(c, CTL_AUDITLOG, "GET", path, NULL, &r);
	if (r.code == 200) {
		*ret = ops_xstrdup(ops_strbuf_text(&r.body));
	}
	ctl_reply_done(&r);
	return 0;
}

static void on_progress(void *arg, uint64_t records)
{
	(void)arg;
	fprintf(stderr, "\r%llu records", (unsigned long long)records);
}

static void print_verdict(
	const struct ctl *c, const struct ops_audit_verify_result *v, bool with_key)
{
	if (c->json) {
		OPS_JSON_AUTO *out = json_object();
		ops_json_set_string(out, "verdict", ops_audit_fault_text(v->fault));
		ops_json_set_string(out, "problem", v->problem);
		ops_json_set_i64(out, "bad_seq", (int64_t)v->bad_seq);
		ops_json_set_i64(out, "records", (int64_t)v->records);
		ops_json_set_i64(out, "checkpoints", (int64_t)v->checkpoints);
		ops_json_set_i64(out, "signed_size", (int64_t)v->signed_size);
		ops_json_set_string(out, "root", v->root);
		ops_json_set_bool(out, "signatures_checked", with_key);
		ops_json_set_bool(out, "trusted_checkpoint_checked", v->trusted_checked);
		ctl_print_json(out);
		return;
	}
	if (v->fault == OPS_AUDIT_SOUND) {
		printf("sound: %llu records, %llu checkpoints hold, %llu records signed\nroot %s\n",
			(unsigned long long)v->records, (unsigned long long)v->checkpoints,
			(unsigned long long)v->signed_size, v->root);
	} else {
		printf("NOT SOUND (%s): %s\n", ops_audit_fault_text(v->fault), v->problem);
	}
	if (!with_key) {
		fputs("opsctl: signatures were not checked: no --key, and ops-auditlog does not "
		      "answer\n",
			stderr);
	}
	if (!v->trusted_checked) {
		fputs("opsctl: no checkpoint from outside the database: a log cut off together "
		      "with its checkpoints "
		      "would look whole (--checkpoint FILE)\n",
			stderr);
	}
}

static int run_verify(struct ctl *c)
{
	struct ops_audit_verify v = {.conninfo = NULL};
	int rc = ctl_database(c, &v.conninfo);
	if (rc != CTL_OK) {
		return rc;
	}
	OPS_CLEANUP(ops_freep) char *key = NULL;
	OPS_CLEANUP(ops_freep) char *note = NULL;
	rc = take_text(c, "key", "/v1/key", &key);
	if (rc == 0 && key != NULL) {
		rc = take_text(c, "checkpoint", "/v1/checkpoint", &note);
	}
	if (rc != 0) {
		return rc;
	}
	v.vkey = key;
	v.trusted_note = note;
	v.on_progress = isatty(STDERR_FILENO) ? on_progress : NULL;
	struct ops_audit_verify_result result;
	struct ops_error err;
	rc = ops_audit_verify(&v, &result, &err);
	if (v.on_progress != NULL) {
		fputs("\r\033[K", stderr);
	}
	if (rc < 0) {
		return ctl_fail_error(rc == -ENOTCONN ? CTL_UNREACHABLE : CTL_FAILED, &err);
	}
	print_verdict(c, &result, key != NULL);
	return rc == 0 ? CTL_OK : CTL_FAILED;
}

/* ---- tail ---- */

enum {
	LINES_MAX = 1000 /* in one answer */
};

static void print_record(const struct ctl *c, const json_t *entry)
{
	if (c->json) {
		OPS_CLEANUP(ops_freep) char *line = ops_json_text(entry);
		puts(line);
		return;
	}
	const json_t *r = json_object_get(entry, "record");
	r = r != NULL ? r : entry;
	const char *reason = ctl_text(r, "reason");
	printf("%6lld  %s  %-28s %-20s %-24s %s\n",
		(long long)json_integer_value(json_object_get(entry, "seq")), ctl_text(entry, "at"),
		ctl_text(r, "actor"), ctl_text(r, "action"), ctl_text(r, "object"), reason);
}

static int print_page(struct ctl *c, int64_t *after, uint64_t limit, size_t *ret_n)
{
	struct ops_strbuf path = OPS_STRBUF_INIT;
	char number[32];
	snprintf(number, sizeof(number), "%lld", (long long)*after);
	ops_strbuf_adds(&path, "/v1/records");
	if (*after >= 0) {
		ctl_url_add(&path, "after", number);
	}
	snprintf(number, sizeof(number), "%llu", (unsigned long long)limit);
	ctl_url_add(&path, "limit", number);
	ctl_url_add(&path, "actor", ctl_flag(c, "actor"));
	ctl_url_add(&path, "object", ctl_flag(c, "object"));
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_AUDITLOG, "GET", ops_strbuf_text(&path), NULL, &r);
	ops_strbuf_done(&path);
	const json_t *records = json_object_get(r.json, "records");
	size_t i;
	json_t *entry;
	json_array_foreach(records, i, entry)
	{
		print_record(c, entry);
		*after = json_integer_value(json_object_get(entry, "seq"));
	}
	*ret_n = json_array_size(records);
	ctl_reply_done(&r);
	return rc;
}

static int run_tail(struct ctl *c)
{
	int64_t after = -1; /* the newest ones */
	size_t n = 0;
	uint64_t lines = 20;
	int rc = ctl_flag_number(c, "lines", LINES_MAX, &lines);
	if (rc == CTL_OK) {
		rc = print_page(c, &after, lines, &n);
	}
	while (rc == 0 && ctl_flag(c, "follow") != NULL) {
		fflush(stdout);
		sleep(1);
		after = OPS_MAX(after, 0);
		rc = print_page(c, &after, LINES_MAX, &n);
	}
	return rc;
}

/* ---- export ---- */

static int export_row(void *arg, const struct ops_pg_row *row)
{
	(void)arg;
	printf("{\"seq\":%s,\"leaf\":\"%s\",\"chain\":\"%s\",\"record\":%s}\n",
		ops_pg_row_value(row, 0), ops_pg_row_value(row, 1), ops_pg_row_value(row, 2),
		ops_pg_row_value(row, 3));
	return ferror(stdout) ? -EIO : 0;
}

static int run_export(struct ctl *c)
{
	OPS_CLEANUP(ops_pg_sync_closep) struct ops_pg_sync *db = NULL;
	struct ops_error err;
	uint64_t first = 1;
	int code = ctl_flag_number(c, "from", INT64_MAX, &first);
	code = code == CTL_OK ? ctl_database_open(c, &db) : code;
	if (code != CTL_OK) {
		return code;
	}
	char number[24];
	snprintf(number, sizeof(number), "%llu", (unsigned long long)first);
	const char *const from = number;
	const struct ops_pg_query q = {
		.sql = "SELECT seq, encode(leaf, 'hex'), encode(chain, 'hex'), body"
		       " FROM audit.records WHERE seq >= $1::bigint ORDER BY seq",
		.nparams = 1,
		.params = &from,
		.on_row = export_row};
	int rc = ops_pg_sync_query(db, &q, &err);
	if (rc == -EIO) {
		return ctl_fail(CTL_FAILED, "could not write the output");
	}
	return rc == 0 ? CTL_OK : ctl_fail_error(CTL_FAILED, &err);
}

/* ---- record ---- */

static int run_record(struct ctl *c)
{
	if (ctl_flag(c, "action") == NULL || ctl_flag(c, "object") == NULL || c->nargs > 0) {
		return ctl_usage(c, "a record needs --action and --object");
	}
	OPS_JSON_AUTO *body = json_object();
	static const char *const names[] = {"action", "object", "reason", "alert"};
	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		if (ctl_flag(c, names[i]) != NULL) {
			ops_json_set_string(body, names[i], ctl_flag(c, names[i]));
		}
	}
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_AUDITLOG, "POST", "/ops/change", body, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		printf("recorded, id %s, durable in %s\n", ctl_text(r.json, "id"),
			ctl_text(r.json, "durable"));
	}
	ctl_reply_done(&r);
	return rc;
}

const struct ctl_command ctl_audit_commands[] = {
	{"audit verify", "[--key FILE] [--checkpoint FILE]",
		"prove that nothing in the audit log was changed, removed, reordered or cut off",
		{CTL_DATABASE_FLAGS, {"key", "FILE", "public key (default: ask ops-auditlog)"},
			{"checkpoint", "FILE",
				"a checkpoint kept elsewhere (default: ask ops-auditlog)"}},
		run_verify},
	{"audit tail", "[--lines N] [--follow]", "the newest audit records",
		{{"lines", "N", "how many (default 20)"}, {"follow", NULL, "go on with new ones"},
			{"actor", "NAME", "only of this actor"},
			{"object", "NAME", "only of this object"}},
		run_tail},
	{"audit export", "[--from SEQ]", "all records with their proofs as JSON lines",
		{CTL_DATABASE_FLAGS, {"from", "SEQ", "start here (default 1)"}}, run_export},
	{"audit record", "--action ACTION --object OBJECT [--reason TEXT]",
		"put a change on record",
		{{"action", "ACTION", "as deploy"}, {"object", "OBJECT", "as release/claims/2.5.1"},
			{"reason", "TEXT", "why"},
			{"alert", "FINGERPRINT", "the incident it belongs to"}},
		run_record},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
